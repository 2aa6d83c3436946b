#include "compiler/sema/Builder.h"

#include <algorithm>

using namespace fovea;
using namespace fovea::sema;

//===-- Values and ops --------------------------------------------------------------------------------------------===//

/// Counts an expression's parts, no further than it must.
static size_t weigh(DimExpr e, size_t limit, unsigned depth = 0) {
  if (depth > 64)
    return limit + 1;
  if (e.kind() == DimExpr::Kind::Constant || e.kind() == DimExpr::Kind::Symbol)
    return 1;
  if (e.kind() != DimExpr::Kind::Sum)
    return 1 + weigh(e.lhs(), limit, depth + 1) + weigh(e.rhs(), limit, depth + 1);
  size_t total = 1;
  for (const DimExpr::Term &t : e.terms())
    for (DimExpr f : t.factors) {
      total += weigh(f, limit, depth + 1);
      if (total > limit)
        return total;
    }
  return total;
}

bool sema::isTooComplex(DimExpr size) { return weigh(size, Builder::maxSizeTerms) > Builder::maxSizeTerms; }

Slot *Builder::findSlot(ArgumentKind kind, uint32_t root, const std::string &path) {
  auto it = slotIndex.find({kind, root, path});
  return it == slotIndex.end() ? nullptr : &slots[it->second];
}

Slot &Builder::addSlot(Slot slot) {
  slotIndex[{slot.kind, slot.root, slot.path}] = slots.size();
  return slots.emplace_back(std::move(slot));
}

ValueId Builder::addValue(TensorType type, Span span) {
  for (DimExpr &d : type.dims)
    if (!d || isTooComplex(d)) {
      diagnostics.report(source::diag::tooLarge, span, "the number of terms of a size", maxSizeTerms);
      d = DimExpr(1); // reported: the function will not be used
    }
  function.values.push_back({std::move(type), span});
  definingOp.push_back(-1);
  return static_cast<ValueId>(function.values.size() - 1);
}

ValueId Builder::addArgument(ArgumentKind kind, std::string name, TensorType type, Span span) {
  ValueId id = addValue(std::move(type), span);
  function.arguments.push_back({kind, std::move(name), id, span});
  return id;
}

ValueId Builder::emit(std::string name, std::vector<ValueId> operands, TensorType type, Span span,
                      std::vector<std::pair<std::string, Attribute>> attributes) {
  ValueId id = addValue(std::move(type), span);
  Op op;
  op.name = std::move(name);
  op.operands = std::move(operands);
  op.attributes = std::move(attributes);
  op.results = {id};
  op.span = span;
  add(std::move(op));
  return id;
}

void Builder::add(Op op) {
  for (ValueId id : op.results)
    definingOp[id] = static_cast<int32_t>(function.ops.size());
  function.ops.push_back(std::move(op));
}

std::string Builder::uniquePath(const std::string &path) {
  int n = ++pathCounts[path];
  return n == 1 ? path : path + "#" + std::to_string(n);
}

void Builder::setPath(ValueId id, const std::string &path) {
  if (definingOp[id] >= 0 && function.ops[definingOp[id]].path.empty())
    function.ops[definingOp[id]].path = uniquePath(path);
}

//===-- Scalars ---------------------------------------------------------------------------------------------------===//

ValueId Builder::constant(double value, DType dtype, Span span) {
  return emit("constant", {}, {{}, dtype}, span, {{"value", value}});
}

ValueId Builder::constantInteger(int64_t value, DType dtype, Span span) {
  return emit("constant", {}, {{}, dtype}, span, {{"value", value}});
}

ValueId Builder::scalarOp(const std::string &name, ValueId a, ValueId b, Span span) {
  return emit(name, {a, b}, {{}, DType::I64}, span);
}

ValueId Builder::materialize(DimExpr size, Span span) {
  auto [it, fresh] = materialized.try_emplace(size, 0);
  if (fresh) {
    ValueId id = materializeTerms(size, span);
    materialized[size] = id;
    return id;
  }
  return it->second;
}

ValueId Builder::materializeTerms(DimExpr size, Span span) {
  if (std::optional<int64_t> v = size.value())
    return constantInteger(*v, DType::I64, span);
  bool onlyDimensions = true;
  for (const std::string &name : size.symbols())
    onlyDimensions = onlyDimensions && symbols[name].kind == SymbolInfo::Kind::Dimension;
  if (onlyDimensions)
    return emit("dim", {}, {{}, DType::I64}, span, {{"size", size}});
  switch (size.kind()) {
  case DimExpr::Kind::Symbol:
    return symbols[std::string(size.name())].value;
  case DimExpr::Kind::FloorDiv:
    return scalarOp("floordiv", materialize(size.lhs(), span), materialize(size.rhs(), span), span);
  case DimExpr::Kind::Mod:
    return scalarOp("mod", materialize(size.lhs(), span), materialize(size.rhs(), span), span);
  case DimExpr::Kind::Max:
    return scalarOp("max", materialize(size.lhs(), span), materialize(size.rhs(), span), span);
  case DimExpr::Kind::Min:
    return scalarOp("min", materialize(size.lhs(), span), materialize(size.rhs(), span), span);
  default:
    break;
  }
  std::optional<ValueId> sum;
  for (const DimExpr::Term &t : size.terms()) {
    std::optional<ValueId> product;
    if (t.coefficient != 1 || t.factors.empty())
      product = materialize(DimExpr(t.coefficient), span);
    for (DimExpr f : t.factors) {
      ValueId v = materialize(f, span);
      product = product ? scalarOp("mul", *product, v, span) : v;
    }
    sum = sum ? scalarOp("add", *sum, *product, span) : *product;
  }
  return *sum;
}

//===-- Symbols and preconditions ---------------------------------------------------------------------------------===//

DimExpr Builder::newSymbol(const std::string &wish, SymbolInfo info) {
  static const std::set<std::string> taken = {"floordiv", "mod", "max", "min"};
  std::string name = wish;
  for (int &n = symbolCounts[wish]; symbols.count(name) || taken.count(name);)
    name = wish + "_" + std::to_string(++n);
  symbols[name] = info;
  if (info.kind != SymbolInfo::Kind::Dimension)
    symbolByValue[info.value] = name;
  if (info.kind == SymbolInfo::Kind::Dimension)
    function.symbols.push_back(name);
  return DimExpr::symbol(name);
}

DimExpr Builder::symbolOf(ValueId value) const {
  auto it = symbolByValue.find(value);
  return it == symbolByValue.end() ? DimExpr() : DimExpr::symbol(it->second);
}

void Builder::bindSymbol(const std::string &name, ValueId value) {
  symbols[name].value = value;
  symbolByValue[value] = name;
}

bool Builder::hasOpaque(DimExpr e) const {
  for (const std::string &name : e.symbols())
    if (auto it = symbols.find(name); it != symbols.end() && it->second.kind == SymbolInfo::Kind::Opaque)
      return true;
  return false;
}

bool Builder::useAsSize(DimExpr size, Span span) {
  if (hasOpaque(size)) {
    diagnostics.report(source::diag::notASize, span, "this value");
    return false;
  }
  for (const std::string &name : size.symbols()) {
    SymbolInfo &info = symbols[name];
    if (info.kind != SymbolInfo::Kind::Scalar || info.asSize)
      continue;
    info.asSize = true;
    function.symbols.push_back(name);
    // Symbols are taken to be at least 0 from here on, so this one can't be proved away.
    function.requirements.push_back({DimExpr::symbol(name), Relation::GE, DimExpr(0), name + " >= 0", span});
  }
  return true;
}

Truth Builder::require(DimExpr lhs, Relation relation, DimExpr rhs, std::string message, Span span) {
  Truth truth = decide(lhs, relation, rhs);
  if (truth != Truth::Unknown)
    return truth;
  if (relation == Relation::EQ && DimExpr::compare(rhs, lhs) < 0)
    std::swap(lhs, rhs);
  for (const Require &r : function.requirements)
    if (r.lhs == lhs && r.rhs == rhs && r.relation == relation)
      return Truth::Unknown;
  if (function.requirements.size() >= maxRequirements || isTooComplex(lhs) || isTooComplex(rhs)) {
    diagnostics.report(source::diag::tooLarge, span, "the number of preconditions of a function", maxRequirements);
    return Truth::Unknown;
  }
  useAsSize(lhs, span);
  useAsSize(rhs, span);
  function.requirements.push_back({lhs, relation, rhs, std::move(message), span});
  return Truth::Unknown;
}

//===-- Shapes ----------------------------------------------------------------------------------------------------===//

ValueId Builder::cast(ValueId x, DType dtype, Span span) {
  if (type(x).dtype == dtype)
    return x;
  return emit("cast", {x}, {type(x).dims, dtype}, span);
}

ValueId Builder::unary(const std::string &name, ValueId x, Span span) { return emit(name, {x}, type(x), span); }

ValueId Builder::reshape(ValueId x, std::vector<DimExpr> dims, Span span) {
  if (type(x).dims == dims)
    return x;
  DType dtype = type(x).dtype;
  return emit("reshape", {x}, {std::move(dims), dtype}, span);
}

ValueId Builder::transpose(ValueId x, std::vector<int64_t> permutation, Span span) {
  if (std::is_sorted(permutation.begin(), permutation.end()))
    return x;
  TensorType result{{}, type(x).dtype};
  for (int64_t axis : permutation)
    result.dims.push_back(type(x).dims[axis]);
  return emit("transpose", {x}, std::move(result), span, {{"permutation", std::move(permutation)}});
}

ValueId Builder::coerce(ValueId x, const std::vector<DimExpr> &dims, Span span) {
  for (size_t i = 0; i < dims.size(); ++i)
    if (!(type(x).dims[i] == dims[i]))
      x = slice(x, static_cast<int64_t>(i), DimExpr(0), 1, dims[i], span);
  return x;
}

ValueId Builder::broadcastTo(ValueId x, const std::vector<DimExpr> &dims, Span span) {
  std::vector<DimExpr> own = type(x).dims, kept, wanted;
  std::vector<int64_t> axes;
  size_t lead = dims.size() - own.size();
  for (size_t i = 0; i < own.size(); ++i) {
    if (own[i].isConstant(1) && !dims[lead + i].isConstant(1))
      continue;
    kept.push_back(own[i]);
    wanted.push_back(dims[lead + i]);
    axes.push_back(static_cast<int64_t>(lead + i));
  }
  x = coerce(reshape(x, kept, span), wanted, span);
  if (axes.size() == dims.size())
    return x;
  return emit("broadcast", {x}, {dims, type(x).dtype}, span, {{"axes", std::move(axes)}});
}

ValueId Builder::reduce(const std::string &kind, ValueId x, const std::vector<int64_t> &axes, bool keep, Span span) {
  TensorType result{{}, type(x).dtype};
  std::vector<DimExpr> kept = type(x).dims;
  for (size_t i = 0; i < kept.size(); ++i)
    if (std::find(axes.begin(), axes.end(), static_cast<int64_t>(i)) == axes.end())
      result.dims.push_back(kept[i]);
    else
      kept[i] = DimExpr(1);
  ValueId y = emit("reduce", {x}, std::move(result), span, {{"kind", kind}, {"axes", axes}});
  return keep ? reshape(y, std::move(kept), span) : y;
}

/// A slice or an update of one, of `operands`, from `start` on.
ValueId Builder::emitSliced(const char *name, std::vector<ValueId> operands, TensorType result, int64_t axis,
                            DimExpr start, int64_t step, Span span) {
  std::vector<std::pair<std::string, Attribute>> attributes{{"axis", axis}};
  if (hasOpaque(start)) {
    operands.push_back(materialize(start, span));
  } else {
    useAsSize(start, span);
    attributes.emplace_back("start", start);
  }
  attributes.emplace_back("step", step);
  return emit(name, std::move(operands), std::move(result), span, std::move(attributes));
}

ValueId Builder::slice(ValueId x, int64_t axis, DimExpr start, int64_t step, DimExpr size, Span span) {
  TensorType result = type(x);
  if (result.dims[axis] == size && start.isConstant(0) && step == 1)
    return x;
  result.dims[axis] = size;
  return emitSliced("slice", {x}, std::move(result), axis, start, step, span);
}

ValueId Builder::updateSlice(ValueId x, ValueId v, int64_t axis, DimExpr start, int64_t step, Span span) {
  return emitSliced("update_slice", {x, v}, type(x), axis, start, step, span);
}

//===-- The end ---------------------------------------------------------------------------------------------------===//

void Builder::finish() {
  auto key = [](const Slot &s) { return std::tie(s.kind, s.root, s.order, s.path); };
  std::sort(slots.begin(), slots.end(), [&](const Slot &a, const Slot &b) { return key(a) < key(b); });
  for (Slot &slot : slots) {
    auto index = static_cast<int32_t>(function.arguments.size());
    function.arguments.push_back({slot.kind, slot.path, slot.argument, slot.span});
    if (slot.written)
      function.results.push_back({slot.path, slot.current, index});
  }
  for (const auto &[name, info] : symbols)
    if (info.kind == SymbolInfo::Kind::Scalar && info.asSize)
      for (uint32_t i = 0; i < function.arguments.size(); ++i)
        if (function.arguments[i].value == info.value)
          function.scalarSymbols.emplace_back(name, i);
}
