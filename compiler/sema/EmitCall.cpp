// A call in its caller: what the callee takes and gives in the caller's sizes, states and preconditions included.
#include "compiler/sema/Elaborator.h"

#include <algorithm>

using namespace fovea;
using namespace fovea::sema;
using namespace fovea::source;

static DimExpr substituted(DimExpr e, const CallState &call) {
  return e.substitute([&](std::string_view name) -> std::optional<DimExpr> {
    for (const auto &[symbol, value] : call.substitution)
      if (symbol == name)
        return value;
    return std::nullopt;
  });
}

static TensorType substituted(TensorType type, const CallState &call) {
  for (DimExpr &d : type.dims)
    d = substituted(d, call);
  return type;
}

bool Elaborator::passSlots(FunctionInstance &instance, CallState &call, const std::string &path,
                           std::vector<ValueId> &operands, std::vector<Slot *> &slots, Span span) {
  Builder &builder = *frame->builder;
  std::vector<size_t> indices;
  for (const Slot &s : instance.slots) {
    bool local = s.root == Builder::localRoot;
    uint32_t root = local ? s.root : call.roots[s.root].root;
    std::string address = joinPath(local ? path : call.roots[s.root].path, s.path);
    Slot *mine = slotFor(s.kind, root, address, span);
    TensorType theirs = instance.function.values[s.argument].type;
    if (!mine) { // a state that this function has not met
      for (DimExpr d : theirs.dims)
        for (const std::string &name : d.symbols())
          if (std::none_of(call.substitution.begin(), call.substitution.end(),
                           [&](auto &e) { return e.first == name; })) {
            DimExpr symbol = frame->dims.count(name) ? frame->dims[name] : builder.newSymbol(name);
            frame->dims[name] = symbol;
            call.substitution.emplace_back(name, symbol);
          }
      Slot fresh = s;
      fresh.root = root;
      fresh.path = address;
      if (builder.function.isEntry && !local)
        if (Entity *member = resolvePath(frame->roots[root].instance, address))
          fresh.path = member->text;
      fresh.written = false;
      fresh.order = static_cast<uint32_t>(builder.slots.size());
      fresh.argument = fresh.current = builder.addValue(substituted(theirs, call), s.span);
      mine = &builder.addSlot(std::move(fresh));
    }
    const TensorType &type = builder.type(mine->argument);
    for (size_t i = 0; i < theirs.dims.size(); ++i) {
      DimExpr d = theirs.dims[i];
      bool unknown =
          d.kind() == DimExpr::Kind::Symbol && std::none_of(call.substitution.begin(), call.substitution.end(),
                                                            [&](auto &e) { return e.first == d.name(); });
      if (unknown)
        call.substitution.emplace_back(std::string(d.name()), type.dims[i]);
      else if (builder.require(
                   substituted(d, call), Relation::EQ, type.dims[i],
                   fmt::format("{} == {} for {}", substituted(d, call).str(), type.dims[i].str(), mine->path),
                   span) == Truth::False) {
        diagnostics.report(diag::dimensionClash, span, "the sizes of `" + mine->path + "` differ", type.dims[i].str(),
                           substituted(d, call).str());
        return false;
      }
    }
    operands.push_back(builder.coerce(mine->current, substituted(theirs, call).dims, span));
    indices.push_back(mine - builder.slots.data());
  }
  for (size_t i : indices)
    slots.push_back(&builder.slots[i]);
  return true;
}

bool Elaborator::propagateRequirements(const FunctionInstance &instance, const CallState &call, Span span) {
  for (const Require &r : instance.function.requirements) {
    DimExpr lhs = substituted(r.lhs, call), rhs = substituted(r.rhs, call);
    if (!frame->builder->useAsSize(lhs, span) || !frame->builder->useAsSize(rhs, span))
      return false;
    // "N <= 512 in ..." reads "T <= 512 in ..." where N is T.
    std::string inner = fmt::format("{} {} {}", r.lhs.str(), spelling(r.relation), r.rhs.str());
    std::string message = r.message;
    if (message.rfind(inner, 0) == 0)
      message.replace(0, inner.size(), fmt::format("{} {} {}", lhs.str(), spelling(r.relation), rhs.str()));
    // What the library demands is shown where it is called.
    auto isLibrary = [&](Span place) { return sources.name(place.file).rfind("<library>/", 0) == 0; };
    Span place = isLibrary(r.span) && !isLibrary(span) ? span : r.span;
    if (frame->builder->require(lhs, r.relation, rhs, message, place) != Truth::False)
      continue;
    diagnostics.report(diag::assertFailed, span, fmt::format("{} {} {}", lhs.str(), spelling(r.relation), rhs.str()))
        .label(r.span, "needed here: " + r.message);
    return false;
  }
  return true;
}

Entity Elaborator::exportResult(const Entity &v, const CallState &call, const std::vector<ValueId> &results) {
  Entity out = v;
  if (v.is(Kind::Tensor) && !v.isLeaf())
    out = Entity::ofTensor(results[v.id]);
  if (v.is(Kind::Size))
    out.size = substituted(v.size, call);
  if (v.bound)
    out.bound = substituted(v.bound, call);
  if (out.module.instance && out.module.root < call.roots.size()) {
    const ModuleRef &root = call.roots[v.module.root];
    out.module.path = joinPath(root.path, v.module.path);
    out.module.root = root.root;
    if (out.isLeaf())
      out.module.instance = frame->roots[root.root].instance;
  }
  for (size_t i = 0; i < v.items.size(); ++i)
    out.items[i] = exportResult(v.items[i], call, results);
  return out;
}

Entity Elaborator::emitCall(const Entity &fn, FunctionInstance &instance, CallState &call, Span span) {
  if (!frame->builder)
    return instance.index < 0 ? exportResult(instance.result, call, {}) : (needBuilder(span), Entity());
  Builder &builder = *frame->builder;
  std::string path = fn.module.path;
  if (!fn.module.instance || fn.function->name.text != "forward")
    path = joinPath(path, fn.function->name.text);
  path = builder.uniquePath(path);
  std::vector<ValueId> operands = call.operands;
  std::vector<Slot *> slots;
  if (!passSlots(instance, call, path, operands, slots, span) || !propagateRequirements(instance, call, span))
    return {};
  if (instance.index < 0)
    return exportResult(instance.result, call, {});
  Op op;
  op.name = "call";
  op.callee = static_cast<uint32_t>(instance.index);
  op.operands = std::move(operands);
  op.span = span;
  op.path = path;
  for (const std::string &symbol : instance.function.symbols) {
    DimExpr value = substituted(DimExpr::symbol(symbol), call);
    builder.useAsSize(value, span);
    op.substitution.emplace_back(symbol, value);
  }
  if (fn.module.isElement)
    model.functions[instance.index].isLayer = true;
  for (const Result &r : instance.function.results)
    op.results.push_back(builder.addValue(substituted(instance.function.values[r.value].type, call), span));
  size_t inputs = call.operands.size();
  for (size_t i = 0; i < op.results.size(); ++i)
    if (int32_t state = instance.function.results[i].state; state >= 0) {
      Slot &slot = *slots[state - inputs];
      slot.current = builder.coerce(op.results[i], builder.type(slot.argument).dims, span);
      slot.written = true;
    }
  std::vector<ValueId> results = op.results;
  builder.add(std::move(op));
  return exportResult(instance.result, call, results);
}
