// What verifiers and canonical forms ask of tensor types.
#pragma once

#include "dialects/graph/GraphDialect.h"

namespace fovea::graph {

using Tensor = TensorType;

inline bool isFloat(Tensor t) { return mlir::isa<mlir::FloatType>(t.getElementType()); }
inline bool isBool(Tensor t) { return t.getElementType().isInteger(1); }
inline bool isScalarI64(Tensor t) { return t.getRank() == 0 && t.getElementType().isInteger(64); }
inline bool inRange(int64_t axis, Tensor t) { return axis >= 0 && axis < t.getRank(); }

inline bool isAscendingAxes(llvm::ArrayRef<int64_t> axes, int64_t rank) {
  for (auto [i, axis] : llvm::enumerate(axes))
    if (axis < 0 || axis >= rank || (i && axes[i - 1] >= axis))
      return false;
  return true;
}

/// `type` without the axes.
inline llvm::SmallVector<DimExpr> without(Tensor type, llvm::ArrayRef<int64_t> axes) {
  llvm::SmallVector<DimExpr> dims;
  for (auto [i, e] : llvm::enumerate(type.getDims()))
    if (!llvm::is_contained(axes, int64_t(i)))
      dims.push_back(e);
  return dims;
}

} // namespace fovea::graph
