#include "compiler/kernels/emit/Passes.h"

#include "compiler/kernels/emit/Emit.h"
#include "compiler/kernels/emit/Math.h"
#include "compiler/kernels/emit/ToLLVM.h"
#include "dialects/kernel/KernelDialect.h"
#include "mlir/Dialect/DLTI/DLTI.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Pass/PassRegistry.h"

using namespace mlir;
using namespace fovea::kernels;

namespace {
/// A pass over modules that needs a target.
template <typename Derived> struct TargetPass : PassWrapper<Derived, OperationPass<ModuleOp>> {
  TargetPass() = default;
  TargetPass(const TargetPass &other) : PassWrapper<Derived, OperationPass<ModuleOp>>(other) { name = other.name; }
  void getDependentDialects(DialectRegistry &registry) const override {
    registry.insert<arith::ArithDialect, math::MathDialect, memref::MemRefDialect, scf::SCFDialect, func::FuncDialect,
                    vector::VectorDialect, LLVM::LLVMDialect, DLTIDialect, fovea::kernel::KernelDialect>();
  }
  void runOnOperation() override {
    const Target *target = lookupTarget(name);
    if (!target) {
      this->getOperation().emitError() << "there is no target " << name;
      return this->signalPassFailure();
    }
    if (failed(static_cast<Derived *>(this)->run(*target)))
      this->signalPassFailure();
  }
  Pass::Option<std::string> name{*this, "target", llvm::cl::desc("a target's name"), llvm::cl::init("native")};
};

struct KernelEmit : TargetPass<KernelEmit> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(KernelEmit)
  StringRef getArgument() const override { return "kernel-emit"; }
  StringRef getDescription() const override { return "turn kernel.funcs into vector code"; }
  LogicalResult run(const Target &target) { return emitKernels(getOperation(), target); }
};

struct KernelExpandMath : TargetPass<KernelExpandMath> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(KernelExpandMath)
  StringRef getArgument() const override { return "kernel-expand-math"; }
  StringRef getDescription() const override { return "replace elementary functions by polynomials"; }
  LogicalResult run(const Target &target) { return expandMath(getOperation(), target); }
};

struct ToLLVMOptions : PassPipelineOptions<ToLLVMOptions> {
  Option<std::string> target{*this, "target", llvm::cl::desc("a target's name"), llvm::cl::init("native")};
};
} // namespace

void fovea::kernels::registerKernelPasses() {
  PassRegistration<KernelEmit>();
  PassRegistration<KernelExpandMath>();
  PassPipelineRegistration<ToLLVMOptions>("kernel-to-llvm", "vector code to the LLVM dialect",
                                          [](OpPassManager &manager, const ToLLVMOptions &options) {
                                            const Target *target = lookupTarget(options.target);
                                            addToLLVMPasses(manager, target ? *target : hostTarget());
                                          });
}
