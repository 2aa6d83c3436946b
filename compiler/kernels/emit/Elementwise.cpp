#include "compiler/kernels/emit/Elementwise.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/Matchers.h"
#include <cmath>

using namespace mlir;
using namespace fovea::kernels;

Type fovea::kernels::withElement(Type like, Type element) {
  if (auto vector = dyn_cast<VectorType>(like))
    return VectorType::get(vector.getShape(), element);
  return element;
}

static Value splat(OpBuilder &b, Location loc, Type type, TypedAttr element) {
  if (auto vector = dyn_cast<VectorType>(type))
    return arith::ConstantOp::create(b, loc, DenseElementsAttr::get(vector, ArrayRef<Attribute>(element)));
  return arith::ConstantOp::create(b, loc, element);
}

Value fovea::kernels::emitSplat(OpBuilder &b, Location loc, Type type, double value) {
  return splat(b, loc, type, b.getFloatAttr(getElementTypeOrSelf(type), value));
}

Value fovea::kernels::emitSplat(OpBuilder &b, Location loc, Type type, int64_t value) {
  Type element = getElementTypeOrSelf(type);
  if (isa<FloatType>(element))
    return emitSplat(b, loc, type, double(value));
  return splat(b, loc, type, b.getIntegerAttr(element, value));
}

namespace {
/// Emits at one place, on one type.
struct Maker {
  OpBuilder &b;
  Location loc;

  Value c(Type type, int64_t value) { return emitSplat(b, loc, type, value); }
  template <typename Op> Value make(Value x, Value y) { return Op::create(b, loc, x, y); }
  Value compare(arith::CmpIPredicate p, Value x, Value y) { return arith::CmpIOp::create(b, loc, p, x, y); }
  Value compare(arith::CmpFPredicate p, Value x, Value y) { return arith::CmpFOp::create(b, loc, p, x, y); }
  Value select(Value condition, Value x, Value y) { return arith::SelectOp::create(b, loc, condition, x, y); }
  Value bits(Value x, Type element) { return arith::BitcastOp::create(b, loc, withElement(x.getType(), element), x); }
  Value wide(Value x) { return arith::ExtUIOp::create(b, loc, withElement(x.getType(), b.getI32Type()), x); }
  Value narrow(Value x) { return arith::TruncIOp::create(b, loc, withElement(x.getType(), b.getI16Type()), x); }
};
} // namespace

/// Whether `divisor` is a constant that no division traps on.
static bool isHarmlessDivisor(Value divisor) {
  APInt value;
  return matchPattern(divisor, m_ConstantInt(&value)) && !value.isZero() && !value.isAllOnes();
}

/// Signed and unsigned division and remainder. A divisor of 0 or -1 becomes 1; the quotient by -1 is the negated
/// dividend.
static Value emitDivision(Maker m, Operation &op, Value x, Value y, llvm::function_ref<Value(Value, Value)> divide) {
  if (isHarmlessDivisor(op.getOperand(1)))
    return divide(x, y);
  bool isSigned = isa<arith::DivSIOp, arith::RemSIOp, arith::FloorDivSIOp, arith::CeilDivSIOp>(op);
  Type type = y.getType();
  Value one = m.c(type, 1);
  Value replaced = m.compare(arith::CmpIPredicate::eq, y, m.c(type, 0));
  if (!isSigned)
    return divide(x, m.select(replaced, one, y));
  Value minusOne = m.compare(arith::CmpIPredicate::eq, y, m.c(type, -1));
  Value result = divide(x, m.select(m.make<arith::OrIOp>(replaced, minusOne), one, y));
  if (isa<arith::RemSIOp>(op))
    return result;
  return m.select(minusOne, m.make<arith::SubIOp>(m.c(type, 0), x), result);
}

/// Saturating; NaN gives 0.
static Value emitFloatToInt(Maker m, Value x, Type result, bool isSigned, llvm::function_ref<Value(Value)> convert) {
  unsigned width = getElementTypeOrSelf(result).getIntOrFloatBitWidth() - isSigned;
  Value limit = emitSplat(m.b, m.loc, x.getType(), std::ldexp(1.0, width));
  Value least = emitSplat(m.b, m.loc, x.getType(), isSigned ? -std::ldexp(1.0, width) : 0.0);
  Value above = m.compare(arith::CmpFPredicate::OGE, x, limit), below = m.compare(arith::CmpFPredicate::OLE, x, least);
  Value outside = m.make<arith::OrIOp>(m.make<arith::OrIOp>(above, below), m.compare(arith::CmpFPredicate::UNO, x, x));
  Value converted = convert(m.select(outside, emitSplat(m.b, m.loc, x.getType(), 0.0), x));
  auto extreme = [&](APInt value) {
    Attribute attribute = m.b.getIntegerAttr(getElementTypeOrSelf(result), value);
    return splat(m.b, m.loc, result, cast<TypedAttr>(attribute));
  };
  unsigned all = width + isSigned;
  converted = m.select(above, extreme(isSigned ? APInt::getSignedMaxValue(all) : APInt::getMaxValue(all)), converted);
  return m.select(below, extreme(isSigned ? APInt::getSignedMinValue(all) : APInt::getZero(all)), converted);
}

/// f16 to f32: the exponent is moved by a multiplication with 2^112, which is exact for subnormals as well.
static Value emitHalfToFloat(Maker m, Value x) {
  Value h = m.wide(m.bits(x, m.b.getI16Type()));
  Type i = h.getType(), f = withElement(i, m.b.getF32Type());
  Value sign = m.make<arith::ShLIOp>(m.make<arith::AndIOp>(h, m.c(i, 0x8000)), m.c(i, 16));
  Value magnitude = m.make<arith::ShLIOp>(m.make<arith::AndIOp>(h, m.c(i, 0x7fff)), m.c(i, 13));
  Value scaled = m.make<arith::MulFOp>(m.bits(magnitude, m.b.getF32Type()), emitSplat(m.b, m.loc, f, 0x1p112));
  Value special = m.compare(arith::CmpIPredicate::uge, magnitude, m.c(i, 0x0f800000));
  Value value =
      m.select(special, m.make<arith::OrIOp>(magnitude, m.c(i, 0x7f800000)), m.bits(scaled, m.b.getI32Type()));
  return m.bits(m.make<arith::OrIOp>(value, sign), m.b.getF32Type());
}

/// f32 to f16, to nearest even. Subnormals are rounded by adding 0.5, whose last place is the least f16.
static Value emitFloatToHalf(Maker m, Value x) {
  Value u = m.bits(x, m.b.getI32Type());
  Type i = u.getType(), f = x.getType();
  Value magnitude = m.make<arith::AndIOp>(u, m.c(i, 0x7fffffff));
  Value odd = m.make<arith::AndIOp>(m.make<arith::ShRUIOp>(magnitude, m.c(i, 13)), m.c(i, 1));
  Value rounded = m.make<arith::AddIOp>(m.make<arith::AddIOp>(magnitude, m.c(i, 0xfff)), odd);
  Value normal = m.make<arith::SubIOp>(m.make<arith::ShRUIOp>(rounded, m.c(i, 13)), m.c(i, 112 << 10));
  Value shifted = m.make<arith::AddFOp>(m.bits(magnitude, m.b.getF32Type()), emitSplat(m.b, m.loc, f, 0.5));
  Value subnormal = m.make<arith::SubIOp>(m.bits(shifted, m.b.getI32Type()), m.c(i, 0x3f000000));
  Value result = m.select(m.compare(arith::CmpIPredicate::ult, magnitude, m.c(i, 0x38800000)), subnormal, normal);
  result = m.select(m.compare(arith::CmpIPredicate::uge, magnitude, m.c(i, 0x477ff000)), m.c(i, 0x7c00), result);
  result = m.select(m.compare(arith::CmpIPredicate::ugt, magnitude, m.c(i, 0x7f800000)), m.c(i, 0x7e00), result);
  Value sign = m.make<arith::AndIOp>(m.make<arith::ShRUIOp>(u, m.c(i, 16)), m.c(i, 0x8000));
  return m.bits(m.narrow(m.make<arith::OrIOp>(result, sign)), m.b.getF16Type());
}

static Value emitBrainToFloat(Maker m, Value x) {
  Value u = m.wide(m.bits(x, m.b.getI16Type()));
  return m.bits(m.make<arith::ShLIOp>(u, m.c(u.getType(), 16)), m.b.getF32Type());
}

/// f32 to bf16, to nearest even; NaN stays NaN.
static Value emitFloatToBrain(Maker m, Value x) {
  Value u = m.bits(x, m.b.getI32Type());
  Type i = u.getType();
  Value high = m.make<arith::ShRUIOp>(u, m.c(i, 16));
  Value bias = m.make<arith::AddIOp>(m.make<arith::AndIOp>(high, m.c(i, 1)), m.c(i, 0x7fff));
  Value rounded = m.make<arith::ShRUIOp>(m.make<arith::AddIOp>(u, bias), m.c(i, 16));
  Value isNan = m.compare(arith::CmpFPredicate::UNO, x, x);
  return m.bits(m.narrow(m.select(isNan, m.make<arith::OrIOp>(high, m.c(i, 0x40)), rounded)), m.b.getBF16Type());
}

Value fovea::kernels::expandHalfConversion(OpBuilder &builder, Operation &op, const Target &target) {
  if (!isa<arith::ExtFOp, arith::TruncFOp>(op))
    return {};
  Maker m{builder, op.getLoc()};
  Value x = op.getOperand(0);
  Type from = getElementTypeOrSelf(x), to = getElementTypeOrSelf(op.getResult(0));
  if (to.isF32() && from.isBF16())
    return emitBrainToFloat(m, x);
  if (to.isF32() && from.isF16() && !target.halfConversions)
    return emitHalfToFloat(m, x);
  if (to.isBF16() && from.isF32())
    return emitFloatToBrain(m, x);
  if (to.isF16() && from.isF32() && !target.halfConversions)
    return emitFloatToHalf(m, x);
  return {};
}

FailureOr<Value> fovea::kernels::emitElementwise(OpBuilder &builder, Operation &op, ValueRange operands) {
  bool isPointwise = op.getNumResults() == 1 && op.getNumRegions() == 0 &&
                     (op.hasTrait<OpTrait::Elementwise>() || isa<arith::ConstantOp, memref::DimOp>(op));
  if (!isPointwise)
    return op.emitOpError("has no vector form"), failure();
  Type result = op.getResult(0).getType();
  if (!operands.empty())
    if (auto vector = dyn_cast<VectorType>(operands[0].getType()))
      result = VectorType::get(vector.getShape(), result);
  auto clone = [&](ValueRange values) -> Value {
    Operation *copy = op.clone();
    copy->setOperands(values);
    copy->getResult(0).setType(result);
    return builder.insert(copy)->getResult(0);
  };
  Maker m{builder, op.getLoc()};
  if (isa<arith::DivSIOp, arith::DivUIOp, arith::RemSIOp, arith::RemUIOp, arith::FloorDivSIOp, arith::CeilDivSIOp,
          arith::CeilDivUIOp>(op))
    return emitDivision(m, op, operands[0], operands[1], [&](Value x, Value y) { return clone({x, y}); });
  if (isa<arith::FPToSIOp, arith::FPToUIOp>(op))
    return emitFloatToInt(m, operands[0], result, isa<arith::FPToSIOp>(op), [&](Value x) { return clone(x); });
  return clone(operands);
}
