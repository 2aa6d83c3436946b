// What fusion found at each softmax next to a contraction: what was proved, or the first fact that failed, and where.
#pragma once

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Location.h"

#include <string>
#include <vector>

namespace fovea {

/// Of the module: names of functions with `require_fused` that were inlined. Places have them.
inline constexpr llvm::StringLiteral inlinedRequireFused = "graph.inlined_require_fused";

/// One chain: a softmax with a contraction before or after it.
struct ChainReport {
  mlir::Location place; ///< of the softmax
  std::string function;
  bool fused = false;
  std::vector<std::string> facts; ///< proved, in order
  std::string failure;            ///< what failed first, where not fused
  mlir::LocationAttr failurePlace;
  /// Where fused: the places of the two contractions, and that of the op that they became.
  mlir::LocationAttr scores, product, result;

  explicit ChainReport(mlir::Location place) : place(place) {}
  void proved(std::string fact) { facts.push_back(std::move(fact)); }
  /// Records the first failure only; gives failure() for the caller to return.
  llvm::LogicalResult failed(std::string fact, mlir::Location where) {
    if (failure.empty()) {
      failure = std::move(fact);
      failurePlace = where;
    }
    return llvm::failure();
  }
};

/// Kept as the module's attribute `graph.fusion_report`, so that it survives text.
struct FusionReport {
  std::vector<ChainReport> chains;

  static FusionReport fromModule(mlir::ModuleOp module);
  /// Adds the chains to those that the module has already.
  void addTo(mlir::ModuleOp module) const;
};

} // namespace fovea
