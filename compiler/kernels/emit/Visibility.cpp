#include "compiler/kernels/emit/Visibility.h"

#include "compiler/kernels/emit/Vectorize.h"

#include "dialects/graph/Intervals.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace fovea::kernels {
using graph::IntervalRule;

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

/// How the range of an integer op follows from its operands'. Of 64 bits: what wraps around in 32 is no interval.
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

/// Bounds as index values of the code being written.
struct CodeDomain {
  using Bound = Value;
  using Known = std::optional<Value>;
  static constexpr bool hasNaN = false;
  Code &code;
  Operation *op;

  Known add(Value a, Value b) { return code.add(a, b); }
  Known sub(Value a, Value b) { return code.sub(a, b); }
  Known mul(Value a, Value b) { return code.mul(a, b); }
  Known min(Value a, Value b) { return code.min(a, b); }
  Known max(Value a, Value b) { return code.max(a, b); }
  Known divide(Value, Value) { return std::nullopt; }
  Known constant(int64_t value) { return code.index(value); }
  bool isNonNegative(Value x) { return constantOf(x).value_or(-1) >= 0; }
  bool isPositive(Value x) { return constantOf(x).value_or(0) > 0; }
  /// Division by a positive constant.
  Known apply(Value x) {
    Value by = code.index(*constantOf(op->getOperand(1)));
    if (isa<arith::DivSIOp>(op))
      return code.b.createOrFold<arith::DivSIOp>(code.loc, x, by);
    return code.b.createOrFold<arith::FloorDivSIOp>(code.loc, x, by);
  }
};

/// x of `(x xor c) < 0` with c at least 0, which is x < 0: how a floored division asks for the sign.
Value testedForSign(arith::CmpIOp op) {
  auto flipped = op.getLhs().getDefiningOp<arith::XOrIOp>();
  bool isTest = flipped && op.getPredicate() == arith::CmpIPredicate::slt && constantOf(op.getRhs()) == 0 &&
                constantOf(flipped.getRhs()).value_or(-1) >= 0;
  return isTest ? flipped.getLhs() : Value();
}

} // namespace

Visibility::Visibility(Code &code, Block *mask, const Target &target, const IRMapping &outer, ValueRange batch,
                       std::optional<Tiles> tiles)
    : code(code), mask(mask), target(target), outer(outer), batch(batch), tiles(tiles) {
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
  else if (tiles && readsMemory(condition) && !llvm::is_contained(tiled, condition))
    tiled.push_back(condition);
}

bool Visibility::readsMemory(Value value) {
  return llvm::any_of(sliceOf(value), [](Operation *op) { return isa<kernel::LoadOp>(op); });
}

/// The ops of the region that `values` need.
llvm::SetVector<Operation *> Visibility::sliceOf(ValueRange values) {
  llvm::SetVector<Operation *> slice;
  SmallVector<Value> work(values.begin(), values.end());
  while (!work.empty()) {
    Operation *op = work.pop_back_val().getDefiningOp();
    if (op && op->getBlock() == mask && slice.insert(op))
      llvm::append_range(work, op->getOperands());
  }
  return slice;
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

SmallVector<Value> Visibility::evaluate(ArrayRef<Value> values, unsigned axis, Value at) {
  llvm::SetVector<Operation *> slice = sliceOf(values);
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

void Visibility::summarizeTiles(const Box &box) {
  tiledBox = box;
  for (auto [number, condition] : llvm::enumerate(tiled))
    code.loop(code.index(0), code.index(tiles->panels), 1, [&](Value panel) {
      Value begin = code.add(box.queryBegin, code.mul(panel, tiles->queries));
      Value end = code.min(code.add(begin, tiles->queries), box.queryEnd);
      Value chunks = code.ceilDiv(code.sub(box.keyEnd, box.keyBegin), tiles->keys), none = code.index(0);
      Code::Values bits = code.carry(none, chunks, 1, {none, none}, [&](Value chunk, ValueRange sofar) {
        Value first = code.add(box.keyBegin, code.mul(chunk, tiles->keys));
        auto [some, all] =
            summarizeTile(condition, {begin, end, first, code.min(code.add(first, tiles->keys), box.keyEnd)});
        Value bit = code.b.createOrFold<arith::ShLIOp>(code.loc, code.index(1), chunk);
        return Code::Values{code.logicalOr(sofar[0], code.select(some, bit, none)),
                            code.logicalOr(sofar[1], code.select(all, bit, none))};
      });
      for (int64_t i : {0, 1})
        code.store(bits[i], tiles->summary, {code.index(number), panel, code.index(i)});
    });
}

/// Whether some of the points are seen, and all.
std::pair<Value, Value> Visibility::summarizeTile(Value condition, const Box &box) {
  llvm::SetVector<Operation *> slice = sliceOf(condition);
  Code::Values result{code.boolean(false), code.boolean(true)};
  Type flags = code.vectorOf(code.b.getI1Type());
  auto splat = [&](bool x) -> Value {
    return arith::ConstantOp::create(code.b, code.loc, DenseElementsAttr::get(cast<VectorType>(flags), x));
  };
  for (int64_t from = 0; from < tiles->keys; from += code.lanes) {
    Value first = code.add(box.keyBegin, from), inside = code.laneMask(code.sub(box.keyEnd, first));
    // A vector beyond the last key has no lane that may be read.
    Code::Values rows = code.choose(
        code.less(first, box.keyEnd), {flags, flags},
        [&] {
          return code.carry(box.queryBegin, box.queryEnd, 1, {splat(false), splat(true)},
                            [&](Value query, ValueRange sofar) {
                              PointVectorizer point(code.b, code.loc, target, code.lanes, inside, outer);
                              for (auto [i, index] : llvm::enumerate(batch))
                                point.bind(mask->getArgument(i), LaneValue::uniform(index));
                              point.bind(mask->getArgument(batch.size()), LaneValue::uniform(query));
                              point.bind(mask->getArgument(batch.size() + 1), LaneValue::linear(first));
                              for (Operation &op : *mask)
                                if (slice.contains(&op) && failed(point.emit(op))) {
                                  undecided = true;
                                  return Code::Values(sofar);
                                }
                              Value seen = point.vector(condition);
                              return Code::Values{code.logicalOr(sofar[0], seen), code.logicalAnd(sofar[1], seen)};
                            });
        },
        [&] { return Code::Values{splat(false), splat(true)}; });
    Value outside = arith::XOrIOp::create(code.b, code.loc, inside, splat(true));
    auto reduce = [&](vector::CombiningKind kind, Value x) -> Value {
      return vector::ReductionOp::create(code.b, code.loc, kind, x);
    };
    result[0] = code.logicalOr(result[0], reduce(vector::CombiningKind::OR, code.logicalAnd(rows[0], inside)));
    result[1] = code.logicalAnd(result[1], reduce(vector::CombiningKind::AND, code.logicalOr(rows[1], outside)));
  }
  return {result[0], result[1]};
}

/// From the tiles that the box touches.
Visibility::Answer Visibility::tileAnswer(int64_t condition, const Box &box) {
  Value one = code.index(1);
  auto bitsBelow = [&](Value chunk) { return code.sub(code.b.createOrFold<arith::ShLIOp>(code.loc, one, chunk), one); };
  auto chunkOf = [&](Value key) { return code.div(code.sub(key, tiledBox.keyBegin), code.index(tiles->keys)); };
  Value begin = chunkOf(box.keyBegin), end = code.add(chunkOf(code.sub(box.keyEnd, one)), one);
  Value touched = code.sub(bitsBelow(end), bitsBelow(begin));
  auto panelOf = [&](Value query) {
    return code.div(code.sub(query, tiledBox.queryBegin), code.index(tiles->queries));
  };
  Value first = panelOf(box.queryBegin), last = panelOf(code.sub(box.queryEnd, one));
  Value some = code.index(0), all = touched;
  for (int64_t p = 0; p < tiles->panels; ++p) {
    Value panel = code.index(p);
    Value within = code.logicalAnd(code.compare(arith::CmpIPredicate::sle, first, panel),
                                   code.compare(arith::CmpIPredicate::sle, panel, last));
    auto bits = [&](int64_t which) {
      return code.load(tiles->summary, {code.index(condition), panel, code.index(which)});
    };
    some = code.logicalOr(some, code.select(within, bits(0), code.index(0)));
    all = code.logicalAnd(all, code.select(within, bits(1), touched));
  }
  return {code.equal(code.logicalAnd(some, touched), code.index(0)), code.equal(all, touched)};
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
    Value tested = testedForSign(comparison);
    auto x = range(tested ? tested : comparison.getLhs(), box), y = range(comparison.getRhs(), box);
    if (x && y)
      return compare(comparison.getPredicate(), *x, *y);
  }
  if (auto *found = llvm::find(tiled, condition); found != tiled.end())
    return tileAnswer(found - tiled.begin(), box);
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
  if (std::optional<int64_t> constant = constantOf(value))
    return Range{code.index(*constant), code.index(*constant)};
  if (value == mask->getArgument(batch.size()))
    return Range{box.queryBegin, code.sub(box.queryEnd, code.index(1))};
  if (value == mask->getArgument(batch.size() + 1))
    return Range{box.keyBegin, code.sub(box.keyEnd, code.index(1))};
  Operation *op = value.getDefiningOp();
  if (!op || dependence(value) == none)
    return std::nullopt;
  if (isConversion(op))
    return range(op->getOperand(0), box);
  IntervalRule rule = ruleOf(op);
  if (rule == IntervalRule::Unknown)
    return std::nullopt;
  SmallVector<graph::Interval<Value>> operands;
  for (Value operand : op->getOperands()) {
    if (rule == IntervalRule::Choice && operands.empty()) { // the condition
      operands.emplace_back();
      continue;
    }
    auto known = range(operand, box);
    if (!known)
      return std::nullopt;
    operands.push_back({known->low, known->high});
  }
  if (isa<arith::RemSIOp>(op))
    return remainder(*operands[0].low, *operands[0].high, *constantOf(op->getOperand(1)));
  CodeDomain domain{code, op};
  graph::Interval<Value> result = graph::IntervalRules<CodeDomain>(domain)(rule, operands);
  if (!result.low || !result.high)
    return std::nullopt;
  if (rule != IntervalRule::Choice)
    return Range{*result.low, *result.high};
  Answer condition = answer(op->getOperand(0), box);
  auto choose = [&](Value yes, Value no, Value either) {
    Value open = code.b.createOrFold<arith::SelectOp>(code.loc, condition.none, no, either);
    return code.b.createOrFold<arith::SelectOp>(code.loc, condition.all, yes, open);
  };
  return Range{choose(*operands[1].low, *operands[2].low, *result.low),
               choose(*operands[1].high, *operands[2].high, *result.high)};
}

/// Of a division by a positive constant that truncates: the sign is the dividend's.
Visibility::Range Visibility::remainder(Value low, Value high, int64_t by) {
  Value zero = code.index(0);
  return {code.min(zero, code.max(low, code.index(1 - by))), code.max(zero, code.min(high, code.index(by - 1)))};
}

} // namespace fovea::kernels
