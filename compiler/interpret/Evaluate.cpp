// Ops that compute: elementwise, contractions, reductions, softmax; blocks, calls and groups.
#include "compiler/interpret/Evaluate.h"

#include "dialects/graph/Places.h"

#include "llvm/ADT/TypeSwitch.h"

#include <cmath>
#include <limits>

using namespace mlir;
using namespace fovea;
using namespace fovea::interpret;
using llvm::Error;
using llvm::Expected;

constexpr double notANumber = std::numeric_limits<double>::quiet_NaN();

//===-- Shapes and scopes -----------------------------------------------------------------------------------------===//

std::optional<int64_t> Scope::size(DimExpr e) const {
  return e.evaluate([&](std::string_view name) -> std::optional<int64_t> {
    auto it = symbols.find(name);
    return it == symbols.end() ? std::nullopt : std::optional(it->second);
  });
}

Error interpret::failAt(Operation *op, const Twine &message) {
  std::string place = placeOf(op->getLoc());
  if (!place.empty())
    place += ": ";
  return llvm::createStringError(place + message);
}

Expected<Tensor> interpret::makeTensor(const Scope &scope, Operation *op, Type type) {
  constexpr int64_t limit = int64_t(1) << 31; // elements: 16 GiB of doubles
  auto tensor = cast<graph::TensorType>(type);
  Shape shape;
  int64_t count = 1;
  for (DimExpr e : tensor.getDims()) {
    std::optional<int64_t> size = scope.size(e);
    if (!size || *size < 0)
      return failAt(op, "the size " + e.str() + " is " + (size ? std::to_string(*size) : "undefined"));
    if (__builtin_mul_overflow(count, *size, &count) || count > limit)
      return failAt(op, "a tensor has too many elements to interpret");
    shape.push_back(*size);
  }
  return Tensor(HostTensor::zeros(std::move(shape), dtypeOf(tensor.getElementType())));
}

sema::DType interpret::dtypeOf(Type element) {
  if (element.isF16())
    return sema::DType::F16;
  if (element.isBF16())
    return sema::DType::BF16;
  if (element.isF64())
    return sema::DType::F64;
  if (isa<FloatType>(element))
    return sema::DType::F32;
  switch (element.getIntOrFloatBitWidth()) {
  case 64:
    return sema::DType::I64;
  case 32:
    return sema::DType::I32;
  case 8:
    return sema::DType::I8;
  default:
    return sema::DType::Bool;
  }
}

Shape interpret::stridesOf(ArrayRef<int64_t> shape) {
  Shape strides(shape.size(), 1);
  for (size_t i = shape.size(); i-- > 1;)
    strides[i - 1] = strides[i] * shape[i];
  return strides;
}

void interpret::forEachIndex(ArrayRef<int64_t> shape, function_ref<void(ArrayRef<int64_t>, int64_t)> visit) {
  if (llvm::is_contained(shape, 0))
    return;
  Shape index(shape.size(), 0);
  for (int64_t number = 0;; ++number) {
    visit(index, number);
    size_t axis = shape.size();
    while (axis > 0 && ++index[axis - 1] == shape[axis - 1])
      index[--axis] = 0;
    if (axis == 0)
      return;
  }
}

void interpret::copyElement(Tensor &to, int64_t i, const Tensor &from, int64_t j) {
  if (to.isFloat())
    to.reals[i] = from.reals[j];
  else
    to.ints[i] = from.ints[j];
  if (!from.absent.empty() && from.absent[j]) {
    to.absent.resize(to.count());
    to.absent[i] = true;
  }
}

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

//===-- Elementwise -----------------------------------------------------------------------------------------------===//

static int64_t toInteger(double x) { return x >= 0x1p63 ? INT64_MAX : static_cast<int64_t>(x); }

/// Marks elements that stem from exp(-inf).
static void spreadAbsence(Operation *op, ArrayRef<const Tensor *> operands, Tensor &result) {
  auto mark = [&](int64_t i) {
    result.absent.resize(result.count());
    result.absent[i] = true;
  };
  if (isa<graph::ExpOp>(op))
    for (int64_t i = 0; i < result.count(); ++i)
      if (operands[0]->reals[i] == -infinity)
        mark(i);
  for (const Tensor *x : operands)
    for (auto [i, absent] : llvm::enumerate(x->absent))
      if (absent)
        mark(i);
}

static Expected<Tensor> evaluateElementwise(const Scope &scope, graph::ElementwiseOpInterface op) {
  Expected<Tensor> result = makeTensor(scope, op, op->getResult(0).getType());
  if (!result)
    return result;
  SmallVector<const Tensor *> operands = llvm::map_to_vector(op->getOperands(), [&](Value v) { return &scope.get(v); });
  SmallVector<int64_t> ints(operands.size());
  SmallVector<double> reals(operands.size());
  bool integral = op.isIntegral();
  for (int64_t i = 0, n = result->count(); i < n; ++i) {
    if (integral) {
      for (auto [k, x] : llvm::enumerate(operands))
        ints[k] = x->ints[i];
      result->ints[i] = op.evaluateInt(ints);
      continue;
    }
    for (auto [k, x] : llvm::enumerate(operands))
      reals[k] = x->real(i);
    double value = op.evaluate(reals);
    if (result->isFloat())
      result->reals[i] = value;
    else
      result->ints[i] = toInteger(value);
  }
  if (result->isFloat())
    spreadAbsence(op, operands, *result);
  return result;
}

//===-- Sums and products -----------------------------------------------------------------------------------------===//

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
  return std::isnan(a) || std::isnan(b) ? notANumber : std::max(a, b);
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

//===-- Values ----------------------------------------------------------------------------------------------------===//

static Expected<Tensor> evaluateConstant(const Scope &scope, graph::ConstantOp op) {
  Expected<Tensor> result = makeTensor(scope, op, op.getType());
  if (!result)
    return result;
  if (auto real = dyn_cast<FloatAttr>(op.getValue()))
    result->reals[0] = real.getValueAsDouble();
  else if (auto integer = cast<IntegerAttr>(op.getValue()); integer.getType().isInteger(1))
    result->ints[0] = !integer.getValue().isZero();
  else
    result->ints[0] = integer.getInt();
  return result;
}

static Expected<Tensor> evaluateDim(const Scope &scope, graph::DimOp op) {
  std::optional<int64_t> size = scope.size(op.getSize().getValue());
  if (!size)
    return failAt(op, "the size " + op.getSize().getValue().str() + " is undefined");
  return Tensor(HostTensor::ofInts({}, {*size}));
}

static Expected<Tensor> evaluateIota(const Scope &scope, graph::IotaOp op) {
  Expected<Tensor> result = makeTensor(scope, op, op.getType());
  if (result)
    for (int64_t i = 0; i < result->count(); ++i)
      result->ints[i] = i;
  return result;
}

//===-- Structure -------------------------------------------------------------------------------------------------===//

static std::string joinPath(StringRef outer, StringRef inner) {
  return (outer + (outer.empty() || inner.empty() ? "" : ".") + inner).str();
}

static Error evaluateCall(Scope &scope, graph::CallOp op) {
  auto callee = scope.around.module.lookupSymbol<graph::FuncOp>(op.getCallee());
  std::map<std::string, int64_t, std::less<>> symbols;
  for (auto [name, size] :
       llvm::zip(callee.getSymbols().getAsRange<StringAttr>(), graph::getSizes(op.getSubstitution()))) {
    std::optional<int64_t> value = scope.size(size);
    if (!value || *value < 0)
      return failAt(op, "the size " + size.str() + " is " + (value ? std::to_string(*value) : "undefined"));
    symbols[name.str()] = *value;
  }
  std::vector<Ref> arguments;
  for (Value v : op.getOperands())
    arguments.push_back(scope.values[v]);
  Surroundings around = scope.around;
  around.path = joinPath(around.path, op.getPath().value_or(""));
  Expected<std::vector<Ref>> results =
      callFunction(callee, std::move(symbols), std::move(arguments), std::move(around));
  if (!results)
    return results.takeError();
  for (auto [value, result] : llvm::zip(op.getResults(), *results))
    scope.values[value] = result;
  return Error::success();
}

static Error evaluateGroup(Scope &scope, graph::GroupOp op) {
  Block &body = op.getBody().front();
  for (auto [argument, input] : llvm::zip(body.getArguments(), op.getInputs())) {
    Ref tensor = scope.values[input];
    scope.values[argument] = tensor;
  }
  if (Error error = evaluateBlock(scope, body))
    return error;
  for (auto [value, yielded] : llvm::zip(op.getResults(), body.getTerminator()->getOperands())) {
    Ref tensor = scope.values[yielded];
    scope.values[value] = tensor;
  }
  return Error::success();
}

static Expected<Tensor> evaluateOne(const Scope &scope, Operation *op) {
  if (auto elementwise = dyn_cast<graph::ElementwiseOpInterface>(op))
    return evaluateElementwise(scope, elementwise);
  if (std::optional<Expected<Tensor>> layout = evaluateLayout(scope, op))
    return std::move(*layout);
  return llvm::TypeSwitch<Operation *, Expected<Tensor>>(op)
      .Case([&](graph::ConstantOp o) { return evaluateConstant(scope, o); })
      .Case([&](graph::DimOp o) { return evaluateDim(scope, o); })
      .Case([&](graph::IotaOp o) { return evaluateIota(scope, o); })
      .Case([&](graph::ContractOp o) { return evaluateContract(scope, o); })
      .Case([&](graph::ReduceOp o) { return evaluateReduce(scope, o); })
      .Case([&](graph::ArgmaxOp o) { return evaluateArgmax(scope, o); })
      .Case([&](graph::SoftmaxOp o) { return evaluateSoftmax(scope, o); })
      .Case([&](graph::LogSumExpOp o) { return evaluateLogSumExp(scope, o); })
      .Default([&](Operation *o) -> Expected<Tensor> {
        return failAt(o, "the interpreter has no meaning for '" + o->getName().getStringRef() + "'");
      });
}

/// Tells what an op gave, by the path that inlining gives it. What only moves elements is told where it has a name.
static void observe(Scope &scope, Operation &op) {
  if (!scope.around.observer || op.getNumResults() != 1)
    return;
  StringRef outer = scope.around.path;
  std::string name = pathOf(op.getLoc()).str(), unnamed = pathOfUnnamed(&op, scope.unnamed);
  bool isResult = llvm::any_of(op.getUsers(), [](Operation *user) { return isa<graph::ReturnOp>(user); });
  bool isPlain = isa<graph::ConstantOp, graph::ReshapeOp, graph::TransposeOp, graph::BroadcastOp, graph::SliceOp>(op);
  if (name.empty() && (outer.empty() || (isPlain && !isResult)))
    return;
  if (name.empty() && !isResult)
    name = unnamed;
  (*scope.around.observer)(joinPath(outer, name), scope.get(op.getResult(0)));
}

Error interpret::evaluateBlock(Scope &scope, Block &block) {
  for (Operation &op : block.without_terminator()) {
    if (auto call = dyn_cast<graph::CallOp>(op)) {
      if (Error error = evaluateCall(scope, call))
        return error;
    } else if (auto group = dyn_cast<graph::GroupOp>(op)) {
      if (Error error = evaluateGroup(scope, group))
        return error;
    } else if (auto attention = dyn_cast<graph::AttentionOp>(op)) {
      if (Error error = evaluateAttention(scope, attention))
        return error;
    } else if (auto backward = dyn_cast<graph::AttentionBackwardOp>(op)) {
      if (Error error = evaluateAttentionBackward(scope, backward))
        return error;
    } else if (auto topK = dyn_cast<graph::TopKOp>(op)) {
      if (Error error = evaluateTopK(scope, topK))
        return error;
    } else if (auto linear = dyn_cast<graph::LinearAttentionOp>(op)) {
      if (Error error = evaluateLinearAttention(scope, linear))
        return error;
    } else {
      Expected<Tensor> result = evaluateOne(scope, &op);
      if (!result)
        return result.takeError();
      scope.values[op.getResult(0)] = std::make_shared<Tensor>(std::move(*result));
    }
    observe(scope, op);
  }
  return Error::success();
}
