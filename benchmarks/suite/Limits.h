// The machine's own limits, measured in the process that uses them: f32 FMA rate and read bandwidth.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fovea::bench {

double now(); // seconds

/// The widest vectors that this processor has: 16, 8 or 4 floats.
int vectorWidth();

/// GFLOP/s of one core for about `seconds`: independent FMA chains in registers (mul and add where there is no FMA).
double fmaRate(double seconds);

/// GB/s that one core reads a buffer of `bytes` with, again and again for about `seconds`.
double readRate(size_t bytes, double seconds);

} // namespace fovea::bench
