#include "compiler/kernels/emit/MicroKernel.h"

#include "fovea/abi.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"

#include <numeric>

using namespace mlir;

namespace fovea::kernels {

Code::Code(OpBuilder &builder, Location loc, const Target &target)
    : b(builder), loc(loc), target(target), lanes(target.vectorLength) {}

//===-- Indices ---------------------------------------------------------------------------------------------------===//

Value Code::index(int64_t value) { return arith::ConstantIndexOp::create(b, loc, value); }
Value Code::add(Value x, Value y) { return b.createOrFold<arith::AddIOp>(loc, x, y); }
Value Code::add(Value x, int64_t y) { return y == 0 ? x : add(x, index(y)); }
Value Code::sub(Value x, Value y) { return b.createOrFold<arith::SubIOp>(loc, x, y); }
Value Code::mul(Value x, Value y) { return b.createOrFold<arith::MulIOp>(loc, x, y); }
Value Code::mul(Value x, int64_t y) { return y == 1 ? x : mul(x, index(y)); }
Value Code::div(Value x, Value y) { return b.createOrFold<arith::DivUIOp>(loc, x, y); }
Value Code::rem(Value x, Value y) { return b.createOrFold<arith::RemUIOp>(loc, x, y); }
Value Code::ceilDiv(Value x, Value y) { return div(add(x, sub(y, index(1))), y); }
Value Code::min(Value x, Value y) { return b.createOrFold<arith::MinSIOp>(loc, x, y); }
Value Code::max(Value x, Value y) { return b.createOrFold<arith::MaxSIOp>(loc, x, y); }
Value Code::compare(arith::CmpIPredicate predicate, Value x, Value y) {
  return b.createOrFold<arith::CmpIOp>(loc, predicate, x, y);
}
Value Code::boolean(bool value) { return arith::ConstantOp::create(b, loc, b.getBoolAttr(value)); }
Value Code::logicalAnd(Value x, Value y) { return b.createOrFold<arith::AndIOp>(loc, x, y); }
Value Code::logicalOr(Value x, Value y) { return b.createOrFold<arith::OrIOp>(loc, x, y); }
Value Code::logicalNot(Value x) { return b.createOrFold<arith::XOrIOp>(loc, x, boolean(true)); }
Value Code::select(Value condition, Value x, Value y) { return b.createOrFold<arith::SelectOp>(loc, condition, x, y); }

//===-- Floats ----------------------------------------------------------------------------------------------------===//

Value Code::scalar(float value) { return arith::ConstantOp::create(b, loc, b.getF32FloatAttr(value)); }
Value Code::splat(float value) { return arith::ConstantOp::create(b, loc, DenseElementsAttr::get(vector(), value)); }
Value Code::splatInt(int32_t value) {
  return arith::ConstantOp::create(b, loc, DenseElementsAttr::get(vectorOf(b.getI32Type()), value));
}
Value Code::broadcast(Value scalar) { return vector::BroadcastOp::create(b, loc, vectorOf(scalar.getType()), scalar); }
Value Code::fma(Value x, Value y, Value accumulator) {
  if (target.fma)
    return math::FmaOp::create(b, loc, x, y, accumulator);
  return addF(mulF(x, y), accumulator);
}
Value Code::dot(Value x, Value y, Value accumulator) {
  auto type = cast<VectorType>(y.getType());
  const DotProduct &product = type.getElementType().isBF16() ? target.bf16 : target.i8;
  auto call = [&](ValueRange operands) {
    auto intrinsic = b.getStringAttr(product.intrinsic);
    return LLVM::CallIntrinsicOp::create(b, loc, accumulator.getType(), intrinsic, operands).getResult(0);
  };
  x = vector::BitCastOp::create(b, loc, type, x);
  if (type.getElementType().isBF16() || product.kBlock == 4)
    return call({accumulator, x, y});
  VectorType wide = type.clone(b.getI16Type());
  Value left = arith::ExtUIOp::create(b, loc, wide, x), right = arith::ExtSIOp::create(b, loc, wide, y);
  return arith::AddIOp::create(b, loc, call({left, right}), accumulator);
}
Value Code::addF(Value x, Value y) { return arith::AddFOp::create(b, loc, x, y); }
Value Code::subF(Value x, Value y) { return arith::SubFOp::create(b, loc, x, y); }
Value Code::mulF(Value x, Value y) { return arith::MulFOp::create(b, loc, x, y); }
Value Code::compareF(arith::CmpFPredicate predicate, Value x, Value y) {
  return arith::CmpFOp::create(b, loc, predicate, x, y);
}
Value Code::maxOrSecond(Value x, Value y) {
  return arith::SelectOp::create(b, loc, compareF(arith::CmpFPredicate::OGT, x, y), x, y);
}
Value Code::bitcast(Value x, Type type) { return arith::BitcastOp::create(b, loc, type, x); }
Value Code::laneMask(Value count, int64_t lanes) {
  SmallVector<int32_t> numbers(lanes);
  std::iota(numbers.begin(), numbers.end(), 0);
  auto type = VectorType::get({lanes}, b.getI32Type());
  Value clamped = max(min(count, index(lanes)), index(0));
  Value narrow = arith::IndexCastOp::create(b, loc, b.getI32Type(), clamped);
  Value lane = arith::ConstantOp::create(b, loc, DenseElementsAttr::get(type, ArrayRef(numbers)));
  Value limit = vector::BroadcastOp::create(b, loc, type, narrow);
  return arith::CmpIOp::create(b, loc, arith::CmpIPredicate::slt, lane, limit);
}

//===-- Memory ----------------------------------------------------------------------------------------------------===//

static Type elementOf(Value memref) { return cast<MemRefType>(memref.getType()).getElementType(); }

Value Code::load(Value memref, ValueRange indices) {
  Value x = memref::LoadOp::create(b, loc, memref, indices);
  return elementOf(memref).isF16() || elementOf(memref).isBF16() ? arith::ExtFOp::create(b, loc, b.getF32Type(), x) : x;
}
Value Code::loadVector(Value memref, ValueRange indices) {
  Type element = elementOf(memref);
  Value x = vector::LoadOp::create(b, loc, vectorOf(element), memref, indices);
  if (element.isInteger(8))
    return arith::SIToFPOp::create(b, loc, vector(), arith::ExtSIOp::create(b, loc, vectorOf(b.getI32Type()), x));
  return element.isF32() || element.isInteger(32) ? x : arith::ExtFOp::create(b, loc, vector(), x);
}
Value Code::loadElements(Value memref, ValueRange indices, int64_t count) {
  return vector::LoadOp::create(b, loc, VectorType::get({count}, elementOf(memref)), memref, indices);
}
Value Code::loadBits(Value memref, ValueRange indices, int64_t count) {
  Value x = loadElements(memref, indices, count);
  Type bits = b.getIntegerType(count * elementOf(memref).getIntOrFloatBitWidth());
  x = vector::BitCastOp::create(b, loc, VectorType::get({1}, bits), x);
  return vector::ExtractOp::create(b, loc, x, int64_t(0));
}
Value Code::loadMasked(Value memref, ValueRange indices, Value mask) {
  Type element = elementOf(memref);
  Value zero = arith::ConstantOp::create(b, loc, b.getZeroAttr(vectorOf(element)));
  Value x = vector::MaskedLoadOp::create(b, loc, vectorOf(element), memref, indices, mask, zero);
  return element.isF32() ? x : arith::ExtFOp::create(b, loc, vector(), x);
}
void Code::store(Value scalar, Value memref, ValueRange indices) {
  Type element = elementOf(memref);
  if (scalar.getType() != element)
    scalar = arith::TruncFOp::create(b, loc, element, scalar);
  memref::StoreOp::create(b, loc, scalar, memref, indices);
}
void Code::storeVector(Value vector, Value memref, ValueRange indices) {
  Type type = vectorOf(elementOf(memref));
  if (vector.getType() != type)
    vector = arith::TruncFOp::create(b, loc, type, vector);
  vector::StoreOp::create(b, loc, vector, memref, indices);
}
void Code::storeMasked(Value vector, Value memref, ValueRange indices, Value mask) {
  Type type = vectorOf(elementOf(memref));
  if (vector.getType() != type)
    vector = arith::TruncFOp::create(b, loc, type, vector);
  vector::MaskedStoreOp::create(b, loc, memref, indices, mask, vector);
}
Value Code::dim(Value memref, int64_t axis) { return b.createOrFold<memref::DimOp>(loc, memref, axis); }
void Code::fetch(Value memref, ValueRange indices, Level level) {
  memref::PrefetchOp::create(b, loc, memref, indices, /*isWrite=*/false, /*localityHint=*/level == Level::First ? 3 : 2,
                             /*isDataCache=*/true);
}
void Code::fetch(Value address, Value bytes, Level level) {
  auto wide = [&](Value index) -> Value { return arith::IndexCastOp::create(b, loc, b.getI64Type(), index); };
  auto type = LLVM::LLVMPointerType::get(b.getContext());
  Value begin = LLVM::IntToPtrOp::create(b, loc, type, wide(address));
  Value pointer = LLVM::GEPOp::create(b, loc, type, b.getI8Type(), begin, ValueRange{wide(bytes)});
  LLVM::Prefetch::create(b, loc, pointer, /*rw=*/0, /*hint=*/level == Level::First ? 3 : 2, /*cache=*/1);
}
Value Code::addressOf(Value memref, ValueRange indices) {
  Value begin = memref::ExtractAlignedPointerAsIndexOp::create(b, loc, memref);
  return add(begin, mul(elementOffset(*this, memref, indices), elementOf(memref).getIntOrFloatBitWidth() / 8));
}
void Code::keepOrder() { LLVM::FenceOp::create(b, loc, LLVM::AtomicOrdering::acq_rel, "singlethread"); }
Value Code::foresees(Value exec) {
  LLVM::GEPArg place(int32_t(offsetof(fovea_exec, foresees)));
  Value address = LLVM::GEPOp::create(b, loc, exec.getType(), b.getI8Type(), exec, place);
  Value told = LLVM::LoadOp::create(b, loc, b.getI32Type(), address);
  return compare(arith::CmpIPredicate::ne, told, arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(0)));
}
int64_t Code::perLine(Value memref) const { return target.lineBytes * 8 / elementOf(memref).getIntOrFloatBitWidth(); }

//===-- Control ---------------------------------------------------------------------------------------------------===//

void Code::loop(Value begin, Value end, Value step, llvm::function_ref<void(Value)> body) {
  auto loop = scf::ForOp::create(b, loc, begin, end, step);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  body(loop.getInductionVar());
}
Code::Values Code::carry(Value begin, Value end, Value step, ValueRange init,
                         llvm::function_ref<Values(Value, ValueRange)> body) {
  auto loop = scf::ForOp::create(b, loc, begin, end, step, init, [](OpBuilder &, Location, Value, ValueRange) {});
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToEnd(loop.getBody());
  Values results = body(loop.getInductionVar(), loop.getRegionIterArgs());
  scf::YieldOp::create(b, loc, results);
  return Values(loop.getResults());
}
void Code::branch(Value condition, llvm::function_ref<void()> then, llvm::function_ref<void()> otherwise) {
  auto branch = scf::IfOp::create(b, loc, condition, /*withElseRegion=*/bool(otherwise));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.thenBlock());
  then();
  if (otherwise) {
    b.setInsertionPointToStart(branch.elseBlock());
    otherwise();
  }
}
Code::Values Code::choose(Value condition, TypeRange types, llvm::function_ref<Values()> then,
                          llvm::function_ref<Values()> otherwise) {
  auto branch = scf::IfOp::create(b, loc, types, condition, /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.thenBlock());
  scf::YieldOp::create(b, loc, then());
  b.setInsertionPointToStart(branch.elseBlock());
  scf::YieldOp::create(b, loc, otherwise());
  return Values(branch.getResults());
}

//===-- Views -----------------------------------------------------------------------------------------------------===//

bool hasUnitColumns(Value memref) {
  SmallVector<int64_t> strides;
  int64_t offset;
  auto type = cast<MemRefType>(memref.getType());
  return succeeded(type.getStridesAndOffset(strides, offset)) && !strides.empty() && strides.back() == 1;
}

Value partFrom(Code &code, Value matrix, Value row, Value column) {
  SmallVector<OpFoldResult> offsets{row, column}, strides(2, code.b.getIndexAttr(1));
  SmallVector<OpFoldResult> sizes{code.sub(code.dim(matrix, 0), row), code.sub(code.dim(matrix, 1), column)};
  return memref::SubViewOp::create(code.b, code.loc, matrix, offsets, sizes, strides);
}

bool hasKnownRows(Value memref) {
  SmallVector<int64_t> strides;
  int64_t offset;
  auto type = cast<MemRefType>(memref.getType());
  return succeeded(type.getStridesAndOffset(strides, offset)) && !ShapedType::isDynamic(strides[type.getRank() - 2]);
}

Value lastStride(Code &code, Value memref) {
  if (hasUnitColumns(memref))
    return code.index(1);
  auto metadata = memref::ExtractStridedMetadataOp::create(code.b, code.loc, memref);
  return metadata.getStrides().back();
}

Value elementOffset(Code &code, Value memref, ValueRange indices) {
  auto metadata = memref::ExtractStridedMetadataOp::create(code.b, code.loc, memref);
  Value offset = metadata.getOffset();
  for (auto [i, stride] : llvm::zip(indices, metadata.getStrides()))
    offset = code.add(offset, code.mul(i, stride));
  return offset;
}

Matrix matrixAt(Code &code, Value memref, ValueRange batch, bool assumeUnit) {
  auto type = cast<MemRefType>(memref.getType());
  int64_t rank = type.getRank();
  assert(rank >= 2 && int64_t(batch.size()) == rank - 2);
  auto metadata = memref::ExtractStridedMetadataOp::create(code.b, code.loc, memref);
  Value offset = elementOffset(code, memref, batch);
  Matrix m;
  m.unitColumns = assumeUnit || hasUnitColumns(memref);
  m.strides[0] = metadata.getStrides()[rank - 2];
  m.strides[1] = m.unitColumns ? code.index(1) : metadata.getStrides()[rank - 1];
  int64_t any = ShapedType::kDynamic;
  auto layout = StridedLayoutAttr::get(code.b.getContext(), any, {any, m.unitColumns ? 1 : any});
  auto view = MemRefType::get({any, any}, type.getElementType(), layout);
  SmallVector<OpFoldResult> sizes{metadata.getSizes()[rank - 2], metadata.getSizes()[rank - 1]};
  SmallVector<OpFoldResult> strides{m.strides[0],
                                    m.unitColumns ? OpFoldResult(code.b.getIndexAttr(1)) : OpFoldResult(m.strides[1])};
  m.memref = memref::ReinterpretCastOp::create(code.b, code.loc, view, metadata.getBaseBuffer(), OpFoldResult(offset),
                                               sizes, strides);
  return m;
}

Value ScratchLayout::allocate(ArrayRef<int64_t> shape, ValueRange sizes, Type element) {
  if (!element)
    element = code.b.getF32Type();
  Value count = code.index(element.isIndex() ? 8 : element.getIntOrFloatBitWidth() / 8);
  auto dynamic = sizes.begin();
  for (int64_t n : shape)
    count = code.mul(count, ShapedType::isDynamic(n) ? *dynamic++ : code.index(n));
  Value memref;
  if (base)
    memref = memref::ViewOp::create(code.b, code.loc, MemRefType::get(shape, element), base, used, sizes);
  used = code.add(used, code.roundUp(count, 64));
  return memref;
}

//===-- Tiles -----------------------------------------------------------------------------------------------------===//

Code::Values multiplyAccumulate(Code &code, const TileLoop &tile, Value begin, Value end, ValueRange accumulators) {
  auto step = [&](Value k, Code::Values acc) {
    Code::Values rhs;
    for (int v = 0; v < tile.vectors - (tile.lastOfRow ? 1 : 0); ++v)
      rhs.push_back(tile.rhs(v, k));
    rhs.resize(tile.vectors);
    for (int r = 0; r < tile.rows; ++r) {
      Value x = code.broadcast(tile.lhs(r, k));
      if (tile.lastOfRow)
        rhs.back() = tile.lastOfRow(r, k);
      for (int v = 0; v < tile.vectors; ++v) {
        Value &sum = acc[r * tile.vectors + v];
        sum = tile.dots ? code.dot(x, rhs[v], sum) : code.fma(x, rhs[v], sum);
      }
    }
    return acc;
  };
  auto single = [&](Value k, ValueRange acc) { return step(k, Code::Values(acc)); };
  if (tile.unroll == 1)
    return code.carry(begin, end, 1, accumulators, [&](Value k, ValueRange acc) {
      if (tile.every)
        tile.every(k, 0);
      return single(k, acc);
    });
  Value whole = code.mul(code.div(code.sub(end, begin), code.index(tile.unroll)), tile.unroll);
  Value middle = code.add(begin, whole);
  Code::Values acc = code.carry(begin, middle, tile.unroll, accumulators, [&](Value k, ValueRange init) {
    Code::Values a(init);
    for (int t = 0; t < tile.unroll; ++t) {
      if (tile.every)
        tile.every(code.add(k, t), t);
      a = step(code.add(k, t), a);
    }
    return a;
  });
  return code.carry(middle, end, 1, acc, single);
}

/// Elements of 128 bits, within which one instruction with an immediate moves them as it likes.
static constexpr int64_t block = 4;

/// Pairs (x[i], x[i + distance]) exchange: element j of half h of the results comes from source(j, h), counted over
/// both.
static void exchange(Code &code, MutableArrayRef<Value> x, int64_t distance,
                     llvm::function_ref<int64_t(int64_t, int64_t)> source) {
  for (int64_t i = 0, n = x.size(); i < n; ++i) {
    if (i / distance % 2)
      continue;
    Value pair[] = {x[i], x[i + distance]};
    for (int64_t half : {0, 1}) {
      SmallVector<int64_t> order(cast<VectorType>(pair[0].getType()).getNumElements());
      for (int64_t j = 0, lanes = order.size(); j < lanes; ++j)
        order[j] = source(j, half);
      x[i + half * distance] = vector::ShuffleOp::create(code.b, code.loc, pair[0], pair[1], order);
    }
  }
}

/// Transposes 4 x 4 elements within each block of each four vectors.
static void transposeBlocks(Code &code, MutableArrayRef<Value> x) {
  int64_t n = code.lanes;
  // Elements, then pairs of elements; that leaves columns 1 and 2 in each other's place.
  exchange(code, x, 1, [&](int64_t j, int64_t h) { return j / block * block + 2 * h + j % block / 2 + j % 2 * n; });
  exchange(code, x, 2, [&](int64_t j, int64_t h) { return j / block * block + 2 * h + j % 2 + j % block / 2 * n; });
  for (size_t i = 0; i < x.size(); i += block)
    std::swap(x[i + 1], x[i + 2]);
}

/// Then the blocks of vectors that are `distance` apart: the even or odd ones of the first, those of the second.
static void exchangeBlocks(Code &code, MutableArrayRef<Value> x, int64_t distance) {
  int64_t n = code.lanes, half = n / block / 2;
  exchange(code, x, distance, [&](int64_t j, int64_t h) {
    int64_t at = j / block, from = at % half * 2 + h;
    return (at < half ? 0 : n) + from * block + j % block;
  });
}

Code::Values transpose(Code &code, ValueRange rows) {
  int64_t n = rows.size();
  Code::Values x(rows);
  transposeBlocks(code, x);
  for (int64_t distance = block; distance < n; distance *= 2)
    exchangeBlocks(code, x, distance);
  return x;
}

Code::Values loadEightColumns(Code &code, Value memref, Value row, Value column) {
  assert(code.lanes == 4 * block);
  SmallVector<int64_t> joined(code.lanes);
  std::iota(joined.begin(), joined.end(), 0);
  // A vector holds two rows, so that the second is one load into its place; which ones, so that the blocks come in
  // order.
  auto load = [&](int64_t from) { return code.loadElements(memref, {code.add(row, from), column}, 2 * block); };
  Code::Values x;
  for (int64_t first : {int64_t(0), 2 * block})
    for (int64_t i = first; i < first + block; ++i) {
      Value both = vector::ShuffleOp::create(code.b, code.loc, load(i), load(i + block), joined);
      bool isWide = elementOf(memref).isF32();
      x.push_back(isWide ? both : arith::ExtFOp::create(code.b, code.loc, code.vector(), both).getResult());
    }
  transposeBlocks(code, x);
  exchangeBlocks(code, x, block);
  return x;
}

Code::Values delinearize(Code &code, Value linear, ValueRange sizes) {
  Code::Values indices(sizes.size());
  for (size_t i = sizes.size(); i-- > 0;) {
    indices[i] = i == 0 ? linear : code.rem(linear, sizes[i]);
    if (i > 0)
      linear = code.div(linear, sizes[i]);
  }
  return indices;
}

} // namespace fovea::kernels
