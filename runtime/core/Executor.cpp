#include "runtime/core/Executor.h"

#include <inttypes.h>

namespace fovea::rt {

/// Below this much work (arithmetic plus bytes; some microseconds) waking other threads costs more than it gives.
static constexpr int64_t smallestParallelWork = 100'000;
/// Pieces that a thread takes one after the other, so that uneven tasks even out and a cancellation is seen.
static constexpr int64_t piecesPerThread = 8;

namespace {

/// One launch under way. Pieces are handed out in ascending order; after a failure no piece behind it is begun, but all
/// before it are finished: so the first failure by index is always found, whatever the threads do.
struct Job {
  Executor *executor;
  const fovea_launch *launch;
  int64_t piece;
  int32_t number;
  std::atomic<int64_t> next{0};
  std::atomic<int64_t> end;

  void stopBehind(int64_t task) {
    int64_t current = end.load(std::memory_order_relaxed);
    while (task < current && !end.compare_exchange_weak(current, task, std::memory_order_relaxed)) {
    }
  }

  void work(int32_t thread) {
    bool profiled = executor->profile.enabled();
    int64_t begun = profiled ? nanoseconds() : 0, done = 0;
    unsigned char *scratch = executor->scratch + executor->scratchBytes * thread;
    while (!executor->cancelled.load(std::memory_order_relaxed)) {
      int64_t begin = next.fetch_add(piece, std::memory_order_relaxed);
      if (begin >= end.load(std::memory_order_relaxed))
        break;
      int64_t last = launch->tasks - begin < piece ? launch->tasks : begin + piece;
      done += last - begin;
      if (launch->run(&executor->base, launch->args, begin, last, scratch) != 0) {
        executor->failed.store(true, std::memory_order_relaxed);
        stopBehind(begin);
      }
    }
    if (profiled && done)
      executor->profile.add({launch->info, {}, launch->path, begun, nanoseconds(), 0, 0, done, thread, number});
  }
};

Executor &executorOf(fovea_exec *exec) { return *reinterpret_cast<Executor *>(exec); }

int32_t serviceParallel(fovea_exec *exec, const fovea_launch *launch) { return executorOf(exec).parallel(*launch); }

void serviceFail(fovea_exec *exec, int32_t code, const char *place, int64_t index, int64_t value, int64_t low,
                 int64_t high) {
  executorOf(exec).recordFailure({true, code, place, index, value, low, high});
}

void serviceDump(fovea_exec *exec, const char *path, int32_t dtype, int32_t rank, const int64_t *shape,
                 const void *data) {
  Executor &executor = executorOf(exec);
  if (!executor.dump || executor.failed.load() || rank < 0 || rank > FOVEA_MAX_RANK)
    return;
  fovea_tensor tensor = {dtype, rank, {}, const_cast<void *>(data)};
  for (int32_t i = 0; i < rank; ++i)
    tensor.shape[i] = shape[i];
  char joined[400];
  fullPath(exec->path, path, joined, sizeof(joined));
  executor.dump(executor.dumpUser, joined, &tensor);
}

const fovea_services services = {serviceParallel, serviceFail, serviceDump};

} // namespace

Executor::Executor() : base{&services, 0, 1, nullptr} {}

fovea_code Executor::start(int32_t threads, const fovea_pool *foreign, Memory memory, fovea_error *error) {
  fovea_code code = pool.start(threads, foreign, memory, error);
  base.threads = pool.threads();
  return code;
}

int32_t Executor::parallel(const fovea_launch &launch) {
  if (failed.load(std::memory_order_relaxed) || cancelled.load(std::memory_order_relaxed))
    return 1;
  int32_t number = static_cast<int32_t>(info.launches++);
  info.flops += launch.flops;
  info.bytes += launch.bytes;
  if (launch.tasks <= 0)
    return 0;
  int64_t begun = profile.enabled() ? nanoseconds() : 0;
  int64_t work = launch.flops + launch.bytes;
  bool small = work > 0 && work < smallestParallelWork;
  bool alone = pool.threads() == 1 || launch.tasks == 1 || small;
  int64_t pieces = small ? 1 : piecesPerThread * (alone ? 1 : pool.threads());
  Job job{this, &launch, launch.tasks / pieces > 1 ? launch.tasks / pieces : 1, number, {0}, {launch.tasks}};
  if (small)
    job.piece = launch.tasks;
  if (alone)
    job.work(0);
  else
    pool.run([](void *argument, int32_t index) { static_cast<Job *>(argument)->work(index); }, &job);
  if (profile.enabled()) {
    ProfileEvent event = {launch.info, {}, launch.path, begun, nanoseconds(), launch.flops, launch.bytes, launch.tasks, -1, number};
    int32_t depth = 0;
    for (const fovea_path *path = base.path; path && depth < ProfileEvent::deepest; path = path->outer)
      event.outer[depth++] = path->name;
    profile.add(event);
  }
  return failed.load(std::memory_order_relaxed) || cancelled.load(std::memory_order_relaxed);
}

void Executor::recordFailure(const Failure &found) {
  while (failureLock.exchange(true, std::memory_order_acquire)) {
  }
  if (!failure.found || found.index < failure.index)
    failure = found;
  failureLock.store(false, std::memory_order_release);
  failed.store(true, std::memory_order_relaxed);
}

fovea_code Executor::status(int32_t result, fovea_error *error) const {
  if (failure.found) {
    const char *place = failure.place ? failure.place : "";
    const char *colon = *place ? ": " : "";
    switch (failure.code) {
    case FOVEA_FAIL_INDEX_OUT_OF_RANGE:
      return fail(error, FOVEA_RUN_FAILED,
                  "%s%sindex %" PRId64 " (element %" PRId64 ") is outside [%" PRId64 ", %" PRId64 ")", place, colon,
                  failure.value, failure.index, failure.low, failure.high);
    case FOVEA_FAIL_ASSERT:
      return fail(error, FOVEA_RUN_FAILED, "%s%sthe assertion fails at element %" PRId64, place, colon, failure.index);
    case FOVEA_FAIL_DIVIDE_BY_ZERO:
      return fail(error, FOVEA_RUN_FAILED, "%s%sinteger division by zero at element %" PRId64, place, colon,
                  failure.index);
    case FOVEA_FAIL_SIZE_OVERFLOW:
      return fail(error, FOVEA_RUN_FAILED, "%s%sa size overflows", place, colon);
    }
    return fail(error, FOVEA_RUN_FAILED, "%s%sfailure %d at element %" PRId64, place, colon, failure.code,
                failure.index);
  }
  if (cancelled.load())
    return fail(error, FOVEA_CANCELLED, "the run was cancelled");
  return fail(error, FOVEA_RUN_FAILED, "the program's code returned %d without saying why", result);
}

fovea_code Executor::run(fovea_entry_fn function, const fovea_frame &frame, fovea_error *error) {
  failure = {};
  failed.store(false);
  info.launches = info.flops = info.bytes = 0;
  base.dumping = dump != nullptr;
  base.path = nullptr;
  int64_t begun = nanoseconds();
  int32_t result = function(&base, &frame);
  info.nanoseconds = nanoseconds() - begun;
  if (result == 0 && !failed.load() && !cancelled.load())
    return FOVEA_OK;
  return status(result, error);
}

} // namespace fovea::rt
