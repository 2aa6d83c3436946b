// The arithmetic of reductions: what to start from, how two partial results combine, how lanes combine.
#ifndef FOVEA_COMPILER_KERNELS_EMIT_COMBINE_H
#define FOVEA_COMPILER_KERNELS_EMIT_COMBINE_H

#include "dialects/kernel/KernelDialect.h"
#include "mlir/IR/Builders.h"

namespace fovea::kernels {

/// A partial result, scalar or vector of lanes: the value and, for argmax, the index (i64) that it stands at.
struct Partial {
  mlir::Value value;
  mlir::Value index;
};

/// One kernel.reduce. All methods work on scalars and vectors alike.
class Combiner {
public:
  Combiner(mlir::OpBuilder &builder, kernel::ReduceOp op) : b(builder), loc(op.getLoc()), op(op) {}

  /// The result over nothing, as scalars or vectors of `lanes` (0: scalars).
  Partial identity(int64_t lanes);
  Partial combine(const Partial &x, const Partial &y);
  /// `x` where `mask`, the identity elsewhere. Without a mask `x`.
  Partial masked(const Partial &x, mlir::Value mask);
  Partial select(mlir::Value condition, const Partial &x, const Partial &y);
  /// All lanes combined: halves with halves, a tree that depends on the number of lanes only.
  Partial acrossLanes(Partial x);
  /// The op's result from the partial result over everything.
  mlir::Value finish(const Partial &x);
  bool isArgmax() { return op.getKind() == "argmax"; }

  /// Partial results as loop-carried values, and back.
  static void append(llvm::SmallVectorImpl<mlir::Value> &values, const Partial &x);
  Partial take(mlir::ValueRange &values);

private:
  mlir::Value combineValues(mlir::Value x, mlir::Value y);
  mlir::OpBuilder &b;
  mlir::Location loc;
  kernel::ReduceOp op;
};

} // namespace fovea::kernels
#endif
