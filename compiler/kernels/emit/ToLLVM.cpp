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

/// 16-bit floats that are only moved (loaded, chosen, merged, stored) are integers. LLVM takes vectors of them apart
/// where it has no instructions for the type, and converts each element to f32 and back by library calls that no
/// program has.
struct MoveHalfBits : PassWrapper<MoveHalfBits, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(MoveHalfBits)
  StringRef getName() const final { return "MoveHalfBits"; }
  StringRef getArgument() const override { return "kernel-move-half-bits"; }
  StringRef getDescription() const override { return "make 16-bit floats that are only moved integers"; }
  void runOnOperation() override {
    SmallVector<Operation *> moving, others;
    getOperation().walk([&](Operation *op) { (moves(op) ? moving : others).push_back(op); });
    for (Operation *op : others) {
      keepOperands(op);
      for (Region &region : op->getRegions())
        for (Block &block : llvm::drop_begin(region, region.empty() ? 0 : 1))
          moveArguments(block);
    }
    for (Operation *op : moving)
      moveResults(op);
    for (Operation *op : moving)
      moveOperands(op);
  }

  /// The type of as many integers; null for everything but 16-bit floats and vectors of them.
  static Type bitsOf(Type type) {
    Type element = getElementTypeOrSelf(type), bits = IntegerType::get(type.getContext(), 16);
    if (!isa<FloatType>(element) || element.getIntOrFloatBitWidth() != 16)
      return Type();
    auto vector = dyn_cast<VectorType>(type);
    return vector ? Type(vector.clone(bits)) : bits;
  }
  static bool moves(Operation *op) {
    return isa<LLVM::LoadOp, LLVM::StoreOp, LLVM::MaskedLoadOp, LLVM::MaskedStoreOp, LLVM::masked_gather,
               LLVM::masked_scatter, LLVM::SelectOp, LLVM::ConstantOp, LLVM::ZeroOp, LLVM::UndefOp, LLVM::PoisonOp,
               LLVM::ExtractElementOp, LLVM::InsertElementOp, LLVM::ShuffleVectorOp, LLVM::BrOp, LLVM::CondBrOp>(op);
  }
  /// What computes, converts or calls goes on taking floats, whatever its operands become.
  static void keepOperands(Operation *op) {
    OpBuilder builder(op);
    for (OpOperand &operand : op->getOpOperands())
      if (Type type = operand.get().getType(); Type bits = bitsOf(type)) {
        Value moved = LLVM::BitcastOp::create(builder, op->getLoc(), bits, operand.get());
        operand.set(LLVM::BitcastOp::create(builder, op->getLoc(), type, moved));
      }
  }
  static void moveArguments(Block &block) {
    for (BlockArgument argument : block.getArguments())
      if (Type bits = bitsOf(argument.getType()))
        argument.setType(bits);
  }
  static void moveResults(Operation *op) {
    if (auto constant = dyn_cast<LLVM::ConstantOp>(op))
      if (Type bits = bitsOf(constant.getType())) {
        if (auto values = dyn_cast<DenseElementsAttr>(constant.getValue()))
          constant.setValueAttr(values.bitcast(getElementTypeOrSelf(bits)));
        else
          constant.setValueAttr(
              IntegerAttr::get(bits, cast<FloatAttr>(constant.getValue()).getValue().bitcastToAPInt()));
      }
    for (OpResult result : op->getResults())
      if (Type bits = bitsOf(result.getType()))
        result.setType(bits);
  }
  /// What others give, and arguments of functions, are floats still.
  static void moveOperands(Operation *op) {
    OpBuilder builder(op);
    for (OpOperand &operand : op->getOpOperands())
      if (Type bits = bitsOf(operand.get().getType()))
        operand.set(LLVM::BitcastOp::create(builder, op->getLoc(), bits, operand.get()));
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
