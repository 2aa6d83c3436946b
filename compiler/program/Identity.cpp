#include "compiler/program/Identity.h"

#include "compiler/program/Header.h"
#include "dialects/kernel/KernelDialect.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/Support/SHA256.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;

namespace fovea::program {

/// The prepare functions and what they reach, in the order of its first use.
static llvm::SetVector<Operation *> preparingCode(ModuleOp module, const Interface &interface) {
  llvm::SetVector<Operation *> found;
  auto add = [&](const Twine &name) {
    if (auto function = module.lookupSymbol<func::FuncOp>(name.str()))
      found.insert(function);
  };
  for (const std::string &name : interface.prepare)
    add(name);
  for (size_t i = 0; i < found.size(); ++i)
    found[i]->walk([&](Operation *op) {
      if (auto launch = dyn_cast<kernel::LaunchOp>(op))
        add(launch.getKernel() + ".run");
      else if (auto call = dyn_cast<func::CallOp>(op))
        add(call.getCallee());
    });
  return found;
}

std::array<uint8_t, 16> identify(ModuleOp module, const Interface &interface) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  for (const TensorSpec &param : interface.params)
    stream << param.name << ": " << describeTensor(param) << '\n';
  for (auto [state, initial] : llvm::zip_equal(interface.states, interface.initials))
    if (initial.isParam)
      stream << state.name << ": " << describeTensor(state) << ", written\n";
  for (const Derived &derived : interface.derived)
    stream << derived.name << ": " << derived.dtype << ' ' << derived.bytes << ' ' << derived.prepare << '\n';
  for (size_t param : interface.direct)
    stream << param << '\n';
  for (Operation *function : preparingCode(module, interface)) {
    function->print(stream, OpPrintingFlags().useLocalScope().enableDebugInfo(false));
    stream << '\n';
  }
  llvm::SHA256 hash;
  hash.update(text);
  std::array<uint8_t, 32> digest = hash.final();
  std::array<uint8_t, 16> identity;
  std::copy_n(digest.begin(), identity.size(), identity.begin());
  return identity;
}

} // namespace fovea::program
