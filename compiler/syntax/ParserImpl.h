// The recursive-descent parser; private to this folder.
#pragma once

#include "compiler/syntax/Lexer.h"
#include "compiler/syntax/Parser.h"

#include <map>

namespace fovea::syntax {

/// After an error the parser is `lost`: it reports nothing and consumes nothing until the enclosing list of statements
/// or declarations has skipped to a place where one can start.
class ParserImpl {
public:
  ParserImpl(std::vector<Token> tokens, source::DiagnosticEngine &diagnostics)
      : tokens(std::move(tokens)), diagnostics(diagnostics) {}
  void file(File &file);

private:
  // Tokens.
  const Token &peek(size_t ahead = 0) const { return tokens[std::min(at + ahead, tokens.size() - 1)]; }
  bool atEnd() const { return peek().kind == TokenKind::End; }
  bool lookingAt(std::string_view text) const { return !lost && peek().is(text); }
  /// A contextual keyword: `state keys: ...` is a declaration, `state = x` is not.
  bool lookingAtWordThenName(std::string_view word) const;
  Token take();
  bool accept(std::string_view text);
  bool expect(std::string_view text, const char *where);
  Name expectName(const char *what);
  /// Reports a name that `places` has already.
  void declareOnce(std::map<std::string, Span> &places, const Name &name);
  std::string describe(const Token &token) const;
  void fail(const char *wanted);
  Span spanFrom(const Token &first) const;
  /// Takes a closing bracket, or reports the opening one.
  bool close(std::string_view text, const Token &open);

  // Recovery.
  void skipToStatement(size_t start);
  void skipToDeclaration();
  void skipBraces();
  void endOfStatement();
  void unclosedBrace(const Token &open);
  /// `{`, what `one` reads until the closing brace, `}`.
  template <typename Item>
  std::vector<std::unique_ptr<Item>> braced(const char *where, std::unique_ptr<Item> (ParserImpl::*one)());
  bool enter();
  struct Nesting {
    ParserImpl &parser;
    bool ok;
    explicit Nesting(ParserImpl &p) : parser(p), ok(p.enter()) {}
    ~Nesting() { --parser.depth; }
  };
  /// Line ends do not matter while one of these lives.
  struct Brackets {
    unsigned &count;
    explicit Brackets(ParserImpl &p) : count(p.brackets) { ++count; }
    ~Brackets() { --count; }
  };

  // Declarations.
  void declaration(File &file);
  struct Attributes {
    bool requireFused = false;
    std::vector<Name> roles;
  };
  bool attributes(Attributes &found);
  void importDecl(File &file);
  std::unique_ptr<FunctionDecl> function(bool isEntry);
  std::unique_ptr<ModuleDecl> module(bool isModel);
  std::vector<ParameterDecl> parameters();
  void results(FunctionDecl &function);
  MemberBlock memberBlock() { return braced("before the members", &ParserImpl::member); }
  std::unique_ptr<MemberDecl> member();
  void storedName(MemberDecl &member);
  void memberIf(MemberDecl &member);
  TypeExpr type();
  void dimensions(TypeExpr &type);
  std::string docBefore() const { return peek().doc; }

  // Statements.
  Block block() { return braced("before the body", &ParserImpl::statement); }
  std::unique_ptr<Stmt> statement();
  void letStatement(Stmt &stmt);
  void forStatement(Stmt &stmt);
  void ifStatement(Stmt &stmt);
  void expressionStatement(Stmt &stmt);
  std::vector<Name> names();
  void assertTail(ExprPtr &value, std::string &message);

  // Expressions.
  ExprPtr expression();
  ExprPtr expressionOrTuple();
  ExprPtr binary(int level);
  ExprPtr unary();
  ExprPtr power();
  ExprPtr postfix();
  ExprPtr path();
  ExprPtr trailers(ExprPtr expr, bool calls);
  ExprPtr primary();
  ExprPtr parenthesised();
  ExprPtr list();
  ExprPtr call(ExprPtr callee);
  ExprPtr index(ExprPtr base);
  ExprPtr indexItem();
  std::vector<ArgumentExpr> arguments(std::string_view closing, const Token &open);
  ExprPtr make(Expr::Kind kind, const Token &first);
  ExprPtr makeBehind(Expr::Kind kind, const Token &mark, ExprPtr child);
  ExprPtr error();
  /// Sets the height and the end; reports a tree that is too high.
  ExprPtr finish(ExprPtr expr);

  std::vector<Token> tokens;
  source::DiagnosticEngine &diagnostics;
  size_t at = 0;
  bool lost = false, braceReported = false;
  unsigned depth = 0, brackets = 0;
  Span previous;
};

template <typename Item>
std::vector<std::unique_ptr<Item>> ParserImpl::braced(const char *where, std::unique_ptr<Item> (ParserImpl::*one)()) {
  std::vector<std::unique_ptr<Item>> result;
  Nesting nesting(*this);
  if (!nesting.ok)
    return result;
  Token open = peek();
  if (!expect("{", where))
    return result;
  while (!atEnd() && !peek().is("}")) {
    size_t start = at;
    if (auto item = (this->*one)(); item && !lost)
      result.push_back(std::move(item));
    if (lost)
      skipToStatement(start);
  }
  if (!accept("}"))
    unclosedBrace(open);
  return result;
}

} // namespace fovea::syntax
