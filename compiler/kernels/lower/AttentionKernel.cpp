// graph.attention as kernel.attention, graph.linear_attention as kernel.linear_attention: captures become loads, the
// trailing layout ops a strided output.
#include "compiler/kernels/lower/KernelBuilder.h"

#include "compiler/analysis/GroupCost.h"
#include "compiler/analysis/IndexSpread.h"

#include "mlir/IR/IRMapping.h"

using namespace mlir;

namespace fovea::kernels {

/// A view of a tensor whose row is an operand of a dot: other axes, the row's, the summed one. `moving` is the index of
/// the row among `indices`, which become those of the view but for the last axis.
static View rowsOf(const View &view, int64_t summed, int64_t moving, SmallVectorImpl<Value> &indices) {
  SmallVector<int64_t> axes;
  for (int64_t axis = 0; axis < int64_t(view.dims.size()); ++axis)
    if (axis != summed)
      axes.push_back(axis);
  int64_t row = axes[moving];
  Value at = indices[moving];
  axes.erase(axes.begin() + moving);
  indices.erase(indices.begin() + moving);
  axes.append({row, summed});
  indices.push_back(at);
  View result;
  result.offset = view.offset;
  for (int64_t axis : axes) {
    result.dims.push_back(view.dims[axis]);
    result.strides.push_back(view.strides[axis]);
  }
  return result;
}

/// graph.dot on views.
Value KernelBuilder::lowerDot(graph::DotOp dot, const IRMapping &mapping) {
  auto operand = [&](Value tensor, int64_t axis, ValueRange from) {
    Block &block = *dot->getBlock();
    auto moving = llvm::find_if(from, [&](Value index) { return dependenceOf(index, block).any(); });
    SmallVector<Value> indices = llvm::map_to_vector(from, [&](Value index) { return mapping.lookup(index); });
    const Storage &storage = storageOf(outer(tensor));
    View view = rowsOf(storage.view, axis, moving - from.begin(), indices);
    return std::pair(memref(storage.base, view), indices);
  };
  auto [a, aIndices] = operand(dot.getA(), dot.getAAxis(), dot.getAIndices());
  auto [b, bIndices] = operand(dot.getB(), dot.getBAxis(), dot.getBIndices());
  return kernel::DotOp::create(body, dot.getLoc(), body.getF32Type(), a, b, aIndices, bIndices);
}

/// Copies a point program of the graph dialect: `graph.at` reads memory, `graph.size` is a size of the prologue.
void KernelBuilder::cloneRegion(Region &from, Region &to) {
  if (from.empty())
    return;
  Block &block = to.empty() ? to.emplaceBlock() : to.front();
  IRMapping mapping;
  for (BlockArgument argument : from.front().getArguments())
    mapping.map(argument, block.addArgument(argument.getType(), argument.getLoc()));
  body = OpBuilder::atBlockEnd(&block);
  for (Operation &op : from.front()) {
    if (auto at = dyn_cast<graph::AtOp>(op)) {
      SmallVector<Value> indices = llvm::map_to_vector(at.getIndices(), [&](Value v) { return mapping.lookup(v); });
      Value guard = at.getGuard() ? mapping.lookup(at.getGuard()) : Value();
      mapping.map(at.getResult(), load(storageOf(outer(at.getX())), at.getResult().getType(), indices, guard));
    } else if (auto dot = dyn_cast<graph::DotOp>(op)) {
      mapping.map(dot.getResult(), lowerDot(dot, mapping));
    } else if (auto sizeOp = dyn_cast<graph::SizeOp>(op)) {
      mapping.map(sizeOp.getResult(), size(sizeOp.getSize().getValue()));
    } else if (auto yield = dyn_cast<graph::YieldOp>(op)) {
      SmallVector<Value> values = llvm::map_to_vector(yield.getOperands(), [&](Value v) { return mapping.lookup(v); });
      kernel::YieldOp::create(body, op.getLoc(), values);
    } else {
      body.clone(op, mapping);
    }
  }
}

LogicalResult KernelBuilder::buildLinearAttention(graph::LinearAttentionOp op) {
  auto operand = [&](Value inner) { return memref(outer(inner)); };
  Value q = operand(op.getQ()), k = operand(op.getK()), v = operand(op.getV());
  auto attention = kernel::LinearAttentionOp::create(prologue, loc, q, k, v, memref(group.getResult(0)), linearChunk);
  prologue.setInsertionPoint(attention);
  cloneRegion(op.getQueries(), attention.getQueries());
  cloneRegion(op.getKeys(), attention.getKeys());
  cloneRegion(op.getDecay(), attention.getDecay());
  return success();
}

LogicalResult KernelBuilder::buildAttentionBackward(graph::AttentionBackwardOp op) {
  auto operand = [&](Value inner) { return inner ? memref(outer(inner)) : Value(); };
  SmallVector<Value> joinedQ = llvm::map_to_vector(op.getJoinedQ(), operand),
                     joinedK = llvm::map_to_vector(op.getJoinedK(), operand),
                     into = llvm::map_to_vector(group.getResults(), [&](Value result) { return memref(result); });
  Value q = operand(op.getQ()), k = operand(op.getK()), v = operand(op.getV()), lse = operand(op.getLse()),
        delta = operand(op.getDelta()), gradient = operand(op.getGradient());
  auto backward = kernel::AttentionBackwardOp::create(prologue, loc, q, k, joinedQ, joinedK, v, lse, delta, gradient,
                                                      into, op.getNormalizerAttr());
  prologue.setInsertionPoint(backward);
  cloneRegion(op.getScore(), backward.getScore());
  cloneRegion(op.getMask(), backward.getMask());
  cloneRegion(op.getAdjoint(), backward.getAdjoint());
  return success();
}

LogicalResult KernelBuilder::buildAttention() {
  auto backward = group.getBody().front().getOps<graph::AttentionBackwardOp>();
  if (!backward.empty())
    return buildAttentionBackward(*backward.begin());
  auto linear = group.getBody().front().getOps<graph::LinearAttentionOp>();
  if (!linear.empty())
    return buildLinearAttention(*linear.begin());
  auto op = *group.getBody().front().getOps<graph::AttentionOp>().begin();
  auto operand = [&](Value inner) { return inner ? memref(outer(inner)) : Value(); };
  // The group yields the op's results, in order.
  Operation *yield = group.getBody().front().getTerminator();
  auto destination = [&](Value value) -> Value {
    for (auto [result, yielded] : llvm::zip(group.getResults(), yield->getOperands()))
      if (yielded == value)
        return memref(result);
    return {};
  };
  Value q = operand(op.getQ()), k = operand(op.getK()), v = operand(op.getV());
  SmallVector<Value> joinedQ = llvm::map_to_vector(op.getJoinedQ(), operand),
                     joinedK = llvm::map_to_vector(op.getJoinedK(), operand),
                     moreK = llvm::map_to_vector(op.getMoreK(), operand),
                     moreV = llvm::map_to_vector(op.getMoreV(), operand);
  Value out = destination(op.getResult());
  if (!out)
    return group.emitError("internal: an attention group that does not yield its result");
  Value lse = op.getLse() ? destination(op.getLse()) : Value();
  auto attention = kernel::AttentionOp::create(prologue, loc, q, k, moreK, joinedQ, joinedK, v, moreV, out, lse,
                                               operand(op.getSinks()), operand(op.getKeyRows()),
                                               operand(op.getValueRows()), op.getNormalizerAttr());
  prologue.setInsertionPoint(attention);
  cloneRegion(op.getScore(), attention.getScore());
  cloneRegion(op.getMask(), attention.getMask());
  return success();
}

} // namespace fovea::kernels
