// kernel.map as loops of vectors.
//
//   no reduction            for item in tasks: for lanes of the item's block: program        (whole vectors, then one
//   masked) lanes are not reduced   … for lanes: for each pass: for the reduced axes: partial results stay in lanes;
//   then the write loop lanes are reduced       for row in tasks: for each pass: for spans of 1024, for lanes: 4
//   accumulators; then the write loop
//
// An item is one point of the axes that are neither reduced nor the lanes', by one block of lanes. A task is a fixed
// number of items, so bits depend on sizes only through a row's own length.
#ifndef FOVEA_COMPILER_KERNELS_EMIT_MAP_H
#define FOVEA_COMPILER_KERNELS_EMIT_MAP_H

#include "compiler/kernels/emit/Combine.h"
#include "compiler/kernels/emit/MapAnalysis.h"
#include "compiler/kernels/emit/ScheduleEmitter.h"
#include "compiler/kernels/emit/Vectorize.h"

namespace fovea::kernels {

class MapEmitter : public ScheduleEmitter {
public:
  MapEmitter(kernel::MapOp op, const Target &target)
      : ScheduleEmitter(target), map(op), analysis(op), loc(op.getLoc()), lanes(target.vectorLength) {}

  mlir::FailureOr<mlir::Value> emitTasks(mlir::OpBuilder &builder, mlir::IRMapping &outer) override;
  mlir::FailureOr<mlir::Value> emitScratch(mlir::OpBuilder &builder, mlir::IRMapping &outer) override;
  mlir::LogicalResult emitRun(mlir::OpBuilder &builder, mlir::IRMapping &outer, const RunArguments &arguments) override;

private:
  /// How the box is cut; the same in every function of a kernel.
  struct Cut {
    llvm::SmallVector<mlir::Value> sizes; ///< an axis that was merged into the next one has size 1
    mlir::Value blocks;                   ///< blocks of lanes of a row; 1 where lanes are reduced
    mlir::Value items;
    mlir::Value itemsPerTask;
  };
  int64_t laneBlock() const;
  Cut emitCut(mlir::OpBuilder &b, mlir::IRMapping &outer);
  void emitCollapse(mlir::OpBuilder &b, mlir::IRMapping &outer, llvm::MutableArrayRef<mlir::Value> sizes);
  mlir::Value emitContiguous(mlir::OpBuilder &b, mlir::IRMapping &outer, int64_t axis, mlir::Value size);
  mlir::LogicalResult emitItem(mlir::Value item);
  using Fixed = llvm::ArrayRef<std::pair<int64_t, mlir::Value>>; ///< axes and their indices
  mlir::FailureOr<PointVectorizer> emitOutside(Fixed fixed);
  mlir::LogicalResult emitBlock(Fixed fixed, mlir::Value low, mlir::Value high);
  mlir::LogicalResult emitRow(PointVectorizer &row);
  mlir::LogicalResult emitPass(PointVectorizer &row, int64_t pass);
  mlir::LogicalResult emitWrites(PointVectorizer &row);

  using Body = llvm::function_ref<mlir::LogicalResult(mlir::Value base, mlir::Value mask)>;
  mlir::LogicalResult forLanes(mlir::Value low, mlir::Value high, Body body);
  using Carried = llvm::SmallVector<mlir::Value>;
  using CarriedBody = llvm::function_ref<mlir::FailureOr<Carried>(mlir::Value index, mlir::ValueRange carried)>;
  mlir::FailureOr<Carried> forRange(mlir::Value low, mlir::Value high, int64_t step, mlir::ValueRange carried,
                                    CarriedBody body);
  /// Loops over `axes`, the last one innermost.
  mlir::FailureOr<Carried> forAxes(llvm::ArrayRef<int64_t> axes, mlir::ValueRange carried,
                                   llvm::function_ref<mlir::FailureOr<Carried>(mlir::ValueRange carried)> body);
  mlir::FailureOr<Carried> reduceLanes(PointVectorizer &row, int64_t pass, mlir::ValueRange totals);
  mlir::FailureOr<Carried> reduceSpan(PointVectorizer &row, int64_t pass, mlir::Value low, mlir::Value high);
  mlir::FailureOr<Carried> reduceAcross(PointVectorizer &row, int64_t pass, mlir::ValueRange totals);
  /// The partial results of one point or vector of points, in order of the pass's reductions.
  mlir::FailureOr<llvm::SmallVector<Partial>> emitPoint(PointVectorizer &row, int64_t pass, mlir::Value mask,
                                                        mlir::Value along);
  mlir::LogicalResult emitInner(PointVectorizer &inner, int64_t pass);

  /// Binds the index of `axis`; the lane axis' to `base` + lane.
  void bindAxis(PointVectorizer &lanes, int64_t axis, mlir::Value index);
  FailureContext failureContext();
  mlir::Value constant(int64_t value);
  mlir::Value add(mlir::Value x, mlir::Value y);
  mlir::Value mul(mlir::Value x, mlir::Value y);

  kernel::MapOp map;
  MapAnalysis analysis;
  mlir::Location loc;
  int64_t lanes; ///< that are computed at once
  // Of the function being emitted:
  mlir::OpBuilder *b = nullptr;
  mlir::IRMapping *outer = nullptr;
  mlir::Value exec;
  Cut cut;
  llvm::SmallVector<mlir::Value> indices; ///< the current index of each axis (of lane 0), null outside of its loop
};

} // namespace fovea::kernels
#endif
