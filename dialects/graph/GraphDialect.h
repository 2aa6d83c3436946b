// The graph dialect: what a model means. Rationale: docs/graph.md.
#pragma once

#include "dialects/AttentionOperands.h"
#include "dialects/dim/DimExpr.h"
#include "dialects/graph/Algebra.h"
#include "dialects/graph/Intervals.h"

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/CallInterfaces.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/ADT/Hashing.h"

namespace fovea {
inline llvm::hash_code hash_value(DimExpr e) { return llvm::hash_value(e.opaque()); }
} // namespace fovea

#include "dialects/graph/GraphDialect.h.inc"

#define GET_TYPEDEF_CLASSES
#include "dialects/graph/GraphTypes.h.inc"

#define GET_ATTRDEF_CLASSES
#include "dialects/graph/GraphAttributes.h.inc"

namespace fovea::graph::detail {
mlir::LogicalResult verifyElementwise(mlir::Operation *op);
}
#include "dialects/graph/GraphInterfaces.h.inc"

#define GET_OP_CLASSES
#include "dialects/graph/GraphOps.h.inc"

namespace fovea::graph {

/// Registers the graph dialect; what it depends on is loaded with it.
void registerDialect(mlir::DialectRegistry &registry);

/// Names of the discardable attributes on arguments and results of a graph.func, and of the module.
namespace names {
inline constexpr llvm::StringLiteral input = "graph.input", param = "graph.param", state = "graph.state",
                                     derived = "graph.derived", output = "graph.output",
                                     scalarSymbol = "graph.scalar_symbol", model = "graph.model",
                                     params = "graph.params", states = "graph.states",
                                     part = "graph.part", ///< of a softmax: a slice of another one's rows
    statistic = "graph.statistic",              ///< of a sum or a top_k: of what attention weights are computed from
    unfusedBackward = "graph.unfused_backward"; ///< of a softmax: why its gradient is not that of a fused attention
} // namespace names

/// Parses a size expression: names, integers, + - *, floordiv, mod, max, min, parentheses.
mlir::ParseResult parseDim(mlir::AsmParser &parser, DimExpr &result);
void printDim(mlir::AsmPrinter &printer, DimExpr e);

/// The expressions in an array of #graph.dim, e.g. a call's substitution.
llvm::SmallVector<DimExpr> getSizes(mlir::ArrayAttr sizes);
mlir::ArrayAttr getSizesAttr(mlir::MLIRContext *context, llvm::ArrayRef<DimExpr> sizes);

/// The constant that every element of `value` is: of a graph.constant, or of layout ops on one. Null where it is none.
mlir::TypedAttr getSplat(mlir::Value value);

/// `type` with the callee's symbols replaced: symbols[i] by sizes[i].
TensorType substitute(TensorType type, mlir::ArrayAttr symbols, mlir::ArrayAttr sizes);

} // namespace fovea::graph

namespace fovea {

/// The type of a value that is known to be a tensor.
inline graph::TensorType typeOf(mlir::Value value) { return mlir::cast<graph::TensorType>(value.getType()); }

/// `type` with another size of an axis.
graph::TensorType withDim(graph::TensorType type, int64_t axis, DimExpr size);

} // namespace fovea
