// Matching of attention by axis labels. See FuseAttention.cpp for the rewrite.
#include "compiler/passes/AttentionMatch.h"

#include "compiler/passes/AttentionParts.h"

#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;
using namespace fovea;

using Node = ElementExpressions::Node;

static std::string opName(Operation *op) { return op->getName().stripDialect().str(); }

namespace {

class AttentionMatcher {
public:
  AttentionMatcher(AttentionMatch &match, ChainReport &report)
      : match(match), report(report), expressions(match.expressions), contractions(match.expressions) {}

  LogicalResult run();

private:
  ArrayRef<int64_t> productLabels(bool ofWeights) {
    return ofWeights == match.weightsAreLhs ? match.product.getLhsLabels() : match.product.getRhsLabels();
  }
  Value weightsOperand() { return match.product->getOperand(match.weightsAreLhs ? 0 : 1); }
  LogicalResult placeSoftmax(const Node *weights);
  void placePointwise(const Node *weights);
  LogicalResult placeSink();
  const Node *unscaledWeights(const Node *node);
  const Node *unchangedWeights(const Node *node);
  LogicalResult labelWeights();
  LogicalResult findScores();
  LogicalResult tryScores(graph::ContractOp contract);
  LogicalResult checkUses();
  LogicalResult assignRoles();
  LogicalResult checkValues();
  void takeLinear(const Node *weight);
  const Node *scoreNode(const Node *root, graph::ContractOp contract, bool &isTwice, Operation *&reduction);
  void blame(Value from);

  AttentionMatch &match;
  ChainReport &report;
  ElementExpressions &expressions;
  TensorLabels weightsLabels;   // of product's operand
  Operation *scaling = nullptr; // a product with the weights
  ContractionLabels contractions;
  TensorLabels root;
};

} // namespace

TensorLabels AttentionMatch::laidOut(ArrayRef<AxisLabels> axes) const {
  TensorLabels result;
  for (Label label : batch)
    result.push_back(expressions.expand({label}));
  for (const AxisLabels &axis : axes)
    result.push_back(expressions.expand(axis));
  return result;
}

/// Whether an op gives this operand or 0, and no other.
static bool isChoiceOrZero(Operation *op, unsigned operand) {
  return isa<graph::SelectOp>(op) && operand > 0 && constantValue(op->getOperand(3 - operand)) == 0;
}

WeightsUses fovea::usesOfWeights(graph::SoftmaxOp softmax) {
  WeightsUses uses;
  SmallVector<Value> work{softmax.getResult()};
  while (!work.empty()) {
    for (OpOperand &use : work.pop_back_val().getUses()) {
      Operation *user = use.getOwner();
      auto contract = dyn_cast<graph::ContractOp>(user);
      bool isScaled = isa<graph::MulOp>(user) || (isa<graph::DivOp>(user) && use.getOperandNumber() == 0) ||
                      isChoiceOrZero(user, use.getOperandNumber());
      if (contract && !contract.getPacked())
        uses.products.push_back({contract, use.getOperandNumber() == 0});
      else if (isa<graph::ReshapeOp, graph::TransposeOp, graph::NegOp>(user) || isFloatCast(user) || isScaled)
        work.push_back(user->getResult(0));
      else
        uses.other = user;
    }
  }
  return uses;
}

/// Whether an element is one of `source`, through casts and products.
static bool isMadeOf(const Node *node, Value source) {
  if (node->kind == Node::Leaf)
    return node->value == source;
  bool follows = node->dynOp<graph::CastOp>() || node->dynOp<graph::MulOp>() || node->dynOp<graph::DivOp>() ||
                 node->dynOp<graph::NegOp>();
  return follows && llvm::any_of(node->children, [&](const Node *child) { return isMadeOf(child, source); });
}

/// The weights without casts and without factors, which are noted.
const Node *AttentionMatcher::unscaledWeights(const Node *node) {
  match.factors.clear();
  match.isNegative = false;
  while (node->kind == Node::Op) {
    if (node->dynOp<graph::CastOp>() || node->dynOp<graph::NegOp>()) {
      match.isNegative ^= bool(node->dynOp<graph::NegOp>());
      node = node->children[0];
      continue;
    }
    if (!node->dynOp<graph::MulOp>() && !node->dynOp<graph::DivOp>())
      break;
    size_t side = isMadeOf(node->children[0], match.softmax.getResult()) ? 0 : 1;
    match.factors.push_back({node->children[1 - side], bool(node->dynOp<graph::DivOp>())});
    scaling = node->op();
    node = node->children[side];
  }
  return node;
}

/// Whether a value is computed from an op of the same block.
static bool isBehind(Operation *source, Value value) {
  llvm::SetVector<Operation *> work;
  auto add = [&](Value next) {
    Operation *op = next.getDefiningOp();
    if (op && op->getBlock() == source->getBlock() && !op->isBeforeInBlock(source))
      work.insert(op);
  };
  add(value);
  for (size_t i = 0; i < work.size(); ++i)
    for (Value operand : work[i]->getOperands())
      add(operand);
  return work.contains(source);
}

/// The softmax's element behind casts, factors and choices of 0, none of which depends on the weights; null where there
/// is something else.
const Node *AttentionMatcher::unchangedWeights(const Node *node) {
  Operation *softmax = match.softmax;
  while (node->kind == Node::Op) {
    if (node->dynOp<graph::CastOp>() || node->dynOp<graph::NegOp>()) {
      node = node->children[0];
      continue;
    }
    Operation *op = node->op();
    std::optional<size_t> weights;
    for (auto [i, operand] : llvm::enumerate(op->getOperands()))
      if (isBehind(softmax, operand)) {
        bool isKept = isa<graph::MulOp>(op) || (isa<graph::DivOp>(op) && i == 0) || isChoiceOrZero(op, i);
        if (weights || !isKept)
          return nullptr;
        weights = i;
      }
    if (!weights)
      return nullptr;
    scaling = op;
    node = expressions.element(op->getOperand(*weights), node->labels);
    if (!node)
      return nullptr;
  }
  return node->kind == Node::Leaf && node->value == match.softmax.getResult() ? node : nullptr;
}

/// Reads the weights at labels of the product's operand, down to the softmax's axes.
LogicalResult AttentionMatcher::labelWeights() {
  if (!match.product) {
    auto logSum = dyn_cast<graph::LogSumExpOp>(match.anchor);
    match.top = match.anchor->getOperand(0);
    match.topLabels = expressions.expand(root);
    match.key = logSum ? match.topLabels[logSum.getAxis()] : match.topLabels.back();
    return success();
  }
  weightsLabels = expressions.expand(root);
  const Node *node = expressions.element(weightsOperand(), weightsLabels);
  if (!node)
    return failure(); // a split: run again
  SmallVector<Label> summed;
  for (auto [label, axis] : llvm::zip_equal(productLabels(true), weightsLabels))
    if (!llvm::is_contained(match.product.getOutLabels(), label))
      llvm::append_range(summed, axis);
  if (match.isPointwise()) {
    match.key.assign(summed.begin(), summed.end());
    placePointwise(node);
  } else if (failed(placeSoftmax(node))) {
    return failure();
  }
  // What is summed must be the keys, all of them and no more.
  for (Label label : match.key)
    if (!llvm::is_contained(summed, label))
      return report.failed("the softmax is not over the axis that the contraction sums", match.place());
  if (summed.size() != match.key.size())
    return report.failed("the weights are summed over another axis as well as the keys", match.product.getLoc());
  match.v = match.product->getOperand(match.weightsAreLhs ? 1 : 0);
  match.vLabels = contractions.operand(match.product, !match.weightsAreLhs, productLabels(true), weightsLabels);
  return success();
}

/// Whether a reduction is in an element: of the scores, as far as is known.
static bool isReduced(const Node *node, unsigned depth = 0) {
  return node->kind == Node::Reduce || depth > 16 ||
         llvm::any_of(node->children, [&](const Node *child) { return isReduced(child, depth + 1); });
}

/// The weights without what each row of them is multiplied or divided by: that goes to the result.
void AttentionMatcher::placePointwise(const Node *node) {
  match.factors.clear();
  match.isNegative = false;
  match.top = weightsOperand();
  match.topLabels = weightsLabels;
  while (node->dynOp<graph::MulOp>() || node->dynOp<graph::DivOp>()) {
    auto isOfRow = [&](size_t side) {
      const Node *child = node->children[side];
      return child->dependsOnAny(flat(weightsLabels)) && !child->dependsOnAny(match.key) && !isReduced(child);
    };
    size_t side = isOfRow(1) ? 1 : 0; // of the factor
    if (!isOfRow(side) || (side == 0 && node->dynOp<graph::DivOp>()))
      return;
    match.factors.push_back({node->children[side], bool(node->dynOp<graph::DivOp>())});
    scaling = node->op();
    node = node->children[1 - side];
    match.top = node->value;
    match.topLabels = node->labels;
  }
}

/// The softmax's labels and its keys, where the weights are its result times factors.
LogicalResult AttentionMatcher::placeSoftmax(const Node *whole) {
  const Node *node = unscaledWeights(whole);
  auto isSoftmax = [&] { return node->kind == Node::Leaf && node->value == match.softmax.getResult(); };
  auto differsByKey = [&](const AttentionMatch::Factor &factor) {
    return factor.node->dependsOnAny(node->labels[match.softmax.getAxis()]);
  };
  match.changed = Value();
  if (!isSoftmax() || llvm::any_of(match.factors, differsByKey)) {
    const Node *weights = unchangedWeights(whole);
    if (!weights && expressions.isVoid())
      return failure();
    if (!weights)
      return isSoftmax()
                 ? report.failed("the weights are multiplied by what differs from key to key", scaling->getLoc())
                 : report.failed("a reshape between the softmax and the contraction does not follow the axes",
                                 node->value.getLoc());
    node = weights;
    match.changed = weightsOperand();
    match.changedLabels = weightsLabels;
    match.factors.clear();
    match.isNegative = false;
  }
  match.top = match.softmax.getX();
  match.topLabels = node->labels;
  match.key = node->labels[match.softmax.getAxis()];
  SmallVector<Label> own = flat(match.topLabels);
  if (match.changed)
    for (Label label : flat(weightsLabels))
      if (!llvm::is_contained(own, label))
        return report.failed("the weights are repeated before they are multiplied by what differs from key to key",
                             scaling->getLoc());
  return placeSink();
}

LogicalResult AttentionMatcher::placeSink() {
  match.sink = nullptr;
  if (!match.softmax.getSink())
    return success();
  TensorLabels rows = match.topLabels;
  rows.erase(rows.begin() + match.softmax.getAxis());
  match.sink = expressions.element(match.softmax.getSink(), rows);
  return success(match.sink != nullptr);
}

/// The node of `contract` in the expression; whether it is read at two places; a reduction that it is under.
const Node *AttentionMatcher::scoreNode(const Node *rootNode, graph::ContractOp contract, bool &isTwice,
                                        Operation *&reduction) {
  const Node *found = nullptr;
  llvm::SmallPtrSet<const Node *, 32> seen, seenReduced;
  SmallVector<std::pair<const Node *, Operation *>> work{{rootNode, nullptr}};
  while (!work.empty()) {
    auto [node, under] = work.pop_back_val();
    if (!(under ? seenReduced : seen).insert(node).second)
      continue;
    if (node->kind == Node::Leaf && node->value == contract.getResult()) {
      isTwice |= found && found != node && !under;
      if (under)
        reduction = under;
      else
        found = node;
    }
    for (const Node *child : node->children)
      work.push_back({child, node->kind == Node::Reduce ? node->op() : under});
  }
  return found;
}

/// Contractions that reach the softmax's operand; those of most axes first (a bias may be a contraction as well), among
/// them those that nothing else reads (others are held anyway), nearest first. The first that fits is the score.
LogicalResult AttentionMatcher::findScores() {
  llvm::SetVector<Value> reached;
  SmallVector<graph::ContractOp> contracts;
  reached.insert(match.top);
  for (size_t i = 0; i < reached.size(); ++i) {
    Operation *op = reached[i].getDefiningOp();
    if (!op)
      continue;
    if (auto contract = dyn_cast<graph::ContractOp>(op))
      contracts.push_back(contract);
    else if (isLayout(op) || isa<graph::ElementwiseOpInterface>(op))
      reached.insert(op->operand_begin(), op->operand_end());
  }
  if (contracts.empty()) {
    blame(match.top);
    return failure();
  }
  llvm::stable_sort(contracts, [](graph::ContractOp a, graph::ContractOp b) {
    int64_t left = typeOf(a.getResult()).getRank(), right = typeOf(b.getResult()).getRank();
    return left != right ? left > right : a->hasOneUse() && !b->hasOneUse();
  });
  std::optional<ChainReport> first;
  std::vector<std::string> facts = report.facts;
  for (graph::ContractOp contract : contracts) {
    report.facts = facts;
    report.failure.clear();
    if (succeeded(tryScores(contract)))
      return success();
    if (report.failure.empty())
      return failure(); // a split
    if (!first)
      first = report;
  }
  report = *first;
  return failure();
}

/// Nothing elementwise leads to a contraction: names the op in the way.
void AttentionMatcher::blame(Value from) {
  llvm::SetVector<Value> reached;
  reached.insert(from);
  Operation *inTheWay = nullptr;
  for (size_t i = 0; i < reached.size() && reached.size() < 4096; ++i) {
    Operation *op = reached[i].getDefiningOp();
    if (!op)
      continue;
    if (isa<graph::ContractOp>(op))
      break;
    if (!inTheWay && !isLayout(op) && !isa<graph::ElementwiseOpInterface, graph::ConstantOp, graph::IotaOp>(op))
      inTheWay = op;
    reached.insert(op->operand_begin(), op->operand_end());
  }
  if (inTheWay)
    (void)report.failed("the scores are no elementwise function of a contraction: " + opName(inTheWay) +
                            " stands between",
                        inTheWay->getLoc());
  else
    (void)report.failed("the scores do not come from a contraction", match.place());
}

LogicalResult AttentionMatcher::tryScores(graph::ContractOp contract) {
  match.scores = contract;
  if (contract.getPacked())
    return report.failed("the scores' contraction has a packed operand", contract.getLoc());
  const Node *rootNode = expressions.element(match.top, match.topLabels);
  if (!rootNode)
    return failure();
  bool isTwice = false;
  Operation *reduction = nullptr;
  const Node *node = scoreNode(rootNode, contract, isTwice, reduction);
  if (reduction)
    return report.failed("a reduction of the scores stands between the contraction and the softmax",
                         reduction->getLoc());
  if (!node)
    return report.failed("the way from the contraction to the softmax is not elementwise: a reshape does not follow "
                         "the axes (or it is too long)",
                         contract.getLoc());
  if (isTwice)
    return report.failed("the scores are read at two different positions", contract.getLoc());
  match.scoreLabels = node->labels;
  if (failed(checkUses()) || failed(assignRoles()))
    return failure();
  return findParts(match, contractions, report);
}

/// The chain: what depends on the scores, element by element. Other uses of them are no hindrance: they compute the
/// scores again, or hold them where they must be held.
LogicalResult AttentionMatcher::checkUses() {
  match.chain.clear();
  bool isShared = false;
  Operation *other = nullptr;
  SmallVector<Value> work{match.scores.getResult()};
  while (!work.empty()) {
    for (Operation *user : work.pop_back_val().getUsers()) {
      if (isOpTriviallyDead(user) || user == match.anchor || user == match.softmax)
        continue;
      if (isLayout(user) || isa<graph::ElementwiseOpInterface>(user)) {
        if (match.chain.insert(user))
          work.push_back(user->getResult(0));
      } else if (isa<graph::SoftmaxOp, graph::LogSumExpOp>(user)) {
        isShared = true;
      } else {
        other = user;
      }
    }
  }
  match.hasOtherUses = isShared || other;
  match.feedsSoftmax = isShared;
  report.proved("the scores are an elementwise function of a contraction");
  if (isShared)
    report.proved("another softmax reads the scores: they are computed for each");
  if (other)
    report.proved("the scores are also read by " + opName(other) + ", for which they are computed again");
  return success();
}

/// Which operand holds the keys, and what each label is.
LogicalResult AttentionMatcher::assignRoles() {
  graph::ContractOp scores = match.scores;
  ArrayRef<int64_t> out = scores.getOutLabels();
  TensorLabels left = contractions.operand(scores, true, out, match.scoreLabels);
  TensorLabels right = contractions.operand(scores, false, out, match.scoreLabels);
  SmallVector<Label> inLeft = flat(left), inRight = flat(right);
  auto count = [&](ArrayRef<Label> labels) {
    return llvm::count_if(match.key, [&](Label label) { return llvm::is_contained(labels, label); });
  };
  size_t keysLeft = count(inLeft), keysRight = count(inRight), keys = match.key.size();
  if (keysLeft + keysRight == 0 && keys)
    return report.failed("the scores' contraction does not depend on the key axis", scores.getLoc());
  if (keysLeft && keysRight)
    return report.failed(keysLeft == keys && keysRight == keys
                             ? "the softmax is over an axis that both factors of the scores share, not over keys"
                             : "the softmax is over axes of both factors of the scores",
                         match.place());
  if (keysLeft + keysRight != keys)
    return report.failed("the softmax is over more than the keys of the contraction", match.place());
  bool keysAreLeft = keys ? keysLeft : false;
  match.q = keysAreLeft ? scores.getRhs() : scores.getLhs();
  match.k = keysAreLeft ? scores.getLhs() : scores.getRhs();
  match.qLabels = keysAreLeft ? right : left;
  match.kLabels = keysAreLeft ? left : right;
  match.inner.clear();
  for (auto [label, axis] : llvm::zip_equal(keysAreLeft ? scores.getRhsLabels() : scores.getLhsLabels(), match.qLabels))
    if (!llvm::is_contained(out, label))
      llvm::append_range(match.inner, axis);
  report.proved(match.isPointwise()                ? "weights are a function of each score alone"
                : isa<graph::TopKOp>(match.anchor) ? "the largest scores over the key axis"
                                                   : "softmax over the key axis");
  return checkValues();
}

LogicalResult AttentionMatcher::checkValues() {
  SmallVector<Label> inQuery = flat(match.qLabels), inKey = flat(match.kLabels), inValue = flat(match.vLabels);
  SmallVector<Label> own; // of v
  match.batch.clear();
  match.query.clear();
  match.value.clear();
  SmallVector<Label> weights = flat(match.topLabels);
  for (Label label : inValue)
    if (!llvm::is_contained(weights, label))
      match.value.push_back(label);
  // The query axis: the last that q has and neither k nor v; the other axes are batches.
  for (Label label : llvm::reverse(weights)) {
    if (llvm::is_contained(match.key, label))
      continue;
    bool isQuery = match.query.empty() && llvm::is_contained(inQuery, label) && !llvm::is_contained(inKey, label) &&
                   !llvm::is_contained(inValue, label);
    (isQuery ? match.query : match.batch).push_back(label);
  }
  std::reverse(match.batch.begin(), match.batch.end());
  match.resultLabels.clear();
  if (!match.product)
    return success();
  auto find = [&](int64_t label) -> AxisLabels {
    ArrayRef<int64_t> mine = productLabels(true), theirs = productLabels(false);
    if (auto found = llvm::find(mine, label); found != mine.end())
      return weightsLabels[found - mine.begin()];
    return match.vLabels[llvm::find(theirs, label) - theirs.begin()];
  };
  for (int64_t label : match.product.getOutLabels())
    match.resultLabels.push_back(find(label));
  SmallVector<Label> inResult = flat(match.resultLabels);
  for (const AttentionMatch::Factor &factor : match.factors)
    for (Label label : flat(factor.node->labels))
      if (!llvm::is_contained(inResult, label))
        return report.failed("a factor of the weights is spread over the keys", scaling->getLoc());
  report.proved("the weights are summed with the values over the same axis");
  if (!match.factors.empty())
    report.proved("a factor of the weights goes to the result");
  return success();
}

/// Whether the weights are the score times factors, each of which depends on keys or on queries alone. Notes these.
void AttentionMatcher::takeLinear(const Node *node) {
  match.queryFactors.clear();
  match.keyFactors.clear();
  match.isScoreNegative = match.isLinear = false;
  while (node->kind == Node::Op && !node->children.empty()) {
    bool isProduct = node->dynOp<graph::MulOp>(), isQuotient = node->dynOp<graph::DivOp>();
    if (node->dynOp<graph::CastOp>() || node->dynOp<graph::NegOp>()) {
      match.isScoreNegative ^= bool(node->dynOp<graph::NegOp>());
      node = node->children[0];
      continue;
    }
    if (!isProduct && !isQuotient)
      return;
    size_t side = isProduct && !isMadeOf(node->children[0], match.scores.getResult()) ? 1 : 0;
    const Node *factor = node->children[1 - side];
    bool isOfKey = factor->dependsOnAny(match.key);
    if (isOfKey && factor->dependsOnAny(match.query))
      return;
    (isOfKey ? match.keyFactors : match.queryFactors).push_back({factor, isQuotient});
    node = node->children[side];
  }
  match.isLinear = node->kind == Node::Leaf && node->value == match.scores.getResult();
}

/// c s, where c is the same for all keys and queries and s the sum of all products.
static bool isMultipleOfProducts(const Node *node, AttentionMatch &match) {
  const Node *products = match.expressions.element(match.onlyProducts, match.onlyProductsLabels);
  while (node != products && node->kind == Node::Op && !node->children.empty()) {
    auto isFixed = [&](const Node *child) {
      return !child->dependsOnAny(match.key) && !child->dependsOnAny(match.query);
    };
    if (node->dynOp<graph::CastOp>() || node->dynOp<graph::NegOp>() ||
        ((node->dynOp<graph::MulOp>() || node->dynOp<graph::DivOp>()) && isFixed(node->children[1])))
      node = node->children[0];
    else if (node->dynOp<graph::MulOp>() && isFixed(node->children[0]))
      node = node->children[1];
    else
      return false;
  }
  return node == products;
}

LogicalResult AttentionMatcher::run() {
  root = expressions.newLabels(typeOf(match.product ? weightsOperand() : match.anchor->getOperand(0)));
  return expressions.solve([&]() -> LogicalResult {
    report.facts.clear();
    report.failure.clear();
    if (failed(labelWeights()) || failed(findScores()))
      return failure();
    if (!match.isPointwise())
      return success();
    if (match.query.empty())
      return report.failed("there is one query only", match.place());
    const Node *weight = expressions.element(match.top, match.topLabels);
    takeLinear(weight);
    // Of several products each may be taken in another order.
    return failure(!match.isLinear && isMultipleOfProducts(weight, match));
  });
}

LogicalResult fovea::matchAttention(graph::SoftmaxOp softmax, WeightsUse use, AttentionMatch &match,
                                    ChainReport &report) {
  match.softmax = softmax;
  match.anchor = match.product = use.product;
  match.weightsAreLhs = use.isLhs;
  return AttentionMatcher(match, report).run();
}

LogicalResult fovea::matchPointwise(WeightsUse use, AttentionMatch &match, ChainReport &report) {
  return matchAttention(graph::SoftmaxOp(), use, match, report);
}

LogicalResult fovea::matchLogSum(graph::LogSumExpOp logSum, AttentionMatch &match, ChainReport &report) {
  match.anchor = logSum;
  return AttentionMatcher(match, report).run();
}

LogicalResult fovea::matchTopK(graph::TopKOp topK, AttentionMatch &match, ChainReport &report) {
  match.anchor = topK;
  return AttentionMatcher(match, report).run();
}

bool fovea::isChain(graph::SoftmaxOp softmax) {
  auto search = [](SmallVector<Operation *> work, auto next) {
    llvm::SmallPtrSet<Operation *, 32> seen;
    while (!work.empty() && seen.size() < 256) {
      Operation *op = work.pop_back_val();
      if (!op || !seen.insert(op).second)
        continue;
      if (isa<graph::ContractOp>(op))
        return true;
      if (isLayout(op) || isa<graph::ElementwiseOpInterface, graph::SliceOp, graph::ConcatOp>(op))
        next(op, work);
    }
    return false;
  };
  bool after = search(llvm::to_vector(softmax->getUsers()),
                      [](Operation *op, SmallVector<Operation *> &work) { llvm::append_range(work, op->getUsers()); });
  return after || search({softmax.getX().getDefiningOp()}, [](Operation *op, SmallVector<Operation *> &work) {
           for (Value operand : op->getOperands())
             work.push_back(operand.getDefiningOp());
         });
}
