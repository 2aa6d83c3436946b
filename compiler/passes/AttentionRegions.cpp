// Regions of graph.attention: the score chain and its masks as point programs.
#include "compiler/passes/AttentionRegions.h"

#include "compiler/analysis/IndexBounds.h"
#include "compiler/analysis/PointProgram.h"
#include "dialects/graph/Places.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

#include <cmath>

using namespace mlir;
using namespace fovea;

static graph::TensorType typeOf(Value value) { return cast<graph::TensorType>(value.getType()); }

namespace {

class RegionBuilder {
public:
  RegionBuilder(AttentionMatch &match, ChainReport &report)
      : match(match), report(report), bounds(match.softmax->getParentOfType<graph::FuncOp>()) {}
  FailureOr<Value> run();

private:
  using Step = llvm::function_ref<LogicalResult(Value condition, bool isNegated, ValueRange indices)>;

  Value keepsNegativeInfinity(Operation *op);
  void collectMasks();
  LogicalResult buildRegions(graph::AttentionOp op);
  LogicalResult buildScore(graph::AttentionOp op);
  LogicalResult buildMask(graph::AttentionOp op);
  SmallVector<Value> softmaxIndices(PointProgram &program, Block *block, bool hasScore);
  PointCallbacks callbacks(OpBuilder &builder, Value score, PointProgram **program);
  bool isCaptured(Value value);
  bool hasTensor(Value value, unsigned depth = 0);
  void describe();
  graph::AttentionOp build(OpBuilder &builder, bool &isWidened);
  Value scale(OpBuilder &builder, Value result, const AttentionMatch::Factor &factor);

  AttentionMatch &match;
  ChainReport &report;
  IndexBounds bounds;
  llvm::SetVector<Value> captures;
  /// What hides keys on top of the chain: a selection between the scores and -inf, or an addend that is 0 or -inf.
  struct Mask {
    Operation *op;                                    ///< of the chain
    Value scores;                                     ///< its operand
    SmallVector<Value, 2> conditions;                 ///< where all hold the key is seen ...
    SmallVector<bool, 2> isInverse;                   ///< ... or, for each, where it does not hold
    SmallVector<SmallVector<Operation *>, 2> layouts; ///< from `op` to the condition: how its elements are found
  };
  SmallVector<Mask> masks;
  bool isAddend(Value addend, SmallVector<Operation *> layouts, Mask &mask);
  llvm::DenseMap<Value, bool> tensors;
};

} // namespace

//===-- Masks -----------------------------------------------------------------------------------------------------===//

static bool isNegativeInfinity(Value value) { return constantValue(value) == -std::numeric_limits<double>::infinity(); }

/// The operand of a chain op through which -inf comes out as -inf; null where it may not.
Value RegionBuilder::keepsNegativeInfinity(Operation *op) {
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
    return bounds.realRangeOf(sub.getRhs()).low ? sub.getLhs() : Value();
  return Value();
}

/// Whether `addend` is 0 or -inf: where(m, 0, -inf), log(m) of a truth value, or sums of such. Then `mask` is extended.
bool RegionBuilder::isAddend(Value addend, SmallVector<Operation *> layouts, Mask &mask) {
  Operation *op = addend.getDefiningOp();
  while (isLayout(op)) {
    layouts.push_back(op);
    op = op->getOperand(0).getDefiningOp();
  }
  auto hides = [&](Value condition, bool isInverse) {
    mask.conditions.push_back(condition);
    mask.isInverse.push_back(isInverse);
    mask.layouts.push_back(layouts);
    return true;
  };
  if (auto select = dyn_cast_or_null<graph::SelectOp>(op)) {
    bool isInverse = isNegativeInfinity(select.getLhs());
    Value hidden = isInverse ? select.getLhs() : select.getRhs(), seen = isInverse ? select.getRhs() : select.getLhs();
    return isNegativeInfinity(hidden) && constantValue(seen) == 0 && hides(select.getCondition(), isInverse);
  }
  if (auto add = dyn_cast_or_null<graph::AddOp>(op))
    return isAddend(add.getLhs(), layouts, mask) && isAddend(add.getRhs(), layouts, mask);
  auto log = dyn_cast_or_null<graph::LogOp>(op);
  if (!log)
    return false;
  op = log.getX().getDefiningOp();
  while (isLayout(op)) {
    layouts.push_back(op);
    op = op->getOperand(0).getDefiningOp();
  }
  auto convert = dyn_cast_or_null<graph::CastOp>(op);
  return convert && typeOf(convert.getX()).getElementType().isInteger(1) && hides(convert.getX(), false);
}

void RegionBuilder::collectMasks() {
  Value value = match.softmax.getX();
  auto isInChain = [&](Value operand) { return match.chain.contains(operand.getDefiningOp()); };
  while (Operation *op = value.getDefiningOp()) {
    if (!match.chain.contains(op))
      return;
    if (auto select = dyn_cast<graph::SelectOp>(op)) {
      bool isInverse = isNegativeInfinity(select.getLhs());
      if ((!isInverse && !isNegativeInfinity(select.getRhs())) || isInChain(select.getCondition()))
        return;
      value = isInverse ? select.getRhs() : select.getLhs();
      masks.push_back({op, value, {select.getCondition()}, {isInverse}, {{}}});
      continue;
    }
    if (isa<graph::AddOp>(op)) {
      bool leftIsScores = isInChain(op->getOperand(0)) || op->getOperand(0) == match.scores.getResult();
      Value scores = op->getOperand(leftIsScores ? 0 : 1), addend = op->getOperand(leftIsScores ? 1 : 0);
      Mask mask{op, scores, {}, {}, {}};
      if (!isInChain(addend) && addend != match.scores.getResult() && isAddend(addend, {}, mask)) {
        masks.push_back(std::move(mask));
        value = scores;
        continue;
      }
    }
    value = keepsNegativeInfinity(op);
    if (!value)
      return;
  }
}

//===-- What is read ----------------------------------------------------------------------------------------------===//

/// Whether a value is computed from tensors, not from constants, sizes and indices alone.
bool RegionBuilder::hasTensor(Value value, unsigned depth) {
  if (auto known = tensors.find(value); known != tensors.end())
    return known->second;
  Operation *op = value.getDefiningOp();
  bool result = !op || !hasPointRule(op) || depth > 2000; // of longer chains the end is captured
  tensors[value] = result;
  for (size_t i = 0; op && !result && i < op->getNumOperands(); ++i)
    result = hasTensor(op->getOperand(i), depth + 1);
  return tensors[value] = result;
}

/// Whether an operand that does not depend on the scores is read whole, or computed in the region from its operands.
/// In the region: what moves elements only, what has no tensor behind it, what costs next to nothing, and what is
/// larger than its operands. Arithmetic on a tensor of its own size is done once, outside.
bool RegionBuilder::isCaptured(Value value) {
  Operation *op = value.getDefiningOp();
  if (!op || !hasPointRule(op) || isa<graph::ConcatOp, graph::UpdateSliceOp>(op))
    return true;
  if (auto gather = dyn_cast<graph::GatherOp>(op)) // read through where it is proved inside: regions cannot fail a run
    return !bounds.isWithin(gather.getIndices(), typeOf(gather.getX()).getDim(gather.getAxis()));
  if (!hasTensor(value) || !isa<graph::ElementwiseOpInterface>(op) || match.chain.contains(op))
    return false;
  if (isa<graph::CastOp, graph::CompareOp, graph::NotOp, graph::AndOp, graph::OrOp, graph::SelectOp>(op))
    return false;
  // As large as the scores: never held.
  DimExpr scores = match.expressions.sizeOf(match.query) * match.expressions.sizeOf(match.key);
  if (!scores.isConstant(0) && DimExpr::exactDiv(typeOf(value).getNumElements(), scores))
    return false;
  return llvm::none_of(op->getOperands(), [&](Value operand) {
    // Something above is spread over more axes than it has.
    SmallVector<Value> work{operand};
    for (size_t steps = 0; !work.empty() && steps < 64; ++steps) {
      Operation *source = work.pop_back_val().getDefiningOp();
      if (isa_and_nonnull<graph::BroadcastOp>(source) && hasTensor(source->getOperand(0)) &&
          typeOf(source->getOperand(0)).getRank() > 0)
        return true;
      if (source && (isLayout(source) || isa<graph::ElementwiseOpInterface>(source)))
        llvm::append_range(work, source->getOperands());
    }
    return false;
  });
}

PointCallbacks RegionBuilder::callbacks(OpBuilder &builder, Value score, PointProgram **program) {
  PointCallbacks result;
  result.isLeaf = [this, score](Value value) {
    if (score && value == match.scores.getResult())
      return true;
    for (const Mask &mask : masks)
      if (score && mask.op == value.getDefiningOp())
        return true;
    return isCaptured(value);
  };
  result.read = [this, &builder, score, program](Value value, ValueRange indices, Value) -> FailureOr<Value> {
    if (score && value == match.scores.getResult()) {
      Type type = typeOf(value).getElementType();
      if (type.isF32())
        return score;
      return arith::TruncFOp::create(builder, value.getLoc(), type, score).getResult();
    }
    // What a mask hides never counts: the score goes past it.
    for (const Mask &mask : masks)
      if (score && mask.op == value.getDefiningOp())
        return (*program)->element(mask.scores, indices);
    captures.insert(value);
    return graph::AtOp::create(builder, value.getLoc(), typeOf(value).getElementType(), value, indices).getResult();
  };
  return result;
}

//===-- Regions ---------------------------------------------------------------------------------------------------===//

/// The softmax's indices from the block's: batch..., t, j.
SmallVector<Value> RegionBuilder::softmaxIndices(PointProgram &program, Block *block, bool hasScore) {
  Location loc = match.softmax.getLoc();
  const ElementExpressions &expressions = match.expressions;
  llvm::DenseMap<Label, Value> values;
  size_t argument = hasScore;
  for (Label label : match.batch)
    values[label] = block->getArgument(argument++);
  for (Label label : match.query)
    values[label] = block->getArgument(argument);
  ++argument;
  auto sizesOf = [&](ArrayRef<Label> labels) {
    return llvm::map_to_vector(labels, [&](Label label) { return expressions.sizeOf(label); });
  };
  SmallVector<Value> keys = program.delinearize(block->getArgument(argument), sizesOf(match.key), loc);
  for (auto [label, value] : llvm::zip_equal(match.key, keys))
    values[label] = value;
  SmallVector<Value> indices;
  for (const AxisLabels &axis : match.softmaxLabels) {
    SmallVector<Value> parts = llvm::map_to_vector(axis, [&](Label label) { return values[label]; });
    indices.push_back(program.linearize(parts, sizesOf(axis), loc));
  }
  return indices;
}

static Block *addBlock(OpBuilder &builder, Region &region, Location loc, size_t indices, bool hasScore) {
  SmallVector<Type> types(indices, builder.getIndexType());
  if (hasScore)
    types.insert(types.begin(), builder.getF32Type());
  return builder.createBlock(&region, {}, types, SmallVector<Location>(types.size(), loc));
}

LogicalResult RegionBuilder::buildScore(graph::AttentionOp op) {
  OpBuilder builder(op.getContext());
  Location loc = match.softmax.getLoc();
  Block *block = addBlock(builder, op.getScore(), loc, match.batch.size() + 2, true);
  PointProgram *self = nullptr;
  PointProgram program(builder, callbacks(builder, block->getArgument(0), &self));
  self = &program;
  FailureOr<Value> score = program.element(match.softmax.getX(), softmaxIndices(program, block, true));
  if (failed(score))
    return report.failed("the score cannot be written as a function of indices", loc);
  Value result = *score;
  if (unsigned width = result.getType().getIntOrFloatBitWidth(); width < 32)
    result = arith::ExtFOp::create(builder, loc, builder.getF32Type(), result);
  else if (width > 32)
    return report.failed("the scores are wider than f32", loc);
  graph::YieldOp::create(builder, loc, result);
  return success();
}

LogicalResult RegionBuilder::buildMask(graph::AttentionOp op) {
  if (masks.empty())
    return success();
  OpBuilder builder(op.getContext());
  Location loc = match.softmax.getLoc();
  Block *block = addBlock(builder, op.getMask(), loc, match.batch.size() + 2, false);
  PointProgram *self = nullptr;
  PointProgram program(builder, callbacks(builder, Value(), &self));
  self = &program;
  SmallVector<Value> indices = softmaxIndices(program, block, false);
  Value value = match.softmax.getX(), visible;
  size_t next = 0;
  while (next < masks.size()) {
    Operation *source = value.getDefiningOp();
    const Mask &mask = masks[next];
    if (source != mask.op) {
      Value inner = keepsNegativeInfinity(source);
      if (isLayout(source))
        indices = program.layoutIndices(source, indices);
      value = inner;
      continue;
    }
    for (auto [condition, isInverse, layouts] : llvm::zip_equal(mask.conditions, mask.isInverse, mask.layouts)) {
      SmallVector<Value> at = indices;
      for (Operation *layout : layouts)
        at = program.layoutIndices(layout, at);
      FailureOr<Value> element = program.element(condition, at);
      if (failed(element))
        return report.failed("the mask cannot be written as a function of indices", source->getLoc());
      Value seen = *element;
      if (isInverse) {
        Value truth = arith::ConstantOp::create(builder, source->getLoc(), builder.getBoolAttr(true));
        seen = arith::XOrIOp::create(builder, source->getLoc(), seen, truth);
      }
      visible = visible ? arith::AndIOp::create(builder, source->getLoc(), visible, seen).getResult() : seen;
    }
    value = mask.scores;
    ++next;
  }
  graph::YieldOp::create(builder, loc, visible);
  return success();
}

//===-- The op ----------------------------------------------------------------------------------------------------===//

/// Says what is a mask. What is read, and how, can be seen of the op.
void RegionBuilder::describe() {
  for (const Mask &mask : masks) {
    bool comparesIndices = llvm::none_of(mask.conditions, [&](Value condition) { return hasTensor(condition); });
    std::string fact = isa<graph::AddOp>(mask.op) ? "mask, added as 0 or -inf: " : "mask: ";
    report.proved(fact + (comparesIndices ? "from indices alone (tiles can be skipped)" : "from tensors"));
  }
}

/// The op with operands in its layout, without captures and regions.
graph::AttentionOp RegionBuilder::build(OpBuilder &builder, bool &isWidened) {
  // The softmax's place, the path of what comes out.
  Location loc = withPath(match.softmax.getLoc(), pathOf(match.product.getLoc())), pathless = withPath(loc, "");
  const ElementExpressions &expressions = match.expressions;
  auto layout = [&](AxisLabels row, AxisLabels column) {
    TensorLabels result;
    for (Label label : match.batch)
      result.push_back({label});
    result.push_back(std::move(row));
    result.push_back(std::move(column));
    return result;
  };
  Type element = typeOf(match.q).getElementType();
  isWidened = element != typeOf(match.k).getElementType() || element != typeOf(match.v).getElementType();
  auto operand = [&](Value value, const TensorLabels &from, const TensorLabels &to) {
    if (isWidened && !typeOf(value).getElementType().isF32())
      value = graph::CastOp::create(builder, pathless, typeOf(value).cloneWith(builder.getF32Type()), value);
    return relabel(builder, pathless, expressions, value, from, to);
  };
  Value q = operand(match.q, match.qLabels, layout(match.query, match.inner));
  Value k = operand(match.k, match.kLabels, layout(match.key, match.inner));
  Value v = operand(match.v, match.vLabels, layout(match.key, match.value));
  SmallVector<DimExpr> dims = llvm::to_vector(typeOf(q).getDims());
  dims.back() = typeOf(v).getDims().back();
  graph::TensorType type = typeOf(q).cloneWith(dims);
  return graph::AttentionOp::create(builder, loc, TypeRange(type), q, k, v, ValueRange(), Value(),
                                    builder.getStringAttr("softmax"));
}

FailureOr<Value> RegionBuilder::run() {
  collectMasks();
  OpBuilder builder(match.product);
  bool isWidened = false;
  graph::AttentionOp op = build(builder, isWidened);
  report.result = op.getLoc();
  if (failed(buildScore(op)) || failed(buildMask(op))) {
    op.erase();
    return failure();
  }
  op.getCapturesMutable().assign(captures.getArrayRef());
  describe();
  TensorLabels labels;
  for (Label label : match.batch)
    labels.push_back({label});
  labels.push_back(match.query);
  labels.push_back(match.value);
  Value result = op.getResult();
  Type element = typeOf(match.product.getResult()).getElementType();
  if (typeOf(result).getElementType() != element)
    result = graph::CastOp::create(builder, op.getLoc(), typeOf(result).cloneWith(element), result);
  result = relabel(builder, op.getLoc(), match.expressions, result, labels, match.resultLabels);
  for (const AttentionMatch::Factor &factor : match.factors)
    result = scale(builder, result, factor);
  return result;
}

/// The result times a factor of the weights, in the result's type.
Value RegionBuilder::scale(OpBuilder &builder, Value result, const AttentionMatch::Factor &factor) {
  Location loc = match.softmax.getLoc();
  Type element = typeOf(result).getElementType();
  Value by = factor.node->value;
  if (typeOf(by).getElementType() != element)
    by = graph::CastOp::create(builder, loc, typeOf(by).cloneWith(element), by);
  by = relabel(builder, loc, match.expressions, by, factor.node->labels, match.resultLabels);
  if (factor.divides)
    return graph::DivOp::create(builder, loc, result, by);
  return graph::MulOp::create(builder, loc, result, by);
}

FailureOr<Value> fovea::buildAttention(AttentionMatch &match, ChainReport &report) {
  return RegionBuilder(match, report).run();
}
