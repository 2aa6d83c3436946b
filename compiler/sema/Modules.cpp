// The model's tree: modules with their arguments, params, states.
#include "compiler/sema/Elaborator.h"

#include <algorithm>

using namespace fovea;
using namespace fovea::sema;
using namespace fovea::source;

std::string Elaborator::keyOf(const Entity &v) {
  switch (v.kind) {
  case Kind::Size:
    return "i" + v.size.str();
  case Kind::Float:
    return fmt::format("f{:a}", v.number);
  case Kind::Bool:
    return v.flag ? "true" : "false";
  case Kind::String:
    return fmt::format("s{}:{}", v.text.size(), v.text);
  case Kind::None:
    return "none";
  case Kind::Module:
    return v.module.instance->key;
  case Kind::List:
  case Kind::Tuple: {
    std::string key = "[";
    for (const Entity &item : v.items)
      key += keyOf(item) + ",";
    return key + "]";
  }
  case Kind::Function: {
    std::string key = fmt::format("fn{}", static_cast<const void *>(v.function));
    return v.module.instance ? key + "@" + v.module.path : key;
  }
  case Kind::Class:
    return fmt::format("class{}", static_cast<const void *>(v.moduleDecl));
  case Kind::Builtin:
    return "builtin " + v.text;
  default:
    return "?";
  }
}

/// Positional and named arguments and defaults in the order of the parameters. Defaults see the parameters before them.
bool Elaborator::bindParameters(const std::string &callee, const std::vector<syntax::ParameterDecl> &parameters,
                                std::vector<ArgumentValue> args, Span span, Span declSpan,
                                std::vector<ArgumentValue> &bound) {
  std::vector<std::optional<ArgumentValue>> found(parameters.size());
  size_t next = 0;
  for (ArgumentValue &arg : args) {
    size_t i = next++;
    if (!arg.name.empty()) {
      for (i = 0; i < parameters.size() && parameters[i].name.text != arg.name;)
        ++i;
      if (i == parameters.size()) {
        std::vector<std::string> names;
        for (const auto &p : parameters)
          names.push_back(p.name.text);
        auto report = diagnostics.report(diag::unknownArgument, arg.nameSpan, callee, arg.name);
        std::string near = nearest(arg.name, names);
        report.label(declSpan, "defined here").help(near.empty() ? "" : "did you mean `" + near + "`?");
        return false;
      }
    } else if (i >= parameters.size()) {
      diagnostics.report(diag::tooManyArguments, span, callee, countArguments(parameters.size()), args.size())
          .label(declSpan, "defined here");
      return false;
    }
    if (found[i]) {
      diagnostics
          .report(diag::duplicateArgument, arg.name.empty() ? arg.span : join(arg.nameSpan, arg.span),
                  parameters[i].name.text)
          .label(found[i]->span, "it is given here");
      return false;
    }
    found[i] = std::move(arg);
  }
  for (size_t i = 0; i < parameters.size(); ++i) {
    const syntax::ParameterDecl &p = parameters[i];
    if (!found[i] && p.defaultValue) {
      Entity v = eval(*p.defaultValue);
      if (v.isError())
        return false;
      found[i] = ArgumentValue{{}, std::move(v), p.defaultValue->span};
    }
    if (!found[i]) {
      diagnostics.report(diag::missingArgument, span, callee, p.name.text).label(p.name.span, "declared here");
      return false;
    }
    if (!convertCompileTime(callee, p, *found[i]))
      return false;
    frame->scopes.back()[p.name.text] = {found[i]->value, p.name.span};
    bound.push_back(std::move(*found[i]));
  }
  return true;
}

bool Elaborator::convertCompileTime(const std::string &callee, const syntax::ParameterDecl &p, ArgumentValue &arg) {
  using TypeKind = syntax::TypeExpr::Kind;
  Entity &v = arg.value;
  bool good = true;
  switch (p.type.kind) {
  case TypeKind::Int:
    good = v.is(Kind::Size);
    break;
  case TypeKind::Float:
    if (std::optional<double> x = v.asNumber())
      v = Entity::ofFloat(*x);
    else
      good = false;
    break;
  case TypeKind::Bool:
    good = v.is(Kind::Bool);
    break;
  case TypeKind::String:
    good = v.is(Kind::String);
    break;
  case TypeKind::Function:
    good = v.is(Kind::Function) || v.is(Kind::Builtin) || v.is(Kind::Module);
    break;
  default:
    return true;
  }
  // An argument that may be left out (`= None`) may be None.
  if (!good && v.is(Kind::None) && p.defaultValue && p.defaultValue->kind == ExprKind::None)
    return true;
  if (!good)
    diagnostics.report(diag::argumentType, arg.span, p.name.text, callee, syntax::print(p.type), describe(v))
        .label(p.name.span, "declared here");
  return good;
}

Entity Elaborator::instantiateModule(const Entity &cls, std::vector<ArgumentValue> args, Span span) {
  const syntax::ModuleDecl &decl = *cls.moduleDecl;
  if (!mayCreateModules) {
    diagnostics.report(diag::misplaced, span, "making a module")
        .help("declare it as a member, `name: " + decl.name.text + "(...)`, so that its params have a name");
    return {};
  }
  for (size_t i = 0; i < building.size(); ++i)
    if (building[i]->decl == &decl) {
      std::string chain;
      for (; i < building.size(); ++i)
        chain += building[i]->decl->name.text + " -> ";
      diagnostics.report(diag::recursion, span, decl.name.text, chain + decl.name.text);
      return {};
    }
  if (instances.size() >= maxInstances || building.size() >= maxCallDepth) {
    stopped = true;
    diagnostics.report(diag::tooLarge, span, "the number of modules", maxInstances);
    return {};
  }
  auto &instance = *instances.emplace_back(std::make_unique<Instance>());
  instance.decl = &decl;
  instance.scope = cls.scope;
  instance.place = span;
  instance.storedPath = storedPlace;
  built.insert(&decl);
  Frame scope;
  scope.caller = frame;
  scope.scope = cls.scope;
  scope.roots = {{&instance, 0, {}, false}};
  scope.hasSelf = true;
  FrameGuard guard(*this, scope);
  std::vector<ArgumentValue> bound;
  if (!bindParameters(decl.name.text, decl.parameters, std::move(args), span, decl.name.span, bound))
    return {};
  instance.key = fmt::format("{}(", static_cast<const void *>(&decl));
  for (size_t i = 0; i < bound.size(); ++i) {
    instance.arguments[decl.parameters[i].name.text] = bound[i].value;
    instance.key += keyOf(bound[i].value) + ",";
  }
  instance.key += ")";
  scope.scopes.assign(1, {});
  building.push_back(&instance);
  unsigned errors = diagnostics.errorCount();
  buildMembers(instance, decl.members);
  building.pop_back();
  if (diagnostics.errorCount() > errors)
    return {};
  Entity v(Kind::Module);
  v.module.instance = &instance;
  return v;
}

void Elaborator::buildMembers(Instance &instance, const syntax::MemberBlock &block) {
  using MemberKind = syntax::MemberDecl::Kind;
  // Functions first, so that their names are taken before members use them.
  for (const auto &m : block)
    if (m->kind == MemberKind::Function && !m->name.empty()) {
      auto [it, fresh] = instance.places.try_emplace(m->name.text, m->name.span);
      if (!fresh) {
        diagnostics.report(diag::duplicateName, m->name.span, m->name.text).label(it->second, "first defined here");
        continue;
      }
      if (m->function->isEntry && !instance.decl->isModel)
        diagnostics.report(diag::misplaced, m->name.span, "an entry in a module")
            .help("entries belong to models; use `fn` here");
      instance.functions[m->name.text] = m->function.get();
    }
  for (const auto &m : block)
    if (!stopped && m->kind != MemberKind::Function)
      addMember(instance, *m);
}

void Elaborator::addMember(Instance &instance, const syntax::MemberDecl &m) {
  using MemberKind = syntax::MemberDecl::Kind;
  if (m.kind == MemberKind::If) {
    if (std::optional<bool> condition = decideCondition(*m.value))
      buildMembers(instance, *condition ? m.body : m.otherwise);
    return;
  }
  if (m.kind == MemberKind::Assert)
    return executeAssert(*m.value, m.message);
  if (m.kind == MemberKind::Tie)
    return addTie(instance, m);
  auto [place, fresh] = instance.places.try_emplace(m.name.text, m.name.span);
  if (!fresh) {
    diagnostics.report(diag::duplicateName, m.name.span, m.name.text).label(place->second, "first defined here");
    return;
  }
  std::string piece = m.renamed ? m.stored : m.name.text;
  instance.members[m.name.text] = Entity(); // until it is known to be good: later uses stay quiet
  Entity v;
  if (m.kind == MemberKind::Param)
    return addParam(instance, m);
  if (m.kind == MemberKind::State) {
    v = Entity(Kind::State);
    v.member = &m;
    v.text = joinPath(instance.storedPath, piece);
  } else {
    std::string outer = std::exchange(storedPlace, joinPath(instance.storedPath, piece));
    bool mayCreate = std::exchange(mayCreateModules, m.kind == MemberKind::Submodule);
    v = eval(*m.value);
    mayCreateModules = mayCreate;
    storedPlace = std::move(outer);
    if (v.isError())
      return;
    if (m.kind == MemberKind::Submodule && !v.is(Kind::Module) && !v.is(Kind::List)) {
      diagnostics.report(diag::notAValue, m.value->span, describe(v), "a module or a list of modules")
          .help("a compile-time value is bound with `let`");
      return;
    }
  }
  instance.members[m.name.text] = std::move(v);
  instance.order.push_back(m.name.text);
}

std::optional<TensorType> Elaborator::constantType(const syntax::TypeExpr &t) {
  std::optional<TensorType> type = evaluateType(t, false);
  if (type && !generic)
    for (size_t i = 0; i < type->dims.size(); ++i)
      if (!type->dims[i].isConstant()) {
        diagnostics.report(diag::notConstant, t.dimensions[i].size->span, "a param's size");
        return std::nullopt;
      }
  return type;
}

static bool needsFans(const Initializer &initializer) {
  return initializer.name.rfind("xavier", 0) == 0 || initializer.name.rfind("kaiming", 0) == 0;
}

void Elaborator::addParam(Instance &instance, const syntax::MemberDecl &m) {
  ParamInfo info;
  info.path = joinPath(instance.storedPath, m.renamed ? m.stored : m.name.text);
  info.span = m.span;
  std::optional<TensorType> type = constantType(m.type);
  if (!type)
    return;
  for (DimExpr d : type->dims)
    if (d.value().value_or(0) < 0) {
      diagnostics.report(diag::negativeSize, m.span, d.str());
      return;
    }
  info.type = *type;
  if (m.value && !parseInitializer(*m.value, info.initializer))
    return;
  if (needsFans(info.initializer) && type->dims.size() < 2) {
    diagnostics.report(diag::rankMismatch, m.value->span, "`" + m.name.text + "`", sema::describe(*type),
                       "at least 2 axes for `" + info.initializer.name + "`");
    return;
  }
  auto index = static_cast<uint32_t>(model.params.size());
  auto [it, fresh] = paramByPath.try_emplace(info.path, index);
  if (!fresh) {
    diagnostics.report(diag::duplicateParameter, m.span, info.path).label(model.params[it->second].span, "first here");
    return;
  }
  model.params.push_back(std::move(info));
  Entity v(Kind::Param);
  v.index = index;
  instance.members[m.name.text] = std::move(v);
  instance.order.push_back(m.name.text);
}

/// What a param can start as, with the arguments' names and defaults.
static const std::map<std::string, std::vector<std::pair<const char *, double>>> &initializers() {
  static const std::map<std::string, std::vector<std::pair<const char *, double>>> table = {
      {"zeros", {}},
      {"ones", {}},
      {"constant", {{"value", 0}}},
      {"uniform", {{"low", -1}, {"high", 1}}},
      {"normal", {{"mean", 0}, {"std", 1}}},
      {"truncated_normal", {{"mean", 0}, {"std", 1}}},
      {"xavier_uniform", {{"gain", 1}}},
      {"xavier_normal", {{"gain", 1}}},
      {"kaiming_uniform", {{"gain", 1.4142135623730951}}},
      {"kaiming_normal", {{"gain", 1.4142135623730951}}},
  };
  return table;
}

static bool isNamedCall(const syntax::Expr &e) {
  return e.kind == syntax::Expr::Kind::Call && e.children[0]->kind == syntax::Expr::Kind::Name;
}

static auto findInitializer(const syntax::Expr &e) {
  return isNamedCall(e) ? initializers().find(e.children[0]->text) : initializers().end();
}

bool Elaborator::parseInitializer(const syntax::Expr &e, Initializer &initializer) {
  auto it = findInitializer(e);
  if (it == initializers().end()) {
    std::vector<std::string> names;
    std::string list;
    for (const auto &[name, parameters] : initializers()) {
      names.push_back(name);
      list += (list.empty() ? "" : ", ") + name;
    }
    std::string near = isNamedCall(e) ? nearest(e.children[0]->text, names) : "";
    diagnostics.report(diag::notAValue, e.span, quote(e), "an initialiser")
        .help(near.empty() ? "initialisers: " + list : "did you mean `" + near + "`?");
    return false;
  }
  initializer.name = it->first;
  for (auto [name, value] : it->second)
    initializer.args.push_back(value);
  size_t next = 0;
  for (const syntax::ArgumentExpr &a : e.arguments) {
    size_t i = next++;
    if (!a.name.empty())
      for (i = 0; i < it->second.size() && a.name.text != it->second[i].first;)
        ++i;
    if (i >= it->second.size()) {
      if (a.name.empty())
        diagnostics.report(diag::tooManyArguments, a.value->span, it->first, countArguments(it->second.size()),
                           e.arguments.size());
      else
        diagnostics.report(diag::unknownArgument, a.name.span, it->first, a.name.text);
      return false;
    }
    Entity v = eval(*a.value);
    if (v.isError())
      return false;
    if (!v.asNumber()) {
      diagnostics.report(diag::notConstant, a.value->span, "an initialiser's argument");
      return false;
    }
    initializer.args[i] = *v.asNumber();
  }
  return true;
}

/// A number, or an initialiser that doesn't look at the shape.
bool Elaborator::parseFirstValue(const syntax::Expr &e, Slot &state) {
  if (findInitializer(e) != initializers().end()) {
    if (!parseInitializer(e, state.initializer))
      return false;
    if (needsFans(state.initializer))
      diagnostics.report(diag::notAValue, e.span, quote(e), "a state's first value")
          .help("xavier and kaiming are of params: uniform(low, high) and normal(mean, std) are of states as well");
    return !needsFans(state.initializer);
  }
  Entity v = eval(e);
  if (v.isError())
    return false;
  std::optional<double> number = v.is(Kind::Bool) ? std::optional<double>(v.flag) : v.asNumber();
  if (!number) {
    diagnostics.report(diag::notConstant, e.span, "a state's first value");
    return false;
  }
  state.initial = *number;
  return true;
}

/// `tie decoder.weight = words.weight`: the first name becomes the second param; one that was declared is dropped.
void Elaborator::addTie(Instance &instance, const syntax::MemberDecl &m) {
  auto pathOf = [&](const syntax::Expr &e, auto &self) -> std::string {
    if (e.kind == ExprKind::Name)
      return e.text;
    if (e.kind == ExprKind::Member)
      return joinPath(self(*e.children[0], self), e.text);
    if (e.kind == ExprKind::Index && e.children.size() == 2 && e.children[1]->kind == ExprKind::Int)
      return joinPath(self(*e.children[0], self), std::to_string(e.children[1]->integer));
    return "?";
  };
  auto find = [&](const syntax::Expr &e) -> Entity * {
    std::string path = pathOf(e, pathOf);
    Entity *v = resolvePath(&instance, path);
    if (v && v->is(Kind::Param))
      return v;
    diagnostics.report(diag::notAValue, e.span, quote(e), "a param of this module or of one inside it");
    return nullptr;
  };
  Entity *source = find(*m.value);
  Entity *target = source ? find(*m.target) : nullptr;
  if (!target)
    return;
  const ParamInfo &a = model.params[target->index], &b = model.params[source->index];
  if (!(a.type == b.type)) {
    diagnostics.report(diag::typeMismatch, m.span, "`tie`", sema::describe(a.type), sema::describe(b.type))
        .label(m.target->span, sema::describe(a.type))
        .label(m.value->span, sema::describe(b.type))
        .label(a.span, "one is declared here")
        .label(b.span, "the other here")
        .help("tied params are one tensor: they have one type");
    return;
  }
  tiedParams.insert(target->index);
  paramByPath.erase(a.path);
  target->index = source->index;
}
