// What the launches of a host function need as scratch, or share: the function itself, asking instead of launching.
#include "compiler/program/ProgramLowering.h"

#include <map>

namespace fovea::program {

/// Replaces each launch and call by what it needs, and gives the maximum. Equal layers at equal sizes ask
/// once.
Value ProgramLowering::largestNeed(func::FuncOp function, const char *suffix) {
  Location loc = function.getLoc();
  Value most = arith::ConstantIndexOp::create(b, loc, 0);
  SmallVector<Operation *> users;
  function.walk([&](Operation *op) {
    if (isa<kernel::LaunchOp, kernel::DumpOp, func::CallOp>(op))
      users.push_back(op);
  });
  std::map<std::pair<std::string, std::vector<const void *>>, bool> asked;
  for (Operation *op : users) {
    if (isa<kernel::DumpOp>(op)) {
      op->erase();
      continue;
    }
    b.setInsertionPoint(op);
    SmallVector<Value> operands;
    func::FuncOp need;
    if (auto launch = dyn_cast<kernel::LaunchOp>(op)) {
      need = lookup(launch.getKernel() + suffix);
      operands = launch.getOperands();
    } else {
      auto call = cast<func::CallOp>(op);
      if (!isHost(lookup(call.getCallee())))
        continue; // a size computation, e.g. @layer.arena
      need = lookup(call.getCallee() + suffix);
      for (Value operand : call.getOperands())
        if (operand.getType().isIndex())
          operands.push_back(operand);
    }
    std::vector<const void *> key;
    for (Value operand : operands)
      key.push_back(operand.getAsOpaquePointer());
    if (asked.try_emplace({need.getSymName().str(), key}, true).second) {
      Value bytes = func::CallOp::create(b, loc, need, operands).getResult(0);
      most = arith::MaxSIOp::create(b, loc, most, bytes);
    }
    if (op->getNumResults())
      op->getResult(0).replaceAllUsesWith(arith::ConstantIntOp::create(b, loc, status, 0));
    op->erase();
  }
  return most;
}

/// Leaves the sizes as arguments; memory is null throughout, since kernels ask from sizes alone.
void ProgramLowering::keepSizesOnly(func::FuncOp function, func::FuncOp host) {
  Location loc = function.getLoc();
  Block &block = function.front();
  unsigned old = function.getNumArguments();
  SmallVector<Type> types;
  llvm::StringMap<Value> sizes;
  for (unsigned i = 1; i < old; ++i)
    if (role(host, i) == "symbol") {
      types.push_back(b.getIndexType());
      sizes[nameOf(host, i)] = block.addArgument(b.getIndexType(), loc);
      block.getArgument(i).replaceAllUsesWith(sizes[nameOf(host, i)]);
    }
  b.setInsertionPointToStart(&block);
  Value null = LLVM::ZeroOp::create(b, loc, ptr);
  block.getArgument(0).replaceAllUsesWith(null);
  for (unsigned i = 1; i < old; ++i)
    if (!block.getArgument(i).use_empty())
      block.getArgument(i).replaceAllUsesWith(
          memrefAt(host, i, null, [&](StringRef name) { return sizes.lookup(name); }));
  block.eraseArguments(0, old);
  function.setAllArgAttrs(ArrayRef<DictionaryAttr>{});
  function.setType(b.getFunctionType(types, {b.getIndexType()}));
}

/// `@name.scratch(symbols)`, `@name.shared(symbols)`: the host function with each launch replaced by what it needs (a
/// thread of it, or all together), and the maximum returned. Memory is null throughout: kernels ask from sizes alone.
void ProgramLowering::makeMemoryFunction(func::FuncOp host, const char *suffix) {
  b.setInsertionPointToEnd(module.getBody());
  auto function = cast<func::FuncOp>(b.clone(*host));
  function.setName((host.getSymName() + suffix).str());
  function.setPrivate();
  function.setAllResultAttrs(ArrayRef<DictionaryAttr>{});
  Location loc = function.getLoc();
  b.setInsertionPointToStart(&function.front());
  Value most = largestNeed(function, suffix);
  Operation *terminator = function.front().getTerminator();
  b.setInsertionPoint(terminator);
  func::ReturnOp::create(b, loc, most);
  terminator->erase();
  keepSizesOnly(function, host);
}

} // namespace fovea::program
