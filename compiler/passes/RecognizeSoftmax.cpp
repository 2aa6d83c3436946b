// exp(x - m) / sum(exp(x - m)), in any spelling, becomes graph.softmax; contract(exp(x - m), v) / sum becomes
// contract(softmax, v); m + log(sum(exp(x - m))) of products becomes graph.logsumexp. Pays because graph.softmax is one
// kernel, and what attention fusion looks for. Numerical effect: see Passes.td.
//
// Matching is in SoftmaxMatch.cpp.
#include "compiler/passes/Passes.h"
#include "compiler/passes/SoftmaxMatch.h"

#include "llvm/ADT/SetVector.h"

#include <cmath>

namespace fovea {
#define GEN_PASS_DEF_RECOGNIZESOFTMAX
#include "compiler/passes/Passes.h.inc"
} // namespace fovea

using namespace mlir;
using namespace fovea;

using Node = ElementExpressions::Node;

/// What a softmax and its scores may be made of, in all of their copies; the rest of the model is not looked at.
static constexpr unsigned mostOps = 256;

/// Whether every label at which the witness of `node` is read occurs in `labels`.
static bool canRelabel(const Node *node, const TensorLabels &labels) {
  return llvm::all_of(node->labels, [&](const AxisLabels &axis) {
    return llvm::all_of(axis, [&](Label label) {
      return llvm::any_of(labels, [&](const AxisLabels &target) { return llvm::is_contained(target, label); });
    });
  });
}

namespace {
/// Builds what was found where the root has these labels.
struct SoftmaxBuilder {
  OpBuilder &builder;
  Location loc;
  const ElementExpressions &expressions;
  const Softmax &softmax;

  Value number(graph::TensorType type, double value) {
    Value scalar = graph::ConstantOp::create(builder, loc, type.cloneWith(ArrayRef<DimExpr>()),
                                             FloatAttr::get(type.getElementType(), value));
    return type.getRank() ? graph::BroadcastOp::create(builder, loc, type, scalar, ArrayRef<int64_t>()) : scalar;
  }

  /// A node of an exponent in a tensor with `labels`, in base e.
  Value logit(const Node *node, const TensorLabels &labels) {
    Value value = relabel(builder, loc, expressions, node->value, node->labels, labels);
    if (softmax.base == 0)
      return value;
    return graph::MulOp::create(builder, loc, value,
                                number(cast<graph::TensorType>(value.getType()), std::log(softmax.base)));
  }

  /// The score: -inf where it is masked.
  Value score(const TensorLabels &labels) {
    Value score = logit(softmax.score, labels);
    auto type = cast<graph::TensorType>(score.getType());
    for (auto [condition, isInverse] : softmax.masks) {
      Value hidden = number(type, -std::numeric_limits<double>::infinity());
      Value seen = relabel(builder, loc, expressions, condition->value, condition->labels, labels);
      score = graph::SelectOp::create(builder, loc, type, seen, isInverse ? hidden : score, isInverse ? score : hidden);
    }
    return score;
  }

  /// Null where there is none; `rows` are the score's type and labels without the key. Of several their log-sum-exp,
  /// for as few rows as they differ in.
  Value sink(graph::TensorType type, const TensorLabels &rows) {
    if (softmax.sinks.empty())
      return Value();
    const Sink &first = softmax.sinks.front();
    if (softmax.sinks.size() == 1 && first.bound.empty())
      return first.node ? logit(first.node, rows) : number(type, first.number);
    TensorLabels own;
    SmallVector<DimExpr> dims;
    auto isOf = [](const Sink &sink, Label label) {
      return sink.node && llvm::is_contained(flat(sink.node->labels), label);
    };
    for (Label label : flat(rows))
      if (llvm::any_of(softmax.sinks, [&](const Sink &sink) { return isOf(sink, label); })) {
        own.push_back({label});
        dims.push_back(expressions.sizeOf(label));
      }
    SmallVector<Value> logits;
    DimExpr count(0);
    for (const Sink &sink : softmax.sinks) {
      DimExpr size = expressions.sizeOf(sink.bound);
      count = count + size;
      dims.push_back(size);
      own.push_back(sink.bound);
      logits.push_back(sink.node ? logit(sink.node, own)
                                 : number(type.cloneWith(ArrayRef<DimExpr>(dims)), sink.number));
      own.pop_back();
      dims.pop_back();
    }
    graph::TensorType result = type.cloneWith(ArrayRef<DimExpr>(dims));
    dims.push_back(count);
    Value all = logits.front();
    if (logits.size() > 1)
      all = graph::ConcatOp::create(builder, loc, type.cloneWith(ArrayRef<DimExpr>(dims)), logits, own.size());
    return relabel(builder, loc, expressions, graph::LogSumExpOp::create(builder, loc, result, all, own.size()), own,
                   rows);
  }
};
} // namespace

/// graph.softmax of what was found, in a tensor with `labels`; null where its score cannot be had there.
static Value buildSoftmax(OpBuilder &builder, Location loc, const ElementExpressions &expressions,
                          const Softmax &softmax, const TensorLabels &labels, Type element) {
  auto type = cast<graph::TensorType>(softmax.score->value.getType());
  bool isThere = canRelabel(softmax.score, labels) &&
                 llvm::all_of(softmax.masks, [&](auto &mask) { return canRelabel(mask.first, labels); });
  if (!isThere || type.getElementType() != element)
    return Value();
  // Along an axis of its own, or along the last axis of a relabelled tensor.
  TensorLabels order, rows;
  int64_t axis = -1;
  for (auto [position, axisLabels] : llvm::enumerate(labels)) {
    if (axisLabels == softmax.key)
      axis = position;
    AxisLabels rest;
    for (Label label : axisLabels)
      if (!llvm::is_contained(softmax.key, label))
        rest.push_back(label);
    if (!rest.empty())
      order.push_back(rest);
  }
  if (axis >= 0) {
    order = rows = labels;
    rows.erase(rows.begin() + axis);
  } else {
    axis = order.size();
    rows = order;
    order.push_back(softmax.key);
  }
  for (const Sink &sink : softmax.sinks) {
    TensorLabels there = rows;
    there.push_back(sink.bound);
    if (sink.node && (!canRelabel(sink.node, there) ||
                      cast<graph::TensorType>(sink.node->value.getType()).getElementType() != element))
      return Value();
  }
  SoftmaxBuilder build{builder, loc, expressions, softmax};
  Value score = build.score(order);
  SmallVector<DimExpr> dims = llvm::to_vector(cast<graph::TensorType>(score.getType()).getDims());
  dims.erase(dims.begin() + axis);
  Value sink = build.sink(type.cloneWith(ArrayRef<DimExpr>(dims)), rows);
  Value weights = graph::SoftmaxOp::create(builder, loc, score.getType(), score, sink, axis);
  return relabel(builder, loc, expressions, weights, order, labels);
}

/// graph.logsumexp of what was found, in a tensor with `labels`; null where its score cannot be had there.
static Value buildLogSum(OpBuilder &builder, Location loc, const ElementExpressions &expressions, const LogSum &found,
                         const TensorLabels &labels, graph::TensorType type) {
  TensorLabels all = labels;
  all.push_back(found.key);
  bool isThere = canRelabel(found.score, all) &&
                 llvm::all_of(found.masks, [&](auto &mask) { return canRelabel(mask.first, all); });
  if (!isThere || cast<graph::TensorType>(found.score->value.getType()).getElementType() != type.getElementType())
    return Value();
  Softmax softmax{found.score, found.key, 0, found.masks};
  Value score = SoftmaxBuilder{builder, loc, expressions, softmax}.score(all);
  return graph::LogSumExpOp::create(builder, loc, type, score, labels.size());
}

/// Whether a contraction gives the scores: then attention may give the log-sum-exp. Others stay as they are written.
static bool isOfContraction(Value score) {
  llvm::SetVector<Value> reached;
  reached.insert(score);
  for (size_t i = 0; i < reached.size() && reached.size() < 256; ++i) {
    Operation *op = reached[i].getDefiningOp();
    if (isa_and_nonnull<graph::ContractOp>(op))
      return true;
    if (op && (isLayout(op) || isa<graph::ElementwiseOpInterface>(op)))
      reached.insert(op->operand_begin(), op->operand_end());
  }
  return false;
}

/// A cheap look: a logarithm, with a guard or without, or one that something is added to.
static bool mayBeLogSum(Operation *op) {
  auto source = [](Value value) {
    Operation *op = value.getDefiningOp();
    while (isLayout(op))
      op = op->getOperand(0).getDefiningOp();
    return op;
  };
  auto isLog = [&](Operation *op) {
    auto guard = dyn_cast_or_null<graph::SelectOp>(op);
    return isa_and_nonnull<graph::LogOp>(op) || (guard && (isa_and_nonnull<graph::LogOp>(source(guard.getLhs())) ||
                                                           isa_and_nonnull<graph::LogOp>(source(guard.getRhs()))));
  };
  return isLog(op) ||
         (isa<graph::AddOp>(op) && llvm::any_of(op->getOperands(), [&](Value x) { return isLog(source(x)); }));
}

using Asks = llvm::function_ref<bool(Operation *)>;

/// Whether an op that `is` asks for is among what gives the values, through ops that `passes` lets pass and at most
/// `most` of them, layouts aside, one after another.
static bool isNear(ValueRange values, unsigned most, Asks passes, Asks is) {
  SmallVector<std::pair<Value, unsigned>> work;
  llvm::SmallPtrSet<Operation *, 32> seen;
  for (Value value : values)
    work.push_back({value, 0});
  while (!work.empty() && seen.size() < 256) {
    auto [value, depth] = work.pop_back_val();
    Operation *source = value.getDefiningOp();
    if (!source || depth > most || !seen.insert(source).second)
      continue;
    if (is(source))
      return true;
    if (isLayout(source) || passes(source))
      for (Value operand : source->getOperands())
        work.push_back({operand, depth + !isLayout(source)});
  }
  return false;
}

/// A cheap look before the expensive one: a sum of exponentials, or a logarithm of one, is near. The square root of a
/// sum of squares, by which gradients are clipped, is not one.
static bool mayBeSoftmax(Operation *op) {
  if (!isa<graph::DivOp, graph::MulOp, graph::SelectOp, graph::ExpOp>(op))
    return false;
  auto isArithmetic = [](Operation *source) {
    return isa<graph::DivOp, graph::LogOp, graph::SubOp, graph::AddOp, graph::SelectOp, graph::PowOp, graph::MulOp,
               graph::NegOp>(source);
  };
  auto isPerElement = [](Operation *source) { return !isa<graph::ContractOp, graph::ReduceOp>(source); };
  auto isExponential = [](Operation *source) { return isa<graph::ExpOp, graph::PowOp, graph::SoftmaxOp>(source); };
  return isNear(op->getOperands(), 8, isArithmetic, [&](Operation *source) {
    auto reduce = dyn_cast<graph::ReduceOp>(source);
    return reduce && reduce.getKind() == "sum" && isNear(reduce->getOperands(), 16, isPerElement, isExponential);
  });
}

namespace {
class RecognizeSoftmax : public fovea::impl::RecognizeSoftmaxBase<RecognizeSoftmax> {
  void runOnOperation() override {
    getOperation().walk([&](graph::FuncOp function) {
      for (Block &block : function.getBody())
        runOnBlock(block);
    });
  }

  /// From behind, so that guards are met before what they guard.
  void runOnBlock(Block &block) {
    for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block))) {
      if (isOpTriviallyDead(&op)) {
        op.erase();
        continue;
      }
      Value value = mayBeSoftmax(&op) ? raise(op) : Value();
      if (!value && mayBeLogSum(&op))
        value = raiseLogSum(op);
      if (value) {
        op.getResult(0).replaceAllUsesWith(value);
        op.erase();
      }
    }
  }

  Value raise(Operation &op) {
    Value value = op.getResult(0);
    auto type = cast<graph::TensorType>(value.getType());
    if (!isa<FloatType>(type.getElementType()))
      return Value();
    ElementExpressions expressions;
    expressions.seeNear(&op, mostOps);
    TensorLabels root = expressions.newLabels(type);
    SoftmaxMatcher matcher(expressions);
    std::optional<Softmax> softmax;
    std::optional<SoftmaxMatcher::Moved> moved;
    expressions.solve([&] {
      softmax.reset();
      moved.reset();
      if (const Node *node = expressions.element(value, expressions.expand(root))) {
        softmax = matcher.matchWeights(node);
        if (!softmax)
          moved = matcher.matchMoved(node);
      }
      return true;
    });
    root = expressions.expand(root);
    OpBuilder builder(&op);
    if (softmax) {
      Value weights = buildSoftmax(builder, op.getLoc(), expressions, *softmax, root, type.getElementType());
      numRaised += weights != nullptr;
      return weights;
    }
    return moved ? move(builder, op, expressions, *moved, root) : Value();
  }

  Value raiseLogSum(Operation &op) {
    Value value = op.getResult(0);
    auto type = cast<graph::TensorType>(value.getType());
    ElementExpressions expressions;
    expressions.seeNear(&op, mostOps);
    TensorLabels root = expressions.newLabels(type);
    SoftmaxMatcher matcher(expressions);
    std::optional<LogSum> found;
    expressions.solve([&] {
      const Node *node = expressions.element(value, expressions.expand(root));
      found = node ? matcher.matchLogSum(node) : std::nullopt;
      return true;
    });
    if (!found || !isOfContraction(found->score->value))
      return Value();
    OpBuilder builder(&op);
    Value raised = buildLogSum(builder, op.getLoc(), expressions, *found, expressions.expand(root), type);
    numLogSums += raised != nullptr;
    return raised;
  }

  Value move(OpBuilder &builder, Operation &op, const ElementExpressions &expressions,
             const SoftmaxMatcher::Moved &moved, const TensorLabels &root) {
    graph::ContractOp contract = moved.contract;
    auto type = cast<graph::TensorType>(contract.getType());
    if (type.getElementType() != cast<graph::TensorType>(op.getResult(0).getType()).getElementType())
      return Value();
    Value weights =
        buildSoftmax(builder, op.getLoc(), expressions, moved.softmax, moved.operandLabels, type.getElementType());
    if (!weights)
      return Value();
    auto normalised = cast<graph::ContractOp>(builder.clone(*contract));
    (moved.isLhs ? normalised.getLhsMutable() : normalised.getRhsMutable()).assign(weights);
    ++numRaised;
    ++numMoved;
    return relabel(builder, op.getLoc(), expressions, normalised.getResult(), moved.product->labels, root);
  }
};
} // namespace
