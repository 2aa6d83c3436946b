#include "compiler/kernels/emit/Map.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace fovea::kernels;
namespace kernel = fovea::kernel;

/// Elements of the lane axis that make an item, where lanes are not reduced. Where an access is strided, few, and items
/// of one block follow one another: the cache lines that it touches are used up before they are evicted.
static constexpr int64_t contiguousBlock = 2048, stridedBlock = 32;
/// Vectors of lanes that go over the reduced axes together, where their sums are cheap: whole lines of memory are used
/// one after the other, and sums don't wait for each other. They are an item.
static constexpr int64_t vectorsAcross = 4;
/// Simple operations that make a task: several microseconds, far more than handing it to a thread costs.
static constexpr int64_t taskCost = 1 << 18;

std::unique_ptr<ScheduleEmitter> fovea::kernels::makeMapEmitter(kernel::MapOp op, const Target &target) {
  return std::make_unique<MapEmitter>(op, target);
}

int64_t MapEmitter::laneBlock() const {
  if (analysis.reducesAcross())
    return vectorsAcross * target.vectorLength;
  return analysis.stridesLanes() ? stridedBlock : contiguousBlock;
}

Value MapEmitter::constant(int64_t value) { return arith::ConstantOp::create(*b, loc, b->getIndexAttr(value)); }
Value MapEmitter::add(Value x, Value y) { return arith::AddIOp::create(*b, loc, x, y); }
Value MapEmitter::mul(Value x, Value y) { return arith::MulIOp::create(*b, loc, x, y); }

//===-- Cutting the box into items and tasks ----------------------------------------------------------------------===//

/// Whether each access steps as far from one point of `axis` to the next as over `size` points of the axis after it.
Value MapEmitter::emitContiguous(OpBuilder &builder, IRMapping &mapping, int64_t axis, Value size) {
  Block &block = map.getBody().front();
  Value all = arith::ConstantOp::create(builder, loc, builder.getBoolAttr(true));
  for (Operation &op : block) {
    Value memref;
    ValueRange positions;
    if (auto load = dyn_cast<kernel::LoadOp>(op))
      memref = load.getSource(), positions = load.getIndices();
    else if (auto store = dyn_cast<kernel::StoreOp>(op))
      memref = store.getTarget(), positions = store.getIndices();
    else
      continue;
    if (!llvm::is_contained(positions, block.getArgument(axis)))
      continue; // uniform along both axes
    auto metadata = memref::ExtractStridedMetadataOp::create(builder, loc, mapping.lookupOrDefault(memref));
    auto strideOf = [&](int64_t a) -> Value {
      int64_t position = std::distance(positions.begin(), llvm::find(positions, block.getArgument(a)));
      return metadata.getStrides()[position];
    };
    Value whole = arith::MulIOp::create(builder, loc, size, strideOf(axis + 1));
    Value same = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::eq, strideOf(axis), whole);
    all = arith::AndIOp::create(builder, loc, all, same);
  }
  return all;
}

/// Merges axes into the last one from the inside outwards, as long as every access allows it at these sizes.
void MapEmitter::emitCollapse(OpBuilder &builder, IRMapping &mapping, MutableArrayRef<Value> sizes) {
  int64_t last = int64_t(sizes.size()) - 1;
  SmallVector<Value> original(sizes.begin(), sizes.end());
  Value merging;
  for (int64_t axis = last - 1; axis >= last - analysis.collapsibleAxes(); --axis) {
    Value contiguous = emitContiguous(builder, mapping, axis, original[axis + 1]);
    merging = merging ? Value(arith::AndIOp::create(builder, loc, merging, contiguous)) : contiguous;
    Value product = arith::MulIOp::create(builder, loc, sizes[last], original[axis]);
    Value one = arith::ConstantOp::create(builder, loc, builder.getIndexAttr(1));
    sizes[last] = arith::SelectOp::create(builder, loc, merging, product, sizes[last]);
    sizes[axis] = arith::SelectOp::create(builder, loc, merging, one, original[axis]);
  }
}

MapEmitter::Cut MapEmitter::emitCut(OpBuilder &builder, IRMapping &mapping) {
  b = &builder;
  Cut result;
  for (Value size : map.getSizes())
    result.sizes.push_back(mapping.lookupOrDefault(size));
  emitCollapse(builder, mapping, result.sizes);
  Value one = constant(1), itemSize = one, ordered = one;
  result.items = one;
  result.blocks = one;
  for (auto [axis, size] : llvm::enumerate(result.sizes)) {
    if (int64_t(axis) == analysis.laneAxis() && !analysis.reducesLanes()) {
      result.blocks = arith::CeilDivUIOp::create(builder, loc, size, constant(laneBlock()));
      itemSize = mul(itemSize, arith::MinUIOp::create(builder, loc, size, constant(laneBlock())));
    } else if (analysis.isReduced(axis)) {
      itemSize = mul(itemSize, size);
    } else {
      result.items = mul(result.items, size);
      if (analysis.orderedFrom() && int64_t(axis) >= *analysis.orderedFrom())
        ordered = mul(ordered, size);
    }
  }
  ordered = arith::MaxUIOp::create(builder, loc, mul(ordered, result.blocks), one);
  result.items = mul(result.items, result.blocks);
  Value grain = constant(std::max<int64_t>(taskCost / analysis.costPerPoint(), 512));
  Value perTask = arith::DivUIOp::create(builder, loc, grain, arith::MaxUIOp::create(builder, loc, itemSize, one));
  result.itemsPerTask = arith::MaxUIOp::create(builder, loc, perTask, one);
  if (analysis.orderedFrom()) // what may be stored to one place is one task's, whose items are in order
    result.itemsPerTask = mul(arith::CeilDivUIOp::create(builder, loc, result.itemsPerTask, ordered), ordered);
  return result;
}

FailureOr<Value> MapEmitter::emitTasks(OpBuilder &builder, IRMapping &mapping) {
  Cut sizes = emitCut(builder, mapping);
  return Value(arith::CeilDivUIOp::create(builder, loc, sizes.items, sizes.itemsPerTask));
}

FailureOr<Value> MapEmitter::emitScratch(OpBuilder &builder, IRMapping &) {
  return Value(arith::ConstantOp::create(builder, loc, builder.getIndexAttr(0)));
}

LogicalResult MapEmitter::emitRun(OpBuilder &builder, IRMapping &mapping, const RunArguments &arguments) {
  cut = emitCut(builder, mapping);
  outer = &mapping;
  exec = arguments.exec;
  indices.assign(cut.sizes.size(), Value());
  Value first = mul(arguments.begin, cut.itemsPerTask);
  Value last = arith::MinUIOp::create(builder, loc, mul(arguments.end, cut.itemsPerTask), cut.items);
  return forRange(first, last, 1, {}, [&](Value item, ValueRange) -> FailureOr<Carried> {
    if (failed(emitItem(item)))
      return failure();
    return Carried();
  });
}

/// Opens the loops of one item: the indices of outer axes from its number, then its block of lanes or its row.
LogicalResult MapEmitter::emitItem(Value item) {
  auto split = [&](Value size) -> Value {
    Value digit = arith::RemUIOp::create(*b, loc, item, size);
    item = arith::DivUIOp::create(*b, loc, item, size);
    return digit;
  };
  bool blocked = !cut.sizes.empty() && !analysis.reducesLanes();
  Value block;
  if (blocked && !analysis.stridesLanes())
    block = split(cut.blocks);
  SmallVector<std::pair<int64_t, Value>> fixed;
  for (int64_t axis : llvm::reverse(analysis.itemAxes()))
    fixed.emplace_back(axis, split(cut.sizes[axis]));
  if (!block)
    block = item; // what is left: the slowest digit
  if (!blocked) {
    FailureOr<PointVectorizer> row = emitOutside(fixed);
    return failed(row) ? failure() : emitRow(*row);
  }
  Value low = mul(block, constant(laneBlock()));
  Value high = arith::MinUIOp::create(*b, loc, add(low, constant(laneBlock())), cut.sizes[analysis.laneAxis()]);
  if (!analysis.reducesAcross())
    return emitBlock(fixed, low, high);
  // A whole item at once, or vector by vector.
  Value isWhole = arith::CmpIOp::create(*b, loc, arith::CmpIPredicate::eq, arith::SubIOp::create(*b, loc, high, low),
                                        constant(laneBlock()));
  auto branch = scf::IfOp::create(*b, loc, isWhole, /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(*b);
  b->setInsertionPointToStart(branch.thenBlock());
  lanes = laneBlock();
  LogicalResult whole = emitBlock(fixed, low, high);
  lanes = target.vectorLength;
  b->setInsertionPointToStart(branch.elseBlock());
  return failed(whole) ? failure() : emitBlock(fixed, low, high);
}

/// What is the same along the lanes, at indices of the outer axes.
FailureOr<PointVectorizer> MapEmitter::emitOutside(Fixed fixed) {
  PointVectorizer whole(*b, loc, target, lanes, Value(), *outer);
  for (auto [axis, index] : fixed)
    bindAxis(whole, axis, index);
  whole.setFailures(failureContext());
  for (Operation *op : analysis.rowOps(0, /*outsideLanes=*/true))
    if (failed(whole.emit(*op)))
      return failure();
  return whole;
}

/// The lanes [low, high) of one item.
LogicalResult MapEmitter::emitBlock(Fixed fixed, Value low, Value high) {
  FailureOr<PointVectorizer> whole = emitOutside(fixed);
  if (failed(whole))
    return failure();
  return forLanes(low, high, [&](Value base, Value mask) {
    PointVectorizer row = whole->nested(mask);
    bindAxis(row, analysis.laneAxis(), base);
    LogicalResult result = emitRow(row);
    indices[analysis.laneAxis()] = {};
    return result;
  });
}

//===-- Rows ------------------------------------------------------------------------------------------------------===//

LogicalResult MapEmitter::emitRow(PointVectorizer &row) {
  for (int64_t pass = 0; pass <= analysis.passes(); ++pass) {
    row.setFailures(failureContext());
    for (Operation *op : analysis.rowOps(pass, /*outsideLanes=*/false))
      if (failed(row.emit(*op)))
        return failure();
    if (pass < analysis.passes() && failed(emitPass(row, pass)))
      return failure();
  }
  return emitWrites(row);
}

/// Computes the reductions of one pass and binds their results.
LogicalResult MapEmitter::emitPass(PointVectorizer &row, int64_t pass) {
  SmallVector<kernel::ReduceOp> reductions = analysis.reductions(pass);
  bool reducesLanes = analysis.reducesLanes();
  Carried totals;
  for (kernel::ReduceOp op : reductions)
    Combiner::append(totals, Combiner(*b, op).identity(reducesLanes ? 0 : lanes));
  ArrayRef<int64_t> axes = analysis.reducedAxes();
  FailureOr<Carried> results = forAxes(axes.drop_back(), totals, [&](ValueRange carried) {
    return reducesLanes ? reduceLanes(row, pass, carried) : reduceAcross(row, pass, carried);
  });
  if (failed(results))
    return failure();
  ValueRange rest = *results;
  for (kernel::ReduceOp op : reductions) {
    Combiner combiner(*b, op);
    Value value = combiner.finish(combiner.take(rest));
    row.bind(op.getResult(), reducesLanes ? LaneValue::uniform(value) : LaneValue::varying(value));
  }
  return success();
}

/// The write pass: what differs along the row and is stored.
LogicalResult MapEmitter::emitWrites(PointVectorizer &row) {
  int64_t pass = analysis.passes();
  if (analysis.innerOps(pass).empty())
    return success();
  SmallVector<int64_t> axes(analysis.reducedAxes());
  bool reducesLanes = analysis.reducesLanes();
  if (reducesLanes)
    axes.pop_back();
  FailureOr<Carried> done = forAxes(axes, {}, [&](ValueRange) -> FailureOr<Carried> {
    auto point = [&](Value base, Value mask) {
      PointVectorizer inner = row.nested(mask);
      if (reducesLanes)
        bindAxis(inner, analysis.laneAxis(), base);
      return emitInner(inner, pass);
    };
    bool failedInside = failed(reducesLanes ? forLanes(constant(0), cut.sizes[analysis.laneAxis()], point)
                                            : point(Value(), row.getMask()));
    return failedInside ? FailureOr<Carried>(failure()) : FailureOr<Carried>(Carried());
  });
  return success(succeeded(done));
}

/// Emits what `pass` needs for one point or vector of points; all loops around are open.
LogicalResult MapEmitter::emitInner(PointVectorizer &inner, int64_t pass) {
  for (int64_t axis : analysis.reducedAxes())
    if (axis != analysis.laneAxis())
      bindAxis(inner, axis, indices[axis]);
  FailureContext reporting = failureContext();
  for (Operation *op : analysis.innerOps(pass)) {
    auto check = dyn_cast<kernel::CheckOp>(op);
    inner.setFailures(check && !analysis.reportsIn(check, pass) ? FailureContext() : reporting);
    if (failed(inner.emit(*op)))
      return failure();
  }
  return success();
}

/// Vectors start at multiples of their length.
void MapEmitter::bindAxis(PointVectorizer &lanes, int64_t axis, Value index) {
  indices[axis] = index;
  lanes.bind(map.getBody().getArgument(axis), axis == analysis.laneAxis()
                                                  ? LaneValue::linear(index, 1, target.vectorLength)
                                                  : LaneValue::uniform(index));
}

/// The point that is emitted now: its linear index in the box. Axes without an open loop count as 0.
FailureContext MapEmitter::failureContext() {
  if (!analysis.hasChecks())
    return {};
  Value point = constant(0);
  for (auto [index, size] : llvm::zip(indices, cut.sizes)) {
    point = mul(point, size);
    if (index)
      point = add(point, index);
  }
  bool alongLanes = !indices.empty() && indices[analysis.laneAxis()];
  return {exec, alongLanes ? LaneValue::linear(point) : LaneValue::uniform(point)};
}

//===-- Loops -----------------------------------------------------------------------------------------------------===//

FailureOr<MapEmitter::Carried> MapEmitter::forRange(Value low, Value high, int64_t step, ValueRange carried,
                                                    CarriedBody body) {
  auto loop = scf::ForOp::create(*b, loc, low, high, constant(step), carried);
  OpBuilder::InsertionGuard guard(*b);
  // Without carried values the builder has made the terminator already.
  Block *block = loop.getBody();
  b->setInsertionPointToStart(block);
  FailureOr<Carried> next = body(loop.getInductionVar(), loop.getRegionIterArgs());
  if (failed(next))
    return failure();
  if (!carried.empty())
    scf::YieldOp::create(*b, loc, *next);
  return Carried(loop.getResults());
}

FailureOr<MapEmitter::Carried> MapEmitter::forAxes(ArrayRef<int64_t> axes, ValueRange carried,
                                                   llvm::function_ref<FailureOr<Carried>(ValueRange)> body) {
  if (axes.empty())
    return body(carried);
  int64_t axis = axes.front();
  FailureOr<Carried> result = forRange(constant(0), cut.sizes[axis], 1, carried, [&](Value index, ValueRange inside) {
    indices[axis] = index;
    return forAxes(axes.drop_front(), inside, body);
  });
  indices[axis] = {};
  return result;
}

/// Whole vectors of [low, high), then the rest under a mask.
LogicalResult MapEmitter::forLanes(Value low, Value high, Body body) {
  Value length = constant(lanes);
  Value count = arith::SubIOp::create(*b, loc, high, low);
  Value rest = arith::RemUIOp::create(*b, loc, count, length);
  Value whole = arith::SubIOp::create(*b, loc, high, rest);
  auto run = [&](Value base, ValueRange) -> FailureOr<Carried> {
    if (failed(body(base, Value())))
      return failure();
    return Carried();
  };
  if (failed(forRange(low, whole, lanes, {}, run)))
    return failure();
  if (lanes != target.vectorLength)
    return success(); // whole items only
  Value some = arith::CmpIOp::create(*b, loc, arith::CmpIPredicate::ne, rest, constant(0));
  auto branch = scf::IfOp::create(*b, loc, some, /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(*b);
  b->setInsertionPointToStart(branch.thenBlock());
  Value mask = vector::CreateMaskOp::create(*b, loc, VectorType::get({lanes}, b->getI1Type()), rest);
  return body(whole, mask);
}
