// Operators: on sizes and constants at compile time, on tensors as ops.
#include "compiler/sema/Elaborator.h"

#include <algorithm>
#include <cmath>

using namespace fovea;
using namespace fovea::sema;
using namespace fovea::source;

Builder *Elaborator::needBuilder(Span span) {
  if (!frame->builder)
    diagnostics.report(diag::notConstant, span, "a module's argument or a default value");
  return frame->builder;
}

std::optional<ValueId> Elaborator::toTensor(const Entity &v, Span span, std::optional<DType> like) {
  if (!needBuilder(span))
    return std::nullopt;
  Builder &builder = *frame->builder;
  switch (v.kind) {
  case Kind::Tensor:
    return v.id;
  case Kind::Float:
    if (like && !isFloat(*like)) {
      diagnostics.report(diag::typeMismatch, span, "a number with a fraction", dtypeName(*like),
                         fmt::format("{}", v.number));
      return std::nullopt;
    }
    return builder.constant(v.number, like.value_or(DType::F32), span);
  case Kind::Size: {
    DType dtype = like && *like != DType::Bool ? *like : DType::I64;
    std::optional<int64_t> n = v.size.value();
    if (n && isFloat(dtype))
      return builder.constant(static_cast<double>(*n), dtype, span);
    if (n) {
      int bits = dtype == DType::I8 ? 8 : dtype == DType::I32 ? 32 : 64;
      if (bits < 64 && (*n >= (int64_t(1) << (bits - 1)) || *n < -(int64_t(1) << (bits - 1)))) {
        diagnostics.report(diag::overflow, span, fmt::format("{} as {}", *n, dtypeName(dtype)));
        return std::nullopt;
      }
      return builder.constantInteger(*n, dtype, span);
    }
    return builder.cast(builder.materialize(v.size, span), dtype, span);
  }
  case Kind::Bool:
    return builder.constantInteger(v.flag, DType::Bool, span);
  case Kind::Condition: {
    std::optional<ValueId> all;
    for (const Comparison &c : v.comparisons) {
      static constexpr const char *names[] = {"eq", "ne", "lt", "le", "gt", "ge"};
      ValueId one =
          builder.emit("compare", {builder.materialize(c.lhs, span), builder.materialize(c.rhs, span)},
                       {{}, DType::Bool}, span, {{"predicate", std::string(names[static_cast<int>(c.relation)])}});
      all = all ? builder.emit("and", {*all, one}, {{}, DType::Bool}, span) : one;
    }
    return all;
  }
  default:
    diagnostics.report(diag::notAValue, span, describe(v), "a tensor or a number");
    return std::nullopt;
  }
}

/// An integer scalar as a size: a tensor's value gets a symbol of its own, so that `x[p : p + 4]` has four elements.
std::optional<DimExpr> Elaborator::sizeOf(const Entity &v) {
  if (v.is(Kind::Size))
    return v.size;
  if (!v.is(Kind::Tensor) || !frame->builder)
    return std::nullopt;
  Builder &builder = *frame->builder;
  const TensorType &type = builder.type(v.id);
  if (!type.dims.empty() || type.dtype != DType::I64)
    return std::nullopt;
  if (DimExpr known = builder.symbolOf(v.id))
    return known;
  SymbolInfo info;
  info.kind = SymbolInfo::Kind::Opaque;
  info.value = v.id;
  return builder.newSymbol("value", info);
}

//===-- Compile time ----------------------------------------------------------------------------------------------===//

static DimExpr integerPower(DimExpr base, int64_t exponent) {
  DimExpr result(1);
  for (int64_t i = 0; i < exponent && result && !isTooComplex(result); ++i)
    result = result * base;
  return result;
}

Entity Elaborator::sizeArithmetic(const std::string &op, DimExpr a, DimExpr b, Span span) {
  DimExpr result;
  bool products = op == "*" || op == "^";
  if (products && a.terms().size() * b.terms().size() > Builder::maxSizeTerms) {
    diagnostics.report(diag::tooLarge, span, "the number of terms of a size", Builder::maxSizeTerms);
    return {};
  }
  if (op == "+")
    result = a + b;
  else if (op == "-")
    result = a - b;
  else if (op == "*")
    result = a * b;
  else if (op == "max")
    result = DimExpr::max(a, b);
  else if (op == "min")
    result = DimExpr::min(a, b);
  else if (op == "^") {
    std::optional<int64_t> n = b.value();
    if (a.value() && n && *n < 0)
      return floatArithmetic("^", static_cast<double>(*a.value()), static_cast<double>(*n), span);
    if (!n || *n < 0 || *n > 64) {
      diagnostics.report(diag::notConstant, span, "an exponent of a size, at most 64,");
      return {};
    }
    result = integerPower(a, *n);
  } else if (op == "@") {
    diagnostics.report(diag::badOperand, span, op, "numbers");
    return {};
  } else if (b.isConstant(0)) {
    diagnostics.report(diag::inexactDivision, span, a.str(), "0").help("the divisor is zero");
    return {};
  } else if (op == "//") {
    result = DimExpr::floorDiv(a, b);
  } else if (op == "%") {
    result = DimExpr::mod(a, b);
  } else {
    if (std::optional<DimExpr> q = DimExpr::exactDiv(a, b))
      return Entity::ofSize(*q);
    if (a.isConstant() && b.isConstant()) {
      diagnostics.report(diag::inexactDivision, span, a.str(), b.str());
      return {};
    }
    result = DimExpr::floorDiv(a, b);
    if (frame->builder && result && !frame->builder->hasOpaque(a) && !frame->builder->hasOpaque(b) &&
        frame->builder->require(DimExpr::mod(a, b), Relation::EQ, DimExpr(0), a.str() + " is divisible by " + b.str(),
                                span) == Truth::False) {
      diagnostics.report(diag::inexactDivision, span, a.str(), b.str());
      return {};
    }
  }
  if (result && isTooComplex(result)) {
    diagnostics.report(diag::tooLarge, span, "the number of terms of a size", Builder::maxSizeTerms);
    return {};
  }
  if (result)
    return Entity::ofSize(result);
  diagnostics.report(diag::overflow, span, a.str() + " " + op + " " + b.str());
  return {};
}

Entity Elaborator::floatArithmetic(const std::string &op, double a, double b, Span span) {
  if (op == "+")
    return Entity::ofFloat(a + b);
  if (op == "-")
    return Entity::ofFloat(a - b);
  if (op == "*")
    return Entity::ofFloat(a * b);
  if (op == "/")
    return Entity::ofFloat(a / b);
  if (op == "//")
    return Entity::ofFloat(std::floor(a / b));
  if (op == "%")
    return Entity::ofFloat(a - b * std::floor(a / b));
  if (op == "^")
    return Entity::ofFloat(std::pow(a, b));
  diagnostics.report(diag::badOperand, span, op, "numbers");
  return {};
}

static bool isComparison(const std::string &op) {
  return op == "==" || op == "!=" || op == "<" || op == "<=" || op == ">" || op == ">=";
}

static Relation relationOf(const std::string &op) {
  return op == "=="   ? Relation::EQ
         : op == "!=" ? Relation::NE
         : op == "<"  ? Relation::LT
         : op == "<=" ? Relation::LE
         : op == ">"  ? Relation::GT
                      : Relation::GE;
}

static bool holds(Relation r, double a, double b) {
  switch (r) {
  case Relation::EQ:
    return a == b;
  case Relation::NE:
    return a != b;
  case Relation::LT:
    return a < b;
  case Relation::LE:
    return a <= b;
  case Relation::GT:
    return a > b;
  case Relation::GE:
    return a >= b;
  }
  return false;
}

/// Void where this is not for compile time.
Entity Elaborator::compareConstants(const std::string &op, const Entity &a, const Entity &b, Span span) {
  Relation relation = relationOf(op);
  if (a.is(Kind::Size) && b.is(Kind::Size)) {
    Truth truth = Truth::Unknown;
    bool scalars = false;
    if (frame->builder)
      for (DimExpr e : {a.size, b.size})
        for (const std::string &s : e.symbols())
          scalars = scalars || frame->builder->symbols[s].kind != SymbolInfo::Kind::Dimension;
    // Scalars may be negative until they are used as sizes: only the polynomials are compared.
    if (!scalars || (a.size - b.size).isConstant())
      truth = decide(a.size, relation, b.size);
    if (truth != Truth::Unknown)
      return Entity::ofBool(truth == Truth::True);
    Entity v(Kind::Condition);
    v.comparisons.push_back({a.size, relation, b.size});
    return v;
  }
  if (a.asNumber() && b.asNumber())
    return Entity::ofBool(holds(relation, *a.asNumber(), *b.asNumber()));
  bool equality = relation == Relation::EQ || relation == Relation::NE;
  bool comparable = a.is(Kind::None) || b.is(Kind::None) ||
                    (a.kind == b.kind && (a.is(Kind::Bool) || a.is(Kind::String) || a.is(Kind::Function) ||
                                          a.is(Kind::Builtin) || a.is(Kind::Class)));
  if (!equality || !comparable)
    return Entity(Kind::Void);
  bool equal = a.kind == b.kind && keyOf(a) == keyOf(b);
  return Entity::ofBool(equal == (relation == Relation::EQ));
}

Entity Elaborator::logical(const std::string &op, const Entity &a, const Entity &b, Span span) {
  bool isAnd = op == "and";
  for (auto [x, y] : {std::pair(&a, &b), std::pair(&b, &a)})
    if (x->is(Kind::Bool))
      return x->flag == isAnd ? *y : *x;
  if (isAnd && a.is(Kind::Condition) && b.is(Kind::Condition)) {
    Entity v = a;
    v.comparisons.insert(v.comparisons.end(), b.comparisons.begin(), b.comparisons.end());
    return v;
  }
  return tensorArithmetic(op, a, b, nullptr, nullptr, span);
}

//===-- Evaluation ------------------------------------------------------------------------------------------------===//

Entity Elaborator::evalUnary(const syntax::Expr &e) {
  Entity v = eval(*e.children[0]);
  if (v.isError())
    return {};
  if (e.text == "not") {
    if (v.is(Kind::Bool))
      return Entity::ofBool(!v.flag);
    if (v.is(Kind::Condition) && v.comparisons.size() == 1) {
      v.comparisons[0].relation = negate(v.comparisons[0].relation);
      return v;
    }
  } else if (v.is(Kind::Float)) {
    return Entity::ofFloat(-v.number);
  } else if (v.is(Kind::Size)) {
    return sizeArithmetic("-", DimExpr(0), v.size, e.span);
  }
  if (!v.is(Kind::Tensor) && !v.is(Kind::Condition)) {
    diagnostics.report(diag::badOperand, e.span, e.text, describe(v));
    return {};
  }
  std::optional<ValueId> id = toTensor(v, e.span);
  if (!id)
    return {};
  DType dtype = frame->builder->type(*id).dtype;
  bool isBool = dtype == DType::Bool;
  if (isBool != (e.text == "not") || dtype == DType::F64) {
    auto report = diagnostics.report(diag::badOperand, e.span, e.text, describe(Entity::ofTensor(*id)));
    if (dtype == DType::F64)
      report.help("f64 is stored only: compute with `f32(x)`");
    return {};
  }
  return Entity::ofTensor(frame->builder->unary(isBool ? "not" : "neg", *id, e.span));
}

Entity Elaborator::evalBinary(const syntax::Expr &e) {
  Entity a = eval(*e.children[0]);
  // What decides a condition hides what would not be evaluated.
  bool shortCut = (e.text == "and" && a.is(Kind::Bool) && !a.flag) || (e.text == "or" && a.is(Kind::Bool) && a.flag);
  if (shortCut)
    return a;
  Entity b = eval(*e.children[1]);
  if (a.isError() || b.isError())
    return {};
  return binary(e.text, std::move(a), std::move(b), e.children[0].get(), e.children[1].get(), e.span);
}

Entity Elaborator::binary(const std::string &op, Entity a, Entity b, const syntax::Expr *lhs, const syntax::Expr *rhs,
                          Span span) {
  if (op == "+" && a.is(Kind::List) && b.is(Kind::List)) {
    a.items.insert(a.items.end(), b.items.begin(), b.items.end());
    a.names.resize(a.items.size());
    return a;
  }
  for (auto [v, e] : {std::pair(&a, lhs), std::pair(&b, rhs)})
    if (v->is(Kind::Void) || v->is(Kind::Module) || v->is(Kind::List) || v->is(Kind::Tuple) || v->is(Kind::Class)) {
      if (isComparison(op) && (a.is(Kind::None) || b.is(Kind::None)))
        continue;
      diagnostics.report(diag::badOperand, e ? e->span : span, op, describe(*v));
      return {};
    }
  if (op == "and" || op == "or")
    return logical(op, a, b, span);
  if (isComparison(op)) {
    if (Entity v = compareConstants(op, a, b, span); !v.is(Kind::Void))
      return v;
    return tensorArithmetic(op, a, b, lhs, rhs, span);
  }
  if (op == "@" && (a.is(Kind::Tensor) || b.is(Kind::Tensor)))
    return matmul(a, b, lhs, rhs, span);
  // A size to a power that is no size: D ^ -0.5.
  bool isRoot =
      op == "^" && a.is(Kind::Size) && !a.size.isConstant() && (b.is(Kind::Float) || b.asInteger().value_or(0) < 0);
  if (isRoot) {
    std::optional<ValueId> base = toTensor(a, span, DType::F32);
    return base ? power(Entity::ofTensor(*base), b, span) : Entity();
  }
  if (a.is(Kind::Size) && b.is(Kind::Size))
    return sizeArithmetic(op, a.size, b.size, span);
  if (a.asNumber() && b.asNumber())
    return floatArithmetic(op, *a.asNumber(), *b.asNumber(), span);
  bool integers = op != "/" && op != "^" && op != "@" && (a.is(Kind::Size) || b.is(Kind::Size));
  if (integers)
    if (std::optional<DimExpr> x = sizeOf(a), y = sizeOf(b); x && y)
      return sizeArithmetic(op, *x, *y, span);
  if (op == "^")
    return power(a, b, span);
  return tensorArithmetic(op, a, b, lhs, rhs, span);
}

//===-- Tensors ---------------------------------------------------------------------------------------------------===//

/// Numbers take the type of the tensor beside them; two tensors must agree.
std::optional<std::pair<ValueId, ValueId>> Elaborator::unifyTypes(const std::string &op, const Entity &a,
                                                                  const Entity &b, Span span) {
  auto typeOf = [&](const Entity &v) -> std::optional<DType> {
    if (v.is(Kind::Tensor))
      return frame->builder->type(v.id).dtype;
    return std::nullopt;
  };
  if (!needBuilder(span))
    return std::nullopt;
  std::optional<DType> ta = typeOf(a), tb = typeOf(b);
  bool clash = ta && tb && *ta != *tb;
  auto weakClash = [](const Entity &v, std::optional<DType> other) {
    return (v.is(Kind::Float) && other && !isFloat(*other)) || (v.is(Kind::Size) && other == DType::Bool) ||
           ((v.is(Kind::Bool) || v.is(Kind::Condition)) && other && *other != DType::Bool);
  };
  if (clash || weakClash(a, tb) || weakClash(b, ta)) {
    diagnostics.report(diag::typeMismatch, span, "`" + op + "`", describe(a), describe(b));
    return std::nullopt;
  }
  // Two numbers of which one has a fraction: f32.
  std::optional<DType> like = ta ? ta : tb;
  if (!like && (a.is(Kind::Float) || b.is(Kind::Float)))
    like = DType::F32;
  std::optional<ValueId> x = toTensor(a, span, like), y = toTensor(b, span, like);
  if (!x || !y)
    return std::nullopt;
  return std::pair(*x, *y);
}

void Elaborator::labelOperand(DiagnosticEngine::Report &report, ValueId id, const syntax::Expr *e, Span span) {
  if (!e)
    return;
  std::string text = sema::describe(frame->builder->type(id));
  report.label(e->span, text);
  Span origin = frame->builder->function.values[id].span;
  if (e->kind == ExprKind::Name && origin.valid() && !(origin == e->span) &&
      !(origin.file == span.file && origin.begin >= span.begin && origin.end <= span.end))
    report.label(origin, "`" + e->text + "` comes from here");
}

std::optional<DimExpr> Elaborator::joinDim(DimExpr a, DimExpr b, const std::string &what, Span span) {
  if (a == b || b.isConstant(1))
    return a;
  if (a.isConstant(1))
    return b;
  if (frame->builder->require(a, Relation::EQ, b, fmt::format("{} == {} in {}", a.str(), b.str(), what), span) ==
      Truth::False)
    return std::nullopt;
  return a;
}

bool Elaborator::broadcastTogether(const std::string &what, std::vector<ValueId *> values,
                                   std::vector<const syntax::Expr *> exprs, Span span) {
  Builder &builder = *frame->builder;
  std::vector<DimExpr> dims;
  for (ValueId *v : values) {
    const std::vector<DimExpr> own = builder.type(*v).dims;
    if (own.size() > dims.size())
      dims.insert(dims.begin(), own.size() - dims.size(), DimExpr(1));
    size_t lead = dims.size() - own.size();
    for (size_t i = 0; i < own.size(); ++i) {
      std::optional<DimExpr> d = joinDim(dims[lead + i], own[i], what, span);
      if (!d) {
        auto report = diagnostics.report(diag::dimensionClash, span,
                                         fmt::format("the sizes of axis {} differ in {}", lead + i, what),
                                         dims[lead + i].str(), own[i].str());
        for (size_t k = 0; k < values.size(); ++k)
          labelOperand(report, *values[k], k < exprs.size() ? exprs[k] : nullptr, span);
        return false;
      }
      dims[lead + i] = *d;
    }
  }
  for (ValueId *v : values)
    *v = builder.broadcastTo(*v, dims, span);
  return true;
}

Entity Elaborator::tensorArithmetic(const std::string &op, const Entity &a, const Entity &b, const syntax::Expr *lhs,
                                    const syntax::Expr *rhs, Span span) {
  static const std::map<std::string, std::string> names = {
      {"+", "add"},       {"-", "sub"},       {"*", "mul"},
      {"/", "div"},       {"//", "floordiv"}, {"%", "mod"},
      {"and", "and"},     {"or", "or"},       {"==", "eq"},
      {"!=", "ne"},       {"<", "lt"},        {"<=", "le"},
      {">", "gt"},        {">=", "ge"},       {"maximum", "max"},
      {"minimum", "min"}, {"^", "pow"},       {"random_bits", "philox"}};
  std::optional<std::pair<ValueId, ValueId>> pair = unifyTypes(op, a, b, span);
  if (!pair)
    return {};
  auto [x, y] = *pair;
  Builder &builder = *frame->builder;
  DType dtype = builder.type(x).dtype;
  bool compares = isComparison(op), boolean = op == "and" || op == "or";
  bool equality = op == "==" || op == "!=";
  if ((boolean ? dtype != DType::Bool : dtype == DType::Bool && !equality) || dtype == DType::F64) {
    diagnostics.report(diag::badOperand, span, op, describe(Entity::ofTensor(x)))
        .help(boolean               ? "`and` and `or` take bool"
              : dtype == DType::F64 ? "f64 is stored only: compute with `f32(x)`"
                                    : "cast with `f32(x)` or `i64(x)` first");
    return {};
  }
  if (!broadcastTogether("`" + op + "`", {&x, &y}, {lhs, rhs}, span))
    return {};
  TensorType type = builder.type(x);
  const std::string &name = names.at(op);
  if (compares)
    return Entity::ofTensor(builder.emit("compare", {x, y}, {type.dims, DType::Bool}, span, {{"predicate", name}}));
  Entity v = Entity::ofTensor(builder.emit(name, {x, y}, type, span));
  // index(T) + past lies below T + past.
  if (op == "+") {
    const Entity &t = a.bound ? a : b, &s = a.bound ? b : a;
    if (t.bound && s.is(Kind::Size) && s.size.isNonNegative() && !builder.hasOpaque(s.size))
      v.bound = t.bound + s.size;
  }
  return v;
}

Entity Elaborator::power(const Entity &a, const Entity &b, Span span) {
  if (!a.is(Kind::Tensor) || !computes(frame->builder->type(a.id).dtype)) {
    if (b.is(Kind::Tensor) && a.asNumber()) { // 0.9 ^ step
      Builder &builder = *frame->builder;
      DType dtype = builder.type(b.id).dtype;
      ValueId exponent = isFloat(dtype) ? b.id : builder.cast(b.id, DType::F32, span);
      return tensorArithmetic("^", Entity::ofFloat(*a.asNumber()), Entity::ofTensor(exponent), nullptr, nullptr, span);
    }
    if (b.is(Kind::Size) && a.asNumber()) {
      std::optional<ValueId> exponent = toTensor(b, span, DType::F32);
      return exponent ? tensorArithmetic("^", Entity::ofFloat(*a.asNumber()), Entity::ofTensor(*exponent), nullptr,
                                         nullptr, span)
                      : Entity();
    }
    if (!(a.is(Kind::Tensor) && isInteger(frame->builder->type(a.id).dtype) && b.asInteger() == 2)) {
      diagnostics.report(diag::badOperand, span, "^", describe(a)).help("raise floats, or square an integer tensor");
      return {};
    }
  }
  Builder &builder = *frame->builder;
  TensorType type = builder.type(a.id);
  if (std::optional<double> n = b.asNumber()) {
    if (*n == 1)
      return a;
    if (*n == 2)
      return Entity::ofTensor(builder.emit("mul", {a.id, a.id}, type, span));
    if (*n == 0.5)
      return Entity::ofTensor(builder.unary("sqrt", a.id, span));
    if (*n == -0.5)
      return Entity::ofTensor(builder.unary("rsqrt", a.id, span));
    if (*n == -1)
      return tensorArithmetic("/", Entity::ofFloat(1), a, nullptr, nullptr, span);
  }
  if (b.is(Kind::Tensor) && isInteger(builder.type(b.id).dtype))
    return tensorArithmetic("^", a, Entity::ofTensor(builder.cast(b.id, type.dtype, span)), nullptr, nullptr, span);
  return tensorArithmetic("^", a, b, nullptr, nullptr, span);
}
