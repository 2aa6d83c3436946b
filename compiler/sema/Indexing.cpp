// x[...]: integers, slices, None, `...`, and gathers by integer tensors; and assignment to such places.
#include "compiler/sema/Elaborator.h"

#include <algorithm>

using namespace fovea;
using namespace fovea::sema;
using namespace fovea::source;

/// What an index does to one axis of the value (or to none: NewAxis).
struct Elaborator::IndexItem {
  enum class Kind { Full, Integer, Slice, NewAxis, Gather } kind = Kind::Full;
  Span span;
  DimExpr start, stop; // null where not written
  int64_t step = 1;
  DimExpr size; // of the result along the axis
  ValueId indices = 0;
  DimExpr bound; // of the indices
};

bool Elaborator::parseSlice(const syntax::Expr &e, IndexItem &item) {
  item.kind = IndexItem::Kind::Slice;
  auto part = [&](size_t i, DimExpr &out) {
    if (!e.children[i])
      return true;
    out = evalSize(*e.children[i], "a bound of a slice");
    return bool(out);
  };
  DimExpr step(1);
  if (!part(0, item.start) || !part(1, item.stop) || !part(2, step))
    return false;
  if (!step.isConstant() || step.isConstant(0)) {
    diagnostics.report(diag::badIndex, e.children[2]->span,
                       "the step of a slice is an integer known at compile time, not 0");
    return false;
  }
  item.step = *step.value();
  if (!item.start && !item.stop && item.step == 1)
    item.kind = IndexItem::Kind::Full;
  return true;
}

/// One item per axis in order, with NewAxis items between; `...` is written out.
bool Elaborator::parseIndex(const syntax::Expr &e, size_t rank, std::vector<IndexItem> &items) {
  using ItemKind = IndexItem::Kind;
  size_t consuming = 0, ellipses = 0;
  for (size_t i = 1; i < e.children.size(); ++i) {
    if (e.children[i]->kind == ExprKind::Ellipsis)
      ++ellipses;
    else if (e.children[i]->kind != ExprKind::None)
      ++consuming;
  }
  if (ellipses > 1 || consuming > rank) {
    diagnostics.report(diag::badIndex, e.mark,
                       ellipses > 1 ? "`...` can stand only once in an index"
                                    : fmt::format("{} indices for {} axes", consuming, rank));
    return false;
  }
  for (size_t i = 1; i < e.children.size(); ++i) {
    const syntax::Expr &part = *e.children[i];
    IndexItem item;
    item.span = part.span;
    if (part.kind == ExprKind::Ellipsis) {
      items.insert(items.end(), rank - consuming, item);
      continue;
    }
    if (part.kind == ExprKind::None) {
      item.kind = ItemKind::NewAxis;
    } else if (part.kind == ExprKind::Slice) {
      if (!parseSlice(part, item))
        return false;
    } else {
      Entity v = eval(part);
      if (v.isError())
        return false;
      bool tensor = v.is(Kind::Tensor);
      DType dtype = tensor ? frame->builder->type(v.id).dtype : DType::I64;
      if (tensor && (dtype == DType::I64 || dtype == DType::I32)) {
        item.kind = ItemKind::Gather;
        item.indices = v.id;
        item.bound = v.bound;
      } else if (v.is(Kind::Size)) {
        item.kind = ItemKind::Integer;
        item.start = v.size;
      } else if (v.is(Kind::None)) {
        item.kind = ItemKind::NewAxis;
      } else {
        diagnostics.report(diag::badIndex, part.span,
                           describe(v) + " is no index: integers, slices, None, `...` and i64 or i32 tensors are");
        return false;
      }
    }
    items.push_back(std::move(item));
  }
  if (!ellipses)
    items.resize(items.size() + rank - consuming);
  return true;
}

static bool isNegative(DimExpr e) { return (DimExpr(-1) - e).isNonNegative(); }

/// Fills in start and size, and states that the slice lies within the axis.
bool Elaborator::resolveItem(IndexItem &item, DimExpr size, const syntax::Expr &whole) {
  using ItemKind = IndexItem::Kind;
  Builder &builder = *frame->builder;
  Span span = item.span.valid() ? item.span : whole.mark;
  auto inside = [&](DimExpr lower, DimExpr upper, bool strict) {
    if (builder.hasOpaque(lower) || builder.hasOpaque(upper))
      return true; // checked when it runs
    std::string text = fmt::format("{} {} {} in {}", lower.str(), strict ? "<" : "<=", upper.str(), quote(whole));
    if (builder.require(lower, strict ? Relation::LT : Relation::LE, upper, text, span) != Truth::False)
      return true;
    diagnostics.report(diag::badIndex, span,
                       item.kind == ItemKind::Integer
                           ? fmt::format("index {} is outside an axis of size {}", item.start.str(), size.str())
                           : fmt::format("the slice is outside an axis of size {}: {} {} {} is false", size.str(),
                                         lower.str(), strict ? "<" : "<=", upper.str()));
    return false;
  };
  auto fromEnd = [&](DimExpr &e) {
    if (e && isNegative(e))
      e = size + e;
  };
  if (item.kind == ItemKind::Integer) {
    fromEnd(item.start);
    item.size = DimExpr(1);
    return inside(item.start, size, true) && inside(DimExpr(0), item.start, false);
  }
  if (item.kind == ItemKind::Full) {
    item.start = DimExpr(0);
    item.size = size;
    return true;
  }
  fromEnd(item.start);
  fromEnd(item.stop);
  bool forward = item.step > 0;
  DimExpr step(forward ? item.step : -item.step);
  if (!item.start)
    item.start = forward ? DimExpr(0) : size - DimExpr(1);
  DimExpr first = item.start, last = item.stop ? item.stop : forward ? size : DimExpr(-1);
  DimExpr extent = forward ? last - first : first - last;
  item.size = DimExpr::ceilDiv(extent, step);
  if (!item.size) {
    diagnostics.report(diag::overflow, span, "the size of this slice");
    return false;
  }
  if (forward)
    return inside(DimExpr(0), first, false) && inside(first, last, false) && inside(last, size, false) &&
           builder.useAsSize(item.size, span);
  return (!item.stop || inside(item.stop, first, false)) &&
         (item.start == size - DimExpr(1) || inside(first, size, true)) && builder.useAsSize(item.size, span);
}

Entity Elaborator::evalIndex(const syntax::Expr &e) {
  Entity base = eval(*e.children[0]);
  if (base.isError())
    return {};
  if (base.is(Kind::List) || base.is(Kind::Tuple))
    return indexList(e, base);
  if (!base.is(Kind::Tensor)) {
    diagnostics.report(diag::badOperand, e.children[0]->span, "[]", describe(base));
    return {};
  }
  return indexTensor(e, base.id, base.bound);
}

Entity Elaborator::indexList(const syntax::Expr &e, const Entity &list) {
  int64_t n = static_cast<int64_t>(list.items.size());
  if (e.children.size() != 2) {
    diagnostics.report(diag::badIndex, e.mark, "a list takes one index");
    return {};
  }
  const syntax::Expr &part = *e.children[1];
  auto bound = [&](const syntax::ExprPtr &p, int64_t otherwise) -> std::optional<int64_t> {
    if (!p)
      return otherwise;
    Entity v = eval(*p);
    if (v.isError())
      return std::nullopt;
    if (std::optional<int64_t> i = v.asInteger(); i && *i >= -n && *i <= n)
      return *i < 0 ? *i + n : *i;
    diagnostics.report(diag::badIndex, p->span,
                       fmt::format("a list of {} is indexed by integers from 0 to {}", n, n - 1));
    return std::nullopt;
  };
  if (part.kind == ExprKind::Slice && !part.children[2]) {
    std::optional<int64_t> first = bound(part.children[0], 0), last = bound(part.children[1], n);
    if (!first || !last)
      return {};
    Entity out(list.kind);
    for (int64_t i = *first; i < *last; ++i)
      out.items.push_back(list.items[i]);
    out.names.resize(out.items.size());
    return out;
  }
  std::optional<int64_t> i =
      part.kind == ExprKind::Slice || part.kind == ExprKind::Ellipsis || part.kind == ExprKind::None
          ? std::nullopt
          : bound(e.children[1], 0);
  if (i && *i < n)
    return list.items[*i];
  if (!diagnostics.hasErrors() || i)
    diagnostics.report(diag::badIndex, part.span,
                       fmt::format("a list of {} is indexed by integers from 0 to {}", n, n - 1));
  return {};
}

bool Elaborator::readGather(const std::vector<IndexItem> &items, const std::vector<DimExpr> &dims,
                            const syntax::Expr &e, GatherIndices &gather) {
  Builder &builder = *frame->builder;
  int64_t axis = 0;
  for (const IndexItem &item : items) {
    if (item.kind == IndexItem::Kind::Gather) {
      if (item.bound && builder.require(item.bound, Relation::LE, dims[axis],
                                        fmt::format("{} <= {} in {}", item.bound.str(), dims[axis].str(), quote(e)),
                                        item.span) == Truth::False) {
        diagnostics.report(diag::badIndex, item.span,
                           fmt::format("indices up to {} are outside an axis of size {}",
                                       (item.bound - DimExpr(1)).str(), dims[axis].str()));
        return false;
      }
      gather.values.push_back(item.indices);
      gather.axes.push_back(axis);
    }
    axis += item.kind != IndexItem::Kind::NewAxis;
  }
  std::vector<ValueId *> values;
  for (ValueId &v : gather.values)
    values.push_back(&v);
  return values.size() < 2 || broadcastTogether("the indices of " + quote(e), values, {}, e.span);
}

/// The sizes of a gather from a tensor of `dims`.
std::vector<DimExpr> Elaborator::gatheredDims(const std::vector<DimExpr> &dims, const GatherIndices &gather) {
  std::vector<DimExpr> out, named = frame->builder->type(gather.values.front()).dims;
  for (size_t axis = 0; axis < dims.size(); ++axis) {
    auto place = std::find(gather.axes.begin(), gather.axes.end(), static_cast<int64_t>(axis));
    if (place == gather.axes.end())
      out.push_back(dims[axis]);
    else if (place == gather.axes.begin())
      out.insert(out.end(), named.begin(), named.end());
  }
  return out;
}

Entity Elaborator::indexTensor(const syntax::Expr &e, ValueId x, DimExpr bound) {
  using ItemKind = IndexItem::Kind;
  Builder &builder = *frame->builder;
  std::vector<DimExpr> dims = builder.type(x).dims;
  std::vector<IndexItem> items;
  GatherIndices gather;
  if (!parseIndex(e, dims.size(), items) || !readGather(items, dims, e, gather))
    return {};
  // Slices first, each along its axis; then the gather; then one reshape that drops and adds axes.
  int64_t axis = 0;
  std::vector<DimExpr> shape;
  for (IndexItem &item : items) {
    if (item.kind == ItemKind::NewAxis) {
      shape.push_back(DimExpr(1));
      continue;
    }
    if (item.kind == ItemKind::Gather) {
      const std::vector<DimExpr> named = builder.type(gather.values.front()).dims;
      if (axis == gather.axes.front())
        shape.insert(shape.end(), named.begin(), named.end());
    } else {
      if (!resolveItem(item, dims[axis], e))
        return {};
      if (item.kind != ItemKind::Full)
        x = builder.slice(x, axis, item.start, item.step, item.size, e.span);
      if (item.kind != ItemKind::Integer)
        shape.push_back(item.size);
    }
    ++axis;
  }
  if (!gather.values.empty()) {
    TensorType type{gatheredDims(builder.type(x).dims, gather), builder.type(x).dtype};
    std::vector<ValueId> operands = gather.values;
    operands.insert(operands.begin(), x);
    x = builder.emit("gather", std::move(operands), std::move(type), e.span, {{"axes", gather.axes}});
  }
  Entity v = Entity::ofTensor(builder.reshape(x, std::move(shape), e.span));
  v.bound = bound;
  return v;
}

ValueId Elaborator::updateAxes(ValueId x, ValueId v, const std::vector<IndexItem> &items, size_t from, Span span) {
  Builder &builder = *frame->builder;
  auto isSliced = [&](size_t axis) {
    return items[axis].kind == IndexItem::Kind::Integer || items[axis].kind == IndexItem::Kind::Slice;
  };
  while (from < items.size() && !isSliced(from))
    ++from;
  if (from == items.size())
    return v;
  const IndexItem &item = items[from];
  auto axis = static_cast<int64_t>(from);
  size_t next = from + 1;
  while (next < items.size() && !isSliced(next))
    ++next;
  // More axes: the part is cut out, updated and put back.
  if (next < items.size())
    v = updateAxes(builder.slice(x, axis, item.start, item.step, item.size, span), v, items, next, span);
  return builder.updateSlice(x, v, axis, item.start, item.step, span);
}

/// `v`, brought to the type of the part that `visible` is the shape of; nullopt after an error.
std::optional<ValueId> Elaborator::assignedPart(const syntax::Expr &target, ValueId x, const Entity &value,
                                                const std::vector<DimExpr> &visible, Span span) {
  Builder &builder = *frame->builder;
  TensorType type = builder.type(x);
  std::optional<ValueId> v = toTensor(value, span, type.dtype);
  if (!v)
    return std::nullopt;
  TensorType given = builder.type(*v);
  auto mismatch = [&] {
    diagnostics
        .report(diag::rebindType, span, std::string(sources.text(target.span)), sema::describe({visible, type.dtype}),
                sema::describe(given))
        .label(builder.function.values[x].span, "it is a part of this " + sema::describe(type))
        .help("a part takes values of its own type and size; only a literal 1 broadcasts");
    return std::nullopt;
  };
  if (given.dtype != type.dtype || given.dims.size() > visible.size())
    return mismatch();
  size_t lead = visible.size() - given.dims.size();
  for (size_t i = 0; i < given.dims.size(); ++i)
    if (!given.dims[i].isConstant(1) &&
        builder.require(given.dims[i], Relation::EQ, visible[lead + i],
                        fmt::format("{} == {} in the assignment", given.dims[i].str(), visible[lead + i].str()),
                        span) == Truth::False)
      return mismatch();
  return builder.broadcastTo(*v, visible, span);
}

std::optional<ValueId> Elaborator::assignIndexed(const syntax::Expr &target, ValueId x, const Entity &value,
                                                 Span span) {
  using ItemKind = IndexItem::Kind;
  Builder &builder = *frame->builder;
  const std::vector<DimExpr> dims = builder.type(x).dims;
  std::vector<IndexItem> items;
  GatherIndices gather;
  if (!parseIndex(target, dims.size(), items))
    return std::nullopt;
  for (const IndexItem &item : items)
    if (item.kind == ItemKind::NewAxis) {
      diagnostics.report(diag::badAssignment, item.span).help("no axis can be added to what is assigned to");
      return std::nullopt;
    }
  if (!readGather(items, dims, target, gather))
    return std::nullopt;
  // The part that the integers and slices name, and of it, without the integers' axes, what is assigned.
  std::vector<DimExpr> part = dims, visible;
  for (size_t i = 0; i < items.size(); ++i) {
    bool named = items[i].kind == ItemKind::Gather;
    if (!named && !resolveItem(items[i], dims[i], target))
      return std::nullopt;
    part[i] = named ? dims[i] : items[i].size;
    if (named && static_cast<int64_t>(i) == gather.axes.front()) {
      const std::vector<DimExpr> taken = builder.type(gather.values.front()).dims;
      visible.insert(visible.end(), taken.begin(), taken.end());
    } else if (!named && items[i].kind != ItemKind::Integer) {
      visible.push_back(items[i].size);
    }
  }
  std::optional<ValueId> v = assignedPart(target, x, value, visible, span);
  if (!v)
    return std::nullopt;
  if (gather.values.empty())
    return updateAxes(x, builder.reshape(*v, part, span), items, 0, span);
  ValueId old = x;
  for (size_t i = 0; i < items.size(); ++i)
    if (items[i].kind == ItemKind::Integer || items[i].kind == ItemKind::Slice)
      old = builder.slice(old, static_cast<int64_t>(i), items[i].start, items[i].step, items[i].size, span);
  std::vector<ValueId> operands = {old, builder.reshape(*v, gatheredDims(part, gather), span)};
  operands.insert(operands.end(), gather.values.begin(), gather.values.end());
  ValueId scattered = builder.emit("scatter", std::move(operands), builder.type(old), span, {{"axes", gather.axes}});
  return updateAxes(x, scattered, items, 0, span);
}
