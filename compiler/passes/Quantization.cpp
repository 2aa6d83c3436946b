#include "compiler/passes/Quantization.h"

using namespace mlir;
using namespace fovea;

Value quantization::cast(OpBuilder &b, Location loc, Value x, Type element) {
  return graph::CastOp::create(b, loc, typeOf(x).cloneWith(element), x);
}

Value quantization::splat(OpBuilder &b, Location loc, graph::TensorType type, double value) {
  graph::TensorType scalar = type.cloneWith(ArrayRef<DimExpr>());
  Value constant = graph::ConstantOp::create(b, loc, scalar, b.getF32FloatAttr(value));
  return graph::BroadcastOp::create(b, loc, type, constant, ArrayRef<int64_t>());
}

Value quantization::orOne(OpBuilder &b, Location loc, Value x) {
  graph::TensorType type = typeOf(x);
  Value isZero = graph::CompareOp::create(b, loc, type.cloneWith(b.getI1Type()), "eq", x, splat(b, loc, type, 0));
  return graph::SelectOp::create(b, loc, isZero, splat(b, loc, type, 1), x);
}

Value quantization::mostOf(OpBuilder &b, Location loc, Value matrix, int64_t axis) {
  Value magnitude = graph::AbsOp::create(b, loc, matrix);
  graph::TensorType type = typeOf(matrix).cloneWith(typeOf(matrix).getDim(1 - axis));
  return graph::ReduceOp::create(b, loc, type, "max", magnitude, ArrayRef<int64_t>{axis});
}

Value quantization::spread(OpBuilder &b, Location loc, Value vector, Type type, int64_t axis) {
  return graph::BroadcastOp::create(b, loc, type, vector, ArrayRef<int64_t>{axis});
}

quantization::Columns quantization::quantizeColumns(OpBuilder &b, Location loc, Value matrix) {
  Value most = orOne(b, loc, mostOf(b, loc, matrix, 0));
  Value scales = graph::MulOp::create(b, loc, most, splat(b, loc, typeOf(most), 1.0 / 127));
  Value ratio = graph::DivOp::create(b, loc, matrix, spread(b, loc, scales, matrix.getType(), 1));
  Value shifted = graph::AddOp::create(b, loc, ratio, splat(b, loc, typeOf(matrix), 0.5));
  Value rounded = graph::FloorOp::create(b, loc, shifted);
  return {cast(b, loc, rounded, b.getI8Type()), scales};
}
