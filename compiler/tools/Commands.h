// The commands of `fovea`. Each returns the exit code: 0, 1 the user's model or data, 2 usage, 70 ours.
#pragma once

#include "compiler/pipeline/Compiler.h"
#include "compiler/tools/Arguments.h"

namespace fovea::tools {

struct Command {
  CommandSpec spec;
  int (*run)(const Arguments &arguments);
  /// Options end at the first word: what follows belongs to the program that is run.
  bool passesRest = false;
};

const Command &buildCommand();
const Command &runCommand();
const Command &checkCommand();
const Command &explainCommand();
const Command &inspectCommand();

inline constexpr int exitOk = 0, exitModel = 1, exitUsage = 2, exitInternal = 70;

/// Prints "fovea: message" and gives `exitUsage`.
int usageError(const std::string &message);

/// The exit code after a step of `compiler` failed.
int exitCode(const pipeline::Compiler &compiler);

/// Of the commands that make a program.
inline constexpr OptionSpec noFuseOption{
    "no-fuse", "", "leave attention unfused, for comparison: scores are held, and `@require_fused` asks for nothing"};

inline constexpr OptionSpec atOption{
    "at", "SIZES", "with --max-memory: the sizes to plan memory for, e.g. B=32,T=128; what is not given is 128"};

using Sizes = std::vector<std::pair<std::string, int64_t>>;
/// Whether each size that --at gave is one of the model that `compiler` has read, where it has any; prints a usage
/// error.
bool areKnownSizes(const pipeline::Compiler &compiler);

/// Options that every compiling command takes, appended to its own.
std::vector<OptionSpec> withCompilerOptions(std::vector<OptionSpec> own);
/// Reads them; nullopt after a usage error was printed.
std::optional<pipeline::Options> readCompilerOptions(const Arguments &arguments);

} // namespace fovea::tools
