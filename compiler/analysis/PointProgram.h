// Pulls one element of a graph value: tensor ops become scalar code for one point of an iteration space.
#pragma once

#include "dialects/dim/DimExpr.h"
#include "dialects/graph/GraphDialect.h"
#include "mlir/IR/Builders.h"
#include "llvm/ADT/DenseMap.h"

#include <functional>
#include <map>

namespace fovea {

/// What a point program takes from outside. Every member but `read` may be empty.
struct PointCallbacks {
  /// The element of `tensor`, which the program does not compute (see `isLeaf`), at `indices` (one index an axis).
  /// Where `guard` (i1) is not null it tells whether the element is needed: where it is false the indices may be
  /// outside the tensor, and any value will do. The result has the tensor's element type (i1 for bool).
  std::function<llvm::FailureOr<mlir::Value>(mlir::Value tensor, mlir::ValueRange indices, mlir::Value guard)> read;
  /// Whether `tensor` is read and not computed. Block arguments and results of ops without a rule (contract, softmax,
  /// attention, argmax, call...; reduce where `reduce` is empty) are always read. `read` may answer with another
  /// element of the same program, and so replace a value.
  std::function<bool(mlir::Value tensor)> isLeaf;
  /// A size as an index. Default: arith.constant where it is a constant, graph.size otherwise.
  std::function<mlir::Value(DimExpr size, mlir::Location loc)> size;
  /// The element of a reduction at `indices` (of its result). The callback chooses the indices along the reduced axes
  /// and pulls the operand with `PointProgram::element`.
  std::function<llvm::FailureOr<mlir::Value>(graph::ReduceOp reduce, mlir::ValueRange indices)> reduce;
  /// Called for every gather that is not proved to stay inside (IndexBounds), with its index (index type) and the size
  /// that it must be below; `guard` as in `read`. Failure ends the pull. Empty: no check.
  std::function<llvm::LogicalResult(mlir::Value index, DimExpr size, mlir::Value guard, mlir::Location loc)> check;
};

/// Builds scalar code (arith, math, and what the callbacks build) for elements of graph values, at the builder's
/// insertion point.
///
/// Rules: elementwise ops, broadcast, transpose, reshape (index arithmetic; splits, merges and their inverses cost
/// nothing where axes line up), slice, update_slice, gather, concat (selects, with guards), iota, constant, dim.
/// Elements are shared: a value asked for twice at the same indices is built once, so the builder must stay in one
/// block, at places that earlier results dominate. Not thread-safe.
class PointProgram {
public:
  PointProgram(mlir::OpBuilder &builder, PointCallbacks callbacks)
      : builder(builder), callbacks(std::move(callbacks)) {}

  /// The element of `tensor` at `indices`: index values, one an axis, each within [0, size).
  /// Fails where a callback fails (which has reported or knows why), and where more than 4000 ops follow one another
  /// (the stack is finite: cut longer chains by `isLeaf`); builds nothing else then.
  llvm::FailureOr<mlir::Value> element(mlir::Value tensor, mlir::ValueRange indices);

  /// As above, where the element is needed only if `guard` (i1, may be null) holds.
  llvm::FailureOr<mlir::Value> element(mlir::Value tensor, mlir::ValueRange indices, mlir::Value guard);

  /// A size as an index value, built once.
  mlir::Value size(DimExpr size, mlir::Location loc);

  /// The row-major position of `indices` in a box of `sizes`, and its inverse. Each undoes the other without code:
  /// `linearize(delinearize(x, s), s)` is x, `delinearize(linearize(i, s), s)` is i, and likewise for sub-boxes that
  /// line up as polynomials.
  mlir::Value linearize(mlir::ValueRange indices, llvm::ArrayRef<DimExpr> sizes, mlir::Location loc);
  llvm::SmallVector<mlir::Value> delinearize(mlir::Value index, llvm::ArrayRef<DimExpr> sizes, mlir::Location loc);
  /// The indices in a box of `to` of the element that has `indices` in a box of `from` (as many elements).
  llvm::SmallVector<mlir::Value> reindex(mlir::ValueRange indices, llvm::ArrayRef<DimExpr> from,
                                         llvm::ArrayRef<DimExpr> to, mlir::Location loc);

  mlir::Value constantIndex(int64_t value, mlir::Location loc);

  /// The indices of the operand's element that a broadcast, transpose or reshape gives at `indices`.
  llvm::SmallVector<mlir::Value> layoutIndices(mlir::Operation *layout, mlir::ValueRange indices);

  /// The indices of x that a scatter writes v's element at `indices` to.
  llvm::FailureOr<llvm::SmallVector<mlir::Value>> scatteredTo(graph::ScatterOp op, mlir::ValueRange indices);

private:
  using Result = llvm::FailureOr<mlir::Value>;
  struct Linear { // a value that is the row-major position of `indices`
    llvm::SmallVector<mlir::Value> indices;
    llvm::SmallVector<DimExpr> sizes;
  };
  struct Digit { // a value that is one digit of `source` written in a box of `sizes`
    mlir::Value source;
    llvm::SmallVector<DimExpr> sizes;
    size_t position;
  };

  Result compute(mlir::Operation *op, mlir::ValueRange indices, mlir::Value guard);
  Result slice(graph::SliceOp op, mlir::ValueRange indices, mlir::Value guard);
  Result updateSlice(graph::UpdateSliceOp op, mlir::ValueRange indices, mlir::Value guard);
  Result gather(graph::GatherOp op, mlir::ValueRange indices, mlir::Value guard);
  /// Indices of x for an element of what is gathered.
  template <typename Op>
  mlir::FailureOr<llvm::SmallVector<mlir::Value>> gatheredFrom(Op op, mlir::ValueRange indices, mlir::Value guard);
  Result concat(graph::ConcatOp op, mlir::ValueRange indices, mlir::Value guard);
  Result elementwise(graph::ElementwiseOpInterface op, mlir::ValueRange indices, mlir::Value guard);
  /// The first element of a slice: its operand's value or its attribute's size.
  Result sliceStart(mlir::Value offset, std::optional<graph::DimAttr> start, mlir::Value guard, mlir::Location loc);
  mlir::Value both(mlir::Value guard, mlir::Value condition, mlir::Location loc);
  mlir::Value constantAttr(mlir::TypedAttr value, mlir::Location loc);

  mlir::OpBuilder &builder;
  PointCallbacks callbacks;
  struct Key {
    mlir::Value tensor, guard;
    llvm::SmallVector<mlir::Value> indices;
    bool operator<(const Key &other) const;
  };
  std::map<Key, mlir::Value> elements;
  llvm::DenseMap<mlir::Value, Linear> linears;
  llvm::DenseMap<mlir::Value, Digit> digits;
  std::map<const void *, mlir::Value> sizes; // by DimExpr
  llvm::DenseMap<mlir::Attribute, mlir::Value> constants;
  unsigned depth = 0;
};

/// Whether an element can be pulled through `op` (it has a rule in PointProgram; reductions aside).
bool hasPointRule(mlir::Operation *op);

} // namespace fovea
