/// What happens with results: printed, or written to files.
#ifndef FOVEA_RUNTIME_MAIN_OUTPUTS_H
#define FOVEA_RUNTIME_MAIN_OUTPUTS_H

#include "runtime/core/TensorFile.h"
#include "runtime/main/Options.h"

namespace fovea::rt {

/// The output tensors of one call, with their memory.
class Outputs {
public:
  ~Outputs();

  /// Makes tensors of the shapes that `context` infers; prints the error otherwise.
  int allocate(fovea_context *context, const fovea_program &program, int32_t entry, const fovea_tensor *inputs,
               int32_t inputCount);
  const fovea_tensor *data() const { return tensors.data(); }
  int32_t size() const { return static_cast<int32_t>(tensors.size()); }

  /// To standard output, as text; middle parts of long axes are left out.
  int print() const;
  /// To a file or a folder.
  int write(const char *path) const;

private:
  const fovea_program *program = nullptr;
  const fovea_entry *entry = nullptr;
  Array<fovea_tensor> tensors;
  Array<Buffer *> buffers;
};

/// Whether several files are to be written below `path`: a folder that is there, or a name that ends in "/".
bool isFolder(const char *path);

/// Writes intermediate values that match a pattern to a folder.
struct Dumper {
  const fovea_program &program;
  const char *pattern;
  const char *folder;
  int64_t seen = 0, written = 0;
  bool failed = false;

  /// As fovea_context_options::dump wants it.
  static void dump(void *dumper, const char *path, const fovea_tensor *value);
};

/// Whether `text` matches a pattern of *, ? and plain characters.
bool matches(const char *pattern, const char *text);

} // namespace fovea::rt
#endif
