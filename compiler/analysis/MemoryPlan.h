// Places buffers in one arena whose layout is an expression of the symbolic sizes. No MLIR here.
#pragma once

#include "dialects/dim/DimExpr.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace fovea {

/// Every buffer starts at a multiple of this.
inline constexpr int64_t bufferAlignment = 64;

/// `bytes` rounded up to the alignment.
DimExpr alignBytes(DimExpr bytes);

/// A buffer that lives in the steps [first, last]. `bytes` is at least 0 and a multiple of the alignment.
struct PlanBuffer {
  DimExpr bytes;
  size_t first;
  size_t last;
};

using SymbolValues = std::map<std::string, int64_t>;

/// A size with a name of its own, over the symbols and the names before it: what is computed once and used by name. So
/// expressions of many maxima stay as short as what they are made of.
struct NamedSize {
  std::string name;
  DimExpr value;
};
using NamedSizes = std::vector<NamedSize>;

/// `sizes` and the values of `names` there; a name without a value (overflow) is left out.
SymbolValues withNames(const NamedSizes &names, SymbolValues sizes);

/// A size by way of names.
struct SizeFormula {
  NamedSizes names;
  DimExpr total = DimExpr(0);

  std::optional<int64_t> evaluate(const SymbolValues &sizes) const;
  /// `total; name = size; …`, or one expression without names where that is short.
  std::string str() const;
  static std::optional<SizeFormula> parse(std::string_view text);
  /// For people: `f(B, T)` where it is long.
  std::string summary() const;
};

/// Offsets in bytes, one a buffer, and the arena's size, by way of names.
///
/// Of two buffers that live at the same time one lies below the other, for all sizes: a buffer's offset is the largest
/// end of those directly below it, a named size where it is not known which one that is. Which lies below is decided
/// where the layout is good at all samples; correctness does not depend on them. Expressions are as many and as long as
/// the direct neighbours are.
struct MemoryPlan {
  std::vector<DimExpr> offsets;
  SizeFormula size; ///< its names come before those that use them, those of the buffers' sizes first
};

/// The sizes at which plans are compared: all small, all large, and each symbol large on its own.
std::vector<SymbolValues> representativeSizes(const std::vector<std::string> &symbols);

/// `names`: those that buffers' sizes are written with.
MemoryPlan planMemory(const std::vector<PlanBuffer> &buffers, const std::vector<SymbolValues> &samples,
                      NamedSizes names = {});

/// The most bytes that are live in any step: a bound from below of every plan. -1 where a size has no value.
int64_t peakOfLiveBytes(const std::vector<PlanBuffer> &buffers, const SymbolValues &sizes);

/// The value of a size; nullopt on an unknown symbol or overflow.
std::optional<int64_t> evaluate(DimExpr size, const SymbolValues &sizes);

} // namespace fovea
