// What a mask says of a box of queries and keys: nothing visible, all visible, or a part. One set of rules for the code
// of kernels (Visibility) and for numbers (TileCounts), so that they cannot disagree.
#pragma once

#include "compiler/kernels/emit/MaskFormula.h"

#include "llvm/ADT/SmallVector.h"

#include <functional>

namespace fovea::kernels {

/// The rules over a domain of indices and truth values:
///     using Index = ...; using Truth = ...;
///     Index index(int64_t), add(Index, Index), sub(...), mul(...), min(...), max(...);
///     Index divide(Index, int64_t by, bool floors);          // by > 0
///     Index select(Truth, Index, Index);
///     bool isAtLeast(Index, int64_t);                        // proved
///     Truth truth(bool), less(Index, Index), lessOrEqual(Index, Index), equal(Index, Index), both(Truth, Truth),
///     Truth either(Truth, Truth), negate(Truth);
template <typename Domain> class MaskRules {
public:
  using Index = typename Domain::Index;
  using Truth = typename Domain::Truth;
  /// Queries [queryBegin, queryEnd) and keys [keyBegin, keyEnd), neither empty.
  struct Box {
    Index queryBegin, queryEnd, keyBegin, keyEnd;
  };
  /// No point of the box is visible; every point is.
  struct Answer {
    Truth none, all;
  };
  struct Range {
    Index low, high;
  };

  MaskRules(Domain &domain, MaskFormula &formula) : domain(domain), formula(formula) {}

  /// Sets what was summarised of a leaf over the boxes asked for from now on.
  void know(mlir::Value leaf, Answer answer) { conditions.insert_or_assign(leaf, answer); }
  void know(mlir::Value leaf, Range range) { ranges.insert_or_assign(leaf, range); }

  /// What answers the formula's tiled conditions. Without it they are open.
  void useTiles(std::function<Answer(size_t condition, const Box &box)> tiles) { tileAnswer = std::move(tiles); }

  Answer query(const Box &box) {
    if (!formula.hasMask())
      return {domain.truth(false), domain.truth(true)};
    return answer(formula.condition(), box);
  }

  /// The least and the greatest value of an integer over a box; nullopt where they are not known.
  std::optional<Range> range(mlir::Value value, const Box &box) {
    if (auto found = ranges.find(value); found != ranges.end())
      return found->second;
    if (std::optional<int64_t> constant = formula::constantOf(value))
      return Range{domain.index(*constant), domain.index(*constant)};
    if (value == formula.query())
      return Range{box.queryBegin, domain.sub(box.queryEnd, domain.index(1))};
    if (value == formula.key())
      return Range{box.keyBegin, domain.sub(box.keyEnd, domain.index(1))};
    mlir::Operation *op = value.getDefiningOp();
    if (!op || formula.dependence(value) == MaskFormula::none)
      return std::nullopt;
    if (formula::isConversion(op))
      return range(op->getOperand(0), box);
    return rangeOf(op, box);
  }

private:
  using Rule = graph::IntervalRule;

  /// Bounds for graph::IntervalRules.
  struct Bounds {
    using Bound = Index;
    using Known = std::optional<Index>;
    static constexpr bool hasNaN = false;
    Domain &domain;
    mlir::Operation *op;

    Known add(Index a, Index b) { return domain.add(a, b); }
    Known sub(Index a, Index b) { return domain.sub(a, b); }
    Known mul(Index a, Index b) { return domain.mul(a, b); }
    Known min(Index a, Index b) { return domain.min(a, b); }
    Known max(Index a, Index b) { return domain.max(a, b); }
    Known divide(Index, Index) { return std::nullopt; }
    Known constant(int64_t value) { return domain.index(value); }
    bool isNonNegative(Index x) { return domain.isAtLeast(x, 0); }
    bool isPositive(Index x) { return domain.isAtLeast(x, 1); }
    /// Division by a positive constant.
    Known apply(Index x) {
      return domain.divide(x, *formula::constantOf(op->getOperand(1)), !mlir::isa<mlir::arith::DivSIOp>(op));
    }
  };

  Answer open() { return {domain.truth(false), domain.truth(false)}; }

  Answer answer(mlir::Value condition, const Box &box) {
    if (auto found = conditions.find(condition); found != conditions.end())
      return found->second;
    mlir::Operation *op = condition.getDefiningOp();
    if (mlir::isa_and_nonnull<mlir::arith::AndIOp, mlir::arith::OrIOp>(op)) {
      Answer x = answer(op->getOperand(0), box), y = answer(op->getOperand(1), box);
      if (mlir::isa<mlir::arith::AndIOp>(op))
        return {domain.either(x.none, y.none), domain.both(x.all, y.all)};
      return {domain.both(x.none, y.none), domain.either(x.all, y.all)};
    }
    if (mlir::Value inner = formula::negated(op)) {
      Answer x = answer(inner, box);
      return {x.all, x.none};
    }
    auto comparison = mlir::dyn_cast_or_null<mlir::arith::CmpIOp>(op);
    if (comparison && formula::isInteger(comparison.getLhs())) {
      mlir::Value tested = formula::testedForSign(comparison);
      auto x = range(tested ? tested : comparison.getLhs(), box), y = range(comparison.getRhs(), box);
      if (x && y)
        return compare(comparison.getPredicate(), *x, *y);
    }
    if (auto *found = llvm::find(formula.tiled(), condition); tileAnswer && found != formula.tiled().end())
      return tileAnswer(found - formula.tiled().begin(), box);
    return open();
  }

  Answer compare(mlir::arith::CmpIPredicate predicate, const Range &x, const Range &y) {
    using P = mlir::arith::CmpIPredicate;
    // a < b (or a <= b): all where it holds for the corners a.high, b.low; none where it fails for a.low, b.high.
    auto ordered = [&](bool orEqual, const Range &a, const Range &b) -> Answer {
      auto holds = [&](Index p, Index q) { return orEqual ? domain.lessOrEqual(p, q) : domain.less(p, q); };
      return {domain.negate(holds(a.low, b.high)), holds(a.high, b.low)};
    };
    switch (predicate) {
    case P::slt:
    case P::sle:
      return ordered(predicate == P::sle, x, y);
    case P::sgt:
    case P::sge:
      return ordered(predicate == P::sge, y, x);
    case P::eq:
    case P::ne: {
      Truth apart = domain.either(domain.less(x.high, y.low), domain.less(y.high, x.low));
      Truth same = domain.both(domain.equal(x.low, y.high), domain.equal(x.high, y.low));
      return predicate == P::eq ? Answer{apart, same} : Answer{same, apart};
    }
    default:
      return open();
    }
  }

  std::optional<Range> rangeOf(mlir::Operation *op, const Box &box) {
    Rule rule = formula::ruleOf(op);
    if (rule == Rule::Unknown)
      return std::nullopt;
    llvm::SmallVector<graph::Interval<Index>> operands;
    for (mlir::Value operand : op->getOperands()) {
      if (rule == Rule::Choice && operands.empty()) { // the condition
        operands.emplace_back();
        continue;
      }
      auto known = range(operand, box);
      if (!known)
        return std::nullopt;
      operands.push_back({known->low, known->high});
    }
    if (mlir::isa<mlir::arith::RemSIOp>(op))
      return remainder(*operands[0].low, *operands[0].high, *formula::constantOf(op->getOperand(1)));
    Bounds bounds{domain, op};
    graph::Interval<Index> result = graph::IntervalRules<Bounds>(bounds)(rule, operands);
    if (!result.low || !result.high)
      return std::nullopt;
    if (rule != Rule::Choice)
      return Range{*result.low, *result.high};
    Answer condition = answer(op->getOperand(0), box);
    auto choose = [&](Index yes, Index no, Index either) {
      return domain.select(condition.all, yes, domain.select(condition.none, no, either));
    };
    return Range{choose(*operands[1].low, *operands[2].low, *result.low),
                 choose(*operands[1].high, *operands[2].high, *result.high)};
  }

  /// Of a division by a positive constant that truncates: the sign is the dividend's.
  Range remainder(Index low, Index high, int64_t by) {
    Index zero = domain.index(0);
    return {domain.min(zero, domain.max(low, domain.index(1 - by))),
            domain.max(zero, domain.min(high, domain.index(by - 1)))};
  }

  Domain &domain;
  MaskFormula &formula;
  llvm::DenseMap<mlir::Value, Answer> conditions;
  llvm::DenseMap<mlir::Value, Range> ranges;
  std::function<Answer(size_t, const Box &)> tileAnswer;
};

} // namespace fovea::kernels
