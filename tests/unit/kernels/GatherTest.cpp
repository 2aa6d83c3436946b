// Indices that are data, masks and checks: kernel.map where lanes differ in what they touch.
#include "tests/unit/kernels/Harness.h"

#include "doctest/doctest.h"

using namespace fovea::test;

static const char *const gatherText = R"(
// Rows of a table: the index is the same along the lanes.
kernel.func @embed(%w: memref<?x?xf32>, %ids: memref<?xi64>, %y: memref<?x?xf32>, %n: index, %d: index) {
  %c0 = arith.constant 0 : index
  %v = memref.dim %w, %c0 : memref<?x?xf32>
  kernel.map in (%n, %d) {
  ^bb0(%i: index, %j: index):
    %id = kernel.load %ids[%i] : memref<?xi64> -> i64
    %r = arith.index_cast %id : i64 to index
    kernel.check 1 %r in [%c0, %v) at "m.fov:3:4"
    %a = kernel.load %w[%r, %j] : memref<?x?xf32> -> f32
    kernel.store %a, %y[%i, %j] : f32, memref<?x?xf32>
    kernel.yield
  }
  kernel.return
}
// Elements of a vector: the index differs from lane to lane.
kernel.func @take(%w: memref<?xf32>, %ids: memref<?xi32>, %y: memref<?xf32>, %n: index) {
  %c0 = arith.constant 0 : index
  %v = memref.dim %w, %c0 : memref<?xf32>
  kernel.map in (%n) {
  ^bb0(%i: index):
    %id = kernel.load %ids[%i] : memref<?xi32> -> i32
    %r = arith.index_cast %id : i32 to index
    kernel.check 1 %r in [%c0, %v) at "m.fov:5:6"
    %a = kernel.load %w[%r] : memref<?xf32> -> f32
    kernel.store %a, %y[%i] : f32, memref<?xf32>
    kernel.yield
  }
  kernel.return
}
// The sum of a row of gathered elements: what is out of range counts as 0, and is reported once.
kernel.func @take_sum(%w: memref<?xf32>, %ids: memref<?x?xi64>, %y: memref<?xf32>, %m: index, %n: index) {
  %c0 = arith.constant 0 : index
  %v = memref.dim %w, %c0 : memref<?xf32>
  kernel.map in (%m, %n) {
  ^bb0(%i: index, %j: index):
    %id = kernel.load %ids[%i, %j] : memref<?x?xi64> -> i64
    %r = arith.index_cast %id : i64 to index
    kernel.check 1 %r in [%c0, %v) at "m.fov:7:8"
    %a = kernel.load %w[%r] : memref<?xf32> -> f32
    %s = kernel.reduce "sum" %a over [1] : f32
    %h = arith.subf %a, %s : f32
    %q = kernel.reduce "sum" %h over [1] : f32
    kernel.store %q, %y[%i] : f32, memref<?xf32>
    kernel.yield
  }
  kernel.return
}
// Two rows one after the other.
kernel.func @concat(%x: memref<?x?xf32>, %y: memref<?x?xf32>, %z: memref<?x?xf32>, %m: index, %a: index, %n: index) {
  kernel.map in (%m, %n) {
  ^bb0(%i: index, %j: index):
    %left = arith.cmpi ult, %j, %a : index
    %right = arith.cmpi uge, %j, %a : index
    %j1 = arith.subi %j, %a : index
    %p = kernel.load %x[%i, %j] if %left : memref<?x?xf32> -> f32
    %q = kernel.load %y[%i, %j1] if %right : memref<?x?xf32> -> f32
    %r = arith.select %left, %p, %q : f32
    kernel.store %r, %z[%i, %j] : f32, memref<?x?xf32>
    kernel.yield
  }
  kernel.return
}
// Every second element from the back; the others stay.
kernel.func @scatter(%x: memref<?xf32>, %y: memref<?xf32>, %n: index) {
  kernel.map in (%n) {
  ^bb0(%i: index):
    %c1 = arith.constant 1 : index
    %c2 = arith.constant 2 : index
    %c0 = arith.constant 0 : index
    %p = arith.remui %i, %c2 : index
    %even = arith.cmpi eq, %p, %c0 : index
    %last = arith.subi %n, %c1 : index
    %back = arith.subi %last, %i : index
    %a = kernel.load %x[%i] : memref<?xf32> -> f32
    kernel.store %a, %y[%back] if %even : f32, memref<?xf32>
    kernel.yield
  }
  kernel.return
})";

TEST_CASE("rows of a table by index, and what is outside is reported in order and not read") {
  for (const Target *target : runnableTargets()) {
    Kernels kernels(gatherText, *target);
    for (int64_t d : oddSizes) {
      INFO(target->name.str() << " d " << d);
      Array<float> w({11, d}), y({6, d}, -1.0f);
      Array<int64_t> ids({6});
      for (int64_t i = 0; i < w.size(); ++i)
        w[i] = float(i);
      const int64_t good[] = {0, 10, 3, 3, 7, 1};
      std::copy(good, good + 6, ids.data());
      CHECK(kernels.run("embed", {w, ids, y, 6, d}).empty());
      for (int i = 0; i < 6; ++i)
        for (int j = 0; j < d; ++j)
          CHECK(y.at(i, j) == w.at(good[i], j));
      CHECK(y.guardsHold());
      ids[2] = 11;
      ids[4] = -1;
      std::vector<Failure> failures = kernels.run("embed", {w, ids, y, 6, d});
      REQUIRE(failures.size() == 2);
      CHECK(failures[0].index == 2 * d);
      CHECK(failures[0].value == 11);
      CHECK(failures[0].low == 0);
      CHECK(failures[0].high == 11);
      CHECK(failures[0].code == 1);
      CHECK(failures[0].place == "m.fov:3:4");
      CHECK(failures[1].index == 4 * d);
      CHECK(failures[1].value == -1);
    }
  }
}

TEST_CASE("elements by index, the smallest failing lane first") {
  for (const Target *target : runnableTargets()) {
    Kernels kernels(gatherText, *target);
    for (int64_t n : oddSizes) {
      INFO(target->name.str() << " n " << n);
      Array<float> w({13}), y({n}, -1.0f);
      Array<int32_t> ids({n});
      for (int64_t i = 0; i < 13; ++i)
        w[i] = float(i * i);
      for (int64_t i = 0; i < n; ++i)
        ids[i] = int32_t(i * 5 % 13);
      CHECK(kernels.run("take", {w, ids, y, n}).empty());
      for (int64_t i = 0; i < n; ++i)
        CHECK(y[i] == w[ids[i]]);
      CHECK(y.guardsHold());
      ids[n - 1] = -2147483647;
      ids[n / 2] = 2000000000; // far away: reading it would end the process
      std::vector<Failure> failures = kernels.run("take", {w, ids, y, n});
      REQUIRE(!failures.empty());
      CHECK(failures[0].index == n / 2);
      CHECK(failures[0].value == 2000000000);
      CHECK(failures.size() <= 2);
    }
  }
}

TEST_CASE("gathered rows are summed; a failure is reported by one pass only") {
  for (const Target *target : runnableTargets()) {
    Kernels kernels(gatherText, *target);
    for (int64_t n : {3, 17, 70}) {
      Array<float> w({9}), y({4});
      Array<int64_t> ids({4, n});
      for (int64_t i = 0; i < 9; ++i)
        w[i] = float(i);
      for (int64_t i = 0; i < 4 * n; ++i)
        ids[i] = i % 9;
      ids.at(2, n - 1) = 9;
      std::vector<Failure> failures = kernels.run("take_sum", {w, ids, y, 4, n});
      REQUIRE(failures.size() == 1);
      CHECK(failures[0].index == 2 * n + n - 1);
      for (int i = 0; i < 4; ++i) {
        double sum = 0;
        for (int j = 0; j < n; ++j)
          sum += ids.at(i, j) < 9 ? double(ids.at(i, j)) : 0.0;
        CHECK(y[i] == doctest::Approx(sum - double(n) * sum));
      }
    }
  }
}

TEST_CASE("concatenation reads each side only where it is, scattered stores write only where they may") {
  for (const Target *target : runnableTargets()) {
    Kernels kernels(gatherText, *target);
    for (int64_t a : oddSizes)
      for (int64_t b : {0, 1, 9, 16}) {
        INFO(target->name.str() << " " << a << " + " << b);
        Array<float> x({3, a}, 1.0f), y({3, b}, 2.0f), z({3, a + b}, 7.0f);
        kernels.run("concat", {x, y, z, 3, a, a + b});
        for (int i = 0; i < 3; ++i)
          for (int j = 0; j < a + b; ++j)
            CHECK(z.at(i, j) == (j < a ? 1.0f : 2.0f));
        CHECK(z.guardsHold());
      }
    for (int64_t n : oddSizes) {
      Array<float> x({n}), y({n}, -1.0f);
      for (int64_t i = 0; i < n; ++i)
        x[i] = float(i);
      kernels.run("scatter", {x, y, n});
      for (int64_t i = 0; i < n; ++i)
        CHECK(y[n - 1 - i] == (i % 2 == 0 ? float(i) : -1.0f));
      CHECK(y.guardsHold());
    }
  }
}

static const char *const guardedText = R"(
// One element for all lanes, but only some of them want it; an index that matters only there.
kernel.func @guarded(%s: memref<?xf32>, %ids: memref<?x?xi64>, %y: memref<?x?xf32>, %m: index, %n: index) {
  %c0 = arith.constant 0 : index
  %v = memref.dim %s, %c0 : memref<?xf32>
  kernel.map in (%m, %n) {
  ^bb0(%i: index, %j: index):
    %id = kernel.load %ids[%i, %j] : memref<?x?xi64> -> i64
    %zero = arith.constant 0 : i64
    %want = arith.cmpi sge, %id, %zero : i64
    %r = arith.index_cast %id : i64 to index
    kernel.check 1 %r in [%c0, %v) if %want at "m.fov:9:9"
    %a = kernel.load %s[%r] if %want : memref<?xf32> -> f32
    %b = kernel.load %s[%i] if %want : memref<?xf32> -> f32
    %c = arith.addf %a, %b : f32
    kernel.store %c, %y[%i, %j] : f32, memref<?x?xf32>
    kernel.yield
  }
  kernel.return
})";

TEST_CASE("guards: nothing is read or reported where an element is not wanted") {
  for (const Target *target : runnableTargets()) {
    Kernels kernels(guardedText, *target);
    for (int64_t n : oddSizes) {
      INFO(target->name.str() << " n " << n);
      Array<float> s({3}), y({3, n}), none({0});
      Array<int64_t> ids({3, n});
      for (int64_t i = 0; i < 3; ++i)
        s[i] = float(i + 1);
      for (int64_t i = 0; i < ids.size(); ++i)
        ids[i] = i % 5 - 2; // -2 and -1 are not wanted
      CHECK(kernels.run("guarded", {s, ids, y, 3, n}).empty());
      for (int i = 0; i < 3; ++i)
        for (int j = 0; j < n; ++j)
          CHECK(y.at(i, j) == (ids.at(i, j) < 0 ? 0.0f : s[ids.at(i, j)] + s[i]));
      ids.at(1, n - 1) = 3;
      std::vector<Failure> failures = kernels.run("guarded", {s, ids, y, 3, n});
      REQUIRE(failures.size() == 1);
      CHECK(failures[0].index == n + n - 1);
      CHECK(failures[0].value == 3);
      // Where none is wanted there need be no element at all.
      for (int64_t i = 0; i < ids.size(); ++i)
        ids[i] = -1;
      CHECK(kernels.run("guarded", {none, ids, y, 3, n}).empty());
      for (int64_t i = 0; i < y.size(); ++i)
        CHECK(y[i] == 0);
    }
  }
}

static const char *const headsText = R"(
// [T, H * 32] to [H, T, 32]: the digits of the last axis by 32; by 6 no vector stays whole.
kernel.func @heads(%x: memref<?x96xf32>, %y: memref<3x?x32xf32>, %t: index) {
  %n = arith.constant 96 : index
  kernel.map in (%t, %n) {
  ^bb0(%i: index, %j: index):
    %d = arith.constant 32 : index
    %h = arith.divui %j, %d : index
    %k = arith.remui %j, %d : index
    %a = kernel.load %x[%i, %j] : memref<?x96xf32> -> f32
    kernel.store %a, %y[%h, %i, %k] : f32, memref<3x?x32xf32>
    kernel.yield
  }
  kernel.return
}
kernel.func @sixes(%x: memref<?x96xf32>, %y: memref<16x?x6xf32>, %t: index) {
  %n = arith.constant 96 : index
  kernel.map in (%t, %n) {
  ^bb0(%i: index, %j: index):
    %d = arith.constant 6 : index
    %h = arith.divui %j, %d : index
    %k = arith.remui %j, %d : index
    %a = kernel.load %x[%i, %j] : memref<?x96xf32> -> f32
    kernel.store %a, %y[%h, %i, %k] : f32, memref<16x?x6xf32>
    kernel.yield
  }
  kernel.return
})";

TEST_CASE("digits of an index, whole vectors or not") {
  for (const Target *target : runnableTargets()) {
    Kernels kernels(headsText, *target);
    Array<float> x({5, 96}), y({3, 5, 32}), z({16, 5, 6});
    for (int64_t i = 0; i < x.size(); ++i)
      x[i] = float(i);
    kernels.run("heads", {x, y, 5});
    kernels.run("sixes", {x, z, 5});
    for (int t = 0; t < 5; ++t)
      for (int j = 0; j < 96; ++j) {
        CHECK(y.at(j / 32, t, j % 32) == x.at(t, j));
        CHECK(z.at(j / 6, t, j % 6) == x.at(t, j));
      }
    CHECK(y.guardsHold());
    CHECK(z.guardsHold());
  }
}
