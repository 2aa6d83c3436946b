/// Training of the fake trainer in tests: its data, its command, what comes out.
#pragma once

#include "CommandLine.h"
#include "FakeTrainer.h"

namespace fovea::test {

/// Files of one test in a folder of their own.
struct Folder {
  explicit Folder(const char *name);
  ~Folder();
  std::string operator/(const std::string &file) const { return path + "/" + file; }
  bool has(const char *file) const;
  std::string path;
};

/// y = 2 x0 - x1 and some noise that has no pattern.
struct Rows {
  explicit Rows(int64_t count);
  int64_t count() const { return static_cast<int64_t>(y.size()); }
  void write(const std::string &path);
  std::vector<float> x, y;
};

using Arguments = std::vector<std::string>;

/// The command `train` with these arguments.
CommandResult train(Arguments arguments, const Arguments &more = {});

/// What `fit` does, in the same arithmetic, over whole epochs.
std::vector<float> fitted(const Rows &rows, int64_t epochs, int64_t batch, int64_t seed, bool dropLast);
/// `w` in a safetensors file.
std::vector<float> savedWeights(const std::string &path);

int countOf(const std::string &text, const std::string &part);

} // namespace fovea::test
