#include "ChainWriter.h"

#include <algorithm>

using namespace mlir;
using namespace fovea;
using namespace fovea::test;

std::string Tensor::labels() const {
  std::string all;
  for (const std::string &axis : axes)
    all += axis;
  return all;
}

static Axes single(const std::string &labels) {
  Axes axes;
  for (char label : labels)
    axes.push_back(std::string(1, label));
  return axes;
}

ChainWriter::ChainWriter(MLIRContext &context, unsigned seed) : builder(&context), random(seed) {
  module = ModuleOp::create(builder.getUnknownLoc());
  builder.setInsertionPointToEnd(module->getBody());
  OperationState state(loc(), graph::FuncOp::getOperationName());
  state.addAttribute("sym_name", builder.getStringAttr("chain"));
  state.addAttribute("function_type", TypeAttr::get(builder.getFunctionType({}, {})));
  state.addAttribute("symbols", builder.getStrArrayAttr({"B", "T", "S", "U"}));
  state.addAttribute("requirements", builder.getArrayAttr({}));
  state.addRegion()->emplaceBlock();
  function = llvm::cast<graph::FuncOp>(builder.create(state));
  builder.setInsertionPointToEnd(&function.getBody().front());
}

DimExpr ChainWriter::sizeOf(StringRef labels) {
  DimExpr size(1);
  for (char label : labels)
    switch (label) {
    case 'b':
      size = size * DimExpr::symbol("B");
      break;
    case 't':
      size = size * DimExpr::symbol("T");
      break;
    case 's':
      size = size * DimExpr::symbol("S");
      break;
    case 'x':
      size = size * (DimExpr::symbol("S") + DimExpr(1));
      break;
    case 'u':
      size = size * DimExpr::symbol("U");
      break;
    case 'h':
      size = size * DimExpr(3);
      break;
    case 'r':
      size = size * DimExpr(2);
      break;
    case 'd':
      size = size * DimExpr(4);
      break;
    case 'e':
      size = size * DimExpr(5);
      break;
    case 'c':
      size = size * DimExpr(3);
      break;
    case 'g':
      size = size * DimExpr(7);
      break;
    }
  return size;
}

graph::TensorType ChainWriter::typeOf(const Axes &axes, Type element) {
  SmallVector<DimExpr> dims;
  for (const std::string &axis : axes)
    dims.push_back(sizeOf(axis));
  return graph::TensorType::get(builder.getContext(), dims, element);
}

static Type elementOf(const Tensor &x) { return cast<graph::TensorType>(x.value.getType()).getElementType(); }

Axes ChainWriter::randomAxes(std::string labels) {
  std::shuffle(labels.begin(), labels.end(), random);
  Axes axes;
  for (char label : labels) {
    if (!axes.empty() && maybe(25))
      axes.back() += label;
    else
      axes.push_back(std::string(1, label));
  }
  if (maybe(15))
    axes.insert(axes.begin() + pick(axes.size() + 1), "");
  return axes;
}

Tensor ChainWriter::argument(std::string labels, Type element) {
  if (!element && narrowPercent > 0 && maybe(narrowPercent)) {
    Tensor half = argument(labels, maybe(50) ? Type(builder.getF16Type()) : builder.getBF16Type());
    return cast(maybe(50) ? shuffled(half) : half, builder.getF32Type());
  }
  Axes axes = randomAxes(labels);
  Type type = typeOf(axes, element ? element : builder.getF32Type());
  return {function.getBody().front().addArgument(type, loc()), axes};
}

Tensor ChainWriter::constant(double value) {
  return {graph::ConstantOp::create(builder, loc(), typeOf({}, builder.getF32Type()), builder.getF32FloatAttr(value)),
          {}};
}

Tensor ChainWriter::integer(int64_t value) {
  return {graph::ConstantOp::create(builder, loc(), typeOf({}, builder.getI64Type()), builder.getI64IntegerAttr(value)),
          {}};
}

static size_t axisOf(const Tensor &x, char label) {
  return std::find(x.axes.begin(), x.axes.end(), std::string(1, label)) - x.axes.begin();
}

Tensor ChainWriter::reversed(Tensor x, char label) {
  x = relayout(x, single(x.labels()));
  auto start = graph::DimAttr::get(builder.getContext(), sizeOf(StringRef(&label, 1)) - DimExpr(1));
  return {graph::SliceOp::create(builder, loc(), x.value.getType(), x.value, Value(),
                                 builder.getI64IntegerAttr(axisOf(x, label)), start, builder.getI64IntegerAttr(-1)),
          x.axes};
}

Tensor ChainWriter::sliced(Tensor x, char label) {
  x = relayout(x, single(x.labels()));
  return {graph::SliceOp::create(builder, loc(), x.value.getType(), x.value, integer(0).value,
                                 builder.getI64IntegerAttr(axisOf(x, label)), graph::DimAttr(),
                                 builder.getI64IntegerAttr(1)),
          x.axes};
}

Tensor ChainWriter::withLogit(Tensor x, Tensor logit, bool isFirst) {
  x = relayout(x, single(x.labels()));
  size_t axis = axisOf(x, 's');
  Axes column = x.axes, axes = x.axes;
  column[axis] = "";
  axes[axis] = "x";
  Value values[] = {x.value, relayout(logit, column).value};
  if (isFirst)
    std::swap(values[0], values[1]);
  return {graph::ConcatOp::create(builder, loc(), typeOf(axes, elementOf(x)), ValueRange(values),
                                  builder.getI64IntegerAttr(axis)),
          axes};
}

Tensor ChainWriter::withoutLogit(Tensor x, bool isFirst) {
  x = relayout(x, single(x.labels()));
  size_t axis = axisOf(x, 'x');
  Axes axes = x.axes;
  axes[axis] = "s";
  return {graph::SliceOp::create(builder, loc(), typeOf(axes, elementOf(x)), x.value, Value(),
                                 builder.getI64IntegerAttr(axis), graph::DimAttr::get(builder.getContext(), isFirst),
                                 builder.getI64IntegerAttr(1)),
          axes};
}

Tensor ChainWriter::withFeatures(Tensor x, Tensor y) {
  x = relayout(x, single(x.labels()));
  size_t axis = axisOf(x, 'd');
  Axes more = x.axes, axes = x.axes;
  more[axis] = "c";
  axes[axis] = "g";
  Value values[] = {x.value, relayout(y, more).value};
  return {graph::ConcatOp::create(builder, loc(), typeOf(axes, elementOf(x)), ValueRange(values),
                                  builder.getI64IntegerAttr(axis)),
          axes};
}

Tensor ChainWriter::gathered(Tensor table, Tensor index) {
  table = reshaped(table, {"h"});
  index = binary<graph::MaxOp>(binary<graph::MinOp>(index, integer(2)), integer(0));
  return {graph::GatherOp::create(builder, loc(), typeOf(index.axes, elementOf(table)), table.value, index.value,
                                  ArrayRef<int64_t>{0}),
          index.axes};
}

Tensor ChainWriter::iota(char label) {
  Axes axes{std::string(1, label)};
  return {graph::IotaOp::create(builder, loc(), typeOf(axes, builder.getI64Type())), axes};
}

Tensor ChainWriter::rootOf(char label) {
  Value size = graph::DimOp::create(builder, loc(), typeOf({}, builder.getI64Type()),
                                    graph::DimAttr::get(builder.getContext(), sizeOf(StringRef(&label, 1))));
  return unary<graph::SqrtOp>(cast({size, {}}, builder.getF32Type()));
}

Tensor ChainWriter::reshaped(Tensor x, Axes axes) {
  if (x.axes == axes)
    return x;
  return {graph::ReshapeOp::create(builder, loc(), typeOf(axes, elementOf(x)), x.value), axes};
}

Tensor ChainWriter::transposed(Tensor x, Axes axes) {
  if (x.axes == axes)
    return x;
  SmallVector<int64_t> permutation;
  for (const std::string &axis : axes)
    permutation.push_back(std::find(x.axes.begin(), x.axes.end(), axis) - x.axes.begin());
  return {graph::TransposeOp::create(builder, loc(), typeOf(axes, elementOf(x)), x.value, permutation), axes};
}

Tensor ChainWriter::relayout(Tensor x, Axes axes) {
  if (x.axes == axes && !maybe(10))
    return x;
  x = reshaped(x, single(x.labels()));
  if (maybe(30)) { // a detour
    Axes other = x.axes;
    std::shuffle(other.begin(), other.end(), random);
    x = transposed(x, other);
    if (other.size() > 1 && maybe(50)) {
      Axes merged = other;
      merged[0] += merged[1];
      merged.erase(merged.begin() + 1);
      x = reshaped(reshaped(x, merged), other);
    }
  }
  std::string target;
  for (const std::string &axis : axes)
    target += axis;
  std::string present;
  for (char label : target)
    if (x.labels().find(label) != std::string::npos)
      present += label;
  x = transposed(x, single(present));
  if (present != target) {
    SmallVector<int64_t> positions;
    for (char label : present)
      positions.push_back(target.find(label));
    x = {graph::BroadcastOp::create(builder, loc(), typeOf(single(target), elementOf(x)), x.value, positions),
         single(target)};
  }
  return reshaped(x, axes);
}

Tensor ChainWriter::shuffled(Tensor x) { return relayout(x, randomAxes(x.labels())); }

/// Brings both to one layout of all their labels.
void ChainWriter::align(Tensor &a, Tensor &b) {
  std::string all = a.labels();
  for (char label : b.labels())
    if (all.find(label) == std::string::npos)
      all += label;
  Axes axes = all.size() == a.labels().size() && maybe(60) ? a.axes : randomAxes(all);
  a = relayout(a, axes);
  b = relayout(b, axes);
}

Tensor ChainWriter::cast(Tensor x, Type element) {
  return {graph::CastOp::create(builder, loc(), typeOf(x.axes, element), x.value), x.axes};
}

Tensor ChainWriter::compare(StringRef predicate, Tensor a, Tensor b) {
  align(a, b);
  return {graph::CompareOp::create(builder, loc(), typeOf(a.axes, builder.getI1Type()), predicate, a.value, b.value),
          a.axes};
}

Tensor ChainWriter::select(Tensor condition, Tensor a, Tensor b) {
  align(a, b);
  Axes axes = a.axes;
  align(a, condition);
  b = relayout(b, a.axes);
  return {graph::SelectOp::create(builder, loc(), a.value.getType(), condition.value, a.value, b.value), a.axes};
}

Tensor ChainWriter::reduce(StringRef kind, Tensor x, std::string labels) {
  // The reduced labels need axes without others.
  std::string rest;
  for (char label : x.labels())
    if (labels.find(label) == std::string::npos)
      rest += label;
  Axes axes = randomAxes(rest), kept = axes;
  SmallVector<int64_t> positions;
  for (char label : labels)
    axes.insert(axes.begin() + pick(axes.size() + 1), std::string(1, label));
  x = relayout(x, axes);
  for (auto [i, axis] : llvm::enumerate(axes))
    if (!axis.empty() && labels.find(axis[0]) != std::string::npos)
      positions.push_back(i);
  return {graph::ReduceOp::create(builder, loc(), typeOf(kept, elementOf(x)), builder.getStringAttr(kind), x.value,
                                  builder.getDenseI64ArrayAttr(positions)),
          kept};
}

Tensor ChainWriter::contract(Tensor a, Tensor b, std::string summed) {
  if (maybe(50))
    std::swap(a, b);
  // Batches may be merged on both sides.
  auto axesOf = [&](const Tensor &x, bool merge) {
    std::string labels = x.labels(), rest;
    for (char label : labels)
      if (!merge || (label != 'b' && label != 'h'))
        rest += label;
    std::shuffle(rest.begin(), rest.end(), random);
    Axes axes = single(rest);
    if (merge)
      axes.insert(axes.begin() + pick(axes.size() + 1), "bh");
    return axes;
  };
  auto has = [](const Tensor &x, char label) { return x.labels().find(label) != std::string::npos; };
  bool merge =
      has(a, 'b') && has(b, 'b') && has(a, 'h') && has(b, 'h') && summed.find('b') == std::string::npos && maybe(40);
  a = relayout(a, axesOf(a, merge));
  b = relayout(b, axesOf(b, merge));
  Axes out;
  for (const Tensor &x : {a, b})
    for (const std::string &axis : x.axes)
      if (summed.find(axis) == std::string::npos && std::find(out.begin(), out.end(), axis) == out.end())
        out.push_back(axis);
  std::shuffle(out.begin(), out.end(), random);
  auto numbers = [](const Axes &axes) {
    SmallVector<int64_t> result;
    for (const std::string &axis : axes)
      result.push_back(axis[0]);
    return result;
  };
  Value value = graph::ContractOp::create(builder, loc(), typeOf(out, elementOf(a)), a.value, b.value, numbers(a.axes),
                                          numbers(b.axes), numbers(out));
  return {value, out};
}

Tensor ChainWriter::softmaxOp(Tensor x, char label) {
  std::string rest;
  for (char other : x.labels())
    if (other != label)
      rest += other;
  Axes axes = randomAxes(rest);
  size_t axis = pick(axes.size() + 1);
  axes.insert(axes.begin() + axis, std::string(1, label));
  x = relayout(x, axes);
  return {graph::SoftmaxOp::create(builder, loc(), x.value.getType(), x.value, Value(), axis), axes};
}

OwningOpRef<ModuleOp> ChainWriter::finish(std::vector<Tensor> results) {
  SmallVector<Value> values;
  for (const Tensor &result : results)
    values.push_back(result.value);
  graph::ReturnOp::create(builder, loc(), values);
  Block &body = function.getBody().front();
  // Every symbol occurs alone in some argument, so that sizes are known to whoever runs it.
  body.addArgument(typeOf({"b", "t", "s", "u"}, builder.getI1Type()), loc());
  function.setFunctionTypeAttr(
      TypeAttr::get(builder.getFunctionType(body.getArgumentTypes(), ValueRange(values).getTypes())));
  for (unsigned i = 0; i < function.getNumArguments(); ++i)
    function.setArgAttr(i, graph::names::input, builder.getStringAttr("x" + std::to_string(i)));
  for (unsigned i = 0; i < function.getNumResults(); ++i)
    function.setResultAttr(i, graph::names::output, builder.getStringAttr("y" + std::to_string(i)));
  function.setEntry(true);
  return std::move(module);
}
