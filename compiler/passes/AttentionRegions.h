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

/// `op` with the result `lse`, in its place.
graph::AttentionOp withLogSum(graph::AttentionOp op);

} // namespace fovea
