/// The command line of a generated program.
#ifndef FOVEA_RUNTIME_MAIN_OPTIONS_H
#define FOVEA_RUNTIME_MAIN_OPTIONS_H

#include "runtime/core/Memory.h"

#include <limits.h>

namespace fovea::rt {

enum ExitCode { ExitOk = 0, ExitData = 1, ExitUsage = 2, ExitInternal = 70 };

/// The exit code that a status stands for.
int exitCode(fovea_code code);

/// Of the command `train`.
struct TrainOptions {
  const char *data = nullptr, *valid = nullptr; // npz files or folders of npy
  const char *save = nullptr;
  const char *checkpoint = nullptr; // null: beside `save`, see `Training`
  const char *log = nullptr, *page = nullptr;
  int32_t epochs = 1, batch = 32;
  int32_t patience = 0;        // 0: training does not end early
  int32_t checkpointSteps = 0; // 0: after epochs and every minute
  int32_t logSteps = 10, reportEpochs = 1;
  bool dropLast = false, resume = false;
};

struct Options {
  const char *invocation = ""; // argv[0]: what the program is called as
  bool help = false;
  bool pack = false;  // the command `pack`, in place of an entry
  bool train = false; // the command `train`
  int32_t entry = -1;
  const char *weights = nullptr; // given, or from the environment
  const char *packed = nullptr;
  bool cache = false; // asked for
  const char *prefix = nullptr;
  const char *output = nullptr;
  const char *profile = nullptr;
  const char *dump = nullptr;
  const char *target = nullptr;
  const char *states = nullptr; // a file that states are taken from
  const char *attentionPage = nullptr;
  const char *attentionHeads = nullptr, *attentionRows = nullptr, *vocabulary = nullptr;
  int32_t attentionSequence = 0;
  int32_t maps = -1; // the entry that runs in place of `entry`, where a page of what it looks at is wanted
  int32_t threads = 0;
  uint64_t seed = 0;
  int32_t repeat = 1;
  TrainOptions training;
  Array<fovea_size> sizes;
  Array<const char *> inputs;      // in the order given
  char cacheFolder[PATH_MAX] = {}; // for packed weights; empty where none are to be kept
};

/// Where weights are looked for when the command line names none.
inline constexpr const char *weightsVariable = "FOVEA_WEIGHTS";
/// The folder for packed weights, which are kept where it is set; the command line can ask for it as well.
inline constexpr const char *cacheVariable = "FOVEA_CACHE";

/// Fills `options`, or prints what is wrong and returns an exit code. The arguments must outlive the options;
/// `--size name=value` is cut at its `=`.
int parseOptions(const fovea_program &program, int argc, char **argv, Options &options);

/// The program's entry of a role (FOVEA_ROLE_...), or -1.
int32_t findRole(const fovea_program &program, int32_t role);

/// The entry that runs.
inline int32_t runningEntry(const Options &options) { return options.maps < 0 ? options.entry : options.maps; }

/// Prints the program's entries and options, or, where the options name one, that entry in full.
void printHelp(const fovea_program &program, const Options &options);

} // namespace fovea::rt
#endif
