// Ranges of values computed from indices, sizes and constants, by the interval rules of the elementwise table.
#pragma once

#include "dialects/graph/GraphDialect.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/SmallPtrSet.h"

#include <optional>
#include <utility>

namespace fovea {

/// Bounds of all elements of an integer or bool tensor (0 or 1) as sizes.
using IndexRange = graph::Interval<DimExpr>;
/// Bounds of all elements of an f32 tensor.
using RealRange = graph::Interval<double>;

/// What is known of values in one function, whatever its sizes are. For tensors without elements any bounds hold.
///
/// Starts from iota, sizes and constants; goes through layout ops, slices, gathers, concatenations and elementwise ops,
/// between integers and f32 as well. Each side of a choice is bounded where its condition holds, or does not.
/// Bounds with numbers beyond 2^40, which could leave 64 bits together with a size, are not known. Valid while the IR
/// does not change.
class IndexBounds {
public:
  /// What `function` requires of its sizes is used (where it is not null).
  explicit IndexBounds(graph::FuncOp function = {});
  IndexBounds(const IndexBounds &) = delete;

  IndexRange rangeOf(mlir::Value tensor) { return integers(tensor, 0); }
  RealRange realRangeOf(mlir::Value tensor) { return reals(tensor, 0); }
  /// Whether all elements are proved to be in [0, size).
  bool isWithin(mlir::Value tensor, DimExpr size);
  /// The value of all elements of a bool tensor, where it is proved.
  std::optional<bool> truthOf(mlir::Value condition);
  /// Proved of sizes, by algebra or by what the function requires.
  bool isAtMost(DimExpr a, DimExpr b) const;

private:
  /// What is known where the conditions of some choices hold: of values that these compare, and of what is computed
  /// from them, element by element.
  struct Context {
    llvm::DenseMap<mlir::Value, IndexRange> integers;
    llvm::DenseMap<mlir::Value, RealRange> reals;
    llvm::SmallPtrSet<const void *, 4> assumed; ///< values whose ranges the conditions say
    unsigned conditions = 0;                    ///< one within another
    bool isNarrower = false;                    ///< than what is around it
    bool isEmpty = false;                       ///< they hold nowhere
  };
  IndexRange integers(mlir::Value tensor, unsigned depth);
  IndexRange compute(mlir::Value tensor, unsigned depth);
  IndexRange comparison(graph::CompareOp op, unsigned depth);
  RealRange reals(mlir::Value tensor, unsigned depth);
  RealRange computeReal(mlir::Operation *op, unsigned depth);
  /// The range of a choice from those of its sides, which `of` gives.
  template <typename Range, typename Join>
  Range choice(graph::SelectOp op, unsigned depth, Range (IndexBounds::*of)(mlir::Value, unsigned), Join join);
  Context assuming(mlir::Value condition, bool truth, unsigned depth);
  void assume(Context &context, mlir::Value condition, bool truth, unsigned depth);
  void assumeOrdered(Context &context, mlir::Value less, mlir::Value more, bool isStrict, unsigned depth);
  void narrow(Context &context, mlir::Value value, IndexRange to, unsigned depth);
  void narrow(Context &context, mlir::Value value, RealRange to, unsigned depth);
  /// Elements at other places: what holds where a value is read says nothing of them.
  template <typename F> auto elsewhere(F compute) {
    Context *here = std::exchange(context, &everywhere);
    auto result = compute();
    context = here;
    return result;
  }
  bool isNonNegative(DimExpr e, unsigned depth = 0) const;

  llvm::SmallVector<std::pair<DimExpr, DimExpr>> required; ///< first <= second
  Context everywhere;
  Context *context = &everywhere;
};

} // namespace fovea
