#include "compiler/object/Object.h"

#include "llvm/IR/IRBuilder.h"
#include "llvm/IR/InstIterator.h"
#include "llvm/IR/IntrinsicInst.h"
#include "llvm/IR/LegacyPassManager.h"
#include "llvm/IR/Module.h"
#include "llvm/MC/TargetRegistry.h"
#include "llvm/Passes/PassBuilder.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Target/TargetMachine.h"
#include "llvm/Target/TargetOptions.h"

#include <mutex>

using namespace llvm;

namespace fovea::object {

static constexpr const char *targetTriple = "x86_64-unknown-linux-gnu";

Expected<std::unique_ptr<TargetMachine>> createTargetMachine(const CodegenTarget &target) {
  static std::once_flag once;
  std::call_once(once, [] {
    InitializeNativeTarget();
    InitializeNativeTargetAsmPrinter();
    InitializeNativeTargetAsmParser();
  });
  Triple triple(targetTriple);
  std::string error;
  const Target *backend = TargetRegistry::lookupTarget(triple, error);
  if (!backend)
    return createStringError("no code generator for %s: %s", targetTriple, error.c_str());
  TargetOptions options;
  options.AllowFPOpFusion = FPOpFusion::Strict; // fused multiply-adds are explicit in the IR
  options.FunctionSections = true;
  options.DataSections = true;
  std::unique_ptr<TargetMachine> machine(backend->createTargetMachine(
      triple, target.cpu, target.features, options, Reloc::PIC_, std::nullopt, CodeGenOptLevel::Default));
  if (!machine)
    return createStringError("cannot make a target machine for %s", target.cpu.c_str());
  return machine;
}

/// Triple, layout and what functions may use.
static void describe(Module &module, TargetMachine &machine, const CodegenTarget &target) {
  module.setTargetTriple(machine.getTargetTriple());
  module.setDataLayout(machine.createDataLayout());
  for (Function &function : module) {
    if (function.isDeclaration())
      continue;
    function.addFnAttr("target-cpu", target.cpu);
    function.addFnAttr("target-features", target.features);
    // The vectors are ours to choose: LLVM must not narrow 512-bit ones.
    function.addFnAttr("prefer-vector-width", "512");
    function.addFnAttr("min-legal-vector-width", "512");
  }
}

static void runPasses(Module &module, TargetMachine &machine, StringRef pipeline) {
  LoopAnalysisManager loops;
  FunctionAnalysisManager functions;
  CGSCCAnalysisManager sccs;
  ModuleAnalysisManager modules;
  PassBuilder builder(&machine);
  builder.registerModuleAnalyses(modules);
  builder.registerCGSCCAnalyses(sccs);
  builder.registerFunctionAnalyses(functions);
  builder.registerLoopAnalyses(loops);
  builder.crossRegisterProxies(loops, functions, sccs, modules);
  ModulePassManager passes;
  cantFail(builder.parsePassPipeline(passes, pipeline));
  passes.run(module, modules);
}

void prepare(Module &module, TargetMachine &machine, const CodegenTarget &target) {
  describe(module, machine, target);
  runPasses(module, machine, "ipsccp<no-func-spec>,globalopt,cgscc(function-attrs)");
}

/// The one lane of a mask that is known and has no other; none otherwise.
static std::optional<unsigned> singleLane(Value *mask) {
  auto *constant = dyn_cast<Constant>(mask);
  auto *type = dyn_cast<FixedVectorType>(mask->getType());
  std::optional<unsigned> found;
  for (unsigned i = 0, lanes = constant && type ? type->getNumElements() : 0; i < lanes; ++i) {
    Constant *lane = constant->getAggregateElement(i);
    if (!lane || !(lane->isOneValue() || lane->isNullValue()) || (lane->isOneValue() && found))
      return std::nullopt;
    if (lane->isOneValue())
      found = i;
  }
  return found;
}

/// Masked stores of one known lane become stores of an element. Of numbers that were narrowed just before, LLVM 22
/// writes that lane as wide as it was, over its neighbour in memory (llvm/llvm-project issue 179489).
static void storeSingleLanes(Module &module) {
  for (Function &function : module)
    for (Instruction &instruction : make_early_inc_range(instructions(function))) {
      auto *store = dyn_cast<IntrinsicInst>(&instruction);
      if (!store || store->getIntrinsicID() != Intrinsic::masked_store)
        continue;
      Value *value = store->getArgOperand(0), *to = store->getArgOperand(1);
      std::optional<unsigned> lane = singleLane(store->getArgOperand(2));
      if (!lane)
        continue;
      IRBuilder<> builder(store);
      Type *element = value->getType()->getScalarType();
      Value *place = builder.CreateConstGEP1_64(element, to, *lane);
      Align align = commonAlignment(store->getParamAlign(1).valueOrOne(),
                                    *lane * module.getDataLayout().getTypeStoreSize(element).getFixedValue());
      builder.CreateAlignedStore(builder.CreateExtractElement(value, *lane), place, align);
      store->eraseFromParent();
    }
}

// Vectors, unrolled loops and fused multiply-adds were chosen before: of O2's passes those whose absence the inner
// loops show (docs/performance.md). Instructions are combined only in rotated loops, from which what does not change is
// gone: before, sums of indices become `or`, which later passes do not take apart.
static constexpr const char *pipeline =
    "cgscc(inline,function-attrs,function(sroa,early-cse<memssa>,simplifycfg)),"
    "function(loop-mssa(loop-rotate,licm),instcombine<no-verify-fixpoint>,early-cse<memssa>,"
    "jump-threading,correlated-propagation,instcombine<no-verify-fixpoint>,loop-mssa(licm),simplifycfg)";

void optimize(Module &module, TargetMachine &machine) {
  runPasses(module, machine, pipeline);
  storeSingleLanes(module);
}

Expected<SmallVector<char, 0>> generate(Module &module, TargetMachine &machine, FileKind kind) {
  SmallVector<char, 0> bytes;
  raw_svector_ostream stream(bytes);
  legacy::PassManager passes;
  auto type = kind == FileKind::Object ? CodeGenFileType::ObjectFile : CodeGenFileType::AssemblyFile;
  if (machine.addPassesToEmitFile(passes, stream, nullptr, type))
    return createStringError("the target cannot write this kind of file");
  passes.run(module);
  return bytes;
}

} // namespace fovea::object
