#include "compiler/kernels/emit/Visibility.h"

#include "compiler/kernels/emit/Vectorize.h"

using namespace mlir;

namespace fovea::kernels {

Value CodeDomain::divide(Value x, int64_t by, bool floors) {
  if (floors)
    return code.b.createOrFold<arith::FloorDivSIOp>(code.loc, x, code.index(by));
  return code.b.createOrFold<arith::DivSIOp>(code.loc, x, code.index(by));
}

Value CodeDomain::select(Value condition, Value a, Value b) {
  return code.b.createOrFold<arith::SelectOp>(code.loc, condition, a, b);
}

Visibility::Visibility(Code &code, Block *mask, const Target &target, const IRMapping &outer, ValueRange batch,
                       std::optional<Tiles> tiles)
    : code(code), target(target), outer(outer), batch(batch), formula(mask), domain{code}, rules(domain, formula),
      tiles(tiles) {
  if (tiles)
    rules.useTiles([this](size_t condition, const Box &box) { return tileAnswer(condition, box); });
}

SmallVector<Value> Visibility::evaluate(ArrayRef<Value> values, unsigned axis, Value at) {
  llvm::SetVector<Operation *> slice = formula.sliceOf(values);
  PointVectorizer point(code.b, code.loc, target, target.vectorLength, nullptr, outer);
  for (auto [i, index] : llvm::enumerate(batch))
    point.bind(formula.block()->getArgument(i), LaneValue::uniform(index));
  if (at)
    point.bind(axis == MaskFormula::keys ? formula.key() : formula.query(), LaneValue::uniform(at));
  for (Operation &op : *formula.block())
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
  if (!hasMask())
    return;
  SmallVector<Value> uniform;
  for (Value leaf : formula.summarised())
    if (formula.dependence(leaf) == MaskFormula::none)
      uniform.push_back(leaf);
  for (auto [leaf, value] : llvm::zip(uniform, evaluate(uniform, MaskFormula::none, nullptr))) {
    if (leaf.getType().isInteger(1))
      rules.know(leaf, Rules::Answer{code.logicalNot(value), value});
    else
      rules.know(leaf, Rules::Range{toIndex(value), toIndex(value)});
  }
  summarize(MaskFormula::queries, box.queryBegin, box.queryEnd);
}

void Visibility::summarizeKeys(const Box &box) {
  if (hasMask())
    summarize(MaskFormula::keys, box.keyBegin, box.keyEnd);
}

SmallVector<Value> Visibility::partsOn(unsigned axis) const {
  SmallVector<Value> mine;
  for (Value leaf : formula.summarised())
    if (formula.dependence(leaf) == axis)
      mine.push_back(leaf);
  return mine;
}

void Visibility::summarize(unsigned axis, Value begin, Value end) {
  SmallVector<Value> summary = summaryOf(axis, begin, end);
  if (!summary.empty())
    know(axis, summary);
}

/// Of each part: whether it holds nowhere and everywhere, or its least and greatest value. Empty without parts, and
/// where one can't be evaluated.
SmallVector<Value> Visibility::summaryOf(unsigned axis, Value begin, Value end) {
  SmallVector<Value> mine = partsOn(axis);
  Code::Values init;
  for (Value leaf : mine) {
    if (leaf.getType().isInteger(1))
      init.append({code.boolean(true), code.boolean(true)});
    else
      init.append({code.index(std::numeric_limits<int64_t>::max()), code.index(std::numeric_limits<int64_t>::min())});
  }
  if (mine.empty())
    return {};
  Code::Values summary = code.carry(begin, end, 1, init, [&](Value at, ValueRange sofar) {
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
  return undecided ? SmallVector<Value>() : summary;
}

void Visibility::know(unsigned axis, ValueRange summary) {
  for (auto [i, leaf] : llvm::enumerate(partsOn(axis))) {
    if (leaf.getType().isInteger(1))
      rules.know(leaf, Rules::Answer{summary[2 * i], summary[2 * i + 1]});
    else
      rules.know(leaf, Rules::Range{summary[2 * i], summary[2 * i + 1]});
  }
}

SmallVector<Value> Visibility::keySummary(const Box &box) {
  SmallVector<Value> summary = summaryOf(MaskFormula::keys, box.keyBegin, box.keyEnd);
  for (Value &number : summary)
    if (number.getType().isInteger(1))
      number = code.select(number, code.index(1), code.index(0));
  return summary;
}

void Visibility::knowKeys(ValueRange numbers) {
  SmallVector<Value> summary(numbers);
  for (auto [i, leaf] : llvm::enumerate(partsOn(MaskFormula::keys)))
    if (leaf.getType().isInteger(1))
      for (Value &flag : MutableArrayRef(summary).slice(2 * i, 2))
        flag = code.equal(flag, code.index(1));
  know(MaskFormula::keys, summary);
}

bool Visibility::keysDependOn(unsigned axis) const {
  Value argument = formula.block()->getArgument(axis);
  return llvm::any_of(formula.sliceOf(partsOn(MaskFormula::keys)),
                      [&](Operation *op) { return llvm::is_contained(op->getOperands(), argument); });
}

void Visibility::summarizeTiles(const Box &box) {
  tiledBox = box;
  for (auto [number, condition] : llvm::enumerate(formula.tiled()))
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
  llvm::SetVector<Operation *> slice = formula.sliceOf(condition);
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
                              if (!target.maskRegisters)
                                point.branchOnLoadMasks();
                              for (auto [i, index] : llvm::enumerate(batch))
                                point.bind(formula.block()->getArgument(i), LaneValue::uniform(index));
                              point.bind(formula.query(), LaneValue::uniform(query));
                              point.bind(formula.key(), LaneValue::linear(first));
                              for (Operation &op : *formula.block())
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
  if (undecided)
    return {code.boolean(false), code.boolean(false)};
  return rules.query(box);
}

} // namespace fovea::kernels
