// How host functions get their arguments: entries from the frame, layers through constant records of places in it.
#include "compiler/kernels/lower/EmitDim.h"
#include "compiler/program/ProgramLowering.h"

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include <map>

namespace fovea::program {

/// On a call of a layer: its path in the model.
static constexpr const char *pathAttribute = "fovea.path";

std::string ProgramLowering::role(func::FuncOp host, unsigned argument) {
  auto role = host.getArgAttrOfType<StringAttr>(argument, "fovea.role");
  return role ? role.getValue().str() : "";
}

StringRef ProgramLowering::nameOf(func::FuncOp host, unsigned argument) {
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
    kernels::DimEmitter emitter(b, loc, [&](StringRef name) { return symbol(name); });
    for (DimExpr dim : tensor.getDims())
      dims.push_back(emitter.index(dim));
  }
  return contiguousMemref(b, loc, type, pointer, dims);
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
/// or a layer's that came through its record (then only `field` counts).
std::optional<ProgramLowering::Slot> ProgramLowering::recordSlot(func::FuncOp caller, Value operand) {
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

/// An argument of a layer goes through the record where every call passes something that lies in one array of the
/// frame. Callers must be planned before.
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
      std::optional<Slot> slot = recordSlot(call->getParentOfType<func::FuncOp>(), call.getOperand(i));
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

/// The caller's arguments that stand in a call's record, by position.
SmallVector<unsigned> ProgramLowering::recordSources(func::CallOp call) {
  const Plan &plan = plans[lookup(call.getCallee())];
  SmallVector<unsigned> sources(plan.fields.size());
  for (auto [argument, position] : plan.tabulated)
    sources[position] = cast<BlockArgument>(call.getOperand(argument)).getArgNumber();
  return sources;
}

Value ProgramLowering::pathText(func::CallOp call) {
  auto path = call->getAttrOfType<StringAttr>(pathAttribute);
  return text(call.getLoc(), path ? path.getValue() : "");
}

/// Records for calls of one layer from a top-level function, one behind the other: the call's path, then an index for
/// each position, padded to whole words.
LLVM::GlobalOp ProgramLowering::constantRecords(ArrayRef<func::CallOp> calls) {
  func::CallOp first = calls.front();
  Location loc = first.getLoc();
  const Plan &from = plans[first->getParentOfType<func::FuncOp>()];
  size_t length = plans[lookup(first.getCallee())].fields.size();
  auto indexType = LLVM::LLVMArrayType::get(b.getI32Type(), length);
  auto type = LLVM::LLVMArrayType::get(LLVM::LLVMStructType::getLiteral(context, {ptr, indexType}), calls.size());
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(module.getBody());
  auto global = LLVM::GlobalOp::create(b, loc, type, /*isConstant=*/true, LLVM::Linkage::Internal,
                                       "fovea.calls." + std::to_string(records++), Attribute());
  b.createBlock(&global.getInitializerRegion());
  Value all = LLVM::PoisonOp::create(b, loc, type);
  for (auto [i, call] : llvm::enumerate(calls)) {
    SmallVector<int32_t> indices;
    for (unsigned source : recordSources(call))
      indices.push_back(static_cast<int32_t>(from.slots.lookup(source).index));
    int64_t at = static_cast<int64_t>(i);
    all = LLVM::InsertValueOp::create(b, loc, all, pathText(call), ArrayRef<int64_t>{at, 0});
    if (indices.empty())
      continue;
    Value numbers = LLVM::ConstantOp::create(b, loc, indexType, b.getI32TensorAttr(indices));
    all = LLVM::InsertValueOp::create(b, loc, all, numbers, ArrayRef<int64_t>{at, 1});
  }
  LLVM::ReturnOp::create(b, loc, all);
  return global;
}

/// Bytes of one record; the struct's alignment is that of its pointer.
int64_t ProgramLowering::recordBytes(func::FuncOp layer) { return 8 + (plans[layer].fields.size() * 4 + 7) / 8 * 8; }

/// The address of one call's record: constant, or made from the caller's own where the caller is a layer.
Value ProgramLowering::makeRecord(func::CallOp call) {
  Location loc = call.getLoc();
  auto caller = call->getParentOfType<func::FuncOp>();
  const Plan &from = plans[caller];
  if (from.topLevel)
    return LLVM::AddressOfOp::create(b, loc, constantRecords(call));
  Value record = frameWords(caller, loc, recordBytes(lookup(call.getCallee())) / 8);
  LLVM::StoreOp::create(b, loc, pathText(call), record);
  for (auto [position, source] : llvm::enumerate(recordSources(call))) {
    Value own = field(loc, from.record, 8 + 4 * from.tabulated.lookup(source));
    Value entry = LLVM::LoadOp::create(b, loc, b.getI32Type(), own);
    LLVM::StoreOp::create(b, loc, entry, field(loc, record, 8 + 4 * position));
  }
  return record;
}

/// Adds the arguments of the new signature behind the old ones. Top level: (exec, frame), as the ABI has it. Layer:
/// (exec, frame, record, symbols…, a pointer for each memref that is in no record…, arena).
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
  plan.record = add(ptr);
  for (unsigned i = 1; i < plan.oldArguments; ++i)
    if (role(host, i) == "symbol")
      plan.passed[i] = add(b.getIndexType());
  for (unsigned i = 1; i < plan.oldArguments; ++i)
    if (role(host, i) != "symbol" && !plan.tabulated.count(i))
      plan.passed[i] = add(ptr);
}

/// A call of a layer by the new signature, with its record, where the builder stands.
void ProgramLowering::makeCall(func::CallOp call, Value record) {
  Location loc = call.getLoc();
  auto caller = call->getParentOfType<func::FuncOp>(), callee = lookup(call.getCallee());
  const Plan &from = plans[caller], &plan = plans[callee];
  SmallVector<Value> operands = {from.exec, from.frame, record};
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
  func::CallOp::create(b, loc, callee.getSymName(), TypeRange{status}, operands);
}

/// Whether two calls from one function differ at most in what their records say.
bool ProgramLowering::sameButRecord(func::CallOp one, func::CallOp other) {
  if (one.getCallee() != other.getCallee())
    return false;
  const Plan &plan = plans[lookup(one.getCallee())];
  for (unsigned i = 0; i < plan.oldArguments; ++i)
    if (!plan.tabulated.count(i) && one.getOperand(i) != other.getOperand(i))
      return false;
  return true;
}

/// Whether only ops without effects lie between two ops of a block.
static bool adjacent(Operation *first, Operation *second) {
  for (Operation *op = first->getNextNode(); op != second; op = op->getNextNode())
    if (!op || !isMemoryEffectFree(op))
      return false;
  return true;
}

/// The calls of one host function. Layers one after the other, which read and write two buffers in turn, become a loop
/// over their records, so that the program's size does not grow with their number.
void ProgramLowering::rewriteCalls(func::FuncOp host) {
  SmallVector<func::CallOp> calls;
  for (func::CallOp call : host.front().getOps<func::CallOp>())
    if (plans.count(lookup(call.getCallee())))
      calls.push_back(call);
  constexpr size_t period = 2;
  for (size_t i = 0; i < calls.size();) {
    size_t end = std::min(i + period, calls.size());
    bool loops = plans[host].topLevel && end - i == period && calls[i].getCallee() == calls[i + 1].getCallee() &&
                 adjacent(calls[i], calls[i + 1]);
    while (loops && end < calls.size() && adjacent(calls[end - 1], calls[end]) &&
           sameButRecord(calls[end - period], calls[end]))
      ++end;
    size_t turns = loops ? (end - i) / period : 0;
    if (turns > 1) {
      makeLoop(ArrayRef(calls).slice(i, turns * period), period);
      i += turns * period;
      continue;
    }
    b.setInsertionPoint(calls[i]);
    makeCall(calls[i], makeRecord(calls[i]));
    ++i;
  }
  for (func::CallOp call : calls) {
    b.setInsertionPoint(call);
    call.replaceAllUsesWith(ValueRange{arith::ConstantIntOp::create(b, call.getLoc(), status, 0)});
    call.erase();
  }
}

/// for each turn: `period` calls. It stands at the last call: all that the calls use comes before.
void ProgramLowering::makeLoop(ArrayRef<func::CallOp> calls, size_t period) {
  func::CallOp last = calls.back();
  Location loc = last.getLoc();
  LLVM::GlobalOp all = constantRecords(calls);
  b.setInsertionPoint(last);
  Value base = LLVM::AddressOfOp::create(b, loc, all);
  auto index = [&](int64_t v) -> Value { return arith::ConstantIndexOp::create(b, loc, v); };
  int64_t bytes = recordBytes(lookup(last.getCallee()));
  auto loop = scf::ForOp::create(b, loc, index(0), index(calls.size() * bytes), index(period * bytes));
  b.setInsertionPointToStart(loop.getBody());
  Value offset = arith::IndexCastOp::create(b, loc, word, loop.getInductionVar());
  for (size_t k = 0; k < period; ++k) {
    Value at = LLVM::AddOp::create(b, loc, offset, constantWord(loc, k * bytes));
    makeCall(calls[k], LLVM::GEPOp::create(b, loc, ptr, b.getI8Type(), base, ArrayRef<LLVM::GEPArg>{at}));
  }
}

/// While a layer runs, its path stands before what exec->path held.
void ProgramLowering::carryPath(func::FuncOp layer) {
  Location loc = layer.getLoc();
  const Plan &plan = plans[layer];
  Value path = frameWords(layer, loc, sizeof(fovea_path) / 8);
  b.setInsertionPointAfterValue(path);
  Value slot = field(loc, plan.exec, offsetof(fovea_exec, path));
  Value outer = LLVM::LoadOp::create(b, loc, ptr, slot);
  LLVM::StoreOp::create(b, loc, LLVM::LoadOp::create(b, loc, ptr, plan.record),
                        field(loc, path, offsetof(fovea_path, name)));
  LLVM::StoreOp::create(b, loc, outer, field(loc, path, offsetof(fovea_path, outer)));
  LLVM::StoreOp::create(b, loc, path, slot);
  b.setInsertionPoint(layer.front().getTerminator());
  LLVM::StoreOp::create(b, loc, outer, slot);
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
    Value address =
        LLVM::GEPOp::create(b, loc, ptr, ptr, loadPointer(loc, plan.frame, array), ArrayRef<LLVM::GEPArg>{index});
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
      pointer = at(
          plan.fields[it->second],
          LLVM::SExtOp::create(
              b, loc, word, LLVM::LoadOp::create(b, loc, b.getI32Type(), field(loc, plan.record, 8 + 4 * it->second))));
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
    for (const char *suffix : {scratchSuffix, sharedSuffix})
      makeMemoryFunction(host, suffix);
  for (func::FuncOp host : hosts) {
    SmallVector<Operation *> steps;
    host.walk([&](Operation *op) {
      if (isa<kernel::LaunchOp, kernel::DumpOp>(op))
        steps.push_back(op);
    });
    for (Operation *op : steps)
      if (auto launch = dyn_cast<kernel::LaunchOp>(op))
        lowerLaunch(launch);
      else
        lowerDump(cast<kernel::DumpOp>(op));
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
  for (func::FuncOp host : hosts)
    rewriteCalls(host);
  for (func::FuncOp host : hosts) {
    replaceArguments(host);
    if (!plans[host].topLevel)
      carryPath(host);
    host.setPrivate();
  }
  for (func::FuncOp host : topLevel) {
    std::string name = host.getSymName().str();
    makeSizeFunction(scratchSymbol(name), lookup(name + scratchSuffix), true);
    makeSizeFunction(sharedSymbol(name), lookup(name + sharedSuffix), true);
    makeSizeFunction(arenaSymbol(name), lookup(name + ".arena"), false);
    host.setName(entrySymbol(name));
    host.setPublic();
  }
  return success();
}

} // namespace fovea::program
