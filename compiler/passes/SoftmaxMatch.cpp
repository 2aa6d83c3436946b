// Matching of softmax. See the header for what is found.
#include "compiler/passes/SoftmaxMatch.h"

#include <cmath>
#include <utility>

using namespace mlir;
using namespace fovea;

using Node = ElementExpressions::Node;

bool SoftmaxMatcher::isConstant(const Node *node, double value) {
  std::optional<double> constant = node->kind == Node::Op ? constantValue(node->value) : std::nullopt;
  return constant && *constant == value;
}

void SoftmaxMatcher::addTerms(const Node *node, int64_t sign, Terms &terms) {
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
const Node *SoftmaxMatcher::unguardedMax(const Node *node) {
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
const Node *SoftmaxMatcher::safeDenominator(const Node *node) {
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

/// z of log(z), or of `where(z == 0, -inf, log(where(z == 0, 1, z)))`, whose gradient is 0 where z is. Or null.
const Node *SoftmaxMatcher::logarithmOf(const Node *node) {
  if (node->dynOp<graph::LogOp>())
    return node->children[0];
  if (!node->dynOp<graph::SelectOp>())
    return nullptr;
  for (size_t side : {1, 2}) {
    const Node *log = node->children[3 - side];
    if (!log->dynOp<graph::LogOp>() || !isConstant(node->children[side], -std::numeric_limits<double>::infinity()))
      continue;
    const Node *z = safeDenominator(log->children[0]);
    std::optional<bool> equal =
        comparesEqual(node->children[0], z, [&](const Node *constant) { return isConstant(constant, 0); });
    if (equal && *equal == (side == 1))
      return z;
  }
  return nullptr;
}

std::optional<SoftmaxMatcher::Quotient> SoftmaxMatcher::quotient(const Node *node) {
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
std::optional<SoftmaxMatcher::Quotient> SoftmaxMatcher::guardedQuotient(const Node *node) {
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

AxisLabels SoftmaxMatcher::keysOf(const Node *node, const Node *sum) {
  AxisLabels key;
  for (const AxisLabels &axis : node->labels) // in the order of its axes
    for (Label label : axis)
      if (node->dependsOn(label) && !sum->dependsOn(label))
        key.push_back(label);
  return key;
}

/// 1 where a condition holds and 0 elsewhere, as a number: the condition.
static const Node *indicator(const Node *node) {
  auto convert = node->dynOp<graph::CastOp>();
  bool isTruth = convert && cast<graph::TensorType>(convert.getX().getType()).getElementType().isInteger(1);
  return isTruth ? node->children[0] : nullptr;
}

/// e / z, or one of its guards.
static bool isQuotient(const Node *node) {
  return node->dynOp<graph::DivOp>() || node->dynOp<graph::SelectOp>() || node->dynOp<graph::MulOp>();
}

std::optional<Exponential> SoftmaxMatcher::exponential(const Node *node) {
  if (node->dynOp<graph::ExpOp>())
    return Exponential{node->children[0], termsOf(node->children[0]), 0, {}};
  if (node->dynOp<graph::PowOp>()) {
    std::optional<double> base =
        node->children[0]->kind == Node::Op ? constantValue(node->children[0]->value) : std::nullopt;
    bool grows = base && *base > 0 && std::isfinite(*base) && *base != 1;
    return grows ? std::optional(Exponential{node->children[1], termsOf(node->children[1]), *base, {}}) : std::nullopt;
  }
  if (auto softmax = node->kind == Node::Leaf ? node->value.getDefiningOp<graph::SoftmaxOp>() : graph::SoftmaxOp();
      softmax && !softmax.getSink()) {
    const Node *score = expressions.element(softmax.getX(), node->labels);
    AxisLabels key = node->labels[softmax.getAxis()];
    llvm::sort(key);
    return score ? std::optional(Exponential{score, termsOf(score), 0, {}, key}) : std::nullopt;
  }
  if (std::optional<Softmax> weights = isQuotient(node) ? matchWeights(node) : std::nullopt;
      weights && weights->sinks.empty()) {
    llvm::sort(weights->key);
    return Exponential{weights->score, termsOf(weights->score), weights->base, weights->masks, weights->key};
  }
  const Node *inner = nullptr, *condition = nullptr;
  bool isInverse = false;
  if (node->dynOp<graph::SelectOp>()) {
    isInverse = isConstant(node->children[1], 0);
    if (isInverse || isConstant(node->children[2], 0)) {
      condition = node->children[0];
      inner = node->children[isInverse ? 2 : 1];
    }
  } else if (node->dynOp<graph::MulOp>()) {
    for (size_t side : {0, 1})
      if (const Node *found = indicator(node->children[side])) {
        condition = found;
        inner = node->children[1 - side];
      }
  }
  std::optional<Exponential> result = inner ? exponential(inner) : std::nullopt;
  if (result) {
    result->masks.push_back({condition, isInverse});
    return result;
  }
  return std::nullopt;
}

/// Whether `node` is a sum of `terms`, where some of `masks` may hide parts of it.
bool SoftmaxMatcher::isMasked(const Node *node, const Terms &terms, ArrayRef<Mask> masks) {
  constexpr double hidden = -std::numeric_limits<double>::infinity();
  while (termsOf(node) != terms) {
    if (!node->dynOp<graph::SelectOp>())
      return false;
    bool isInverse = isConstant(node->children[1], hidden);
    if ((!isInverse && !isConstant(node->children[2], hidden)) ||
        !llvm::is_contained(masks, Mask(node->children[0], isInverse)))
      return false;
    node = node->children[isInverse ? 2 : 1];
  }
  return true;
}

static void addAddends(const Node *node, SmallVectorImpl<const Node *> &addends) {
  if (!node->dynOp<graph::AddOp>())
    return addends.push_back(node);
  for (const Node *child : node->children)
    addAddends(child, addends);
}

/// The part of a sum that is made of `terms`: x of (x - m) + b for {x}.
const Node *SoftmaxMatcher::partOf(const Node *argument, const Terms &terms) {
  if (termsOf(argument) == terms)
    return argument;
  if (argument->dynOp<graph::AddOp>() || argument->dynOp<graph::SubOp>() || argument->dynOp<graph::NegOp>())
    for (const Node *child : argument->children)
      if (const Node *found = partOf(child, terms))
        return found;
  return nullptr;
}

/// What has a share of a denominator: a number, an exponential, or a sum of exponentials. `shifts`: what the keys'
/// exponents are less, and so must be those.
std::optional<Sink> SoftmaxMatcher::sinkOf(const Node *share, double base, ArrayRef<const Node *> shifts) {
  if (std::optional<double> number = share->kind == Node::Op ? constantValue(share->value) : std::nullopt)
    return *number > 0 && std::isfinite(*number) && shifts.empty() ? std::optional(Sink{nullptr, std::log(*number)})
                                                                   : std::nullopt;
  bool isSum = isReduce(share, "sum");
  std::optional<Exponential> found = exponential(isSum ? share->children[0] : share);
  if (!found || !found->masks.empty() || !found->shared.empty() || found->base != base)
    return std::nullopt;
  Terms logit = found->exponent;
  for (const Node *shift : shifts) {
    auto same = logit.find(shift);
    if (same == logit.end() || same->second != -1)
      return std::nullopt; // a shift of the keys alone
    logit.erase(same);
  }
  if (logit.empty())
    return isSum ? std::nullopt : std::optional(Sink());
  const Node *node = partOf(found->argument, logit);
  return node
             ? std::optional(Sink{node, 0, isSum ? AxisLabels(share->bound.begin(), share->bound.end()) : AxisLabels()})
             : std::nullopt;
}

/// b^x / (sum(b^x) + shares). A maximum that is subtracted in all drops out.
std::optional<Softmax> SoftmaxMatcher::withSinks(const Exponential &numerator, const Node *argument,
                                                 ArrayRef<const Node *> shares, AxisLabels key) {
  SmallVector<const Node *> shifts;
  Terms score = numerator.exponent;
  for (auto [term, coefficient] : numerator.exponent) {
    const Node *inner = unguardedMax(term);
    if (coefficient != -1 || term->dependsOnAny(key) || !(isReduce(inner, "max") || inner->dynOp<graph::MaxOp>()))
      continue;
    shifts.push_back(term);
    score.erase(term);
  }
  Softmax found{partOf(argument, score), key, numerator.base, numerator.masks};
  for (const Node *share : shares) {
    std::optional<Sink> sink = share->dependsOnAny(key) ? std::nullopt : sinkOf(share, numerator.base, shifts);
    if (!sink)
      return std::nullopt;
    found.sinks.push_back(*sink);
  }
  return found.score ? std::optional(found) : std::nullopt;
}

/// `numerator` over a denominator of which one addend is the sum over the keys.
std::optional<Softmax> SoftmaxMatcher::ofSum(const Exponential &numerator, const Node *denominator, AxisLabels key) {
  SmallVector<const Node *> addends;
  addAddends(denominator, addends);
  for (const Node *sum : addends) {
    if (!isReduce(sum, "sum"))
      continue;
    SmallVector<const Node *> shares;
    bool isTaken = false; // one that is there twice has a share as well
    for (const Node *other : addends)
      if (other != sum || std::exchange(isTaken, true))
        shares.push_back(other);
    if (std::optional<Softmax> found = ofSum(numerator, sum, shares, key))
      return found;
  }
  return std::nullopt;
}

/// `numerator` over a sum of exponentials: the same ones?
std::optional<Softmax> SoftmaxMatcher::ofSum(const Exponential &numerator, const Node *sum,
                                             ArrayRef<const Node *> shares, AxisLabels key) {
  if (key.size() != sum->bound.size() || key.empty())
    return std::nullopt;
  // Weights that are divided by their sum once more: the first sum drops out where it is over the same keys.
  if (AxisLabels keys = key; !numerator.shared.empty()) {
    llvm::sort(keys);
    if (keys != numerator.shared || !shares.empty())
      return std::nullopt;
  }
  // Bound labels and the keys may be in another order: there are few.
  llvm::sort(key);
  do {
    const Node *body = expressions.reduced(sum, key);
    std::optional<Exponential> summed = body ? exponential(body) : std::nullopt;
    if (!summed || !(*summed == numerator))
      continue;
    const Node *argument = numerator.argument ? numerator.argument : summed->argument;
    if (!shares.empty())
      return withSinks(numerator, argument, shares, key);
    // The maximum over the key drops out, and with it the guard for rows of -inf.
    for (auto [term, coefficient] : numerator.exponent) {
      const Node *maximum = coefficient == -1 ? unguardedMax(term) : nullptr;
      if (!maximum || !isReduce(maximum, "max"))
        continue;
      AxisLabels order = key;
      llvm::sort(order);
      Terms rest = numerator.exponent;
      rest.erase(term);
      do {
        const Node *score = expressions.reduced(maximum, order);
        if (score && isMasked(score, rest, numerator.masks))
          return Softmax{score, key, numerator.base, numerator.masks};
      } while (std::next_permutation(order.begin(), order.end()));
    }
    return Softmax{argument, key, numerator.base, numerator.masks};
  } while (std::next_permutation(key.begin(), key.end()));
  return std::nullopt;
}

/// exp(x - log(sum(exp(x)))), with any shift in both.
std::optional<Softmax> SoftmaxMatcher::ofExponential(const Node *weights) {
  Terms terms = termsOf(weights->children[0]);
  for (auto [term, coefficient] : terms) {
    const Node *total = coefficient == -1 ? logarithmOf(term) : nullptr;
    if (!total)
      continue;
    const Node *sum = safeDenominator(total);
    Exponential numerator{nullptr, terms, 0, {}, {}};
    numerator.exponent.erase(term);
    if (std::optional<Softmax> found = ofSum(numerator, sum, keysOf(weights, sum)))
      return found;
  }
  return std::nullopt;
}

std::optional<Softmax> SoftmaxMatcher::matchWeights(const Node *weights) {
  if (weights->dynOp<graph::ExpOp>())
    return ofExponential(weights);
  std::optional<Quotient> parts = guardedQuotient(weights);
  std::optional<Exponential> numerator = parts ? exponential(parts->numerator) : std::nullopt;
  if (!numerator)
    return std::nullopt;
  return ofSum(*numerator, parts->denominator, keysOf(parts->numerator, parts->denominator));
}

std::optional<LogSum> SoftmaxMatcher::matchLogSum(const Node *value) {
  auto isMaximum = [&](const Node *term) { return isReduce(unguardedMax(term), "max"); };
  for (Terms terms = termsOf(value); auto [term, coefficient] : terms) {
    const Node *sum = coefficient == 1 ? logarithmOf(term) : nullptr;
    std::optional<Exponential> summed = sum && isReduce(sum, "sum") ? exponential(sum->children[0]) : std::nullopt;
    if (!summed || summed->base != 0 || !summed->shared.empty())
      continue;
    // What is taken from the exponents is added to the logarithm, with its guard or without.
    Terms score = summed->exponent, rest = terms;
    rest.erase(term);
    for (auto [shift, times] : summed->exponent)
      for (auto [added, sofar] : rest)
        if (times == -sofar && unguardedMax(shift) == unguardedMax(added)) {
          score.erase(shift);
          rest.erase(added);
          break;
        }
    bool isShifted = llvm::any_of(score, [&](auto &part) { return part.second < 0 && isMaximum(part.first); });
    const Node *found = rest.empty() && !isShifted ? partOf(summed->argument, score) : nullptr;
    if (found)
      return LogSum{found, AxisLabels(sum->bound.begin(), sum->bound.end()), summed->masks};
  }
  return std::nullopt;
}

std::optional<SoftmaxMatcher::Moved> SoftmaxMatcher::matchMoved(const Node *value) {
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
    const Node *element = expressions.element(operand, labels);
    if (!element)
      return std::nullopt;
    std::optional<Exponential> numerator = exponential(element);
    if (!numerator)
      continue;
    if (std::optional<Softmax> softmax = ofSum(*numerator, parts->denominator, key))
      return Moved{parts->numerator, contract, isLhs, labels, *softmax};
  }
  return std::nullopt;
}
