#include "compiler/syntax/ParserImpl.h"

#include <algorithm>
#include <utility>

using namespace fovea::syntax;
using namespace fovea::source;

using Kind = Expr::Kind;

ExprPtr ParserImpl::make(Kind kind, const Token &first) {
  auto e = std::make_unique<Expr>();
  e->kind = kind;
  e->span = e->mark = first.span;
  return e;
}

/// An expression at `mark` whose text begins with its first child's.
ExprPtr ParserImpl::makeBehind(Kind kind, const Token &mark, ExprPtr child) {
  ExprPtr e = make(kind, mark);
  e->span = child->span;
  e->children.push_back(std::move(child));
  return e;
}

ExprPtr ParserImpl::error() { return make(Kind::Error, peek()); }

ExprPtr ParserImpl::finish(ExprPtr e) {
  e->span = join(e->span, previous);
  auto cover = [&](const ExprPtr &child) {
    if (child)
      e->height = std::max(e->height, child->height + 1);
  };
  for (const ExprPtr &child : e->children)
    cover(child);
  for (const ArgumentExpr &a : e->arguments)
    cover(a.value);
  if (e->height <= maxDepth)
    return e;
  if (!lost)
    diagnostics.report(diag::tooDeep, e->mark, maxDepth);
  lost = true;
  return error();
}

ExprPtr ParserImpl::expression() {
  Nesting nesting(*this);
  return nesting.ok && !lost ? binary(0) : error();
}

ExprPtr ParserImpl::expressionOrTuple() {
  Token first = peek();
  ExprPtr e = expression();
  if (!lookingAt(","))
    return e;
  ExprPtr tuple = make(Kind::Tuple, first);
  tuple->arguments.push_back({{}, std::move(e)});
  while (accept(","))
    tuple->arguments.push_back({{}, expression()});
  return finish(std::move(tuple));
}

/// Operators by level, the loosest first. `not` stands between `and` and the comparisons.
static constexpr std::string_view levels[][6] = {
    {"or"}, {"and"}, {"==", "!=", "<", "<=", ">", ">="}, {"+", "-"}, {"*", "/", "//", "%", "@"}};
static constexpr int comparisonLevel = 2, levelCount = 5;

ExprPtr ParserImpl::binary(int level) {
  if (level == levelCount)
    return unary();
  if (level == comparisonLevel && lookingAt("not")) {
    Nesting nesting(*this);
    Token op = take();
    ExprPtr e = make(Kind::Unary, op);
    e->text = "not";
    e->children.push_back(nesting.ok ? binary(level) : error());
    return finish(std::move(e));
  }
  ExprPtr lhs = binary(level + 1);
  bool compared = false;
  while (!lost && (brackets || !peek().newlineBefore)) {
    auto &ops = levels[level];
    if (std::none_of(std::begin(ops), std::end(ops), [&](std::string_view op) { return !op.empty() && peek().is(op); }))
      break;
    Token op = take();
    if (compared)
      diagnostics.report(diag::chainedComparison, op.span);
    compared = level == comparisonLevel;
    ExprPtr e = makeBehind(Kind::Binary, op, std::move(lhs));
    e->text = op.text;
    e->children.push_back(binary(level + 1));
    lhs = finish(std::move(e));
  }
  return lhs;
}

ExprPtr ParserImpl::unary() {
  if (!lookingAt("-"))
    return power();
  Nesting nesting(*this);
  if (!nesting.ok)
    return error();
  Token op = take();
  ExprPtr e = make(Kind::Unary, op);
  e->text = "-";
  e->children.push_back(unary());
  return finish(std::move(e));
}

/// `-x ^ 2` is -(x ^ 2); `2 ^ -1` and `a ^ b ^ c` = a ^ (b ^ c) are allowed.
ExprPtr ParserImpl::power() {
  ExprPtr base = postfix();
  if (!lookingAt("^") || (!brackets && peek().newlineBefore))
    return base;
  Nesting nesting(*this);
  if (!nesting.ok)
    return error();
  Token op = take();
  ExprPtr e = makeBehind(Kind::Binary, op, std::move(base));
  e->text = "^";
  e->children.push_back(unary());
  return finish(std::move(e));
}

ExprPtr ParserImpl::postfix() { return trailers(primary(), true); }

/// Where a param is, from the module that ties it: `layers[0].weight`.
ExprPtr ParserImpl::path() {
  ExprPtr e = make(Kind::Name, peek());
  e->text = expectName("the name of a param, `module.name`,").text;
  return lost ? error() : trailers(std::move(e), false);
}

/// Indices, members and calls behind `e`.
ExprPtr ParserImpl::trailers(ExprPtr e, bool calls) {
  while (!lost && (brackets || !peek().newlineBefore)) {
    if (calls && lookingAt("(")) {
      e = call(std::move(e));
    } else if (lookingAt("[")) {
      e = index(std::move(e));
    } else if (lookingAt(".")) {
      take();
      ExprPtr m = makeBehind(Kind::Member, peek(), std::move(e));
      // Elements of a list have numbers in stored names, not in expressions: `layers[0]`.
      m->text = expectName("a member's name").text;
      e = finish(std::move(m));
    } else {
      break;
    }
  }
  return e;
}

ExprPtr ParserImpl::call(ExprPtr callee) {
  Token open = take();
  Brackets inside(*this);
  ExprPtr e = makeBehind(Kind::Call, open, std::move(callee));
  e->mark = e->span;
  e->arguments = arguments(")", open);
  return finish(std::move(e));
}

std::vector<ArgumentExpr> ParserImpl::arguments(std::string_view closing, const Token &open) {
  std::vector<ArgumentExpr> result;
  bool named = false, isReported = false;
  while (!lost && !lookingAt(closing)) {
    ArgumentExpr a;
    if (peek().kind == TokenKind::Name && peek(1).is("=")) {
      a.name = expectName("an argument's name");
      take();
    }
    Span start = peek().span;
    a.value = expression();
    if (a.name.empty() && named && !lost && !std::exchange(isReported, true))
      diagnostics.report(diag::positionalAfterNamed, join(start, a.value->span));
    named = named || !a.name.empty();
    result.push_back(std::move(a));
    if (!accept(","))
      break;
  }
  close(closing, open);
  return result;
}

ExprPtr ParserImpl::index(ExprPtr base) {
  Token open = take();
  Brackets inside(*this);
  ExprPtr e = makeBehind(Kind::Index, open, std::move(base));
  while (!lost && !lookingAt("]")) {
    e->children.push_back(indexItem());
    if (!accept(","))
      break;
  }
  if (!lost && e->children.size() == 1)
    fail("an index");
  close("]", open);
  e->mark = join(open.span, previous);
  return finish(std::move(e));
}

ExprPtr ParserImpl::indexItem() {
  Token first = peek();
  if (accept("..."))
    return make(Kind::Ellipsis, first);
  auto part = [&]() -> ExprPtr { return lookingAt(":") || lookingAt(",") || lookingAt("]") ? nullptr : expression(); };
  ExprPtr start = part();
  if (!lookingAt(":"))
    return start ? std::move(start) : (fail("an index"), error());
  ExprPtr e = make(Kind::Slice, first);
  take();
  e->children.push_back(std::move(start));
  e->children.push_back(part());
  e->children.push_back(accept(":") ? part() : nullptr);
  return finish(std::move(e));
}

ExprPtr ParserImpl::parenthesised() {
  Token open = take();
  Brackets inside(*this);
  ExprPtr tuple = make(Kind::Tuple, open);
  tuple->arguments = arguments(")", open);
  if (!lost && tuple->arguments.empty())
    fail("an expression in the parentheses");
  if (lost)
    return error();
  if (tuple->arguments.size() == 1 && tuple->arguments[0].name.empty()) {
    // The parentheses belong to the expression's place: carets cover them.
    ExprPtr e = std::move(tuple->arguments[0].value);
    e->span = join(open.span, previous);
    return e;
  }
  return finish(std::move(tuple));
}

ExprPtr ParserImpl::list() {
  Token open = take();
  Brackets inside(*this);
  ExprPtr e = make(Kind::List, open);
  while (!lost && !lookingAt("]")) {
    e->children.push_back(expression());
    if (e->children.size() == 1 && accept(";")) {
      e->kind = Kind::Repeat;
      e->children.push_back(expression());
      break;
    }
    if (!accept(","))
      break;
  }
  close("]", open);
  return finish(std::move(e));
}

ExprPtr ParserImpl::primary() {
  if (lost)
    return error();
  const Token &token = peek();
  switch (token.kind) {
  case TokenKind::Int: {
    ExprPtr e = make(Kind::Int, token);
    e->integer = take().integer;
    return e;
  }
  case TokenKind::Float: {
    ExprPtr e = make(Kind::Float, token);
    e->number = take().number;
    return e;
  }
  case TokenKind::String: {
    ExprPtr e = make(Kind::String, token);
    Token string = take();
    e->text = std::move(string.string);
    lost = lost || string.broken; // what follows on the line is part of it
    return e;
  }
  case TokenKind::Punctuation:
    if (token.is("("))
      return parenthesised();
    if (token.is("["))
      return list();
    break;
  case TokenKind::Name:
    if (token.is("true") || token.is("false")) {
      ExprPtr e = make(Kind::Bool, token);
      e->integer = take().is("true");
      return e;
    }
    if (token.is("None")) {
      take();
      return make(Kind::None, tokens[at - 1]);
    }
    if (ExprPtr e = make(Kind::Name, token)) {
      e->text = expectName("an expression").text;
      return lost ? error() : std::move(e);
    }
    break;
  case TokenKind::Bad:
  case TokenKind::End:
    break;
  }
  fail("an expression");
  return error();
}
