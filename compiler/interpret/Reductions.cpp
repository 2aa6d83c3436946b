// Ops that add up or compare along axes: contractions, reductions, softmax.
#include "compiler/interpret/Evaluate.h"

#include "llvm/ADT/TypeSwitch.h"

#include <cmath>

using namespace mlir;
using namespace fovea;
using namespace fovea::interpret;
using llvm::Expected;

/// `outer` x `axis` x `inner`: how an op along one axis sees a tensor.
namespace {
struct AxisView {
  int64_t outer = 1, size, inner = 1;
  AxisView(ArrayRef<int64_t> shape, int64_t axis) : size(shape[axis]) {
    for (int64_t s : shape.take_front(axis))
      outer *= s;
    for (int64_t s : shape.drop_front(axis + 1))
      inner *= s;
  }
  int64_t at(int64_t o, int64_t k, int64_t i) const { return (o * size + k) * inner + i; }
};
} // namespace

/// How far one step along each of `labels` goes in a tensor that has `own` labels: 0 where it lacks the label.
static Shape stridesAlong(ArrayRef<int64_t> labels, ArrayRef<int64_t> own, const Shape &strides) {
  Shape result;
  for (int64_t label : labels) {
    auto it = llvm::find(own, label);
    result.push_back(it == own.end() ? 0 : strides[it - own.begin()]);
  }
  return result;
}

static int64_t dot(ArrayRef<int64_t> index, ArrayRef<int64_t> strides) {
  int64_t offset = 0;
  for (auto [i, s] : llvm::zip(index, strides))
    offset += i * s;
  return offset;
}

/// The [k, n] matrix that was packed as [P, K / kBlock, panel kBlock].
static Tensor unpack(const Tensor &packed, int64_t columns, int64_t kBlock) {
  int64_t rows = packed.shape[1] * kBlock, panel = packed.shape[2] / kBlock;
  Tensor result(HostTensor::zeros({rows, columns}, packed.dtype));
  for (int64_t k = 0; k < rows; ++k)
    for (int64_t n = 0; n < columns; ++n)
      copyElement(result, k * columns + n, packed, packedOffset(k, n, rows, panel, kBlock));
  return result;
}

static Expected<Tensor> evaluateContract(const Scope &scope, graph::ContractOp op) {
  Expected<Tensor> result = makeTensor(scope, op, op.getType());
  if (!result)
    return result;
  ArrayRef<int64_t> lhsLabels = op.getLhsLabels(), rhsLabels = op.getRhsLabels(), outLabels = op.getOutLabels();
  const Tensor &lhs = scope.get(op.getLhs()), *rhs = &scope.get(op.getRhs());
  Tensor unpacked;
  if (op.getPacked()) {
    unpacked = unpack(*rhs, result->shape[llvm::find(outLabels, rhsLabels[1]) - outLabels.begin()], op.getKBlock());
    rhs = &unpacked;
  }
  // The offsets that one output's sum visits, relative to where it starts.
  SmallVector<int64_t> summed, summedSizes;
  for (auto [i, label] : llvm::enumerate(lhsLabels))
    if (!llvm::is_contained(outLabels, label)) {
      summed.push_back(label);
      summedSizes.push_back(lhs.shape[i]);
    }
  Shape lhsStrides = stridesOf(lhs.shape), rhsStrides = stridesOf(rhs->shape);
  Shape lhsSteps = stridesAlong(summed, lhsLabels, lhsStrides), rhsSteps = stridesAlong(summed, rhsLabels, rhsStrides);
  std::vector<std::pair<int64_t, int64_t>> visits;
  forEachIndex(summedSizes, [&](ArrayRef<int64_t> index, int64_t) {
    visits.emplace_back(dot(index, lhsSteps), dot(index, rhsSteps));
  });

  auto takesNoPart = [](const Tensor &t, int64_t i) { return !t.absent.empty() && t.absent[i] && t.reals[i] == 0; };
  Shape lhsOut = stridesAlong(outLabels, lhsLabels, lhsStrides),
        rhsOut = stridesAlong(outLabels, rhsLabels, rhsStrides);
  forEachIndex(result->shape, [&](ArrayRef<int64_t> index, int64_t number) {
    int64_t l = dot(index, lhsOut), r = dot(index, rhsOut);
    if (!result->isFloat()) {
      int32_t sum = 0; // of unsigned by signed bytes, each of which is below 2^15
      for (auto [dl, dr] : visits)
        sum = int32_t(uint32_t(sum) + uint32_t(int32_t(uint8_t(lhs.ints[l + dl])) * int32_t(rhs->ints[r + dr])));
      result->ints[number] = sum;
      return;
    }
    double sum = 0;
    for (auto [dl, dr] : visits)
      if (!takesNoPart(lhs, l + dl) && !takesNoPart(*rhs, r + dr))
        sum += lhs.reals[l + dl] * rhs->reals[r + dr];
    result->reals[number] = sum;
  });
  return result;
}

static double propagatingMax(double a, double b) {
  return std::isnan(a) || std::isnan(b) ? std::numeric_limits<double>::quiet_NaN() : std::max(a, b);
}

namespace {
/// A reduction: where it starts and how it goes on, for floats and for integers.
struct Reduction {
  double realStart;
  double (*real)(double, double);
  int64_t integerStart;
  int64_t (*integer)(int64_t, int64_t);
};
} // namespace

static Reduction reductionOf(StringRef kind) {
  if (kind == "sum")
    return {0, [](double a, double b) { return a + b; }, 0,
            [](int64_t a, int64_t b) { return int64_t(uint64_t(a) + uint64_t(b)); }};
  if (kind == "prod")
    return {1, [](double a, double b) { return a * b; }, 1,
            [](int64_t a, int64_t b) { return int64_t(uint64_t(a) * uint64_t(b)); }};
  if (kind == "max")
    return {-infinity, propagatingMax, INT64_MIN, [](int64_t a, int64_t b) { return std::max(a, b); }};
  if (kind == "min")
    return {infinity, [](double a, double b) { return -propagatingMax(-a, -b); }, INT64_MAX,
            [](int64_t a, int64_t b) { return std::min(a, b); }};
  if (kind == "any")
    return {0, nullptr, 0, [](int64_t a, int64_t b) { return a | b; }};
  return {0, nullptr, 1, [](int64_t a, int64_t b) { return a & b; }};
}

/// The extreme of an empty range of a narrow integer type is that type's.
static int64_t saturate(int64_t value, Type element) {
  unsigned width = element.getIntOrFloatBitWidth();
  if (width == 1 || width == 64)
    return value;
  return value == INT64_MIN   ? llvm::minIntN(width)
         : value == INT64_MAX ? llvm::maxIntN(width)
                              : llvm::SignExtend64(value, width);
}

static Expected<Tensor> evaluateReduce(const Scope &scope, graph::ReduceOp op) {
  Expected<Tensor> result = makeTensor(scope, op, op.getType());
  if (!result)
    return result;
  const Tensor &x = scope.get(op.getX());
  Reduction reduction = reductionOf(op.getKind());
  std::fill(result->reals.begin(), result->reals.end(), reduction.realStart);
  std::fill(result->ints.begin(), result->ints.end(), reduction.integerStart);
  Shape kept = stridesOf(result->shape), strides(x.shape.size(), 0); // of the result, along x's axes
  for (size_t axis = 0, next = 0; axis < x.shape.size(); ++axis)
    if (!llvm::is_contained(op.getAxes(), int64_t(axis)))
      strides[axis] = kept[next++];
  forEachIndex(x.shape, [&](ArrayRef<int64_t> index, int64_t number) {
    int64_t target = dot(index, strides);
    if (x.isFloat())
      result->reals[target] = reduction.real(result->reals[target], x.reals[number]);
    else
      result->ints[target] = reduction.integer(result->ints[target], x.ints[number]);
  });
  for (int64_t &value : result->ints)
    value = saturate(value, op.getType().getElementType());
  return result;
}

static Expected<Tensor> evaluateArgmax(const Scope &scope, graph::ArgmaxOp op) {
  Expected<Tensor> result = makeTensor(scope, op, op.getType());
  if (!result)
    return result;
  const Tensor &x = scope.get(op.getX());
  AxisView view(x.shape, op.getAxis());
  if (view.size == 0 && result->count() != 0)
    return failAt(op, "argmax over an axis of size 0");
  auto beats = [&](int64_t a, int64_t b) { // strictly: the first maximum stays, and a NaN is above everything
    if (!x.isFloat())
      return x.ints[a] > x.ints[b];
    return !std::isnan(x.reals[b]) && (std::isnan(x.reals[a]) || x.reals[a] > x.reals[b]);
  };
  for (int64_t o = 0; o < view.outer; ++o)
    for (int64_t i = 0; i < view.inner; ++i) {
      int64_t best = 0;
      for (int64_t k = 1; k < view.size; ++k)
        if (beats(view.at(o, k, i), view.at(o, best, i)))
          best = k;
      result->ints[o * view.inner + i] = best;
    }
  return result;
}

static Expected<Tensor> evaluateSoftmax(const Scope &scope, graph::SoftmaxOp op) {
  Expected<Tensor> result = makeTensor(scope, op, op.getType());
  if (!result)
    return result;
  const Tensor &x = scope.get(op.getX());
  AxisView view(x.shape, op.getAxis());
  result->absent.resize(result->count());
  for (int64_t o = 0; o < view.outer; ++o)
    for (int64_t i = 0; i < view.inner; ++i) {
      double sink = op.getSink() ? scope.get(op.getSink()).reals[o * view.inner + i] : -infinity, m = sink;
      for (int64_t k = 0; k < view.size; ++k)
        m = propagatingMax(m, x.reals[view.at(o, k, i)]);
      if (m == -infinity)
        m = 0;
      double sum = std::exp(sink - m);
      for (int64_t k = 0; k < view.size; ++k)
        sum += std::exp(x.reals[view.at(o, k, i)] - m);
      for (int64_t k = 0; k < view.size; ++k) {
        int64_t at = view.at(o, k, i);
        result->reals[at] = sum == 0 ? 0 : std::exp(x.reals[at] - m) / sum;
        result->absent[at] = x.reals[at] == -infinity;
      }
    }
  return result;
}

static Expected<Tensor> evaluateLogSumExp(const Scope &scope, graph::LogSumExpOp op) {
  Expected<Tensor> result = makeTensor(scope, op, op.getType());
  if (!result)
    return result;
  const Tensor &x = scope.get(op.getX());
  AxisView view(x.shape, op.getAxis());
  for (int64_t o = 0; o < view.outer; ++o)
    for (int64_t i = 0; i < view.inner; ++i) {
      double m = -infinity, sum = 0;
      for (int64_t k = 0; k < view.size; ++k)
        m = propagatingMax(m, x.reals[view.at(o, k, i)]);
      if (m == -infinity)
        m = 0;
      for (int64_t k = 0; k < view.size; ++k)
        sum += std::exp(x.reals[view.at(o, k, i)] - m);
      result->reals[o * view.inner + i] = m + std::log(sum);
    }
  return result;
}

std::optional<Expected<Tensor>> interpret::evaluateReduction(const Scope &scope, Operation *op) {
  using Answer = std::optional<Expected<Tensor>>;
  return llvm::TypeSwitch<Operation *, Answer>(op)
      .Case([&](graph::ContractOp o) { return evaluateContract(scope, o); })
      .Case([&](graph::ReduceOp o) { return evaluateReduce(scope, o); })
      .Case([&](graph::ArgmaxOp o) { return evaluateArgmax(scope, o); })
      .Case([&](graph::SoftmaxOp o) { return evaluateSoftmax(scope, o); })
      .Case([&](graph::LogSumExpOp o) { return evaluateLogSumExp(scope, o); })
      .Default([](Operation *) -> Answer { return std::nullopt; });
}
