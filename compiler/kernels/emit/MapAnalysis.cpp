#include "compiler/kernels/emit/MapAnalysis.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace fovea::kernels;
namespace kernel = fovea::kernel;

/// An axis of fewer elements is not worth changing to for its contiguous accesses.
static constexpr uint64_t fewLanes = 8;

/// Simple operations that an op is worth.
static int64_t costOf(Operation &op) {
  if (isa<arith::ConstantOp, kernel::YieldOp>(op))
    return 0;
  if (isa<arith::DivFOp, arith::DivSIOp, arith::RemSIOp, arith::DivUIOp, arith::RemUIOp, math::SqrtOp>(op))
    return 4;
  if (isa<math::AbsFOp, math::FloorOp, math::CeilOp, math::FmaOp>(op))
    return 1;
  return isa<math::MathDialect>(op.getDialect()) ? 16 : 1;
}

/// The memref and the indices of a load or store; an empty memref otherwise.
static std::pair<Value, ValueRange> accessOf(Operation &op) {
  if (auto load = dyn_cast<kernel::LoadOp>(op))
    return {load.getSource(), load.getIndices()};
  if (auto store = dyn_cast<kernel::StoreOp>(op))
    return {store.getTarget(), store.getIndices()};
  return {};
}

/// How many accesses are uniform or contiguous along `axis`; stores count more, as scattering costs more than
/// gathering.
static int64_t contiguity(Block &block, int64_t axis) {
  int64_t score = 0;
  Value index = axis < 0 ? Value() : block.getArgument(axis);
  for (Operation &op : block) {
    auto [memref, indices] = accessOf(op);
    if (!memref)
      continue;
    SmallVector<int64_t> strides;
    int64_t offset;
    if (failed(cast<MemRefType>(memref.getType()).getStridesAndOffset(strides, offset)))
      continue;
    int64_t worth = isa<kernel::StoreOp>(op) ? 3 : 2;
    for (auto [position, stride] : llvm::zip(indices, strides))
      if (position == index && stride != 1 && stride != 0)
        worth = 0;
    score += worth;
  }
  return score;
}

MapAnalysis::MapAnalysis(kernel::MapOp map)
    : block(map.getBody().front()), rank(map.getSizes().size()), reduced(map.getReducedAxes()), unit(rank), few(rank) {
  ordered = map.getOrderedFrom();
  for (auto [axis, size] : llvm::enumerate(map.getSizes())) {
    unit[axis] = matchPattern(size, m_One());
    APInt number;
    few[axis] = matchPattern(size, m_ConstantInt(&number)) && number.ult(fewLanes);
  }
  for (Operation &op : block) {
    analyse(op);
    cost += costOf(op);
    checks |= isa<kernel::CheckOp>(op);
    if (isa<kernel::ReduceOp>(op))
      passCount = std::max(passCount, facts[&op].level);
  }
  cost = std::max<int64_t>(cost, 1);
  lane = chooseLaneAxis();
  collapsible = countCollapsible();
  strided = rank > 1 && !ordered && contiguity(block, lane) < contiguity(block, -1);
  across = sumsAcross();
  items = orderItems();
}

void MapAnalysis::analyse(Operation &op) {
  Facts own{llvm::SmallBitVector(rank), 0};
  for (Value operand : op.getOperands()) {
    if (auto argument = dyn_cast<BlockArgument>(operand); argument && argument.getOwner() == &block) {
      own.axes.set(argument.getArgNumber());
    } else if (auto found = facts.find(operand.getDefiningOp()); found != facts.end()) {
      own.axes |= found->second.axes;
      own.level = std::max(own.level, found->second.level);
    }
  }
  if (isa<kernel::ReduceOp>(op)) {
    for (int64_t axis : reduced)
      own.axes.reset(axis);
    ++own.level;
  }
  facts[&op] = own;
}

bool MapAnalysis::isInner(Operation *op) const {
  const Facts &own = facts.find(op)->second;
  return llvm::any_of(reduced, [&](int64_t axis) { return own.axes.test(axis); });
}

SmallVector<Operation *> MapAnalysis::rowOps(int64_t pass, bool outsideLanes) const {
  SmallVector<Operation *> result;
  for (Operation &op : block.without_terminator()) {
    if (isa<kernel::ReduceOp>(op) || isInner(&op))
      continue;
    const Facts &own = facts.find(&op)->second;
    bool outside = own.level == 0 && !alongLanes(own);
    if (own.level == pass && outside == outsideLanes)
      result.push_back(&op);
  }
  return result;
}

SmallVector<kernel::ReduceOp> MapAnalysis::reductions(int64_t pass) const {
  SmallVector<kernel::ReduceOp> result;
  for (auto reduce : block.getOps<kernel::ReduceOp>())
    if (facts.find(reduce.getOperation())->second.level == pass + 1)
      result.push_back(reduce);
  return result;
}

bool MapAnalysis::reportsIn(kernel::CheckOp check, int64_t pass) const {
  // Levels below passes() all have a reduction: each level is reached through one.
  return facts.find(check.getOperation())->second.level == pass;
}

SmallVector<Operation *> MapAnalysis::innerOps(int64_t pass) const {
  llvm::DenseSet<Operation *> needed;
  auto need = [&](Value value) {
    if (Operation *op = value.getDefiningOp(); op && op->getBlock() == &block)
      needed.insert(op);
  };
  for (auto reduce : reductions(pass))
    need(reduce.getValue());
  // Backwards: an op is visited after all that use it. Checks stand between an index and the accesses that they guard.
  llvm::DenseSet<Value> indices;
  SmallVector<Operation *> result;
  for (Operation &op : llvm::reverse(block)) {
    if (isa<kernel::ReduceOp, kernel::YieldOp>(op) || !isInner(&op))
      continue;
    auto check = dyn_cast<kernel::CheckOp>(op);
    bool isRoot = (isa<kernel::StoreOp>(op) && pass == passCount) ||
                  (check && (reportsIn(check, pass) ||
                             (indices.contains(check.getValue()) && facts.find(&op)->second.level < pass)));
    if (!isRoot && !needed.contains(&op))
      continue;
    for (Value operand : op.getOperands())
      need(operand);
    indices.insert_range(accessOf(op).second);
    result.push_back(&op);
  }
  std::reverse(result.begin(), result.end());
  return result;
}

int64_t MapAnalysis::chooseLaneAxis() const {
  if (rank == 0)
    return 0;
  // Along an axis of one element all lanes but one would idle. Reduced axes behind the lanes' have no loop, so they
  // stay in front.
  int64_t best = rank - 1;
  while (best > 0 && unit.test(best) && !isReduced(best))
    --best;
  if (checks || ordered || (!reduced.empty() && !isReduced(best)))
    return best;
  for (int64_t axis = best - 1; axis >= 0; --axis)
    if (!unit.test(axis) && (reduced.empty() || (!isReduced(axis) && !few.test(axis))) &&
        contiguity(block, axis) > contiguity(block, best))
      best = axis;
  return best;
}

bool MapAnalysis::sumsAcross() {
  if (reduced.empty() || reducesLanes() || checks || strided)
    return false;
  return llvm::none_of(block.without_terminator(), [&](Operation &op) {
    auto reduce = dyn_cast<kernel::ReduceOp>(op);
    return (reduce && reduce.getKind() == "argmax") || (isInner(&op) && costOf(op) > 4);
  });
}

/// Rows that follow each other in memory are foreseen by the processor; what is stored for each is little.
SmallVector<int64_t> MapAnalysis::orderItems() const {
  SmallVector<int64_t> order;
  for (int64_t axis = 0; axis < rank; ++axis)
    if (axis != lane && !isReduced(axis))
      order.push_back(axis);
  if (!ordered && reducesLanes())
    for (size_t end = 1; end < order.size(); ++end)
      for (size_t i = end; i > 0 && readsOutside(order[i], order[i - 1]); --i)
        std::swap(order[i], order[i - 1]);
  return order;
}

/// Whether what is read along the reduced axes steps further over `axis` than over `other`, for all that is known.
bool MapAnalysis::readsOutside(int64_t axis, int64_t other) const {
  bool further = false;
  for (Operation &op : block) {
    if (!isa<kernel::LoadOp>(op) || !isInner(&op))
      continue;
    auto [memref, indices] = accessOf(op);
    SmallVector<int64_t> strides;
    int64_t offset;
    if (failed(cast<MemRefType>(memref.getType()).getStridesAndOffset(strides, offset)))
      return false;
    auto stepOver = [&](int64_t wanted) {
      auto found = llvm::find(indices, block.getArgument(wanted));
      return found == indices.end() ? 0 : strides[found - indices.begin()];
    };
    int64_t mine = stepOver(axis), theirs = stepOver(other);
    if (ShapedType::isDynamic(mine) || ShapedType::isDynamic(theirs) || mine < theirs)
      return false;
    further |= mine > theirs;
  }
  return further;
}

int64_t MapAnalysis::countCollapsible() const {
  if (!reduced.empty() || rank == 0 || lane != rank - 1)
    return 0;
  auto isPlainIndex = [&](int64_t axis) {
    return llvm::all_of(block.getArgument(axis).getUses(), [&](OpOperand &use) {
      auto [memref, indices] = accessOf(*use.getOwner());
      return memref && llvm::count(indices, use.get()) == 1 && llvm::is_contained(indices, use.get()) &&
             llvm::count(use.getOwner()->getOperands(), use.get()) == 1;
    });
  };
  // An access that knows only one of two axes keeps them apart, unless its stride there is 0.
  auto runsTogether = [&](int64_t axis) {
    for (Operation &op : block) {
      auto [memref, indices] = accessOf(op);
      if (memref && llvm::is_contained(indices, block.getArgument(axis)) !=
                        llvm::is_contained(indices, block.getArgument(axis + 1)))
        return false;
    }
    return true;
  };
  if (!isPlainIndex(rank - 1))
    return 0;
  int64_t count = 0;
  for (int64_t axis = rank - 2; axis >= 0 && isPlainIndex(axis) && runsTogether(axis); --axis)
    ++count;
  return count;
}
