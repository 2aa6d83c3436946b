// Elementary functions as vector code: polynomials with explicit multiply-adds, the same formula for scalars and
// vectors of any length. No library calls, no fast-math flags. Maximal errors (f32, in units of the last place):
// docs/kernel.md, tested in tests/unit/kernels/MathTest.cpp.
#ifndef FOVEA_COMPILER_KERNELS_EMIT_MATH_H
#define FOVEA_COMPILER_KERNELS_EMIT_MATH_H

#include "compiler/kernels/Target.h"
#include "mlir/IR/Builders.h"
#include "mlir/Support/LLVM.h"

namespace fovea::kernels {

/// Replaces math.exp, exp2, log, tanh, erf, sin, cos, powf, rsqrt on f32 scalars and vectors under `root` by their
/// expansions, and math.fma by mul and add where the target has no FMA. math.sqrt, absf, floor, ceil and the like stay:
/// LLVM has instructions for them.
mlir::LogicalResult expandMath(mlir::Operation *root, const Target &target);

/// Emits expansions directly. `x` is f32 or a vector of f32.
class MathBuilder {
public:
  MathBuilder(mlir::OpBuilder &builder, mlir::Location loc, const Target &target)
      : b(builder), loc(loc), target(target) {}

  /// x * y + z: fused where the target has FMA, else rounded twice.
  mlir::Value fma(mlir::Value x, mlir::Value y, mlir::Value z);
  mlir::Value exp(mlir::Value x);
  mlir::Value exp2(mlir::Value x);
  mlir::Value log(mlir::Value x);
  mlir::Value tanh(mlir::Value x);
  mlir::Value erf(mlir::Value x);
  mlir::Value sin(mlir::Value x) { return sinOrCos(x, 0); }
  mlir::Value cos(mlir::Value x) { return sinOrCos(x, 1); }
  mlir::Value pow(mlir::Value x, mlir::Value y);
  /// 1 / sqrt(x), both correctly rounded.
  mlir::Value rsqrt(mlir::Value x);

private:
  mlir::Value constant(mlir::Type like, double value);
  mlir::Value integer(mlir::Type like, int64_t value);
  mlir::Value polynomial(mlir::Value x, llvm::ArrayRef<double> coefficients);
  mlir::Value scaleByPowerOfTwo(mlir::Value x, mlir::Value exponent);
  mlir::Value sinOrCos(mlir::Value x, int64_t quarterTurns);
  mlir::OpBuilder &b;
  mlir::Location loc;
  const Target &target;
};

} // namespace fovea::kernels
#endif
