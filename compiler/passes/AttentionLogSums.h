// What reads the weights of a fused softmax, or the log-sum-exp of its scores, beside a product with values.
#pragma once

#include "compiler/passes/AttentionRegions.h"

#include <memory>

namespace fovea {

TensorLabels withoutAxis(TensorLabels labels, int64_t axis);

/// The log-sum-exp of an attention's rows, as a tensor of `type` whose axes have labels `rows`.
mlir::Value logSumOf(mlir::OpBuilder &builder, BuiltAttention &built, AttentionMatch &match, const TensorLabels &rows,
                     graph::TensorType type);

/// The softmax's weights from the log-sum-exp of an attention: exp(x - lse), 0 where there is nothing to see.
mlir::Value weightsOf(mlir::OpBuilder &builder, graph::SoftmaxOp softmax, const BuiltAttention &built,
                      const AttentionMatch &match);

/// Serves all that reads a softmax beside products, by one of the attentions that these become.
class LogSumServer {
public:
  explicit LogSumServer(graph::SoftmaxOp softmax) : softmax(softmax) {}

  /// The first attention serves that does not depend on what it would serve.
  void offer(BuiltAttention attention, std::unique_ptr<AttentionMatch> itsMatch, size_t chain);

  void serve(FusionReport &report);

private:
  graph::SoftmaxOp softmax;
  llvm::SmallVector<std::pair<graph::LogSumExpOp, TensorLabels>> logSums; ///< and labels of its result
  BuiltAttention built;
  std::unique_ptr<AttentionMatch> match;
  size_t place = 0; ///< of its chain in the report
};

} // namespace fovea
