// What a program offers: the tables of abi.h before they are encoded, read from the graph module's functions.
#pragma once

#include "compiler/analysis/RecomputationReport.h"
#include "dialects/dim/DimExpr.h"

#include "mlir/IR/BuiltinOps.h"

#include <array>
#include <string>
#include <vector>

namespace fovea::program {

struct TensorSpec {
  std::string name;
  std::string place; // "file:line:column"
  int32_t dtype = 0; // fovea_dtype
  std::vector<DimExpr> dims;
};

/// `symbol` gets `value` from `axis` of `input` (axis -1: from the rank-0 input itself), or from the context's state
/// symbol `axis` where `input` is -1. In `value`, the symbol named `foundSymbol` is the size (or scalar) found.
struct Binding {
  size_t symbol;
  int64_t input;
  int64_t axis;
  DimExpr value;
};
inline constexpr const char *foundSymbol = "$found";

struct Requirement {
  DimExpr lhs;
  DimExpr rhs;
  int32_t relation; // FOVEA_EQ ...
  std::string message;
  std::string place;
};

struct Entry {
  std::string name;     // as users call it
  std::string function; // the function in the module
  std::string doc;
  int32_t role = 0; // FOVEA_ROLE_...
  std::vector<std::string> symbols;
  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> outputs;
  std::vector<Binding> bindings;
  std::vector<Requirement> requirements;
  std::vector<size_t> states; // indices into Interface::states
  /// Pairs (index into Interface::stateSymbols, index into symbols): sizes of states that the entry's symbols fix.
  std::vector<std::pair<size_t, size_t>> stateSizes;
  std::optional<RecomputationReport> recomputation; ///< of an entry that computes gradients, where it was asked for
};

/// What a state is at first, as fovea_initial says.
struct Initial {
  int32_t kind = 0; // FOVEA_INITIAL_CONSTANT ...
  bool isParam = false;
  double a = 0, b = 0;
};

/// A value computed at load time by the prepare function `function`.
struct Derived {
  std::string name;
  int32_t dtype;
  int64_t bytes;
  size_t prepare; // index into Interface::prepare
};

struct Interface {
  std::string name; // the model
  std::vector<Entry> entries;
  std::vector<TensorSpec> params;
  std::vector<TensorSpec> states; // sizes over stateSymbols
  std::vector<std::string> stateSymbols;
  std::vector<Initial> initials;    // one a state
  std::vector<std::string> prepare; // functions
  std::vector<Derived> derived;
  std::vector<size_t> direct; // indices into params: those that entries read, not only prepare functions; ascending
  std::array<uint8_t, 16> identity{}; // see `identify`

  /// C identifier made of the model's name, in lower case: prefix of the library's one symbol.
  std::string symbolPrefix() const;
};

/// The fovea_dtype of an element type of the graph.
int32_t dtypeOf(mlir::Type element);

/// Reads entries, prepare functions, params and states of a graph module (after the graph passes, before lowering).
/// Emits an error and fails where a symbol of an entry cannot be had from its inputs or a param's size is symbolic.
mlir::FailureOr<Interface> describeProgram(mlir::ModuleOp module);

} // namespace fovea::program
