#include "compiler/kernels/emit/KeyedRows.h"

using namespace mlir;

namespace fovea::kernels {

static bool isF32(Value memref) { return cast<MemRefType>(memref.getType()).getElementType().isF32(); }

bool KeyedRows::needsCopy(Value memref) { return !isF32(memref) || !hasUnitColumns(memref); }

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

Value KeyedRows::view(const KeyRange &keys, Value copy, Value columns) const {
  constexpr int64_t dynamic = ShapedType::kDynamic;
  auto layout = StridedLayoutAttr::get(code.b.getContext(), dynamic, {dynamic, 1});
  auto type = MemRefType::get({dynamic, dynamic}, code.b.getF32Type(), layout);
  auto inPlace = [&](Value first) -> Value {
    Matrix m = matrixAt(code, memref, batch, /*assumeUnit=*/true);
    SmallVector<OpFoldResult> offsets{first, code.b.getIndexAttr(0)}, sizes{keys.count, columns},
        strides(2, code.b.getIndexAttr(1));
    return memref::SubViewOp::create(code.b, code.loc, m.memref, offsets, sizes, strides);
  };
  auto copied = [&]() -> Value {
    copyRows(keys, copy, columns);
    return memref::CastOp::create(code.b, code.loc, type, copy);
  };
  if (!copy)
    return inPlace(keys.begin);
  if (!isF32(memref))
    return copied();
  Value asItLies = code.equal(lastStride(code, memref), code.index(1)), first = keys.begin;
  if (rows) {
    first = row(keys.begin);
    asItLies = code.logicalAnd(asItLies, areNeighbours(keys, first));
  }
  return code.choose(
      asItLies, type, [&] { return Code::Values{inPlace(first)}; }, [&] { return Code::Values{copied()}; })[0];
}

void KeyedRows::copyRows(const KeyRange &keys, Value copy, Value columns) const {
  Matrix m = matrixAt(code, memref, batch);
  Value zero = code.index(0), whole = zero, adjacent;
  if (!isF32(memref) || rows) { // other f32 comes here only where columns are not adjacent
    adjacent = matrixAt(code, memref, batch, /*assumeUnit=*/true).memref;
    whole = code.select(code.equal(m.columnStride(), code.index(1)),
                        code.sub(columns, code.rem(columns, code.index(code.lanes))), zero);
  }
  code.loop(zero, keys.count, 1, [&](Value j) {
    Value its = row(code.add(keys.begin, j));
    if (adjacent)
      code.loop(zero, whole, code.lanes,
                [&](Value c) { code.storeVector(code.loadVector(adjacent, {its, c}), copy, {j, c}); });
    code.loop(whole, columns, 1, [&](Value c) { code.store(code.load(m.memref, {its, c}), copy, {j, c}); });
  });
}

} // namespace fovea::kernels
