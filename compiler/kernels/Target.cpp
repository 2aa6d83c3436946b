#include "compiler/kernels/Target.h"

#include "mlir/Dialect/DLTI/DLTI.h"
#include "mlir/IR/Builders.h"
#include "llvm/ADT/SmallPtrSet.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/TargetParser/Host.h"

using namespace fovea::kernels;

// Tiles: accumulators + vectors of B + one broadcast of A fit the registers (8 * 3 + 4 of 32, 6 * 2 + 3 of 16; twelve
// rows of A by two vectors are more pointers than there are general registers: their loop spills), without FMA a
// product needs a register too: 4 * 2 + 4 of 16). Attention blocks: 8 vectors, so that the S block is half of 32 KiB at
// most.
static constexpr Target levels[] = {
    {.name = "x86-64-v4",
     .cpu = "x86-64-v4",
     .features = "-prefer-256-bit",
     .required = "avx512f avx512bw avx512cd avx512dq avx512vl avx2 fma f16c bmi2",
     .precision = Precision::F32,
     .scale = "llvm.x86.avx512.mask.scalef.ps.512",
     .bf16 = {"", 1},
     .i8 = {"llvm.x86.avx512.pmaddw.d.512", 2},
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
     .precision = Precision::F32,
     .scale = "",
     .bf16 = {"", 1},
     .i8 = {"llvm.x86.avx2.pmadd.wd", 2},
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
     .precision = Precision::F32,
     .scale = "",
     .bf16 = {"", 1},
     .i8 = {"llvm.x86.sse2.pmadd.wd", 2},
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

/// `level` with an instruction for products of one precision.
static constexpr Target with(Target level, llvm::StringLiteral name, llvm::StringLiteral features,
                             llvm::StringLiteral required, Precision precision, DotProduct dot,
                             llvm::StringLiteral avoided = "") {
  level.name = name;
  level.features = features;
  level.required = required;
  level.avoided = avoided;
  level.precision = precision;
  (precision == Precision::BF16 ? level.bf16 : level.i8) = dot;
  return level;
}
static constexpr Target dots[] = {
    with(levels[0], "x86-64-v4-bf16", "-prefer-256-bit,+avx512bf16",
         "avx512bf16 avx512f avx512bw avx512cd avx512dq avx512vl avx2 fma f16c bmi2", Precision::BF16,
         {"llvm.x86.avx512bf16.dpbf16ps.512", 2},
         /*avoided=*/"amx-bf16"), // Intel's do one in two cycles beside their tiles: half the products of multiply-adds
    with(levels[0], "x86-64-v4-vnni", "-prefer-256-bit,+avx512vnni",
         "avx512vnni avx512f avx512bw avx512cd avx512dq avx512vl avx2 fma f16c bmi2", Precision::I8,
         {"llvm.x86.avx512.vpdpbusd.512", 4}),
    with(levels[1], "x86-64-v3-vnni", "+avxvnni", "avxvnni avx2 fma f16c bmi2", Precision::I8,
         {"llvm.x86.avx512.vpdpbusd.256", 4}),
};

std::optional<Precision> fovea::kernels::parsePrecision(llvm::StringRef name) {
  return llvm::StringSwitch<std::optional<Precision>>(name)
      .Case("f32", Precision::F32)
      .Case("bf16", Precision::BF16)
      .Case("int8", Precision::I8)
      .Default(std::nullopt);
}

llvm::ArrayRef<Target> fovea::kernels::targets() { return levels; }

llvm::SmallVector<const Target *> fovea::kernels::targetsFor(Precision precision) {
  llvm::SmallVector<const Target *> result;
  for (const Target &level : levels) {
    for (const Target &dot : dots)
      if (dot.precision == precision && dot.cpu == level.cpu)
        result.push_back(&dot);
    result.push_back(&level);
  }
  return result;
}

const Target *fovea::kernels::lookupTarget(llvm::StringRef name, Precision precision) {
  if (name == "native")
    return &hostTarget(precision);
  for (llvm::ArrayRef<Target> rows : {llvm::ArrayRef(levels), llvm::ArrayRef(dots)})
    for (const Target &target : rows)
      if (target.name == name)
        return &target;
  return nullptr;
}

static bool hostHas(llvm::StringRef feature) {
  static const llvm::StringMap<bool> features = llvm::sys::getHostCPUFeatures();
  return features.lookup(feature);
}

bool fovea::kernels::hostRuns(const Target &target) {
  llvm::SmallVector<llvm::StringRef> required;
  llvm::StringRef(target.required).split(required, ' ', -1, /*KeepEmpty=*/false);
  return llvm::all_of(required, hostHas);
}

const Target &fovea::kernels::hostTarget(Precision precision) {
  for (const Target *target : targetsFor(precision))
    if (hostRuns(*target) && !hostHas(target->avoided))
      return *target;
  return levels[std::size(levels) - 1];
}

bool fovea::kernels::parseTargets(llvm::StringRef text, Precision precision,
                                  llvm::SmallVectorImpl<const Target *> &result, std::string &unknown) {
  llvm::SmallVector<llvm::StringRef> words;
  text.split(words, ',', -1, /*KeepEmpty=*/false);
  llvm::SmallVector<const Target *> known = targetsFor(precision);
  llvm::SmallPtrSet<const Target *, 8> chosen;
  for (llvm::StringRef word : words) {
    word = word.trim();
    if (word == "all") {
      chosen.insert(known.begin(), known.end());
      continue;
    }
    const Target *target = lookupTarget(word, precision);
    if (!llvm::is_contained(known, target)) {
      unknown = word.str();
      return false;
    }
    chosen.insert(target);
  }
  for (const Target *target : known)
    if (chosen.contains(target))
      result.push_back(target);
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
