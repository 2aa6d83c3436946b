// Makes the report from what the compiler made of a model.
#pragma once

#include "compiler/explain/Report.h"
#include "compiler/kernels/Target.h"
#include "compiler/program/Interface.h"

#include "mlir/IR/BuiltinOps.h"

namespace fovea::explain {

struct Input {
  /// The graph before and after fusion, the latter with the fusion report. Of a model that failed to fuse what must be
  /// fused the latter may be as far as it came.
  mlir::ModuleOp before, fused;
  /// Kernels and host functions, one a target; none where there are errors.
  struct Lowered {
    const kernels::Target *target;
    mlir::ModuleOp module;
    const program::Interface *interface;
  };
  std::vector<Lowered> lowered;
  /// Sizes to look at, by symbol; may be empty.
  std::vector<std::pair<std::string, int64_t>> sizes;
};

Report explain(const Input &input);

} // namespace fovea::explain
