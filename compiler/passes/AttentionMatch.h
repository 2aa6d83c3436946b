// Finds contract -> elementwise scores -> softmax over the keys -> contract, by algebra over axis labels.
#pragma once

#include "compiler/passes/ElementExpression.h"
#include "compiler/passes/FusionReport.h"

namespace fovea {

/// A chain that is an attention. Labels are those of `expressions`.
struct AttentionMatch {
  ElementExpressions expressions;

  graph::ContractOp scores; ///< q k^T
  graph::SoftmaxOp softmax;
  graph::ContractOp product; ///< weights v
  mlir::Value q, k, v;
  TensorLabels qLabels, kLabels, vLabels;
  TensorLabels scoreLabels;   ///< of `scores`' result
  TensorLabels softmaxLabels; ///< of `softmax`'s operand
  TensorLabels resultLabels;  ///< of `product`'s result

  AxisLabels batch; ///< one axis of the attention each
  AxisLabels query; ///< none or one
  AxisLabels key;   ///< the softmax's axis
  AxisLabels inner; ///< summed in `scores`
  AxisLabels value; ///< v's own
  /// Factors of the weights (or divisors) that do not depend on the keys: they go to the result.
  struct Factor {
    const ElementExpressions::Node *node;
    bool divides;
  };
  llvm::SmallVector<Factor, 2> factors;
  /// Ops between `scores` and `softmax` that depend on the scores.
  llvm::SetVector<mlir::Operation *> chain;
};

/// Matches the chain through `softmax` and its one user chain up to a contraction. What was proved and what failed is
/// written to `report`.
llvm::LogicalResult matchAttention(graph::SoftmaxOp softmax, AttentionMatch &match, ChainReport &report);

/// Whether a contraction feeds the softmax or uses it, through any ops but another softmax: only then is it a chain.
bool isChain(graph::SoftmaxOp softmax);

} // namespace fovea
