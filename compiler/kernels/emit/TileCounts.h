// How many tiles of an attention are skipped, run without its mask, or run with it, at given sizes: by the rules that
// the kernel decides with when it runs.
#pragma once

#include "compiler/kernels/emit/AttentionVariants.h"

#include <functional>
#include <optional>

namespace fovea::kernels {

/// The sizes of a run of kernel.attention.
struct AttentionSizes {
  llvm::SmallVector<int64_t> batch;
  int64_t queries = 0, keys = 0;
};

/// Tiles are what a task decides as a whole: its queries by a block of keys. Those that are run with the mask decide
/// smaller parts once more.
struct TileCounts {
  AttentionVariant variant = AttentionVariant::ManyQueries;
  int64_t tileRows = 0, tileKeys = 0;
  int64_t skipped = 0; ///< no query sees a key
  int64_t full = 0;    ///< run without the mask: all is visible
  int64_t masked = 0;  ///< run with the mask
  int64_t open = 0;    ///< one of the three, by what the tensors hold that the mask reads
  int64_t pairs = 0;   ///< of a query and a key in the tiles that are not skipped
  int64_t allPairs = 0;

  int64_t tiles() const { return skipped + full + masked + open; }
};

/// Counts by the variant that is taken. `outer` gives the values of what the mask uses from outside of it (sizes);
/// nullopt where one is not known. nullopt where there are more than `limit` tiles to look at.
std::optional<TileCounts> countTiles(kernel::AttentionOp op, const Target &target, const AttentionSizes &sizes,
                                     std::function<std::optional<int64_t>(mlir::Value)> outer, int64_t limit = 1 << 22);

/// How the tiles of a mask are decided.
enum class MaskDecision {
  NoMask,    ///< every tile is full
  Formula,   ///< from indices and sizes alone
  Summaries, ///< some from summaries of tensors, made when the kernel runs
  Never      ///< the mask is run in every tile
};
MaskDecision decisionOf(kernel::AttentionOp op, AttentionVariant variant);

} // namespace fovea::kernels
