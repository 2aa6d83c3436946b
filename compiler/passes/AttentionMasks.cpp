// What hides keys, found from the top of a chain down.
#include "compiler/passes/AttentionMasks.h"

using namespace mlir;
using namespace fovea;

static bool isNegativeInfinity(Value value) { return constantValue(value) == -std::numeric_limits<double>::infinity(); }

/// where(x == -inf, 0, x), which is -inf nowhere.
static bool isGuarded(Value value) {
  Operation *op = value.getDefiningOp();
  while (isLayout(op))
    op = op->getOperand(0).getDefiningOp();
  auto select = dyn_cast_or_null<graph::SelectOp>(op);
  auto compare = select ? select.getCondition().getDefiningOp<graph::CompareOp>() : graph::CompareOp();
  return compare && compare.getPredicate() == "eq" && compare.getLhs() == select.getRhs() &&
         isNegativeInfinity(compare.getRhs()) && constantValue(select.getLhs()) == 0;
}

/// The operand of a chain op through which -inf comes out as -inf; null where it may not.
Value AttentionMasks::keepsNegativeInfinity(Operation *op) {
  auto isPositive = [&](Value value) { return bounds.realRangeOf(value).low.value_or(0) > 0; };
  auto isBelowInfinity = [&](Value value) { return bounds.realRangeOf(value).high.has_value(); };
  if (isLayout(op))
    return op->getOperand(0);
  if (auto convert = dyn_cast<graph::CastOp>(op))
    return isa<FloatType>(typeOf(convert.getX()).getElementType()) ? convert.getX() : Value();
  if (auto div = dyn_cast<graph::DivOp>(op)) {
    RealRange by = bounds.realRangeOf(div.getRhs()); // -inf / 0 is -inf
    return by.low.value_or(-1) >= 0 && by.high ? div.getLhs() : Value();
  }
  if (auto mul = dyn_cast<graph::MulOp>(op))
    return isPositive(mul.getRhs()) ? mul.getLhs() : isPositive(mul.getLhs()) ? mul.getRhs() : Value();
  if (auto add = dyn_cast<graph::AddOp>(op))
    return isBelowInfinity(add.getRhs()) ? add.getLhs() : isBelowInfinity(add.getLhs()) ? add.getRhs() : Value();
  if (auto sub = dyn_cast<graph::SubOp>(op))
    return bounds.realRangeOf(sub.getRhs()).low || isGuarded(sub.getRhs()) ? sub.getLhs() : Value();
  return Value();
}

/// What a value is a layout of; the layouts are added.
static Operation *behindLayouts(Value value, SmallVector<Operation *> &layouts) {
  Operation *op = value.getDefiningOp();
  while (isLayout(op)) {
    layouts.push_back(op);
    op = op->getOperand(0).getDefiningOp();
  }
  return op;
}

/// Whether `addend` is -inf where something is hidden: where(m, 0, -inf), log(m) of a truth value, or sums of such; or
/// where(m, x, -inf), which is kept for its x. Then `mask` is extended.
bool AttentionMasks::isAddend(Value addend, SmallVector<Operation *> layouts, Mask &mask) {
  Operation *op = behindLayouts(addend, layouts);
  auto hides = [&](Value condition, bool isInverse) {
    mask.conditions.push_back(condition);
    mask.isInverse.push_back(isInverse);
    mask.layouts.push_back(layouts);
    return true;
  };
  if (auto select = dyn_cast_or_null<graph::SelectOp>(op)) {
    bool isInverse = isNegativeInfinity(select.getLhs());
    Value hidden = isInverse ? select.getLhs() : select.getRhs(), seen = isInverse ? select.getRhs() : select.getLhs();
    mask.isKept |= constantValue(seen) != 0;
    return isNegativeInfinity(hidden) && hides(select.getCondition(), isInverse);
  }
  if (auto add = dyn_cast_or_null<graph::AddOp>(op))
    return isAddend(add.getLhs(), layouts, mask) && isAddend(add.getRhs(), layouts, mask);
  auto log = dyn_cast_or_null<graph::LogOp>(op);
  if (!log)
    return false;
  auto convert = dyn_cast_or_null<graph::CastOp>(behindLayouts(log.getX(), layouts));
  return convert && typeOf(convert.getX()).getElementType().isInteger(1) && hides(convert.getX(), false);
}

/// Proved above 0, or the number of keys or queries: where that is 0 there is nothing to divide.
bool AttentionMasks::isNotZero(Value value) {
  if (bounds.realRangeOf(value).low.value_or(0) > 0)
    return true;
  Operation *op = value.getDefiningOp();
  while (isLayout(op) || isa_and_nonnull<graph::CastOp>(op))
    op = op->getOperand(0).getDefiningOp();
  auto size = dyn_cast_or_null<graph::DimOp>(op);
  return size && (size.getSize().getValue() == match.expressions.sizeOf(match.key) ||
                  size.getSize().getValue() == match.expressions.sizeOf(match.query));
}

/// Of an op that gives 0 where a key is hidden: the operand by which it does, and what that is there. Null where it may
/// not be 0.
Value AttentionMasks::keepsZero(Operation *op, Hidden &hidden) {
  auto isFinite = [&](Value value) {
    RealRange range = bounds.realRangeOf(value);
    return range.low && range.high;
  };
  auto dependsOnScores = [&](Value value) {
    return value == match.scores.getResult() || match.chain.contains(value.getDefiningOp());
  };
  if (isa<graph::SigmoidOp, graph::ExpOp>(op)) {
    hidden = Hidden::NegativeInfinity;
    return op->getOperand(0);
  }
  if (isa<graph::NegOp, graph::AbsOp, graph::SqrtOp, graph::TanhOp, graph::ErfOp>(op))
    return op->getOperand(0);
  if (auto select = dyn_cast<graph::SelectOp>(op); select && constantValue(select.getLhs()) == 0) {
    // where(w == 0, 0, f(w))
    auto compare = select.getCondition().getDefiningOp<graph::CompareOp>();
    bool isGuard = compare && compare.getPredicate() == "eq" && constantValue(compare.getRhs()) == 0;
    return isGuard && dependsOnScores(compare.getLhs()) ? compare.getLhs() : Value();
  }
  if (isa<graph::MaxOp>(op))
    for (size_t side : {0, 1})
      if (constantValue(op->getOperand(side)) == 0) {
        hidden = Hidden::NotPositive;
        return op->getOperand(1 - side);
      }
  if (isa<graph::MulOp>(op))
    for (size_t side : {0, 1})
      if (Value x = op->getOperand(side), by = op->getOperand(1 - side);
          dependsOnScores(x) && (x == by || isFinite(by)))
        return x;
  if (auto div = dyn_cast<graph::DivOp>(op); div && isNotZero(div.getRhs()))
    return div.getLhs();
  if (auto power = dyn_cast<graph::PowOp>(op); power && constantValue(power.getRhs()).value_or(0) > 0)
    return power.getLhs();
  return Value();
}

/// The operand of a chain op that is `hidden` where its result is; `hidden` becomes what it is there.
Value AttentionMasks::keepsHidden(Operation *op, Hidden &hidden) {
  if (hidden == Hidden::NegativeInfinity)
    return keepsNegativeInfinity(op);
  if (isLayout(op) || isFloatCast(op))
    return op->getOperand(0);
  if (hidden == Hidden::Zero)
    return keepsZero(op, hidden);
  RealRange by = op->getNumOperands() == 2 ? bounds.realRangeOf(op->getOperand(1)) : RealRange();
  bool isScaled = isa<graph::MulOp, graph::DivOp>(op) && by.low.value_or(0) > 0 && by.high;
  return isScaled ? op->getOperand(0) : Value();
}

/// Whether a factor is 0 where something is hidden: a truth value as a number, or where(m, x, 0), which is kept for its
/// x.
bool AttentionMasks::isFactor(Value factor, Mask &mask) {
  SmallVector<Operation *> layouts;
  Operation *op = behindLayouts(factor, layouts);
  auto select = dyn_cast_or_null<graph::SelectOp>(op);
  auto convert = dyn_cast_or_null<graph::CastOp>(op);
  bool isInverse = select && constantValue(select.getLhs()) == 0;
  if (select ? !isInverse && constantValue(select.getRhs()) != 0
             : !convert || !typeOf(convert.getX()).getElementType().isInteger(1))
    return false;
  mask.isKept = select != nullptr;
  mask.conditions.push_back(select ? select.getCondition() : convert.getX());
  mask.isInverse.push_back(isInverse);
  mask.layouts.push_back(layouts);
  return true;
}

/// Whether `op` hides keys, by conditions that do not depend on the scores: then the mask is noted.
bool AttentionMasks::collectMask(Operation *op, Hidden hidden) {
  auto isInChain = [&](Value operand) {
    return operand == match.scores.getResult() || match.chain.contains(operand.getDefiningOp());
  };
  auto isHidden = [&](Value value) {
    std::optional<double> number = constantValue(value);
    return hidden == Hidden::NegativeInfinity ? isNegativeInfinity(value)
           : hidden == Hidden::Zero           ? number == 0
                                              : number && *number <= 0;
  };
  if (auto select = dyn_cast<graph::SelectOp>(op)) {
    bool isInverse = isHidden(select.getLhs());
    if ((!isInverse && !isHidden(select.getRhs())) || isInChain(select.getCondition()))
      return false;
    Value scores = isInverse ? select.getRhs() : select.getLhs();
    masks.push_back({op, scores, {select.getCondition()}, {isInverse}, {{}}, false});
    return true;
  }
  bool isAdded = isa<graph::AddOp>(op) && hidden == Hidden::NegativeInfinity;
  if (!isAdded && !(isa<graph::MulOp>(op) && hidden == Hidden::Zero))
    return false;
  bool leftIsScores = isInChain(op->getOperand(0));
  Value scores = op->getOperand(leftIsScores ? 0 : 1), other = op->getOperand(leftIsScores ? 1 : 0);
  Mask mask{op, scores, {}, {}, {}, false};
  if (isInChain(other))
    return false;
  if (!(isAdded ? isAddend(other, {}, mask) : isFactor(other, mask)))
    return false;
  masks.push_back(std::move(mask));
  return true;
}

AttentionMasks::AttentionMasks(AttentionMatch &match, IndexBounds &bounds) : match(match), bounds(bounds) {
  Value value = match.top;
  Hidden hidden = match.isPointwise() ? Hidden::Zero : Hidden::NegativeInfinity;
  while (Operation *op = value.getDefiningOp()) {
    if (!match.chain.contains(op))
      break;
    // An addend that is among the parts does not count where -inf is added as well.
    if (Value left = match.passed.lookup(value); left && hidden == Hidden::NegativeInfinity)
      value = left;
    else
      value = collectMask(op, hidden) ? masks.back().scores : keepsHidden(op, hidden);
    if (!value)
      break;
    path.push_back(op);
  }
  while (!path.empty() && (masks.empty() || path.back() != masks.back().op))
    path.pop_back();
}
