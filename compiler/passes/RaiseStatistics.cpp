// Statistics of attention weights become statistics of the scores and their log-sum-exp:
//
//   sum over keys or queries of f(softmax(x))   ->  contract(f(exp(x - lse)), ones), which graph-fuse-attention knows
//   top_k(softmax(x)), argmax, max over keys    ->  top_k(x), its values as exp(v - lse)
//   other max, min over keys or queries         ->  top_k(f(exp(x - lse)))
//
// where x is computed from a contraction. Pays because nothing then asks for the weights, which are queries by keys: a
// pass over the tiles, or over the scores of a row, gives what is wanted. Numerical effect: see Passes.td.
#include "compiler/passes/ElementExpression.h"
#include "compiler/passes/Passes.h"
#include "compiler/passes/ReductionOrder.h"

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

static graph::TensorType withoutAxis(graph::TensorType type, int64_t axis) {
  SmallVector<DimExpr> dims = llvm::to_vector(type.getDims());
  dims.erase(dims.begin() + axis);
  return type.cloneWith(ArrayRef<DimExpr>(dims));
}

/// A type of some axes of another.
static graph::TensorType withAxes(graph::TensorType type, ArrayRef<int64_t> axes) {
  return type.cloneWith(llvm::map_to_vector(axes, [&](int64_t axis) { return type.getDim(axis); }));
}

static SmallVector<int64_t> othersThan(ArrayRef<int64_t> axes, graph::TensorType type) {
  SmallVector<int64_t> others = llvm::to_vector(llvm::seq<int64_t>(0, type.getRank()));
  llvm::erase_if(others, [&](int64_t axis) { return llvm::is_contained(axes, axis); });
  return others;
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
  /// The largest along the last axis, which goes; over nothing -inf.
  Value largestOf(Value x) {
    SmallVector<DimExpr> dims = llvm::to_vector(typeOf(x).getDims());
    dims.back() = DimExpr(1);
    graph::TensorType values = typeOf(x).cloneWith(ArrayRef<DimExpr>(dims));
    auto topK = graph::TopKOp::create(builder, loc, values, values.cloneWith(builder.getI64Type()), x);
    topK->setDiscardableAttr(graph::names::statistic, builder.getUnitAttr());
    return orLowest(withoutLast(topK.getValues()), typeOf(x).getDims().back());
  }
  Value withoutLast(Value x) {
    return graph::ReshapeOp::create(builder, loc, withoutAxis(typeOf(x), typeOf(x).getRank() - 1), x);
  }
  /// x, -inf where `size` is 0: there is no maximum of nothing.
  Value orLowest(Value x, DimExpr size) {
    if (size.value().value_or(0) > 0)
      return x;
    graph::TensorType scalar = graph::TensorType::get(builder.getContext(), {}, builder.getI64Type()), type = typeOf(x);
    Value length = graph::DimOp::create(builder, loc, scalar, graph::DimAttr::get(builder.getContext(), size));
    Value none = graph::ConstantOp::create(builder, loc, scalar, builder.getI64IntegerAttr(0));
    Value isEmpty = graph::CompareOp::create(builder, loc, scalar.cloneWith(builder.getI1Type()), "eq", length, none);
    if (type.getRank())
      isEmpty =
          graph::BroadcastOp::create(builder, loc, type.cloneWith(builder.getI1Type()), isEmpty, ArrayRef<int64_t>());
    Value lowest = number(type, -std::numeric_limits<double>::infinity());
    return graph::SelectOp::create(builder, loc, type, isEmpty, lowest, x);
  }
};

class Statistics {
public:
  /// Sums of what depends on the weights element by element.
  bool raiseSum(graph::ReduceOp sum);
  /// The largest or least of such.
  bool raiseExtreme(graph::ReduceOp extreme);
  /// The largest weights, and where the largest is: by the largest scores.
  bool raise(graph::TopKOp topK);
  bool raise(graph::ArgmaxOp argmax);

private:
  Value logSumOf(graph::SoftmaxOp softmax);
  Value weightsOf(graph::SoftmaxOp softmax);
  Value withRaisedWeights(graph::ReduceOp reduce, const Cone &cone);
  std::pair<Value, Value> largest(graph::SoftmaxOp softmax, Operation *at, DimExpr count);
  bool raiseLargestWeights(graph::ReduceOp max);

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

/// A value as it is with other weights: what stands between is computed for this use alone.
static Value withWeights(OpBuilder &builder, Value value, const Cone &cone, IRMapping &weights) {
  SmallVector<Operation *> ops = llvm::to_vector(cone.ops);
  llvm::sort(ops, [](Operation *a, Operation *b) { return a->isBeforeInBlock(b); });
  for (Operation *op : ops)
    if (llvm::any_of(op->getOperands(), [&](Value operand) { return weights.contains(operand); }))
      builder.clone(*op, weights);
  return weights.lookup(value);
}

/// How a reduction goes over keys or queries first; nullopt where it depends on no weights of scores.
static std::optional<ReductionOrder> orderOf(graph::ReduceOp reduce, const Cone &cone) {
  auto isRaised = [](Operation *op) { return isOfScores(cast<graph::SoftmaxOp>(op)); };
  if (cone.softmaxes.empty() || !reduce.getType().getElementType().isF32() || !llvm::all_of(cone.softmaxes, isRaised))
    return std::nullopt;
  return orderOfReduction(reduce.getX(), reduce.getAxes());
}

/// What is reduced, of weights from the log-sum-exp.
Value Statistics::withRaisedWeights(graph::ReduceOp reduce, const Cone &cone) {
  IRMapping others;
  for (Operation *softmax : cone.softmaxes)
    others.map(softmax->getResult(0), weightsOf(cast<graph::SoftmaxOp>(softmax)));
  OpBuilder builder(reduce);
  return withWeights(builder, reduce.getX(), cone, others);
}

bool Statistics::raiseSum(graph::ReduceOp sum) {
  Cone cone(sum.getX());
  std::optional<ReductionOrder> order = orderOf(sum, cone);
  if (!order)
    return false;
  OpBuilder builder(sum);
  Ops ops{builder, sum.getLoc()};
  Value x = order->takeApart(builder, ops.loc, withRaisedWeights(sum, cone));
  graph::TensorType type = typeOf(x);
  SmallVector<int64_t> labels = llvm::to_vector(llvm::seq<int64_t>(0, type.getRank())),
                       out = othersThan(order->first, type);
  Value ones = ops.number(withAxes(type, order->first), 1);
  auto product =
      graph::ContractOp::create(builder, ops.loc, withAxes(type, out), x, ones, labels, order->first, out, false);
  product->setDiscardableAttr(graph::names::statistic, builder.getUnitAttr());
  sum.replaceAllUsesWith(order->reduceRest(builder, ops.loc, "sum", product, out, sum.getType()));
  sum.erase();
  return true;
}

/// The `count` largest weights of each row and their keys, along a last axis. Where weights are NaN all of a row are.
std::pair<Value, Value> Statistics::largest(graph::SoftmaxOp softmax, Operation *at, DimExpr count) {
  Value logSum = logSumOf(softmax);
  OpBuilder builder(at);
  Ops ops{builder, at->getLoc()};
  graph::TensorType type = softmax.getType();
  int64_t axis = softmax.getAxis(), last = type.getRank() - 1;
  SmallVector<int64_t> order = othersThan(axis, type);
  SmallVector<DimExpr> dims = llvm::to_vector(withAxes(type, order).getDims());
  order.push_back(axis);
  Value x = softmax.getX();
  if (axis != last)
    x = graph::TransposeOp::create(builder, ops.loc, withAxes(type, order), x, order);
  dims.push_back(count);
  graph::TensorType values = type.cloneWith(ArrayRef<DimExpr>(dims)), indices = values.cloneWith(builder.getI64Type());
  auto scores = graph::TopKOp::create(builder, ops.loc, values, indices, x);
  scores->setDiscardableAttr(graph::names::statistic, builder.getUnitAttr());
  SmallVector<int64_t> rows = llvm::to_vector(llvm::seq<int64_t>(0, last));
  auto spread = [&](Value row) -> Value {
    return graph::BroadcastOp::create(builder, ops.loc, typeOf(row).cloneWith(ArrayRef<DimExpr>(dims)), row, rows);
  };
  Value weights = ops.exp(ops.less(scores.getValues(), spread(ops.orZero(logSum))));
  Value isNumber =
      graph::CompareOp::create(builder, ops.loc, typeOf(logSum).cloneWith(builder.getI1Type()), "eq", logSum, logSum);
  Value first = graph::IotaOp::create(builder, ops.loc, indices.cloneWith(ArrayRef<DimExpr>(count)));
  first = graph::BroadcastOp::create(builder, ops.loc, indices, first, ArrayRef<int64_t>(last));
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

bool Statistics::raise(graph::ArgmaxOp argmax) {
  auto softmax = argmax.getX().getDefiningOp<graph::SoftmaxOp>();
  if (!isOfScores(softmax) || softmax.getAxis() != argmax.getAxis())
    return false;
  Value keys = largest(softmax, argmax, DimExpr(1)).second;
  OpBuilder builder(argmax);
  argmax.replaceAllUsesWith(Ops{builder, argmax.getLoc()}.withoutLast(keys));
  argmax.erase();
  return true;
}

/// Of weights as they are, in any layout, over the keys and other axes: by the largest score of each row.
bool Statistics::raiseLargestWeights(graph::ReduceOp max) {
  ElementExpressions expressions;
  TensorLabels root = expressions.newLabels(typeOf(max.getX())), labels, rows;
  auto softmax = expressions.solve([&]() -> graph::SoftmaxOp {
    labels = expressions.expand(root);
    const ElementExpressions::Node *weight = expressions.element(max.getX(), labels);
    if (!weight || weight->kind != ElementExpressions::Node::Leaf)
      return {};
    rows = weight->labels;
    return weight->value.getDefiningOp<graph::SoftmaxOp>();
  });
  if (!isOfScores(softmax))
    return false;
  AxisLabels keys = rows[softmax.getAxis()];
  rows.erase(rows.begin() + softmax.getAxis());
  SmallVector<Label> ofRows = flat(rows), reduced;
  TensorLabels kept, all;
  for (auto [axis, its] : llvm::enumerate(labels)) {
    if (!llvm::is_contained(max.getAxes(), int64_t(axis)))
      kept.push_back(its);
    else
      llvm::append_range(reduced, its);
  }
  if (keys.empty() || !llvm::all_of(keys, [&](Label key) { return llvm::is_contained(reduced, key); }))
    return false;
  OpBuilder builder(max);
  Ops ops{builder, max.getLoc()};
  Value result = ops.orLowest(ops.withoutLast(largest(softmax, max, DimExpr(1)).first),
                              softmax.getType().getDim(softmax.getAxis()));
  all = kept;
  SmallVector<int64_t> rest;
  for (Label label : reduced)
    if (llvm::is_contained(ofRows, label)) {
      rest.push_back(all.size());
      all.push_back({label});
    }
  result = relabel(builder, ops.loc, expressions, result, rows, all);
  if (!rest.empty())
    result = graph::ReduceOp::create(builder, ops.loc, max.getType(), "max", result, rest);
  max.replaceAllUsesWith(result);
  max.erase();
  return true;
}

bool Statistics::raiseExtreme(graph::ReduceOp extreme) {
  bool isLeast = extreme.getKind() == "min";
  if (!isLeast && raiseLargestWeights(extreme))
    return true;
  Cone cone(extreme.getX());
  std::optional<ReductionOrder> order = orderOf(extreme, cone);
  if (!order)
    return false;
  OpBuilder builder(extreme);
  Ops ops{builder, extreme.getLoc()};
  Value x = order->takeApart(builder, ops.loc, withRaisedWeights(extreme, cone));
  if (isLeast)
    x = graph::NegOp::create(builder, ops.loc, x).getResult();
  graph::TensorType type = typeOf(x);
  SmallVector<int64_t> kept = othersThan(order->first, type), permutation = kept;
  llvm::append_range(permutation, order->first);
  if (!llvm::is_sorted(permutation))
    x = graph::TransposeOp::create(builder, ops.loc, withAxes(type, permutation), x, permutation);
  SmallVector<DimExpr> dims = llvm::to_vector(withAxes(type, kept).getDims());
  dims.push_back(DimExpr(1));
  for (int64_t axis : order->first)
    dims.back() = dims.back() * type.getDim(axis);
  if (order->first.size() > 1)
    x = graph::ReshapeOp::create(builder, ops.loc, type.cloneWith(ArrayRef<DimExpr>(dims)), x);
  Value result = ops.largestOf(x);
  if (isLeast)
    result = graph::NegOp::create(builder, ops.loc, result).getResult();
  extreme.replaceAllUsesWith(order->reduceRest(builder, ops.loc, extreme.getKind(), result, kept, extreme.getType()));
  extreme.erase();
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
          isRaised = statistics.raiseSum(reduce);
        else if (reduce && (reduce.getKind() == "max" || reduce.getKind() == "min"))
          isRaised = statistics.raiseExtreme(reduce);
        else if (auto argmax = dyn_cast<graph::ArgmaxOp>(op))
          isRaised = statistics.raise(argmax);
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
