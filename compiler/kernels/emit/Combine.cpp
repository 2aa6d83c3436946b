#include "compiler/kernels/emit/Combine.h"

#include "compiler/kernels/emit/Elementwise.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include <limits>

using namespace mlir;
using namespace fovea::kernels;

static constexpr double infinity = std::numeric_limits<double>::infinity();

/// The least and the largest integer of a type's width.
static int64_t extreme(Type type, bool largest) {
  APInt value = largest ? APInt::getSignedMaxValue(type.getIntOrFloatBitWidth())
                        : APInt::getSignedMinValue(type.getIntOrFloatBitWidth());
  return value.getSExtValue();
}

Partial Combiner::identity(int64_t lanes) {
  Type element = op.getValue().getType();
  auto shaped = [&](Type type) { return lanes ? Type(VectorType::get({lanes}, type)) : type; };
  auto splat = [&](double real, int64_t integer) {
    return isa<FloatType>(element) ? emitSplat(b, loc, shaped(element), real)
                                   : emitSplat(b, loc, shaped(element), integer);
  };
  StringRef kind = op.getKind();
  if (kind == "sum" || kind == "any")
    return {splat(0, 0), {}};
  if (kind == "prod" || kind == "all")
    return {splat(1, 1), {}};
  if (kind == "min")
    return {splat(infinity, isa<FloatType>(element) ? 0 : extreme(element, true)), {}};
  Value least = splat(-infinity, isa<FloatType>(element) ? 0 : extreme(element, false));
  if (!isArgmax())
    return {least, {}};
  return {least, emitSplat(b, loc, shaped(b.getI64Type()), std::numeric_limits<int64_t>::max())};
}

Value Combiner::combineValues(Value x, Value y) {
  bool real = isa<FloatType>(op.getValue().getType());
  StringRef kind = op.getKind();
  if (kind == "sum")
    return real ? Value(arith::AddFOp::create(b, loc, x, y)) : Value(arith::AddIOp::create(b, loc, x, y));
  if (kind == "prod")
    return real ? Value(arith::MulFOp::create(b, loc, x, y)) : Value(arith::MulIOp::create(b, loc, x, y));
  if (kind == "max")
    return real ? Value(arith::MaximumFOp::create(b, loc, x, y)) : Value(arith::MaxSIOp::create(b, loc, x, y));
  if (kind == "min")
    return real ? Value(arith::MinimumFOp::create(b, loc, x, y)) : Value(arith::MinSIOp::create(b, loc, x, y));
  return kind == "any" ? Value(arith::OrIOp::create(b, loc, x, y)) : Value(arith::AndIOp::create(b, loc, x, y));
}

Partial Combiner::combine(const Partial &x, const Partial &y) {
  if (!isArgmax())
    return {combineValues(x.value, y.value), {}};
  // y wins where it is larger, or NaN where x is none; of equals (NaN counts as equal to NaN) the smaller index wins.
  auto both = [&](Value p, Value q) -> Value { return arith::AndIOp::create(b, loc, p, q); };
  auto either = [&](Value p, Value q) -> Value { return arith::OrIOp::create(b, loc, p, q); };
  Value larger, equal;
  if (isa<FloatType>(op.getValue().getType())) {
    auto compare = [&](arith::CmpFPredicate p, Value l, Value r) -> Value {
      return arith::CmpFOp::create(b, loc, p, l, r);
    };
    Value xNan = compare(arith::CmpFPredicate::UNO, x.value, x.value);
    Value yNan = compare(arith::CmpFPredicate::UNO, y.value, y.value);
    // "not x >= y" is true with a NaN on either side; with x NaN only y NaN matters, and then they are equal.
    larger = compare(arith::CmpFPredicate::ULT, x.value, y.value);
    Value xNumber = arith::XOrIOp::create(b, loc, xNan, emitSplat(b, loc, xNan.getType(), 1));
    larger = both(larger, xNumber);
    equal = either(compare(arith::CmpFPredicate::OEQ, x.value, y.value), both(xNan, yNan));
  } else {
    larger = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, x.value, y.value);
    equal = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, x.value, y.value);
  }
  Value earlier = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, y.index, x.index);
  return select(either(larger, both(equal, earlier)), y, x);
}

Partial Combiner::select(Value condition, const Partial &x, const Partial &y) {
  Partial result{arith::SelectOp::create(b, loc, condition, x.value, y.value), {}};
  if (x.index)
    result.index = arith::SelectOp::create(b, loc, condition, x.index, y.index);
  return result;
}

Partial Combiner::masked(const Partial &x, Value mask) {
  return mask ? select(mask, x, identity(cast<VectorType>(mask.getType()).getNumElements())) : x;
}

Partial Combiner::acrossLanes(Partial x) {
  auto part = [&](Value v, int64_t from, int64_t count) -> Value {
    return v ? Value(vector::ExtractStridedSliceOp::create(b, loc, v, from, count, int64_t(1))) : v;
  };
  for (int64_t lanes = cast<VectorType>(x.value.getType()).getNumElements(); lanes > 1; lanes /= 2) {
    int64_t half = lanes / 2;
    x = combine({part(x.value, 0, half), part(x.index, 0, half)},
                {part(x.value, half, half), part(x.index, half, half)});
  }
  auto only = [&](Value v) -> Value { return v ? Value(vector::ExtractOp::create(b, loc, v, int64_t(0))) : v; };
  return {only(x.value), only(x.index)};
}

Value Combiner::finish(const Partial &x) {
  if (!isArgmax())
    return x.value;
  // Nothing was there: 0.
  Value none = emitSplat(b, loc, x.index.getType(), std::numeric_limits<int64_t>::max());
  Value isNone = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, x.index, none);
  return arith::SelectOp::create(b, loc, isNone, emitSplat(b, loc, x.index.getType(), 0), x.index);
}

void Combiner::append(SmallVectorImpl<Value> &values, const Partial &x) {
  values.push_back(x.value);
  if (x.index)
    values.push_back(x.index);
}

Partial Combiner::take(ValueRange &values) {
  Partial result{values.front(), {}};
  values = values.drop_front();
  if (isArgmax()) {
    result.index = values.front();
    values = values.drop_front();
  }
  return result;
}
