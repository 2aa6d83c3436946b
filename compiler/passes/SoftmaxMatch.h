// Finds a softmax in any spelling, by algebra over elements. See RecognizeSoftmax.cpp for the rewrite.
#pragma once

#include "compiler/passes/ElementExpression.h"

#include <map>
#include <optional>

namespace fovea {

/// A sum of nodes with integer coefficients: additions in any order are equal.
using Terms = std::map<const ElementExpressions::Node *, int64_t>;

/// A condition, and whether it says what is hidden.
using Mask = std::pair<const ElementExpressions::Node *, bool>;
using Masks = llvm::SmallVector<Mask, 2>;

/// An exponential: base ^ (the sum of `exponent`) where all `masks` hold, and 0 elsewhere.
struct Exponential {
  const ElementExpressions::Node *argument = nullptr;
  Terms exponent;
  double base = 0; ///< 0: e
  Masks masks;
  AxisLabels shared = {}; ///< divided by its sum over these already: a softmax
  bool operator==(const Exponential &other) const {
    return exponent == other.exponent && base == other.base && shared == other.shared &&
           llvm::all_of(masks, [&](const Mask &mask) { return llvm::is_contained(other.masks, mask); }) &&
           llvm::all_of(other.masks, [&](const Mask &mask) { return llvm::is_contained(masks, mask); });
  }
};

/// Logits that have a share of the denominator only: a node over labels of its own, in the softmax's base, or a number,
/// in base e.
struct Sink {
  const ElementExpressions::Node *node = nullptr;
  double number = 0;
  AxisLabels bound = {};
};

/// What was found: the softmax over `key` of `score` (times the logarithm of its base), -inf where it is masked.
struct Softmax {
  const ElementExpressions::Node *score = nullptr;
  AxisLabels key;
  double base = 0;
  Masks masks;
  llvm::SmallVector<Sink, 1> sinks = {};
};

/// What was found: the logarithm of the sum over `key` of exp(score), -inf where it is masked.
struct LogSum {
  const ElementExpressions::Node *score = nullptr;
  AxisLabels key;
  Masks masks;
};

class SoftmaxMatcher {
public:
  using Node = ElementExpressions::Node;
  explicit SoftmaxMatcher(ElementExpressions &expressions) : expressions(expressions) {}

  /// Whether `weights` is a softmax over some of its labels.
  std::optional<Softmax> matchWeights(const Node *weights);
  /// Whether `value` is log(sum(exp(x))), or m + log(sum(exp(x - m))).
  std::optional<LogSum> matchLogSum(const Node *value);
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
  std::optional<Exponential> exponential(const Node *node);
  std::optional<Softmax> ofSum(const Exponential &numerator, const Node *denominator, AxisLabels key);
  std::optional<Softmax> ofSum(const Exponential &numerator, const Node *sum, llvm::ArrayRef<const Node *> shares,
                               AxisLabels key);
  std::optional<Softmax> withSinks(const Exponential &numerator, const Node *argument,
                                   llvm::ArrayRef<const Node *> shares, AxisLabels key);
  std::optional<Sink> sinkOf(const Node *share, double base, llvm::ArrayRef<const Node *> shifts);
  const Node *partOf(const Node *argument, const Terms &terms);
  std::optional<Softmax> ofExponential(const Node *weights);
  bool isMasked(const Node *node, const Terms &terms, llvm::ArrayRef<Mask> masks);
  bool isConstant(const Node *node, double value);
  const Node *unguardedMax(const Node *node);
  const Node *safeDenominator(const Node *node);
  const Node *logarithmOf(const Node *node);
  void addTerms(const Node *node, int64_t sign, Terms &terms);
  Terms termsOf(const Node *node) {
    Terms terms;
    addTerms(node, 1, terms);
    return terms;
  }
  /// The labels of `node` that `sum` does not depend on, where they can be those that it is bound over.
  AxisLabels keysOf(const Node *node, const Node *sum);

  ElementExpressions &expressions;
  std::map<std::pair<mlir::Operation *, int64_t>, Label> summedLabels;
};

} // namespace fovea
