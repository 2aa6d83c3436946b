// A program in this process, without a file: compiled, or interpreted behind the same tables.
#pragma once

#include "compiler/pipeline/Compiler.h"
#include "fovea/abi.h"

namespace fovea::pipeline {

/// Keeps the code; `program()` is valid as long as this lives.
class LoadedProgram {
public:
  static llvm::Expected<std::unique_ptr<LoadedProgram>> load(Compiler::Objects objects);
  /// A program whose entries run the graph (unoptimised or not) in the double-precision interpreter. Inputs and params
  /// are taken as they are, results are rounded to their types at the end. `graph` must outlive it.
  static llvm::Expected<std::unique_ptr<LoadedProgram>> interpret(mlir::ModuleOp graph);
  ~LoadedProgram();
  const fovea_program *program() const { return table; }

private:
  LoadedProgram();
  struct State;
  std::unique_ptr<State> state;
  const fovea_program *table = nullptr;
};

} // namespace fovea::pipeline
