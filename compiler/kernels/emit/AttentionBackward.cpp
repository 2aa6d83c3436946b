// The frame of a task: its memory, its blocks, its outputs. Products: AttentionBackwardTiles.cpp.
#include "compiler/kernels/emit/AttentionBackward.h"

#include "compiler/analysis/IndexSpread.h"
#include "compiler/kernels/emit/ScheduleEmitter.h"

#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace fovea::kernels {
namespace {
constexpr int64_t dynamic = ShapedType::kDynamic;
constexpr float logE = 1.4426950408889634f; // to base 2

bool dependsOn(Value value, Value argument) {
  Operation *op = value.getDefiningOp();
  return value == argument || (op && op->getBlock() == argument.getParentBlock() &&
                               llvm::any_of(op->getOperands(), [&](Value x) { return dependsOn(x, argument); }));
}
} // namespace

BackwardShape::BackwardShape(const Target &target) : lanes(target.vectorLength), vectors(2) {
  tileRows = target.registers >= 32 ? 8 : target.fma ? 6 : 4;
  queries = 48;
  keys = target.fma ? 192 : 96;
}

BackwardTask::BackwardTask(Code &code, kernel::AttentionBackwardOp op, const Target &target, const IRMapping &outer)
    : code(code), op(op), target(target), shape(target), outer(outer), score(op.getScore().front()),
      mask(op.getMask().empty() ? nullptr : &op.getMask().front()), adjoint(op.getAdjoint().front()),
      rowReads(&op.getScore().front()) {
  int64_t rank = cast<MemRefType>(op.getQ().getType()).getRank();
  for (int64_t i = 0; i < rank - 2; ++i)
    batchSizes.push_back(code.dim(mapped(op.getQ()), i));
  t = code.dim(mapped(op.getQ()), rank - 2);
  s = code.dim(mapped(op.getK()), rank - 2);
  e = code.dim(mapped(op.getV()), rank - 1);
  d = code.index(0);
  for (auto [part, gradient] : llvm::zip(op.getParts(), op.getPartGradients())) {
    Value depth = code.dim(mapped(part.first), rank - 1);
    parts.push_back(
        {mapped(part.first), mapped(part.second), mapped(gradient.first), mapped(gradient.second), depth, d});
    d = code.add(d, depth);
  }
  paddedD = code.roundUp(d, shape.panel());
  paddedE = code.roundUp(e, shape.panel());
  paddedT = code.roundUp(t, shape.tileRows);
  readSums();
}

/// The adjoint region's numbers and places.
void BackwardTask::readSums() {
  OperandRange yielded = adjoint.getTerminator()->getOperands().drop_front();
  for (Value memref : op.getSums())
    sums.push_back(sumInto(memref, yielded));
  areAllOuter = llvm::all_of(llvm::seq<int64_t>(0, batchSizes.size()), [&](int64_t axis) { return isOuter(axis); });
}

/// Takes what the adjoint region yields for a sum off `yielded`.
BackwardTask::Sum BackwardTask::sumInto(Value memref, OperandRange &yielded) {
  auto type = cast<MemRefType>(memref.getType());
  Sum sum;
  sum.memref = memref;
  sum.number = yielded.front();
  yielded = yielded.drop_front();
  if (!yielded.empty() && yielded.front().getType().isInteger(1)) {
    sum.guard = yielded.front();
    yielded = yielded.drop_front();
  }
  sum.indices = llvm::to_vector(yielded.take_front(type.getRank()));
  yielded = yielded.drop_front(type.getRank());
  BlockArgument query = queryArgument(), key = keyArgument();
  for (auto [axis, index] : llvm::enumerate(sum.indices)) {
    sum.isSingle &= !dependsOn(index, query) && !dependsOn(index, key);
    if (auto taken = sizesTaken(index, key); taken && sum.keyAxis < 0) {
      sum.keyAxis = axis;
      sum.taken = *taken;
    } else if (type.getDimSize(axis) != 1) {
      sum.isOwn &= isa<BlockArgument>(index) && llvm::count(sum.indices, index) == 1;
    }
  }
  sum.isOwn &= sum.keyAxis >= 0 && llvm::count(sum.indices, query) == 1;
  sum.isSingle &= !sum.guard; // the one element may be in no tensor
  return sum;
}

Value BackwardTask::placeOf(const Sum &sum, Value key) {
  for (Value size : llvm::reverse(sum.taken)) {
    APInt constant;
    bool isConstant = matchPattern(size, m_ConstantInt(&constant));
    key = code.sub(key, isConstant ? code.index(constant.getSExtValue()) : mapped(size));
  }
  return key;
}

/// Whether all sums have elements of their own for each index of the batch axis: then tasks divide it.
bool BackwardTask::isOuter(int64_t axis) {
  Value index = adjoint.getArgument(1 + axis);
  return llvm::all_of(sums, [&](const Sum &sum) { return llvm::is_contained(sum.indices, index); });
}

Value BackwardTask::batchTasks() {
  Value count = code.index(1);
  for (auto [axis, size] : llvm::enumerate(batchSizes))
    if (isOuter(axis))
      count = code.mul(count, size);
  return count;
}

/// Whether a batch's keys may be divided: what is summed belongs to one key.
bool BackwardTask::mayDivide() {
  return areAllOuter && llvm::all_of(sums, [&](const Sum &sum) { return sum.keyAxis >= 0; });
}

/// Parts of a batch's keys: 8 tasks where there are blocks enough.
Value BackwardTask::keyParts() {
  if (!mayDivide())
    return code.index(1);
  constexpr int64_t fewTasks = 8;
  Value one = code.index(1), blocks = code.max(code.ceilDiv(s, shape.keys), one);
  return code.min(blocks, code.ceilDiv(code.index(fewTasks), code.max(batchTasks(), one)));
}

/// A memref of these sizes, static where they are known.
Value BackwardTask::allocate(ScratchLayout &layout, ArrayRef<Value> sizes, Type element) {
  SmallVector<int64_t> shape;
  SmallVector<Value> unknown;
  for (Value size : sizes) {
    APInt constant;
    bool isKnown = matchPattern(size, m_ConstantInt(&constant));
    shape.push_back(isKnown ? constant.getSExtValue() : dynamic);
    if (!isKnown)
      unknown.push_back(size);
  }
  return layout.allocate(shape, unknown, element);
}

Value BackwardTask::reserve(Value scratch) {
  ScratchLayout layout(code, scratch);
  Value panel = code.index(shape.panel()), panels = code.index(shape.keys / shape.panel()),
        keys = code.index(shape.keys), queries = code.index(shape.queries), length = code.index(shape.rowLength());
  queryRows = allocate(layout, {paddedT, paddedD});
  gradientRows = allocate(layout, {paddedT, paddedE});
  querySums = allocate(layout, {paddedT, paddedD});
  scoreStarts = allocate(layout, {paddedT});
  changeStarts = allocate(layout, {paddedT});
  keyPanels = allocate(layout, {panels, d, panel});
  valuePanels = allocate(layout, {panels, e, panel});
  // A step of no power of 2: with one, addresses are shifted anew in each step of a loop over keys.
  keyRows = allocate(layout, {code.div(paddedD, panel), keys, code.index(shape.panel() + shape.lanes)});
  keySums = allocate(layout, {keys, paddedD});
  valueSums = allocate(layout, {keys, paddedE});
  weights = allocate(layout, {queries, length});
  changes = allocate(layout, {queries, length});
  if (!isPlain())
    products = allocate(layout, {queries, length});
  if (score.factor)
    for (Value *tile : {&factors, &wholeWeights})
      *tile = allocate(layout, {queries, length});
  if (factorIsReached())
    reachingFactors = allocate(layout, {queries, length});
  Type index = code.b.getIndexType();
  for (Value *range : {&firstQuery, &lastQuery})
    *range = allocate(layout, {code.add(panels, 1)}, index);
  for (Value *range : {&firstKey, &lastKey})
    *range = allocate(layout, {code.index(shape.queries / shape.tileRows)}, index);
  singles = allocate(layout, {code.index(sums.size()), code.index(shape.lanes)});
  return layout.bytes();
}

Value BackwardTask::reserveShared(Value shared) {
  if (!mayDivide())
    return code.index(0);
  ScratchLayout layout(code, shared);
  partSums = layout.allocate({dynamic, dynamic, dynamic}, {tasks(), paddedT, paddedD});
  return code.select(isDivided(), layout.bytes(), code.index(0));
}

//===-- Batches ---------------------------------------------------------------------------------------------------===//

LogicalResult BackwardTask::run(Value task) {
  Code::Values outerSizes;
  for (auto [axis, size] : llvm::enumerate(batchSizes))
    if (isOuter(axis))
      outerSizes.push_back(size);
  Value count = keyParts(), all = tasks();
  if (!mayDivide()) {
    runPart(delinearize(code, task, outerSizes), code.index(0), task);
    return result;
  }
  code.branch(
      code.less(task, all),
      [&] { runPart(delinearize(code, code.div(task, count), outerSizes), code.rem(task, count), task); },
      [&] {
        Value number = code.sub(task, all);
        batch = delinearize(code, number, outerSizes);
        addParts(number);
      });
  return result;
}

/// dQ of a batch, from what the parts of its keys have left.
void BackwardTask::addParts(Value number) {
  Value zero = code.index(0), count = keyParts(), first = code.mul(number, count);
  code.loop(zero, t, 1, [&](Value row) {
    code.loop(zero, paddedD, shape.lanes, [&](Value c) {
      Value init = code.loadVector(partSums, {first, row, c});
      Value sum = code.carry(code.add(first, 1), code.add(first, count), 1, init, [&](Value part, ValueRange sofar) {
        return Code::Values{code.addF(sofar[0], code.loadVector(partSums, {part, row, c}))};
      })[0];
      code.storeVector(sum, querySums, {row, c});
    });
  });
  for (const Part &part : parts)
    storeRows(querySums, part.dq, {zero, t}, part.first, part.depth);
}

/// A part of the keys of the batches at `outerIndex`, once more where some gradient is not finite.
void BackwardTask::runPart(ValueRange outerIndex, Value part, Value task) {
  Code::Values innerSizes;
  for (auto [axis, size] : llvm::enumerate(batchSizes))
    if (!isOuter(axis))
      innerSizes.push_back(size);
  Value inner = code.index(1), zero = code.index(0);
  for (Value size : innerSizes)
    inner = code.mul(inner, size);
  auto place = [&](Value number) {
    Code::Values innerIndex = delinearize(code, number, innerSizes);
    batch.clear();
    auto nextOuter = outerIndex.begin(), nextInner = ValueRange(innerIndex).begin();
    for (size_t axis = 0; axis < batchSizes.size(); ++axis)
      batch.push_back(isOuter(axis) ? *nextOuter++ : *nextInner++);
  };
  Value partKeys = code.mul(code.ceilDiv(code.ceilDiv(s, shape.keys), keyParts()), shape.keys);
  Value begin = code.min(code.mul(part, partKeys), s);
  Span keys{begin, code.min(partKeys, code.sub(s, begin))};
  Type flag = code.b.getI1Type();
  auto again = scf::WhileOp::create(code.b, code.loc, flag, code.boolean(false));
  OpBuilder::InsertionGuard guard(code.b);
  Block *block = code.b.createBlock(&again.getBefore(), {}, flag, code.loc);
  Value careful = block->getArgument(0);
  place(zero);
  for (const Sum &sum : sums)
    if (!isStored(sum))
      clearSum(sum, keys);
  Value bad = code.carry(zero, inner, 1, code.boolean(false), [&](Value number, ValueRange sofar) {
    place(number);
    return Code::Values{code.logicalOr(sofar[0], batchWork(keys, task, careful))};
  })[0];
  scf::ConditionOp::create(code.b, code.loc, code.logicalAnd(bad, code.logicalNot(careful)), code.boolean(true));
  Block *after = code.b.createBlock(&again.getAfter(), {}, flag, code.loc);
  scf::YieldOp::create(code.b, code.loc, after->getArguments());
}

/// What of the sum belongs to the task.
void BackwardTask::clearSum(const Sum &sum, const Span &keys) {
  Value memref = mapped(sum.memref), zero = code.index(0);
  Code::Values place;
  std::function<void(size_t)> from = [&](size_t axis) {
    if (axis == sum.indices.size())
      return code.store(code.scalar(0), memref, place);
    auto argument = dyn_cast<BlockArgument>(sum.indices[axis]);
    int64_t batchAxis = argument ? int64_t(argument.getArgNumber()) - 1 : -1;
    if (batchAxis >= 0 && batchAxis < int64_t(batch.size()) && isOuter(batchAxis)) {
      auto here = [&] {
        place.push_back(batch[batchAxis]);
        from(axis + 1);
        place.pop_back();
      };
      if (sum.guard) // it may have some of the batches
        code.branch(code.less(batch[batchAxis], code.dim(memref, axis)), here);
      else
        here();
      return;
    }
    Value begin = zero, end = code.dim(memref, axis);
    if (mayDivide() && int64_t(axis) == sum.keyAxis) { // and some of the keys
      begin = code.max(placeOf(sum, keys.begin), zero);
      end = code.min(placeOf(sum, code.add(keys.begin, keys.count)), end);
    }
    code.loop(begin, end, 1, [&](Value i) {
      place.push_back(i);
      from(axis + 1);
      place.pop_back();
    });
  };
  from(0);
}

/// Some keys of one batch; gives whether some gradient is not finite.
Value BackwardTask::batchWork(const Span &keys, Value task, Value careful) {
  Value zero = code.index(0);
  visibility.emplace(code, mask, target, outer, batch);
  loadQueries();
  for (auto [i, sum] : llvm::enumerate(sums))
    code.storeVector(code.splat(0), singles, {code.index(i), zero});
  Value end = code.add(keys.begin, keys.count);
  Value bad = code.carry(keys.begin, end, shape.keys, code.boolean(false), [&](Value begin, ValueRange sofar) {
    Span block{begin, code.min(code.index(shape.keys), code.sub(end, begin))};
    return Code::Values{code.logicalOr(sofar[0], keyBlock(block, careful))};
  })[0];
  addSingles();
  auto storeQueries = [&] {
    Value some = code.boolean(false);
    for (const Part &part : parts)
      some = code.logicalOr(some, storeRows(querySums, part.dq, {zero, t}, part.first, part.depth));
    return some;
  };
  if (!mayDivide())
    return code.logicalOr(bad, storeQueries());
  Value some = code.choose(
      isDivided(), code.b.getI1Type(), [&] { return Code::Values{keepPart(task)}; },
      [&] { return Code::Values{storeQueries()}; })[0];
  return code.logicalOr(bad, some);
}

/// Leaves dQ of a part for the tasks that add them; gives whether some element is not finite.
Value BackwardTask::keepPart(Value task) {
  Value zero = code.index(0), none = code.splat(0);
  Value bad = code.carry(zero, t, 1, none, [&](Value row, ValueRange sofar) {
    return code.carry(zero, paddedD, shape.lanes, sofar, [&](Value c, ValueRange x) {
      Value y = code.loadVector(querySums, {row, c});
      code.storeVector(y, partSums, {task, row, c});
      return Code::Values{code.fma(y, none, x[0])};
    });
  })[0];
  Value unordered = code.compareF(arith::CmpFPredicate::UNO, bad, bad);
  return vector::ReductionOp::create(code.b, code.loc, vector::CombiningKind::OR, unordered);
}

/// Adds what a batch's lanes have of the sums of one element.
void BackwardTask::addSingles() {
  for (auto [i, sum] : llvm::enumerate(sums)) {
    if (!sum.isSingle)
      continue;
    PointVectorizer point(code.b, code.loc, target, shape.lanes, nullptr, outer);
    for (auto [axis, index] : llvm::enumerate(batch))
      point.bind(adjoint.getArgument(1 + axis), LaneValue::uniform(index));
    llvm::SmallPtrSet<Operation *, 8> slice;
    SmallVector<Value> work(sum.indices);
    while (!work.empty()) {
      Operation *define = work.pop_back_val().getDefiningOp();
      if (define && define->getBlock() == &adjoint && slice.insert(define).second)
        llvm::append_range(work, define->getOperands());
    }
    for (Operation &each : adjoint)
      if (slice.contains(&each) && failed(point.emit(each)))
        result = failure();
    Code::Values place = llvm::map_to_vector(sum.indices, [&](Value index) { return point.lookup(index).value; });
    Value lanes = code.loadVector(singles, {code.index(i), code.index(0)});
    Value sofar = code.load(mapped(sum.memref), place);
    Value total = vector::ReductionOp::create(code.b, code.loc, vector::CombiningKind::ADD, lanes, sofar);
    code.store(total, mapped(sum.memref), place);
  }
}

void BackwardTask::loadQueries() {
  Value zero = code.index(0);
  clear(queryRows, paddedT, paddedD);
  clear(gradientRows, paddedT, paddedE);
  clear(querySums, paddedT, paddedD);
  for (const Part &part : parts)
    loadRows(part.q, queryRows, part.first, part.depth);
  loadRows(mapped(op.getGradient()), gradientRows, zero, e);
  code.loop(zero, paddedT, 1, [&](Value row) {
    code.store(code.scalar(0), scoreStarts, row);
    code.store(code.scalar(0), changeStarts, row);
  });
  if (!softmax())
    return;
  FailureOr<Value> scale = score.scale(code, outer, batch);
  if (failed(scale))
    result = failure();
  code.loop(zero, t, 1, [&](Value row) {
    Code::Values at(batch);
    at.push_back(row);
    Value lse = code.load(mapped(op.getLse()), at), delta = code.load(mapped(op.getDelta()), at);
    Value none = code.compareF(arith::CmpFPredicate::OEQ, lse, code.scalar(-std::numeric_limits<float>::infinity()));
    lse = code.select(none, code.scalar(0), lse);
    Value unit = code.scalar(-logE);
    code.store(code.mulF(lse, unit), scoreStarts, row);
    delta = code.mulF(delta, code.scalar(-1));
    code.store(isPlain() && succeeded(scale) && *scale ? code.mulF(delta, *scale) : delta, changeStarts, row);
  });
}

/// Rows as f32 with adjacent columns, from column `firstColumn` of `to`.
void BackwardTask::loadRows(Value from, Value to, Value firstColumn, Value columns) {
  Value zero = code.index(0), lanes = code.index(shape.lanes);
  Matrix matrix = matrixAt(code, from, batch);
  Value adjacent = matrixAt(code, from, batch, /*assumeUnit=*/true).memref;
  Value whole =
      code.select(code.equal(matrix.columnStride(), code.index(1)), code.sub(columns, code.rem(columns, lanes)), zero);
  code.loop(zero, code.dim(from, batch.size()), 1, [&](Value row) {
    code.loop(zero, whole, shape.lanes, [&](Value c) {
      code.storeVector(code.loadVector(adjacent, {row, c}), to, {row, code.add(firstColumn, c)});
    });
    code.loop(whole, columns, 1,
              [&](Value c) { code.store(code.load(matrix.memref, {row, c}), to, {row, code.add(firstColumn, c)}); });
  });
}

void BackwardTask::clear(Value memref, Value rows, Value columns) {
  code.loop(code.index(0), rows, 1, [&](Value row) {
    code.loop(code.index(0), columns, shape.lanes, [&](Value c) { code.storeVector(code.splat(0), memref, {row, c}); });
  });
}

//===-- Blocks of keys --------------------------------------------------------------------------------------------===//

Value BackwardTask::keyBlock(const Span &keys, Value careful) {
  packKeys(keys);
  clear(keySums, code.index(shape.keys), paddedD);
  clear(valueSums, code.index(shape.keys), paddedE);
  Value keyEnd = code.add(keys.begin, keys.count), zero = code.index(0);
  if (mask)
    visibility->summarizeKeys(Box{zero, t, keys.begin, keyEnd});
  code.loop(zero, t, shape.queries, [&](Value begin) {
    Span queries{begin, code.min(code.index(shape.queries), code.sub(t, begin))};
    if (!mask)
      return block(queries, keys, careful);
    Box box{begin, code.add(begin, queries.count), keys.begin, keyEnd};
    visibility->summarizeQueries(box);
    code.branch(code.logicalNot(visibility->query(box).none), [&] { block(queries, keys, careful); });
  });
  Value bad = storeRows(valueSums, mapped(op.getDv()), keys, zero, e);
  for (const Part &part : parts)
    bad = code.logicalOr(bad, storeRows(keySums, part.dk, keys, part.first, part.depth));
  return bad;
}

/// Keys with the factors of plain scores, and values with those of their changes, as panels; keys as they are by rows.
void BackwardTask::packKeys(const Span &keys) {
  Value keyScale, valueScale, zero = code.index(0);
  if (isPlain()) {
    FailureOr<Value> scale = score.scale(code, outer, batch);
    if (failed(scale))
      result = failure();
    else
      valueScale = *scale;
    keyScale = valueScale ? code.mulF(valueScale, code.scalar(logE)) : code.scalar(logE);
  }
  for (const Part &part : parts)
    packPanels(part.k, keys, keyPanels, part.first, part.depth, keyScale);
  packPanels(mapped(op.getV()), keys, valuePanels, zero, e, valueScale);
  Value panel = code.index(shape.panel());
  for (const Part &part : parts) {
    Matrix matrix = matrixAt(code, part.k, batch);
    code.loop(zero, keys.count, 1, [&](Value key) {
      code.loop(zero, part.depth, 1, [&](Value c) {
        Value column = code.add(part.first, c);
        code.store(code.load(matrix.memref, {code.add(keys.begin, key), c}), keyRows,
                   {code.div(column, panel), key, code.rem(column, panel)});
      });
    });
  }
}

/// to[panel][firstColumn + column][key] = from[key][column], 0 beyond the last key.
void BackwardTask::packPanels(Value from, const Span &keys, Value to, Value firstColumn, Value columns, Value scale) {
  Value zero = code.index(0), lanes = code.index(shape.lanes), panel = code.index(shape.panel());
  Matrix matrix = matrixAt(code, from, batch);
  Value adjacent = matrixAt(code, from, batch, /*assumeUnit=*/true).memref;
  Value whole =
      code.select(code.equal(matrix.columnStride(), code.index(1)), code.sub(columns, code.rem(columns, lanes)), zero);
  Value last = code.sub(code.add(keys.begin, keys.count), code.index(1));
  Value scales = scale ? code.broadcast(scale) : Value();
  code.loop(zero, code.roundUp(keys.count, shape.panel()), shape.lanes, [&](Value key) {
    Value inside = code.laneMask(code.sub(keys.count, key));
    Code::Values rows; // beyond the last key the last one stands in
    for (int lane = 0; lane < shape.lanes; ++lane)
      rows.push_back(code.min(code.add(keys.begin, code.add(key, lane)), last));
    Value number = code.div(key, panel), place = code.rem(key, panel);
    code.loop(zero, whole, shape.lanes, [&](Value c) {
      Code::Values x;
      for (Value row : rows)
        x.push_back(code.loadVector(adjacent, {row, c}));
      for (auto [i, column] : llvm::enumerate(transpose(code, x)))
        code.storeVector(code.select(inside, scales ? code.mulF(column, scales) : column, code.splat(0)), to,
                         {number, code.add(firstColumn, code.add(c, i)), place});
    });
    code.loop(whole, columns, 1, [&](Value c) {
      code.storeVector(code.splat(0), to, {number, code.add(firstColumn, c), place});
      Value count = code.min(lanes, code.max(code.sub(keys.count, key), zero));
      code.loop(zero, count, 1, [&](Value lane) {
        Value x = code.load(matrix.memref, {code.add(keys.begin, code.add(key, lane)), c});
        code.store(scale ? code.mulF(x, scale) : x, to, {number, code.add(firstColumn, c), code.add(place, lane)});
      });
    });
  });
}

/// Rows of sums to where a gradient goes; gives whether some element is not finite.
Value BackwardTask::storeRows(Value from, Value to, const Span &rows, Value firstColumn, Value columns) {
  Value zero = code.index(0), lanes = code.index(shape.lanes), none = code.splat(0);
  Matrix matrix = matrixAt(code, to, batch);
  Value adjacent = matrixAt(code, to, batch, /*assumeUnit=*/true).memref;
  Value whole =
      code.select(code.equal(matrix.columnStride(), code.index(1)), code.sub(columns, code.rem(columns, lanes)), zero);
  Value bad = code.carry(zero, rows.count, 1, none, [&](Value row, ValueRange sofar) {
    Value target = code.add(rows.begin, row);
    Code::Values vectors = code.carry(zero, whole, shape.lanes, sofar, [&](Value c, ValueRange x) {
      Value y = code.loadVector(from, {row, code.add(firstColumn, c)});
      code.storeVector(y, adjacent, {target, c});
      return Code::Values{code.fma(y, none, x[0])}; // 0 * y is NaN where y is not finite
    });
    return code.carry(whole, columns, 1, vectors, [&](Value c, ValueRange x) {
      Value y = code.load(from, {row, code.add(firstColumn, c)});
      code.store(y, matrix.memref, {target, c});
      return Code::Values{code.fma(code.broadcast(y), none, x[0])};
    });
  })[0];
  Value unordered = code.compareF(arith::CmpFPredicate::UNO, bad, bad);
  return vector::ReductionOp::create(code.b, code.loc, vector::CombiningKind::OR, unordered);
}

//===-- The schedule op -------------------------------------------------------------------------------------------===//

namespace {
class BackwardEmitter : public ScheduleEmitter {
public:
  BackwardEmitter(kernel::AttentionBackwardOp op, const Target &target) : ScheduleEmitter(target), op(op) {}

  FailureOr<Value> emitTasks(OpBuilder &builder, IRMapping &outer) override {
    Code code(builder, op.getLoc(), target);
    return BackwardTask(code, op, target, outer).tasks();
  }
  FailureOr<Value> emitScratch(OpBuilder &builder, IRMapping &outer) override {
    Code code(builder, op.getLoc(), target);
    return BackwardTask(code, op, target, outer).reserve(nullptr);
  }
  FailureOr<Value> emitFinish(OpBuilder &builder, IRMapping &outer) override {
    Code code(builder, op.getLoc(), target);
    return BackwardTask(code, op, target, outer).finishTasks();
  }
  FailureOr<Value> emitShared(OpBuilder &builder, IRMapping &outer) override {
    Code code(builder, op.getLoc(), target);
    return BackwardTask(code, op, target, outer).reserveShared(nullptr);
  }
  LogicalResult emitRun(OpBuilder &builder, IRMapping &outer, const RunArguments &arguments) override {
    Code code(builder, op.getLoc(), target);
    BackwardTask task(code, op, target, outer);
    task.reserve(arguments.scratch);
    task.reserveShared(arguments.shared);
    LogicalResult result = success();
    code.loop(arguments.begin, arguments.end, 1, [&](Value index) { result = task.run(index); });
    return result;
  }

private:
  kernel::AttentionBackwardOp op;
};
} // namespace

std::unique_ptr<ScheduleEmitter> makeAttentionBackwardEmitter(kernel::AttentionBackwardOp op, const Target &target) {
  return std::make_unique<BackwardEmitter>(op, target);
}

} // namespace fovea::kernels
