#include "compiler/analysis/IndexBounds.h"

#include "dialects/graph/GraphDialect.h"

using namespace mlir;
using namespace fovea;

static graph::TensorType typeOf(Value value) { return cast<graph::TensorType>(value.getType()); }

using Bound = std::optional<DimExpr>;

/// A null expression is an overflow: nothing is known then.
static Bound known(DimExpr e) { return e ? Bound(e) : std::nullopt; }
static Bound plus(Bound a, Bound b) { return a && b ? known(*a + *b) : std::nullopt; }
static Bound minus(Bound a) { return a ? known(DimExpr(0) - *a) : std::nullopt; }

static IndexBounds compute(Value tensor, unsigned depth);

static IndexBounds ofBinary(Operation *op, unsigned depth) {
  IndexBounds a = compute(op->getOperand(0), depth), b = compute(op->getOperand(1), depth);
  if (isa<graph::AddOp>(op))
    return {plus(a.low, b.low), plus(a.high, b.high)};
  if (isa<graph::SubOp>(op))
    return {plus(a.low, minus(b.high)), plus(a.high, minus(b.low))};
  // One side bounds a maximum from below, both are needed from above; minima the other way round.
  auto either = [](Bound x, Bound y, auto join) -> Bound { return x && y ? known(join(*x, *y)) : x ? x : y; };
  auto both = [](Bound x, Bound y, auto join) -> Bound { return x && y ? known(join(*x, *y)) : std::nullopt; };
  if (isa<graph::MaxOp>(op))
    return {either(a.low, b.low, DimExpr::max), both(a.high, b.high, DimExpr::max)};
  if (isa<graph::MinOp>(op))
    return {both(a.low, b.low, DimExpr::min), either(a.high, b.high, DimExpr::min)};
  return {};
}

static IndexBounds compute(Value tensor, unsigned depth) {
  Operation *op = tensor.getDefiningOp();
  if (!op || depth > 64 || !typeOf(tensor).getElementType().isSignlessInteger())
    return {};
  ++depth;
  if (isa<graph::BroadcastOp, graph::ReshapeOp, graph::TransposeOp, graph::SliceOp>(op))
    return compute(op->getOperand(0), depth);
  if (auto convert = dyn_cast<graph::CastOp>(op)) {
    Type from = typeOf(convert.getX()).getElementType(), to = typeOf(tensor).getElementType();
    bool widens = from.isSignlessInteger() && from.getIntOrFloatBitWidth() <= to.getIntOrFloatBitWidth();
    return widens && !from.isInteger(1) ? compute(convert.getX(), depth) : IndexBounds();
  }
  if (isa<graph::IotaOp>(op))
    return {DimExpr(0), known(typeOf(tensor).getDim(0) - DimExpr(1))};
  if (auto dim = dyn_cast<graph::DimOp>(op))
    return {dim.getSize().getValue(), dim.getSize().getValue()};
  if (auto constant = dyn_cast<graph::ConstantOp>(op)) {
    auto value = dyn_cast<IntegerAttr>(constant.getValueAttr());
    return value ? IndexBounds{DimExpr(value.getInt()), DimExpr(value.getInt())} : IndexBounds();
  }
  if (isa<graph::NegOp>(op)) {
    IndexBounds inner = compute(op->getOperand(0), depth);
    return {minus(inner.high), minus(inner.low)};
  }
  if (isa<graph::AddOp, graph::SubOp, graph::MaxOp, graph::MinOp>(op))
    return ofBinary(op, depth);
  return {};
}

IndexBounds fovea::boundsOf(Value tensor) { return compute(tensor, 0); }

/// a <= b, where a minimum may be replaced by either side, a maximum of b too.
static bool lessOrEqual(DimExpr a, DimExpr b, unsigned depth = 0) {
  if (DimExpr::provablyLessOrEqual(a, b))
    return true;
  if (depth > 4)
    return false;
  if (a.kind() == DimExpr::Kind::Min)
    return lessOrEqual(a.lhs(), b, depth + 1) || lessOrEqual(a.rhs(), b, depth + 1);
  if (a.kind() == DimExpr::Kind::Max)
    return lessOrEqual(a.lhs(), b, depth + 1) && lessOrEqual(a.rhs(), b, depth + 1);
  if (b.kind() == DimExpr::Kind::Max)
    return lessOrEqual(a, b.lhs(), depth + 1) || lessOrEqual(a, b.rhs(), depth + 1);
  if (b.kind() == DimExpr::Kind::Min)
    return lessOrEqual(a, b.lhs(), depth + 1) && lessOrEqual(a, b.rhs(), depth + 1);
  return false;
}

bool fovea::isWithin(Value tensor, DimExpr size) {
  IndexBounds bounds = boundsOf(tensor);
  return bounds.low && bounds.high && lessOrEqual(DimExpr(0), *bounds.low) &&
         lessOrEqual(*bounds.high, size - DimExpr(1));
}
