// exp(x - m) / sum(exp(x - m)), in any spelling, becomes graph.softmax; contract(exp(x - m), v) / sum becomes
// contract(softmax, v). Pays because graph.softmax is one kernel, and what attention fusion looks for.
// Numerical effect: see Passes.td.
#include "compiler/passes/ElementExpression.h"
#include "compiler/passes/Passes.h"

#include <cmath>

namespace fovea {
#define GEN_PASS_DEF_RECOGNIZESOFTMAX
#include "compiler/passes/Passes.h.inc"
} // namespace fovea

using namespace mlir;
using namespace fovea;

using Node = ElementExpressions::Node;

namespace {

/// A sum of nodes with integer coefficients: additions in any order are equal.
using Terms = std::map<const Node *, int64_t>;

/// What was found: `score`'s softmax over `key`.
struct Softmax {
  const Node *score = nullptr;
  AxisLabels key;
};

class Matcher {
public:
  explicit Matcher(ElementExpressions &expressions) : expressions(expressions) {}

  /// Whether `weights` is a softmax over some of its labels.
  std::optional<Softmax> matchWeights(const Node *weights);
  /// Whether `value` is contract(e, v) / sum(e): the leaf of the contraction, the operand that is e, and its softmax.
  struct Moved {
    const Node *product;
    graph::ContractOp contract;
    bool isLhs;
    TensorLabels operandLabels;
    Softmax softmax;
  };
  std::optional<Moved> matchMoved(const Node *value);

private:
  struct Quotient {
    const Node *numerator = nullptr, *denominator = nullptr;
  };
  std::optional<Quotient> quotient(const Node *node);
  std::optional<Quotient> guardedQuotient(const Node *node);
  std::optional<Softmax> ofSum(Terms exponent, const Node *argument, const Node *sum, AxisLabels key);
  std::optional<Softmax> ofExponential(const Node *weights);
  bool isConstant(const Node *node, double value);
  const Node *unguardedMax(const Node *node);
  const Node *safeDenominator(const Node *node);
  void addTerms(const Node *node, int64_t sign, Terms &terms);
  Terms termsOf(const Node *node) {
    Terms terms;
    addTerms(node, 1, terms);
    return terms;
  }
  /// The labels of `node` that `sum` does not depend on, where they can be those that it is bound over.
  AxisLabels keysOf(const Node *node, const Node *sum);

  ElementExpressions &expressions;
  std::map<std::pair<Operation *, int64_t>, Label> summedLabels;
};

} // namespace

bool Matcher::isConstant(const Node *node, double value) {
  std::optional<double> constant = node->kind == Node::Op ? constantValue(node->value) : std::nullopt;
  return constant && *constant == value;
}

void Matcher::addTerms(const Node *node, int64_t sign, Terms &terms) {
  if (node->dynOp<graph::AddOp>() || node->dynOp<graph::SubOp>()) {
    if (node->kind == Node::Op) {
      addTerms(node->children[0], sign, terms);
      return addTerms(node->children[1], node->dynOp<graph::SubOp>() ? -sign : sign, terms);
    }
  }
  if (node->dynOp<graph::NegOp>())
    return addTerms(node->children[0], -sign, terms);
  if (isConstant(node, 0))
    return;
  if (int64_t &coefficient = terms[node]; (coefficient += sign) == 0)
    terms.erase(node);
}

/// Whether `condition` says `node == constant` (negated: says that it is not, or is greater).
static std::optional<bool> comparesEqual(const Node *condition, const Node *node,
                                         llvm::function_ref<bool(const Node *)> isConstant) {
  auto compare = condition->dynOp<graph::CompareOp>();
  if (!compare)
    return std::nullopt;
  const Node *left = condition->children[0], *right = condition->children[1];
  bool straight = left == node && isConstant(right), turned = right == node && isConstant(left);
  if (!straight && !turned)
    return std::nullopt;
  StringRef predicate = compare.getPredicate();
  if (predicate == "eq" || (predicate == "le" && straight) || (predicate == "ge" && turned))
    return true;
  if (predicate == "ne" || (predicate == "gt" && straight) || (predicate == "lt" && turned))
    return false;
  return std::nullopt;
}

/// m of `where(m == -inf, 0, m)`, or the node itself.
const Node *Matcher::unguardedMax(const Node *node) {
  if (!node->dynOp<graph::SelectOp>())
    return node;
  for (size_t side : {1, 2}) {
    const Node *other = node->children[3 - side];
    std::optional<bool> equal = comparesEqual(node->children[0], other, [&](const Node *constant) {
      return isConstant(constant, -std::numeric_limits<double>::infinity());
    });
    if (equal && *equal == (side == 1) && isConstant(node->children[side], 0))
      return other;
  }
  return node;
}

/// z of `where(z == 0, 1, z)`: numerators are 0 wherever z is. Or the node itself.
const Node *Matcher::safeDenominator(const Node *node) {
  if (!node->dynOp<graph::SelectOp>())
    return node;
  for (size_t side : {1, 2}) {
    const Node *other = node->children[3 - side], *instead = node->children[side];
    std::optional<bool> equal =
        comparesEqual(node->children[0], other, [&](const Node *constant) { return isConstant(constant, 0); });
    std::optional<double> value = instead->kind == Node::Op ? constantValue(instead->value) : std::nullopt;
    if (equal && *equal == (side == 1) && value && std::isfinite(*value) && *value != 0)
      return other;
  }
  return node;
}

std::optional<Matcher::Quotient> Matcher::quotient(const Node *node) {
  if (node->dynOp<graph::DivOp>())
    return Quotient{node->children[0], safeDenominator(node->children[1])};
  if (!node->dynOp<graph::MulOp>())
    return std::nullopt;
  for (size_t side : {0, 1}) {
    const Node *factor = node->children[side];
    bool reciprocal = (factor->dynOp<graph::DivOp>() && isConstant(factor->children[0], 1));
    bool power = factor->dynOp<graph::PowOp>() && isConstant(factor->children[1], -1);
    if (reciprocal || power)
      return Quotient{node->children[1 - side], safeDenominator(factor->children[reciprocal ? 1 : 0])};
  }
  return std::nullopt;
}

/// e / z, or `where(z == 0, 0, e / z)`.
std::optional<Matcher::Quotient> Matcher::guardedQuotient(const Node *node) {
  if (!node->dynOp<graph::SelectOp>())
    return quotient(node);
  for (size_t side : {1, 2}) {
    std::optional<Quotient> inner = quotient(node->children[3 - side]);
    if (!inner || !isConstant(node->children[side], 0))
      continue;
    std::optional<bool> equal = comparesEqual(node->children[0], inner->denominator,
                                              [&](const Node *constant) { return isConstant(constant, 0); });
    if (equal && *equal == (side == 1))
      return inner;
  }
  return std::nullopt;
}

static bool isReduce(const Node *node, StringRef kind) {
  return node->kind == Node::Reduce && cast<graph::ReduceOp>(node->op()).getKind() == kind;
}

AxisLabels Matcher::keysOf(const Node *node, const Node *sum) {
  AxisLabels key;
  for (const AxisLabels &axis : node->labels) // in the order of its axes
    for (Label label : axis)
      if (node->dependsOn(label) && !sum->dependsOn(label))
        key.push_back(label);
  return key;
}

/// exp(`exponent`) over `sum`, a sum of exponentials: the same ones?
std::optional<Softmax> Matcher::ofSum(Terms exponent, const Node *argument, const Node *sum, AxisLabels key) {
  if (!isReduce(sum, "sum") || key.size() != sum->bound.size() || key.empty())
    return std::nullopt;
  // Bound labels and the keys may be in another order: there are few.
  llvm::sort(key);
  do {
    const Node *body = expressions.reduced(sum, key);
    if (!body || !body->dynOp<graph::ExpOp>() || termsOf(body->children[0]) != exponent)
      continue;
    if (!argument)
      argument = body->children[0];
    // The maximum over the key drops out, and with it the guard for rows of -inf.
    for (auto [term, coefficient] : exponent) {
      const Node *maximum = coefficient == -1 ? unguardedMax(term) : nullptr;
      if (!maximum || !isReduce(maximum, "max"))
        continue;
      AxisLabels order = key;
      llvm::sort(order);
      Terms rest = exponent;
      rest.erase(term);
      do {
        const Node *score = expressions.reduced(maximum, order);
        if (score && termsOf(score) == rest)
          return Softmax{score, key};
      } while (std::next_permutation(order.begin(), order.end()));
    }
    return Softmax{argument, key};
  } while (std::next_permutation(key.begin(), key.end()));
  return std::nullopt;
}

/// exp(x - log(sum(exp(x)))), with any shift in both.
std::optional<Softmax> Matcher::ofExponential(const Node *weights) {
  Terms terms = termsOf(weights->children[0]);
  for (auto [term, coefficient] : terms) {
    if (coefficient != -1 || !term->dynOp<graph::LogOp>())
      continue;
    const Node *sum = safeDenominator(term->children[0]);
    Terms exponent = terms;
    exponent.erase(term);
    if (std::optional<Softmax> found = ofSum(exponent, nullptr, sum, keysOf(weights, sum)))
      return found;
  }
  return std::nullopt;
}

std::optional<Softmax> Matcher::matchWeights(const Node *weights) {
  if (weights->dynOp<graph::ExpOp>())
    return ofExponential(weights);
  std::optional<Quotient> parts = guardedQuotient(weights);
  if (!parts || !parts->numerator->dynOp<graph::ExpOp>())
    return std::nullopt;
  const Node *argument = parts->numerator->children[0];
  return ofSum(termsOf(argument), argument, parts->denominator, keysOf(parts->numerator, parts->denominator));
}

std::optional<Matcher::Moved> Matcher::matchMoved(const Node *value) {
  std::optional<Quotient> parts = guardedQuotient(value);
  if (!parts || parts->numerator->kind != Node::Leaf)
    return std::nullopt;
  auto contract = parts->numerator->value.getDefiningOp<graph::ContractOp>();
  if (!contract || contract.getPacked())
    return std::nullopt;
  for (bool isLhs : {true, false}) {
    Value operand = isLhs ? contract.getLhs() : contract.getRhs();
    TensorLabels labels;
    AxisLabels key;
    ArrayRef<int64_t> out = contract.getOutLabels();
    DimExpr one(1);
    auto dims = cast<graph::TensorType>(operand.getType()).getDims();
    for (auto [dim, label] : llvm::zip(dims, isLhs ? contract.getLhsLabels() : contract.getRhsLabels())) {
      if (auto found = llvm::find(out, label); found != out.end()) {
        labels.push_back(parts->numerator->labels[found - out.begin()]);
        continue;
      }
      auto [entry, isNew] = summedLabels.try_emplace({contract, label}, -1);
      if (isNew && dim != one)
        entry->second = expressions.newLabel(dim);
      labels.push_back(entry->second < 0 ? AxisLabels() : expressions.expand({entry->second}));
      llvm::append_range(key, labels.back());
    }
    const Node *exponential = expressions.element(operand, labels);
    if (!exponential)
      return std::nullopt;
    if (!exponential->dynOp<graph::ExpOp>())
      continue;
    const Node *argument = exponential->children[0];
    if (std::optional<Softmax> softmax = ofSum(termsOf(argument), argument, parts->denominator, key))
      return Moved{parts->numerator, contract, isLhs, labels, *softmax};
  }
  return std::nullopt;
}

//===-- Rewriting -------------------------------------------------------------------------------------------------===//

/// Whether every label at which the witness of `node` is read occurs in `labels`.
static bool canRelabel(const Node *node, const TensorLabels &labels) {
  return llvm::all_of(node->labels, [&](const AxisLabels &axis) {
    return llvm::all_of(axis, [&](Label label) {
      return llvm::any_of(labels, [&](const AxisLabels &target) { return llvm::is_contained(target, label); });
    });
  });
}

/// graph.softmax of what was found, in a tensor with `labels`; null where its score cannot be had there.
static Value buildSoftmax(OpBuilder &builder, Location loc, const ElementExpressions &expressions,
                          const Softmax &softmax, const TensorLabels &labels, Type element) {
  auto type = cast<graph::TensorType>(softmax.score->value.getType());
  if (!canRelabel(softmax.score, labels) || type.getElementType() != element)
    return Value();
  // Along an axis of its own, or along the last axis of a relabelled tensor.
  TensorLabels order;
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
    order = labels;
  } else {
    axis = order.size();
    order.push_back(softmax.key);
  }
  Value score = relabel(builder, loc, expressions, softmax.score->value, softmax.score->labels, order);
  Value weights = graph::SoftmaxOp::create(builder, loc, score.getType(), score, axis);
  return relabel(builder, loc, expressions, weights, order, labels);
}

/// A cheap look before the expensive one: a sum, or a logarithm of one, is near.
static bool mayBeSoftmax(Operation *op) {
  if (!isa<graph::DivOp, graph::MulOp, graph::SelectOp, graph::ExpOp>(op))
    return false;
  SmallVector<std::pair<Value, unsigned>> work;
  llvm::SmallPtrSet<Operation *, 32> seen;
  for (Value operand : op->getOperands())
    work.push_back({operand, 0});
  while (!work.empty() && seen.size() < 256) {
    auto [value, depth] = work.pop_back_val();
    Operation *source = value.getDefiningOp();
    if (!source || depth > 8 || !seen.insert(source).second)
      continue;
    if (auto reduce = dyn_cast<graph::ReduceOp>(source)) {
      if (reduce.getKind() == "sum")
        return true;
      continue;
    }
    if (isLayout(source) || isa<graph::DivOp, graph::LogOp, graph::SubOp, graph::AddOp, graph::SelectOp, graph::PowOp,
                                graph::MulOp, graph::NegOp>(source))
      for (Value operand : source->getOperands())
        work.push_back({operand, depth + !isLayout(source)});
  }
  return false;
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
      if (!mayBeSoftmax(&op))
        continue;
      if (Value value = raise(op)) {
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
    TensorLabels root = expressions.newLabels(type);
    Matcher matcher(expressions);
    std::optional<Softmax> softmax;
    std::optional<Matcher::Moved> moved;
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

  Value move(OpBuilder &builder, Operation &op, const ElementExpressions &expressions, const Matcher::Moved &moved,
             const TensorLabels &root) {
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
