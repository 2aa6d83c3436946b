/// Runs generated functions: what stands behind fovea_exec and its services.
#ifndef FOVEA_RUNTIME_CORE_EXECUTOR_H
#define FOVEA_RUNTIME_CORE_EXECUTOR_H

#include "runtime/core/Profile.h"
#include "runtime/core/ThreadPool.h"

namespace fovea::rt {

struct ArenaLayout;

/// Generated code sees `base`, which must stay first.
struct Executor {
  fovea_exec base;

  ThreadPool pool;
  Profile profile;
  void (*dump)(void *user, const char *path, const fovea_tensor *value) = nullptr;
  void *dumpUser = nullptr;
  /// Sees all values, those without a name too, in place of `dump`. See `watchValues`.
  void (*see)(void *user, const fovea_origin &origin, const fovea_path *path, const fovea_tensor &value) = nullptr;
  void *seeUser = nullptr;
  std::atomic<bool> cancelled{false};

  // Of the run in progress.
  unsigned char *scratch = nullptr;
  int64_t scratchBytes = 0; // per thread
  fovea_run_info info = {};

  struct Failure {
    bool found;
    int32_t code;
    const char *place;
    int64_t index, value, low, high;
  };
  Failure failure = {};
  std::atomic<bool> failureLock{false};
  std::atomic<bool> failed{false};
  int64_t undumped = 0; // bytes of a value for which there was no memory
  Memory memory;

  Executor();

  /// Makes the threads; to be called once.
  fovea_code start(int32_t threads, const fovea_pool *foreign, Memory memory, fovea_error *error);

  /// Where tasks have their memory.
  void use(unsigned char *arena, const ArenaLayout &layout);

  /// Runs a whole entry or prepare step; memory must be set. Turns what it reported into a status.
  fovea_code run(fovea_entry_fn function, const fovea_frame &frame, fovea_error *error);

  int32_t parallel(const fovea_launch &launch);
  /// Hands a value to `see` or `dump`, as a copy where it is not contiguous.
  void offer(const fovea_origin &origin, int32_t dtype, int32_t rank, const int64_t *layout, const void *data);
  void recordFailure(const Failure &found);
  fovea_code status(int32_t result, fovea_error *error) const;
};

} // namespace fovea::rt
#endif
