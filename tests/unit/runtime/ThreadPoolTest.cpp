#include "runtime/core/ThreadPool.h"
#include "runtime/core/Cpu.h"

#include <doctest/doctest.h>
#include <unistd.h>

using namespace fovea::rt;

TEST_CASE("pool: every index runs once, the first on the caller; threads run at the same time") {
  for (int32_t threads : {1, 2, 3, 8}) {
    ThreadPool pool;
    fovea_error error = {};
    REQUIRE(pool.start(threads, nullptr, {}, &error) == FOVEA_OK);
    REQUIRE(pool.threads() == threads);
    struct Seen {
      std::atomic<int> runs[8] = {};
      std::atomic<int> inside{0};
      int32_t threads;
      pthread_t caller;
      bool onCaller = false;
    } seen;
    seen.threads = threads;
    seen.caller = pthread_self();
    for (int round = 0; round < 300; ++round) {
      seen.inside = 0;
      pool.run(
          [](void *argument, int32_t index) {
            auto &seen = *static_cast<Seen *>(argument);
            ++seen.runs[index];
            if (index == 0)
              seen.onCaller = pthread_equal(seen.caller, pthread_self());
            ++seen.inside;
            while (seen.inside < seen.threads) // ends only where all are in here together
              usleep(0);
          },
          &seen);
      if (round % 100 == 0)
        usleep(2000); // long enough for the workers to fall asleep
    }
    CHECK(seen.onCaller);
    for (int32_t i = 0; i < threads; ++i)
      CHECK(seen.runs[i] == 300);
  }
}

TEST_CASE("pool: threads begin on processors of their own, and may use all that the caller may") {
  auto after = [](std::initializer_list<int> allowed, int32_t current, int32_t n) {
    cpu_set_t set;
    CPU_ZERO(&set);
    for (int processor : allowed)
      CPU_SET(static_cast<size_t>(processor), &set);
    return processorAfter(set, current, n);
  };
  CHECK(after({0, 1}, 0, 1) == 1);
  CHECK(after({0, 1}, 1, 1) == 0);
  CHECK(after({3, 5, 900}, 5, 1) == 900);
  CHECK(after({3, 5, 900}, 5, 2) == 3);
  CHECK(after({3, 5, 900}, 4, 3) == 3); // the caller has moved away since
  CHECK(after({3, 5, 900}, 5, 3) == -1);
  CHECK(after({7}, 7, 1) == -1);

  cpu_set_t allowed;
  REQUIRE(sched_getaffinity(0, sizeof(allowed), &allowed) == 0);
  for (int32_t threads : {2, CPU_COUNT(&allowed), CPU_COUNT(&allowed) + 1}) {
    ThreadPool pool;
    fovea_error error = {};
    REQUIRE(pool.start(threads, nullptr, {}, &error) == FOVEA_OK);
    struct Seen {
      cpu_set_t allowed;
      std::atomic<int> others{0};
    } seen{allowed};
    pool.run(
        [](void *argument, int32_t) {
          auto &seen = *static_cast<Seen *>(argument);
          cpu_set_t own;
          if (sched_getaffinity(0, sizeof(own), &own) != 0 || !CPU_EQUAL(&own, &seen.allowed))
            ++seen.others;
        },
        &seen);
    CHECK(seen.others == 0);
  }
}

TEST_CASE("pool: impossible numbers of threads are a status") {
  ThreadPool pool;
  fovea_error error = {};
  CHECK(pool.start(-1, nullptr, {}, &error) == FOVEA_INVALID_ARGUMENT);
  CHECK(pool.start(100000, nullptr, {}, &error) == FOVEA_INVALID_ARGUMENT);
  fovea_pool bad = {0, 0, nullptr, nullptr};
  CHECK(pool.start(0, &bad, {}, &error) == FOVEA_INVALID_ARGUMENT);
  CHECK(pool.threads() == 1);
}
