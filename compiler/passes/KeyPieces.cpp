// One tensor over all keys of what is given for pieces of them. See the header.
#include "compiler/passes/KeyPieces.h"

using namespace mlir;
using namespace fovea;

static bool isTruth(Value value) { return typeOf(value).getElementType().isInteger(1); }

KeyPieces::KeyPieces(OpBuilder &builder, Location loc, ArrayRef<DimExpr> sizes, IndexBounds &bounds)
    : builder(builder), loc(loc), sizes(sizes), total(0), bounds(bounds) {
  for (DimExpr size : sizes) {
    begins.push_back(total);
    total = total + size;
  }
}

Value KeyPieces::splat(graph::TensorType type, double value) {
  Type element = type.getElementType();
  TypedAttr number = isa<FloatType>(element) ? TypedAttr(FloatAttr::get(element, value))
                                             : TypedAttr(IntegerAttr::get(element, int64_t(value)));
  Value scalar = graph::ConstantOp::create(builder, loc, type.cloneWith(ArrayRef<DimExpr>()), number);
  return graph::BroadcastOp::create(builder, loc, type, scalar, ArrayRef<int64_t>());
}

Value KeyPieces::number(size_t piece, graph::TensorType type, int64_t axis, double value) {
  return splat(withDim(type, axis, sizes[piece]), value);
}

graph::TensorType KeyPieces::whole(graph::TensorType type, int64_t axis) { return withDim(type, axis, total); }

Value KeyPieces::joined(ArrayRef<Value> pieces, int64_t axis) {
  if (++steps <= 256) {
    if (Value result = joinedConstants(pieces, axis))
      return result;
    if (Value result = joinedChoices(pieces, axis))
      return result;
    if (Value result = joinedLayouts(pieces, axis))
      return result;
    if (llvm::all_of(pieces, [&](Value piece) { return mayExtend(piece, axis); }))
      return chosen(pieces, axis);
    if (Value result = joinedAlike(pieces, axis))
      return result;
  }
  return graph::ConcatOp::create(builder, loc, whole(typeOf(pieces.front()), axis), pieces, axis);
}

/// What is one number everywhere, or the same value for all keys.
Value KeyPieces::joinedConstants(ArrayRef<Value> pieces, int64_t axis) {
  std::optional<double> first = constantValue(pieces.front());
  if (first && llvm::all_of(pieces, [&](Value piece) { return constantValue(piece) == first; }))
    return splat(whole(typeOf(pieces.front()), axis), *first);
  auto broadcast = pieces.front().getDefiningOp<graph::BroadcastOp>();
  auto isSame = [&](Value piece) {
    auto other = piece.getDefiningOp<graph::BroadcastOp>();
    return other && other.getX() == broadcast.getX() && other.getAxes() == broadcast.getAxes();
  };
  if (!broadcast || llvm::is_contained(broadcast.getAxes(), axis) || !llvm::all_of(pieces, isSame))
    return Value();
  return graph::BroadcastOp::create(builder, loc, whole(broadcast.getType(), axis), broadcast.getX(),
                                    broadcast.getAxes());
}

/// where(c, 0, -inf) of one piece and 0 of another: one choice, so that what hides keys can be seen to.
Value KeyPieces::joinedChoices(ArrayRef<Value> pieces, int64_t axis) {
  auto found = llvm::find_if(pieces, [](Value piece) {
    auto select = piece.getDefiningOp<graph::SelectOp>();
    return select && constantValue(select.getLhs()) && constantValue(select.getRhs());
  });
  if (found == pieces.end())
    return Value();
  auto model = found->getDefiningOp<graph::SelectOp>();
  double yes = *constantValue(model.getLhs()), no = *constantValue(model.getRhs());
  SmallVector<Value> conditions;
  for (auto [number, piece] : llvm::enumerate(pieces)) {
    auto select = piece.getDefiningOp<graph::SelectOp>();
    if (std::optional<double> value = constantValue(piece); value && (*value == yes || *value == no))
      conditions.push_back(this->number(number, typeOf(model.getCondition()), axis, *value == yes));
    else if (select && constantValue(select.getLhs()) == yes && constantValue(select.getRhs()) == no)
      conditions.push_back(select.getCondition());
    else
      return Value();
  }
  graph::TensorType type = whole(typeOf(*found), axis);
  return graph::SelectOp::create(builder, model.getLoc(), type, joined(conditions, axis), splat(type, yes),
                                 splat(type, no));
}

/// Pieces that are the same function of others.
Value KeyPieces::joinedAlike(ArrayRef<Value> pieces, int64_t axis) {
  auto isOf = [](Value piece) { return piece.getDefiningOp() && !constantValue(piece); };
  auto found = llvm::find_if(pieces, isOf);
  Operation *model = found == pieces.end() ? nullptr : found->getDefiningOp();
  auto isLike = [&](Value piece) {
    Operation *op = piece.getDefiningOp();
    return op && isSameFunction(op, model);
  };
  // c and m of one piece, m of another: where there is no c it is true.
  if (auto conjunction = llvm::find_if(pieces, [](Value piece) { return bool(piece.getDefiningOp<graph::AndOp>()); });
      conjunction != pieces.end())
    model = conjunction->getDefiningOp();
  bool isElementwise = isa_and_nonnull<graph::ElementwiseOpInterface>(model);
  if (!isElementwise || (!isa<graph::AndOp>(model) && !llvm::all_of(pieces, isLike)))
    return Value();
  SmallVector<Value> operands;
  for (unsigned side = 0; side < model->getNumOperands(); ++side) {
    SmallVector<Value> theirs;
    for (auto [number, piece] : llvm::enumerate(pieces))
      theirs.push_back(isLike(piece) || isa_and_nonnull<graph::AndOp>(piece.getDefiningOp())
                           ? piece.getDefiningOp()->getOperand(side)
                       : side == 0 ? piece
                                   : this->number(number, typeOf(piece), axis, 1));
    operands.push_back(joined(theirs, axis));
  }
  return withOperands(builder, model, operands, whole(typeOf(model->getResult(0)), axis));
}

std::optional<int64_t> fovea::axisOfOperand(Operation *layout, int64_t axis) {
  if (auto transpose = dyn_cast<graph::TransposeOp>(layout))
    return transpose.getPermutation()[axis];
  if (auto broadcast = dyn_cast<graph::BroadcastOp>(layout)) {
    auto found = llvm::find(broadcast.getAxes(), axis);
    return found == broadcast.getAxes().end() ? std::nullopt
                                              : std::optional<int64_t>(found - broadcast.getAxes().begin());
  }
  // A reshape that leaves alone the axis and all behind it.
  ArrayRef<DimExpr> from = typeOf(layout->getOperand(0)).getDims(), to = typeOf(layout->getResult(0)).getDims();
  size_t behind = to.size() - axis;
  if (from.size() < behind || from.take_back(behind) != to.take_back(behind))
    return std::nullopt;
  return from.size() - behind;
}

/// Pieces that are the same layout of others, or constants.
Value KeyPieces::joinedLayouts(ArrayRef<Value> pieces, int64_t axis) {
  auto found = llvm::find_if(pieces, [](Value piece) { return !constantValue(piece); });
  Operation *model = found == pieces.end() ? nullptr : found->getDefiningOp();
  auto isLike = [&](Value piece) {
    Operation *op = piece.getDefiningOp();
    return constantValue(piece) || (op && isSameFunction(op, model));
  };
  if (!isLayout(model) || !llvm::all_of(pieces, isLike))
    return Value();
  graph::TensorType type = typeOf(model->getOperand(0));
  std::optional<int64_t> inner = axisOfOperand(model, axis);
  if (!inner)
    return Value();
  SmallVector<Value> operands;
  for (auto [number, piece] : llvm::enumerate(pieces)) {
    std::optional<double> value = constantValue(piece);
    if (!value && axisOfOperand(piece.getDefiningOp(), axis) != inner)
      return Value();
    operands.push_back(value ? this->number(number, type, *inner, *value) : piece.getDefiningOp()->getOperand(0));
    if (withDim(typeOf(operands.back()), *inner, DimExpr(0)) != withDim(type, *inner, DimExpr(0)))
      return Value();
  }
  return withOperands(builder, model, joined(operands, *inner), whole(typeOf(model->getResult(0)), axis));
}

//===-- Chosen by the index of the key ----------------------------------------------------------------------------===//

/// Whether the key's index is so.
Value KeyPieces::compared(graph::TensorType type, int64_t axis, StringRef predicate, DimExpr bound) {
  graph::TensorType places = whole(type, axis).cloneWith(builder.getI64Type());
  graph::TensorType scalar = places.cloneWith(ArrayRef<DimExpr>());
  Value iota = graph::IotaOp::create(builder, loc, places.cloneWith(ArrayRef(total)));
  Value place = graph::BroadcastOp::create(builder, loc, places, iota, ArrayRef(axis));
  Value size = graph::DimOp::create(builder, loc, scalar, graph::DimAttr::get(builder.getContext(), bound));
  size = graph::BroadcastOp::create(builder, loc, places, size, ArrayRef<int64_t>());
  return graph::CompareOp::create(builder, loc, places.cloneWith(builder.getI1Type()), predicate, place, size);
}

Value KeyPieces::chosen(ArrayRef<Value> pieces, int64_t axis) {
  if (isTruth(pieces.front()))
    return chosenTruth(pieces, axis);
  graph::TensorType type = whole(typeOf(pieces.front()), axis);
  Value result = extended(pieces.back(), axis, pieces.size() - 1);
  for (size_t piece = pieces.size() - 1; piece-- > 0;)
    result = graph::SelectOp::create(builder, loc, type, compared(type, axis, "lt", begins[piece + 1]),
                                     extended(pieces[piece], axis, piece), result);
  return result;
}

/// As a disjunction, whose parts can be decided for tiles of keys. A side on which all other pieces are true is open.
Value KeyPieces::chosenTruth(ArrayRef<Value> pieces, int64_t axis) {
  graph::TensorType type = whole(typeOf(pieces.front()), axis);
  auto isTrue = [](Value piece) { return constantValue(piece) == 1; };
  Value result;
  for (auto [piece, value] : llvm::enumerate(pieces)) {
    if (constantValue(value) == 0)
      continue;
    bool isBounded = isTrue(value);
    Value seen = isBounded ? Value() : extended(value, axis, piece);
    auto both = [&](Value other) {
      seen = seen ? graph::AndOp::create(builder, value.getLoc(), type, seen, other).getResult() : other;
    };
    if (piece > 0 && (isBounded || !llvm::all_of(pieces.take_front(piece), isTrue)))
      both(compared(type, axis, "ge", begins[piece]));
    if (piece + 1 < pieces.size() && (isBounded || !llvm::all_of(pieces.drop_front(piece + 1), isTrue)))
      both(compared(type, axis, "lt", begins[piece + 1]));
    result = result ? graph::OrOp::create(builder, value.getLoc(), type, result, seen).getResult() : seen;
  }
  return result;
}

/// Whether the elements of a piece follow from indices and from values that do not have the axis, so that there may be
/// more of them. A gather must stay inside its table.
bool KeyPieces::mayExtend(Value value, int64_t axis, unsigned depth) {
  std::pair<const void *, int64_t> key{value.getAsOpaquePointer(), axis};
  if (auto found = decided.find(key); found != decided.end())
    return found->second;
  return decided[key] = decideExtension(value, axis, depth);
}

bool KeyPieces::decideExtension(Value value, int64_t axis, unsigned depth) {
  Operation *op = value.getDefiningOp();
  if (!op || depth > 16)
    return false;
  if (constantValue(value) || isa<graph::IotaOp>(op))
    return true;
  if (isLayout(op)) {
    if (isa<graph::BroadcastOp>(op) && !axisOfOperand(op, axis))
      return true;
    std::optional<int64_t> inner = axisOfOperand(op, axis);
    return inner && mayExtend(op->getOperand(0), *inner, depth + 1);
  }
  if (auto gather = dyn_cast<graph::GatherOp>(op)) {
    int64_t first = gather.getAxes().front(), rank = typeOf(gather.getIndices().front()).getRank();
    auto isInside = [&](auto index) {
      auto [indices, of] = index;
      std::optional<int64_t> size = typeOf(gather.getX()).getDim(of).value();
      return size && *size > 0 && bounds.isWithin(indices, *size) && mayExtend(indices, axis - first, depth + 1);
    };
    return axis >= first && axis < first + rank &&
           llvm::all_of(llvm::zip(gather.getIndices(), gather.getAxes()), isInside);
  }
  return isa<graph::ElementwiseOpInterface>(op) &&
         llvm::all_of(op->getOperands(), [&](Value operand) { return mayExtend(operand, axis, depth + 1); });
}

/// A piece that may be as if it ran over all keys: its elements where it stands, and any others elsewhere.
Value KeyPieces::extended(Value value, int64_t axis, size_t piece) {
  Value &result = known[{value.getAsOpaquePointer(), axis, piece}];
  if (result)
    return result;
  Operation *op = value.getDefiningOp(); // or null
  graph::TensorType type = whole(typeOf(value), axis);
  if (std::optional<double> number = constantValue(value))
    return result = splat(type, *number);
  if (isa_and_nonnull<graph::IotaOp>(op)) {
    Value iota = graph::IotaOp::create(builder, value.getLoc(), type);
    if (begins[piece] == DimExpr(0))
      return result = iota;
    graph::TensorType scalar = type.cloneWith(ArrayRef<DimExpr>());
    Value begin = graph::DimOp::create(builder, loc, scalar, graph::DimAttr::get(builder.getContext(), begins[piece]));
    begin = graph::BroadcastOp::create(builder, loc, type, begin, ArrayRef<int64_t>());
    return result = graph::SubOp::create(builder, value.getLoc(), type, iota, begin);
  }
  if (auto gather = dyn_cast<graph::GatherOp>(op))
    return result = extendedGather(gather, axis, piece);
  SmallVector<Value> operands = llvm::to_vector(op->getOperands());
  std::optional<int64_t> inner = isLayout(op) ? axisOfOperand(op, axis) : axis;
  for (Value &operand : operands)
    if (inner)
      operand = extended(operand, *inner, piece);
  return result = withOperands(builder, op, operands, type);
}

/// Places beyond the piece are moved into the table: those of the piece are in it.
Value KeyPieces::extendedGather(graph::GatherOp op, int64_t axis, size_t piece) {
  SmallVector<Value> indices;
  for (auto [of, dim] : llvm::zip(op.getIndices(), op.getAxes())) {
    Value place = extended(of, axis - op.getAxes().front(), piece);
    graph::TensorType type = typeOf(place);
    place = graph::MaxOp::create(builder, of.getLoc(), type, place, splat(type, 0));
    double last = *typeOf(op.getX()).getDim(dim).value() - 1;
    indices.push_back(graph::MinOp::create(builder, of.getLoc(), type, place, splat(type, last)));
  }
  return graph::GatherOp::create(builder, op.getLoc(), whole(op.getType(), axis), op.getX(), indices, op.getAxes());
}
