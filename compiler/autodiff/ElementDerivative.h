// Elementwise functions of one tensor: their derivative is one tensor, kept in place of all that it is computed from.
#pragma once

#include "mlir/IR/Operation.h"
#include "llvm/ADT/DenseSet.h"

#include <optional>

namespace fovea::autodiff {

/// What lies between the values that a gradient is asked for and the loss.
struct GradientPaths {
  const llvm::DenseSet<mlir::Value> &reached;       ///< values that depend on one of `wrt`
  const llvm::DenseSet<mlir::Operation *> &leading; ///< ops that the loss depends on, and that depend on one of `wrt`
  mlir::ValueRange wrt;
};

struct ElementDerivative {
  mlir::Value x;     ///< the tensor that the function is of
  mlir::Value value; ///< the derivative, computed right behind the function
};

/// For an `op` that ends an elementwise function of one tensor, as GELU's product does: the function's derivative,
/// where keeping that takes less memory than keeping what it is computed from. Else it adds nothing.
///
/// What it is computed from is the tensor, unless others read it, and the costly values within the function: cheap ones
/// are computed again from these. Of the functions that end with `op` the one that saves most, the shortest of these.
std::optional<ElementDerivative> derivativeToKeep(mlir::Operation *op, const GradientPaths &paths);

} // namespace fovea::autodiff
