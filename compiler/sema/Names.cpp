// Names: scopes, members of modules, params and states.
#include "compiler/sema/Elaborator.h"

#include <algorithm>

using namespace fovea;
using namespace fovea::sema;
using namespace fovea::source;

std::string sema::joinPath(const std::string &a, const std::string &b) {
  return a.empty() ? b : b.empty() ? a : a + "." + b;
}

std::string Elaborator::quote(const syntax::Expr &e) {
  std::string_view text = sources.text(e.span);
  if (text.size() > 48 || text.find('\n') != std::string_view::npos || text.empty())
    return "this value";
  return "`" + std::string(text) + "`";
}

std::string Elaborator::describe(const Entity &v) {
  switch (v.kind) {
  case Kind::Size:
    return v.size.isConstant() ? "the integer " + v.size.str() : "the size " + v.size.str();
  case Kind::Float:
    return fmt::format("the number {}", v.number);
  case Kind::Bool:
    return v.flag ? "true" : "false";
  case Kind::String:
    return "a string";
  case Kind::None:
    return "None";
  case Kind::Condition:
    return "a condition on sizes";
  case Kind::Tensor:
    return sema::describe(frame->builder->type(v.id));
  case Kind::Module:
    return "a module `" + v.module.instance->decl->name.text + "`";
  case Kind::List:
    return fmt::format("a list of {}", v.items.size());
  case Kind::Tuple:
    return fmt::format("{} values", v.items.size());
  case Kind::Function:
  case Kind::Builtin:
    return "a function";
  case Kind::Class:
    return "the module `" + v.moduleDecl->name.text + "` without its arguments";
  case Kind::Param:
    return "a param";
  case Kind::State:
    return "a state";
  case Kind::Void:
    return "nothing";
  case Kind::Error:
    break;
  }
  return "an error";
}

std::optional<Entity> Elaborator::findName(const std::string &name) {
  for (auto scope = frame->scopes.rbegin(); scope != frame->scopes.rend(); ++scope)
    if (auto it = scope->find(name); it != scope->end())
      return it->second.value;
  if (auto it = frame->dims.find(name); it != frame->dims.end())
    return Entity::ofSize(it->second);
  if (frame->hasSelf) {
    const ModuleRef &self = frame->roots[0];
    Instance &instance = *self.instance;
    if (instance.members.count(name) || instance.functions.count(name) || instance.arguments.count(name))
      return memberOf(self, name, {});
  }
  if (frame->scope)
    if (Entity v = lookup(*frame->scope, name); !v.isError())
      return v;
  if (name == "inf")
    return Entity::ofFloat(std::numeric_limits<double>::infinity());
  if (name == "nan")
    return Entity::ofFloat(std::numeric_limits<double>::quiet_NaN());
  if (name == "pi")
    return Entity::ofFloat(3.14159265358979323846);
  if (auto it = builtins().find(name); it != builtins().end()) {
    Entity v(Kind::Builtin);
    v.builtin = &it->second;
    v.text = name;
    return v;
  }
  return std::nullopt;
}

std::vector<std::string> Elaborator::namesInScope() {
  std::vector<std::string> names;
  for (const auto &scope : frame->scopes)
    for (const auto &[name, binding] : scope)
      names.push_back(name);
  for (const auto &[name, dim] : frame->dims)
    names.push_back(name);
  if (frame->hasSelf) {
    const Instance &self = *frame->roots[0].instance;
    for (const auto &[name, v] : self.members)
      names.push_back(name);
    for (const auto &[name, v] : self.functions)
      names.push_back(name);
    for (const auto &[name, v] : self.arguments)
      names.push_back(name);
  }
  if (frame->scope)
    for (std::string &name : visibleNames(*frame->scope))
      names.push_back(std::move(name));
  for (const auto &[name, builtin] : builtins())
    names.push_back(name);
  return names;
}

Entity Elaborator::lookupName(const syntax::Expr &e) {
  if (std::optional<Entity> v = findName(e.text))
    return *v;
  if (bindStateSize(e.text))
    return Entity::ofSize(frame->dims.at(e.text));
  if (frame->scope)
    for (const auto &[name, imported] : frame->scope->imports)
      if (name == e.text) {
        diagnostics.report(diag::notAValue, e.span, "the file `" + name + "`",
                           "one of its names, `" + name + ".name`,");
        return {};
      }
  if (e.text == "params") {
    if (frame->hasSelf)
      return paramTree(frame->roots[0], e.span);
    diagnostics.report(diag::misplaced, e.span, "`params`")
        .help("a function has no params of its own: give it those of a model or module, `f(params)`");
    return {};
  }
  auto report = diagnostics.report(diag::unknownName, e.span, e.text);
  if (std::string near = nearest(e.text, namesInScope()); !near.empty())
    report.help("did you mean `" + near + "`?");
  return {};
}

Entity Elaborator::memberOf(const ModuleRef &ref, const std::string &name, Span span) {
  Instance &instance = *ref.instance;
  if (auto it = instance.members.find(name); it != instance.members.end())
    return load(it->second, ref, name, span.valid() ? span : instance.places[name]);
  if (auto it = instance.functions.find(name); it != instance.functions.end()) {
    Entity v(Kind::Function);
    v.function = it->second;
    v.scope = instance.scope;
    v.module = ref;
    return v;
  }
  if (auto it = instance.arguments.find(name); it != instance.arguments.end())
    return it->second;
  if (name == "params")
    return paramTree(ref, span);
  std::vector<std::string> names;
  for (const auto &[member, v] : instance.members)
    names.push_back(member);
  for (const auto &[member, v] : instance.functions)
    names.push_back(member);
  auto report = diagnostics.report(diag::unknownMember, span, "module `" + instance.decl->name.text + "`", name);
  if (std::string near = nearest(name, names); !near.empty())
    report.help("did you mean `" + near + "`?");
  return {};
}

/// Modules are stored without a root; a function reaches them from its own.
Entity Elaborator::rebase(Entity v, const ModuleRef &owner, const std::string &name) {
  std::string path = joinPath(owner.path, name);
  if (v.is(Kind::Module)) {
    v.module.root = owner.root;
    v.module.path = path;
  }
  for (size_t i = 0; i < v.items.size(); ++i) {
    v.items[i] = rebase(std::move(v.items[i]), owner, joinPath(name, std::to_string(i)));
    if (v.items[i].is(Kind::Module))
      v.items[i].module.isElement = v.is(Kind::List);
  }
  return v;
}

Entity Elaborator::load(const Entity &member, const ModuleRef &owner, const std::string &name, Span span) {
  if (!member.is(Kind::Param) && !member.is(Kind::State))
    return rebase(member, owner, name);
  if (!frame->builder) {
    diagnostics.report(diag::notConstant, span, "`" + name + "`");
    return {};
  }
  std::string path = joinPath(owner.path, name);
  if (member.is(Kind::Param))
    return Entity::ofTensor(slotFor(ArgumentKind::Param, owner.root, path, span)->current);
  // A state's sizes are named by its module; the function's names mean the same.
  Frame scope;
  scope.scope = owner.instance->scope;
  scope.roots = {owner};
  scope.hasSelf = true;
  scope.builder = frame->builder;
  scope.dims = frame->dims;
  Slot *slot = nullptr;
  {
    FrameGuard guard(*this, scope);
    slot = stateSlot(owner.root, path, member.member->type, member.member->value.get(), member.member->span);
  }
  frame->dims.insert(scope.dims.begin(), scope.dims.end());
  return slot ? Entity::ofTensor(slot->current) : Entity();
}

Entity *Elaborator::resolvePath(Instance *instance, const std::string &path) {
  Entity *at = nullptr;
  for (size_t begin = 0; begin <= path.size();) {
    size_t end = std::min(path.find('.', begin), path.size());
    std::string piece = path.substr(begin, end - begin);
    if (at && (at->is(Kind::List) || at->is(Kind::Tuple))) {
      size_t i = std::strtoul(piece.c_str(), nullptr, 10);
      if (i >= at->items.size())
        return nullptr;
      at = &at->items[i];
    } else {
      auto it = instance->members.find(piece);
      if (it == instance->members.end())
        return nullptr;
      at = &it->second;
    }
    if (at->is(Kind::Module))
      instance = at->module.instance;
    begin = end + 1;
  }
  return at;
}

Slot *Elaborator::slotFor(ArgumentKind kind, uint32_t root, const std::string &path, Span span) {
  Builder &builder = *frame->builder;
  std::string address = path;
  Entity *member = root == Builder::localRoot ? nullptr : resolvePath(frame->roots[root].instance, path);
  // An entry names what it takes as it is stored, so that tied params are one argument.
  if (builder.function.isEntry && member)
    address = member->is(Kind::Param) ? model.params[member->index].path : member->text;
  if (Slot *slot = builder.findSlot(kind, root, address))
    return slot;
  if (kind == ArgumentKind::State || !member)
    return nullptr;
  const ParamInfo &info = model.params[member->index];
  Slot slot;
  slot.kind = kind;
  slot.root = root;
  slot.path = address;
  slot.order = member->index;
  slot.span = info.span;
  slot.argument = slot.current = builder.addValue(info.type, info.span);
  if (builder.function.isEntry)
    usedParams.insert(member->index);
  return &builder.addSlot(std::move(slot));
}

Slot *Elaborator::stateSlot(uint32_t root, const std::string &path, const syntax::TypeExpr &type,
                            const syntax::Expr *initial, Span span) {
  if (Slot *slot = slotFor(ArgumentKind::State, root, path, span))
    return slot;
  Slot slot;
  slot.kind = ArgumentKind::State;
  slot.root = root;
  slot.path = path;
  slot.span = span;
  if (initial && !parseFirstValue(*initial, slot))
    return nullptr;
  std::optional<TensorType> t = evaluateType(type, true);
  if (!t)
    return nullptr;
  Builder &builder = *frame->builder;
  if (builder.function.isEntry && root != Builder::localRoot)
    if (Entity *member = resolvePath(frame->roots[root].instance, joinPath("", path)))
      slot.path = member->text;
  slot.order = static_cast<uint32_t>(builder.slots.size());
  slot.argument = slot.current = builder.addValue(*t, span);
  return &builder.addSlot(std::move(slot));
}
