// The way from a model file to a program: the phases, in order, each of which can be printed and stopped after.
#pragma once

#include "compiler/kernels/Target.h"
#include "compiler/object/Object.h"
#include "compiler/program/Tables.h"
#include "compiler/sema/Sema.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Support/Timing.h"

#include <memory>
#include <string>
#include <vector>

namespace fovea::pipeline {

/// What `--emit` names. Each is the input of the next.
enum class Stage { AST, Typed, Graph, Fused, Kernel, Vector, LLVM, Assembly, Object, Library, Executable };

/// "ast", "typed", ...; nullopt for anything else.
std::optional<Stage> parseStage(llvm::StringRef name);
/// All names, for messages.
std::vector<std::string> stageNames();

/// A pass from a plugin at a named point: after-import, before-fusion, after-fusion, kernel.
struct PluginPass {
  std::string plugin;   // path of the shared object
  std::string pipeline; // as on mlir-opt's command line
  std::string point;
};

/// Whose fault the last failure of a Compiler was: the exit codes 1, 2 and 70. None: the model's text, or nothing
/// failed.
enum class FailureKind { None, Model, Usage, Compiler };

struct Options {
  sema::Options model;
  std::vector<const kernels::Target *> targets; // best first
  std::string weightsDtype;                     // what packed weights are stored in: "bf16" or "i8"; "" as they are
  kernels::Precision matmulPrecision = kernels::Precision::F32; // what products with packed weights round to
  int64_t maxMemory = 0; // bytes of the arena of an entry that computes gradients, at `sizes`; 0: no limit
  std::vector<std::pair<std::string, int64_t>> sizes; // that memory is planned for or reported at
  bool attentionMaps = false;                         // entries get twins that return what their attentions look at
  bool fusesAttention = true; // false: its chains run as products and softmax, and `@require_fused` asks for nothing
  std::vector<PluginPass> plugins;
  std::vector<std::string> printBefore, printAfter; // pass arguments; "all"
  bool time = false;
};

/// Reads a model file; where it is none that can be read, says why on standard error.
std::optional<source::FileId> loadModelFile(source::SourceManager &sources, const std::string &path);

/// Compiles one model. Every step reports errors to standard error, with the place in the model's text, and returns
/// false or failure; the steps must be called in order. Not thread-safe.
class Compiler {
public:
  explicit Compiler(Options options);
  ~Compiler();

  /// The syntax tree of a file as text; nullopt where there were errors.
  std::optional<std::string> printSyntax(const std::string &path);
  /// Reads and checks the model; the typed model is then there.
  bool read(const std::string &path);
  FailureKind failureKind() const;
  const Options &options() const;
  const sema::Model &model() const;
  source::SourceManager &sources();

  /// Imports the typed model: `graph()` is then the unoptimised meaning, what the interpreter runs.
  bool import();
  /// Inlines, simplifies, fuses: target-independent. `graph()` is then optimised.
  bool optimize() { return simplify() && fuse(); }
  /// The two halves: `graph()` is then whole layers in canonical form, and that with attention, merged projections.
  bool simplify();
  bool fuse();
  mlir::ModuleOp graph();

  /// Lowers the optimised graph for one target up to `stage` (Fused, Kernel, Vector or LLVM dialect of the latter).
  mlir::OwningOpRef<mlir::ModuleOp> lower(const kernels::Target &target, Stage stage, program::Interface &interface);

  /// Objects of all targets' parts, then of the program's tables, each an ELF file.
  struct Objects {
    std::vector<llvm::SmallVector<char, 0>> files;
    std::vector<std::string> targets; // the symbols of their tables
    program::Interface interface;
    /// "embed: 1234*B*T + …" for each entry: the arena's bytes (first target).
    std::vector<std::pair<std::string, std::string>> arenaFormulas;
  };
  /// Parts of one target, and targets, are compiled side by side. The bytes do not depend on the number of processors.
  std::optional<Objects> compile(object::Division division = object::Division::Parts);
  /// Adds the tables. `packed` has none or, for each target, a packed file whose bytes the program is to hold.
  bool addTables(Objects &objects, bool executable, llvm::ArrayRef<program::PackedPath> packed = {});

  /// The text of one of the stages up to LLVM or Assembly, for the first target.
  std::optional<std::string> print(Stage stage);

  /// Prints the times of phases and passes to standard error (with Options::time).
  void printTimes();

private:
  struct State;
  std::unique_ptr<State> state;
};

} // namespace fovea::pipeline
