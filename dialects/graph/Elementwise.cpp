// The table of elementwise ops: for each, the element types it takes, how ranges pass through it, its scalar body, its
// value in doubles and integers, and its derivative.
#include "dialects/graph/ElementCost.h"
#include "dialects/graph/GraphDialect.h"

#include "fovea/philox.h"

#include "mlir/IR/TypeUtilities.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSwitch.h"

#include <cmath>
#include <limits>

using namespace mlir;
using namespace fovea::graph;

namespace {

using Reals = ArrayRef<double>;
using Ints = ArrayRef<int64_t>;

enum class Domain { Float, Number, Long, Bool, Any };

bool accepts(Domain domain, Type element) {
  switch (domain) {
  case Domain::Float:
    return isa<FloatType>(element);
  case Domain::Number:
    return !element.isInteger(1);
  case Domain::Long:
    return element.isInteger(64);
  case Domain::Bool:
    return element.isInteger(1);
  case Domain::Any:
    return true;
  }
  return false;
}

/// What a row needs to build its body. Operands are scalars or vectors of one shape.
struct Body {
  OpBuilder &builder;
  Location loc;

  template <typename OpT, typename... Args> Value make(Args &&...args) {
    return OpT::create(builder, loc, std::forward<Args>(args)...);
  }
  static bool isFloat(Value x) { return isa<FloatType>(getElementTypeOrSelf(x)); }
  static Type withElement(Type like, Type element) {
    auto vector = dyn_cast<VectorType>(like);
    return vector ? Type(vector.clone(element)) : element;
  }
  /// A constant of x's type.
  Value constant(Value x, double value) {
    Type element = getElementTypeOrSelf(x);
    return constant(x.getType(), isa<FloatType>(element) ? TypedAttr(FloatAttr::get(element, value))
                                                         : TypedAttr(IntegerAttr::get(element, int64_t(value))));
  }
  Value constant(Type type, TypedAttr element) {
    if (auto vector = dyn_cast<VectorType>(type))
      return make<arith::ConstantOp>(DenseElementsAttr::get(vector, Attribute(element)));
    return make<arith::ConstantOp>(element);
  }
  template <typename FloatOp, typename IntOp> Value pick(ValueRange x) {
    return isFloat(x[0]) ? Value(make<FloatOp>(x[0], x[1])) : Value(make<IntOp>(x[0], x[1]));
  }
  Value compareInts(arith::CmpIPredicate p, Value a, Value b) { return make<arith::CmpIOp>(p, a, b); }
  Value compareFloats(arith::CmpFPredicate p, Value a, Value b) { return make<arith::CmpFOp>(p, a, b); }
  /// 1 where b is 0, so that dividing by it is defined everywhere.
  Value nonZero(Value b) {
    return make<arith::SelectOp>(compareInts(arith::CmpIPredicate::eq, b, constant(b, 0)), constant(b, 1), b);
  }
};

/// a divided by b for integers: floor, 0 where b is 0, wrapping for the one quotient that leaves the type.
int64_t floorDivide(int64_t a, int64_t b) {
  if (b == 0)
    return 0;
  if (b == -1)
    return int64_t(0 - uint64_t(a));
  return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

int64_t floorModulo(int64_t a, int64_t b) {
  if (b == 0 || b == -1)
    return 0;
  int64_t r = a % b;
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

double floorModulo(double a, double b) {
  double r = std::fmod(a, b);
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}

double propagatingMax(double a, double b) {
  if (std::isnan(a) || std::isnan(b))
    return std::numeric_limits<double>::quiet_NaN();
  return a == b ? (std::signbit(a) ? b : a) : std::max(a, b);
}

double propagatingMin(double a, double b) { return -propagatingMax(-a, -b); }

Value buildIntFloorDiv(Body &b, Value x, Value y) {
  // INT_MIN / -1 overflows: dividing by -1 is a negation, which wraps.
  Value minusOne = b.compareInts(arith::CmpIPredicate::eq, y, b.constant(y, -1));
  Value safe = b.make<arith::SelectOp>(minusOne, b.constant(y, 1), b.nonZero(y));
  Value quotient = b.make<arith::DivSIOp>(x, safe);
  Value rest = b.make<arith::SubIOp>(x, b.make<arith::MulIOp>(quotient, safe));
  Value zero = b.constant(x, 0);
  Value inexact = b.compareInts(arith::CmpIPredicate::ne, rest, zero);
  Value signs = b.compareInts(arith::CmpIPredicate::slt, b.make<arith::XOrIOp>(x, safe), zero);
  Value down = b.make<arith::SubIOp>(quotient, b.constant(x, 1));
  Value floored = b.make<arith::SelectOp>(b.make<arith::AndIOp>(inexact, signs), down, quotient);
  Value negated = b.make<arith::SubIOp>(zero, x);
  Value isZero = b.compareInts(arith::CmpIPredicate::eq, y, zero);
  return b.make<arith::SelectOp>(isZero, zero, Value(b.make<arith::SelectOp>(minusOne, negated, floored)));
}

Value buildIntMod(Body &b, Value x, Value y) {
  Value minusOne = b.compareInts(arith::CmpIPredicate::eq, y, b.constant(y, -1));
  Value safe = b.make<arith::SelectOp>(minusOne, b.constant(y, 1), b.nonZero(y)); // x mod ±1 is 0, and so is x mod 0
  Value rest = b.make<arith::RemSIOp>(x, safe);
  Value zero = b.constant(x, 0);
  Value inexact = b.compareInts(arith::CmpIPredicate::ne, rest, zero);
  Value signs = b.compareInts(arith::CmpIPredicate::slt, b.make<arith::XOrIOp>(rest, safe), zero);
  return b.make<arith::SelectOp>(b.make<arith::AndIOp>(inexact, signs), Value(b.make<arith::AddIOp>(rest, safe)), rest);
}

/// Philox 4x32-10 (fovea/philox.h), of which `philox` is the first word.
namespace philox {
int64_t firstWord(uint64_t key, uint64_t counter) {
  const uint32_t k[2] = {uint32_t(key), uint32_t(key >> 32)}, c[4] = {uint32_t(counter), uint32_t(counter >> 32), 0, 0};
  uint32_t words[4];
  fovea_philox(c, k, words);
  return words[0];
}

/// The same, each word in 64 bits of which only the lower ones are looked at.
Value build(Body &b, Value key, Value counter) {
  auto constant = [&](uint64_t value) {
    return b.constant(key.getType(), IntegerAttr::get(b.builder.getI64Type(), APInt(64, value)));
  };
  Value bits = constant(0xFFFFFFFF), half = constant(32), zero = constant(0);
  auto low = [&](Value x) { return b.make<arith::AndIOp>(x, bits); };
  auto high = [&](Value x) { return b.make<arith::ShRUIOp>(x, half); };
  auto mix = [&](Value x, Value y, Value z) { return b.make<arith::XOrIOp>(b.make<arith::XOrIOp>(x, y), z); };
  Value k[2] = {low(key), high(key)}, c[4] = {low(counter), high(counter), zero, zero};
  for (unsigned round = 0; round < FOVEA_PHILOX_ROUNDS; ++round) {
    Value products[2];
    for (unsigned i : {0, 1})
      products[i] = b.make<arith::MulIOp>(low(c[2 * i]), constant(fovea_philox_factors[i]));
    c[0] = mix(high(products[1]), c[1], k[0]);
    c[2] = mix(high(products[0]), c[3], k[1]);
    c[1] = low(products[1]);
    c[3] = low(products[0]);
    for (unsigned i : {0, 1})
      k[i] = low(b.make<arith::AddIOp>(k[i], constant(fovea_philox_steps[i])));
  }
  return low(c[0]);
}
} // namespace philox

Value buildFloatMod(Body &b, Value x, Value y) {
  Value rest = b.make<arith::RemFOp>(x, y);
  Value zero = b.constant(x, 0);
  Value inexact = b.compareFloats(arith::CmpFPredicate::UNE, rest, zero);
  Value restBelow = b.compareFloats(arith::CmpFPredicate::OLT, rest, zero);
  Value divisorBelow = b.compareFloats(arith::CmpFPredicate::OLT, y, zero);
  Value adjust = b.make<arith::AndIOp>(inexact, b.make<arith::XOrIOp>(restBelow, divisorBelow));
  return b.make<arith::SelectOp>(adjust, Value(b.make<arith::AddFOp>(rest, y)), rest);
}

/// Float to signless integer: truncates; saturates; NaN gives 0.
Value buildFloatToInt(Body &b, Value x, Type result) {
  unsigned width = getElementTypeOrSelf(result).getIntOrFloatBitWidth();
  double bound = std::ldexp(1.0, width - 1);
  Value tooHigh = b.compareFloats(arith::CmpFPredicate::OGE, x, b.constant(x, bound));
  Value tooLow = b.compareFloats(arith::CmpFPredicate::OLT, x, b.constant(x, -bound));
  Value unordered = b.compareFloats(arith::CmpFPredicate::UNO, x, x);
  Value outside = b.make<arith::OrIOp>(b.make<arith::OrIOp>(tooHigh, tooLow), unordered);
  Value safe = b.make<arith::SelectOp>(outside, b.constant(x, 0), x);
  Value whole = b.make<arith::FPToSIOp>(result, safe);
  auto limit = [&](APInt value) { return b.constant(result, IntegerAttr::get(getElementTypeOrSelf(result), value)); };
  Value capped = b.make<arith::SelectOp>(tooHigh, limit(APInt::getSignedMaxValue(width)), whole);
  return b.make<arith::SelectOp>(tooLow, limit(APInt::getSignedMinValue(width)), capped);
}

Value convertFloat(Body &b, Value x, Type element) {
  Type from = getElementTypeOrSelf(x), to = Body::withElement(x.getType(), element);
  if (from == element)
    return x;
  // The narrow types meet each other and f64 by way of f32.
  bool byFloat = !from.isF32() && !element.isF32();
  if (byFloat)
    return convertFloat(b, convertFloat(b, x, b.builder.getF32Type()), element);
  if (from.getIntOrFloatBitWidth() < element.getIntOrFloatBitWidth())
    return b.make<arith::ExtFOp>(to, x);
  return b.make<arith::TruncFOp>(to, x);
}

Value buildCast(Body &b, Value x, Type element) {
  Type from = getElementTypeOrSelf(x), to = Body::withElement(x.getType(), element);
  if (from == element)
    return x;
  bool fromFloat = isa<FloatType>(from), toFloat = isa<FloatType>(element);
  if (fromFloat && toFloat)
    return convertFloat(b, x, element);
  if (element.isInteger(1))
    return fromFloat ? b.compareFloats(arith::CmpFPredicate::UNE, x, b.constant(x, 0))
                     : b.compareInts(arith::CmpIPredicate::ne, x, b.constant(x, 0));
  if (fromFloat)
    return buildFloatToInt(b, x, to);
  if (toFloat)
    return from.isInteger(1) ? Value(b.make<arith::UIToFPOp>(to, x)) : Value(b.make<arith::SIToFPOp>(to, x));
  if (from.getIntOrFloatBitWidth() > element.getIntOrFloatBitWidth())
    return b.make<arith::TruncIOp>(to, x);
  return from.isInteger(1) ? Value(b.make<arith::ExtUIOp>(to, x)) : Value(b.make<arith::ExtSIOp>(to, x));
}

Value buildCompare(Body &b, StringRef predicate, Value x, Value y) {
  if (Body::isFloat(x)) // every predicate but ne is false where an operand is NaN
    return b.compareFloats(llvm::StringSwitch<arith::CmpFPredicate>(predicate)
                               .Case("eq", arith::CmpFPredicate::OEQ)
                               .Case("ne", arith::CmpFPredicate::UNE)
                               .Case("lt", arith::CmpFPredicate::OLT)
                               .Case("le", arith::CmpFPredicate::OLE)
                               .Case("gt", arith::CmpFPredicate::OGT)
                               .Default(arith::CmpFPredicate::OGE),
                           x, y);
  bool isBool = getElementTypeOrSelf(x).isInteger(1); // true is -1 when signed
  using P = arith::CmpIPredicate;
  return b.compareInts(llvm::StringSwitch<P>(predicate)
                           .Case("eq", P::eq)
                           .Case("ne", P::ne)
                           .Case("lt", isBool ? P::ult : P::slt)
                           .Case("le", isBool ? P::ule : P::sle)
                           .Case("gt", isBool ? P::ugt : P::sgt)
                           .Default(isBool ? P::uge : P::sge),
                       x, y);
}

template <typename T> bool compareValues(StringRef predicate, T x, T y) {
  if (predicate == "eq")
    return x == y;
  if (predicate == "ne")
    return x != y;
  if (predicate == "lt")
    return x < y;
  if (predicate == "le")
    return x <= y;
  return predicate == "gt" ? x > y : x >= y;
}

int64_t wrap(int64_t value, Type element) {
  unsigned width = element.getIntOrFloatBitWidth();
  return width == 1 ? value & 1 : llvm::SignExtend64(uint64_t(value), width);
}

double truncateTo(double x, Type element) {
  if (element.isInteger(1))
    return x != 0;
  if (isa<FloatType>(element))
    return x;
  unsigned width = element.getIntOrFloatBitWidth();
  double bound = std::ldexp(1.0, width - 1); // for i64 bound - 1 is no double: the caller saturates
  return std::isnan(x) ? 0 : std::clamp(std::trunc(x), -bound, width < 64 ? bound - 1 : bound);
}

/// Operands at least as wide as f32, the body, then the result's element type.
template <typename Build>
Value buildWidened(OpBuilder &builder, Location loc, ValueRange operands, Type resultElement, Build build) {
  Body body{builder, loc};
  SmallVector<Value> wide;
  for (Value x : operands) {
    Type element = getElementTypeOrSelf(x);
    bool narrow = isa<FloatType>(element) && element.getIntOrFloatBitWidth() < 32;
    wide.push_back(narrow ? convertFloat(body, x, builder.getF32Type()) : x);
  }
  Value result = build(body, wide);
  return Body::isFloat(result) ? convertFloat(body, result, resultElement) : result;
}

Type resultElementOf(Operation *op) {
  return getElementTypeOrSelf(cast<fovea::graph::TensorType>(op->getResult(0).getType()).getElementType());
}

using Rule = IntervalRule;

/// The row's rule for the op's elements.
Rule ruleFor(Rule rule, Operation *op) {
  bool isInteger = isa<IntegerType>(resultElementOf(op));
  if (rule == Rule::Quotient && isInteger)
    return Rule::FloorQuotient;
  return !isInteger && (rule == Rule::FloorQuotient || rule == Rule::Remainder) ? Rule::Unknown : rule;
}

/// What reaches operand i, where g reaches the result r of operands x.
using Adjoint = Value (*)(Algebra &a, Value g, ValueRange x, Value r, unsigned i);

/// g for the greater operand (`above`: "gt") or the smaller one, half of it for each of two equal ones.
Value adjointOfExtremum(Algebra &a, StringRef above, Value g, ValueRange x, unsigned i) {
  Value zero = a.constant(g, 0), other = x[1 - i];
  return a.select(a.compare(above, x[i], other), g, a.select(a.compare("eq", x[i], other), a.mul(g, 0.5), zero));
}

/// x^y: y x^(y-1), 0 where y is 0; x^y log x, 0 where x is 0 and y is not below 0.
Value adjointOfPow(Algebra &a, Value g, ValueRange x, Value r, unsigned i) {
  Value zero = a.constant(g, 0), base = x[0], exponent = x[1];
  if (i == 0) {
    Value less = a.apply("pow", {base, a.sub(exponent, a.constant(exponent, 1))});
    return a.select(a.compare("eq", exponent, zero), zero, a.mul(g, a.mul(exponent, less)));
  }
  Value flat = a.apply("and", {a.compare("eq", base, zero), a.compare("ge", exponent, zero)});
  return a.select(flat, zero, a.mul(g, a.mul(r, a.apply("log", base))));
}

struct Row {
  Domain domain;
  Rule interval; // Quotient: the floor of it for integers; FloorQuotient and Remainder: of integers alone
  Value (*build)(Body &, ValueRange);
  double (*real)(Reals);
  int64_t (*integer)(Ints);  // null where the op has no integer form
  Adjoint adjoint = nullptr; // null where the derivative is 0 wherever there is one
};

template <typename OpT> Value unary(Body &b, ValueRange x) { return b.make<OpT>(x[0]); }
template <typename FloatOp, typename IntOp> Value binary(Body &b, ValueRange x) { return b.pick<FloatOp, IntOp>(x); }
template <double (*f)(double)> double real1(Reals x) { return f(x[0]); }

} // namespace

#define FOVEA_ELEMENTWISE(OpT, ...)                                                                                    \
  static const Row row##OpT = {__VA_ARGS__};                                                                           \
  Value OpT::buildScalar(OpBuilder &builder, Location loc, ValueRange operands, Type resultElement) {                  \
    return buildWidened(builder, loc, operands, resultElement, row##OpT.build);                                        \
  }                                                                                                                    \
  double OpT::evaluate(ArrayRef<double> operands) { return row##OpT.real(operands); }                                  \
  int64_t OpT::evaluateInt(ArrayRef<int64_t> operands) {                                                               \
    return row##OpT.integer ? wrap(row##OpT.integer(operands), resultElementOf(*this)) : 0;                            \
  }                                                                                                                    \
  IntervalRule OpT::getIntervalRule() { return ruleFor(row##OpT.interval, *this); }                                    \
  Value OpT::buildAdjoint(Algebra &a, Value gradient, ValueRange operands, Value result, unsigned operand) {           \
    return row##OpT.adjoint ? row##OpT.adjoint(a, gradient, operands, result, operand) : Value();                      \
  }                                                                                                                    \
  bool OpT::acceptsElement(Type element) { return accepts(row##OpT.domain, element); }

#define ADJOINT(...) [](Algebra &a, Value g, ValueRange x, Value r, unsigned i) -> Value { return __VA_ARGS__; }

// clang-format off
FOVEA_ELEMENTWISE(NegOp, Domain::Number, Rule::Decreasing,
    [](Body &b, ValueRange x) { return Body::isFloat(x[0]) ? b.make<arith::NegFOp>(x[0]) : b.make<arith::SubIOp>(b.constant(x[0], 0), x[0]); },
    [](Reals x) { return -x[0]; }, [](Ints x) { return int64_t(0 - uint64_t(x[0])); },
    ADJOINT(a.neg(g)))
FOVEA_ELEMENTWISE(AbsOp, Domain::Number, Rule::Magnitude,
    [](Body &b, ValueRange x) { return Body::isFloat(x[0]) ? b.make<math::AbsFOp>(x[0]) : b.make<math::AbsIOp>(x[0]); },
    real1<std::fabs>, [](Ints x) { return x[0] < 0 ? int64_t(0 - uint64_t(x[0])) : x[0]; },
    ADJOINT(a.mul(g, a.select(a.compare("gt", x[0], a.constant(g, 0)), a.constant(g, 1),
                              a.select(a.compare("lt", x[0], a.constant(g, 0)), a.constant(g, -1), a.constant(g, 0))))))
FOVEA_ELEMENTWISE(ExpOp, Domain::Float, Rule::Increasing, unary<math::ExpOp>, real1<std::exp>, nullptr,
    ADJOINT(a.mul(g, r)))
FOVEA_ELEMENTWISE(LogOp, Domain::Float, Rule::Increasing, unary<math::LogOp>, real1<std::log>, nullptr,
    ADJOINT(a.div(g, x[0])))
FOVEA_ELEMENTWISE(SqrtOp, Domain::Float, Rule::Increasing, unary<math::SqrtOp>, real1<std::sqrt>, nullptr,
    ADJOINT(a.div(a.mul(g, 0.5), r)))
FOVEA_ELEMENTWISE(RsqrtOp, Domain::Float, Rule::Decreasing,
    [](Body &b, ValueRange x) { return b.make<arith::DivFOp>(b.constant(x[0], 1), b.make<math::SqrtOp>(x[0])); },
    [](Reals x) { return 1 / std::sqrt(x[0]); }, nullptr,
    ADJOINT(a.mul(a.mul(g, -0.5), a.mul(r, a.mul(r, r)))))
FOVEA_ELEMENTWISE(TanhOp, Domain::Float, Rule::Increasing, unary<math::TanhOp>, real1<std::tanh>, nullptr,
    ADJOINT(a.mul(g, a.sub(a.constant(g, 1), a.mul(r, r)))))
// The exponent has a bound, below which nothing is left: exp(-inf) would be the weight of a hidden key.
FOVEA_ELEMENTWISE(ErfOp, Domain::Float, Rule::Increasing, unary<math::ErfOp>, real1<std::erf>, nullptr,
    ADJOINT(a.mul(g, a.mul(a.apply("exp", a.apply("max", {a.neg(a.mul(x[0], x[0])), a.constant(x[0], -200)})),
                           2 / std::sqrt(M_PI)))))
FOVEA_ELEMENTWISE(SinOp, Domain::Float, Rule::Unknown, unary<math::SinOp>, real1<std::sin>, nullptr,
    ADJOINT(a.mul(g, a.apply("cos", x[0]))))
FOVEA_ELEMENTWISE(CosOp, Domain::Float, Rule::Unknown, unary<math::CosOp>, real1<std::cos>, nullptr,
    ADJOINT(a.neg(a.mul(g, a.apply("sin", x[0])))))
FOVEA_ELEMENTWISE(FloorOp, Domain::Float, Rule::Increasing, unary<math::FloorOp>, real1<std::floor>, nullptr)
FOVEA_ELEMENTWISE(CeilOp, Domain::Float, Rule::Increasing, unary<math::CeilOp>, real1<std::ceil>, nullptr)
FOVEA_ELEMENTWISE(SigmoidOp, Domain::Float, Rule::Increasing,
    [](Body &b, ValueRange x) {
      Value one = b.constant(x[0], 1);
      return b.make<arith::DivFOp>(one, b.make<arith::AddFOp>(one, b.make<math::ExpOp>(b.make<arith::NegFOp>(x[0]))));
    },
    [](Reals x) { return 1 / (1 + std::exp(-x[0])); }, nullptr,
    ADJOINT(a.mul(g, a.mul(r, a.sub(a.constant(g, 1), r)))))
FOVEA_ELEMENTWISE(NotOp, Domain::Bool, Rule::Decreasing,
    [](Body &b, ValueRange x) { return b.make<arith::XOrIOp>(x[0], b.constant(x[0], 1)); },
    [](Reals x) { return double(x[0] == 0); }, [](Ints x) { return int64_t(x[0] == 0); })

FOVEA_ELEMENTWISE(AddOp, Domain::Number, Rule::Sum, binary<arith::AddFOp, arith::AddIOp>,
    [](Reals x) { return x[0] + x[1]; }, [](Ints x) { return int64_t(uint64_t(x[0]) + uint64_t(x[1])); },
    ADJOINT(g))
FOVEA_ELEMENTWISE(SubOp, Domain::Number, Rule::Difference, binary<arith::SubFOp, arith::SubIOp>,
    [](Reals x) { return x[0] - x[1]; }, [](Ints x) { return int64_t(uint64_t(x[0]) - uint64_t(x[1])); },
    ADJOINT(i == 0 ? g : a.neg(g)))
FOVEA_ELEMENTWISE(MulOp, Domain::Number, Rule::Product, binary<arith::MulFOp, arith::MulIOp>,
    [](Reals x) { return x[0] * x[1]; }, [](Ints x) { return int64_t(uint64_t(x[0]) * uint64_t(x[1])); },
    ADJOINT(a.mul(g, x[1 - i])))
FOVEA_ELEMENTWISE(DivOp, Domain::Number, Rule::Quotient,
    [](Body &b, ValueRange x) { return Body::isFloat(x[0]) ? b.make<arith::DivFOp>(x[0], x[1]) : buildIntFloorDiv(b, x[0], x[1]); },
    [](Reals x) { return x[0] / x[1]; }, [](Ints x) { return floorDivide(x[0], x[1]); },
    ADJOINT(i == 0 ? a.div(g, x[1]) : a.neg(a.div(a.mul(g, r), x[1]))))
FOVEA_ELEMENTWISE(MaxOp, Domain::Number, Rule::Maximum, binary<arith::MaximumFOp, arith::MaxSIOp>,
    [](Reals x) { return propagatingMax(x[0], x[1]); }, [](Ints x) { return std::max(x[0], x[1]); },
    ADJOINT(adjointOfExtremum(a, "gt", g, x, i)))
FOVEA_ELEMENTWISE(MinOp, Domain::Number, Rule::Minimum, binary<arith::MinimumFOp, arith::MinSIOp>,
    [](Reals x) { return propagatingMin(x[0], x[1]); }, [](Ints x) { return std::min(x[0], x[1]); },
    ADJOINT(adjointOfExtremum(a, "lt", g, x, i)))
FOVEA_ELEMENTWISE(PowOp, Domain::Float, Rule::Unknown,
    [](Body &b, ValueRange x) { return b.make<math::PowFOp>(x[0], x[1]); },
    [](Reals x) { return std::pow(x[0], x[1]); }, nullptr,
    ADJOINT(adjointOfPow(a, g, x, r, i)))
FOVEA_ELEMENTWISE(ModOp, Domain::Number, Rule::Remainder,
    [](Body &b, ValueRange x) { return Body::isFloat(x[0]) ? buildFloatMod(b, x[0], x[1]) : buildIntMod(b, x[0], x[1]); },
    [](Reals x) { return floorModulo(x[0], x[1]); }, [](Ints x) { return floorModulo(x[0], x[1]); },
    ADJOINT(i == 0 ? g : a.neg(a.mul(g, a.apply("floordiv", {x[0], x[1]})))))
FOVEA_ELEMENTWISE(FloorDivOp, Domain::Number, Rule::FloorQuotient,
    [](Body &b, ValueRange x) {
      return Body::isFloat(x[0]) ? b.make<math::FloorOp>(b.make<arith::DivFOp>(x[0], x[1])) : buildIntFloorDiv(b, x[0], x[1]);
    },
    [](Reals x) { return std::floor(x[0] / x[1]); }, [](Ints x) { return floorDivide(x[0], x[1]); })
FOVEA_ELEMENTWISE(PhiloxOp, Domain::Long, Rule::Unknown,
    [](Body &b, ValueRange x) { return philox::build(b, x[0], x[1]); },
    [](Reals x) { return double(philox::firstWord(uint64_t(int64_t(x[0])), uint64_t(int64_t(x[1])))); },
    [](Ints x) { return philox::firstWord(uint64_t(x[0]), uint64_t(x[1])); })
FOVEA_ELEMENTWISE(AndOp, Domain::Bool, Rule::Minimum,
    [](Body &b, ValueRange x) { return b.make<arith::AndIOp>(x[0], x[1]); },
    [](Reals x) { return double(x[0] != 0 && x[1] != 0); }, [](Ints x) { return int64_t(x[0] && x[1]); })
FOVEA_ELEMENTWISE(OrOp, Domain::Bool, Rule::Maximum,
    [](Body &b, ValueRange x) { return b.make<arith::OrIOp>(x[0], x[1]); },
    [](Reals x) { return double(x[0] != 0 || x[1] != 0); }, [](Ints x) { return int64_t(x[0] || x[1]); })
FOVEA_ELEMENTWISE(SelectOp, Domain::Any, Rule::Choice,
    [](Body &b, ValueRange x) { return b.make<arith::SelectOp>(x[0], x[1], x[2]); },
    [](Reals x) { return x[0] != 0 ? x[1] : x[2]; }, [](Ints x) { return x[0] ? x[1] : x[2]; },
    ADJOINT(i == 0 ? Value() : i == 1 ? a.select(x[0], g, a.constant(g, 0)) : a.select(x[0], a.constant(g, 0), g)))
// clang-format on

//===-- The two whose meaning depends on more than their operands -------------------------------------------------===//

Value CompareOp::buildScalar(OpBuilder &builder, Location loc, ValueRange operands, Type resultElement) {
  auto build = [&](Body &b, ValueRange x) { return buildCompare(b, getPredicate(), x[0], x[1]); };
  return buildWidened(builder, loc, operands, resultElement, build);
}
double CompareOp::evaluate(ArrayRef<double> x) { return compareValues(getPredicate(), x[0], x[1]); }
int64_t CompareOp::evaluateInt(ArrayRef<int64_t> x) { return compareValues(getPredicate(), x[0], x[1]); }
/// A truth value: what decides it are the ranges of both sides and the predicate, not a rule for one result.
IntervalRule CompareOp::getIntervalRule() { return Rule::Unknown; }
Value CompareOp::buildAdjoint(Algebra &, Value, ValueRange, Value, unsigned) { return {}; }
bool CompareOp::acceptsElement(Type) { return true; }

Value CastOp::buildScalar(OpBuilder &builder, Location loc, ValueRange operands, Type resultElement) {
  auto build = [&](Body &b, ValueRange x) { return buildCast(b, x[0], resultElement); };
  return buildWidened(builder, loc, operands, resultElement, build);
}
double CastOp::evaluate(ArrayRef<double> x) { return truncateTo(x[0], resultElementOf(*this)); }
int64_t CastOp::evaluateInt(ArrayRef<int64_t> x) {
  Type element = resultElementOf(*this);
  return element.isInteger(1) ? x[0] != 0 : wrap(x[0], element);
}
/// Conversions keep the order, but for those that wrap and those to bool.
IntervalRule CastOp::getIntervalRule() {
  auto from = dyn_cast<IntegerType>(cast<fovea::graph::TensorType>(getX().getType()).getElementType());
  auto to = dyn_cast<IntegerType>(resultElementOf(*this));
  bool wraps = from && to && from.getWidth() > to.getWidth();
  return wraps || (to && to.getWidth() == 1) ? Rule::Unknown : Rule::Increasing;
}
/// Between floats; what is cut off, or comes from integers, has none.
Value CastOp::buildAdjoint(Algebra &a, Value gradient, ValueRange operands, Value, unsigned) {
  return isa<FloatType>(resultElementOf(*this)) ? a.convert(gradient, operands[0]) : Value();
}
bool CastOp::acceptsElement(Type) { return true; }

//===-- Rows without an op ----------------------------------------------------------------------------------------===//

static const Row *rowNamed(StringRef mnemonic) {
#define FOVEA_ROW(OpT)                                                                                                 \
  {                                                                                                                    \
    OpT::getOperationName().drop_front(strlen("graph.")), &row##OpT                                                    \
  }
  static const llvm::StringMap<const Row *> rows{
      FOVEA_ROW(NegOp),   FOVEA_ROW(AbsOp),  FOVEA_ROW(ExpOp),      FOVEA_ROW(LogOp),     FOVEA_ROW(SqrtOp),
      FOVEA_ROW(RsqrtOp), FOVEA_ROW(TanhOp), FOVEA_ROW(ErfOp),      FOVEA_ROW(SinOp),     FOVEA_ROW(CosOp),
      FOVEA_ROW(FloorOp), FOVEA_ROW(CeilOp), FOVEA_ROW(NotOp),      FOVEA_ROW(SigmoidOp), FOVEA_ROW(AddOp),
      FOVEA_ROW(SubOp),   FOVEA_ROW(MulOp),  FOVEA_ROW(DivOp),      FOVEA_ROW(MaxOp),     FOVEA_ROW(MinOp),
      FOVEA_ROW(PowOp),   FOVEA_ROW(ModOp),  FOVEA_ROW(FloorDivOp), FOVEA_ROW(AndOp),     FOVEA_ROW(OrOp),
      FOVEA_ROW(SelectOp)};
#undef FOVEA_ROW
  return rows.lookup(mnemonic);
}

Value fovea::graph::buildElementwise(StringRef mnemonic, OpBuilder &builder, Location loc, ValueRange operands) {
  Type element = getElementTypeOrSelf(operands.back());
  return buildWidened(builder, loc, operands, element, rowNamed(mnemonic)->build);
}

Value fovea::graph::buildComparison(StringRef predicate, OpBuilder &builder, Location loc, Value x, Value y) {
  Body body{builder, loc};
  return buildCompare(body, predicate, x, y);
}

Value fovea::graph::buildAdjoint(StringRef mnemonic, Algebra &algebra, Value gradient, ValueRange operands,
                                 Value result, unsigned operand) {
  const Row *row = rowNamed(mnemonic);
  return row->adjoint ? row->adjoint(algebra, gradient, operands, result, operand) : Value();
}

//===-- The interface ---------------------------------------------------------------------------------------------===//

bool ElementwiseOpInterface::isIntegral() {
  auto isInt = [](Type t) { return isa<IntegerType>(cast<fovea::graph::TensorType>(t).getElementType()); };
  return llvm::all_of((*this)->getOperandTypes(), isInt) && llvm::all_of((*this)->getResultTypes(), isInt);
}

LogicalResult fovea::graph::detail::verifyElementwise(Operation *op) {
  auto result = cast<fovea::graph::TensorType>(op->getResult(0).getType());
  auto elementwise = cast<ElementwiseOpInterface>(op);
  for (Type type : op->getOperandTypes()) {
    auto operand = cast<fovea::graph::TensorType>(type);
    if (operand.getDims() != result.getDims())
      return op->emitOpError("(E1) operands and result have one shape, got ") << operand << " and " << result;
    if (!elementwise.acceptsElement(operand.getElementType()))
      return op->emitOpError("(E2) is not defined for elements of type ") << operand.getElementType();
  }
  return success();
}

bool fovea::graph::isCostly(Operation *op) {
  return isa<ExpOp, LogOp, TanhOp, ErfOp, SinOp, CosOp, PowOp, ModOp, FloorDivOp, SigmoidOp, RsqrtOp, SqrtOp>(op);
}
