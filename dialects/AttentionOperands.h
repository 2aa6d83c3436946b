// Lists of operands that the attention ops of both dialects have.
#pragma once

#include "mlir/IR/ValueRange.h"

namespace fovea {

/// `first` and what is behind it.
inline llvm::SmallVector<mlir::Value> withMore(mlir::Value first, mlir::ValueRange more) {
  llvm::SmallVector<mlir::Value> all{first};
  llvm::append_range(all, more);
  return all;
}

using QueriesAndKeys = llvm::SmallVector<std::pair<mlir::Value, mlir::Value>, 2>;

/// q and k, and the pairs that are joined to them.
inline QueriesAndKeys withJoined(mlir::Value q, mlir::Value k, mlir::ValueRange joinedQ, mlir::ValueRange joinedK) {
  QueriesAndKeys parts{{q, k}};
  for (auto [alsoQ, alsoK] : llvm::zip(joinedQ, joinedK))
    parts.push_back({alsoQ, alsoK});
  return parts;
}

} // namespace fovea
