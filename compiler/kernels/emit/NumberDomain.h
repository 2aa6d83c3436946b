// Formulas of kernels evaluated with numbers, some of which may not be known (the domain of MaskRules and the like).
#pragma once

#include "llvm/Support/MathExtras.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>

namespace fovea::kernels {

/// An integer, or one that is not known.
using Number = std::optional<int64_t>;
/// A truth value, or one that is not known.
enum class Kleene { No, Yes, Open };

/// Indices and truth values as numbers. Integers wrap around as those of the code do.
struct NumberDomain {
  using Index = Number;
  using Truth = Kleene;

  template <typename F> static Number apply(Number a, Number b, F f) {
    return a && b ? Number(int64_t(f(uint64_t(*a), uint64_t(*b)))) : std::nullopt;
  }
  Number index(int64_t value) { return value; }
  Number add(Number a, Number b) { return apply(a, b, std::plus<uint64_t>()); }
  Number sub(Number a, Number b) { return apply(a, b, std::minus<uint64_t>()); }
  Number mul(Number a, Number b) { return apply(a, b, std::multiplies<uint64_t>()); }
  Number min(Number a, Number b) { return a && b ? Number(std::min(*a, *b)) : std::nullopt; }
  Number max(Number a, Number b) { return a && b ? Number(std::max(*a, *b)) : std::nullopt; }
  Number divide(Number x, int64_t by, bool floors) {
    return x ? Number(floors ? llvm::divideFloorSigned(*x, by) : *x / by) : std::nullopt;
  }
  Number select(Kleene condition, Number a, Number b) {
    if (condition == Kleene::Open)
      return a == b ? a : std::nullopt;
    return condition == Kleene::Yes ? a : b;
  }
  bool isAtLeast(Number x, int64_t bound) { return x && *x >= bound; }
  Kleene truth(bool value) { return value ? Kleene::Yes : Kleene::No; }
  Kleene less(Number a, Number b) { return a && b ? truth(*a < *b) : Kleene::Open; }
  Kleene lessOrEqual(Number a, Number b) { return a && b ? truth(*a <= *b) : Kleene::Open; }
  Kleene equal(Number a, Number b) { return a && b ? truth(*a == *b) : Kleene::Open; }
  Kleene both(Kleene a, Kleene b) {
    if (a == Kleene::No || b == Kleene::No)
      return Kleene::No;
    return a == Kleene::Yes && b == Kleene::Yes ? Kleene::Yes : Kleene::Open;
  }
  Kleene either(Kleene a, Kleene b) { return negate(both(negate(a), negate(b))); }
  Kleene negate(Kleene a) { return a == Kleene::Open ? a : truth(a == Kleene::No); }
};

} // namespace fovea::kernels
