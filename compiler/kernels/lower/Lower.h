// graph.func with groups in, kernel.func + func.func out (docs/architecture.md, "Between lower, emit and program").
#pragma once

#include "compiler/analysis/MemoryPlan.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"

#include <memory>

namespace fovea::kernels {

/// How the arena of one function was planned, over the function's own symbols.
struct FunctionPlan {
  /// The arena of a called function, which is one of the buffers.
  struct Callee {
    size_t buffer;
    std::string name;
    std::map<std::string, DimExpr, std::less<>> sizes; ///< of its symbols
  };
  std::vector<PlanBuffer> buffers; ///< over steps in the order in which they run
  std::vector<Callee> callees;
  SizeFormula size; ///< its names are those that the buffers' sizes are written with as well
};
using FunctionPlans = std::map<std::string, FunctionPlan>;

/// Replaces every graph.func of `module`, in the form that graph-form-groups leaves, by kernels (merged by structure),
/// one host function each, and its arena function. Emits an error and fails where a function is in another form.
/// `plans` is for who wants to judge them.
mlir::LogicalResult lowerToKernels(mlir::ModuleOp module, FunctionPlans *plans = nullptr);

std::unique_ptr<mlir::Pass> createLowerToKernelPass();
void registerLowerToKernelPass(); ///< graph-lower-to-kernel

} // namespace fovea::kernels
