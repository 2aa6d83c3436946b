// Statements: `let`, rebinding, state, and the `for` and `if` that are decided here.
#include "compiler/sema/Elaborator.h"

#include <algorithm>

using namespace fovea;
using namespace fovea::sema;
using namespace fovea::source;

using StmtKind = syntax::Stmt::Kind;

Entity Elaborator::execute(const syntax::Block &block, bool wantsValue) {
  Entity last(Kind::Void);
  bool failed = false;
  for (size_t i = 0; i < block.size() && !stopped && !frame->returned; ++i) {
    bool isLast = i + 1 == block.size();
    last = execute(*block[i], wantsValue && isLast);
    failed = failed || last.isError();
  }
  return failed || stopped ? Entity() : last;
}

/// The statement's value; Void where it has none, Error where something was reported.
Entity Elaborator::execute(const syntax::Stmt &s, bool wantsValue) {
  unsigned errors = diagnostics.errorCount();
  Entity result(Kind::Void);
  switch (s.kind) {
  case StmtKind::Let:
    executeLet(s);
    break;
  case StmtKind::Assign:
    executeAssign(s);
    break;
  case StmtKind::SliceAssign:
    executeSliceAssign(s);
    break;
  case StmtKind::For:
    executeFor(s);
    break;
  case StmtKind::If:
    result = executeIf(s, wantsValue);
    break;
  case StmtKind::Assert:
    executeAssert(*s.value, s.message);
    break;
  case StmtKind::State:
    executeState(s);
    break;
  case StmtKind::Return:
    frame->result = s.value ? eval(*s.value) : Entity(Kind::Void);
    frame->returned = true;
    return frame->result;
  case StmtKind::Expression:
    result = eval(*s.value);
    if (!wantsValue && !result.isError() && !result.is(Kind::Void)) {
      diagnostics.report(diag::unusedValue, s.value->span);
      return {};
    }
    break;
  }
  return diagnostics.errorCount() > errors ? Entity() : result;
}

bool Elaborator::spread(const std::vector<syntax::Name> &names, const Entity &value, Span span,
                        std::vector<Entity> &out) {
  if (names.size() == 1) {
    out.push_back(value);
    return true;
  }
  bool isMany = value.is(Kind::Tuple) || value.is(Kind::List);
  if (isMany && value.items.size() == names.size()) {
    out = value.items;
    return true;
  }
  diagnostics
      .report(diag::wrongCount, span,
              fmt::format("{} names for {}", names.size(), isMany ? describe(value) : "one value"))
      .at(isMany ? "" : describe(value))
      .label(join(names.front().span, names.back().span), fmt::format("{} names", names.size()));
  return false;
}

/// A value for a name that `let` binds: a param's value as it is now, a tree with its params.
Entity Elaborator::namePath(Entity v, const std::string &name) {
  if (v.isLeaf())
    return Entity::ofTensor(v.id);
  if (v.is(Kind::Tensor) && frame->builder)
    frame->builder->setPath(v.id, name);
  return v;
}

void Elaborator::executeLet(const syntax::Stmt &s) {
  Entity value = eval(*s.value);
  std::vector<Entity> values;
  if (!value.isError() && s.type.kind == syntax::TypeExpr::Kind::Tensor && frame->builder) {
    std::optional<TensorType> type = evaluateType(s.type, false);
    std::optional<Entity> converted =
        type ? convertTo(s.names[0].text, *type, value, s.value->span, s.type.span) : std::nullopt;
    value = converted ? *converted : Entity();
  } else if (!value.isError() && s.type.kind != syntax::TypeExpr::Kind::Any) {
    syntax::ParameterDecl as;
    as.name = s.names[0];
    as.type.kind = s.type.kind;
    ArgumentValue arg{{}, value, s.value->span};
    value = convertCompileTime("let", as, arg) ? arg.value : Entity();
  }
  if (value.isError() || !spread(s.names, value, s.value->span, values))
    values.assign(s.names.size(), Entity()); // poison: later uses stay quiet
  for (size_t i = 0; i < s.names.size(); ++i)
    frame->scopes.back()[s.names[i].text] = {namePath(values[i], s.names[i].text), s.names[i].span};
}

/// `x = x + more` of a list puts `more` behind it in its place, so that building a list item by item takes time in
/// proportion to it. False where the statement is another one; then nothing has happened.
bool Elaborator::appendInPlace(const syntax::Stmt &s) {
  const syntax::Expr &sum = *s.value;
  if (s.names.size() != 1 || sum.kind != ExprKind::Binary || sum.text != "+" ||
      sum.children[0]->kind != ExprKind::Name || sum.children[0]->text != s.names[0].text)
    return false;
  auto bound = [&]() -> Entity * {
    for (auto scope = frame->scopes.rbegin(); scope != frame->scopes.rend(); ++scope)
      if (auto it = scope->find(s.names[0].text); it != scope->end())
        return it->second.value.is(Kind::List) ? &it->second.value : nullptr;
    return nullptr;
  };
  if (!bound())
    return false;
  Entity more = eval(*sum.children[1]);
  Entity *list = bound();
  if (!more.isError())
    *list = binary("+", std::move(*list), std::move(more), sum.children[0].get(), sum.children[1].get(), sum.span);
  return true;
}

void Elaborator::executeAssign(const syntax::Stmt &s) {
  if (appendInPlace(s))
    return;
  Entity value = eval(*s.value);
  std::vector<Entity> values;
  if (value.isError() || !spread(s.names, value, s.value->span, values)) {
    for (const syntax::Name &name : s.names)
      if (!findName(name.text))
        poison(name);
    return;
  }
  for (size_t i = 0; i < s.names.size(); ++i)
    assign(s.names[i], values[i], s.value->span);
}

/// Binds a name to what is wrong already: later uses stay quiet.
void Elaborator::poison(const syntax::Name &name) { frame->scopes.back()[name.text] = {Entity(), name.span}; }

/// `value` at the type that `name` has from `declared` on; nullopt where it can't be, which is reported.
std::optional<Entity> Elaborator::convertTo(const std::string &name, const TensorType &type, const Entity &value,
                                            Span span, Span declared) {
  Builder &builder = *frame->builder;
  std::optional<ValueId> id = toTensor(value, span, type.dtype);
  if (!id)
    return std::nullopt;
  const TensorType actual = builder.type(*id);
  bool scalar = actual.dims.empty() && value.asNumber();
  bool fits = actual.dtype == type.dtype && (scalar || actual.dims.size() == type.dims.size());
  for (size_t i = 0; fits && !scalar && i < type.dims.size(); ++i)
    fits = builder.require(actual.dims[i], Relation::EQ, type.dims[i],
                           actual.dims[i].str() + " == " + type.dims[i].str() + " where it is assigned",
                           span) != Truth::False;
  if (!fits) {
    diagnostics.report(diag::rebindType, span, name, sema::describe(type), sema::describe(actual))
        .label(declared, "`" + name + "` has its type from here");
    return std::nullopt;
  }
  return Entity::ofTensor(scalar ? builder.broadcastTo(*id, type.dims, span) : builder.coerce(*id, type.dims, span));
}

void Elaborator::assign(const syntax::Name &name, Entity value, Span span) {
  for (auto scope = frame->scopes.rbegin(); scope != frame->scopes.rend(); ++scope) {
    auto it = scope->find(name.text);
    if (it == scope->end())
      continue;
    Entity &old = it->second.value;
    if (old.isError())
      return;
    if (old.is(Kind::State))
      return writeSlot(ArgumentKind::State, Builder::localRoot, old.text, name.text, value, span, it->second.span);
    if (old.isLeaf())
      return writeSlot(ArgumentKind::Param, old.module.root, old.module.path, name.text, value, span, it->second.span);
    bool numbers = old.asNumber() && value.asNumber();
    if (old.is(Kind::Tensor)) {
      std::optional<Entity> v = convertTo(name.text, frame->builder->type(old.id), value, span, it->second.span);
      if (!v)
        return;
      v->bound = value.bound;
      old = namePath(*v, name.text);
    } else if (old.kind == value.kind || numbers || old.is(Kind::None) ||
               ((old.is(Kind::Size) || old.is(Kind::Float)) && value.is(Kind::Tensor))) {
      old = namePath(std::move(value), name.text);
    } else {
      diagnostics.report(diag::rebindType, span, name.text, describe(old), describe(value))
          .label(it->second.span, "`" + name.text + "` has its type from here");
    }
    return;
  }
  if (frame->hasSelf) {
    const ModuleRef self = frame->roots[0];
    auto it = self.instance->members.find(name.text);
    bool isState = it != self.instance->members.end() && it->second.is(Kind::State);
    if (isState || (it != self.instance->members.end() && it->second.is(Kind::Param))) {
      if (load(it->second, self, name.text, name.span).isError())
        return;
      return writeSlot(isState ? ArgumentKind::State : ArgumentKind::Param, self.root, joinPath(self.path, name.text),
                       name.text, value, span, self.instance->places[name.text]);
    }
  }
  std::string near = nearest(name.text, namesInScope());
  diagnostics.report(diag::rebindUnknown, name.span, name.text)
      .help(near.empty() ? "bind it first: `let " + name.text + " = ...`" : "did you mean `" + near + "`?");
  poison(name);
}

void Elaborator::executeSliceAssign(const syntax::Stmt &s) {
  const syntax::Expr &base = *s.target->children[0];
  Entity old = eval(base);
  Entity value = eval(*s.value);
  if (old.isError() || value.isError())
    return;
  if (!old.is(Kind::Tensor) || base.kind != ExprKind::Name) {
    diagnostics.report(diag::badAssignment, s.target->span);
    return;
  }
  if (std::optional<ValueId> id = assignIndexed(*s.target, old.id, value, s.span))
    assign({base.text, base.span}, Entity::ofTensor(*id), s.span);
}

void Elaborator::executeFor(const syntax::Stmt &s) {
  Entity list = eval(*s.value);
  if (list.isError())
    return;
  if (!list.is(Kind::List) && !list.is(Kind::Tuple)) {
    diagnostics.report(diag::notAValue, s.value->span, describe(list), "a list, known at compile time,")
        .help("`for` goes over lists of modules, `range(n)`, `zip(a, b)`; sizes that vary at run time are tensor axes");
    return;
  }
  for (const Entity &item : list.items) {
    std::vector<Entity> values;
    if (!spread(s.names, item, s.value->span, values))
      return;
    frame->scopes.emplace_back();
    for (size_t i = 0; i < s.names.size(); ++i)
      frame->scopes.back()[s.names[i].text] = {values[i], s.names[i].span};
    bool failed = execute(s.body, false).isError();
    frame->scopes.pop_back();
    if (failed || stopped || frame->returned)
      return;
  }
}

/// A param or module that exists is true: a member may stand under an `if` on the argument of its own name.
std::optional<bool> Elaborator::decideCondition(const syntax::Expr &e) {
  if (e.kind == ExprKind::Name && frame->hasSelf) {
    const Instance &self = *frame->roots[0].instance;
    if (auto it = self.members.find(e.text); it != self.members.end())
      if (it->second.is(Kind::Param) || it->second.is(Kind::Module) || it->second.is(Kind::State))
        return true;
  }
  Entity v = eval(e);
  if (v.isError())
    return std::nullopt;
  if (v.is(Kind::Bool))
    return v.flag;
  diagnostics.report(diag::notConstant, e.span, "a condition of `if`")
      .at(describe(v))
      .help("for a choice by element use `where(condition, a, b)`; a fact about sizes is stated with `assert`");
  return std::nullopt;
}

Entity Elaborator::executeIf(const syntax::Stmt &s, bool wantsValue) {
  std::optional<bool> condition = decideCondition(*s.value);
  if (!condition)
    return {};
  frame->scopes.emplace_back();
  Entity v = execute(*condition ? s.body : s.otherwise, wantsValue);
  frame->scopes.pop_back();
  return v;
}

void Elaborator::executeAssert(const syntax::Expr &condition, const std::string &message) {
  Entity v = eval(condition);
  if (v.isError())
    return;
  std::string text(sources.text(condition.span));
  auto fail = [&](const std::string &seen) {
    auto report = diagnostics.report(diag::assertFailed, condition.span, message.empty() ? text : message);
    report.at(seen);
  };
  if (v.is(Kind::Bool)) {
    if (!v.flag)
      fail("false");
    return;
  }
  if (!v.is(Kind::Condition)) {
    diagnostics.report(diag::notConstant, condition.span, "an assertion")
        .at(describe(v))
        .help("assert a relation of sizes: `assert T <= positions`");
    return;
  }
  if (!frame->builder)
    return; // of a module at unknown arguments
  for (const Comparison &c : v.comparisons) {
    // The relation first, so that callers can say it in their own sizes.
    std::string relation = fmt::format("{} {} {}", c.lhs.str(), spelling(c.relation), c.rhs.str());
    std::string note = message.empty() ? text : message;
    if (frame->builder->require(c.lhs, c.relation, c.rhs, note == relation ? relation : relation + " (" + note + ")",
                                condition.span) == Truth::False)
      return fail(relation);
  }
}

void Elaborator::executeState(const syntax::Stmt &s) {
  if (!frame->builder || s.names.empty())
    return;
  // One for each param that it is like, wherever in the text that is walked.
  std::string wish = s.names[0].text;
  if (s.type.kind == syntax::TypeExpr::Kind::Like)
    if (std::optional<Entity> leaf = leafIn(*s.type.like))
      wish = joinPath(wish, leafPath(*leaf));
  std::string path = wish;
  for (int n = 2; slotFor(ArgumentKind::State, Builder::localRoot, path, s.span); ++n)
    path = wish + "#" + std::to_string(n);
  if (!stateSlot(Builder::localRoot, path, s.type, s.value.get(), s.span))
    return;
  Entity v(Kind::State);
  v.text = path;
  frame->scopes.back()[s.names[0].text] = {std::move(v), s.names[0].span};
}
