#include "compiler/kernels/emit/KeyedRows.h"

using namespace mlir;

namespace fovea::kernels {

static Type elementOf(Value memref) { return cast<MemRefType>(memref.getType()).getElementType(); }

KeyedRows::KeyedRows(Code &code, ValueRange pieces, Value rows, ValueRange batch, InPlace inPlace)
    : code(code), pieces(pieces), rows(rows), batch(batch), inPlace(inPlace) {
  begins.push_back(code.index(0));
  for (Value piece : pieces.drop_back()) {
    Value counted = begins.size() == 1 && rows ? rows : piece;
    begins.push_back(code.add(begins.back(), code.dim(counted, batch.size())));
  }
}

bool KeyedRows::needsCopy(ValueRange pieces) {
  return pieces.size() > 1 || !elementOf(pieces.front()).isF32() || !hasUnitColumns(pieces.front());
}

bool KeyedRows::mayLieApart(ValueRange pieces) {
  return llvm::any_of(pieces, [](Value piece) {
    auto type = cast<MemRefType>(piece.getType());
    SmallVector<int64_t> strides;
    int64_t offset, columns = type.getShape().back();
    return failed(type.getStridesAndOffset(strides, offset)) || ShapedType::isDynamic(columns) ||
           strides[type.getRank() - 2] != columns;
  });
}

Type KeyedRows::element(ValueRange pieces) {
  Type first = elementOf(pieces.front());
  bool areAlike = llvm::all_of(pieces, [&](Value piece) { return elementOf(piece) == first; });
  return areAlike ? first : Float32Type::get(first.getContext());
}

Value KeyedRows::row(Value key) const {
  if (!rows)
    return key;
  Code::Values at(batch);
  at.push_back(key);
  return arith::IndexCastOp::create(code.b, code.loc, code.b.getIndexType(), code.load(rows, at));
}

Value KeyedRows::areNeighbours(const KeyRange &keys, Value first) const {
  return code.carry(code.index(0), keys.count, 1, code.boolean(true), [&](Value j, ValueRange sofar) {
    Value its = row(code.add(keys.begin, j));
    return Code::Values{code.logicalAnd(sofar[0], code.equal(its, code.add(first, j)))};
  })[0];
}

MemRefType KeyedRows::viewOf(Type element) const {
  constexpr int64_t dynamic = ShapedType::kDynamic;
  auto layout = StridedLayoutAttr::get(code.b.getContext(), dynamic, {dynamic, 1});
  return MemRefType::get({dynamic, dynamic}, element, layout);
}

Value KeyedRows::subview(Value piece, Value row, Value count, Value columns) const {
  Matrix m = matrixAt(code, piece, batch, /*assumeUnit=*/true);
  SmallVector<OpFoldResult> offsets{row, code.b.getIndexAttr(0)}, sizes{count, columns},
      strides(2, code.b.getIndexAttr(1));
  return memref::SubViewOp::create(code.b, code.loc, m.memref, offsets, sizes, strides);
}

Value KeyedRows::view(const KeyRange &keys, Value copy, Value columns) const {
  return copy ? viewFrom(0, keys, copy, columns) : subview(pieces.front(), keys.begin, keys.count, columns);
}

/// Where the keys lie in a piece from that number on, or a copy.
Value KeyedRows::viewFrom(size_t number, const KeyRange &keys, Value copy, Value columns) const {
  MemRefType type = viewOf(elementOf(copy));
  if (number == pieces.size()) {
    copyRows(keys, copy, columns);
    return memref::CastOp::create(code.b, code.loc, type, copy);
  }
  Value piece = pieces[number];
  if (elementOf(piece) != elementOf(copy))
    return viewFrom(number + 1, keys, copy, columns);
  Value lies = code.equal(lastStride(code, piece), code.index(1)), first = code.sub(keys.begin, begins[number]);
  if (inPlace == InPlace::Adjacent)
    lies = code.logicalAnd(lies, code.equal(matrixAt(code, piece, batch).rowStride(), columns));
  if (number > 0)
    lies = code.logicalAnd(lies, code.compare(arith::CmpIPredicate::sle, begins[number], keys.begin));
  if (number + 1 < pieces.size()) {
    Value end = code.add(keys.begin, keys.count);
    lies = code.logicalAnd(lies, code.compare(arith::CmpIPredicate::sle, end, begins[number + 1]));
  }
  if (number == 0 && rows) { // which are looked up only where they are there
    Type index = first.getType();
    Code::Values found = code.choose(
        lies, {lies.getType(), index},
        [&] {
          Value its = row(keys.begin);
          return Code::Values{areNeighbours(keys, its), its};
        },
        [&] { return Code::Values{code.boolean(false), code.index(0)}; });
    lies = found[0], first = found[1];
  }
  return code.choose(
      lies, type, [&] { return Code::Values{subview(piece, first, keys.count, columns)}; },
      [&] { return Code::Values{viewFrom(number + 1, keys, copy, columns)}; })[0];
}

Value KeyedRows::from(Value key, Value columns) const {
  Type common = elementOf(pieces.front());
  if (!llvm::all_of(pieces, [&](Value piece) { return hasUnitColumns(piece) && elementOf(piece) == common; }))
    return nullptr;
  auto rest = [&](size_t number) {
    Value piece = pieces[number], first = code.sub(key, begins[number]);
    Value count = code.sub(code.dim(piece, batch.size()), first);
    return subview(piece, first, count, columns);
  };
  Value found = rest(0);
  for (size_t number = 1; number < pieces.size(); ++number)
    found = code.choose(
        code.less(key, begins[number]), viewOf(common), [&] { return Code::Values{found}; },
        [&] { return Code::Values{rest(number)}; })[0];
  return found;
}

void KeyedRows::copyRows(const KeyRange &keys, Value copy, Value columns) const {
  Value zero = code.index(0);
  auto place = [&](size_t number) { // of the first key of that piece or of a later one, in the block
    if (number == 0 || number == pieces.size())
      return number == 0 ? zero : keys.count;
    return code.min(code.max(code.sub(begins[number], keys.begin), zero), keys.count);
  };
  for (size_t number = 0; number < pieces.size(); ++number)
    copyRows(number, keys, place(number), place(number + 1), copy, columns);
}

void KeyedRows::copyRows(size_t number, const KeyRange &keys, Value first, Value last, Value copy,
                         Value columns) const {
  Value piece = pieces[number], zero = code.index(0), whole = zero, adjacent;
  Matrix m = matrixAt(code, piece, batch);
  // Other f32 comes here only where columns are apart.
  if (!elementOf(piece).isF32() || rows || pieces.size() > 1 || inPlace == InPlace::Adjacent) {
    adjacent = matrixAt(code, piece, batch, /*assumeUnit=*/true).memref;
    whole = code.select(code.equal(m.columnStride(), code.index(1)),
                        code.sub(columns, code.rem(columns, code.index(code.lanes))), zero);
  }
  code.loop(first, last, 1, [&](Value j) {
    Value key = code.add(keys.begin, j), its = rows && number == 0 ? row(key) : code.sub(key, begins[number]);
    if (adjacent)
      code.loop(zero, whole, code.lanes,
                [&](Value c) { code.storeVector(code.loadVector(adjacent, {its, c}), copy, {j, c}); });
    code.loop(whole, columns, 1, [&](Value c) { code.store(code.load(m.memref, {its, c}), copy, {j, c}); });
  });
}

} // namespace fovea::kernels
