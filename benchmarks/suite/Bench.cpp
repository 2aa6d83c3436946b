// Times one entry of a generated library against the machine's limits, in one process and interleaved with them.
//
//   fovea-bench LIB.so ENTRY --shape 1,128 --shape 1,128 [--weights F] [--threads N] [--repeats N] [--cold] --flops N --bytes N
//
// Prints one line of JSON: the limits, and min, median and max of the run's seconds. Inputs are deterministic: floats in
// [-1, 1], integers 0 to 99, bools true. With --cold the inputs and the weights are driven out of the caches' upper levels
// by reading 64 MiB before each run. Tensors lie as the runtime's own memory does: on huge pages where there are any.
#include "benchmarks/suite/Limits.h"
#include "fovea/fovea.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <string>
#include <sys/mman.h>
#include <vector>

using namespace fovea::bench;

namespace {

struct Options {
  std::string library, entry, weights;
  std::vector<std::vector<int64_t>> shapes;
  int threads = 1, repeats = 20;
  bool cold = false;
  double flops = 0, bytes = 0;
};

[[noreturn]] void fail(const std::string &message) {
  std::fprintf(stderr, "fovea-bench: %s\n", message.c_str());
  std::exit(1);
}

std::vector<int64_t> parseShape(const char *text) {
  std::vector<int64_t> shape;
  for (char *end; *text; text = *end ? end + 1 : end)
    shape.push_back(std::strtoll(text, &end, 10));
  return shape;
}

Options parse(int argc, char **argv) {
  Options options;
  std::vector<std::string> words;
  for (int i = 1; i < argc; ++i) {
    std::string word = argv[i];
    auto value = [&] { return i + 1 < argc ? argv[++i] : (fail(word + " needs a value"), argv[0]); };
    if (word == "--shape")
      options.shapes.push_back(parseShape(value()));
    else if (word == "--weights")
      options.weights = value();
    else if (word == "--threads")
      options.threads = std::atoi(value());
    else if (word == "--repeats")
      options.repeats = std::atoi(value());
    else if (word == "--flops")
      options.flops = std::atof(value());
    else if (word == "--bytes")
      options.bytes = std::atof(value());
    else if (word == "--cold")
      options.cold = true;
    else
      words.push_back(word);
  }
  if (words.size() != 2)
    fail("wants a library and an entry");
  options.library = words[0];
  options.entry = words[1];
  return options;
}

const fovea_program *open(const std::string &path) {
  void *library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library)
    fail(dlerror());
  std::string name = path.substr(path.rfind('/') + 1);
  name = name.substr(3, name.size() - 6) + "_program"; // lib<prefix>.so
  auto function = reinterpret_cast<const fovea_program *(*)()>(dlsym(library, name.c_str()));
  if (!function)
    fail(dlerror());
  return function();
}

/// Tensors and their data, which stays until the process ends.
struct Tensors {
  std::vector<fovea_tensor> tensors;

  void allocate() {
    for (fovea_tensor &tensor : tensors) {
      int64_t count = 1;
      for (int i = 0; i < tensor.rank; ++i)
        count *= tensor.shape[i];
      constexpr size_t page = 2 << 20;
      size_t bytes = (count * fovea_dtype_size(tensor.dtype) + page) / page * page;
      tensor.data = std::aligned_alloc(page, bytes);
      if (!tensor.data)
        fail("out of memory");
      madvise(tensor.data, bytes, MADV_HUGEPAGE);
      fill(tensor, count);
    }
  }
  static void fill(fovea_tensor &tensor, int64_t count) {
    uint32_t state = 12345;
    for (int64_t i = 0; i < count; ++i) {
      state = state * 1664525 + 1013904223;
      if (tensor.dtype == FOVEA_F32)
        static_cast<float *>(tensor.data)[i] = static_cast<float>(state >> 8) / 8388608.0f - 1.0f;
      else if (tensor.dtype == FOVEA_I64)
        static_cast<int64_t *>(tensor.data)[i] = (state >> 8) % 100;
      else if (tensor.dtype == FOVEA_BOOL)
        static_cast<unsigned char *>(tensor.data)[i] = 1;
    }
  }
};

struct Spread {
  double min, median, max;
};

Spread spreadOf(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return {values.front(), values[values.size() / 2], values.back()};
}

void evict(std::vector<float> &buffer) {
  if (buffer.empty())
    buffer.resize(16 << 20, 1.0f);
  float sum = 0;
  for (size_t i = 0; i < buffer.size(); i += 16)
    sum += buffer[i] += 1.0f;
  asm volatile("" : : "x"(sum));
}

} // namespace

int main(int argc, char **argv) {
  Options options = parse(argc, argv);
  const fovea_program *program = open(options.library);
  fovea_error error;
  fovea_model *model;
  if (fovea_model_load(program, options.weights.empty() ? nullptr : options.weights.c_str(), nullptr, &model, &error))
    fail(error.message);
  fovea_context_options contextOptions = {};
  contextOptions.threads = options.threads;
  fovea_context *context;
  if (fovea_context_create(model, &contextOptions, &context, &error))
    fail(error.message);
  int32_t entry = fovea_find_entry(program, options.entry.c_str());
  if (entry < 0)
    fail("no entry " + options.entry);

  const fovea_entry &table = program->entries[entry];
  if (options.shapes.size() != static_cast<size_t>(table.input_count))
    fail("the entry takes " + std::to_string(table.input_count) + " inputs: one --shape each");
  Tensors inputs, outputs;
  for (int32_t i = 0; i < table.input_count; ++i) {
    fovea_tensor tensor = {};
    tensor.dtype = table.inputs[i].dtype;
    tensor.rank = static_cast<int32_t>(options.shapes[i].size());
    std::copy(options.shapes[i].begin(), options.shapes[i].end(), tensor.shape);
    inputs.tensors.push_back(tensor);
  }
  inputs.allocate();
  outputs.tensors.resize(table.output_count);
  if (fovea_infer_shapes(context, entry, inputs.tensors.data(), table.input_count, outputs.tensors.data(), table.output_count, &error))
    fail(error.message);
  outputs.allocate();

  double fma = fmaRate(0.1);
  std::vector<double> times;
  std::vector<float> buffer;
  for (int i = -2; i < options.repeats; ++i) { // two warm-up runs
    if (options.cold)
      evict(buffer);
    double start = now();
    if (fovea_run(context, entry, inputs.tensors.data(), table.input_count, outputs.tensors.data(), table.output_count, &error))
      fail(error.message);
    if (i >= 0)
      times.push_back(now() - start);
    if (i % 8 == 7)
      fma = std::max(fma, fmaRate(0.02)); // the clock drifts: measured in between as well
  }
  size_t working = std::clamp<size_t>(static_cast<size_t>(options.bytes), 16 << 10, 512 << 20);
  double read = options.bytes > 0 ? readRate(working, 0.2) : 0;
  Spread time = spreadOf(times);
  double limit = std::max(options.flops / (fma * 1e9 * options.threads), read > 0 ? options.bytes / (read * 1e9) : 0);
  std::printf("{\"target\": \"%s\", \"threads\": %d, \"fma_gflops\": %.1f, \"read_gbs\": %.1f, \"seconds\": [%.9f, %.9f, %.9f], "
              "\"gflops\": %.2f, \"limit_seconds\": %.9f, \"share\": %.4f}\n",
              fovea_model_target(model), options.threads, fma, read, time.min, time.median, time.max,
              options.flops / time.median * 1e-9, limit, limit / time.median);
  fovea_context_destroy(context);
  fovea_model_destroy(model);
}
