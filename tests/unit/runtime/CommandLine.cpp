#include "CommandLine.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

namespace fovea::test {

CommandResult runCommand(const fovea_program *program, std::vector<std::string> arguments, bool toFiles) {
  arguments.insert(arguments.begin(), program->name);
  std::vector<char *> argv;
  for (std::string &argument : arguments)
    argv.push_back(argument.data());
  argv.push_back(nullptr);
  if (!toFiles)
    return {fovea_main(program, static_cast<int>(arguments.size()), argv.data()), "", ""};
  std::string paths[] = {temporaryPath("stdout"), temporaryPath("stderr")};
  int saved[2];
  for (int i = 0; i < 2; ++i) {
    fflush(i ? stderr : stdout);
    saved[i] = dup(i + 1);
    int file = open(paths[i].c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(file, i + 1);
    close(file);
  }
  CommandResult result;
  result.code = fovea_main(program, static_cast<int>(arguments.size()), argv.data());
  for (int i = 0; i < 2; ++i) {
    fflush(i ? stderr : stdout);
    dup2(saved[i], i + 1);
    close(saved[i]);
  }
  result.out = readFile(paths[0]);
  result.err = readFile(paths[1]);
  for (const std::string &path : paths)
    remove(path.c_str());
  return result;
}

std::string npyFile(const char *name, rt::FileDtype dtype, std::vector<int64_t> shape, const void *data) {
  std::string path = temporaryPath(name);
  fovea_error error = {};
  REQUIRE(rt::writeNpy(path.c_str(), {"", dtype, static_cast<int32_t>(shape.size()), shape.data(), data}, &error) ==
          FOVEA_OK);
  return path;
}

} // namespace fovea::test
