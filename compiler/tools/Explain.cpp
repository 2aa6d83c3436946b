#include "compiler/explain/Explain.h"
#include "compiler/source/Diagnostics.h"
#include "compiler/tools/Commands.h"
#include "compiler/tools/Graphviz.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/raw_ostream.h"

#include <deque>

using namespace llvm;

namespace fovea::tools {

namespace {
using Sizes = std::vector<std::pair<std::string, int64_t>>;
enum class Format { Text, Json, Html };
} // namespace

/// "T=512,S=512": nullopt after a usage error was printed.
static std::optional<Sizes> readSizes(StringRef text) {
  Sizes sizes;
  SmallVector<StringRef> words;
  text.split(words, ',', -1, /*KeepEmpty=*/false);
  for (StringRef word : words) {
    auto [name, number] = word.trim().split('=');
    int64_t value;
    if (name.empty() || number.getAsInteger(10, value) || value < 0)
      return usageError("--at wants sizes such as T=512,B=1; found `" + word.str() + "`"), std::nullopt;
    if (any_of(sizes, [&, name = name](auto &size) { return size.first == name; }))
      return usageError("--at gives `" + name.str() + "` twice"), std::nullopt;
    sizes.emplace_back(name.str(), value);
  }
  return sizes;
}

static std::optional<Format> readFormat(StringRef name) {
  for (auto [text, format] :
       {std::pair("text", Format::Text), std::pair("json", Format::Json), std::pair("html", Format::Html)})
    if (name == text)
      return format;
  return usageError("there is no format `" + name.str() + "`; --format takes text, json or html"), std::nullopt;
}

/// Every size must be one of some entry.
static bool areKnown(const Sizes &sizes, const explain::Report &report) {
  std::vector<std::string> symbols;
  for (const explain::Entry &entry : report.entries)
    for (const std::string &symbol : entry.symbols)
      if (!is_contained(symbols, symbol))
        symbols.push_back(symbol);
  for (const auto &[name, value] : sizes) {
    if (is_contained(symbols, name) || symbols.empty())
      continue;
    std::string near = source::nearest(name, symbols);
    usageError("--at: no entry has a size `" + name + "`; " +
               (near.empty() ? "there are " + join(symbols, ", ") : "did you mean `" + near + "`?"));
    return false;
  }
  return true;
}

namespace {
/// A compilation up to kernels for all targets, as far as the model allows.
class Explanation {
public:
  explicit Explanation(pipeline::Compiler &compiler) : compiler(compiler) {}

  /// False where there is nothing to report. A chain that must be fused and is not leaves a report without kernels.
  bool run(const std::string &path, const std::vector<const kernels::Target *> &targets) {
    if (!compiler.read(path) || !compiler.import() || !compiler.simplify())
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
  std::optional<Sizes> sizes = format ? readSizes(arguments.get("at")) : std::nullopt;
  if (!sizes)
    return exitUsage;
  std::vector<const kernels::Target *> targets = options->targets;
  pipeline::Compiler compiler(std::move(*options));
  Explanation explanation(compiler);
  if (!explanation.run(arguments.words[0], targets))
    return exitCode(compiler);
  explain::Report report = explanation.report(*sizes);
  if (!areKnown(*sizes, report))
    return exitUsage;
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
