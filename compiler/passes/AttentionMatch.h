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

/// Features of one operand of a product in the scores: tensors joined along an axis, or a part of one.
struct PartOperand {
  llvm::SmallVector<mlir::Value, 1> pieces;
  int64_t axis = -1;              ///< along which the pieces are joined or cut
  std::optional<DimExpr> begin{}; ///< of what is cut out of the only piece
  TensorLabels labels;            ///< of the result
};

/// A product in the scores, which are the sum of all parts' products.
struct AttentionPart {
  PartOperand q, k;
  AxisLabels inner; ///< summed
  /// What a part's product is multiplied by, or divided, before it is added, beyond what the score region does.
  struct Factor {
    const ElementExpressions::Node *node;
    bool divides;
    bool isOfKeys; ///< it differs from key to key: it goes to k, all others to q
  };
  llvm::SmallVector<Factor, 2> factors;
  bool isNegative = false;
};

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
  /// What meets the values, where that is the softmax's result times what differs from key to key; null: the softmax.
  mlir::Value changed;
  TensorLabels changedLabels;
  /// Whether weights are the score times these factors, each of which depends on the query or on the key alone.
  bool isLinear = false;
  llvm::SmallVector<Factor, 2> queryFactors, keyFactors;
  bool isScoreNegative = false;
  const ElementExpressions::Node *sink = nullptr; ///< the softmax's, without the key
  /// Ops between `scores` and `top` that depend on the scores.
  llvm::SetVector<mlir::Operation *> chain;

  llvm::SmallVector<AttentionPart, 1> parts; ///< `scores`' own first
  mlir::Value summed;                        ///< what the score region takes for the parts' sum
  /// Sums in the chain with addends that are among the parts: the operand that is left.
  llvm::DenseMap<mlir::Value, mlir::Value> passed;
  mlir::Value onlyProducts; ///< the last value of the chain that is made of the parts and their factors alone
  TensorLabels onlyProductsLabels;

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
