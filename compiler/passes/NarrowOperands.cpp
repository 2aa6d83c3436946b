// graph-narrow-operands: attention reads operands in the 16 bits that they are widened from.
//
//   %w = graph.cast %keys : bf16 -> f32
//   %k = graph.transpose %w                       ->   %k = graph.transpose %keys
//   %y = graph.attention q(%q) k(%k) v(%v)             %y = graph.attention q(%q) k(%k) v(%v)
//
// Widening is exact and commutes with whatever moves elements, so the copy that it makes is never needed: 4 bytes an
// element, of a cache the whole cache at each step. Tiles widen as they load. Pays wherever it can. Exact.
#include "compiler/passes/ElementExpression.h"
#include "compiler/passes/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

namespace fovea {
#define GEN_PASS_DEF_NARROWOPERANDS
#include "compiler/passes/Passes.h.inc"
} // namespace fovea

using namespace mlir;
using namespace fovea;

static bool isHalf(Type element) { return element.isF16() || element.isBF16(); }

static bool isAttention(Operation *op) {
  return isa<graph::AttentionOp, graph::AttentionBackwardOp, graph::LinearAttentionOp>(op);
}

/// The operands whose elements `op` moves, and does nothing else with; none where it is no such op.
static SmallVector<OpOperand *> movedOperands(Operation *op) {
  if (isLayout(op) || isa<graph::SliceOp, graph::GatherOp>(op))
    return {&op->getOpOperand(0)};
  if (isa<graph::UpdateSliceOp>(op))
    return {&op->getOpOperand(0), &op->getOpOperand(1)};
  if (isa<graph::SelectOp>(op))
    return {&op->getOpOperand(1), &op->getOpOperand(2)};
  SmallVector<OpOperand *> all;
  if (isa<graph::ConcatOp>(op))
    for (OpOperand &piece : op->getOpOperands())
      all.push_back(&piece);
  return all;
}

/// The number that a value is everywhere, where an element type holds it.
static std::optional<APFloat> numberIn(Value value, Type element) {
  auto number = dyn_cast_or_null<FloatAttr>(graph::getSplat(value));
  if (!number)
    return std::nullopt;
  APFloat converted = number.getValue();
  bool isChanged = false;
  converted.convert(cast<FloatType>(element).getFloatSemantics(), APFloat::rmNearestTiesToEven, &isChanged);
  return isChanged ? std::nullopt : std::optional(converted);
}

namespace {

/// Finds and builds the 16-bit tensors behind f32 ones.
class Narrower {
public:
  /// The tensor that `wide` is the widening of; null where there is none.
  Value narrowed(Value wide) {
    Type element = elementBehind(wide);
    return element ? build(wide, element) : Value();
  }

private:
  static constexpr unsigned maximalDepth = 256;

  Type elementBehind(Value wide, unsigned depth = 0);
  Type findElement(Operation *op, unsigned depth);
  bool isReadByAttentions(Value value, unsigned depth = 0);
  Value build(Value wide, Type element);

  llvm::DenseMap<Value, Type> elements;
  llvm::DenseMap<Value, Value> built;
};

} // namespace

/// The element type that a value is widened from; null where it is not.
Type Narrower::elementBehind(Value wide, unsigned depth) {
  Operation *op = wide.getDefiningOp();
  if (!op || depth > maximalDepth || op->getNumResults() != 1 || !typeOf(wide).getElementType().isF32())
    return Type();
  if (auto known = elements.find(wide); known != elements.end())
    return known->second;
  return elements[wide] = findElement(op, depth);
}

Type Narrower::findElement(Operation *op, unsigned depth) {
  if (isWidening(op))
    return typeOf(op->getOperand(0)).getElementType();
  // What has to be written is not written twice.
  bool isWritten = isa<graph::ConcatOp, graph::UpdateSliceOp, graph::SelectOp>(op);
  if (isWritten && !isReadByAttentions(op->getResult(0)))
    return Type();
  Type element;
  SmallVector<OpOperand *> moved = movedOperands(op);
  for (OpOperand *operand : moved) {
    Type its = elementBehind(operand->get(), depth + 1);
    if (its && element && its != element)
      return Type();
    element = its ? its : element;
  }
  bool isWhole = element && llvm::all_of(moved, [&](OpOperand *operand) {
                   return elementBehind(operand->get(), depth + 1) || numberIn(operand->get(), element);
                 });
  return isWhole ? element : Type();
}

/// Whether attentions, or their regions, are all that reads a value, through what moves elements.
bool Narrower::isReadByAttentions(Value value, unsigned depth) {
  return depth <= maximalDepth && llvm::all_of(value.getUses(), [&](OpOperand &use) {
           Operation *user = use.getOwner();
           return isAttention(user) || isAttention(user->getParentOp()) ||
                  (llvm::is_contained(movedOperands(user), &use) && isReadByAttentions(user->getResult(0), depth + 1));
         });
}

Value Narrower::build(Value wide, Type element) {
  if (Value known = built.lookup(wide))
    return known;
  Operation *op = wide.getDefiningOp();
  graph::TensorType type = typeOf(wide).cloneWith(element);
  OpBuilder builder(op);
  if (!elementBehind(wide)) {
    Value scalar = graph::ConstantOp::create(builder, op->getLoc(), type.cloneWith(ArrayRef<DimExpr>()),
                                             FloatAttr::get(element, *numberIn(wide, element)));
    bool isScalar = type.getRank() == 0;
    return isScalar ? scalar : graph::BroadcastOp::create(builder, op->getLoc(), type, scalar, ArrayRef<int64_t>());
  }
  if (isWidening(op))
    return op->getOperand(0);
  SmallVector<Value> operands = llvm::to_vector(op->getOperands());
  for (OpOperand *operand : movedOperands(op))
    operands[operand->getOperandNumber()] = build(operand->get(), element);
  return built[wide] = withOperands(builder, op, operands, type);
}

//===-- Attention -------------------------------------------------------------------------------------------------===//

/// Reads `narrow` in the regions of an op in place of `wide`.
static void readNarrow(Operation *attention, Value wide, Value narrow) {
  for (OpOperand &use : llvm::make_early_inc_range(wide.getUses())) {
    Operation *user = use.getOwner();
    if (user->getParentOp() != attention)
      continue;
    use.set(narrow);
    auto at = dyn_cast<graph::AtOp>(user);
    if (!at)
      continue; // graph.dot widens what it multiplies
    Type f32 = at.getResult().getType();
    at.getResult().setType(typeOf(narrow).getElementType());
    OpBuilder builder(at->getContext());
    builder.setInsertionPointAfter(at);
    auto widened = arith::ExtFOp::create(builder, at.getLoc(), f32, at.getResult());
    at.getResult().replaceAllUsesExcept(widened, widened);
  }
}

/// The only op that reads a value, and once.
static Operation *onlyUser(Value value) { return value.hasOneUse() ? *value.user_begin() : nullptr; }

/// Makes a result that is only rounded to 16 bits one of 16 bits.
static bool narrowResult(Value result) {
  SmallVector<Operation *> layouts;
  Operation *user = onlyUser(result);
  for (; isLayout(user); user = onlyUser(user->getResult(0)))
    layouts.push_back(user);
  auto cast = dyn_cast_or_null<graph::CastOp>(user);
  if (!cast || !typeOf(result).getElementType().isF32() || !isHalf(typeOf(cast.getResult()).getElementType()))
    return false;
  Type element = typeOf(cast.getResult()).getElementType();
  result.setType(typeOf(result).cloneWith(element));
  for (Operation *layout : layouts)
    layout->getResult(0).setType(typeOf(layout->getResult(0)).cloneWith(element));
  cast.getResult().replaceAllUsesWith(cast.getX());
  cast.erase();
  return true;
}

namespace {
class NarrowOperands : public fovea::impl::NarrowOperandsBase<NarrowOperands> {
  void runOnOperation() override {
    for (auto function : getOperation().getOps<graph::FuncOp>()) {
      Narrower narrower;
      SmallVector<Operation *> attentions;
      function.walk([&](Operation *op) {
        if (isAttention(op))
          attentions.push_back(op);
      });
      // All of them, before results change their types.
      for (Operation *op : attentions)
        narrowOperands(op, narrower);
      for (Operation *op : attentions)
        narrowResults(op);
    }
  }

  void narrowOperands(Operation *op, Narrower &narrower) {
    auto backward = dyn_cast<graph::AttentionBackwardOp>(op);
    for (OpOperand &operand : op->getOpOperands()) {
      Value wide = operand.get();
      if (backward && (wide == backward.getLse() || wide == backward.getDelta()))
        continue;
      Value narrow = narrower.narrowed(wide);
      if (!narrow)
        continue;
      operand.set(narrow);
      readNarrow(op, wide, narrow);
      ++numNarrowed;
    }
  }

  void narrowResults(Operation *op) {
    SmallVector<Value> results;
    if (auto attention = dyn_cast<graph::AttentionOp>(op); attention && attention.getNormalizer() != "top_k")
      results.push_back(attention.getResult());
    else if (auto backward = dyn_cast<graph::AttentionBackwardOp>(op))
      llvm::append_range(results, backward.getGradients().drop_back(backward.getSums().size()));
    else if (auto linear = dyn_cast<graph::LinearAttentionOp>(op))
      results.push_back(linear.getResult());
    for (Value result : results)
      numNarrowed += narrowResult(result);
  }
};
} // namespace
