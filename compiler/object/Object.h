// LLVM IR to object code, and object code to executables and shared libraries (lld, in process).
#pragma once

#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <memory>
#include <string>
#include <vector>

namespace llvm {
class Module;
class TargetMachine;
} // namespace llvm

namespace fovea::object {

/// What LLVM needs to know of a target: `cpu` and `features` as -mcpu and -mattr take them.
struct CodegenTarget {
  std::string cpu;
  std::string features;
};

/// A target machine for x86-64 Linux, position independent. Registers LLVM's targets on first use. Thread-safe.
llvm::Expected<std::unique_ptr<llvm::TargetMachine>> createTargetMachine(const CodegenTarget &target);

/// Sets triple, data layout and function attributes, and simplifies what the functions of a whole module say of one
/// another: constant arguments of internal functions, what they read and write.
void prepare(llvm::Module &module, llvm::TargetMachine &machine, const CodegenTarget &target);

/// Runs the optimisation passes that pay on code which is vectorised already, on a prepared module or a part of it. The
/// numbers do not change: no fast-math flag is set anywhere.
void optimize(llvm::Module &module, llvm::TargetMachine &machine);

/// A part of a module, as bitcode: it can be read in any thread.
using Part = llvm::SmallVector<char, 0>;

enum class Division { Parts, Whole };
/// Divides a module into parts that `compile` makes objects of and the linker joins, the largest first. They are the
/// same for any number of processors. Parts refer to one another by hidden symbols that end in `name`, which tells the
/// targets of a program apart. The module is changed.
std::vector<Part> divide(llvm::Module &module, llvm::TargetMachine &machine, const CodegenTarget &target,
                         Division division, llvm::StringRef name);
/// Optimises a part and generates its object file. Thread-safe.
llvm::Expected<llvm::SmallVector<char, 0>> compile(const Part &part, const CodegenTarget &target);

/// Object file bytes, or assembly text.
enum class FileKind { Object, Assembly };
llvm::Expected<llvm::SmallVector<char, 0>> generate(llvm::Module &module, llvm::TargetMachine &machine, FileKind kind);

struct LinkJob {
  /// Objects to link, in memory.
  std::vector<llvm::SmallVector<char, 0>> objects;
  /// Static libraries, by path, in link order (executables only).
  std::vector<std::string> archives;
  std::string output;
  bool shared = false;
  /// Whether the objects hold weights, which are to be mapped on huge pages: addresses and file offsets agree up to 2
  /// MiB, and the file is written in one piece, for which file systems take large pages.
  bool holdsWeights = false;
  /// Symbols to take from the archives though nothing needs them.
  std::vector<std::string> wanted;
  /// shared: the one symbol that stays visible.
  std::string exportedSymbol;
};

/// Links into `job.output` by way of a temporary file beside it that is renamed: a failing link leaves what was there.
/// The C runtime's start files (Scrt1.o, crti.o, crtn.o) are looked for in the directories of `startFileDirectories`.
llvm::Error link(const LinkJob &job);

/// Where the start files and libc are looked for: $FOVEA_CRT_DIR, then the multiarch and the plain library directories.
std::vector<std::string> startFileDirectories();

/// Writes bytes to a temporary file beside `path` and renames it; "-" writes to standard output.
llvm::Error writeFile(llvm::StringRef path, llvm::StringRef bytes, bool executable = false);

} // namespace fovea::object
