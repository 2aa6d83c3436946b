// The parts of a report that are read from IR.
#pragma once

#include "compiler/explain/Explain.h"
#include "compiler/kernels/emit/TileCounts.h"
#include "dialects/graph/GraphDialect.h"
#include "dialects/kernel/KernelDialect.h"

#include <set>

namespace fovea::explain {

using Symbols = std::map<std::string, int64_t, std::less<>>;
using Substitution = std::map<std::string, DimExpr, std::less<>>;

//===-- AttentionFacts.cpp ----------------------------------------------------------------------------------------===//

Attention describeAttention(graph::AttentionOp op);

//===-- Runs.cpp --------------------------------------------------------------------------------------------------===//

/// A call, through any number of others, of a function from an entry.
struct Reached {
  const program::Entry *entry;
  std::string path;
  Substitution sizes; ///< of the function's symbols, over the entry's
};
/// By function; entries reach themselves. In the order of the text.
std::map<std::string, std::vector<Reached>, std::less<>> reachedFrom(mlir::ModuleOp graph,
                                                                     const program::Interface &interface);

/// The launch of an attention kernel, found by where it comes from: the `number`-th of a function's launches there.
struct AttentionLaunch {
  kernel::LaunchOp launch;
  kernel::AttentionOp op;
};
std::optional<AttentionLaunch> findLaunch(mlir::ModuleOp lowered, llvm::StringRef function, mlir::Location place,
                                          unsigned number);

/// Tiles of a launch where the symbols of its host function have these values.
std::optional<kernels::TileCounts> tilesOf(const AttentionLaunch &launch, const kernels::Target &target,
                                           const kernels::AttentionSizes &sizes, const Symbols &symbols);

//===-- Dot.cpp ---------------------------------------------------------------------------------------------------===//

/// Graphviz text of functions; `classOf` gives an op's classes (those in docs/explain.md), empty for a plain one.
std::string drawFunctions(mlir::ModuleOp module, const std::set<std::string> &functions,
                          llvm::function_ref<std::string(mlir::Operation *)> classOf);

} // namespace fovea::explain
