#include "compiler/kernels/lower/EmitDim.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;

namespace fovea::kernels {

Value DimEmitter::constant(int64_t value) {
  Value &built = constants[value];
  if (!built)
    built = arith::ConstantIndexOp::create(b, loc, value);
  return built;
}

/// Division that rounds down; x / 0 gives 0 (a precondition has failed then, but nothing may trap).
static Value floorDivide(OpBuilder &b, Location loc, Value lhs, Value rhs) {
  auto constant = [&](int64_t v) { return arith::ConstantOp::create(b, loc, b.getIntegerAttr(lhs.getType(), v)); };
  auto compare = [&](arith::CmpIPredicate predicate, Value x, Value y) {
    return arith::CmpIOp::create(b, loc, predicate, x, y);
  };
  Value zero = constant(0), one = constant(1);
  Value isZero = compare(arith::CmpIPredicate::eq, rhs, zero);
  Value divisor = arith::SelectOp::create(b, loc, isZero, one, rhs);
  Value dividend = arith::SelectOp::create(b, loc, isZero, zero, lhs);
  Value quotient = arith::DivSIOp::create(b, loc, dividend, divisor);
  Value rest = arith::RemSIOp::create(b, loc, dividend, divisor);
  Value signs = arith::XOrIOp::create(b, loc, rest, divisor);
  Value inexact = compare(arith::CmpIPredicate::ne, rest, zero);
  Value opposite = compare(arith::CmpIPredicate::slt, signs, zero);
  Value down = arith::AndIOp::create(b, loc, inexact, opposite);
  return arith::SelectOp::create(b, loc, down, arith::SubIOp::create(b, loc, quotient, one), quotient);
}

Value DimEmitter::sum(DimExpr e) {
  Value total;
  for (const DimExpr::Term &term : e.terms()) {
    Value product = term.coefficient == 1 && !term.factors.empty() ? Value() : constant(term.coefficient);
    for (DimExpr factor : term.factors)
      product = product ? arith::MulIOp::create(b, loc, product, index(factor)).getResult() : index(factor);
    total = total ? arith::AddIOp::create(b, loc, total, product).getResult() : product;
  }
  return total ? total : constant(0);
}

Value DimEmitter::index(DimExpr e) {
  if (std::optional<int64_t> value = e.value())
    return constant(*value);
  if (auto it = values.find(e.opaque()); it != values.end())
    return it->second;
  Value value;
  switch (e.kind()) {
  case DimExpr::Kind::Symbol:
    value = symbols(StringRef(e.name()));
    break;
  case DimExpr::Kind::FloorDiv:
    value = floorDivide(b, loc, index(e.lhs()), index(e.rhs()));
    break;
  case DimExpr::Kind::Mod: {
    Value lhs = index(e.lhs()), rhs = index(e.rhs());
    Value quotient = floorDivide(b, loc, lhs, rhs);
    value = arith::SubIOp::create(b, loc, lhs, arith::MulIOp::create(b, loc, quotient, rhs));
    break;
  }
  case DimExpr::Kind::Max:
    value = arith::MaxSIOp::create(b, loc, index(e.lhs()), index(e.rhs()));
    break;
  case DimExpr::Kind::Min:
    value = arith::MinSIOp::create(b, loc, index(e.lhs()), index(e.rhs()));
    break;
  default:
    value = sum(e);
  }
  return values[e.opaque()] = value;
}

namespace {

/// Evaluates in i64 and keeps whether anything overflowed.
class CheckedEmitter {
public:
  CheckedEmitter(OpBuilder &b, Location loc, const DimEmitter::Symbols &symbols)
      : b(b), loc(loc), symbols(symbols), overflow(arith::ConstantIntOp::create(b, loc, b.getI1Type(), 0)) {}

  Value value(DimExpr e) {
    auto it = values.find(e.opaque());
    if (it == values.end())
      it = values.insert({e.opaque(), compute(e)}).first;
    return it->second;
  }
  void define(DimExpr e, Value value) { values[e.opaque()] = value; }
  Value hasOverflowed() const { return overflow; }

private:
  Value constant(int64_t v) { return arith::ConstantIntOp::create(b, loc, b.getI64Type(), v); }
  void note(Value condition) { overflow = arith::OrIOp::create(b, loc, overflow, condition); }

  Value multiply(Value x, Value y) {
    auto wide = arith::MulSIExtendedOp::create(b, loc, x, y);
    Value sign = arith::ShRSIOp::create(b, loc, wide.getLow(), constant(63));
    note(arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ne, wide.getHigh(), sign));
    return wide.getLow();
  }
  Value add(Value x, Value y) {
    Value total = arith::AddIOp::create(b, loc, x, y);
    Value left = arith::XOrIOp::create(b, loc, x, total), right = arith::XOrIOp::create(b, loc, y, total);
    Value both = arith::AndIOp::create(b, loc, left, right);
    note(arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, both, constant(0)));
    return total;
  }
  Value compute(DimExpr e) {
    switch (e.kind()) {
    case DimExpr::Kind::Constant:
      return constant(*e.value());
    case DimExpr::Kind::Symbol:
      return arith::IndexCastOp::create(b, loc, b.getI64Type(), symbols(StringRef(e.name())));
    case DimExpr::Kind::FloorDiv:
      return floorDivide(b, loc, value(e.lhs()), value(e.rhs()));
    case DimExpr::Kind::Mod: {
      Value lhs = value(e.lhs()), rhs = value(e.rhs());
      Value quotient = floorDivide(b, loc, lhs, rhs);
      return arith::SubIOp::create(b, loc, lhs, arith::MulIOp::create(b, loc, quotient, rhs));
    }
    case DimExpr::Kind::Max:
      return arith::MaxSIOp::create(b, loc, value(e.lhs()), value(e.rhs()));
    case DimExpr::Kind::Min:
      return arith::MinSIOp::create(b, loc, value(e.lhs()), value(e.rhs()));
    default:
      break;
    }
    Value total;
    for (const DimExpr::Term &term : e.terms()) {
      Value product = constant(term.coefficient);
      for (DimExpr factor : term.factors)
        product = multiply(product, value(factor));
      total = total ? add(total, product) : product;
    }
    return total ? total : constant(0);
  }

  OpBuilder &b;
  Location loc;
  const DimEmitter::Symbols &symbols;
  Value overflow;
  DenseMap<const void *, Value> values;
};

} // namespace

Value emitChecked(OpBuilder &b, Location loc, const SizeFormula &formula, const DimEmitter::Symbols &symbols) {
  CheckedEmitter emitter(b, loc, symbols);
  for (const NamedSize &named : formula.names)
    emitter.define(DimExpr::symbol(named.name), emitter.value(named.value));
  Value value = emitter.value(formula.total);
  Value negative = arith::ConstantIntOp::create(b, loc, b.getI64Type(), -1);
  Value result = arith::SelectOp::create(b, loc, emitter.hasOverflowed(), negative, value);
  return arith::IndexCastOp::create(b, loc, b.getIndexType(), result);
}

} // namespace fovea::kernels
