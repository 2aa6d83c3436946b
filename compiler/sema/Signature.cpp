// Dimension names: bound at their first place in a signature, checked or solved at later ones.
#include "compiler/sema/Elaborator.h"

#include <algorithm>

using namespace fovea;
using namespace fovea::sema;
using namespace fovea::source;

using TypeKind = syntax::TypeExpr::Kind;

/// A size that `name` stands for already: a compile-time argument, a dimension, or a module's value.
static bool isKnownSize(const Frame &frame, const std::string &name) {
  for (const auto &scope : frame.scopes)
    if (auto it = scope.find(name); it != scope.end() && it->second.value.is(Entity::Kind::Size))
      return true;
  if (frame.dims.count(name))
    return true;
  if (!frame.hasSelf)
    return false;
  const Instance &self = *frame.roots[0].instance;
  auto isSize = [&](const std::map<std::string, Entity> &values) {
    auto it = values.find(name);
    return it != values.end() && it->second.is(Entity::Kind::Size);
  };
  return isSize(self.members) || isSize(self.arguments);
}

static void collectNames(const syntax::Expr &e, std::set<std::string> &out) {
  using ExprKind = syntax::Expr::Kind;
  if (e.kind == ExprKind::Name)
    out.insert(e.text);
  // The callee of `max(T, 1)` is no dimension.
  for (size_t i = e.kind == ExprKind::Call ? 1 : 0; i < e.children.size(); ++i)
    if (e.children[i])
      collectNames(*e.children[i], out);
  for (const syntax::ArgumentExpr &a : e.arguments)
    collectNames(*a.value, out);
}

std::set<std::string> Elaborator::freeNames(const syntax::Expr &e) {
  std::set<std::string> names, unknown;
  collectNames(e, names);
  for (const std::string &name : names)
    if (!isKnownSize(*frame, name))
      unknown.insert(name);
  return unknown;
}

bool Elaborator::bindStateSize(const std::string &name) {
  if (!frame->hasSelf || !frame->builder)
    return false;
  const ModuleRef self = frame->roots[0];
  for (const std::string &member : self.instance->order) {
    const Entity &state = self.instance->members.at(member);
    if (!state.is(Kind::State))
      continue;
    std::set<std::string> names;
    for (const syntax::DimensionExpr &d : state.member->type.dimensions)
      if (d.size)
        collectNames(*d.size, names);
    if (names.count(name))
      memberOf(self, member, {});
    if (frame->dims.count(name))
      return true;
  }
  return false;
}

DimExpr Elaborator::evaluateDim(const syntax::Expr &e, bool freshSymbols) {
  std::set<std::string> unknown = freeNames(e);
  if (!freshSymbols)
    for (auto name = unknown.begin(); name != unknown.end();)
      name = bindStateSize(*name) ? unknown.erase(name) : std::next(name);
  if (!unknown.empty()) {
    const std::string &name = *unknown.begin();
    bool linear = e.kind == ExprKind::Name;
    if (freshSymbols && unknown.size() == 1) {
      DimExpr symbol = frame->builder->newSymbol(name);
      frame->dims[name] = symbol;
      frame->dimPlaces[name] = e.span;
      if (linear)
        return symbol;
      DimExpr size = evalSize(e, "a dimension");
      if (!size || size.solveFor(symbol.name(), DimExpr(0)))
        return size;
      frame->dims.erase(name);
    }
    if (!linear || !freshSymbols) {
      auto report = diagnostics.report(diag::unboundDimension, e.span, name);
      if (std::string near = nearest(name, namesInScope()); !near.empty())
        report.help("did you mean `" + near + "`?");
      else if (!frame->builder)
        report.help("sizes of a param are made of its module's parameters");
      return {};
    }
  }
  return evalSize(e, "a dimension");
}

std::optional<TensorType> Elaborator::evaluateType(const syntax::TypeExpr &t, bool freshSymbols) {
  if (t.kind == TypeKind::Like) {
    Entity v = eval(*t.like);
    if (v.isError())
      return std::nullopt;
    if (v.is(Kind::Tensor) && frame->builder)
      return frame->builder->type(v.id);
    diagnostics.report(diag::notAValue, t.like->span, describe(v), "a tensor");
    return std::nullopt;
  }
  if (t.kind != TypeKind::Tensor) {
    diagnostics.report(diag::notAValue, t.span, "the type `" + syntax::print(t) + "`", "a tensor type");
    return std::nullopt;
  }
  TensorType type{{}, *dtypeFromName(t.dtype)};
  for (const syntax::DimensionExpr &d : t.dimensions) {
    if (!d.size) {
      auto it = frame->ellipses.find(d.ellipsis.text);
      if (it == frame->ellipses.end()) {
        diagnostics.report(diag::unboundDimension, d.ellipsis.span, "..." + d.ellipsis.text);
        return std::nullopt;
      }
      type.dims.insert(type.dims.end(), it->second.begin(), it->second.end());
      continue;
    }
    DimExpr size = evaluateDim(*d.size, freshSymbols);
    if (!size || (frame->builder && !frame->builder->useAsSize(size, d.size->span)))
      return std::nullopt;
    type.dims.push_back(size);
  }
  return type;
}

/// Which dimensions each part of a written type stands for. False where the rank does not fit.
bool Elaborator::splitDims(const syntax::TypeExpr &type, const std::vector<DimExpr> &dims,
                           std::vector<std::pair<const syntax::DimensionExpr *, std::vector<DimExpr>>> &out) {
  size_t single = 0, lists = 0, at = 0;
  for (const syntax::DimensionExpr &d : type.dimensions)
    d.size ? ++single : ++lists;
  if (single > dims.size() || (!lists && single != dims.size()) || lists > 1)
    return false;
  for (const syntax::DimensionExpr &d : type.dimensions) {
    size_t n = d.size ? 1 : dims.size() - single;
    out.emplace_back(&d, std::vector<DimExpr>(dims.begin() + at, dims.begin() + at + n));
    at += n;
  }
  return true;
}

/// All `...` of one name are one list, aligned at its end; literal 1s widen.
static Truth joinEllipsis(std::vector<DimExpr> &list, const std::vector<DimExpr> &more, DimExpr &clashA,
                          DimExpr &clashB) {
  if (more.size() > list.size())
    list.insert(list.begin(), more.begin(), more.begin() + (more.size() - list.size()));
  size_t lead = list.size() - more.size();
  for (size_t i = 0; i < more.size(); ++i) {
    DimExpr &mine = list[lead + i];
    if (mine.isConstant(1))
      mine = more[i];
    else if (!more[i].isConstant(1) && decide(mine, Relation::EQ, more[i]) == Truth::False) {
      clashA = mine;
      clashB = more[i];
      return Truth::False;
    }
  }
  return Truth::True;
}

bool Elaborator::bindDim(Frame &f, const syntax::Expr &pattern, DimExpr actual, const std::string &callee,
                         const ArgumentShape &argument, bool report, bool &deferred) {
  std::set<std::string> unknown = freeNames(pattern);
  if (unknown.size() > 1) {
    deferred = true;
    return true;
  }
  if (unknown.size() == 1 && pattern.kind == ExprKind::Name) {
    f.dims[pattern.text] = actual;
    f.dimPlaces[pattern.text] = argument.span;
    return true;
  }
  if (unknown.size() == 1) { // linear in one unknown: solve, then check as any other
    const std::string &name = *unknown.begin();
    DimExpr placeholder = DimExpr::symbol("?" + name);
    f.dims[name] = placeholder;
    DimExpr size = evalSize(pattern, "a dimension");
    f.dims.erase(name);
    std::optional<DimExpr> solution = size ? size.solveFor("?" + name, actual) : std::nullopt;
    if (!solution) {
      if (report && size)
        diagnostics.report(diag::unboundDimension, pattern.span, name);
      return false;
    }
    f.dims[name] = *solution;
    f.dimPlaces[name] = argument.span;
  }
  DimExpr expected = evalSize(pattern, "a dimension");
  if (!expected)
    return false;
  if (f.builder) {
    const std::string &what = argument.parameter->name.text;
    std::string text = syntax::print(pattern);
    if (unknown.size() == 1)
      f.builder->require(f.dims[*unknown.begin()], Relation::GE, DimExpr(0), what + ": " + text + " fits",
                         pattern.span);
    return f.builder->require(expected, Relation::EQ, actual, what + ": " + text + " == " + actual.str(),
                              pattern.span) != Truth::False;
  }
  if (decide(expected, Relation::EQ, actual) != Truth::False)
    return true;
  if (report)
    reportShape(f, pattern, expected, actual, callee, argument);
  return false;
}

/// Says what has which size, and where both come from.
void Elaborator::reportShape(const Frame &f, const syntax::Expr &pattern, DimExpr expected, DimExpr actual,
                             const std::string &callee, const ArgumentShape &argument) {
  std::string text = syntax::print(pattern);
  if (!expected.isConstant() || pattern.kind != ExprKind::Int)
    text += " = " + expected.str();
  auto report = diagnostics.report(diag::argumentShape, argument.span, argument.parameter->name.text, callee,
                                   "the dimension `" + text + "` is expected, but it has " + actual.str());
  report.at(sema::describe(argument.type));
  if (argument.origin.valid() && join(argument.origin, argument.span) != argument.span)
    report.label(argument.origin, "it comes from here");
  report.label(pattern.span, "expected by this");
  std::set<std::string> names;
  collectNames(pattern, names);
  for (const std::string &name : names) {
    auto place = f.dimPlaces.find(name);
    if (place != f.dimPlaces.end() && place->second != argument.span)
      report.label(place->second, "`" + name + "` is " + f.dims.at(name).str() + " from here");
    else if (f.hasSelf && f.roots[0].instance->arguments.count(name))
      report.label(f.roots[0].instance->place, "`" + name + "` is given here");
  }
}

bool Elaborator::bindDims(Frame &f, const std::string &callee, const std::vector<ArgumentShape> &shapes, bool report) {
  struct Pending {
    const syntax::Expr *pattern;
    DimExpr actual;
    const ArgumentShape *argument;
  };
  std::vector<Pending> pending;
  for (const ArgumentShape &shape : shapes) {
    std::vector<std::pair<const syntax::DimensionExpr *, std::vector<DimExpr>>> parts;
    if (!splitDims(shape.parameter->type, shape.type.dims, parts))
      return false;
    for (auto &[pattern, dims] : parts) {
      if (pattern->size) {
        pending.push_back({pattern->size.get(), dims[0], &shape});
        continue;
      }
      DimExpr a, b;
      auto [it, fresh] = f.ellipses.try_emplace(pattern->ellipsis.text, dims);
      if (fresh || joinEllipsis(it->second, dims, a, b) != Truth::False)
        continue;
      if (report)
        diagnostics
            .report(diag::argumentShape, shape.span, shape.parameter->name.text, callee,
                    fmt::format("`...{}` is {} elsewhere, but it has {}", pattern->ellipsis.text, a.str(), b.str()))
            .label(pattern->ellipsis.span, "all of these are one list");
      return false;
    }
  }
  // In order; what has two unknowns waits until others have bound one.
  for (bool progress = true; progress && !pending.empty();) {
    progress = false;
    std::vector<Pending> later;
    for (Pending &p : pending) {
      bool deferred = false;
      if (!bindDim(f, *p.pattern, p.actual, callee, *p.argument, report, deferred))
        return false;
      deferred ? later.push_back(std::move(p)) : void(progress = true);
    }
    pending = std::move(later);
  }
  if (!pending.empty() && report)
    diagnostics.report(diag::unboundDimension, pending[0].pattern->span, *freeNames(*pending[0].pattern).begin());
  return pending.empty();
}

//===-- Results ---------------------------------------------------------------------------------------------------===//

bool Elaborator::checkResult(const syntax::FunctionDecl &decl, const syntax::TypeExpr &type, Entity &value, Span span) {
  auto mismatch = [&](const std::string &declared) {
    diagnostics.report(diag::resultMismatch, span, decl.name.text, declared, describe(value))
        .label(type.span, "declared here");
    return false;
  };
  switch (type.kind) {
  case TypeKind::Any:
    return true;
  case TypeKind::Int:
    return value.is(Kind::Size) || mismatch("int");
  case TypeKind::Float:
    if (!value.asNumber())
      return mismatch("float");
    value = Entity::ofFloat(*value.asNumber());
    return true;
  case TypeKind::Bool:
    return value.is(Kind::Bool) || mismatch("bool");
  case TypeKind::String:
    return value.is(Kind::String) || mismatch("str");
  case TypeKind::Function:
    return value.is(Kind::Function) || value.is(Kind::Builtin) || mismatch("function");
  case TypeKind::Like:
  case TypeKind::Tensor:
    break;
  }
  std::optional<TensorType> declared = evaluateType(type, false);
  if (!declared)
    return false;
  bool isNumber = value.is(Kind::Size) || value.is(Kind::Float) || value.is(Kind::Bool) || value.is(Kind::Condition);
  if (!value.is(Kind::Tensor) && !isNumber)
    return mismatch(sema::describe(*declared));
  Builder &builder = *frame->builder;
  std::optional<ValueId> id = toTensor(value, span, declared->dtype);
  if (!id)
    return false;
  TensorType actual = builder.type(*id);
  if (actual.dtype != declared->dtype || actual.dims.size() != declared->dims.size())
    return mismatch(sema::describe(*declared));
  for (size_t i = 0; i < actual.dims.size(); ++i)
    if (builder.require(
            actual.dims[i], Relation::EQ, declared->dims[i],
            fmt::format("{} == {} in the result of {}", actual.dims[i].str(), declared->dims[i].str(), decl.name.text),
            type.span) == Truth::False)
      return mismatch(sema::describe(*declared));
  if (isNumber && !decl.isEntry && value.asNumber())
    return true; // stays a constant for the caller
  value.kind = Kind::Tensor;
  value.module = {};
  value.id = builder.coerce(*id, declared->dims, span);
  return true;
}

bool Elaborator::checkResults(const syntax::FunctionDecl &decl, Entity &result) {
  Span span = decl.body.empty() || !decl.body.back()->value ? decl.end : decl.body.back()->value->span;
  if (!decl.hasResults)
    return true;
  if (result.is(Kind::Void)) {
    if (decl.results.empty())
      return true;
    auto report = diagnostics.report(diag::missingResult, decl.end, decl.name.text);
    if (!decl.body.empty() && decl.body.back()->kind == syntax::Stmt::Kind::If)
      report.label(decl.body.back()->value->span, "what this chooses has no value");
    report.label(decl.results[0].type.span, "the result is declared here");
    return false;
  }
  if (decl.results.size() == 1)
    return checkResult(decl, decl.results[0].type, result, span);
  if (!result.is(Kind::Tuple) || result.items.size() != decl.results.size()) {
    diagnostics
        .report(diag::resultMismatch, span, decl.name.text, fmt::format("{} results", decl.results.size()),
                describe(result))
        .label(decl.span, "declared here");
    return false;
  }
  if (!orderResults(decl, result, span))
    return false;
  for (size_t i = 0; i < decl.results.size(); ++i)
    if (!checkResult(decl, decl.results[i].type, result.items[i], span))
      return false;
  return true;
}

/// Named parts of a result go to the declared results of their names, the others by position; then all have the
/// declared names.
bool Elaborator::orderResults(const syntax::FunctionDecl &decl, Entity &result, Span span) {
  std::vector<std::optional<Entity>> placed(decl.results.size());
  result.names.resize(result.items.size());
  for (size_t i = 0; i < result.items.size(); ++i) {
    size_t at = i;
    if (const std::string &name = result.names[i]; !name.empty())
      for (at = 0; at < placed.size() && decl.results[at].name.text != name;)
        ++at;
    if (at == placed.size() || placed[at]) {
      std::string declared;
      for (const syntax::ResultDecl &r : decl.results)
        declared += (declared.empty() ? "the results " : ", ") + (r.name.empty() ? "_" : r.name.text);
      diagnostics
          .report(diag::resultMismatch, span, decl.name.text, declared,
                  at == placed.size() ? "`" + result.names[i] + "`" : "one of them twice")
          .label(decl.span, "declared here");
      return false;
    }
    placed[at] = std::move(result.items[i]);
  }
  for (size_t i = 0; i < placed.size(); ++i) {
    result.items[i] = std::move(*placed[i]);
    result.names[i] = decl.results[i].name.text;
  }
  return true;
}
