#include "compiler/source/Diagnostics.h"
#include "compiler/tools/Commands.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;

namespace fovea::tools {

int usageError(const std::string &message) {
  errs() << "fovea: " << message << "\n";
  return exitUsage;
}

int exitCode(const pipeline::Compiler &compiler) {
  switch (compiler.failureKind()) {
  case pipeline::FailureKind::Usage:
    return exitUsage;
  case pipeline::FailureKind::Compiler:
    return exitInternal;
  default:
    return exitModel;
  }
}

std::vector<OptionSpec> withCompilerOptions(std::vector<OptionSpec> own) {
  static const OptionSpec common[] = {
      {"model", "NAME", "the model, where the file has several"},
      {"set", "NAME=VALUE", "a parameter of the model, e.g. depth=12; may be repeated"},
      {"import-dir", "DIR", "also look here for imports; may be repeated"},
      {"target", "NAMES",
       "x86-64, x86-64-v3, x86-64-v4, native (default) or all; several with commas go into one program"},
      {"matmul-precision", "TYPE",
       "what products with constant matrices round both operands to: f32 (default), bf16, or int8"},
      {"weights-dtype", "TYPE",
       "what constant matrices are kept in: f32 (default), bf16, or int8 with a scale for each output"},
      {"max-memory", "SIZE",
       "the largest arena of entries that compute gradients, e.g. 512MiB, at the sizes of --at: what does not fit is "
       "computed again"},
      {"load-pass", "FILE:PASSES@POINT",
       "run a plugin's passes at after-import, before-fusion, after-fusion or kernel"},
      {"print-before", "PASS", "print the IR before a pass (or `all`)"},
      {"print-after", "PASS", "print the IR after a pass (or `all`)"},
      {"time", "", "print the time that each phase and pass takes"},
  };
  own.insert(own.end(), std::begin(common), std::end(common));
  return own;
}

static bool readPlugin(const std::string &text, pipeline::Options &options) {
  auto [file, rest] = StringRef(text).split(':');
  auto [passes, point] = rest.rsplit('@');
  static constexpr StringLiteral points[] = {"after-import", "before-fusion", "after-fusion", "kernel"};
  if (passes.empty() || !is_contained(points, point)) {
    usageError("--load-pass wants FILE:PASSES@POINT with POINT one of after-import, before-fusion, after-fusion, "
               "kernel; found `" +
               text + "`");
    return false;
  }
  options.plugins.push_back({file.str(), passes.str(), point.str()});
  return true;
}

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

bool areKnownSizes(const pipeline::Compiler &compiler) {
  std::vector<std::string> symbols;
  for (const sema::Function &function : compiler.model().functions)
    if (function.isEntry)
      append_range(symbols, function.symbols);
  llvm::sort(symbols);
  symbols.erase(llvm::unique(symbols), symbols.end());
  for (const auto &[name, value] : compiler.options().sizes) {
    if (is_contained(symbols, name) || symbols.empty())
      continue;
    std::string near = source::nearest(name, symbols);
    usageError("--at: no entry has a size `" + name + "`; " +
               (near.empty() ? "there are " + join(symbols, ", ") : "did you mean `" + near + "`?"));
    return false;
  }
  return true;
}

/// "512MiB", "1GiB", "65536": bytes; nullopt after a usage error was printed.
static std::optional<int64_t> readBytes(StringRef text) {
  StringRef number = text.take_while(isDigit), unit = text.substr(number.size());
  int64_t value = 0, scale = 0;
  for (auto [name, bytes] : {std::pair<StringRef, int64_t>{"", 1},
                             {"KiB", int64_t(1) << 10},
                             {"MiB", int64_t(1) << 20},
                             {"GiB", int64_t(1) << 30}})
    if (unit == name)
      scale = bytes;
  int64_t bytes = 0;
  if (number.getAsInteger(10, value) || !scale || !value || MulOverflow(value, scale, bytes))
    return usageError("--max-memory wants a size such as 512MiB (KiB, MiB, GiB, or bytes), found `" + text.str() + "`"),
           std::nullopt;
  return bytes;
}

std::optional<pipeline::Options> readCompilerOptions(const Arguments &arguments) {
  pipeline::Options options;
  options.model.modelName = arguments.get("model");
  options.model.importDirs = arguments.all("import-dir");
  for (const std::string &set : arguments.all("set")) {
    auto [name, value] = StringRef(set).split('=');
    if (name.empty() || value.empty())
      return usageError("--set wants NAME=VALUE, found `" + set + "`"), std::nullopt;
    options.model.sets.emplace_back(name.str(), value.str());
  }
  std::string precisionName = arguments.get("matmul-precision", "f32");
  std::optional<kernels::Precision> precision = kernels::parsePrecision(precisionName);
  if (!precision)
    return usageError("--matmul-precision wants f32, bf16 or int8, found `" + precisionName + "`"), std::nullopt;
  options.matmulPrecision = *precision;
  SmallVector<const kernels::Target *> targets;
  std::string unknown;
  if (!kernels::parseTargets(arguments.get("target", "native"), *precision, targets, unknown)) {
    std::string known;
    for (const kernels::Target *target : kernels::targetsFor(*precision))
      known += ", " + target->name.str();
    return usageError("there is no target `" + unknown + "`; there are native, all" + known), std::nullopt;
  }
  if (targets.empty())
    return usageError("--target wants names, found `" + arguments.get("target") + "`"), std::nullopt;
  options.targets.assign(targets.begin(), targets.end());
  std::string dtype = arguments.get("weights-dtype", "f32");
  if (dtype != "f32" && dtype != "bf16" && dtype != "int8")
    return usageError("--weights-dtype wants f32, bf16 or int8, found `" + dtype + "`"), std::nullopt;
  if (*precision != kernels::Precision::F32 && arguments.has("weights-dtype") && dtype != precisionName)
    return usageError("with --matmul-precision=" + precisionName + " weights are kept in " + precisionName +
                      ": --weights-dtype=" + dtype + " has no place"),
           std::nullopt;
  options.weightsDtype = dtype == "int8" ? "i8" : dtype == "bf16" ? "bf16" : "";
  if (arguments.has("max-memory")) {
    std::optional<int64_t> bytes = readBytes(arguments.get("max-memory"));
    if (!bytes)
      return std::nullopt;
    options.maxMemory = *bytes;
  }
  std::optional<Sizes> sizes = readSizes(arguments.get("at"));
  if (!sizes)
    return std::nullopt;
  options.sizes = std::move(*sizes);
  for (const std::string &plugin : arguments.all("load-pass"))
    if (!readPlugin(plugin, options))
      return std::nullopt;
  options.printBefore = arguments.all("print-before");
  options.printAfter = arguments.all("print-after");
  options.fusesAttention = !arguments.has("no-fuse");
  options.time = arguments.has("time");
  options.attentionMaps = arguments.has("attention-maps");
  return options;
}

} // namespace fovea::tools
