/// Threads that wait for one job at a time: they spin for a moment, then sleep.
#ifndef FOVEA_RUNTIME_CORE_THREADPOOL_H
#define FOVEA_RUNTIME_CORE_THREADPOOL_H

#include "runtime/core/Memory.h"

#include <atomic>
#include <pthread.h>
#include <sched.h>

namespace fovea::rt {

/// Own threads, or the caller's pool. One job at a time, always started from the same thread.
class ThreadPool {
public:
  static constexpr int32_t maxThreads = 1024;

  ThreadPool() = default;
  ThreadPool(const ThreadPool &) = delete;
  ThreadPool &operator=(const ThreadPool &) = delete;
  ~ThreadPool() { stop(); }

  /// `threads` count the calling one; 0 means as many as the process may use. With `foreign`, which is copied, no
  /// thread is made.
  fovea_code start(int32_t threads, const fovea_pool *foreign, Memory memory, fovea_error *error);
  void stop();

  /// Calls job(argument, i) once for every i in [0, threads()), i = 0 on the calling thread, and waits for all.
  void run(void (*job)(void *argument, int32_t index), void *argument);

  int32_t threads() const { return count; }

private:
  struct Worker {
    pthread_t thread;
    ThreadPool *pool;
    int32_t index;
    bool isPlaced = false; ///< begins on one processor, and may then go to all of the pool's
  };
  /// Starts a worker, on a processor of its own if `current`, the caller's, is known. 0, or an error's number.
  int create(Worker &worker, int32_t current);
  static void *work(void *worker);
  uint32_t waitForJob(uint32_t seen);

  int32_t count = 1;
  bool isForeign = false;
  fovea_pool foreign = {};
  Array<Worker> workers;
  cpu_set_t processors;                   ///< that the thread which started the pool may use
  void (*job)(void *, int32_t) = nullptr; // null: the workers end
  void *argument = nullptr;
  // On lines of their own: workers poll the first, the caller the second.
  alignas(64) std::atomic<uint32_t> generation{0};
  std::atomic<uint32_t> sleepers{0};
  alignas(64) std::atomic<uint32_t> pending{0};
  std::atomic<uint32_t> callerSleeps{0};
};

} // namespace fovea::rt
#endif
