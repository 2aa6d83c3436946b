// Elementwise ops; blocks, calls and groups. Other ops: Layout.cpp, Reductions.cpp, Attention.cpp, TopK.cpp.
#include "compiler/interpret/Evaluate.h"

#include "dialects/graph/Places.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace fovea;
using namespace fovea::interpret;
using llvm::Error;
using llvm::Expected;

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
  if (std::optional<Expected<Tensor>> sums = evaluateReduction(scope, op))
    return std::move(*sums);
  return llvm::TypeSwitch<Operation *, Expected<Tensor>>(op)
      .Case([&](graph::ConstantOp o) { return evaluateConstant(scope, o); })
      .Case([&](graph::DimOp o) { return evaluateDim(scope, o); })
      .Case([&](graph::IotaOp o) { return evaluateIota(scope, o); })
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
