#include "compiler/sema/Entity.h"

using namespace fovea;
using namespace fovea::sema;

static constexpr std::pair<const char *, DType> dtypes[] = {
    {"f32", DType::F32}, {"f16", DType::F16}, {"bf16", DType::BF16}, {"i64", DType::I64},
    {"i32", DType::I32}, {"i8", DType::I8},   {"bool", DType::Bool}, {"f64", DType::F64}};

const char *sema::dtypeName(DType dtype) {
  for (auto [name, d] : dtypes)
    if (d == dtype)
      return name;
  return "?";
}

std::optional<DType> sema::dtypeFromName(std::string_view name) {
  for (auto [spelling, d] : dtypes)
    if (name == spelling)
      return d;
  return std::nullopt;
}

std::string sema::joinDims(const std::vector<DimExpr> &dims) {
  std::string out;
  for (DimExpr d : dims)
    out += (out.empty() ? "" : ", ") + d.str();
  return out;
}

std::string sema::countArguments(size_t n) {
  return n == 0 ? "no arguments" : n == 1 ? "1 argument" : std::to_string(n) + " arguments";
}

std::string sema::describe(const TensorType &type) {
  std::string name = dtypeName(type.dtype);
  return type.dims.empty() && type.dtype != DType::Bool ? name : name + "[" + joinDims(type.dims) + "]";
}

const char *sema::spelling(Relation relation) {
  static constexpr const char *names[] = {"==", "!=", "<", "<=", ">", ">="};
  return names[static_cast<int>(relation)];
}

Relation sema::negate(Relation relation) {
  static constexpr Relation opposite[] = {Relation::NE, Relation::EQ, Relation::GE,
                                          Relation::GT, Relation::LE, Relation::LT};
  return opposite[static_cast<int>(relation)];
}

Truth sema::decide(DimExpr lhs, Relation relation, DimExpr rhs) {
  auto atMost = [](DimExpr a, DimExpr b) { return (b - a).isNonNegative(); };
  auto below = [&](DimExpr a, DimExpr b) { return atMost(a + DimExpr(1), b); };
  switch (relation) {
  case Relation::EQ:
    if (lhs == rhs)
      return Truth::True;
    return below(lhs, rhs) || below(rhs, lhs) ? Truth::False : Truth::Unknown;
  case Relation::LE:
    return atMost(lhs, rhs) ? Truth::True : below(rhs, lhs) ? Truth::False : Truth::Unknown;
  case Relation::LT:
    return below(lhs, rhs) ? Truth::True : atMost(rhs, lhs) ? Truth::False : Truth::Unknown;
  case Relation::GE:
    return decide(rhs, Relation::LE, lhs);
  case Relation::GT:
    return decide(rhs, Relation::LT, lhs);
  case Relation::NE: {
    Truth t = decide(lhs, Relation::EQ, rhs);
    return t == Truth::True ? Truth::False : t == Truth::False ? Truth::True : Truth::Unknown;
  }
  }
  return Truth::Unknown;
}
