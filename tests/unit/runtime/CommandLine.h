/// Programs' command lines in tests.
#pragma once

#include "FakeProgram.h"
#include "runtime/core/TensorFile.h"

namespace fovea::test {

struct CommandResult {
  int code;
  std::string out, err;
};

/// Runs the command line, with both streams in files unless they stay as they are.
CommandResult runCommand(const fovea_program *program, std::vector<std::string> arguments, bool toFiles = true);

/// The path of an npy file in the temporary folder.
std::string npyFile(const char *name, rt::FileDtype dtype, std::vector<int64_t> shape, const void *data);

} // namespace fovea::test
