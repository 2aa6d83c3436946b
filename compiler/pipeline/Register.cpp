#include "compiler/pipeline/Register.h"

#include "compiler/autodiff/Passes.h"
#include "compiler/kernels/emit/Passes.h"
#include "compiler/passes/Passes.h"
#include "compiler/analysis/FormGroups.h"
#include "compiler/analysis/Rematerialize.h"
#include "compiler/kernels/lower/Lower.h"
#include "dialects/graph/GraphDialect.h"
#include "dialects/kernel/KernelDialect.h"

#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/DLTI/DLTI.h"
#include "mlir/Dialect/Func/Extensions/AllExtensions.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/InitAllExtensions.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Transforms/Passes.h"

namespace fovea::pipeline {

void registerDialects(mlir::DialectRegistry &registry) {
  registry.insert<mlir::arith::ArithDialect, mlir::cf::ControlFlowDialect, mlir::DLTIDialect, mlir::func::FuncDialect,
                  mlir::LLVM::LLVMDialect, mlir::math::MathDialect, mlir::memref::MemRefDialect, mlir::scf::SCFDialect,
                  mlir::vector::VectorDialect>();
  graph::registerDialect(registry);
  registry.insert<kernel::KernelDialect>();
  mlir::registerAllExtensions(registry);
  mlir::registerBuiltinDialectTranslation(registry);
  mlir::registerLLVMDialectTranslation(registry);
}

void registerPasses() {
  fovea::registerGraphPasses();
  fovea::registerFoveaAutodiffPasses();
  kernels::registerKernelPasses();
  registerFormGroupsPass();
  registerRematerializePass();
  kernels::registerLowerToKernelPass();
  mlir::registerTransformsPasses();
  mlir::registerConversionPasses();
}

} // namespace fovea::pipeline
