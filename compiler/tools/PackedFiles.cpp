#include "compiler/tools/PackedFiles.h"

#include "compiler/pipeline/Jit.h"
#include "fovea/fovea.h"
#include "runtime/core/Weights.h"

#include "llvm/Support/FileSystem.h"

using namespace llvm;

namespace fovea::tools {

PackedFiles::~PackedFiles() {
  for (const program::PackedPath &file : paths)
    sys::fs::remove(file.path);
}

Error PackedFiles::pack(pipeline::Compiler::Objects objects, const std::string &weights, const std::string &prefix,
                        StringRef output) {
  auto loaded = pipeline::LoadedProgram::load(std::move(objects));
  if (!loaded)
    return loaded.takeError();
  const fovea_program &program = *(*loaded)->program();
  if (rt::countTensors(program) == 0)
    return createStringError("--embed-weights: the model has no weights");
  for (int32_t i = 0; i < program.target_count; ++i) {
    SmallString<128> path;
    if (std::error_code error = sys::fs::createUniqueFile(output + ".%%%%%%.packed.tmp", path))
      return createStringError(error, "cannot write beside '%s': %s", output.str().c_str(), error.message().c_str());
    paths.push_back({path.str().str(), 0});
    fovea_load_options options = {};
    options.target = program.targets[i]->name;
    options.prefix = prefix.c_str();
    fovea_error error;
    fovea_model *model;
    fovea_code code = fovea_model_load(&program, weights.c_str(), &options, &model, &error);
    if (!code)
      code = fovea_model_pack(model, path.c_str(), &error);
    fovea_model_destroy(model);
    if (code)
      return createStringError("--embed-weights: %s", error.message);
    if (std::error_code failure = sys::fs::file_size(path, paths.back().bytes))
      return createStringError(failure, "cannot read '%s': %s", path.c_str(), failure.message().c_str());
  }
  return Error::success();
}

} // namespace fovea::tools
