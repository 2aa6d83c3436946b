/// Random numbers by counter: what the number at a place is depends on the key and the place alone.
#ifndef FOVEA_RUNTIME_CORE_RANDOM_H
#define FOVEA_RUNTIME_CORE_RANDOM_H

#include <stdint.h>

namespace fovea::rt {

/// Philox4x32-10 of Salmon, Moraes, Dror and Shaw, "Parallel Random Numbers: As Easy as 1, 2, 3" (2011): the four words
/// of block `counter` under `key`.
void philox(const uint32_t (&counter)[4], const uint32_t (&key)[2], uint32_t (&words)[4]);

/// The quantile of the standard normal distribution, for p in (0, 1), within about 1e-16 relative: Wichura's algorithm
/// AS 241 (PPND16), Applied Statistics 37 (1988).
double normalQuantile(double p);

} // namespace fovea::rt
#endif
