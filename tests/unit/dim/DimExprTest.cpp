// Symbolic sizes: canonical forms, folding, proofs, text.
#include "dialects/dim/DimExpr.h"

#include <doctest/doctest.h>

#include <ostream>
#include <random>

using fovea::DimExpr;

namespace fovea {
static std::ostream &operator<<(std::ostream &os, const DimExpr &e) { return os << e.str(); }
} // namespace fovea

static DimExpr parse(std::string_view text) {
  std::optional<DimExpr> e = DimExpr::parse(text);
  REQUIRE_MESSAGE(e.has_value(), std::string(text));
  return *e;
}

TEST_CASE("equal polynomials are one expression") {
  CHECK(parse("T + 1") == parse("1 + T"));
  CHECK(parse("(a + b) * (a - b)") == parse("a*a - b*b"));
  CHECK(parse("2*H*D - D*H*2") == DimExpr(0));
  CHECK(parse("T + 1") != parse("T + 2"));
  CHECK(parse("-1*x") == parse("-x"));
}

TEST_CASE("text goes both ways") {
  for (const char *text :
       {"T", "T+1", "2*H*D-1", "floordiv(T+15, 16)", "mod(T, 3)", "max(S, T)", "min(2, S+T)", "-x", "-2*x+y"})
    CHECK(parse(parse(text).str()) == parse(text));
  for (const char *bad : {"", "+", "T +", "f(a, b)", "floordiv(a)", "(a", "a b", "99999999999999999999"})
    CHECK_FALSE(DimExpr::parse(bad).has_value());
}

TEST_CASE("division") {
  CHECK(parse("floordiv(6*T, 3)") == parse("2*T"));
  CHECK(parse("floordiv(6*T + 4, 3)") == parse("2*T + 1 + floordiv(1, 3)"));
  CHECK(parse("floordiv(T*D, D)") == parse("T"));
  CHECK(parse("floordiv(-7, 2)") == DimExpr(-4));
  CHECK(parse("mod(-7, 2)") == DimExpr(1));
  CHECK(DimExpr::ceilDiv(DimExpr(10), DimExpr(4)) == DimExpr(3));
}

TEST_CASE("overflow is the null expression, never a wrong size") {
  DimExpr big(INT64_MAX);
  CHECK_FALSE(big + DimExpr(1));
  CHECK_FALSE(big * parse("2*T"));
  CHECK_FALSE(
      parse("T*T").evaluate([](std::string_view) { return std::optional<int64_t>(int64_t(1) << 40); }).has_value());
}
