// A generated library, loaded and run through the C API. Tests get the folder with the libraries in FOVEA_PROGRAMS.
#pragma once

#include "fovea/fovea.h"

#include <doctest/doctest.h>

#include <dlfcn.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace fovea::test {

/// f32 numbers in [-1, 1), the same in every run.
class Numbers {
public:
  explicit Numbers(uint64_t seed) : state(seed * 2654435769u + 1) {}
  uint64_t next() {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return state >> 33;
  }
  float real() { return float(next()) / float(1u << 30) - 1; }
  std::vector<float> reals(int64_t count) {
    std::vector<float> out(count);
    for (float &x : out)
      x = real();
    return out;
  }

private:
  uint64_t state;
};

template <typename T> fovea_tensor tensor(fovea_dtype dtype, std::vector<int64_t> shape, T *data) {
  fovea_tensor out{dtype, int32_t(shape.size()), {}, const_cast<void *>(static_cast<const void *>(data))};
  for (size_t i = 0; i < shape.size(); ++i)
    out.shape[i] = shape[i];
  return out;
}
inline fovea_tensor tensor(std::vector<int64_t> shape, std::vector<float> &data) {
  return tensor(FOVEA_F32, std::move(shape), data.data());
}

/// A model of the library `lib<name>.so`, for `target` (null: the best), with one context. Where several libraries are
/// of one model, what stands behind a `-` in the name tells them apart.
struct Program {
  fovea_error error{};
  const fovea_program *program = nullptr;
  fovea_model *model = nullptr;
  fovea_context *context = nullptr;

  /// False, with a reason in `error`, where this machine can't run the target.
  bool load(const std::string &name, const char *weights, const char *target = nullptr, int32_t threads = 1,
            std::vector<fovea_size> sizes = {}, uint64_t seed = 0) {
    const char *folder = std::getenv("FOVEA_PROGRAMS");
    REQUIRE(folder != nullptr);
    void *library = dlopen((std::string(folder) + "/lib" + name + ".so").c_str(), RTLD_NOW | RTLD_LOCAL);
    REQUIRE(library != nullptr);
    auto function = reinterpret_cast<const fovea_program *(*)()>(
        dlsym(library, (name.substr(0, name.find('-')) + "_program").c_str()));
    bool found = function != nullptr;
    REQUIRE(found);
    program = function();
    fovea_load_options options{};
    options.target = target;
    options.threads = 1;
    fovea_code code = fovea_model_load(program, weights, &options, &model, &error);
    if (code == FOVEA_UNSUPPORTED_CPU)
      return false;
    INFO(error.message);
    REQUIRE(code == FOVEA_OK);
    fovea_context_options contextOptions{};
    contextOptions.threads = threads;
    contextOptions.sizes = sizes.data();
    contextOptions.size_count = int32_t(sizes.size());
    contextOptions.seed = seed;
    REQUIRE(fovea_context_create(model, &contextOptions, &context, &error) == FOVEA_OK);
    return true;
  }
  ~Program() {
    fovea_context_destroy(context);
    fovea_model_destroy(model);
  }

  fovea_code tryRun(const char *entry, std::vector<fovea_tensor> inputs, std::vector<fovea_tensor> outputs) {
    return fovea_run(context, fovea_find_entry(program, entry), inputs.data(), int32_t(inputs.size()), outputs.data(),
                     int32_t(outputs.size()), &error);
  }
  void run(const char *entry, std::vector<fovea_tensor> inputs, std::vector<fovea_tensor> outputs) {
    fovea_code code = tryRun(entry, std::move(inputs), std::move(outputs));
    INFO(error.message);
    REQUIRE(code == FOVEA_OK);
  }
};

inline bool sameBits(const float *a, const float *b, size_t count) { return std::memcmp(a, b, count * 4) == 0; }

} // namespace fovea::test
