#include "compiler/kernels/emit/KeySummaries.h"

using namespace mlir;

namespace fovea::kernels {

KeySummaries::KeySummaries(Code &code, Block *mask, const Target &target, const IRMapping &outer, ValueRange batchSizes,
                           Value keys, int64_t blockKeys)
    : code(code), mask(mask), target(target), outer(outer), batchSizes(batchSizes), keys(keys), blockKeys(blockKeys) {
  if (!mask)
    return;
  Visibility visibility(code, mask, target, outer, batchSizes);
  parts = visibility.keyParts();
  for (unsigned axis = 0; axis < batchSizes.size(); ++axis)
    if (visibility.keysDependOn(axis))
      axes.push_back(axis);
}

Value KeySummaries::tasks() {
  Value count = code.index(1);
  for (unsigned axis : axes)
    count = code.mul(count, batchSizes[axis]);
  return count;
}

Value KeySummaries::reserve(Value shared) {
  ScratchLayout layout(code, shared);
  table = layout.allocate({ShapedType::kDynamic, 2 * parts}, {code.mul(tasks(), blocks())}, code.b.getIndexType());
  return layout.bytes();
}

LogicalResult KeySummaries::run(Value task) {
  Code::Values sizes, batch(batchSizes.size(), code.index(0));
  for (unsigned axis : axes)
    sizes.push_back(batchSizes[axis]);
  for (auto [axis, digit] : llvm::zip(axes, delinearize(code, task, sizes)))
    batch[axis] = digit;
  Visibility visibility(code, mask, target, outer, batch);
  Value zero = code.index(0), first = code.mul(task, blocks());
  LogicalResult result = success();
  code.loop(zero, blocks(), 1, [&](Value block) {
    Value begin = code.mul(block, blockKeys), end = code.min(code.add(begin, blockKeys), keys);
    SmallVector<Value> summary = visibility.keySummary({zero, zero, begin, end});
    if (summary.empty())
      result = failure();
    for (auto [i, number] : llvm::enumerate(summary))
      code.store(number, table, {code.add(first, block), code.index(i)});
  });
  return result;
}

void KeySummaries::know(Visibility &visibility, ValueRange batch, Value keyBegin) {
  Value at = code.index(0);
  for (unsigned axis : axes)
    at = code.add(code.mul(at, batchSizes[axis]), batch[axis]);
  Value row = code.add(code.mul(at, blocks()), code.div(keyBegin, code.index(blockKeys)));
  Code::Values numbers;
  for (int64_t i = 0; i < 2 * parts; ++i)
    numbers.push_back(code.load(table, {row, code.index(i)}));
  visibility.knowKeys(numbers);
}

} // namespace fovea::kernels
