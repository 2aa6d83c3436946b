#include "compiler/program/Descriptors.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;

namespace fovea::program {

static Value constantWord(OpBuilder &b, Location loc, int64_t value) {
  return b.create<LLVM::ConstantOp>(loc, b.getI64Type(), b.getI64IntegerAttr(value));
}

static Value toI64(OpBuilder &b, Location loc, Value index) {
  return b.create<arith::IndexCastOp>(loc, b.getI64Type(), index);
}

/// Strides and offset of a memref type; every type that reaches here has a strided layout.
static void layoutOf(MemRefType type, SmallVectorImpl<int64_t> &strides, int64_t &offset) {
  if (failed(type.getStridesAndOffset(strides, offset)))
    llvm_unreachable("kernel operands have strided layouts");
}

int64_t wordCount(Type type) {
  auto memref = dyn_cast<MemRefType>(type);
  if (!memref)
    return 1;
  SmallVector<int64_t> strides;
  int64_t offset;
  layoutOf(memref, strides, offset);
  int64_t words = 1 + ShapedType::isDynamic(offset);
  for (int64_t i = 0; i < memref.getRank(); ++i)
    words += memref.isDynamicDim(i) + ShapedType::isDynamic(strides[i]);
  return words;
}

SmallVector<Value> toWords(OpBuilder &b, Location loc, Value value) {
  auto memref = dyn_cast<MemRefType>(value.getType());
  if (!memref) {
    Type type = value.getType();
    if (type.isIndex())
      return {toI64(b, loc, value)};
    if (isa<FloatType>(type))
      value = b.create<arith::BitcastOp>(loc, b.getIntegerType(type.getIntOrFloatBitWidth()), value);
    if (value.getType().getIntOrFloatBitWidth() < 64)
      value = b.create<arith::ExtUIOp>(loc, b.getI64Type(), value);
    return {value};
  }
  SmallVector<int64_t> strides;
  int64_t offset;
  layoutOf(memref, strides, offset);
  auto metadata = b.create<memref::ExtractStridedMetadataOp>(loc, value);
  Value address = b.create<memref::ExtractAlignedPointerAsIndexOp>(loc, metadata.getBaseBuffer());
  SmallVector<Value> words = {toI64(b, loc, address)};
  if (ShapedType::isDynamic(offset))
    words.push_back(toI64(b, loc, metadata.getOffset()));
  for (int64_t i = 0; i < memref.getRank(); ++i) {
    if (memref.isDynamicDim(i))
      words.push_back(toI64(b, loc, metadata.getSizes()[i]));
    if (ShapedType::isDynamic(strides[i]))
      words.push_back(toI64(b, loc, metadata.getStrides()[i]));
  }
  return words;
}

/// Fills the LLVM struct that a memref becomes: allocated and aligned pointer, offset, sizes, strides.
static Value buildDescriptor(OpBuilder &b, Location loc, MemRefType type, Value pointer, Value offset,
                             ArrayRef<Value> sizes, ArrayRef<Value> strides) {
  Type word = b.getI64Type(), ptr = LLVM::LLVMPointerType::get(b.getContext());
  int64_t rank = type.getRank();
  SmallVector<Type> fields = {ptr, ptr, word};
  if (rank) {
    Type array = LLVM::LLVMArrayType::get(word, rank);
    fields.append({array, array});
  }
  auto structType = LLVM::LLVMStructType::getLiteral(b.getContext(), fields);
  Value d = b.create<LLVM::PoisonOp>(loc, structType);
  auto insert = [&](Value value, ArrayRef<int64_t> position) {
    d = b.create<LLVM::InsertValueOp>(loc, d, value, position);
  };
  insert(pointer, {0});
  insert(pointer, {1});
  insert(offset, {2});
  for (int64_t i = 0; i < rank; ++i) {
    insert(sizes[i], {3, i});
    insert(strides[i], {4, i});
  }
  return b.create<UnrealizedConversionCastOp>(loc, type, d).getResult(0);
}

Value fromWords(OpBuilder &b, Location loc, Type type, const std::function<Value()> &next) {
  auto memref = dyn_cast<MemRefType>(type);
  if (!memref) {
    Value word = next();
    if (type.isIndex())
      return b.create<arith::IndexCastOp>(loc, type, word);
    unsigned width = type.getIntOrFloatBitWidth();
    if (width < 64)
      word = b.create<arith::TruncIOp>(loc, b.getIntegerType(width), word);
    return isa<FloatType>(type) ? b.create<arith::BitcastOp>(loc, type, word).getResult() : word;
  }
  SmallVector<int64_t> strideValues;
  int64_t offsetValue;
  layoutOf(memref, strideValues, offsetValue);
  auto known = [&](int64_t value) { return ShapedType::isDynamic(value) ? next() : constantWord(b, loc, value); };
  Value pointer = b.create<LLVM::IntToPtrOp>(loc, LLVM::LLVMPointerType::get(b.getContext()), next());
  Value offset = known(offsetValue);
  SmallVector<Value> sizes, strides;
  for (int64_t i = 0; i < memref.getRank(); ++i) {
    sizes.push_back(known(memref.getDimSize(i)));
    strides.push_back(known(strideValues[i]));
  }
  return buildDescriptor(b, loc, memref, pointer, offset, sizes, strides);
}

Value contiguousMemref(OpBuilder &b, Location loc, MemRefType type, Value pointer, ValueRange dims) {
  SmallVector<Value> sizes, strides(type.getRank());
  for (Value dim : dims)
    sizes.push_back(toI64(b, loc, dim));
  Value stride = constantWord(b, loc, 1);
  for (int64_t i = type.getRank(); i-- > 0;) {
    strides[i] = stride;
    if (i)
      stride = b.create<LLVM::MulOp>(loc, stride, sizes[i]);
  }
  return buildDescriptor(b, loc, type, pointer, constantWord(b, loc, 0), sizes, strides);
}

} // namespace fovea::program
