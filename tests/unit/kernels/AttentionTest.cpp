// kernel.attention against the oracle in double: regions, masks, layouts, odd sizes, and what must not be seen.
#include "tests/unit/kernels/AttentionProblem.h"

#include "doctest/doctest.h"
#include <limits>

using namespace fovea::test;

namespace {
constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float lowest = std::numeric_limits<float>::lowest();
} // namespace

TEST_CASE("attention agrees with the oracle for all odd sizes") {
  forAll([](Kernels &kernels, const Variant &variant, Layout layout) {
    int64_t number = 0;
    for (int64_t t : oddSizes)
      for (int64_t s : oddSizes) {
        ++number;
        Problem p(layout, t, s, oddSizes[number * 3 % 10], oddSizes[number * 7 % 10], number);
        check(kernels, variant, p, 1 + number % 3);
      }
    Problem p(layout, 131, 150, 64, 40, 1);
    check(kernels, variant, p);
  });
}

TEST_CASE("no keys give 0, no columns and no queries give nothing, an empty head gives equal scores") {
  forAll([](Kernels &kernels, const Variant &variant, Layout layout) {
    for (auto [t, s, d, e] : {std::array<int64_t, 4>{5, 0, 3, 4}, {5, 7, 0, 4}, {17, 20, 3, 0}}) {
      Problem p(layout, t, s, d, e, 3);
      check(kernels, variant, p);
    }
    Problem p(layout, 0, 5, 3, 3, 3);
    CHECK(kernels.tasks("f", p.arguments()) == 0);
  });
}

/// Each hides what lies 64 keys and more behind the query, in words that intervals decide for a whole tile.
static const char *const farKeysHidden[] = {R"(
    %d = arith.subi %t, %j : index
    %n = math.absi %d : index
    %w = arith.constant 40 : index
    %see = arith.cmpi sle, %n, %w : index
    kernel.yield %see : i1)",
                                            R"(
    %c64 = arith.constant 64 : index
    %zero = arith.constant 0 : index
    %one = arith.constant 1 : index
    %d = arith.subi %j, %t : index
    %q = arith.divsi %d, %c64 : index
    %back = arith.muli %q, %c64 : index
    %rest = arith.subi %d, %back : index
    %inexact = arith.cmpi ne, %rest, %zero : index
    %signs = arith.xori %d, %c64 : index
    %below = arith.cmpi slt, %signs, %zero : index
    %down = arith.subi %q, %one : index
    %both = arith.andi %inexact, %below : i1
    %floor = arith.select %both, %down, %q : index
    %see = arith.cmpi sle, %floor, %zero : index
    kernel.yield %see : i1)",
                                            R"(
    %c70 = arith.constant 70 : index
    %c3 = arith.constant 3 : index
    %d = arith.subi %j, %t : index
    %m = arith.remsi %d, %c3 : index
    %near = arith.cmpi slt, %j, %c70 : index
    %x = arith.select %near, %m, %d : index
    %see = arith.cmpi slt, %x, %c3 : index
    kernel.yield %see : i1)",
                                            R"(
    %see = kernel.load %allowed[%t, %j] : memref<?x?xi8> -> i1
    kernel.yield %see : i1)"};

TEST_CASE("keys that a mask hides from all queries are not even read") {
  for (const char *mask : farKeysHidden) {
    CAPTURE(mask);
    for (const Target *target : runnableTargets()) {
      Kernels kernels(text({"", scaled, mask, false, false, true, 0.25, timesQuarter, nullptr}, Layout::contiguous),
                      *target);
      // Behind key 127 memory ends.
      std::vector<int64_t> here = {1, 1, 128, 8};
      Array<float> q({1, 1, 64, 8}, 0.5f), k(here, 0.25f), v(here, 3.0f), out({1, 1, 64, 8}, -7.0f), none({1, 1, 1});
      Array<float> sinks({1, 1});
      Captures captures(512);
      for (int64_t i = 0; i < 512 * 512; ++i)
        captures.allowed[i] = i % 512 < 128;
      std::vector<Argument> arguments = argumentsOf(q, k, v, out, none, sinks, captures);
      constexpr size_t keys = 3 + 2; // after the addresses and the offset: [b, h, keys, d]
      arguments[1].slots[keys] = arguments[2].slots[keys] = 512;
      kernels.run("f", arguments);
      CHECK(out.at(0, 0, 63, 7) == doctest::Approx(3));
    }
  }
}

TEST_CASE("extreme scores neither overflow nor hide keys") {
  forAll([](Kernels &kernels, const Variant &variant, Layout layout) {
    for (int64_t t : {3, 40}) {
      Problem p(layout, t, 97, 16, 17, 9);
      Random random(4);
      for (int64_t i = 0; i < p.q.size(); ++i)
        p.q[i] *= 60;
      for (int64_t i = 0; i < p.captures.bias.size(); ++i)
        p.captures.bias[i] = random.below(3) ? lowest : p.captures.bias[i];
      check(kernels, variant, p);
      for (int64_t i = 0; i < p.captures.bias.size(); ++i) // a row where all are equally hopeless sees all
        p.captures.bias[i] = lowest;
      check(kernels, variant, p);
    }
  });
}

TEST_CASE("hidden keys contribute nothing, not even NaN; visible NaN does") {
  forAll([](Kernels &kernels, const Variant &variant, Layout layout) {
    for (int64_t t : {5, 70}) {
      Problem p(layout, t, 90, 8, 19, 11);
      Random random(6);
      for (int64_t i = 0; i < p.captures.bias.size(); ++i)
        p.captures.bias[i] = random.below(2) ? -infinity : 0.5f;
      check(kernels, variant, p);
      for (int64_t b = 0; b < batches; ++b)
        for (int64_t c = 0; c < 19; ++c) {
          p.v.at(b, 0, 3, c) = std::nanf("");
          p.v.at(b, 0, 71, c) = infinity;
          p.v.at(b, 1, 25, c) = -infinity;
        }
      p.k.at(0, 1, 33, 2) = std::nanf("");
      check(kernels, variant, p);
      for (int64_t i = 0; i < p.captures.padding.size(); ++i) // nobody sees anything
        p.captures.padding[i] = 0;
      check(kernels, variant, p);
    }
  });
}
