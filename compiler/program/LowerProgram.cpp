#include "compiler/kernels/emit/Emit.h"
#include "compiler/kernels/lower/EmitDim.h"
#include "compiler/program/ProgramLowering.h"
#include "dialects/graph/Places.h"

#include "mlir/Dialect/SCF/IR/SCF.h"

namespace fovea::program {

std::string entrySymbol(StringRef name) { return (name + ".entry").str(); }
std::string arenaSymbol(StringRef name) { return (name + ".arena_bytes").str(); }
std::string scratchSymbol(StringRef name) { return (name + ".scratch_bytes").str(); }
std::string sharedSymbol(StringRef name) { return (name + ".shared_bytes").str(); }

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

/// The address of a constant struct of three texts; a null StringRef is a null pointer.
Value ProgramLowering::textRecord(Location loc, StringRef name, std::array<StringRef, 3> values) {
  auto global = module.lookupSymbol<LLVM::GlobalOp>(name);
  if (!global) {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(module.getBody());
    auto type = LLVM::LLVMStructType::getLiteral(context, {ptr, ptr, ptr});
    global = LLVM::GlobalOp::create(b, loc, type, /*isConstant=*/true, LLVM::Linkage::Internal, name, Attribute());
    b.createBlock(&global.getInitializerRegion());
    Value record = LLVM::PoisonOp::create(b, loc, type);
    for (auto [i, value] : llvm::enumerate(values)) {
      Value field = value.data() ? text(loc, value) : Value(LLVM::ZeroOp::create(b, loc, ptr));
      record = LLVM::InsertValueOp::create(b, loc, record, field, ArrayRef<int64_t>{static_cast<int64_t>(i)});
    }
    LLVM::ReturnOp::create(b, loc, record);
  }
  return LLVM::AddressOfOp::create(b, loc, global);
}

/// The address of the kernel's fovea_kernel_info.
Value ProgramLowering::kernelInfo(StringRef kernel, StringRef variant, Location loc) {
  std::string shown = variant.empty() ? kernel.str() : (kernel + "." + variant).str(), name = shown + ".info";
  KernelInfo known = kernels.lookup(kernel);
  return textRecord(loc, name, {shown, known.kind, known.place});
}

/// The record of the variant that runs at these sizes.
Value ProgramLowering::launchInfo(kernel::LaunchOp launch) {
  Location loc = launch.getLoc();
  StringRef kernel = launch.getKernel();
  func::FuncOp chooser = lookup(kernel + ".variant");
  if (!chooser)
    return kernelInfo(kernel, "", loc);
  Value number = func::CallOp::create(b, loc, chooser, launch.getOperands()).getResult(0), info;
  for (auto [i, variant] : llvm::enumerate(chooser->getAttrOfType<ArrayAttr>(kernels::variantsAttr))) {
    Value mine = kernelInfo(kernel, cast<StringAttr>(variant).getValue(), loc);
    if (!info) {
      info = mine;
      continue;
    }
    Value at = arith::ConstantIndexOp::create(b, loc, i);
    Value isMine = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::eq, number, at);
    info = arith::SelectOp::create(b, loc, isMine, mine, info);
  }
  return info;
}

/// `fovea_fail(exec, code, place, index, value, low, high)`: services->fail. Called and not inlined, so that kernels
/// that may fail can be compiled apart.
void ProgramLowering::defineFail() {
  auto function = lookup("fovea_fail");
  if (!function || !function.isDeclaration())
    return;
  function.setPrivate();
  function->setAttr("passthrough", b.getStrArrayAttr({"noinline"}));
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
  for (Type type : body.getArgumentTypes().drop_front().drop_back(4)) // exec … begin, end, scratch, shared
    operands.push_back(fromWords(b, loc, type, next));
  for (int i : {2, 3})
    operands.push_back(arith::IndexCastOp::create(b, loc, b.getIndexType(), function.getArgument(i)));
  auto bytes = cast<MemRefType>(body.getArgumentTypes().back());
  Value unbounded = arith::ConstantIndexOp::create(b, loc, INT32_MAX); // the kernel knows what it asked for
  Value shared = loadPointer(loc, function.getArgument(0), offsetof(fovea_exec, shared));
  for (Value memory : {Value(function.getArgument(4)), shared})
    operands.push_back(contiguousMemref(b, loc, bytes, memory, unbounded));
  auto call = func::CallOp::create(b, loc, body, operands);
  func::ReturnOp::create(b, loc, call.getResults());
  return function;
}

/// Room for words in the host function's frame, outside any loop (LLVM's stack colouring merges those that live apart).
Value ProgramLowering::frameWords(func::FuncOp host, Location loc, size_t count) {
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(&host.front());
  return LLVM::AllocaOp::create(b, loc, ptr, word, constantWord(loc, std::max<size_t>(1, count)), 16);
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
  auto count = [&](const char *suffix) -> Value {
    Value index = func::CallOp::create(b, loc, lookup(kernel + suffix), launch.getOperands()).getResult(0);
    return arith::IndexCastOp::create(b, loc, word, index);
  };
  Value tasks = count(".tasks"), finish = count(".finish");
  auto symbol = [&](StringRef name) -> Value {
    for (unsigned i = 0; i < host.getNumArguments(); ++i)
      if (auto other = host.getArgAttrOfType<StringAttr>(i, "fovea.name");
          other && other.getValue() == name && host.getArgument(i).getType().isIndex())
        return host.getArgument(i);
    return arith::ConstantIndexOp::create(b, loc, 0);
  };
  auto amount = [&](StringRef attribute) -> Value {
    auto dim = launch->getAttrOfType<graph::DimAttr>(attribute);
    Value index = kernels::DimEmitter(b, loc, symbol).index(dim ? dim.getValue() : DimExpr(0));
    return arith::IndexCastOp::create(b, loc, word, index);
  };
  Value flops = amount("flops"), bytes = amount("bytes");

  // Launches follow one another: all of a function's use the same memory.
  Value &block = argumentBlocks[{host, words.size()}], &record = launchRecords[host];
  if (!block)
    block = frameWords(host, loc, words.size());
  if (!record)
    record = frameWords(host, loc, sizeof(fovea_launch) / 8);
  for (auto [i, value] : llvm::enumerate(words))
    LLVM::StoreOp::create(b, loc, value, field(loc, block, 8 * i));
  auto set = [&](int64_t offset, Value value) { LLVM::StoreOp::create(b, loc, value, field(loc, record, offset)); };
  set(offsetof(fovea_launch, info), launchInfo(launch));
  set(offsetof(fovea_launch, run), addressOf(task, loc));
  set(offsetof(fovea_launch, args), block);
  set(offsetof(fovea_launch, tasks), tasks);
  set(offsetof(fovea_launch, finish), finish);
  set(offsetof(fovea_launch, flops), flops);
  set(offsetof(fovea_launch, bytes), bytes);
  set(offsetof(fovea_launch, path), text(loc, launch.getPath().value_or("")));
  Value exec = host.getArgument(0);
  Value services = loadPointer(loc, exec, offsetof(fovea_exec, services));
  Value parallel = loadPointer(loc, services, offsetof(fovea_services, parallel));
  LLVM::CallOp::create(b, loc, LLVM::LLVMFunctionType::get(status, {ptr, ptr}), ValueRange{parallel, exec, record});
  launch.erase();
}

/// The address of the value's fovea_origin.
Value ProgramLowering::origin(kernel::DumpOp dump) {
  auto ops = dump->getAttrOfType<StringAttr>("fovea.ops");
  std::string path = dump.getPath().str(), arithmetic = ops ? ops.getValue().str() : "";
  std::string name = "fovea.origin." + std::to_string(origins++), place = placeOf(dump.getLoc());
  return textRecord(dump.getLoc(), name, {dump->hasAttr("fovea.unnamed") ? StringRef() : path, arithmetic, place});
}

/// `(exec, origin, value)`: services->dump, where exec->dumping is set. One function a type, since entries that train
/// offer hundreds of values.
func::FuncOp ProgramLowering::dumpFunction(MemRefType type, Type element) {
  func::FuncOp &function = dumpFunctions[{type, element}];
  if (function)
    return function;
  Location loc = module.getLoc();
  function = makeFunction("fovea.dump." + Twine(dumpFunctions.size()), {ptr, ptr, type}, {}, false);
  function->setAttr("passthrough", b.getStrArrayAttr({"noinline"}));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(&function.front());
  Value exec = function.getArgument(0), value = function.getArgument(2);
  Value layout =
      LLVM::AllocaOp::create(b, loc, ptr, word, constantWord(loc, std::max<int64_t>(1, 2 * type.getRank())), 16);
  Value dumping = LLVM::LoadOp::create(b, loc, status, field(loc, exec, offsetof(fovea_exec, dumping)));
  Value zero = arith::ConstantIntOp::create(b, loc, status, 0);
  Value wanted = arith::CmpIOp::create(b, loc, arith::CmpIPredicate::ne, dumping, zero);
  auto block = scf::IfOp::create(b, loc, wanted, /*withElseRegion=*/false);
  func::ReturnOp::create(b, loc);
  b.setInsertionPointToStart(block.thenBlock());
  auto view = memref::ExtractStridedMetadataOp::create(b, loc, value);
  int64_t at = 0;
  for (ValueRange words : {ValueRange(view.getSizes()), ValueRange(view.getStrides())})
    for (Value number : words)
      LLVM::StoreOp::create(b, loc, Value(arith::IndexCastOp::create(b, loc, word, number)),
                            field(loc, layout, 8 * at++));
  Value address = memref::ExtractAlignedPointerAsIndexOp::create(b, loc, value);
  Value size = arith::ConstantIndexOp::create(b, loc, type.getElementTypeBitWidth() / 8);
  address = arith::AddIOp::create(b, loc, address, Value(arith::MulIOp::create(b, loc, view.getOffset(), size)));
  Value data = LLVM::IntToPtrOp::create(b, loc, ptr, Value(arith::IndexCastOp::create(b, loc, word, address)));
  Value services = loadPointer(loc, exec, offsetof(fovea_exec, services));
  Value operands[] = {loadPointer(loc, services, offsetof(fovea_services, dump)),
                      exec,
                      function.getArgument(1),
                      arith::ConstantIntOp::create(b, loc, status, dtypeOf(element)),
                      arith::ConstantIntOp::create(b, loc, status, type.getRank()),
                      layout,
                      data};
  auto callee = LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(context), {ptr, ptr, status, status, ptr, ptr});
  LLVM::CallOp::create(b, loc, callee, operands);
  return function;
}

void ProgramLowering::lowerDump(kernel::DumpOp dump) {
  Location loc = dump.getLoc();
  auto host = dump->getParentOfType<func::FuncOp>();
  b.setInsertionPoint(dump);
  func::FuncOp function = dumpFunction(cast<MemRefType>(dump.getValue().getType()), dump.getElement());
  func::CallOp::create(b, loc, function, ValueRange{host.getArgument(0), origin(dump), dump.getValue()});
  dump.erase();
}

KernelTable describeKernels(ModuleOp module) {
  KernelTable table;
  for (auto kernel : module.getOps<kernel::FuncOp>())
    table[kernel.getSymName()] = {kernel.getSchedule()->getName().stripDialect().str(),
                                  kernel.getPlace().value_or("").str()};
  return table;
}

LogicalResult lowerProgram(ModuleOp module, const Interface &interface, const KernelTable &kernels) {
  return ProgramLowering(module, interface, kernels).run();
}

} // namespace fovea::program
