// Attention that is linear in its scores: their products may be taken in another order.
#pragma once

#include "compiler/passes/AttentionRegions.h"

namespace fovea {

/// graph.linear_attention in the place of a pointwise causal attention, where each weight is the score times factors
/// of the query, of the key, and decays. Null where that is not proved; then `op` is as it was.
graph::LinearAttentionOp raiseLinearAttention(graph::AttentionOp op, ChainReport &report);

/// q (k^T v) for a match whose weights are the score times factors of its query or of its key alone: the product's
/// value. Null where that costs more than (q k^T) v, or may.
mlir::Value reassociate(AttentionMatch &match, ChainReport &report);

} // namespace fovea
