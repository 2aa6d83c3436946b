#include "compiler/kernels/emit/MaskFormula.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace fovea::kernels {
using graph::IntervalRule;

namespace formula {

bool isInteger(Value value) {
  return value.getType().isIndex() || value.getType().isInteger(64) || value.getType().isInteger(32);
}

std::optional<int64_t> constantOf(Value value) {
  APInt constant;
  if (matchPattern(value, m_ConstantInt(&constant)))
    return constant.getSExtValue();
  return std::nullopt;
}

Value negated(Operation *op) {
  auto invert = dyn_cast_or_null<arith::XOrIOp>(op);
  if (!invert)
    return Value();
  if (matchPattern(invert.getRhs(), m_One()))
    return invert.getLhs();
  return matchPattern(invert.getLhs(), m_One()) ? invert.getRhs() : Value();
}

bool isConversion(Operation *op) { return isa_and_nonnull<arith::IndexCastOp, arith::ExtSIOp>(op); }

IntervalRule ruleOf(Operation *op) {
  if (!op || op->getNumResults() != 1 || op->getResult(0).getType().isInteger(32))
    return IntervalRule::Unknown;
  bool byPositive = op->getNumOperands() == 2 && constantOf(op->getOperand(1)).value_or(0) > 0;
  return llvm::TypeSwitch<Operation *, IntervalRule>(op)
      .Case<arith::AddIOp>([](auto) { return IntervalRule::Sum; })
      .Case<arith::SubIOp>([](auto) { return IntervalRule::Difference; })
      .Case<arith::MulIOp>([](auto) { return IntervalRule::Product; })
      .Case<arith::MinSIOp>([](auto) { return IntervalRule::Minimum; })
      .Case<arith::MaxSIOp>([](auto) { return IntervalRule::Maximum; })
      .Case<math::AbsIOp>([](auto) { return IntervalRule::Magnitude; })
      .Case<arith::SelectOp>([](auto) { return IntervalRule::Choice; })
      .Case<arith::FloorDivSIOp, arith::DivSIOp, arith::RemSIOp>(
          [&](auto) { return byPositive ? IntervalRule::Increasing : IntervalRule::Unknown; })
      .Default([](auto) { return IntervalRule::Unknown; });
}

Value testedForSign(arith::CmpIOp op) {
  auto flipped = op.getLhs().getDefiningOp<arith::XOrIOp>();
  bool isTest = flipped && op.getPredicate() == arith::CmpIPredicate::slt && constantOf(op.getRhs()) == 0 &&
                constantOf(flipped.getRhs()).value_or(-1) >= 0;
  return isTest ? flipped.getLhs() : Value();
}

} // namespace formula

using namespace formula;

MaskFormula::MaskFormula(Block *mask) : mask(mask) {
  if (!mask)
    return;
  dependences[query()] = queries;
  dependences[key()] = keys;
  collect(condition());
}

MaskFormula::MaskFormula(Block *region, ArrayRef<Value> integers) : mask(region) {
  dependences[query()] = queries;
  dependences[key()] = keys;
  for (Value value : integers)
    collectRange(value);
}

unsigned MaskFormula::dependence(Value value) {
  if (auto found = dependences.find(value); found != dependences.end())
    return found->second;
  unsigned result = none;
  if (Operation *op = value.getDefiningOp(); op && op->getBlock() == mask)
    for (Value operand : op->getOperands())
      result |= dependence(operand);
  return dependences[value] = result;
}

void MaskFormula::addLeaf(Value value) {
  if (!llvm::is_contained(leaves, value))
    leaves.push_back(value);
}

void MaskFormula::collect(Value condition) {
  Operation *op = condition.getDefiningOp();
  unsigned on = dependence(condition);
  if (isa_and_nonnull<arith::AndIOp, arith::OrIOp>(op) && on != none) {
    collect(op->getOperand(0));
    collect(op->getOperand(1));
    return;
  }
  if (Value inner = negated(op))
    return collect(inner);
  if (auto comparison = dyn_cast_or_null<arith::CmpIOp>(op);
      comparison && on != none && isInteger(comparison.getLhs())) {
    size_t before = leaves.size();
    if (collectRange(comparison.getLhs()) && collectRange(comparison.getRhs()))
      return;
    leaves.resize(before);
  }
  if (on != both)
    addLeaf(condition);
  else if (readsMemory(condition) && !llvm::is_contained(tiles, condition))
    tiles.push_back(condition);
}

bool MaskFormula::readsMemory(Value value) const {
  return llvm::any_of(sliceOf(value), [](Operation *op) { return isa<kernel::LoadOp>(op); });
}

bool MaskFormula::collectRange(Value value) {
  unsigned on = dependence(value);
  Operation *op = value.getDefiningOp();
  if (on == none) {
    addLeaf(value);
    return true;
  }
  if (!op)
    return true;
  // What depends on one axis is summarised exactly; what depends on both is bounded by its operands.
  bool isChosen = isa<arith::SelectOp>(op);
  size_t before = leaves.size();
  bool hasRule = isConversion(op) || (ruleOf(op) != IntervalRule::Unknown && (on == both || !isChosen));
  if (hasRule && llvm::all_of(op->getOperands().drop_front(isChosen), [&](Value operand) {
        return isInteger(operand) && (constantOf(operand) || collectRange(operand));
      })) {
    if (isChosen)
      collect(op->getOperand(0));
    return true;
  }
  leaves.resize(before);
  if (on == both)
    return false;
  addLeaf(value);
  return true;
}

llvm::SetVector<Operation *> MaskFormula::sliceOf(ArrayRef<Value> values) const {
  llvm::SetVector<Operation *> slice;
  SmallVector<Value> work(values.begin(), values.end());
  while (!work.empty()) {
    Operation *op = work.pop_back_val().getDefiningOp();
    if (op && op->getBlock() == mask && slice.insert(op))
      llvm::append_range(work, op->getOperands());
  }
  return slice;
}

} // namespace fovea::kernels
