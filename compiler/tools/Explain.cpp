#include "compiler/explain/Explain.h"
#include "compiler/tools/Commands.h"
#include "compiler/tools/Graphviz.h"

#include "llvm/Support/raw_ostream.h"

#include <deque>

using namespace llvm;

namespace fovea::tools {

namespace {
enum class Format { Text, Json, Html };
} // namespace

static std::optional<Format> readFormat(StringRef name) {
  for (auto [text, format] :
       {std::pair("text", Format::Text), std::pair("json", Format::Json), std::pair("html", Format::Html)})
    if (name == text)
      return format;
  return usageError("there is no format `" + name.str() + "`; --format takes text, json or html"), std::nullopt;
}

namespace {
/// A compilation up to kernels for all targets, as far as the model allows.
class Explanation {
public:
  explicit Explanation(pipeline::Compiler &compiler) : compiler(compiler) {}

  /// False where there is nothing to report. A chain that must be fused and is not leaves a report without kernels.
  bool run(const std::vector<const kernels::Target *> &targets) {
    if (!compiler.import() || !compiler.simplify())
      return false;
    before = cast<mlir::ModuleOp>(compiler.graph()->clone());
    if (!compiler.fuse())
      return compiler.failureKind() == pipeline::FailureKind::Model;
    for (const kernels::Target *target : targets) {
      mlir::OwningOpRef<mlir::ModuleOp> module =
          compiler.lower(*target, pipeline::Stage::Kernel, interfaces.emplace_back());
      if (!module)
        return false;
      lowered.push_back({target, *module, &interfaces.back()});
      modules.push_back(std::move(module));
    }
    return true;
  }
  explain::Report report(const Sizes &sizes) { return explain::explain({*before, compiler.graph(), lowered, sizes}); }

private:
  pipeline::Compiler &compiler;
  mlir::OwningOpRef<mlir::ModuleOp> before;
  std::vector<mlir::OwningOpRef<mlir::ModuleOp>> modules;
  std::deque<program::Interface> interfaces;
  std::vector<explain::Input::Lowered> lowered;
};
} // namespace

static Expected<std::string> render(const explain::Report &report, Format format) {
  if (format == Format::Text)
    return explain::renderText(report);
  if (format == Format::Json)
    return explain::renderJson(report);
  Expected<std::string> before = drawSvg(report.drawings.before);
  if (!before)
    return before.takeError();
  Expected<std::string> after = drawSvg(report.drawings.after);
  if (!after)
    return after.takeError();
  return explain::renderHtml(report, *before, *after);
}

static int explainModel(const Arguments &arguments) {
  if (arguments.words.size() != 1)
    return usageError("`fovea explain` wants one model file, found " + std::to_string(arguments.words.size()));
  std::optional<pipeline::Options> options = readCompilerOptions(arguments);
  std::optional<Format> format = options ? readFormat(arguments.get("format", "text")) : std::nullopt;
  if (!format)
    return exitUsage;
  std::vector<const kernels::Target *> targets = options->targets;
  Sizes sizes = options->sizes;
  pipeline::Compiler compiler(std::move(*options));
  Explanation explanation(compiler);
  if (!compiler.read(arguments.words[0]))
    return exitCode(compiler);
  if (!areKnownSizes(compiler))
    return exitUsage;
  if (!explanation.run(targets))
    return exitCode(compiler);
  explain::Report report = explanation.report(sizes);
  Expected<std::string> text = render(report, *format);
  if (!text) {
    errs() << "fovea: " << toString(text.takeError()) << "\n";
    return exitModel;
  }
  if (Error error = object::writeFile(arguments.get("o", "-"), *text)) {
    errs() << "fovea: " << toString(std::move(error)) << "\n";
    return exitModel;
  }
  return compiler.failureKind() == pipeline::FailureKind::None ? exitOk : exitCode(compiler);
}

const Command &explainCommand() {
  static const Command command{
      {"explain", "MODEL.fov", "says for each attention chain what was proved and fused, or what failed and where",
       withCompilerOptions(
           {{"at", "SIZES", "look at these sizes, e.g. T=512,B=1: tiles skipped, operations, bytes"},
            {"format", "FORMAT", "text (default), json, or html: one page with the graph, drawn by Graphviz"},
            {"o", "FILE", "where to write (default: standard output)"}})},
      explainModel};
  return command;
}

} // namespace fovea::tools
