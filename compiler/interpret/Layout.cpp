// Ops that move elements.
#include "compiler/interpret/Evaluate.h"

#include "llvm/ADT/TypeSwitch.h"

#include <numeric>

using namespace mlir;
using namespace fovea;
using namespace fovea::interpret;
using llvm::Error;
using llvm::Expected;

/// result[index] = x[source(index)] for every index; `source` gives an offset into x.
static Expected<Tensor> rearrange(const Scope &scope, Operation *op, const Tensor &x,
                                  function_ref<int64_t(ArrayRef<int64_t> index, int64_t number)> source) {
  Expected<Tensor> result = makeTensor(scope, op, op->getResult(0).getType());
  if (result)
    forEachIndex(result->shape, [&](ArrayRef<int64_t> index, int64_t number) {
      copyElement(*result, number, x, source(index, number));
    });
  return result;
}

static Expected<Tensor> evaluate(const Scope &scope, graph::ReshapeOp op) {
  return rearrange(scope, op, scope.get(op.getX()), [](ArrayRef<int64_t>, int64_t number) { return number; });
}

/// Each step along an axis of the result goes so many elements of x further.
static Expected<Tensor> strided(const Scope &scope, Operation *op, const Tensor &x, const Shape &steps) {
  return rearrange(scope, op, x, [&](ArrayRef<int64_t> index, int64_t) {
    return std::inner_product(index.begin(), index.end(), steps.begin(), int64_t(0));
  });
}

static Expected<Tensor> evaluate(const Scope &scope, graph::TransposeOp op) {
  const Tensor &x = scope.get(op.getX());
  Shape strides = stridesOf(x.shape), steps;
  for (int64_t axis : op.getPermutation())
    steps.push_back(strides[axis]);
  return strided(scope, op, x, steps);
}

static Expected<Tensor> evaluate(const Scope &scope, graph::BroadcastOp op) {
  const Tensor &x = scope.get(op.getX());
  Shape steps(cast<graph::TensorType>(op.getResult().getType()).getRank(), 0);
  for (auto [stride, axis] : llvm::zip(stridesOf(x.shape), op.getAxes()))
    steps[axis] = stride;
  return strided(scope, op, x, steps);
}

/// Where a slice of `count` elements starts in an axis of `size`; an error where it leaves the axis.
template <typename OpT> static Expected<int64_t> sliceStart(const Scope &scope, OpT op, int64_t size, int64_t count) {
  std::optional<int64_t> start;
  if (op.getOffset())
    start = scope.get(op.getOffset()).ints[0];
  else
    start = scope.size(op.getStart()->getValue());
  __int128 last = start ? __int128(*start) + __int128(count - 1) * int64_t(op.getStep()) : 0;
  bool inside = start && (count == 0 || (*start >= 0 && *start < size && last >= 0 && last < size));
  if (!inside)
    return failAt(op, "the slice of " + Twine(count) + " from " +
                          (start ? std::to_string(*start) : "an undefined start") + " leaves axis " +
                          Twine(op.getAxis()) + " of size " + Twine(size));
  return *start;
}

static Expected<Tensor> evaluate(const Scope &scope, graph::SliceOp op) {
  const Tensor &x = scope.get(op.getX());
  int64_t axis = op.getAxis(), step = op.getStep();
  std::optional<int64_t> count = scope.size(op.getType().getDim(axis));
  Expected<int64_t> start = sliceStart(scope, op, x.shape[axis], count.value_or(-1));
  if (!start)
    return start.takeError();
  Shape strides = stridesOf(x.shape);
  return rearrange(scope, op, x, [&](ArrayRef<int64_t> index, int64_t) {
    int64_t offset = (*start + index[axis] * step - index[axis]) * strides[axis];
    for (auto [i, stride] : llvm::zip(index, strides))
      offset += i * stride;
    return offset;
  });
}

static Expected<Tensor> evaluate(const Scope &scope, graph::UpdateSliceOp op) {
  const Tensor &x = scope.get(op.getX()), &v = scope.get(op.getV());
  int64_t axis = op.getAxis(), step = op.getStep();
  Expected<int64_t> start = sliceStart(scope, op, x.shape[axis], v.shape[axis]);
  if (!start)
    return start.takeError();
  Tensor result = x;
  Shape strides = stridesOf(x.shape);
  forEachIndex(v.shape, [&](ArrayRef<int64_t> index, int64_t number) {
    int64_t offset = (*start + index[axis] * step - index[axis]) * strides[axis];
    for (auto [i, stride] : llvm::zip(index, strides))
      offset += i * stride;
    if (!result.absent.empty())
      result.absent[offset] = false;
    copyElement(result, offset, v, number);
  });
  return result;
}

/// Where graph.gather's elements lie in x, by their own indices. Errors where an index is outside.
template <typename Op>
static Expected<std::function<int64_t(ArrayRef<int64_t>)>> gatheredFrom(const Scope &scope, Op op) {
  const Tensor &x = scope.get(op.getX());
  Shape strides = stridesOf(x.shape), indexShape = scope.get(op.getIndices().front()).shape;
  std::vector<int64_t> offsets(
      scope.get(op.getIndices().front()).ints.size()); // of each place that the index tensors name
  for (auto [indices, axis] : llvm::zip(op.getIndices(), op.getAxes()))
    for (auto [number, i] : llvm::enumerate(scope.get(indices).ints)) {
      if (i < 0 || i >= x.shape[axis])
        return failAt(op, "index " + Twine(i) + " (number " + Twine(number) + ") is outside [0, " +
                              Twine(x.shape[axis]) + ")");
      offsets[number] += i * strides[axis];
    }
  Shape indexStrides = stridesOf(indexShape), kept;
  for (auto [axis, stride] : llvm::enumerate(strides))
    if (!llvm::is_contained(op.getAxes(), int64_t(axis)))
      kept.push_back(stride);
  size_t first = op.getAxes().front(), rank = indexShape.size();
  return [=](ArrayRef<int64_t> index) {
    int64_t which = 0;
    for (size_t k = 0; k < rank; ++k)
      which += index[first + k] * indexStrides[k];
    int64_t offset = offsets[which];
    for (size_t k = 0; k < kept.size(); ++k)
      offset += kept[k] * index[k < first ? k : k + rank];
    return offset;
  };
}

static Expected<Tensor> evaluate(const Scope &scope, graph::GatherOp op) {
  auto from = gatheredFrom(scope, op);
  if (!from)
    return from.takeError();
  return rearrange(scope, op, scope.get(op.getX()), [&](ArrayRef<int64_t> index, int64_t) { return (*from)(index); });
}

static Expected<Tensor> evaluate(const Scope &scope, graph::ScatterOp op) {
  auto to = gatheredFrom(scope, op);
  if (!to)
    return to.takeError();
  Tensor result = scope.get(op.getX());
  const Tensor &v = scope.get(op.getV());
  forEachIndex(v.shape, [&](ArrayRef<int64_t> index, int64_t number) {
    int64_t offset = (*to)(index);
    if (!result.absent.empty())
      result.absent[offset] = false;
    if (op.getAdds())
      result.reals[offset] += v.reals[number];
    else
      copyElement(result, offset, v, number);
  });
  return result;
}

static Expected<Tensor> evaluate(const Scope &scope, graph::ConcatOp op) {
  Expected<Tensor> result = makeTensor(scope, op, op.getType());
  if (!result)
    return result;
  Shape strides = stridesOf(result->shape);
  int64_t axis = op.getAxis(), before = 0;
  for (Value operand : op.getXs()) {
    const Tensor &x = scope.get(operand);
    forEachIndex(x.shape, [&](ArrayRef<int64_t> index, int64_t number) {
      int64_t offset = before * strides[axis];
      for (auto [i, stride] : llvm::zip(index, strides))
        offset += i * stride;
      copyElement(*result, offset, x, number);
    });
    before += x.shape[axis];
  }
  return result;
}

static Expected<Tensor> evaluate(const Scope &scope, graph::PackOp op) {
  Expected<Tensor> result = makeTensor(scope, op, op.getType());
  if (!result)
    return result;
  const Tensor &x = scope.get(op.getX());
  int64_t rows = x.shape[0], columns = x.shape[1], panel = op.getPanel();
  for (int64_t k = 0; k < rows; ++k)
    for (int64_t n = 0; n < columns; ++n)
      copyElement(*result, packedOffset(k, n, rows, panel, op.getKBlock()), x, k * columns + n);
  return result;
}

std::optional<Expected<Tensor>> interpret::evaluateLayout(const Scope &scope, Operation *op) {
  using Answer = std::optional<Expected<Tensor>>;
  return llvm::TypeSwitch<Operation *, Answer>(op)
      .Case<graph::ReshapeOp, graph::TransposeOp, graph::BroadcastOp, graph::SliceOp, graph::UpdateSliceOp,
            graph::GatherOp, graph::ScatterOp, graph::ConcatOp, graph::PackOp>(
          [&](auto o) -> Answer { return evaluate(scope, o); })
      .Default([](Operation *) -> Answer { return std::nullopt; });
}
