#include "compiler/syntax/ParserImpl.h"

#include <algorithm>

using namespace fovea::syntax;
using namespace fovea::source;

//===-- Tokens ----------------------------------------------------------------------------------------------------===//

bool ParserImpl::lookingAtWordThenName(std::string_view word) const {
  return lookingAt(word) && peek(1).kind == TokenKind::Name && !peek(1).newlineBefore;
}

Token ParserImpl::take() {
  Token token = peek();
  if (!atEnd())
    ++at;
  previous = token.span;
  return token;
}

bool ParserImpl::accept(std::string_view text) {
  if (!lookingAt(text))
    return false;
  take();
  return true;
}

std::string ParserImpl::describe(const Token &token) const {
  switch (token.kind) {
  case TokenKind::End:
    return "the end of the file";
  case TokenKind::String:
    return "a string";
  default:
    return fmt::format("`{}`", token.text.substr(0, 40));
  }
}

static bool isReserved(std::string_view word) {
  static constexpr std::string_view reserved[] = {"fn", "module", "let",  "for",   "if",   "else",   "import", "and",
                                                  "or", "not",    "true", "false", "None", "assert", "return"};
  return std::find(std::begin(reserved), std::end(reserved), word) != std::end(reserved);
}

/// A comment with one blank before it reads as a division; then nothing after it makes sense.
static bool afterSlashes(const std::vector<Token> &tokens, size_t at) {
  for (size_t i = at + 1; i-- > 0 && at - i < 12;) {
    if (tokens[i].is("//"))
      return true;
    if (i < at && tokens[i + 1].newlineBefore && i + 1 < at)
      return false;
  }
  return false;
}

void ParserImpl::fail(const char *wanted) {
  if (lost)
    return;
  lost = true;
  if (peek().kind == TokenKind::Bad) // reported
    return;
  auto report = diagnostics.report(diag::expected, peek().span, wanted, describe(peek()));
  if (afterSlashes(tokens, at))
    report.help("`//` after code starts a comment only with two blanks before it; with one it divides");
  else if (peek().kind == TokenKind::Name && isReserved(peek().text) &&
           std::string_view(wanted).find("name") != std::string_view::npos)
    report.help(fmt::format("`{}` is a reserved word", peek().text));
  else if (peek().is("=") && at > 0 && (tokens[at - 1].is("+") || tokens[at - 1].is("-") || tokens[at - 1].is("*")))
    report.help(fmt::format("there is no `{}=`: write `x = x {} y`", tokens[at - 1].text, tokens[at - 1].text));
}

bool ParserImpl::expect(std::string_view text, const char *where) {
  if (accept(text))
    return true;
  fail(fmt::format("`{}` {}", text, where).c_str());
  return false;
}

Name ParserImpl::expectName(const char *what) {
  if (lost)
    return {};
  const Token &token = peek();
  if (token.kind != TokenKind::Name || isReserved(token.text)) {
    fail(what);
    return {};
  }
  take();
  return {std::string(token.text), token.span};
}

Span ParserImpl::spanFrom(const Token &first) const {
  return join(first.span, previous.begin >= first.span.begin ? previous : first.span);
}

bool ParserImpl::close(std::string_view text, const Token &open) {
  if (accept(text))
    return true;
  if (lost)
    return false;
  if (atEnd() || peek().is("}") || peek().is("{")) {
    lost = true;
    diagnostics.report(diag::unclosed, open.span, open.text);
    return false;
  }
  fail(fmt::format("`,` or `{}`", text).c_str());
  return false;
}

//===-- Recovery --------------------------------------------------------------------------------------------------===//

bool ParserImpl::enter() {
  if (++depth <= maxDepth)
    return true;
  if (!lost) {
    lost = true;
    diagnostics.report(diag::tooDeep, peek().span, maxDepth);
  }
  return false;
}

void ParserImpl::skipBraces() {
  unsigned open = 0;
  do {
    if (peek().is("{"))
      ++open;
    else if (peek().is("}"))
      --open;
    take();
  } while (open && !atEnd());
}

/// To the start of the next line (or after a `;`), or to the `}` that ends the block.
void ParserImpl::skipToStatement(size_t start) {
  lost = false;
  if (at > start && peek().newlineBefore) // the error was that the line ended
    return;
  while (!atEnd() && !peek().is("}")) {
    if (peek().is("{"))
      skipBraces();
    else if (take().is(";"))
      return;
    if (peek().newlineBefore)
      return;
  }
}

static bool startsDeclaration(const Token &t) {
  return t.is("fn") || t.is("module") || t.is("model") || t.is("import") || t.is("@");
}

void ParserImpl::skipToDeclaration() {
  lost = false;
  while (!atEnd()) {
    if (peek().is("{"))
      skipBraces();
    else
      take();
    if (peek().newlineBefore && startsDeclaration(peek()))
      return;
  }
}

void ParserImpl::endOfStatement() {
  if (lost || accept(";") || peek().newlineBefore || atEnd() || peek().is("}"))
    return;
  fail("the end of the line");
}

//===-- Statements ------------------------------------------------------------------------------------------------===//

/// At the end of the file; the innermost one is reported.
void ParserImpl::unclosedBrace(const Token &open) {
  if (!lost && !braceReported)
    diagnostics.report(diag::unclosed, open.span, "{");
  braceReported = true;
}

std::unique_ptr<Stmt> ParserImpl::statement() {
  auto stmt = std::make_unique<Stmt>();
  Token first = peek();
  if (accept("let")) {
    letStatement(*stmt);
  } else if (lookingAt("for")) {
    forStatement(*stmt);
  } else if (lookingAt("if")) {
    ifStatement(*stmt);
  } else if (accept("assert")) {
    stmt->kind = Stmt::Kind::Assert;
    assertTail(stmt->value, stmt->message);
  } else if (accept("return")) {
    stmt->kind = Stmt::Kind::Return;
    if (!peek().newlineBefore && !lookingAt("}") && !lookingAt(";"))
      stmt->value = expressionOrTuple();
  } else if (lookingAtWordThenName("param")) {
    lost = true;
    diagnostics.report(diag::misplaced, peek(1).span, "a param in a function")
        .help("params belong to modules: a function takes them as arguments");
  } else if (lookingAtWordThenName("state")) {
    take();
    stmt->kind = Stmt::Kind::State;
    stmt->names.push_back(expectName("the state's name"));
    if (expect(":", "before the type"))
      stmt->type = type();
    if (accept("="))
      stmt->value = expression();
  } else {
    expressionStatement(*stmt);
  }
  stmt->span = spanFrom(first);
  endOfStatement();
  return stmt;
}

std::vector<Name> ParserImpl::names() {
  std::vector<Name> result;
  std::map<std::string, Span> places;
  bool parenthesis = accept("(");
  do {
    result.push_back(expectName("a name"));
    declareOnce(places, result.back());
  } while (accept(","));
  if (parenthesis)
    expect(")", "after the names");
  return result;
}

void ParserImpl::letStatement(Stmt &stmt) {
  stmt.kind = Stmt::Kind::Let;
  stmt.names = names();
  if (accept(":"))
    stmt.type = type();
  if (expect("=", "and a value"))
    stmt.value = expressionOrTuple();
}

void ParserImpl::forStatement(Stmt &stmt) {
  stmt.kind = Stmt::Kind::For;
  take();
  stmt.names = names();
  if (expect("in", "and what to go through"))
    stmt.value = expression();
  stmt.body = block();
}

void ParserImpl::ifStatement(Stmt &stmt) {
  Nesting nesting(*this);
  if (!nesting.ok)
    return;
  stmt.kind = Stmt::Kind::If;
  take();
  stmt.value = expression();
  stmt.body = block();
  if (!accept("else"))
    return;
  stmt.hasElse = true;
  if (!lookingAt("if")) {
    stmt.otherwise = block();
    return;
  }
  auto nested = std::make_unique<Stmt>();
  Token first = peek();
  ifStatement(*nested);
  nested->span = spanFrom(first);
  stmt.otherwise.push_back(std::move(nested));
}

void ParserImpl::assertTail(ExprPtr &value, std::string &message) {
  value = expression();
  if (accept(",")) {
    if (!lost && peek().kind == TokenKind::String)
      message = take().string;
    else
      fail("the message, a string");
  }
}

void ParserImpl::expressionStatement(Stmt &stmt) {
  ExprPtr value = expressionOrTuple();
  if (!lookingAt("=")) {
    stmt.kind = Stmt::Kind::Expression;
    stmt.value = std::move(value);
    return;
  }
  auto takeName = [&](Expr &e) {
    bool isName = e.kind == Expr::Kind::Name;
    if (isName)
      stmt.names.push_back({e.text, e.span});
    return isName;
  };
  bool good = true;
  if (value->kind == Expr::Kind::Index) {
    stmt.kind = Stmt::Kind::SliceAssign;
    stmt.target = std::move(value);
  } else {
    stmt.kind = Stmt::Kind::Assign;
    if (value->kind == Expr::Kind::Tuple)
      for (ArgumentExpr &a : value->arguments)
        good = good && a.name.empty() && takeName(*a.value);
    else
      good = takeName(*value);
  }
  if (!good && !lost)
    diagnostics.report(diag::badAssignment, value->span);
  take();
  stmt.value = expressionOrTuple();
  if (!good) { // reported; leave a statement that means nothing
    stmt.kind = Stmt::Kind::Assign;
    stmt.names.clear();
  }
}

std::unique_ptr<File> fovea::syntax::parse(const SourceManager &sources, FileId file, DiagnosticEngine &diagnostics) {
  auto result = std::make_unique<File>();
  result->id = file;
  ParserImpl(lex(sources, file, diagnostics), diagnostics).file(*result);
  return result;
}
