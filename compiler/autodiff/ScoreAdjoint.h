// The derivative of an attention's score region: by the raw product, and by what it reads.
#pragma once

#include "dialects/graph/GraphDialect.h"

namespace fovea::autodiff {

/// One read of a captured tensor that a gradient goes to.
struct CaptureGradient {
  mlir::Value capture;
  /// Indices of the element, behind those of the batch axes `partial`, which the capture's own indices leave out: the
  /// sum has an axis for each of them, and the gradient is its sum over these.
  llvm::SmallVector<int64_t> partial;
};

/// Makes `adjoint` the adjoint region of graph.attention_backward for `op`'s score, where `wanted` says which captures a
/// gradient goes to; gives one entry for each of the op's sums. Fails, with `adjoint` empty and the op in the way in
/// `obstacle`, where one has no derivative.
mlir::FailureOr<llvm::SmallVector<CaptureGradient>> buildScoreAdjoint(graph::AttentionOp op,
                                                                      llvm::function_ref<bool(mlir::Value)> wanted,
                                                                      mlir::Region &adjoint,
                                                                      mlir::Operation *&obstacle);

/// Why graph.attention_backward cannot be made of `op`, whatever its captures want; empty where it can.
std::string whyNotDifferentiable(graph::AttentionOp op);

} // namespace fovea::autodiff
