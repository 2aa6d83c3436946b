/// What a context holds, for the runtime's own files.
#ifndef FOVEA_RUNTIME_CORE_CONTEXT_H
#define FOVEA_RUNTIME_CORE_CONTEXT_H

#include "runtime/core/Model.h"

struct fovea_context {
  explicit fovea_context(const fovea_model &model, fovea::rt::Memory memory)
      : model(model), memory(memory), symbols(memory), inputs(memory), outputs(memory), states(memory), visible(memory),
        stateSizes(memory), givenSizes(memory) {}
  ~fovea_context() { freeStates(); }

  void freeStates() {
    for (fovea::rt::Buffer *&state : states) {
      fovea::rt::destroy(memory, state);
      state = nullptr;
    }
  }

  const fovea_model &model;
  fovea::rt::Memory memory;
  fovea::rt::Executor executor;
  fovea::rt::Buffer arena;
  // All sized for the largest entry when the context is made.
  fovea::rt::Array<int64_t> symbols;
  fovea::rt::Array<const void *> inputs;
  fovea::rt::Array<void *> outputs;
  fovea::rt::Array<fovea::rt::Buffer *> states; // by number, null before the first use
  fovea::rt::Array<void *> visible;             // states of the entry that runs
  fovea::rt::Array<int64_t> stateSizes;
  fovea::rt::Array<int64_t> givenSizes; // those named when the context was made
  uint64_t seed = 0;
};

namespace fovea::rt {

/// The first of the sizes that a state's shape is made of which is not fixed (-1); null where all are. Such a state has
/// no value yet.
const char *unfixedSize(const fovea_program &program, const int64_t *sizes, int32_t number);

/// Shape of a state at these sizes of the state symbols; where one is not fixed, FOVEA_PRECONDITION.
fovea_code stateShape(const fovea_program &program, const int64_t *sizes, int32_t number, fovea_tensor &tensor,
                      fovea_error *error);

/// Allocates a state, with its initial value, where that has not happened.
fovea_code needState(fovea_context &context, int32_t number, fovea_error *error);

/// Which states a file gets: all, or the tensors that a file of the model's weights has (all states where it has none).
enum class StateSet { All, Params };

/// Writes states as safetensors to an open file, without committing it; see fovea_context_save.
fovea_code writeStates(fovea_context &context, StateSet set, OutputFile &file, const FileNote *notes, size_t noteCount,
                       fovea_error *error);

/// Takes all states from an opened file; see fovea_context_load.
fovea_code readStates(fovea_context &context, const TensorFile &file, fovea_error *error);

/// Offers all values of later runs, with or without a name, to `see`; null: none, or what the context's options say.
using SeeValue = void (*)(void *user, const fovea_origin &origin, const fovea_path *path, const fovea_tensor &value);
void watchValues(fovea_context &context, SeeValue see, void *user);

} // namespace fovea::rt
#endif
