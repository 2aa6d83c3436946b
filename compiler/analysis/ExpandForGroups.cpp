// Ops that groups know in simpler terms only.
#include "compiler/analysis/FormGroups.h"
#include "compiler/analysis/Storage.h"

#include "llvm/ADT/STLExtras.h"

#include <limits>

using namespace mlir;

namespace fovea {

namespace {

/// Builds graph ops with one location.
struct Ops {
  OpBuilder &b;
  Location loc;

  Value constant(Type element, double value) {
    auto type = graph::TensorType::get(b.getContext(), {}, element);
    return graph::ConstantOp::create(b, loc, type, b.getFloatAttr(element, value));
  }
  Value broadcast(Value x, ArrayRef<int64_t> axes, ArrayRef<DimExpr> dims) {
    auto type = cast<graph::TensorType>(x.getType());
    if (type.getDims() == dims)
      return x;
    return graph::BroadcastOp::create(b, loc, type.cloneWith(dims), x, b.getDenseI64ArrayAttr(axes));
  }
  Value compareEqual(Value x, Value y) {
    auto type = cast<graph::TensorType>(x.getType()).cloneWith(b.getI1Type());
    return graph::CompareOp::create(b, loc, type, b.getStringAttr("eq"), x, y);
  }
  Value reduce(StringRef kind, Value x, int64_t axis) {
    auto type = cast<graph::TensorType>(x.getType());
    SmallVector<DimExpr> dims(type.getDims());
    dims.erase(dims.begin() + axis);
    return graph::ReduceOp::create(b, loc, type.cloneWith(ArrayRef<DimExpr>(dims)), b.getStringAttr(kind), x,
                                   b.getDenseI64ArrayAttr({axis}));
  }
  Value transpose(Value x, ArrayRef<int64_t> permutation) {
    if (llvm::equal(permutation, llvm::seq<int64_t>(0, permutation.size())))
      return x;
    auto type = cast<graph::TensorType>(x.getType());
    SmallVector<DimExpr> dims = llvm::map_to_vector(permutation, [&](int64_t axis) { return type.getDim(axis); });
    return graph::TransposeOp::create(b, loc, type.cloneWith(ArrayRef<DimExpr>(dims)), x, b.getDenseI64ArrayAttr(permutation));
  }
  Value reshape(Value x, ArrayRef<DimExpr> dims) {
    auto type = cast<graph::TensorType>(x.getType());
    return type.getDims() == dims ? x : graph::ReshapeOp::create(b, loc, type.cloneWith(dims), x);
  }
};

/// Exponentials along an axis less the maximum, which may have a sink beside it.
struct Exponentials {
  Value shift;            ///< the maximum, 0 where it is -inf
  Value values;           ///< exp(x - shift)
  Value sum;              ///< with the sink's share
  SmallVector<int64_t> others;

  Exponentials(Ops ops, Value x, int64_t axis, Value sink) {
    auto type = cast<graph::TensorType>(x.getType());
    for (int64_t i = 0; i < type.getRank(); ++i)
      if (i != axis)
        others.push_back(i);
    Value max = ops.reduce("max", x, axis);
    if (sink)
      max = graph::MaxOp::create(ops.b, ops.loc, max, sink);
    ArrayRef<DimExpr> rows = cast<graph::TensorType>(max.getType()).getDims();
    Type element = type.getElementType();
    Value zeros = ops.broadcast(ops.constant(element, 0), {}, rows);
    Value lowest = ops.broadcast(ops.constant(element, -std::numeric_limits<double>::infinity()), {}, rows);
    shift = graph::SelectOp::create(ops.b, ops.loc, ops.compareEqual(max, lowest), zeros, max);
    Value shifted = graph::SubOp::create(ops.b, ops.loc, type, x, ops.broadcast(shift, others, type.getDims()));
    values = graph::ExpOp::create(ops.b, ops.loc, type, shifted);
    sum = ops.reduce("sum", values, axis);
    if (!sink)
      return;
    Value share = graph::ExpOp::create(ops.b, ops.loc, graph::SubOp::create(ops.b, ops.loc, sink, shift).getResult());
    sum = graph::AddOp::create(ops.b, ops.loc, sum, share);
  }
};

/// 0 where the sum of the exponentials is 0, else their shares of it.
void expandSoftmax(graph::SoftmaxOp op) {
  OpBuilder b(op);
  Ops ops{b, op.getLoc()};
  auto type = cast<graph::TensorType>(op.getX().getType());
  Exponentials e(ops, op.getX(), op.getAxis(), op.getSink());
  auto spread = [&](Value row) { return ops.broadcast(row, e.others, type.getDims()); };
  Value zero = ops.constant(type.getElementType(), 0);
  Value zeros = ops.broadcast(zero, {}, cast<graph::TensorType>(e.sum.getType()).getDims());
  Value empty = spread(ops.compareEqual(e.sum, zeros));
  Value share = graph::DivOp::create(b, op.getLoc(), type, e.values, spread(e.sum));
  zero = ops.broadcast(zero, {}, type.getDims());
  op.replaceAllUsesWith(Value(graph::SelectOp::create(b, op.getLoc(), empty, zero, share)));
  op.erase();
}

void expandLogSum(graph::LogSumExpOp op) {
  OpBuilder b(op);
  Exponentials e(Ops{b, op.getLoc()}, op.getX(), op.getAxis(), Value());
  Value sum = graph::LogOp::create(b, op.getLoc(), e.sum);
  op.replaceAllUsesWith(Value(graph::AddOp::create(b, op.getLoc(), e.shift, sum)));
  op.erase();
}

SmallVector<int64_t> summedLabels(graph::ContractOp op) {
  SmallVector<int64_t> labels;
  for (int64_t label : op.getLhsLabels())
    if (!llvm::is_contained(op.getOutLabels(), label))
      labels.push_back(label);
  return labels;
}

/// A contraction that sums nothing: a product of broadcasts.
void expandProduct(graph::ContractOp op) {
  OpBuilder b(op);
  Ops ops{b, op.getLoc()};
  auto type = cast<graph::TensorType>(op.getResult().getType());
  auto spread = [&](Value x, ArrayRef<int64_t> labels) {
    SmallVector<int64_t> axes, permutation;
    for (auto [axis, label] : llvm::enumerate(op.getOutLabels()))
      if (auto it = llvm::find(labels, label); it != labels.end()) {
        axes.push_back(axis);
        permutation.push_back(it - labels.begin());
      }
    return ops.broadcast(ops.transpose(x, permutation), axes, type.getDims());
  };
  Value product = graph::MulOp::create(b, op.getLoc(), type, spread(op.getLhs(), op.getLhsLabels()),
                                       spread(op.getRhs(), op.getRhsLabels()));
  op.replaceAllUsesWith(product);
  op.erase();
}

/// `x` with the axes of `summed` as one, in this order; `labels` follow (the first of `summed` stands for all).
Value mergeAxes(Ops ops, Value x, SmallVector<int64_t> &labels, ArrayRef<int64_t> summed) {
  auto first = llvm::search(labels, summed);
  SmallVector<int64_t> order;
  if (first != labels.end()) { // neighbours already
    order = labels;
  } else {
    for (int64_t label : labels)
      if (!llvm::is_contained(summed, label))
        order.push_back(label);
    llvm::append_range(order, summed);
  }
  SmallVector<int64_t> permutation =
      llvm::map_to_vector(order, [&](int64_t label) -> int64_t { return llvm::find(labels, label) - labels.begin(); });
  x = ops.transpose(x, permutation);
  auto type = cast<graph::TensorType>(x.getType());
  SmallVector<DimExpr> dims;
  labels.clear();
  for (auto [label, dim] : llvm::zip(order, type.getDims())) {
    if (label != summed.front() && llvm::is_contained(summed, label)) {
      dims.back() = dims.back() * dim;
      continue;
    }
    labels.push_back(label);
    dims.push_back(dim);
  }
  return ops.reshape(x, dims);
}

void mergeSummedAxes(graph::ContractOp op, ArrayRef<int64_t> summed) {
  OpBuilder b(op);
  Ops ops{b, op.getLoc()};
  SmallVector<int64_t> lhs(op.getLhsLabels()), rhs(op.getRhsLabels());
  op.getLhsMutable().assign(mergeAxes(ops, op.getLhs(), lhs, summed));
  op.getRhsMutable().assign(mergeAxes(ops, op.getRhs(), rhs, summed));
  op.setLhsLabels(lhs);
  op.setRhsLabels(rhs);
}

} // namespace

void expandForGroups(Operation *function) {
  SmallVector<graph::SoftmaxOp> softmaxes;
  SmallVector<graph::LogSumExpOp> logSums;
  SmallVector<graph::ContractOp> contracts;
  function->walk([&](Operation *op) {
    if (auto logSum = dyn_cast<graph::LogSumExpOp>(op))
      logSums.push_back(logSum);
    else if (auto softmax = dyn_cast<graph::SoftmaxOp>(op))
      softmaxes.push_back(softmax);
    else if (auto contract = dyn_cast<graph::ContractOp>(op); contract && !contract.getPacked())
      contracts.push_back(contract);
  });
  llvm::for_each(softmaxes, expandSoftmax);
  llvm::for_each(logSums, expandLogSum);
  for (graph::ContractOp contract : contracts) {
    SmallVector<int64_t> summed = summedLabels(contract);
    if (summed.empty())
      expandProduct(contract);
    else if (summed.size() > 1)
      mergeSummedAxes(contract, summed);
  }
}

} // namespace fovea
