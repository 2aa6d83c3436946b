// Weights kept in bf16 and int8 (--weights-dtype) against the same program in f32: how far off each output may be
// follows from the weights.
#include "Program.h"
#include "runtime/core/TensorFile.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <unistd.h>

using namespace fovea::test;

namespace {

constexpr std::array<int64_t, 10> inner{1, 2, 5, 6, 7, 15, 16, 17, 31, 97}, outer{31, 97, 1, 7, 16, 2, 17, 5, 15, 6};

/// What prepare.py writes.
double weight(int64_t number) { return double((number * 37 + 11) % 64 - 32) / 32; }

/// How far one weight [n, k] of a layer may be off, by the record of graph-narrow-weights.
struct Errors {
  Errors(std::string_view dtype, int64_t k, int64_t n) : narrow(dtype == "int8"), k(k), rows(k, 0), columns(n, 0) {
    for (int64_t j = 0; j < n; ++j)
      for (int64_t i = 0; i < k; ++i)
        rows[i] = std::max(rows[i], std::sqrt(std::fabs(weight(j * k + i))));
    for (double &row : rows)
      row = row == 0 ? 1 : row;
    for (int64_t j = 0; j < n; ++j)
      for (int64_t i = 0; i < k; ++i)
        columns[j] = std::max(columns[j], std::fabs(weight(j * k + i)) / rows[i] / 127);
  }
  double at(int64_t j, int64_t i) const {
    double w = std::fabs(weight(j * k + i));
    return (narrow ? rows[i] * columns[j] / 2 : w * 0x1p-9) + w * 0x1p-22; // and some roundings of f32
  }
  bool narrow;
  int64_t k;
  std::vector<double> rows, columns;
};

using Outputs = std::vector<std::vector<float>>;

Outputs runLinears(Program &program, std::array<std::vector<float>, 10> &inputs, int64_t m) {
  Outputs outputs;
  for (int64_t n : outer)
    outputs.emplace_back(m * n);
  std::vector<fovea_tensor> in, out;
  for (size_t i = 0; i < inner.size(); ++i) {
    in.push_back(tensor({m, inner[i]}, inputs[i]));
    out.push_back(tensor({m, outer[i]}, outputs[i]));
  }
  program.run("linears", in, out);
  return outputs;
}

double norm(const std::vector<float> &x) {
  double sum = 0;
  for (float value : x)
    sum += double(value) * value;
  return std::sqrt(sum);
}

} // namespace

TEST_CASE("narrow weights are off by no more than their types say") {
  const char *weights = std::getenv("FOVEA_SIZES_WEIGHTS");
  REQUIRE(weights != nullptr);
  for (const char *target : {"x86-64", "x86-64-v3", "x86-64-v4"})
    for (std::string dtype : {"bf16", "int8"}) {
      Program exact, program;
      if (!exact.load("sizes", weights, target) || !program.load("sizes-" + dtype, weights, target))
        continue;
      CAPTURE(std::string(target));
      CAPTURE(dtype);
      for (int64_t m : {1, 3, 17}) {
        Numbers numbers(m);
        std::array<std::vector<float>, 10> inputs;
        for (size_t i = 0; i < inner.size(); ++i)
          inputs[i] = numbers.reals(m * inner[i]);
        Outputs want = runLinears(exact, inputs, m), got = runLinears(program, inputs, m);
        bool anyDiffers = false;
        for (size_t layer = 0; layer < inner.size(); ++layer) {
          Errors errors(dtype, inner[layer], outer[layer]);
          int64_t bad = 0;
          for (int64_t row = 0; row < m; ++row)
            for (int64_t j = 0; j < outer[layer]; ++j) {
              double bound = 1e-6;
              for (int64_t i = 0; i < inner[layer]; ++i)
                bound += std::fabs(inputs[layer][row * inner[layer] + i]) * errors.at(j, i);
              double off = std::fabs(got[layer][row * outer[layer] + j] - want[layer][row * outer[layer] + j]);
              bad += !(off <= bound);
              anyDiffers |= off != 0;
            }
          CAPTURE(layer);
          CHECK(bad == 0);
        }
        CHECK(anyDiffers == (dtype == "int8")); // the weights are multiples of 1/32: bf16 holds them
      }
    }
}

TEST_CASE("published embeddings keep their direction with narrow weights, and with rounded operands") {
  const char *weights = std::getenv("FOVEA_MINILM");
  if (!weights || access(weights, R_OK) != 0) {
    REQUIRE(std::getenv("FOVEA_REQUIRE_WEIGHTS") == nullptr);
    MESSAGE("skipped: there are no published weights");
    return;
  }
  fovea_error error{};
  fovea::rt::TensorFile ids, mask;
  std::string folder = std::string(FOVEA_SOURCE_DIR) + "/examples/minilm/";
  REQUIRE(ids.open((folder + "ids.npy").c_str(), {}, &error) == FOVEA_OK);
  REQUIRE(mask.open((folder + "mask.npy").c_str(), {}, &error) == FOVEA_OK);
  int64_t batch = ids[0].shape[0], length = ids[0].shape[1];
  constexpr int64_t dim = 384;
  auto embed = [&](const std::string &library) {
    Program program;
    REQUIRE(program.load(library, weights));
    std::vector<float> out(batch * dim);
    program.run("embed",
                {tensor(FOVEA_I64, {batch, length}, ids[0].data), tensor(FOVEA_BOOL, {batch, length}, mask[0].data)},
                {tensor({batch, dim}, out)});
    return out;
  };
  std::vector<float> want = embed("minilm-published");
  // Activations in 8 bits cost more: the steps of a row are those of its largest number.
  for (auto [dtype, least] : {std::pair("bf16", 0.9999), std::pair("int8", 0.999), std::pair("products-bf16", 0.9999),
                              std::pair("products-int8", 0.995)}) {
    std::vector<float> got = embed(std::string("minilm-") + dtype);
    for (int64_t b = 0; b < batch; ++b) {
      std::vector<float> x(want.begin() + b * dim, want.begin() + (b + 1) * dim),
          y(got.begin() + b * dim, got.begin() + (b + 1) * dim);
      double product = 0;
      for (int64_t i = 0; i < dim; ++i)
        product += double(x[i]) * y[i];
      CAPTURE(dtype);
      CAPTURE(b);
      CHECK(product / norm(x) / norm(y) >= least);
    }
  }
}
