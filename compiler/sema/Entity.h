// What an expression stands for while a model is elaborated; private to this folder.
#pragma once

#include "compiler/sema/Model.h"
#include "compiler/syntax/Ast.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace fovea::sema {

struct FileScope;
struct Instance;
struct Builtin;

/// A module as a function sees it: `path` leads from its root, one of the function's module arguments (0: self).
struct ModuleRef {
  Instance *instance = nullptr;
  uint32_t root = 0;
  std::string path;
  bool isElement = false; // of a list of modules
};

/// lhs relation rhs, not decided at compile time.
struct Comparison {
  DimExpr lhs;
  Relation relation;
  DimExpr rhs;
};

struct Entity {
  enum class Kind {
    Error,     // reported already
    Void,      // no value
    Size,      // size: an integer, constant or symbolic
    Float,     // number: weakly typed, takes the type of what it meets
    Bool,      // flag
    String,    // text
    None,      //
    Condition, // comparisons, all of which must hold
    Tensor,    // id; bound; module: where it is a leaf of a `params` tree, the param at module.path of a root
    Module,    // module
    List,      // items
    Tuple,     // items, names
    Function,  // function, scope, module (of a method)
    Class,     // moduleDecl, scope
    Builtin,   // builtin
    Param,     // index into the elaborated params; only as a member of an Instance
    State,     // member; only as a member of an Instance
  };
  Kind kind = Kind::Error;
  DimExpr size;
  double number = 0;
  bool flag = false;
  std::string text;
  std::vector<Comparison> comparisons;
  ValueId id = 0;
  DimExpr bound; // an integer tensor with elements in [0, bound); null where not known
  std::vector<Entity> items;
  std::vector<std::string> names;
  ModuleRef module;
  const syntax::FunctionDecl *function = nullptr;
  const syntax::ModuleDecl *moduleDecl = nullptr;
  const syntax::MemberDecl *member = nullptr;
  const FileScope *scope = nullptr;
  const Builtin *builtin = nullptr;
  uint32_t index = 0;

  Entity() = default;
  explicit Entity(Kind kind) : kind(kind) {}
  static Entity ofSize(DimExpr e) {
    Entity v(Kind::Size);
    v.size = e;
    return v;
  }
  static Entity ofFloat(double x) {
    Entity v(Kind::Float);
    v.number = x;
    return v;
  }
  static Entity ofBool(bool b) {
    Entity v(Kind::Bool);
    v.flag = b;
    return v;
  }
  static Entity ofString(std::string s) {
    Entity v(Kind::String);
    v.text = std::move(s);
    return v;
  }
  static Entity ofTensor(ValueId id) {
    Entity v(Kind::Tensor);
    v.id = id;
    return v;
  }
  bool is(Kind k) const { return kind == k; }
  bool isError() const { return kind == Kind::Error; }
  /// A param of a `params` tree: assigning to its name writes it, and its value is read anew wherever it is named.
  bool isLeaf() const { return kind == Kind::Tensor && module.instance; }
  /// A float or an integer known at compile time.
  std::optional<double> asNumber() const {
    if (kind == Kind::Float)
      return number;
    if (kind == Kind::Size)
      if (std::optional<int64_t> v = size.value())
        return static_cast<double>(*v);
    return std::nullopt;
  }
  std::optional<int64_t> asInteger() const { return kind == Kind::Size ? size.value() : std::nullopt; }
};

/// A module with its arguments decided: one node of the model's tree.
struct Instance {
  const syntax::ModuleDecl *decl = nullptr;
  const FileScope *scope = nullptr;
  /// Equal for instances that elaborate alike: the declaration and the arguments.
  std::string key;
  source::Span place;     // of the expression that made it
  std::string storedPath; // its tensors' prefix, "" or ending in no dot
  std::map<std::string, Entity> arguments;
  std::map<std::string, Entity> members; // Param, State, Module, List and compile-time values
  std::vector<std::string> order;        // members as declared
  std::map<std::string, const syntax::FunctionDecl *> functions;
  std::map<std::string, source::Span> places; // of members and functions
};

const char *dtypeName(DType dtype);
std::optional<DType> dtypeFromName(std::string_view name);
/// Floats in which something is computed; f64 is stored, moved about and cast.
inline bool computes(DType d) { return d == DType::F32 || d == DType::F16 || d == DType::BF16; }
inline bool isFloat(DType d) { return computes(d) || d == DType::F64; }
inline bool isInteger(DType d) { return d == DType::I64 || d == DType::I32 || d == DType::I8; }
std::string describe(const TensorType &type); // "f32[B, T]"
std::string joinDims(const std::vector<DimExpr> &dims);
std::string countArguments(size_t n); // "no arguments", "1 argument"

/// What is known of `lhs relation rhs` for all sizes.
enum class Truth { False, Unknown, True };
Truth decide(DimExpr lhs, Relation relation, DimExpr rhs);
const char *spelling(Relation relation);
Relation negate(Relation relation);

/// One argument of a call, evaluated.
struct ArgumentValue {
  std::string name; // empty where positional
  Entity value;
  source::Span span;
  source::Span nameSpan{}; // where named
};

} // namespace fovea::sema
