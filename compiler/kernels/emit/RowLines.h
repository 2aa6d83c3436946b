// Lines of rows that are fetched into the second-level cache in the order of their addresses, a few at a time.
#pragma once

#include "compiler/kernels/emit/MicroKernel.h"

namespace fovea::kernels {

/// Rows that follow one another at equal distances, from one of them on.
class RowLines {
public:
  /// The rows of `matrix` from `row` on; its width, in elements, is known.
  RowLines(Code &code, mlir::Value matrix, mlir::Value row, int64_t width);
  /// These where `condition` holds, otherwise `others`, whose rows have as many lines.
  RowLines orElse(mlir::Value condition, const RowLines &others) const;

  /// Fetches `count` lines from that number on, counted over all rows: `base`, a multiple of `unit`, and `at`.
  void fetch(mlir::Value base, int64_t unit, int64_t at, int64_t count) const;

  /// Of a row of so many elements.
  static int64_t linesOf(const Code &code, mlir::Value matrix, int64_t width) {
    return llvm::divideCeil(width, code.perLine(matrix));
  }

private:
  Code *code;
  mlir::Value begin, stride; ///< the first row's address, and bytes from one row to the next
  int64_t lines;             ///< of a row
};

} // namespace fovea::kernels
