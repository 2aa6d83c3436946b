// Builds graph.attention, with its score and mask regions, for a matched chain.
#pragma once

#include "compiler/passes/AttentionMatch.h"

namespace fovea {

struct BuiltAttention {
  graph::AttentionOp op;
  mlir::Value result;       ///< what replaces the product's result
  bool hasAllLogits = true; ///< the op's log-sum-exp is that of all that its weights are normalised by
};

/// Builds the op in front of `match.product`. Nothing is replaced or erased. Writes to `report` what the score reads
/// and what the mask is. Fails where a region cannot be built (then recorded).
llvm::FailureOr<BuiltAttention> buildAttention(AttentionMatch &match, ChainReport &report);

/// What `match.product` gives of a result laid out as [batch..., query, value]: in its type and layout, with the
/// factors of the weights that do not depend on the keys.
mlir::Value finishProduct(mlir::OpBuilder &builder, AttentionMatch &match, mlir::Value result);

/// A tensor whose axes have labels `to` times a factor, or divided by it, in the tensor's element type.
mlir::Value scale(mlir::OpBuilder &builder, AttentionMatch &match, mlir::Value x, const TensorLabels &to,
                  const AttentionMatch::Factor &factor);

} // namespace fovea
