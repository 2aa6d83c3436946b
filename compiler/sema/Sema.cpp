// The elaboration of a model: its tree, its entries, and what they do not reach.
#include "compiler/sema/Sema.h"

#include "compiler/sema/Elaborator.h"
#include "compiler/syntax/Parser.h"

#include <charconv>

using namespace fovea;
using namespace fovea::sema;
using namespace fovea::source;

using TypeKind = syntax::TypeExpr::Kind;

//===-- The model's arguments -------------------------------------------------------------------------------------===//

const syntax::ModuleDecl *Elaborator::pickModel(const FileScope &scope) {
  std::vector<const syntax::ModuleDecl *> models;
  std::vector<std::string> names;
  for (const auto &m : scope.ast->modules)
    if (m->isModel) {
      models.push_back(m.get());
      names.push_back(m->name.text);
      if (m->name.text == options.modelName)
        return m.get();
    }
  Span place{scope.ast->id, 0, 0};
  std::string list = fmt::format("{}", fmt::join(names, ", "));
  if (models.empty()) {
    diagnostics.report(diag::noModel, place, "this file has no model").help("declare one: `model Name { entry ... }`");
  } else if (!options.modelName.empty()) {
    std::string near = nearest(options.modelName, names);
    diagnostics.report(diag::noModel, place, "there is no model `" + options.modelName + "` here; there is: " + list)
        .help(near.empty() ? "" : "did you mean `" + near + "`?");
  } else if (models.size() == 1) {
    return models[0];
  } else {
    diagnostics.report(diag::noModel, place, "this file has several models: " + list)
        .help("choose one with `--model " + names[0] + "`");
  }
  return nullptr;
}

template <class T> static std::optional<T> parseNumber(const std::string &text) {
  T value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

bool Elaborator::modelArguments(const syntax::ModuleDecl &decl, std::vector<ArgumentValue> &args) {
  for (const auto &[name, text] : options.sets) {
    const syntax::ParameterDecl *parameter = nullptr;
    std::vector<std::string> names;
    for (const syntax::ParameterDecl &p : decl.parameters) {
      names.push_back(p.name.text);
      if (p.name.text == name)
        parameter = &p;
    }
    if (!parameter) {
      std::string near = nearest(name, names);
      diagnostics.report(diag::unknownSetting, decl.name.span, decl.name.text, name)
          .help(near.empty() ? fmt::format("parameters: {}", fmt::join(names, ", ")) : "did you mean `" + near + "`?");
      return false;
    }
    TypeKind kind = parameter->type.kind;
    std::optional<Entity> value;
    if (std::optional<int64_t> i = parseNumber<int64_t>(text); i && kind != TypeKind::Float && kind != TypeKind::String)
      value = Entity::ofSize(DimExpr(*i));
    else if (std::optional<double> x = parseNumber<double>(text);
             x && kind != TypeKind::Int && kind != TypeKind::String)
      value = Entity::ofFloat(*x);
    else if ((text == "true" || text == "false") && kind != TypeKind::String)
      value = Entity::ofBool(text == "true");
    else if (kind == TypeKind::String)
      value = Entity::ofString(text);
    bool fits = value && (kind != TypeKind::Int || value->is(Kind::Size)) &&
                (kind != TypeKind::Float || value->is(Kind::Float)) &&
                (kind != TypeKind::Bool || value->is(Kind::Bool)) && kind != TypeKind::Function;
    if (!fits) {
      diagnostics.report(diag::badSetting, parameter->name.span, name, text, syntax::print(parameter->type));
      return false;
    }
    args.push_back({name, std::move(*value), parameter->name.span});
  }
  return true;
}

Instance *Elaborator::buildModel(const syntax::ModuleDecl &decl, const FileScope &scope) {
  Frame outside;
  outside.scope = &scope;
  FrameGuard guard(*this, outside);
  std::vector<ArgumentValue> args;
  if (!modelArguments(decl, args))
    return nullptr;
  Entity cls(Kind::Class);
  cls.moduleDecl = &decl;
  cls.scope = &scope;
  storedPlace = decl.prefix;
  mayCreateModules = true;
  Entity v = instantiateModule(cls, std::move(args), decl.name.span);
  mayCreateModules = false;
  return v.is(Kind::Module) ? v.module.instance : nullptr;
}

//===-- Entries ---------------------------------------------------------------------------------------------------===//

/// An argument of an entry (or of a function that nothing calls, `unknown`): its sizes are new symbols.
std::optional<Entity> Elaborator::makeArgument(const syntax::ParameterDecl &p, bool unknown) {
  Builder &builder = *frame->builder;
  if (unknown && p.defaultValue) {
    Entity v = eval(*p.defaultValue);
    return v.isError() ? std::nullopt : std::optional(std::move(v));
  }
  if (unknown && p.type.kind == TypeKind::Int)
    return Entity::ofSize(builder.newSymbol(p.name.text));
  if (p.type.kind != TypeKind::Tensor) {
    if (!unknown)
      diagnostics
          .report(diag::misplaced, p.name.span, "an argument of type `" + syntax::print(p.type) + "` in an entry")
          .help("an entry takes tensors and scalars when it runs: i64, f32, bool[], f32[B, D]; what is fixed at "
                "compile time belongs to the model");
    return std::nullopt;
  }
  if (!unknown && p.defaultValue) {
    diagnostics.report(diag::misplaced, p.defaultValue->span, "a default value in an entry");
    return std::nullopt;
  }
  for (const syntax::DimensionExpr &d : p.type.dimensions)
    if (!d.size) {
      if (!unknown) {
        diagnostics.report(diag::unknownRank, d.ellipsis.span, p.name.text);
        return std::nullopt;
      }
      if (!frame->ellipses.count(d.ellipsis.text))
        frame->ellipses[d.ellipsis.text] = {builder.newSymbol(d.ellipsis.text.empty() ? "N" : d.ellipsis.text)};
    }
  std::optional<TensorType> type = evaluateType(p.type, true);
  if (!type)
    return std::nullopt;
  bool scalar = type->dims.empty() && type->dtype == DType::I64;
  ValueId id = builder.addArgument(ArgumentKind::Input, p.name.text, std::move(*type), p.name.span);
  if (!scalar)
    return Entity::ofTensor(id);
  // The symbol was made before all arguments, so that sizes written before it can use it.
  DimExpr symbol = frame->scopes.back()[p.name.text].value.size;
  builder.bindSymbol(std::string(symbol.name()), id);
  return Entity::ofSize(symbol);
}

static bool isScalarSize(const syntax::ParameterDecl &p) {
  return p.type.kind == TypeKind::Tensor && p.type.dimensions.empty() && p.type.dtype == "i64" && !p.defaultValue;
}

bool Elaborator::makeArguments(const syntax::FunctionDecl &decl, bool unknown) {
  std::map<std::string, Span> seen;
  for (const syntax::ParameterDecl &p : decl.parameters) {
    if (!isScalarSize(p))
      continue;
    SymbolInfo info;
    info.kind = SymbolInfo::Kind::Scalar;
    frame->scopes.back()[p.name.text] = {Entity::ofSize(frame->builder->newSymbol(p.name.text, info)), p.name.span};
  }
  for (const syntax::ParameterDecl &p : decl.parameters) {
    std::optional<Entity> v = makeArgument(p, unknown);
    if (!v)
      return false;
    frame->scopes.back()[p.name.text] = {std::move(*v), p.name.span};
  }
  return true;
}

bool Elaborator::elaborateEntry(Instance &root, const syntax::FunctionDecl &decl) {
  Builder builder(diagnostics);
  builder.function.isEntry = true;
  Frame f;
  f.decl = &decl;
  f.scope = root.scope;
  f.roots = {{&root, 0, {}, false}};
  f.hasSelf = true;
  f.builder = &builder;
  FrameGuard guard(*this, f);
  active.assign(1, {&decl, decl.name.span});
  reached.insert(&decl);
  Entity result = makeArguments(decl, false) ? runBody(decl) : Entity();
  active.clear();
  if (result.isError())
    return false;
  std::vector<Entity> outputs = result.is(Kind::Tuple) ? result.items : std::vector<Entity>{result};
  for (size_t i = 0; i < outputs.size() && !result.is(Kind::Void); ++i) {
    std::optional<ValueId> id = toTensor(outputs[i], decl.name.span);
    if (!id)
      return false;
    std::string name = i < decl.results.size() ? decl.results[i].name.text : "";
    if (name.empty())
      name = outputs.size() == 1 ? "result" : "result" + std::to_string(i);
    builder.function.results.push_back({name, *id, -1});
  }
  builder.finish();
  separateStates(builder);
  Function &function = builder.function;
  function.name = uniqueFunctionName(root.decl->name.text + "." + decl.name.text);
  function.doc = decl.doc;
  function.requireFused = decl.requireFused;
  function.span = decl.span;
  if (!takeRole(function, decl))
    return false;
  recordStates(builder);
  for (const Slot &slot : builder.slots)
    if (slot.kind == ArgumentKind::Param && slot.written)
      writtenParams.insert(paramByPath.at(slot.path));
  warnAssumedEqual(function, decl);
  model.functions.push_back(std::move(function));
  return true;
}

/// States of functions that an entry calls are its own: a call that has the path of another entry's gets a number.
void Elaborator::separateStates(Builder &builder) {
  std::map<std::string, std::string> calls; // of this entry: the first pieces of paths
  size_t inputs = builder.function.arguments.size() - builder.slots.size();
  for (size_t i = 0; i < builder.slots.size(); ++i) {
    Slot &slot = builder.slots[i];
    if (slot.root != Builder::localRoot)
      continue;
    std::string piece = slot.path.substr(0, slot.path.find('.')), base = piece.substr(0, piece.find('#'));
    auto [call, fresh] = calls.try_emplace(piece, piece);
    for (int n = 2; fresh && !statefulCalls.insert(call->second).second; ++n)
      call->second = base + "#" + std::to_string(n);
    slot.path.replace(0, piece.size(), call->second);
    builder.function.arguments[inputs + i].name = slot.path;
  }
  for (Result &result : builder.function.results)
    if (result.state >= 0)
      result.name = builder.function.arguments[result.state].name;
}

void Elaborator::recordStates(const Builder &builder) {
  for (const Slot &slot : builder.slots) {
    if (slot.kind != ArgumentKind::State)
      continue;
    bool known = false;
    for (const StateInfo &s : model.states)
      known = known || s.path == slot.path;
    if (!known)
      model.states.push_back({slot.path, builder.type(slot.argument), slot.initial, slot.initializer, slot.span});
  }
}

void Elaborator::warnAssumedEqual(const Function &function, const syntax::FunctionDecl &decl) {
  auto isDimension = [](DimExpr e) { return e.kind() == DimExpr::Kind::Symbol; };
  for (const Require &r : function.requirements)
    if (r.relation == Relation::EQ && isDimension(r.lhs) && isDimension(r.rhs))
      diagnostics.report(diag::assumedEqual, r.span, r.lhs.str(), r.rhs.str(), decl.name.text);
}

//===-- What no entry reaches -------------------------------------------------------------------------------------===//

Instance *Elaborator::genericInstance(const syntax::ModuleDecl &decl, const FileScope &scope) {
  Frame outside;
  outside.scope = &scope;
  FrameGuard guard(*this, outside);
  std::vector<ArgumentValue> args;
  for (const syntax::ParameterDecl &p : decl.parameters) {
    if (p.defaultValue)
      continue;
    if (p.type.kind != TypeKind::Int)
      return nullptr;
    args.push_back({p.name.text, Entity::ofSize(DimExpr::symbol(decl.name.text + "." + p.name.text)), p.name.span});
  }
  Entity cls(Kind::Class);
  cls.moduleDecl = &decl;
  cls.scope = &scope;
  storedPlace = fmt::format("?{}", instances.size());
  mayCreateModules = true;
  Entity v = instantiateModule(cls, std::move(args), decl.name.span);
  mayCreateModules = false;
  return v.is(Kind::Module) ? v.module.instance : nullptr;
}

void Elaborator::checkGenerically(const syntax::FunctionDecl &decl, const FileScope &scope, Instance *self) {
  Builder builder(diagnostics);
  Frame f;
  f.decl = &decl;
  f.scope = &scope;
  f.builder = &builder;
  if (self) {
    f.roots = {{self, 0, {}, false}};
    f.hasSelf = true;
  }
  FrameGuard guard(*this, f);
  active.assign(1, {&decl, decl.name.span});
  if (makeArguments(decl, true))
    runBody(decl);
  active.clear();
}

/// A check at unknown arguments ends where a value must be known: that is no error of the text.
void Elaborator::dropUndecided(size_t from) {
  const auto &all = diagnostics.diagnostics();
  for (size_t i = from; i < all.size(); ++i)
    if (all[i].info->code == diag::notConstant.info.code || all[i].info->code == diag::tooLarge.info.code) {
      diagnostics.rewind(i);
      stopped = false;
      return;
    }
}

void Elaborator::checkUncalled(FileScope &scope) {
  generic = true;
  size_t functions = model.functions.size(), params = model.params.size(), states = model.states.size();
  std::map<const syntax::ModuleDecl *, Instance *> known;
  for (const auto &instance : instances)
    known.try_emplace(instance->decl, instance.get());
  auto check = [&](const syntax::FunctionDecl &decl, Instance *self) {
    size_t before = diagnostics.diagnostics().size();
    if (!reached.count(&decl) && !stopped)
      checkGenerically(decl, scope, self);
    dropUndecided(before);
  };
  for (const auto &m : scope.ast->modules) {
    size_t before = diagnostics.diagnostics().size();
    auto it = known.find(m.get());
    Instance *instance = it != known.end() ? it->second : built.count(m.get()) ? nullptr : genericInstance(*m, scope);
    dropUndecided(before);
    if (instance)
      for (const auto &[name, decl] : instance->functions)
        check(*decl, instance);
  }
  for (const auto &f : scope.ast->functions)
    check(*f, nullptr);
  model.functions.resize(functions);
  model.params.resize(params);
  model.states.resize(states);
  generic = false;
}

void Elaborator::warnUnusedParams() {
  std::vector<ParamInfo> kept;
  for (uint32_t i = 0; i < model.params.size(); ++i) {
    if (usedParams.count(i))
      kept.push_back(model.params[i]);
    else if (!tiedParams.count(i))
      diagnostics.report(diag::unusedParameter, model.params[i].span, model.params[i].path);
  }
  model.params = std::move(kept);
}

//===-- Entry points ----------------------------------------------------------------------------------------------===//

bool Elaborator::elaborateModel(const syntax::ModuleDecl &decl, const FileScope &scope) {
  model.name = decl.name.text;
  Instance *root = buildModel(decl, scope);
  if (!root || diagnostics.hasErrors())
    return false;
  std::vector<const syntax::FunctionDecl *> entries;
  collectEntries(decl.members, *root, entries);
  if (entries.empty()) {
    diagnostics.report(diag::noEntries, decl.name.span, decl.name.text);
    return false;
  }
  bool good = true;
  for (const syntax::FunctionDecl *entry : entries)
    good = elaborateEntry(*root, *entry) && good;
  return good;
}

void Elaborator::collectEntries(const syntax::MemberBlock &block, const Instance &root,
                                std::vector<const syntax::FunctionDecl *> &out) {
  for (const auto &m : block) {
    collectEntries(m->body, root, out);
    collectEntries(m->otherwise, root, out);
    if (!m->function || !m->function->isEntry)
      continue;
    auto it = root.functions.find(m->name.text); // not there where its `if` was not taken
    if (it != root.functions.end() && it->second == m->function.get())
      out.push_back(m->function.get());
  }
}

std::optional<Model> Elaborator::run(FileId file) {
  FileScope *scope = program.load(file);
  if (diagnostics.hasErrors())
    return std::nullopt;
  const syntax::ModuleDecl *decl = pickModel(*scope);
  if (!decl)
    return std::nullopt;
  bool good = elaborateModel(*decl, *scope);
  if (!stopped)
    for (const auto &other : program.files())
      if (!other->isLibrary)
        checkUncalled(*other);
  if (!good || diagnostics.hasErrors())
    return std::nullopt;
  settleWrittenParams();
  warnUnusedParams();
  return std::move(model);
}

bool Elaborator::checkAll(FileId file) {
  FileScope *scope = program.load(file);
  if (diagnostics.hasErrors())
    return false;
  for (const auto &m : scope->ast->modules)
    if (m->isModel && !stopped && (options.modelName.empty() || options.modelName == m->name.text)) {
      resetModel();
      if (elaborateModel(*m, *scope))
        warnUnusedParams();
    }
  resetModel();
  for (const auto &other : program.files())
    if (!stopped && (!other->isLibrary || other.get() == scope))
      checkUncalled(*other);
  return !diagnostics.hasErrors();
}

void Elaborator::resetModel() {
  model = {};
  instances.clear();
  functionInstances.clear();
  functionNames.clear();
  paramByPath.clear();
  usedParams.clear();
  writtenParams.clear();
  statefulCalls.clear();
  tiedParams.clear();
}

std::optional<Model> sema::elaborate(SourceManager &sources, FileId file, const Options &options,
                                     DiagnosticEngine &diagnostics) {
  return Elaborator(sources, diagnostics, options).run(file);
}

bool sema::check(SourceManager &sources, FileId file, const Options &options, DiagnosticEngine &diagnostics) {
  return Elaborator(sources, diagnostics, options).checkAll(file);
}

static void listEntries(const syntax::MemberBlock &block, std::vector<std::string> &out) {
  for (const auto &m : block) {
    if (m->function && m->function->isEntry)
      out.push_back(m->name.text);
    listEntries(m->body, out);
    listEntries(m->otherwise, out);
  }
}

std::vector<ModelSummary> sema::listModels(SourceManager &sources, FileId file, DiagnosticEngine &diagnostics) {
  std::vector<ModelSummary> out;
  std::unique_ptr<syntax::File> ast = syntax::parse(sources, file, diagnostics);
  for (const auto &m : ast->modules) {
    if (!m->isModel)
      continue;
    ModelSummary summary{m->name.text, m->doc, {}, {}};
    for (const syntax::ParameterDecl &p : m->parameters)
      summary.parameters.push_back(p.name.text + ": " + syntax::print(p.type) +
                                   (p.defaultValue ? " = " + syntax::print(*p.defaultValue) : ""));
    listEntries(m->members, summary.entries);
    out.push_back(std::move(summary));
  }
  return out;
}
