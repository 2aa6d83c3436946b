// What code is generated for: one row of a table per processor level.
#ifndef FOVEA_COMPILER_KERNELS_TARGET_H
#define FOVEA_COMPILER_KERNELS_TARGET_H

#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringRef.h"
#include <optional>
#include <string>

namespace fovea::kernels {

/// What products of activations with constant matrices round their operands to.
enum class Precision { F32, BF16, I8 };
/// "f32", "bf16", "int8"; nullopt for anything else.
std::optional<Precision> parsePrecision(llvm::StringRef name);

/// An LLVM intrinsic that sums up `kBlock` products of narrow numbers in each lane.
struct DotProduct {
  llvm::StringLiteral intrinsic;
  int64_t kBlock;
};

/// One processor level, or a level with an instruction more. Widths and tiles are part of the numerical record of a
/// target: changing them changes bits. Lengths are in f32 elements unless they say bytes. Rows live as long as the
/// process; compare by address.
struct Target {
  llvm::StringLiteral name;     ///< as in --target and fovea_target::name
  llvm::StringLiteral cpu;      ///< LLVM's name of the processor
  llvm::StringLiteral features; ///< LLVM's feature string
  /// What the processor must have, space-separated, for fovea_target::features and host detection.
  llvm::StringLiteral required;
  /// A feature of processors on which the target is slower than those behind it: there it is chosen only by name.
  llvm::StringLiteral avoided = "";
  /// The precision for which this is another target than its level; F32: a level.
  Precision precision;
  /// LLVM's intrinsic for x * 2^n of a vector of f32, rounded once; "" where there is none.
  llvm::StringLiteral scale;
  DotProduct bf16;       ///< sums(f32, pairs, pairs); kBlock 1 where there is none: f32 multiply-adds
  DotProduct i8;         ///< sums(i32, unsigned quads, signed quads), or kBlock 2: pairs of i16 to i32, to be added
  int64_t vectorLength;  ///< lanes of a vector register
  int64_t registers;     ///< vector registers
  bool fma;              ///< fused multiply-add; otherwise chains are mul, then add
  bool halfConversions;  ///< converts between f16 and f32 (F16C)
  bool rounding;         ///< rounds to integers (SSE4.1)
  bool maskRegisters;    ///< masked loads and stores of every type cost what plain ones do
  int64_t tileRows;      ///< matmul register tile: rows ...
  int64_t tileVectors;   ///< ... by vectors
  int64_t panel;         ///< columns of a packed panel: tileVectors * vectorLength
  int64_t lineBytes;     ///< of a cache line: what a prefetch brings
  int64_t l1Bytes;       ///< first-level data cache that blocks are sized for
  int64_t l2Bytes;       ///< second level
  int64_t attentionRows; ///< queries of an attention block
  int64_t attentionKeys; ///< keys of an attention block: the fixed step in which rows are rescaled
};

/// All levels, best first.
llvm::ArrayRef<Target> targets();
/// The levels, and before each what is another target for this precision.
llvm::SmallVector<const Target *> targetsFor(Precision precision);
/// The target of that name, of any precision, or "native", hostTarget(precision); null where there is none.
const Target *lookupTarget(llvm::StringRef name, Precision precision = Precision::F32);
/// Whether this machine can run code of `target`.
bool hostRuns(const Target &target);
/// The best of targetsFor(precision) that this machine runs.
const Target &hostTarget(Precision precision = Precision::F32);
/// Parses the value of `--target`: comma-separated names of targetsFor(precision) or "native" or "all", result best
/// first without repeats. False, with the word that is no target in `unknown`, otherwise.
bool parseTargets(llvm::StringRef text, Precision precision, llvm::SmallVectorImpl<const Target *> &result,
                  std::string &unknown);

/// Notes `target` on the module as a DLTI target spec (attribute `dlti.target_system_spec`), for people and passes that
/// read it.
void attachTarget(mlir::ModuleOp module, const Target &target);

} // namespace fovea::kernels
#endif
