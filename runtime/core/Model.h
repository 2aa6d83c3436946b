/// A loaded program: its weights, what is derived from them, the target that runs here.
#ifndef FOVEA_RUNTIME_CORE_MODEL_H
#define FOVEA_RUNTIME_CORE_MODEL_H

#include "runtime/core/Executor.h"
#include "runtime/core/Weights.h"

struct fovea_model {
  explicit fovea_model(fovea::rt::Memory memory)
      : memory(memory), texts(memory), params(memory), written(memory), converted(memory), derived(memory) {}
  ~fovea_model();

  fovea::rt::Memory memory;
  const fovea_program *program = nullptr;
  const fovea_target *target = nullptr;
  fovea::rt::TextPool texts;
  // Loaded from a file of weights ...
  const char *weights = nullptr; // its path
  const char *prefix = "";
  fovea::rt::TensorFile file;
  fovea::rt::Array<const void *> params;
  fovea::rt::Array<const void *> written; // by state number: first values of params that entries write; else null
  fovea::rt::Array<fovea::rt::Buffer *> converted; // params
  fovea::rt::Array<void *> derived;
  fovea::rt::Buffer derivedMemory;
  int64_t bytes = 0; // of converted params and derived values
  // ... or from packed ones, which are a file of their own or lie in the program.
  bool isPacked = false;
  fovea::rt::MappedFile packed;
};

namespace fovea::rt {

/// What a call needs, in one allocation: the arena, what tasks share, then `threads` times the scratch.
struct ArenaLayout {
  int64_t sharedAt, scratchAt, scratchBytes, total;

  int64_t arenaBytes() const { return sharedAt; }
  int64_t scratchOfAll() const { return total - sharedAt; }
};
fovea_code arenaLayout(const fovea_entry_code &code, const int64_t *symbols, int32_t threads, ArenaLayout &layout,
                       fovea_error *error);

/// The target of that name, or without one the first that this processor can run.
fovea_code chooseTarget(const fovea_program &program, const char *wanted, const fovea_target *&chosen,
                        fovea_error *error);

/// Writes the context's profile, as fovea_context_write_profile does, to an open file, without committing it.
fovea_code writeProfile(const fovea_context *context, OutputFile &file, fovea_error *error);

} // namespace fovea::rt
#endif
