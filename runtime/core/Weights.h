/// Matching a program's params with the tensors of a file.
#ifndef FOVEA_RUNTIME_CORE_WEIGHTS_H
#define FOVEA_RUNTIME_CORE_WEIGHTS_H

#include "runtime/core/TensorFile.h"

namespace fovea::rt {

/// Who wants to hear every single thing; both may be null. Used by the loader and by `fovea check --weights`.
struct WeightsReport {
  void (*note)(void *user, const char *text) = nullptr;
  void (*problem)(void *user, const char *text) = nullptr;
  void *user = nullptr;
};

/// Finds the tensor of every param: `found[i]` is that of params[i], or null. Missing tensors, other shapes and dtypes
/// are problems (FOVEA_WEIGHTS_MISMATCH, whose message has the first ones); tensors that nothing uses are one note.
/// Shapes are literal sizes; `prefix` may be null.
fovea_code matchWeights(const fovea_tensor_spec *params, int32_t count, const char *prefix, const TensorFile &file,
                        const WeightsReport &report, Memory memory, const FileTensor **found, fovea_error *error);

/// Whether a state is a param that entries write.
inline bool isParamState(const fovea_program &program, int32_t state) {
  return program.state_initial && program.state_initial[state].is_param;
}

/// How many tensors a file of weights has for the program: its params, and those that are states.
int32_t countTensors(const fovea_program &program);

/// The literal shape of a param; false where it is not literal.
bool literalShape(const fovea_tensor_spec &spec, int64_t (&shape)[FOVEA_MAX_RANK]);

} // namespace fovea::rt
#endif
