/// Where results, intermediate values and the profile go.
#ifndef FOVEA_RUNTIME_MAIN_DESTINATION_H
#define FOVEA_RUNTIME_MAIN_DESTINATION_H

#include "runtime/main/Inputs.h"
#include "runtime/main/OutputFolder.h"
#include "runtime/main/Outputs.h"

namespace fovea::rt {

/// Opened before anything is computed, so that what cannot be written is noticed then. Files appear at the end, when
/// all of them are written; otherwise nothing is left behind. Functions print what is wrong and return an exit code.
class Destination {
public:
  Destination(const fovea_program &program, const Options &options) : program(program), options(options) {}

  int open();
  /// As fovea_context_options::dump wants it: keeps the value where its path matches the pattern.
  static void dump(void *destination, const char *path, const fovea_tensor *value);
  /// Writes or prints the results, and writes the profile and the page; then all files appear.
  int finish(const Inputs &inputs, const Outputs &outputs, const fovea_context *context);

private:
  int report(fovea_code code);
  fovea_code openFolder();
  fovea_code writeResults(const Outputs &outputs);
  fovea_code writePage(const Inputs &inputs, const Outputs &outputs);
  int checkDumps();

  const fovea_program &program;
  const Options &options;
  fovea_error error = {};
  OutputFile file, profile, page;
  OutputFolder folder;
  int64_t seen = 0, kept = 0; // values offered by the program
  char some[200] = "";        // paths of the first of them
  fovea_code dumpCode = FOVEA_OK;
};

/// Whether `text` matches a pattern of *, ? and plain characters.
bool matches(const char *pattern, const char *text);

} // namespace fovea::rt
#endif
