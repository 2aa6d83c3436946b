#include "compiler/kernels/emit/ToLLVM.h"

#include "compiler/kernels/emit/Math.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;
using namespace fovea::kernels;

namespace {
struct ExpandMath : PassWrapper<ExpandMath, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ExpandMath)
  explicit ExpandMath(const Target &target) : target(target) {}
  ExpandMath(const ExpandMath &) = default;
  StringRef getArgument() const override { return "kernel-expand-math"; }
  StringRef getDescription() const override { return "replace elementary functions by polynomials"; }
  void runOnOperation() override {
    if (failed(expandMath(getOperation(), target)))
      signalPassFailure();
  }
  const Target &target;
};
} // namespace

void fovea::kernels::addToLLVMPasses(OpPassManager &manager, const Target &target) {
  manager.addPass(std::make_unique<ExpandMath>(target));
  manager.addPass(createCanonicalizerPass()); // folds sizes and strides that are constants
  manager.addPass(createCSEPass());
  manager.addPass(createConvertVectorToSCFPass(VectorTransferToSCFOptions().enableFullUnroll()));
  manager.addPass(memref::createExpandStridedMetadataPass());
  manager.addPass(createLowerAffinePass());
  manager.addPass(arith::createArithExpandOpsPass()); // ceiling and floor divisions
  manager.addPass(createSCFToControlFlowPass());
  ConvertVectorToLLVMPassOptions vectors;
  vectors.reassociateFPReductions = false;
  manager.addPass(createConvertVectorToLLVMPass(vectors));
  manager.addPass(createConvertMathToLLVMPass());
  manager.addPass(createFinalizeMemRefToLLVMConversionPass());
  manager.addPass(createConvertFuncToLLVMPass());
  manager.addPass(createArithToLLVMConversionPass());
  manager.addPass(createConvertControlFlowToLLVMPass());
  manager.addPass(createReconcileUnrealizedCastsPass());
  manager.addPass(createCanonicalizerPass());
  manager.addPass(createCSEPass());
}

LogicalResult fovea::kernels::lowerToLLVM(ModuleOp module, const Target &target) {
  PassManager manager(module.getContext(), ModuleOp::getOperationName());
  addToLLVMPasses(manager, target);
  return manager.run(module);
}
