// kernel dialect in, vector + scf + memref + arith out.
#ifndef FOVEA_COMPILER_KERNELS_EMIT_EMIT_H
#define FOVEA_COMPILER_KERNELS_EMIT_EMIT_H

#include "compiler/kernels/Target.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Support/LLVM.h"

namespace fovea::kernels {

/// Replaces every kernel.func @f(A…) of `module` by func.funcs for `target`:
///   @f.tasks(A…) -> index, @f.finish(A…) -> index, @f.scratch(A…) -> index, @f.shared(A…) -> index: from sizes
///     alone, memrefs may be null;
///   @f.variant(A…) -> index, likewise, where the kernel has several: the number of the one that runs, of those named by
///     its attribute `variantsAttr`;
///   @f.run(%exec: !llvm.ptr, A…, %begin: index, %end: index, %scratch: memref<?xi8>, %shared: memref<?xi8>) -> i32: 0.
/// Tasks [tasks, tasks + finish) are run when all before have ended.
/// kernel.check becomes a call of the private @fovea_fail(exec, i32 code, ptr place, i64 index, i64 value, i64 low, i64
/// high), declared where it is used. Launches are left as they are, their symbols dangling, for `program`; the module
/// is verified after them.
mlir::LogicalResult emitKernels(mlir::ModuleOp module, const Target &target);

inline constexpr llvm::StringLiteral variantsAttr = "fovea.variants";

/// Loads the dialects that emission creates ops of.
void loadEmissionDialects(mlir::MLIRContext &context);

} // namespace fovea::kernels
#endif
