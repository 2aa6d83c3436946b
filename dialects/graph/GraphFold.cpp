// Folds: rewrites to an operand, a constant or in place, numerically exact. Rewrites that make ops:
// GraphCanonicalize.cpp.
#include "dialects/graph/GraphDialect.h"

#include "mlir/IR/Matchers.h"
#include "mlir/Interfaces/FoldInterfaces.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace fovea;
using namespace fovea::graph;
using Tensor = fovea::graph::TensorType;

static Type elementOf(Value v) { return cast<Tensor>(v.getType()).getElementType(); }

TypedAttr fovea::graph::getSplat(Value value) {
  while (Operation *op = value.getDefiningOp()) {
    if (auto constant = dyn_cast<ConstantOp>(op))
      return constant.getValue();
    if (!isa<BroadcastOp, ReshapeOp, TransposeOp>(op))
      return {};
    value = op->getOperand(0);
  }
  return {};
}

//===-- Values and layouts ----------------------------------------------------------------------------------------===//

OpFoldResult ConstantOp::fold(FoldAdaptor) { return getValueAttr(); }

OpFoldResult DimOp::fold(FoldAdaptor) {
  std::optional<int64_t> value = getSize().getValue().value();
  return value ? Builder(getContext()).getI64IntegerAttr(*value) : OpFoldResult();
}

/// broadcast(broadcast(x)) spreads x once.
OpFoldResult BroadcastOp::fold(FoldAdaptor) {
  if (getX().getType() == getType())
    return getX();
  auto inner = getX().getDefiningOp<BroadcastOp>();
  if (!inner)
    return {};
  auto axes = llvm::map_to_vector(inner.getAxes(), [&](int64_t axis) { return getAxes()[axis]; });
  getXMutable().assign(inner.getX());
  setAxes(axes);
  return getResult();
}

/// reshape(reshape(x)) is one reshape of x, or x.
OpFoldResult ReshapeOp::fold(FoldAdaptor) {
  if (getX().getType() == getType())
    return getX();
  auto inner = getX().getDefiningOp<ReshapeOp>();
  if (!inner)
    return {};
  if (inner.getX().getType() == getType())
    return inner.getX();
  getXMutable().assign(inner.getX());
  return getResult();
}

/// transpose(transpose(x)) is one transpose of x, or x.
OpFoldResult TransposeOp::fold(FoldAdaptor) {
  if (llvm::is_sorted(getPermutation()))
    return getX();
  auto inner = getX().getDefiningOp<TransposeOp>();
  if (!inner)
    return {};
  auto permutation = llvm::map_to_vector(getPermutation(), [&](int64_t axis) { return inner.getPermutation()[axis]; });
  getXMutable().assign(inner.getX());
  setPermutation(permutation);
  return getResult();
}

OpFoldResult SliceOp::fold(FoldAdaptor) {
  bool whole = getX().getType() == getType() && getStep() == 1 && getStart() && getStart()->getValue().isConstant(0);
  return whole ? getX() : Value();
}

OpFoldResult ConcatOp::fold(FoldAdaptor) { return getXs().size() == 1 ? getXs()[0] : Value(); }

OpFoldResult ReduceOp::fold(FoldAdaptor) { return getAxes().empty() ? getX() : Value(); }

//===-- Casts -----------------------------------------------------------------------------------------------------===//

/// Whether every value of `from` is one of `to`.
static bool isLossless(Type from, Type to) {
  unsigned width = from.getIntOrFloatBitWidth();
  if (auto target = dyn_cast<FloatType>(to)) {
    if (auto source = dyn_cast<FloatType>(from))
      return source == target || width < target.getWidth();
    return width == 1 || width - 1 <= target.getFPMantissaWidth();
  }
  if (isa<FloatType>(from) || to.isInteger(1))
    return from == to;
  return width <= to.getIntOrFloatBitWidth();
}

/// cast(cast(x)) is one cast where the inner one loses nothing.
OpFoldResult CastOp::fold(FoldAdaptor) {
  if (getX().getType() == getType())
    return getX();
  auto inner = getX().getDefiningOp<CastOp>();
  if (!inner || !isLossless(elementOf(inner.getX()), elementOf(getX())))
    return {};
  if (inner.getX().getType() == getType())
    return inner.getX();
  getXMutable().assign(inner.getX());
  return getResult();
}

//===-- Elementwise ops -------------------------------------------------------------------------------------------===//

static bool isSplat(Value v, double expected) {
  TypedAttr splat = getSplat(v);
  if (auto real = dyn_cast_if_present<FloatAttr>(splat))
    return real.getValue().bitwiseIsEqual(FloatAttr::get(real.getType(), expected).getValue()); // -0 is not 0
  if (auto integer = dyn_cast_if_present<IntegerAttr>(splat))
    return integer.getValue() == APInt(integer.getValue().getBitWidth(), uint64_t(int64_t(expected)), true, true);
  return false;
}

static bool isFloat(Value v) { return isa<FloatType>(elementOf(v)); }

/// The operand that the op's result always is, bit for bit (a NaN's payload aside).
static Value foldToOperand(Operation *op) {
  auto isOne = [](Value v) { return isSplat(v, 1); };
  return llvm::TypeSwitch<Operation *, Value>(op)
      .Case([&](MulOp o) -> Value { return isOne(o.getRhs())   ? o.getLhs()
                                           : isOne(o.getLhs()) ? o.getRhs()
                                                               : Value(); })
      .Case([&](DivOp o) -> Value { return isOne(o.getRhs()) ? o.getLhs() : Value(); })
      .Case([](SubOp o) -> Value { return isSplat(o.getRhs(), 0) ? o.getLhs() : Value(); })
      .Case([](AddOp o) -> Value {
        if (isFloat(o.getLhs())) // x + 0 is not x for -0, but x + -0 is
          return isSplat(o.getRhs(), -0.0) ? o.getLhs() : isSplat(o.getLhs(), -0.0) ? o.getRhs() : Value();
        return isSplat(o.getRhs(), 0) ? o.getLhs() : isSplat(o.getLhs(), 0) ? o.getRhs() : Value();
      })
      .Case<MaxOp, MinOp>([](auto o) -> Value { return o.getLhs() == o.getRhs() ? o.getLhs() : Value(); })
      .Case([](AndOp o) -> Value {
        return isSplat(o.getRhs(), 1) || o.getLhs() == o.getRhs() ? o.getLhs()
               : isSplat(o.getLhs(), 1)                           ? o.getRhs()
                                                                  : Value();
      })
      .Case([](OrOp o) -> Value {
        return isSplat(o.getRhs(), 0) || o.getLhs() == o.getRhs() ? o.getLhs()
               : isSplat(o.getLhs(), 0)                           ? o.getRhs()
                                                                  : Value();
      })
      .Case<NegOp, NotOp>([](auto o) -> Value {
        auto inner = o.getX().template getDefiningOp<decltype(o)>();
        return inner ? inner.getX() : Value();
      })
      .Case([](SelectOp o) -> Value {
        if (o.getLhs() == o.getRhs())
          return o.getLhs();
        return isSplat(o.getCondition(), 1) ? o.getLhs() : isSplat(o.getCondition(), 0) ? o.getRhs() : Value();
      })
      .Default([](Operation *) { return Value(); });
}

/// Ops whose value in doubles, rounded, is what their scalar code computes in f32: the correctly rounded ones.
static bool isCorrectlyRounded(Operation *op) {
  return isa<NegOp, AbsOp, SqrtOp, AddOp, SubOp, MulOp, DivOp, MaxOp, MinOp, FloorOp, CeilOp, CastOp, CompareOp,
             SelectOp>(op);
}

static double toReal(TypedAttr value) {
  if (auto real = dyn_cast<FloatAttr>(value))
    return real.getValueAsDouble();
  const APInt &bits = cast<IntegerAttr>(value).getValue();
  return bits.getBitWidth() == 1 ? bits.getZExtValue() : bits.getSExtValue();
}

static int64_t toInteger(TypedAttr value) {
  const APInt &bits = cast<IntegerAttr>(value).getValue();
  return bits.getBitWidth() == 1 ? bits.getZExtValue() : bits.getSExtValue();
}

static TypedAttr integerAttr(Type element, int64_t value) {
  return IntegerAttr::get(element, APInt(element.getIntOrFloatBitWidth(), uint64_t(value), true, true));
}

/// An elementwise op of scalar constants.
static Attribute foldToConstant(ElementwiseOpInterface op, ArrayRef<Attribute> operands) {
  if (!llvm::all_of(operands, [](Attribute a) { return isa_and_present<FloatAttr, IntegerAttr>(a); }))
    return {};
  Type element = cast<Tensor>(op->getResult(0).getType()).getElementType();
  if (op.isIntegral()) {
    auto values = llvm::map_to_vector(operands, [](Attribute a) { return toInteger(cast<TypedAttr>(a)); });
    return integerAttr(element, op.evaluateInt(values));
  }
  if (!isCorrectlyRounded(op))
    return {};
  constexpr int64_t exactInDouble = int64_t(1) << 53;
  for (Attribute a : operands)
    if (isa<IntegerAttr>(a) && std::abs(toInteger(cast<TypedAttr>(a))) > exactInDouble)
      return {};
  auto values = llvm::map_to_vector(operands, [](Attribute a) { return toReal(cast<TypedAttr>(a)); });
  double value = op.evaluate(values);
  if (isa<FloatType>(element))
    return FloatAttr::get(element, value);
  return integerAttr(element, value >= 0x1p63 ? INT64_MAX : static_cast<int64_t>(value));
}

namespace {
/// Serves every elementwise op from the interface, so that a new op needs no fold of its own.
struct FoldElementwise : DialectFoldInterface {
  using DialectFoldInterface::DialectFoldInterface;
  LogicalResult fold(Operation *op, ArrayRef<Attribute> operands,
                     SmallVectorImpl<OpFoldResult> &results) const override {
    auto elementwise = dyn_cast<ElementwiseOpInterface>(op);
    if (!elementwise)
      return failure();
    if (Value same = foldToOperand(op)) {
      results.push_back(same);
      return success();
    }
    Attribute constant = foldToConstant(elementwise, operands);
    if (!constant)
      return failure();
    results.push_back(constant);
    return success();
  }

  /// Regions of graph.attention capture nothing but by graph.at: constants stay where they are used.
  bool shouldMaterializeInto(Region *region) const final {
    return isa<AttentionOp, AttentionBackwardOp, LinearAttentionOp>(region->getParentOp());
  }
};
} // namespace

void GraphDialect::registerFolds() { addInterfaces<FoldElementwise>(); }
