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

  /// Makes tensors of the shapes that `context` infers; prints the error otherwise. The first `own` are shown.
  int allocate(fovea_context *context, const fovea_program &program, int32_t entry, int32_t own,
               const fovea_tensor *inputs, int32_t inputCount);
  const fovea_tensor *data() const { return tensors.data(); }
  int32_t size() const { return static_cast<int32_t>(tensors.size()); }
  /// How many are results of the entry that was asked for: maps of what it looks at may stand behind them.
  int32_t own() const { return shown; }
  const char *name(int32_t i) const { return entry->outputs[i].name; }

  /// To standard output, as text; middle parts of long axes are left out.
  int print() const;

private:
  const fovea_program *program = nullptr;
  const fovea_entry *entry = nullptr;
  int32_t shown = 0;
  Array<fovea_tensor> tensors;
  Array<Buffer *> buffers;
};

} // namespace fovea::rt
#endif
