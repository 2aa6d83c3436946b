#include "compiler/passes/FusionReport.h"
#include "compiler/tools/Commands.h"

#include "llvm/Support/raw_ostream.h"

using namespace llvm;

namespace fovea::tools {

static int explain(const Arguments &arguments) {
  if (arguments.words.size() != 1)
    return usageError("`fovea explain` wants one model file, found " + std::to_string(arguments.words.size()));
  std::optional<pipeline::Options> options = readCompilerOptions(arguments);
  if (!options)
    return exitUsage;
  pipeline::Compiler compiler(std::move(*options));
  if (!compiler.read(arguments.words[0]) || !compiler.import() || !compiler.optimize())
    return exitCode(compiler);
  FusionReport report = FusionReport::fromModule(compiler.graph());
  std::string text = arguments.has("json") ? report.json() : report.text();
  if (Error error = object::writeFile(arguments.get("o", "-"), text)) {
    errs() << "fovea: " << toString(std::move(error)) << "\n";
    return exitModel;
  }
  return exitOk;
}

const Command &explainCommand() {
  static const Command command{
      {"explain", "MODEL.fov", "says for each attention chain what was proved and fused, or what failed and where",
       withCompilerOptions({{"json", "", "as JSON"}, {"o", "FILE", "where to write (default: standard output)"}})},
      explain};
  return command;
}

} // namespace fovea::tools
