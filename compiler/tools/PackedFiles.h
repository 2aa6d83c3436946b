// Weights that a program is built with.
#pragma once

#include "compiler/pipeline/Compiler.h"

namespace fovea::tools {

/// Packed files, one for each target of a program, that are there as long as this is.
class PackedFiles {
public:
  PackedFiles() = default;
  PackedFiles(const PackedFiles &) = delete;
  PackedFiles &operator=(const PackedFiles &) = delete;
  ~PackedFiles();

  /// Runs the prepare steps of each target on this machine. The files are made beside `output`.
  llvm::Error pack(pipeline::Compiler::Objects objects, const std::string &weights, const std::string &prefix,
                   llvm::StringRef output);
  llvm::ArrayRef<program::PackedPath> files() const { return paths; }

private:
  std::vector<program::PackedPath> paths;
};

} // namespace fovea::tools
