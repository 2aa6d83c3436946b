// From what emission made to the LLVM dialect.
#ifndef FOVEA_COMPILER_KERNELS_EMIT_TOLLVM_H
#define FOVEA_COMPILER_KERNELS_EMIT_TOLLVM_H

#include "compiler/kernels/Target.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/PassManager.h"

namespace fovea::kernels {

/// The passes from func + scf + vector + memref + arith + math to the LLVM dialect; expandMath comes first. Nothing
/// reassociates and no op gets a fast-math flag. Functions keep their default (descriptor) calling convention.
void addToLLVMPasses(mlir::OpPassManager &manager, const Target &target);
/// Runs them on `module`.
mlir::LogicalResult lowerToLLVM(mlir::ModuleOp module, const Target &target);

} // namespace fovea::kernels
#endif
