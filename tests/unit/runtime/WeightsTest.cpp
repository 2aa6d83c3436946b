#include "FakeProgram.h"

#include <string.h>

using namespace fovea::test;

namespace {
struct LoadResult {
  fovea_code code;
  std::string message, notes;
  float y[4] = {};
};
} // namespace

/// Loads `bytes` and, where that succeeds, runs affine on ones.
static LoadResult load(const std::string &bytes, const char *prefix = nullptr) {
  std::string path = temporaryPath("tested.safetensors");
  writeFile(path, bytes);
  LoadResult result = {};
  fovea_load_options options = {};
  options.prefix = prefix;
  options.user = &result;
  options.note = [](void *user, const char *text) { static_cast<LoadResult *>(user)->notes += text; };
  fovea_model *model;
  fovea_error error = {};
  result.code = fovea_model_load(fakeProgram(), path.c_str(), &options, &model, &error);
  result.message = error.message;
  if (result.code) {
    CHECK(model == nullptr);
    return result;
  }
  fovea_context *context;
  REQUIRE(fovea_context_create(model, nullptr, &context, &error) == FOVEA_OK);
  std::vector<float> x(4, 1.0f), y(4);
  fovea_tensor in = tensor(FOVEA_F32, {1, 4}, x), out = tensor(FOVEA_F32, {1, 4}, y);
  CHECK(fovea_run(context, Affine, &in, 1, &out, 1, &error) == FOVEA_OK);
  memcpy(result.y, y.data(), sizeof(result.y));
  fovea_context_destroy(context);
  fovea_model_destroy(model);
  return result;
}

static std::string two(const char *first, const char *second, const std::string &data) {
  return safetensors(std::string("{\"weight\":") + first + ",\"bias\":" + second + "}", data);
}

TEST_CASE("weights: loaded, prepared, and the target that runs here chosen") {
  LoadResult result = load(goodWeights());
  CHECK(result.code == FOVEA_OK);
  CHECK(result.y[0] == 21);
  CHECK(result.y[3] == 84);
  CHECK(result.notes.empty());
  Loaded loaded;
  CHECK(strcmp(fovea_model_target(loaded.model), "plain") == 0);
  CHECK(fovea_model_bytes(loaded.model) == 16);
  CHECK(fovea_model_program(loaded.model) == fakeProgram());
}

TEST_CASE("weights: f16 and bf16 widen, unaligned tensors are copied") {
  std::string halves("\x00\x3c\x00\x40\x00\x42\x00\x44", 8), bf16("\x80\x3f\x80\x3f\x80\x3f\x00\xc0", 8);
  LoadResult result = load(two(R"({"dtype":"F16","shape":[4],"data_offsets":[0,8]})",
                               R"({"dtype":"BF16","shape":[4],"data_offsets":[8,16]})", halves + bf16));
  CHECK(result.code == FOVEA_OK);
  CHECK(result.y[1] == 4);
  CHECK(result.y[3] == 0);
  std::string odd = safetensors(
      R"({"pad":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"weight":{"dtype":"F32","shape":[4],"data_offsets":[1,17]},)"
      R"("bias":{"dtype":"F32","shape":[4],"data_offsets":[17,33]}})",
      "x" + floats({1, 2, 3, 4, 10, 20, 30, 40}));
  result = load(odd);
  CHECK(result.code == FOVEA_OK);
  CHECK(result.y[0] == 21);
  CHECK_CONTAINS(result.notes, "1 of the file's 3 tensors is not used: `pad`");
}

TEST_CASE("weights: what does not fit is named") {
  LoadResult result =
      load(two(R"({"dtype":"F32","shape":[2,2],"data_offsets":[0,16]})",
               R"({"dtype":"I32","shape":[4],"data_offsets":[16,32]})", floats({1, 2, 3, 4, 5, 6, 7, 8})));
  CHECK(result.code == FOVEA_WEIGHTS_MISMATCH);
  CHECK_CONTAINS(result.message, "tensor `weight` is f32[2, 2] in the file, and f32[4] in the program (fake.fov:30:1)");
  CHECK_CONTAINS(result.message, "tensor `bias` is i32[4] in the file, and f32[4] in the program");
  result = load(safetensors(R"({"wieght":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}})", floats({1, 2, 3, 4})));
  CHECK(result.code == FOVEA_WEIGHTS_MISMATCH);
  CHECK_CONTAINS(result.message, "tensor `weight` (fake.fov:30:1) is missing; nearest: `wieght`");
  CHECK_CONTAINS(result.message, "tensor `bias` (fake.fov:31:1) is missing");
  result = load("{}");
  CHECK(result.code == FOVEA_BAD_FILE);
}

TEST_CASE("weights: prefixes") {
  std::string prefixed = safetensors(
      R"({"m.weight":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},"m.bias":{"dtype":"F32","shape":[4],"data_offsets":[16,32]}})",
      floats({1, 2, 3, 4, 10, 20, 30, 40}));
  CHECK(load(prefixed, "m.").code == FOVEA_OK);
  LoadResult result = load(prefixed);
  CHECK(result.code == FOVEA_WEIGHTS_MISMATCH);
  CHECK_CONTAINS(result.message, "with the prefix `m.` 2 of 2 tensors are there");
  result = load(goodWeights(), "m.");
  CHECK(result.code == FOVEA_WEIGHTS_MISMATCH);
  CHECK_CONTAINS(result.message, "tensor `m.weight`");
  CHECK_CONTAINS(result.message, "without a prefix 2 of 2 tensors are there");
}

#if defined(__x86_64__)
TEST_CASE("model: a target that is slower on this processor is chosen by name, or where there is no other") {
  std::string path = temporaryPath("weights.safetensors");
  writeFile(path, goodWeights());
  const char *const features[] = {"sse2", "-fxsr", nullptr}; // every x86-64 has both
  fovea_target slower = *fakeProgram()->targets[1];
  slower.name = "slower", slower.features = features;
  const fovea_target *targets[] = {&slower, fakeProgram()->targets[1]};
  fovea_program program = *fakeProgram();
  program.targets = targets;
  auto chosen = [&](const char *wanted, int32_t count) {
    program.target_count = count;
    fovea_load_options options = {};
    options.target = wanted;
    fovea_model *model;
    fovea_error error = {};
    REQUIRE(fovea_model_load(&program, path.c_str(), &options, &model, &error) == FOVEA_OK);
    std::string name = fovea_model_target(model);
    fovea_model_destroy(model);
    return name;
  };
  CHECK(chosen(nullptr, 2) == "plain");
  CHECK(chosen("slower", 2) == "slower");
  CHECK(chosen(nullptr, 1) == "slower");
}
#endif

TEST_CASE("model: targets, programs and files that can't be") {
  fovea_model *model;
  fovea_error error = {};
  fovea_load_options options = {};
  std::string path = temporaryPath("weights.safetensors");
  writeFile(path, goodWeights());
  options.target = "x86-64-v99";
  CHECK(fovea_model_load(fakeProgram(), path.c_str(), &options, &model, &error) == FOVEA_UNSUPPORTED_CPU);
  CHECK_CONTAINS(error.message, "`avx9000`");
  options.target = "arm";
  CHECK(fovea_model_load(fakeProgram(), path.c_str(), &options, &model, &error) == FOVEA_INVALID_ARGUMENT);
  CHECK_CONTAINS(error.message, "`x86-64-v99`, `plain`");
  CHECK(fovea_model_load(fakeProgram(), nullptr, nullptr, &model, &error) == FOVEA_INVALID_ARGUMENT);
  CHECK(fovea_model_load(nullptr, nullptr, nullptr, &model, &error) == FOVEA_INVALID_ARGUMENT);
  fovea_program other = *fakeProgram();
  other.target_count = 1;
  CHECK(fovea_model_load(&other, path.c_str(), nullptr, &model, &error) == FOVEA_UNSUPPORTED_CPU);
  other.abi_version = FOVEA_ABI_VERSION + 1;
  CHECK(fovea_model_load(&other, path.c_str(), nullptr, &model, &error) == FOVEA_BAD_PROGRAM);
  CHECK(fovea_model_load(fakeProgram(), "/nonexistent", nullptr, &model, nullptr) == FOVEA_FILE_ERROR);
}
