// One elementwise op of a point program on scalars or vectors, made total: whatever the bits in a lane (masked lanes
// hold anything), no trap, no poison that matters, no library call.
#ifndef FOVEA_COMPILER_KERNELS_EMIT_ELEMENTWISE_H
#define FOVEA_COMPILER_KERNELS_EMIT_ELEMENTWISE_H

#include "compiler/kernels/Target.h"
#include "mlir/IR/Builders.h"

namespace fovea::kernels {

/// `op` with `operands` in place of its own: all scalars, or all vectors of one length. Fails for ops that are not
/// elementwise.
///   integer division by 0 gives the dividend by 1, by -1 never traps; float to integer saturates, NaN gives 0;
mlir::FailureOr<mlir::Value> emitElementwise(mlir::OpBuilder &builder, mlir::Operation &op, mlir::ValueRange operands);

/// An arith.extf or truncf between f32 and f16 or bf16 as integer arithmetic, where the target has no instruction for
/// it; null for all other ops.
mlir::Value expandHalfConversion(mlir::OpBuilder &builder, mlir::Operation &op, const Target &target);

/// A scalar or splat vector constant of `type`; a number becomes the type's own kind.
mlir::Value emitSplat(mlir::OpBuilder &builder, mlir::Location loc, mlir::Type type, double value);
mlir::Value emitSplat(mlir::OpBuilder &builder, mlir::Location loc, mlir::Type type, int64_t value);
inline mlir::Value emitSplat(mlir::OpBuilder &builder, mlir::Location loc, mlir::Type type, int value) {
  return emitSplat(builder, loc, type, int64_t(value));
}
/// `like` with another element type.
mlir::Type withElement(mlir::Type like, mlir::Type element);

} // namespace fovea::kernels
#endif
