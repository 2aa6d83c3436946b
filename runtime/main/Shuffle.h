/// The order in which an epoch sees the rows.
#ifndef FOVEA_RUNTIME_MAIN_SHUFFLE_H
#define FOVEA_RUNTIME_MAIN_SHUFFLE_H

#include "runtime/core/Memory.h"

namespace fovea::rt {

/// Fills `order` with a permutation of 0, 1, ... that depends on its size, the seed and the epoch alone: Fisher and
/// Yates' shuffle, whose i-th choice is block (i, epoch) of Philox4x32-10 under the seed.
void shuffle(Array<int64_t> &order, int64_t seed, int64_t epoch);

} // namespace fovea::rt
#endif
