// What code is generated for: one row of a table per processor level.
#ifndef FOVEA_COMPILER_KERNELS_TARGET_H
#define FOVEA_COMPILER_KERNELS_TARGET_H

#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include <string>

namespace fovea::kernels {

/// One processor level. Widths and tiles are part of the numerical record of a target: changing them changes bits.
/// Lengths are in f32 elements unless they say bytes. Rows live as long as the process; compare by address.
struct Target {
  llvm::StringLiteral name;     ///< as in --target and fovea_target::name
  llvm::StringLiteral cpu;      ///< LLVM's name of the processor
  llvm::StringLiteral features; ///< LLVM's feature string
  /// What the processor must have, space-separated, for fovea_target::features and host detection.
  llvm::StringLiteral required;
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

/// All targets, best first.
llvm::ArrayRef<Target> targets();
/// The target of that name, "native" (the best that this machine runs) included; null where there is none.
const Target *lookupTarget(llvm::StringRef name);
/// Whether this machine can run code of `target`.
bool hostRuns(const Target &target);
/// The best target that this machine runs.
const Target &hostTarget();
/// Parses the value of `--target`: comma-separated names or "native" or "all", result best first without repeats.
/// False, with the word that is no target in `unknown`, otherwise.
bool parseTargets(llvm::StringRef text, llvm::SmallVectorImpl<const Target *> &result, std::string &unknown);

/// Notes `target` on the module as a DLTI target spec (attribute `dlti.target_system_spec`), for people and passes that
/// read it.
void attachTarget(mlir::ModuleOp module, const Target &target);

} // namespace fovea::kernels
#endif
