#pragma once

#include "compiler/autodiff/Rules.h"

namespace fovea::autodiff {

/// The rule of graph.attention. Softmax's needs the log-sum-exp as a result of the op.
mlir::LogicalResult applyAttentionRule(Adjoint &adjoint, graph::AttentionOp op);

/// The op with its log-sum-exp as a result.
graph::AttentionOp withLogSum(graph::AttentionOp op);

} // namespace fovea::autodiff
