#include "compiler/kernels/emit/Visibility.h"

#include "compiler/kernels/emit/Vectorize.h"

#include "mlir/IR/Matchers.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;

namespace fovea::kernels {
namespace {

bool isInteger(Value value) {
  return value.getType().isIndex() || value.getType().isInteger(64) || value.getType().isInteger(32);
}

std::optional<int64_t> constantOf(Value value) {
  APInt constant;
  if (matchPattern(value, m_ConstantInt(&constant)))
    return constant.getSExtValue();
  return std::nullopt;
}

/// The operand that `op` negates, where it is `x xor true`.
Value negated(arith::XOrIOp op) {
  if (matchPattern(op.getRhs(), m_One()))
    return op.getLhs();
  return matchPattern(op.getLhs(), m_One()) ? op.getRhs() : Value();
}

bool isConversion(Operation *op) { return isa_and_nonnull<arith::IndexCastOp, arith::ExtSIOp>(op); }

/// Of 64 bits: what wraps around in 32 is no interval.
bool isArithmetic(Operation *op) {
  return isa_and_nonnull<arith::AddIOp, arith::SubIOp, arith::MulIOp, arith::MinSIOp, arith::MaxSIOp>(op) &&
         !op->getResult(0).getType().isInteger(32);
}

/// Monotone in its first operand when divided by a positive constant.
bool isDivision(Operation *op) {
  return isa_and_nonnull<arith::FloorDivSIOp, arith::DivSIOp>(op) && constantOf(op->getOperand(1)).value_or(0) > 0;
}

} // namespace

Visibility::Visibility(Code &code, Block *mask, const Target &target, const IRMapping &outer, ValueRange batch)
    : code(code), mask(mask), target(target), outer(outer), batch(batch) {
  if (!mask)
    return;
  unsigned count = mask->getNumArguments();
  dependences[mask->getArgument(count - 2)] = queries;
  dependences[mask->getArgument(count - 1)] = keys;
  collect(mask->getTerminator()->getOperand(0));
}

unsigned Visibility::dependence(Value value) {
  if (auto found = dependences.find(value); found != dependences.end())
    return found->second;
  unsigned result = none;
  if (Operation *op = value.getDefiningOp(); op && op->getBlock() == mask)
    for (Value operand : op->getOperands())
      result |= dependence(operand);
  return dependences[value] = result;
}

void Visibility::addLeaf(Value value) {
  if (!llvm::is_contained(leaves, value))
    leaves.push_back(value);
}

void Visibility::collect(Value condition) {
  Operation *op = condition.getDefiningOp();
  unsigned on = dependence(condition);
  if (isa_and_nonnull<arith::AndIOp, arith::OrIOp>(op) && on != none) {
    collect(op->getOperand(0));
    collect(op->getOperand(1));
    return;
  }
  if (auto invert = dyn_cast_or_null<arith::XOrIOp>(op); invert && negated(invert))
    return collect(negated(invert));
  if (auto comparison = dyn_cast_or_null<arith::CmpIOp>(op);
      comparison && on != none && isInteger(comparison.getLhs())) {
    size_t before = leaves.size();
    if (collectRange(comparison.getLhs()) && collectRange(comparison.getRhs()))
      return;
    leaves.resize(before);
  }
  if (on != both)
    addLeaf(condition);
}

bool Visibility::collectRange(Value value) {
  unsigned on = dependence(value);
  Operation *op = value.getDefiningOp();
  if (on == none) {
    addLeaf(value);
    return true;
  }
  if (!op)
    return true;
  if (isArithmetic(op) && !isa<arith::MulIOp>(op))
    return collectRange(op->getOperand(0)) && collectRange(op->getOperand(1));
  if (isArithmetic(op) && dependence(op->getOperand(1)) == none)
    return collectRange(op->getOperand(0)) && collectRange(op->getOperand(1));
  if (isConversion(op) || isDivision(op))
    return isInteger(op->getOperand(0)) && collectRange(op->getOperand(0));
  if (on == both)
    return false;
  addLeaf(value);
  return true;
}

SmallVector<Value> Visibility::evaluate(ArrayRef<Value> values, unsigned axis, Value at) {
  llvm::SetVector<Operation *> slice;
  SmallVector<Value> work(values.begin(), values.end());
  while (!work.empty()) {
    Operation *op = work.pop_back_val().getDefiningOp();
    if (op && op->getBlock() == mask && slice.insert(op))
      llvm::append_range(work, op->getOperands());
  }
  PointVectorizer point(code.b, code.loc, target, target.vectorLength, nullptr, outer);
  for (auto [i, index] : llvm::enumerate(batch))
    point.bind(mask->getArgument(i), LaneValue::uniform(index));
  if (at)
    point.bind(mask->getArgument(batch.size() + (axis == keys)), LaneValue::uniform(at));
  for (Operation &op : *mask)
    if (slice.contains(&op) && failed(point.emit(op))) {
      undecided = true;
      return {};
    }
  SmallVector<Value> results;
  for (Value value : values) {
    LaneValue lane = point.lookup(value);
    if (!lane.isUniform()) {
      undecided = true;
      return {};
    }
    results.push_back(lane.value);
  }
  return results;
}

Value Visibility::toIndex(Value scalar) {
  return scalar.getType().isIndex() ? scalar
                                    : arith::IndexCastOp::create(code.b, code.loc, code.b.getIndexType(), scalar);
}

void Visibility::summarizeQueries(const Box &box) {
  if (!mask)
    return;
  SmallVector<Value> uniform;
  for (Value leaf : leaves)
    if (dependence(leaf) == none)
      uniform.push_back(leaf);
  for (auto [leaf, value] : llvm::zip(uniform, evaluate(uniform, none, nullptr))) {
    if (leaf.getType().isInteger(1))
      conditions[leaf] = {code.logicalNot(value), value};
    else
      ranges[leaf] = {toIndex(value), toIndex(value)};
  }
  summarize(queries, box.queryBegin, box.queryEnd);
}

void Visibility::summarizeKeys(const Box &box) {
  if (mask)
    summarize(keys, box.keyBegin, box.keyEnd);
}

void Visibility::summarize(unsigned axis, Value begin, Value end) {
  SmallVector<Value> mine;
  Code::Values init;
  for (Value leaf : leaves) {
    if (dependence(leaf) != axis)
      continue;
    mine.push_back(leaf);
    if (leaf.getType().isInteger(1))
      init.append({code.boolean(true), code.boolean(true)});
    else
      init.append({code.index(std::numeric_limits<int64_t>::max()), code.index(std::numeric_limits<int64_t>::min())});
  }
  if (mine.empty())
    return;
  Code::Values result = code.carry(begin, end, 1, init, [&](Value at, ValueRange sofar) {
    Code::Values next;
    SmallVector<Value> values = evaluate(mine, axis, at);
    if (values.empty())
      return Code::Values(sofar);
    for (auto [i, value] : llvm::enumerate(values)) {
      Value first = sofar[2 * i], second = sofar[2 * i + 1];
      if (value.getType().isInteger(1))
        next.append({code.logicalAnd(first, code.logicalNot(value)), code.logicalAnd(second, value)});
      else
        next.append({code.min(first, toIndex(value)), code.max(second, toIndex(value))});
    }
    return next;
  });
  for (auto [i, leaf] : llvm::enumerate(mine)) {
    if (leaf.getType().isInteger(1))
      conditions[leaf] = {result[2 * i], result[2 * i + 1]};
    else
      ranges[leaf] = {result[2 * i], result[2 * i + 1]};
  }
}

Visibility::Answer Visibility::query(const Box &box) {
  if (!mask)
    return {code.boolean(false), code.boolean(true)};
  if (undecided)
    return {code.boolean(false), code.boolean(false)};
  return answer(mask->getTerminator()->getOperand(0), box);
}

Visibility::Answer Visibility::answer(Value condition, const Box &box) {
  if (auto found = conditions.find(condition); found != conditions.end())
    return found->second;
  Operation *op = condition.getDefiningOp();
  if (isa_and_nonnull<arith::AndIOp, arith::OrIOp>(op)) {
    Answer x = answer(op->getOperand(0), box), y = answer(op->getOperand(1), box);
    if (isa<arith::AndIOp>(op))
      return {code.logicalOr(x.none, y.none), code.logicalAnd(x.all, y.all)};
    return {code.logicalAnd(x.none, y.none), code.logicalOr(x.all, y.all)};
  }
  if (auto invert = dyn_cast_or_null<arith::XOrIOp>(op); invert && negated(invert)) {
    Answer x = answer(negated(invert), box);
    return {x.all, x.none};
  }
  if (auto comparison = dyn_cast_or_null<arith::CmpIOp>(op); comparison && isInteger(comparison.getLhs())) {
    auto x = range(comparison.getLhs(), box), y = range(comparison.getRhs(), box);
    if (x && y)
      return compare(comparison.getPredicate(), *x, *y);
  }
  return {code.boolean(false), code.boolean(false)};
}

Visibility::Answer Visibility::compare(arith::CmpIPredicate predicate, const Range &x, const Range &y) {
  using P = arith::CmpIPredicate;
  auto ordered = [&](P p, const Range &a, const Range &b) -> Answer {
    // a < b (or a <= b): all where it holds for the corners a.high, b.low; none where it fails for a.low, b.high.
    return {code.logicalNot(code.compare(p, a.low, b.high)), code.compare(p, a.high, b.low)};
  };
  switch (predicate) {
  case P::slt:
  case P::sle:
    return ordered(predicate, x, y);
  case P::sgt:
    return ordered(P::slt, y, x);
  case P::sge:
    return ordered(P::sle, y, x);
  case P::eq:
  case P::ne: {
    Value apart = code.logicalOr(code.less(x.high, y.low), code.less(y.high, x.low));
    Value same = code.logicalAnd(code.equal(x.low, y.high), code.equal(x.high, y.low));
    return predicate == P::eq ? Answer{apart, same} : Answer{same, apart};
  }
  default:
    return {code.boolean(false), code.boolean(false)};
  }
}

std::optional<Visibility::Range> Visibility::range(Value value, const Box &box) {
  if (auto found = ranges.find(value); found != ranges.end())
    return found->second;
  if (value == mask->getArgument(batch.size()))
    return Range{box.queryBegin, code.sub(box.queryEnd, code.index(1))};
  if (value == mask->getArgument(batch.size() + 1))
    return Range{box.keyBegin, code.sub(box.keyEnd, code.index(1))};
  Operation *op = value.getDefiningOp();
  if (!op || op->getNumOperands() == 0 || dependence(value) == none)
    return std::nullopt;
  auto x = range(op->getOperand(0), box);
  if (!x)
    return std::nullopt;
  if (isConversion(op))
    return x;
  if (isDivision(op)) {
    Value by = code.index(*constantOf(op->getOperand(1)));
    auto divide = [&](Value n) -> Value {
      if (isa<arith::DivSIOp>(op))
        return code.b.createOrFold<arith::DivSIOp>(code.loc, n, by);
      return code.b.createOrFold<arith::FloorDivSIOp>(code.loc, n, by);
    };
    return Range{divide(x->low), divide(x->high)};
  }
  if (!isArithmetic(op))
    return std::nullopt;
  auto y = range(op->getOperand(1), box);
  if (!y)
    return std::nullopt;
  if (isa<arith::AddIOp>(op))
    return Range{code.add(x->low, y->low), code.add(x->high, y->high)};
  if (isa<arith::SubIOp>(op))
    return Range{code.sub(x->low, y->high), code.sub(x->high, y->low)};
  if (isa<arith::MinSIOp>(op))
    return Range{code.min(x->low, y->low), code.min(x->high, y->high)};
  if (isa<arith::MaxSIOp>(op))
    return Range{code.max(x->low, y->low), code.max(x->high, y->high)};
  if (isa<arith::MulIOp>(op) && dependence(op->getOperand(1)) == none) {
    Value a = code.mul(x->low, y->low), b = code.mul(x->high, y->low);
    return Range{code.min(a, b), code.max(a, b)};
  }
  return std::nullopt;
}

} // namespace fovea::kernels
