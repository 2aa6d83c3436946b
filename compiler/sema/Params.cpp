// `params`: the tree of a module's params, whose leaves may be written, and what becomes of the written ones.
#include "compiler/sema/Elaborator.h"

using namespace fovea;
using namespace fovea::sema;
using namespace fovea::source;

//===-- The tree --------------------------------------------------------------------------------------------------===//

void Elaborator::collectParams(const Entity &member, const ModuleRef &root, const std::string &path,
                               std::set<uint32_t> &seen, Entity &tree) {
  if (member.is(Kind::Param)) {
    if (!computes(model.params[member.index].type.dtype) || !seen.insert(member.index).second)
      return;
    Entity leaf = Entity::ofTensor(0); // the value is read where the tree is used
    leaf.module = {root.instance, root.root, path, false};
    tree.items.push_back(std::move(leaf));
  } else if (member.is(Kind::Module)) {
    const Instance &instance = *member.module.instance;
    for (const std::string &name : instance.order)
      collectParams(instance.members.at(name), root, joinPath(path, name), seen, tree);
  } else {
    for (size_t i = 0; i < member.items.size(); ++i)
      collectParams(member.items[i], root, joinPath(path, std::to_string(i)), seen, tree);
  }
}

Entity Elaborator::paramTree(const ModuleRef &ref, Span span) {
  if (!frame->builder) {
    diagnostics.report(diag::notConstant, span, "`params`");
    return {};
  }
  Entity module(Kind::Module), tree(Kind::List);
  module.module = ref;
  std::set<uint32_t> seen;
  collectParams(module, {frame->roots[ref.root].instance, ref.root, {}, false}, ref.path, seen, tree);
  tree.names.resize(tree.items.size());
  return tree;
}

std::string Elaborator::leafPath(const Entity &leaf) {
  const Instance &root = *leaf.module.instance;
  const std::string &stored = model.params[resolvePath(leaf.module.instance, leaf.module.path)->index].path;
  if (root.storedPath.empty())
    return stored;
  // A param that is tied to one outside has its name within the module.
  return stored.rfind(root.storedPath + ".", 0) == 0 ? stored.substr(root.storedPath.size() + 1) : leaf.module.path;
}

std::optional<Entity> Elaborator::leafIn(const syntax::Expr &e) {
  if (e.kind == ExprKind::Name)
    if (std::optional<Entity> v = findName(e.text); v && v->isLeaf())
      return v;
  for (const auto &child : e.children)
    if (std::optional<Entity> leaf = child ? leafIn(*child) : std::nullopt)
      return leaf;
  for (const syntax::ArgumentExpr &argument : e.arguments)
    if (std::optional<Entity> leaf = leafIn(*argument.value))
      return leaf;
  return std::nullopt;
}

void Elaborator::refreshLeaves(Entity &v, Span span) {
  if (v.isLeaf() && frame->builder)
    v.id = slotFor(ArgumentKind::Param, v.module.root, v.module.path, span)->current;
  for (Entity &item : v.items)
    refreshLeaves(item, span);
}

//===-- Writing ---------------------------------------------------------------------------------------------------===//

/// Gives a param or a state a new value, at its type.
void Elaborator::writeSlot(ArgumentKind kind, uint32_t root, const std::string &path, const std::string &name,
                           const Entity &value, Span span, Span declared) {
  TensorType type = frame->builder->type(slotFor(kind, root, path, span)->argument);
  std::optional<Entity> v = convertTo(name, type, value, span, declared);
  if (!v)
    return;
  Slot *slot = slotFor(kind, root, path, span);
  slot->current = v->id;
  slot->written = true;
}

/// A leaf in a function that it is given to: its root becomes one of the function's modules.
Entity Elaborator::importLeaf(const Entity &leaf, CallState &call) {
  const ModuleRef &from = leaf.module;
  size_t root = 0;
  auto isRoot = [&](const ModuleRef &r) {
    return r.root == from.root && r.path.empty() && r.instance == from.instance;
  };
  while (root < call.roots.size() && !isRoot(call.roots[root]))
    ++root;
  if (root == call.roots.size()) {
    call.roots.push_back({from.instance, from.root, {}, false});
    call.callee.roots.push_back({from.instance, static_cast<uint32_t>(root), {}, false});
    call.key += "r" + from.instance->key;
  }
  call.key += fmt::format("p{}.{}", root, from.path);
  Entity result = leaf;
  result.module.root = static_cast<uint32_t>(root);
  return result;
}

//===-- Written params are states ---------------------------------------------------------------------------------===//

namespace {

/// Rewrites a model's functions so that params which an entry writes are states everywhere. A function that is called
/// with some of them and with params that stay as they are is copied, once for each kind of call.
class WrittenParams {
public:
  WrittenParams(const std::vector<Function> &functions, const std::set<std::string> &written)
      : functions(functions), written(written) {}

  std::vector<Function> run() {
    for (uint32_t i = 0; i < functions.size(); ++i)
      if (functions[i].isEntry) {
        std::vector<bool> isState;
        for (const Argument &a : functions[i].arguments)
          isState.push_back(a.kind == ArgumentKind::Param && written.count(a.name));
        copy(i, isState);
      }
    return std::move(out);
  }

private:
  /// The function `index` with the arguments `isState` as states; its place in `out`.
  uint32_t copy(uint32_t index, const std::vector<bool> &isState) {
    std::map<std::vector<bool>, uint32_t> &known = copies[index];
    if (auto it = known.find(isState); it != known.end())
      return it->second;
    Function function = functions[index];
    if (!known.empty())
      function.name += "$written" + (known.size() > 1 ? std::to_string(known.size()) : "");
    std::set<ValueId> fixed; // params that stay
    for (size_t i = 0; i < isState.size(); ++i)
      if (isState[i]) {
        function.arguments[i].kind = ArgumentKind::State;
        function.arguments[i].isWrittenParam = true;
      } else if (function.arguments[i].kind == ArgumentKind::Param) {
        fixed.insert(function.arguments[i].value);
      }
    for (Op &op : function.ops) {
      if (op.name != "call")
        continue;
      std::vector<bool> states;
      for (size_t i = 0; i < op.operands.size(); ++i)
        states.push_back(functions[op.callee].arguments[i].kind == ArgumentKind::Param && !fixed.count(op.operands[i]));
      op.callee = copy(op.callee, states);
    }
    out.push_back(std::move(function));
    return known[isState] = static_cast<uint32_t>(out.size() - 1);
  }

  const std::vector<Function> &functions;
  const std::set<std::string> &written;
  std::vector<Function> out;
  std::map<uint32_t, std::map<std::vector<bool>, uint32_t>> copies;
};

} // namespace

void Elaborator::settleWrittenParams() {
  if (writtenParams.empty())
    return;
  std::set<std::string> names;
  for (uint32_t i : writtenParams) {
    model.params[i].isWritten = true;
    names.insert(model.params[i].path);
  }
  model.functions = WrittenParams(model.functions, names).run();
}
