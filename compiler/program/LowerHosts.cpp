// How host functions get their arguments: entries from the frame, layers through a constant table of places in it.
#include "compiler/program/ProgramLowering.h"

#include <map>

namespace fovea::program {

/// Behind a host function's name: what its threads need, from its symbols.
static constexpr const char *scratchSuffix = ".scratch";

std::string ProgramLowering::role(func::FuncOp host, unsigned argument) {
  auto role = host.getArgAttrOfType<StringAttr>(argument, "fovea.role");
  return role ? role.getValue().str() : "";
}

static StringRef nameOf(func::FuncOp host, unsigned argument) {
  return host.getArgAttrOfType<StringAttr>(argument, "fovea.name").getValue();
}

/// The memref of an argument over memory at `pointer`; its sizes are those of `fovea.type`.
Value ProgramLowering::memrefAt(func::FuncOp host, unsigned argument, Value pointer,
                                llvm::function_ref<Value(StringRef)> symbol) {
  Location loc = host.getLoc();
  auto type = cast<MemRefType>(host.getArgumentTypes()[argument]);
  SmallVector<Value> dims;
  if (role(host, argument) == "arena") {
    dims.push_back(arith::ConstantIndexOp::create(b, loc, INT64_MAX)); // its size is the arena function's word
  } else {
    auto tensor = cast<graph::TensorType>(host.getArgAttrOfType<TypeAttr>(argument, "fovea.type").getValue());
    for (DimExpr dim : tensor.getDims())
      dims.push_back(materializeDim(b, loc, dim, [&](StringRef name) { return symbol(name); }));
  }
  return contiguousMemref(b, loc, type, pointer, dims);
}

/// `@name.scratch(symbols)`: the host function with each launch replaced by what a thread of it needs, and the maximum
/// returned. Memory is null throughout: kernels ask for scratch from sizes alone.
void ProgramLowering::makeScratchFunction(func::FuncOp host) {
  b.setInsertionPointToEnd(module.getBody());
  auto function = cast<func::FuncOp>(b.clone(*host));
  function.setName((host.getSymName() + scratchSuffix).str());
  function.setPrivate();
  function.setAllResultAttrs(ArrayRef<DictionaryAttr>{});
  Location loc = function.getLoc();
  b.setInsertionPointToStart(&function.front());
  Value most = arith::ConstantIndexOp::create(b, loc, 0);
  SmallVector<Operation *> users;
  function.walk([&](Operation *op) {
    if (isa<kernel::LaunchOp, kernel::DumpOp, func::CallOp>(op))
      users.push_back(op);
  });
  std::map<std::pair<std::string, std::vector<const void *>>, bool> asked; // equal layers at equal sizes count once
  for (Operation *op : users) {
    if (isa<kernel::DumpOp>(op)) {
      op->erase();
      continue;
    }
    b.setInsertionPoint(op);
    SmallVector<Value> operands;
    func::FuncOp scratch;
    if (auto launch = dyn_cast<kernel::LaunchOp>(op)) {
      scratch = lookup(launch.getKernel() + ".scratch");
      operands = launch.getOperands();
    } else {
      auto call = cast<func::CallOp>(op);
      if (!isHost(lookup(call.getCallee())))
        continue; // a size computation, e.g. @layer.arena
      scratch = lookup(call.getCallee() + scratchSuffix);
      for (Value operand : call.getOperands())
        if (operand.getType().isIndex())
          operands.push_back(operand);
    }
    std::vector<const void *> key;
    for (Value operand : operands)
      key.push_back(operand.getAsOpaquePointer());
    if (asked.try_emplace({scratch.getSymName().str(), key}, true).second) {
      Value bytes = func::CallOp::create(b, loc, scratch, operands).getResult(0);
      most = arith::MaxSIOp::create(b, loc, most, bytes);
    }
    if (op->getNumResults())
      op->getResult(0).replaceAllUsesWith(arith::ConstantIntOp::create(b, loc, status, 0));
    op->erase();
  }
  Operation *terminator = function.front().getTerminator();
  b.setInsertionPoint(terminator);
  func::ReturnOp::create(b, loc, most);
  terminator->erase();

  // Only the sizes stay arguments.
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
      block.getArgument(i).replaceAllUsesWith(memrefAt(host, i, null, [&](StringRef name) { return sizes.lookup(name); }));
  block.eraseArguments(0, old);
  function.setAllArgAttrs(ArrayRef<DictionaryAttr>{});
  function.setType(b.getFunctionType(types, {b.getIndexType()}));
}

/// Where a memref argument of a top-level function lies.
FailureOr<ProgramLowering::Slot> ProgramLowering::slotOf(func::FuncOp host, unsigned argument, const Entry *entry) {
  std::string kind = role(host, argument);
  StringRef name = nameOf(host, argument);
  auto find = [&](const auto &table, size_t field) -> FailureOr<Slot> {
    for (auto [i, row] : llvm::enumerate(table))
      if (row.name == name)
        return Slot{static_cast<int64_t>(field), static_cast<int64_t>(i)};
    return failure();
  };
  FailureOr<Slot> slot = failure();
  if (kind == "input" && entry)
    slot = find(entry->inputs, offsetof(fovea_frame, inputs));
  else if (kind == "output" && entry)
    slot = find(entry->outputs, offsetof(fovea_frame, outputs));
  else if (kind == "param")
    slot = find(interface.params, offsetof(fovea_frame, params));
  else if (kind == "state")
    slot = find(interface.states, offsetof(fovea_frame, states));
  else
    slot = find(interface.derived, offsetof(fovea_frame, derived));
  if (failed(slot))
    host.emitError("argument ") << argument << " (" << kind << " `" << name << "`) is in no table of the program";
  return slot;
}

LogicalResult ProgramLowering::planTopLevel(func::FuncOp host, const Entry *entry) {
  Plan &plan = plans[host];
  plan.topLevel = true;
  for (unsigned i = 1; i < host.getNumArguments(); ++i) {
    std::string kind = role(host, i);
    if (kind == "symbol" || kind == "arena")
      continue;
    FailureOr<Slot> slot = slotOf(host, i, entry);
    if (failed(slot))
      return failure();
    plan.slots[i] = *slot;
  }
  return success();
}

/// The place of a call's operand in the frame, where the caller knows its array: a top-level function's own argument,
/// or a layer's that came through its table (then only `field` counts).
std::optional<ProgramLowering::Slot> ProgramLowering::tableSlot(func::FuncOp caller, Value operand) {
  auto argument = dyn_cast<BlockArgument>(operand);
  if (!argument || argument.getOwner() != &caller.front())
    return std::nullopt;
  Plan &plan = plans[caller];
  if (plan.topLevel) {
    auto it = plan.slots.find(argument.getArgNumber());
    return it == plan.slots.end() ? std::nullopt : std::optional(it->second);
  }
  auto it = plan.tabulated.find(argument.getArgNumber());
  return it == plan.tabulated.end() ? std::nullopt : std::optional(Slot{plan.fields[it->second], 0});
}

/// An argument of a layer goes through the table where every call passes something that lies in one array of the frame.
/// Callers must be planned before.
void ProgramLowering::planLayer(func::FuncOp layer) {
  SmallVector<func::CallOp> calls;
  module.walk([&](func::CallOp call) {
    auto caller = call->getParentOfType<func::FuncOp>();
    if (call.getCallee() == layer.getSymName() && plans.count(caller))
      calls.push_back(call);
  });
  Plan plan;
  for (unsigned i = 1; i < layer.getNumArguments(); ++i) {
    std::string kind = role(layer, i);
    if (kind == "symbol" || kind == "arena" || calls.empty())
      continue;
    std::optional<int64_t> field;
    bool same = llvm::all_of(calls, [&](func::CallOp call) {
      std::optional<Slot> slot = tableSlot(call->getParentOfType<func::FuncOp>(), call.getOperand(i));
      bool agrees = slot && (!field || *field == slot->field);
      if (slot)
        field = slot->field;
      return agrees;
    });
    if (!same)
      continue;
    plan.tabulated[i] = plan.fields.size();
    plan.fields.push_back(*field);
  }
  plans[layer] = std::move(plan);
}

/// The address of the table for one call: a constant where the caller is at top level, else made from the caller's own.
Value ProgramLowering::makeTable(Location loc, func::FuncOp caller, OperandRange operands, const Plan &plan) {
  const Plan &from = plans[caller];
  size_t length = plan.fields.size();
  if (!length)
    return LLVM::ZeroOp::create(b, loc, ptr);
  SmallVector<unsigned> sources(length); // the caller's arguments, by position
  for (auto [argument, position] : plan.tabulated)
    sources[position] = cast<BlockArgument>(operands[argument]).getArgNumber();
  Type index = b.getI32Type();
  if (from.topLevel) {
    SmallVector<int32_t> indices;
    for (unsigned source : sources)
      indices.push_back(static_cast<int32_t>(from.slots.lookup(source).index));
    return constantTable(loc, indices);
  }
  Value table;
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(&caller.front());
    table = LLVM::AllocaOp::create(b, loc, ptr, index, constantWord(loc, length), 16);
  }
  for (auto [position, source] : llvm::enumerate(sources)) {
    Value entry = LLVM::LoadOp::create(b, loc, index, field(loc, from.table, 4 * from.tabulated.lookup(source)));
    LLVM::StoreOp::create(b, loc, entry, field(loc, table, 4 * position));
  }
  return table;
}

Value ProgramLowering::constantTable(Location loc, ArrayRef<int32_t> indices) {
  LLVM::GlobalOp global;
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(module.getBody());
    auto type = LLVM::LLVMArrayType::get(b.getI32Type(), indices.size());
    global = LLVM::GlobalOp::create(b, loc, type, /*isConstant=*/true, LLVM::Linkage::Internal,
                                    "fovea.arguments." + std::to_string(tables++), b.getI32TensorAttr(indices));
  }
  return LLVM::AddressOfOp::create(b, loc, global);
}

/// Adds the arguments of the new signature behind the old ones. Top level: (exec, frame), as the ABI has it. Layer:
/// (exec, frame, table, symbols…, a pointer for each memref that is in no table…, arena).
void ProgramLowering::addArguments(func::FuncOp host) {
  Plan &plan = plans[host];
  Block &block = host.front();
  plan.oldArguments = host.getNumArguments();
  auto add = [&](Type type) {
    plan.types.push_back(type);
    return block.addArgument(type, host.getLoc());
  };
  plan.exec = add(ptr);
  plan.frame = add(ptr);
  if (plan.topLevel)
    return;
  plan.table = add(ptr);
  for (unsigned i = 1; i < plan.oldArguments; ++i)
    if (role(host, i) == "symbol")
      plan.passed[i] = add(b.getIndexType());
  for (unsigned i = 1; i < plan.oldArguments; ++i)
    if (role(host, i) != "symbol" && !plan.tabulated.count(i))
      plan.passed[i] = add(ptr);
}

/// A call of a layer by the new signature.
void ProgramLowering::rewriteCall(func::CallOp call) {
  Location loc = call.getLoc();
  auto caller = call->getParentOfType<func::FuncOp>(), callee = lookup(call.getCallee());
  const Plan &from = plans[caller], &plan = plans[callee];
  b.setInsertionPoint(call);
  SmallVector<Value> operands = {from.exec, from.frame, makeTable(loc, caller, call.getOperands(), plan)};
  for (unsigned i = 1; i < plan.oldArguments; ++i)
    if (role(callee, i) == "symbol")
      operands.push_back(call.getOperand(i));
  for (unsigned i = 1; i < plan.oldArguments; ++i) {
    if (role(callee, i) == "symbol" || plan.tabulated.count(i))
      continue;
    SmallVector<Value> words = toWords(b, loc, call.getOperand(i)); // the address, and a dynamic offset
    Value address = words[0];
    auto type = cast<MemRefType>(call.getOperand(i).getType());
    SmallVector<int64_t> strides;
    int64_t offset;
    if (succeeded(type.getStridesAndOffset(strides, offset)) && offset != 0) {
      int64_t width = std::max<int64_t>(1, type.getElementTypeBitWidth() / 8);
      Value elements = ShapedType::isDynamic(offset) ? words[1] : constantWord(loc, offset);
      address = LLVM::AddOp::create(b, loc, address, LLVM::MulOp::create(b, loc, elements, constantWord(loc, width)));
    }
    operands.push_back(LLVM::IntToPtrOp::create(b, loc, ptr, address));
  }
  auto type = b.getFunctionType(plan.types, {status});
  auto rewritten = func::CallOp::create(b, loc, callee.getSymName(), type.getResults(), operands);
  call.replaceAllUsesWith(rewritten);
  call.erase();
}

/// Gives the old arguments their values from the new ones, where they are still used, and drops them.
void ProgramLowering::replaceArguments(func::FuncOp host) {
  Plan &plan = plans[host];
  Location loc = host.getLoc();
  Block &block = host.front();
  b.setInsertionPointToStart(&block);
  llvm::StringMap<Value> sizes;
  auto symbol = [&](StringRef name) { return sizes.lookup(name); };
  auto at = [&](int64_t array, Value index) -> Value { // frame->array[index]
    Value address = LLVM::GEPOp::create(b, loc, ptr, ptr, loadPointer(loc, plan.frame, array), ArrayRef<LLVM::GEPArg>{index});
    return LLVM::LoadOp::create(b, loc, ptr, address);
  };
  block.getArgument(0).replaceAllUsesWith(plan.exec);
  for (unsigned i = 1; i < plan.oldArguments; ++i) {
    BlockArgument old = block.getArgument(i);
    std::string kind = role(host, i);
    if (kind == "symbol") {
      Value value = plan.passed.lookup(i);
      if (plan.topLevel) {
        Value symbols = loadPointer(loc, plan.frame, offsetof(fovea_frame, symbols));
        Value loaded = LLVM::LoadOp::create(b, loc, word, field(loc, symbols, 8 * (i - 1)));
        value = arith::IndexCastOp::create(b, loc, b.getIndexType(), loaded);
      }
      sizes[nameOf(host, i)] = value;
      old.replaceAllUsesWith(value);
      continue;
    }
    if (old.use_empty())
      continue;
    Value pointer = plan.passed.lookup(i);
    if (plan.topLevel && kind == "arena")
      pointer = loadPointer(loc, plan.frame, offsetof(fovea_frame, arena));
    else if (plan.topLevel)
      pointer = at(plan.slots.lookup(i).field, constantWord(loc, plan.slots.lookup(i).index));
    else if (auto it = plan.tabulated.find(i); it != plan.tabulated.end())
      pointer = at(plan.fields[it->second],
                   LLVM::SExtOp::create(b, loc, word, LLVM::LoadOp::create(b, loc, b.getI32Type(), field(loc, plan.table, 4 * it->second))));
    old.replaceAllUsesWith(memrefAt(host, i, pointer, symbol));
  }
  block.eraseArguments(0, plan.oldArguments);
  host.setAllArgAttrs(ArrayRef<DictionaryAttr>{});
  host.setType(b.getFunctionType(plan.types, host.getResultTypes()));
}

/// `name(symbols*)`: what `inner` gives for these symbols, as a word.
void ProgramLowering::makeSizeFunction(const std::string &name, func::FuncOp inner, bool roundUp) {
  Location loc = inner.getLoc();
  func::FuncOp function = makeFunction(name, {ptr}, {word}, true);
  b.setInsertionPointToStart(&function.front());
  SmallVector<Value> sizes;
  for (unsigned i = 0; i < inner.getNumArguments(); ++i) {
    Value loaded = LLVM::LoadOp::create(b, loc, word, field(loc, function.getArgument(0), 8 * i));
    sizes.push_back(arith::IndexCastOp::create(b, loc, b.getIndexType(), loaded));
  }
  Value bytes = func::CallOp::create(b, loc, inner, sizes).getResult(0);
  if (roundUp) { // to the next multiple of 64
    bytes = arith::AddIOp::create(b, loc, bytes, arith::ConstantIndexOp::create(b, loc, 63));
    bytes = arith::AndIOp::create(b, loc, bytes, arith::ConstantIndexOp::create(b, loc, ~int64_t(63)));
  }
  func::ReturnOp::create(b, loc, Value(arith::IndexCastOp::create(b, loc, word, bytes)));
}

LogicalResult ProgramLowering::run() {
  defineFail();
  SmallVector<func::FuncOp> hosts; // callees before callers
  for (auto function : module.getOps<func::FuncOp>())
    if (!function.isDeclaration() && isHost(function))
      hosts.push_back(function);
  for (func::FuncOp host : hosts)
    makeScratchFunction(host);
  for (func::FuncOp host : hosts) {
    SmallVector<Operation *> steps;
    host.walk([&](Operation *op) {
      if (isa<kernel::LaunchOp, kernel::DumpOp, func::CallOp>(op))
        steps.push_back(op);
    });
    for (Operation *op : steps)
      if (auto launch = dyn_cast<kernel::LaunchOp>(op))
        lowerLaunch(launch);
      else if (auto dump = dyn_cast<kernel::DumpOp>(op))
        lowerDump(dump);
      else
        passPath(cast<func::CallOp>(op));
  }

  SmallVector<func::FuncOp> topLevel;
  for (const Entry &entry : interface.entries) {
    topLevel.push_back(lookup(entry.function));
    if (failed(planTopLevel(topLevel.back(), &entry)))
      return failure();
  }
  for (const std::string &name : interface.prepare) {
    topLevel.push_back(lookup(name));
    if (failed(planTopLevel(topLevel.back(), nullptr)))
      return failure();
  }
  for (func::FuncOp host : llvm::reverse(hosts)) // callers first
    if (!plans.count(host))
      planLayer(host);
  for (func::FuncOp host : hosts)
    addArguments(host);
  for (func::FuncOp host : hosts) {
    SmallVector<func::CallOp> calls;
    host.walk([&](func::CallOp call) {
      if (plans.count(lookup(call.getCallee())))
        calls.push_back(call);
    });
    for (func::CallOp call : calls)
      rewriteCall(call);
  }
  for (func::FuncOp host : hosts) {
    replaceArguments(host);
    host.setPrivate();
  }
  for (func::FuncOp host : topLevel) {
    std::string name = host.getSymName().str();
    makeSizeFunction(scratchSymbol(name), lookup(name + scratchSuffix), true);
    makeSizeFunction(arenaSymbol(name), lookup(name + ".arena"), false);
    host.setName(entrySymbol(name));
    host.setPublic();
  }
  return success();
}

} // namespace fovea::program
