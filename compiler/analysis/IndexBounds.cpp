#include "compiler/analysis/IndexBounds.h"

#include <cmath>

using namespace mlir;
using namespace fovea;
using fovea::graph::IntervalRule;
using fovea::graph::IntervalRules;

/// Chains longer than this are not followed: no model can exhaust the stack.
static constexpr unsigned maximalDepth = 200;

//===-- Sizes as bounds -------------------------------------------------------------------------------------------===//

namespace {

/// Bounds of an elementwise op on integers.
struct SizeDomain {
  using Bound = DimExpr;
  using Known = std::optional<DimExpr>;
  static constexpr bool hasNaN = false;
  const IndexBounds &facts;
  Operation *op;

  /// Null expressions are overflows.
  static Known moderate(DimExpr e) {
    if (!e)
      return std::nullopt;
    for (const DimExpr::Term &term : e.terms())
      if (std::abs(term.coefficient) > int64_t(1) << 40 || term.factors.size() > 4)
        return std::nullopt;
    return e;
  }
  Known add(DimExpr a, DimExpr b) { return moderate(a + b); }
  Known sub(DimExpr a, DimExpr b) { return moderate(a - b); }
  Known mul(DimExpr a, DimExpr b) { return a.terms().size() * b.terms().size() > 64 ? std::nullopt : moderate(a * b); }
  Known divide(DimExpr a, DimExpr b) { return moderate(DimExpr::floorDiv(a, b)); }
  Known min(DimExpr a, DimExpr b) {
    return facts.isAtMost(a, b) ? a : facts.isAtMost(b, a) ? b : moderate(DimExpr::min(a, b));
  }
  Known max(DimExpr a, DimExpr b) {
    return facts.isAtMost(a, b) ? b : facts.isAtMost(b, a) ? a : moderate(DimExpr::max(a, b));
  }
  Known constant(int64_t value) { return DimExpr(value); }
  bool isNonNegative(DimExpr e) { return facts.isAtMost(DimExpr(0), e); }
  bool isPositive(DimExpr e) { return facts.isAtMost(DimExpr(1), e); }
  Known apply(DimExpr e) {
    if (isa<graph::NegOp>(op))
      return moderate(DimExpr(0) - e);
    if (isa<graph::NotOp>(op))
      return moderate(DimExpr(1) - e);
    auto from = dyn_cast<graph::CastOp>(op);
    return from && isa<IntegerType>(typeOf(from.getX()).getElementType()) ? Known(e) : std::nullopt;
  }
};

/// Bounds of an elementwise op on f32. Each is computed in double and moved outwards by more than the kernels' errors.
struct RealDomain {
  using Bound = double;
  using Known = std::optional<double>;
  static constexpr bool hasNaN = true;
  graph::ElementwiseOpInterface op;

  static Known finite(double x) { return std::isfinite(x) ? Known(x) : std::nullopt; }
  Known add(double a, double b) { return finite(a + b); }
  Known sub(double a, double b) { return finite(a - b); }
  Known mul(double a, double b) { return finite(a * b); }
  Known divide(double a, double b) { return finite(a / b); }
  // Of zeros the minimum is -0, which is not at least 0: dividing by it turns signs.
  Known min(double a, double b) { return a == b && std::signbit(b) ? b : std::min(a, b); }
  Known max(double a, double b) { return std::max(a, b); }
  Known constant(int64_t value) { return double(value); }
  bool isNonNegative(double x) { return x >= 0; }
  bool isPositive(double x) { return x > 0; }
  Known apply(double x) { return finite(op.evaluate({x})); }

  /// Four units in the last place of f32, whose least number above 0 is 2^-149. What is at least 0 stays so, and so
  /// does an f32 that ends the range of a result which is `rounded` once.
  static RealRange outwards(RealRange range, bool isRounded) {
    auto margin = [&](double x) {
      return isRounded && double(float(x)) == x ? 0 : std::max(std::abs(x) * 0x1p-21, 0x1p-149);
    };
    if (range.low && (*range.low != 0 || std::signbit(*range.low)))
      range.low = *range.low > 0 ? std::max(0.0, *range.low - margin(*range.low)) : *range.low - margin(*range.low);
    if (range.high && *range.high != 0)
      range.high = *range.high + margin(*range.high);
    if ((range.low && std::abs(*range.low) > 0x1p127) || (range.high && std::abs(*range.high) > 0x1p127))
      return {}; // may be infinite in f32
    return range;
  }
};

} // namespace

//===-- Facts -----------------------------------------------------------------------------------------------------===//

IndexBounds::IndexBounds(graph::FuncOp function) {
  if (!function)
    return;
  for (auto require : function.getRequirements().getAsRange<graph::RequireAttr>()) {
    DimExpr lhs = require.getLhs(), rhs = require.getRhs();
    StringRef relation = require.getRelation();
    if (relation == "le" || relation == "eq")
      required.push_back({lhs, rhs});
    if (relation == "ge" || relation == "eq")
      required.push_back({rhs, lhs});
    if (relation == "lt")
      required.push_back({lhs + DimExpr(1), rhs});
    if (relation == "gt")
      required.push_back({rhs + DimExpr(1), lhs});
  }
  // No size is below 0: an argument of 2 T - 1 rows says that T is not 0.
  for (Type type : function.getArgumentTypes())
    if (auto tensor = dyn_cast<graph::TensorType>(type))
      for (DimExpr size : tensor.getDims())
        if (!size.isNonNegative())
          required.push_back({DimExpr(0), size});
  llvm::erase_if(required, [](auto &fact) { return !fact.first || !fact.second; });
}

/// Where a maximum is added, either side proves it; where one is subtracted, both are needed. Minima the other way
/// round.
bool IndexBounds::isNonNegative(DimExpr e, unsigned depth) const {
  if (!e)
    return false;
  // Not negative as it is, or not below what a requirement says is not negative.
  if (e.isNonNegative() || llvm::any_of(required, [&](auto &fact) {
        DimExpr rest = e - (fact.second - fact.first);
        return rest && rest.isNonNegative();
      }))
    return true;
  for (const DimExpr::Term &term : depth < 6 ? e.terms() : std::vector<DimExpr::Term>()) {
    DimExpr atom = term.factors.size() == 1 ? term.factors[0] : DimExpr(0), factor(term.coefficient);
    bool isMax = atom.kind() == DimExpr::Kind::Max;
    if (!isMax && atom.kind() != DimExpr::Kind::Min)
      continue;
    DimExpr others = e - factor * atom;
    bool left = isNonNegative(others + factor * atom.lhs(), depth + 1);
    bool eitherIsEnough = isMax == (term.coefficient > 0);
    if (left == eitherIsEnough)
      return left;
    return isNonNegative(others + factor * atom.rhs(), depth + 1);
  }
  return false;
}

bool IndexBounds::isAtMost(DimExpr a, DimExpr b) const { return a && b && isNonNegative(b - a); }

bool IndexBounds::isWithin(Value tensor, DimExpr size) {
  IndexRange range = rangeOf(tensor);
  size_t general = required.size();
  for (DimExpr dim : typeOf(tensor).getDims()) // an element is there only where every axis has one
    required.push_back({DimExpr(1), dim});
  bool isProved =
      range.low && range.high && isAtMost(DimExpr(0), *range.low) && isAtMost(*range.high, size - DimExpr(1));
  required.truncate(general);
  return isProved;
}

std::optional<bool> IndexBounds::truthOf(Value condition) {
  IndexRange range = rangeOf(condition);
  if (range.low && isAtMost(DimExpr(1), *range.low))
    return true;
  if (range.high && isAtMost(*range.high, DimExpr(0)))
    return false;
  return std::nullopt;
}

//===-- Integers --------------------------------------------------------------------------------------------------===//

/// Whether all of the range is known to be in the type, so that nothing has wrapped around. Sizes fit 64 bits.
static bool fits(const IndexRange &range, Type element) {
  unsigned width = element.getIntOrFloatBitWidth();
  if (width == 64 || width == 1)
    return true;
  int64_t limit = int64_t(1) << (width - 1);
  auto isInside = [&](std::optional<DimExpr> bound) {
    std::optional<int64_t> value = bound ? bound->value() : std::nullopt;
    return value && *value >= -limit && *value < limit;
  };
  return isInside(range.low) && isInside(range.high);
}

/// Ops whose elements are all elements of one operand.
static Value elementsOf(Operation *op) {
  if (isa<graph::BroadcastOp, graph::ReshapeOp, graph::TransposeOp, graph::SliceOp, graph::GatherOp>(op))
    return op->getOperand(0);
  return Value();
}

IndexRange IndexBounds::integers(Value tensor, unsigned depth) {
  if (auto found = context->integers.find(tensor); found != context->integers.end())
    return found->second;
  if (!tensor.getDefiningOp() || depth > maximalDepth || !isa<IntegerType>(typeOf(tensor).getElementType()))
    return {};
  IndexRange range = compute(tensor, depth + 1);
  return context->integers[tensor] = range;
}

/// Of floats that are cut off: NaN gives 0, what does not fit the nearest integer that does.
static IndexRange cutOff(const RealRange &range, unsigned width) {
  if (!range.isKnown() || width == 1) // may be NaN
    return {};
  auto end = [&](std::optional<double> bound, double limit) -> std::optional<DimExpr> {
    double number = std::trunc(bound.value_or(limit));
    if (width < 64)
      number = limit < 0 ? std::max(number, limit) : std::min(number, limit);
    return std::abs(number) < 0x1p40 ? SizeDomain::moderate(DimExpr(int64_t(number))) : std::nullopt;
  };
  double beyond = std::ldexp(1.0, width - 1);
  return {end(range.low, -beyond), end(range.high, beyond - 1)};
}

IndexRange IndexBounds::compute(Value tensor, unsigned depth) {
  Operation *op = tensor.getDefiningOp();
  if (Value same = elementsOf(op))
    return elsewhere([&] { return integers(same, depth); });
  if (auto topK = dyn_cast<graph::TopKOp>(op)) {
    if (tensor == topK.getValues())
      return elsewhere([&] { return integers(topK.getX(), depth); });
    std::optional<DimExpr> last = SizeDomain::moderate(typeOf(topK.getX()).getDims().back() - DimExpr(1));
    return {DimExpr(0), last};
  }
  if (auto iota = dyn_cast<graph::IotaOp>(op))
    return {DimExpr(0), SizeDomain::moderate(typeOf(iota.getResult()).getDim(0) - DimExpr(1))};
  if (auto dim = dyn_cast<graph::DimOp>(op)) {
    std::optional<DimExpr> size = SizeDomain::moderate(dim.getSize().getValue());
    return {size, size};
  }
  if (auto constant = dyn_cast<graph::ConstantOp>(op)) {
    auto value = dyn_cast<IntegerAttr>(constant.getValueAttr());
    if (!value)
      return {};
    int64_t number = value.getType().isInteger(1) ? !value.getValue().isZero() : value.getInt();
    std::optional<DimExpr> bound = SizeDomain::moderate(DimExpr(number));
    return {bound, bound};
  }
  SizeDomain domain{*this, op};
  IntervalRules<SizeDomain> rules(domain);
  if (auto concat = dyn_cast<graph::ConcatOp>(op))
    return elsewhere([&] {
      IndexRange all = integers(concat.getXs().front(), depth);
      for (Value piece : concat.getXs().drop_front())
        all = rules(IntervalRule::Choice, {all, integers(piece, depth)});
      return all;
    });
  if (auto select = dyn_cast<graph::SelectOp>(op))
    return choice(select, depth, &IndexBounds::integers,
                  [&](auto a, auto b) { return rules(IntervalRule::Choice, {a, b}); });
  if (auto convert = dyn_cast<graph::CastOp>(op); convert && !isa<IntegerType>(typeOf(convert.getX()).getElementType()))
    return cutOff(reals(convert.getX(), depth), typeOf(tensor).getElementType().getIntOrFloatBitWidth());
  if (auto compare = dyn_cast<graph::CompareOp>(op))
    return comparison(compare, depth);
  auto elementwise = dyn_cast<graph::ElementwiseOpInterface>(op);
  if (!elementwise || !elementwise.isIntegral())
    return {};
  SmallVector<IndexRange> operands;
  for (Value operand : op->getOperands())
    operands.push_back(integers(operand, depth));
  IndexRange range = rules(elementwise.getIntervalRule(), operands);
  return fits(range, typeOf(op->getResult(0)).getElementType()) ? range : IndexRange();
}

/// [1, 1] where the comparison holds for all elements, [0, 0] where it does for none.
IndexRange IndexBounds::comparison(graph::CompareOp op, unsigned depth) {
  auto truth = [&](auto x, auto y, auto isAtMost, auto isBelow) -> IndexRange {
    bool turned = op.getPredicate() == "gt" || op.getPredicate() == "ge";
    if (turned)
      std::swap(x, y);
    StringRef predicate = op.getPredicate();
    bool isStrict = predicate == "lt" || predicate == "gt";
    bool apart = isBelow(x.high, y.low) || isBelow(y.high, x.low);
    bool same = isAtMost(x.high, y.low) && isAtMost(y.high, x.low);
    bool always = predicate == "eq"   ? same
                  : predicate == "ne" ? apart
                  : isStrict          ? isBelow(x.high, y.low)
                                      : isAtMost(x.high, y.low);
    bool never = predicate == "eq"   ? apart
                 : predicate == "ne" ? same
                 : isStrict          ? isAtMost(y.high, x.low)
                                     : isBelow(y.high, x.low);
    return always  ? IndexRange{DimExpr(1), DimExpr(1)}
           : never ? IndexRange{DimExpr(0), DimExpr(0)}
                   : IndexRange{DimExpr(0), DimExpr(1)};
  };
  if (isa<IntegerType>(typeOf(op.getLhs()).getElementType()))
    return truth(
        integers(op.getLhs(), depth), integers(op.getRhs(), depth),
        [&](auto a, auto b) { return a && b && isAtMost(*a, *b); },
        [&](auto a, auto b) { return a && b && isAtMost(*a + DimExpr(1), *b); });
  return truth(
      reals(op.getLhs(), depth), reals(op.getRhs(), depth), [](auto a, auto b) { return a && b && *a <= *b; },
      [](auto a, auto b) { return a && b && *a < *b; });
}

//===-- Reals -----------------------------------------------------------------------------------------------------===//

RealRange IndexBounds::reals(Value tensor, unsigned depth) {
  if (auto found = context->reals.find(tensor); found != context->reals.end())
    return found->second;
  Operation *op = tensor.getDefiningOp();
  if (!op || depth > maximalDepth || !typeOf(tensor).getElementType().isF32())
    return {};
  RealRange range = computeReal(op, depth + 1);
  return context->reals[tensor] = range;
}

/// A number that a maximum is not below, or a minimum not above.
static std::optional<double> numberBeyond(DimExpr e, DimExpr::Kind kind) {
  if (std::optional<int64_t> number = e.value())
    return double(*number);
  const DimExpr::Term *term = e.terms().size() == 1 ? &e.terms().front() : nullptr;
  if (!term || term->coefficient != 1 || term->factors.size() != 1 || term->factors[0].kind() != kind)
    return std::nullopt;
  auto a = numberBeyond(term->factors[0].lhs(), kind), b = numberBeyond(term->factors[0].rhs(), kind);
  if (!a || !b)
    return a ? a : b;
  return kind == DimExpr::Kind::Max ? std::max(*a, *b) : std::min(*a, *b);
}

RealRange IndexBounds::computeReal(Operation *op, unsigned depth) {
  if (Value same = elementsOf(op))
    return elsewhere([&] { return reals(same, depth); });
  if (auto constant = dyn_cast<graph::ConstantOp>(op)) { // exact: its attribute is an f32
    auto number = dyn_cast<FloatAttr>(constant.getValueAttr());
    std::optional<double> value = number ? RealDomain::finite(number.getValueAsDouble()) : std::nullopt;
    return {value, value};
  }
  if (auto convert = dyn_cast<graph::CastOp>(op)) {
    if (!isa<IntegerType>(typeOf(convert.getX()).getElementType()))
      return {};
    IndexRange range = integers(convert.getX(), depth);
    // A size is at most 2^63; a bound that is no number is known by its sign.
    RealRange result{-0x1p63, 0x1p63};
    if (range.low)
      result.low =
          numberBeyond(*range.low, DimExpr::Kind::Max).value_or(isAtMost(DimExpr(0), *range.low) ? 0 : -0x1p63);
    if (range.high)
      result.high =
          numberBeyond(*range.high, DimExpr::Kind::Min).value_or(isAtMost(*range.high, DimExpr(0)) ? 0 : 0x1p63);
    return RealDomain::outwards(result, true);
  }
  auto elementwise = dyn_cast<graph::ElementwiseOpInterface>(op);
  if (!elementwise)
    return {};
  RealDomain domain{elementwise};
  if (auto select = dyn_cast<graph::SelectOp>(op))
    return choice(select, depth, &IndexBounds::reals,
                  [&](auto a, auto b) { return IntervalRules<RealDomain>(domain)(IntervalRule::Choice, {a, b}); });
  SmallVector<RealRange> operands;
  for (Value operand : op->getOperands())
    operands.push_back(reals(operand, depth));
  bool isRounded = isa<graph::NegOp, graph::AbsOp, graph::FloorOp, graph::CeilOp, graph::AddOp, graph::SubOp,
                       graph::MulOp, graph::DivOp, graph::MaxOp, graph::MinOp>(op);
  return RealDomain::outwards(IntervalRules<RealDomain>(domain)(elementwise.getIntervalRule(), operands), isRounded);
}

//===-- Sides of choices ------------------------------------------------------------------------------------------===//

/// A choice within so many others does not bound its sides: each is looked at again for every way that leads to it.
static constexpr unsigned mostConditions = 4;

template <typename Range, typename Join>
Range IndexBounds::choice(graph::SelectOp op, unsigned depth, Range (IndexBounds::*of)(Value, unsigned), Join join) {
  IndexRange truth = integers(op.getCondition(), depth);
  bool isAlways = truth.low && isAtMost(DimExpr(1), *truth.low),
       isNever = truth.high && isAtMost(*truth.high, DimExpr(0));
  if (isAlways || isNever)
    return (this->*of)(isAlways ? op.getLhs() : op.getRhs(), depth);
  std::optional<Range> all;
  for (bool holds : {true, false}) {
    Context there = assuming(op.getCondition(), holds, depth);
    if (there.isEmpty)
      continue;
    Context *here = context;
    if (there.isNarrower)
      context = &there;
    Range side = (this->*of)(holds ? op.getLhs() : op.getRhs(), depth);
    context = here;
    all = all ? join(*all, side) : side;
  }
  return all.value_or(Range());
}

/// What is known here, and where a condition is true, or false.
IndexBounds::Context IndexBounds::assuming(Value condition, bool truth, unsigned depth) {
  Context there;
  there.assumed = context->assumed;
  there.conditions = context->conditions + 1;
  for (const void *opaque : there.assumed) {
    Value value = Value::getFromOpaquePointer(opaque);
    if (auto found = context->integers.find(value); found != context->integers.end())
      there.integers.insert(*found);
    if (auto found = context->reals.find(value); found != context->reals.end())
      there.reals.insert(*found);
  }
  if (there.conditions <= mostConditions)
    assume(there, condition, truth, depth);
  return there;
}

void IndexBounds::assume(Context &there, Value condition, bool truth, unsigned depth) {
  Operation *op = condition.getDefiningOp();
  if (isa_and_nonnull<graph::NotOp>(op))
    return assume(there, op->getOperand(0), !truth, depth);
  if (truth ? isa_and_nonnull<graph::AndOp>(op) : isa_and_nonnull<graph::OrOp>(op)) {
    assume(there, op->getOperand(0), truth, depth);
    return assume(there, op->getOperand(1), truth, depth);
  }
  auto compare = dyn_cast_or_null<graph::CompareOp>(op);
  if (!compare)
    return;
  Value less = compare.getLhs(), more = compare.getRhs();
  // What is not less than NaN is not at least as much.
  bool isInteger = isa<IntegerType>(typeOf(less).getElementType());
  if (!truth && !isInteger && !(reals(less, depth).isKnown() && reals(more, depth).isKnown()))
    return;
  StringRef predicate = compare.getPredicate();
  if (predicate == (truth ? "eq" : "ne")) {
    assumeOrdered(there, less, more, false, depth);
    return assumeOrdered(there, more, less, false, depth);
  }
  if (predicate == "eq" || predicate == "ne")
    return;
  bool isTurned = predicate == "gt" || predicate == "ge", isStrict = predicate == "lt" || predicate == "gt";
  if (isTurned != !truth)
    std::swap(less, more);
  assumeOrdered(there, less, more, isStrict == truth, depth);
}

void IndexBounds::assumeOrdered(Context &there, Value less, Value more, bool isStrict, unsigned depth) {
  if (!isa<IntegerType>(typeOf(less).getElementType())) {
    narrow(there, less, RealRange{std::nullopt, reals(more, depth).high}, depth);
    return narrow(there, more, RealRange{reals(less, depth).low, std::nullopt}, depth);
  }
  auto moved = [&](std::optional<DimExpr> bound, int64_t by) {
    return bound ? SizeDomain::moderate(*bound + DimExpr(isStrict ? by : 0)) : std::nullopt;
  };
  narrow(there, less, IndexRange{std::nullopt, moved(integers(more, depth).high, -1)}, depth);
  narrow(there, more, IndexRange{moved(integers(less, depth).low, 1), std::nullopt}, depth);
}

void IndexBounds::narrow(Context &there, Value value, IndexRange to, unsigned depth) {
  IndexRange range = integers(value, depth);
  if (auto found = there.integers.find(value); found != there.integers.end())
    range = found->second;
  SizeDomain domain{*this, value.getDefiningOp()};
  IndexRange both = range;
  if (to.low)
    both.low = range.low ? domain.max(*range.low, *to.low) : to.low;
  if (to.high)
    both.high = range.high ? domain.min(*range.high, *to.high) : to.high;
  if (both.low == range.low && both.high == range.high)
    return;
  there.integers[value] = both;
  there.assumed.insert(value.getAsOpaquePointer());
  there.isNarrower = true;
  there.isEmpty |= both.low && both.high && isAtMost(*both.high + DimExpr(1), *both.low);
}

void IndexBounds::narrow(Context &there, Value value, RealRange to, unsigned depth) {
  RealRange range = reals(value, depth);
  if (auto found = there.reals.find(value); found != there.reals.end())
    range = found->second;
  RealRange both = range;
  if (to.low && *to.low == 0)
    to.low = -0.0; // which compares as 0 does
  if (to.low)
    both.low = std::max(range.low.value_or(*to.low), *to.low);
  if (to.high)
    both.high = std::min(range.high.value_or(*to.high), *to.high);
  if (both.low == range.low && both.high == range.high)
    return;
  there.reals[value] = both;
  there.assumed.insert(value.getAsOpaquePointer());
  there.isNarrower = true;
  there.isEmpty |= both.low && both.high && *both.high < *both.low;
}
