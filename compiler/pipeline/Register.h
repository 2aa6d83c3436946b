// Everything that a tool needs to read, transform and write IR.
#pragma once

#include "mlir/IR/DialectRegistry.h"

namespace fovea::pipeline {

/// The graph and kernel dialects and those that they are lowered through, with their interfaces and translations.
void registerDialects(mlir::DialectRegistry &registry);

/// Fovea's passes and the upstream ones that its pipelines are made of. Once a process.
void registerPasses();

} // namespace fovea::pipeline
