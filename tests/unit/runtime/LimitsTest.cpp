#include "runtime/main/Limits.h"

#include <doctest/doctest.h>

using namespace fovea::rt;

TEST_CASE("limits: rates of one thread and of two are positive and of this world") {
  for (int32_t threads : {1, 2}) {
    Limits limits;
    fovea_error error = {};
    REQUIRE(limits.start(threads, &error) == FOVEA_OK);
    double operations = limits.operations(0.002), small = limits.reading(64 << 10, 0.002),
           odd = limits.reading(12345, 0.002);
    // A busy or emulated machine may be slow; no core does more than 2 x 16 multiply-adds and loads 128 bytes a cycle.
    for (double rate : {operations, small, odd})
      CHECK(rate > 1e5);
    CHECK(operations < threads * 64 * 10e9);
    CHECK(small < threads * 128 * 10e9);
    CHECK(limits.reading(0, 0.002) == 0);
    for (int bytes : {1, 2}) {
      double dots = limits.dotProducts(bytes, 0.002);
      CHECK(dots > 1e5);
      CHECK(dots < threads * 64 * (4 / bytes) * 10e9);
    }
  }
}

TEST_CASE("limits: what is larger is further away; two threads have two second levels") {
  int last = 2;
  for (double bytes = 1; bytes < 1e15; bytes *= 2) {
    int level = memoryLevel(bytes, 1);
    CHECK(level >= last);
    CHECK(memoryLevel(bytes, 2) <= level);
    last = level;
  }
  CHECK(last == 4);
}
