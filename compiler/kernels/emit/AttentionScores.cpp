// Scores, the score and mask regions on them, and their exponentials.
#include "compiler/kernels/emit/AttentionTask.h"

#include "compiler/kernels/emit/Vectorize.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;

namespace fovea::kernels {
namespace {
constexpr float infinity = std::numeric_limits<float>::infinity();
/// The running maximum moves when it is exceeded by a factor of more than 2^8.
constexpr float slack = 8;
constexpr float logTwo = 0.6931471805599453f;
constexpr float logE = 1.4426950408889634f; // to base 2
/// Added to a number below 2^22 in magnitude it rounds to an integer, which then stands in the low bits.
constexpr float rounding = 12582912;
/// 2^f on [-1/2, 1/2] by x^1 ..., 1 at 0; relative error 9.2e-8 before rounding.
constexpr float powers[] = {0.6931469775989937f, 0.24022242085262285f, 0.05550733743496948f, 0.009671512644823407f,
                            0.0013264727123640959f};

bool dependsOnPoint(Value value, Block *block, unsigned batchAxes) {
  if (auto argument = dyn_cast<BlockArgument>(value))
    return argument.getOwner() == block && !(argument.getArgNumber() >= 1 && argument.getArgNumber() <= batchAxes);
  Operation *op = value.getDefiningOp();
  if (op->getBlock() != block)
    return false;
  return llvm::any_of(op->getOperands(), [&](Value x) { return dependsOnPoint(x, block, batchAxes); });
}
} // namespace

ScoreProgram::ScoreProgram(Block &block) : block(&block), scaled(block.getArgument(0)) {
  unsigned batchAxes = block.getNumArguments() - 3;
  while (scaled.hasOneUse()) {
    Operation *user = *scaled.user_begin();
    if (!isa<arith::MulFOp, arith::DivFOp>(user))
      break;
    bool first = user->getOperand(0) == scaled;
    Value other = user->getOperand(first ? 1 : 0);
    if ((isa<arith::DivFOp>(user) && !first) || dependsOnPoint(other, &block, batchAxes))
      break;
    factors.push_back({other, isa<arith::DivFOp>(user)});
    head.push_back(user);
    scaled = user->getResult(0);
  }
  plain = block.getTerminator()->getOperand(0) == scaled;
}

//===-- Small formulas --------------------------------------------------------------------------------------------===//

/// An integer within 1/2 of x, or x itself where it is large, infinite or NaN.
Value AttentionTask::wholeNumber(Value x) {
  Value magic = code.splat(rounding);
  Value rounded = code.subF(code.addF(x, magic), magic);
  Value magnitude = math::AbsFOp::create(code.b, code.loc, x);
  Value small = code.compareF(arith::CmpFPredicate::OLT, magnitude, code.splat(4194304));
  return code.select(small, rounded, x);
}

/// A maximum to subtract: 0 for rows that have seen nothing, whose scores are all -inf.
Value AttentionTask::orZero(Value maximum) {
  Value none = code.compareF(arith::CmpFPredicate::OEQ, maximum, code.splat(-infinity));
  return code.select(none, code.splat(0), maximum);
}

/// The exponential of a difference of scores, in their unit: 0 where 2^-126.5 is not reached; NaN stays NaN.
Value AttentionTask::power(Value x) {
  Value magic = code.splat(rounding + 127);
  bool natural = !inLog2();
  x = code.maxOrSecond(code.splat(natural ? -127 * logTwo : -127), x);
  // The low bits of `shifted` are the exponent field of 2^round(x).
  Value shifted = natural ? code.fma(x, code.splat(logE), magic) : code.addF(x, magic);
  Value whole = code.subF(shifted, magic);
  Value fraction =
      natural ? code.fma(x, code.splat(logE), arith::NegFOp::create(code.b, code.loc, whole)) : code.subF(x, whole);
  Value p = code.splat(powers[4]);
  for (int i = 3; i >= 0; --i)
    p = code.fma(p, fraction, code.splat(powers[i]));
  p = code.fma(p, fraction, code.splat(1));
  Value bits = code.bitcast(shifted, code.vectorOf(code.b.getI32Type()));
  Value exponent = arith::ShLIOp::create(code.b, code.loc, bits, code.splatInt(23));
  // A product and not an addition to the exponent: NaN stays NaN.
  return code.mulF(p, code.bitcast(exponent, code.vector()));
}

//===-- Scores ----------------------------------------------------------------------------------------------------===//

void AttentionTask::scores(Value panel, const Keys &keys) {
  Value zero = code.index(0);
  if (softmax())
    for (int v = 0; v < shape.vectors; ++v)
      code.storeVector(code.splat(-infinity), blockMaximum, {panel, code.index(v * shape.lanes)});
  Value first = zero, last = keys.count;
  if (mask) {
    auto [low, high] = chunks(panel, keys, code.index(shape.keys), zero);
    first = low, last = code.max(low, high);
  } else {
    products(panel, keys, zero, keys.count, code.boolean(score.plain && softmax()));
    if (!score.plain)
      regions(panel, keys, zero, keys.count, code.boolean(true));
  }
  code.store(first, firstKey, panel);
  code.store(last, lastKey, panel);
}

/// The panel's scores chunk by chunk; gives the range of keys that it sees some of.
std::pair<Value, Value> AttentionTask::chunks(Value panel, const Keys &keys, Value first, Value last) {
  Value begin = firstQuery(panel), end = code.min(code.add(begin, shape.panel()), t);
  Value zero = code.index(0), blockEnd = code.add(keys.begin, keys.count);
  // A block that the panel sees whole is one chunk.
  Value whole = visibility->query(Box{begin, end, keys.begin, blockEnd}).all;
  Value step = code.select(whole, code.index(shape.keys), code.index(chunk()));
  Code::Values range = code.carry(zero, keys.count, step, {first, last}, [&](Value from, ValueRange sofar) {
    Value to = code.min(code.add(from, step), keys.count);
    Visibility::Answer answer =
        visibility->query(Box{begin, end, code.add(keys.begin, from), code.add(keys.begin, to)});
    return code.choose(
        answer.none, sofar.getTypes(),
        [&] {
          hide({zero, shape.vectors}, panel, from, to);
          return Code::Values(sofar);
        },
        [&] {
          Value keep = score.plain && softmax() ? answer.all : code.boolean(false);
          products(panel, keys, from, to, keep);
          regions(panel, keys, from, to, answer.all);
          return Code::Values{code.min(sofar[0], from), code.max(sofar[1], to)};
        });
  });
  return {range[0], range[1]};
}

/// Scores of keys [begin, end) that none of these queries sees: another chunk after them may be seen.
void AttentionTask::hide(const Vectors &vectors, Value panel, Value begin, Value end) {
  Value hidden = code.splat(softmax() ? -infinity : -0.0f);
  code.loop(begin, end, 1, [&](Value key) {
    for (int v = 0; v < vectors.count; ++v)
      code.storeVector(hidden, scoreTile, {scoreRow(panel, key), code.add(vectors.lane, v * shape.lanes)});
  });
}

/// S[key] = K[key] . Q for keys [begin, end) of the block; where `keepMaximum`, these are the final scores. A vector
/// that sees none of them, or is beyond the last query, is left out.
void AttentionTask::products(Value panel, const Keys &keys, Value begin, Value end, Value keepMaximum) {
  Value zero = code.index(0), second = code.index(shape.lanes);
  if (shape.vectors == 1)
    return productsOf({zero, 1}, panel, keys, begin, end, keepMaximum);
  assert(shape.vectors == 2);
  Value first = firstQuery(panel), middle = code.add(first, second), last = code.min(code.add(first, shape.panel()), t);
  Value onlyFirst = code.compare(arith::CmpIPredicate::sle, last, middle), onlySecond = code.boolean(false);
  if (mask) {
    Value keyBegin = code.add(keys.begin, begin), keyEnd = code.add(keys.begin, end);
    Value lastOne = code.sub(last, code.index(1)); // keeps the box from being empty
    Value secondHidden = visibility->query(Box{code.min(middle, lastOne), last, keyBegin, keyEnd}).none;
    onlyFirst = code.logicalOr(onlyFirst, secondHidden);
    onlySecond = visibility->query(Box{first, code.min(middle, last), keyBegin, keyEnd}).none;
  }
  code.branch(
      code.logicalOr(onlyFirst, onlySecond),
      [&] {
        productsOf({code.select(onlyFirst, zero, second), 1}, panel, keys, begin, end, keepMaximum);
        hide({code.select(onlyFirst, second, zero), 1}, panel, begin, end);
      },
      [&] { productsOf({zero, 2}, panel, keys, begin, end, keepMaximum); });
}

void AttentionTask::productsOf(const Vectors &vectors, Value panel, const Keys &keys, Value begin, Value end,
                               Value keepMaximum) {
  Value base = code.mul(panel, d), lastOne = code.sub(end, code.index(1));
  Code::Values lanes;
  for (int v = 0; v < vectors.count; ++v)
    lanes.push_back(code.add(vectors.lane, v * shape.lanes));
  int keyRows = std::min(mostKeyRows, shape.keyRows * shape.vectors / vectors.count);
  code.loop(begin, end, keyRows, [&](Value key) {
    Code::Values rows; // beyond the last key the last one is computed again
    for (int r = 0; r < keyRows; ++r)
      rows.push_back(code.min(code.add(key, r), lastOne));
    TileLoop tile{keyRows, vectors.count, 8, [&](int r, Value k) { return code.load(keyView, {rows[r], k}); },
                  [&](int v, Value k) { return code.loadVector(queryTile, {code.add(base, k), lanes[v]}); }};
    Code::Values zero(keyRows * vectors.count, code.splat(0));
    Code::Values sums = multiplyAccumulate(code, tile, code.index(0), d, zero);
    if (!softmax() && score.plain) // -0 marks hidden keys
      for (Value &x : sums)
        x = code.addF(x, code.splat(0));
    Value row = scoreRow(panel, key);
    for (int r = 0; r < keyRows; ++r)
      for (int v = 0; v < vectors.count; ++v)
        code.storeVector(sums[r * vectors.count + v], scoreTile, {code.add(row, r), lanes[v]});
    if (matchPattern(keepMaximum, m_Zero()))
      return;
    code.branch(keepMaximum, [&] {
      for (int v = 0; v < vectors.count; ++v) {
        Value most = code.loadVector(blockMaximum, {panel, lanes[v]});
        // NaN is skipped here and comes back by its exponential: pairs would pass it on.
        for (int r = 0; r < keyRows; ++r)
          most = code.maxOrSecond(sums[r * vectors.count + v], most);
        code.storeVector(most, blockMaximum, {panel, lanes[v]});
      }
    });
  });
}

/// The score and mask regions over rows [begin, end); `all`: nothing there is hidden.
void AttentionTask::regions(Value panel, const Keys &keys, Value begin, Value end, Value all) {
  if (score.plain) {
    code.branch(code.logicalNot(all), [&] { regionRows(panel, keys, begin, end, /*masked=*/true); });
    return;
  }
  Value full = code.compare(arith::CmpIPredicate::sle, code.add(firstQuery(panel), shape.panel()), t);
  code.branch(
      code.logicalAnd(all, full), [&] { regionRows(panel, keys, begin, end, /*masked=*/false); },
      [&] { regionRows(panel, keys, begin, end, /*masked=*/true); });
}

void AttentionTask::regionRows(Value panel, const Keys &keys, Value begin, Value end, bool masked) {
  Value first = firstQuery(panel);
  Value count = code.min(code.index(shape.panel()), code.sub(t, first));
  code.loop(begin, end, 1, [&](Value key) {
    Value row = scoreRow(panel, key);
    code.loop(code.index(0), count, shape.lanes, [&](Value lane) {
      Value lanes = masked ? code.laneMask(code.sub(count, lane)) : Value();
      Value x = regionRow(code.loadVector(scoreTile, {row, lane}), code.add(first, lane), code.add(keys.begin, key),
                          lanes, masked);
      code.storeVector(x, scoreTile, {row, lane});
      if (softmax())
        code.storeVector(code.maxOrSecond(x, code.loadVector(blockMaximum, {panel, lane})), blockMaximum,
                         {panel, lane});
    });
  });
}

void AttentionTask::bindPoint(PointVectorizer &points, Block &block, Value query, Value key, bool withScore) {
  for (auto [i, index] : llvm::enumerate(batch))
    points.bind(block.getArgument(withScore + i), LaneValue::uniform(index));
  points.bind(block.getArgument(withScore + batch.size()), LaneValue::linear(query));
  points.bind(block.getArgument(withScore + batch.size() + 1), LaneValue::uniform(key));
}

/// The scores of queries query... and one key: final.
Value AttentionTask::regionRow(Value x, Value query, Value key, Value lanes, bool masked) {
  FailureContext failures;
  if (exec) {
    Value row = query;
    Value rows = t;
    for (size_t i = batch.size(); i-- > 0;) {
      row = code.add(row, code.mul(batch[i], rows));
      rows = code.mul(rows, batchSizes[i]);
    }
    failures = {exec, LaneValue::linear(row)};
  }
  if (!score.plain) {
    PointVectorizer points(code.b, code.loc, target, shape.lanes, lanes, outer, failures);
    bindPoint(points, *score.block, query, key, /*withScore=*/true);
    points.bind(score.scaled, LaneValue::varying(x));
    for (Operation &inner : score.block->without_terminator())
      if (!llvm::is_contained(score.head, &inner) && failed(points.emit(inner)))
        result = failure();
    x = points.vector(score.block->getTerminator()->getOperand(0));
    if (!softmax()) // -0 marks hidden keys
      x = code.addF(x, code.splat(0));
  }
  if (!mask || !masked)
    return x;
  PointVectorizer points(code.b, code.loc, target, shape.lanes, lanes, outer, failures);
  bindPoint(points, *mask, query, key, /*withScore=*/false);
  if (failed(points.emitBlock(*mask)))
    result = failure();
  Value visible = points.vector(mask->getTerminator()->getOperand(0));
  return code.select(visible, x, code.splat(softmax() ? -infinity : -0.0f));
}

//===-- Weights ---------------------------------------------------------------------------------------------------===//

/// Moves the running maxima where this block exceeds them, then S = 2^(S - maximum) and sum += S.
void AttentionTask::weights(Value panel, Value careful) {
  Code::Values maxima, factors;
  Value moved;
  for (int v = 0; v < shape.vectors; ++v) {
    Value lane = code.index(v * shape.lanes);
    Value old = code.loadVector(maximum, {panel, lane});
    Value now = wholeNumber(code.loadVector(blockMaximum, {panel, lane}));
    Value grows =
        code.compareF(arith::CmpFPredicate::OGT, now, code.addF(old, code.splat(inLog2() ? slack : slack * logTwo)));
    Value next = code.select(grows, now, old);
    code.storeVector(next, maximum, {panel, lane});
    maxima.push_back(orZero(next));
    factors.push_back(power(code.subF(old, maxima.back())));
    // From -inf there is nothing to rescale.
    Value seen = code.compareF(arith::CmpFPredicate::OGT, old, code.splat(-infinity));
    Value mine = code.logicalAnd(grows, seen);
    moved = moved ? code.logicalOr(moved, mine) : mine;
  }
  Value any = vector::ReductionOp::create(code.b, code.loc, vector::CombiningKind::OR, moved);
  code.branch(any, [&] { rescale(panel, factors); });
  code.branch(careful, [&] { exponentials(panel, maxima, true); }, [&] { exponentials(panel, maxima, false); });
}

void AttentionTask::rescale(Value panel, ValueRange factors) {
  for (int v = 0; v < shape.vectors; ++v) {
    Value lane = code.index(v * shape.lanes);
    code.storeVector(factors[v], factor, {panel, lane});
    code.storeVector(code.mulF(factors[v], code.loadVector(sum, {panel, lane})), sum, {panel, lane});
  }
  Value first = code.mul(panel, shape.panel());
  Value count = code.min(code.index(shape.panel()), code.sub(queries, first));
  code.loop(code.index(0), count, 1, [&](Value lane) {
    Value scale = code.broadcast(code.load(factor, {panel, lane})), row = code.add(first, lane);
    code.loop(code.index(0), paddedE, shape.lanes, [&](Value c) {
      code.storeVector(code.mulF(scale, code.loadVector(output, {row, c})), output, {row, c});
    });
  });
}

void AttentionTask::exponentials(Value panel, ValueRange maxima, bool careful) {
  Value first = code.load(firstKey, panel), last = code.load(lastKey, panel);
  auto rowAt = [&](Value key, ValueRange sofar) {
    Code::Values next;
    for (int v = 0; v < shape.vectors; ++v) {
      Value at = scoreRow(panel, key), lane = code.index(v * shape.lanes);
      Value x = code.loadVector(scoreTile, {at, lane});
      Value weight = power(code.subF(x, maxima[v]));
      if (careful) {
        Value hidden = code.compareF(arith::CmpFPredicate::OEQ, x, code.splat(-infinity));
        weight = code.select(hidden, code.splat(-0.0f), weight);
      }
      code.storeVector(weight, scoreTile, {at, lane});
      next.push_back(code.addF(sofar[v], weight));
    }
    return next;
  };
  Code::Values init;
  for (int v = 0; v < shape.vectors; ++v)
    init.push_back(code.loadVector(sum, {panel, code.index(v * shape.lanes)}));
  // Two keys at once hide the latency of the polynomial, where its coefficients leave registers for them.
  int64_t together = careful || target.registers < 32 ? 1 : 2;
  Value middle = code.add(first, code.mul(code.div(code.sub(last, first), code.index(together)), together));
  Code::Values sums = code.carry(first, middle, together, init, [&](Value key, ValueRange sofar) {
    Code::Values x(sofar);
    for (int64_t i = 0; i < together; ++i)
      x = rowAt(code.add(key, i), x);
    return x;
  });
  if (together > 1)
    sums = code.carry(middle, last, 1, sums, [&](Value key, ValueRange sofar) { return rowAt(key, sofar); });
  for (int v = 0; v < shape.vectors; ++v)
    code.storeVector(sums[v], sum, {panel, code.index(v * shape.lanes)});
}

} // namespace fovea::kernels
