// The typed model: what sema hands to import. No MLIR here.
#pragma once

#include "compiler/source/Source.h"
#include "dialects/dim/DimExpr.h"

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace fovea::sema {

enum class DType { F32, F16, BF16, I64, I32, I8, Bool, F64 }; // numbered as fovea_dtype

/// A tensor type; rank 0 is a scalar. Sizes are at least 0.
struct TensorType {
  std::vector<DimExpr> dims;
  DType dtype = DType::F32;
  bool operator==(const TensorType &) const = default;
};

using ValueId = uint32_t; // index into Function::values

using Attribute =
    std::variant<int64_t, double, bool, std::string, std::vector<int64_t>, DimExpr, std::vector<DimExpr>, DType>;

/// One operation of the graph dialect: `name` is its mnemonic without the prefix, attributes are by its ODS names.
/// See docs/architecture.md ("What sema emits") for the list. Result types are complete.
struct Op {
  std::string name;
  std::vector<ValueId> operands;
  std::vector<std::pair<std::string, Attribute>> attributes;
  std::vector<ValueId> results;
  source::Span span;
  /// Source path of the value, for --dump and the profile: "layers.0.attention.scores" (relative to the function).
  std::string path;
  // name == "call" only:
  uint32_t callee = 0;                                       // index into Model::functions
  std::vector<std::pair<std::string, DimExpr>> substitution; // callee symbol -> expression over the caller's symbols
};

enum class ArgumentKind { Input, Param, State };

struct Argument {
  ArgumentKind kind = ArgumentKind::Input;
  /// Input: its name. Param and State in an entry: the dotted path in the model (a written param's is that of its
  /// ParamInfo). In other functions: for people.
  std::string name;
  ValueId value = 0;
  source::Span span;
  bool isWrittenParam = false; // of a State: a param that some entry writes
};

enum class Relation { EQ, NE, LT, LE, GT, GE };

/// A precondition on sizes, checked before any kernel runs.
struct Require {
  DimExpr lhs;
  Relation relation = Relation::EQ;
  DimExpr rhs;
  std::string message; // as the source reads
  source::Span span;
};

/// A result: an output, or the new value of a state argument (then `state` is the argument's index).
struct Result {
  std::string name;
  ValueId value = 0;
  int32_t state = -1;
};

struct Value {
  TensorType type;
  source::Span span;
};

/// A function at fixed types, symbolic in `symbols`. Bodies are straight-line: `if` and `for` are decided already.
struct Function {
  std::string name; // unique; "MiniLM.embed", "EncoderLayer.forward$2", "softmax$5"
  std::string doc;
  bool isEntry = false;
  /// Called for an element of a list of modules: kept as a function (equal layers are compiled once); others are
  /// inlined.
  bool isLayer = false;
  bool requireFused = false; // @require_fused
  std::string role;          // of an entry: "train", "evaluate", or none
  std::vector<std::string> symbols;
  /// Symbols whose value is a rank-0 integer argument (used as a size inside): symbol name -> argument index.
  std::vector<std::pair<std::string, uint32_t>> scalarSymbols;
  std::vector<Value> values;
  std::vector<Argument> arguments;
  std::vector<Require> requirements;
  std::vector<Op> ops;
  std::vector<Result> results;
  source::Span span;
};

/// How a param starts where no file gives it, or a state: the initialiser's name, empty where there is none, and its
/// arguments.
struct Initializer {
  std::string name;
  std::vector<double> args;
};

struct ParamInfo {
  std::string path;
  TensorType type; // literal dims
  Initializer initializer;
  bool isWritten = false; // by an entry: a State argument of every entry that uses it
  source::Span span;
};

struct StateInfo {
  std::string path;
  TensorType type;
  double initial = 0; // where there is no initialiser
  Initializer initializer;
  source::Span span;
};

struct Model {
  std::string name;
  std::vector<Function> functions; // callees before callers
  std::vector<ParamInfo> params;   // in declaration order; every entry's Param arguments name one of these
  std::vector<StateInfo> states;
};

/// The model as text, for `--emit=typed` and tests.
std::string print(const Model &model);

} // namespace fovea::sema
