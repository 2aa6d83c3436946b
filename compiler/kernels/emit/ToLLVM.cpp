#include "compiler/kernels/emit/ToLLVM.h"

#include "compiler/kernels/emit/Math.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;
using namespace fovea::kernels;

namespace {
struct ExpandMath : PassWrapper<ExpandMath, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ExpandMath)
  explicit ExpandMath(const Target &target) : target(target) {}
  ExpandMath(const ExpandMath &) = default;
  StringRef getName() const final { return "ExpandMath"; }
  StringRef getArgument() const override { return "kernel-expand-math"; }
  StringRef getDescription() const override { return "replace elementary functions by polynomials"; }
  void runOnOperation() override {
    if (failed(expandMath(getOperation(), target)))
      signalPassFailure();
  }
  const Target &target;
};

/// Masked accesses of vectors of f16 and bf16 move their bits. LLVM takes them apart where it has no instructions for
/// the type, and converts each element to f32 and back by library calls that no program has.
struct MoveHalfBits : PassWrapper<MoveHalfBits, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(MoveHalfBits)
  StringRef getName() const final { return "MoveHalfBits"; }
  StringRef getArgument() const override { return "kernel-move-half-bits"; }
  StringRef getDescription() const override { return "make masked accesses of 16-bit floats ones of integers"; }
  void runOnOperation() override {
    getOperation().walk([](Operation *op) {
      if (isa<LLVM::MaskedLoadOp, LLVM::MaskedStoreOp, LLVM::masked_gather, LLVM::masked_scatter>(op))
        moveBits(op);
    });
  }

  /// The type of as many integers; null for everything but vectors of 16-bit floats.
  static Type bitsOf(Type type) {
    auto vector = dyn_cast<VectorType>(type);
    bool isHalf = vector && isa<FloatType>(vector.getElementType()) && vector.getElementTypeBitWidth() == 16;
    return isHalf ? vector.clone(IntegerType::get(type.getContext(), 16)) : Type();
  }
  static void moveBits(Operation *op) {
    OpBuilder builder(op);
    for (OpOperand &operand : op->getOpOperands())
      if (Type bits = bitsOf(operand.get().getType()))
        operand.set(LLVM::BitcastOp::create(builder, op->getLoc(), bits, operand.get()));
    builder.setInsertionPointAfter(op);
    for (OpResult result : op->getResults())
      if (Type bits = bitsOf(result.getType())) {
        auto value = LLVM::BitcastOp::create(builder, op->getLoc(), result.getType(), result);
        result.replaceAllUsesExcept(value, value);
        result.setType(bits);
      }
  }
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
  manager.addPass(std::make_unique<MoveHalfBits>());
  manager.addPass(createCanonicalizerPass());
  manager.addPass(createCSEPass());
}

LogicalResult fovea::kernels::lowerToLLVM(ModuleOp module, const Target &target) {
  PassManager manager(module.getContext(), ModuleOp::getOperationName());
  addToLLVMPasses(manager, target);
  return manager.run(module);
}
