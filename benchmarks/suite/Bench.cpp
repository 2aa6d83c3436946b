// Times one entry of a generated library beside the machine's limits, interleaved with them in one process.
//
//   fovea-bench LIB.so ENTRY --input 1,128 --input 1,128%2 --input =512 [--weights F] [--size NAME=N] [--threads N]
//               [--seconds S] [--cold] --flops N --bytes N [--dot-flops N --dot-bytes 1|2]
//   fovea-bench LIB.so ENTRY --beside OTHER.so --input 1,128 [--seconds S]
//   fovea-bench LIB.so ENTRY --turns --input 1,128 [--seconds S]
//   fovea-bench LIB.so ENTRY --sweep 1:300 --input x,768 [--weights F]
//
// An input is a shape, or a number. Integers are below 100, or below what follows `%`; after `/n` runs of n are equal:
// 0, 0, …, 1. Floats are in [-1, 1), bools true; states hold what inputs do, those of entries that train what they
// begin with. With several threads the same is measured with one, in turn. With --cold the inputs and the weights are
// driven out of the caches' upper levels by reading 64 MiB before each run. Tensors lie as the runtime's own memory
// does: on huge pages where there are any. Prints one line of JSON; `peak_kib` is what the process had resident at
// most, limits not yet measured. A sweep runs all sizes of a range in the place of `x`, three times over, and prints
// each one's least seconds. With --beside the same entry of another library takes turns; the medians of both are
// printed. With --turns it is timed for each line of standard input, when that comes, for turns with another program: a
// run that doesn't count, then runs for S seconds, one at least; a line of JSON answers.
#include "fovea/fovea.h"
#include "runtime/main/Limits.h"

#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fstream>
#include <string>
#include <sys/mman.h>
#include <sys/resource.h>
#include <vector>

namespace {

constexpr int64_t swept = -1; ///< a size in the place of which those of the sweep are put

struct Input {
  std::vector<int64_t> shape;
  int64_t below = 100, run = 0;
  bool isNumber = false;
  int64_t number = 0;
};

struct Options {
  std::string library, entry, weights, beside;
  std::vector<Input> inputs;
  std::vector<std::pair<std::string, int64_t>> sizes;
  int threads = 1;
  double seconds = 1, flops = 0, bytes = 0;
  double dotFlops = 0; ///< of `flops`: those of products of narrow numbers ...
  int dotBytes = 0;    ///< ... of so many bytes
  bool cold = false, turns = false;
  int64_t first = 0, last = 0; ///< of the sweep; none where 0
};

[[noreturn]] void fail(const std::string &message) {
  std::fprintf(stderr, "fovea-bench: %s\n", message.c_str());
  std::exit(1);
}

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

Input parseInput(const char *text) {
  Input input;
  if (*text == '=') {
    input.isNumber = true;
    input.number = std::strtoll(text + 1, nullptr, 10);
    return input;
  }
  char *end = nullptr;
  for (; *text && *text != '%' && *text != '/'; text = *end == ',' ? end + 1 : end) {
    bool isSwept = *text == 'x';
    input.shape.push_back(isSwept ? swept : std::strtoll(text, &end, 10));
    if (isSwept)
      end = const_cast<char *>(text) + 1;
  }
  if (*text == '%')
    input.below = std::strtoll(text + 1, nullptr, 10);
  if (*text == '/')
    input.run = std::strtoll(text + 1, nullptr, 10);
  return input;
}

Options parse(int argc, char **argv) {
  Options options;
  std::vector<std::string> words;
  for (int i = 1; i < argc; ++i) {
    std::string word = argv[i];
    auto value = [&] { return i + 1 < argc ? argv[++i] : (fail(word + " needs a value"), argv[0]); };
    if (word == "--input") {
      options.inputs.push_back(parseInput(value()));
    } else if (word == "--size") {
      std::string text = value();
      size_t equals = text.find('=');
      if (equals == std::string::npos)
        fail("--size takes NAME=N");
      options.sizes.emplace_back(text.substr(0, equals), std::atoll(text.c_str() + equals + 1));
    } else if (word == "--beside") {
      options.beside = value();
    } else if (word == "--weights") {
      options.weights = value();
    } else if (word == "--threads") {
      options.threads = std::atoi(value());
    } else if (word == "--seconds") {
      options.seconds = std::atof(value());
    } else if (word == "--flops") {
      options.flops = std::atof(value());
    } else if (word == "--bytes") {
      options.bytes = std::atof(value());
    } else if (word == "--dot-flops") {
      options.dotFlops = std::atof(value());
    } else if (word == "--dot-bytes") {
      options.dotBytes = std::atoi(value());
    } else if (word == "--sweep") {
      if (std::sscanf(value(), "%" SCNd64 ":%" SCNd64, &options.first, &options.last) != 2 || options.first < 1 ||
          options.last < options.first)
        fail("--sweep takes FIRST:LAST");
    } else if (word == "--cold") {
      options.cold = true;
    } else if (word == "--turns") {
      options.turns = true;
    } else {
      words.push_back(word);
    }
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

void fill(const fovea_tensor &tensor, const Input &input) {
  int64_t count = 1;
  for (int i = 0; i < tensor.rank; ++i)
    count *= tensor.shape[i];
  uint32_t state = 12345;
  for (int64_t i = 0; i < count; ++i) {
    state = state * 1664525 + 1013904223;
    if (tensor.dtype == FOVEA_F32)
      static_cast<float *>(tensor.data)[i] = static_cast<float>(state >> 8) / 8388608.0f - 1.0f;
    else if (tensor.dtype == FOVEA_I64)
      static_cast<int64_t *>(tensor.data)[i] = input.isNumber ? input.number
                                               : input.run    ? i / input.run
                                                              : int64_t(state >> 8) % input.below;
    else if (tensor.dtype == FOVEA_BOOL)
      static_cast<unsigned char *>(tensor.data)[i] = 1;
  }
}

/// Tensors and their data, which stays until the process ends.
void allocate(std::vector<fovea_tensor> &tensors) {
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
  }
}

/// The program in one context, and how long its runs took.
struct Timed {
  fovea_context *context = nullptr;
  int32_t entry = 0;
  std::vector<fovea_tensor> inputs, outputs;
  std::vector<double> times;

  void run() {
    fovea_error error;
    if (fovea_run(context, entry, inputs.data(), int32_t(inputs.size()), outputs.data(), int32_t(outputs.size()),
                  &error))
      fail(error.message);
  }
  void time() {
    double start = now();
    run();
    times.push_back(now() - start);
  }
  double quantile(double part) const {
    std::vector<double> sorted = times;
    std::sort(sorted.begin(), sorted.end());
    return sorted[size_t(part * double(sorted.size() - 1))];
  }
};

Timed prepare(const Options &options, const fovea_program *program, fovea_model *model, int threads) {
  Timed timed;
  fovea_error error;
  std::vector<fovea_size> sizes;
  for (const auto &[name, value] : options.sizes)
    sizes.push_back({name.c_str(), value});
  fovea_context_options contextOptions = {};
  contextOptions.threads = threads;
  contextOptions.sizes = sizes.data();
  contextOptions.size_count = int32_t(sizes.size());
  if (fovea_context_create(model, &contextOptions, &timed.context, &error))
    fail(error.message);
  timed.entry = fovea_find_entry(program, options.entry.c_str());
  if (timed.entry < 0)
    fail("no entry " + options.entry);
  const fovea_entry &table = program->entries[timed.entry];
  if (options.inputs.size() != size_t(table.input_count))
    fail("the entry takes " + std::to_string(table.input_count) + " inputs: one --input each");
  for (int32_t i = 0; i < table.input_count; ++i) {
    fovea_tensor tensor = {};
    tensor.dtype = table.inputs[i].dtype;
    tensor.rank = int32_t(options.inputs[i].shape.size());
    std::copy(options.inputs[i].shape.begin(), options.inputs[i].shape.end(), tensor.shape);
    std::replace(tensor.shape, tensor.shape + tensor.rank, swept, options.last);
    timed.inputs.push_back(tensor);
  }
  allocate(timed.inputs);
  for (size_t i = 0; i < timed.inputs.size(); ++i)
    fill(timed.inputs[i], options.inputs[i]);
  timed.outputs.resize(table.output_count);
  if (fovea_infer_shapes(timed.context, timed.entry, timed.inputs.data(), table.input_count, timed.outputs.data(),
                         table.output_count, &error))
    fail(error.message);
  allocate(timed.outputs);
  timed.run(); // fixes the sizes of states
  for (int32_t i = 0; i < table.state_count && table.role == FOVEA_ROLE_NONE; ++i) {
    fovea_tensor state;
    if (fovea_context_state(timed.context, program->states[table.states[i]].name, &state, &error))
      fail(error.message);
    fill(state, {});
  }
  timed.run();
  return timed;
}

/// Drives out what the upper levels of the caches hold.
void evict(std::vector<float> &buffer) {
  if (buffer.empty())
    buffer.resize(16 << 20, 1.0f);
  float sum = 0;
  for (size_t i = 0; i < buffer.size(); i += 16)
    sum += buffer[i] += 1.0f;
  asm volatile("" : : "x"(sum));
}

/// What the kernel does when asked for huge pages: "always", "madvise" or "never".
std::string hugePages() {
  std::ifstream file("/sys/kernel/mm/transparent_hugepage/enabled");
  std::string text;
  std::getline(file, text);
  size_t begin = text.find('['), end = text.find(']');
  return begin == std::string::npos || end == std::string::npos ? "never" : text.substr(begin + 1, end - begin - 1);
}

struct Measured {
  double operations = 0, dots = 0, reading = 0; ///< a second, the best seen
};

/// Fills `timed`'s times, for about `options.seconds` and five runs at least; limits are measured before, between and
/// after.
Measured measure(const Options &options, fovea::rt::Limits &limits, std::vector<Timed> &timed) {
  Measured best;
  size_t working = std::clamp<size_t>(size_t(options.bytes), 16 << 10, 512 << 20);
  auto operations = [&](double seconds) {
    best.operations = std::max(best.operations, limits.operations(seconds));
    if (options.dotFlops > 0)
      best.dots = std::max(best.dots, limits.dotProducts(options.dotBytes, seconds));
  };
  auto reading = [&] {
    best.reading = std::max(best.reading, limits.reading(working, 0.05));
    for (Timed &each : timed) // brings back what reading has driven out
      each.run();
  };
  std::vector<float> buffer;
  operations(0.05), reading();
  double begin = now(), sinceLimit = 0, sinceReading = 0;
  while (timed[0].times.size() < 5 || (now() - begin < options.seconds && timed[0].times.size() < 100000)) {
    for (Timed &each : timed) {
      if (options.cold)
        evict(buffer);
      each.time();
      sinceLimit += each.times.back(), sinceReading += each.times.back();
    }
    // The clock drifts: a tenth of the time is the limits'.
    if (sinceLimit > 0.05)
      operations(0.005), sinceLimit = 0;
    if (sinceReading > options.seconds / 3)
      reading(), sinceReading = 0;
  }
  operations(0.05), reading();
  return best;
}

/// Gives the inputs the sweep's size `n`, of which they have room for the last one.
void resize(Timed &timed, const Options &options, int64_t n) {
  for (size_t i = 0; i < timed.inputs.size(); ++i)
    for (size_t axis = 0; axis < options.inputs[i].shape.size(); ++axis)
      if (options.inputs[i].shape[axis] == swept)
        timed.inputs[i].shape[axis] = n;
  std::vector<void *> memory;
  for (const fovea_tensor &output : timed.outputs)
    memory.push_back(output.data);
  fovea_error error;
  if (fovea_infer_shapes(timed.context, timed.entry, timed.inputs.data(), int32_t(timed.inputs.size()),
                         timed.outputs.data(), int32_t(timed.outputs.size()), &error))
    fail(error.message);
  for (size_t i = 0; i < memory.size(); ++i)
    timed.outputs[i].data = memory[i];
}

/// Sizes take turns, so that a slow moment doesn't stay with one.
void sweep(const Options &options, Timed &timed) {
  constexpr int turns = 3;
  constexpr double atLeast = 3e-4;
  std::vector<double> least(options.last - options.first + 1, 1e9);
  for (int turn = 0; turn < turns; ++turn)
    for (int64_t n = options.first; n <= options.last; ++n) {
      resize(timed, options, n);
      timed.run();
      timed.times.clear();
      for (double begin = now(); timed.times.size() < 3 || now() - begin < atLeast;)
        timed.time();
      least[n - options.first] = std::min(least[n - options.first], timed.quantile(0));
    }
  for (int64_t n = options.first; n <= options.last; ++n)
    std::printf("%" PRId64 " %.9f\n", n, least[n - options.first]);
}

/// Runs of two programs in turn, for about `options.seconds` and five of each at least.
void compare(const Options &options, Timed &one, Timed &other) {
  for (double begin = now(); one.times.size() < 5 || now() - begin < options.seconds;) {
    one.time();
    other.time();
  }
  std::printf("{\"seconds\": %.9f, \"beside\": %.9f, \"runs\": %zu}\n", one.quantile(0.5), other.quantile(0.5),
              one.times.size());
}

/// A turn for each line of standard input.
void takeTurns(const Options &options, Timed &timed) {
  for (int c; (c = std::getchar()) != EOF;) {
    if (c != '\n')
      continue;
    timed.run(); // finds in the caches what the other program left
    timed.times.clear();
    for (double begin = now(); timed.times.empty() || now() - begin < options.seconds;)
      timed.time();
    std::printf("{\"seconds\": [%.9f, %.9f, %.9f]}\n", timed.quantile(0.25), timed.quantile(0.5), timed.quantile(0.75));
    std::fflush(stdout);
  }
}

fovea_model *load(const Options &options, const fovea_program *program) {
  fovea_error error;
  fovea_model *model;
  if (fovea_model_load(program, options.weights.empty() ? nullptr : options.weights.c_str(), nullptr, &model, &error))
    fail(error.message);
  return model;
}

} // namespace

int main(int argc, char **argv) {
  Options options = parse(argc, argv);
  const fovea_program *program = open(options.library);
  fovea_error error;
  fovea_model *model = load(options, program);
  std::vector<Timed> timed{prepare(options, program, model, options.threads)};
  if (options.first) {
    sweep(options, timed[0]);
    return 0;
  }
  if (options.turns) {
    takeTurns(options, timed[0]);
    return 0;
  }
  if (!options.beside.empty()) {
    const fovea_program *other = open(options.beside);
    Timed beside = prepare(options, other, load(options, other), options.threads);
    compare(options, timed[0], beside);
    return 0;
  }
  if (options.threads > 1)
    timed.push_back(prepare(options, program, model, 1));
  rusage usage; // what is read to measure the limits comes after
  getrusage(RUSAGE_SELF, &usage);
  fovea::rt::Limits limits;
  if (limits.start(options.threads, &error))
    fail(error.message);
  Measured best = measure(options, limits, timed);

  double median = timed[0].quantile(0.5);
  double compute = (options.flops - options.dotFlops) / best.operations +
                   (options.dotFlops > 0 ? options.dotFlops / best.dots : 0),
         memory = options.bytes / best.reading, limit = std::max(compute, memory);
  const char *levels[] = {"L2", "L3", "DRAM"};
  const char *level = levels[fovea::rt::memoryLevel(options.bytes, options.threads) - 2];
  std::printf(
      "{\"target\": \"%s\", \"threads\": %d, \"huge_pages\": \"%s\", \"fma_gflops\": %.1f, \"read_gbs\": %.1f, "
      "\"level\": "
      "\"%s\", \"binds\": \"%s\", \"runs\": %zu, \"seconds\": [%.9f, %.9f, %.9f], \"gflops\": %.2f, \"gbs\": %.2f, "
      "\"limit_seconds\": %.9f, \"share\": %.4f, \"peak_kib\": %ld",
      fovea_model_target(model), options.threads, hugePages().c_str(), best.operations * 1e-9, best.reading * 1e-9,
      level,
      compute < memory       ? level
      : options.dotFlops > 0 ? "dot"
                             : "FMA",
      timed[0].times.size(), timed[0].quantile(0.25), median, timed[0].quantile(0.75), options.flops / median * 1e-9,
      options.bytes / median * 1e-9, limit, limit / median, usage.ru_maxrss);
  if (options.dotFlops > 0)
    std::printf(", \"dot_gflops\": %.1f", best.dots * 1e-9);
  if (timed.size() > 1)
    std::printf(", \"speedup\": %.4f", timed[1].quantile(0.5) / median);
  std::printf("}\n");
  for (Timed &each : timed)
    fovea_context_destroy(each.context);
  fovea_model_destroy(model);
}
