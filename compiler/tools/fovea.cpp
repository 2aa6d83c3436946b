// The driver: `fovea build`, `run`, `check`, `explain`, `inspect`. Argument parsing only; the work is in the libraries.
#include "compiler/tools/Commands.h"

#include "compiler/source/Diagnostics.h"

#include "llvm/Support/PrettyStackTrace.h"
#include "llvm/Support/raw_ostream.h"

using namespace fovea::tools;

static const Command *const commands[] = {&buildCommand(), &runCommand(), &checkCommand(), &explainCommand(), &inspectCommand()};

static void printHelp() {
  llvm::outs() << "usage: fovea <command> [options] ...\n\nFovea compiles attention networks to native programs.\n\n";
  for (const Command *command : commands)
    llvm::outs() << "  " << llvm::left_justify(command->spec.name, 10) << command->spec.help << "\n";
  llvm::outs() << "\n`fovea <command> --help` says more.\n";
}

static const Command *findCommand(llvm::StringRef name) {
  for (const Command *command : commands)
    if (name == command->spec.name)
      return command;
  return nullptr;
}

int main(int argc, char **argv) {
  llvm::setBugReportMsg("fovea: this is a bug of the compiler; please report it with the command line and the model file.\n");
  llvm::StringRef name = argc > 1 ? argv[1] : "--help";
  if (name == "--help" || name == "-h" || name == "help") {
    printHelp();
    return exitOk;
  }
  const Command *command = findCommand(name);
  if (!command) {
    std::vector<std::string> names;
    for (const Command *each : commands)
      names.push_back(each->spec.name);
    std::string near = fovea::source::nearest(name.str(), names);
    return usageError("there is no command `" + name.str() + "`" + (near.empty() ? "; see `fovea --help`" : "; did you mean `" + near + "`?"));
  }
  llvm::ArrayRef<const char *> words(argv + 2, argc - 2);
  for (llvm::StringRef word : words) {
    if (command->passesRest && !word.starts_with("-"))
      break;
    if (word == "--help" || word == "-h") {
      llvm::outs() << help(command->spec);
      return exitOk;
    }
  }
  std::string error;
  std::optional<Arguments> arguments = Arguments::parse(command->spec, words, error, command->passesRest);
  if (!arguments)
    return usageError(error + (command->passesRest ? "; options of the program stand after the model" : ""));
  return command->run(*arguments);
}
