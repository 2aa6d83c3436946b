#include "tests/unit/kernels/AttentionProblem.h"

#include "tests/oracle/Attention.h"

#include "doctest/doctest.h"
#include <map>
#include <tuple>

namespace fovea::test {

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
      {"factors that leave some out", R"(
    %scale = arith.constant 0.25 : f32
    %y = arith.mulf %s, %scale : f32
    %keep = kernel.load %allowed[%t, %j] : memref<?x?xi8> -> i1
    %two = arith.constant 2.0 : f32
    %none = arith.constant 0.0 : f32
    %factor = arith.select %keep, %two, %none : f32
    kernel.yield %y, %factor : f32, f32)",
       "", true, false, true, 0.25, timesQuarter, nullptr,
       [](Captures &c, int64_t t, int64_t j) { return c.allowed.at(t, j) ? 2.0 : 0.0; }},
      {"factors of both signs, causal, sinks", R"(
    %x = kernel.load %bias[%j, %t] : memref<?x?xf32> -> f32
    %low = arith.constant -2.0 : f32
    %f = kernel.load %bias[%t, %j] : memref<?x?xf32> -> f32
    %factor = arith.maximumf %f, %low : f32
    %z = arith.addf %s, %x : f32
    kernel.yield %z, %factor : f32, f32)",
       R"(
    %see = arith.cmpi sle, %j, %t : index
    kernel.yield %see : i1)",
       true, true, true, 1, [](Captures &c, double s, int64_t t, int64_t j) { return s + c.bias.at(j, t); },
       [](Captures &, int64_t, int64_t t, int64_t j) { return j <= t; },
       [](Captures &c, int64_t t, int64_t j) { return std::max(double(c.bias.at(t, j)), -2.0); }},
      {"biases and masks of pieces", R"(
    %first = arith.constant 37 : index
    %behind = arith.subi %j, %first : index
    %isFar = arith.cmpi slt, %j, %first : index
    %isNear = arith.cmpi sge, %j, %first : index
    %x = kernel.load %farBias[%t, %j] if %isFar : memref<?x?xf32> -> f32
    %y = kernel.load %nearBias[%t, %behind] if %isNear : memref<?x?xf32> -> f32
    %w = arith.select %isFar, %x, %y : f32
    %z = arith.addf %s, %w : f32
    kernel.yield %z : f32)",
       R"(
    %first = arith.constant 37 : index
    %behind = arith.subi %j, %first : index
    %isFar = arith.cmpi slt, %j, %first : index
    %isNear = arith.cmpi sge, %j, %first : index
    %x = kernel.load %farSeen[%t, %j] if %isFar : memref<?x?xi8> -> i1
    %y = kernel.load %nearSeen[%t, %behind] if %isNear : memref<?x?xi8> -> i1
    %a = arith.andi %isFar, %x : i1
    %c = arith.andi %isNear, %y : i1
    %see = arith.ori %a, %c : i1
    kernel.yield %see : i1)",
       true, false, true, 1,
       [](Captures &c, double s, int64_t t, int64_t j) {
         return s + (j < firstKeys ? c.far.at(t, j) : c.near.at(t, j - firstKeys));
       },
       [](Captures &c, int64_t, int64_t t, int64_t j) {
         return (j < firstKeys ? c.farSeen.at(t, j) : c.nearSeen.at(t, j - firstKeys)) != 0;
       }},
      {"a bias and padding of one piece by key, causal behind it, sinks", R"(
    %first = arith.constant 37 : index
    %behind = arith.subi %j, %first : index
    %isFar = arith.cmpi slt, %j, %first : index
    %isNear = arith.cmpi sge, %j, %first : index
    %none = arith.constant 0 : index
    %zero = arith.constant 0.0 : f32
    %x = kernel.load %farBias[%none, %j] if %isFar : memref<?x?xf32> -> f32
    %w = arith.select %isFar, %x, %zero : f32
    %z = arith.addf %s, %w : f32
    kernel.yield %z : f32)",
       R"(
    %first = arith.constant 37 : index
    %behind = arith.subi %j, %first : index
    %isFar = arith.cmpi slt, %j, %first : index
    %isNear = arith.cmpi sge, %j, %first : index
    %x = kernel.load %farSeen[%b, %j] if %isFar : memref<?x?xi8> -> i1
    %y = arith.cmpi sle, %behind, %t : index
    %a = arith.andi %isFar, %x : i1
    %c = arith.andi %isNear, %y : i1
    %see = arith.ori %a, %c : i1
    kernel.yield %see : i1)",
       true, true, true, 1,
       [](Captures &c, double s, int64_t, int64_t j) { return s + (j < firstKeys ? c.far.at(0, j) : 0); },
       [](Captures &c, int64_t b, int64_t t, int64_t j) {
         return j < firstKeys ? c.farSeen.at(b, j) != 0 : j - firstKeys <= t;
       }},
      {"pointwise scale", scaled, "", false, false, false, 0.25, timesQuarter, nullptr},
  };
  return all;
}

std::vector<int64_t> stridesOf(Layout layout, int64_t rows, int64_t columns) {
  if (layout == Layout::contiguous)
    return {heads * rows * columns, rows * columns, columns, 1};
  if (layout == Layout::headsInside) // [B, T, H * D]
    return {heads * rows * columns, columns, heads * columns, 1};
  return {heads * rows * columns, rows * columns, 1, rows};
}

std::string typeOf(Layout layout, const std::string &element) {
  const char *strides = layout == Layout::contiguous    ? ""
                        : layout == Layout::headsInside ? ", strided<[?, ?, ?, 1], offset: ?>"
                                                        : ", strided<[?, ?, ?, ?], offset: ?>";
  return "memref<?x?x?x?x" + element + strides + ">";
}

std::string text(const Variant &v, Layout layout, const Elements &elements) {
  std::string q = typeOf(layout, elements[0]), k = typeOf(layout, elements[1]), values = typeOf(layout, elements[2]),
              out = typeOf(layout, elements[3]), mask = v.mask;
  return "kernel.func @f(%Q: " + q + ", %K: " + k + ", %V: " + values + ", %out: " + out +
         ", %lse: memref<?x?x?xf32>, %sinks: memref<?x?xf32>, %bias: memref<?x?xf32>, %padding: memref<?x?xi8>, "
         "%document: memref<?xi64>, %allowed: memref<?x?xi8>, %blocks: memref<?x?xi8>, %farBias: memref<?x?xf32>, "
         "%nearBias: memref<?x?xf32>, %farSeen: memref<?x?xi8>, %nearSeen: memref<?x?xi8>) {\n kernel.attention q(%Q) "
         "k(%K) v(%V) out(%out)" +
         (v.lse ? " lse(%lse)" : "") + (v.sinks ? " sinks(%sinks)" : "") +
         " score {\n ^bb0(%s: f32, %b: index, %h: index, %t: index, %j: index):" + v.score + "\n } mask {" +
         (mask.empty() ? "" : "\n ^bb0(%b: index, %h: index, %t: index, %j: index):" + mask) + "\n } " +
         (v.softmax ? "" : "{normalizer = \"pointwise\"} ") + ": " + q + ", " + k + ", " + values + ", " + out +
         (v.lse ? " lse memref<?x?x?xf32>" : "") + (v.sinks ? " sinks memref<?x?xf32>" : "") + "\n kernel.return\n}";
}

std::vector<Argument> argumentsOf(Array<float> &q, Array<float> &k, Array<float> &v, Array<float> &out,
                                  Array<float> &lse, Array<float> &sinks, Captures &captures) {
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
          captures.blocks,
          captures.far,
          captures.near,
          captures.farSeen,
          captures.nearSeen};
}

Problem::Problem(Layout layout, int64_t t, int64_t s, int64_t d, int64_t e, uint64_t seed)
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
  random.fill(captures.far, -2, 2), random.fill(captures.near, -2, 2);
  for (Array<int8_t> *seen : {&captures.farSeen, &captures.nearSeen})
    for (int64_t i = 0; i < seen->size(); ++i)
      (*seen)[i] = random.below(3) != 0;
}

/// Rows of one batch index as doubles.
static std::vector<double> dense(Array<float> &x, int64_t b, int64_t h) {
  std::vector<double> result;
  for (int64_t i = 0; i < x.sizes[2]; ++i)
    for (int64_t c = 0; c < x.sizes[3]; ++c)
      result.push_back(x.at(b, h, i, c));
  return result;
}

static oracle::AttentionRow oracleRow(const Variant &variant, Problem &p, int64_t b, int64_t h) {
  oracle::AttentionRow row;
  row.keys = p.k.sizes[2], row.headSize = p.q.sizes[3], row.valueSize = p.v.sizes[3];
  row.slope = variant.slope;
  row.softmax = variant.softmax;
  if (variant.sinks)
    row.sink = p.sinks.at(b, h);
  return row;
}

void check(Kernels &kernels, const Variant &variant, Problem &p, int64_t chunk) {
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
        if (variant.factorOf)
          row.factor = [&](int64_t j) { return variant.factorOf(p.captures, t, j); };
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

Kernels &compiled(const Target &target, const Variant &variant, Layout layout) {
  static std::map<std::tuple<const Target *, const Variant *, Layout>, std::unique_ptr<Kernels>> known;
  std::unique_ptr<Kernels> &kernels = known[{&target, &variant, layout}];
  if (!kernels)
    kernels = std::make_unique<Kernels>(text(variant, layout), target);
  return *kernels;
}

void forAll(const std::function<void(Kernels &, const Variant &, Layout)> &body) {
  int number = 0;
  for (const Target *target : runnableTargets())
    for (const Variant &variant : variants()) {
      Layout layout = Layout(number++ % 3);
      CAPTURE(target->name.str());
      CAPTURE(int(layout));
      body(compiled(*target, variant, layout), variant, layout);
    }
}

} // namespace fovea::test
