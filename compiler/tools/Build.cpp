#include "compiler/program/Header.h"
#include "compiler/tools/Commands.h"
#include "compiler/tools/PackedFiles.h"
#include "fovea/abi.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;

namespace fovea::tools {

static int fail(Error error) {
  errs() << "fovea: " << toString(std::move(error)) << "\n";
  return exitModel;
}

/// The folder of the running executable; the runtime's libraries lie in ../lib.
static std::string libraryDirectory() {
  static int anchor;
  SmallString<256> path(sys::fs::getMainExecutable("fovea", &anchor));
  sys::path::remove_filename(path);
  sys::path::append(path, "..", "lib");
  sys::path::remove_dots(path, /*remove_dot_dot=*/true);
  return path.str().str();
}

static void report(const std::string &output, const pipeline::Compiler::Objects &objects) {
  uint64_t size = 0;
  sys::fs::file_size(output, size);
  outs() << output << ": " << (size + 512) / 1024 << " KiB\n";
  for (const auto &[entry, formula] : objects.arenaFormulas)
    if (!formula.empty())
      outs() << "  " << entry << ": arena of " << formula << " bytes, and scratch for each thread\n";
  for (const program::Entry &entry : objects.interface.entries)
    if (entry.recomputation)
      outs() << "  " << entry.name << ": " << entry.recomputation->summary() << "\n";
}

/// Adds the tables, and with them the weights that the program is to hold.
static int addTables(pipeline::Compiler &compiler, pipeline::Compiler::Objects &objects, bool executable,
                     const Arguments &arguments, StringRef output) {
  PackedFiles packed;
  if (arguments.has("embed-weights")) {
    pipeline::Compiler::Objects loaded = objects;
    if (!compiler.addTables(loaded, /*executable=*/false))
      return exitCode(compiler);
    if (Error error = packed.pack(std::move(loaded), arguments.get("embed-weights"), arguments.get("prefix"), output))
      return fail(std::move(error));
  }
  return compiler.addTables(objects, executable, packed.files()) ? exitOk : exitCode(compiler);
}

/// Objects to an executable, to a library with its header, or as they are.
static int link(pipeline::Compiler &compiler, pipeline::Stage stage, const Arguments &arguments, StringRef stem) {
  std::string output = arguments.get("o");
  bool showsObjects = stage == pipeline::Stage::Object;
  std::optional<pipeline::Compiler::Objects> objects =
      compiler.compile(showsObjects ? object::Division::Whole : object::Division::Parts);
  if (!objects)
    return exitCode(compiler);
  if (int code = addTables(compiler, *objects, stage == pipeline::Stage::Executable, arguments,
                           output.empty() ? stem : output))
    return code;
  if (showsObjects) {
    // One file a target, then the tables; all of them or none.
    std::vector<std::string> written;
    for (size_t i = 0; i < objects->files.size(); ++i) {
      std::string name = (output.empty() ? stem.str() : output) + "." + std::to_string(i) + ".o";
      if (Error error = object::writeFile(name, StringRef(objects->files[i].data(), objects->files[i].size()))) {
        for (const std::string &other : written)
          sys::fs::remove(other);
        return fail(std::move(error));
      }
      written.push_back(name);
    }
    return exitOk;
  }
  object::LinkJob job;
  job.objects = std::move(objects->files);
  job.shared = stage == pipeline::Stage::Library;
  job.holdsWeights = arguments.has("embed-weights");
  std::string prefix = objects->interface.symbolPrefix();
  job.exportedSymbol = prefix + "_program";
  if (job.shared) {
    job.output = output.empty() ? "lib" + prefix + ".so" : output;
  } else {
    job.output = output.empty() ? stem.str() : output;
    for (const char *library : {"libfovea_main.a", "libfovea_runtime.a"}) {
      std::string path = libraryDirectory() + "/" + library;
      if (!sys::fs::exists(path))
        return fail(
            createStringError("the runtime library '%s' is missing; build or install Fovea's runtime", path.c_str()));
      job.archives.push_back(path);
    }
  }
  if (!job.shared && arguments.has("attention-maps"))
    job.wanted.push_back("fovea_write_attention_page");
  for (const program::Entry &entry : objects->interface.entries)
    if (!job.shared && entry.role == FOVEA_ROLE_TRAIN)
      job.wanted.push_back("fovea_train");
  if (Error error = object::link(job))
    return fail(std::move(error));
  if (job.shared) {
    SmallString<256> header(job.output);
    sys::path::remove_filename(header);
    sys::path::append(header, prefix + ".h");
    if (Error error = object::writeFile(header, program::writeHeader(objects->interface))) {
      sys::fs::remove(job.output);
      return fail(std::move(error));
    }
  }
  report(job.output, *objects);
  return exitOk;
}

static int build(const Arguments &arguments) {
  if (arguments.words.size() != 1)
    return usageError("`fovea build` wants one model file, found " + std::to_string(arguments.words.size()));
  std::optional<pipeline::Options> options = readCompilerOptions(arguments);
  if (!options)
    return exitUsage;
  std::string emit = arguments.get("emit", "exe"), output = arguments.get("o");
  std::optional<pipeline::Stage> stage = pipeline::parseStage(emit);
  if (stage && *stage >= pipeline::Stage::Object && output == "-")
    return usageError("`-o -` is for stages that are text: --emit=" + emit + " needs the name of a file");
  if (!output.empty() && output[0] == '-' && output != "-")
    output = "./" + output; // the linker would take it for an option
  if (!stage) {
    std::string known;
    for (const std::string &name : pipeline::stageNames())
      known += (known.empty() ? "" : ", ") + name;
    return usageError("there is no stage `" + emit + "`; --emit takes " + known);
  }
  if (arguments.has("embed-weights") && *stage < pipeline::Stage::Object)
    return usageError("--embed-weights is for programs and libraries, not for --emit=" + emit);
  if (arguments.has("prefix") && !arguments.has("embed-weights"))
    return usageError("--prefix belongs to --embed-weights");
  std::string input = arguments.words[0];
  pipeline::Compiler compiler(std::move(*options));
  int result = exitOk;
  auto write = [&](const std::string &text) {
    if (Error error = object::writeFile(output.empty() ? "-" : output, text))
      result = fail(std::move(error));
  };
  if (*stage == pipeline::Stage::AST) {
    std::optional<std::string> text = compiler.printSyntax(input);
    if (!text)
      return exitModel;
    write(*text);
    return result;
  }
  if (!compiler.read(input))
    return exitModel;
  if (!areKnownSizes(compiler))
    return exitUsage;
  if (*stage > pipeline::Stage::Typed && !compiler.import())
    return exitCode(compiler);
  if (*stage > pipeline::Stage::Graph && !compiler.optimize())
    return exitCode(compiler);
  if (*stage >= pipeline::Stage::Object) {
    result = link(compiler, *stage, arguments, sys::path::stem(input));
  } else if (std::optional<std::string> text = compiler.print(*stage)) {
    write(*text);
  } else {
    result = exitCode(compiler);
  }
  if (arguments.has("time"))
    compiler.printTimes();
  return result;
}

const Command &buildCommand() {
  static const Command command{
      {"build", "MODEL.fov", "compiles a model to a native program, a library, or any stage on the way",
       withCompilerOptions(
           {{"o", "FILE",
             "where to write (default: what is text to standard output, which is also `-`; else named after the "
             "model)"},
            noFuseOption,
            {"emit", "STAGE", "ast, typed, graph, fused, kernel, vector, llvm, asm, obj, lib or exe (default)"},
            {"embed-weights", "FILE",
             "put the weights into the program, packed for each target: it then needs no --weights"},
            atOption,
            {"attention-maps", "", "the program can show what its attentions look at: --explain-attention"},
            {"prefix", "TEXT", "with --embed-weights: put before every tensor's name, e.g. `bert.`"}})},
      build};
  return command;
}

} // namespace fovea::tools
