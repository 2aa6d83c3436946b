#include "dialects/dim/DimExpr.h"

#include <algorithm>
#include <deque>
#include <map>
#include <mutex>
#include <numeric>
#include <set>
#include <unordered_map>

using namespace fovea;

using Kind = DimExpr::Kind;
using Term = DimExpr::Term;

/// Immutable, interned. Constant: `value`. Symbol: `name`. Binary atoms: `lhs`, `rhs`. Sum: `sum`, sorted, without
/// zero coefficients, and neither a constant nor a lone atom.
struct detail::DimNode {
  Kind kind;
  int64_t value = 0;
  std::string name;
  DimExpr lhs, rhs;
  std::vector<Term> sum;
};

namespace {

using detail::DimNode;

/// Owns every node. The key is the node's structure with its operands' addresses, which are unique already.
class Interner {
public:
  const DimNode *get(DimNode node) {
    std::string key = keyOf(node);
    std::lock_guard<std::mutex> lock(mutex);
    auto [it, fresh] = nodes.try_emplace(std::move(key), nullptr);
    if (fresh)
      it->second = &storage.emplace_back(std::move(node));
    return it->second;
  }
  static Interner &instance() {
    static Interner *interner = new Interner; // never destroyed: expressions may outlive static destructors
    return *interner;
  }

private:
  static void put(std::string &key, const void *p) { key.append(reinterpret_cast<const char *>(&p), sizeof p); }
  static void put(std::string &key, int64_t v) { key.append(reinterpret_cast<const char *>(&v), sizeof v); }
  static std::string keyOf(const DimNode &n) {
    std::string key(1, static_cast<char>(n.kind));
    put(key, n.value);
    key += n.name;
    put(key, n.lhs.opaque());
    put(key, n.rhs.opaque());
    for (const Term &t : n.sum) {
      put(key, t.coefficient);
      put(key, static_cast<int64_t>(t.factors.size()));
      for (DimExpr f : t.factors)
        put(key, f.opaque());
    }
    return key;
  }
  std::mutex mutex;
  std::deque<DimNode> storage;
  std::unordered_map<std::string, const DimNode *> nodes;
};

DimExpr intern(DimNode node) { return DimExpr::fromOpaque(Interner::instance().get(std::move(node))); }

DimExpr makeBinary(Kind kind, DimExpr a, DimExpr b) {
  DimNode n{kind, 0, {}, {}, {}, {}};
  n.lhs = a;
  n.rhs = b;
  return intern(std::move(n));
}

int compareFactors(const std::vector<DimExpr> &a, const std::vector<DimExpr> &b) {
  if (a.size() != b.size()) // higher degree first, constants last
    return a.size() > b.size() ? -1 : 1;
  for (size_t i = 0; i < a.size(); ++i)
    if (int c = DimExpr::compare(a[i], b[i]))
      return c;
  return 0;
}

struct FactorsLess {
  bool operator()(const std::vector<DimExpr> &a, const std::vector<DimExpr> &b) const {
    return compareFactors(a, b) < 0;
  }
};
using TermMap = std::map<std::vector<DimExpr>, int64_t, FactorsLess>;

bool addTerm(TermMap &map, std::vector<DimExpr> factors, int64_t coefficient) {
  int64_t &c = map[std::move(factors)];
  return !__builtin_add_overflow(c, coefficient, &c);
}

DimExpr fromTerms(const TermMap &map) {
  DimNode n{Kind::Sum, 0, {}, {}, {}, {}};
  for (const auto &[factors, coefficient] : map)
    if (coefficient)
      n.sum.push_back({coefficient, factors});
  if (n.sum.empty())
    return DimExpr(0);
  if (n.sum.size() == 1) {
    if (n.sum[0].factors.empty())
      return DimExpr(n.sum[0].coefficient);
    if (n.sum[0].factors.size() == 1 && n.sum[0].coefficient == 1)
      return n.sum[0].factors[0];
  }
  return intern(std::move(n));
}

int64_t floorDivide(int64_t a, int64_t b) { return a / b - ((a % b != 0) && ((a < 0) != (b < 0))); }

} // namespace

DimExpr DimExpr::fromOpaque(const void *p) {
  DimExpr e;
  e.node = static_cast<const DimNode *>(p);
  return e;
}

DimExpr::DimExpr(int64_t value) { node = Interner::instance().get({Kind::Constant, value, {}, {}, {}, {}}); }

DimExpr DimExpr::symbol(std::string_view name) { return intern({Kind::Symbol, 0, std::string(name), {}, {}, {}}); }

Kind DimExpr::kind() const { return node->kind; }

std::optional<int64_t> DimExpr::value() const {
  return node && node->kind == Kind::Constant ? std::optional(node->value) : std::nullopt;
}

std::string_view DimExpr::name() const { return node->name; }
DimExpr DimExpr::lhs() const { return node->lhs; }
DimExpr DimExpr::rhs() const { return node->rhs; }

std::vector<Term> DimExpr::terms() const {
  if (node->kind == Kind::Sum)
    return node->sum;
  if (node->kind == Kind::Constant)
    return node->value ? std::vector<Term>{{node->value, {}}} : std::vector<Term>{};
  return {{1, {*this}}};
}

int DimExpr::compare(DimExpr a, DimExpr b) {
  if (a == b)
    return 0;
  if (a.kind() != b.kind())
    return a.kind() < b.kind() ? -1 : 1;
  switch (a.kind()) {
  case Kind::Constant:
    return a.node->value < b.node->value ? -1 : 1;
  case Kind::Symbol:
    return a.node->name.compare(b.node->name);
  case Kind::Sum: {
    const auto &x = a.node->sum, &y = b.node->sum;
    for (size_t i = 0; i < x.size() && i < y.size(); ++i) {
      if (int c = compareFactors(x[i].factors, y[i].factors))
        return c;
      if (x[i].coefficient != y[i].coefficient)
        return x[i].coefficient < y[i].coefficient ? -1 : 1;
    }
    return x.size() < y.size() ? -1 : 1;
  }
  default:
    if (int c = compare(a.node->lhs, b.node->lhs))
      return c;
    return compare(a.node->rhs, b.node->rhs);
  }
}

namespace fovea {

DimExpr operator+(DimExpr a, DimExpr b) {
  if (!a || !b)
    return {};
  TermMap map;
  for (DimExpr e : {a, b})
    for (const Term &t : e.terms())
      if (!addTerm(map, t.factors, t.coefficient))
        return {};
  return fromTerms(map);
}

DimExpr operator-(DimExpr a, DimExpr b) { return a + DimExpr(-1) * b; }

DimExpr operator*(DimExpr a, DimExpr b) {
  if (!a || !b)
    return {};
  TermMap map;
  for (const Term &x : a.terms())
    for (const Term &y : b.terms()) {
      std::vector<DimExpr> factors = x.factors;
      factors.insert(factors.end(), y.factors.begin(), y.factors.end());
      std::sort(factors.begin(), factors.end(), [](DimExpr l, DimExpr r) { return DimExpr::compare(l, r) < 0; });
      int64_t c;
      if (__builtin_mul_overflow(x.coefficient, y.coefficient, &c) || !addTerm(map, std::move(factors), c))
        return {};
    }
  return fromTerms(map);
}

} // namespace fovea

/// One monomial divides another: the quotient's coefficient and factors.
static std::optional<Term> divideTerm(const Term &a, const Term &b) {
  if (b.coefficient == 0 || a.coefficient % b.coefficient)
    return std::nullopt;
  std::vector<DimExpr> rest = a.factors;
  for (DimExpr f : b.factors) {
    auto it = std::find(rest.begin(), rest.end(), f);
    if (it == rest.end())
      return std::nullopt;
    rest.erase(it);
  }
  return Term{a.coefficient / b.coefficient, std::move(rest)};
}

std::optional<DimExpr> DimExpr::exactDiv(DimExpr a, DimExpr b) {
  if (!a || !b || b.isConstant(0))
    return std::nullopt;
  // Long division by the leading term; the order of terms is by degree, so every step lowers the remainder.
  std::vector<Term> divisor = b.terms();
  DimExpr quotient(0), rest = a;
  for (int step = 0; step < 64 && !rest.isConstant(0); ++step) {
    std::optional<Term> q = divideTerm(rest.terms().front(), divisor.front());
    if (!q)
      return std::nullopt;
    DimExpr piece(q->coefficient);
    for (DimExpr f : q->factors)
      piece = piece * f;
    quotient = quotient + piece;
    rest = rest - piece * b;
    if (!quotient || !rest)
      return std::nullopt;
  }
  return rest.isConstant(0) ? std::optional(quotient) : std::nullopt;
}

static DimExpr product(int64_t coefficient, const std::vector<DimExpr> &factors) {
  DimExpr m(coefficient);
  for (DimExpr f : factors)
    m = m * f;
  return m;
}

namespace {

/// a = quotient * divisor + rest, where the quotient takes all that it can term by term: for a constant divisor d > 0
/// every coefficient of the rest is in [0, d); for a monomial, the terms that it divides are gone. Null on overflow.
struct Division {
  DimExpr quotient = DimExpr(0), rest = DimExpr(0);
};

Division divideTerms(DimExpr a, DimExpr divisor) {
  Division result;
  std::optional<int64_t> d = divisor.value();
  std::vector<Term> divisorTerms = divisor.terms();
  for (const Term &t : a.terms()) {
    if (d && *d > 0) {
      int64_t part = floorDivide(t.coefficient, *d);
      result.quotient = result.quotient + product(part, t.factors);
      result.rest = result.rest + product(t.coefficient - part * *d, t.factors);
      continue;
    }
    std::optional<Term> q = divisorTerms.size() == 1 && !d ? divideTerm(t, divisorTerms[0]) : std::nullopt;
    if (q)
      result.quotient = result.quotient + product(q->coefficient, q->factors);
    else
      result.rest = result.rest + product(t.coefficient, t.factors);
  }
  return result;
}

/// The greatest common divisor of d and the coefficients of all terms that are not constants.
int64_t commonDivisor(DimExpr a, int64_t d) {
  for (const Term &t : a.terms())
    if (!t.factors.empty())
      d = std::gcd(d, t.coefficient);
  return d;
}

/// Proved to be in [0, bound).
bool isBelow(DimExpr e, DimExpr bound) {
  return e.isNonNegative() && DimExpr::provablyLessOrEqual(e + DimExpr(1), bound);
}

} // namespace

DimExpr DimExpr::floorDiv(DimExpr a, DimExpr b) {
  if (!a || !b)
    return {};
  if (a.value() && b.value() && *b.value() != 0 && !(*a.value() == INT64_MIN && *b.value() == -1))
    return DimExpr(floorDivide(*a.value(), *b.value()));
  if (std::optional<DimExpr> q = exactDiv(a, b))
    return *q;
  auto [quotient, rest] = divideTerms(a, b);
  if (!quotient || !rest)
    return {};
  if (!(quotient == DimExpr(0)))
    return quotient + floorDiv(rest, b);
  if (isBelow(a, b))
    return DimExpr(0);
  if (std::optional<int64_t> d = b.value(); d && *d > 0) {
    // floor((g x + c) / (g d)) = floor((x + floor(c / g)) / d)
    if (int64_t g = commonDivisor(a, *d); g > 1) {
      DimExpr reduced(0);
      for (const Term &t : a.terms())
        reduced = reduced + product(floorDivide(t.coefficient, g), t.factors);
      return floorDiv(reduced, DimExpr(*d / g));
    }
    // floor(floor(x / c) / d) = floor(x / (c d))
    if (std::optional<int64_t> c = a.kind() == Kind::FloorDiv ? a.rhs().value() : std::nullopt; c && *c > 0)
      if (DimExpr both = DimExpr(*c) * b)
        return floorDiv(a.lhs(), both);
  }
  return makeBinary(Kind::FloorDiv, a, b);
}

DimExpr DimExpr::mod(DimExpr a, DimExpr b) {
  if (!a || !b)
    return {};
  if (a.value() && b.value() && *b.value() > 0)
    return DimExpr(*a.value() - *b.value() * floorDivide(*a.value(), *b.value()));
  if (exactDiv(a, b))
    return DimExpr(0);
  auto [quotient, rest] = divideTerms(a, b);
  if (!quotient || !rest)
    return {};
  if (!(quotient == DimExpr(0)))
    return mod(rest, b);
  if (isBelow(a, b) || (a.kind() == Kind::Mod && a.rhs() == b))
    return a;
  if (std::optional<int64_t> d = b.value(); d && *d > 0) {
    // (g x) mod (g d) = g (x mod d)
    int64_t g = *d;
    for (const Term &t : a.terms())
      g = std::gcd(g, t.coefficient);
    DimExpr reduced(0);
    for (const Term &t : a.terms())
      reduced = reduced + product(t.coefficient / g, t.factors);
    if (g > 1)
      return DimExpr(g) * mod(reduced, DimExpr(*d / g));
  }
  return makeBinary(Kind::Mod, a, b);
}

static DimExpr extremum(Kind kind, DimExpr a, DimExpr b) {
  if (!a || !b)
    return {};
  bool wantMax = kind == Kind::Max;
  // A chain is right-leaning, sorted and without repeats, so that max is associative and commutative.
  std::vector<DimExpr> items;
  for (DimExpr e : {a, b})
    for (; e; e = e.kind() == kind ? e.rhs() : DimExpr())
      items.push_back(e.kind() == kind ? e.lhs() : e);
  std::sort(items.begin(), items.end(), [](DimExpr l, DimExpr r) { return DimExpr::compare(l, r) < 0; });
  items.erase(std::unique(items.begin(), items.end()), items.end());
  // What another item is proved to be at least (at most) adds nothing. One after another: of two that bound each other
  // one stays.
  for (size_t i = 0; i < items.size();) {
    bool isBounded = std::any_of(items.begin(), items.end(), [&](DimExpr other) {
      return other != items[i] &&
             (wantMax ? DimExpr::provablyLessOrEqual(items[i], other) : DimExpr::provablyLessOrEqual(other, items[i]));
    });
    if (isBounded)
      items.erase(items.begin() + i);
    else
      ++i;
  }
  DimExpr result = items.back();
  for (size_t i = items.size() - 1; i-- > 0;)
    result = makeBinary(kind, items[i], result);
  return result;
}

DimExpr DimExpr::max(DimExpr a, DimExpr b) { return extremum(Kind::Max, a, b); }
DimExpr DimExpr::min(DimExpr a, DimExpr b) { return extremum(Kind::Min, a, b); }

static DimExpr rebuild(Kind kind, DimExpr a, DimExpr b) {
  switch (kind) {
  case Kind::FloorDiv:
    return DimExpr::floorDiv(a, b);
  case Kind::Mod:
    return DimExpr::mod(a, b);
  case Kind::Max:
    return DimExpr::max(a, b);
  default:
    return DimExpr::min(a, b);
  }
}

DimExpr DimExpr::substitute(const Substitution &lookup) const {
  switch (kind()) {
  case Kind::Constant:
    return *this;
  case Kind::Symbol:
    return lookup(name()).value_or(*this);
  case Kind::Sum: {
    DimExpr result(0);
    for (const Term &t : node->sum) {
      DimExpr m(t.coefficient);
      for (DimExpr f : t.factors)
        m = m * f.substitute(lookup);
      result = result + m;
    }
    return result;
  }
  default:
    return rebuild(kind(), lhs().substitute(lookup), rhs().substitute(lookup));
  }
}

std::optional<int64_t> DimExpr::evaluate(const Assignment &lookup) const {
  switch (kind()) {
  case Kind::Constant:
    return node->value;
  case Kind::Symbol:
    return lookup(name());
  case Kind::Sum: {
    int64_t result = 0;
    for (const Term &t : node->sum) {
      int64_t m = t.coefficient;
      for (DimExpr f : t.factors) {
        std::optional<int64_t> v = f.evaluate(lookup);
        if (!v || __builtin_mul_overflow(m, *v, &m))
          return std::nullopt;
      }
      if (__builtin_add_overflow(result, m, &result))
        return std::nullopt;
    }
    return result;
  }
  default: {
    std::optional<int64_t> a = lhs().evaluate(lookup), b = rhs().evaluate(lookup);
    if (!a || !b)
      return std::nullopt;
    if (kind() == Kind::Max)
      return std::max(*a, *b);
    if (kind() == Kind::Min)
      return std::min(*a, *b);
    if (*b == 0 || (*a == INT64_MIN && *b == -1))
      return std::nullopt;
    int64_t q = floorDivide(*a, *b);
    return kind() == Kind::FloorDiv ? q : *a - q * *b;
  }
  }
}

static void collectSymbols(DimExpr e, std::set<std::string> &out) {
  switch (e.kind()) {
  case Kind::Constant:
    return;
  case Kind::Symbol:
    out.emplace(e.name());
    return;
  case Kind::Sum:
    for (const Term &t : e.terms())
      for (DimExpr f : t.factors)
        collectSymbols(f, out);
    return;
  default:
    collectSymbols(e.lhs(), out);
    collectSymbols(e.rhs(), out);
  }
}

std::vector<std::string> DimExpr::symbols() const {
  std::set<std::string> names;
  collectSymbols(*this, names);
  return {names.begin(), names.end()};
}

std::optional<DimExpr> DimExpr::solveFor(std::string_view name, DimExpr right) const {
  DimExpr unknown = symbol(name), rest = right;
  int64_t coefficient = 0;
  for (const Term &t : terms()) {
    if (t.factors.size() == 1 && t.factors[0] == unknown) {
      coefficient = t.coefficient;
      continue;
    }
    DimExpr m(t.coefficient);
    for (DimExpr f : t.factors) {
      std::set<std::string> names;
      collectSymbols(f, names);
      if (names.count(std::string(name)))
        return std::nullopt;
      m = m * f;
    }
    rest = rest - m;
  }
  if (!coefficient || !rest)
    return std::nullopt;
  return coefficient < 0 ? floorDiv(DimExpr(0) - rest, DimExpr(-coefficient)) : floorDiv(rest, DimExpr(coefficient));
}
