// graph.top_k as kernel.top_k.
#include "compiler/kernels/lower/KernelBuilder.h"

using namespace mlir;

namespace fovea::kernels {

LogicalResult KernelBuilder::buildTopK() {
  auto op = *group.getBody().front().getOps<graph::TopKOp>().begin();
  Value x = memref(outer(op.getX())), values = memref(group.getResult(0)), indices = memref(group.getResult(1));
  kernel::TopKOp::create(prologue, loc, x, values, indices);
  return success();
}

} // namespace fovea::kernels
