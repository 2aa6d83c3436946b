// The steps of `lowerProgram` and what they share. Private to this folder.
#pragma once

#include "compiler/program/Descriptors.h"
#include "compiler/program/LowerProgram.h"
#include "dialects/graph/GraphDialect.h"
#include "dialects/kernel/KernelDialect.h"
#include "fovea/abi.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

#include <cstddef>

namespace fovea::program {

using namespace mlir;

/// Behind a host function's name: what its threads need, from its symbols.
inline constexpr const char *scratchSuffix = ".scratch";
inline constexpr const char *sharedSuffix = ".shared";

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
  Value textRecord(Location loc, StringRef name, std::array<StringRef, 3> values);
  Value kernelInfo(StringRef kernel, StringRef variant, Location loc);
  Value launchInfo(kernel::LaunchOp launch);
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
  func::FuncOp dumpFunction(MemRefType type, Type element);
  void lowerDump(kernel::DumpOp dump);
  Value origin(kernel::DumpOp dump);
  Value frameWords(func::FuncOp host, Location loc, size_t count);
  // -- host functions (LowerHosts.cpp)
  /// Where a memref argument of a top-level function lies: the frame's array (its offset in fovea_frame), the index in
  /// it.
  struct Slot {
    int64_t field;
    int64_t index;
  };
  /// How the arguments of a host function are passed once it is rewritten.
  struct Plan {
    bool topLevel = false;
    /// Top level: each memref argument's slot. Layer: the field of those that go through the record, -1 otherwise.
    llvm::DenseMap<unsigned, Slot> slots;
    llvm::DenseMap<unsigned, int64_t> tabulated; // argument -> position in the record
    llvm::SmallVector<int64_t> fields;           // of the record's positions
    unsigned oldArguments = 0;
    llvm::SmallVector<Type> types;          // of the new signature
    Value exec, frame, record;              // new arguments
    llvm::DenseMap<unsigned, Value> passed; // layer: the new argument that stands for an old one
  };
  std::string role(func::FuncOp host, unsigned argument);
  StringRef nameOf(func::FuncOp host, unsigned argument);
  Value memrefAt(func::FuncOp host, unsigned argument, Value pointer, llvm::function_ref<Value(StringRef)> symbol);
  void makeMemoryFunction(func::FuncOp host, const char *suffix);
  Value largestNeed(func::FuncOp function, const char *suffix);
  void keepSizesOnly(func::FuncOp function, func::FuncOp host);
  FailureOr<Slot> slotOf(func::FuncOp host, unsigned argument, const Entry *entry);
  LogicalResult planTopLevel(func::FuncOp host, const Entry *entry);
  void planLayer(func::FuncOp layer);
  std::optional<Slot> recordSlot(func::FuncOp caller, Value operand);
  llvm::SmallVector<unsigned> recordSources(func::CallOp call);
  Value pathText(func::CallOp call);
  LLVM::GlobalOp constantRecords(llvm::ArrayRef<func::CallOp> calls);
  int64_t recordBytes(func::FuncOp layer);
  Value makeRecord(func::CallOp call);
  void addArguments(func::FuncOp host);
  void makeCall(func::CallOp call, Value record);
  bool sameButRecord(func::CallOp one, func::CallOp other);
  void makeLoop(llvm::ArrayRef<func::CallOp> calls, size_t period);
  void rewriteCalls(func::FuncOp host);
  void carryPath(func::FuncOp layer);
  void replaceArguments(func::FuncOp host);
  void makeSizeFunction(const std::string &name, func::FuncOp inner, bool roundUp);

  ModuleOp module;
  const Interface &interface;
  const KernelTable &kernels;
  MLIRContext *context;
  OpBuilder b;
  Type ptr, word, status;
  llvm::StringMap<LLVM::GlobalOp> texts;
  llvm::StringMap<func::FuncOp> taskFunctions;
  llvm::DenseMap<std::pair<Type, Type>, func::FuncOp> dumpFunctions;    // by the types in memory and in the model
  llvm::DenseMap<std::pair<Operation *, size_t>, Value> argumentBlocks; // of launches, by host function and words
  llvm::DenseMap<Operation *, Value> launchRecords;
  llvm::DenseMap<Operation *, Plan> plans; // by host function
  unsigned records = 0, origins = 0;
};

/// Entries, layers and prepare steps: functions that take an arena.
bool isHost(func::FuncOp function);

} // namespace fovea::program
