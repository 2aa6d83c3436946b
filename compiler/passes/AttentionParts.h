// The parts of the scores' product: further products that are added to it, and features that are joined.
#pragma once

#include "compiler/passes/AttentionMatch.h"

namespace fovea {

/// Writes the parts of a match whose roles are known, and what the score region has to leave out for them.
///
/// A product that is added to the scores, `q k^T + a b^T`, is one more part: it is summed with the scores' own over the
/// features of both, so it is not held. Keys that are joined along their features are parts where that saves a copy:
/// pieces that lie in memory, or repeat along an axis that others have (a rotary part that all heads share).
///
/// Fails where a label must be split first; nothing is reported then.
llvm::LogicalResult findParts(AttentionMatch &match, ContractionLabels &contractions, ChainReport &report);

} // namespace fovea
