// Size expressions as SSA values.
#pragma once

#include "compiler/analysis/MemoryPlan.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/DenseMap.h"

#include <functional>

namespace fovea::kernels {

/// Builds the values of size expressions at the builder's insertion point, each expression once. All that it has built
/// must dominate where it is asked again.
class DimEmitter {
public:
  using Symbols = std::function<mlir::Value(llvm::StringRef)>; // index values

  DimEmitter(mlir::OpBuilder &builder, mlir::Location loc, Symbols symbols)
      : b(builder), loc(loc), symbols(std::move(symbols)) {}

  mlir::Value index(DimExpr e);
  mlir::Value constant(int64_t value);
  /// Uses `value` wherever `e` is asked for.
  void define(DimExpr e, mlir::Value value) { values[e.opaque()] = value; }

private:
  mlir::Value sum(DimExpr e);

  mlir::OpBuilder &b;
  mlir::Location loc;
  Symbols symbols;
  llvm::DenseMap<const void *, mlir::Value> values;
  llvm::DenseMap<int64_t, mlir::Value> constants;
};

/// The value of `formula` as i64 with every step checked; -1 (as index) where one overflows.
mlir::Value emitChecked(mlir::OpBuilder &b, mlir::Location loc, const SizeFormula &formula,
                        const DimEmitter::Symbols &symbols);

} // namespace fovea::kernels
