// How the elements that an op reads follow from the elements that are wanted of its result.
#include "compiler/analysis/GroupPlan.h"
#include "compiler/analysis/Storage.h"

using namespace mlir;

namespace fovea {

uint64_t maskOf(ArrayRef<Coordinate> pattern) {
  uint64_t mask = 0;
  for (const Coordinate &coordinate : pattern)
    mask |= coordinate.mask;
  return mask;
}

static Coordinate derived(ArrayRef<Coordinate> from, bool scattered = false) {
  for (const Coordinate &coordinate : from)
    scattered |= coordinate.scattered;
  return {-1, maskOf(from), scattered};
}

static Pattern throughReshape(graph::ReshapeOp op, const Pattern &pattern) {
  std::vector<DimExpr> from = dimsOf(op.getX()), to = dimsOf(op.getResult());
  Pattern out(from.size());
  std::optional<std::vector<AxisRun>> runs = matchAxes(from, to);
  if (!runs) {
    llvm::fill(out, derived(pattern));
    return out;
  }
  for (const AxisRun &run : *runs) {
    SmallVector<size_t> axes;
    SmallVector<Coordinate> wanted;
    for (size_t a = run.fromBegin; a < run.fromEnd; ++a)
      if (!from[a].isConstant(1))
        axes.push_back(a);
    for (size_t b = run.toBegin; b < run.toEnd; ++b)
      if (!to[b].isConstant(1))
        wanted.push_back(pattern[b]);
    for (size_t a : axes)
      out[a] = axes.size() == 1 && wanted.size() == 1 ? wanted[0] : derived(wanted);
  }
  return out;
}

static Pattern withAxis(Pattern pattern, int64_t axis, bool scattered) {
  pattern[axis] = derived(pattern[axis], scattered);
  return pattern;
}

static SmallVector<Pattern> throughGather(graph::GatherOp op, const Pattern &pattern) {
  int64_t first = op.getAxes().front(), rank = cast<graph::TensorType>(op.getIndices().front().getType()).getRank();
  ArrayRef<Coordinate> all = pattern, at = all.slice(first, rank);
  SmallVector<Pattern> out(1 + op.getIndices().size(), Pattern(at));
  Pattern &x = out.front(), kept(all.take_front(first));
  llvm::append_range(kept, all.drop_front(first + rank));
  x.clear();
  for (int64_t axis = 0, next = 0; axis < cast<graph::TensorType>(op.getX().getType()).getRank(); ++axis)
    x.push_back(llvm::is_contained(op.getAxes(), axis) ? derived(at, true) : kept[next++]);
  return out;
}

SmallVector<Pattern> operandPatterns(Operation *op, const Pattern &pattern) {
  if (auto broadcast = dyn_cast<graph::BroadcastOp>(op)) {
    Pattern x;
    for (int64_t axis : broadcast.getAxes())
      x.push_back(pattern[axis]);
    return {x};
  }
  if (auto transpose = dyn_cast<graph::TransposeOp>(op)) {
    Pattern x(pattern.size());
    for (auto [i, axis] : llvm::enumerate(transpose.getPermutation()))
      x[axis] = pattern[i];
    return {x};
  }
  if (auto reshape = dyn_cast<graph::ReshapeOp>(op))
    return {throughReshape(reshape, pattern)};
  if (auto slice = dyn_cast<graph::SliceOp>(op)) {
    SmallVector<Pattern> out = {withAxis(pattern, slice.getAxis(), false)};
    if (slice.getOffset())
      out.push_back({});
    return out;
  }
  if (auto update = dyn_cast<graph::UpdateSliceOp>(op)) {
    SmallVector<Pattern> out = {pattern, withAxis(pattern, update.getAxis(), true)};
    if (update.getOffset())
      out.push_back({});
    return out;
  }
  if (auto gather = dyn_cast<graph::GatherOp>(op))
    return throughGather(gather, pattern);
  if (auto concat = dyn_cast<graph::ConcatOp>(op))
    return SmallVector<Pattern>(op->getNumOperands(), withAxis(pattern, concat.getAxis(), true));
  if (auto pack = dyn_cast<graph::PackOp>(op)) {
    Coordinate row = pack.getKBlock() == 1 ? pattern[1] : derived({pattern[1], pattern[2]});
    return {{row, derived({pattern[0], pattern[2]})}};
  }
  return SmallVector<Pattern>(op->getNumOperands(), pattern); // elementwise
}

} // namespace fovea
