#include "compiler/pipeline/Jit.h"

#include "compiler/pipeline/Interpreted.h"
#include "compiler/program/Identity.h"
#include "compiler/program/LowerProgram.h"
#include "compiler/program/Tables.h"

#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/ExecutionEngine/Orc/ThreadSafeModule.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/TargetSelect.h"

using namespace llvm;

namespace fovea::pipeline {

struct LoadedProgram::State {
  std::unique_ptr<InterpretedProgram> interpreted;
  std::unique_ptr<orc::LLJIT> jit; // goes first
};

LoadedProgram::LoadedProgram() : state(std::make_unique<State>()) {}
LoadedProgram::~LoadedProgram() = default;

/// A JIT that finds in this process what LLVM emits calls of (memset, memcpy).
static Expected<std::unique_ptr<orc::LLJIT>> makeJit() {
  InitializeNativeTarget();
  InitializeNativeTargetAsmPrinter();
  auto jit = orc::LLJITBuilder().create();
  if (!jit)
    return jit.takeError();
  auto process = orc::DynamicLibrarySearchGenerator::GetForCurrentProcess((*jit)->getDataLayout().getGlobalPrefix());
  if (!process)
    return process.takeError();
  (*jit)->getMainJITDylib().addGenerator(std::move(*process));
  return jit;
}

static Expected<const fovea_program *> findProgram(orc::LLJIT &jit, const program::Interface &interface) {
  auto address = jit.lookup(interface.symbolPrefix() + "_program");
  if (!address)
    return address.takeError();
  return address->toPtr<const fovea_program *(*)()>()();
}

Expected<std::unique_ptr<LoadedProgram>> LoadedProgram::load(Compiler::Objects objects) {
  std::unique_ptr<LoadedProgram> loaded(new LoadedProgram);
  auto jit = makeJit();
  if (!jit)
    return jit.takeError();
  loaded->state->jit = std::move(*jit);
  for (const auto &bytes : objects.files) {
    auto buffer = MemoryBuffer::getMemBufferCopy(StringRef(bytes.data(), bytes.size()));
    if (Error error = loaded->state->jit->addObjectFile(std::move(buffer)))
      return std::move(error);
  }
  auto table = findProgram(*loaded->state->jit, objects.interface);
  if (!table)
    return table.takeError();
  loaded->table = *table;
  return loaded;
}

static int32_t runInterpreted(const InterpretedProgram *program, int32_t entry, fovea_exec *exec,
                              const fovea_frame *frame) {
  return program->run(entry, exec, frame);
}

/// A target's module whose entry functions call `runInterpreted` with the program's address and their number.
static std::unique_ptr<Module> makeInterpretedTarget(LLVMContext &context, const InterpretedProgram &program,
                                                     StringRef symbol) {
  auto module = std::make_unique<Module>("interpreted", context);
  IRBuilder<> b(context);
  Type *ptr = b.getPtrTy();
  auto address = [&](const void *p) {
    return ConstantExpr::getIntToPtr(b.getInt64(reinterpret_cast<uintptr_t>(p)), ptr);
  };
  auto define = [&](const std::string &name, Type *result, ArrayRef<Type *> arguments) {
    auto *function =
        Function::Create(FunctionType::get(result, arguments, false), Function::ExternalLinkage, name, *module);
    b.SetInsertPoint(BasicBlock::Create(context, "", function));
    return function;
  };
  auto *callee = FunctionType::get(b.getInt32Ty(), {ptr, b.getInt32Ty(), ptr, ptr}, false);
  for (size_t i = 0; i < program.interface.entries.size(); ++i) {
    const std::string &name = program.interface.entries[i].function;
    Function *run = define(program::entrySymbol(name), b.getInt32Ty(), {ptr, ptr});
    auto *target = address(reinterpret_cast<const void *>(&runInterpreted));
    b.CreateRet(b.CreateCall(callee, target, {address(&program), b.getInt32(i), run->getArg(0), run->getArg(1)}));
    for (const std::string &size :
         {program::arenaSymbol(name), program::scratchSymbol(name), program::sharedSymbol(name)}) {
      define(size, b.getInt64Ty(), {ptr});
      b.CreateRet(b.getInt64(0));
    }
  }
  program::addTargetTable(*module, program.interface, {"interpreter", {}}, symbol,
                          [](StringRef) { return std::string(); });
  return module;
}

Expected<std::unique_ptr<LoadedProgram>> LoadedProgram::interpret(mlir::ModuleOp graph) {
  mlir::FailureOr<program::Interface> interface = program::describeProgram(graph);
  if (failed(interface))
    return createStringError("the model cannot be run");
  interface->identity = program::identify(graph, *interface);
  std::unique_ptr<LoadedProgram> loaded(new LoadedProgram);
  loaded->state->interpreted = std::make_unique<InterpretedProgram>(InterpretedProgram{graph, std::move(*interface)});
  const InterpretedProgram &program = *loaded->state->interpreted;
  auto jit = makeJit();
  if (!jit)
    return jit.takeError();
  loaded->state->jit = std::move(*jit);
  auto add = [&](auto make) {
    auto context = std::make_unique<LLVMContext>();
    std::unique_ptr<Module> module = make(*context);
    return loaded->state->jit->addIRModule(orc::ThreadSafeModule(std::move(module), std::move(context)));
  };
  const std::string symbol = "fovea_target_interpreter";
  if (Error error = add([&](LLVMContext &c) { return makeInterpretedTarget(c, program, symbol); }))
    return std::move(error);
  if (Error error =
          add([&](LLVMContext &c) { return program::makeProgramModule(c, program.interface, {symbol}, false); }))
    return std::move(error);
  auto table = findProgram(*loaded->state->jit, program.interface);
  if (!table)
    return table.takeError();
  loaded->table = *table;
  return loaded;
}

} // namespace fovea::pipeline
