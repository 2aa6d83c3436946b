#include "compiler/kernels/lower/HostFunction.h"

#include "mlir/IR/OperationSupport.h"

using namespace mlir;

namespace fovea::kernels {

FlatSymbolRefAttr KernelTable::add(kernel::FuncOp kernel, StringRef hint) {
  std::vector<kernel::FuncOp> &same = byType[kernel.getFunctionType().getAsOpaquePointer()];
  for (kernel::FuncOp other : same)
    if (OperationEquivalence::isRegionEquivalentTo(&kernel.getBody(), &other.getBody(),
                                                   OperationEquivalence::IgnoreLocations)) {
      kernel.erase();
      return FlatSymbolRefAttr::get(other.getSymNameAttr());
    }
  std::string name = hint.str();
  do {
    unsigned count = names[hint]++;
    name = count ? (hint + "_" + Twine(count + 1)).str() : hint.str();
  } while (module.lookupSymbol(name));
  kernel.setSymName(name);
  end.insert(kernel);
  same.push_back(kernel);
  return FlatSymbolRefAttr::get(kernel.getSymNameAttr());
}

} // namespace fovea::kernels
