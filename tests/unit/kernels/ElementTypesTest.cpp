// What lies in memory and what is computed with: bool, integers, f16 and bf16 in kernel.map.
#include "tests/unit/kernels/Harness.h"

#include "doctest/doctest.h"
#include <bit>
#include <cmath>

using namespace fovea::test;

static const char *const typesText = R"(
kernel.func @compare(%x: memref<?xf32>, %m: memref<?xi8>, %y: memref<?xi8>, %z: memref<?xi64>, %n: index) {
  kernel.map in (%n) {
  ^bb0(%i: index):
    %zero = arith.constant 0.0 : f32
    %a = kernel.load %x[%i] : memref<?xf32> -> f32
    %b = kernel.load %m[%i] : memref<?xi8> -> i1
    %p = arith.cmpf ogt, %a, %zero : f32
    %q = arith.andi %p, %b : i1
    kernel.store %q, %y[%i] : i1, memref<?xi8>
    %t = arith.fptosi %a : f32 to i64
    %w = arith.extui %q : i1 to i64
    %i64 = arith.index_cast %i : index to i64
    %s = arith.muli %t, %i64 : i64
    %r = arith.addi %s, %w : i64
    kernel.store %r, %z[%i] : i64, memref<?xi64>
    kernel.yield
  }
  kernel.return
}
kernel.func @divide(%x: memref<?xi64>, %y: memref<?xi64>, %q: memref<?xi64>, %r: memref<?xi64>, %n: index) {
  kernel.map in (%n) {
  ^bb0(%i: index):
    %a = kernel.load %x[%i] : memref<?xi64> -> i64
    %b = kernel.load %y[%i] : memref<?xi64> -> i64
    %c = arith.divsi %a, %b : i64
    %d = arith.remsi %a, %b : i64
    kernel.store %c, %q[%i] : i64, memref<?xi64>
    kernel.store %d, %r[%i] : i64, memref<?xi64>
    kernel.yield
  }
  kernel.return
}
kernel.func @half(%x: memref<?xf16>, %f: memref<?xf32>, %y: memref<?xf16>, %n: index) {
  kernel.map in (%n) {
  ^bb0(%i: index):
    %a = kernel.load %x[%i] : memref<?xf16> -> f16
    %b = arith.extf %a : f16 to f32
    kernel.store %b, %f[%i] : f32, memref<?xf32>
    %c = arith.truncf %b : f32 to f16
    kernel.store %c, %y[%i] : f16, memref<?xf16>
    kernel.yield
  }
  kernel.return
}
kernel.func @to_half(%f: memref<?xf32>, %y: memref<?xf16>, %z: memref<?xbf16>, %n: index) {
  kernel.map in (%n) {
  ^bb0(%i: index):
    %b = kernel.load %f[%i] : memref<?xf32> -> f32
    %c = arith.truncf %b : f32 to f16
    kernel.store %c, %y[%i] : f16, memref<?xf16>
    %d = arith.truncf %b : f32 to bf16
    kernel.store %d, %z[%i] : bf16, memref<?xbf16>
    kernel.yield
  }
  kernel.return
}
kernel.func @brain(%x: memref<?xbf16>, %f: memref<?xf32>, %n: index) {
  kernel.map in (%n) {
  ^bb0(%i: index):
    %a = kernel.load %x[%i] : memref<?xbf16> -> bf16
    %b = arith.extf %a : bf16 to f32
    kernel.store %b, %f[%i] : f32, memref<?xf32>
    kernel.yield
  }
  kernel.return
}
kernel.func @any_all(%x: memref<?x?xi8>, %y: memref<?xi8>, %z: memref<?xi8>, %s: memref<?xi64>, %m: index, %n: index) {
  kernel.map in (%m, %n) {
  ^bb0(%i: index, %j: index):
    %a = kernel.load %x[%i, %j] : memref<?x?xi8> -> i1
    %p = kernel.reduce "any" %a over [1] : i1
    %q = kernel.reduce "all" %a over [1] : i1
    %w = arith.extui %a : i1 to i64
    %t = kernel.reduce "sum" %w over [1] : i64
    kernel.store %p, %y[%i] : i1, memref<?xi8>
    kernel.store %q, %z[%i] : i1, memref<?xi8>
    kernel.store %t, %s[%i] : i64, memref<?xi64>
    kernel.yield
  }
  kernel.return
})";

TEST_CASE("bools, integers and casts") {
  for (const Target *target : runnableTargets()) {
    Kernels kernels(typesText, *target);
    for (int64_t n : oddSizes) {
      INFO(target->name.str() << " n " << n);
      Array<float> x({n});
      Array<int8_t> m({n}), y({n}, 9);
      Array<int64_t> z({n});
      Random random(n);
      random.fill(x, -100, 100);
      for (int64_t i = 0; i < n; ++i)
        m[i] = int8_t(i % 3 == 0 ? 0 : i); // any value but 0 is true
      kernels.run("compare", {x, m, y, z, n});
      for (int64_t i = 0; i < n; ++i) {
        bool expected = x[i] > 0 && m[i] != 0;
        CHECK(y[i] == expected);
        CHECK(z[i] == int64_t(x[i]) * i + expected);
      }
      CHECK(y.guardsHold());
      CHECK(z.guardsHold());
    }
    Array<float> x({4}, {1}, 0);
    Array<int8_t> m({4}), y({4});
    Array<int64_t> z({4});
    x[1] = 1e30f, x[2] = -INFINITY, x[3] = NAN;
    kernels.run("compare", {x, m, y, z, 4});
    CHECK(z[1] == INT64_MAX);
    CHECK(z[2] == 0); // INT64_MIN * 2 wraps
    CHECK(z[3] == 0);
  }
}

TEST_CASE("integer division never traps, in masked lanes or elsewhere") {
  for (const Target *target : runnableTargets()) {
    Kernels kernels(typesText, *target);
    for (int64_t n : oddSizes) {
      Array<int64_t> x({n}), y({n}), q({n}), r({n});
      Random random(n);
      for (int64_t i = 0; i < n; ++i)
        x[i] = random.below(2001) - 1000, y[i] = random.below(41) - 20;
      if (n > 5)
        x[5] = INT64_MIN, y[5] = -1, y[2] = 0;
      kernels.run("divide", {x, y, q, r, n});
      for (int64_t i = 0; i < n; ++i)
        if (y[i] != 0 && y[i] != -1) {
          CHECK(q[i] == x[i] / y[i]);
          CHECK(r[i] == x[i] % y[i]);
        } else if (y[i] == -1) {
          CHECK(q[i] == int64_t(0 - uint64_t(x[i])));
          CHECK(r[i] == 0);
        }
      CHECK(q.guardsHold());
    }
  }
}

/// The value of an f16, by its definition.
static double halfValue(uint16_t h) {
  int exponent = (h >> 10) & 31, fraction = h & 1023;
  double value = exponent == 31  ? (fraction ? NAN : INFINITY)
                 : exponent == 0 ? std::ldexp(fraction, -24)
                                 : std::ldexp(1024 + fraction, exponent - 25);
  return h & 0x8000 ? -value : value;
}

TEST_CASE("every f16 and bf16 widens exactly, f32 narrows to the nearest even") {
  constexpr int64_t all = 65536;
  Array<uint16_t> bits({all}), back({all});
  Array<float> wide({all});
  for (int64_t i = 0; i < all; ++i)
    bits[i] = uint16_t(i);
  for (const Target *target : runnableTargets()) {
    INFO(target->name.str());
    Kernels kernels(typesText, *target);
    kernels.run("half", {bits, wide, back, all});
    for (int64_t i = 0; i < all; ++i) {
      double exact = halfValue(uint16_t(i));
      CHECK(std::isnan(exact) == std::isnan(wide[i]));
      if (std::isnan(exact))
        continue;
      CHECK(double(wide[i]) == exact);
      CHECK(std::signbit(wide[i]) == std::signbit(exact));
      CHECK(back[i] == i);
    }
    kernels.run("brain", {bits, wide, all});
    for (int64_t i = 0; i < all; ++i)
      if ((i & 0x7fff) <= 0x7f80)
        CHECK(std::bit_cast<uint32_t>(wide[i]) == uint32_t(i) << 16);
    // Around every f16: its neighbours in f32 and the middle to the next one.
    Array<float> x({all * 4});
    Array<uint16_t> y({all * 4}), z({all * 4});
    for (int64_t i = 0; i < all; ++i) {
      float value = float(halfValue(uint16_t(i))), next = float(halfValue(uint16_t(i + 1)));
      x[4 * i] = std::nextafter(value, INFINITY);
      x[4 * i + 1] = std::nextafter(value, -INFINITY);
      x[4 * i + 2] = (value + next) / 2;
      x[4 * i + 3] = std::nextafter(x[4 * i + 2], INFINITY);
    }
    kernels.run("to_half", {x, y, z, all * 4});
    for (int64_t i = 0; i < all * 4; ++i) {
      if (std::isnan(x[i])) {
        CHECK(std::isnan(halfValue(y[i])));
        CHECK((z[i] & 0x7fff) > 0x7f80);
        continue;
      }
      double got = halfValue(y[i]), exact = x[i];
      double below = halfValue(uint16_t(y[i] - 1)), above = halfValue(uint16_t(y[i] + 1));
      if (std::isinf(got)) {
        CHECK(std::fabs(exact) >= 65520);
      } else if (std::isfinite(below) && std::isfinite(above) && (y[i] & 0x7fff) != 0) {
        double error = std::fabs(got - exact), other = std::min(std::fabs(below - exact), std::fabs(above - exact));
        CHECK((error < other || (error == other && y[i] % 2 == 0)));
      }
      uint32_t u = std::bit_cast<uint32_t>(x[i]);
      CHECK(z[i] == uint16_t((u + 0x7fff + ((u >> 16) & 1)) >> 16));
    }
  }
}

TEST_CASE("any, all and counts of bools") {
  for (const Target *target : runnableTargets()) {
    Kernels kernels(typesText, *target);
    for (int64_t n : {0, 1, 5, 16, 33, 97}) {
      INFO(target->name.str() << " n " << n);
      Array<int8_t> x({4, n}), y({4}, 9), z({4}, 9);
      Array<int64_t> s({4});
      for (int64_t j = 0; j < n; ++j)
        x.at(1, j) = 1, x.at(2, j) = j == n - 1, x.at(3, j) = j != n - 1;
      kernels.run("any_all", {x, y, z, s, 4, n});
      for (int i = 0; i < 4; ++i) {
        int64_t count = 0;
        for (int64_t j = 0; j < n; ++j)
          count += x.at(i, j);
        CHECK(y[i] == (count > 0));
        CHECK(z[i] == (count == n));
        CHECK(s[i] == count);
      }
      CHECK(y.guardsHold());
    }
  }
}

/// Narrows `n` f32, a size that is known when the kernel is compiled, to `type`.
static std::string narrowing(const std::string &type, const std::string &n) {
  std::string from = "memref<" + n + "xf32>", to = "memref<" + n + "x" + type + ">";
  return "kernel.func @to_" + type + "(%x: " + from + ", %y: " + to + ") {\n  %n = arith.constant " + n + " : index" +
         R"(
  kernel.map in (%n) {
  ^bb0(%i: index):
    %a = kernel.load %x[%i] : )" +
         from + " -> f32\n    %b = arith.truncf %a : f32 to " + type + "\n    kernel.store %b, %y[%i] : " + type +
         ", " + to + R"(
    kernel.yield
  }
  kernel.return
}
)";
}

TEST_CASE("a last vector that is known to have one lane writes one element") {
  for (int64_t size : {5, 9, 17, 33})
    for (const Target *target : runnableTargets()) {
      INFO(target->name.str() << " n " << size);
      std::string n = std::to_string(size);
      Kernels kernels(narrowing("f16", n) + narrowing("bf16", n), *target);
      Array<float> x({size}, 1);
      Array<uint16_t> y({size}); // behind its last element nothing may be touched
      for (auto [kernel, one] : {std::pair("to_f16", 0x3c00), std::pair("to_bf16", 0x3f80)}) {
        kernels.run(kernel, {x, y});
        for (int64_t i = 0; i < size; ++i)
          CHECK(y[i] == one);
      }
    }
}
