// Views: how the elements of a tensor lie in a buffer, as size expressions. No MLIR here.
#pragma once

#include "dialects/dim/DimExpr.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace fovea {

/// Element (i0, i1, ...) of a tensor with sizes `dims` lies at element offset + i0 * strides[0] + ... of a buffer.
///
/// Strides may be 0 (a broadcast axis) or negative (a slice with a negative step). The layout functions give the view
/// of the op's result from the view of its operand, or nullopt where no offset and strides express it.
struct View {
  std::vector<DimExpr> dims;
  DimExpr offset = DimExpr(0);
  std::vector<DimExpr> strides;

  bool operator==(const View &) const = default;

  /// Row-major and without holes, from element 0.
  static View identity(std::vector<DimExpr> dims);
  /// Whether this is `identity(dims)`. Axes of literal size 1 may have any stride.
  bool isIdentity() const;

  /// Result axis i is axis permutation[i].
  View transposed(const std::vector<int64_t> &permutation) const;
  View inverseTransposed(const std::vector<int64_t> &permutation) const;
  /// axes[i] is the result axis of axis i; the other axes of `to` are new and have stride 0.
  View broadcast(const std::vector<int64_t> &axes, const std::vector<DimExpr> &to) const;
  View sliced(int64_t axis, DimExpr start, int64_t step, DimExpr size) const;
  /// The same elements in row-major order with sizes `to`. Axes are grouped where products of sizes agree as
  /// polynomials; within a group the axes of *this must run on into one another.
  std::optional<View> reshaped(const std::vector<DimExpr> &to) const;
  /// Merges the neighbouring axes [first, last] into one.
  std::optional<View> merged(size_t first, size_t last) const;
};

/// Row-major strides of a box.
std::vector<DimExpr> rowMajorStrides(const std::vector<DimExpr> &dims);

/// Cuts two boxes with as many elements into runs of axes [begin, end) with equal products, as short as possible and
/// in order, literal 1s joining the run before them. Nullopt where the products of the whole boxes differ.
struct AxisRun {
  size_t fromBegin, fromEnd, toBegin, toEnd;
};
std::optional<std::vector<AxisRun>> matchAxes(const std::vector<DimExpr> &from, const std::vector<DimExpr> &to);

} // namespace fovea
