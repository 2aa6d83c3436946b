#include "compiler/pipeline/Jit.h"
#include "compiler/tools/Commands.h"

#include "fovea/fovea.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;

namespace fovea::tools {

static Expected<std::unique_ptr<pipeline::LoadedProgram>> load(pipeline::Compiler &compiler, bool interpret) {
  if (interpret)
    return pipeline::LoadedProgram::interpret(compiler.graph());
  std::optional<pipeline::Compiler::Objects> objects;
  if (compiler.optimize())
    objects = compiler.compile();
  if (!objects || !compiler.addTables(*objects, /*executable=*/false))
    return nullptr; // reported
  return pipeline::LoadedProgram::load(std::move(*objects));
}

/// Compiles into memory and hands the rest of the line to the program's own command line.
static int run(const Arguments &arguments) {
  if (arguments.words.empty())
    return usageError("`fovea run` wants a model file");
  std::optional<pipeline::Options> options = readCompilerOptions(arguments);
  if (!options)
    return exitUsage;
  if (arguments.has("interpret")) // runs what the model says
    options->fusesAttention = false;
  pipeline::Compiler compiler(std::move(*options));
  if (!compiler.read(arguments.words[0]))
    return exitCode(compiler);
  if (!areKnownSizes(compiler))
    return exitUsage;
  if (!compiler.import())
    return exitCode(compiler);
  auto loaded = load(compiler, arguments.has("interpret"));
  if (!loaded) {
    errs() << "fovea: cannot load the program: " << toString(loaded.takeError()) << "\n";
    return exitInternal;
  }
  if (!*loaded)
    return exitCode(compiler);
  if (arguments.has("time"))
    compiler.printTimes();
  std::string command = "fovea run " + arguments.words[0]; // what the program is called as
  std::vector<char *> words{command.data()};
  for (size_t i = 1; i < arguments.words.size(); ++i)
    words.push_back(const_cast<char *>(arguments.words[i].c_str()));
  words.push_back(nullptr);
  return fovea_main((*loaded)->program(), static_cast<int>(words.size()) - 1, words.data());
}

const Command &runCommand() {
  static const Command command{
      {"run", "MODEL.fov [ENTRY INPUT... and the program's other arguments]",
       "compiles a model in memory and runs an entry; what follows the model and its options is the program's own "
       "command line",
       withCompilerOptions(
           {{"interpret", "", "run the unoptimised graph in double precision instead"},
            {"attention-maps", "", "the program can show what its attentions look at: --explain-attention"},
            noFuseOption,
            atOption})},
      run,
      /*passesRest=*/true};
  return command;
}

} // namespace fovea::tools
