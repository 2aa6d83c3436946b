#include "compiler/source/Diagnostics.h"
#include "compiler/tools/Commands.h"

#include "runtime/core/TensorFile.h"

#include "llvm/Support/raw_ostream.h"

using namespace llvm;

namespace fovea::tools {

static std::string shapeText(ArrayRef<DimExpr> dims) {
  std::string text = "[";
  for (size_t i = 0; i < dims.size(); ++i)
    text += (i ? ", " : "") + dims[i].str();
  return text + "]";
}

static std::string shapeText(const rt::FileTensor &tensor) {
  std::string text = "[";
  for (int32_t i = 0; i < tensor.rank; ++i)
    text += (i ? ", " : "") + std::to_string(tensor.shape[i]);
  return text + "]";
}

static bool sameShape(const sema::TensorType &type, const rt::FileTensor &tensor) {
  if (static_cast<int32_t>(type.dims.size()) != tensor.rank)
    return false;
  for (int32_t i = 0; i < tensor.rank; ++i)
    if (!type.dims[i].isConstant(tensor.shape[i]))
      return false;
  return true;
}

/// Compares the model's params with a weights file: what is missing (with the nearest name), what has another shape,
/// what is not used.
static int checkWeights(const sema::Model &model, const std::string &path, const std::string &prefix) {
  rt::TensorFile file;
  fovea_error error;
  if (file.open(path.c_str(), {}, &error)) {
    errs() << "fovea: " << error.message << "\n";
    return exitModel;
  }
  std::vector<std::string> names;
  for (const rt::FileTensor &tensor : file)
    names.emplace_back(tensor.name.data(), tensor.name.size());
  size_t wrong = 0, used = 0;
  for (const sema::ParamInfo &param : model.params) {
    std::string name = prefix + param.path;
    auto it = find(names, name);
    if (it == names.end()) {
      std::string near = source::nearest(name, names);
      outs() << "missing: " << name << " " << shapeText(param.type.dims) << (near.empty() ? "" : "; nearest: " + near) << "\n";
      ++wrong;
      continue;
    }
    ++used;
    const rt::FileTensor &tensor = file[it - names.begin()];
    if (!sameShape(param.type, tensor)) {
      outs() << "shape: " << name << " is " << shapeText(tensor) << " in the file, " << shapeText(param.type.dims) << " in the model\n";
      ++wrong;
    }
  }
  outs() << path << ": " << used << " of " << model.params.size() << " params found, " << names.size() - used << " tensors not used, "
         << wrong << (wrong == 1 ? " problem\n" : " problems\n");
  return wrong ? exitModel : exitOk;
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
    std::optional<source::FileId> file = sources.load(arguments.words[0]);
    if (!file) {
      errs() << "fovea: cannot read '" << arguments.words[0] << "'\n";
      return exitModel;
    }
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
    return checkWeights(compiler.model(), arguments.get("weights"), arguments.get("prefix"));
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
