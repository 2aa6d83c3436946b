// Coefficients are minimax fits (relative error of the whole function, by Lawson's iteration over 400 Chebyshev nodes
// in 40 digits), rounded to f32; the error bound after rounding stands beside each.
#include "compiler/kernels/emit/Math.h"

#include "compiler/kernels/emit/Elementwise.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include <limits>

using namespace mlir;
using namespace fovea::kernels;

static constexpr double infinity = std::numeric_limits<double>::infinity();
static constexpr double quietNan = std::numeric_limits<double>::quiet_NaN();
// ln 2 in two parts; the first has 9 bits, so that its products with exponents are exact.
static constexpr double ln2High = 0.693359375, ln2Low = -2.12194440054690583e-4;
// Adding and taking away rounds to an integer, which then stands in the low bits of the sum.
static constexpr double roundingShift = 12582912.0, roundingShiftWide = 6755399441055744.0;

//===-- Small things ----------------------------------------------------------------------------------------------===//

Value MathBuilder::add(Value x, Value y) { return arith::AddFOp::create(b, loc, x, y); }
Value MathBuilder::sub(Value x, Value y) { return arith::SubFOp::create(b, loc, x, y); }
Value MathBuilder::mul(Value x, Value y) { return arith::MulFOp::create(b, loc, x, y); }
Value MathBuilder::abs(Value x) { return math::AbsFOp::create(b, loc, x); }
Value MathBuilder::withSign(Value magnitude, Value sign) { return math::CopySignOp::create(b, loc, magnitude, sign); }
Value MathBuilder::either(Value p, Value q) { return arith::OrIOp::create(b, loc, p, q); }
Value MathBuilder::both(Value p, Value q) { return arith::AndIOp::create(b, loc, p, q); }
Value MathBuilder::constant(Value like, double value) { return emitSplat(b, loc, like.getType(), value); }
Value MathBuilder::select(Value condition, Value x, Value y) {
  return arith::SelectOp::create(b, loc, condition, x, y);
}

Value MathBuilder::fma(Value x, Value y, Value z) {
  return target.fma ? Value(math::FmaOp::create(b, loc, x, y, z)) : add(mul(x, y), z);
}

Value MathBuilder::test(Value x, Is relation, Value y) {
  arith::CmpFPredicate predicate = arith::CmpFPredicate::UNO;
  switch (relation) {
  case Is::equal:
    predicate = arith::CmpFPredicate::OEQ;
    break;
  case Is::notEqual:
    predicate = arith::CmpFPredicate::ONE;
    break;
  case Is::less:
    predicate = arith::CmpFPredicate::OLT;
    break;
  case Is::atLeast:
    predicate = arith::CmpFPredicate::OGE;
    break;
  case Is::greater:
    predicate = arith::CmpFPredicate::OGT;
    break;
  case Is::nan:
    break;
  }
  return arith::CmpFOp::create(b, loc, predicate, x, y);
}

static Type integersLike(Type type, OpBuilder &b) {
  return withElement(type, b.getIntegerType(getElementTypeOrSelf(type).getIntOrFloatBitWidth()));
}

Value MathBuilder::bits(Value x) { return arith::BitcastOp::create(b, loc, integersLike(x.getType(), b), x); }

Value MathBuilder::fromBits(Value x) {
  Type element = getElementTypeOrSelf(x.getType()).isInteger(64) ? Type(b.getF64Type()) : Type(b.getF32Type());
  return arith::BitcastOp::create(b, loc, withElement(x.getType(), element), x);
}

/// NaN stays NaN.
Value MathBuilder::clamp(Value x, double low, double high) {
  x = select(test(x, Is::greater, high), constant(x, high), x);
  return select(test(x, Is::less, low), constant(x, low), x);
}

Value MathBuilder::polynomial(Value x, ArrayRef<double> coefficients) {
  Value result = constant(x, coefficients.back());
  for (double coefficient : llvm::reverse(coefficients.drop_back()))
    result = fma(result, x, constant(x, coefficient));
  return result;
}

/// The same by pairs, whose powers of x are squared: a chain of log n steps, not n, for a few products more.
Value MathBuilder::pairedPolynomial(Value x, ArrayRef<double> coefficients) {
  SmallVector<Value> terms;
  for (size_t i = 0; i < coefficients.size(); i += 2)
    terms.push_back(i + 1 < coefficients.size() ? fma(constant(x, coefficients[i + 1]), x, constant(x, coefficients[i]))
                                                : constant(x, coefficients[i]));
  while (terms.size() > 1) {
    x = mul(x, x);
    SmallVector<Value> next;
    for (size_t i = 0; i < terms.size(); i += 2)
      next.push_back(i + 1 < terms.size() ? fma(terms[i + 1], x, terms[i]) : terms[i]);
    terms = next;
  }
  return terms[0];
}

/// x * 2^n for whole n within [-252, 254] and NaN: `shifted` is n + roundingShift. By the target's instruction, or in
/// two steps that are exact but for the last rounding.
Value MathBuilder::scaleByPowerOfTwo(Value x, Value n, Value shifted) {
  auto vector = dyn_cast<VectorType>(x.getType());
  if (vector && !target.scale.empty() && vector.getNumElements() == target.vectorLength) {
    auto integer = [&](int bits, int64_t value) -> Value {
      return arith::ConstantOp::create(b, loc, b.getIntegerAttr(b.getIntegerType(bits), value));
    };
    Value everyLane = integer(vector.getNumElements(), -1), roundingOfTheMode = integer(32, 4);
    return LLVM::CallIntrinsicOp::create(b, loc, vector, b.getStringAttr(target.scale),
                                         ValueRange{x, n, x, everyLane, roundingOfTheMode})
        .getResult(0);
  }
  Value exponent = arith::SubIOp::create(b, loc, bits(shifted), bits(constant(x, roundingShift)));
  Type i = exponent.getType();
  auto power = [&](Value e) {
    Value biased = arith::AddIOp::create(b, loc, e, emitSplat(b, loc, i, 127));
    return fromBits(arith::ShLIOp::create(b, loc, biased, emitSplat(b, loc, i, 23)));
  };
  Value half = arith::ShRSIOp::create(b, loc, exponent, emitSplat(b, loc, i, 1));
  return mul(mul(x, power(half)), power(arith::SubIOp::create(b, loc, exponent, half)));
}

//===-- Exponentials ----------------------------------------------------------------------------------------------===//

Value MathBuilder::exp(Value x) {
  // Beyond these the result is 0 or inf by rounding.
  x = clamp(x, -104.0, 89.0);
  Value shifted = fma(x, constant(x, 1.4426950408889634), constant(x, roundingShift));
  Value n = sub(shifted, constant(x, roundingShift));
  Value r = fma(n, constant(x, -ln2Low), fma(n, constant(x, -ln2High), x));
  // e^r = 1 + r + r^2 q(r), |r| <= ln 2 / 2: 3.8e-9
  Value q = polynomial(r, {0.49999994, 0.16666521, 0.04166839, 0.00836871, 0.0013814613});
  Value y = add(fma(mul(r, r), q, r), constant(x, 1));
  return scaleByPowerOfTwo(y, n, shifted);
}

Value MathBuilder::exp2(Value x) {
  x = clamp(x, -151.0, 129.0);
  Value shifted = add(x, constant(x, roundingShift));
  Value n = sub(shifted, constant(x, roundingShift)), r = sub(x, n);
  // 2^r = 1 + r q(r), |r| <= 1/2: 1.6e-8
  Value q = polynomial(r, {0.6931472, 0.24022648, 0.055503324, 0.009618437, 0.0013398874, 0.00015353362});
  return scaleByPowerOfTwo(fma(r, q, constant(x, 1)), n, shifted);
}

Value MathBuilder::log(Value x) {
  Value small = test(x, Is::less, 0x1p-126);
  Value scaled = select(small, mul(x, constant(x, 0x1p23)), x);
  Value u = bits(scaled);
  Type i = u.getType();
  // x = m * 2^e with m in [sqrt(1/2), sqrt(2)).
  Value e = arith::ShRSIOp::create(b, loc, arith::SubIOp::create(b, loc, u, emitSplat(b, loc, i, 0x3f3504f3)),
                                   emitSplat(b, loc, i, 23));
  Value exponentBits = arith::ShLIOp::create(b, loc, e, emitSplat(b, loc, i, 23));
  Value f = sub(fromBits(arith::SubIOp::create(b, loc, u, exponentBits)), constant(x, 1));
  Value n = add(arith::SIToFPOp::create(b, loc, x.getType(), e), select(small, constant(x, -23), constant(x, 0)));
  // log(1 + f) = f - f^2/2 + f^3 q(f): 3.2e-9
  Value q = polynomial(f, {0.33333313, -0.2500001, 0.20002119, -0.16667996, 0.14219552, -0.12405589, 0.11888162,
                           -0.11675652, 0.06746641});
  Value square = mul(f, f);
  Value y = fma(n, constant(x, ln2Low), mul(mul(square, f), q));
  y = fma(square, constant(x, -0.5), y);
  Value result = fma(n, constant(x, ln2High), add(f, y));
  result = select(test(x, Is::equal, infinity), x, result);
  result = select(test(x, Is::equal, 0.0), constant(x, -infinity), result);
  Value invalid = either(test(x, Is::less, 0.0), test(x, Is::nan, x));
  return select(invalid, constant(x, quietNan), result);
}

Value MathBuilder::tanh(Value x) {
  Value a = abs(x), z = mul(x, x);
  // x + x^3 q(x^2), |x| < 0.625: 8.7e-9
  Value q = polynomial(z, {-0.3333328, 0.13331442, -0.05373971, 0.020639079, -0.0057049785});
  Value small = fma(mul(x, z), q, x);
  Value denominator = add(exp(add(a, a)), constant(x, 1));
  Value large = sub(constant(x, 1), arith::DivFOp::create(b, loc, constant(x, 2), denominator));
  return withSign(select(test(a, Is::less, 0.625), small, large), x); // of small, too: -0
}

Value MathBuilder::erf(Value x) {
  Value a = abs(x), z = mul(x, x);
  // x + x q(x^2), |x| < 1: 1.3e-9
  Value q = pairedPolynomial(
      z, {0.12837917, -0.37612626, 0.112835854, -0.026853811, 0.0051883273, -0.00080101914, 7.853854e-05});
  Value small = fma(x, q, x);
  // 1 - 2^p(|x|) from 1 up to 4, from where it rounds to 1: 1.7e-8
  Value nearest = select(test(a, Is::greater, 4.0), constant(x, 4), a); // NaN stays
  Value p =
      pairedPolynomial(nearest, {-0.0037786201, -1.61238683, -0.943868643, -0.128111087, 0.0213978865, -0.00166952451});
  // 2^p with p in [-26, 0]: the low bits of the sum are the exponent's field.
  Value magic = constant(x, roundingShift + 127), shifted = add(p, magic);
  Value r = sub(p, sub(shifted, magic));
  Value mantissa = pairedPolynomial(r, {1.0, 0.6931469775989937, 0.24022242085262285, 0.05550733743496948,
                                        0.009671512644823407, 0.0013264727123640959}); // 9.2e-8
  Value field = bits(shifted);
  Value power = fromBits(arith::ShLIOp::create(b, loc, field, emitSplat(b, loc, field.getType(), 23)));
  Value large = withSign(sub(constant(x, 1), mul(mantissa, power)), x);
  return select(test(a, Is::less, 1.0), small, large);
}

//===-- Trigonometry ----------------------------------------------------------------------------------------------===//

/// sin(x + quarterTurns * pi/2). The reduction is done in f64 with pi/2 in three parts, the first two of 33 bits: their
/// products with n are exact up to n = 2^20.
Value MathBuilder::sinOrCos(Value x, int64_t quarterTurns) {
  Type wideType = withElement(x.getType(), b.getF64Type());
  Value wide = arith::ExtFOp::create(b, loc, wideType, x);
  Value shifted = fma(wide, constant(wide, 0.63661977236758134308), constant(wide, roundingShiftWide));
  Value n = sub(shifted, constant(wide, roundingShiftWide));
  Value rest = fma(n, constant(wide, -0x1.921fb544p+0), wide);
  rest = fma(n, constant(wide, -0x1.0b4611a6p-34), rest);
  rest = fma(n, constant(wide, -0x1.3198a2e037073p-69), rest);
  rest = select(test(abs(rest), Is::greater, 1.0), constant(wide, 0), rest); // |x| beyond what f64 resolves
  Value r = arith::TruncFOp::create(b, loc, x.getType(), rest);
  Type i = integersLike(x.getType(), b);
  Value quadrant = arith::TruncIOp::create(b, loc, i, bits(shifted));
  quadrant = arith::AddIOp::create(b, loc, quadrant, emitSplat(b, loc, i, quarterTurns));

  Value z = mul(r, r);
  // r + r^3 q(r^2): 3.7e-9; 1 - r^2/2 + r^4 q(r^2): 7.1e-10
  Value sine = fma(mul(r, z), polynomial(z, {-0.16666667, 0.008333329, -0.00019839272, 2.717746e-06}), r);
  sine = withSign(sine, r); // -0
  Value tail = polynomial(z, {0.041666668, -0.0013888883, 2.4799418e-05, -2.720221e-07});
  Value cosine = fma(mul(z, z), tail, fma(z, constant(x, -0.5), constant(x, 1)));
  auto hasBit = [&](int64_t bit) -> Value {
    Value masked = arith::AndIOp::create(b, loc, quadrant, emitSplat(b, loc, i, bit));
    return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ne, masked, emitSplat(b, loc, i, 0));
  };
  Value result = select(hasBit(1), cosine, sine);
  return select(hasBit(2), arith::NegFOp::create(b, loc, result), result);
}

//===-- Powers ----------------------------------------------------------------------------------------------------===//

/// log2 of |x| in f64; 0 gives -inf, infinities inf.
Value MathBuilder::log2Wide(Value x) {
  Value u = bits(abs(x));
  Type i = u.getType();
  Value fromRoot = arith::SubIOp::create(b, loc, u, emitSplat(b, loc, i, int64_t(0x3fe6a09e667f3bcd)));
  Value e = arith::ShRSIOp::create(b, loc, fromRoot, emitSplat(b, loc, i, 52));
  Value m = fromBits(arith::SubIOp::create(b, loc, u, arith::ShLIOp::create(b, loc, e, emitSplat(b, loc, i, 52))));
  Value one = constant(x, 1);
  Value s = arith::DivFOp::create(b, loc, sub(m, one), add(m, one));
  // log2(m) = s q(s^2), s = (m - 1) / (m + 1): 1.4e-15
  Value q = polynomial(mul(s, s), {2.885390081777927, 0.9617966939243081, 0.57707801725238, 0.4121984013030479,
                                   0.3206164383737054, 0.26144258982314894, 0.24293685254166003});
  // Exponents as f64 without an integer conversion, which AVX2 has not for 64 bits.
  Value shifted = arith::AddIOp::create(b, loc, e, bits(constant(x, roundingShiftWide)));
  Value result = fma(s, q, sub(fromBits(shifted), constant(x, roundingShiftWide)));
  result = select(test(x, Is::equal, 0.0), constant(x, -infinity), result);
  return select(test(abs(x), Is::equal, infinity), constant(x, infinity), result);
}

Value MathBuilder::exp2Wide(Value x) {
  x = clamp(x, -300.0, 300.0);
  Value shifted = add(x, constant(x, roundingShiftWide));
  Value r = sub(x, sub(shifted, constant(x, roundingShiftWide)));
  // 2^r, |r| <= 1/2: 7.8e-13
  Value y = polynomial(r, {0.9999999999997622, 0.6931471805465144, 0.24022650698881395, 0.05550410939341118,
                           0.009618128542658427, 0.0013333452062695226, 0.00015403851878395162, 1.5309737324077843e-05,
                           1.3175832307390911e-06});
  Value exponent = arith::ShLIOp::create(b, loc, bits(shifted), emitSplat(b, loc, bits(shifted).getType(), 52));
  return fromBits(arith::AddIOp::create(b, loc, bits(y), exponent));
}

Value MathBuilder::pow(Value x, Value y) {
  Type wide = withElement(x.getType(), b.getF64Type());
  Value product = mul(arith::ExtFOp::create(b, loc, wide, y), log2Wide(arith::ExtFOp::create(b, loc, wide, x)));
  Value magnitude = arith::TruncFOp::create(b, loc, x.getType(), exp2Wide(product));
  Value isInteger = test(round(y, Rounding::down), Is::equal, y);
  Value half = mul(y, constant(y, 0.5));
  Value isOdd = both(isInteger, test(round(half, Rounding::down), Is::notEqual, half));
  Value result = select(isOdd, withSign(magnitude, x), magnitude);
  Value negative = both(test(x, Is::less, 0.0), test(x, Is::greater, -infinity));
  Value isFinite = test(abs(y), Is::less, infinity);
  Value invalid = both(both(negative, isFinite),
                       arith::XOrIOp::create(b, loc, isInteger, emitSplat(b, loc, isInteger.getType(), 1)));
  invalid = either(invalid, either(test(x, Is::nan, x), test(y, Is::nan, y)));
  result = select(invalid, constant(x, quietNan), result);
  // 1 to any power, anything to the power 0, and -1 to an infinite one.
  Value unit = both(test(x, Is::equal, -1.0), test(abs(y), Is::equal, infinity));
  unit = either(unit, either(test(x, Is::equal, 1.0), test(y, Is::equal, 0.0)));
  return select(unit, constant(x, 1), result);
}

Value MathBuilder::rsqrt(Value x) {
  return arith::DivFOp::create(b, loc, constant(x, 1), math::SqrtOp::create(b, loc, x));
}

//===-- Rounding --------------------------------------------------------------------------------------------------===//

/// Beyond 2^23 floats are integers; below, they fit in an i32.
Value MathBuilder::round(Value x, Rounding rounding) {
  if (target.rounding)
    switch (rounding) {
    case Rounding::down:
      return math::FloorOp::create(b, loc, x);
    case Rounding::up:
      return math::CeilOp::create(b, loc, x);
    case Rounding::zero:
      return math::TruncOp::create(b, loc, x);
    case Rounding::even:
      return math::RoundEvenOp::create(b, loc, x);
    }
  Value isSmall = test(abs(x), Is::less, 0x1p23);
  Value small = select(isSmall, x, constant(x, 0)); // conversions of others have no meaning
  Value whole;
  if (rounding == Rounding::even) {
    Value shift = withSign(constant(x, 0x1p23), small);
    whole = sub(add(small, shift), shift);
  } else {
    Value integer = arith::FPToSIOp::create(b, loc, integersLike(x.getType(), b), small);
    whole = arith::SIToFPOp::create(b, loc, x.getType(), integer);
    if (rounding == Rounding::down)
      whole = select(test(whole, Is::greater, small), sub(whole, constant(x, 1)), whole);
    if (rounding == Rounding::up)
      whole = select(test(whole, Is::less, small), add(whole, constant(x, 1)), whole);
  }
  return select(isSmall, withSign(whole, x), x);
}

/// In f64, where the quotient of two f32 is good for 29 bits: twice.
Value MathBuilder::remainder(Value x, Value y) {
  Type wide = withElement(x.getType(), b.getF64Type());
  Value divisor = abs(arith::ExtFOp::create(b, loc, wide, y));
  Value rest = abs(arith::ExtFOp::create(b, loc, wide, x));
  auto step = [&](double granularity) {
    Value unit = mul(divisor, constant(divisor, granularity));
    Value quotient = arith::DivFOp::create(b, loc, rest, unit);
    // Rounded to an integer of at most 29 bits, so that the product is exact; the rest may be negative.
    quotient = sub(add(quotient, constant(rest, roundingShiftWide)), constant(rest, roundingShiftWide));
    rest = sub(rest, mul(quotient, unit));
  };
  step(0x1p24);
  step(1.0);
  rest = select(test(rest, Is::less, 0.0), add(rest, divisor), rest);
  Value inside = both(test(rest, Is::less, divisor), test(rest, Is::atLeast, 0.0));
  rest = select(inside, rest, constant(rest, 0));
  Value result = withSign(arith::TruncFOp::create(b, loc, x.getType(), rest), x);
  Value xInfinite = test(abs(x), Is::equal, infinity), yInfinite = test(abs(y), Is::equal, infinity);
  result = select(yInfinite, x, result);
  Value invalid = either(either(test(x, Is::nan, x), test(y, Is::nan, y)), either(xInfinite, test(y, Is::equal, 0.0)));
  return select(invalid, constant(x, quietNan), result);
}

//===-- The rewrite -----------------------------------------------------------------------------------------------===//

/// The expansion of `op`; null where it stays.
static Value expansionOf(Operation *op, MathBuilder &m, const Target &target) {
  auto x = [&](unsigned i) { return op->getOperand(i); };
  using Rounding = MathBuilder::Rounding;
  if (isa<math::FmaOp>(op))
    return target.fma ? Value() : m.fma(x(0), x(1), x(2));
  if (isa<math::FloorOp>(op))
    return target.rounding ? Value() : m.round(x(0), Rounding::down);
  if (isa<math::CeilOp>(op))
    return target.rounding ? Value() : m.round(x(0), Rounding::up);
  if (isa<math::TruncOp>(op))
    return target.rounding ? Value() : m.round(x(0), Rounding::zero);
  if (isa<math::RoundEvenOp>(op))
    return target.rounding ? Value() : m.round(x(0), Rounding::even);
  return llvm::TypeSwitch<Operation *, Value>(op)
      .Case<math::ExpOp>([&](auto) { return m.exp(x(0)); })
      .Case<math::Exp2Op>([&](auto) { return m.exp2(x(0)); })
      .Case<math::LogOp>([&](auto) { return m.log(x(0)); })
      .Case<math::TanhOp>([&](auto) { return m.tanh(x(0)); })
      .Case<math::ErfOp>([&](auto) { return m.erf(x(0)); })
      .Case<math::SinOp>([&](auto) { return m.sin(x(0)); })
      .Case<math::CosOp>([&](auto) { return m.cos(x(0)); })
      .Case<math::PowFOp>([&](auto) { return m.pow(x(0), x(1)); })
      .Case<math::RsqrtOp>([&](auto) { return m.rsqrt(x(0)); })
      .Case<arith::RemFOp>([&](auto) { return m.remainder(x(0), x(1)); })
      .Default(Value());
}

/// Whether LLVM has instructions for `op`, so that no call remains.
static bool isInstruction(Operation *op) {
  return isa<math::FmaOp, math::FloorOp, math::CeilOp, math::TruncOp, math::RoundEvenOp, math::SqrtOp, math::AbsFOp,
             math::AbsIOp, math::CopySignOp, math::CountLeadingZerosOp, math::CountTrailingZerosOp, math::CtPopOp>(op);
}

static bool isHalf(Type type) {
  Type element = getElementTypeOrSelf(type);
  return element.isF16() || element.isBF16();
}

/// Arithmetic on 16-bit floats in f32, with a conversion before and after: what targets without such instructions do,
/// where LLVM would call a library for the conversions. The result is the same, since f32 has more than twice the bits.
static void widenHalfArithmetic(Operation *root) {
  SmallVector<Operation *> ops;
  root->walk([&](Operation *op) {
    bool isArithmetic = isa<arith::ArithDialect, math::MathDialect>(op->getDialect()) &&
                        op->hasTrait<OpTrait::Elementwise>() && op->getNumResults() == 1;
    bool movesBits = isa<arith::ExtFOp, arith::TruncFOp, arith::BitcastOp, arith::SelectOp>(op);
    if (isArithmetic && !movesBits &&
        (llvm::any_of(op->getOperandTypes(), isHalf) || isHalf(op->getResult(0).getType())))
      ops.push_back(op);
  });
  for (Operation *op : ops) {
    OpBuilder before(op);
    auto wide = [&](Type type) { return withElement(type, before.getF32Type()); };
    for (OpOperand &operand : op->getOpOperands())
      if (isHalf(operand.get().getType()))
        operand.set(arith::ExtFOp::create(before, op->getLoc(), wide(operand.get().getType()), operand.get()));
    Value result = op->getResult(0);
    Type narrow = result.getType();
    if (!isHalf(narrow))
      continue;
    result.setType(wide(narrow));
    OpBuilder after(op->getContext());
    after.setInsertionPointAfter(op);
    auto rounded = arith::TruncFOp::create(after, op->getLoc(), narrow, result);
    result.replaceAllUsesExcept(rounded, rounded);
  }
}

LogicalResult fovea::kernels::expandMath(Operation *root, const Target &target) {
  widenHalfArithmetic(root);
  SmallVector<Operation *> ops;
  root->walk([&](Operation *op) {
    if (isa<math::MathDialect>(op->getDialect()) || isa<arith::RemFOp, arith::ExtFOp, arith::TruncFOp>(op))
      ops.push_back(op);
  });
  for (Operation *op : ops) {
    OpBuilder builder(op);
    MathBuilder m(builder, op->getLoc(), target);
    bool isF32 = getElementTypeOrSelf(op->getResult(0).getType()).isF32();
    if (Value expansion = isF32 ? expansionOf(op, m, target) : Value()) {
      op->getResult(0).replaceAllUsesWith(expansion);
      op->erase();
    } else if (Value converted = expandHalfConversion(builder, *op, target)) {
      op->getResult(0).replaceAllUsesWith(converted);
      op->erase();
    } else if (isa<math::MathDialect>(op->getDialect()) && !isInstruction(op)) {
      return op->emitOpError("has no expansion into vector code");
    }
  }
  return success();
}
