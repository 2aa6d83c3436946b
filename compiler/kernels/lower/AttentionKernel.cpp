// graph.attention as kernel.attention: captures become loads, the trailing layout ops a strided output.
#include "compiler/kernels/lower/KernelBuilder.h"

#include "mlir/IR/IRMapping.h"

using namespace mlir;

namespace fovea::kernels {

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
      mapping.map(at.getResult(), load(storageOf(outer(at.getX())), at.getResult().getType(), indices, {}));
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

LogicalResult KernelBuilder::buildAttention() {
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
  SmallVector<Value> joinedQ = llvm::map_to_vector(op.getJoinedQ(), operand), joinedK = llvm::map_to_vector(op.getJoinedK(), operand);
  Value out = destination(op.getResult());
  if (!out)
    return group.emitError("internal: an attention group that does not yield its result");
  Value lse = op.getLse() ? destination(op.getLse()) : Value();
  auto attention = kernel::AttentionOp::create(prologue, loc, q, k, joinedQ, joinedK, v, out, lse, operand(op.getSinks()), op.getNormalizerAttr());
  prologue.setInsertionPoint(attention);
  cloneRegion(op.getScore(), attention.getScore());
  cloneRegion(op.getMask(), attention.getMask());
  const View &queries = storageOf(outer(op.getQ())).view, &values = storageOf(outer(op.getV())).view;
  DimExpr columns = queries.dims.back() + values.dims.back();
  for (Value joined : op.getJoinedQ())
    columns = columns + cast<graph::TensorType>(joined.getType()).getDims().back();
  DimExpr flops = DimExpr(2) * columns * values.dims[values.dims.size() - 2];
  for (DimExpr dim : ArrayRef(queries.dims).drop_back())
    flops = flops ? flops * dim : flops;
  lowered.flops = flops;
  return success();
}

} // namespace fovea::kernels
