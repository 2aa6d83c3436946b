#include "FakeProgram.h"

#include <algorithm>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

namespace fovea::test {

void (*onTask)(fovea_exec *exec, int64_t begin, int64_t end) = nullptr;

namespace {

#define PLACE(line) "fake.fov:" #line ":1"

const int64_t four[] = {FOVEA_DIM_PUSH, 4};
const int64_t symbol0[] = {FOVEA_DIM_SYMBOL, 0};
const int64_t symbol1[] = {FOVEA_DIM_SYMBOL, 1};
const int64_t twoN[] = {FOVEA_DIM_PUSH, 2, FOVEA_DIM_SYMBOL, 0, FOVEA_DIM_MUL};
const int64_t rest[] = {FOVEA_DIM_PUSH, 2,  FOVEA_DIM_SYMBOL, 0, FOVEA_DIM_MUL,
                        FOVEA_DIM_PUSH, -1, FOVEA_DIM_SYMBOL, 1, FOVEA_DIM_MUL,
                        FOVEA_DIM_ADD};
const int64_t halfFound[] = {FOVEA_DIM_SYMBOL, 2, FOVEA_DIM_PUSH, 2, FOVEA_DIM_FLOORDIV};
const int64_t limitCode[] = {FOVEA_DIM_PUSH, 100000};
const int64_t afterAt[] = {FOVEA_DIM_SYMBOL, 1, FOVEA_DIM_PUSH, 1, FOVEA_DIM_ADD};
const int64_t symbol2[] = {FOVEA_DIM_SYMBOL, 2};

#define DIM(code, text) {code, static_cast<int64_t>(sizeof(code) / sizeof(code[0])), text}
const fovea_dim dimFour[] = {DIM(four, "4")};
const fovea_dim dimN[] = {DIM(symbol0, "N")};
const fovea_dim dimB4[] = {DIM(symbol0, "B"), DIM(four, "4")};
const fovea_dim dimTwoN[] = {DIM(twoN, "2*N")};
const fovea_dim dimRest[] = {DIM(rest, "2*N - S")};
const fovea_dim dimB[] = {DIM(symbol0, "B")};
const fovea_dim dimOut[] = {DIM(symbol0, "B"), DIM(symbol2, "limit")};
const fovea_dim dimKeys[] = {DIM(symbol0, "B"), DIM(symbol1, "limit")};

/// Inputs and outputs have any alignment.
template <typename T> T load(const void *from, int64_t i) {
  T value;
  memcpy(&value, static_cast<const char *>(from) + i * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}
template <typename T> void store(void *to, int64_t i, T value) {
  memcpy(static_cast<char *>(to) + i * static_cast<int64_t>(sizeof(T)), &value, sizeof(T));
}

/// Runs one launch whose argument block is the frame; it claims work enough for several threads.
int32_t launch(fovea_exec *exec, const fovea_frame *frame, const fovea_kernel_info *info, fovea_task_fn run,
               int64_t tasks, int64_t finish = 0) {
  fovea_path stage = {"stage", exec->path}, layer = {"layers.0", &stage};
  exec->path = &layer;
  fovea_launch one = {info, run, frame, tasks, finish, tasks * 1'000'000, tasks * 4'000'000, "scores"};
  int32_t result = exec->services->parallel(exec, &one);
  exec->path = stage.outer;
  return result;
}

int32_t addTask(fovea_exec *, const void *args, int64_t begin, int64_t end, void *) {
  auto *frame = static_cast<const fovea_frame *>(args);
  for (int64_t i = begin; i < end; ++i)
    store(frame->outputs[0], i, load<float>(frame->inputs[0], i) + load<float>(frame->inputs[1], i));
  return 0;
}

int32_t addEntry(fovea_exec *exec, const fovea_frame *frame) {
  static const fovea_kernel_info info = {"add", "map", PLACE(1)};
  if (exec->dumping) {
    int64_t layout[] = {frame->symbols[0], 1}, backwards[] = {2, (frame->symbols[0] + 1) / 2, 0, -2};
    fovea_path layer = {"layers.0", exec->path};
    exec->path = &layer;
    static const fovea_origin a = {"a", "add", PLACE(1)}, twice = {"twice", "add", PLACE(1)},
                              unnamed = {nullptr, "add", PLACE(1)};
    exec->services->dump(exec, &a, FOVEA_F32, 1, layout, frame->inputs[0]);
    const auto *last = static_cast<const float *>(frame->inputs[0]) + (frame->symbols[0] - 1) / 2 * 2;
    exec->services->dump(exec, &unnamed, FOVEA_F32, 1, layout, frame->inputs[0]);
    exec->services->dump(exec, &twice, FOVEA_F32, 2, backwards, last);
    exec->path = layer.outer;
  }
  return launch(exec, frame, &info, addTask, frame->symbols[0]);
}

int32_t affineTask(fovea_exec *, const void *args, int64_t begin, int64_t end, void *) {
  auto *frame = static_cast<const fovea_frame *>(args);
  auto *weight = static_cast<const float *>(frame->params[0]), *doubled = static_cast<const float *>(frame->derived[0]);
  for (int64_t i = begin * 4; i < end * 4; ++i)
    store(frame->outputs[0], i, load<float>(frame->inputs[0], i) * weight[i % 4] + doubled[i % 4]);
  return 0;
}

int32_t affineEntry(fovea_exec *exec, const fovea_frame *frame) {
  static const fovea_kernel_info info = {"affine", "matmul", PLACE(2)};
  return launch(exec, frame, &info, affineTask, frame->symbols[0]);
}

int32_t lookupTask(fovea_exec *exec, const void *args, int64_t begin, int64_t end, void *) {
  auto *frame = static_cast<const fovea_frame *>(args);
  for (int64_t i = begin; i < end; ++i) {
    auto id = load<int64_t>(frame->inputs[0], i);
    if (id < 0 || id >= 10) {
      exec->services->fail(exec, FOVEA_FAIL_INDEX_OUT_OF_RANGE, PLACE(3), i, id, 0, 10);
      return 1;
    }
    store(frame->outputs[0], i, id * id);
  }
  return 0;
}

/// Ignores the outcome, as generated code does: later launches do nothing.
int32_t lookupEntry(fovea_exec *exec, const fovea_frame *frame) {
  static const fovea_kernel_info info = {"lookup", "map", PLACE(3)};
  launch(exec, frame, &info, lookupTask, frame->symbols[0]);
  launch(exec, frame, &info, lookupTask, frame->symbols[0]);
  return 0;
}

int32_t tailEntry(fovea_exec *, const fovea_frame *frame) {
  int64_t start = frame->symbols[1], count = 2 * frame->symbols[0] - start;
  for (int64_t i = 0; i < count; ++i)
    store(frame->outputs[0], i, load<float>(frame->inputs[0], start + i));
  return 0;
}

int32_t pushEntry(fovea_exec *, const fovea_frame *frame) {
  int64_t batch = frame->symbols[0], at = frame->symbols[1], limit = frame->symbols[2];
  auto *keys = static_cast<float *>(frame->states[0]);
  for (int64_t b = 0; b < batch; ++b)
    keys[b * limit + at] = load<float>(frame->inputs[0], b);
  for (int64_t i = 0; i < batch * limit; ++i)
    store(frame->outputs[0], i, keys[i]);
  return 0;
}

int32_t slowTask(fovea_exec *exec, const void *args, int64_t begin, int64_t end, void *scratch) {
  auto *frame = static_cast<const fovea_frame *>(args);
  if (reinterpret_cast<uintptr_t>(scratch) % 64 || reinterpret_cast<uintptr_t>(exec->shared) % 64 ||
      reinterpret_cast<uintptr_t>(frame->arena) % 64) {
    exec->services->fail(exec, FOVEA_FAIL_ASSERT, "alignment", begin, 0, 0, 0);
    return 1;
  }
  memset(scratch, 1, 128); // its own, all of it: a sanitizer watches
  auto *shared = reinterpret_cast<double *>(exec->shared);
  if (begin >= frame->symbols[0]) { // the one that finishes
    for (int64_t i = 0; i < frame->symbols[0]; ++i)
      if (shared[i] != load<float>(frame->inputs[0], i)) {
        exec->services->fail(exec, FOVEA_FAIL_ASSERT, "a task is missing", i, 0, 0, 0);
        return 1;
      }
    return 0;
  }
  if (onTask)
    onTask(exec, begin, end);
  for (int64_t i = begin; i < end; ++i) {
    reinterpret_cast<float *>(frame->arena)[i] = load<float>(frame->inputs[0], i);
    shared[i] = load<float>(frame->inputs[0], i);
    store(frame->outputs[0], i, reinterpret_cast<float *>(frame->arena)[i] + 1);
  }
  return 0;
}

int32_t slowEntry(fovea_exec *exec, const fovea_frame *frame) {
  static const fovea_kernel_info info = {"slow", "map", PLACE(6)};
  return launch(exec, frame, &info, slowTask, frame->symbols[0], 1);
}

int32_t doubleBias(fovea_exec *, const fovea_frame *frame) {
  for (int i = 0; i < 4; ++i)
    static_cast<float *>(frame->derived[0])[i] = 2 * static_cast<const float *>(frame->params[1])[i];
  return 0;
}

int64_t noBytes(const int64_t *) { return 0; }
int64_t slowArena(const int64_t *symbols) { return symbols[0] * 4; }
int64_t slowScratch(const int64_t *) { return 128; }
int64_t slowShared(const int64_t *symbols) { return symbols[0] * 8; }

const fovea_entry_code code[] = {{addEntry, noBytes, noBytes, noBytes, {nullptr, 0, "0"}},
                                 {affineEntry, noBytes, noBytes, noBytes, {nullptr, 0, "0"}},
                                 {lookupEntry, noBytes, noBytes, noBytes, {nullptr, 0, "0"}},
                                 {tailEntry, noBytes, noBytes, noBytes, {nullptr, 0, "0"}},
                                 {pushEntry, noBytes, noBytes, noBytes, {nullptr, 0, "0"}},
                                 {slowEntry, slowArena, slowScratch, slowShared, {nullptr, 0, "4*N"}}};
const fovea_entry_code prepare[] = {{doubleBias, noBytes, noBytes, noBytes, {nullptr, 0, "0"}}};
const fovea_derived derived[] = {{"bias.doubled", 16, 0, FOVEA_F32}};
const int32_t direct[] = {0}; // `weight`
const char *const impossible[] = {"avx9000", nullptr};
const char *const none[] = {nullptr};
const fovea_target future = {"x86-64-v99", impossible, code, prepare, 1, 1, derived, direct, 1, 0, {99}};
const fovea_target plain = {"plain", none, code, prepare, 1, 1, derived, direct, 1, 0, {1, 2, 3}};
const fovea_target *const targets[] = {&future, &plain};

const fovea_tensor_spec addInputs[] = {{"a", PLACE(10), FOVEA_F32, 1, dimN}, {"b", PLACE(11), FOVEA_F32, 1, dimN}};
const fovea_tensor_spec addOutputs[] = {{"sum", PLACE(1), FOVEA_F32, 1, dimN}};
const fovea_tensor_spec affineInputs[] = {{"x", PLACE(12), FOVEA_F32, 2, dimB4}};
const fovea_tensor_spec affineOutputs[] = {{"y", PLACE(2), FOVEA_F32, 2, dimB4}};
const fovea_tensor_spec lookupInputs[] = {{"ids", PLACE(13), FOVEA_I64, 1, dimN}};
const fovea_tensor_spec lookupOutputs[] = {{"squares", PLACE(3), FOVEA_I64, 1, dimN}};
const fovea_tensor_spec tailInputs[] = {{"x", PLACE(14), FOVEA_F32, 1, dimTwoN},
                                        {"start", PLACE(15), FOVEA_I64, 0, nullptr}};
const fovea_tensor_spec tailOutputs[] = {{"rest", PLACE(4), FOVEA_F32, 1, dimRest}};
const fovea_tensor_spec pushInputs[] = {{"x", PLACE(16), FOVEA_F32, 1, dimB}, {"at", PLACE(17), FOVEA_I64, 0, nullptr}};
const fovea_tensor_spec pushOutputs[] = {{"keys", PLACE(5), FOVEA_F32, 2, dimOut}};
const fovea_tensor_spec slowInputs[] = {{"x", PLACE(18), FOVEA_F32, 1, dimN}};

const fovea_binding bindN[] = {{0, 0, 0, 0, {nullptr, 0, nullptr}}};
const fovea_binding bindTail[] = {{0, 0, 0, 0, DIM(halfFound, "found // 2")}, {1, 1, -1, 0, {nullptr, 0, nullptr}}};
const fovea_binding bindPush[] = {
    {0, 0, 0, 0, {nullptr, 0, nullptr}}, {1, 1, -1, 0, {nullptr, 0, nullptr}}, {2, -1, 1, 0, {nullptr, 0, nullptr}}};
const fovea_require requireAdd[] = {
    {DIM(symbol0, "N"), DIM(limitCode, "100000"), FOVEA_LE, 0, "N <= 100000", PLACE(20)}};
const fovea_require requireTail[] = {{DIM(symbol1, "S"), DIM(twoN, "2*N"), FOVEA_LE, 0, "start <= 2*N", PLACE(21)}};
const fovea_require requirePush[] = {
    {DIM(afterAt, "at + 1"), DIM(symbol2, "limit"), FOVEA_LE, 0, "at + 1 <= limit", PLACE(22)}};
const char *const namesN[] = {"N"}, *const namesB[] = {"B"}, *const namesTail[] = {"N", "S"},
                  *const namesPush[] = {"B", "at", "limit"};
const int32_t noStates[] = {-1, -1}, pushSymbols[] = {0, 2}, pushStates[] = {0};

const fovea_entry entries[] = {
    {"add", "Adds.\nTwo lines.", 2, 1, 1, 1, 1, 0, addInputs, addOutputs, namesN, bindN, requireAdd, nullptr, noStates,
     0, 0},
    {"affine", "", 1, 1, 1, 1, 0, 0, affineInputs, affineOutputs, namesB, bindN, nullptr, nullptr, noStates, 0, 0},
    {"lookup", nullptr, 1, 1, 1, 1, 0, 0, lookupInputs, lookupOutputs, namesN, bindN, nullptr, nullptr, noStates, 0, 0},
    {"tail", nullptr, 2, 1, 2, 2, 1, 0, tailInputs, tailOutputs, namesTail, bindTail, requireTail, nullptr, noStates, 0,
     0},
    {"push", nullptr, 2, 1, 3, 3, 1, 1, pushInputs, pushOutputs, namesPush, bindPush, requirePush, pushStates,
     pushSymbols, 0, 0},
    {"slow", nullptr, 1, 1, 1, 1, 0, 0, slowInputs, addOutputs, namesN, bindN, nullptr, nullptr, noStates, 0, 0},
};
const fovea_tensor_spec params[] = {{"weight", PLACE(30), FOVEA_F32, 1, dimFour},
                                    {"bias", PLACE(31), FOVEA_F32, 1, dimFour}};
const fovea_tensor_spec states[] = {{"keys", PLACE(32), FOVEA_F32, 2, dimKeys}};
const char *const stateSymbols[] = {"B", "limit"};
const fovea_initial initial[] = {{FOVEA_INITIAL_CONSTANT, 0, -1, 0}};
const fovea_program program = {FOVEA_ABI_VERSION, 6,       2,      1, 2, 2, "fake", entries, params, states, targets,
                               stateSymbols,      initial, nullptr};

/// A folder that goes with the process.
struct TemporaryFolder {
  std::string path = [] {
    char name[] = "/tmp/fovea-test-XXXXXX";
    return std::string(mkdtemp(name));
  }();
  ~TemporaryFolder() {
    for (const std::string &file : temporaryFiles())
      remove((path + "/" + file).c_str());
    rmdir(path.c_str());
  }
};
TemporaryFolder &folder() {
  static TemporaryFolder folder;
  return folder;
}

} // namespace

const fovea_program *fakeProgram() { return &program; }

std::string temporaryPath(const std::string &name) { return folder().path + "/" + name; }

void writeFile(const std::string &path, const std::string &bytes) {
  FILE *file = fopen(path.c_str(), "wb");
  REQUIRE(file);
  REQUIRE(fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size());
  fclose(file);
}

std::string readFile(const std::string &path) {
  std::string bytes;
  FILE *file = fopen(path.c_str(), "rb");
  REQUIRE(file);
  char buffer[4096];
  for (size_t count; (count = fread(buffer, 1, sizeof(buffer), file)) > 0;)
    bytes.append(buffer, count);
  fclose(file);
  return bytes;
}

std::vector<std::string> temporaryFiles() {
  std::vector<std::string> names;
  DIR *directory = opendir(folder().path.c_str());
  while (dirent *entry = readdir(directory))
    if (std::string name = entry->d_name; name != "." && name != "..")
      names.push_back(entry->d_name);
  closedir(directory);
  std::sort(names.begin(), names.end());
  return names;
}

std::string safetensors(const std::string &header, const std::string &data) {
  std::string bytes;
  for (int i = 0; i < 8; ++i)
    bytes += static_cast<char>(static_cast<uint64_t>(header.size()) >> (8 * i));
  return bytes + header + data;
}

std::string floats(std::initializer_list<float> values) {
  std::string bytes;
  for (float value : values)
    bytes.append(reinterpret_cast<const char *>(&value), sizeof(value));
  return bytes;
}

std::string goodWeights() {
  std::string header = R"({"weight":{"dtype":"F32","shape":[4],"data_offsets":[0,16]},)"
                       R"("bias":{"dtype":"F32","shape":[4],"data_offsets":[16,32]}})";
  header.resize((header.size() + 7) / 8 * 8, ' '); // aligned, so that nothing has to be copied
  return safetensors(header, floats({1, 2, 3, 4, 10, 20, 30, 40}));
}

Loaded::Loaded(const fovea_context_options *options, const fovea_load_options *load) {
  std::string path = temporaryPath("weights.safetensors");
  writeFile(path, goodWeights());
  INFO(std::string(error.message));
  REQUIRE(fovea_model_load(fakeProgram(), path.c_str(), load, &model, &error) == FOVEA_OK);
  REQUIRE(fovea_context_create(model, options, &context, &error) == FOVEA_OK);
}

Loaded::~Loaded() {
  fovea_context_destroy(context);
  fovea_model_destroy(model);
}

} // namespace fovea::test
