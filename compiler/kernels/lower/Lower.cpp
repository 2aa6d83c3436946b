// graph-lower-to-kernel: groups to kernels, functions to launches over views of an arena.
//
// Before: graph-form-groups. After: kernel.func, func.func (architecture.md, "Between lower, emit and program"); no
// graph op is left. Exact: what is computed and in which order a value is summed is the group's.
#include "compiler/kernels/lower/Lower.h"

#include "compiler/kernels/lower/HostFunction.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

#define DEBUG_TYPE "graph-lower-to-kernel"

using namespace mlir;

namespace fovea::kernels {

/// Callees before callers; nullopt in case of recursion.
static std::optional<SmallVector<graph::FuncOp>> inCallOrder(ModuleOp module) {
  SmallVector<graph::FuncOp> order;
  DenseSet<Operation *> done, open;
  std::function<bool(graph::FuncOp)> visit = [&](graph::FuncOp function) {
    if (done.contains(function))
      return true;
    if (!open.insert(function).second)
      return false;
    for (auto call : function.getBody().getOps<graph::CallOp>())
      if (!visit(calleeOf(call)))
        return false;
    done.insert(function);
    order.push_back(function);
    return true;
  };
  for (auto function : module.getOps<graph::FuncOp>())
    if (!visit(function))
      return std::nullopt;
  return order;
}

LogicalResult lowerToKernels(ModuleOp module, FunctionPlans *result) {
  std::optional<SmallVector<graph::FuncOp>> functions = inCallOrder(module);
  if (!functions)
    return module.emitError("internal: functions call each other in a circle");
  KernelTable kernels(module);
  FunctionPlans plans;
  for (graph::FuncOp function : *functions)
    if (failed(HostFunction(function, kernels, plans).lower()))
      return failure();
  for (graph::FuncOp function : *functions) {
    std::string name = function.getSymName().str();
    auto host = module.lookupSymbol<func::FuncOp>(name + hostSuffix.str());
    function.erase();
    host.setSymName(name);
  }
  if (result)
    *result = std::move(plans);
  return success();
}

namespace {
struct LowerToKernel : PassWrapper<LowerToKernel, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(LowerToKernel)
  StringRef getName() const final { return "LowerToKernel"; }
  StringRef getArgument() const final { return DEBUG_TYPE; }
  StringRef getDescription() const final { return "Lower groups to kernels, functions to launches over an arena"; }
  void getDependentDialects(DialectRegistry &registry) const override {
    registry.insert<kernel::KernelDialect, arith::ArithDialect, math::MathDialect, memref::MemRefDialect,
                    func::FuncDialect, LLVM::LLVMDialect>();
  }
  void runOnOperation() override {
    if (failed(lowerToKernels(getOperation())))
      signalPassFailure();
  }
};
} // namespace

std::unique_ptr<Pass> createLowerToKernelPass() { return std::make_unique<LowerToKernel>(); }
void registerLowerToKernelPass() { PassRegistration<LowerToKernel>(); }

} // namespace fovea::kernels
