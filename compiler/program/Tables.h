// The read-only tables of abi.h as LLVM globals.
#pragma once

#include "compiler/program/Interface.h"

#include "llvm/IR/Module.h"

namespace fovea::program {

/// A packed file that is to lie within the program.
struct PackedPath {
  std::string path;
  uint64_t bytes;
};

struct TargetTable {
  std::string name;                  // "x86-64-v3"
  std::vector<std::string> features; // what the processor must have
};

/// Writes `const fovea_target <symbol>` with the functions that `lowerProgram` made into a target's module. Everything
/// else in the module becomes internal.
void addTargetTable(llvm::Module &module, const Interface &interface, const TargetTable &target, llvm::StringRef symbol,
                    llvm::function_ref<std::string(llvm::StringRef)> arenaFormula);

/// Makes the module that holds `const fovea_program` and the functions that return it: `<prefix>_program`, and for an
/// executable `fovea_linked_program`. `targetSymbols` name the tables of `addTargetTable`, best first. `packed` has
/// none or, for each target, a packed file: its bytes become part of the object that the module gives.
std::unique_ptr<llvm::Module> makeProgramModule(llvm::LLVMContext &context, const Interface &interface,
                                                llvm::ArrayRef<std::string> targetSymbols, bool executable,
                                                llvm::ArrayRef<PackedPath> packed = {});

} // namespace fovea::program
