// What a map's ops depend on, and in which pass over the reduced axes each is needed.
#ifndef FOVEA_COMPILER_KERNELS_EMIT_MAPANALYSIS_H
#define FOVEA_COMPILER_KERNELS_EMIT_MAPANALYSIS_H

#include "dialects/kernel/KernelDialect.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/SmallBitVector.h"

namespace fovea::kernels {

/// A *row* is all points along the reduced axes. Pass p computes the reductions whose operand needs the results of p
/// earlier passes; values that differ along a row are computed again in each pass that needs them, the others once a
/// row.
///
///   LayerNorm: pass 0: sum(x); pass 1: sum((x - mean)^2); then the write pass.
class MapAnalysis {
public:
  explicit MapAnalysis(kernel::MapOp map);

  llvm::ArrayRef<int64_t> reducedAxes() const { return reduced; }
  /// The axis that lanes run along: the last one, unless another one makes more accesses contiguous. Lanes that are not
  /// reduced do not become so, nor do they leave the last axis where anything is reduced.
  int64_t laneAxis() const { return lane; }
  bool isReduced(int64_t axis) const { return llvm::is_contained(reduced, axis); }
  /// Whether an access steps over memory from lane to lane, so that neighbouring points of another axis share its cache
  /// lines.
  bool stridesLanes() const { return strided; }
  /// The first of the axes whose points are stored in row-major order; none where stores never meet.
  std::optional<int64_t> orderedFrom() const { return ordered; }
  bool reducesLanes() const { return isReduced(lane); }
  /// The axes that are neither reduced nor the lanes', slowest first: as they come, unless rows are reduced along the
  /// lanes and lie in memory in another order.
  llvm::ArrayRef<int64_t> itemAxes() const { return items; }
  /// Whether each lane has sums of its own, which need few instructions and read adjacent elements.
  bool reducesAcross() const { return across; }
  /// The number of passes that reduce.
  int64_t passes() const { return passCount; }
  bool hasChecks() const { return checks; }
  /// Rough cost of a point, in simple operations.
  int64_t costPerPoint() const { return cost; }

  /// Ops that are the same along the row, in order, with the pass before which they can run; `outsideLanes`: those that
  /// are also the same along the lane axis and need no reduction.
  llvm::SmallVector<mlir::Operation *> rowOps(int64_t pass, bool outsideLanes) const;
  llvm::SmallVector<kernel::ReduceOp> reductions(int64_t pass) const;
  /// Everything that differs along the row and that pass `pass` needs, in order; pass number passes() is the write
  /// pass.
  llvm::SmallVector<mlir::Operation *> innerOps(int64_t pass) const;
  /// Whether `check` reports its failures in `pass`.
  bool reportsIn(kernel::CheckOp check, int64_t pass) const;

  /// Axes before the last, from the last but one downwards, that may run together with it if sizes and strides allow.
  int64_t collapsibleAxes() const { return collapsible; }

private:
  struct Facts {
    llvm::SmallBitVector axes; ///< whose index the op depends on, not through reductions
    int64_t level = 0;         ///< how many passes come before
  };
  void analyse(mlir::Operation &op);
  bool isInner(mlir::Operation *op) const;
  bool alongLanes(const Facts &facts) const { return rank != 0 && facts.axes.test(lane); }
  int64_t chooseLaneAxis() const;
  bool sumsAcross();
  llvm::SmallVector<int64_t> orderItems() const;
  bool readsOutside(int64_t axis, int64_t other) const;
  int64_t countCollapsible() const;

  mlir::Block &block;
  int64_t rank;
  llvm::SmallVector<int64_t> reduced, items;
  llvm::SmallBitVector unit; ///< axes of one element, statically
  llvm::SmallBitVector few;  ///< axes of so few that lanes along them would mostly idle
  llvm::DenseMap<mlir::Operation *, Facts> facts;
  std::optional<int64_t> ordered;
  int64_t lane = 0, passCount = 0, cost = 0, collapsible = 0;
  bool checks = false, strided = false, across = false;
};

} // namespace fovea::kernels
#endif
