#include "FakeProgram.h"

#include <stdlib.h>

using namespace fovea::test;

namespace {
/// Counts, checks sizes, and fails at the n-th allocation.
struct Counter {
  int64_t calls = 0, failAt = -1, live = 0, liveBytes = 0;
  fovea_allocator hooks = {allocate, release, this};

  static void *allocate(void *user, size_t bytes, size_t alignment) {
    auto &counter = *static_cast<Counter *>(user);
    CHECK(bytes > 0);
    if (counter.calls++ == counter.failAt)
      return nullptr;
    size_t unit = alignment < 16 ? 16 : alignment;
    void *memory = aligned_alloc(unit, (bytes + unit - 1) / unit * unit);
    ++counter.live;
    counter.liveBytes += static_cast<int64_t>(bytes);
    return memory;
  }
  static void release(void *user, void *memory, size_t bytes) {
    auto &counter = *static_cast<Counter *>(user);
    --counter.live;
    counter.liveBytes -= static_cast<int64_t>(bytes);
    free(memory);
  }
};
} // namespace

/// Loads, makes a context, runs two entries, saves the states and takes them back.
static fovea_code everything(const fovea_allocator *hooks, const std::string &path, fovea_error *error) {
  fovea_load_options load = {};
  load.allocator = hooks;
  load.threads = 2;
  fovea_model *model;
  fovea_context *context = nullptr;
  if (fovea_code code = fovea_model_load(fakeProgram(), path.c_str(), &load, &model, error))
    return code;
  fovea_size limit = {"limit", 4};
  fovea_context_options options = {};
  options.threads = 2;
  options.profile_events = 10;
  options.sizes = &limit;
  options.size_count = 1;
  fovea_code code = fovea_context_create(model, &options, &context, error);
  std::vector<float> x(100, 1), y(100), keys(4);
  std::vector<int64_t> at = {0};
  fovea_tensor in = tensor(FOVEA_F32, {100}, x), out = tensor(FOVEA_F32, {100}, y);
  fovea_tensor pushed[] = {tensor(FOVEA_F32, {1}, x), tensor(FOVEA_I64, {}, at)},
               keysOut = tensor(FOVEA_F32, {1, 4}, keys);
  if (!code)
    code = fovea_run(context, Slow, &in, 1, &out, 1, error);
  if (!code)
    code = fovea_run(context, Push, pushed, 2, &keysOut, 1, error);
  std::string states = temporaryPath("allocated.states");
  if (!code)
    code = fovea_context_save_params(context, states.c_str(), error);
  if (!code)
    code = fovea_context_save(context, states.c_str(), error);
  if (!code)
    code = fovea_context_load(context, states.c_str(), error);
  if (!code)
    CHECK(y[99] == 2);
  fovea_context_destroy(context);
  fovea_model_destroy(model);
  return code;
}

TEST_CASE("allocation: each one that fails gives a status, and nothing is lost") {
  for (const char *file : {"plain.safetensors", "escaped.safetensors", "model.safetensors.index.json"}) {
    std::string path = temporaryPath(file);
    std::string halves = safetensors(
        R"({"wei\u0067ht":{"dtype":"F16","shape":[4],"data_offsets":[0,8]},"bias":{"dtype":"F32","shape":[4],"data_offsets":[8,24]}})",
        std::string(8, '\0') + floats({1, 2, 3, 4}));
    writeFile(temporaryPath("plain.safetensors"), goodWeights());
    writeFile(temporaryPath("escaped.safetensors"), halves);
    writeFile(temporaryPath("model.safetensors.index.json"),
              R"({"weight_map":{"weight":"plain.safetensors","bias":"escaped.safetensors"}})");
    Counter all;
    fovea_error error = {};
    INFO(file);
    REQUIRE(everything(&all.hooks, path, &error) == FOVEA_OK);
    CHECK(all.live == 0);
    CHECK(all.liveBytes == 0);
    CHECK(all.calls > 10);
    for (int64_t n = 0; n < all.calls; ++n) {
      Counter counter;
      counter.failAt = n;
      error = {};
      INFO("allocation ", n);
      CHECK(everything(&counter.hooks, path, &error) == FOVEA_OUT_OF_MEMORY);
      CHECK_CONTAINS(error.message, "out of memory");
      CHECK(counter.live == 0);
      CHECK(counter.liveBytes == 0);
    }
  }
}

/// Packs weights and loads what is packed, explicitly and from a folder.
static fovea_code packAndLoad(const fovea_allocator *hooks, const std::string &weights, fovea_error *error) {
  fovea_load_options load = {};
  load.allocator = hooks;
  fovea_model *model;
  if (fovea_code code = fovea_model_load(fakeProgram(), weights.c_str(), &load, &model, error))
    return code;
  std::string packed = temporaryPath("allocated.packed"), folder = temporaryPath("");
  fovea_code code = fovea_model_pack(model, packed.c_str(), error);
  if (!code)
    code = fovea_model_keep(model, folder.c_str(), error);
  fovea_model_destroy(model);
  if (code)
    return code;
  load.packed = packed.c_str();
  if (fovea_code code = fovea_model_load(fakeProgram(), nullptr, &load, &model, error))
    return code;
  fovea_model_destroy(model);
  return FOVEA_OK;
}

TEST_CASE("allocation: each one that fails while weights are packed gives a status, and leaves no file behind") {
  std::string weights = temporaryPath("plain.safetensors");
  writeFile(weights, goodWeights());
  Counter all;
  fovea_error error = {};
  INFO(std::string(error.message));
  REQUIRE(packAndLoad(&all.hooks, weights, &error) == FOVEA_OK);
  CHECK(all.live == 0);
  size_t files = temporaryFiles().size();
  for (int64_t n = 0; n < all.calls; ++n) {
    Counter counter;
    counter.failAt = n;
    error = {};
    INFO("allocation ", n);
    CHECK(packAndLoad(&counter.hooks, weights, &error) == FOVEA_OUT_OF_MEMORY);
    CHECK_CONTAINS(error.message, "out of memory");
    CHECK(counter.live == 0);
    CHECK(temporaryFiles().size() == files);
  }
}

TEST_CASE("allocation: none in a second run at the same or smaller sizes, one in a larger") {
  Counter counter;
  fovea_load_options load = {};
  load.allocator = &counter.hooks;
  {
    Loaded loaded(nullptr, &load);
    std::vector<float> x(300), y(300);
    auto run = [&](int64_t n) {
      fovea_tensor in = tensor(FOVEA_F32, {n}, x), out = tensor(FOVEA_F32, {n}, y);
      int64_t before = counter.calls;
      CHECK(fovea_run(loaded.context, Slow, &in, 1, &out, 1, &loaded.error) == FOVEA_OK);
      return counter.calls - before;
    };
    CHECK(run(100) == 1);
    CHECK(run(100) == 0);
    CHECK(run(7) == 0);
    CHECK(run(300) == 1);
    CHECK(run(300) == 0);
    fovea_tensor in = tensor(FOVEA_F32, {300}, x);
    int64_t arena = 0, scratch = 0;
    CHECK(fovea_arena_bytes(loaded.context, Slow, &in, 1, &arena, &scratch, nullptr) == FOVEA_OK);
    CHECK(arena >= 1200);
    CHECK(arena % 64 == 0);
    CHECK(scratch >= 128);
    CHECK(scratch % 64 == 0);
    int64_t same = 0;
    CHECK(fovea_arena_bytes(loaded.context, Slow, &in, 1, &same, nullptr, nullptr) == FOVEA_OK);
    CHECK(same == arena);
    fovea_run_info info;
    fovea_context_run_info(loaded.context, &info);
    CHECK(info.arena_bytes == arena);
    CHECK(info.scratch_bytes == scratch);
  }
  CHECK(counter.live == 0);
}
