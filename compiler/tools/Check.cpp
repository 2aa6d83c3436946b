#include "compiler/source/Diagnostics.h"
#include "compiler/tools/Commands.h"

#include "runtime/core/Weights.h"

#include "llvm/Support/raw_ostream.h"

#include <array>
#include <deque>

using namespace llvm;

namespace fovea::tools {

/// The model's params as the runtime's tables have them. Keeps what they point to.
class ParamTable {
public:
  ParamTable(const sema::Model &model, const source::SourceManager &sources) {
    static_assert(int(sema::DType::F32) == FOVEA_F32 && int(sema::DType::I64) == FOVEA_I64 &&
                  int(sema::DType::Bool) == FOVEA_BOOL);
    for (const sema::ParamInfo &param : model.params) {
      std::vector<fovea_dim> &dims = sizes.emplace_back();
      for (DimExpr size : param.type.dims) {
        texts.push_back(size.str());
        codes.push_back({FOVEA_DIM_PUSH, size.value().value_or(0)});
        dims.push_back({codes.back().data(), size.value() ? 2 : 0, texts.back().c_str()}); // no code: not literal
      }
      source::Position at = sources.position(param.span.file, param.span.begin);
      texts.push_back(sources.name(param.span.file) + ":" + std::to_string(at.line) + ":" + std::to_string(at.column));
      specs.push_back(
          {param.path.c_str(), texts.back().c_str(), int32_t(param.type.dtype), int32_t(dims.size()), dims.data()});
    }
  }
  std::vector<fovea_tensor_spec> specs;

private:
  std::deque<std::string> texts;
  std::deque<std::array<int64_t, 2>> codes;
  std::deque<std::vector<fovea_dim>> sizes;
};

/// Matches the model's params with a weights file as a program does when it loads one.
static int checkWeights(const pipeline::Compiler &compiler, const source::SourceManager &sources,
                        const std::string &path, const std::string &prefix) {
  rt::TensorFile file;
  fovea_error error;
  if (file.open(path.c_str(), {}, &error)) {
    errs() << "fovea: " << error.message << "\n";
    return exitModel;
  }
  ParamTable params(compiler.model(), sources);
  std::vector<const rt::FileTensor *> found(params.specs.size());
  auto print = [](void *, const char *text) { outs() << text << "\n"; };
  fovea_code code = rt::matchWeights(params.specs.data(), static_cast<int32_t>(params.specs.size()), prefix.c_str(),
                                     file, {print, print, nullptr}, {}, found.data(), &error);
  size_t there = found.size() - count(found, nullptr);
  outs() << path << ": " << there << " of " << found.size() << " params found"
         << (!code                   ? ", all fit"
             : there == found.size() ? ", not all fit"
                                     : "")
         << "\n";
  return code ? exitModel : exitOk;
}

static int check(const Arguments &arguments) {
  if (arguments.words.size() != 1)
    return usageError("`fovea check` wants one model file, found " + std::to_string(arguments.words.size()));
  std::optional<pipeline::Options> options = readCompilerOptions(arguments);
  if (!options)
    return exitUsage;
  bool everything = options->model.modelName.empty() && !arguments.has("weights");
  sema::Options modelOptions = options->model;
  if (everything) {
    source::SourceManager sources;
    source::DiagnosticEngine diagnostics(sources);
    std::optional<source::FileId> file = pipeline::loadModelFile(sources, arguments.words[0]);
    if (!file)
      return exitModel;
    bool good = sema::check(sources, *file, modelOptions, diagnostics);
    errs() << diagnostics.render(errs().has_colors());
    if (good)
      outs() << arguments.words[0] << ": no errors\n";
    return good ? exitOk : exitModel;
  }
  pipeline::Compiler compiler(std::move(*options));
  if (!compiler.read(arguments.words[0]))
    return exitModel;
  if (arguments.has("weights"))
    return checkWeights(compiler, compiler.sources(), arguments.get("weights"), arguments.get("prefix"));
  outs() << arguments.words[0] << ": no errors\n";
  return exitOk;
}

const Command &checkCommand() {
  static const Command command{
      {"check", "MODEL.fov", "checks a model file, and a weights file against it",
       withCompilerOptions({{"weights", "FILE", "compare the model's params with this file's tensors"},
                            {"prefix", "TEXT", "put before every param's name, e.g. `bert.`"}})},
      check};
  return command;
}

} // namespace fovea::tools
