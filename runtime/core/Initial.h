/// First values of states: constants, and random numbers for params that are trained from scratch.
#ifndef FOVEA_RUNTIME_CORE_INITIAL_H
#define FOVEA_RUNTIME_CORE_INITIAL_H

#include "fovea/abi.h"

namespace fovea::rt {

/// Writes `elements` first values of the state `name`. Element i depends on the initial's numbers, the name, the seed
/// and i alone: word i % 4 of the Philox block i / 4, whose key is a hash of the name and whose counter has the seed in
/// its upper half; as (word + 1/2) / 2^32 it goes through the distribution's quantile function in double, and is
/// rounded to the dtype at the end. The kind is not FOVEA_INITIAL_NONE.
void fillInitial(const fovea_initial &initial, const char *name, uint64_t seed, int32_t dtype, int64_t elements,
                 unsigned char *to);

} // namespace fovea::rt
#endif
