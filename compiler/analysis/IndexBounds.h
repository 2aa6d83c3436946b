// Ranges of values computed from indices, sizes and constants, by the interval rules of the elementwise table.
#pragma once

#include "dialects/graph/GraphDialect.h"
#include "llvm/ADT/DenseMap.h"

#include <optional>

namespace fovea {

/// Bounds of all elements of an integer or bool tensor (0 or 1) as sizes.
using IndexRange = graph::Interval<DimExpr>;
/// Bounds of all elements of an f32 tensor.
using RealRange = graph::Interval<double>;

/// What is known of values in one function, whatever its sizes are. For tensors without elements any bounds hold.
///
/// Starts from iota, sizes and constants; goes through layout ops, slices, gathers, concatenations and elementwise ops.
/// Bounds with numbers beyond 2^40, which could leave 64 bits together with a size, are not known. Valid while the IR
/// does not change.
class IndexBounds {
public:
  /// What `function` requires of its sizes is used (where it is not null).
  explicit IndexBounds(graph::FuncOp function = {});

  IndexRange rangeOf(mlir::Value tensor) { return integers(tensor, 0); }
  RealRange realRangeOf(mlir::Value tensor) { return reals(tensor, 0); }
  /// Whether all elements are proved to be in [0, size).
  bool isWithin(mlir::Value tensor, DimExpr size);
  /// The value of all elements of a bool tensor, where it is proved.
  std::optional<bool> truthOf(mlir::Value condition);
  /// Proved of sizes, by algebra or by what the function requires.
  bool isAtMost(DimExpr a, DimExpr b) const;

private:
  IndexRange integers(mlir::Value tensor, unsigned depth);
  IndexRange compute(mlir::Value tensor, unsigned depth);
  IndexRange comparison(graph::CompareOp op, unsigned depth);
  RealRange reals(mlir::Value tensor, unsigned depth);
  RealRange computeReal(mlir::Operation *op, unsigned depth);
  bool isNonNegative(DimExpr e, unsigned depth = 0) const;

  llvm::SmallVector<std::pair<DimExpr, DimExpr>> required; ///< first <= second
  llvm::DenseMap<mlir::Value, IndexRange> known;
  llvm::DenseMap<mlir::Value, RealRange> knownReal;
};

} // namespace fovea
