// Rows of a matrix into the lanes of a tile, transposed in registers on their way: what lies beside each other in
// memory then lies one below the other, and a vector has one column of as many rows as it has lanes.
#pragma once

#include "compiler/kernels/emit/MicroKernel.h"

namespace fovea::kernels {

class RowsToLanes {
public:
  /// The last two axes of `memref` at `batch`, of which `depth` columns are taken. Columns that are apart are read one
  /// by one.
  RowsToLanes(Code &code, mlir::Value memref, mlir::ValueRange batch, mlir::Value depth);
  /// A matrix [row, column] whose columns are adjacent.
  RowsToLanes(Code &code, mlir::Value matrix, mlir::Value depth);

  /// What becomes of each element (a vector of them, a scalar); null: it stays.
  std::function<mlir::Value(mlir::Value)> convert = nullptr;
  /// Emits what goes before the reading of a vector's columns from `column`, where all are known to be adjacent.
  std::function<void(mlir::Value adjacent, mlir::Value column)> before = nullptr;

  /// Where a vector of rows goes: element [first + offset + i, column] to tile[base + column][lane + i]. Row `last`
  /// stands in for those beyond it.
  struct Destination {
    mlir::Value first, offset, last;
    mlir::Value tile, base, lane;
  };
  void move(const Destination &to);

private:
  mlir::Value converted(mlir::Value x) { return convert ? convert(x) : x; }

  Code &code;
  Matrix matrix;
  mlir::Value adjacent; ///< the matrix as if its columns were adjacent
  mlir::Value depth;
  mlir::Value whole; ///< columns that are read in vectors
};

} // namespace fovea::kernels
