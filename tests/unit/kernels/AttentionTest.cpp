// kernel.attention against the oracle in double: regions, masks, layouts, odd sizes, what must not be seen, and bits.
#include "tests/oracle/Attention.h"
#include "tests/unit/kernels/Harness.h"

#include "doctest/doctest.h"
#include <limits>
#include <map>

using namespace fovea::test;
namespace oracle = fovea::oracle;

namespace {
constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float lowest = std::numeric_limits<float>::lowest();
constexpr int64_t batches = 2, heads = 2, longest = 160;

/// What the regions capture: one value of each for all cases.
struct Captures {
  explicit Captures(int64_t longest = ::longest)
      : bias({longest, longest}), padding({batches, longest}), document({longest}), allowed({longest, longest}),
        blocks({longest, longest}) {}
  Array<float> bias;
  Array<int8_t> padding;
  Array<int64_t> document;
  Array<int8_t> allowed;
  Array<int8_t> blocks; ///< like `allowed`, but most tiles are seen in whole or not at all
};

struct Variant {
  const char *name;
  const char *score; ///< of %s, batch indices %b and %h, query %t, key %j; yields
  const char *mask;  ///< may be empty
  bool lse = false, sinks = false, softmax = true;
  double slope = 1;
  std::function<double(Captures &, double s, int64_t t, int64_t j)> scoreOf;
  std::function<bool(Captures &, int64_t b, int64_t t, int64_t j)> visible;
};

const char *const scaled = R"(
    %scale = arith.constant 0.25 : f32
    %y = arith.mulf %s, %scale : f32
    kernel.yield %y : f32)";
double timesQuarter(Captures &, double s, int64_t, int64_t) { return s * 0.25; }

const std::vector<Variant> &variants() {
  static const std::vector<Variant> all = {
      {"scale", scaled, "", true, false, true, 0.25, timesQuarter, nullptr},
      {"division, sinks", R"(
    %four = arith.constant 4.0 : f32
    %y = arith.divf %s, %four : f32
    kernel.yield %y : f32)",
       "", true, true, true, 0.25, timesQuarter, nullptr},
      {"causal with an offset", scaled, R"(
    %three = arith.constant 3 : index
    %last = arith.addi %t, %three : index
    %see = arith.cmpi sle, %j, %last : index
    kernel.yield %see : i1)",
       true, false, true, 0.25, timesQuarter, [](Captures &, int64_t, int64_t t, int64_t j) { return j <= t + 3; }},
      {"padding, sinks", scaled, R"(
    %see = kernel.load %padding[%b, %j] : memref<?x?xi8> -> i1
    kernel.yield %see : i1)",
       true, true, true, 0.25, timesQuarter,
       [](Captures &c, int64_t b, int64_t, int64_t j) { return c.padding.at(b, j) != 0; }},
      {"bias, window, padding", R"(
    %scale = arith.constant 0.25 : f32
    %y = arith.mulf %s, %scale : f32
    %x = kernel.load %bias[%t, %j] : memref<?x?xf32> -> f32
    %z = arith.addf %y, %x : f32
    kernel.yield %z : f32)",
       R"(
    %nine = arith.constant 9 : index
    %from = arith.subi %t, %nine : index
    %before = arith.cmpi sge, %t, %j : index
    %after = arith.cmpi sle, %from, %j : index
    %window = arith.andi %before, %after : i1
    %pad = kernel.load %padding[%b, %j] : memref<?x?xi8> -> i1
    %see = arith.andi %window, %pad : i1
    kernel.yield %see : i1)",
       true, false, true, 0.25, [](Captures &c, double s, int64_t t, int64_t j) { return s * 0.25 + c.bias.at(t, j); },
       [](Captures &c, int64_t b, int64_t t, int64_t j) { return j <= t && j >= t - 9 && c.padding.at(b, j); }},
      {"transposed bias, documents, sinks", R"(
    %x = kernel.load %bias[%j, %t] : memref<?x?xf32> -> f32
    %z = arith.addf %s, %x : f32
    kernel.yield %z : f32)",
       R"(
    %mine = kernel.load %document[%t] : memref<?xi64> -> i64
    %its = kernel.load %document[%j] : memref<?xi64> -> i64
    %see = arith.cmpi eq, %mine, %its : i64
    kernel.yield %see : i1)",
       true, true, true, 1, [](Captures &c, double s, int64_t t, int64_t j) { return s + c.bias.at(j, t); },
       [](Captures &c, int64_t, int64_t t, int64_t j) { return c.document[t] == c.document[j]; }},
      {"any mask, by query and key", scaled, R"(
    %see = kernel.load %allowed[%t, %j] : memref<?x?xi8> -> i1
    kernel.yield %see : i1)",
       true, false, true, 0.25, timesQuarter,
       [](Captures &c, int64_t, int64_t t, int64_t j) { return c.allowed.at(t, j) != 0; }},
      {"a mask of blocks", scaled, R"(
    %see = kernel.load %blocks[%t, %j] : memref<?x?xi8> -> i1
    kernel.yield %see : i1)",
       true, false, true, 0.25, timesQuarter,
       [](Captures &c, int64_t, int64_t t, int64_t j) { return c.blocks.at(t, j) != 0; }},
      {"bias, a mask of blocks or near, sinks", R"(
    %x = kernel.load %bias[%t, %j] : memref<?x?xf32> -> f32
    %z = arith.addf %s, %x : f32
    kernel.yield %z : f32)",
       R"(
    %d = arith.subi %t, %j : index
    %n = math.absi %d : index
    %w = arith.constant 5 : index
    %near = arith.cmpi sle, %n, %w : index
    %block = kernel.load %blocks[%t, %j] : memref<?x?xi8> -> i1
    %see = arith.ori %near, %block : i1
    kernel.yield %see : i1)",
       true, true, true, 1, [](Captures &c, double s, int64_t t, int64_t j) { return s + c.bias.at(t, j); },
       [](Captures &c, int64_t, int64_t t, int64_t j) {
         return (t > j ? t - j : j - t) <= 5 || c.blocks.at(t, j) != 0;
       }},
      {"soft cap, not the diagonal", R"(
    %cap = arith.constant 3.0 : f32
    %x = arith.divf %s, %cap : f32
    %y = math.tanh %x : f32
    %z = arith.mulf %y, %cap : f32
    kernel.yield %z : f32)",
       R"(
    %true = arith.constant true
    %same = arith.cmpi eq, %t, %j : index
    %see = arith.xori %same, %true : i1
    kernel.yield %see : i1)",
       false, false, true, 1, [](Captures &, double s, int64_t, int64_t) { return 3 * std::tanh(s / 3); },
       [](Captures &, int64_t, int64_t t, int64_t j) { return t != j; }},
      {"pointwise", R"(
    %one = arith.constant 1.0 : f32
    %n = arith.negf %s : f32
    %e = math.exp %n : f32
    %d = arith.addf %e, %one : f32
    %z = arith.divf %one, %d : f32
    kernel.yield %z : f32)",
       R"(
    %see = arith.cmpi sle, %j, %t : index
    kernel.yield %see : i1)",
       false, false, false, 1, [](Captures &, double s, int64_t, int64_t) { return 1 / (1 + std::exp(-s)); },
       [](Captures &, int64_t, int64_t t, int64_t j) { return j <= t; }},
      {"pointwise scale", scaled, "", false, false, false, 0.25, timesQuarter, nullptr},
  };
  return all;
}

enum class Layout { contiguous, headsInside, columnsApart };
std::vector<int64_t> stridesOf(Layout layout, int64_t rows, int64_t columns) {
  if (layout == Layout::contiguous)
    return {heads * rows * columns, rows * columns, columns, 1};
  if (layout == Layout::headsInside) // [B, T, H * D]
    return {heads * rows * columns, columns, heads * columns, 1};
  return {heads * rows * columns, rows * columns, 1, rows};
}
const char *typeOf(Layout layout) {
  switch (layout) {
  case Layout::contiguous:
    return "memref<?x?x?x?xf32>";
  case Layout::headsInside:
    return "memref<?x?x?x?xf32, strided<[?, ?, ?, 1], offset: ?>>";
  default:
    return "memref<?x?x?x?xf32, strided<[?, ?, ?, ?], offset: ?>>";
  }
}

std::string text(const Variant &v, Layout layout) {
  std::string x = typeOf(layout), mask = v.mask;
  return "kernel.func @f(%Q: " + x + ", %K: " + x + ", %V: " + x + ", %out: " + x +
         ", %lse: memref<?x?x?xf32>, %sinks: memref<?x?xf32>, %bias: memref<?x?xf32>, %padding: memref<?x?xi8>, "
         "%document: memref<?xi64>, %allowed: memref<?x?xi8>, %blocks: memref<?x?xi8>) {\n kernel.attention q(%Q) "
         "k(%K) v(%V) out(%out)" +
         (v.lse ? " lse(%lse)" : "") + (v.sinks ? " sinks(%sinks)" : "") +
         " score {\n ^bb0(%s: f32, %b: index, %h: index, %t: index, %j: index):" + v.score + "\n } mask {" +
         (mask.empty() ? "" : "\n ^bb0(%b: index, %h: index, %t: index, %j: index):" + mask) + "\n } " +
         (v.softmax ? "" : "{normalizer = \"pointwise\"} ") + ": " + x + ", " + x + ", " + x + ", " + x +
         (v.lse ? " lse memref<?x?x?xf32>" : "") + (v.sinks ? " sinks memref<?x?xf32>" : "") + "\n kernel.return\n}";
}

/// Inputs and outputs of one size.
struct Problem {
  Problem(Layout layout, int64_t t, int64_t s, int64_t d, int64_t e, uint64_t seed)
      : q({batches, heads, t, d}, stridesOf(layout, t, d), 0.0f), k({batches, heads, s, d}, stridesOf(layout, s, d), 0),
        v({batches, heads, s, e}, stridesOf(layout, s, e), 0), out({batches, heads, t, e}, stridesOf(layout, t, e), -7),
        lse({batches, heads, t}, -7.0f), sinks({batches, heads}), captures(std::max(longest, s)) {
    int64_t longest = captures.document.size();
    Random random(seed);
    random.fill(q, -2, 2), random.fill(k, -2, 2), random.fill(v, -2, 2), random.fill(sinks, -2, 2);
    random.fill(captures.bias, -2, 2);
    for (int64_t i = 0; i < captures.padding.size(); ++i)
      captures.padding[i] = i < longest ? random.below(4) != 0 : i < longest + 20; // two blocks hidden in batch 1
    for (int64_t i = 0; i < longest; ++i)
      captures.document[i] = i / 37;
    for (int64_t i = 0; i < captures.allowed.size(); ++i)
      captures.allowed[i] = random.below(3) ? int8_t(random.below(127) + 1) : int8_t(0); // anything but 0 is true
    for (int64_t t = 0; t < longest; ++t)
      for (int64_t j = 0; j < longest; ++j) {
        int64_t kind = (t / 48 * 7 + j / 32 * 5) % 3;
        captures.blocks.at(t, j) = kind == 2 ? int8_t(random.below(2)) : int8_t(kind);
      }
  }
  std::vector<Argument> arguments() {
    return {q,
            k,
            v,
            out,
            lse,
            sinks,
            captures.bias,
            captures.padding,
            captures.document,
            captures.allowed,
            captures.blocks};
  }
  Array<float> q, k, v, out, lse, sinks;
  Captures captures;
};

/// Rows of one batch index as doubles.
std::vector<double> dense(Array<float> &x, int64_t b, int64_t h) {
  std::vector<double> result;
  for (int64_t i = 0; i < x.sizes[2]; ++i)
    for (int64_t c = 0; c < x.sizes[3]; ++c)
      result.push_back(x.at(b, h, i, c));
  return result;
}

oracle::AttentionRow oracleRow(const Variant &variant, Problem &p, int64_t b, int64_t h) {
  oracle::AttentionRow row;
  row.keys = p.k.sizes[2], row.headSize = p.q.sizes[3], row.valueSize = p.v.sizes[3];
  row.slope = variant.slope;
  row.softmax = variant.softmax;
  if (variant.sinks)
    row.sink = p.sinks.at(b, h);
  return row;
}

void check(Kernels &kernels, const Variant &variant, Problem &p, int64_t chunk = 1) {
  CAPTURE(variant.name);
  CAPTURE(p.q.sizes[2]);
  CAPTURE(p.k.sizes[2]);
  CAPTURE(p.q.sizes[3]);
  CAPTURE(p.v.sizes[3]);
  kernels.run("f", p.arguments(), chunk, chunk % 2);
  int64_t wrong = 0;
  for (int64_t b = 0; b < batches; ++b)
    for (int64_t h = 0; h < heads; ++h) {
      oracle::AttentionRow row = oracleRow(variant, p, b, h);
      std::vector<double> q = dense(p.q, b, h), k = dense(p.k, b, h), v = dense(p.v, b, h);
      row.k = k.data(), row.v = v.data();
      for (int64_t t = 0; t < p.q.sizes[2]; ++t) {
        row.q = q.data() + t * row.headSize;
        row.score = [&](double s, int64_t j) { return double(float(variant.scoreOf(p.captures, s, t, j))); };
        row.visible = [&](int64_t j) { return !variant.visible || variant.visible(p.captures, b, t, j); };
        oracle::AttentionResult want = oracle::attention(row);
        for (int64_t c = 0; c < p.v.sizes[3]; ++c)
          if (float got = p.out.at(b, h, t, c); !oracle::agrees(got, want.y[c], want.bound[c]) && ++wrong == 1)
            FAIL_CHECK("y at ", b, " ", h, " ", t, " ", c, ": got ", got, ", want ", want.y[c], ", bound ",
                       want.bound[c]);
        if (float got = p.lse.at(b, h, t); variant.lse && !oracle::agrees(got, want.lse, want.lseBound) && ++wrong == 1)
          FAIL_CHECK("lse at ", b, " ", h, " ", t, ": got ", got, ", want ", want.lse);
      }
    }
  CHECK(wrong == 0);
  CHECK(p.out.guardsHold());
  CHECK(p.lse.guardsHold());
}

/// Calls `body` for every variant and target, layouts in turn. Compiled once for all test cases.
void forAll(const std::function<void(Kernels &, const Variant &, Layout)> &body) {
  static std::map<std::pair<const Target *, const Variant *>, std::unique_ptr<Kernels>> compiled;
  int number = 0;
  for (const Target *target : runnableTargets())
    for (const Variant &variant : variants()) {
      Layout layout = Layout(number++ % 3);
      CAPTURE(target->name.str());
      CAPTURE(int(layout));
      std::unique_ptr<Kernels> &kernels = compiled[{target, &variant}];
      if (!kernels)
        kernels = std::make_unique<Kernels>(text(variant, layout), *target);
      body(*kernels, variant, layout);
    }
}
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

TEST_CASE("spans of keys are merged: the oracle's numbers, and the same bits for few and many queries") {
  forAll([](Kernels &kernels, const Variant &variant, Layout layout) {
    for (int64_t s : {1024, 1025, 2111}) {
      Problem many(layout, 19, s, 20, 24, uint64_t(s)), few(layout, 3, s, 20, 24, uint64_t(s));
      many.captures.padding.at(0, s / 3) = 1; // some key is there
      for (int64_t i = 1024; i < s; ++i)      // in batch 1, none of the second span and after
        many.captures.padding.at(1, i) = 0;
      check(kernels, variant, many, 2);
      few.captures = many.captures, few.sinks = many.sinks, few.k = many.k, few.v = many.v;
      for (int64_t b = 0; b < batches; ++b)
        for (int64_t h = 0; h < heads; ++h)
          for (int64_t t = 0; t < 3; ++t)
            for (int64_t c = 0; c < 20; ++c)
              few.q.at(b, h, t, c) = many.q.at(b, h, t, c);
      check(kernels, variant, few);
      bool same = true;
      for (int64_t b = 0; b < batches; ++b)
        for (int64_t h = 0; h < heads; ++h)
          for (int64_t t = 0; t < 3; ++t) {
            for (int64_t c = 0; c < 24; ++c)
              same &= !std::memcmp(&few.out.at(b, h, t, c), &many.out.at(b, h, t, c), sizeof(float));
            same &= !variant.lse || !std::memcmp(&few.lse.at(b, h, t), &many.lse.at(b, h, t), sizeof(float));
          }
      CHECK(same);
    }
    // NaN in the second span, hidden or not.
    Problem p(layout, 5, 1100, 8, 19, 12);
    for (int64_t c = 0; c < 19; ++c)
      p.v.at(0, 0, 1090, c) = std::nanf("");
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

TEST_CASE("keys that a mask hides from all queries are not even read") {
  // Each hides what lies 64 keys and more behind the query, in words that intervals decide for a whole tile.
  for (const char *mask : {R"(
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
    kernel.yield %see : i1)"}) {
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
      std::vector<Argument> arguments = {q,
                                         k,
                                         v,
                                         out,
                                         none,
                                         sinks,
                                         captures.bias,
                                         captures.padding,
                                         captures.document,
                                         captures.allowed,
                                         captures.blocks};
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

TEST_CASE("a row's bits depend on its own query and visible keys alone") {
  for (const Target *target : runnableTargets())
    for (int number : {0, 2, 4}) {
      const Variant &variant = variants()[number];
      CAPTURE(target->name.str());
      CAPTURE(variant.name);
      Kernels kernels(text(variant, Layout::contiguous), *target);
      constexpr int64_t t = 131, s = 150, d = 24, e = 40;
      Problem all(Layout::contiguous, t, s, d, e, 21);
      kernels.run("f", all.arguments(), 3);
      // Fewer queries, the first ones: the narrow variant and every ragged panel among them.
      for (int64_t rows : {1, 3, 4, 7, 16, 17, 33, 66, 100}) {
        Problem part(Layout::contiguous, rows, s, d, e, 21);
        part.captures = all.captures, part.sinks = all.sinks, part.k = all.k, part.v = all.v;
        bool same = true;
        for (int64_t b = 0; b < batches; ++b)
          for (int64_t h = 0; h < heads; ++h)
            std::memcpy(&part.q.at(b, h, 0, 0), &all.q.at(b, h, 0, 0), rows * d * sizeof(float));
        kernels.run("f", part.arguments());
        for (int64_t b = 0; b < batches; ++b)
          for (int64_t h = 0; h < heads; ++h)
            same &= !std::memcmp(&part.out.at(b, h, 0, 0), &all.out.at(b, h, 0, 0), rows * e * sizeof(float)) &&
                    !std::memcmp(&part.lse.at(b, h, 0), &all.lse.at(b, h, 0), rows * sizeof(float));
        CAPTURE(rows);
        CHECK(same);
      }
      // Non-finite values that no key of head 0 shows: the careful way gives the same bits.
      if (variant.visible) {
        Problem poisoned(Layout::contiguous, t, s, d, e, 21);
        for (int64_t c = 0; c < e; ++c)
          poisoned.v.at(0, 0, s - 1, c) = std::nanf("");
        kernels.run("f", poisoned.arguments());
        bool same = true;
        for (int64_t row = 0; row < t; ++row)
          if (!variant.visible(all.captures, 0, row, s - 1))
            same &= !std::memcmp(&poisoned.out.at(0, 0, row, 0), &all.out.at(0, 0, row, 0), e * sizeof(float));
        CHECK(same);
      }
    }
}

TEST_CASE("heads that share keys and values have the bits of heads with copies of them") {
  for (const Target *target : runnableTargets())
    for (int number : {1, 3, 4}) {
      const Variant &variant = variants()[number];
      CAPTURE(target->name.str());
      CAPTURE(variant.name);
      std::string copies = text(variant, Layout::headsInside), shared = copies;
      const std::string type = typeOf(Layout::headsInside),
                        repeated = "memref<?x?x?x?xf32, strided<[?, 0, ?, 1], offset: ?>>";
      for (const char *operand : {"%K: ", "%V: "})
        shared.replace(shared.find(operand) + 4, type.size(), repeated);
      // The op's own list of types: q, k, v, out.
      size_t ofKeys = shared.rfind(type + ", " + type + ", " + type + ", " + type) + type.size() + 2;
      for (size_t at : {ofKeys, ofKeys + repeated.size() + 2})
        shared.replace(at, type.size(), repeated);
      Kernels withCopies(copies, *target), withShared(shared, *target);
      for (int64_t queries : {1, 2, 3, 5, 8, 40}) {
        constexpr int64_t keys = 131, d = 24, e = 40;
        Problem p(Layout::headsInside, queries, keys, d, e, 5), q(Layout::headsInside, queries, keys, d, e, 5);
        Array<float> k({batches, heads, keys, d}, {keys * d, 0, d, 1}, 0),
            v({batches, heads, keys, e}, {keys * e, 0, e, 1}, 0);
        for (int64_t b = 0; b < batches; ++b)
          for (int64_t h = 0; h < heads; ++h)
            for (int64_t j = 0; j < keys; ++j) {
              for (int64_t c = 0; c < d; ++c)
                p.k.at(b, h, j, c) = k.at(b, h, j, c) = p.k.at(b, 0, j, c);
              for (int64_t c = 0; c < e; ++c)
                p.v.at(b, h, j, c) = v.at(b, h, j, c) = p.v.at(b, 0, j, c);
            }
        withCopies.run("f", p.arguments(), 2);
        std::vector<Argument> arguments = q.arguments();
        arguments[1] = k, arguments[2] = v;
        withShared.run("f", arguments, 3, /*backwards=*/true);
        CAPTURE(queries);
        CHECK(p.out == q.out);
        CHECK((!variant.lse || p.lse == q.lse));
      }
    }
}

/// Columns [first, first + count) of a tensor, laid out anew.
static Array<float> columnsOf(Array<float> &x, Layout layout, int64_t first, int64_t count) {
  Array<float> part({batches, heads, x.sizes[2], count}, stridesOf(layout, x.sizes[2], count), 0);
  for (int64_t b = 0; b < batches; ++b)
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t row = 0; row < x.sizes[2]; ++row)
        for (int64_t c = 0; c < count; ++c)
          part.at(b, h, row, c) = x.at(b, h, row, first + c);
  return part;
}

TEST_CASE("features in parts have the bits of features that are joined") {
  for (const Target *target : runnableTargets())
    for (auto [number, layout] :
         {std::pair(1, Layout::contiguous), std::pair(4, Layout::headsInside), std::pair(10, Layout::columnsApart)}) {
      const Variant &variant = variants()[number];
      CAPTURE(target->name.str());
      CAPTURE(variant.name);
      std::string joined = text(variant, layout), parts = joined;
      const std::string type = typeOf(layout), apart = typeOf(Layout::columnsApart);
      const std::string keys = "k(%K)", arguments = "%K: " + type + ", ";
      parts.replace(parts.find(keys), keys.size(),
                    keys + " joined(%Q1, %Q2 : " + type + ", " + apart + " by %K1, %K2 : " + type + ", " + apart + ")");
      parts.insert(parts.find(arguments) + arguments.size(),
                   "%Q1: " + type + ", %K1: " + type + ", %Q2: " + apart + ", %K2: " + apart + ", ");
      Kernels withJoined(joined, *target), withParts(parts, *target);
      constexpr int64_t depths[][3] = {{16, 4, 8}, {1, 5, 18}, {17, 1, 1}, {24, 0, 3}, {3, 40, 16}};
      for (const auto &depth : depths)
        for (auto [queries, keyCount] : {std::pair(1, 131), std::pair(3, 64), std::pair(8, 150), std::pair(70, 131)}) {
          int64_t d = depth[0] + depth[1] + depth[2], e = 40;
          Problem p(layout, queries, keyCount, d, e, 5), q(layout, queries, keyCount, d, e, 5);
          std::vector<Array<float>> cut;
          int64_t first = 0;
          for (int part = 0; part < 3; ++part) {
            Layout its = part == 2 ? Layout::columnsApart : layout;
            cut.push_back(columnsOf(p.q, its, first, depth[part]));
            cut.push_back(columnsOf(p.k, its, first, depth[part]));
            first += depth[part];
          }
          withJoined.run("f", p.arguments(), 2);
          std::vector<Argument> all = q.arguments();
          all.erase(all.begin(), all.begin() + 2);
          all.insert(all.begin(), cut.begin(), cut.end());
          withParts.run("f", all, 3, /*backwards=*/true);
          CAPTURE(queries);
          CAPTURE(depth[0]);
          CAPTURE(depth[1]);
          CHECK(p.out == q.out);
          CHECK((!variant.lse || p.lse == q.lse));
        }
    }
}
