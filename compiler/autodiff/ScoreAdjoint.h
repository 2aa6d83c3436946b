// The derivative of an attention's score region: by the raw product, and by what it reads.
#pragma once

#include "dialects/graph/GraphDialect.h"

namespace fovea::autodiff {

/// One read of a captured tensor that a gradient goes to.
struct CaptureGradient {
  mlir::Value capture;
  /// Sizes of the sum: the first `partial` ones are those of batch axes that the capture's own indices leave out, over
  /// which the gradient is summed. The others are the capture's, where an axis that holds several batch axes is one for
  /// each of them.
  llvm::SmallVector<DimExpr> dims;
  int64_t partial = 0;
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
