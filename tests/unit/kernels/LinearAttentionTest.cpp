// kernel.linear_attention against a recurrence in double: factors, decays, layouts, odd sizes, what must not be seen,
// and bits.
#include "tests/oracle/LinearAttention.h"
#include "tests/oracle/Attention.h"
#include "tests/unit/kernels/Harness.h"

#include "doctest/doctest.h"
#include <limits>

using namespace fovea::test;
namespace oracle = fovea::oracle;

namespace {
constexpr int64_t batches = 2;

/// Regions and their numbers: `scale` [b, s], `weight` [b, h, s], `gates` [h, b, s] falls.
struct Variant {
  const char *name;
  bool queries, keys, decay;
};
const Variant variants[] = {{"plain", false, false, false},
                            {"factors", true, true, false},
                            {"gates", false, false, true},
                            {"all", true, true, true}};

std::string text(const Variant &variant, bool isStrided, const char *element = "f32") {
  std::string x = std::string("memref<?x?x?x?x") + element + (isStrided ? ", strided<[?, ?, ?, ?], offset: ?>>" : ">");
  std::string queries = variant.queries ? R"(
  ^bb(%b: index, %h: index, %t: index):
    %x = kernel.load %scale[%b, %t] : memref<?x?xf32> -> f32
    kernel.yield %x : f32)"
                                        : "";
  std::string keys = variant.keys ? R"(
  ^bb(%b: index, %h: index, %j: index):
    %x = kernel.load %weight[%b, %h, %j] : memref<?x?x?xf32> -> f32
    kernel.yield %x : f32)"
                                  : "";
  std::string decay = variant.decay ? R"(
  ^bb(%b: index, %h: index, %t: index, %j: index):
    %x = kernel.load %gates[%h, %b, %t] : memref<?x?x?xf32> -> f32
    %y = kernel.load %gates[%h, %b, %j] : memref<?x?x?xf32> -> f32
    %d = arith.subf %x, %y : f32
    %w = math.exp %d : f32
    kernel.yield %w : f32)"
                                    : "";
  return "kernel.func @f(%Q: " + x + ", %K: " + x + ", %V: " + x + ", %out: " + x +
         ", %scale: memref<?x?xf32>, %weight: memref<?x?x?xf32>, %gates: memref<?x?x?xf32>) {\n"
         "  kernel.linear_attention q(%Q) k(%K) v(%V) out(%out) chunk 64 queries {" +
         queries + "\n } keys {" + keys + "\n } decay {" + decay + "\n } : " + x + ", " + x + ", " + x + ", " + x +
         "\n  kernel.return\n}";
}

std::vector<int64_t> stridesOf(bool isStrided, int64_t heads, int64_t rows, int64_t columns) {
  if (isStrided) // columns apart
    return {heads * rows * columns, rows * columns, 1, rows};
  return {heads * rows * columns, rows * columns, columns, 1};
}

struct Problem {
  Problem(bool isStrided, int64_t heads, int64_t s, int64_t d, int64_t e, uint64_t seed)
      : heads(heads), s(s), d(d), e(e), q({batches, heads, s, d}, stridesOf(isStrided, heads, s, d), 0.0f),
        k({batches, heads, s, d}, stridesOf(isStrided, heads, s, d), 0.0f),
        v({batches, heads, s, e}, stridesOf(isStrided, heads, s, e), 0.0f),
        out({batches, heads, s, e}, stridesOf(isStrided, heads, s, e), -7.0f), scale({batches, s}),
        weight({batches, heads, s}), gates({heads, batches, s}) {
    Random random(seed);
    random.fill(q, -2, 2), random.fill(k, -2, 2), random.fill(v, -2, 2);
    random.fill(scale, -2, 2), random.fill(weight, -2, 2), random.fill(gates, 0, 0.5);
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t b = 0; b < batches; ++b)
        for (int64_t t = 1; t < s; ++t)
          gates.at(h, b, t) = gates.at(h, b, t - 1) - gates.at(h, b, t);
  }
  std::vector<Argument> arguments() { return {q, k, v, out, scale, weight, gates}; }
  std::vector<double> dense(Array<float> &x, int64_t b, int64_t h) {
    std::vector<double> result;
    for (int64_t i = 0; i < s; ++i)
      for (int64_t c = 0; c < x.sizes[3]; ++c)
        result.push_back(x.at(b, h, i, c));
    return result;
  }
  int64_t heads, s, d, e;
  Array<float> q, k, v, out, scale, weight, gates;
};

void check(Kernels &kernels, const Variant &variant, Problem &p, int64_t chunk = 1) {
  CAPTURE(variant.name);
  CAPTURE(p.heads);
  CAPTURE(p.s);
  CAPTURE(p.d);
  CAPTURE(p.e);
  kernels.run("f", p.arguments(), chunk, chunk % 2);
  int64_t wrong = 0;
  for (int64_t b = 0; b < batches; ++b)
    for (int64_t h = 0; h < p.heads; ++h) {
      std::vector<double> q = p.dense(p.q, b, h), k = p.dense(p.k, b, h), v = p.dense(p.v, b, h);
      oracle::LinearAttentionHead head{p.s, p.d, p.e, q.data(), k.data(), v.data(), {}, {}, {}};
      head.queryFactor = [&](int64_t t) { return variant.queries ? p.scale.at(b, t) : 1; };
      head.keyFactor = [&](int64_t j) { return variant.keys ? p.weight.at(b, h, j) : 1; };
      head.fade = [&](int64_t t) {
        return variant.decay ? std::exp(double(p.gates.at(h, b, t)) - double(p.gates.at(h, b, t - 1))) : 1;
      };
      oracle::LinearAttentionResult want = oracle::linearAttention(head);
      for (int64_t t = 0; t < p.s; ++t)
        for (int64_t c = 0; c < p.e; ++c) {
          float got = p.out.at(b, h, t, c);
          double y = want.y[t * p.e + c], bound = want.bound[t * p.e + c];
          if (!oracle::agrees(got, y, bound) && ++wrong == 1)
            FAIL_CHECK("y at ", b, " ", h, " ", t, " ", c, ": got ", got, ", want ", y, ", bound ", bound);
        }
    }
  CHECK(wrong == 0);
  CHECK(p.out.guardsHold());
}

void forAll(const std::function<void(Kernels &, const Variant &, bool isStrided)> &body) {
  for (const Target *target : runnableTargets())
    for (const Variant &variant : variants)
      for (bool isStrided : {false, true}) {
        CAPTURE(target->name.str());
        CAPTURE(isStrided);
        Kernels kernels(text(variant, isStrided), *target);
        body(kernels, variant, isStrided);
      }
}

/// Whether rows of batch 0 and head 0 have equal bits as far as both go.
bool sameRows(Problem &a, Problem &b) {
  for (int64_t t = 0; t < std::min(a.s, b.s); ++t)
    for (int64_t c = 0; c < a.e; ++c)
      if (std::memcmp(&a.out.at(0, 0, t, c), &b.out.at(0, 0, t, c), sizeof(float)))
        return false;
  return true;
}

/// The first head of `from`, and as many rows as fit, in `to`.
void copyHead(Problem &from, Problem &to) {
  for (int64_t t = 0; t < std::min(from.s, to.s); ++t) {
    for (int64_t c = 0; c < from.d; ++c)
      to.q.at(0, 0, t, c) = from.q.at(0, 0, t, c), to.k.at(0, 0, t, c) = from.k.at(0, 0, t, c);
    for (int64_t c = 0; c < from.e; ++c)
      to.v.at(0, 0, t, c) = from.v.at(0, 0, t, c);
    to.scale.at(0, t) = from.scale.at(0, t), to.weight.at(0, 0, t) = from.weight.at(0, 0, t);
    to.gates.at(0, 0, t) = from.gates.at(0, 0, t);
  }
}
} // namespace

TEST_CASE("linear attention agrees with the recurrence for all odd sizes") {
  forAll([](Kernels &kernels, const Variant &variant, bool isStrided) {
    uint64_t number = 0;
    for (int64_t s : {1, 2, 7, 16, 17, 63, 64, 65, 97, 127, 128, 129, 193, 331}) {
      ++number;
      Problem p(isStrided, 1 + number % 3, s, oddSizes[number * 3 % 10], oddSizes[number * 7 % 10], number);
      check(kernels, variant, p, 1 + number % 3);
    }
    Problem p(isStrided, 2, 140, 64, 40, 1);
    check(kernels, variant, p);
  });
}

TEST_CASE("a row of linear attention has the same bits whatever comes behind it and however many heads there are") {
  forAll([](Kernels &kernels, const Variant &variant, bool isStrided) {
    for (int64_t s : {30, 64, 100, 150}) {
      Problem longer(isStrided, 1, 201, 20, 70, 3), shorter(isStrided, 1, s, 20, 70, 4),
          wider(isStrided, 5, s, 20, 70, 5);
      copyHead(longer, shorter), copyHead(longer, wider);
      for (int64_t c = 0; c < 70; ++c) // not seen by what is compared
        longer.v.at(0, 0, s, c) = std::nanf("");
      for (Problem *p : {&longer, &shorter, &wider})
        kernels.run("f", p->arguments(), 2);
      CHECK(sameRows(longer, shorter));
      CHECK(sameRows(shorter, wider));
      CHECK(std::isnan(longer.out.at(0, 0, s, 0)));
    }
  });
}

TEST_CASE("linear attention of nothing") {
  forAll([](Kernels &kernels, const Variant &variant, bool isStrided) {
    Problem none(isStrided, 2, 0, 8, 8, 1), flat(isStrided, 2, 70, 0, 8, 1), narrow(isStrided, 2, 70, 8, 0, 1);
    check(kernels, variant, none);
    check(kernels, variant, flat);
    check(kernels, variant, narrow);
  });
}
