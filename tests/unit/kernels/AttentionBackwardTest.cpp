// kernel.attention_backward against gradients in double, point by point: scores, masks, sums of every kind, layouts,
// odd sizes, NaN where nobody looks, and bits.
#include "tests/oracle/AttentionBackward.h"
#include "tests/oracle/Attention.h"
#include "tests/unit/kernels/Harness.h"

#include "doctest/doctest.h"
#include <limits>

using namespace fovea::test;
namespace oracle = fovea::oracle;

namespace {
constexpr int64_t batches = 2, heads = 2;
constexpr float hiddenNaN = std::numeric_limits<float>::quiet_NaN();

enum class Score { Raw, Scaled, Capped, Biased, Sigmoid, Dropped, Gated };
enum class Mask { None, Causal, Padded, Window };
struct Variant {
  const char *name;
  Score score;
  Mask mask;
};
const Variant variants[] = {{"raw", Score::Raw, Mask::None},
                            {"scaled", Score::Scaled, Mask::None},
                            {"causal", Score::Scaled, Mask::Causal},
                            {"padded", Score::Scaled, Mask::Padded},
                            {"window", Score::Raw, Mask::Window},
                            {"capped", Score::Capped, Mask::Causal},
                            {"biased", Score::Biased, Mask::None},
                            {"biased causal", Score::Biased, Mask::Causal},
                            {"biased padded", Score::Biased, Mask::Padded},
                            {"factors", Score::Dropped, Mask::None},
                            {"factors causal", Score::Dropped, Mask::Causal},
                            {"factors with gradients", Score::Gated, Mask::None},
                            {"factors with gradients padded", Score::Gated, Mask::Padded},
                            {"sigmoid", Score::Sigmoid, Mask::None},
                            {"sigmoid causal", Score::Sigmoid, Mask::Causal}};

bool isSoftmax(const Variant &variant) { return variant.score != Score::Sigmoid; }
/// Whether the score region has a second result: 2 or 0; a read of `bias` with a sum.
bool hasFactor(const Variant &variant) { return variant.score == Score::Dropped || variant.score == Score::Gated; }
/// Places of a table that are read by a number without order.
constexpr int64_t buckets = 5;

const char *const place = "%b: index, %h: index, %t: index, %j: index";

/// s * 0.3 + bias[h, t, j] + slope[h] (t - j) + table[t - j + S - 1] + column[j]; each has a sum, the last number is
/// one of each query, of each bucket.
const char *const biasedReads = R"(
    %c = arith.constant 0.3 : f32
    %x0 = arith.mulf %s, %c : f32
    %bias = kernel.load %B[%h, %t, %j] : memref<?x?x?xf32> -> f32
    %x1 = arith.addf %x0, %bias : f32
    %back = arith.subi %t, %j : index
    %i = arith.index_cast %back : index to i64
    %far = arith.sitofp %i : i64 to f32
    %slope = kernel.load %L[%h] : memref<?xf32> -> f32
    %x2 = arith.mulf %slope, %far : f32
    %x3 = arith.addf %x1, %x2 : f32)";

std::string scoreRegion(Score score) {
  switch (score) {
  case Score::Raw:
    return "kernel.yield %s : f32";
  case Score::Scaled:
    return "%c = arith.constant 0.3 : f32\n %x = arith.mulf %s, %c : f32\n kernel.yield %x : f32";
  case Score::Capped:
    return "%c = arith.constant 5.0 : f32\n %x = arith.divf %s, %c : f32\n %y = math.tanh %x : f32\n %z = arith.mulf "
           "%y, %c : "
           "f32\n kernel.yield %z : f32";
  case Score::Biased:
    return std::string(biasedReads) + "\n kernel.yield %x3 : f32";
  case Score::Dropped:
    return R"(%c = arith.constant 0.3 : f32
    %x = arith.mulf %s, %c : f32
    %n3 = arith.constant 3 : index
    %n7 = arith.constant 7 : index
    %m0 = arith.muli %t, %n7 : index
    %m1 = arith.addi %m0, %j : index
    %m2 = arith.remui %m1, %n3 : index
    %n0 = arith.constant 0 : index
    %isLeft = arith.cmpi eq, %m2, %n0 : index
    %double = arith.constant 2.0 : f32
    %none = arith.constant 0.0 : f32
    %f = arith.select %isLeft, %none, %double : f32
    kernel.yield %x, %f : f32, f32)";
  case Score::Gated:
    return R"(%c = arith.constant 0.3 : f32
    %x = arith.mulf %s, %c : f32
    %f = kernel.load %B[%h, %t, %j] : memref<?x?x?xf32> -> f32
    kernel.yield %x, %f : f32, f32)";
  case Score::Sigmoid:
    return "%c = arith.constant 1.0 : f32\n %n = arith.negf %s : f32\n %e = math.exp %n : f32\n %a = arith.addf %c, %e "
           ": f32\n "
           "%x = arith.divf %c, %a : f32\n kernel.yield %x : f32";
  }
  return "";
}

std::string adjointRegion(Score score) {
  switch (score) {
  case Score::Raw:
    return "kernel.yield %g : f32";
  case Score::Scaled:
  case Score::Dropped:
    return "%c = arith.constant 0.3 : f32\n %x = arith.mulf %g, %c : f32\n kernel.yield %x : f32";
  case Score::Gated:
    return "%c = arith.constant 0.3 : f32\n %x = arith.mulf %g, %c : f32\n "
           "kernel.yield %x, %gf, %h, %t, %j : f32, f32, index, index, index";
  case Score::Capped:
    return "%c = arith.constant 5.0 : f32\n %unit = arith.constant 1.0 : f32\n %x = arith.divf %s, %c : f32\n %y = "
           "math.tanh %x : "
           "f32\n %q = arith.mulf %y, %y : f32\n %r = arith.subf %unit, %q : f32\n %z = arith.mulf %g, %r : f32\n "
           "kernel.yield "
           "%z : f32";
  case Score::Biased:
    return std::string(biasedReads) + R"(
    %ds = arith.mulf %g, %c : f32
    %dslope = arith.mulf %g, %far : f32
    %from = arith.addi %back, %shift : index
    %n5 = arith.constant 5 : index
    %n7 = arith.constant 7 : index
    %m0 = arith.muli %t, %n7 : index
    %m1 = arith.muli %j, %j : index
    %m2 = arith.addi %m0, %m1 : index
    %bucket = arith.remui %m2, %n5 : index
    kernel.yield %ds, %g, %h, %t, %j, %dslope, %b, %h, %g, %b, %h, %from, %g, %b, %h, %j, %g, %b, %h, %t, %g, %b, %h, %bucket
      : f32, f32, index, index, index, f32, index, index, f32, index, index, index, f32, index, index, index, f32, index, index, index, f32, index, index, index)";
  case Score::Sigmoid:
    return "%c = arith.constant 1.0 : f32\n %n = arith.negf %s : f32\n %e = math.exp %n : f32\n %a = arith.addf %c, %e "
           ": f32\n "
           "%x = arith.divf %c, %a : f32\n %y = arith.subf %c, %x : f32\n %z = arith.mulf %x, %y : f32\n %d = "
           "arith.mulf %g, %z "
           ": f32\n kernel.yield %d : f32";
  }
  return "";
}

std::string maskRegion(Mask mask) {
  switch (mask) {
  case Mask::None:
    return "";
  case Mask::Causal: // the last query sees the last key
    return "%x = arith.addi %t, %offset : index\n %m = arith.cmpi sle, %j, %x : index\n kernel.yield %m : i1";
  case Mask::Padded:
    return "%m = kernel.load %M[%b, %j] : memref<?x?xi8> -> i1\n kernel.yield %m : i1";
  case Mask::Window:
    return "%w = arith.constant 9 : index\n %x = arith.subi %t, %j : index\n %y = math.absi %x : index\n %m = "
           "arith.cmpi sle, %y, "
           "%w : index\n kernel.yield %m : i1";
  }
  return "";
}

std::string text(const Variant &variant, bool isStrided, const char *element = "f32") {
  std::string x = std::string("memref<?x?x?x?x") + element + (isStrided ? ", strided<[?, ?, ?, ?], offset: ?>>" : ">");
  std::string rows = "memref<?x?x?xf32>", mask = maskRegion(variant.mask);
  bool isBiased = variant.score == Score::Biased;
  bool isGated = variant.score == Score::Gated;
  std::string sums = isBiased ? ", %dB, %dL, %dR, %dC, %dT, %dK" : isGated ? ", %dB" : "";
  std::string types = isBiased  ? ", " + rows + ", memref<?x?xf32>, " + rows + ", " + rows + ", " + rows + ", " + rows
                      : isGated ? ", " + rows
                                : "";
  std::string softmax = isSoftmax(variant) ? " lse(%lse) delta(%delta)" : "";
  return "kernel.func @f(%Q: " + x + ", %K: " + x + ", %V: " + x + ", %lse: " + rows + ", %delta: " + rows +
         ", %G: " + x + ", %dQ: " + x + ", %dKeys: " + x + ", %dV: " + x + ", %M: memref<?x?xi8>, %B: " + rows +
         ", %L: memref<?xf32>, %dB: " + rows + ", %dL: memref<?x?xf32>, %dR: " + rows + ", %dC: " + rows +
         ", %dT: " + rows + ", %dK: " + rows +
         ") {\n %two = arith.constant 2 : index\n %one = arith.constant 1 : index\n %T = memref.dim %Q, %two : " + x +
         "\n %S = memref.dim %K, %two : " + x +
         "\n %offset = arith.subi %S, %T : index\n %shift = arith.subi %S, %one : index\n kernel.attention_backward "
         "q(%Q) k(%K) "
         "v(%V)" +
         softmax + " gradient(%G) into(%dQ, %dKeys, %dV" + sums + ") score {\n ^bb(%s: f32, " + place + "):\n " +
         scoreRegion(variant.score) + "\n } mask {" +
         (mask.empty() ? "" : std::string("\n ^bb(") + place + "):\n " + mask) + "\n } adjoint {\n ^bb(%s: f32, " +
         place + ", %g: f32" + (hasFactor(variant) ? ", %gf: f32" : "") + "):\n " + adjointRegion(variant.score) +
         "\n } {normalizer = \"" + (isSoftmax(variant) ? "softmax" : "pointwise") + "\"} : " + x + ", " + x + ", " + x +
         (isSoftmax(variant) ? " lse " + rows + " delta " + rows : "") + ", " + x + " into " + x + ", " + x + ", " + x +
         types + "\n kernel.return\n}";
}

std::vector<int64_t> stridesOf(bool isStrided, int64_t rows, int64_t columns) {
  if (isStrided) // columns apart
    return {heads * rows * columns, rows * columns, 1, rows};
  return {heads * rows * columns, rows * columns, columns, 1};
}

struct Problem {
  Problem(bool isStrided, int64_t t, int64_t s, int64_t d, int64_t e, uint64_t seed)
      : t(t), s(s), d(d), e(e), q(x(isStrided, t, d)), k(x(isStrided, s, d)), v(x(isStrided, s, e)),
        gradient(x(isStrided, t, e)), dq(x(isStrided, t, d)), dk(x(isStrided, s, d)), dv(x(isStrided, s, e)),
        lse({batches, heads, t}), delta({batches, heads, t}), mask({batches, s}, int8_t(1)), bias({heads, t, s}),
        slopes({heads}), dBias({heads, t, s}, -7), dSlopes({batches, heads}, -7),
        dTable({batches, heads, t + s - 1}, -7), dColumns({batches, heads, s}, -7), dRows({batches, heads, t}, -7),
        dBuckets({batches, heads, buckets}, -7) {
    Random random(seed);
    for (Array<float> *each : {&q, &k, &v, &gradient, &bias, &slopes})
      random.fill(*each, -1, 1);
    for (int64_t b = 0; b < batches; ++b)
      for (int64_t j = 0; j < s; ++j)
        mask.at(b, j) = random.uniform(0, 1) < 0.7;
  }
  static Array<float> x(bool isStrided, int64_t rows, int64_t columns) {
    return Array<float>({batches, heads, rows, columns}, stridesOf(isStrided, rows, columns), -7.0f);
  }
  std::vector<Argument> arguments() {
    return {q,    k,    v,      lse,   delta,   gradient, dq,       dk,    dv,
            mask, bias, slopes, dBias, dSlopes, dTable,   dColumns, dRows, dBuckets};
  }
  std::vector<Array<float> *> results() {
    return {&dq, &dk, &dv, &dBias, &dSlopes, &dTable, &dColumns, &dRows, &dBuckets};
  }
  bool sees(const Variant &variant, int64_t b, int64_t i, int64_t j) {
    switch (variant.mask) {
    case Mask::None:
      return true;
    case Mask::Causal:
      return j <= i + s - t;
    case Mask::Padded:
      return mask.at(b, j);
    case Mask::Window:
      return std::abs(i - j) <= 9;
    }
    return true;
  }
  std::vector<double> dense(Array<float> &from, int64_t b, int64_t h) {
    std::vector<double> result;
    for (int64_t i = 0; i < from.sizes[2]; ++i)
      for (int64_t c = 0; c < from.sizes[3]; ++c)
        result.push_back(from.at(b, h, i, c));
    return result;
  }
  int64_t t, s, d, e;
  Array<float> q, k, v, gradient, dq, dk, dv, lse, delta;
  Array<int8_t> mask;
  Array<float> bias, slopes, dBias, dSlopes, dTable, dColumns, dRows, dBuckets;
};

double scoreOf(Problem &p, Score score, double x, int64_t h, int64_t t, int64_t j) {
  switch (score) {
  case Score::Raw:
    return x;
  case Score::Scaled:
  case Score::Dropped:
  case Score::Gated:
    return double(0.3f) * x;
  case Score::Capped:
    return 5 * std::tanh(x / 5);
  case Score::Biased:
    return double(0.3f) * x + p.bias.at(h, t, j) + double(p.slopes[h]) * double(t - j);
  case Score::Sigmoid:
    return 1 / (1 + std::exp(-x));
  }
  return 0;
}

double slopeOf(Score score, double x) {
  double capped = std::tanh(x / 5), sigmoid = 1 / (1 + std::exp(-x));
  switch (score) {
  case Score::Raw:
    return 1;
  case Score::Scaled:
  case Score::Dropped:
  case Score::Gated:
  case Score::Biased:
    return double(0.3f);
  case Score::Capped:
    return 1 - capped * capped;
  case Score::Sigmoid:
    return sigmoid * (1 - sigmoid);
  }
  return 0;
}

oracle::AttentionBackwardResult want(const Variant &variant, Problem &p, int64_t b, int64_t h) {
  std::vector<double> q = p.dense(p.q, b, h), k = p.dense(p.k, b, h), v = p.dense(p.v, b, h),
                      g = p.dense(p.gradient, b, h);
  oracle::AttentionBackwardHead head{p.t, p.s, p.d, p.e, q.data(), k.data(), v.data(), g.data(), isSoftmax(variant),
                                     {},  {},  {}};
  head.score = [&](double x, int64_t t, int64_t j) { return scoreOf(p, variant.score, x, h, t, j); };
  head.slope = [&](double x, int64_t, int64_t) { return slopeOf(variant.score, x); };
  head.visible = [&](int64_t t, int64_t j) { return p.sees(variant, b, t, j); };
  if (hasFactor(variant))
    head.factor = [&](int64_t t, int64_t j) {
      return variant.score == Score::Gated ? double(p.bias.at(h, t, j)) : (t * 7 + j) % 3 == 0 ? 0.0 : 2.0;
    };
  return oracle::attentionBackward(head);
}

/// Sums that a test adds up in the order of nothing in particular: n terms are off by n roundings of their sizes.
struct Total {
  std::vector<oracle::Bounded> sums;
  std::vector<double> sizes;
  explicit Total(int64_t count) : sums(count), sizes(count) {}
  void add(int64_t i, const oracle::Bounded &x, double factor = 1) {
    sums[i].value += x.value * factor, sums[i].bound += x.bound * std::fabs(factor),
        sizes[i] += std::fabs(x.value * factor);
  }
  void check(const char *name, Array<float> &got, int64_t offset, int64_t terms) {
    for (size_t i = 0; i < sums.size(); ++i) {
      double bound = sums[i].bound + sizes[i] * 0x1p-24 * double(terms + 8) + 1e-37;
      if (!oracle::agrees(got[offset + i], sums[i].value, bound)) {
        FAIL_CHECK(name, " at ", i, ": got ", got[offset + i], ", want ", sums[i].value, ", bound ", bound);
        return;
      }
    }
  }
};

void checkMatrix(const char *name, Array<float> &got, int64_t b, int64_t h, const std::vector<oracle::Bounded> &want) {
  int64_t rows = got.sizes[2], columns = got.sizes[3];
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t c = 0; c < columns; ++c) {
      const oracle::Bounded &x = want[i * columns + c];
      if (oracle::agrees(got.at(b, h, i, c), x.value, x.bound + 1e-37))
        continue;
      FAIL_CHECK(name, " at ", b, " ", h, " ", i, " ", c, ": got ", got.at(b, h, i, c), ", want ", x.value, ", bound ",
                 x.bound);
      return;
    }
}

void checkSums(Problem &p, int64_t b, int64_t h, const std::vector<oracle::Bounded> &change, Total &bias) {
  Total slope(1), table(p.t + p.s - 1), columns(p.s), rows(p.t), bucket(buckets);
  for (int64_t t = 0; t < p.t; ++t)
    for (int64_t j = 0; j < p.s; ++j) {
      const oracle::Bounded &x = change[t * p.s + j];
      bias.add((h * p.t + t) * p.s + j, x);
      slope.add(0, x, double(t - j));
      table.add(t - j + p.s - 1, x), columns.add(j, x), rows.add(t, x);
      bucket.add((t * 7 + j * j) % buckets, x);
    }
  int64_t at = b * heads + h, all = p.t * p.s;
  slope.check("slope", p.dSlopes, at, all);
  table.check("table", p.dTable, at * (p.t + p.s - 1), all);
  columns.check("columns", p.dColumns, at * p.s, all);
  rows.check("rows", p.dRows, at * p.t, all);
  bucket.check("buckets", p.dBuckets, at * buckets, all);
}

/// What the forward op leaves.
void prepare(const Variant &variant, Problem &p) {
  for (int64_t b = 0; b < batches; ++b)
    for (int64_t h = 0; h < heads; ++h) {
      oracle::AttentionBackwardResult r = want(variant, p, b, h);
      for (int64_t t = 0; t < p.t; ++t)
        p.lse.at(b, h, t) = float(r.lse[t]), p.delta.at(b, h, t) = float(r.delta[t]);
    }
}

void compare(const Variant &variant, Problem &p) {
  Total bias(heads * p.t * p.s);
  for (int64_t b = 0; b < batches; ++b)
    for (int64_t h = 0; h < heads; ++h) {
      oracle::AttentionBackwardResult r = want(variant, p, b, h);
      checkMatrix("dq", p.dq, b, h, r.dq), checkMatrix("dk", p.dk, b, h, r.dk), checkMatrix("dv", p.dv, b, h, r.dv);
      if (variant.score == Score::Biased)
        checkSums(p, b, h, r.change, bias);
      if (variant.score == Score::Gated)
        for (int64_t i = 0; i < p.t * p.s; ++i)
          bias.add(h * p.t * p.s + i, r.factors[i]);
    }
  if (variant.score == Score::Biased || variant.score == Score::Gated)
    bias.check("bias", p.dBias, 0, batches);
  for (Array<float> *each : p.results())
    CHECK(each->guardsHold());
}

void check(Kernels &kernels, const Variant &variant, Problem &p) {
  CAPTURE(variant.name);
  CAPTURE(p.t);
  CAPTURE(p.s);
  CAPTURE(p.d);
  CAPTURE(p.e);
  prepare(variant, p);
  kernels.run("f", p.arguments());
  compare(variant, p);
}

void forAll(const std::function<void(Kernels &, const Variant &, bool isStrided)> &body) {
  for (const Target *target : runnableTargets())
    for (const Variant &variant : variants)
      for (bool isStrided : {false, true}) {
        if (isStrided && variant.score != Score::Biased && variant.score != Score::Scaled)
          continue;
        CAPTURE(target->name.str());
        CAPTURE(isStrided);
        Kernels kernels(text(variant, isStrided), *target);
        body(kernels, variant, isStrided);
      }
}
} // namespace

TEST_CASE("gradients agree with the reference at odd sizes") {
  constexpr int64_t sizes[][4] = {{1, 1, 1, 1},    {5, 7, 3, 2},      {17, 16, 16, 16},   {31, 97, 15, 33},
                                  {97, 31, 64, 5}, {50, 200, 20, 17}, {200, 230, 64, 64}, {7, 400, 33, 8}};
  forAll([&](Kernels &kernels, const Variant &variant, bool isStrided) {
    uint64_t seed = 1;
    for (auto &[t, s, d, e] : sizes) {
      if (isStrided && t * s > 10000)
        continue;
      Problem p(isStrided, t, s, d, e, seed++);
      check(kernels, variant, p);
    }
  });
}

TEST_CASE("nothing to see gives gradients of zero") {
  const Variant &variant = variants[3];
  for (const Target *target : runnableTargets()) {
    Kernels kernels(text(variant, false), *target);
    Problem p(false, 60, 70, 16, 16, 9);
    for (int64_t j = 0; j < p.s; ++j)
      p.mask.at(1, j) = 0;
    check(kernels, variant, p);
  }
}

TEST_CASE("what is hidden may be anything") {
  for (const Variant &variant : variants) {
    if (variant.mask != Mask::Padded)
      continue;
    for (const Target *target : runnableTargets()) {
      CAPTURE(variant.name);
      CAPTURE(target->name.str());
      Kernels kernels(text(variant, false), *target);
      Problem p(false, 60, 210, 20, 17, 5);
      prepare(variant, p);
      Problem clean = p;
      for (int64_t b = 0; b < batches; ++b)
        for (int64_t h = 0; h < heads; ++h)
          for (int64_t j = 0; j < p.s; ++j)
            for (int64_t c = 0; c < p.d; ++c)
              if (!p.mask.at(b, j)) {
                p.k.at(b, h, j, c) = hiddenNaN;
                p.v.at(b, h, j, std::min(c, p.e - 1)) = hiddenNaN;
              }
      kernels.run("f", p.arguments());
      for (int64_t b = 0; b < batches; ++b)
        for (int64_t h = 0; h < heads; ++h) {
          oracle::AttentionBackwardResult r = want(variant, clean, b, h);
          checkMatrix("dq", p.dq, b, h, r.dq), checkMatrix("dk", p.dk, b, h, r.dk), checkMatrix("dv", p.dv, b, h, r.dv);
        }
    }
  }
}

TEST_CASE("bits depend on neither the order of tasks nor how they are divided") {
  for (const Variant &variant : {variants[2], variants[7], variants[11]})
    for (const Target *target : runnableTargets()) {
      Kernels kernels(text(variant, false), *target);
      Problem a(false, 130, 210, 24, 16, 3), b = a;
      prepare(variant, a), prepare(variant, b);
      kernels.run("f", a.arguments());
      kernels.run("f", b.arguments(), 3, true);
      std::vector<Array<float> *> as = a.results(), bs = b.results();
      for (size_t i = 0; i < as.size(); ++i)
        CHECK(*as[i] == *bs[i]);
    }
}

TEST_CASE("16-bit tensors are computed in f32, and their gradients rounded once") {
  const Variant &variant = variants[2];
  auto widened = [](uint16_t x) {
    uint32_t bits = uint32_t(x) << 16;
    float y;
    std::memcpy(&y, &bits, sizeof y);
    return y;
  };
  for (const Target *target : runnableTargets()) {
    Kernels kernels(text(variant, false, "bf16"), *target);
    Problem p(false, 70, 210, 20, 17, 11);
    std::vector<Array<uint16_t>> narrow;
    for (Array<float> *each : {&p.q, &p.k, &p.v, &p.gradient, &p.dq, &p.dk, &p.dv}) {
      Array<uint16_t> &array = narrow.emplace_back(each->sizes);
      for (int64_t i = 0; i < each->size(); ++i) {
        uint32_t bits;
        std::memcpy(&bits, &(*each)[i], sizeof bits);
        array[i] = uint16_t(bits >> 16);
        (*each)[i] = widened(array[i]);
      }
    }
    prepare(variant, p);
    std::vector<Argument> arguments = p.arguments();
    for (auto [place, from] : {std::pair(0, 0), {1, 1}, {2, 2}, {5, 3}, {6, 4}, {7, 5}, {8, 6}})
      arguments[place] = narrow[from];
    kernels.run("f", arguments);
    for (auto [from, results] : {std::pair(4, &p.dq), {5, &p.dk}, {6, &p.dv}})
      for (int64_t i = 0; i < results->size(); ++i)
        (*results)[i] = widened(narrow[from][i]);
    for (int64_t b = 0; b < batches; ++b)
      for (int64_t h = 0; h < heads; ++h) {
        oracle::AttentionBackwardResult r = want(variant, p, b, h);
        for (std::vector<oracle::Bounded> *each : {&r.dq, &r.dk, &r.dv})
          for (oracle::Bounded &x : *each)
            x.bound += std::fabs(x.value) * 0x1p-8;
        checkMatrix("dq", p.dq, b, h, r.dq), checkMatrix("dk", p.dk, b, h, r.dk), checkMatrix("dv", p.dv, b, h, r.dv);
      }
  }
}

TEST_CASE(
    "what has an element for each query and key is stored, not added to what lies there, behind an axis of one too") {
  auto text = [](const std::string &bias, const std::string &zero) {
    std::string rows = "memref<?x?x?xf32>, ", of = "memref<?x?x?xf32>", all;
    for (const char *name : {"%dQ", "%dK", "%dV", "%Q", "%K", "%V", "%G"})
      all += std::string(name) + ": " + rows;
    return "kernel.func @f(" + all + "%L: memref<?x?xf32>, %D: memref<?x?xf32>, %dB: " + bias + ", %B: " + bias +
           ") {\n  %c0 = arith.constant 0 : index\n"
           "  kernel.attention_backward q(%Q) k(%K) v(%V) lse(%L) delta(%D) gradient(%G) into(%dQ, %dK, %dV, %dB) "
           "score {\n"
           "  ^bb0(%s: f32, %h: index, %t: index, %j: index):\n    %x = kernel.load %B[" +
           zero + "%h, %t, %j] : " + bias +
           " -> f32\n    %y = arith.addf %s, %x : f32\n    kernel.yield %y : f32\n  } mask {\n  } adjoint {\n"
           "  ^bb0(%s: f32, %h: index, %t: index, %j: index, %g: f32):\n    kernel.yield %g, %g, " +
           zero + "%h, %t, %j : f32, f32, " + (zero.empty() ? "" : "index, ") + "index, index, index\n  } : " + of +
           ", " + of + ", " + of + " lse memref<?x?xf32> delta memref<?x?xf32>, " + of + " into " + of + ", " + of +
           ", " + of + ", " + bias + "\n  kernel.return\n}";
  };
  for (const Target *target : runnableTargets()) {
    Kernels plain(text("memref<?x?x?xf32>", ""), *target), behindOne(text("memref<1x?x?x?xf32>", "%c0, "), *target);
    for (auto [queries, keys] : {std::pair<int64_t, int64_t>{5, 7}, {50, 64}, {97, 230}}) {
      CAPTURE(target->name.str());
      CAPTURE(keys);
      int64_t h = 3, d = 16;
      Random random(keys);
      Array<float> q({h, queries, d}), k({h, keys, d}), v({h, keys, d}), g({h, queries, d}), lse({h, queries}),
          delta({h, queries}), bias({h, queries, keys}), bias1({1, h, queries, keys});
      for (Array<float> *x : {&q, &k, &v, &g, &delta, &bias})
        random.fill(*x, -1, 1);
      random.fill(lse, 3, 4);
      for (int64_t i = 0; i < bias.size(); ++i)
        bias1[i] = bias[i];
      auto gradients = [&](Kernels &kernels, Array<float> &b, Array<float> &db) {
        Array<float> dq({h, queries, d}), dk({h, keys, d}), dv({h, keys, d});
        for (int64_t i = 0; i < db.size(); ++i)
          db[i] = hiddenNaN;
        kernels.run("f", {dq, dk, dv, q, k, v, g, lse, delta, db, b}, 1);
        CHECK(db.guardsHold());
      };
      Array<float> one({h, queries, keys}), other({1, h, queries, keys});
      gradients(plain, bias, one);
      gradients(behindOne, bias1, other);
      int64_t different = 0;
      for (int64_t i = 0; i < one.size(); ++i)
        different += !(one[i] == other[i]);
      CHECK(different == 0);
    }
  }
}

namespace {
/// Biases [h, t, j] of all keys, or of two pieces of them, with their gradients: the same function of the same numbers.
std::string biasText(bool isInPieces, bool isCausal) {
  const char *const ofPieces = R"(
    %behind = arith.subi %j, %P : index
    %isFar = arith.cmpi slt, %j, %P : index
    %isNear = arith.cmpi sge, %j, %P : index)";
  std::string rows = "memref<?x?x?x?xf32>", bias = "memref<?x?x?xf32>", all;
  for (const char *name : {"%dQ", "%dK", "%dV", "%Q", "%K", "%V", "%G"})
    all += std::string(name) + ": " + rows + ", ";
  for (const char *name : {"%L", "%D", "%dFar", "%dNear"})
    all += std::string(name) + ": " + bias + ", ";
  std::string read = isInPieces ? std::string(ofPieces) + R"(
    %a = kernel.load %far[%h, %t, %j] if %isFar : memref<?x?x?xf32> -> f32
    %c = kernel.load %near[%h, %t, %behind] if %isNear : memref<?x?x?xf32> -> f32
    %x = arith.select %isFar, %a, %c : f32)"
                                : "\n    %x = kernel.load %far[%h, %t, %j] : memref<?x?x?xf32> -> f32";
  std::string sums = isInPieces ? ", %g, %isFar, %h, %t, %j, %g, %isNear, %h, %t, %behind" : ", %g, %h, %t, %j";
  std::string types =
      isInPieces ? ", f32, i1, index, index, index, f32, i1, index, index, index" : ", f32, index, index, index";
  std::string place = "%b: index, %h: index, %t: index, %j: index";
  std::string mask = "\n  ^bb0(" + place + "):\n    %see = arith.cmpi sle, %j, %t : index\n    kernel.yield %see : i1";
  return "kernel.func @f(" + all + "%far: " + bias + ", %near: " + bias +
         ") {\n  %two = arith.constant 2 : index\n  %P = memref.dim %far, %two : " + bias +
         "\n  kernel.attention_backward q(%Q) k(%K) v(%V) lse(%L) delta(%D) gradient(%G) into(%dQ, %dK, %dV, %dFar" +
         (isInPieces ? ", %dNear" : "") + ") score {\n  ^bb0(%s: f32, " + place + "):" + read +
         "\n    %y = arith.addf %s, %x : f32\n    kernel.yield %y : f32\n  } mask {" + (isCausal ? mask : "") +
         "\n  } adjoint {\n  ^bb0(%s: f32, " + place + ", %g: f32):" + (isInPieces ? ofPieces : "") +
         "\n    kernel.yield %g" + sums + " : f32" + types + "\n  } : " + rows + ", " + rows + ", " + rows + " lse " +
         bias + " delta " + bias + ", " + rows + " into " + rows + ", " + rows + ", " + rows + ", " + bias +
         (isInPieces ? ", " + bias : "") + "\n  kernel.return\n}";
}
} // namespace

TEST_CASE("biases of pieces of the keys are read where they lie, and have the bits of one for all keys, as their "
          "gradients have") {
  for (const Target *target : runnableTargets())
    for (bool isCausal : {false, true}) {
      Kernels whole(biasText(false, isCausal), *target), pieces(biasText(true, isCausal), *target);
      for (auto [b, t, s, first] : {std::array<int64_t, 4>{1, 5, 7, 3},
                                    {2, 50, 64, 0},
                                    {1, 50, 64, 64},
                                    {1, 97, 230, 101},
                                    {2, 40, 130, 33},
                                    {1, 9, 800, 350}}) {
        CAPTURE(target->name.str());
        CAPTURE(isCausal);
        CAPTURE(s);
        CAPTURE(first);
        int64_t h = 2, d = 16;
        Random random(s);
        Array<float> q({b, h, t, d}), k({b, h, s, d}), v({b, h, s, d}), g({b, h, t, d}), lse({b, h, t}),
            delta({b, h, t}), bias({h, t, s}), far({h, t, first}), near({h, t, s - first});
        for (Array<float> *x : {&q, &k, &v, &g, &delta, &bias})
          random.fill(*x, -1, 1);
        random.fill(lse, 3, 4);
        auto inPieces = [&](Array<float> &all, auto each) {
          for (int64_t i = 0; i < h; ++i)
            for (int64_t row = 0; row < t; ++row)
              for (int64_t j = 0; j < s; ++j)
                each(all.at(i, row, j), j < first ? far.at(i, row, j) : near.at(i, row, j - first));
        };
        inPieces(bias, [](float x, float &piece) { piece = x; });
        auto gradients = [&](Kernels &kernels, Array<float> &x, Array<float> &dx, Array<float> &dNear) {
          Array<float> dq({b, h, t, d}), dk({b, h, s, d}), dv({b, h, s, d});
          for (Array<float> *each : {&dx, &dNear})
            for (int64_t i = 0; i < each->size(); ++i)
              (*each)[i] = hiddenNaN;
          kernels.run("f", {dq, dk, dv, q, k, v, g, lse, delta, dx, dNear, x, near}, 2, true);
          CHECK(dx.guardsHold());
          CHECK(dNear.guardsHold());
          return std::vector<Array<float>>{dq, dk, dv};
        };
        Array<float> dBias({h, t, s}), dFar({h, t, first}), dNear({h, t, s - first}), unused({h, t, s - first});
        auto expected = gradients(whole, bias, dBias, unused), got = gradients(pieces, far, dFar, dNear);
        for (size_t i = 0; i < expected.size(); ++i)
          CHECK(got[i] == expected[i]);
        std::swap(far, dFar), std::swap(near, dNear);
        int64_t different = 0;
        inPieces(dBias, [&](float x, float &piece) { different += x != piece; });
        CHECK(different == 0);
      }
    }
}
