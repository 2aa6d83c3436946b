// Runs an entry of a graph module on an ABI frame, through the interpreter.
#pragma once

#include "compiler/program/Interface.h"
#include "fovea/abi.h"

namespace fovea::pipeline {

struct InterpretedProgram {
  mlir::ModuleOp graph;
  program::Interface interface;

  /// What the program's entry functions call. A failure is recorded in `exec`.
  int32_t run(int32_t entry, fovea_exec *exec, const fovea_frame *frame) const;
};

} // namespace fovea::pipeline
