// Finds contract -> elementwise scores -> softmax over the keys -> contract, by algebra over axis labels.
#pragma once

#include "compiler/passes/ElementExpression.h"
#include "compiler/passes/FusionReport.h"

namespace fovea {

/// Where weights, through layouts, casts and factors, meet values.
struct WeightsUse {
  graph::ContractOp product;
  bool isLhs;
};
struct WeightsUses {
  llvm::SmallVector<WeightsUse, 1> products;
  mlir::Operation *other = nullptr; ///< what else reads them, through whatever layouts
};
WeightsUses usesOfWeights(graph::SoftmaxOp softmax);

/// A chain that is an attention. Labels are those of `expressions`.
struct AttentionMatch {
  ElementExpressions expressions;

  graph::ContractOp scores;          ///< q k^T
  graph::SoftmaxOp softmax;          ///< null: the weights are a function of each score alone, or there are none
  graph::ContractOp product;         ///< weights v; null: only the anchor's result is wanted
  mlir::Operation *anchor = nullptr; ///< what the attention stands in front of: the product, log-sum-exp or top_k
  bool weightsAreLhs = true;
  mlir::Value top;        ///< what the score region computes: the softmax's operand, or the weights themselves
  TensorLabels topLabels; ///< of `top`
  mlir::Value q, k, v;
  TensorLabels qLabels, kLabels, vLabels;
  TensorLabels scoreLabels;  ///< of `scores`' result
  TensorLabels resultLabels; ///< of `product`'s result

  AxisLabels batch; ///< one axis of the attention each
  AxisLabels query; ///< none or one
  AxisLabels key;   ///< the softmax's axis, or what `product` sums
  AxisLabels inner; ///< summed in `scores`
  AxisLabels value; ///< v's own
  /// Factors of the weights (or divisors) that do not depend on the keys: they go to the result.
  struct Factor {
    const ElementExpressions::Node *node;
    bool divides;
  };
  llvm::SmallVector<Factor, 2> factors;
  bool isNegative = false; ///< so are the weights: the result is negated
  /// Whether weights are the score times these factors, each of which depends on the query or on the key alone.
  bool isLinear = false;
  llvm::SmallVector<Factor, 2> queryFactors, keyFactors;
  bool isScoreNegative = false;
  const ElementExpressions::Node *sink = nullptr; ///< the softmax's, without the key
  /// Ops between `scores` and `top` that depend on the scores.
  llvm::SetVector<mlir::Operation *> chain;

  bool hasOtherUses = false; ///< of the scores
  bool feedsSoftmax = false; ///< one of these

  bool isPointwise() { return !softmax && product; }
  mlir::Location place() { return softmax ? softmax.getLoc() : product ? top.getLoc() : anchor->getLoc(); }
  /// Labels of the attention's own layout: batches, then these.
  TensorLabels laidOut(llvm::ArrayRef<AxisLabels> axes) const;
};

/// Matches the chain through `softmax` and one of its products. What was proved and what failed is written to `report`.
llvm::LogicalResult matchAttention(graph::SoftmaxOp softmax, WeightsUse use, AttentionMatch &match,
                                   ChainReport &report);

/// Matches f(q k^T) v, where f is any function of each score, captured tensors and indices. `isLinear` where it is a
/// product of the score with factors of the query or of the key alone: such a product may be taken in another order.
llvm::LogicalResult matchPointwise(WeightsUse use, AttentionMatch &match, ChainReport &report);

/// Matches the log-sum-exp of scores, of which nothing else is wanted.
llvm::LogicalResult matchLogSum(graph::LogSumExpOp logSum, AttentionMatch &match, ChainReport &report);

/// Matches the largest of scores over the keys, in any function of each.
llvm::LogicalResult matchTopK(graph::TopKOp topK, AttentionMatch &match, ChainReport &report);

/// Whether a contraction feeds the softmax or uses it, through any ops but another softmax: only then is it a chain.
bool isChain(graph::SoftmaxOp softmax);

} // namespace fovea
