// Products of rounded operands (--matmul-precision=bf16|int8): how far off they may be, and whose bits they have.
#include "Program.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

using namespace fovea::test;

namespace {

constexpr std::array<int64_t, 10> inner{1, 2, 5, 6, 7, 15, 16, 17, 31, 97}, outer{31, 97, 1, 7, 16, 2, 17, 5, 15, 6};
constexpr size_t layers = inner.size();
using Matrices = std::array<std::vector<float>, layers>;

/// What prepare.py writes.
double number(int64_t index) { return double((index * 37 + 11) % 64 - 32) / 32; }

std::vector<const char *> targetsOf(const std::string &precision) {
  if (precision == "bf16")
    return {"x86-64-v4-bf16", "x86-64-v4", "x86-64-v3", "x86-64"};
  return {"x86-64-v4-vnni", "x86-64-v4", "x86-64-v3-vnni", "x86-64-v3", "x86-64"};
}

const char *weightsFile() {
  const char *weights = std::getenv("FOVEA_SIZES_WEIGHTS");
  REQUIRE(weights != nullptr);
  return weights;
}

Matrices randomInputs(int64_t m) {
  Numbers numbers(m);
  Matrices inputs;
  for (size_t i = 0; i < layers; ++i)
    inputs[i] = numbers.reals(m * inner[i]);
  return inputs;
}

Matrices run(Program &program, Matrices &inputs, int64_t m) {
  Matrices outputs;
  std::vector<fovea_tensor> in, out;
  for (size_t i = 0; i < layers; ++i) {
    outputs[i].resize(m * outer[i]);
    in.push_back(tensor({m, inner[i]}, inputs[i]));
    out.push_back(tensor({m, outer[i]}, outputs[i]));
  }
  program.run("linears", in, out);
  return outputs;
}

/// A row of an input against a column of its layer: the output, and how far off it may be by the record of
/// graph-round-operands.
struct Sum {
  Sum(const float *x, int64_t k, int64_t column) : k(k) {
    for (int64_t i = 0; i < k; ++i) {
      double w = number(column * k + i), a = x[i];
      value += a * w, products += std::fabs(a * w), inputs += std::fabs(a), weights += std::fabs(w);
      high = std::max(high, a), low = std::min(low, a), most = std::max(most, std::fabs(w));
    }
    value += number(column);
  }
  double bound(const std::string &precision) const {
    double last = 0x1p-22 * (1 + std::fabs(value)); // f32: the bias is added
    if (precision == "bf16")
      return products * (0x1p-8 * (1 + 0x1p-10) + double(k) * 0x1p-24) * (1 + 0x1p-10) + last;
    double scale = (high - low) / 254, s = most / 127, half = 0.5 + 0x1p-14;
    double corrected = 0x1p-22 * 255 * 127 * double(k) * scale * s; // four roundings of sums that large
    return weights * half * scale + inputs * s / 2 + double(k) * half * scale * s / 2 + corrected + last;
  }
  int64_t k;
  double value = 0, products = 0, inputs = 0, weights = 0, high = 0, low = 0, most = 0;
};

} // namespace

TEST_CASE("products of rounded operands are off by no more than their types say") {
  for (std::string precision : {"bf16", "int8"})
    for (const char *target : targetsOf(precision)) {
      Program program;
      if (!program.load("sizes-products-" + precision, weightsFile(), target))
        continue;
      CAPTURE(precision);
      CAPTURE(std::string(target));
      for (int64_t m : {1, 3, 17}) {
        Matrices inputs = randomInputs(m), got = run(program, inputs, m);
        bool isRounded = false;
        for (size_t layer = 0; layer < layers; ++layer) {
          int64_t bad = 0;
          for (int64_t row = 0; row < m; ++row)
            for (int64_t j = 0; j < outer[layer]; ++j) {
              Sum want(&inputs[layer][row * inner[layer]], inner[layer], j);
              double off = std::fabs(got[layer][row * outer[layer] + j] - want.value);
              bad += !(off <= want.bound(precision));
              isRounded |= off > 0x1p-12;
            }
          CAPTURE(layer);
          CHECK(bad == 0);
        }
        CHECK(isRounded);
      }
    }
}

TEST_CASE("products of bytes have the same bits on every target") {
  for (int64_t m : {1, 3, 17}) {
    Matrices inputs = randomInputs(m), first;
    for (const char *target : targetsOf("int8")) {
      Program program;
      if (!program.load("sizes-products-int8", weightsFile(), target))
        continue;
      Matrices got = run(program, inputs, m);
      if (first[0].empty())
        first = got;
      CAPTURE(std::string(target));
      CHECK(got == first);
    }
  }
}

TEST_CASE("a row's products of rounded operands have its bits alone, among others, with two threads") {
  constexpr int64_t m = 131;
  for (std::string precision : {"bf16", "int8"})
    for (const char *target : targetsOf(precision)) {
      Program one, two;
      std::string library = "sizes-products-" + precision;
      if (!one.load(library, weightsFile(), target) || !two.load(library, weightsFile(), target, 2))
        continue;
      CAPTURE(precision);
      CAPTURE(std::string(target));
      Matrices inputs = randomInputs(m), all = run(one, inputs, m);
      CHECK(run(two, inputs, m) == all);
      for (int64_t row : {0, 77, 130}) {
        Matrices single;
        for (size_t i = 0; i < layers; ++i)
          single[i].assign(inputs[i].begin() + row * inner[i], inputs[i].begin() + (row + 1) * inner[i]);
        Matrices alone = run(two, single, 1);
        for (size_t i = 0; i < layers; ++i)
          CHECK(sameBits(alone[i].data(), &all[i][row * outer[i]], outer[i]));
      }
    }
}

TEST_CASE("rows of zeros, tiny numbers, infinities and NaN as bytes stay by themselves") {
  constexpr int64_t m = 5;
  for (const char *target : targetsOf("int8")) {
    Program program;
    if (!program.load("sizes-products-int8", weightsFile(), target))
      continue;
    CAPTURE(std::string(target));
    Matrices inputs = randomInputs(m);
    Matrices plain = run(program, inputs, m);
    for (size_t i = 0; i < layers; ++i) {
      auto row = [&](int64_t r) { return inputs[i].begin() + r * inner[i]; };
      std::fill(row(0), row(1), 0.0f);
      std::fill(row(1), row(2), 1e-40f);
      *row(2) = std::numeric_limits<float>::infinity();
      *row(3) = std::numeric_limits<float>::quiet_NaN();
    }
    Matrices got = run(program, inputs, m);
    for (size_t i = 0; i < layers; ++i)
      for (int64_t j = 0; j < outer[i]; ++j) {
        CHECK(got[i][j] == float(number(j))); // the bias
        CHECK(std::fabs(got[i][outer[i] + j] - number(j)) <= 1e-30);
        CHECK(std::isnan(got[i][2 * outer[i] + j]));
        CHECK(std::isnan(got[i][3 * outer[i] + j]));
        CHECK(got[i][4 * outer[i] + j] == plain[i][4 * outer[i] + j]);
      }
  }
}
