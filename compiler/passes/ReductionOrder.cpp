#include "compiler/passes/ReductionOrder.h"

#include "llvm/ADT/SetVector.h"

#include <limits>

using namespace mlir;
using namespace fovea;

using Node = ElementExpressions::Node;

bool fovea::dependsOnWeights(Value value) {
  llvm::SetVector<Operation *> reached;
  reached.insert(value.getDefiningOp());
  for (size_t i = 0; i < reached.size() && reached.size() < 256; ++i) {
    Operation *op = reached[i];
    if (isa_and_nonnull<graph::SoftmaxOp>(op))
      return true;
    if (op && (isLayout(op) || isa<graph::ElementwiseOpInterface>(op)))
      for (Value operand : op->getOperands())
        reached.insert(operand.getDefiningOp());
  }
  return false;
}

Value ReductionOrder::takeApart(OpBuilder &builder, Location loc, Value value) const {
  auto type = cast<graph::TensorType>(value.getType());
  SmallVector<DimExpr> dims;
  for (ArrayRef<DimExpr> axis : parts)
    llvm::append_range(dims, axis);
  if (type.getDims() == ArrayRef(dims))
    return value;
  return graph::ReshapeOp::create(builder, loc, type.cloneWith(dims), value);
}

Value ReductionOrder::reduceRest(OpBuilder &builder, Location loc, StringRef kind, Value value, ArrayRef<int64_t> axes,
                                 graph::TensorType result) const {
  SmallVector<int64_t> rest;
  for (auto [place, axis] : llvm::enumerate(axes))
    if (llvm::is_contained(after, axis))
      rest.push_back(place);
  return rest.empty() ? value : graph::ReduceOp::create(builder, loc, result, kind, value, rest).getResult();
}

/// Leaves of an element that ops of type `OpT` give.
template <typename OpT> static SmallVector<const Node *> leavesOf(const Node *root) {
  llvm::SetVector<const Node *> seen;
  seen.insert(root);
  SmallVector<const Node *> found;
  for (size_t i = 0; i < seen.size(); ++i) {
    if (seen[i]->kind == Node::Leaf && isa_and_nonnull<OpT>(seen[i]->value.getDefiningOp()))
      found.push_back(seen[i]);
    seen.insert(seen[i]->children.begin(), seen[i]->children.end());
  }
  return found;
}

/// Of the summed labels that one factor of the scores has alone the longest. A name counts as longer than a number, and
/// of names the last.
static std::optional<Label> longestFree(const Node *scores, ArrayRef<Label> summed,
                                        const ElementExpressions &expressions) {
  auto contract = scores->value.getDefiningOp<graph::ContractOp>();
  auto length = [&](Label label) {
    return expressions.sizeOf(label).value().value_or(std::numeric_limits<int64_t>::max());
  };
  std::optional<Label> longest;
  for (auto [axis, labels] : llvm::zip_equal(contract.getOutLabels(), scores->labels)) {
    if (llvm::is_contained(contract.getLhsLabels(), axis) == llvm::is_contained(contract.getRhsLabels(), axis))
      continue;
    for (Label label : labels)
      if (llvm::is_contained(summed, label) && (!longest || length(label) >= length(*longest)))
        longest = label;
  }
  return longest;
}

/// What of the summed labels comes first; nothing where a split was needed, or there is nothing.
static AxisLabels firstOf(const Node *element, ArrayRef<Label> summed, ElementExpressions &expressions) {
  for (const Node *weights : leavesOf<graph::SoftmaxOp>(element)) {
    auto softmax = weights->value.getDefiningOp<graph::SoftmaxOp>();
    const Node *score = expressions.element(softmax.getX(), weights->labels);
    if (!score)
      return {};
    SmallVector<const Node *> scores = leavesOf<graph::ContractOp>(score);
    const AxisLabels &keys = weights->labels[softmax.getAxis()];
    if (!scores.empty() && !keys.empty() &&
        llvm::all_of(keys, [&](Label key) { return llvm::is_contained(summed, key); }))
      return keys;
    for (const Node *product : scores)
      if (std::optional<Label> first = longestFree(product, summed, expressions))
        return {*first};
  }
  return {};
}

std::optional<ReductionOrder> fovea::orderOfReduction(Value value, ArrayRef<int64_t> axes) {
  ElementExpressions expressions;
  auto type = cast<graph::TensorType>(value.getType());
  TensorLabels root = expressions.newLabels(type);
  return expressions.solve([&]() -> std::optional<ReductionOrder> {
    TensorLabels labels = expressions.expand(root);
    const Node *element = expressions.element(value, labels);
    if (!element)
      return std::nullopt;
    SmallVector<Label> summed;
    for (int64_t axis : axes)
      llvm::append_range(summed, labels[axis]);
    AxisLabels first = firstOf(element, summed, expressions);
    if (first.empty())
      return std::nullopt;
    ReductionOrder order;
    int64_t next = 0;
    for (auto [axis, dim] : llvm::enumerate(type.getDims())) {
      bool isSummed = llvm::is_contained(axes, int64_t(axis));
      if (!isSummed || labels[axis].empty()) {
        order.parts.push_back({dim});
        if (isSummed)
          order.after.push_back(next);
        ++next;
        continue;
      }
      SmallVector<DimExpr, 1> &parts = order.parts.emplace_back();
      for (Label label : labels[axis]) {
        parts.push_back(expressions.sizeOf(label));
        (llvm::is_contained(first, label) ? order.first : order.after).push_back(next++);
      }
    }
    return order;
  });
}
