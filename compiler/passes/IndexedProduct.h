// A product that scores read at places of their own, such as a distance, as graph.dot in their region.
#pragma once

#include "dialects/graph/GraphDialect.h"

#include "mlir/IR/Builders.h"

namespace fovea {

/// The element of `product` at `indices`, values of the score region where `builder` stands.
///
/// One operand's row is the query or the key. The other's moves with both by steps (IndexSpread), so that a tile of the
/// scores reads few of its rows, and there are more of them than a tile has keys. Null otherwise, and nothing is built.
graph::DotOp buildDot(mlir::OpBuilder &builder, graph::ContractOp product, mlir::ValueRange indices);

} // namespace fovea
