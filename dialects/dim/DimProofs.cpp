// What holds of a size whatever its symbols are.
#include "dialects/dim/DimExpr.h"

#include <algorithm>
#include <map>

using namespace fovea;

using Kind = DimExpr::Kind;
using Term = DimExpr::Term;

/// Expressions that are nowhere above the sum `e`, each with one atom replaced by a bound of it. If one is proved, so
/// is e.
static std::vector<DimExpr> lowerBounds(DimExpr e) {
  std::vector<DimExpr> bounds;
  for (const Term &t : e.terms()) {
    if (t.factors.size() != 1)
      continue;
    DimExpr atom = t.factors[0], c(t.coefficient), others = e - c * atom;
    bool isAdded = t.coefficient > 0;
    auto replaceBy = [&](DimExpr bound) { bounds.push_back(others + c * bound); };
    switch (atom.kind()) {
    case Kind::Max:
    case Kind::Min:
      if (isAdded == (atom.kind() == Kind::Max)) { // max(a, b) >= a, -min(a, b) >= -a
        replaceBy(atom.lhs());
        replaceBy(atom.rhs());
      }
      break;
    case Kind::Mod:
      if (atom.rhs().value().value_or(0) > 0)
        replaceBy(isAdded ? DimExpr(0) : atom.rhs() - DimExpr(1));
      break;
    case Kind::FloorDiv:
      if (std::optional<int64_t> d = atom.rhs().value(); d && *d > 0) {
        if (t.coefficient % *d == 0) // d floor(x / d) is in (x - d, x]
          bounds.push_back(others +
                           DimExpr(t.coefficient / *d) * (isAdded ? atom.lhs() - DimExpr(*d - 1) : atom.lhs()));
        else if (!isAdded && atom.lhs().isNonNegative())
          replaceBy(atom.lhs());
      }
      break;
    default:
      break;
    }
  }
  return bounds;
}

static bool isProvedNonNegative(DimExpr e, int depth);

static bool proveNonNegative(DimExpr e, int depth) {
  switch (e.kind()) {
  case Kind::Constant:
    return *e.value() >= 0;
  case Kind::Symbol:
    return true;
  case Kind::FloorDiv:
    return isProvedNonNegative(e.lhs(), depth) && isProvedNonNegative(e.rhs(), depth);
  case Kind::Mod:
    return isProvedNonNegative(e.rhs(), depth);
  case Kind::Max:
    return isProvedNonNegative(e.lhs(), depth) || isProvedNonNegative(e.rhs(), depth);
  case Kind::Min:
    return isProvedNonNegative(e.lhs(), depth) && isProvedNonNegative(e.rhs(), depth);
  case Kind::Sum:
    break;
  }
  std::vector<Term> terms = e.terms();
  bool everyTerm = std::all_of(terms.begin(), terms.end(), [&](const Term &t) {
    return t.coefficient >= 0 &&
           std::all_of(t.factors.begin(), t.factors.end(), [&](DimExpr f) { return isProvedNonNegative(f, depth); });
  });
  if (everyTerm || depth == 0)
    return everyTerm;
  std::vector<DimExpr> bounds = lowerBounds(e);
  return std::any_of(bounds.begin(), bounds.end(), [&](DimExpr b) { return isProvedNonNegative(b, depth - 1); });
}

/// Maxima of maxima share what is in them: each is looked at once.
static bool isProvedNonNegative(DimExpr e, int depth) {
  if (!e)
    return false;
  static thread_local std::map<std::pair<const void *, int>, bool> known; // expressions live for ever
  if (auto it = known.find({e.opaque(), depth}); it != known.end())
    return it->second;
  bool proved = proveNonNegative(e, depth);
  known[{e.opaque(), depth}] = proved;
  return proved;
}

bool DimExpr::isNonNegative() const {
  constexpr int depth = 4; // atoms replaced by their bounds, one after another
  return isProvedNonNegative(*this, depth);
}

bool DimExpr::provablyLessOrEqual(DimExpr a, DimExpr b) { return (b - a).isNonNegative(); }
