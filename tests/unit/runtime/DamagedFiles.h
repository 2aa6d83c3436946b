/// Damaged tensor files, each with a part of the message that it gives.
#pragma once

#include "FakeProgram.h"

namespace fovea::test {

struct DamagedFile {
  std::string bytes;
  const char *message;
};
std::vector<DamagedFile> damagedSafetensors();
std::vector<DamagedFile> damagedNpy();

/// The bytes of an npy file.
std::string npy(const std::string &header, const std::string &data, char major = 1);

} // namespace fovea::test
