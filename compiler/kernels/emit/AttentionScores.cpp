// What both variants do with a vector of scores: the regions, the running maximum, the exponential.
#include "compiler/kernels/emit/AttentionTask.h"

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
  ValueRange results = block.getTerminator()->getOperands();
  factor = results.size() > 1 ? results.back() : Value();
  plain = results.front() == scaled && !factor;
}

//===-- Regions ---------------------------------------------------------------------------------------------------===//

FailureOr<Value> ScoreProgram::scale(Code &code, const IRMapping &outer, ValueRange batch) const {
  if (factors.empty())
    return Value();
  PointVectorizer point(code.b, code.loc, code.target, code.lanes, nullptr, outer);
  for (auto [i, index] : llvm::enumerate(batch))
    point.bind(block->getArgument(1 + i), LaneValue::uniform(index));
  // Only what the factors need: the rest depends on queries and keys.
  SmallPtrSet<Operation *, 8> slice;
  SmallVector<Value> work;
  for (const Factor &f : factors)
    work.push_back(f.value);
  while (!work.empty()) {
    Operation *define = work.pop_back_val().getDefiningOp();
    if (define && define->getBlock() == block && slice.insert(define).second)
      llvm::append_range(work, define->getOperands());
  }
  for (Operation &inner : *block)
    if (slice.contains(&inner) && failed(point.emit(inner)))
      return failure();
  Value scale;
  for (const Factor &f : factors) {
    Value x = point.lookup(f.value).value;
    if (f.divide)
      scale = arith::DivFOp::create(code.b, code.loc, scale ? scale : code.scalar(1), x);
    else
      scale = scale ? code.mulF(scale, x) : x;
  }
  return scale;
}

/// The product of the score's head factors, with log2(e) where the exponential follows at once.
Value AttentionTask::scoreScale(ValueRange batch) {
  Value unit = code.scalar(inLog2() ? logE : 1.0f);
  FailureOr<Value> scale = score.scale(code, outer, batch);
  if (failed(scale)) {
    result = failure();
    return unit;
  }
  if (!*scale)
    return unit;
  return inLog2() ? code.mulF(*scale, unit) : *scale;
}

/// What a hidden key's score is: of no weight, and with a pointwise normaliser a weight that no visible key has.
Value AttentionTask::hiddenScore() { return code.splat(softmax() || selects() ? -infinity : -0.0f); }

void AttentionTask::bindPoints(PointVectorizer &points, Block &region, const Points &at) {
  unsigned first = &region == score.block ? 1 : 0, axes = at.row.batch.size();
  for (auto [i, index] : llvm::enumerate(at.row.batch))
    points.bind(region.getArgument(first + i), LaneValue::uniform(index));
  points.bind(region.getArgument(first + axes), at.query);
  points.bind(region.getArgument(first + axes + 1), at.key);
}

AttentionTask::Scored AttentionTask::pointScores(Value x, const Points &at) {
  FailureContext failures;
  if (exec && op->walk([](kernel::CheckOp) { return WalkResult::interrupt(); }).wasInterrupted()) {
    LaneValue point = at.query; // the row's number orders failures
    Value stride = t;
    for (size_t i = at.row.batch.size(); i-- > 0;) {
      point.value = code.add(point.value, code.mul(at.row.batch[i], stride));
      stride = code.mul(stride, batchSizes[i]);
    }
    failures = {exec, point};
  }
  auto emit = [&](Block &region) {
    PointVectorizer points(code.b, code.loc, target, shape.lanes, at.active, outer, failures);
    if (!target.maskRegisters)
      points.branchOnLoadMasks();
    bindPoints(points, region, at);
    if (&region == score.block)
      points.bind(score.scaled, LaneValue::varying(x));
    if (at.bindCaptures)
      at.bindCaptures(region, points);
    for (Operation &inner : region.without_terminator()) {
      bool isKnown = inner.getNumResults() == 1 && points.isBound(inner.getResult(0));
      if (!isKnown && !llvm::is_contained(score.head, &inner) && failed(points.emit(inner)))
        result = failure();
    }
    return llvm::map_to_vector(region.getTerminator()->getOperands(), [&](Value y) { return points.vector(y); });
  };
  Scored found{x, Value()};
  if (!score.plain) {
    auto results = emit(*score.block);
    found.scores = results.front();
    if (score.factor)
      found.factors = results.back();
  }
  if (!softmax()) // -0 marks hidden keys
    found.scores = code.addF(found.scores, code.splat(0));
  if (mask && at.masked) {
    Value visible = emit(*mask).front();
    found.scores = code.select(visible, found.scores, hiddenScore());
    if (score.factor) // whatever it is there
      found.factors = code.select(visible, found.factors, code.splat(0));
  }
  return found;
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

Value power(Code &code, Value x, bool natural) {
  Value magic = code.splat(rounding + 127);
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

//===-- Weights ---------------------------------------------------------------------------------------------------===//

Code::Values AttentionTask::moveMaxima(Value panel) {
  Code::Values maxima, factors;
  Value moved;
  for (int v = 0; v < shape.vectors; ++v) {
    Value lane = code.index(v * shape.lanes);
    Value old = code.loadVector(current.maximum, {panel, lane});
    Value now = wholeNumber(code.loadVector(blockMaximum, {panel, lane}));
    Value grows =
        code.compareF(arith::CmpFPredicate::OGT, now, code.addF(old, code.splat(inLog2() ? slack : slack * logTwo)));
    Value next = code.select(grows, now, old);
    code.storeVector(next, current.maximum, {panel, lane});
    maxima.push_back(orZero(next));
    factors.push_back(power(code.subF(old, maxima.back())));
    // From -inf there is nothing to rescale.
    Value seen = code.compareF(arith::CmpFPredicate::OGT, old, code.splat(-infinity));
    Value mine = code.logicalAnd(grows, seen);
    moved = moved ? code.logicalOr(moved, mine) : mine;
  }
  Value any = vector::ReductionOp::create(code.b, code.loc, vector::CombiningKind::OR, moved);
  code.branch(any, [&] { rescale(panel, factors); });
  return maxima;
}

void AttentionTask::rescale(Value panel, ValueRange factors) {
  for (int v = 0; v < shape.vectors; ++v) {
    Value lane = code.index(v * shape.lanes);
    code.storeVector(factors[v], factor, {panel, lane});
    code.storeVector(code.mulF(factors[v], code.loadVector(current.sum, {panel, lane})), current.sum, {panel, lane});
  }
  Value first = code.mul(panel, shape.panel());
  Value count = code.min(code.index(shape.panel()), code.sub(rows, first));
  code.loop(code.index(0), count, 1, [&](Value lane) {
    Value scale = code.broadcast(code.load(factor, {panel, lane})), row = code.add(first, lane);
    eachColumn([&](Value c) {
      code.storeVector(code.mulF(scale, code.loadVector(current.output, {row, c})), current.output, {row, c});
    });
  });
}

Value AttentionTask::weights(Value scores, Value maximum, bool careful) {
  Value weight = power(code.subF(scores, maximum));
  if (!careful)
    return weight;
  Value hidden = code.compareF(arith::CmpFPredicate::OEQ, scores, code.splat(-infinity));
  return code.select(hidden, code.splat(-0.0f), weight);
}

Value AttentionTask::changed(Value weights, Value factors, bool careful) {
  Value product = code.mulF(weights, factors);
  if (!careful)
    return product;
  Value bits = code.bitcast(weights, code.vectorOf(code.b.getI32Type()));
  Value hidden = code.logicalOr(code.equal(bits, code.splatInt(INT32_MIN)),
                                code.compareF(arith::CmpFPredicate::OEQ, factors, code.splat(0)));
  return code.select(hidden, code.splat(-0.0f), code.addF(product, code.splat(0)));
}

} // namespace fovea::kernels
