#include "compiler/syntax/ParserImpl.h"

#include <algorithm>

using namespace fovea::syntax;
using namespace fovea::source;

void ParserImpl::file(File &file) {
  while (!atEnd()) {
    size_t before = at;
    declaration(file);
    if (lost)
      skipToDeclaration();
    else if (at == before)
      take();
  }
}

void ParserImpl::declaration(File &file) {
  std::string doc = docBefore();
  Attributes found;
  if (lookingAt("@") && !attributes(found))
    return;
  for (const Name &role : found.roles)
    diagnostics.report(diag::misplaced, role.span, "`@" + role.text + "`").help("it stands before an entry of a model");
  if ((found.requireFused || !found.roles.empty()) && !lookingAt("fn")) {
    fail("`fn` after an attribute");
  } else if (accept("import")) {
    importDecl(file);
  } else if (lookingAt("fn")) {
    auto decl = function(false);
    decl->doc = std::move(doc);
    decl->requireFused = found.requireFused;
    if (!decl->name.empty())
      file.functions.push_back(std::move(decl));
  } else if (lookingAt("module") || lookingAtWordThenName("model")) {
    auto decl = module(peek().is("model"));
    decl->doc = std::move(doc);
    if (!decl->name.empty())
      file.modules.push_back(std::move(decl));
  } else {
    fail("`import`, `fn`, `module` or `model`");
  }
}

bool ParserImpl::attributes(Attributes &found) {
  while (accept("@")) {
    Name name = expectName("an attribute's name");
    if (lost)
      return false;
    if (name.text == "require_fused")
      found.requireFused = true;
    else if (name.text == "train" || name.text == "evaluate")
      found.roles.push_back(name);
    else
      diagnostics.report(diag::unknownAttribute, name.span, name.text);
  }
  return true;
}

void ParserImpl::importDecl(File &file) {
  Name name = expectName("the name of a file without `.fov`");
  if (!lost)
    file.imports.push_back({name, name.span});
  endOfStatement();
}

std::unique_ptr<FunctionDecl> ParserImpl::function(bool isEntry) {
  auto decl = std::make_unique<FunctionDecl>();
  Token first = take();
  decl->isEntry = isEntry;
  decl->name = expectName(isEntry ? "the entry's name" : "the function's name");
  decl->parameters = parameters();
  if (accept("->"))
    results(*decl);
  else if (!lookingAt("{"))
    fail("`->` and the result, or `{` before the body");
  decl->span = spanFrom(first);
  if (!lost)
    decl->body = block();
  decl->end = previous;
  return decl;
}

void ParserImpl::declareOnce(std::map<std::string, Span> &places, const Name &name) {
  if (name.empty())
    return;
  auto [place, isNew] = places.try_emplace(name.text, name.span);
  if (!isNew)
    diagnostics.report(diag::duplicateName, name.span, name.text).label(place->second, "first defined here");
}

std::vector<ParameterDecl> ParserImpl::parameters() {
  std::vector<ParameterDecl> result;
  std::map<std::string, Span> places;
  Token open = peek();
  if (!expect("(", "and the parameters"))
    return result;
  Brackets inside(*this);
  while (!lost && !lookingAt(")")) {
    ParameterDecl p;
    p.name = expectName("a parameter's name");
    declareOnce(places, p.name);
    if (accept(":"))
      p.type = type();
    else if (peek().kind == TokenKind::Name)
      fail("`:` and the parameter's type");
    if (accept("="))
      p.defaultValue = expression();
    if (!lost)
      result.push_back(std::move(p));
    if (!accept(","))
      break;
  }
  close(")", open);
  return result;
}

void ParserImpl::results(FunctionDecl &decl) {
  decl.hasResults = true;
  Token open = peek();
  if (!accept("(")) {
    ResultDecl r;
    r.type = type();
    decl.results.push_back(std::move(r));
    return;
  }
  Brackets inside(*this);
  std::map<std::string, Span> places;
  while (!lost && !lookingAt(")")) {
    ResultDecl r;
    if (peek(1).is(":"))
      r.name = expectName("the result's name"), take();
    declareOnce(places, r.name);
    r.type = type();
    decl.results.push_back(std::move(r));
    if (!accept(","))
      break;
  }
  if (!lost && decl.results.empty())
    fail("the results' types");
  close(")", open);
}

std::unique_ptr<ModuleDecl> ParserImpl::module(bool isModel) {
  auto decl = std::make_unique<ModuleDecl>();
  Token first = take();
  decl->isModel = isModel;
  decl->name = expectName(isModel ? "the model's name" : "the module's name");
  if (lookingAt("(") || !isModel)
    decl->parameters = parameters();
  if (accept("as")) {
    if (!lost && peek().kind == TokenKind::String)
      decl->prefix = take().string;
    else
      fail("the prefix of the stored names, a string");
  }
  decl->span = spanFrom(first);
  if (!lost)
    decl->members = memberBlock();
  return decl;
}

void ParserImpl::storedName(MemberDecl &member) {
  if (!accept("as"))
    return;
  member.renamed = true;
  if (!lost && peek().kind == TokenKind::String)
    member.stored = take().string;
  else
    fail("the stored name, a string");
}

void ParserImpl::memberIf(MemberDecl &member) {
  Nesting nesting(*this);
  if (!nesting.ok)
    return;
  member.kind = MemberDecl::Kind::If;
  take();
  member.value = expression();
  member.body = memberBlock();
  if (!accept("else"))
    return;
  if (!lookingAt("if")) {
    member.otherwise = memberBlock();
    return;
  }
  auto nested = std::make_unique<MemberDecl>();
  Token first = peek();
  memberIf(*nested);
  nested->span = spanFrom(first);
  member.otherwise.push_back(std::move(nested));
}

std::unique_ptr<MemberDecl> ParserImpl::member() {
  using Kind = MemberDecl::Kind;
  auto m = std::make_unique<MemberDecl>();
  Token first = peek();
  std::string doc = docBefore();
  Attributes found;
  if (lookingAt("@") && !attributes(found))
    return m;
  if (lookingAt("fn") || lookingAtWordThenName("entry") || (lookingAt("entry") && peek(1).is("("))) {
    m->kind = Kind::Function;
    m->function = function(peek().is("entry"));
    m->function->doc = std::move(doc);
    m->function->requireFused = found.requireFused;
    for (const Name &role : found.roles)
      if (!m->function->isEntry)
        diagnostics.report(diag::misplaced, role.span, "`@" + role.text + "`").help("it stands before an entry");
    m->function->roles = std::move(found.roles);
    m->name = m->function->name;
    m->span = m->function->span;
    return m;
  }
  if (found.requireFused || !found.roles.empty()) {
    fail("`fn` or `entry` after an attribute");
  } else if (lookingAt("if")) {
    memberIf(*m);
  } else if (accept("assert")) {
    m->kind = Kind::Assert;
    assertTail(m->value, m->message);
  } else if (lookingAtWordThenName("param") || lookingAtWordThenName("state")) {
    m->kind = take().is("param") ? Kind::Param : Kind::State;
    m->name = expectName("a name");
    if (expect(":", "before the type"))
      m->type = type();
    storedName(*m);
    if (accept("="))
      m->value = expression();
    storedName(*m);
  } else if (lookingAtWordThenName("tie")) {
    take();
    m->kind = Kind::Tie;
    m->target = path();
    if (expect("=", "and the other param"))
      m->value = path();
  } else if (accept("let")) {
    m->kind = Kind::Let;
    m->name = expectName("a name");
    if (expect("=", "and a value"))
      m->value = expression();
  } else {
    m->kind = Kind::Submodule;
    m->name = expectName("a member: `name: Module(...)`, `param`, `state`, `let`, `if`, `fn` or `entry`");
    if (expect(":", "and the module"))
      m->value = expression();
    storedName(*m);
  }
  m->span = spanFrom(first);
  endOfStatement();
  return m;
}

//===-- Types -----------------------------------------------------------------------------------------------------===//

/// By letters, or by what other systems call it.
static std::string nearestType(const std::string &word) {
  static constexpr std::pair<std::string_view, const char *> others[] = {
      {"float32", "f32"},   {"fp32", "f32"},    {"float16", "f16"}, {"fp16", "f16"},     {"half", "f16"},
      {"bfloat16", "bf16"}, {"float64", "f64"}, {"double", "f64"},  {"int64", "i64"},    {"long", "i64"},
      {"int32", "i32"},     {"int8", "i8"},     {"bool8", "bool"},  {"boolean", "bool"}, {"Tensor", "f32"},
      {"tensor", "f32"},    {"string", "str"}};
  for (auto [spelling, type] : others)
    if (word == spelling)
      return type;
  return nearest(word, {"f32", "f16", "bf16", "f64", "i64", "i32", "i8", "bool", "float", "int", "function", "like",
                        "str", "any"});
}

TypeExpr ParserImpl::type() {
  TypeExpr t;
  Token first = peek();
  Name word = expectName("a type");
  if (lost)
    return t;
  static constexpr std::string_view dtypes[] = {"f32", "f16", "bf16", "f64", "i64", "i32", "i8", "bool"};
  bool isDType = std::find(std::begin(dtypes), std::end(dtypes), word.text) != std::end(dtypes);
  if (word.text == "like" && lookingAt("(")) {
    Token open = take();
    Brackets inside(*this);
    t.kind = TypeExpr::Kind::Like;
    t.like = expression();
    close(")", open);
  } else if (isDType && (word.text != "bool" || lookingAt("["))) {
    t.kind = TypeExpr::Kind::Tensor;
    t.dtype = word.text;
    if (lookingAt("[") && !peek().newlineBefore)
      dimensions(t);
  } else if (word.text == "int") {
    t.kind = TypeExpr::Kind::Int;
  } else if (word.text == "bool") {
    t.kind = TypeExpr::Kind::Bool;
  } else if (word.text == "float") {
    t.kind = TypeExpr::Kind::Float;
  } else if (word.text == "str") {
    t.kind = TypeExpr::Kind::String;
  } else if (word.text == "function") {
    t.kind = TypeExpr::Kind::Function;
  } else if (word.text != "any") {
    lost = true;
    std::string near = nearestType(word.text);
    diagnostics.report(diag::unknownName, word.span, word.text)
        .help(near.empty() ? "types: f32 f16 bf16 f64 i64 i32 i8 bool with `[sizes]`, and int float bool str function"
                           : fmt::format("did you mean `{}`?", near));
  }
  t.span = spanFrom(first);
  return t;
}

void ParserImpl::dimensions(TypeExpr &t) {
  Token open = take();
  Brackets inside(*this);
  while (!lost && !lookingAt("]")) {
    DimensionExpr d;
    if (lookingAt("...")) {
      Token dots = take();
      d.ellipsis.span = dots.span;
      if (peek().kind == TokenKind::Name) {
        Token name = take();
        d.ellipsis = {std::string(name.text), join(dots.span, name.span)};
      }
    } else {
      d.size = expression();
    }
    t.dimensions.push_back(std::move(d));
    if (!accept(","))
      break;
  }
  close("]", open);
}
