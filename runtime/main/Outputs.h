/// The results of one call, and how they are printed.
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
  const char *name(int32_t i) const { return entry->outputs[i].name; }

  /// To standard output, as text; middle parts of long axes are left out.
  int print() const;

private:
  const fovea_program *program = nullptr;
  const fovea_entry *entry = nullptr;
  Array<fovea_tensor> tensors;
  Array<Buffer *> buffers;
};

} // namespace fovea::rt
#endif
