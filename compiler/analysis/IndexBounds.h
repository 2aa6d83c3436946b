// Bounds of integer tensors computed from indices, sizes and constants.
#pragma once

#include "dialects/dim/DimExpr.h"
#include "mlir/IR/Value.h"

#include <optional>

namespace fovea {

/// Bounds of all elements of an integer tensor; a missing one is not known. Both are inclusive.
struct IndexBounds {
  std::optional<DimExpr> low, high;
};

/// Bounds through iota, sizes, constants, casts between integers, addition, subtraction, negation, min, max and layout
/// ops. For tensors without elements any bounds hold.
IndexBounds boundsOf(mlir::Value tensor);

/// Whether all elements are proved to be in [0, size).
bool isWithin(mlir::Value tensor, DimExpr size);

} // namespace fovea
