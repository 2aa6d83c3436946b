// What depends on the distance between queries and keys alone, as a table by distance.
#pragma once

#include "compiler/analysis/IndexBounds.h"

namespace fovea {

/// A value of queries and keys as a table: its element at a query and a key is that of `table` at
/// query - key + `origin`.
struct DistanceTable {
  mlir::Value table;          ///< axes of the value, but for the keys'; the queries' is that of distances
  int64_t queryAxis, keyAxis; ///< of the value
  DimExpr origin;
};

/// The table of a gather whose places are costly functions of the distance, such as T5's logarithmic buckets: it is
/// made once, of as many elements as there are queries and keys together, where the gather has one for each pair.
/// Nullopt where it is no such gather, or a place is not proved to be in what is gathered from.
std::optional<DistanceTable> tableByDistance(mlir::OpBuilder &builder, graph::GatherOp gather);

} // namespace fovea
