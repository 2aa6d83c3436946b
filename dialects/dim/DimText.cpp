// Sizes as text.
#include "dialects/dim/DimExpr.h"

#include <cctype>
#include <charconv>
#include <map>

using namespace fovea;

using Kind = DimExpr::Kind;
using Term = DimExpr::Term;

static std::string atomText(DimExpr e) {
  static const std::map<Kind, const char *> names = {
      {Kind::FloorDiv, "floordiv"}, {Kind::Mod, "mod"}, {Kind::Max, "max"}, {Kind::Min, "min"}};
  if (e.kind() == Kind::Symbol)
    return std::string(e.name());
  return std::string(names.at(e.kind())) + "(" + e.lhs().str() + ", " + e.rhs().str() + ")";
}

std::string DimExpr::str() const {
  if (!node)
    return "<null>";
  if (kind() == Kind::Constant)
    return std::to_string(*value());
  std::string out;
  for (const Term &t : terms()) {
    int64_t c = t.coefficient;
    std::string factors;
    for (DimExpr f : t.factors)
      factors += (factors.empty() ? "" : "*") + atomText(f);
    std::string sign = c < 0 ? "-" : out.empty() ? "" : "+";
    std::string magnitude = std::to_string(c);
    if (c < 0)
      magnitude.erase(0, 1);
    out += sign + (factors.empty() ? magnitude : magnitude == "1" ? factors : magnitude + "*" + factors);
  }
  return out;
}

namespace {

/// expr := term (('+'|'-') term)* ; term := factor ('*' factor)* ; factor := int | '-' factor | name | name '(' expr
/// ',' expr ')' | '(' expr ')'
struct DimParser {
  std::string_view text;
  size_t at = 0;
  int depth = 0;

  void skip() {
    while (at < text.size() && std::isspace(static_cast<unsigned char>(text[at])))
      ++at;
  }
  bool take(char c) {
    skip();
    if (at >= text.size() || text[at] != c)
      return false;
    ++at;
    return true;
  }
  DimExpr expr() {
    DimExpr e = term();
    while (e) {
      if (take('+'))
        e = e + term();
      else if (take('-'))
        e = e - term();
      else
        break;
    }
    return e;
  }
  DimExpr term() {
    DimExpr e = factor();
    while (e && take('*'))
      e = e * factor();
    return e;
  }
  DimExpr call(std::string_view name) {
    DimExpr a = expr();
    if (!a || !take(','))
      return {};
    DimExpr b = expr();
    if (!b || !take(')'))
      return {};
    if (name == "floordiv")
      return DimExpr::floorDiv(a, b);
    if (name == "mod")
      return DimExpr::mod(a, b);
    if (name == "max")
      return DimExpr::max(a, b);
    return name == "min" ? DimExpr::min(a, b) : DimExpr();
  }
  DimExpr factor() {
    if (++depth > 200)
      return {};
    skip();
    DimExpr e;
    if (take('-')) {
      e = DimExpr(0) - factor();
    } else if (take('(')) {
      e = expr();
      if (!take(')'))
        e = {};
    } else if (at < text.size() && std::isdigit(static_cast<unsigned char>(text[at]))) {
      int64_t v;
      auto [end, error] = std::from_chars(text.data() + at, text.data() + text.size(), v);
      at = end - text.data();
      e = error == std::errc() ? DimExpr(v) : DimExpr();
    } else {
      size_t start = at;
      auto isName = [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '$';
      };
      while (at < text.size() && isName(text[at]))
        ++at;
      std::string_view name = text.substr(start, at - start);
      if (!name.empty())
        e = take('(') ? call(name) : DimExpr::symbol(name);
    }
    --depth;
    return e;
  }
};

} // namespace

std::optional<DimExpr> DimExpr::parse(std::string_view text) {
  DimParser parser{text};
  DimExpr e = parser.expr();
  parser.skip();
  return e && parser.at == text.size() ? std::optional(e) : std::nullopt;
}
