// Which axes a reduction of attention's weights runs over first: the keys or the queries. What they leave is small.
#pragma once

#include "compiler/passes/ElementExpression.h"

namespace fovea {

/// A reduction in two steps. Axes that join several are taken apart: over a joined axis it is one over each of those.
struct ReductionOrder {
  llvm::SmallVector<llvm::SmallVector<DimExpr, 1>> parts; ///< for each axis before, the sizes of those that it becomes
  llvm::SmallVector<int64_t> first, after;                ///< of the axes that there are then; all others stay

  /// `value` with the axes that there are then.
  mlir::Value takeApart(mlir::OpBuilder &builder, mlir::Location loc, mlir::Value value) const;
  /// What is left after the first step, reduced over the rest. `axes`: those that `value` still has.
  mlir::Value reduceRest(mlir::OpBuilder &builder, mlir::Location loc, llvm::StringRef kind, mlir::Value value,
                         llvm::ArrayRef<int64_t> axes, graph::TensorType result) const;
};

/// How a reduction over `axes` of what depends on the weights of a softmax, element by element, is one over its keys,
/// or over what else one factor of the scores has alone. Nullopt where it runs over nothing of that kind: heads that
/// queries and keys have both.
std::optional<ReductionOrder> orderOfReduction(mlir::Value value, llvm::ArrayRef<int64_t> axes);

/// Whether a value depends on a softmax's result element by element.
bool dependsOnWeights(mlir::Value value);

} // namespace fovea
