// Weights and log-sum-exps that are read beside a product with values, from an attention's own log-sum-exp.
#include "compiler/passes/AttentionLogSums.h"

#include "compiler/autodiff/AttentionRule.h"

#include "mlir/Analysis/TopologicalSortUtils.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;
using namespace fovea;

Value fovea::logSumOf(OpBuilder &builder, BuiltAttention &built, AttentionMatch &match, const TensorLabels &rows,
                      graph::TensorType type) {
  built.op = autodiff::withLogSum(built.op);
  Location loc = match.place();
  Value lse = relabel(builder, loc, match.expressions, built.op.getLse(), match.laidOut({match.query}), rows);
  return lse.getType() == type ? lse : graph::CastOp::create(builder, loc, type, lse);
}

TensorLabels fovea::withoutAxis(TensorLabels labels, int64_t axis) {
  labels.erase(labels.begin() + axis);
  return labels;
}

/// Labels at which an element reads the scores; null where it does not.
static const TensorLabels *scoreLabels(const ElementExpressions::Node *node, Value scores) {
  llvm::SetVector<const ElementExpressions::Node *> seen;
  seen.insert(node);
  for (size_t i = 0; i < seen.size(); ++i) {
    if (seen[i]->kind == ElementExpressions::Node::Leaf && seen[i]->value == scores)
      return &seen[i]->labels;
    seen.insert(seen[i]->children.begin(), seen[i]->children.end());
  }
  return nullptr;
}

/// Puts `by` in the place of `run` wherever an axis has it. Labels of the two are never equal.
static void replaceRun(TensorLabels &labels, ArrayRef<Label> run, ArrayRef<Label> by) {
  for (AxisLabels &axis : labels)
    if (auto found = std::search(axis.begin(), axis.end(), run.begin(), run.end());
        !run.empty() && found != axis.end()) {
      found = axis.erase(found, found + run.size());
      axis.insert(found, by.begin(), by.end());
    }
}

/// The labels of a log-sum-exp's result, where it is that of a matched softmax's operand in whatever layout.
static std::optional<TensorLabels> labelsOf(graph::LogSumExpOp logSum, AttentionMatch &match) {
  ElementExpressions &expressions = match.expressions;
  TensorLabels root = expressions.newLabels(typeOf(logSum.getX()));
  auto result = expressions.solve([&]() -> std::optional<TensorLabels> {
    TensorLabels labels = expressions.expand(root), top = expressions.expand(match.topLabels);
    const ElementExpressions::Node *theirs = expressions.element(match.top, top);
    const ElementExpressions::Node *mine = theirs ? expressions.element(logSum.getX(), labels) : nullptr;
    const TensorLabels *from = mine ? scoreLabels(mine, match.scores.getResult()) : nullptr;
    const TensorLabels *to = from ? scoreLabels(theirs, match.scores.getResult()) : nullptr;
    if (!to)
      return std::nullopt;
    // Where both read the scores, the labels are the same; one may have split an axis that the other has whole.
    for (auto [one, other] : llvm::zip_equal(*from, *to))
      if (one.size() == other.size())
        for (auto [label, its] : llvm::zip_equal(one, other))
          replaceRun(labels, label, its);
      else
        replaceRun(labels, one, other);
    AxisLabels key = labels[logSum.getAxis()], keys = expressions.expand(match.key);
    bool isSame = std::is_permutation(key.begin(), key.end(), keys.begin(), keys.end()) &&
                  expressions.element(logSum.getX(), labels) == theirs;
    return isSame ? std::optional(withoutAxis(labels, logSum.getAxis())) : std::nullopt;
  });
  match.topLabels = expressions.expand(match.topLabels);
  return result;
}

Value fovea::weightsOf(OpBuilder &builder, graph::SoftmaxOp softmax, const BuiltAttention &built,
                       const AttentionMatch &match) {
  Location loc = softmax.getLoc();
  graph::TensorType type = softmax.getType(), wide = type.cloneWith(builder.getF32Type());
  auto converted = [&](Value x, graph::TensorType to) -> Value {
    return x.getType() == to ? x : graph::CastOp::create(builder, loc, to, x);
  };
  Value lse = graph::AttentionOp(built.op).getLse();
  graph::TensorType rows = typeOf(lse);
  auto number = [&](double value) -> Value {
    Value scalar =
        graph::ConstantOp::create(builder, loc, rows.cloneWith(ArrayRef<DimExpr>()), builder.getF32FloatAttr(value));
    return rows.getRank() ? graph::BroadcastOp::create(builder, loc, rows, scalar, ArrayRef<int64_t>()) : scalar;
  };
  Value isEmpty = graph::CompareOp::create(builder, loc, rows.cloneWith(builder.getI1Type()), "eq", lse,
                                           number(-std::numeric_limits<double>::infinity()));
  Value shift = graph::SelectOp::create(builder, loc, rows, isEmpty, number(0), lse);
  shift = relabel(builder, loc, match.expressions, shift, match.laidOut({match.query}), match.topLabels);
  Value difference = graph::SubOp::create(builder, loc, converted(softmax.getX(), wide), shift);
  return converted(graph::ExpOp::create(builder, loc, difference), type);
}

void LogSumServer::offer(BuiltAttention attention, std::unique_ptr<AttentionMatch> itsMatch, size_t chain) {
  if (match || !attention.hasAllLogits)
    return;
  llvm::SetVector<Operation *> behind;
  behind.insert(attention.op);
  for (size_t i = 0; i < behind.size(); ++i)
    for (Value operand : behind[i]->getOperands())
      if (Operation *op = operand.getDefiningOp())
        behind.insert(op);
  if (behind.contains(softmax))
    return;
  // With a sink the attention's log-sum-exp has that in the sum.
  if (!softmax.getSink())
    softmax->getParentOfType<graph::FuncOp>().walk([&](graph::LogSumExpOp logSum) {
      if (logSum->use_empty() || behind.contains(logSum))
        return;
      if (std::optional<TensorLabels> labels = labelsOf(logSum, *itsMatch))
        logSums.push_back({logSum, *labels});
    });
  built = attention;
  match = std::move(itsMatch);
  place = chain;
}

void LogSumServer::serve(FusionReport &report) {
  if (!match || (logSums.empty() && softmax->use_empty()))
    return;
  OpBuilder builder(match->place().getContext());
  built.op = autodiff::withLogSum(built.op);
  builder.setInsertionPointAfter(built.op);
  for (auto &[logSum, labels] : logSums) {
    TensorLabels rows =
        llvm::map_to_vector(labels, [&](const AxisLabels &axis) { return match->expressions.expand(axis); });
    logSum.replaceAllUsesWith(logSumOf(builder, built, *match, rows, logSum.getType()));
    report.chains[place].proved("the log-sum-exp of the scores is a result as well");
  }
  if (!softmax->use_empty()) {
    report.chains[place].proved("the weights are also read by " +
                                softmax->user_begin()->getName().stripDialect().str() +
                                ": they are computed for it again, from the log-sum-exp");
    softmax.replaceAllUsesWith(weightsOf(builder, softmax, built, *match));
  }
  // Readers may stand before the attention.
  sortTopologically(softmax->getBlock());
}
