// The functions that are not written in the language: one row each.
#include "compiler/sema/Builtins.h"

#include <algorithm>
#include <cmath>

using namespace fovea;
using namespace fovea::sema;
using namespace fovea::source;

Entity sema::wrong(Elaborator &e, const Args &args, size_t i, const std::string &name, const std::string &function,
                   const std::string &wanted) {
  e.diagnostics.report(diag::argumentType, args[i].span, name, function, wanted, e.describe(args[i].value));
  return {};
}

namespace {

using Kind = Entity::Kind;

double fold(const std::string &op, double x) {
  return op == "exp"       ? std::exp(x)
         : op == "log"     ? std::log(x)
         : op == "sqrt"    ? std::sqrt(x)
         : op == "rsqrt"   ? 1 / std::sqrt(x)
         : op == "tanh"    ? std::tanh(x)
         : op == "erf"     ? std::erf(x)
         : op == "sin"     ? std::sin(x)
         : op == "cos"     ? std::cos(x)
         : op == "floor"   ? std::floor(x)
         : op == "ceil"    ? std::ceil(x)
         : op == "sigmoid" ? 1 / (1 + std::exp(-x))
                           : std::fabs(x);
}

/// exp and its like: folded for numbers, an op for floats; `abs` takes integers too.
Entity runUnary(Elaborator &e, const Builtin &builtin, const Args &args, Span span) {
  const Entity &v = args[0].value;
  if (v.asNumber()) {
    double y = fold(builtin.op, *v.asNumber());
    if (v.is(Kind::Size) && builtin.op == "abs")
      return Entity::ofSize(DimExpr(std::llabs(*v.asInteger())));
    return Entity::ofFloat(y);
  }
  if (!v.is(Kind::Tensor) && !v.is(Kind::Size))
    return wrong(e, args, 0, "x", builtin.op, "a tensor or a number");
  // A size as a tensor is an i64, which only `abs` takes; the others have it as a number.
  bool asFloat = v.is(Kind::Size) && builtin.op != "abs";
  std::optional<ValueId> id = e.toTensor(v, span, asFloat ? std::optional(DType::F32) : std::nullopt);
  if (!id)
    return {};
  DType dtype = e.frame->builder->type(*id).dtype;
  if (!computes(dtype) && !(builtin.op == "abs" && isInteger(dtype))) {
    e.diagnostics.report(diag::badOperand, args[0].span, builtin.op, e.describe(v)).help("cast it first: `f32(x)`");
    return {};
  }
  return Entity::ofTensor(e.frame->builder->unary(builtin.op, *id, span));
}

/// Axes of `axis = 1`, `axis = (0, 1)`, none: all. False after a report.
bool readAxes(Elaborator &e, const ArgumentValue &arg, int64_t rank, std::vector<int64_t> &axes) {
  const Entity &v = arg.value;
  if (v.is(Kind::Void) || v.is(Kind::None)) {
    for (int64_t i = 0; i < rank; ++i)
      axes.push_back(i);
    return true;
  }
  std::vector<Entity> items = v.is(Kind::Tuple) || v.is(Kind::List) ? v.items : std::vector<Entity>{v};
  for (const Entity &item : items) {
    std::optional<int64_t> axis = item.asInteger();
    if (!axis) {
      e.diagnostics.report(diag::notConstant, arg.span, "an axis").at(e.describe(item));
      return false;
    }
    if (*axis < -rank || *axis >= rank) {
      e.diagnostics.report(diag::badAxis, arg.span, fmt::format("axis {} is outside a value of rank {}", *axis, rank));
      return false;
    }
    axes.push_back(*axis < 0 ? *axis + rank : *axis);
  }
  std::sort(axes.begin(), axes.end());
  if (std::adjacent_find(axes.begin(), axes.end()) != axes.end()) {
    e.diagnostics.report(diag::badAxis, arg.span, "an axis is named twice");
    return false;
  }
  return true;
}

/// The one axis that `function` works along.
std::optional<int64_t> readAxis(Elaborator &e, const ArgumentValue &arg, int64_t fallback, int64_t rank,
                                const std::string &function) {
  ArgumentValue axis = arg;
  if (axis.value.is(Kind::Void))
    axis.value = Entity::ofSize(DimExpr(fallback));
  std::vector<int64_t> axes;
  if (!readAxes(e, axis, rank, axes))
    return std::nullopt;
  if (axes.size() == 1)
    return axes[0];
  e.diagnostics.report(diag::badAxis, arg.span, "`" + function + "` takes one axis");
  return std::nullopt;
}

bool readFlag(Elaborator &e, const ArgumentValue &arg, const std::string &name, const std::string &function,
              bool &out) {
  if (arg.value.is(Kind::Void))
    return true;
  if (!arg.value.is(Kind::Bool)) {
    e.diagnostics.report(diag::argumentType, arg.span, name, function, "bool", e.describe(arg.value));
    return false;
  }
  out = arg.value.flag;
  return true;
}

Entity runExtremum(Elaborator &e, const Builtin &builtin, const Args &args, Span span);

Entity runReduce(Elaborator &e, const Builtin &builtin, const Args &args, Span span) {
  const Entity &v = args[0].value;
  bool extremum = builtin.op == "max" || builtin.op == "min";
  // Of two values, where nothing says that the second is an axis.
  bool isPair = extremum && given(args, 1) && args[1].name.empty() && !given(args, 2);
  if (isPair && !args[1].value.is(Kind::Tuple) && !args[1].value.is(Kind::List))
    return runExtremum(e, builtin, args, span);
  if (!v.is(Kind::Tensor))
    return wrong(e, args, 0, "x", builtin.op, "a tensor");
  Builder &builder = *e.frame->builder;
  TensorType type = builder.type(v.id);
  bool logical = builtin.op == "any" || builtin.op == "all", mean = builtin.op == "mean";
  if (logical != (type.dtype == DType::Bool) || (mean && !isFloat(type.dtype)) || type.dtype == DType::F64) {
    e.diagnostics.report(diag::badOperand, args[0].span, builtin.op, e.describe(v))
        .help(logical ? "`any` and `all` take bool" : "cast it first: `f32(x)`");
    return {};
  }
  std::vector<int64_t> axes;
  bool keep = false;
  if (!readAxes(e, args[1], static_cast<int64_t>(type.dims.size()), axes) ||
      !readFlag(e, args[2], "keep", builtin.op, keep))
    return {};
  ValueId y = axes.empty() ? v.id : builder.reduce(mean ? "sum" : builtin.op, v.id, axes, keep, span);
  if (!mean || axes.empty())
    return Entity::ofTensor(y);
  DimExpr count(1);
  for (int64_t axis : axes)
    count = count * type.dims[axis];
  if (!count) {
    e.diagnostics.report(diag::overflow, span, "the number of elements");
    return {};
  }
  return e.binary("/", Entity::ofTensor(y), Entity::ofSize(count), nullptr, nullptr, span);
}

Entity runExtremum(Elaborator &e, const Builtin &builtin, const Args &args, Span span) {
  const Entity &a = args[0].value, &b = args[1].value;
  bool isMax = builtin.op == "max";
  if (a.is(Kind::Size) && b.is(Kind::Size))
    return e.sizeArithmetic(isMax ? "max" : "min", a.size, b.size, span);
  if (a.asNumber() && b.asNumber())
    return Entity::ofFloat(isMax ? std::max(*a.asNumber(), *b.asNumber()) : std::min(*a.asNumber(), *b.asNumber()));
  return e.tensorArithmetic(isMax ? "maximum" : "minimum", a, b, nullptr, nullptr, span);
}

/// clamp(x, low, high): indices that are clamped to an axis lie within it.
Entity runClamp(Elaborator &e, const Builtin &, const Args &args, Span span) {
  static const Builtin larger = {{"a", "b"}, 2, runExtremum, "max"}, smaller = {{"a", "b"}, 2, runExtremum, "min"};
  Entity low = runExtremum(e, larger, {args[0], args[1]}, span);
  if (low.isError())
    return {};
  Entity out = runExtremum(e, smaller, {{{}, low, args[0].span}, args[2]}, span);
  const Entity &lower = args[1].value, &upper = args[2].value;
  if (out.is(Kind::Tensor) && lower.is(Kind::Size) && lower.size.isNonNegative() && upper.is(Kind::Size) &&
      !e.frame->builder->hasOpaque(upper.size))
    out.bound = upper.size + DimExpr(1);
  return out;
}

Entity runRandomBits(Elaborator &e, const Builtin &builtin, const Args &args, Span span) {
  for (size_t i : {0, 1}) {
    const Entity &v = args[i].value;
    if (!v.is(Kind::Size) && !(v.is(Kind::Tensor) && e.frame->builder->type(v.id).dtype == DType::I64))
      return wrong(e, args, i, builtin.parameters[i], "random_bits", "a whole number, or a tensor of i64");
  }
  return e.tensorArithmetic("random_bits", args[0].value, args[1].value, nullptr, nullptr, span);
}

Entity runArgmax(Elaborator &e, const Builtin &builtin, const Args &args, Span span) {
  const Entity &v = args[0].value;
  if (!v.is(Kind::Tensor))
    return wrong(e, args, 0, "x", "argmax", "a tensor");
  Builder &builder = *e.frame->builder;
  TensorType type = builder.type(v.id);
  if (type.dtype == DType::Bool || type.dtype == DType::F64) {
    e.diagnostics.report(diag::badOperand, args[0].span, "argmax", e.describe(v)).help("cast it first: `f32(x)`");
    return {};
  }
  std::optional<int64_t> axis = readAxis(e, args[1], -1, static_cast<int64_t>(type.dims.size()), "argmax");
  bool keep = false;
  if (!axis || !readFlag(e, args[2], "keep", "argmax", keep))
    return {};
  TensorType result{type.dims, DType::I64};
  result.dims.erase(result.dims.begin() + *axis);
  Entity y = Entity::ofTensor(builder.emit("argmax", {v.id}, result, span, {{"axis", *axis}}));
  if (keep) {
    type.dims[*axis] = DimExpr(1);
    y.id = builder.reshape(y.id, type.dims, span);
  }
  return y;
}

/// top_k(x, k): the k largest along the last axis and where they are.
Entity runTopK(Elaborator &e, const Builtin &, const Args &args, Span span) {
  const Entity &v = args[0].value;
  if (!v.is(Kind::Tensor))
    return wrong(e, args, 0, "x", "top_k", "a tensor");
  std::optional<DimExpr> k = e.sizeOf(args[1].value);
  if (!k)
    return wrong(e, args, 1, "k", "top_k", "a size");
  Builder &builder = *e.frame->builder;
  TensorType type = builder.type(v.id);
  if (type.dtype == DType::Bool || type.dtype == DType::F64) {
    e.diagnostics.report(diag::badOperand, args[0].span, "top_k", e.describe(v)).help("cast it first: `f32(x)`");
    return {};
  }
  if (type.dims.empty()) {
    e.diagnostics.report(diag::badAxis, args[0].span, "`top_k` takes a tensor with an axis");
    return {};
  }
  DimExpr size = type.dims.back();
  for (auto [low, high] : {std::pair(DimExpr(0), *k), std::pair(*k, size)})
    if (builder.require(low, Relation::LE, high, fmt::format("{} <= {} in `top_k`", low.str(), high.str()),
                        args[1].span) == Truth::False) {
      e.diagnostics.report(diag::badIndex, args[1].span,
                           fmt::format("`top_k` of {} along an axis of size {}", k->str(), size.str()));
      return {};
    }
  if (!builder.useAsSize(*k, args[1].span))
    return {};
  type.dims.back() = *k;
  ValueId values = builder.addValue(type, span), indices = builder.addValue({type.dims, DType::I64}, span);
  Op op;
  op.name = "top_k";
  op.operands = {v.id};
  op.results = {values, indices};
  op.span = span;
  builder.add(std::move(op));
  Entity both(Kind::Tuple);
  both.items = {Entity::ofTensor(values), Entity::ofTensor(indices)};
  both.names = {"values", "indices"};
  both.items[1].bound = size;
  return both;
}

Entity runWhere(Elaborator &e, const Builtin &, const Args &args, Span span) {
  const Entity &c = args[0].value;
  if (c.is(Kind::Bool))
    return args[c.flag ? 1 : 2].value;
  if (!c.is(Kind::Condition) && !(c.is(Kind::Tensor) && e.frame->builder->type(c.id).dtype == DType::Bool))
    return wrong(e, args, 0, "condition", "where", "a bool tensor");
  std::optional<std::pair<ValueId, ValueId>> pair = e.unifyTypes("where", args[1].value, args[2].value, span);
  std::optional<ValueId> condition = pair ? e.toTensor(c, args[0].span) : std::nullopt;
  if (!condition)
    return {};
  auto [a, b] = *pair;
  if (!e.broadcastTogether("`where`", {&*condition, &a, &b}, {}, span))
    return {};
  Builder &builder = *e.frame->builder;
  return Entity::ofTensor(builder.emit("select", {*condition, a, b}, builder.type(a), span));
}

Entity runIndex(Elaborator &e, const Builtin &, const Args &args, Span span) {
  std::optional<DimExpr> size = e.sizeOf(args[0].value);
  if (!size)
    return wrong(e, args, 0, "size", "index", "a size");
  if ((DimExpr(-1) - *size).isNonNegative()) {
    e.diagnostics.report(diag::negativeSize, args[0].span, size->str());
    return {};
  }
  Builder *builder = e.needBuilder(span);
  if (!builder || !builder->useAsSize(*size, args[0].span))
    return {};
  Entity v = Entity::ofTensor(builder->emit("iota", {}, {{*size}, DType::I64}, span));
  v.bound = *size;
  return v;
}

Entity runCast(Elaborator &e, const Builtin &builtin, const Args &args, Span span) {
  const Entity &v = args[0].value;
  DType dtype = *dtypeFromName(builtin.op);
  if (v.is(Kind::Float) && isFloat(dtype))
    return v;
  if (v.is(Kind::Bool) && dtype == DType::Bool)
    return v;
  if (v.asInteger() && isFloat(dtype))
    return Entity::ofFloat(static_cast<double>(*v.asInteger()));
  if (v.is(Kind::Size) && dtype == DType::I64)
    return v;
  if (v.is(Kind::Float) && isInteger(dtype) && std::fabs(v.number) < 9e18)
    return Entity::ofSize(DimExpr(static_cast<int64_t>(v.number)));
  std::optional<ValueId> id = e.toTensor(v, span);
  if (!id)
    return {};
  Entity out = Entity::ofTensor(e.frame->builder->cast(*id, dtype, span));
  if (isInteger(dtype))
    out.bound = v.bound;
  return out;
}

Entity runRearrange(Elaborator &e, const Builtin &, const Args &args, Span span) { return e.rearrange(args, span); }
Entity runEinsum(Elaborator &e, const Builtin &, const Args &args, Span span) {
  return e.needBuilder(span) ? e.einsum(args, span) : Entity();
}

bool readSizes(Elaborator &e, const ArgumentValue &arg, const std::string &function, std::vector<DimExpr> &out) {
  const Entity &v = arg.value;
  if (!v.is(Kind::List) && !v.is(Kind::Tuple)) {
    e.diagnostics.report(diag::argumentType, arg.span, "sizes", function, "a list of sizes", e.describe(v));
    return false;
  }
  for (const Entity &item : v.items) {
    std::optional<DimExpr> size = e.sizeOf(item);
    if (!size || !e.frame->builder->useAsSize(*size, arg.span)) {
      if (!size)
        e.diagnostics.report(diag::argumentType, arg.span, "sizes", function, "a list of sizes", e.describe(item));
      return false;
    }
    if ((DimExpr(-1) - *size).isNonNegative() && !size->isConstant(-1)) {
      e.diagnostics.report(diag::negativeSize, arg.span, size->str());
      return false;
    }
    out.push_back(*size);
  }
  return true;
}

DimExpr product(const std::vector<DimExpr> &dims) {
  DimExpr p(1);
  for (DimExpr d : dims)
    p = p * d;
  return p;
}

Entity runReshape(Elaborator &e, const Builtin &, const Args &args, Span span) {
  const Entity &v = args[0].value;
  if (!v.is(Kind::Tensor))
    return wrong(e, args, 0, "x", "reshape", "a tensor");
  std::vector<DimExpr> sizes;
  if (!readSizes(e, args[1], "reshape", sizes))
    return {};
  if (std::count(sizes.begin(), sizes.end(), DimExpr(-1)) > 1) {
    e.diagnostics.report(diag::badIndex, args[1].span, "only one size of `reshape` can be -1");
    return {};
  }
  Builder &builder = *e.frame->builder;
  DimExpr total = product(builder.type(v.id).dims);
  auto hole = std::find(sizes.begin(), sizes.end(), DimExpr(-1));
  if (hole != sizes.end()) {
    *hole = DimExpr(1);
    DimExpr rest = product(sizes);
    *hole = rest && total && !rest.isConstant(0) ? DimExpr::floorDiv(total, rest) : DimExpr(-1);
  }
  DimExpr count = product(sizes);
  std::string text = "[" + joinDims(sizes) + "]";
  if (!count || !total || std::count(sizes.begin(), sizes.end(), DimExpr(-1)) || !(count == total)) {
    // Equal only by a requirement would leave the element count open; say how to state it instead.
    e.diagnostics.report(diag::reshapeCount, span, total ? total.str() : "these", text)
        .label(args[0].span, e.describe(v))
        .help("the counts must be equal for all sizes; `rearrange` splits an axis and states what must divide");
    return {};
  }
  return Entity::ofTensor(builder.reshape(v.id, std::move(sizes), span));
}

Entity runBroadcast(Elaborator &e, const Builtin &, const Args &args, Span span) {
  std::vector<DimExpr> sizes;
  if (!e.needBuilder(span) || !readSizes(e, args[1], "broadcast", sizes))
    return {};
  std::optional<ValueId> id =
      e.toTensor(args[0].value, span, args[0].value.is(Kind::Size) ? std::optional(DType::F32) : std::nullopt);
  if (!id)
    return {};
  Builder &builder = *e.frame->builder;
  TensorType type = builder.type(*id);
  bool fits = type.dims.size() <= sizes.size();
  size_t lead = fits ? sizes.size() - type.dims.size() : 0;
  for (size_t i = 0; fits && i < type.dims.size(); ++i)
    fits = type.dims[i].isConstant(1) ||
           builder.require(type.dims[i], Relation::EQ, sizes[lead + i],
                           type.dims[i].str() + " == " + sizes[lead + i].str() + " in broadcast", span) != Truth::False;
  if (!fits) {
    e.diagnostics.report(diag::dimensionClash, span, "the sizes don't fit in broadcast",
                         "[" + joinDims(type.dims) + "]", "[" + joinDims(sizes) + "]");
    return {};
  }
  return Entity::ofTensor(builder.broadcastTo(*id, sizes, span));
}

Entity runTranspose(Elaborator &e, const Builtin &, const Args &args, Span span) {
  const Entity &v = args[0].value, &axes = args[1].value;
  if (!v.is(Kind::Tensor))
    return wrong(e, args, 0, "x", "transpose", "a tensor");
  Builder &builder = *e.frame->builder;
  auto rank = static_cast<int64_t>(builder.type(v.id).dims.size());
  std::vector<int64_t> permutation, sorted;
  for (const Entity &item : axes.items)
    if (std::optional<int64_t> axis = item.asInteger())
      permutation.push_back(*axis < 0 ? *axis + rank : *axis);
  sorted = permutation;
  std::sort(sorted.begin(), sorted.end());
  bool good = static_cast<int64_t>(sorted.size()) == rank && sorted.size() == axes.items.size();
  for (int64_t i = 0; good && i < rank; ++i)
    good = sorted[i] == i;
  if (!good)
    return wrong(e, args, 1, "axes", "transpose", fmt::format("a list of the axes 0 to {}", rank - 1));
  Entity out = Entity::ofTensor(builder.transpose(v.id, std::move(permutation), span));
  out.bound = v.bound;
  return out;
}

Entity runConcat(Elaborator &e, const Builtin &, const Args &args, Span span) {
  const Entity &list = args[0].value;
  if ((!list.is(Kind::List) && !list.is(Kind::Tuple)) || list.items.empty())
    return wrong(e, args, 0, "xs", "concat", "a list of tensors");
  std::vector<ValueId> xs;
  for (const Entity &item : list.items) {
    if (!item.is(Kind::Tensor))
      return wrong(e, args, 0, "xs", "concat", "a list of tensors");
    xs.push_back(item.id);
  }
  Builder &builder = *e.frame->builder;
  TensorType type = builder.type(xs[0]);
  std::optional<int64_t> axis = readAxis(e, args[1], 0, static_cast<int64_t>(type.dims.size()), "concat");
  if (!axis)
    return {};
  DimExpr total(0);
  for (ValueId &x : xs) {
    TensorType t = builder.type(x);
    if (t.dtype != type.dtype || t.dims.size() != type.dims.size()) {
      e.diagnostics.report(diag::typeMismatch, args[0].span, "`concat`", describe(type), describe(t));
      return {};
    }
    total = total + t.dims[*axis];
    std::vector<DimExpr> wanted = type.dims;
    wanted[*axis] = t.dims[*axis];
    for (size_t i = 0; i < wanted.size(); ++i)
      if (builder.require(wanted[i], Relation::EQ, t.dims[i], wanted[i].str() + " == " + t.dims[i].str() + " in concat",
                          span) == Truth::False) {
        e.diagnostics.report(diag::dimensionClash, args[0].span,
                             fmt::format("the sizes of axis {} differ in concat", i), describe(type), describe(t));
        return {};
      }
    x = builder.coerce(x, wanted, span);
  }
  type.dims[*axis] = total;
  return Entity::ofTensor(xs.size() == 1 ? xs[0] : builder.emit("concat", xs, type, span, {{"axis", *axis}}));
}

Entity runShape(Elaborator &e, const Builtin &builtin, const Args &args, Span span) {
  if (!args[0].value.is(Kind::Tensor))
    return wrong(e, args, 0, "x", builtin.op, "a tensor");
  std::vector<DimExpr> dims = e.frame->builder->type(args[0].value.id).dims;
  if (builtin.op == "rank")
    return Entity::ofSize(DimExpr(static_cast<int64_t>(dims.size())));
  if (builtin.op == "size") {
    std::vector<int64_t> axes;
    if (!readAxes(e, args[1], static_cast<int64_t>(dims.size()), axes))
      return {};
    DimExpr p(1);
    for (int64_t axis : axes)
      p = p * dims[axis];
    if (p)
      return Entity::ofSize(p);
    e.diagnostics.report(diag::overflow, span, "the number of elements");
    return {};
  }
  Entity list(Kind::List);
  for (DimExpr d : dims)
    list.items.push_back(Entity::ofSize(d));
  list.names.resize(dims.size());
  return list;
}

std::map<std::string, Builtin> makeBuiltins() {
  std::map<std::string, Builtin> t;
  for (const char *op : {"exp", "log", "sqrt", "rsqrt", "tanh", "erf", "sin", "cos", "floor", "ceil", "abs", "sigmoid"})
    t[op] = {{"x"}, 1, runUnary, op};
  for (const char *op : {"sum", "prod", "max", "min", "any", "all", "mean"})
    t[op] = {{"x", "axis", "keep"}, 1, runReduce, op};
  for (const char *op : {"f32", "f16", "bf16", "f64", "i64", "i32", "i8", "bool"})
    t[op] = {{"x"}, 1, runCast, op};
  t["maximum"] = {{"a", "b"}, 2, runExtremum, "max"};
  t["minimum"] = {{"a", "b"}, 2, runExtremum, "min"};
  t["clamp"] = {{"x", "low", "high"}, 3, runClamp, ""};
  t["argmax"] = {{"x", "axis", "keep"}, 1, runArgmax, ""};
  t["top_k"] = {{"x", "k"}, 2, runTopK, ""};
  t["random_bits"] = {{"seed", "counter"}, 2, runRandomBits, ""};
  t["where"] = {{"condition", "a", "b"}, 3, runWhere, ""};
  t["index"] = {{"size"}, 1, runIndex, ""};
  t["rearrange"] = {{}, 0, runRearrange, "", true};
  t["einsum"] = {{}, 0, runEinsum, "", true};
  t["reshape"] = {{"x", "sizes"}, 2, runReshape, ""};
  t["broadcast"] = {{"x", "sizes"}, 2, runBroadcast, ""};
  t["transpose"] = {{"x", "axes"}, 2, runTranspose, ""};
  t["concat"] = {{"xs", "axis"}, 1, runConcat, ""};
  addListBuiltins(t);
  addGradientBuiltins(t);
  t["shape"] = {{"x"}, 1, runShape, "shape"};
  t["rank"] = {{"x"}, 1, runShape, "rank"};
  t["size"] = {{"x", "axis"}, 1, runShape, "size"};
  return t;
}

} // namespace

const std::map<std::string, Builtin> &sema::builtins() {
  static const std::map<std::string, Builtin> table = makeBuiltins();
  return table;
}
