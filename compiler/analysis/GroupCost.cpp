#include "compiler/analysis/GroupCost.h"

#include "compiler/analysis/Storage.h"

using namespace mlir;

namespace fovea {

static ArrayRef<DimExpr> dims(Value tensor) { return cast<graph::TensorType>(tensor.getType()).getDims(); }

static DimExpr times(DimExpr product, ArrayRef<DimExpr> sizes) {
  for (DimExpr size : sizes)
    product = product ? product * size : product;
  return product;
}

static DimExpr flopsOf(graph::ContractOp op) {
  DimExpr flops(2);
  for (auto [label, dim] : llvm::zip(op.getLhsLabels(), dims(op.getLhs())))
    if (!llvm::is_contained(op.getOutLabels(), label))
      flops = times(flops, dim);
  return times(flops, dims(op.getResult()));
}

static DimExpr flopsOf(graph::AttentionOp op) {
  DimExpr columns = dims(op.getQ()).back() + dims(op.getV()).back();
  for (Value joined : op.getJoinedQ())
    columns = columns + dims(joined).back();
  for (auto dot : op.getScore().front().getOps<graph::DotOp>())
    columns = columns + cast<graph::TensorType>(dot.getA().getType()).getDim(dot.getAAxis());
  return times(DimExpr(2) * columns * op.getKeyCount(), dims(op.getQ()).drop_back());
}

/// Products: scores, dq and dk of the features, the weights' change and dv of the values.
static DimExpr flopsOf(graph::AttentionBackwardOp op) {
  DimExpr features(0);
  for (auto [q, k] : op.getParts())
    features = features + dims(q).back();
  ArrayRef<DimExpr> values = dims(op.getV());
  DimExpr flops = values[values.size() - 2] * (DimExpr(6) * features + DimExpr(4) * values.back());
  return times(flops, dims(op.getQ()).drop_back());
}

/// Of each key: its part of the matrix, what its query gathers from there, and half a chunk of others.
static DimExpr flopsOf(graph::LinearAttentionOp op) {
  DimExpr d = dims(op.getQ()).back(), e = dims(op.getV()).back();
  return times(DimExpr(4) * d * e + DimExpr(linearChunk) * (d + e), dims(op.getQ()).drop_back());
}

DimExpr flopsOf(graph::GroupOp group) {
  int64_t arithmetic = 0;
  for (Operation &op : group.getBody().front()) {
    if (auto contract = dyn_cast<graph::ContractOp>(op))
      return flopsOf(contract);
    if (auto attention = dyn_cast<graph::AttentionOp>(op))
      return flopsOf(attention);
    if (auto backward = dyn_cast<graph::AttentionBackwardOp>(op))
      return flopsOf(backward);
    if (auto linear = dyn_cast<graph::LinearAttentionOp>(op))
      return flopsOf(linear);
    if (auto top = dyn_cast<graph::TopKOp>(op))
      return cast<graph::TensorType>(top.getX().getType()).getNumElements();
    arithmetic += isa<graph::ElementwiseOpInterface, graph::ReduceOp>(op);
  }
  return times(DimExpr(arithmetic), MapSpace::of(group).box);
}

} // namespace fovea
