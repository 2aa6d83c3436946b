#include "compiler/kernels/emit/AttentionVariants.h"

using namespace mlir;

namespace fovea::kernels {

ArrayRef<llvm::StringLiteral> attentionVariantNames() {
  static constexpr llvm::StringLiteral names[] = {"few_queries", "many_queries"};
  return names;
}

/// Whether a view repeats along `axis`.
static bool repeats(Value memref, int64_t axis) {
  SmallVector<int64_t> strides;
  int64_t offset;
  return succeeded(cast<MemRefType>(memref.getType()).getStridesAndOffset(strides, offset)) && strides[axis] == 0;
}

SmallVector<int64_t> sharedAxes(kernel::AttentionOp op) {
  SmallVector<int64_t> shared;
  int64_t batchAxes = cast<MemRefType>(op.getQ().getType()).getRank() - 2;
  for (int64_t axis = 0; axis < batchAxes; ++axis)
    if (repeats(op.getK(), axis) && repeats(op.getV(), axis))
      shared.push_back(axis);
  return shared;
}

bool isMaskShared(kernel::AttentionOp op) {
  if (op.getMask().empty())
    return true;
  Block &mask = op.getMask().front();
  return llvm::all_of(sharedAxes(op), [&](int64_t axis) { return mask.getArgument(axis).use_empty(); });
}

} // namespace fovea::kernels
