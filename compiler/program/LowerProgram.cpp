#include "compiler/program/LowerProgram.h"

#include "compiler/program/Descriptors.h"
#include "dialects/graph/GraphDialect.h"
#include "dialects/kernel/KernelDialect.h"
#include "fovea/abi.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/StringSet.h"

#include <cstddef>

using namespace mlir;

namespace fovea::program {

std::string entrySymbol(StringRef name) { return (name + ".entry").str(); }
std::string arenaSymbol(StringRef name) { return (name + ".arena_bytes").str(); }
std::string scratchSymbol(StringRef name) { return (name + ".scratch_bytes").str(); }

namespace {

/// The interface of `runtime/include/fovea/abi.h` as seen from IR, and what is shared between the steps.
class ProgramLowering {
public:
  ProgramLowering(ModuleOp module, const Interface &interface, const KernelTable &kernels)
      : module(module), interface(interface), kernels(kernels), context(module.getContext()), b(context),
        ptr(LLVM::LLVMPointerType::get(context)), word(b.getI64Type()), status(b.getI32Type()) {}

  LogicalResult run();

private:
  // -- small pieces
  Value constantWord(Location loc, int64_t v) { return LLVM::ConstantOp::create(b, loc, word, b.getI64IntegerAttr(v)); }
  Value field(Location loc, Value base, int64_t offset) {
    return LLVM::GEPOp::create(b, loc, ptr, b.getI8Type(), base, ArrayRef<LLVM::GEPArg>{static_cast<int32_t>(offset)});
  }
  Value loadPointer(Location loc, Value base, int64_t offset) {
    return LLVM::LoadOp::create(b, loc, ptr, field(loc, base, offset));
  }
  Value text(Location loc, StringRef value);
  Value kernelInfo(StringRef kernel, Location loc);
  Value addressOf(func::FuncOp function, Location loc) {
    Value reference = func::ConstantOp::create(b, loc, function.getFunctionType(), function.getSymName());
    return UnrealizedConversionCastOp::create(b, loc, TypeRange{ptr}, reference).getResult(0);
  }
  func::FuncOp lookup(const Twine &name) { return module.lookupSymbol<func::FuncOp>(name.str()); }
  func::FuncOp makeFunction(const Twine &name, TypeRange inputs, TypeRange results, bool visible);

  // -- steps
  void defineFail();
  func::FuncOp taskFunction(StringRef kernel);
  void lowerLaunch(kernel::LaunchOp launch);
  void makeScratchFunction(func::FuncOp host);
  LogicalResult makeEntry(func::FuncOp host, const Entry *entry);
  /// Where an argument lies: the frame's array (its offset in fovea_frame), the index in it, the sizes.
  struct Slot {
    int64_t field;
    int64_t index;
    std::vector<DimExpr> dims;
  };
  FailureOr<Slot> slotOf(func::FuncOp host, unsigned argument, const Entry *entry);
  FailureOr<SmallVector<Value>> frameArguments(func::FuncOp host, const Entry *entry, Value exec, Value symbols, Value frame);

  ModuleOp module;
  const Interface &interface;
  const KernelTable &kernels;
  MLIRContext *context;
  OpBuilder b;
  Type ptr, word, status;
  llvm::StringMap<LLVM::GlobalOp> texts;
  llvm::StringMap<func::FuncOp> taskFunctions;
};

std::string scratchName(StringRef host) { return (host + ".scratch").str(); }

/// Entries, layers and prepare steps: functions that take an arena.
bool isHost(func::FuncOp function) {
  for (unsigned i = 0; i < function.getNumArguments(); ++i)
    if (auto role = function.getArgAttrOfType<StringAttr>(i, "fovea.role"); role && role.getValue() == "arena")
      return true;
  return false;
}

func::FuncOp ProgramLowering::makeFunction(const Twine &name, TypeRange inputs, TypeRange results, bool visible) {
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToEnd(module.getBody());
  auto function = func::FuncOp::create(b, module.getLoc(), name.str(), b.getFunctionType(inputs, results));
  if (!visible)
    function.setPrivate();
  function.addEntryBlock();
  return function;
}

/// The address of a zero-terminated string constant.
Value ProgramLowering::text(Location loc, StringRef value) {
  LLVM::GlobalOp &global = texts[value];
  if (!global) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(module.getBody());
    std::string bytes = value.str() + '\0';
    auto type = LLVM::LLVMArrayType::get(b.getI8Type(), bytes.size());
    global = LLVM::GlobalOp::create(b, loc, type, /*isConstant=*/true, LLVM::Linkage::Internal,
                                    "fovea.text." + std::to_string(texts.size()), b.getStringAttr(bytes));
  }
  return LLVM::AddressOfOp::create(b, loc, global);
}

/// The address of the kernel's fovea_kernel_info.
Value ProgramLowering::kernelInfo(StringRef kernel, Location loc) {
  std::string name = (kernel + ".info").str();
  auto global = module.lookupSymbol<LLVM::GlobalOp>(name);
  if (!global) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(module.getBody());
    auto type = LLVM::LLVMStructType::getLiteral(context, {ptr, ptr, ptr});
    global = LLVM::GlobalOp::create(b, loc, type, /*isConstant=*/true, LLVM::Linkage::Internal, name, Attribute());
    b.createBlock(&global.getInitializerRegion());
    KernelInfo known = kernels.lookup(kernel);
    Value fields[] = {text(loc, kernel), text(loc, known.kind), text(loc, known.place)};
    Value info = LLVM::PoisonOp::create(b, loc, type);
    for (auto [i, value] : llvm::enumerate(fields))
      info = LLVM::InsertValueOp::create(b, loc, info, value, ArrayRef<int64_t>{static_cast<int64_t>(i)});
    LLVM::ReturnOp::create(b, loc, info);
  }
  return LLVM::AddressOfOp::create(b, loc, global);
}

/// `fovea_fail(exec, code, place, index, value, low, high)`: services->fail.
void ProgramLowering::defineFail() {
  auto function = lookup("fovea_fail");
  if (!function || !function.isDeclaration())
    return;
  function.setPrivate();
  Location loc = function.getLoc();
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(function.addEntryBlock());
  Value services = loadPointer(loc, function.getArgument(0), offsetof(fovea_exec, services));
  SmallVector<Value> operands = {loadPointer(loc, services, offsetof(fovea_services, fail))};
  llvm::append_range(operands, function.getArguments());
  auto type = LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(context), function.getArgumentTypes());
  LLVM::CallOp::create(b, loc, type, operands);
  func::ReturnOp::create(b, loc);
}

/// `@k.task(exec, args, begin, end, scratch)`: unpacks the argument block and runs `@k.run`.
func::FuncOp ProgramLowering::taskFunction(StringRef kernel) {
  func::FuncOp &function = taskFunctions[kernel];
  if (function)
    return function;
  func::FuncOp body = lookup(kernel + ".run");
  Location loc = body.getLoc();
  function = makeFunction(kernel + ".task", {ptr, ptr, word, word, ptr}, {status}, false);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(&function.front());
  int64_t at = 0;
  auto next = [&]() -> Value {
    Value address = field(loc, function.getArgument(1), 8 * at++);
    return LLVM::LoadOp::create(b, loc, word, address);
  };
  SmallVector<Value> operands = {function.getArgument(0)};
  for (Type type : body.getArgumentTypes().drop_front().drop_back(3)) // exec … begin, end, scratch
    operands.push_back(fromWords(b, loc, type, next));
  for (int i : {2, 3})
    operands.push_back(arith::IndexCastOp::create(b, loc, b.getIndexType(), function.getArgument(i)));
  auto scratchType = cast<MemRefType>(body.getArgumentTypes().back());
  Value unbounded = arith::ConstantIndexOp::create(b, loc, INT32_MAX); // the kernel knows what it asked for
  operands.push_back(contiguousMemref(b, loc, scratchType, function.getArgument(4), unbounded));
  auto call = func::CallOp::create(b, loc, body, operands);
  func::ReturnOp::create(b, loc, call.getResults());
  return function;
}

void ProgramLowering::lowerLaunch(kernel::LaunchOp launch) {
  Location loc = launch.getLoc();
  auto host = launch->getParentOfType<func::FuncOp>();
  StringRef kernel = launch.getKernel();
  func::FuncOp task = taskFunction(kernel);
  b.setInsertionPoint(launch);
  SmallVector<Value> words;
  for (Value operand : launch.getOperands())
    llvm::append_range(words, toWords(b, loc, operand));
  Value tasks = func::CallOp::create(b, loc, lookup(kernel + ".tasks"), launch.getOperands()).getResult(0);
  auto symbol = [&](StringRef name) -> Value {
    for (unsigned i = 0; i < host.getNumArguments(); ++i)
      if (auto other = host.getArgAttrOfType<StringAttr>(i, "fovea.name");
          other && other.getValue() == name && host.getArgument(i).getType().isIndex())
        return host.getArgument(i);
    return arith::ConstantIndexOp::create(b, loc, 0);
  };
  auto amount = [&](StringRef attribute) -> Value {
    auto dim = launch->getAttrOfType<graph::DimAttr>(attribute);
    Value index = dim ? materializeDim(b, loc, dim.getValue(), symbol) : Value(arith::ConstantIndexOp::create(b, loc, 0));
    return arith::IndexCastOp::create(b, loc, word, index);
  };
  Value flops = amount("flops"), bytes = amount("bytes");

  // Both blocks live in the host function's frame, outside any loop, one pair a launch (LLVM's stack colouring merges them).
  Value block, record;
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(&host.front());
    block = LLVM::AllocaOp::create(b, loc, ptr, word, constantWord(loc, std::max<size_t>(1, words.size())), 16);
    record = LLVM::AllocaOp::create(b, loc, ptr, word, constantWord(loc, sizeof(fovea_launch) / 8), 16);
  }
  for (auto [i, value] : llvm::enumerate(words))
    LLVM::StoreOp::create(b, loc, value, field(loc, block, 8 * i));
  auto set = [&](int64_t offset, Value value) { LLVM::StoreOp::create(b, loc, value, field(loc, record, offset)); };
  set(offsetof(fovea_launch, info), kernelInfo(kernel, loc));
  set(offsetof(fovea_launch, run), addressOf(task, loc));
  set(offsetof(fovea_launch, args), block);
  set(offsetof(fovea_launch, tasks), arith::IndexCastOp::create(b, loc, word, tasks));
  set(offsetof(fovea_launch, flops), flops);
  set(offsetof(fovea_launch, bytes), bytes);
  set(offsetof(fovea_launch, path), text(loc, launch.getPath().value_or("")));
  Value exec = host.getArgument(0);
  Value services = loadPointer(loc, exec, offsetof(fovea_exec, services));
  Value parallel = loadPointer(loc, services, offsetof(fovea_services, parallel));
  LLVM::CallOp::create(b, loc, LLVM::LLVMFunctionType::get(status, {ptr, ptr}), ValueRange{parallel, exec, record});
  launch.erase();
}

/// `@name.scratch`: the host function with each launch replaced by what a thread of it needs, and the maximum returned.
void ProgramLowering::makeScratchFunction(func::FuncOp host) {
  b.setInsertionPointToEnd(module.getBody());
  auto function = cast<func::FuncOp>(b.clone(*host));
  function.setName(scratchName(host.getSymName()));
  function.setPrivate();
  function.setType(b.getFunctionType(host.getArgumentTypes(), {b.getIndexType()}));
  function.setAllResultAttrs(ArrayRef<DictionaryAttr>{});
  Location loc = function.getLoc();
  b.setInsertionPointToStart(&function.front());
  Value most = arith::ConstantIndexOp::create(b, loc, 0);
  SmallVector<Operation *> users;
  function.walk([&](Operation *op) {
    if (isa<kernel::LaunchOp, func::CallOp>(op))
      users.push_back(op);
  });
  for (Operation *op : users) {
    b.setInsertionPoint(op);
    StringRef callee = isa<kernel::LaunchOp>(op) ? cast<kernel::LaunchOp>(op).getKernel() : cast<func::CallOp>(op).getCallee();
    func::FuncOp scratch;
    if (isa<kernel::LaunchOp>(op))
      scratch = lookup(callee + ".scratch");
    else if (isHost(lookup(callee)))
      scratch = lookup(scratchName(callee));
    if (scratch) {
      Value bytes = func::CallOp::create(b, loc, scratch, op->getOperands()).getResult(0);
      most = arith::MaxSIOp::create(b, loc, most, bytes);
    } else if (auto call = dyn_cast<func::CallOp>(op)) {
      continue; // a size computation, e.g. @layer.arena
    }
    if (op->getNumResults()) {
      Value zero = arith::ConstantIntOp::create(b, loc, status, 0);
      op->getResult(0).replaceAllUsesWith(zero);
    }
    op->erase();
  }
  Operation *terminator = function.front().getTerminator();
  b.setInsertionPoint(terminator);
  func::ReturnOp::create(b, loc, most);
  terminator->erase();
}

/// Where argument number `argument` lies: its index in the frame's array of its role, and its sizes.
FailureOr<ProgramLowering::Slot> ProgramLowering::slotOf(func::FuncOp host, unsigned argument, const Entry *entry) {
  StringRef role = host.getArgAttrOfType<StringAttr>(argument, "fovea.role").getValue();
  StringRef name = host.getArgAttrOfType<StringAttr>(argument, "fovea.name").getValue();
  auto find = [&](const std::vector<TensorSpec> &table, size_t field) -> FailureOr<Slot> {
    for (auto [i, spec] : llvm::enumerate(table))
      if (spec.name == name)
        return Slot{static_cast<int64_t>(field), static_cast<int64_t>(i), spec.dims};
    return failure();
  };
  FailureOr<Slot> slot = failure();
  if (role == "input" && entry)
    slot = find(entry->inputs, offsetof(fovea_frame, inputs));
  else if (role == "output" && entry)
    slot = find(entry->outputs, offsetof(fovea_frame, outputs));
  else if (role == "param")
    slot = find(interface.params, offsetof(fovea_frame, params));
  else if (role == "state")
    slot = find(interface.states, offsetof(fovea_frame, states));
  else
    for (auto [i, derived] : llvm::enumerate(interface.derived))
      if (derived.name == name) {
        Slot found{offsetof(fovea_frame, derived), static_cast<int64_t>(i), {}};
        for (int64_t size : cast<MemRefType>(host.getArgumentTypes()[argument]).getShape())
          found.dims.push_back(DimExpr(size));
        slot = found;
      }
  if (failed(slot))
    host.emitError("argument ") << argument << " (" << role << " `" << name << "`) is in no table of the program";
  return slot;
}

/// The values that `host` is called with, from a frame; without one all pointers are null.
FailureOr<SmallVector<Value>> ProgramLowering::frameArguments(func::FuncOp host, const Entry *entry, Value exec,
                                                              Value symbols, Value frame) {
  Location loc = host.getLoc();
  Value null = LLVM::ZeroOp::create(b, loc, ptr);
  llvm::StringMap<Value> sizes;
  auto symbol = [&](StringRef name) { return sizes.lookup(name); };
  SmallVector<Value> values = {exec ? exec : null};
  for (unsigned i = 1; i < host.getNumArguments(); ++i) {
    StringRef role = host.getArgAttrOfType<StringAttr>(i, "fovea.role").getValue();
    Type type = host.getArgumentTypes()[i];
    if (role == "symbol") {
      StringRef name = host.getArgAttrOfType<StringAttr>(i, "fovea.name").getValue();
      Value loaded = LLVM::LoadOp::create(b, loc, word, field(loc, symbols, 8 * (i - 1)));
      values.push_back(arith::IndexCastOp::create(b, loc, b.getIndexType(), loaded));
      sizes[name] = values.back();
      continue;
    }
    if (role == "arena") {
      Value pointer = frame ? loadPointer(loc, frame, offsetof(fovea_frame, arena)) : null;
      Value unbounded = arith::ConstantIndexOp::create(b, loc, INT64_MAX); // its size is the arena function's word
      values.push_back(contiguousMemref(b, loc, cast<MemRefType>(type), pointer, unbounded));
      continue;
    }
    FailureOr<Slot> slot = slotOf(host, i, entry);
    if (failed(slot))
      return failure();
    Value pointer = null;
    if (frame)
      pointer = loadPointer(loc, loadPointer(loc, frame, slot->field), 8 * slot->index);
    SmallVector<Value> dims;
    for (DimExpr dim : slot->dims)
      dims.push_back(materializeDim(b, loc, dim, symbol));
    values.push_back(contiguousMemref(b, loc, cast<MemRefType>(type), pointer, dims));
  }
  return values;
}

/// The three functions of fovea_entry_code for an entry or (without `entry`) a prepare function.
LogicalResult ProgramLowering::makeEntry(func::FuncOp host, const Entry *entry) {
  Location loc = host.getLoc();
  func::FuncOp run = makeFunction(entrySymbol(host.getSymName()), {ptr, ptr}, {status}, true);
  b.setInsertionPointToStart(&run.front());
  Value frame = run.getArgument(1);
  Value symbols = loadPointer(loc, frame, offsetof(fovea_frame, symbols));
  FailureOr<SmallVector<Value>> values = frameArguments(host, entry, run.getArgument(0), symbols, frame);
  if (failed(values))
    return failure();
  func::ReturnOp::create(b, loc, func::CallOp::create(b, loc, host, *values).getResults());

  func::FuncOp scratch = makeFunction(scratchSymbol(host.getSymName()), {ptr}, {word}, true);
  b.setInsertionPointToStart(&scratch.front());
  values = frameArguments(host, entry, {}, scratch.getArgument(0), {});
  Value bytes = func::CallOp::create(b, loc, lookup(scratchName(host.getSymName())), *values).getResult(0);
  Value mask = arith::ConstantIndexOp::create(b, loc, 63); // up to the next multiple of 64
  bytes = arith::AndIOp::create(b, loc, arith::AddIOp::create(b, loc, bytes, mask), arith::ConstantIndexOp::create(b, loc, ~63LL));
  func::ReturnOp::create(b, loc, Value(arith::IndexCastOp::create(b, loc, word, bytes)));

  func::FuncOp arena = makeFunction(arenaSymbol(host.getSymName()), {ptr}, {word}, true);
  b.setInsertionPointToStart(&arena.front());
  SmallVector<Value> sizes;
  func::FuncOp formula = lookup(host.getSymName() + ".arena");
  for (unsigned i = 0; i < formula.getNumArguments(); ++i) {
    Value loaded = LLVM::LoadOp::create(b, loc, word, field(loc, arena.getArgument(0), 8 * i));
    sizes.push_back(arith::IndexCastOp::create(b, loc, b.getIndexType(), loaded));
  }
  Value total = func::CallOp::create(b, loc, formula, sizes).getResult(0);
  func::ReturnOp::create(b, loc, Value(arith::IndexCastOp::create(b, loc, word, total)));
  return success();
}

LogicalResult ProgramLowering::run() {
  defineFail();
  SmallVector<func::FuncOp> hosts;
  for (auto function : module.getOps<func::FuncOp>())
    if (!function.isDeclaration() && isHost(function))
      hosts.push_back(function);
  for (func::FuncOp host : hosts) // callees before callers
    makeScratchFunction(host);
  for (func::FuncOp host : hosts) {
    SmallVector<kernel::LaunchOp> launches;
    host.walk([&](kernel::LaunchOp launch) { launches.push_back(launch); });
    for (kernel::LaunchOp launch : launches)
      lowerLaunch(launch);
    host.setPrivate();
  }
  for (const Entry &entry : interface.entries)
    if (failed(makeEntry(lookup(entry.function), &entry)))
      return failure();
  for (const std::string &name : interface.prepare)
    if (failed(makeEntry(lookup(name), nullptr)))
      return failure();
  return success();
}

} // namespace

KernelTable describeKernels(ModuleOp module) {
  KernelTable table;
  for (auto kernel : module.getOps<kernel::FuncOp>())
    table[kernel.getSymName()] = {kernel.getSchedule()->getName().stripDialect().str(), kernel.getPlace().value_or("").str()};
  return table;
}

LogicalResult lowerProgram(ModuleOp module, const Interface &interface, const KernelTable &kernels) {
  return ProgramLowering(module, interface, kernels).run();
}

} // namespace fovea::program
