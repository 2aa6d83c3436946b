#include "compiler/kernels/lower/KernelBuilder.h"

#include "compiler/analysis/GroupCost.h"
#include "dialects/graph/Places.h"
#include "fovea/abi.h"

#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/Twine.h"

using namespace mlir;

namespace fovea::kernels {

Type memoryType(Type element) { return element.isInteger(1) ? IntegerType::get(element.getContext(), 8) : element; }

static int64_t literal(DimExpr e) { return e.value().value_or(ShapedType::kDynamic); }

MemRefType memrefTypeOf(const View &view, Type element) {
  SmallVector<int64_t> shape, strides;
  for (DimExpr dim : view.dims)
    shape.push_back(literal(dim));
  if (view.isIdentity())
    return MemRefType::get(shape, memoryType(element));
  for (DimExpr stride : view.strides)
    strides.push_back(literal(stride));
  // Equal kernels may read at different places: only 0 is told.
  int64_t offset = view.offset.isConstant(0) ? 0 : ShapedType::kDynamic;
  return MemRefType::get(shape, memoryType(element), StridedLayoutAttr::get(element.getContext(), offset, strides));
}

KernelBuilder::KernelBuilder(graph::GroupOp group, const StorageMap &storages)
    : group(group), storages(storages), loc(group.getLoc()), prologue(group.getContext()), body(group.getContext()) {
  OpBuilder detached(group.getContext());
  lowered.kernel = kernel::FuncOp::create(detached, loc, "kernel", detached.getFunctionType({}, {}));
  if (std::string place = placeOf(loc); !place.empty())
    lowered.kernel.setPlace(place);
  prologue = OpBuilder::atBlockEnd(&lowered.kernel.getBody().front());
  dims = std::make_unique<DimEmitter>(prologue, loc, [this](StringRef name) { return symbol(name); });
}

FailureOr<LoweredGroup> KernelBuilder::build() {
  StringRef kind = group.getKind();
  LogicalResult result = kind == "map"      ? buildMap()
                         : kind == "matmul" ? buildMatmul()
                         : kind == "top_k"  ? buildTopK()
                                            : buildAttention();
  if (failed(result)) {
    lowered.kernel.erase();
    return failure();
  }
  Block &block = lowered.kernel.getBody().front();
  OpBuilder end = OpBuilder::atBlockEnd(&block);
  kernel::ReturnOp::create(end, loc);
  lowered.kernel.setFunctionType(end.getFunctionType(block.getArgumentTypes(), {}));
  lowered.flops = flopsOf(group);
  countBytes();
  return std::move(lowered);
}

//===-- Arguments and sizes ---------------------------------------------------------------------------------------===//

Value KernelBuilder::memref(Value base, const View &view) {
  Block &block = lowered.kernel.getBody().front();
  for (auto [i, operand] : llvm::enumerate(lowered.operands))
    if (operand.base == base && operand.view == view)
      return block.getArgument(i);
  MemRefType type = memrefTypeOf(view, cast<graph::TensorType>(base.getType()).getElementType());
  lowered.operands.push_back({base, view, {}, type});
  return block.addArgument(type, loc);
}

Value KernelBuilder::memref(Value outer) {
  const Storage &storage = storageOf(outer);
  return memref(storage.base, storage.view);
}

Value KernelBuilder::size(DimExpr e) {
  if (!e.isConstant())
    for (auto [operand, argument] : llvm::zip(lowered.operands, lowered.kernel.getBody().front().getArguments()))
      for (auto [axis, dim] : llvm::enumerate(operand.view.dims))
        if (operand.base && dim == e) {
          Value index = dims->constant(axis);
          Value value = memref::DimOp::create(prologue, loc, argument, index);
          dims->define(e, value);
          return value;
        }
  return dims->index(e);
}

Value KernelBuilder::symbol(StringRef name) {
  Value &value = symbols[name];
  if (value)
    return value;
  DimExpr e = DimExpr::symbol(std::string_view(name));
  Block &block = lowered.kernel.getBody().front();
  for (auto [operand, argument] : llvm::zip(lowered.operands, block.getArguments()))
    for (auto [axis, dim] : llvm::enumerate(operand.view.dims))
      if (operand.base && dim == e)
        return value = memref::DimOp::create(prologue, loc, argument, dims->constant(axis));
  Type type = prologue.getIndexType();
  lowered.operands.push_back({{}, {}, e, type});
  return value = block.addArgument(type, loc);
}

void KernelBuilder::enter(Block &block, std::function<FailureOr<Value>(Value, ValueRange, Value)> compute) {
  prologue.setInsertionPoint(block.getParentOp());
  body = OpBuilder::atBlockEnd(&block);
  PointCallbacks callbacks;
  callbacks.read = [this, compute](Value tensor, ValueRange indices, Value guard) -> FailureOr<Value> {
    if (std::optional<Storage> storage = storageInside(tensor))
      return load(*storage, cast<graph::TensorType>(tensor.getType()).getElementType(), indices, guard);
    return compute(tensor, indices, guard);
  };
  // A reshape of memory is read as a view where it is one: no division to find an element.
  callbacks.isLeaf = [this](Value tensor) {
    return isa_and_nonnull<graph::ReshapeOp>(tensor.getDefiningOp()) && storageInside(tensor);
  };
  callbacks.size = [this](DimExpr e, Location) { return size(e); };
  callbacks.reduce = [this](graph::ReduceOp op, ValueRange indices) {
    return reduceElement(op.getKind(), op.getX(), op.getAxes(), indices, op.getLoc());
  };
  callbacks.check = [this](Value index, DimExpr bound, Value guard, Location at) {
    Value low = arith::ConstantIndexOp::create(body, at, 0);
    kernel::CheckOp::create(body, at, body.getI32IntegerAttr(FOVEA_FAIL_INDEX_OUT_OF_RANGE), index, low, size(bound),
                            guard, body.getStringAttr(placeOf(at)));
    return success();
  };
  points = std::make_unique<PointProgram>(body, std::move(callbacks));
}

//===-- Point programs --------------------------------------------------------------------------------------------===//

void KernelBuilder::collapse(View &view, SmallVectorImpl<Value> &indices) const {
  for (const MergedAxis &axis : merged) {
    size_t length = axis.digits.size();
    for (size_t at = 0; length > 1 && at + length <= indices.size(); ++at) {
      if (!llvm::equal(ArrayRef(indices).slice(at, length), axis.digits))
        continue;
      if (std::optional<View> shorter = view.merged(at, at + length - 1)) {
        view = *shorter;
        indices[at] = axis.index;
        indices.erase(indices.begin() + at + 1, indices.begin() + at + length);
      }
    }
  }
}

/// Where a value inside the group lies, if it is an input or a layout op's view of one.
std::optional<Storage> KernelBuilder::storageInside(Value inner) {
  if (isa<BlockArgument>(inner))
    return storageOf(outer(inner));
  if (!isLayoutOp(inner.getDefiningOp()))
    return std::nullopt;
  std::optional<Storage> storage = storageInside(inner.getDefiningOp()->getOperand(0));
  std::optional<View> view = storage ? viewThrough(inner.getDefiningOp(), storage->view) : std::nullopt;
  return view ? std::optional(Storage{storage->base, *view}) : std::nullopt;
}

Value KernelBuilder::load(Storage storage, Type element, ValueRange at, Value guard) {
  SmallVector<Value> indices(at);
  collapse(storage.view, indices);
  return kernel::LoadOp::create(body, loc, element, memref(storage.base, storage.view), indices, guard);
}

void KernelBuilder::store(Value value, const Storage &storage, ValueRange at, bool adds) {
  View view = storage.view;
  SmallVector<Value> indices(at);
  collapse(view, indices);
  kernel::StoreOp::create(body, loc, value, memref(storage.base, view), indices, Value(), adds);
}

/// Sums in f32 what is stored in 16 bits, in i32 what is stored in 8.
static Type reducingType(Type element) {
  if (isa<FloatType>(element) && element.getIntOrFloatBitWidth() < 32)
    return Float32Type::get(element.getContext());
  if (element.isInteger(8))
    return IntegerType::get(element.getContext(), 32);
  return element;
}

FailureOr<Value> KernelBuilder::reduceElement(StringRef kind, Value operand, ArrayRef<int64_t> axes, ValueRange indices,
                                              Location at) {
  if (box.empty() || axes.size() != reducedAxes.size())
    return group.emitError("internal: a reduction that is not over the group's reduced axes");
  SmallVector<Value> inner(indices);
  for (auto [axis, boxAxis] : llvm::zip(axes, reducedAxes))
    inner.insert(inner.begin() + axis, box[boxAxis]);
  FailureOr<Value> value = points->element(operand, inner);
  if (failed(value))
    return failure();
  Type element = value->getType(), wide = kind == "argmax" ? element : reducingType(element);
  if (kind == "argmax" && isa<FloatType>(element) && element.getIntOrFloatBitWidth() < 32)
    wide = Float32Type::get(element.getContext());
  Value reduced = *value;
  bool isFloat = isa<FloatType>(element);
  if (wide != element)
    reduced = isFloat ? arith::ExtFOp::create(body, at, wide, reduced).getResult()
                      : arith::ExtSIOp::create(body, at, wide, reduced).getResult();
  reduced =
      kernel::ReduceOp::create(body, at, body.getStringAttr(kind), reduced, body.getDenseI64ArrayAttr(reducedAxes));
  if (wide == element || kind == "argmax")
    return reduced;
  return isFloat ? arith::TruncFOp::create(body, at, element, reduced).getResult()
                 : arith::TruncIOp::create(body, at, element, reduced).getResult();
}

/// Element [p, k, j] of packed panels: column p * panel + j of row k, 0 beyond the last column; with a k_block,
/// element j % k_block of the block's rows and column j / k_block.
FailureOr<Value> KernelBuilder::packElement(graph::PackOp op, ValueRange indices) {
  DimExpr columns = cast<graph::TensorType>(op.getX().getType()).getDim(1);
  Value panel = points->constantIndex(op.getPanel(), loc);
  Value start = arith::MulIOp::create(body, loc, indices[0], panel);
  Value row = indices[1], within = indices[2];
  if (op.getKBlock() != 1) {
    Value kBlock = points->constantIndex(op.getKBlock(), loc);
    row = arith::AddIOp::create(body, loc, arith::MulIOp::create(body, loc, row, kBlock),
                                arith::RemUIOp::create(body, loc, within, kBlock));
    within = arith::DivUIOp::create(body, loc, within, kBlock);
  }
  Value column = arith::AddIOp::create(body, loc, start, within);
  Value guard;
  if (!DimExpr::exactDiv(columns, DimExpr(int64_t(op.getPanel()))))
    guard = arith::CmpIOp::create(body, loc, arith::CmpIPredicate::ult, column, size(columns));
  FailureOr<Value> value = points->element(op.getX(), {row, column}, guard);
  if (failed(value) || !guard)
    return value;
  Value zero = arith::ConstantOp::create(body, loc, body.getZeroAttr(value->getType()));
  return arith::SelectOp::create(body, loc, guard, *value, zero).getResult();
}

//===-- Maps ------------------------------------------------------------------------------------------------------===//

/// Stores the point's element of an update into the buffer of the updated value.
LogicalResult KernelBuilder::storeUpdate(graph::UpdateSliceOp update, OpResult result, ValueRange at) {
  FailureOr<Value> value = points->element(update.getV(), at);
  if (failed(value))
    return failure();
  Value start;
  if (Value offset = update.getOffset()) {
    FailureOr<Value> element = points->element(offset, ValueRange());
    if (failed(element))
      return failure();
    start = arith::IndexCastOp::create(body, loc, body.getIndexType(), *element);
  } else {
    start = size(update.getStart()->getValue());
  }
  SmallVector<Value> indices(at);
  Value &axis = indices[update.getAxis()];
  if (int64_t step = update.getStep(); step != 1)
    axis = arith::MulIOp::create(body, loc, axis, points->constantIndex(step, loc));
  axis = arith::AddIOp::create(body, loc, axis, start);
  store(*value, storageOf(result), indices);
  return success();
}

LogicalResult KernelBuilder::storeScattered(graph::ScatterOp scatter, OpResult result, ValueRange at) {
  FailureOr<Value> value = points->element(scatter.getV(), at);
  if (failed(value))
    return failure();
  FailureOr<SmallVector<Value>> indices = points->scatteredTo(scatter, at);
  if (failed(indices))
    return failure();
  store(*value, storageOf(result), *indices, scatter.getAdds());
  return success();
}

LogicalResult KernelBuilder::buildMap() {
  MapSpace space = MapSpace::of(group);
  reducedAxes = space.reduced;
  for (OpResult result : group.getResults()) // sizes come from results where they can
    memref(result);
  for (Value input : group.getInputs())
    memref(input);
  SmallVector<Value> sizes = llvm::map_to_vector(space.box, [&](DimExpr e) { return size(e); });
  auto map = kernel::MapOp::create(prologue, loc, sizes, IntegerAttr());
  Block &block = map.getBody().empty() ? map.getBody().emplaceBlock() : map.getBody().front();
  for (size_t i = 0; i < sizes.size(); ++i)
    box.push_back(block.addArgument(prologue.getIndexType(), loc));
  enter(block, [this](Value tensor, ValueRange indices, Value) -> FailureOr<Value> {
    if (auto argmax = tensor.getDefiningOp<graph::ArgmaxOp>())
      return reduceElement("argmax", argmax.getX(), {int64_t(argmax.getAxis())}, indices, argmax.getLoc());
    if (auto pack = tensor.getDefiningOp<graph::PackOp>())
      return packElement(pack, indices);
    return group.emitError("internal: a map holds an op that has no elements: ") << tensor;
  });
  Operation *yield = group.getBody().front().getTerminator();
  auto pointOf = [&](ArrayRef<int64_t> axes) {
    return llvm::map_to_vector(axes, [&](int64_t axis) { return box[axis]; });
  };
  if (group->hasAttr(inPlaceAttr)) // what one result overwrites another one may be computed from
    for (auto [value, axes] : llvm::zip(yield->getOperands(), space.points))
      if (!isa_and_nonnull<graph::ScatterOp, graph::UpdateSliceOp>(value.getDefiningOp()))
        if (failed(points->element(value, pointOf(axes))))
          return failure();
  for (auto [result, value, axes] : llvm::zip(group.getResults(), yield->getOperands(), space.points)) {
    SmallVector<Value> at = pointOf(axes);
    if (auto scatter = value.getDefiningOp<graph::ScatterOp>()) {
      map.setOrderedFrom(scatter.getAxes().front());
      if (failed(storeScattered(scatter, result, at)))
        return failure();
      continue;
    }
    auto update = value.getDefiningOp<graph::UpdateSliceOp>();
    if (update && inPlaceInput(group, result.getResultNumber())) {
      if (failed(storeUpdate(update, result, at)))
        return failure();
      continue;
    }
    FailureOr<Value> element = points->element(value, at);
    if (failed(element))
      return failure();
    store(*element, storageOf(result), at);
  }
  kernel::YieldOp::create(body, loc, ValueRange());
  return success();
}

/// Bytes of all operands, each element once; broadcast axes count once.
void KernelBuilder::countBytes() {
  DimExpr total(0);
  for (const LaunchOperand &operand : lowered.operands) {
    auto type = dyn_cast<MemRefType>(operand.type);
    if (!type)
      continue;
    DimExpr bytes(int64_t(type.getElementTypeBitWidth() / 8));
    for (auto [dim, stride] : llvm::zip(operand.view.dims, operand.view.strides))
      if (!stride.isConstant(0) && bytes)
        bytes = bytes * dim;
    if (!bytes || !total)
      return;
    total = total + bytes;
  }
  lowered.bytes = total;
}

} // namespace fovea::kernels
