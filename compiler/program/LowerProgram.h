// Host-side functions of a program in terms of the ABI: launches through services->parallel, entries on a frame.
#pragma once

#include "compiler/program/Interface.h"

#include "llvm/ADT/StringMap.h"

namespace fovea::program {

/// Name of the function with the ABI's signature that stands for the host function `name`.
std::string entrySymbol(llvm::StringRef name);
std::string arenaSymbol(llvm::StringRef name);
std::string scratchSymbol(llvm::StringRef name);
std::string sharedSymbol(llvm::StringRef name);

/// What the profile says of a kernel.
struct KernelInfo {
  std::string kind;  // the schedule op: "matmul", "attention", "map"
  std::string place; // "file:line:column"
};
using KernelTable = llvm::StringMap<KernelInfo>;

/// Reads the kernels of a module before they are emitted.
KernelTable describeKernels(mlir::ModuleOp module);

/// Rewrites a module in which kernels are emitted (docs/architecture.md, "Between lower, emit and program"):
///  * each `kernel.launch` becomes an argument block, a `fovea_launch` and a call of `services->parallel`;
///  * `@name.scratch` is derived from each host function: the most that a thread of any of its launches needs;
///  * each entry and prepare function gets the three functions of `fovea_entry_code`;
///  * `fovea_fail` is defined.
/// What is left is func, scf, cf, arith, memref and llvm.
mlir::LogicalResult lowerProgram(mlir::ModuleOp module, const Interface &interface, const KernelTable &kernels);

} // namespace fovea::program
