// Elementary functions as vector code: polynomials with explicit multiply-adds, the same formula for scalars and
// vectors of any length. No library calls, no fast-math flags. Maximal errors (f32, in units of the last place):
// docs/kernel.md, tested in tests/unit/kernels/MathTest.cpp.
#ifndef FOVEA_COMPILER_KERNELS_EMIT_MATH_H
#define FOVEA_COMPILER_KERNELS_EMIT_MATH_H

#include "compiler/kernels/Target.h"
#include "mlir/IR/Builders.h"
#include "mlir/Support/LLVM.h"

namespace fovea::kernels {

/// Replaces math.exp, exp2, log, tanh, erf, sin, cos, powf, rsqrt and arith.remf on f32 scalars and vectors under
/// `root` by their expansions, math.fma by mul and add where the target has no FMA, and floor, ceil, trunc, roundeven
/// where it cannot round. math.sqrt, absf, copysign stay: LLVM has instructions for them. Fails, with an error, at a
/// function that would become a library call.
mlir::LogicalResult expandMath(mlir::Operation *root, const Target &target);

/// Emits expansions directly. `x` is f32 or a vector of f32. Bits depend on the target alone, not on the length.
class MathBuilder {
public:
  MathBuilder(mlir::OpBuilder &builder, mlir::Location loc, const Target &target)
      : b(builder), loc(loc), target(target) {}

  /// x * y + z: fused where the target has FMA, else rounded twice. f32 or f64.
  mlir::Value fma(mlir::Value x, mlir::Value y, mlir::Value z);
  mlir::Value exp(mlir::Value x);
  mlir::Value exp2(mlir::Value x);
  mlir::Value log(mlir::Value x);
  mlir::Value tanh(mlir::Value x);
  mlir::Value erf(mlir::Value x);
  /// |x| up to a million; beyond, accuracy is lost gradually.
  mlir::Value sin(mlir::Value x) { return sinOrCos(x, 0); }
  mlir::Value cos(mlir::Value x) { return sinOrCos(x, 1); }
  mlir::Value pow(mlir::Value x, mlir::Value y);
  /// 1 / sqrt(x), both correctly rounded.
  mlir::Value rsqrt(mlir::Value x);
  /// C's fmod; exact for |x / y| up to 2^50, beyond that a value between 0 and y.
  mlir::Value remainder(mlir::Value x, mlir::Value y);
  enum class Rounding { down, up, zero, even };
  mlir::Value round(mlir::Value x, Rounding rounding);

private:
  mlir::Value add(mlir::Value x, mlir::Value y);
  mlir::Value sub(mlir::Value x, mlir::Value y);
  mlir::Value mul(mlir::Value x, mlir::Value y);
  mlir::Value abs(mlir::Value x);
  mlir::Value withSign(mlir::Value magnitude, mlir::Value sign);
  mlir::Value either(mlir::Value p, mlir::Value q);
  mlir::Value both(mlir::Value p, mlir::Value q);
  enum class Is { equal, notEqual, less, atLeast, greater, nan };
  mlir::Value test(mlir::Value x, Is relation, mlir::Value y);
  mlir::Value test(mlir::Value x, Is relation, double y) { return test(x, relation, constant(x, y)); }
  mlir::Value select(mlir::Value condition, mlir::Value x, mlir::Value y);
  mlir::Value constant(mlir::Value like, double value);
  mlir::Value bits(mlir::Value x);
  mlir::Value fromBits(mlir::Value x);
  mlir::Value clamp(mlir::Value x, double low, double high);
  /// Coefficients from degree 0 upwards, by Horner's rule.
  mlir::Value polynomial(mlir::Value x, llvm::ArrayRef<double> coefficients);
  mlir::Value pairedPolynomial(mlir::Value x, llvm::ArrayRef<double> coefficients);
  mlir::Value scaleByPowerOfTwo(mlir::Value x, mlir::Value n, mlir::Value shifted);
  mlir::Value sinOrCos(mlir::Value x, int64_t quarterTurns);
  mlir::Value log2Wide(mlir::Value x);
  mlir::Value exp2Wide(mlir::Value x);

  mlir::OpBuilder &b;
  mlir::Location loc;
  const Target &target;
};

} // namespace fovea::kernels
#endif
