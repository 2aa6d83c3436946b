// Pulls one element of a graph value. See PointProgram.h for the contract.
#include "compiler/analysis/PointProgram.h"

#include "compiler/analysis/IndexBounds.h"

using namespace mlir;
using namespace fovea;

static constexpr unsigned maximalDepth = 4000;

//===-- Index arithmetic ------------------------------------------------------------------------------------------===//

Value PointProgram::constantAttr(TypedAttr value, Location loc) {
  Value &built = constants[value];
  if (!built)
    built = arith::ConstantOp::create(builder, loc, value);
  return built;
}

Value PointProgram::constantIndex(int64_t value, Location loc) {
  return constantAttr(builder.getIndexAttr(value), loc);
}

Value PointProgram::size(DimExpr size, Location loc) {
  if (std::optional<int64_t> value = size.value())
    return constantIndex(*value, loc);
  Value &built = sizes[size.opaque()];
  if (!built)
    built = callbacks.size ? callbacks.size(size, loc)
                           : graph::SizeOp::create(builder, loc, graph::DimAttr::get(builder.getContext(), size));
  return built;
}

/// The product of sizes[first..].
static DimExpr product(ArrayRef<DimExpr> sizes) {
  DimExpr result(1);
  for (DimExpr size : sizes)
    result = result * size;
  return result;
}

/// Where groups of axes with equal products end in `from` and `to`: the shortest ones, so that within one nothing lines
/// up.
static SmallVector<std::pair<size_t, size_t>> groups(ArrayRef<DimExpr> from, ArrayRef<DimExpr> to) {
  SmallVector<std::pair<size_t, size_t>> ends;
  size_t i = 0, j = 0;
  while (i < from.size() || j < to.size()) {
    size_t iEnd = from.size(), jEnd = to.size(); // what remains is one group (also axes of one element at the end)
    DimExpr left(1);
    bool closed = false;
    for (size_t a = i; a < from.size() && !closed; ++a) {
      left = left * from[a];
      DimExpr right(1);
      for (size_t b = j; b < to.size() && !closed; ++b) {
        right = right * to[b];
        if (left == right) {
          iEnd = a + 1;
          jEnd = b + 1;
          closed = true;
        }
      }
    }
    ends.push_back({i = iEnd, j = jEnd});
  }
  return ends;
}

Value PointProgram::linearize(ValueRange indices, ArrayRef<DimExpr> sizes, Location loc) {
  // Axes of one element contribute nothing.
  SmallVector<Value> kept;
  SmallVector<DimExpr> extents;
  for (auto [index, size] : llvm::zip_equal(indices, sizes))
    if (!size.isConstant(1)) {
      kept.push_back(index);
      extents.push_back(size);
    }
  if (kept.empty())
    return constantIndex(0, loc);
  if (kept.size() == 1)
    return kept.front();
  // All digits of one source, in order: the source itself.
  if (auto first = digits.find(kept.front()); first != digits.end() && first->second.sizes == extents) {
    bool whole = true;
    for (auto [position, index] : llvm::enumerate(kept)) {
      auto digit = digits.find(index);
      whole &= digit != digits.end() && digit->second.source == first->second.source &&
               digit->second.position == position && digit->second.sizes == extents;
    }
    if (whole)
      return first->second.source;
  }
  Value result = kept.front();
  for (size_t i = 1; i < kept.size(); ++i) {
    result = arith::MulIOp::create(builder, loc, result, size(extents[i], loc));
    result = arith::AddIOp::create(builder, loc, result, kept[i]);
  }
  linears[result] = Linear{kept, extents};
  return result;
}

SmallVector<Value> PointProgram::delinearize(Value index, ArrayRef<DimExpr> sizes, Location loc) {
  SmallVector<Value> result(sizes.size());
  SmallVector<size_t> axes; // those of more than one element
  SmallVector<DimExpr> extents;
  for (auto [axis, size] : llvm::enumerate(sizes)) {
    if (size.isConstant(1)) {
      result[axis] = constantIndex(0, loc);
    } else {
      axes.push_back(axis);
      extents.push_back(size);
    }
  }
  if (axes.empty())
    return result;
  if (axes.size() == 1) {
    result[axes.front()] = index;
    return result;
  }
  if (auto known = linears.find(index); known != linears.end()) {
    Linear linear = known->second;
    // Lines up in part at least: then each group is smaller, and comes back here with nothing left that lines up.
    if (linear.sizes != extents && product(linear.sizes) == product(extents) &&
        groups(linear.sizes, extents).size() > 1) {
      SmallVector<Value> parts = reindex(linear.indices, linear.sizes, extents, loc);
      for (auto [axis, part] : llvm::zip_equal(axes, parts))
        result[axis] = part;
      return result;
    }
    if (ArrayRef(linear.sizes) == ArrayRef(extents)) {
      for (auto [axis, part] : llvm::zip_equal(axes, linear.indices))
        result[axis] = part;
      return result;
    }
  }
  Value rest = index;
  for (size_t i = axes.size(); i-- > 0;) {
    Value digit = rest;
    if (i > 0) {
      Value extent = size(extents[i], loc);
      digit = arith::RemUIOp::create(builder, loc, rest, extent);
      rest = arith::DivUIOp::create(builder, loc, rest, extent);
    }
    digits[digit] = Digit{index, extents, i};
    result[axes[i]] = digit;
  }
  return result;
}

SmallVector<Value> PointProgram::reindex(ValueRange indices, ArrayRef<DimExpr> from, ArrayRef<DimExpr> to,
                                         Location loc) {
  SmallVector<Value> result;
  size_t i = 0, j = 0;
  for (auto [iEnd, jEnd] : groups(from, to)) {
    Value position = linearize(indices.slice(i, iEnd - i), from.slice(i, iEnd - i), loc);
    llvm::append_range(result, delinearize(position, to.slice(j, jEnd - j), loc));
    i = iEnd;
    j = jEnd;
  }
  return result;
}

//===-- Rules -----------------------------------------------------------------------------------------------------===//

bool PointProgram::Key::operator<(const Key &other) const {
  auto flat = [](const Key &key) {
    SmallVector<const void *> pointers{key.tensor.getAsOpaquePointer(), key.guard.getAsOpaquePointer()};
    for (Value index : key.indices)
      pointers.push_back(index.getAsOpaquePointer());
    return pointers;
  };
  SmallVector<const void *> mine = flat(*this), theirs = flat(other);
  return std::lexicographical_compare(mine.begin(), mine.end(), theirs.begin(), theirs.end(),
                                      std::less<const void *>());
}

bool fovea::hasPointRule(Operation *op) {
  return isa<graph::ElementwiseOpInterface, graph::BroadcastOp, graph::ReshapeOp, graph::TransposeOp, graph::SliceOp,
             graph::UpdateSliceOp, graph::GatherOp, graph::ConcatOp, graph::IotaOp, graph::ConstantOp, graph::DimOp>(
      op);
}

FailureOr<Value> PointProgram::element(Value tensor, ValueRange indices) { return element(tensor, indices, Value()); }

FailureOr<Value> PointProgram::element(Value tensor, ValueRange indices, Value guard) {
  Key key{tensor, guard, llvm::to_vector(indices)};
  if (auto known = elements.find(key); known != elements.end())
    return known->second;
  Operation *op = tensor.getDefiningOp();
  bool computed = op && (!callbacks.isLeaf || !callbacks.isLeaf(tensor));
  if (computed && !hasPointRule(op))
    computed = isa<graph::ReduceOp>(op) && callbacks.reduce;
  if (depth >= maximalDepth)
    return failure();
  ++depth;
  Result result = computed ? compute(op, indices, guard) : callbacks.read(tensor, indices, guard);
  --depth;
  if (succeeded(result))
    elements[key] = *result;
  return result;
}

SmallVector<Value> PointProgram::layoutIndices(Operation *layout, ValueRange indices) {
  SmallVector<Value> inner;
  if (auto broadcast = dyn_cast<graph::BroadcastOp>(layout)) {
    for (int64_t axis : broadcast.getAxes())
      inner.push_back(indices[axis]);
    return inner;
  }
  if (auto transpose = dyn_cast<graph::TransposeOp>(layout)) {
    inner.resize(indices.size());
    for (auto [axis, source] : llvm::enumerate(transpose.getPermutation()))
      inner[source] = indices[axis];
    return inner;
  }
  auto from = cast<graph::TensorType>(layout->getResult(0).getType());
  auto to = cast<graph::TensorType>(layout->getOperand(0).getType());
  return reindex(indices, from.getDims(), to.getDims(), layout->getLoc());
}

FailureOr<Value> PointProgram::compute(Operation *op, ValueRange indices, Value guard) {
  Location loc = op->getLoc();
  return llvm::TypeSwitch<Operation *, Result>(op)
      .Case<graph::ElementwiseOpInterface>([&](auto elementOp) { return elementwise(elementOp, indices, guard); })
      .Case<graph::BroadcastOp, graph::TransposeOp, graph::ReshapeOp>(
          [&](auto layout) { return element(layout.getX(), layoutIndices(layout, indices), guard); })
      .Case<graph::SliceOp>([&](graph::SliceOp sliceOp) { return slice(sliceOp, indices, guard); })
      .Case<graph::UpdateSliceOp>([&](graph::UpdateSliceOp update) { return updateSlice(update, indices, guard); })
      .Case<graph::GatherOp>([&](graph::GatherOp gatherOp) { return gather(gatherOp, indices, guard); })
      .Case<graph::ConcatOp>([&](graph::ConcatOp concatOp) { return concat(concatOp, indices, guard); })
      .Case<graph::ReduceOp>([&](graph::ReduceOp reduce) { return callbacks.reduce(reduce, indices); })
      .Case<graph::IotaOp>([&](graph::IotaOp) -> Result {
        return arith::IndexCastOp::create(builder, loc, builder.getI64Type(), indices[0]).getResult();
      })
      .Case<graph::DimOp>([&](graph::DimOp dim) -> Result {
        if (std::optional<int64_t> value = dim.getSize().getValue().value())
          return constantAttr(builder.getI64IntegerAttr(*value), loc);
        Value index = size(dim.getSize().getValue(), loc);
        return arith::IndexCastOp::create(builder, loc, builder.getI64Type(), index).getResult();
      })
      .Case<graph::ConstantOp>([&](graph::ConstantOp constant) -> Result {
        return constantAttr(cast<TypedAttr>(constant.getValueAttr()), loc);
      })
      .Default([&](Operation *) -> Result { return failure(); });
}

FailureOr<Value> PointProgram::elementwise(graph::ElementwiseOpInterface op, ValueRange indices, Value guard) {
  SmallVector<Value> operands;
  for (Value operand : op->getOperands()) {
    Result scalar = element(operand, indices, guard);
    if (failed(scalar))
      return failure();
    operands.push_back(*scalar);
  }
  Type type = cast<graph::TensorType>(op->getResult(0).getType()).getElementType();
  return op.buildScalar(builder, op->getLoc(), operands, type);
}

Value PointProgram::both(Value guard, Value condition, Location loc) {
  return guard ? arith::AndIOp::create(builder, loc, guard, condition).getResult() : condition;
}

FailureOr<Value> PointProgram::sliceStart(Value offset, std::optional<graph::DimAttr> start, Value guard,
                                          Location loc) {
  if (!offset)
    return size(start->getValue(), loc);
  Result scalar = element(offset, {}, guard);
  if (failed(scalar))
    return failure();
  return arith::IndexCastOp::create(builder, loc, builder.getIndexType(), *scalar).getResult();
}

static bool isZero(Value start) {
  APInt value;
  return matchPattern(start, m_ConstantInt(&value)) && value.isZero();
}

FailureOr<Value> PointProgram::slice(graph::SliceOp op, ValueRange indices, Value guard) {
  Location loc = op.getLoc();
  Result start = sliceStart(op.getOffset(), op.getStart(), guard, loc);
  if (failed(start))
    return failure();
  SmallVector<Value> inner = llvm::to_vector(indices);
  Value &index = inner[op.getAxis()];
  if (op.getStep() != 1)
    index = arith::MulIOp::create(builder, loc, index, constantIndex(op.getStep(), loc));
  if (!isZero(*start))
    index = arith::AddIOp::create(builder, loc, index, *start);
  return element(op.getX(), inner, guard);
}

FailureOr<Value> PointProgram::updateSlice(graph::UpdateSliceOp op, ValueRange indices, Value guard) {
  using Predicate = arith::CmpIPredicate;
  Location loc = op.getLoc();
  Result start = sliceStart(op.getOffset(), op.getStart(), guard, loc);
  if (failed(start))
    return failure();
  // Position along the slice: (index - start) / step, inside where it is whole and in [0, count).
  Value distance = arith::SubIOp::create(builder, loc, indices[op.getAxis()], *start);
  Value inside;
  if (int64_t step = op.getStep(); step != 1) {
    Value zero = constantIndex(0, loc), stride = constantIndex(std::abs(step), loc);
    if (step < 0)
      distance = arith::SubIOp::create(builder, loc, zero, distance);
    Value rest = arith::RemSIOp::create(builder, loc, distance, stride);
    inside = arith::CmpIOp::create(builder, loc, Predicate::eq, rest, zero);
    distance = arith::DivSIOp::create(builder, loc, distance, stride);
    // -1 / 2 is 0: negative distances that divide stay negative, the others have a rest.
  }
  Value count = size(cast<graph::TensorType>(op.getV().getType()).getDim(op.getAxis()), loc);
  Value below = arith::CmpIOp::create(builder, loc, Predicate::ult, distance, count);
  inside = inside ? arith::AndIOp::create(builder, loc, inside, below).getResult() : below;
  SmallVector<Value> inner = llvm::to_vector(indices);
  inner[op.getAxis()] = distance;
  Result updated = element(op.getV(), inner, both(guard, inside, loc));
  Result old = element(op.getX(), indices, guard);
  if (failed(updated) || failed(old))
    return failure();
  return arith::SelectOp::create(builder, loc, inside, *updated, *old).getResult();
}

FailureOr<Value> PointProgram::gather(graph::GatherOp op, ValueRange indices, Value guard) {
  FailureOr<SmallVector<Value>> inner = gatheredFrom(op, indices, guard);
  if (failed(inner))
    return failure();
  return element(op.getX(), *inner, guard);
}

template <typename Op>
FailureOr<SmallVector<Value>> PointProgram::gatheredFrom(Op op, ValueRange indices, Value guard) {
  Location loc = op.getLoc();
  auto x = cast<graph::TensorType>(op.getX().getType());
  ArrayRef<int64_t> axes = op.getAxes();
  size_t first = axes.front(), count = cast<graph::TensorType>(op.getIndices().front().getType()).getRank();
  IndexBounds bounds(op->template getParentOfType<graph::FuncOp>());
  SmallVector<Value> named;
  for (auto [tensor, axis] : llvm::zip(op.getIndices(), axes)) {
    Result selected = element(tensor, indices.slice(first, count), guard);
    if (failed(selected))
      return failure();
    named.push_back(arith::IndexCastOp::create(builder, loc, builder.getIndexType(), *selected));
    if (callbacks.check && !bounds.isWithin(tensor, x.getDim(axis)) &&
        failed(callbacks.check(named.back(), x.getDim(axis), guard, loc)))
      return failure();
  }
  SmallVector<Value> inner, kept = llvm::to_vector(indices.take_front(first));
  llvm::append_range(kept, indices.drop_front(first + count));
  for (int64_t axis = 0, next = 0, place = 0; axis < x.getRank(); ++axis)
    inner.push_back(place < int64_t(axes.size()) && axes[place] == axis ? named[place++] : kept[next++]);
  return inner;
}

FailureOr<SmallVector<Value>> PointProgram::scatteredTo(graph::ScatterOp op, ValueRange indices) {
  return gatheredFrom(op, indices, Value());
}

FailureOr<Value> PointProgram::concat(graph::ConcatOp op, ValueRange indices, Value guard) {
  using Predicate = arith::CmpIPredicate;
  Location loc = op.getLoc();
  size_t axis = op.getAxis();
  DimExpr begin(0);
  struct Piece {
    Value before, inside, element; // before its end; in it: null where there is no other
  };
  SmallVector<Piece> pieces;
  Value from; // not in an earlier piece
  for (auto [number, piece] : llvm::enumerate(op.getXs())) {
    SmallVector<Value> inner = llvm::to_vector(indices);
    if (number)
      inner[axis] = arith::SubIOp::create(builder, loc, indices[axis], size(begin, loc));
    begin = begin + cast<graph::TensorType>(piece.getType()).getDim(axis);
    auto isAt = [&](Predicate predicate) {
      return arith::CmpIOp::create(builder, loc, predicate, indices[axis], size(begin, loc)).getResult();
    };
    Value before = number + 1 == op.getXs().size() ? Value() : isAt(Predicate::slt);
    Value inside = from && before ? both(from, before, loc) : from ? from : before;
    Result scalar = element(piece, inner, inside ? both(guard, inside, loc) : guard);
    if (failed(scalar))
      return failure();
    pieces.push_back({before, inside, *scalar});
    from = before ? isAt(Predicate::sge) : Value();
  }
  Value result = pieces.back().element;
  // Conditions as a disjunction, whose parts can be decided for boxes of indices.
  if (result.getType().isInteger(1) && pieces.size() > 1) {
    result = Value();
    for (const Piece &piece : pieces) {
      Value holds = both(piece.inside, piece.element, loc);
      result = result ? arith::OrIOp::create(builder, loc, result, holds).getResult() : holds;
    }
    return result;
  }
  // select(index < end of piece 0, piece 0, select(index < end of piece 1, ...)), built from behind.
  for (const Piece &piece : llvm::reverse(ArrayRef(pieces).drop_back()))
    result = arith::SelectOp::create(builder, loc, piece.before, piece.element, result);
  return result;
}
