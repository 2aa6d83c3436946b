#include "dialects/dim/DimExpr.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <deque>
#include <map>
#include <mutex>
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

DimExpr DimExpr::floorDiv(DimExpr a, DimExpr b) {
  if (!a || !b)
    return {};
  if (a.value() && b.value() && *b.value() != 0 && !(*a.value() == INT64_MIN && *b.value() == -1))
    return DimExpr(floorDivide(*a.value(), *b.value()));
  if (std::optional<DimExpr> q = exactDiv(a, b))
    return *q;
  if (std::optional<int64_t> d = b.value(); d && *d > 0) {
    // floor((d*x + r) / d) = x + floor(r / d)
    DimExpr whole(0), rest(0);
    for (const Term &t : a.terms()) {
      int64_t part = floorDivide(t.coefficient, *d);
      DimExpr m(1);
      for (DimExpr f : t.factors)
        m = m * f;
      if (t.coefficient % *d == 0)
        whole = whole + DimExpr(part) * m;
      else
        rest = rest + DimExpr(t.coefficient) * m;
    }
    if (!(whole == DimExpr(0)))
      return whole + floorDiv(rest, b);
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
  return makeBinary(Kind::Mod, a, b);
}

static DimExpr extremum(Kind kind, DimExpr a, DimExpr b) {
  if (!a || !b)
    return {};
  bool wantMax = kind == Kind::Max;
  if (DimExpr::provablyLessOrEqual(a, b))
    return wantMax ? b : a;
  if (DimExpr::provablyLessOrEqual(b, a))
    return wantMax ? a : b;
  // A chain is right-leaning, sorted and without repeats, so that max is associative and commutative.
  std::vector<DimExpr> items;
  for (DimExpr e : {a, b})
    for (; e; e = e.kind() == kind ? e.rhs() : DimExpr())
      items.push_back(e.kind() == kind ? e.lhs() : e);
  std::sort(items.begin(), items.end(), [](DimExpr l, DimExpr r) { return DimExpr::compare(l, r) < 0; });
  items.erase(std::unique(items.begin(), items.end()), items.end());
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

bool DimExpr::isNonNegative() const {
  if (!node)
    return false;
  switch (kind()) {
  case Kind::Constant:
    return node->value >= 0;
  case Kind::Symbol:
    return true;
  case Kind::FloorDiv:
    return lhs().isNonNegative() && rhs().isNonNegative();
  case Kind::Mod:
    return rhs().isNonNegative();
  case Kind::Max:
    return lhs().isNonNegative() || rhs().isNonNegative();
  case Kind::Min:
    return lhs().isNonNegative() && rhs().isNonNegative();
  case Kind::Sum:
    return std::all_of(node->sum.begin(), node->sum.end(), [](const Term &t) {
      return t.coefficient >= 0 &&
             std::all_of(t.factors.begin(), t.factors.end(), [](DimExpr f) { return f.isNonNegative(); });
    });
  }
  return false;
}

bool DimExpr::provablyLessOrEqual(DimExpr a, DimExpr b) { return (b - a).isNonNegative(); }

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
    return std::to_string(node->value);
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

/// expr := term (('+'|'-') term)* ; term := factor ('*' factor)* ; factor := int | '-' factor | name | name '(' expr ',' expr ')' | '(' expr ')'
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
      auto isName = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '.' || c == '$'; };
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
