#include "runtime/core/ThreadPool.h"

#include "runtime/core/Cpu.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace fovea::rt {

/// How long a thread polls before it sleeps. Between two kernels of a run there are microseconds; a sleep costs tens.
static constexpr int64_t spinNanoseconds = 50'000;

static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t));

static void futexWait(std::atomic<uint32_t> &word, uint32_t expected) {
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
}

static void futexWakeAll(std::atomic<uint32_t> &word) {
  syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 0x7FFFFFFF, nullptr, nullptr, 0);
}

static void pauseBriefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

static int64_t now() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<int64_t>(time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

/// Polls until `done` or the time is over.
template <typename Done> static bool spin(Done done) {
  for (int i = 0; i < 64; ++i) {
    if (done())
      return true;
    pauseBriefly();
  }
  int64_t end = now() + spinNanoseconds;
  do {
    for (int i = 0; i < 32; ++i) {
      if (done())
        return true;
      pauseBriefly();
    }
  } while (now() < end);
  return false;
}

fovea_code ThreadPool::start(int32_t threads, const fovea_pool *given, Memory memory, fovea_error *error) {
  if (given) {
    if (given->threads < 1 || given->threads > maxThreads || !given->run)
      return fail(error, FOVEA_INVALID_ARGUMENT, "the pool must have a run function and 1 to %d threads", maxThreads);
    foreign = *given;
    isForeign = true;
    count = given->threads;
    return FOVEA_OK;
  }
  if (threads < 0 || threads > maxThreads)
    return fail(error, FOVEA_INVALID_ARGUMENT, "%d threads: it must be 0 to %d", threads, maxThreads);
  int32_t wanted = threads ? threads : cpuCount() < maxThreads ? cpuCount() : maxThreads;
  workers.setMemory(memory);
  if (!workers.resize(static_cast<size_t>(wanted - 1)))
    return outOfMemory(error, "threads", static_cast<int64_t>(sizeof(Worker)) * wanted);
  sigset_t all, before;
  sigfillset(&all); // signals are the host's: its own threads handle them
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int result = 0;
  bool fits = sched_getaffinity(0, sizeof(processors), &processors) == 0 && wanted <= CPU_COUNT(&processors);
  int32_t current = fits ? sched_getcpu() : -1;
  for (count = 1; count < wanted; ++count) {
    Worker &worker = workers[static_cast<size_t>(count - 1)];
    worker.pool = this;
    worker.index = count;
    if ((result = create(worker, current)) != 0)
      break;
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (result == 0)
    return FOVEA_OK;
  int32_t made = count;
  stop();
  return fail(error, FOVEA_OUT_OF_MEMORY, "can't start thread %d of %d: %s", made + 1, wanted,
              result == EAGAIN ? "the system's limit is reached" : "the system refuses");
}

int ThreadPool::create(Worker &worker, int32_t current) {
  // A new thread begins where its maker runs, and the system takes some milliseconds to move it: short runs are over by
  // then. Where the thread begins is all that is asked for; it may go anywhere afterwards.
  int32_t processor = current < 0 ? -1 : processorAfter(processors, current, worker.index);
  pthread_attr_t attributes;
  if (processor >= 0 && pthread_attr_init(&attributes) == 0) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<size_t>(processor), &one);
    worker.isPlaced = true;
    int result = pthread_attr_setaffinity_np(&attributes, sizeof(one), &one);
    if (result == 0)
      result = pthread_create(&worker.thread, &attributes, work, &worker);
    pthread_attr_destroy(&attributes);
    if (result == 0)
      return 0;
  }
  worker.isPlaced = false; // a sandbox may forbid it
  return pthread_create(&worker.thread, nullptr, work, &worker);
}

void ThreadPool::stop() {
  if (count > 1 && !isForeign) {
    job = nullptr;
    generation.fetch_add(1);
    futexWakeAll(generation);
    for (int32_t i = 0; i < count - 1; ++i)
      pthread_join(workers[static_cast<size_t>(i)].thread, nullptr);
  }
  count = 1;
  isForeign = false;
}

uint32_t ThreadPool::waitForJob(uint32_t seen) {
  if (spin([&] { return generation.load(std::memory_order_acquire) != seen; }))
    return generation.load(std::memory_order_acquire);
  // Either the caller sees this sleeper, or this thread sees the caller's new generation: both are in one total order.
  sleepers.fetch_add(1);
  uint32_t current;
  while ((current = generation.load()) == seen)
    futexWait(generation, seen);
  sleepers.fetch_sub(1);
  return current;
}

void *ThreadPool::work(void *argument) {
  auto *worker = static_cast<Worker *>(argument);
  ThreadPool &pool = *worker->pool;
  if (worker->isPlaced)
    pthread_setaffinity_np(pthread_self(), sizeof(pool.processors), &pool.processors);
  for (uint32_t seen = 0;;) {
    seen = pool.waitForJob(seen);
    if (!pool.job)
      return nullptr;
    pool.job(pool.argument, worker->index);
    if (pool.pending.fetch_sub(1) == 1 && pool.callerSleeps.load())
      futexWakeAll(pool.pending);
  }
}

void ThreadPool::run(void (*newJob)(void *, int32_t), void *newArgument) {
  if (isForeign) {
    foreign.run(foreign.user, count, newJob, newArgument);
    return;
  }
  if (count == 1) {
    newJob(newArgument, 0);
    return;
  }
  job = newJob;
  argument = newArgument;
  pending.store(static_cast<uint32_t>(count - 1));
  generation.fetch_add(1);
  if (sleepers.load())
    futexWakeAll(generation);
  newJob(newArgument, 0);
  if (spin([&] { return pending.load(std::memory_order_acquire) == 0; }))
    return;
  callerSleeps.store(1);
  for (uint32_t left; (left = pending.load()) != 0;)
    futexWait(pending, left);
  callerSleeps.store(0);
}

} // namespace fovea::rt
