// What is known of a result from the ranges of its operands: the interval rules of the elementwise table, for any kind
// of bound.
#pragma once

#include "llvm/ADT/ArrayRef.h"

#include <optional>

namespace fovea::graph {

/// How the range of an elementwise op follows from those of its operands. Each row of the table has one.
enum class IntervalRule {
  Unknown,
  Increasing,    ///< in the first operand (others are fixed): the op at both ends
  Decreasing,    ///< likewise, at the opposite ends
  Sum,           ///< x + y
  Difference,    ///< x - y
  Product,       ///< x y
  Quotient,      ///< x / y of floats
  FloorQuotient, ///< floor(x / y) of integers, 0 where y is 0
  Remainder,     ///< x - y floor(x / y) of integers, 0 where y is 0
  Maximum,
  Minimum,
  Magnitude, ///< |x|
  Choice,    ///< one of the last two operands
};

/// All values are at least `low` and at most `high`; a bound that is missing is not known. Where a domain has NaN, a
/// bound that is there also says that no value is NaN.
template <typename Bound> struct Interval {
  std::optional<Bound> low, high;
  bool isKnown() const { return low || high; }
};

/// The range of an op with `rule` from the ranges of its operands.
///
/// A domain says how bounds are computed with; each of its functions gives nullopt where it cannot:
///     using Bound = ...;
///     static constexpr bool hasNaN;
///     std::optional<Bound> add(Bound, Bound), sub(Bound, Bound), mul(Bound, Bound), min(Bound, Bound), max(Bound,
///     Bound); std::optional<Bound> divide(Bound, Bound);   // real or floor, as the rule has it; the divisor is proved
///     above 0 std::optional<Bound> apply(Bound);           // the op at an end of its first operand's range
///     std::optional<Bound> constant(int64_t);
///     bool isNonNegative(Bound), isPositive(Bound);   // proved
template <typename Domain> class IntervalRules {
public:
  using Bound = typename Domain::Bound;
  using Range = Interval<Bound>;
  explicit IntervalRules(Domain &domain) : domain(domain) {}

  Range operator()(IntervalRule rule, llvm::ArrayRef<Range> x) {
    switch (rule) {
    case IntervalRule::Unknown:
      return {};
    case IntervalRule::Increasing:
      return monotone(x[0], [](Known low, Known high) { return Range{low, high}; });
    case IntervalRule::Decreasing:
      return monotone(x[0], [](Known low, Known high) { return Range{high, low}; });
    case IntervalRule::Sum:
      return {both(x[0].low, x[1].low, &Domain::add), both(x[0].high, x[1].high, &Domain::add)};
    case IntervalRule::Difference:
      return {both(x[0].low, x[1].high, &Domain::sub), both(x[0].high, x[1].low, &Domain::sub)};
    case IntervalRule::Product:
      return product(x[0], x[1]);
    case IntervalRule::Quotient:
      return isNonNegative(x[1].low) ? quotient(x[0], x[1]) : Range();
    case IntervalRule::FloorQuotient:
      if (isPositive(x[1].low))
        return quotient(x[0], x[1]);
      // What is at least 0 is not made larger, and divided by 0 it is 0.
      return isNonNegative(x[0].low) && isNonNegative(x[1].low) ? Range{domain.constant(0), x[0].high} : Range();
    case IntervalRule::Remainder:
      return remainder(x[0], x[1]);
    case IntervalRule::Maximum:
      return extremum(x[0].low, x[1].low, x[0].high, x[1].high, &Domain::max, isComparable(x[0], x[1]));
    case IntervalRule::Minimum: {
      Range turned = extremum(x[0].high, x[1].high, x[0].low, x[1].low, &Domain::min, isComparable(x[0], x[1]));
      return {turned.high, turned.low};
    }
    case IntervalRule::Magnitude:
      return magnitude(x[0]);
    case IntervalRule::Choice: {
      llvm::ArrayRef<Range> last = x.take_back(2);
      return {both(last[0].low, last[1].low, &Domain::min), both(last[0].high, last[1].high, &Domain::max)};
    }
    }
    return {};
  }

private:
  using Known = std::optional<Bound>;
  using Operation = Known (Domain::*)(Bound, Bound);

  Known both(Known a, Known b, Operation operation) { return a && b ? (domain.*operation)(*a, *b) : std::nullopt; }
  Known at(Known end) { return end ? domain.apply(*end) : std::nullopt; }
  bool isNonNegative(Known bound) { return bound && domain.isNonNegative(*bound); }
  bool isPositive(Known bound) { return bound && domain.isPositive(*bound); }
  bool isComparable(const Range &a, const Range &b) { return !Domain::hasNaN || (a.isKnown() && b.isKnown()); }

  /// Of a maximum: one operand is enough for the bound on its side, `near`; both are needed for the other one.
  Range extremum(Known nearA, Known nearB, Known farA, Known farB, Operation operation, bool oneIsEnough) {
    Known near = both(nearA, nearB, operation);
    if (!near && oneIsEnough)
      near = nearA ? nearA : nearB;
    return {near, both(farA, farB, operation)};
  }

  /// Functions that are not defined everywhere are so from some value on: real ones are known where their low end is.
  template <typename Order> Range monotone(const Range &x, Order order) {
    Known low = at(x.low), high = at(x.high);
    return Domain::hasNaN && !low ? Range() : order(low, high);
  }

  Range product(const Range &a, const Range &b) {
    bool positiveA = isNonNegative(a.low), positiveB = isNonNegative(b.low);
    if (positiveA && positiveB) {
      Range result{both(a.low, b.low, &Domain::mul), both(a.high, b.high, &Domain::mul)};
      // 0 times infinity is NaN: only where both are finite a real product is known.
      return !Domain::hasNaN || result.high ? result : Range();
    }
    if (positiveA)
      return scaled(b, a);
    if (positiveB)
      return scaled(a, b);
    Known corners[] = {both(a.low, b.low, &Domain::mul), both(a.low, b.high, &Domain::mul),
                       both(a.high, b.low, &Domain::mul), both(a.high, b.high, &Domain::mul)};
    Range result{corners[0], corners[0]};
    for (Known corner : corners) {
      result.low = both(result.low, corner, &Domain::min);
      result.high = both(result.high, corner, &Domain::max);
    }
    return result;
  }

  /// x times a factor that is at least 0: the farther end of the factor where x is below 0, and the nearer above.
  Range scaled(const Range &x, const Range &factor) {
    Range near{both(x.low, factor.low, &Domain::mul), both(x.high, factor.low, &Domain::mul)};
    Range far{both(x.low, factor.high, &Domain::mul), both(x.high, factor.high, &Domain::mul)};
    if (Domain::hasNaN && !(factor.high && x.low && x.high)) // 0 times infinity
      return {};
    return {both(near.low, far.low, &Domain::min), both(near.high, far.high, &Domain::max)};
  }

  /// By a divisor above 0 (real ones: at least 0, where the dividend is not 0 too).
  Range quotient(const Range &a, const Range &b) {
    auto divided = [&](Known x, Known y) {
      return isPositive(y) || (y && Domain::hasNaN) ? both(x, y, &Domain::divide) : Known();
    };
    if (isNonNegative(a.low)) {
      Known low = divided(a.low, b.high);
      Range result{low ? low : domain.constant(0), divided(a.high, b.low)};
      bool mayBeNaN = Domain::hasNaN && !(a.high && b.high && (isPositive(b.low) || isPositive(a.low)));
      return mayBeNaN ? Range() : result;
    }
    if (Domain::hasNaN || !b.low || !b.high)
      return {};
    Range near{divided(a.low, b.low), divided(a.high, b.high)}, far{divided(a.low, b.high), divided(a.high, b.low)};
    return {both(near.low, far.low, &Domain::min), both(near.high, far.high, &Domain::max)};
  }

  Range remainder(const Range &a, const Range &b) {
    if (Domain::hasNaN || !isNonNegative(b.low))
      return {};
    Range result{domain.constant(0), Known()};
    if (b.high)
      result.high = both(both(b.high, domain.constant(1), &Domain::sub), domain.constant(0), &Domain::max);
    if (isNonNegative(a.low) && a.high) // a remainder of what is at least 0 is not above it
      result.high = result.high ? both(result.high, a.high, &Domain::min) : a.high;
    return result;
  }

  Range magnitude(const Range &x) {
    if (isNonNegative(x.low) || !x.low) // of the least integer there is no magnitude
      return x.low ? x : Range();
    Known zero = domain.constant(0), negatedLow = both(zero, x.low, &Domain::sub);
    Range result{zero, both(negatedLow, x.high, &Domain::max)};
    if (Known negatedHigh = both(zero, x.high, &Domain::sub)) // above 0 where the range does not hold 0
      if (Known outside = both(x.low, negatedHigh, &Domain::max))
        result.low = both(zero, outside, &Domain::max);
    return result;
  }

  Domain &domain;
};

} // namespace fovea::graph
