// graph.top_k, as its description reads.
#include "compiler/interpret/Evaluate.h"

#include <cmath>
#include <numeric>

using namespace fovea;
using namespace fovea::interpret;
using llvm::Error;
using llvm::Expected;

std::vector<int64_t> interpret::descending(llvm::ArrayRef<double> numbers) {
  std::vector<int64_t> order(numbers.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    return !std::isnan(numbers[b]) && (std::isnan(numbers[a]) || numbers[a] > numbers[b]);
  });
  return order;
}

static std::vector<int64_t> descendingIntegers(llvm::ArrayRef<int64_t> numbers) {
  std::vector<int64_t> order(numbers.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return numbers[a] > numbers[b]; });
  return order;
}

Error interpret::evaluateTopK(Scope &scope, graph::TopKOp op) {
  Expected<Tensor> values = makeTensor(scope, op, op.getValues().getType());
  if (!values)
    return values.takeError();
  Expected<Tensor> indices = makeTensor(scope, op, op.getIndices().getType());
  if (!indices)
    return indices.takeError();
  const Tensor &x = scope.get(op.getX());
  int64_t size = x.shape.back(), k = values->shape.back();
  if (k > size && values->count() != 0)
    return failAt(op, "top_k of " + llvm::Twine(k) + " along an axis of size " + llvm::Twine(size));
  for (int64_t row = 0; k && row < values->count() / k; ++row) {
    int64_t first = row * size;
    std::vector<int64_t> order = x.isFloat() ? descending(llvm::ArrayRef(x.reals).slice(first, size))
                                             : descendingIntegers(llvm::ArrayRef(x.ints).slice(first, size));
    for (int64_t i = 0; i < k; ++i) {
      copyElement(*values, row * k + i, x, first + order[i]);
      indices->ints[row * k + i] = order[i];
    }
  }
  scope.values[op.getValues()] = std::make_shared<Tensor>(std::move(*values));
  scope.values[op.getIndices()] = std::make_shared<Tensor>(std::move(*indices));
  return Error::success();
}
