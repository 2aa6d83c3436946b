// How far apart the values of an index are within a tile of an attention's scores.
#pragma once

#include "mlir/IR/Block.h"
#include "llvm/ADT/SmallVector.h"

#include <optional>

namespace fovea {

/// Whether an index of a score region, whose block's last arguments are a query and a key, depends on these.
struct IndexDependence {
  bool query = false, key = false;
  bool any() const { return query || key; }
};
IndexDependence dependenceOf(mlir::Value index, mlir::Block &region);

/// What is subtracted from an argument of the region where an index is that less sizes, as it is of a tensor that has
/// some of the keys; nullopt for other indices.
std::optional<llvm::SmallVector<mlir::Value, 2>> sizesTaken(mlir::Value index, mlir::BlockArgument argument);

/// A bound of the greatest minus the least value that `index` has over any `queries` by `keys` neighbours; nullopt
/// where none follows from its form: sums and differences of query and key, clamped and scaled by constants,
/// and what is the same for all.
std::optional<int64_t> indexSpread(mlir::Value index, mlir::Block &region, int64_t queries, int64_t keys);

/// Rows that a tile may take of a product that is read at other places: beyond, computing them with the tile would cost
/// more than it saves.
inline constexpr int64_t mostIndexSpread = 512;

} // namespace fovea
