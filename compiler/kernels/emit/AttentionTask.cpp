// The frame of a task, the queries, the values and the outputs. Scores and weights: AttentionScores.cpp.
#include "compiler/kernels/emit/AttentionTask.h"

#include "compiler/kernels/emit/Math.h"
#include "compiler/kernels/emit/Vectorize.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;

namespace fovea::kernels {
namespace {
constexpr int64_t dynamic = ShapedType::kDynamic;
constexpr float infinity = std::numeric_limits<float>::infinity();

MemRefType typeOf(Value memref) { return cast<MemRefType>(memref.getType()); }
bool isF32(Value memref) { return typeOf(memref).getElementType().isF32(); }
} // namespace

AttentionShape::AttentionShape(const Target &target, bool narrow)
    : lanes(target.vectorLength), keys(target.attentionKeys), fused(target.fma) {
  // Accumulators that hide the multiply-add's latency, beside the operands: 8 vectors of 16, 16 of 32.
  vectors = narrow ? 1 : 2;
  int accumulators = target.registers >= 32 ? 16 : 8;
  keyRows = narrow ? 8 : accumulators / vectors; // more rows are more pointers than there are registers for
  queryRows = narrow ? 1 : accumulators / vectors;
  valueVectors = narrow ? 8 : vectors;
  panels = narrow ? 1 : std::max<int64_t>(1, target.attentionRows / panel());
}

AttentionTask::AttentionTask(Code &code, kernel::AttentionOp op, const Target &target, const AttentionShape &shape,
                             const IRMapping &outer, Value exec)
    : code(code), op(op), target(target), shape(shape), outer(outer), exec(exec), score(op.getScore().front()),
      mask(op.getMask().empty() ? nullptr : &op.getMask().front()) {
  int64_t rank = typeOf(op.getQ()).getRank();
  for (int64_t i = 0; i < rank - 2; ++i)
    batchSizes.push_back(code.dim(mapped(op.getOut()), i));
  t = code.dim(mapped(op.getQ()), rank - 2);
  d = code.dim(mapped(op.getQ()), rank - 1);
  s = code.dim(mapped(op.getK()), rank - 2);
  e = code.dim(mapped(op.getV()), rank - 1);
  paddedE = code.roundUp(e, shape.lanes);
}

Value AttentionTask::tasks() {
  Value count = code.ceilDiv(t, shape.queries());
  for (Value size : batchSizes)
    count = code.mul(count, size);
  return count;
}

Value AttentionTask::reserve(Value scratch) {
  ScratchLayout layout(code, scratch);
  int64_t rank = typeOf(op.getV()).getRank(), columns = typeOf(op.getV()).getDimSize(rank - 1);
  int64_t padded = ShapedType::isDynamic(columns) ? dynamic : llvm::divideCeil(columns, shape.lanes) * shape.lanes;
  SmallVector<Value> width;
  if (ShapedType::isDynamic(padded))
    width.push_back(paddedE);
  queryTile = layout.allocate({dynamic, shape.panel()}, {code.mul(d, shape.panels)});
  scoreTile = layout.allocate({shape.panels * shape.keys, shape.panel()}, {});
  output = layout.allocate({shape.queries(), padded}, width);
  for (Value *row : {&maximum, &sum, &blockMaximum, &factor})
    *row = layout.allocate({shape.panels, shape.panel()}, {});
  for (Value *row : {&firstKey, &lastKey})
    *row = layout.allocate({shape.panels}, {}, code.b.getIndexType());
  if (!isF32(op.getK()) || !hasUnitColumns(op.getK()))
    keyCopy = layout.allocate({shape.keys, dynamic}, {d});
  if (!isF32(op.getV()) || !hasUnitColumns(op.getV()))
    valueCopy = layout.allocate({shape.keys, dynamic}, {e});
  return layout.bytes();
}

LogicalResult AttentionTask::run(Value task) {
  Code::Values sizes(batchSizes);
  sizes.push_back(code.ceilDiv(t, shape.queries()));
  batch = delinearize(code, task, sizes);
  queryBegin = code.mul(batch.pop_back_val(), shape.queries());
  queries = code.min(code.sub(t, queryBegin), code.index(shape.queries()));
  panels = code.ceilDiv(queries, shape.panel());
  visibility.emplace(code, mask, target, outer, batch);
  loadQueries();
  Value zero = code.index(0);
  visibility->summarizeQueries(Box{queryBegin, code.add(queryBegin, queries), zero, s});

  Type flag = code.b.getI1Type();
  auto again = scf::WhileOp::create(code.b, code.loc, flag, code.boolean(false));
  OpBuilder::InsertionGuard guard(code.b);
  Block *before = code.b.createBlock(&again.getBefore(), {}, flag, code.loc);
  Value careful = before->getArgument(0);
  start();
  code.loop(zero, s, shape.keys, [&](Value begin) { keyBlock(begin, careful); });
  Value bad = finish();
  scf::ConditionOp::create(code.b, code.loc, code.logicalAnd(bad, code.logicalNot(careful)), code.boolean(true));
  Block *after = code.b.createBlock(&again.getAfter(), {}, flag, code.loc);
  scf::YieldOp::create(code.b, code.loc, after->getArguments());
  return result;
}

//===-- Queries ---------------------------------------------------------------------------------------------------===//

/// The product of the score's head factors, with log2(e) where the exponential follows at once.
Value AttentionTask::scoreScale() {
  float unit = inLog2() ? 1.4426950408889634f : 1.0f;
  if (score.factors.empty())
    return code.scalar(unit);
  PointVectorizer point(code.b, code.loc, target, shape.lanes, nullptr, outer);
  for (auto [i, index] : llvm::enumerate(batch))
    point.bind(score.block->getArgument(1 + i), LaneValue::uniform(index));
  // Only what the factors need: the rest depends on queries and keys.
  SmallPtrSet<Operation *, 8> slice;
  SmallVector<Value> work;
  for (const ScoreProgram::Factor &f : score.factors)
    work.push_back(f.value);
  while (!work.empty()) {
    Operation *define = work.pop_back_val().getDefiningOp();
    if (define && define->getBlock() == score.block && slice.insert(define).second)
      llvm::append_range(work, define->getOperands());
  }
  for (Operation &inner : *score.block)
    if (slice.contains(&inner) && failed(point.emit(inner)))
      result = failure();
  Value scale;
  for (const ScoreProgram::Factor &f : score.factors) {
    Value x = point.lookup(f.value).value;
    if (f.divide)
      scale = arith::DivFOp::create(code.b, code.loc, scale ? scale : code.scalar(1), x);
    else
      scale = scale ? code.mulF(scale, x) : x;
  }
  return unit == 1.0f ? scale : code.mulF(scale, code.scalar(unit));
}

void AttentionTask::loadQueries() {
  Value scale = scoreScale(), scales = code.broadcast(scale), zero = code.index(0);
  Value q = mapped(op.getQ());
  Matrix matrix = matrixAt(code, q, batch);
  Value adjacent = matrix.memref, whole = code.sub(d, code.rem(d, code.index(shape.lanes)));
  if (!matrix.unitColumns) {
    // Read only where the stride is found to be 1.
    adjacent = matrixAt(code, q, batch, /*assumeUnit=*/true).memref;
    whole = code.select(code.equal(matrix.columnStride(), code.index(1)), whole, zero);
  }
  Value last = code.sub(t, code.index(1));
  code.loop(zero, code.mul(panels, shape.panel()), shape.lanes, [&](Value i) {
    Value panel = code.div(i, code.index(shape.panel())), column = code.rem(i, code.index(shape.panel()));
    Value base = code.mul(panel, d);
    SmallVector<Value> rows; // beyond the last query the last one stands in
    for (int lane = 0; lane < shape.lanes; ++lane)
      rows.push_back(code.min(code.add(queryBegin, code.add(i, lane)), last));
    code.loop(zero, whole, shape.lanes, [&](Value k) {
      Code::Values x;
      for (Value row : rows)
        x.push_back(code.mulF(code.loadVector(adjacent, {row, k}), scales));
      for (auto [lane, column_] : llvm::enumerate(transpose(code, x)))
        code.storeVector(column_, queryTile, {code.add(base, code.add(k, lane)), column});
    });
    code.loop(whole, d, 1, [&](Value k) {
      code.loop(zero, code.index(shape.lanes), 1, [&](Value lane) {
        Value row = code.min(code.add(queryBegin, code.add(i, lane)), last);
        code.store(code.mulF(code.load(matrix.memref, {row, k}), scale), queryTile,
                   {code.add(base, k), code.add(column, lane)});
      });
    });
  });
}

/// No key seen yet: maximum -inf (or the sink's), sum 0 (or the sink's share), output 0.
void AttentionTask::start() {
  Value zero = code.index(0), none = code.splat(0);
  Value first = code.splat(-infinity), share = none;
  if (op.getSinks()) {
    Value sink = code.load(mapped(op.getSinks()), batch);
    Value x = code.broadcast(sink);
    if (inLog2())
      x = code.mulF(x, code.splat(1.4426950408889634f));
    first = wholeNumber(x);
    share = power(code.subF(x, orZero(first)));
  }
  if (softmax())
    code.loop(zero, panels, 1, [&](Value p) {
      for (int v = 0; v < shape.vectors; ++v) {
        Value lane = code.index(v * shape.lanes);
        code.storeVector(first, maximum, {p, lane});
        code.storeVector(share, sum, {p, lane});
      }
    });
  code.loop(zero, code.roundUp(queries, shape.queryRows), 1, [&](Value row) {
    code.loop(zero, paddedE, shape.lanes, [&](Value c) { code.storeVector(none, output, {row, c}); });
  });
}

//===-- A block of keys -------------------------------------------------------------------------------------------===//

void AttentionTask::keyBlock(Value begin, Value careful) {
  Keys keys{begin, code.min(code.index(shape.keys), code.sub(s, begin))};
  Value end = code.add(begin, keys.count);
  Box box{queryBegin, code.add(queryBegin, queries), begin, end};
  auto work = [&] {
    keyView = blockView(mapped(op.getK()), keys, keyCopy, d);
    valueView = blockView(mapped(op.getV()), keys, valueCopy, e);
    code.loop(code.index(0), panels, 1, [&](Value panel) {
      scores(panel, keys);
      if (softmax())
        weights(panel, careful);
    });
    code.branch(careful, [&] { carefulValues(); }, [&] { values(keys); });
  };
  if (!mask)
    return work();
  visibility->summarizeKeys(box);
  code.branch(code.logicalNot(visibility->query(box).none), work);
}

/// The block's rows of K or V as f32 with adjacent columns: where they lie, or copied.
Value AttentionTask::blockView(Value memref, const Keys &keys, Value copy, Value columns) {
  auto layout = StridedLayoutAttr::get(code.b.getContext(), dynamic, {dynamic, 1});
  auto type = MemRefType::get({dynamic, dynamic}, code.b.getF32Type(), layout);
  auto inPlace = [&]() -> Value {
    Matrix m = matrixAt(code, memref, batch, /*assumeUnit=*/true);
    SmallVector<OpFoldResult> offsets{keys.begin, code.b.getIndexAttr(0)}, sizes{keys.count, columns},
        strides(2, code.b.getIndexAttr(1));
    return memref::SubViewOp::create(code.b, code.loc, m.memref, offsets, sizes, strides);
  };
  auto copied = [&]() -> Value {
    copyRows(memref, keys, copy, columns);
    return memref::CastOp::create(code.b, code.loc, type, copy);
  };
  if (!copy)
    return inPlace();
  if (!isF32(memref))
    return copied();
  Value unit = code.equal(lastStride(code, memref), code.index(1));
  return code.choose(unit, type, [&] { return Code::Values{inPlace()}; }, [&] { return Code::Values{copied()}; })[0];
}

void AttentionTask::copyRows(Value memref, const Keys &keys, Value copy, Value columns) {
  Matrix m = matrixAt(code, memref, batch);
  Value zero = code.index(0), whole = zero, adjacent;
  if (!isF32(memref)) { // f32 comes here only where columns are not adjacent
    adjacent = matrixAt(code, memref, batch, /*assumeUnit=*/true).memref;
    whole = code.select(code.equal(m.columnStride(), code.index(1)),
                        code.sub(columns, code.rem(columns, code.index(shape.lanes))), zero);
  }
  code.loop(zero, keys.count, 1, [&](Value j) {
    Value row = code.add(keys.begin, j);
    if (adjacent)
      code.loop(zero, whole, shape.lanes,
                [&](Value c) { code.storeVector(code.loadVector(adjacent, {row, c}), copy, {j, c}); });
    code.loop(whole, columns, 1, [&](Value c) { code.store(code.load(m.memref, {row, c}), copy, {j, c}); });
  });
}

//===-- Values ----------------------------------------------------------------------------------------------------===//

/// O += S^T V over the keys that a panel sees.
void AttentionTask::values(const Keys &keys) {
  Value zero = code.index(0);
  int64_t step = int64_t(shape.valueVectors) * shape.lanes;
  Value whole = code.sub(e, code.rem(e, code.index(step)));
  code.loop(zero, queries, shape.queryRows, [&](Value row) {
    Value panel = code.div(row, code.index(shape.panel()));
    Value first = code.load(firstKey, panel), last = lastSeen(row, keys, first, code.load(lastKey, panel));
    code.loop(zero, whole, step,
              [&](Value column) { valueTile({row, column, first, last, shape.valueVectors, nullptr}); });
    code.loop(whole, e, shape.lanes,
              [&](Value column) { valueTile({row, column, first, last, 1, code.laneMask(code.sub(e, column))}); });
  });
}

/// Leaves out keys at the end that none of the tile's queries sees: below a diagonal a panel's first rows see fewer.
Value AttentionTask::lastSeen(Value row, const Keys &keys, Value first, Value last) {
  if (!mask || shape.queryRows == 1)
    return last;
  Value begin = code.add(queryBegin, row), end = code.min(code.add(begin, shape.queryRows), t), zero = code.index(0);
  Type index = code.b.getIndexType();
  auto search = scf::WhileOp::create(code.b, code.loc, index, last);
  OpBuilder::InsertionGuard guard(code.b);
  auto chunkBefore = [&](Value to) {
    return code.mul(code.div(code.max(code.sub(to, code.index(1)), zero), code.index(valueChunk)), valueChunk);
  };
  Value to = code.b.createBlock(&search.getBefore(), {}, index, code.loc)->getArgument(0);
  Box box{begin, end, code.add(keys.begin, chunkBefore(to)), code.add(keys.begin, to)};
  Value skip = code.logicalAnd(code.less(first, to), visibility->query(box).none);
  scf::ConditionOp::create(code.b, code.loc, skip, to);
  Value hidden = code.b.createBlock(&search.getAfter(), {}, index, code.loc)->getArgument(0);
  scf::YieldOp::create(code.b, code.loc, code.max(chunkBefore(hidden), first));
  return search.getResult(0);
}

void AttentionTask::valueTile(const ValueTile &at) {
  Value row = at.row, column = at.column, mask = at.mask;
  int rows = shape.queryRows, vectors = at.vectors;
  Value panel = code.div(row, code.index(shape.panel())), lane = code.rem(row, code.index(shape.panel()));
  Value base = code.mul(panel, shape.keys);
  Code::Values lanes, rowNumbers, columns, init;
  for (int v = 0; v < vectors; ++v)
    columns.push_back(code.add(column, v * shape.lanes));
  for (int r = 0; r < rows; ++r) {
    lanes.push_back(code.add(lane, r));
    rowNumbers.push_back(code.add(row, r));
    for (int v = 0; v < vectors; ++v)
      init.push_back(code.loadVector(output, {rowNumbers[r], columns[v]}));
  }
  // Rows of V are a run-time stride apart: each step more of the body holds another multiple of it.
  TileLoop tile{rows, vectors, rows > 1 ? 4 : 2,
                [&](int r, Value k) { return code.load(scoreTile, {code.add(base, k), lanes[r]}); },
                [&](int v, Value k) {
                  return mask ? code.loadMasked(valueView, {k, columns[v]}, mask)
                              : code.loadVector(valueView, {k, columns[v]});
                }};
  Code::Values sums = multiplyAccumulate(code, tile, at.first, at.last, init);
  for (int r = 0; r < rows; ++r)
    for (int v = 0; v < vectors; ++v)
      code.storeVector(sums[r * vectors + v], output, {rowNumbers[r], columns[v]});
}

/// values() with the products of hidden keys (weight -0) left out.
void AttentionTask::carefulValues() {
  Value zero = code.index(0);
  Type bits = code.b.getI32Type();
  Value hiddenBits = arith::ConstantOp::create(code.b, code.loc, code.b.getI32IntegerAttr(INT32_MIN));
  code.loop(zero, queries, 1, [&](Value row) {
    Value panel = code.div(row, code.index(shape.panel())), lane = code.rem(row, code.index(shape.panel()));
    Value first = code.load(firstKey, panel), last = code.load(lastKey, panel);
    code.loop(zero, e, shape.lanes, [&](Value column) {
      Value inside = code.laneMask(code.sub(e, column));
      Value init = code.loadVector(output, {row, column});
      Code::Values sums = code.carry(first, last, 1, init, [&](Value k, ValueRange sofar) {
        Value weight = code.load(scoreTile, {scoreRow(panel, k), lane});
        Value hidden = code.equal(code.bitcast(weight, bits), hiddenBits);
        return code.choose(
            hidden, code.vector(), [&] { return Code::Values(sofar); },
            [&] {
              Value v = code.loadMasked(valueView, {k, column}, inside);
              return Code::Values{code.fma(code.broadcast(weight), v, sofar[0])};
            });
      });
      code.storeVector(sums[0], output, {row, column});
    });
  });
}

//===-- Outputs ---------------------------------------------------------------------------------------------------===//

/// Writes the rows; gives whether some element is not finite.
Value AttentionTask::finish() {
  Value zero = code.index(0), one = code.splat(1), none = code.splat(0);
  if (softmax())
    code.loop(zero, panels, 1, [&](Value panel) {
      for (int v = 0; v < shape.vectors; ++v) {
        Value lane = code.index(v * shape.lanes), total = code.loadVector(sum, {panel, lane});
        Value empty = code.compareF(arith::CmpFPredicate::OEQ, total, none);
        Value inverse = arith::DivFOp::create(code.b, code.loc, one, total);
        code.storeVector(code.select(empty, none, inverse), factor, {panel, lane});
      }
      if (op.getLse())
        writeSums(panel);
    });
  Value bad = code.carry(zero, queries, 1, none, [&](Value row, ValueRange sofar) {
    Value panel = code.div(row, code.index(shape.panel())), lane = code.rem(row, code.index(shape.panel()));
    Value scale = softmax() ? code.load(factor, {panel, lane}) : Value();
    writeRow(row, scale);
    Code::Values inner = code.carry(zero, paddedE, shape.lanes, sofar, [&](Value c, ValueRange x) {
      // 0 * y is NaN where y is not finite.
      return Code::Values{code.fma(code.loadVector(output, {row, c}), none, x[0])};
    });
    return inner;
  })[0];
  Value unordered = code.compareF(arith::CmpFPredicate::UNO, bad, bad);
  return vector::ReductionOp::create(code.b, code.loc, vector::CombiningKind::OR, unordered);
}

void AttentionTask::writeRow(Value row, Value factor) {
  Value out = mapped(op.getOut()), zero = code.index(0);
  Matrix matrix = matrixAt(code, out, batch);
  Value target = code.add(queryBegin, row), scales = factor ? code.broadcast(factor) : Value();
  auto scaled = [&](Value x) { return factor ? code.mulF(x, x.getType().isF32() ? factor : scales) : x; };
  auto vectors = [&] {
    Value adjacent = matrixAt(code, out, batch, /*assumeUnit=*/true).memref;
    Value whole = code.sub(e, code.rem(e, code.index(shape.lanes)));
    code.loop(zero, whole, shape.lanes,
              [&](Value c) { code.storeVector(scaled(code.loadVector(output, {row, c})), adjacent, {target, c}); });
    code.branch(code.less(whole, e), [&] {
      code.storeMasked(scaled(code.loadVector(output, {row, whole})), adjacent, {target, whole},
                       code.laneMask(code.sub(e, whole)));
    });
  };
  auto elements = [&] {
    code.loop(zero, e, 1,
              [&](Value c) { code.store(scaled(code.load(output, {row, c})), matrix.memref, {target, c}); });
  };
  if (matrix.unitColumns)
    vectors();
  else
    code.branch(code.equal(matrix.columnStride(), code.index(1)), vectors, elements);
}

/// lse = maximum + log(sum), -inf where nothing was seen.
void AttentionTask::writeSums(Value panel) {
  Value logTwo = code.splat(0.6931471805599453f);
  Value firstLane = firstQuery(panel);
  MathBuilder math(code.b, code.loc, target);
  for (int v = 0; v < shape.vectors; ++v) {
    Value lane = code.index(v * shape.lanes);
    Value most = code.loadVector(maximum, {panel, lane});
    if (inLog2())
      most = code.mulF(most, logTwo);
    Value lse = code.addF(most, math.log(code.loadVector(sum, {panel, lane})));
    // The block's maximum is free by now.
    code.storeVector(lse, blockMaximum, {panel, lane});
  }
  Value count = code.min(code.index(shape.panel()), code.sub(t, firstLane));
  code.loop(code.index(0), count, 1, [&](Value i) {
    SmallVector<Value> indices(batch);
    indices.push_back(code.add(firstLane, i));
    code.store(code.load(blockMaximum, {panel, i}), mapped(op.getLse()), indices);
  });
}

} // namespace fovea::kernels
