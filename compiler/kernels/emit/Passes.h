// Emission as passes, for fovea-opt.
#ifndef FOVEA_COMPILER_KERNELS_EMIT_PASSES_H
#define FOVEA_COMPILER_KERNELS_EMIT_PASSES_H

namespace fovea::kernels {

/// Registers `kernel-emit{target=…}` (emitKernels), `kernel-expand-math{target=…}` (expandMath) and the pipeline
/// `kernel-to-llvm{target=…}` (addToLLVMPasses). `target` is a name as for --target; "native" by default.
void registerKernelPasses();

} // namespace fovea::kernels
#endif
