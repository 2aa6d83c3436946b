/// What the machine can do at most, measured: f32 multiply-adds in registers, and reading memory of a given size.
#ifndef FOVEA_RUNTIME_MAIN_LIMITS_H
#define FOVEA_RUNTIME_MAIN_LIMITS_H

#include "runtime/core/ThreadPool.h"

namespace fovea::rt {

/// Measures with some threads at once. Each figure is the best of many short windows, so that neighbours on a busy
/// machine lower it as little as possible.
class Limits {
public:
  /// Makes the threads beside the calling one.
  fovea_code start(int32_t threads, fovea_error *error) { return pool.start(threads, nullptr, Memory(), error); }

  /// f32 operations a second of all threads together, measured for about `seconds`: independent chains of multiply-adds
  /// in the widest registers (multiplications and additions where there is no FMA).
  double operations(double seconds);

  /// The same of dot products of numbers of so many bytes: bf16 (2), or bytes (1), by the instruction for them; where
  /// there is none operations().
  double dotProducts(int bytes, double seconds);

  /// Bytes a second that all threads together read with, each its part of `bytes`, again and again for about `seconds`.
  /// 0 where there is no memory for it.
  double reading(size_t bytes, double seconds);

  int32_t threads() const { return pool.threads(); }

private:
  ThreadPool pool;
};

/// Bytes of a cache (level 2 or 3) of the first processor; 0 where it is not known.
double cacheBytes(int level);

/// Everything at once, in about 0.2 s: for profiles.
fovea_code measureLimits(int32_t threads, fovea_limits &out, fovea_error *error);

/// The level of memory that holds `bytes`: 2 or 3 for a cache of `threads` processors, 4 for what is behind them.
int memoryLevel(double bytes, int32_t threads);

} // namespace fovea::rt
#endif
