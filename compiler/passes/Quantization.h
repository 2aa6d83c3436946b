// What passes share that store numbers in 8 bits.
#pragma once

#include "dialects/graph/GraphDialect.h"
#include "mlir/IR/Builders.h"

namespace fovea::quantization {

mlir::Value cast(mlir::OpBuilder &b, mlir::Location loc, mlir::Value x, mlir::Type element);
/// A number, broadcast like `type`.
mlir::Value splat(mlir::OpBuilder &b, mlir::Location loc, graph::TensorType type, double value);
/// `x`, or 1 where it is 0: something to divide by.
mlir::Value orOne(mlir::OpBuilder &b, mlir::Location loc, mlir::Value x);
/// The greatest magnitude of a matrix along `axis`.
mlir::Value mostOf(mlir::OpBuilder &b, mlir::Location loc, mlir::Value matrix, int64_t axis);
/// A vector along axis `axis` of `type`.
mlir::Value spread(mlir::OpBuilder &b, mlir::Location loc, mlir::Value vector, mlir::Type type, int64_t axis);

/// matrix[k, n] = bytes[k, n] scales[n], within half a scale.
struct Columns {
  mlir::Value bytes, scales;
};
/// Scales are max |matrix[., n]| / 127, 1 / 127 for columns of zeros.
Columns quantizeColumns(mlir::OpBuilder &b, mlir::Location loc, mlir::Value matrix);

} // namespace fovea::quantization
