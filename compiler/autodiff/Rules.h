// The derivative of each op: what reaches its results, passed on to its operands.
#pragma once

#include "dialects/graph/GraphDialect.h"

#include "llvm/ADT/BitVector.h"

namespace fovea::autodiff {

/// One op on the way back from the loss.
struct Adjoint {
  mlir::OpBuilder &b;
  mlir::Operation *op;
  llvm::ArrayRef<mlir::Value> gradients; ///< one for each result; null where nothing reaches it
  llvm::BitVector needed;                ///< operands that a value of `wrt` reaches
  llvm::SmallVector<mlir::Value> passed; ///< one for each operand; null where nothing is passed on
};

/// Adds the ops of the op's rule at `adjoint.b`; fails where it has none.
mlir::LogicalResult applyRule(Adjoint &adjoint);

/// `number` everywhere.
mlir::Value splat(mlir::OpBuilder &b, mlir::Location loc, graph::TensorType type, double number);

} // namespace fovea::autodiff
