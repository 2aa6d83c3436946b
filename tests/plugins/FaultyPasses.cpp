// Passes that fail in each of the ways that a pass can: with an error of its own, without a word, by breaking the IR.
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"
#include "mlir/Tools/Plugins/PassPlugin.h"

using namespace mlir;

namespace {
struct FailWithError : PassWrapper<FailWithError, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(FailWithError)
  StringRef getArgument() const final { return "test-fail-with-error"; }
  void runOnOperation() override {
    Operation *op = &getOperation().getBody()->front().getRegion(0).front().front();
    op->emitOpError("is not to the test's taste");
    signalPassFailure();
  }
};

struct FailSilently : PassWrapper<FailSilently, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(FailSilently)
  StringRef getArgument() const final { return "test-fail-silently"; }
  void runOnOperation() override { signalPassFailure(); }
};

struct BreakModule : PassWrapper<BreakModule, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(BreakModule)
  StringRef getArgument() const final { return "test-break-module"; }
  void runOnOperation() override { getOperation().getBody()->front().getRegion(0).front().back().erase(); }
};
} // namespace

extern "C" LLVM_ATTRIBUTE_WEAK PassPluginLibraryInfo mlirGetPassPluginInfo() {
  return {MLIR_PLUGIN_API_VERSION, "FoveaFaultyPasses", "1", [] {
            PassRegistration<FailWithError>();
            PassRegistration<FailSilently>();
            PassRegistration<BreakModule>();
          }};
}
