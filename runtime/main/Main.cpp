#include "runtime/core/Dim.h"
#include "runtime/core/Profile.h"
#include "runtime/core/Weights.h"
#include "runtime/main/Destination.h"
#include "runtime/main/Inputs.h"
#include "runtime/main/Interrupts.h"
#include "runtime/main/Limits.h"
#include "runtime/main/Training.h"

#include <algorithm>
#include <stdio.h>
#include <unistd.h>

namespace fovea::rt {
namespace {

/// A line on the terminal that grows while weights are loaded, where that takes long enough to be seen.
struct ProgressBar {
  const char *program;
  bool terminal = isatty(STDERR_FILENO) == 1;
  int64_t begun = nanoseconds(), last = 0;
  bool shown = false;

  static void update(void *user, int64_t done, int64_t total) {
    auto &bar = *static_cast<ProgressBar *>(user);
    int64_t now = nanoseconds();
    if (!bar.terminal || total <= 0 || now - bar.begun < 300'000'000 || now - bar.last < 50'000'000)
      return;
    bar.last = now;
    bar.shown = true;
    int filled = static_cast<int>(static_cast<double>(done) / static_cast<double>(total) * 40);
    fprintf(stderr, "\r%s: loading [%.*s%*s] %3d%%", bar.program, filled, "########################################",
            40 - filled, "", filled * 100 / 40);
  }
  void clear() {
    if (shown)
      fprintf(stderr, "\r\033[K");
    shown = false;
  }
};

/// One run of the program, from its options to an exit code.
class Session {
public:
  Session(const fovea_program &program, const Options &options)
      : program(program), options(options), destination(program, options) {}
  ~Session() {
    Interrupts::cancels(nullptr);
    fovea_context_destroy(context);
    fovea_model_destroy(model);
  }

  int run() {
    if (options.pack)
      return pack();
    if (options.train)
      return train();
    int code = destination.open();
    if (!code)
      code = inputs.read(program, options);
    if (!code)
      code = load();
    if (!code)
      code = makeContext();
    if (!code)
      code = begin(); // a file's states may give the sizes of the outputs
    if (!code)
      code = outputs.allocate(context, program, runningEntry(options), program.entries[options.entry].output_count,
                              inputs.data(), inputs.size());
    if (!code)
      code = runEntry();
    if (!code)
      code = options.profile ? setLimits() : static_cast<int>(ExitOk);
    if (!code)
      code = destination.finish(inputs, outputs, context);
    if (!code && *options.cacheFolder)
      keep();
    return code;
  }

private:
  int report(fovea_code code) {
    if (code)
      fprintf(stderr, "%s: %s\n", program.name, error.message);
    return exitCode(code);
  }

  int load() {
    bool hasWeights = options.weights || options.packed || (program.packed && !options.pack);
    if ((program.param_count || options.pack) && !hasWeights) { // without fixed params it starts from scratch
      fprintf(stderr, "%s: the model has %d tensors of weights: give a file with --weights or in $%s%s\n", program.name,
              countTensors(program), weightsVariable, options.pack ? "" : ", or a packed one with --packed");
      return ExitUsage;
    }
    ProgressBar bar{program.name};
    fovea_load_options load = {};
    load.prefix = options.prefix;
    load.target = options.target;
    load.packed = options.packed;
    load.cache = !options.train && *options.cacheFolder ? options.cacheFolder : nullptr;
    load.threads = options.threads;
    load.progress = ProgressBar::update;
    load.user = &bar;
    fovea_code code = fovea_model_load(&program, options.weights, &load, &model, &error);
    bar.clear();
    return report(code);
  }

  int pack() {
    int code = load();
    if (!code)
      code = report(fovea_model_pack(model, options.output, &error));
    if (!code)
      printf("%s: packed for %s\n", options.output, fovea_model_target(model));
    return code;
  }

  int train() {
    if (!fovea_train) {
      fprintf(stderr, "%s: the program has an entry that trains, but nothing that runs it\n", program.name);
      return ExitInternal;
    }
    int code = load();
    return code ? code : fovea_train(&program, &options, model);
  }

  /// The results are there: a folder that can't be written to costs the next start some time, no more.
  void keep() {
    if (fovea_model_keep(model, options.cacheFolder, &error))
      fprintf(stderr, "%s: the packed weights are not kept: %s\n", program.name, error.message);
  }

  int makeContext() {
    fovea_context_options make = {};
    make.threads = options.threads;
    make.seed = options.seed;
    make.sizes = options.sizes.data();
    make.size_count = static_cast<int32_t>(options.sizes.size());
    make.profile_events = options.profile ? 1 << 16 : 0;
    make.dump = options.dump ? Destination::dump : nullptr;
    make.dump_user = &destination;
    fovea_code code = fovea_context_create(model, &make, &context, &error);
    Interrupts::cancels(context);
    return report(code);
  }

  /// Every repetition starts from the same states.
  int begin() {
    if (program.state_count)
      fovea_context_reset(context);
    return options.states ? report(fovea_context_load(context, options.states, &error)) : static_cast<int>(ExitOk);
  }

  int runOnce() {
    if (Interrupts::signalled())
      return ExitData;
    return report(fovea_run(context, runningEntry(options), inputs.data(), inputs.size(), outputs.data(),
                            outputs.size(), &error));
  }

  int runEntry() {
    int code = runOnce();
    if (code || options.repeat == 1)
      return code;
    Array<int64_t> times;
    fovea_run_info info = {};
    for (int32_t i = 0; i < options.repeat && !code; ++i) {
      if (i > 0)
        code = begin();
      if (!code)
        code = runOnce();
      fovea_context_run_info(context, &info);
      if (!times.push(info.nanoseconds))
        return report(outOfMemory(&error, "times", 0));
    }
    if (code)
      return code;
    std::sort(times.begin(), times.end());
    auto milliseconds = [](int64_t time) { return static_cast<double>(time) * 1e-6; };
    int64_t median = times[times.size() / 2];
    fprintf(stderr, "%s: median %.3f ms, min %.3f ms, max %.3f ms over %d runs", program.entries[options.entry].name,
            milliseconds(median), milliseconds(times[0]), milliseconds(times.back()), options.repeat);
    if (info.flops && median)
      fprintf(stderr, ", %.1f GFLOP/s", static_cast<double>(info.flops) / static_cast<double>(median));
    auto mebibytes = [](int64_t bytes) { return static_cast<double>(bytes) / 1048576; };
    fprintf(stderr, " (%s, arena %.2f MiB, scratch %.2f MiB)\n", fovea_model_target(model), mebibytes(info.arena_bytes),
            mebibytes(info.scratch_bytes));
    return ExitOk;
  }

  /// The profile has the machine's limits beside what ran: measured now that nothing else runs.
  int setLimits() {
    fovea_limits limits = {};
    fovea_code code = measureLimits(options.threads, limits, &error);
    if (!code)
      fovea_context_set_limits(context, &limits);
    return report(code);
  }

  const fovea_program &program;
  const Options &options;
  fovea_error error = {};
  Destination destination;
  Inputs inputs;
  Outputs outputs;
  fovea_model *model = nullptr;
  fovea_context *context = nullptr;
};

} // namespace
} // namespace fovea::rt

using namespace fovea::rt;

extern "C" int fovea_main(const fovea_program *program, int argc, char **argv) {
  fovea_error error = {};
  if (fovea_code code = checkProgram(program, &error)) {
    fprintf(stderr, "%s\n", error.message);
    return exitCode(code);
  }
  Options options;
  if (int code = parseOptions(*program, argc, argv, options))
    return code;
  if (options.help) {
    printHelp(*program, options);
    return fflush(stdout) == 0 ? ExitOk : ExitData;
  }
  Interrupts interrupts;
  int code = Session(*program, options).run();
  interrupts.passOn();
  return code;
}
