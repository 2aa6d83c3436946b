// Loads and stores of the SPMD vectoriser.
#include "compiler/kernels/emit/Elementwise.h"
#include "compiler/kernels/emit/Vectorize.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace fovea::kernels;
namespace kernel = fovea::kernel;

static Value both(OpBuilder &builder, Location loc, Value x, Value y) {
  if (!x || !y)
    return x ? x : y;
  return arith::AndIOp::create(builder, loc, x, y);
}

/// `body` where `condition` holds (null: always), zero otherwise.
static Value emitWhen(OpBuilder &builder, Location loc, Value condition, Type type, llvm::function_ref<Value()> body) {
  if (!condition)
    return body();
  Value zero = arith::ConstantOp::create(builder, loc, builder.getZeroAttr(type));
  auto branch = scf::IfOp::create(builder, loc, type, condition, /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(branch.thenBlock());
  scf::YieldOp::create(builder, loc, body());
  builder.setInsertionPointToStart(branch.elseBlock());
  scf::YieldOp::create(builder, loc, zero);
  return branch.getResult(0);
}

static void emitWhen(OpBuilder &builder, Location loc, Value condition, llvm::function_ref<void()> body) {
  if (!condition)
    return body();
  auto branch = scf::IfOp::create(builder, loc, condition, /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(branch.thenBlock());
  body();
}

//===-- Addresses -------------------------------------------------------------------------------------------------===//

void PointVectorizer::restrict(Access &access, LaneValue condition) {
  Value &where = condition.isUniform() ? access.when : access.lanesWhen;
  where = both(builder, loc, where, condition.value);
}

/// `value` as it lies in memory: bools as 0 or 1. A scalar or a vector.
static Value emitStored(OpBuilder &builder, Location loc, Value value, Type stored) {
  if (getElementTypeOrSelf(value) == stored)
    return value;
  return arith::ExtUIOp::create(builder, loc, withElement(value.getType(), stored), value);
}

/// The inverse; any value but 0 is true.
static Value emitLoaded(OpBuilder &builder, Location loc, Value value, Type element) {
  if (getElementTypeOrSelf(value) == element)
    return value;
  return arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::ne, value,
                               emitSplat(builder, loc, value.getType(), 0));
}

static Type storedElement(Value memref) { return cast<MemRefType>(memref.getType()).getElementType(); }

PointVectorizer::Access PointVectorizer::accessAt(Value memref, ArrayRef<LaneValue> indices) {
  Access access{memref, SmallVector<LaneValue>(indices), {}, {}, 0};
  SmallVector<int64_t> strides;
  int64_t offset;
  if (failed(cast<MemRefType>(memref.getType()).getStridesAndOffset(strides, offset)))
    strides.assign(indices.size(), ShapedType::kDynamic);
  for (auto [lane, stride] : llvm::zip(indices, strides)) {
    if (lane.kind == LaneValue::Kind::varying || (!lane.isUniform() && stride == ShapedType::kDynamic))
      access.laneStride = std::nullopt;
    else if (!lane.isUniform() && access.laneStride)
      *access.laneStride += lane.stride * stride;
  }
  return access;
}

PointVectorizer::Access PointVectorizer::analyse(Value memref, ValueRange indices, Value condition) {
  Access access =
      accessAt(outer.lookupOrDefault(memref), llvm::map_to_vector(indices, [&](Value x) { return lookup(x); }));
  for (Value index : indices) {
    if (auto checked = inRange.find(index); checked != inRange.end())
      restrict(access, checked->second);
  }
  if (condition)
    restrict(access, lookup(condition));
  return access;
}

/// The indices of lane 0; valid where no index is varying.
SmallVector<Value> PointVectorizer::laneZero(const Access &access) {
  return llvm::map_to_vector(access.indices, [](const LaneValue &index) { return index.value; });
}

/// All elements of `memref` behind its first one as a vector of unit stride, and the strides as values.
Value PointVectorizer::flatView(Value memref, SmallVectorImpl<Value> &strides) {
  auto type = cast<MemRefType>(memref.getType());
  auto metadata = memref::ExtractStridedMetadataOp::create(builder, loc, memref);
  SmallVector<int64_t> constants;
  int64_t offset;
  if (failed(type.getStridesAndOffset(constants, offset)))
    constants.assign(type.getRank(), ShapedType::kDynamic);
  for (auto [constant, value] : llvm::zip(constants, metadata.getStrides()))
    strides.push_back(constant == ShapedType::kDynamic
                          ? Value(value)
                          : Value(arith::ConstantOp::create(builder, loc, builder.getIndexAttr(constant))));
  auto layout = StridedLayoutAttr::get(builder.getContext(), ShapedType::kDynamic, {1});
  auto flat = MemRefType::get({ShapedType::kDynamic}, type.getElementType(), layout, type.getMemorySpace());
  // Sizes of views are not looked at by loads and stores.
  Value size = arith::ConstantOp::create(builder, loc, builder.getIndexAttr(1));
  SmallVector<OpFoldResult> offsets = {metadata.getOffset()}, sizes = {size}, steps = {builder.getIndexAttr(1)};
  return memref::ReinterpretCastOp::create(builder, loc, flat, metadata.getBaseBuffer(), offsets[0], sizes, steps);
}

/// Element offsets in the flat view: a scalar part and, where the lanes differ, a vector part.
std::pair<Value, Value> PointVectorizer::laneOffsets(const Access &access, ArrayRef<Value> strides) {
  Value scalar = arith::ConstantOp::create(builder, loc, builder.getIndexAttr(0)), vector;
  auto addVector = [&](Value term) {
    vector = vector ? Value(arith::AddIOp::create(builder, loc, vector, term)) : term;
  };
  for (auto [index, stride] : llvm::zip(access.indices, strides)) {
    if (index.kind == LaneValue::Kind::varying) {
      Value step = vector::BroadcastOp::create(builder, loc, index.value.getType(), stride);
      addVector(arith::MulIOp::create(builder, loc, index.value, step));
      continue;
    }
    Value term = arith::MulIOp::create(builder, loc, index.value, stride);
    scalar = arith::AddIOp::create(builder, loc, scalar, term);
    if (index.stride == 0)
      continue;
    Value zero = arith::ConstantOp::create(builder, loc, builder.getIndexAttr(0));
    Value numbers = materialize(LaneValue::linear(zero, index.stride));
    Value step = vector::BroadcastOp::create(builder, loc, numbers.getType(), stride);
    addVector(arith::MulIOp::create(builder, loc, numbers, step));
  }
  if (!vector)
    vector = emitSplat(builder, loc, vectorOf(builder.getIndexType()), 0);
  return {scalar, vector};
}

/// Where a contiguous access starts: a memref of unit stride and the indices of lane 0.
std::pair<Value, SmallVector<Value>> PointVectorizer::contiguousBase(const Access &access) {
  if (cast<MemRefType>(access.memref.getType()).isLastDimUnitStride())
    return {access.memref, laneZero(access)};
  SmallVector<Value> strides;
  Value flat = flatView(access.memref, strides);
  return {flat, {laneOffsets({access.memref, access.indices, {}, {}, {}}, strides).first}};
}

Value PointVectorizer::activeLanes(const Access &access) { return both(builder, loc, mask, access.lanesWhen); }

//===-- Loads -----------------------------------------------------------------------------------------------------===//

LaneValue PointVectorizer::emitLoad(const Access &access) {
  Type element = storedElement(access.memref);
  if (access.laneStride == 0)
    return emitUniformLoad(access, element);
  if (access.laneStride == 1)
    return LaneValue::varying(emitContiguousLoad(access, element));
  if (access.laneStride == 2 && !activeLanes(access))
    return LaneValue::varying(emitPairLoad(access, element));
  return LaneValue::varying(emitGather(access, element));
}

LaneValue PointVectorizer::load(Value memref, ArrayRef<LaneValue> indices) {
  return emitLoad(accessAt(memref, indices));
}

LogicalResult PointVectorizer::emitLoad(kernel::LoadOp op) {
  LaneValue result = emitLoad(analyse(op.getSource(), op.getIndices(), op.getMask()));
  result.value = emitLoaded(builder, loc, result.value, op.getResult().getType());
  known[op.getResult()] = result;
  return success();
}

/// One element for all lanes. Where lanes differ in whether they read, it is read if any does.
LaneValue PointVectorizer::emitUniformLoad(const Access &access, Type element) {
  Value when = access.when;
  if (access.lanesWhen) {
    Value any = vector::ReductionOp::create(builder, loc, vector::CombiningKind::OR, activeLanes(access));
    when = both(builder, loc, when, any);
  }
  Value loaded = emitWhen(builder, loc, when, element, [&]() -> Value {
    return memref::LoadOp::create(builder, loc, access.memref, laneZero(access));
  });
  if (!access.lanesWhen)
    return LaneValue::uniform(loaded);
  Value splat = materialize(LaneValue::uniform(loaded));
  Value zero = arith::ConstantOp::create(builder, loc, builder.getZeroAttr(splat.getType()));
  return LaneValue::varying(arith::SelectOp::create(builder, loc, access.lanesWhen, splat, zero));
}

Value PointVectorizer::emitContiguousLoad(const Access &access, Type element) {
  VectorType type = vectorOf(element);
  Value active = activeLanes(access);
  auto load = [&](Value lanesRead) -> Value {
    auto [base, indices] = contiguousBase(access);
    if (!lanesRead)
      return vector::LoadOp::create(builder, loc, type, base, indices);
    Value zero = arith::ConstantOp::create(builder, loc, builder.getZeroAttr(type));
    return vector::MaskedLoadOp::create(builder, loc, type, base, indices, lanesRead, zero);
  };
  return emitWhen(builder, loc, access.when, type, [&]() -> Value {
    if (!access.lanesWhen || !branches)
      return load(active);
    auto reduce = [&](vector::CombiningKind kind, Value x) {
      return vector::ReductionOp::create(builder, loc, kind, x).getResult();
    };
    Value all = reduce(vector::CombiningKind::AND, access.lanesWhen), any = reduce(vector::CombiningKind::OR, active);
    auto branch = scf::IfOp::create(builder, loc, type, all, /*withElseRegion=*/true);
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(branch.thenBlock());
    scf::YieldOp::create(builder, loc, load(mask));
    builder.setInsertionPointToStart(branch.elseBlock());
    scf::YieldOp::create(builder, loc, emitWhen(builder, loc, any, type, [&] { return load(active); }));
    return branch.getResult(0);
  });
}

/// Every other element: two loads and a shuffle, where a gather would take a load for each lane. From the first lane's
/// element to the last lane's there are 2 n - 1, so the second load begins with the last element of the first.
Value PointVectorizer::emitPairLoad(const Access &access, Type element) {
  VectorType type = vectorOf(element);
  return emitWhen(builder, loc, access.when, type, [&]() -> Value {
    auto [base, indices] = contiguousBase(access);
    Value first = vector::LoadOp::create(builder, loc, type, base, indices);
    Value ahead = arith::ConstantOp::create(builder, loc, builder.getIndexAttr(lanes - 1));
    indices.back() = arith::AddIOp::create(builder, loc, indices.back(), ahead);
    Value second = vector::LoadOp::create(builder, loc, type, base, indices);
    SmallVector<int64_t> chosen;
    for (int64_t lane = 0; lane < lanes; ++lane)
      chosen.push_back(2 * lane < lanes ? 2 * lane : 2 * lane + 1);
    return vector::ShuffleOp::create(builder, loc, first, second, chosen);
  });
}

Value PointVectorizer::emitGather(const Access &access, Type element) {
  VectorType type = vectorOf(element);
  Value active = activeLanes(access);
  return emitWhen(builder, loc, access.when, type, [&]() -> Value {
    SmallVector<Value> strides;
    Value flat = flatView(access.memref, strides);
    auto [scalar, offsets] = laneOffsets(access, strides);
    Value all = active ? active : emitSplat(builder, loc, vectorOf(builder.getI1Type()), 1);
    Value zero = arith::ConstantOp::create(builder, loc, builder.getZeroAttr(type));
    return vector::GatherOp::create(builder, loc, type, flat, scalar, offsets, all, zero);
  });
}

//===-- Stores ----------------------------------------------------------------------------------------------------===//

LogicalResult PointVectorizer::emitStore(kernel::StoreOp op) {
  Access access = analyse(op.getTarget(), op.getIndices(), op.getMask());
  if (op.getAdds()) {
    emitAddition(vector(op.getValue()), access);
    return success();
  }
  if (access.laneStride == 0 && lookup(op.getValue()).isUniform()) {
    emitUniformStore(op, access);
    return success();
  }
  emitVectorStore(vector(op.getValue()), access);
  return success();
}

void PointVectorizer::emitVectorStore(Value value, const Access &access) {
  value = emitStored(builder, loc, value, storedElement(access.memref));
  emitWhen(builder, loc, access.when, [&] {
    if (access.laneStride == 1)
      emitContiguousStore(access, value);
    else
      emitScatter(access, value); // of lanes that store to one place the last stays
  });
}

void PointVectorizer::store(Value value, Value memref, ValueRange indices, Value condition) {
  emitVectorStore(vector(value), analyse(memref, indices, condition));
}

void PointVectorizer::emitUniformStore(kernel::StoreOp op, const Access &access) {
  LaneValue lane = lookup(op.getValue());
  Value value = emitStored(builder, loc, lane.value, storedElement(access.memref)), when = access.when;
  if (access.lanesWhen) {
    Value any = vector::ReductionOp::create(builder, loc, vector::CombiningKind::OR, activeLanes(access));
    when = both(builder, loc, when, any);
  }
  emitWhen(builder, loc, when, [&] { memref::StoreOp::create(builder, loc, value, access.memref, laneZero(access)); });
}

/// Lanes of one place are summed in order, lanes that are neighbours in memory are added at once; others may be one
/// place, and are added one after the other.
void PointVectorizer::emitAddition(Value value, const Access &access) {
  emitWhen(builder, loc, access.when, [&] {
    if (access.laneStride == 0)
      return emitSum(value, access);
    if (access.laneStride == 1 || access.laneStride == -1)
      return emitContiguousAddition(value, access);
    SmallVector<Value> strides;
    Value flat = flatView(access.memref, strides), active = activeLanes(access);
    auto [scalar, offsets] = laneOffsets(access, strides);
    auto constant = [&](int64_t number) -> Value {
      return arith::ConstantOp::create(builder, loc, builder.getIndexAttr(number));
    };
    auto loop = scf::ForOp::create(builder, loc, constant(0), constant(lanes), constant(1));
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(loop.getBody());
    auto of = [&](Value vector) -> Value {
      return vector::ExtractOp::create(builder, loc, vector, OpFoldResult(loop.getInductionVar()));
    };
    emitWhen(builder, loc, active ? of(active) : Value(), [&] {
      Value at = arith::AddIOp::create(builder, loc, scalar, of(offsets));
      Value before = memref::LoadOp::create(builder, loc, flat, at);
      memref::StoreOp::create(builder, loc, arith::AddFOp::create(builder, loc, before, of(value)), flat, at);
    });
  });
}

void PointVectorizer::emitSum(Value value, const Access &access) {
  if (Value active = activeLanes(access)) {
    Value zero = arith::ConstantOp::create(builder, loc, builder.getZeroAttr(value.getType()));
    value = arith::SelectOp::create(builder, loc, active, value, zero);
  }
  SmallVector<Value> place = laneZero(access);
  Value before = memref::LoadOp::create(builder, loc, access.memref, place);
  Value sum = vector::ReductionOp::create(builder, loc, vector::CombiningKind::ADD, value, before);
  memref::StoreOp::create(builder, loc, sum, access.memref, place);
}

/// Where the lanes run backwards, the vector is turned around.
void PointVectorizer::emitContiguousAddition(Value value, const Access &access) {
  auto [base, indices] = contiguousBase(access);
  Value active = activeLanes(access);
  if (access.laneStride == -1) {
    SmallVector<int64_t> reversed;
    for (int64_t lane = lanes; lane-- > 0;)
      reversed.push_back(lane);
    value = vector::ShuffleOp::create(builder, loc, value, value, reversed);
    if (active)
      active = vector::ShuffleOp::create(builder, loc, active, active, reversed);
    Value back = arith::ConstantOp::create(builder, loc, builder.getIndexAttr(lanes - 1));
    if (!cast<MemRefType>(base.getType()).isLastDimUnitStride())
      llvm_unreachable("contiguous accesses have a last axis of unit stride");
    indices.back() = arith::SubIOp::create(builder, loc, indices.back(), back);
  }
  auto type = cast<VectorType>(value.getType());
  Value zero = arith::ConstantOp::create(builder, loc, builder.getZeroAttr(type));
  Value before = active ? Value(vector::MaskedLoadOp::create(builder, loc, type, base, indices, active, zero))
                        : Value(vector::LoadOp::create(builder, loc, type, base, indices));
  Value sum = arith::AddFOp::create(builder, loc, before, value);
  if (active)
    vector::MaskedStoreOp::create(builder, loc, base, indices, active, sum);
  else
    vector::StoreOp::create(builder, loc, sum, base, indices);
}

void PointVectorizer::add(Value value, Value memref, ValueRange indices, Value condition) {
  emitAddition(vector(value), analyse(memref, indices, condition));
}

void PointVectorizer::emitContiguousStore(const Access &access, Value value) {
  auto [base, indices] = contiguousBase(access);
  if (Value active = activeLanes(access))
    vector::MaskedStoreOp::create(builder, loc, base, indices, active, value);
  else
    vector::StoreOp::create(builder, loc, value, base, indices);
}

void PointVectorizer::emitScatter(const Access &access, Value value) {
  SmallVector<Value> strides;
  Value flat = flatView(access.memref, strides);
  auto [scalar, offsets] = laneOffsets(access, strides);
  Value active = activeLanes(access);
  if (!active)
    active = emitSplat(builder, loc, vectorOf(builder.getI1Type()), 1);
  vector::ScatterOp::create(builder, loc, /*resultType=*/Type(), flat, scalar, offsets, active, value);
}
