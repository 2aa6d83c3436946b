// Statistics of attention weights become statistics of the scores and their log-sum-exp:
//
//   sum over keys or queries of f(softmax(x))   ->  contract(f(exp(x - lse)), ones), which graph-fuse-attention knows
//   top_k(softmax(x)), argmax, max over keys    ->  top_k(x), its values as exp(v - lse)
//
// where x is computed from a contraction. Pays because nothing then asks for the weights, which are queries by keys: a
// pass over the tiles, or over the scores of a row, gives what is wanted. Numerical effect: see Passes.td.
#include "compiler/passes/ElementExpression.h"
#include "compiler/passes/Passes.h"

#include "mlir/IR/IRMapping.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/ADT/SetVector.h"

#include <limits>

namespace fovea {
#define GEN_PASS_DEF_RAISESTATISTICS
#include "compiler/passes/Passes.h.inc"
} // namespace fovea

using namespace mlir;
using namespace fovea;

using Node = ElementExpressions::Node;

static graph::TensorType typeOf(Value value) { return cast<graph::TensorType>(value.getType()); }

static graph::TensorType withoutAxis(graph::TensorType type, int64_t axis) {
  SmallVector<DimExpr> dims = llvm::to_vector(type.getDims());
  dims.erase(dims.begin() + axis);
  return type.cloneWith(ArrayRef<DimExpr>(dims));
}

namespace {
/// What an op's operand is computed from, element by element.
struct Cone {
  llvm::SetVector<Operation *> ops; ///< elementwise and layout ops
  llvm::SetVector<Operation *> softmaxes, contractions;

  explicit Cone(Value root) {
    SmallVector<Value> work{root};
    while (!work.empty() && ops.size() < 256) {
      Operation *op = work.pop_back_val().getDefiningOp();
      if (isa_and_nonnull<graph::SoftmaxOp>(op))
        softmaxes.insert(op);
      else if (isa_and_nonnull<graph::ContractOp>(op))
        contractions.insert(op);
      else if ((isLayout(op) || isa_and_nonnull<graph::ElementwiseOpInterface>(op)) && ops.insert(op))
        llvm::append_range(work, op->getOperands());
    }
  }
};

/// Graph ops at one place.
struct Ops {
  OpBuilder &builder;
  Location loc;

  Value number(graph::TensorType type, double value) {
    Value scalar = graph::ConstantOp::create(builder, loc, type.cloneWith(ArrayRef<DimExpr>()),
                                             builder.getFloatAttr(type.getElementType(), value));
    return type.getRank() ? graph::BroadcastOp::create(builder, loc, type, scalar, ArrayRef<int64_t>()) : scalar;
  }
  Value less(Value a, Value b) { return graph::SubOp::create(builder, loc, a, b).getResult(); }
  Value exp(Value x) { return graph::ExpOp::create(builder, loc, x).getResult(); }
  /// `then` where x is -inf, `other` elsewhere.
  Value whereEmpty(Value x, Value then, Value other) {
    Value lowest = number(typeOf(x), -std::numeric_limits<double>::infinity());
    Value isEmpty = graph::CompareOp::create(builder, loc, typeOf(x).cloneWith(builder.getI1Type()), "eq", x, lowest);
    return graph::SelectOp::create(builder, loc, typeOf(other), isEmpty, then, other);
  }
  /// x, and 0 where it is -inf.
  Value orZero(Value x) { return whereEmpty(x, number(typeOf(x), 0), x); }
};

class Statistics {
public:
  /// Sums of what depends on the weights element by element.
  bool raise(graph::ReduceOp sum);
  /// The largest weights: by the largest scores.
  bool raise(graph::TopKOp topK);
  /// The largest weight alone, or where it is.
  bool raiseLargest(Operation *op, int64_t axis);

private:
  Value logSumOf(graph::SoftmaxOp softmax);
  Value weightsOf(graph::SoftmaxOp softmax);
  std::pair<Value, Value> largest(graph::SoftmaxOp softmax, Operation *at, DimExpr count);

  llvm::DenseMap<Operation *, Value> logSums, weights;
};
} // namespace

/// A softmax of a contraction's elements, in f32.
static bool isOfScores(graph::SoftmaxOp softmax) {
  return softmax && softmax.getType().getElementType().isF32() && !Cone(softmax.getX()).contractions.empty();
}

/// The log-sum-exp of all logits of a softmax, its sink among them.
Value Statistics::logSumOf(graph::SoftmaxOp softmax) {
  Value &known = logSums[softmax];
  if (known)
    return known;
  OpBuilder builder(softmax);
  Ops ops{builder, softmax.getLoc()};
  graph::TensorType rows = withoutAxis(softmax.getType(), softmax.getAxis());
  known = graph::LogSumExpOp::create(builder, ops.loc, rows, softmax.getX(), softmax.getAxis());
  if (Value sink = softmax.getSink()) {
    Value shift = ops.orZero(graph::MaxOp::create(builder, ops.loc, known, sink).getResult());
    Value total =
        graph::AddOp::create(builder, ops.loc, ops.exp(ops.less(known, shift)), ops.exp(ops.less(sink, shift)));
    Value log = graph::LogOp::create(builder, ops.loc, total);
    known = graph::AddOp::create(builder, ops.loc, shift, log);
  }
  return known;
}

/// exp(x - lse), 0 where there is nothing to see.
Value Statistics::weightsOf(graph::SoftmaxOp softmax) {
  if (Value known = weights.lookup(softmax))
    return known;
  Value logSum = logSumOf(softmax);
  OpBuilder builder(softmax);
  Ops ops{builder, softmax.getLoc()};
  SmallVector<int64_t> axes = llvm::to_vector(llvm::seq<int64_t>(0, softmax.getType().getRank()));
  axes.erase(axes.begin() + softmax.getAxis());
  Value shift = graph::BroadcastOp::create(builder, ops.loc, softmax.getType(), ops.orZero(logSum), axes);
  return weights[softmax] = ops.exp(ops.less(softmax.getX(), shift));
}

/// The first axis of the sum that one factor of the weights' scores has alone: keys or queries.
static std::optional<int64_t> axisOfKeysOrQueries(graph::ReduceOp sum) {
  ElementExpressions expressions;
  TensorLabels root = expressions.newLabels(typeOf(sum.getX()));
  auto leaves = [](const Node *node, auto isWanted) {
    llvm::SetVector<const Node *> seen, found;
    seen.insert(node);
    for (size_t i = 0; i < seen.size(); ++i) {
      if (seen[i]->kind == Node::Leaf && isWanted(seen[i]->value.getDefiningOp()))
        found.insert(seen[i]);
      seen.insert(seen[i]->children.begin(), seen[i]->children.end());
    }
    return found;
  };
  return expressions.solve([&]() -> std::optional<int64_t> {
    TensorLabels labels = expressions.expand(root);
    const Node *element = expressions.element(sum.getX(), labels);
    if (!element)
      return std::nullopt;
    for (const Node *weights : leaves(element, [](Operation *op) { return isa_and_nonnull<graph::SoftmaxOp>(op); })) {
      const Node *score = expressions.element(weights->value.getDefiningOp<graph::SoftmaxOp>().getX(), weights->labels);
      if (!score)
        return std::nullopt;
      for (const Node *leaf : leaves(score, [](Operation *op) { return isa_and_nonnull<graph::ContractOp>(op); })) {
        auto contract = leaf->value.getDefiningOp<graph::ContractOp>();
        for (auto [label, axis] : llvm::zip_equal(contract.getOutLabels(), leaf->labels)) {
          bool isFree =
              llvm::is_contained(contract.getLhsLabels(), label) != llvm::is_contained(contract.getRhsLabels(), label);
          for (int64_t reduced : sum.getAxes())
            if (isFree && llvm::any_of(labels[reduced], [&](Label mine) { return llvm::is_contained(axis, mine); }))
              return reduced;
        }
      }
    }
    return std::nullopt;
  });
}

/// A value as it is with other weights: what stands between is computed for this use alone.
static Value withWeights(OpBuilder &builder, Value value, const Cone &cone, IRMapping &weights) {
  SmallVector<Operation *> ops = llvm::to_vector(cone.ops);
  llvm::sort(ops, [](Operation *a, Operation *b) { return a->isBeforeInBlock(b); });
  for (Operation *op : ops)
    if (llvm::any_of(op->getOperands(), [&](Value operand) { return weights.contains(operand); }))
      builder.clone(*op, weights);
  return weights.lookup(value);
}

bool Statistics::raise(graph::ReduceOp sum) {
  Cone cone(sum.getX());
  auto isRaised = [](Operation *op) { return isOfScores(cast<graph::SoftmaxOp>(op)); };
  std::optional<int64_t> axis = cone.softmaxes.empty() ? std::nullopt : axisOfKeysOrQueries(sum);
  if (!axis || !sum.getType().getElementType().isF32() || !llvm::all_of(cone.softmaxes, isRaised))
    return false;
  OpBuilder builder(sum);
  Location loc = sum.getLoc();
  IRMapping others;
  for (Operation *softmax : cone.softmaxes)
    others.map(softmax->getResult(0), weightsOf(cast<graph::SoftmaxOp>(softmax)));
  Value x = withWeights(builder, sum.getX(), cone, others);
  graph::TensorType type = typeOf(x), summed = withoutAxis(type, *axis);
  Value ones = Ops{builder, loc}.number(type.cloneWith(ArrayRef<DimExpr>(type.getDim(*axis))), 1);
  SmallVector<int64_t> labels = llvm::to_vector(llvm::seq<int64_t>(0, type.getRank())), out = labels, rest;
  out.erase(out.begin() + *axis);
  auto product = graph::ContractOp::create(builder, loc, summed, x, ones, labels, ArrayRef<int64_t>(*axis), out, false);
  product->setDiscardableAttr(graph::names::statistic, builder.getUnitAttr());
  Value result = product;
  for (int64_t other : sum.getAxes())
    if (other != *axis)
      rest.push_back(other - (other > *axis));
  if (!rest.empty())
    result = graph::ReduceOp::create(builder, loc, sum.getType(), "sum", result, rest);
  sum.replaceAllUsesWith(result);
  sum.erase();
  return true;
}

/// The `count` largest weights of each row and their keys. Where weights are NaN all of a row are.
std::pair<Value, Value> Statistics::largest(graph::SoftmaxOp softmax, Operation *at, DimExpr count) {
  Value logSum = logSumOf(softmax);
  OpBuilder builder(at);
  Ops ops{builder, at->getLoc()};
  SmallVector<DimExpr> dims = llvm::to_vector(softmax.getType().getDims());
  dims.back() = count;
  graph::TensorType values = softmax.getType().cloneWith(ArrayRef<DimExpr>(dims));
  graph::TensorType indices = values.cloneWith(builder.getI64Type());
  auto scores = graph::TopKOp::create(builder, ops.loc, values, indices, softmax.getX());
  scores->setDiscardableAttr(graph::names::statistic, builder.getUnitAttr());
  SmallVector<int64_t> rows = llvm::to_vector(llvm::seq<int64_t>(0, values.getRank() - 1));
  auto spread = [&](Value row) -> Value {
    return graph::BroadcastOp::create(builder, ops.loc, typeOf(row).cloneWith(ArrayRef<DimExpr>(dims)), row, rows);
  };
  Value weights = ops.exp(ops.less(scores.getValues(), spread(ops.orZero(logSum))));
  Value isNumber =
      graph::CompareOp::create(builder, ops.loc, typeOf(logSum).cloneWith(builder.getI1Type()), "eq", logSum, logSum);
  Value first = graph::IotaOp::create(builder, ops.loc, indices.cloneWith(ArrayRef<DimExpr>(count)));
  first = graph::BroadcastOp::create(builder, ops.loc, indices, first, ArrayRef<int64_t>(values.getRank() - 1));
  Value keys = graph::SelectOp::create(builder, ops.loc, indices, spread(isNumber), scores.getIndices(), first);
  return {weights, keys};
}

bool Statistics::raise(graph::TopKOp topK) {
  auto softmax = topK.getX().getDefiningOp<graph::SoftmaxOp>();
  if (!isOfScores(softmax) || int64_t(softmax.getAxis()) != softmax.getType().getRank() - 1)
    return false;
  auto [values, keys] = largest(softmax, topK, typeOf(topK.getValues()).getDims().back());
  topK.getValues().replaceAllUsesWith(values);
  topK.getIndices().replaceAllUsesWith(keys);
  topK.erase();
  return true;
}

bool Statistics::raiseLargest(Operation *op, int64_t axis) {
  auto softmax = op->getOperand(0).getDefiningOp<graph::SoftmaxOp>();
  if (!isOfScores(softmax) || axis != softmax.getType().getRank() - 1 || int64_t(softmax.getAxis()) != axis)
    return false;
  auto [values, keys] = largest(softmax, op, DimExpr(1));
  OpBuilder builder(op);
  Ops ops{builder, op->getLoc()};
  graph::TensorType rows = typeOf(op->getResult(0));
  Value result = graph::ReshapeOp::create(builder, ops.loc, rows, isa<graph::ArgmaxOp>(op) ? keys : values).getResult();
  if (isa<graph::ReduceOp>(op)) { // over no keys the maximum is -inf
    graph::TensorType scalar = graph::TensorType::get(op->getContext(), {}, builder.getI64Type());
    Value size = graph::DimOp::create(builder, ops.loc, scalar,
                                      graph::DimAttr::get(op->getContext(), softmax.getType().getDim(axis)));
    Value none = graph::ConstantOp::create(builder, ops.loc, scalar, builder.getI64IntegerAttr(0));
    Value isEmpty = graph::CompareOp::create(builder, ops.loc, scalar.cloneWith(builder.getI1Type()), "eq", size, none);
    if (rows.getRank())
      isEmpty = graph::BroadcastOp::create(builder, ops.loc, rows.cloneWith(builder.getI1Type()), isEmpty,
                                           ArrayRef<int64_t>());
    Value lowest = ops.number(rows, -std::numeric_limits<double>::infinity());
    result = graph::SelectOp::create(builder, ops.loc, rows, isEmpty, lowest, result);
  }
  op->getResult(0).replaceAllUsesWith(result);
  op->erase();
  return true;
}

namespace {
class RaiseStatistics : public fovea::impl::RaiseStatisticsBase<RaiseStatistics> {
  void runOnOperation() override {
    for (auto function : getOperation().getOps<graph::FuncOp>()) {
      Statistics statistics;
      for (Operation &op : llvm::make_early_inc_range(function.getBody().front())) {
        bool isRaised = false;
        if (auto reduce = dyn_cast<graph::ReduceOp>(op); reduce && reduce.getKind() == "sum")
          isRaised = statistics.raise(reduce);
        else if (reduce && reduce.getKind() == "max" && reduce.getAxes().size() == 1)
          isRaised = statistics.raiseLargest(reduce, reduce.getAxes().front());
        else if (auto argmax = dyn_cast<graph::ArgmaxOp>(op))
          isRaised = statistics.raiseLargest(argmax, argmax.getAxis());
        else if (auto topK = dyn_cast<graph::TopKOp>(op))
          isRaised = statistics.raise(topK);
        numRaised += isRaised;
      }
      for (Operation &op : llvm::make_early_inc_range(llvm::reverse(function.getBody().front())))
        if (isOpTriviallyDead(&op))
          op.erase();
    }
  }
};
} // namespace
