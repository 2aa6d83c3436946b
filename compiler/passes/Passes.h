// The graph passes: graph to graph, one a file. What each does is in Passes.td; their order is in compiler/pipeline.
#pragma once

#include "dialects/graph/GraphDialect.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"

namespace fovea {

#define GEN_PASS_DECL
#include "compiler/passes/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "compiler/passes/Passes.h.inc"

/// Registers all graph passes (for fovea-opt and textual pipelines). Call once.
void registerGraphPasses();

} // namespace fovea
