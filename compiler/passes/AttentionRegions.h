// Builds graph.attention, with its score and mask regions, for a matched chain.
#pragma once

#include "compiler/passes/AttentionMatch.h"

namespace fovea {

/// Builds the op in front of `match.product` and returns what replaces that op's result. Nothing is erased.
/// Writes to `report` what the score reads and what the mask is. Fails where a region cannot be built (then recorded).
llvm::FailureOr<mlir::Value> buildAttention(AttentionMatch &match, ChainReport &report);

} // namespace fovea
