// The verifiers. (Cn) are the constraints of KernelOps.td.
#include "dialects/kernel/KernelDialect.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;
using namespace fovea::kernel;

namespace {
bool isFloat(Type memref) { return isa<FloatType>(cast<MemRefType>(memref).getElementType()); }
int64_t rankOf(Value memref) { return cast<MemRefType>(memref.getType()).getRank(); }

/// Whether `op` may stand in a point program.
bool isPointOp(Operation &op) {
  if (op.getNumRegions() != 0)
    return false;
  return isa<arith::ArithDialect, math::MathDialect>(op.getDialect()) ||
         isa<LoadOp, StoreOp, ReduceOp, CheckOp, DotOp, YieldOp, memref::DimOp>(op);
}

/// Point-program ops only; `forbidden` names what else must not stand in this one.
template <typename... Forbidden>
LogicalResult verifyPointProgram(Operation *parent, Block &block, const char *constraint) {
  for (Operation &op : block)
    if (!isPointOp(op) || (isa<Forbidden>(op) || ... || false))
      return op.emitOpError() << "cannot stand in this point program (" << constraint << " of " << parent->getName()
                              << ")";
  return success();
}

/// The block's arguments are an optional leading `element` (null: f32) and `indices` indices.
bool hasArguments(Block &block, bool value, int64_t indices, Type element = {}) {
  if (block.getNumArguments() != indices + value)
    return false;
  if (value && (element ? block.getArgument(0).getType() != element : !block.getArgument(0).getType().isF32()))
    return false;
  return llvm::all_of(block.getArguments().drop_front(value), [](BlockArgument a) { return a.getType().isIndex(); });
}

/// The block ends with a yield of the types given.
bool yields(Block &block, TypeRange types) {
  auto yield = block.empty() ? YieldOp() : dyn_cast<YieldOp>(block.back());
  return yield && TypeRange(yield.getOperands()) == types;
}

/// Whether a score region yields a score, and of softmax's weights perhaps a factor.
bool yieldsScore(Block &block, StringRef normalizer) {
  Type f32 = Float32Type::get(block.getParentOp()->getContext());
  return yields(block, f32) || (normalizer == "softmax" && yields(block, {f32, f32}));
}

LogicalResult verifyAccess(Operation *op, Value memref, size_t indices, Type value) {
  auto type = cast<MemRefType>(memref.getType());
  if (indices != size_t(type.getRank()))
    return op->emitOpError() << "has " << indices << " indices for a memref of rank " << type.getRank() << " (C1)";
  Type element = type.getElementType();
  if (value != element && !(value.isInteger(1) && element.isInteger(8)))
    return op->emitOpError() << "accesses " << element << " as " << value << " (C2)";
  return success();
}
} // namespace

LogicalResult FuncOp::verify() {
  if (!getBody().hasOneBlock())
    return emitOpError("has one block (C1)");
  if (!getFunctionType().getResults().empty())
    return emitOpError("has no results (C2)");
  int schedules = 0;
  for (Operation &op : getBody().front()) {
    if (isa<MapOp, MatmulOp, AttentionOp, AttentionBackwardOp, LinearAttentionOp, TopKOp>(op))
      ++schedules;
    else if (!isa<arith::ArithDialect>(op.getDialect()) && !isa<memref::DimOp, ReturnOp>(op))
      return op.emitOpError("is neither index arithmetic nor a schedule op (C1 of kernel.func)");
  }
  if (schedules != 1)
    return emitOpError() << "holds " << schedules << " schedule ops instead of one (C1)";
  return success();
}

LogicalResult DumpOp::verify() {
  auto type = cast<MemRefType>(getValue().getType());
  if (!type.isStrided())
    return emitOpError("has a value whose layout is no offset and strides (C1)");
  Type inMemory = getElement().isInteger(1) ? IntegerType::get(getContext(), 8) : getElement();
  if (type.getElementType() != inMemory)
    return emitOpError() << "has elements " << type.getElementType() << " for values of " << getElement() << " (C2)";
  return success();
}

LogicalResult LaunchOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto callee = symbols.lookupNearestSymbolFrom<FuncOp>(*this, getKernelAttr());
  if (!callee) {
    auto emitted = StringAttr::get(getContext(), getKernel() + ".run");
    if (symbols.lookupNearestSymbolFrom<func::FuncOp>(*this, emitted))
      return success();
    return emitOpError() << "there is no kernel.func " << getKernelAttr() << " (C1)";
  }
  if (TypeRange(callee.getArgumentTypes()) != TypeRange(getOperands()))
    return emitOpError() << "operand types differ from the arguments of " << getKernelAttr() << " (C2)";
  return success();
}

LogicalResult MapOp::verify() {
  Block &block = getBody().front();
  if (!hasArguments(block, /*value=*/false, getSizes().size()))
    return emitOpError("the block has one index argument a size (C1)");
  if (!yields(block, {}))
    return emitOpError("ends with kernel.yield without operands (C2)");
  ArrayRef<int64_t> axes = getReducedAxes();
  for (auto reduce : block.getOps<ReduceOp>()) {
    if (reduce.getAxes() != axes)
      return reduce.emitOpError("all reductions of a map have the same axes (C3 of kernel.map)");
    if (axes.empty() || !llvm::is_sorted(axes, std::less_equal<>()) || axes.front() < 0 ||
        axes.back() >= int64_t(getSizes().size()))
      return reduce.emitOpError("axes are ascending and in range (C3 of kernel.map)");
  }
  if (std::optional<int64_t> first = getOrderedFrom();
      first && (*first < 0 || *first >= int64_t(getSizes().size()) || !axes.empty()))
    return emitOpError("ordered_from is an axis, and nothing is reduced with it (C5)");
  return verifyPointProgram<>(*this, block, "C4");
}

/// Operands of kernel.matmul whose products are summed by several at a time.
static LogicalResult verifyBlocked(MatmulOp op, MemRefType lhs, MemRefType rhs) {
  Type element = rhs.getElementType();
  bool isNarrow = lhs.getElementType() == element && (element.isBF16() || element.isInteger(8));
  if (!op.getPacked() || op.getKBlock() < 1 || !isNarrow || lhs.getStridesAndOffset().first.back() != 1)
    return op.emitOpError("with a k_block operands are packed, both bf16 or both i8, and lhs's columns adjacent (C5)");
  return success();
}

LogicalResult MatmulOp::verify() {
  auto lhs = cast<MemRefType>(getLhs().getType()), rhs = cast<MemRefType>(getRhs().getType());
  Type weights = rhs.getElementType(), sum = Float32Type::get(getContext());
  bool isNarrow = getPacked() && lhs.getElementType().isF32() && (weights.isBF16() || weights.isInteger(8));
  if (getKBlock() != 1) {
    if (failed(verifyBlocked(*this, lhs, rhs)))
      return failure();
    if (weights.isInteger(8))
      sum = IntegerType::get(getContext(), 32);
  } else if (!isFloat(lhs) || (lhs.getElementType() != weights && !isNarrow)) {
    return emitOpError("operands have one float element type, or packed ones bf16 or i8 beside f32 (C1)");
  }
  if (lhs.getRank() < 2 || rhs.getRank() != (getPacked() ? 3 : lhs.getRank()))
    return emitOpError("lhs is [b..., M, K], rhs [b..., K, N] or packed [P, K, panel] (C1)");
  Block &block = getEpilogue().front();
  if (!hasArguments(block, /*value=*/true, lhs.getRank(), sum))
    return emitOpError("the epilogue takes (f32 or i32, b..., m, n) (C2)");
  if (!yields(block, {}))
    return emitOpError("the epilogue ends with kernel.yield without operands (C3)");
  if (getHiddenRhs() && (getHiddenLhs() || getPacked()))
    return emitOpError("elements are hidden of one operand, which is not packed (C6)");
  return verifyPointProgram<ReduceOp>(*this, block, "C4");
}

LogicalResult LinearAttentionOp::verify() {
  int64_t rank = rankOf(getQ());
  if (rank < 2 || rankOf(getK()) != rank || rankOf(getV()) != rank || rankOf(getOut()) != rank)
    return emitOpError("ranks of q, k, v and out agree (C1)");
  if (!llvm::all_of(getOperandTypes(), isFloat))
    return emitOpError("operands have float elements (C1)");
  Type f32 = Float32Type::get(getContext());
  for (auto [region, indices] : {std::pair(&getQueries(), rank - 1), {&getKeys(), rank - 1}, {&getDecay(), rank}}) {
    if (region->empty())
      continue;
    if (!region->hasOneBlock() || !hasArguments(region->front(), /*value=*/false, indices) ||
        !yields(region->front(), f32))
      return emitOpError("regions are (b..., t), (b..., j) and (b..., t, j) -> f32, or empty (C2)");
    if (failed(verifyPointProgram<ReduceOp, StoreOp>(*this, region->front(), "C3")))
      return failure();
  }
  if (getChunk() < 1 || getChunk() % 64)
    return emitOpError("`chunk` is a positive multiple of 64 (C4)");
  return success();
}

LogicalResult AttentionOp::verify() {
  int64_t rank = rankOf(getQ());
  bool selects = getNormalizer() == "top_k";
  if (rank < 2 || rankOf(getK()) != rank || rankOf(getV()) != rank || rankOf(getOut()) != rank ||
      (getLse() && rankOf(getLse()) != rank - !selects) || (getSinks() && rankOf(getSinks()) != rank - 2))
    return emitOpError("ranks of q, k, v, out, lse and sinks agree (C1)");
  auto hasRank = [&](Value joined) { return rankOf(joined) == rank; };
  if (getJoinedQ().size() != getJoinedK().size() || !llvm::all_of(getJoinedQ(), hasRank) ||
      !llvm::all_of(getJoinedK(), hasRank))
    return emitOpError("joined queries and keys are pairs of q's rank (C1)");
  auto isOf = [](Value memref, Type element) { return cast<MemRefType>(memref.getType()).getElementType() == element; };
  Builder builder(getContext());
  for (Value rows : {getKeyRows(), getValueRows()})
    if (rows && (rankOf(rows) != rank - 1 || !isOf(rows, builder.getI64Type())))
      return emitOpError("rows are i64 [b..., S] (C7)");
  if (getKeyRows() && !getJoinedK().empty())
    return emitOpError("keys that are rows of a table are not joined (C7)");
  if (!llvm::all_of(getMoreK(), hasRank) || !llvm::all_of(getMoreV(), hasRank))
    return emitOpError("more keys and values have q's rank (C8)");
  if (!getMoreK().empty() && !getJoinedK().empty())
    return emitOpError("keys in pieces are not joined (C8)");
  Type second = selects ? Type(builder.getI64Type()) : Type(builder.getF32Type());
  for (Value operand : getOperands())
    if (operand == getLse() ? !isOf(operand, second)
                            : operand != getKeyRows() && operand != getValueRows() && !isFloat(operand.getType()))
      return emitOpError("operands have float elements, lse f32, indices i64 (C1)");
  Type i1 = IntegerType::get(getContext(), 1);
  Block &score = getScore().front();
  if (!hasArguments(score, /*value=*/true, rank) || !yieldsScore(score, getNormalizer()))
    return emitOpError("the score region is (f32, b..., t, j) -> f32, and with softmax perhaps a factor (C2)");
  if (failed(verifyPointProgram<ReduceOp, StoreOp>(*this, score, "C6")))
    return failure();
  if (!getMask().empty()) {
    if (!getMask().hasOneBlock() || !hasArguments(getMask().front(), /*value=*/false, rank) ||
        !yields(getMask().front(), i1))
      return emitOpError("the mask region is (b..., t, j) -> i1, or empty (C3)");
    if (failed(verifyPointProgram<ReduceOp, StoreOp>(*this, getMask().front(), "C6")))
      return failure();
  }
  bool softmax = getNormalizer() == "softmax";
  if (!softmax && !selects && getNormalizer() != "pointwise")
    return emitOpError("the normalizer is \"softmax\", \"pointwise\" or \"top_k\" (C4)");
  if ((!softmax && (getSinks() || (getLse() && !selects))) || (selects && !getLse()))
    return emitOpError("sinks and lse belong to softmax, indices to top_k (C5)");
  return success();
}

static LogicalResult verifyBackwardOperands(AttentionBackwardOp op) {
  int64_t rank = rankOf(op.getQ());
  auto elementOf = [](Value memref) { return cast<MemRefType>(memref.getType()).getElementType(); };
  SmallVector<Value> whole{op.getK(), op.getV(), op.getGradient()};
  llvm::append_range(whole, op.getJoinedQ());
  llvm::append_range(whole, op.getJoinedK());
  size_t gradients = 3 + 2 * op.getJoinedQ().size();
  if (op.getJoinedQ().size() != op.getJoinedK().size() || op.getInto().size() < gradients)
    return op.emitOpError("joined queries and keys are pairs, and each operand has its gradient (C1)");
  llvm::append_range(whole, op.getInto().take_front(gradients));
  if (rank < 2 || llvm::any_of(whole, [&](Value x) { return rankOf(x) != rank; }))
    return op.emitOpError("ranks of q, k, v, gradient and their results agree (C1)");
  for (Value sum : op.getSums())
    if (!elementOf(sum).isF32())
      return op.emitOpError("sums are f32 (C1)");
  if (!llvm::all_of(op.getOperandTypes(), isFloat))
    return op.emitOpError("operands have float elements (C1)");
  bool isSoftmax = op.getNormalizer() == "softmax";
  if (!isSoftmax && op.getNormalizer() != "pointwise")
    return op.emitOpError("the normalizer is \"softmax\" or \"pointwise\" (C5)");
  for (Value rows : {op.getLse(), op.getDelta()})
    if (bool(rows) != isSoftmax || (rows && (rankOf(rows) != rank - 1 || !elementOf(rows).isF32())))
      return op.emitOpError("lse and delta are f32 [b..., T] with softmax, and only there (C5)");
  return success();
}

LogicalResult AttentionBackwardOp::verify() {
  if (failed(verifyBackwardOperands(*this)))
    return failure();
  int64_t rank = rankOf(getQ());
  Builder builder(getContext());
  Type f32 = builder.getF32Type(), index = builder.getIndexType();
  Block &score = getScore().front(), &adjoint = getAdjoint().front();
  if (!hasArguments(score, /*value=*/true, rank) || !yieldsScore(score, getNormalizer()))
    return emitOpError("the score region is (f32, b..., t, j) -> f32, and with softmax perhaps a factor (C2)");
  if (!getMask().empty() && (!getMask().hasOneBlock() || !hasArguments(getMask().front(), /*value=*/false, rank) ||
                             !yields(getMask().front(), builder.getI1Type())))
    return emitOpError("the mask region is (b..., t, j) -> i1, or empty (C3)");
  SmallVector<Type> arguments(rank + 1, index), results{f32};
  arguments.front() = f32;
  arguments.append(score.getTerminator()->getNumOperands(), f32); // what reaches the score, and the factor
  ValueRange yielded = adjoint.empty() ? ValueRange() : ValueRange(adjoint.back().getOperands());
  for (Value sum : getSums()) {
    results.push_back(f32);
    if (results.size() < yielded.size() && yielded[results.size()].getType().isInteger(1))
      results.push_back(builder.getI1Type());
    results.append(rankOf(sum), index);
  }
  if (adjoint.getArgumentTypes() != TypeRange(arguments) || !yields(adjoint, results))
    return emitOpError(
        "the adjoint region is (f32, b..., t, j, f32) -> f32, and each sum's number, perhaps i1, and indices (C4)");
  for (Region *region : {&getScore(), &getMask(), &getAdjoint()})
    if (!region->empty() && failed(verifyPointProgram<ReduceOp, StoreOp>(*this, region->front(), "C6")))
      return failure();
  return success();
}

LogicalResult TopKOp::verify() {
  int64_t rank = rankOf(getX());
  if (rank < 1 || rankOf(getValues()) != rank || rankOf(getIndices()) != rank)
    return emitOpError("x, values and indices have one rank, at least 1 (C1)");
  auto element = [](Value memref) { return cast<MemRefType>(memref.getType()).getElementType(); };
  if (element(getX()) != element(getValues()) || !element(getIndices()).isInteger(64))
    return emitOpError("x and values have one element type, indices i64 (C2)");
  return success();
}

LogicalResult DotOp::verify() {
  auto fits = [](Value memref, ValueRange indices) {
    return isFloat(memref.getType()) && rankOf(memref) == int64_t(indices.size()) + 1;
  };
  if (!fits(getA(), getAIndices()) || !fits(getB(), getBIndices()))
    return emitOpError("an index for each axis but the last, float elements (C1)");
  auto attention = dyn_cast<AttentionOp>((*this)->getParentOp());
  if (!attention || (*this)->getBlock() != &attention.getScore().front())
    return emitOpError("stands in the score region of kernel.attention (C3)");
  auto places = (*this)->getBlock()->getArguments().take_back(2);
  if (getAIndices().empty() || !llvm::is_contained(places, getAIndices().back()))
    return emitOpError("the last index of a is the query or the key (C2)");
  return success();
}

LogicalResult LoadOp::verify() { return verifyAccess(*this, getSource(), getIndices().size(), getResult().getType()); }
LogicalResult StoreOp::verify() {
  auto map = (*this)->getParentOfType<MapOp>();
  if (getAdds() && (!getValue().getType().isF32() || !map || !map.getOrderedFrom()))
    return emitOpError("adds f32, in a map with ordered_from (C3)");
  return verifyAccess(*this, getTarget(), getIndices().size(), getValue().getType());
}

LogicalResult ReduceOp::verify() {
  StringRef kind = getKind();
  bool logical = kind == "any" || kind == "all";
  if (!logical && !llvm::is_contained({"sum", "prod", "max", "min", "argmax"}, kind))
    return emitOpError() << "unknown kind \"" << kind << "\" (C1)";
  Type type = getValue().getType();
  bool fits = logical ? type.isInteger(1) : type.isF32() || type.isF64() || type.isInteger(32) || type.isInteger(64);
  if (!fits)
    return emitOpError() << kind << " does not take " << type << " (C2)";
  if (kind == "argmax" && getAxes().size() != 1)
    return emitOpError("argmax has one axis (C3)");
  if (!isa<MapOp>((*this)->getParentOp()))
    return emitOpError("stands in a kernel.map (C4)");
  return success();
}

LogicalResult CheckOp::verify() {
  if (int32_t(getCode()) <= 0)
    return emitOpError("code is positive (C1)");
  return success();
}
