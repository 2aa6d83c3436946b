#include "runtime/core/Executor.h"

#include "runtime/core/Cpu.h"
#include "runtime/core/Model.h"

#include <inttypes.h>

namespace fovea::rt {

/// Below this much work (arithmetic plus bytes; some microseconds) waking other threads costs more than it gives.
static constexpr int64_t smallestParallelWork = 100'000;
/// A thread takes this part of its share of what is left: large pieces first, single tasks in the end, so that uneven
/// tasks even out (guided self-scheduling: Polychronopoulos and Kuck, 1987) and a cancellation is seen.
static constexpr int64_t partOfShare = 4;

namespace {

/// One launch under way. Pieces are handed out in ascending order; after a failure no piece behind it is begun, but all
/// before it are finished: so the first failure by index is always found, whatever the threads do.
struct Job {
  Executor *executor;
  const fovea_launch *launch;
  int64_t parts; ///< of what is left, one is a piece
  int32_t number;
  int64_t last; ///< task of the job, and one
  std::atomic<int64_t> next;
  std::atomic<int64_t> end;

  void stopBehind(int64_t task) {
    int64_t current = end.load(std::memory_order_relaxed);
    while (task < current && !end.compare_exchange_weak(current, task, std::memory_order_relaxed)) {
    }
  }

  /// The next piece is [begin, until); false where there is none.
  bool take(int64_t &begin, int64_t &until) {
    begin = next.load(std::memory_order_relaxed);
    do {
      if (begin >= end.load(std::memory_order_relaxed))
        return false;
      int64_t piece = (last - begin) / parts;
      until = begin + (piece > 1 ? piece : 1);
    } while (!next.compare_exchange_weak(begin, until, std::memory_order_relaxed));
    return true;
  }

  void work(int32_t thread) {
    bool profiled = executor->profile.enabled();
    int64_t begun = profiled ? nanoseconds() : 0, done = 0;
    unsigned char *scratch = executor->scratch + executor->scratchBytes * thread;
    for (int64_t begin, until; !executor->cancelled.load(std::memory_order_relaxed) && take(begin, until);) {
      done += until - begin;
      if (launch->run(&executor->base, launch->args, begin, until, scratch) != 0) {
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

void serviceDump(fovea_exec *exec, const fovea_origin *origin, int32_t dtype, int32_t rank, const int64_t *layout,
                 const void *data) {
  Executor &executor = executorOf(exec);
  if (rank >= 0 && rank <= FOVEA_MAX_RANK && (executor.see || (executor.dump && origin->path)))
    executor.offer(*origin, dtype, rank, layout, data);
}

/// Whether elements with these strides are row-major without holes.
bool isContiguous(int32_t rank, const int64_t *shape, const int64_t *strides) {
  int64_t expected = 1;
  for (int32_t axis = rank - 1; axis >= 0; --axis) {
    if (shape[axis] != 1 && strides[axis] != expected)
      return false;
    expected *= shape[axis];
  }
  return true;
}

/// Copies elements of `size` bytes of a view to `to`, row-major; returns the end of what was written.
unsigned char *gather(int32_t rank, const int64_t *shape, const int64_t *strides, const unsigned char *from,
                      int64_t size, unsigned char *to) {
  if (rank == 0) {
    memcpy(to, from, static_cast<size_t>(size));
    return to + size;
  }
  for (int64_t i = 0; i < *shape; ++i)
    to = gather(rank - 1, shape + 1, strides + 1, from + i * *strides * size, size, to);
  return to;
}

const fovea_services services = {serviceParallel, serviceFail, serviceDump};

} // namespace

Executor::Executor() : base{&services, 0, 1, nullptr, nullptr, foreseesStreams(), 0} {}

void Executor::use(unsigned char *arena, const ArenaLayout &layout) {
  base.shared = arena + layout.sharedAt;
  scratch = arena + layout.scratchAt;
  scratchBytes = layout.scratchBytes;
}

fovea_code Executor::start(int32_t threads, const fovea_pool *foreign, Memory from, fovea_error *error) {
  memory = from;
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
  auto run = [&](int64_t begin, int64_t end) {
    int64_t tasks = end - begin;
    bool alone = pool.threads() == 1 || tasks == 1 || small;
    int64_t parts = small ? 1 : partOfShare * (alone ? 1 : pool.threads());
    Job job{this, &launch, parts, number, end, {begin}, {end}};
    if (alone)
      job.work(0);
    else
      pool.run([](void *argument, int32_t index) { static_cast<Job *>(argument)->work(index); }, &job);
  };
  run(0, launch.tasks);
  if (launch.finish > 0 && !failed.load(std::memory_order_relaxed) && !cancelled.load(std::memory_order_relaxed))
    run(launch.tasks, launch.tasks + launch.finish);
  if (profile.enabled()) {
    ProfileEvent event = {
        launch.info, {},    launch.path, begun, nanoseconds(), launch.flops, launch.bytes, launch.tasks + launch.finish,
        -1,          number};
    int32_t depth = 0;
    for (const fovea_path *path = base.path; path && depth < ProfileEvent::deepest; path = path->outer)
      event.outer[depth++] = path->name;
    profile.add(event);
  }
  return failed.load(std::memory_order_relaxed) || cancelled.load(std::memory_order_relaxed);
}

void Executor::offer(const fovea_origin &origin, int32_t dtype, int32_t rank, const int64_t *layout, const void *data) {
  fovea_tensor tensor = {dtype, rank, {}, const_cast<void *>(data)};
  int64_t count = 1, size = fovea_dtype_size(dtype);
  for (int32_t i = 0; i < rank; ++i)
    count *= tensor.shape[i] = layout[i];
  Buffer copy;
  if (failed.load() || cancelled.load())
    return;
  if (count && !isContiguous(rank, layout, layout + rank)) {
    if (!copy.allocate(memory, static_cast<size_t>(count * size))) {
      undumped = count * size;
      failed.store(true);
      return;
    }
    gather(rank, layout, layout + rank, static_cast<const unsigned char *>(data), size, copy.data());
    tensor.data = copy.data();
  }
  if (see)
    return see(seeUser, origin, base.path, tensor);
  char joined[400];
  fullPath(base.path, origin.path, joined, sizeof(joined));
  dump(dumpUser, joined, &tensor);
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
                  "%s%sindex %" PRId64 " is outside [%" PRId64 ", %" PRId64 "), at element %" PRId64 " of the result",
                  place, colon, failure.value, failure.low, failure.high, failure.index);
    case FOVEA_FAIL_ASSERT:
      return fail(error, FOVEA_RUN_FAILED, "%s%sthe assertion fails at element %" PRId64, place, colon, failure.index);
    case FOVEA_FAIL_DIVIDE_BY_ZERO:
      return fail(error, FOVEA_RUN_FAILED, "%s%sinteger division by zero at element %" PRId64, place, colon,
                  failure.index);
    case FOVEA_FAIL_MESSAGE:
      return fail(error, FOVEA_RUN_FAILED, "%s", place);
    case FOVEA_FAIL_SIZE_OVERFLOW:
      return fail(error, FOVEA_RUN_FAILED, "%s%sa size overflows", place, colon);
    }
    return fail(error, FOVEA_RUN_FAILED, "%s%sfailure %d at element %" PRId64, place, colon, failure.code,
                failure.index);
  }
  if (undumped)
    return outOfMemory(error, "the copy of an intermediate value", undumped);
  if (cancelled.load())
    return fail(error, FOVEA_CANCELLED, "the run was cancelled");
  return fail(error, FOVEA_RUN_FAILED, "the program's code returned %d without saying why", result);
}

fovea_code Executor::run(fovea_entry_fn function, const fovea_frame &frame, fovea_error *error) {
  failure = {};
  failed.store(false);
  undumped = 0;
  info.launches = info.flops = info.bytes = 0;
  base.dumping = dump || see;
  base.path = nullptr;
  int64_t begun = nanoseconds();
  int32_t result = function(&base, &frame);
  info.nanoseconds = nanoseconds() - begun;
  if (result == 0 && !failed.load() && !cancelled.load())
    return FOVEA_OK;
  return status(result, error);
}

} // namespace fovea::rt
