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

TEST_CASE("division by constants is canonical") {
  // Constants and multiples leave the quotient.
  CHECK(parse("floordiv(T + 16, 16)") == parse("floordiv(T, 16) + 1"));
  CHECK(parse("floordiv(T + 31, 16)") == parse("floordiv(T + 15, 16) + 1"));
  CHECK(parse("floordiv(7*T, 3)") == parse("2*T + floordiv(T, 3)"));
  CHECK(parse("floordiv(-T, 2)") == parse("floordiv(T, 2) - T"));
  CHECK(parse("floordiv(T - 1, 4)") == parse("floordiv(T + 3, 4) - 1"));
  // Common factors go.
  CHECK(parse("floordiv(4*T + 2, 6)") == parse("floordiv(2*T + 1, 3)"));
  CHECK(parse("floordiv(4*T + 3, 6)") == parse("floordiv(2*T + 1, 3)"));
  CHECK(parse("floordiv(floordiv(T, 4), 8)") == parse("floordiv(T, 32)"));
  CHECK(parse("floordiv(mod(T, 8), 8)") == DimExpr(0));
  // A monomial divides the terms that it can.
  CHECK(parse("floordiv(T*D + x, D)") == parse("T + floordiv(x, D)"));
  CHECK(parse("floordiv(T, D)") != parse("floordiv(T + 1, D)"));
}

TEST_CASE("remainders") {
  CHECK(parse("mod(16*T + 3, 16)") == DimExpr(3));
  CHECK(parse("mod(T + 16, 16)") == parse("mod(T, 16)"));
  CHECK(parse("mod(-T, 4)") == parse("mod(3*T, 4)"));
  CHECK(parse("mod(mod(T, 8), 8)") == parse("mod(T, 8)"));
  CHECK(parse("mod(mod(T, 8), 16)") == parse("mod(T, 8)"));
  CHECK(parse("mod(4*T, 6)") == parse("2*mod(2*T, 3)"));
  CHECK(parse("mod(T*D + x, D)") == parse("mod(x, D)"));
  CHECK(parse("mod(T, 8)") != parse("mod(T, 16)"));
  CHECK(parse("mod(T, 1)") == DimExpr(0));
}

TEST_CASE("what is proved, and what must not be") {
  for (const char *proved :
       {"T", "T*S + 3", "max(S, T) - T", "S - min(S, T)", "max(T, 1) - 1", "7 - mod(T, 8)", "T - 8*floordiv(T, 8)",
        "8*floordiv(T + 7, 8) - T", "T - floordiv(T, 2)", "mod(T, 8) + S", "T + 15 - 16*floordiv(T + 15, 16)", "0"})
    CHECK_MESSAGE(parse(proved).isNonNegative(), std::string(proved));
  for (const char *open : {"T - 1", "S - T", "min(S, T) - T", "6 - mod(T, 8)", "8*floordiv(T, 8) - T", "-T",
                           "T - max(S, T)", "floordiv(T, 2) - 1", "-1"})
    CHECK_MESSAGE(!parse(open).isNonNegative(), std::string(open));
  CHECK(DimExpr::provablyLessOrEqual(parse("T"), parse("T + 1")));
  CHECK_FALSE(DimExpr::provablyLessOrEqual(parse("T + 1"), parse("T")));
}

TEST_CASE("maximum and minimum take one form") {
  CHECK(parse("max(S, T)") == parse("max(T, S)"));
  CHECK(parse("max(max(a, b), c)") == parse("max(b, max(c, a))"));
  CHECK(parse("max(T, T + 1)") == parse("T + 1"));
  CHECK(parse("min(T, T + 1)") == parse("T"));
  CHECK(parse("max(T, 0)") == parse("T"));
  CHECK(parse("max(S, max(S, T))") == parse("max(S, T)"));
  CHECK(parse("max(1, max(4, T))") == parse("max(4, T)"));
  // Two forms of one value bound each other: one of them stays beside the third.
  DimExpr twins = parse("max(S, max(T, 8*floordiv(T, 8) + mod(T, 8)))");
  CHECK(twins.evaluate([](std::string_view n) { return std::optional<int64_t>(n == "T" ? 20 : 3); }) == 20);
}

TEST_CASE("maxima of maxima that share parts are looked at once") {
  // Two piles of buffers, each upon the higher of both: 2 ^ 40 ways lead down.
  DimExpr x = parse("S - 1"), y = parse("T - 1");
  for (int i = 0; i < 40; ++i) {
    DimExpr left = DimExpr::max(x + parse("S*U - 1"), y + parse("T*U - 1"));
    y = DimExpr::max(x + parse("S*V - 1"), y + parse("T*V - 1"));
    x = left;
  }
  CHECK_FALSE(x.isNonNegative());
  CHECK((DimExpr::max(x, parse("S")) + y - y).isNonNegative());
}

TEST_CASE("an unknown is solved for where it is linear") {
  CHECK(parse("2*T + 1").solveFor("T", parse("N")) == parse("floordiv(N - 1, 2)"));
  CHECK(parse("past + T").solveFor("T", parse("N")) == parse("N - past"));
  CHECK(parse("3 - T").solveFor("T", parse("N")) == parse("3 - N"));
  CHECK_FALSE(parse("T*T").solveFor("T", parse("N")).has_value());
  CHECK_FALSE(parse("S*T").solveFor("T", parse("N")).has_value());
  CHECK_FALSE(parse("T + floordiv(T, 2)").solveFor("T", parse("N")).has_value());
}

namespace {
/// An expression and its value by definition, built side by side: no canonical form in between.
struct Sample {
  DimExpr e;
  int64_t value;
};

int64_t floorQuotient(int64_t a, int64_t b) { return a / b - (a % b != 0 && (a < 0) != (b < 0)); }

Sample sample(std::mt19937 &random, const std::vector<int64_t> &symbols, int depth) {
  auto pick = [&](int n) { return int(random() % n); };
  if (depth == 0 || pick(6) == 0) {
    if (pick(2))
      return {DimExpr(pick(9) - 3), 0};
    int which = pick(int(symbols.size()));
    return {DimExpr::symbol(std::string(1, char('a' + which))), symbols[which]};
  }
  Sample l = sample(random, symbols, depth - 1), r = sample(random, symbols, depth - 1);
  for (Sample *s : {&l, &r})
    if (std::optional<int64_t> v = s->e.value())
      s->value = *v;
  int64_t d = 1 + pick(9);
  switch (pick(7)) {
  case 0:
    return {l.e + r.e, l.value + r.value};
  case 1:
    return {l.e - r.e, l.value - r.value};
  case 2:
    return {l.e * r.e, l.value * r.value};
  case 3:
    return {DimExpr::floorDiv(l.e, DimExpr(d)), floorQuotient(l.value, d)};
  case 4:
    return {DimExpr::mod(l.e, DimExpr(d)), l.value - d * floorQuotient(l.value, d)};
  case 5:
    return {DimExpr::max(l.e, r.e), std::max(l.value, r.value)};
  default:
    return {DimExpr::min(l.e, r.e), std::min(l.value, r.value)};
  }
}
} // namespace

TEST_CASE("canonical forms keep the value, text keeps the form, proofs hold") {
  std::mt19937 random(20240501);
  int proofs = 0;
  for (int round = 0; round < 20000; ++round) {
    std::vector<int64_t> symbols = {int64_t(random() % 40), int64_t(random() % 5), int64_t(random() % 1000)};
    Sample s = sample(random, symbols, 4);
    if (!s.e)
      continue;
    if (std::optional<int64_t> v = s.e.value(); v && s.e.kind() == DimExpr::Kind::Constant && s.value == 0)
      s.value = *v; // a lone literal
    auto lookup = [&](std::string_view name) { return std::optional(symbols[name[0] - 'a']); };
    std::optional<int64_t> value = s.e.evaluate(lookup);
    REQUIRE_MESSAGE(value == s.value, s.e.str() << " is " << value.value_or(-999) << ", not " << s.value);
    REQUIRE(DimExpr::parse(s.e.str()) == s.e);
    if (s.e.isNonNegative()) {
      ++proofs;
      REQUIRE_MESSAGE(s.value >= 0, s.e.str());
    }
  }
  CHECK(proofs > 1000);
}

TEST_CASE("overflow is the null expression, never a wrong size") {
  DimExpr big(INT64_MAX);
  CHECK_FALSE(big + DimExpr(1));
  CHECK_FALSE(big * parse("2*T"));
  CHECK_FALSE(
      parse("T*T").evaluate([](std::string_view) { return std::optional<int64_t>(int64_t(1) << 40); }).has_value());
}
