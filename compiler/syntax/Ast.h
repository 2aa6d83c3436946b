// The syntax tree, as the text has it. No names are resolved and nothing is decided here.
#pragma once

#include "compiler/source/Source.h"

#include <memory>
#include <string>
#include <vector>

namespace fovea::syntax {

using source::Span;

/// A name with its place.
struct Name {
  std::string text;
  Span span;
  bool empty() const { return text.empty(); }
};

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

/// An argument of a call or an element of a tuple, `name = value` or `value`.
struct ArgumentExpr {
  Name name; // empty where positional
  ExprPtr value;
};

struct Expr {
  enum class Kind {
    Int,      // integer
    Float,    // number
    Bool,     // integer is 0 or 1
    String,   // text
    None,     // only in an index
    Ellipsis, // only in an index
    Name,     // text
    Unary,    // text: "-" or "not"; children[0]
    Binary,   // text: the operator; children[0], children[1]
    Call,     // children[0] (arguments...)
    Index,    // children[0] [children[1...]]
    Slice,    // children start, stop, step, each may be null; only in an index
    Member,   // children[0] . text
    List,     // [children...]
    Repeat,   // [children[0]; children[1]]
    Tuple,    // (arguments...), at least one name or two of them
    Error,    // stands for text that was not understood and was reported
  };
  Kind kind = Kind::Error;
  Span span;
  Span mark; // the operator or the member's name: where a diagnostic points
  std::string text;
  int64_t integer = 0;
  double number = 0;
  std::vector<ExprPtr> children;
  std::vector<ArgumentExpr> arguments;
  unsigned height = 1; // of this tree; the parser bounds it
};

/// One dimension of a written type: an expression, or `...` / `...A`.
struct DimensionExpr {
  ExprPtr size;  // null for an ellipsis
  Name ellipsis; // the name after `...`; its span is set for a plain one too
};

struct TypeExpr {
  enum class Kind { Any, Int, Float, Bool, String, Function, Tensor, Like };
  Kind kind = Kind::Any;
  Span span;
  std::string dtype; // Tensor: "f32", "bool", ...
  std::vector<DimensionExpr> dimensions;
  ExprPtr like; // Like: like(x)
};

struct ParameterDecl {
  Name name;
  TypeExpr type;
  ExprPtr defaultValue; // may be null
};

struct ResultDecl {
  Name name; // empty where unnamed
  TypeExpr type;
};

struct Stmt;
using Block = std::vector<std::unique_ptr<Stmt>>;

struct Stmt {
  enum class Kind {
    Let,         // names = value, type optional
    Assign,      // names = value
    SliceAssign, // target (an Index) = value
    For,         // names in value { body }
    If,          // value { body } else { otherwise }
    Assert,      // value, message
    State,       // names[0]: type = value
    Return,      // value (null: nothing)
    Expression,  // value
  };
  Kind kind = Kind::Expression;
  Span span;
  std::vector<Name> names;
  TypeExpr type; // Any where none is written
  ExprPtr target, value;
  Block body, otherwise;
  bool hasElse = false;
  std::string message;
};

struct FunctionDecl {
  Name name;
  Span span; // from the keyword to the end of the signature
  std::string doc;
  bool isEntry = false, requireFused = false;
  std::vector<Name> roles; // of entries: `train`, `evaluate`, as they are written
  std::vector<ParameterDecl> parameters;
  std::vector<ResultDecl> results;
  bool hasResults = false; // `->` is written
  Block body;
  Span end; // the closing brace
};

struct MemberDecl;
using MemberBlock = std::vector<std::unique_ptr<MemberDecl>>;

struct MemberDecl {
  enum class Kind {
    Submodule, // name: value [as stored]
    Param,     // param name: type [= value] [as stored]
    State,     // state name: type [= value]
    Let,       // let name = value, at compile time
    Tie,       // tie target = value: one param for both
    Assert,    // assert value
    If,        // if value { body } else { otherwise }
    Function,  // fn or entry
  };
  Kind kind = Kind::Submodule;
  Span span;
  Name name;
  TypeExpr type;
  ExprPtr target, value;
  bool renamed = false;
  std::string stored; // as "..."
  std::string message;
  MemberBlock body, otherwise;
  std::unique_ptr<FunctionDecl> function;
};

struct ModuleDecl {
  Name name;
  Span span;
  std::string doc;
  bool isModel = false;
  std::vector<ParameterDecl> parameters;
  std::string prefix; // model M(...) as "bert": put before every stored name
  MemberBlock members;
};

struct ImportDecl {
  Name name;
  Span span;
};

/// Declarations keep their order within a kind.
struct File {
  source::FileId id = 0;
  std::vector<ImportDecl> imports;
  std::vector<std::unique_ptr<FunctionDecl>> functions;
  std::vector<std::unique_ptr<ModuleDecl>> modules; // and models
};

/// The tree as text, one node a line, for `--emit=ast`.
std::string print(const File &file);
/// An expression as it could be written.
std::string print(const Expr &expr);
std::string print(const TypeExpr &type);

} // namespace fovea::syntax
