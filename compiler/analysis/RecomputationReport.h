// What graph-rematerialize decided for one entry, as data. No MLIR here.
#pragma once

#include "compiler/analysis/MemoryPlan.h"

#include <cstdint>
#include <string>
#include <vector>

namespace fovea {

/// All figures are at `sizes`.
struct RecomputationReport {
  /// Values (or kernels) that come from one place of the model, as those of equal layers do.
  struct Row {
    std::string place, path; ///< the path is that of the first one; either may be empty
    int64_t count = 0;
    int64_t amount = 0; ///< bytes; of kernels, operations
  };
  SymbolValues sizes;
  int64_t limit = 0;             ///< bytes that the arena may have; 0: there is no limit
  int64_t before = 0, after = 0; ///< bytes of the arena: with all kept, and as decided
  int64_t flops = 0;             ///< operations of the entry, without those that run again
  std::vector<Row> kept, repeated;

  /// "at B = 8, T = 128 an arena of 12.1 MiB, with all kept 30.2 MiB; 5.3 MiB kept for gradients, 21.0% of the
  /// operations run again"
  std::string summary() const;
  /// A line for each row, the largest first.
  std::vector<std::string> details() const;
};

/// " at B = 8, T = 128"; empty without sizes.
std::string sizesInWords(const SymbolValues &sizes);
/// "12.3 MiB"
std::string bytesInWords(int64_t bytes);

} // namespace fovea
