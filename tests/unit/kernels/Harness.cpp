#include "tests/unit/kernels/Harness.h"

#include "compiler/kernels/emit/Emit.h"
#include "compiler/kernels/emit/ToLLVM.h"
#include "compiler/object/Object.h"
#include "fovea/abi.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Export.h"
#include "runtime/core/Cpu.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Target/TargetMachine.h"
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <sys/mman.h>
#include <unistd.h>

using namespace fovea::test;
namespace kernels = fovea::kernels;

static constexpr unsigned char pattern = 0xa5;

GuardedBytes::GuardedBytes(int64_t length) : length(length) {
  int64_t page = sysconf(_SC_PAGESIZE), used = (length + 64 + page - 1) / page * page;
  mapped = used + page;
  void *memory = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED || mprotect(static_cast<unsigned char *>(memory) + used, page, PROT_NONE) != 0) {
    std::perror("guarded memory");
    std::exit(1);
  }
  pages = static_cast<unsigned char *>(memory);
  begin = pages + used - length;
  std::memset(begin - 64, pattern, 64);
}

GuardedBytes::GuardedBytes(const GuardedBytes &other) : GuardedBytes(other.length) {
  std::memcpy(begin, other.begin, length);
}

GuardedBytes &GuardedBytes::operator=(const GuardedBytes &other) {
  if (this == &other)
    return *this;
  GuardedBytes copy(other);
  std::swap(pages, copy.pages);
  std::swap(begin, copy.begin);
  std::swap(length, copy.length);
  std::swap(mapped, copy.mapped);
  return *this;
}

GuardedBytes::~GuardedBytes() { munmap(pages, mapped); }

bool GuardedBytes::guardHolds() const {
  return std::all_of(begin - 64, begin, [](unsigned char byte) { return byte == pattern; });
}

/// Failures of the run that is going on; tests run one at a time.
static std::vector<Failure> *failures = nullptr;

static void recordFailure(void *, int32_t code, const char *place, int64_t index, int64_t value, int64_t low,
                          int64_t high) {
  if (failures)
    failures->push_back({code, place, index, value, low, high});
}

std::vector<const Target *> fovea::test::runnableTargets(kernels::Precision precision) {
  std::vector<const Target *> result;
  for (const Target *target : kernels::targetsFor(precision))
    if (kernels::hostRuns(*target))
      result.push_back(target);
  return result;
}

[[noreturn]] static void stop(const std::string &message, const std::string &text) {
  std::fprintf(stderr, "the kernel does not compile: %s\n%s\n", message.c_str(), text.c_str());
  std::exit(1);
}

struct Kernels::Impl {
  std::unique_ptr<llvm::orc::LLJIT> jit;
  using Packed = int64_t (*)(const int64_t *);
  Packed find(const std::string &name) {
    auto symbol = jit->lookup("packed." + name);
    if (!symbol)
      stop(llvm::toString(symbol.takeError()), name);
    return symbol->toPtr<Packed>();
  }
};

/// For every function @f a function @packed.f that takes its arguments from 8-byte slots.
static void addPackedFunctions(llvm::Module &module) {
  std::vector<llvm::Function *> functions;
  for (llvm::Function &function : module)
    if (!function.isDeclaration())
      functions.push_back(&function);
  llvm::IRBuilder<> b(module.getContext());
  auto *type = llvm::FunctionType::get(b.getInt64Ty(), {b.getPtrTy()}, false);
  for (llvm::Function *function : functions) {
    auto *packed =
        llvm::Function::Create(type, llvm::Function::ExternalLinkage, "packed." + function->getName(), module);
    b.SetInsertPoint(llvm::BasicBlock::Create(module.getContext(), "", packed));
    std::vector<llvm::Value *> arguments;
    for (llvm::Argument &argument : function->args()) {
      llvm::Value *slot = b.CreateConstGEP1_64(b.getInt64Ty(), packed->getArg(0), argument.getArgNo());
      arguments.push_back(b.CreateLoad(argument.getType(), slot));
    }
    llvm::Value *result = b.CreateCall(function, arguments);
    b.CreateRet(result->getType()->isVoidTy() ? b.getInt64(0) : b.CreateZExtOrTrunc(result, b.getInt64Ty()));
  }
}

static std::unique_ptr<llvm::Module> lower(const std::string &text, const Target &target, llvm::LLVMContext &context) {
  mlir::MLIRContext mlirContext(mlir::MLIRContext::Threading::DISABLED);
  kernels::loadEmissionDialects(mlirContext);
  mlir::registerBuiltinDialectTranslation(mlirContext);
  mlir::registerLLVMDialectTranslation(mlirContext);
  auto module = mlir::parseSourceString<mlir::ModuleOp>(text, &mlirContext);
  if (!module)
    stop("it does not parse", text);
  if (failed(kernels::emitKernels(*module, target)) || failed(mlir::verify(*module)))
    stop("emission failed", text);
  if (std::getenv("FOVEA_TEST_PRINT"))
    module->dump();
  if (failed(kernels::lowerToLLVM(*module, target)))
    stop("lowering to LLVM failed", text);
  auto result = mlir::translateModuleToLLVMIR(*module, context);
  if (!result)
    stop("translation to LLVM IR failed", text);
  return result;
}

Kernels::Kernels(const std::string &text, const Target &target)
    : foresees(fovea::rt::foreseesStreams()), impl(std::make_unique<Impl>()) {
  llvm::LLVMContext context;
  std::unique_ptr<llvm::Module> module = lower(text, target, context);
  addPackedFunctions(*module);
  object::CodegenTarget codegen{target.cpu.str(), target.features.str()};
  auto machine = llvm::cantFail(object::createTargetMachine(codegen));
  object::prepare(*module, *machine, codegen);
  object::optimize(*module, *machine);
  if (std::getenv("FOVEA_TEST_ASSEMBLY")) {
    auto assembly = llvm::cantFail(object::generate(*module, *machine, object::FileKind::Assembly));
    std::fwrite(assembly.data(), 1, assembly.size(), stderr);
  }
  auto bytes = llvm::cantFail(object::generate(*module, *machine, object::FileKind::Object));
  impl->jit = llvm::cantFail(llvm::orc::LLJITBuilder().create());
  llvm::orc::JITDylib &library = impl->jit->getMainJITDylib();
  auto fail =
      llvm::orc::ExecutorSymbolDef(llvm::orc::ExecutorAddr::fromPtr(&recordFailure), llvm::JITSymbolFlags::Exported);
  llvm::cantFail(library.define(llvm::orc::absoluteSymbols({{impl->jit->mangleAndIntern("fovea_fail"), fail}})));
  llvm::cantFail(impl->jit->addObjectFile(
      llvm::MemoryBuffer::getMemBufferCopy(llvm::StringRef(bytes.data(), bytes.size()), "kernels.o")));
}

Kernels::~Kernels() = default;

int64_t Kernels::call(const std::string &name, const std::vector<int64_t> &slots) {
  return impl->find(name)(slots.data());
}

static std::vector<int64_t> flatten(const std::vector<Argument> &arguments) {
  std::vector<int64_t> slots;
  for (const Argument &argument : arguments)
    slots.insert(slots.end(), argument.slots.begin(), argument.slots.end());
  return slots;
}

int64_t Kernels::tasks(const std::string &name, const std::vector<Argument> &arguments) {
  return call(name + ".tasks", flatten(arguments));
}

int64_t Kernels::scratchBytes(const std::string &name, const std::vector<Argument> &arguments) {
  return call(name + ".scratch", flatten(arguments));
}

int64_t Kernels::sharedBytes(const std::string &name, const std::vector<Argument> &arguments) {
  return call(name + ".shared", flatten(arguments));
}

std::vector<Failure> Kernels::run(const std::string &name, const std::vector<Argument> &arguments, int64_t chunk,
                                  bool backwards) {
  std::vector<Failure> result;
  failures = &result;
  fovea_exec exec = {};
  exec.foresees = foresees;
  std::vector<int64_t> own = flatten(arguments), slots = {reinterpret_cast<int64_t>(&exec)};
  slots.insert(slots.end(), own.begin(), own.end());
  slots.insert(slots.end(), {0, 0});
  std::vector<std::vector<unsigned char>> memories;
  for (int64_t bytes : {scratchBytes(name, arguments), sharedBytes(name, arguments)}) {
    memories.emplace_back(bytes + 128, 0xff); // NaN, so that what is read before it is written shows
    int64_t begin = (reinterpret_cast<int64_t>(memories.back().data()) + 63) / 64 * 64;
    slots.insert(slots.end(), {begin, begin, 0, bytes, 1});
  }
  Impl::Packed packed = impl->find(name + ".run");
  auto runTasks = [&](int64_t first, int64_t end) {
    std::vector<int64_t> starts;
    for (int64_t begin = first; begin < end; begin += chunk)
      starts.push_back(begin);
    if (backwards)
      std::reverse(starts.begin(), starts.end());
    for (int64_t begin : starts) {
      slots[1 + own.size()] = begin;
      slots[2 + own.size()] = std::min(begin + chunk, end);
      packed(slots.data());
    }
  };
  int64_t count = tasks(name, arguments);
  runTasks(0, count);
  runTasks(count, count + call(name + ".finish", own));
  failures = nullptr;
  return result;
}

double Kernels::seconds(const std::string &name, const std::vector<Argument> &arguments, int repeats) {
  double best = 1e30;
  for (int i = 0; i < repeats; ++i) {
    auto start = std::chrono::steady_clock::now();
    run(name, arguments, int64_t(1) << 40);
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}
