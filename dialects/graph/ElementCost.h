// What an element costs.
#pragma once

#include "mlir/IR/Operation.h"

namespace fovea::graph {

/// Whether the op's elements are worth more than reading one again.
bool isCostly(mlir::Operation *op);

} // namespace fovea::graph
