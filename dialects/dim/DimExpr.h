// Symbolic dimensions: canonical, uniqued integer expressions over named symbols.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fovea {

namespace detail {
struct DimNode;
struct DimAtom;
} // namespace detail

/// A size such as `B`, `T+1`, `2*H*D` or `floordiv(T, 16)`.
///
/// Expressions are kept as a sum of monomials (integer coefficient times a sorted product of atoms) and interned for
/// the life of the process: two expressions that are equal as polynomials over the same atoms are the same pointer, so
/// `==` and `hash` cost one comparison. An atom is a symbol or one of floordiv, mod, max, min of expressions.
/// Coefficients that leave 64 bits give the null expression. Thread-safe.
class DimExpr {
public:
  enum class Kind { Constant, Symbol, FloorDiv, Mod, Max, Min, Sum };

  DimExpr() = default;
  DimExpr(int64_t value);
  static DimExpr constant(int64_t value) { return DimExpr(value); }
  static DimExpr symbol(std::string_view name);
  /// Inverse of `str()`; nullopt where `text` is not an expression.
  static std::optional<DimExpr> parse(std::string_view text);

  explicit operator bool() const { return node; }
  bool operator==(const DimExpr &other) const = default;
  /// A total order by structure (the same in every process).
  static int compare(DimExpr a, DimExpr b);

  Kind kind() const;
  bool isConstant() const { return kind() == Kind::Constant; }
  std::optional<int64_t> value() const;
  bool isConstant(int64_t v) const { return value() == v; }
  /// The name of a Symbol; empty otherwise.
  std::string_view name() const;
  /// The two operands of FloorDiv, Mod, Max, Min.
  DimExpr lhs() const;
  DimExpr rhs() const;

  /// A monomial of a Sum (or of any expression, which is a sum of one): coefficient and factors, each an atom.
  struct Term {
    int64_t coefficient;
    std::vector<DimExpr> factors;
  };
  std::vector<Term> terms() const;

  friend DimExpr operator+(DimExpr a, DimExpr b);
  friend DimExpr operator-(DimExpr a, DimExpr b);
  friend DimExpr operator*(DimExpr a, DimExpr b);
  /// Floor of a / b; exact polynomial division where it is exact.
  static DimExpr floorDiv(DimExpr a, DimExpr b);
  static DimExpr ceilDiv(DimExpr a, DimExpr b) { return floorDiv(a + b - DimExpr(1), b); }
  static DimExpr mod(DimExpr a, DimExpr b);
  static DimExpr max(DimExpr a, DimExpr b);
  static DimExpr min(DimExpr a, DimExpr b);
  /// a / b where the quotient is a polynomial; nullopt otherwise.
  static std::optional<DimExpr> exactDiv(DimExpr a, DimExpr b);

  /// Replaces symbols; `lookup` gives nullopt to keep one.
  using Substitution = std::function<std::optional<DimExpr>(std::string_view)>;
  DimExpr substitute(const Substitution &lookup) const;
  /// The value under an assignment; nullopt on an unknown symbol, overflow or division by zero.
  using Assignment = std::function<std::optional<int64_t>(std::string_view)>;
  std::optional<int64_t> evaluate(const Assignment &lookup) const;
  /// Names of all symbols, sorted, each once.
  std::vector<std::string> symbols() const;
  /// The expression X with `*this == rhs` exactly when `symbol == X`, where *this is linear in `symbol` with an
  /// integer coefficient; X is floordiv(rest, coefficient) when the coefficient is not 1 (the caller adds the check
  /// that it divides). nullopt where it is not linear.
  std::optional<DimExpr> solveFor(std::string_view symbol, DimExpr rhs) const;

  /// Proved for every assignment of sizes that are at least 0. False means only "not proved".
  bool isNonNegative() const;
  static bool provablyLessOrEqual(DimExpr a, DimExpr b);

  std::string str() const;
  size_t hash() const { return std::hash<const void *>()(node); }
  const void *opaque() const { return node; }
  static DimExpr fromOpaque(const void *p);

private:
  const detail::DimNode *node = nullptr;
  friend struct detail::DimNode;
  friend struct DimBuilder;
};

} // namespace fovea

template <> struct std::hash<fovea::DimExpr> {
  size_t operator()(const fovea::DimExpr &e) const { return e.hash(); }
};
