// graph.func with groups in, kernel.func + func.func out (docs/architecture.md, "Between lower, emit and program").
#pragma once

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"

#include <memory>

namespace fovea::kernels {

/// Replaces every graph.func of `module`, in the form that graph-form-groups leaves, by kernels (merged by structure), one
/// host function each, and its arena function. Emits an error and fails where a function is in another form.
mlir::LogicalResult lowerToKernels(mlir::ModuleOp module);

std::unique_ptr<mlir::Pass> createLowerToKernelPass();
void registerLowerToKernelPass(); ///< graph-lower-to-kernel

} // namespace fovea::kernels
