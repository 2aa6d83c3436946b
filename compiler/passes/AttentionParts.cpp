#include "compiler/passes/AttentionParts.h"

#include "mlir/Interfaces/SideEffectInterfaces.h"

using namespace mlir;
using namespace fovea;

using Node = ElementExpressions::Node;

namespace {

//===-- Products that are added -----------------------------------------------------------------------------------===//

/// Follows the scores from their contraction towards the top of the chain, through sums and factors.
class ProductCollector {
public:
  ProductCollector(AttentionMatch &match, ContractionLabels &contractions)
      : match(match), expressions(match.expressions), contractions(contractions) {}

  LogicalResult run();

private:
  using Factor = AttentionPart::Factor;
  /// How much of an addend is products.
  enum class Share { None, Some, All };

  bool labelChain();
  Operation *onlyUser(Value value);
  bool follow(Operation *op);
  bool followSum(Operation *op);
  Share collect(Value value, const TensorLabels &labels, SmallVector<Factor> outer, bool isNegative);
  Share collectSum(Operation *op, const TensorLabels &labels, const SmallVector<Factor> &outer, bool isNegative);
  bool addPart(graph::ContractOp contract, const TensorLabels &labels, SmallVector<Factor> outer, bool isNegative);
  bool pays(const TensorLabels &product, ArrayRef<Label> inner);
  std::optional<Factor> factorOf(Value value, const TensorLabels &labels, bool divides);
  void settle(size_t firstNew);

  AttentionMatch &match;
  ElementExpressions &expressions;
  ContractionLabels &contractions;
  llvm::DenseMap<Value, TensorLabels> labels; ///< of the chain's values
  // Where we are, and what has been done to the sum on the way from `match.summed`, innermost first.
  Value value;
  SmallVector<Factor> factors;
  bool isNegated = false;
  /// The last value on the way that was made of products alone, null while all are, and whether it was negated.
  Value beforeRest;
  bool wasNegated = false;
};

AttentionPart ownPart(AttentionMatch &match) {
  return {{{match.q}, -1, {}, match.qLabels}, {{match.k}, -1, {}, match.kLabels}, match.inner, {}, false};
}

LogicalResult ProductCollector::run() {
  match.parts = {ownPart(match)};
  match.passed.clear();
  match.summed = match.onlyProducts = value = match.scores.getResult();
  match.onlyProductsLabels = match.scoreLabels;
  if (!labelChain())
    return failure(expressions.isVoid());
  while (Operation *op = onlyUser(value)) {
    if (!follow(op))
      break;
    value = op->getResult(0);
  }
  return failure(expressions.isVoid());
}

/// Labels of what lies between the top and the scores; false where a reshape does not follow them.
bool ProductCollector::labelChain() {
  SmallVector<std::pair<Value, TensorLabels>> work{{match.top, match.topLabels}};
  while (!work.empty()) {
    auto [next, at] = work.pop_back_val();
    Operation *op = next.getDefiningOp();
    if (!labels.try_emplace(next, at).second || !match.chain.contains(op))
      continue;
    std::optional<TensorLabels> inner = isLayout(op) ? expressions.through(op, at) : at;
    if (!inner)
      return false;
    for (Value operand : op->getOperands())
      work.push_back({operand, *inner});
  }
  return true;
}

/// The one op of the chain that uses a value, and only once; null otherwise.
Operation *ProductCollector::onlyUser(Value used) {
  Operation *user = nullptr;
  for (OpOperand &use : used.getUses()) {
    if (isOpTriviallyDead(use.getOwner()))
      continue;
    if (user)
      return nullptr;
    user = use.getOwner();
  }
  return user && match.chain.contains(user) && labels.contains(user->getResult(0)) ? user : nullptr;
}

/// Goes past an op; false at the end of the way.
bool ProductCollector::follow(Operation *op) {
  if (isLayout(op))
    return true;
  if (isa<graph::AddOp, graph::SubOp>(op))
    return followSum(op);
  if (beforeRest)
    return false;
  if (isa<graph::NegOp>(op)) {
    isNegated = !isNegated;
    return true;
  }
  bool isDivided = isa<graph::DivOp>(op) && op->getOperand(0) == value;
  if (!isa<graph::MulOp>(op) && !isDivided)
    return false;
  Value by = op->getOperand(op->getOperand(0) == value ? 1 : 0);
  std::optional<Factor> factor = factorOf(by, labels.at(op->getResult(0)), isDivided);
  if (factor)
    factors.push_back(*factor);
  return factor.has_value();
}

bool ProductCollector::followSum(Operation *op) {
  bool isLeft = op->getOperand(0) == value, isSub = isa<graph::SubOp>(op);
  Value sum = op->getResult(0), other = op->getOperand(isLeft ? 1 : 0);
  size_t before = match.parts.size();
  Share share = collect(other, labels.at(sum), {}, isSub);
  // Where the sum so far is subtracted from products alone, nothing would be left to subtract it from.
  if (share == Share::All && isSub && !isLeft) {
    match.parts.truncate(before);
    share = Share::None;
  }
  if (share == Share::All) {
    match.passed[sum] = value;
    if (!beforeRest) {
      match.onlyProducts = sum;
      match.onlyProductsLabels = labels.at(sum);
    }
  } else if (!beforeRest) {
    beforeRest = value;
    wasNegated = isNegated;
  }
  settle(before);
  isNegated ^= isSub && !isLeft;
  return true;
}

/// Takes off the new parts' factors what the chain does to all of the sum; where it does something else, moves the sum
/// up behind it, and the factors into the parts that it has so far.
void ProductCollector::settle(size_t firstNew) {
  MutableArrayRef<AttentionPart> all(match.parts), added = all.drop_front(firstNew);
  auto endsAlike = [&](const AttentionPart &part) {
    auto isSame = [](const Factor &a, const Factor &b) { return a.node == b.node && a.divides == b.divides; };
    return part.factors.size() >= factors.size() &&
           std::equal(factors.rbegin(), factors.rend(), part.factors.rbegin(), isSame);
  };
  if (llvm::all_of(added, endsAlike)) {
    for (AttentionPart &part : added) {
      part.factors.truncate(part.factors.size() - factors.size());
      part.isNegative ^= isNegated;
    }
    return;
  }
  bool isMoved = beforeRest ? wasNegated : isNegated;
  isNegated ^= isMoved;
  wasNegated = false;
  for (AttentionPart &part : all.take_front(firstNew)) {
    part.factors.append(factors);
    part.isNegative ^= isMoved;
  }
  for (AttentionPart &part : added)
    part.isNegative ^= isNegated;
  match.summed = beforeRest ? beforeRest : value;
  factors.clear();
}

std::optional<AttentionPart::Factor> ProductCollector::factorOf(Value by, const TensorLabels &at, bool divides) {
  if (match.chain.contains(by.getDefiningOp()))
    return std::nullopt;
  const Node *node = expressions.element(by, at);
  if (!node)
    return std::nullopt;
  SmallVector<Label> spread = flat(node->labels);
  auto isSpreadOver = [&](ArrayRef<Label> axis) {
    return llvm::any_of(axis, [&](Label label) { return llvm::is_contained(spread, label); });
  };
  bool isOfKeys = isSpreadOver(match.key);
  if (isOfKeys && isSpreadOver(match.query))
    return std::nullopt;
  return Factor{node, divides, isOfKeys};
}

/// Makes parts of the products that `value` is a sum of, which is read nowhere else. `outer` is what it is multiplied
/// by, outermost first.
ProductCollector::Share ProductCollector::collect(Value addend, const TensorLabels &at, SmallVector<Factor> outer,
                                                  bool isNegative) {
  Operation *op = addend.getDefiningOp();
  if (!op || !addend.hasOneUse() || match.chain.contains(op))
    return Share::None;
  if (isLayout(op)) {
    std::optional<TensorLabels> inner = expressions.through(op, at);
    return inner ? collect(op->getOperand(0), *inner, std::move(outer), isNegative) : Share::None;
  }
  if (auto contract = dyn_cast<graph::ContractOp>(op))
    return addPart(contract, at, std::move(outer), isNegative) ? Share::All : Share::None;
  if (isa<graph::AddOp, graph::SubOp>(op))
    return collectSum(op, at, outer, isNegative);
  if (isa<graph::NegOp>(op))
    return collect(op->getOperand(0), at, std::move(outer), !isNegative);
  if (!isa<graph::MulOp, graph::DivOp>(op))
    return Share::None;
  for (size_t side = 0, sides = isa<graph::MulOp>(op) ? 2 : 1; side < sides; ++side) {
    std::optional<Factor> factor = factorOf(op->getOperand(1 - side), at, isa<graph::DivOp>(op));
    if (!factor)
      continue;
    SmallVector<Factor> all = outer;
    all.push_back(*factor);
    if (Share share = collect(op->getOperand(side), at, all, isNegative); share != Share::None)
      return share;
  }
  return Share::None;
}

ProductCollector::Share ProductCollector::collectSum(Operation *op, const TensorLabels &at,
                                                     const SmallVector<Factor> &outer, bool isNegative) {
  bool isSub = isa<graph::SubOp>(op);
  size_t before = match.parts.size();
  Share left = collect(op->getOperand(0), at, outer, isNegative);
  size_t middle = match.parts.size();
  Share right = collect(op->getOperand(1), at, outer, isNegative ^ isSub);
  if (left == Share::All && right == Share::All)
    return Share::All;
  if (right == Share::All) {
    match.passed[op->getResult(0)] = op->getOperand(0);
  } else if (left == Share::All && !isSub) {
    match.passed[op->getResult(0)] = op->getOperand(1);
  } else if (left == Share::All) { // something must be left to subtract from
    match.parts.erase(match.parts.begin() + before, match.parts.begin() + middle);
    left = Share::None;
  }
  return left == Share::None && right == Share::None ? Share::None : Share::Some;
}

/// A product of queries and keys.
bool ProductCollector::addPart(graph::ContractOp contract, const TensorLabels &at, SmallVector<Factor> outer,
                               bool isNegative) {
  if (contract.getPacked())
    return false;
  ArrayRef<int64_t> out = contract.getOutLabels();
  TensorLabels sides[] = {contractions.operand(contract, true, out, at),
                          contractions.operand(contract, false, out, at)};
  auto holds = [&](int side, ArrayRef<Label> axis) {
    SmallVector<Label> all = flat(sides[side]);
    return llvm::any_of(axis, [&](Label label) { return llvm::is_contained(all, label); });
  };
  int keys = holds(0, match.key) ? 0 : 1;
  if (!holds(keys, match.key) || holds(1 - keys, match.key) || holds(keys, match.query) ||
      (!match.query.empty() && !holds(1 - keys, match.query)))
    return false;
  AttentionPart part;
  for (auto [label, axis] : llvm::zip_equal(contract.getLhsLabels(), sides[0]))
    if (!llvm::is_contained(out, label))
      llvm::append_range(part.inner, axis);
  if (!pays(at, part.inner))
    return false;
  part.q = {{contract->getOperand(1 - keys)}, -1, {}, sides[1 - keys]};
  part.k = {{contract->getOperand(keys)}, -1, {}, sides[keys]};
  part.factors.append(outer.rbegin(), outer.rend());
  part.isNegative = isNegative;
  match.parts.push_back(std::move(part));
  return true;
}

/// One that is the same for all heads is computed for each of them as a part: it is held where that would cost more
/// than the scores' own product.
bool ProductCollector::pays(const TensorLabels &product, ArrayRef<Label> inner) {
  SmallVector<Label> all = flat(product);
  bool isSame = llvm::any_of(match.batch, [&](Label label) { return !llvm::is_contained(all, label); });
  std::optional<int64_t> mine = expressions.sizeOf(inner).value(), theirs = expressions.sizeOf(match.inner).value();
  return !isSame || !mine || !theirs || *mine <= *theirs;
}

//===-- Features that are joined ----------------------------------------------------------------------------------===//

/// Whether a piece of keys is better read from where it comes from than copied: it lies in memory, or repeats.
bool isPartOfItsOwn(Value piece) {
  while (Operation *op = piece.getDefiningOp()) {
    if (isa<graph::ContractOp, graph::UpdateSliceOp, graph::CallOp, graph::AttentionOp>(op))
      return true;
    if (isa<graph::BroadcastOp>(op) && typeOf(op->getOperand(0)).getRank() > 0)
      return true;
    if (!isLayout(op) && !isWidening(op) && !isa<graph::SliceOp>(op))
      return false;
    piece = op->getOperand(0);
  }
  return true; // an argument
}

/// The concatenation that has an element, widened or not: its pieces are widened where the attention reads them.
graph::ConcatOp concatOf(const Node *&node) {
  if (node && node->kind == Node::Op && isWidening(node->op()))
    node = node->children[0];
  return node && node->kind == Node::Leaf ? node->value.getDefiningOp<graph::ConcatOp>() : graph::ConcatOp();
}

/// Takes the parts apart whose keys are joined along their features.
class FeatureSplitter {
public:
  FeatureSplitter(AttentionMatch &match, ContractionLabels &contractions)
      : match(match), expressions(match.expressions), contractions(contractions) {}

  LogicalResult run() {
    SmallVector<AttentionPart, 1> all;
    for (const AttentionPart &part : match.parts)
      if (!splitInterleaved(part, all))
        split(part, all);
    match.parts = std::move(all);
    return failure(expressions.isVoid());
  }

private:
  /// The concatenation along `inner` that an operand is, through layouts; and the axis and labels of its result.
  struct Joined {
    graph::ConcatOp op;
    int64_t axis;
    TensorLabels labels;
  };
  std::optional<Joined> joined(const PartOperand &operand, const AxisLabels &inner);
  bool splitInterleaved(const AttentionPart &part, SmallVectorImpl<AttentionPart> &all);
  void split(const AttentionPart &part, SmallVectorImpl<AttentionPart> &all);
  PartOperand queriesOf(const AttentionPart &part, DimExpr begin, DimExpr size, const AxisLabels &label);

  AttentionMatch &match;
  ElementExpressions &expressions;
  ContractionLabels &contractions;
};

std::optional<FeatureSplitter::Joined> FeatureSplitter::joined(const PartOperand &operand, const AxisLabels &inner) {
  const Node *node = expressions.element(operand.pieces.front(), operand.labels);
  graph::ConcatOp concat = concatOf(node);
  if (!concat || inner.empty() || node->labels[concat.getAxis()] != inner)
    return std::nullopt;
  return Joined{concat, int64_t(concat.getAxis()), node->labels};
}

/// Features that queries and keys have interleaved alike, as rotated pairs are, are summed one piece after the other:
/// nothing is woven.
bool FeatureSplitter::splitInterleaved(const AttentionPart &part, SmallVectorImpl<AttentionPart> &all) {
  const Node *q = expressions.element(part.q.pieces.front(), part.q.labels);
  const Node *k = expressions.element(part.k.pieces.front(), part.k.labels);
  graph::ConcatOp queries = concatOf(q), keys = concatOf(k);
  auto isOfSingles = [](graph::ConcatOp concat) {
    return llvm::all_of(concat.getXs(),
                        [&](Value piece) { return typeOf(piece).getDim(concat.getAxis()).isConstant(1); });
  };
  if (!queries || !keys || queries.getXs().size() != keys.getXs().size() || !isOfSingles(queries) || !isOfSingles(keys))
    return false;
  AxisLabels woven = q->labels[queries.getAxis()];
  if (woven.size() != 1 || woven != k->labels[keys.getAxis()] || part.inner.size() < 2 ||
      !llvm::is_contained(part.inner, woven.front()))
    return false;
  for (auto [one, other] : llvm::zip_equal(queries.getXs(), keys.getXs())) {
    AttentionPart mine{
        {{one}, -1, {}, q->labels}, {{other}, -1, {}, k->labels}, part.inner, part.factors, part.isNegative};
    mine.q.labels[queries.getAxis()].clear();
    mine.k.labels[keys.getAxis()].clear();
    llvm::erase(mine.inner, woven.front());
    all.push_back(std::move(mine));
  }
  return true;
}

/// Features [begin, begin + size) of a part's queries: pieces of a concatenation, or cut out.
PartOperand FeatureSplitter::queriesOf(const AttentionPart &part, DimExpr begin, DimExpr size,
                                       const AxisLabels &label) {
  if (std::optional<Joined> whole = joined(part.q, part.inner)) {
    DimExpr at(0), end = begin + size;
    PartOperand operand{{}, whole->axis, {}, whole->labels};
    operand.labels[whole->axis] = label;
    bool isInside = false;
    for (Value piece : whole->op.getXs()) {
      isInside |= at == begin;
      if (at == end)
        break;
      if (isInside)
        operand.pieces.push_back(piece);
      at = at + typeOf(piece).getDim(whole->axis);
    }
    if (isInside && at == end)
      return operand;
  }
  PartOperand operand{part.q.pieces, -1, begin, part.q.labels};
  for (auto [axis, labels] : llvm::enumerate(operand.labels))
    if (labels == part.inner) {
      operand.axis = axis;
      labels = label;
    }
  return operand;
}

void FeatureSplitter::split(const AttentionPart &part, SmallVectorImpl<AttentionPart> &all) {
  std::optional<Joined> keys = joined(part.k, part.inner);
  bool isCut = llvm::is_contained(part.q.labels, part.inner);
  if (!keys || !isCut || llvm::none_of(keys->op.getXs(), isPartOfItsOwn)) {
    all.push_back(part);
    return;
  }
  // Runs of pieces that are computed stay joined.
  SmallVector<SmallVector<Value, 1>> runs;
  bool mayGrow = false;
  for (Value piece : keys->op.getXs()) {
    bool isOwn = isPartOfItsOwn(piece);
    if (isOwn || !mayGrow)
      runs.emplace_back();
    runs.back().push_back(piece);
    mayGrow = !isOwn;
  }
  DimExpr begin(0);
  for (auto [number, run] : llvm::enumerate(runs)) {
    DimExpr size(0);
    for (Value piece : run)
      size = size + typeOf(piece).getDim(keys->axis);
    AxisLabels label;
    if (!size.isConstant(1))
      label = expressions.expand({contractions.own(keys->op, -1 - int64_t(number), size)});
    AttentionPart mine{
        queriesOf(part, begin, size, label), {run, keys->axis, {}, keys->labels}, label, part.factors, part.isNegative};
    mine.k.labels[keys->axis] = label;
    all.push_back(std::move(mine));
    begin = begin + size;
  }
}

} // namespace

LogicalResult fovea::findParts(AttentionMatch &match, ContractionLabels &contractions, ChainReport &report) {
  if (failed(ProductCollector(match, contractions).run()))
    return failure();
  size_t products = match.parts.size();
  if (failed(FeatureSplitter(match, contractions).run()))
    return failure();
  if (products > 1)
    report.proved("products that are added to the scores are computed with them: " + std::to_string(products) +
                  " are summed over the features of all");
  if (match.parts.size() > products)
    report.proved("keys that are joined along their features are read from where their pieces lie");
  return success();
}
