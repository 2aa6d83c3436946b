// The steps of a function in the form that graph-form-groups leaves, and the values that they hand to one another.
#pragma once

#include "compiler/analysis/MemoryPlan.h"
#include "compiler/analysis/StepGraph.h"
#include "compiler/analysis/Storage.h"

namespace fovea {

/// Bytes of a tensor in memory, where a bool is one; null where they are no expression.
DimExpr bytesOf(mlir::Value tensor);

/// Groups and calls, numbered in the order of the text, and what must run before what: makers before readers, and all
/// readers of an old value before the step that overwrites it.
struct StepFlow {
  std::vector<mlir::Operation *> steps;
  StepGraph graph;
  std::vector<StepValue> values;        ///< buffers that steps make
  llvm::SmallVector<mlir::Value> bases; ///< the owner of each

  StepFlow(graph::FuncOp function, const StorageMap &storages);

  /// An order with a low peak at the samples. The graph must be acyclic.
  std::vector<size_t> order(const std::vector<SymbolValues> &samples) const;

private:
  void addOrderForUpdates(const StorageMap &storages);
  llvm::DenseMap<mlir::Operation *, size_t> numbers;
};

/// The sizes that a function's memory is planned for: its attribute `graph.sizes`, or representative ones.
std::vector<SymbolValues> plannedSizes(graph::FuncOp function);
inline constexpr llvm::StringLiteral plannedSizesAttr = "graph.sizes";

/// The buffers that returned values lie in, other than states: the caller's.
llvm::SmallVector<mlir::Value> outputBases(graph::FuncOp function, const StorageMap &storages);

} // namespace fovea
