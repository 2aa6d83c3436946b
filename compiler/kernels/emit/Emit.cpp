#include "compiler/kernels/emit/Emit.h"

#include "compiler/kernels/emit/ScheduleEmitter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/DLTI/DLTI.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace fovea::kernels;
namespace kernel = fovea::kernel;

namespace {
std::unique_ptr<ScheduleEmitter> makeEmitter(Operation *schedule, const Target &target) {
  if (auto map = dyn_cast<kernel::MapOp>(schedule))
    return makeMapEmitter(map, target);
  if (auto matmul = dyn_cast<kernel::MatmulOp>(schedule))
    return makeMatmulEmitter(matmul, target);
  if (auto topK = dyn_cast<kernel::TopKOp>(schedule))
    return makeTopKEmitter(topK, target);
  if (auto backward = dyn_cast<kernel::AttentionBackwardOp>(schedule))
    return makeAttentionBackwardEmitter(backward, target);
  if (auto linear = dyn_cast<kernel::LinearAttentionOp>(schedule))
    return makeLinearAttentionEmitter(linear, target);
  return makeAttentionEmitter(cast<kernel::AttentionOp>(schedule), target);
}

/// The functions of one kernel.
class KernelEmission {
public:
  KernelEmission(kernel::FuncOp kernel, ScheduleEmitter &emitter)
      : kernel(kernel), emitter(emitter), builder(kernel.getContext()), loc(kernel.getLoc()) {}

  LogicalResult emit() {
    return success(
        succeeded(emitSize(".tasks", [&](IRMapping &outer) { return emitter.emitTasks(builder, outer); })) &&
        succeeded(emitSize(".finish", [&](IRMapping &outer) { return emitter.emitFinish(builder, outer); })) &&
        succeeded(emitSize(".scratch", [&](IRMapping &outer) { return emitter.emitScratch(builder, outer); })) &&
        succeeded(emitSize(".shared", [&](IRMapping &outer) { return emitter.emitShared(builder, outer); })) &&
        succeeded(emitVariants()) && succeeded(emitRun()));
  }

private:
  /// Opens @<kernel><suffix>; `front` arguments stand before the kernel's own, `back` after them.
  func::FuncOp open(StringRef suffix, ArrayRef<Type> front, ArrayRef<Type> back, Type result, IRMapping &outer) {
    SmallVector<Type> inputs(front);
    llvm::append_range(inputs, kernel.getArgumentTypes());
    llvm::append_range(inputs, back);
    builder.setInsertionPoint(kernel);
    auto function = func::FuncOp::create(builder, loc, (kernel.getSymName() + suffix).str(),
                                         builder.getFunctionType(inputs, result));
    builder.setInsertionPointToStart(function.addEntryBlock());
    for (auto [i, argument] : llvm::enumerate(kernel.getBody().getArguments()))
      outer.map(argument, function.getArgument(front.size() + i));
    for (Operation &op : kernel.getBody().front().without_terminator())
      if (&op != kernel.getSchedule())
        builder.clone(op, outer);
    return function;
  }

  LogicalResult emitVariants() {
    if (emitter.variants().empty())
      return success();
    LogicalResult result = emitSize(".variant", [&](IRMapping &outer) { return emitter.emitVariant(builder, outer); });
    if (succeeded(result)) {
      SmallVector<StringRef> names(emitter.variants().begin(), emitter.variants().end());
      SymbolTable::lookupSymbolIn(kernel->getParentOp(), (kernel.getSymName() + ".variant").str())
          ->setAttr(variantsAttr, builder.getStrArrayAttr(names));
    }
    return result;
  }

  LogicalResult emitSize(StringRef suffix, llvm::function_ref<FailureOr<Value>(IRMapping &)> emitValue) {
    IRMapping outer;
    open(suffix, {}, {}, builder.getIndexType(), outer);
    FailureOr<Value> value = emitValue(outer);
    if (failed(value))
      return failure();
    func::ReturnOp::create(builder, loc, *value);
    return success();
  }

  LogicalResult emitRun() {
    IRMapping outer;
    Type index = builder.getIndexType(), pointer = LLVM::LLVMPointerType::get(builder.getContext());
    Type bytes = MemRefType::get({ShapedType::kDynamic}, builder.getI8Type());
    func::FuncOp function = open(".run", pointer, {index, index, bytes, bytes}, builder.getI32Type(), outer);
    auto last = function.getArguments().take_back(4);
    if (failed(emitter.emitRun(builder, outer, {function.getArgument(0), last[0], last[1], last[2], last[3]})))
      return failure();
    Value zero = arith::ConstantOp::create(builder, loc, builder.getI32IntegerAttr(0));
    func::ReturnOp::create(builder, loc, zero);
    return success();
  }

  kernel::FuncOp kernel;
  ScheduleEmitter &emitter;
  OpBuilder builder;
  Location loc;
};
} // namespace

FailureOr<Value> ScheduleEmitter::emitFinish(OpBuilder &builder, IRMapping &) {
  return Value(arith::ConstantIndexOp::create(builder, builder.getUnknownLoc(), 0));
}
FailureOr<Value> ScheduleEmitter::emitShared(OpBuilder &builder, IRMapping &) {
  return Value(arith::ConstantIndexOp::create(builder, builder.getUnknownLoc(), 0));
}

void fovea::kernels::loadEmissionDialects(MLIRContext &context) {
  context.loadDialect<arith::ArithDialect, math::MathDialect, memref::MemRefDialect, scf::SCFDialect, func::FuncDialect,
                      vector::VectorDialect, LLVM::LLVMDialect, DLTIDialect, kernel::KernelDialect>();
}

LogicalResult fovea::kernels::emitKernels(ModuleOp module, const Target &target) {
  loadEmissionDialects(*module.getContext());
  attachTarget(module, target);
  for (auto kernel : llvm::make_early_inc_range(module.getOps<kernel::FuncOp>())) {
    std::unique_ptr<ScheduleEmitter> emitter = makeEmitter(kernel.getSchedule(), target);
    if (failed(KernelEmission(kernel, *emitter).emit()))
      return failure();
    kernel.erase();
  }
  return success();
}
