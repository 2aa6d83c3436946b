// Places buffers in one arena whose layout is an expression of the symbolic sizes. No MLIR here.
#pragma once

#include "dialects/dim/DimExpr.h"

#include <map>
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

/// Offsets in bytes, one a buffer, and the arena's size.
///
/// Of two buffers that live at the same time one lies below the other, for all sizes: a buffer's offset is the largest
/// end of those below it. Which lies below is decided where the layout is good at all samples; correctness does not
/// depend on them.
struct MemoryPlan {
  std::vector<DimExpr> offsets;
  DimExpr total = DimExpr(0);
};

/// The sizes at which plans are compared: all small, all large, and each symbol large on its own.
std::vector<SymbolValues> representativeSizes(const std::vector<std::string> &symbols);

MemoryPlan planMemory(const std::vector<PlanBuffer> &buffers, const std::vector<SymbolValues> &samples);

/// The most bytes that are live in any step: a bound from below of every plan. -1 where a size has no value.
int64_t peakOfLiveBytes(const std::vector<PlanBuffer> &buffers, const SymbolValues &sizes);

/// The value of a size; nullopt on an unknown symbol or overflow.
std::optional<int64_t> evaluate(DimExpr size, const SymbolValues &sizes);

} // namespace fovea
