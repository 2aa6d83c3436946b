#include "compiler/kernels/Target.h"

#include "mlir/Dialect/DLTI/DLTI.h"
#include "mlir/IR/Builders.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/TargetParser/Host.h"

using namespace fovea::kernels;

// Tiles: accumulators + vectors of B + one broadcast of A fit the registers (8 * 3 + 4 of 32, 6 * 2 + 3 of 16; twelve
// rows of A by two vectors are more pointers than there are general registers: their loop spills), without FMA a
// product needs a register too: 4 * 2 + 4 of 16). Attention blocks: 8 vectors, so that the S block is half of 32 KiB at
// most.
static constexpr Target table[] = {
    {.name = "x86-64-v4",
     .cpu = "x86-64-v4",
     .features = "-prefer-256-bit",
     .required = "avx512f avx512bw avx512cd avx512dq avx512vl avx2 fma f16c bmi2",
     .vectorLength = 16,
     .registers = 32,
     .fma = true,
     .halfConversions = true,
     .rounding = true,
     .maskRegisters = true,
     .tileRows = 8,
     .tileVectors = 3,
     .panel = 48,
     .lineBytes = 64,
     .l1Bytes = 32 * 1024,
     .l2Bytes = 1024 * 1024,
     .attentionRows = 64,
     .attentionKeys = 64},
    {.name = "x86-64-v3",
     .cpu = "x86-64-v3",
     .features = "",
     .required = "avx2 fma f16c bmi2",
     .vectorLength = 8,
     .registers = 16,
     .fma = true,
     .halfConversions = true,
     .rounding = true,
     .maskRegisters = false,
     .tileRows = 6,
     .tileVectors = 2,
     .panel = 16,
     .lineBytes = 64,
     .l1Bytes = 32 * 1024,
     .l2Bytes = 512 * 1024,
     .attentionRows = 48,
     .attentionKeys = 64},
    {.name = "x86-64",
     .cpu = "x86-64",
     .features = "",
     .required = "sse2",
     .vectorLength = 4,
     .registers = 16,
     .fma = false,
     .halfConversions = false,
     .rounding = false,
     .maskRegisters = false,
     .tileRows = 4,
     .tileVectors = 2,
     .panel = 8,
     .lineBytes = 64,
     .l1Bytes = 32 * 1024,
     .l2Bytes = 256 * 1024,
     .attentionRows = 32,
     .attentionKeys = 64},
};

llvm::ArrayRef<Target> fovea::kernels::targets() { return table; }

const Target *fovea::kernels::lookupTarget(llvm::StringRef name) {
  if (name == "native")
    return &hostTarget();
  for (const Target &target : table)
    if (target.name == name)
      return &target;
  return nullptr;
}

bool fovea::kernels::hostRuns(const Target &target) {
  static const llvm::StringMap<bool> features = llvm::sys::getHostCPUFeatures();
  llvm::SmallVector<llvm::StringRef> required;
  llvm::StringRef(target.required).split(required, ' ', -1, /*KeepEmpty=*/false);
  return llvm::all_of(required, [](llvm::StringRef feature) { return features.lookup(feature); });
}

const Target &fovea::kernels::hostTarget() {
  for (const Target &target : table)
    if (hostRuns(target))
      return target;
  return table[std::size(table) - 1];
}

bool fovea::kernels::parseTargets(llvm::StringRef text, llvm::SmallVectorImpl<const Target *> &result,
                                  std::string &unknown) {
  llvm::SmallVector<llvm::StringRef> words;
  text.split(words, ',', -1, /*KeepEmpty=*/false);
  llvm::SmallVector<bool> chosen(std::size(table), false);
  for (llvm::StringRef word : words) {
    word = word.trim();
    if (word == "all") {
      chosen.assign(std::size(table), true);
      continue;
    }
    const Target *target = lookupTarget(word);
    if (!target) {
      unknown = word.str();
      return false;
    }
    chosen[target - table] = true;
  }
  for (size_t i = 0; i < std::size(table); ++i)
    if (chosen[i])
      result.push_back(&table[i]);
  return true;
}

void fovea::kernels::attachTarget(mlir::ModuleOp module, const Target &target) {
  module.getContext()->loadDialect<mlir::DLTIDialect>();
  mlir::Builder b(module.getContext());
  auto entry = [&](llvm::StringRef key, mlir::Attribute value) {
    return mlir::DataLayoutEntryAttr::get(b.getStringAttr(key), value);
  };
  auto device = mlir::TargetDeviceSpecAttr::get(
      b.getContext(),
      {entry("fovea.target", b.getStringAttr(target.name)),
       entry("fovea.vector_length", b.getI64IntegerAttr(target.vectorLength)),
       entry("fovea.registers", b.getI64IntegerAttr(target.registers)), entry("fovea.fma", b.getBoolAttr(target.fma)),
       entry("fovea.tile", b.getI64ArrayAttr({target.tileRows, target.tileVectors})),
       entry("fovea.panel", b.getI64IntegerAttr(target.panel)),
       entry("fovea.line_bytes", b.getI64IntegerAttr(target.lineBytes)),
       entry("fovea.l1_bytes", b.getI64IntegerAttr(target.l1Bytes)),
       entry("fovea.l2_bytes", b.getI64IntegerAttr(target.l2Bytes))});
  mlir::DataLayoutEntryInterface cpu = mlir::DataLayoutEntryAttr::get(b.getStringAttr("CPU"), device);
  module->setAttr(mlir::DLTIDialect::kTargetSystemDescAttrName, mlir::TargetSystemSpecAttr::get(b.getContext(), cpu));
}
