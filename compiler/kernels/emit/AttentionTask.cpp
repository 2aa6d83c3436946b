// The frame of a task: its memory, its blocks of keys, its outputs. Scores and weights: AttentionScores.cpp.
#include "compiler/kernels/emit/AttentionTask.h"

#include "compiler/kernels/emit/Math.h"

using namespace mlir;

namespace fovea::kernels {
namespace {
constexpr int64_t dynamic = ShapedType::kDynamic;

MemRefType typeOf(Value memref) { return cast<MemRefType>(memref.getType()); }
} // namespace

Value keyCount(Code &code, kernel::AttentionOp op, const IRMapping &outer) {
  auto rowsOf = [&](Value memref) { return code.dim(outer.lookupOrDefault(memref), typeOf(op.getQ()).getRank() - 2); };
  Value count = rowsOf(op.getKeyRows() ? op.getKeyRows() : op.getK());
  for (Value piece : op.getMoreK())
    count = code.add(count, rowsOf(piece));
  return count;
}

AttentionTask::AttentionTask(Code &code, kernel::AttentionOp op, const Target &target, const AttentionShape &shape,
                             const IRMapping &outer, Value exec)
    : code(code), op(op), target(target), shape(shape), outer(outer), exec(exec), score(op.getScore().front()),
      mask(op.getMask().empty() ? nullptr : &op.getMask().front()) {
  int64_t rank = typeOf(op.getQ()).getRank();
  for (int64_t i = 0; i < rank - 2; ++i)
    batchSizes.push_back(code.dim(mapped(op.getOut()), i));
  t = code.dim(mapped(op.getQ()), rank - 2);
  d = code.index(0);
  for (auto [q, k] : op.getParts()) {
    parts.push_back({mapped(q), {mapped(k)}, code.dim(mapped(q), rank - 1), d});
    d = code.add(d, parts.back().depth);
  }
  parts.front().keys = mapped(op.getKeyPieces());
  s = keyCount(code, op, outer);
  e = code.dim(mapped(op.getV()), rank - 1);
  paddedE = code.roundUp(e, shape.lanes);
  decided = mask;
}

LogicalResult AttentionTask::run(Value task) {
  place(task);
  prepare();
  attempt([&](Value careful) {
    Value none = code.boolean(false), count = code.max(spans(), code.index(1));
    Value any = code.carry(code.index(0), count, 1, none, [&](Value number, ValueRange sofar) {
      return Code::Values{addSpan(number, sofar[0], careful)};
    })[0];
    code.branch(code.logicalNot(any), [&] { start(none); }); // no row sees a key
    return anyNotFinite();
  });
  finish();
  return result;
}

//===-- Spans -----------------------------------------------------------------------------------------------------===//

void AttentionTask::prepare() {
  loadQueries();
  if (decided)
    visibility->summarizeQueries(queriesSeeing(code.index(0), s));
}

void AttentionTask::attempt(llvm::function_ref<Value(Value careful)> body) {
  Type flag = code.b.getI1Type();
  auto again = scf::WhileOp::create(code.b, code.loc, flag, code.boolean(false));
  OpBuilder::InsertionGuard guard(code.b);
  Block *block = code.b.createBlock(&again.getBefore(), {}, flag, code.loc);
  Value careful = block->getArgument(0), bad = body(careful);
  scf::ConditionOp::create(code.b, code.loc, code.logicalAnd(bad, code.logicalNot(careful)), code.boolean(true));
  Block *after = code.b.createBlock(&again.getAfter(), {}, flag, code.loc);
  scf::YieldOp::create(code.b, code.loc, after->getArguments());
}

/// Adds a span to those that are in the accumulators, if `any` are; gives whether any are now. A span is there if some
/// row may see some of its keys, the first one also where it has sinks.
Value AttentionTask::addSpan(Value number, Value any, Value careful) {
  Value first = code.equal(number, code.index(0));
  auto enter = [&] {
    code.branch(any, [&] { copy(current, before); });
    start(first);
  };
  Value entered = code.boolean(false);
  if (!decided || op.getSinks())
    entered = code.choose(
        decided ? first : code.boolean(true), entered.getType(),
        [&] {
          enter();
          return Code::Values{code.boolean(true)};
        },
        [&] { return Code::Values{entered}; })[0];
  entered = span(number, careful, entered, enter);
  code.branch(code.logicalAnd(any, entered), [&] { merge(before); });
  return code.logicalOr(any, entered);
}

Value AttentionTask::span(Value number, Value careful, Value entered, llvm::function_ref<void()> enter) {
  Value begin = code.mul(number, spanKeys), end = code.min(code.add(begin, spanKeys), s);
  return code.carry(begin, end, shape.keys, entered, [&](Value key, ValueRange sofar) {
    return Code::Values{keyBlock(key, careful, sofar[0], enter)};
  })[0];
}

void AttentionTask::merge(const Partial &earlier) {
  Value zero = code.index(0);
  if (softmax())
    code.loop(zero, panels, 1, [&](Value panel) {
      for (int v = 0; v < shape.vectors; ++v) {
        Value lane = code.index(v * shape.lanes);
        auto load = [&](Value memref) { return code.loadVector(memref, {panel, lane}); };
        Value old = load(earlier.maximum), own = load(current.maximum), most = code.maxOrSecond(old, own);
        Value base = orZero(most), oldFactor = power(code.subF(old, base)), ownFactor = power(code.subF(own, base));
        code.storeVector(most, current.maximum, {panel, lane});
        code.storeVector(code.fma(load(current.sum), ownFactor, code.mulF(load(earlier.sum), oldFactor)), current.sum,
                         {panel, lane});
        code.storeVector(oldFactor, blockMaximum, {panel, lane});
        code.storeVector(ownFactor, factor, {panel, lane});
      }
    });
  code.loop(zero, rows, 1, [&](Value row) {
    Value panel = code.div(row, code.index(shape.panel())), lane = code.rem(row, code.index(shape.panel()));
    auto spread = [&](Value memref) { return code.broadcast(code.load(memref, {panel, lane})); };
    Value oldFactor = softmax() ? spread(blockMaximum) : Value(), ownFactor = softmax() ? spread(factor) : Value();
    eachColumn([&](Value c) {
      Value old = code.loadVector(earlier.output, {row, c}), own = code.loadVector(current.output, {row, c});
      Value sum = softmax() ? code.fma(own, ownFactor, code.mulF(old, oldFactor)) : code.addF(old, own);
      code.storeVector(sum, current.output, {row, c});
    });
  });
}

void AttentionTask::copy(const Partial &from, const Partial &to) {
  Value zero = code.index(0);
  code.loop(zero, panels, 1, [&](Value panel) {
    for (int v = 0; v < shape.vectors; ++v)
      for (auto [source, target] : {std::pair(from.maximum, to.maximum), std::pair(from.sum, to.sum)}) {
        Value lane = code.index(v * shape.lanes);
        code.storeVector(code.loadVector(source, {panel, lane}), target, {panel, lane});
      }
  });
  code.loop(zero, rows, 1, [&](Value row) {
    eachColumn([&](Value c) { code.storeVector(code.loadVector(from.output, {row, c}), to.output, {row, c}); });
  });
}

//===-- Memory ----------------------------------------------------------------------------------------------------===//

AttentionTask::Partial AttentionTask::reservePartial(ScratchLayout &layout, Value rows) {
  int64_t columns = typeOf(op.getV()).getShape().back();
  int64_t padded = ShapedType::isDynamic(columns) ? dynamic : llvm::divideCeil(columns, shape.lanes) * shape.lanes;
  SmallVector<Value> sizes;
  if (rows)
    sizes.push_back(rows);
  if (ShapedType::isDynamic(padded))
    sizes.push_back(paddedE);
  Partial partial;
  partial.output = layout.allocate({rows ? dynamic : shape.rows(), padded}, sizes);
  for (Value *row : {&partial.maximum, &partial.sum})
    *row = layout.allocate({shape.panels, shape.panel()}, {});
  return partial;
}

void AttentionTask::reserveRows(ScratchLayout &layout) {
  current = reservePartial(layout, nullptr);
  before = reservePartial(layout, nullptr);
  for (Value *row : {&blockMaximum, &factor})
    *row = layout.allocate({shape.panels, shape.panel()}, {});
  if (Type element = copiedValue())
    valueCopy = layout.allocate({shape.keys, dynamic}, {e}, element);
}

/// No key seen yet: maximum -inf (or the sink's), sum 0 (or the sink's share), output 0. Sinks belong to the first
/// span.
void AttentionTask::start(Value isFirst) {
  Value zero = code.index(0), none = code.splat(0);
  if (softmax())
    code.loop(zero, panels, 1, [&](Value p) {
      for (int v = 0; v < shape.vectors; ++v) {
        Value first = code.splat(-std::numeric_limits<float>::infinity()), share = none;
        if (op.getSinks()) {
          Value x = sinksOf(p, v), whole = wholeNumber(x);
          share = code.select(isFirst, power(code.subF(x, orZero(whole))), none);
          first = code.select(isFirst, whole, first);
        }
        Value lane = code.index(v * shape.lanes);
        code.storeVector(first, current.maximum, {p, lane});
        code.storeVector(share, current.sum, {p, lane});
      }
    });
  code.loop(zero, outputRows(), 1,
            [&](Value row) { eachColumn([&](Value c) { code.storeVector(none, current.output, {row, c}); }); });
}

void AttentionTask::eachColumn(llvm::function_ref<void(Value)> body) {
  IntegerAttr columns;
  constexpr int64_t few = 8;
  if (!matchPattern(paddedE, m_Constant(&columns)) || columns.getInt() > few * shape.lanes)
    return code.loop(code.index(0), paddedE, shape.lanes, body);
  for (int64_t c = 0; c < columns.getInt(); c += shape.lanes)
    body(code.index(c));
}

/// The sinks of a vector of rows, in the scores' unit.
Value AttentionTask::sinksOf(Value panel, int vector) {
  Value first = code.add(code.mul(panel, shape.panel()), vector * shape.lanes), last = code.sub(rows, code.index(1));
  code.loop(code.index(0), code.index(shape.lanes), 1, [&](Value lane) {
    Row row = rowAt(code.min(code.add(first, lane), last));
    code.store(code.load(mapped(op.getSinks()), row.batch), factor, {panel, lane});
  });
  Value x = code.loadVector(factor, {panel, code.index(0)});
  return inLog2() ? code.mulF(x, code.splat(1.4426950408889634f)) : x;
}

//===-- A block of keys -------------------------------------------------------------------------------------------===//

/// The keys from `begin`, where some row may see some of them: `enter` before them unless the span is `entered`; gives
/// whether it is now.
Value AttentionTask::keyBlock(Value begin, Value careful, Value entered, llvm::function_ref<void()> enter) {
  Keys keys{begin, code.min(code.index(shape.keys), code.sub(s, begin))};
  if (!decided) {
    block(keys, careful);
    return entered;
  }
  Box box = queriesSeeing(begin, code.add(begin, keys.count));
  summarizeKeys(box);
  if (tilesMask())
    visibility->summarizeTiles(box);
  Value seen = code.logicalNot(visibility->query(box).none);
  code.branch(seen, [&] {
    code.branch(code.logicalNot(entered), enter);
    block(keys, careful);
  });
  return code.logicalOr(entered, seen);
}

void AttentionTask::addCarefully(Value row, Value begin, Value end, llvm::function_ref<Value(Value key)> weight) {
  Type bits = code.b.getI32Type();
  Value hiddenBits = arith::ConstantOp::create(code.b, code.loc, code.b.getI32IntegerAttr(INT32_MIN));
  code.loop(code.index(0), e, shape.lanes, [&](Value column) {
    Value inside = code.laneMask(code.sub(e, column));
    Value init = code.loadVector(current.output, {row, column});
    Code::Values sums = code.carry(begin, end, 1, init, [&](Value k, ValueRange sofar) {
      Value w = weight(k);
      Value hidden = code.equal(code.bitcast(w, bits), hiddenBits);
      return code.choose(
          hidden, code.vector(), [&] { return Code::Values(sofar); },
          [&] {
            Value v = code.loadMasked(valueView, {valueRow(k), column}, inside);
            return Code::Values{code.fma(code.broadcast(w), v, sofar[0])};
          });
    });
    code.storeVector(sums[0], current.output, {row, column});
  });
}

//===-- Outputs ---------------------------------------------------------------------------------------------------===//

void AttentionTask::finish() {
  Value zero = code.index(0), one = code.splat(1), none = code.splat(0);
  if (softmax())
    code.loop(zero, panels, 1, [&](Value panel) {
      for (int v = 0; v < shape.vectors; ++v) {
        Value lane = code.index(v * shape.lanes), total = code.loadVector(current.sum, {panel, lane});
        Value empty = code.compareF(arith::CmpFPredicate::OEQ, total, none);
        Value inverse = arith::DivFOp::create(code.b, code.loc, one, total);
        code.storeVector(code.select(empty, none, inverse), factor, {panel, lane});
      }
      if (op.getLse())
        writeSums(panel);
    });
  code.loop(zero, rows, 1, [&](Value row) {
    Value panel = code.div(row, code.index(shape.panel())), lane = code.rem(row, code.index(shape.panel()));
    writeRow(row, softmax() ? code.load(factor, {panel, lane}) : Value());
  });
}

Value AttentionTask::anyNotFinite() {
  constexpr int64_t together = 4; // rows, whose chains hide the latency; the last one stands in for those beyond it
  Value zero = code.index(0), none = code.splat(0), last = code.sub(rows, code.index(1));
  Code::Values bad = code.carry(zero, rows, together, Code::Values(together, none), [&](Value first, ValueRange sofar) {
    Code::Values its;
    for (int64_t i = 0; i < together; ++i)
      its.push_back(code.min(code.add(first, i), last));
    return code.carry(zero, paddedE, shape.lanes, sofar, [&](Value c, ValueRange x) {
      Code::Values next; // 0 * y is NaN where y is not finite
      for (auto [row, chain] : llvm::zip(its, x))
        next.push_back(code.fma(code.loadVector(current.output, {row, c}), none, chain));
      return next;
    });
  });
  Value sum = bad[0];
  for (Value chain : ArrayRef(bad).drop_front())
    sum = code.addF(sum, chain);
  Value unordered = code.compareF(arith::CmpFPredicate::UNO, sum, sum);
  return vector::ReductionOp::create(code.b, code.loc, vector::CombiningKind::OR, unordered);
}

void AttentionTask::writeRow(Value row, Value factor) {
  Value out = mapped(op.getOut()), zero = code.index(0);
  Row at = rowAt(row);
  Matrix matrix = matrixAt(code, out, at.batch);
  Value scales = factor ? code.broadcast(factor) : Value();
  auto scaled = [&](Value x) { return factor ? code.mulF(x, x.getType().isF32() ? factor : scales) : x; };
  auto vectors = [&] {
    Value adjacent = matrixAt(code, out, at.batch, /*assumeUnit=*/true).memref;
    Value whole = code.sub(e, code.rem(e, code.index(shape.lanes)));
    code.loop(zero, whole, shape.lanes, [&](Value c) {
      code.storeVector(scaled(code.loadVector(current.output, {row, c})), adjacent, {at.query, c});
    });
    code.branch(code.less(whole, e), [&] {
      code.storeMasked(scaled(code.loadVector(current.output, {row, whole})), adjacent, {at.query, whole},
                       code.laneMask(code.sub(e, whole)));
    });
  };
  auto elements = [&] {
    code.loop(zero, e, 1,
              [&](Value c) { code.store(scaled(code.load(current.output, {row, c})), matrix.memref, {at.query, c}); });
  };
  if (matrix.unitColumns)
    vectors();
  else
    code.branch(code.equal(matrix.columnStride(), code.index(1)), vectors, elements);
}

/// lse = maximum + log(sum), -inf where nothing was seen.
void AttentionTask::writeSums(Value panel) {
  Value logTwo = code.splat(0.6931471805599453f);
  MathBuilder math(code.b, code.loc, target);
  for (int v = 0; v < shape.vectors; ++v) {
    Value lane = code.index(v * shape.lanes);
    Value most = code.loadVector(current.maximum, {panel, lane});
    if (inLog2())
      most = code.mulF(most, logTwo);
    Value lse = code.addF(most, math.log(code.loadVector(current.sum, {panel, lane})));
    // The block's maximum is free by now.
    code.storeVector(lse, blockMaximum, {panel, lane});
  }
  Value first = code.mul(panel, shape.panel());
  Value count = code.min(code.index(shape.panel()), code.sub(rows, first));
  code.loop(code.index(0), count, 1, [&](Value lane) {
    Row row = rowAt(code.add(first, lane));
    row.batch.push_back(row.query);
    code.store(code.load(blockMaximum, {panel, lane}), mapped(op.getLse()), row.batch);
  });
}

} // namespace fovea::kernels
