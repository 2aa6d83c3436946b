// What the fuzzer of chains runs through Python's ctypes: generated libraries for one of their targets, and the
// interpreter behind the same C API, all in one process.
#include "compiler/pipeline/Jit.h"
#include "fovea/fovea.h"

#include "llvm/Support/raw_ostream.h"

#include <cstring>
#include <dlfcn.h>
#include <memory>
#include <string>

using namespace fovea;

namespace {

struct Program {
  void *library = nullptr;
  std::unique_ptr<pipeline::Compiler> compiler; // of what is interpreted
  std::unique_ptr<pipeline::LoadedProgram> interpreted;
  const fovea_program *table = nullptr;
  fovea_model *model = nullptr;

  ~Program() {
    fovea_model_destroy(model);
    interpreted.reset();
    compiler.reset();
    if (library)
      dlclose(library);
  }
};

std::string interpret(Program &program, const char *path) {
  pipeline::Options options;
  options.targets = {&kernels::targets().front()};
  program.compiler = std::make_unique<pipeline::Compiler>(std::move(options));
  if (!program.compiler->read(path) || !program.compiler->import())
    return "is not compiled";
  auto loaded = pipeline::LoadedProgram::interpret(program.compiler->graph());
  if (!loaded)
    return llvm::toString(loaded.takeError());
  program.interpreted = std::move(*loaded);
  program.table = program.interpreted->program();
  return "";
}

std::string open(Program &program, const char *path, const char *symbol) {
  program.library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!program.library)
    return dlerror();
  auto function = reinterpret_cast<const fovea_program *(*)()>(dlsym(program.library, symbol));
  if (!function)
    return dlerror();
  program.table = function();
  return "";
}

} // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

/// A library (`symbol` gives its tables) for `target`, or, without a symbol, a model's text in the interpreter. Null
/// with a message where that fails.
EXPORT void *chains_load(const char *path, const char *symbol, const char *target, fovea_error *error) {
  auto program = std::make_unique<Program>();
  std::string why = symbol ? open(*program, path, symbol) : interpret(*program, path);
  if (!why.empty()) {
    std::snprintf(error->message, sizeof(error->message), "%s", why.c_str());
    return nullptr;
  }
  fovea_load_options options{};
  options.target = target;
  options.threads = 1;
  return fovea_model_load(program->table, nullptr, &options, &program->model, error) ? nullptr : program.release();
}

EXPORT void chains_unload(void *program) { delete static_cast<Program *>(program); }

/// `limit`: the size of states; none where 0.
EXPORT fovea_context *chains_context(void *program, int32_t threads, int64_t limit, fovea_error *error) {
  fovea_size size{"limit", limit};
  fovea_context_options options{};
  options.threads = threads;
  options.sizes = &size;
  options.size_count = limit != 0;
  fovea_context *context = nullptr;
  return fovea_context_create(static_cast<Program *>(program)->model, &options, &context, error) ? nullptr : context;
}

EXPORT void chains_release(fovea_context *context) { fovea_context_destroy(context); }

/// Fills dtypes and shapes of the outputs.
EXPORT int32_t chains_infer(void *program, fovea_context *context, const char *entry, const fovea_tensor *inputs,
                            int32_t inputCount, fovea_tensor *outputs, int32_t outputCount, fovea_error *error) {
  int32_t number = fovea_find_entry(static_cast<Program *>(program)->table, entry);
  return fovea_infer_shapes(context, number, inputs, inputCount, outputs, outputCount, error);
}

EXPORT int32_t chains_run(void *program, fovea_context *context, const char *entry, const fovea_tensor *inputs,
                          int32_t inputCount, const fovea_tensor *outputs, int32_t outputCount, fovea_error *error) {
  int32_t number = fovea_find_entry(static_cast<Program *>(program)->table, entry);
  return fovea_run(context, number, inputs, inputCount, outputs, outputCount, error);
}
