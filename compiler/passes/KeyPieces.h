// Tensors that are given for pieces of the keys as one over all of them: masks, biases, scales of a cache and of what
// is new.
#pragma once

#include "compiler/analysis/IndexBounds.h"
#include "compiler/passes/ElementExpression.h"

namespace fovea {

/// Joins along an axis whose pieces have `sizes`. Builds at one place.
///
/// What is computed from indices, or is the same for all keys of a piece, is chosen by the key's index, so that a
/// causal mask of one piece stays a formula; so is nothing held for it. Tensors that have the axis are concatenated, as
/// near to where they come from as the pieces are alike: attention's regions read each where it lies.
class KeyPieces {
public:
  /// `bounds` holds for the function as it is now: the ops it is asked about must not change.
  KeyPieces(mlir::OpBuilder &builder, mlir::Location loc, llvm::ArrayRef<DimExpr> sizes, IndexBounds &bounds);

  mlir::Value joined(llvm::ArrayRef<mlir::Value> pieces, int64_t axis);
  /// A tensor like piece `number` of `type` along `axis`, whose elements are all `value`.
  mlir::Value number(size_t piece, graph::TensorType type, int64_t axis, double value);

private:
  mlir::Value splat(graph::TensorType type, double value);
  graph::TensorType whole(graph::TensorType type, int64_t axis);
  mlir::Value joinedConstants(llvm::ArrayRef<mlir::Value> pieces, int64_t axis);
  mlir::Value joinedChoices(llvm::ArrayRef<mlir::Value> pieces, int64_t axis);
  mlir::Value joinedAlike(llvm::ArrayRef<mlir::Value> pieces, int64_t axis);
  mlir::Value joinedLayouts(llvm::ArrayRef<mlir::Value> pieces, int64_t axis);
  mlir::Value chosen(llvm::ArrayRef<mlir::Value> pieces, int64_t axis);
  mlir::Value chosenTruth(llvm::ArrayRef<mlir::Value> pieces, int64_t axis);
  mlir::Value compared(graph::TensorType type, int64_t axis, llvm::StringRef predicate, DimExpr bound);
  bool mayExtend(mlir::Value value, int64_t axis, unsigned depth = 0);
  bool decideExtension(mlir::Value value, int64_t axis, unsigned depth);
  mlir::Value extended(mlir::Value value, int64_t axis, size_t piece);
  mlir::Value extendedGather(graph::GatherOp op, int64_t axis, size_t piece);

  mlir::OpBuilder &builder;
  mlir::Location loc;
  llvm::SmallVector<DimExpr> sizes, begins; ///< of the pieces
  DimExpr total;
  IndexBounds &bounds;
  std::map<std::tuple<const void *, int64_t, size_t>, mlir::Value> known; ///< extended values
  std::map<std::pair<const void *, int64_t>, bool> decided;
  unsigned steps = 0;
};

/// The axis of a layout's operand that is `axis` of its result and moves alone; nullopt where there is none.
std::optional<int64_t> axisOfOperand(mlir::Operation *layout, int64_t axis);

} // namespace fovea
