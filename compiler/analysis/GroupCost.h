// What running a group costs.
#pragma once

#include "dialects/graph/GraphDialect.h"

namespace fovea {

/// Keys that linear attention takes at a time. Up to the size of heads most work is with the matrix of D x E, whatever
/// the chunk; larger ones cost more within.
inline constexpr int64_t linearChunk = 64;

/// Operations of a group over the function's symbols; of attention those of all tiles. Null where they are no
/// expression.
DimExpr flopsOf(graph::GroupOp group);

} // namespace fovea
