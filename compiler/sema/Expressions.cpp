// Expressions: dispatch, members, calls, lists.
#include "compiler/sema/Elaborator.h"

using namespace fovea;
using namespace fovea::sema;
using namespace fovea::source;

static uint64_t countItems(const Entity &v) {
  uint64_t n = 1;
  for (const Entity &item : v.items)
    n += countItems(item);
  return n;
}

Entity Elaborator::eval(const syntax::Expr &e) {
  if (stopped)
    return {};
  if (++steps > stepLimit() || ++evalDepth > maxEvalDepth) {
    stopped = true;
    if (steps > stepLimit())
      diagnostics.report(diag::tooLarge, e.span, "the work to elaborate this model",
                         fmt::format("{} steps", stepLimit()));
    else
      diagnostics.report(diag::tooDeep, e.span, maxEvalDepth);
    return {};
  }
  size_t opsBefore = frame->builder ? frame->builder->function.ops.size() : 0;
  Entity v = evalNode(e);
  --evalDepth;
  // What is made and copied counts as work too, four copies of an item as one step: a list of all params of a hundred
  // layers can be built one by one.
  if (frame->builder)
    steps += frame->builder->function.ops.size() - opsBefore;
  if (!v.items.empty())
    steps += countItems(v) / 4;
  // A state of the function reads as its present value.
  if (v.is(Kind::State))
    if (Slot *slot = frame->builder ? slotFor(ArgumentKind::State, Builder::localRoot, v.text, e.span) : nullptr)
      return Entity::ofTensor(slot->current);
  refreshLeaves(v, e.span);
  return v;
}

Entity Elaborator::evalNode(const syntax::Expr &e) {
  switch (e.kind) {
  case ExprKind::Int:
    return Entity::ofSize(DimExpr(e.integer));
  case ExprKind::Float:
    return Entity::ofFloat(e.number);
  case ExprKind::Bool:
    return Entity::ofBool(e.integer);
  case ExprKind::String:
    return Entity::ofString(e.text);
  case ExprKind::None:
    return Entity(Kind::None);
  case ExprKind::Name:
    return lookupName(e);
  case ExprKind::Unary:
    return evalUnary(e);
  case ExprKind::Binary:
    return evalBinary(e);
  case ExprKind::Call:
    return evalCall(e);
  case ExprKind::Index:
    return evalIndex(e);
  case ExprKind::Member:
    return evalMember(e);
  case ExprKind::Repeat:
    return evalRepeat(e);
  case ExprKind::List:
  case ExprKind::Tuple: {
    Entity list(e.kind == ExprKind::List ? Kind::List : Kind::Tuple);
    size_t n = e.kind == ExprKind::List ? e.children.size() : e.arguments.size();
    std::string place = storedPlace;
    for (size_t i = 0; i < n; ++i) {
      storedPlace = joinPath(place, std::to_string(i));
      Entity item = eval(e.kind == ExprKind::List ? *e.children[i] : *e.arguments[i].value);
      storedPlace = place;
      if (item.isError())
        return {};
      list.items.push_back(std::move(item));
      list.names.push_back(e.kind == ExprKind::List ? "" : e.arguments[i].name.text);
    }
    return list;
  }
  case ExprKind::Ellipsis:
  case ExprKind::Slice:
  case ExprKind::Error:
    break;
  }
  return {};
}

/// `[M(...); n]`: the element is evaluated n times, so that every module has params of its own.
Entity Elaborator::evalRepeat(const syntax::Expr &e) {
  Entity count = eval(*e.children[1]);
  if (count.isError())
    return {};
  std::optional<int64_t> n = count.asInteger();
  if (!n) {
    diagnostics.report(diag::notConstant, e.children[1]->span, "the length of a list").at(describe(count));
    return {};
  }
  if (*n < 0) {
    diagnostics.report(diag::negativeSize, e.children[1]->span, *n);
    return {};
  }
  if (*n > maxRepeat) {
    diagnostics.report(diag::tooLarge, e.children[1]->span, fmt::format("a list of {}", *n), maxRepeat);
    return {};
  }
  Entity list(Kind::List);
  std::string place = storedPlace;
  for (int64_t i = 0; i < *n; ++i) {
    storedPlace = joinPath(place, std::to_string(i));
    Entity item = eval(*e.children[0]);
    storedPlace = place;
    if (item.isError())
      return {};
    if (item.is(Kind::Module))
      item.module.isElement = true;
    list.items.push_back(std::move(item));
  }
  list.names.resize(list.items.size());
  return list;
}

Entity Elaborator::transposeLast(const Entity &v, const syntax::Expr &e) {
  if (!v.is(Kind::Tensor)) {
    diagnostics.report(diag::badOperand, e.mark, ".T", describe(v));
    return {};
  }
  Builder &builder = *frame->builder;
  int64_t rank = static_cast<int64_t>(builder.type(v.id).dims.size());
  if (rank < 2) {
    diagnostics.report(diag::rankMismatch, e.children[0]->span, quote(*e.children[0]), describe(v), "at least 2 axes");
    return {};
  }
  std::vector<int64_t> permutation(rank);
  for (int64_t i = 0; i < rank; ++i)
    permutation[i] = i;
  std::swap(permutation[rank - 1], permutation[rank - 2]);
  Entity out = Entity::ofTensor(builder.transpose(v.id, std::move(permutation), e.span));
  out.bound = v.bound;
  return out;
}

Entity Elaborator::evalMember(const syntax::Expr &e) {
  const syntax::Expr &base = *e.children[0];
  // `nn.Linear`: an import's name, where nothing nearer has it.
  if (base.kind == ExprKind::Name && frame->scope && !findName(base.text))
    for (const auto &[name, imported] : frame->scope->imports)
      if (name == base.text) {
        Entity v = lookup(*imported, e.text);
        if (!v.isError())
          return v;
        auto report = diagnostics.report(diag::unknownMember, e.mark, "`" + name + "`", e.text);
        if (std::string near = nearest(e.text, visibleNames(*imported)); !near.empty())
          report.help("did you mean `" + near + "`?");
        return {};
      }
  if (base.kind == ExprKind::Name && base.text == "self" && frame->hasSelf && !findName("self"))
    return memberOf(frame->roots[0], e.text, e.mark);
  Entity v = eval(base);
  if (v.isError())
    return {};
  if (e.text == "T" && !v.is(Kind::Module))
    return transposeLast(v, e);
  if (v.is(Kind::Module))
    return memberOf(v.module, e.text, e.mark);
  if (v.isLeaf() && e.text == "path")
    return Entity::ofString(leafPath(v));
  if (v.is(Kind::Tuple))
    for (size_t i = 0; i < v.names.size(); ++i)
      if (v.names[i] == e.text)
        return v.items[i];
  auto report = diagnostics.report(diag::unknownMember, e.mark, describe(v), e.text);
  if (v.is(Kind::Tensor) && findName(e.text))
    report.help("`" + e.text + "` is a function: write `" + e.text + "(x)`");
  else if (v.is(Kind::Tensor))
    report.help(e.text == "path" ? "leaves of `params` have a path; a value has none"
                                 : "a tensor has `.T`; sizes are named by its type");
  else if (std::string near = nearest(e.text, v.names); !near.empty())
    report.help("did you mean `" + near + "`?");
  return {};
}

DimExpr Elaborator::evalSize(const syntax::Expr &e, const char *what) {
  Entity v = eval(e);
  if (v.isError())
    return {};
  if (std::optional<DimExpr> size = sizeOf(v))
    return *size;
  diagnostics.report(diag::notAValue, e.span, describe(v), std::string("an integer for ") + what);
  return {};
}

std::vector<ArgumentValue> Elaborator::evalArguments(const syntax::Expr &e, bool &ok) {
  std::vector<ArgumentValue> args;
  for (const syntax::ArgumentExpr &a : e.arguments) {
    Entity v = eval(*a.value);
    ok = ok && !v.isError();
    if (v.is(Kind::Void)) {
      diagnostics.report(diag::notAValue, a.value->span, "a call without a result", "a value");
      ok = false;
    }
    args.push_back({a.name.text, std::move(v), a.value->span, a.name.span});
  }
  return args;
}

/// Named arguments of a builtin to their places; Void where not given.
static bool placeArguments(DiagnosticEngine &diagnostics, const std::string &name, const Builtin &builtin,
                           std::vector<ArgumentValue> &args, Span span) {
  if (builtin.variadic)
    return true;
  std::vector<ArgumentValue> placed(builtin.parameters.size(), {{}, Entity(Entity::Kind::Void), span});
  size_t next = 0;
  for (ArgumentValue &a : args) {
    size_t i = next++;
    if (!a.name.empty())
      for (i = 0; i < placed.size() && builtin.parameters[i] != a.name;)
        ++i;
    if (i >= placed.size()) {
      if (a.name.empty())
        diagnostics.report(diag::tooManyArguments, span, name, countArguments(placed.size()), args.size());
      else
        diagnostics.report(diag::unknownArgument, a.nameSpan, name, a.name)
            .help("it takes " + fmt::format("{}", fmt::join(builtin.parameters, ", ")));
      return false;
    }
    if (!placed[i].value.is(Entity::Kind::Void)) {
      diagnostics.report(diag::duplicateArgument, join(a.nameSpan, a.span), builtin.parameters[i])
          .label(placed[i].span, "it is given here");
      return false;
    }
    placed[i] = std::move(a);
  }
  for (size_t i = 0; i < builtin.required; ++i)
    if (placed[i].value.is(Entity::Kind::Void)) {
      diagnostics.report(diag::missingArgument, span, name, builtin.parameters[i]);
      return false;
    }
  args = std::move(placed);
  return true;
}

Entity Elaborator::evalCall(const syntax::Expr &e) {
  const syntax::Expr &callee = *e.children[0];
  Entity fn = eval(callee);
  if (fn.isError())
    return {};
  bool ok = true;
  if (fn.is(Kind::Class)) {
    std::string place = std::exchange(storedPlace, storedPlace);
    std::vector<ArgumentValue> args = evalArguments(e, ok);
    storedPlace = place;
    return ok ? instantiateModule(fn, std::move(args), e.span) : Entity();
  }
  if (fn.is(Kind::Module)) {
    auto it = fn.module.instance->functions.find("forward");
    if (it == fn.module.instance->functions.end()) {
      diagnostics.report(diag::noForward, callee.span, fn.module.instance->decl->name.text);
      return {};
    }
    fn.kind = Kind::Function;
    fn.function = it->second;
    fn.scope = fn.module.instance->scope;
  }
  if (!fn.is(Kind::Function) && !fn.is(Kind::Builtin)) {
    auto report = diagnostics.report(diag::notCallable, callee.span, describe(fn));
    if (fn.is(Kind::List))
      report.help("call its elements: `for layer in " + std::string(sources.text(callee.span)) + " { x = layer(x) }`");
    return {};
  }
  std::vector<ArgumentValue> args = evalArguments(e, ok);
  if (!ok)
    return {};
  if (fn.is(Kind::Function))
    return callFunction(fn, std::move(args), e.span);
  if (!placeArguments(diagnostics, fn.text, *fn.builtin, args, e.span))
    return {};
  return fn.builtin->run(*this, *fn.builtin, args, e.span);
}
