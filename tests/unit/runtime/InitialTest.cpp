// First values: the generator's published answers, the distributions' moments, and what values may depend on; written
// params from a file of weights, packed or not, and from scratch.
#include "FakeProgram.h"

#include "fovea/philox.h"
#include "runtime/core/Initial.h"
#include "runtime/core/Random.h"

#include <cmath>
#include <string.h>

using namespace fovea;
using namespace fovea::test;

namespace {

std::vector<float> fill(fovea_initial initial, const char *name, uint64_t seed, int64_t count) {
  std::vector<float> out(static_cast<size_t>(count));
  rt::fillInitial(initial, name, seed, FOVEA_F32, count, reinterpret_cast<unsigned char *>(out.data()));
  return out;
}

struct Moments {
  double mean = 0, deviation = 0, skew = 0, least = 1e9, largest = -1e9;
  explicit Moments(const std::vector<float> &values) {
    auto n = static_cast<double>(values.size());
    for (double x : values) {
      mean += x / n;
      least = std::min(least, x);
      largest = std::max(largest, x);
    }
    for (double x : values) {
      deviation += (x - mean) * (x - mean) / n;
      skew += (x - mean) * (x - mean) * (x - mean) / n;
    }
    deviation = std::sqrt(deviation);
    skew /= deviation * deviation * deviation;
  }
};

const int64_t four[] = {FOVEA_DIM_PUSH, 4};
const fovea_dim dims[] = {{four, 2, "4"}};
const fovea_tensor_spec states[] = {{"weight", "t.fov:1:1", FOVEA_F32, 1, dims},
                                    {"bias", "t.fov:2:1", FOVEA_F32, 1, dims},
                                    {"adam.m.weight", "t.fov:3:1", FOVEA_F32, 1, dims}};
const fovea_initial initials[] = {
    {FOVEA_INITIAL_NORMAL, 1, 0, 1}, {FOVEA_INITIAL_NONE, 1, 0, 0}, {FOVEA_INITIAL_CONSTANT, 0, 2, 0}};
const char *const noFeatures[] = {nullptr};
const fovea_target target = {"any", noFeatures, nullptr, nullptr, 0, 0, nullptr, nullptr, 0, 0, {7}};
const fovea_target *const targets[] = {&target};
const fovea_program trained = {FOVEA_ABI_VERSION, 0,       0,      3,       1,       0,        "trained",
                               nullptr,           nullptr, states, targets, nullptr, initials, nullptr};

/// A context of a model that was loaded from `weights` (null: none).
struct Trained {
  fovea_model *model = nullptr;
  fovea_context *context = nullptr;
  fovea_error error = {};
  explicit Trained(const char *weights, uint64_t seed = 0, const char *packed = nullptr) {
    fovea_load_options load = {};
    load.packed = packed;
    fovea_code code = fovea_model_load(&trained, weights, &load, &model, &error);
    INFO(std::string(error.message));
    REQUIRE(code == FOVEA_OK);
    fovea_context_options options = {};
    options.threads = 1;
    options.seed = seed;
    REQUIRE(fovea_context_create(model, &options, &context, &error) == FOVEA_OK);
  }
  ~Trained() {
    fovea_context_destroy(context);
    fovea_model_destroy(model);
  }
  std::vector<float> read(const char *name) {
    fovea_tensor tensor = {};
    REQUIRE(fovea_context_state(context, name, &tensor, &error) == FOVEA_OK);
    auto *data = static_cast<const float *>(tensor.data);
    return {data, data + 4};
  }
};

} // namespace

TEST_CASE("philox gives the answers that its authors publish") {
  auto check = [](std::initializer_list<uint32_t> in, std::initializer_list<uint32_t> out) {
    const uint32_t *x = in.begin();
    uint32_t words[4];
    fovea_philox(x, x + 4, words);
    CHECK(memcmp(words, out.begin(), sizeof(words)) == 0);
  };
  check({0, 0, 0, 0, 0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  check({~0u, ~0u, ~0u, ~0u, ~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  check({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0},
        {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("quantiles of the normal distribution") {
  CHECK(rt::normalQuantile(0.5) == 0);
  for (double p : {1e-10, 1e-5, 0.01, 0.07, 0.1, 0.3, 0.49}) {
    CAPTURE(p);
    double x = rt::normalQuantile(p);
    CHECK(std::erfc(-x / std::sqrt(2.0)) / 2 == doctest::Approx(p).epsilon(1e-13));
    CHECK(rt::normalQuantile(1 - p) == doctest::Approx(-x).epsilon(1e-6));
  }
}

TEST_CASE("distributions have their moments") {
  constexpr int64_t count = 100'000;
  const double error = 5 / std::sqrt(double(count)); // five deviations of a mean
  Moments uniform(fill({FOVEA_INITIAL_UNIFORM, 1, -1, 3}, "w", 1, count));
  CHECK(std::fabs(uniform.mean - 1) < error * 4 / std::sqrt(12.0));
  CHECK(uniform.deviation == doctest::Approx(4 / std::sqrt(12.0)).epsilon(error));
  CHECK(uniform.least >= -1);
  CHECK(uniform.largest <= 3);
  CHECK(uniform.least < -0.99);
  CHECK(uniform.largest > 2.99);
  Moments normal(fill({FOVEA_INITIAL_NORMAL, 1, 2, 0.5}, "w", 1, count));
  CHECK(std::fabs(normal.mean - 2) < error * 0.5);
  CHECK(normal.deviation == doctest::Approx(0.5).epsilon(error));
  CHECK(std::fabs(normal.skew) < error * std::sqrt(6.0));
  CHECK(normal.largest > 2 + 0.5 * 3.5);
  Moments truncated(fill({FOVEA_INITIAL_TRUNCATED_NORMAL, 1, 0, 1}, "w", 1, count));
  CHECK(std::fabs(truncated.mean) < error);
  CHECK(truncated.deviation ==
        doctest::Approx(0.8796256610342398).epsilon(error)); // sqrt(1 - 4 phi(2) / (1 - 2 Phi(-2)))
  CHECK(truncated.least >= -2);
  CHECK(truncated.largest <= 2);
  CHECK(truncated.largest > 1.99);
}

TEST_CASE("values depend on name, seed and place alone") {
  fovea_initial normal = {FOVEA_INITIAL_NORMAL, 1, 0, 1};
  std::vector<float> all = fill(normal, "a.weight", 1, 1003), some = fill(normal, "a.weight", 1, 10);
  CHECK(std::equal(some.begin(), some.end(), all.begin()));
  CHECK(fill(normal, "b.weight", 1, 1003) != all);
  CHECK(fill(normal, "a.weight", 2, 1003) != all);
  CHECK(fill(normal, "a.weight", uint64_t(1) << 32 | 1, 1003) != all);
  std::vector<float> twice = fill({FOVEA_INITIAL_NORMAL, 1, 0, 2}, "a.weight", 1, 1003);
  for (size_t i = 0; i < all.size(); ++i)
    CHECK(twice[i] == 2 * all[i]);
}

TEST_CASE("values are rounded once, to every float type") {
  fovea_initial normal = {FOVEA_INITIAL_NORMAL, 1, 0, 1};
  std::vector<float> single = fill(normal, "w", 5, 64);
  std::vector<double> wide(64);
  rt::fillInitial(normal, "w", 5, FOVEA_F64, 64, reinterpret_cast<unsigned char *>(wide.data()));
  std::vector<uint16_t> narrow(64);
  rt::fillInitial(normal, "w", 5, FOVEA_BF16, 64, reinterpret_cast<unsigned char *>(narrow.data()));
  for (size_t i = 0; i < 64; ++i) {
    CHECK(single[i] == static_cast<float>(wide[i]));
    uint32_t bits = uint32_t(narrow[i]) << 16;
    float value;
    memcpy(&value, &bits, 4);
    CHECK(value == doctest::Approx(single[i]).epsilon(0x1p-8));
  }
  CHECK(fill({FOVEA_INITIAL_CONSTANT, 0, 2.5, 0}, "w", 0, 3) == std::vector<float>{2.5, 2.5, 2.5});
}

TEST_CASE("written params come from the weights, or from their initialisers and the seed") {
  std::string path = temporaryPath("trained.safetensors"), packed = temporaryPath("trained.packed");
  writeFile(path, goodWeights());
  Trained loaded(path.c_str());
  CHECK(loaded.read("weight") == std::vector<float>{1, 2, 3, 4});
  CHECK(loaded.read("bias") == std::vector<float>{10, 20, 30, 40});
  CHECK(loaded.read("adam.m.weight") == std::vector<float>{2, 2, 2, 2});
  fovea_tensor weight = {};
  REQUIRE(fovea_context_state(loaded.context, "weight", &weight, &loaded.error) == FOVEA_OK);
  static_cast<float *>(weight.data)[0] = 9;
  fovea_context_reset(loaded.context);
  CHECK(loaded.read("weight") == std::vector<float>{1, 2, 3, 4});
  REQUIRE(fovea_model_pack(loaded.model, packed.c_str(), &loaded.error) == FOVEA_OK);
  Trained mapped(nullptr, 0, packed.c_str());
  CHECK(mapped.read("bias") == std::vector<float>{10, 20, 30, 40});

  Trained scratch(nullptr, 3), same(nullptr, 3), other(nullptr, 4);
  CHECK(scratch.read("weight") == fill(initials[0], "weight", 3, 4));
  CHECK(scratch.read("weight") == same.read("weight"));
  CHECK(scratch.read("weight") != other.read("weight"));
  CHECK(fovea_context_state(scratch.context, "bias", &weight, &scratch.error) == FOVEA_INVALID_ARGUMENT);
  CHECK_CONTAINS(scratch.error.message, "the param `bias` has no initialiser");
  CHECK(fovea_model_pack(scratch.model, packed.c_str(), &scratch.error) == FOVEA_INVALID_ARGUMENT);

  writeFile(path, safetensors(R"({"weight":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}})", floats({1, 2, 3, 4})));
  fovea_model *model = nullptr;
  CHECK(fovea_model_load(&trained, path.c_str(), nullptr, &model, &loaded.error) == FOVEA_WEIGHTS_MISMATCH);
  CHECK_CONTAINS(loaded.error.message, "`bias`");
}
