// Calls: a function is elaborated once for each kind of arguments, and called with a substitution of its symbols.
#include "compiler/sema/Elaborator.h"

#include <algorithm>

using namespace fovea;
using namespace fovea::sema;
using namespace fovea::source;

using TypeKind = syntax::TypeExpr::Kind;

std::string Elaborator::uniqueFunctionName(const std::string &wish) {
  int n = ++functionNames[wish];
  return n == 1 ? wish : wish + "$" + std::to_string(n);
}

/// Gives a tensor parameter what it can take: a tensor of its type, or a compile-time number for a scalar one.
bool Elaborator::convertTensorArgument(const std::string &callee, const syntax::ParameterDecl &p, ArgumentValue &arg) {
  Entity &v = arg.value;
  if (v.is(Kind::None) && p.defaultValue && p.defaultValue->kind == ExprKind::None)
    return true;
  auto mismatch = [&] {
    diagnostics.report(diag::argumentType, arg.span, p.name.text, callee, syntax::print(p.type), describe(v))
        .label(p.type.span, "declared here");
    return false;
  };
  DType dtype = *dtypeFromName(p.type.dtype);
  bool scalar = p.type.dimensions.empty();
  if (scalar && v.is(Kind::Size) && dtype == DType::I64)
    return true;
  if (scalar && isFloat(dtype) && v.asNumber()) {
    v = Entity::ofFloat(*v.asNumber());
    return true;
  }
  if (scalar && ((isInteger(dtype) && v.asInteger()) || (dtype == DType::Bool && v.is(Kind::Bool))))
    return true;
  bool fits = v.is(Kind::Tensor)      ? frame->builder->type(v.id).dtype == dtype
              : v.is(Kind::Size)      ? dtype != DType::Bool
              : v.is(Kind::Float)     ? isFloat(dtype)
              : v.is(Kind::Bool)      ? dtype == DType::Bool
              : v.is(Kind::Condition) ? dtype == DType::Bool
                                      : false;
  if (!fits)
    return mismatch();
  if (!v.is(Kind::Tensor)) {
    DimExpr bound = v.is(Kind::Size) && v.size.isNonNegative() && !frame->builder->hasOpaque(v.size)
                        ? v.size + DimExpr(1)
                        : DimExpr();
    std::optional<ValueId> id = toTensor(v, arg.span, dtype);
    if (!id)
      return false;
    v = Entity::ofTensor(*id);
    v.bound = bound;
  }
  std::vector<std::pair<const syntax::DimensionExpr *, std::vector<DimExpr>>> parts;
  return splitDims(p.type, frame->builder->type(v.id).dims, parts) || mismatch();
}

/// The names that a parameter's type gives its dimensions, "" where it gives none.
std::vector<std::string> Elaborator::dimWishes(const syntax::ParameterDecl *p, size_t rank) {
  std::vector<std::string> wishes;
  if (p && p->type.kind == TypeKind::Tensor) {
    size_t single = 0;
    for (const syntax::DimensionExpr &d : p->type.dimensions)
      single += d.size != nullptr;
    for (const syntax::DimensionExpr &d : p->type.dimensions)
      if (!d.size)
        wishes.insert(wishes.end(), rank - single, d.ellipsis.text.empty() ? "N" : d.ellipsis.text);
      else
        wishes.push_back(d.size->kind == ExprKind::Name ? d.size->text : "");
  }
  wishes.resize(rank);
  return wishes;
}

DimExpr Elaborator::importDim(DimExpr e, const std::string &wish, CallState &call) {
  if (e.isConstant())
    return e;
  for (const auto &[mine, theirs] : call.dims)
    if (mine == e)
      return theirs;
  DimExpr symbol = call.builder.newSymbol(wish.empty() ? "d" : wish);
  call.dims.emplace_back(e, symbol);
  call.substitution.emplace_back(std::string(symbol.name()), e);
  return symbol;
}

Entity Elaborator::importTensor(const Entity &v, const std::string &name, const syntax::ParameterDecl *p,
                                CallState &call, Span span) {
  TensorType type = frame->builder->type(v.id);
  std::vector<std::string> wishes = dimWishes(p, type.dims.size());
  for (size_t i = 0; i < type.dims.size(); ++i)
    type.dims[i] = importDim(type.dims[i], wishes[i], call);
  call.key += "t" + sema::describe(type);
  Entity result = Entity::ofTensor(call.builder.addArgument(ArgumentKind::Input, name, type, p ? p->name.span : span));
  if (v.bound) {
    result.bound = importDim(v.bound, name + "_bound", call);
    call.key += "<" + result.bound.str();
  }
  call.operands.push_back(v.id);
  return result;
}

/// A symbolic integer: a symbol of the callee, with its value as an argument where it is not made of dimensions alone.
Entity Elaborator::importSize(const Entity &v, const std::string &name, const syntax::ParameterDecl *p, CallState &call,
                              Span span) {
  Builder &builder = *frame->builder;
  bool onlyDimensions = true, opaque = builder.hasOpaque(v.size);
  for (const std::string &s : v.size.symbols())
    onlyDimensions = onlyDimensions && builder.symbols[s].kind == SymbolInfo::Kind::Dimension;
  if (onlyDimensions) {
    Entity result = Entity::ofSize(importDim(v.size, name, call));
    call.key += "n" + result.size.str();
    return result;
  }
  SymbolInfo info;
  info.kind = opaque ? SymbolInfo::Kind::Opaque : SymbolInfo::Kind::Scalar;
  info.value = call.builder.addArgument(ArgumentKind::Input, name, {{}, DType::I64}, p ? p->name.span : span);
  call.operands.push_back(builder.materialize(v.size, span));
  DimExpr symbol = call.builder.newSymbol(name, info);
  if (!opaque) {
    call.dims.emplace_back(v.size, symbol);
    call.substitution.emplace_back(std::string(symbol.name()), v.size);
  }
  call.key += (opaque ? "o" : "s") + symbol.str();
  return Entity::ofSize(symbol);
}

Entity Elaborator::importArgument(const Entity &v, const std::string &name, const syntax::ParameterDecl *p,
                                  CallState &call, Span span) {
  switch (v.kind) {
  case Kind::Tensor: // a typed parameter takes the value
    if (v.isLeaf() && (!p || p->type.kind == TypeKind::Any))
      return importLeaf(v, call);
    return importTensor(v, name, p, call, span);
  case Kind::Size:
    if (!v.size.isConstant())
      return importSize(v, name, p, call, span);
    break;
  case Kind::Function:
    if (!v.module.instance)
      break;
    [[fallthrough]];
  case Kind::Module: {
    Entity result = v;
    result.module.root = static_cast<uint32_t>(call.callee.roots.size());
    result.module.path.clear();
    call.roots.push_back(v.module);
    call.callee.roots.push_back(result.module);
    call.key += fmt::format("m{}{}", v.module.isElement ? "e" : "", v.module.instance->key);
    if (v.is(Kind::Function))
      call.key += fmt::format(".{}", static_cast<const void *>(v.function));
    return result;
  }
  case Kind::List:
  case Kind::Tuple: {
    Entity result = v;
    call.key += "[";
    for (size_t i = 0; i < v.items.size(); ++i)
      result.items[i] = importArgument(v.items[i], name + "_" + std::to_string(i), nullptr, call, span);
    call.key += "]";
    return result;
  }
  case Kind::Condition: {
    Entity tensor = v;
    if (std::optional<ValueId> id = toTensor(v, span))
      tensor = Entity::ofTensor(*id);
    return importTensor(tensor, name, p, call, span);
  }
  default:
    break;
  }
  call.key += keyOf(v);
  return v;
}

/// "softmax", "Linear.forward".
static std::string calleeName(const Entity &fn) {
  std::string module = fn.module.instance ? fn.module.instance->decl->name.text : "";
  return joinPath(module, fn.function->name.text);
}

/// Whether `decl` is being elaborated already; then that is reported.
bool Elaborator::isRecursive(const syntax::FunctionDecl &decl, Span span) {
  auto first = std::find_if(active.begin(), active.end(), [&](auto &entry) { return entry.first == &decl; });
  if (first == active.end())
    return false;
  std::string chain;
  for (; first != active.end(); ++first)
    chain += first->first->name.text + " -> ";
  diagnostics.report(diag::recursion, span, decl.name.text, chain + decl.name.text);
  return true;
}

/// The arguments in the order of the parameters. In the caller's terms: what is provably wrong is reported at the
/// argument.
bool Elaborator::bindArguments(const Entity &fn, const std::vector<ModuleRef> &roots, std::vector<ArgumentValue> args,
                               Span span, std::vector<ArgumentValue> &bound) {
  const syntax::FunctionDecl &decl = *fn.function;
  const std::string name = calleeName(fn);
  Frame signature;
  signature.caller = frame;
  signature.scope = fn.scope;
  signature.roots = roots;
  signature.hasSelf = !roots.empty();
  {
    FrameGuard guard(*this, signature);
    if (!bindParameters(name, decl.parameters, std::move(args), span, decl.name.span, bound))
      return false;
  }
  if (!frame->builder && std::any_of(bound.begin(), bound.end(), [](auto &a) { return a.value.is(Kind::Tensor); })) {
    diagnostics.report(diag::notConstant, span, "this value");
    return false;
  }
  std::vector<ArgumentShape> shapes;
  for (size_t i = 0; i < bound.size(); ++i) {
    const syntax::ParameterDecl &p = decl.parameters[i];
    if (p.type.kind != TypeKind::Tensor)
      continue;
    if (!needBuilder(span) || !convertTensorArgument(name, p, bound[i]))
      return false;
    signature.scopes.back()[p.name.text].value = bound[i].value;
    if (bound[i].value.is(Kind::Tensor)) {
      const Value &value = frame->builder->function.values[bound[i].value.id];
      shapes.push_back({&p, value.type, bound[i].span, value.span});
    }
  }
  FrameGuard guard(*this, signature);
  return bindDims(signature, name, shapes, true);
}

/// Elaborates the callee for arguments of this kind, where that was not done before.
FunctionInstance &Elaborator::instanceFor(const Entity &fn, CallState &call, const std::vector<ArgumentShape> &shapes,
                                          Span span) {
  auto &slot = functionInstances[call.key];
  if (slot)
    return *slot;
  slot = std::make_unique<FunctionInstance>();
  FunctionInstance &instance = *slot;
  size_t before = diagnostics.diagnostics().size();
  active.emplace_back(fn.function, span);
  reached.insert(fn.function);
  {
    FrameGuard guard(*this, call.callee);
    unsigned errors = diagnostics.errorCount();
    instance.failed = !bindDims(call.callee, calleeName(fn), shapes, false) ||
                      !elaborateFunction(fn, call.builder, instance) || diagnostics.errorCount() > errors;
  }
  active.pop_back();
  if (instance.failed)
    diagnostics.addContext(before, span, "in this call of `" + calleeName(fn) + "`");
  return instance;
}

Entity Elaborator::callFunction(const Entity &fn, std::vector<ArgumentValue> args, Span span) {
  const syntax::FunctionDecl &decl = *fn.function;
  if (isRecursive(decl, span))
    return {};
  CallState call(diagnostics);
  call.key = fmt::format("{}|", static_cast<const void *>(&decl));
  call.callee.caller = frame;
  call.callee.decl = &decl;
  call.callee.scope = fn.scope;
  call.callee.builder = &call.builder;
  if (fn.module.instance) {
    call.callee.hasSelf = true;
    call.callee.roots.push_back({fn.module.instance, 0, {}, false});
    call.roots.push_back(fn.module);
    call.key += fn.module.instance->key + "|";
  }
  std::vector<ArgumentValue> bound;
  if (!bindArguments(fn, call.callee.roots, std::move(args), span, bound))
    return {};
  // In the callee's terms.
  std::vector<ArgumentShape> shapes;
  for (size_t i = 0; i < bound.size(); ++i) {
    const syntax::ParameterDecl &p = decl.parameters[i];
    call.key += ";";
    Entity v = importArgument(bound[i].value, p.name.text, &p, call, bound[i].span);
    if (v.isError())
      return {};
    if (p.type.kind == TypeKind::Tensor && v.is(Kind::Tensor))
      shapes.push_back({&p, call.builder.type(v.id), p.name.span, {}});
    call.callee.scopes.back()[p.name.text] = {std::move(v), p.name.span};
  }
  FunctionInstance &instance = instanceFor(fn, call, shapes, span);
  return instance.failed ? Entity() : emitCall(fn, instance, call, span);
}

/// Makes tensors of a result indices into the function's results.
static void collectResults(Entity &v, const std::string &name, Builder &builder) {
  if (v.isLeaf())
    return; // the caller finds it by its path
  if (v.is(Entity::Kind::Tensor)) {
    builder.function.results.push_back({name, v.id, -1});
    v.id = static_cast<ValueId>(builder.function.results.size() - 1);
  }
  for (size_t i = 0; i < v.items.size(); ++i)
    collectResults(v.items[i], name + (name.empty() ? "" : "_") + std::to_string(i), builder);
}

bool Elaborator::elaborateFunction(const Entity &fn, Builder &builder, FunctionInstance &instance) {
  const syntax::FunctionDecl &decl = *fn.function;
  if (active.size() > maxCallDepth) {
    diagnostics.report(diag::tooDeep, decl.name.span, maxCallDepth);
    return false;
  }
  Entity result = runBody(decl);
  if (result.isError())
    return false;
  if (result.is(Kind::Tuple) && result.items.size() == decl.results.size()) {
    for (size_t i = 0; i < result.items.size(); ++i)
      collectResults(result.items[i], decl.results[i].name.text, builder);
  } else {
    collectResults(result, decl.results.size() == 1 ? decl.results[0].name.text : "", builder);
  }
  builder.finish();
  Function &function = builder.function;
  function.name = uniqueFunctionName(calleeName(fn));
  function.doc = decl.doc;
  function.requireFused = decl.requireFused;
  function.span = decl.span;
  instance.result = std::move(result);
  instance.slots = builder.slots;
  std::vector<Op> ops = std::move(function.ops);
  function.ops.clear();
  instance.function = function;
  if (function.results.empty())
    return true;
  function.ops = std::move(ops);
  instance.index = static_cast<int32_t>(model.functions.size());
  model.functions.push_back(std::move(function));
  return true;
}

Entity Elaborator::runBody(const syntax::FunctionDecl &decl) {
  unsigned errors = diagnostics.errorCount();
  Entity result = execute(decl.body, true);
  if (frame->returned)
    result = frame->result;
  if (stopped || diagnostics.errorCount() > errors)
    return {};
  if (result.isError() || !checkResults(decl, result))
    return {};
  // A size that is the value of a scalar leaves as a tensor.
  auto settle = [&](Entity &v, auto &self) -> void {
    if (v.is(Kind::Size) && frame->builder) {
      bool plain = true;
      for (const std::string &s : v.size.symbols())
        plain = plain && frame->builder->symbols[s].kind == SymbolInfo::Kind::Dimension;
      if (!plain || (decl.isEntry && frame->builder->function.isEntry))
        v = Entity::ofTensor(frame->builder->materialize(v.size, decl.end));
    } else if (v.is(Kind::Condition)) {
      if (std::optional<ValueId> id = toTensor(v, decl.end))
        v = Entity::ofTensor(*id);
    }
    for (Entity &item : v.items)
      self(item, self);
  };
  settle(result, settle);
  return result;
}
