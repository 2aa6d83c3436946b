#include "compiler/kernels/emit/ToLLVM.h"

#include "compiler/kernels/emit/Math.h"
#include "mlir/Conversion/AffineToStandard/AffineToStandard.h"
#include "mlir/Conversion/ArithToLLVM/ArithToLLVM.h"
#include "mlir/Conversion/ControlFlowToLLVM/ControlFlowToLLVM.h"
#include "mlir/Conversion/LLVMCommon/ConversionTarget.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Conversion/MathToLLVM/MathToLLVM.h"
#include "mlir/Conversion/MemRefToLLVM/MemRefToLLVM.h"
#include "mlir/Conversion/Passes.h"
#include "mlir/Conversion/SCFToControlFlow/SCFToControlFlow.h"
#include "mlir/Conversion/VectorToLLVM/ConvertVectorToLLVM.h"
#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/MemRef/Transforms/Transforms.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Dialect/Vector/Transforms/LoweringPatterns.h"
#include "mlir/Dialect/Vector/Transforms/VectorRewritePatterns.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;
using namespace fovea::kernels;

namespace {
struct ExpandMath : PassWrapper<ExpandMath, OperationPass<func::FuncOp>> {
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

/// What has no counterpart in LLVM becomes what has: views are numbers, masks comparisons, slices of vectors shuffles.
struct ExpandViews : PassWrapper<ExpandViews, OperationPass<func::FuncOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ExpandViews)
  StringRef getName() const final { return "ExpandViews"; }
  StringRef getArgument() const override { return "kernel-expand-views"; }
  StringRef getDescription() const override { return "compute views, masks and slices of vectors"; }
  void getDependentDialects(DialectRegistry &registry) const override {
    registry.insert<affine::AffineDialect, arith::ArithDialect, memref::MemRefDialect, vector::VectorDialect>();
  }
  LogicalResult initialize(MLIRContext *context) override {
    RewritePatternSet set(context);
    memref::populateExpandStridedMetadataPatterns(set);
    arith::populateArithExpandOpsPatterns(set);        // ceiling and floor divisions, maxima
    vector::populateVectorMaskOpLoweringPatterns(set); // what the canonical form makes of masks that are known
    vector::populateVectorMaskMaterializationPatterns(set, /*force32BitVectorIndices=*/false);
    vector::populateVectorInsertExtractStridedSliceTransforms(set);
    patterns = FrozenRewritePatternSet(std::move(set));
    return success();
  }
  void runOnOperation() override {
    GreedyRewriteConfig config;
    config.setRegionSimplificationLevel(GreedySimplifyRegionLevel::Disabled);
    if (failed(applyPatternsGreedily(getOperation(), patterns, config)))
      signalPassFailure();
  }
  FrozenRewritePatternSet patterns;
};

/// Everything in a function's body but what names functions, in one conversion. The patterns are made once and shared
/// by the functions, which are lowered side by side.
struct LowerBodies : PassWrapper<LowerBodies, OperationPass<func::FuncOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(LowerBodies)
  StringRef getName() const final { return "LowerBodies"; }
  StringRef getArgument() const override { return "kernel-lower-bodies"; }
  StringRef getDescription() const override { return "convert the bodies of functions to the LLVM dialect"; }
  void getDependentDialects(DialectRegistry &registry) const override {
    registry.insert<LLVM::LLVMDialect, cf::ControlFlowDialect, memref::MemRefDialect>();
  }
  LogicalResult initialize(MLIRContext *context) override {
    converter = std::make_shared<LLVMTypeConverter>(context);
    RewritePatternSet set(context);
    populateAffineToStdConversionPatterns(set);
    populateSCFToControlFlowConversionPatterns(set);
    populateVectorToLLVMConversionPatterns(*converter, set);
    populateMathToLLVMConversionPatterns(*converter, set);
    populateFinalizeMemRefToLLVMConversionPatterns(*converter, set);
    arith::populateArithToLLVMConversionPatterns(*converter, set);
    cf::populateControlFlowToLLVMConversionPatterns(*converter, set);
    patterns = FrozenRewritePatternSet(std::move(set));
    return success();
  }
  void runOnOperation() override {
    LLVMConversionTarget target(getContext());
    target.addLegalDialect<func::FuncDialect>();
    target.addIllegalDialect<affine::AffineDialect, arith::ArithDialect, cf::ControlFlowDialect, math::MathDialect,
                             memref::MemRefDialect, scf::SCFDialect, vector::VectorDialect>();
    ConversionConfig config;
    config.allowPatternRollback = false;
    if (failed(applyPartialConversion(getOperation(), target, patterns, config)))
      signalPassFailure();
  }
  std::shared_ptr<LLVMTypeConverter> converter;
  FrozenRewritePatternSet patterns;
};

/// (x + c) stride = x stride + c stride: the steps of an unrolled loop have one index into rows, and what they are
/// apart are constants of their addresses. LLVM does so only where the sum has no other use.
struct DistributeStrides : PassWrapper<DistributeStrides, OperationPass<LLVM::LLVMFuncOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(DistributeStrides)
  StringRef getName() const final { return "DistributeStrides"; }
  StringRef getArgument() const override { return "kernel-distribute-strides"; }
  StringRef getDescription() const override {
    return "take constants out of the rows that addresses are computed from";
  }
  void runOnOperation() override {
    getOperation().walk([](LLVM::MulOp product) {
      APInt stride, constant;
      auto sum = product.getLhs().getDefiningOp<LLVM::AddOp>();
      if (!sum || !matchPattern(product.getRhs(), m_ConstantInt(&stride)) ||
          !matchPattern(sum.getRhs(), m_ConstantInt(&constant)))
        return;
      OpBuilder b(product);
      Value begin = LLVM::MulOp::create(b, product.getLoc(), sum.getLhs(), product.getRhs());
      Value apart = LLVM::ConstantOp::create(b, product.getLoc(), product.getType(),
                                             b.getIntegerAttr(product.getType(), stride * constant));
      product.replaceAllUsesWith(LLVM::AddOp::create(b, product.getLoc(), begin, apart).getResult());
      product.erase();
    });
  }
};

/// 16-bit floats that are only moved (loaded, chosen, merged, stored) are integers. LLVM takes vectors of them apart
/// where it has no instructions for the type, and converts each element to f32 and back by library calls that no
/// program has.
struct MoveHalfBits : PassWrapper<MoveHalfBits, OperationPass<LLVM::LLVMFuncOp>> {
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
  OpPassManager &bodies = manager.nest<func::FuncOp>();
  bodies.addPass(std::make_unique<ExpandMath>(target));
  bodies.addPass(createCanonicalizerPass()); // folds sizes and strides that are constants
  bodies.addPass(createCSEPass());
  bodies.addPass(std::make_unique<ExpandViews>());
  bodies.addPass(std::make_unique<LowerBodies>());
  manager.addPass(createConvertFuncToLLVMPass());
  OpPassManager &functions = manager.nest<LLVM::LLVMFuncOp>();
  functions.addPass(createReconcileUnrealizedCastsPass());
  functions.addPass(std::make_unique<DistributeStrides>());
  functions.addPass(std::make_unique<MoveHalfBits>());
  functions.addPass(createCanonicalizerPass());
  functions.addPass(createCSEPass());
}

LogicalResult fovea::kernels::lowerToLLVM(ModuleOp module, const Target &target) {
  PassManager manager(module.getContext(), ModuleOp::getOperationName());
  addToLLVMPasses(manager, target);
  return manager.run(module);
}
