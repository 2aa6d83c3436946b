// Copies what the tiles of a product read into the order in which they read it: a matrix's columns into panels, its
// rows into tiles.
#pragma once

#include "compiler/kernels/emit/MatmulTile.h"

namespace fovea::kernels {

/// The last two axes of `memref` at batch index `batch`: `rows` x `columns`, with any strides.
struct PackedMatrix {
  mlir::Value memref;
  mlir::ValueRange batch;
  mlir::Value rows, columns;
};

/// Copies the columns from `column` on to the rows of `panels` ([any, columns of a panel]) from row `at`: as many as a
/// panel has, zeros beyond the matrix. Elements are copied as they are.
void packPanel(Code &code, const PackedMatrix &matrix, mlir::Value column, mlir::Value panels, mlir::Value at);

/// Copies rows of A, which are adjacent (of `size[0]` rows, `size[1]` columns), in `tiles` to `to` ([any, lhsWidth]):
/// step k of tile i to row i * `tileSteps` + k. What a tile has beyond its rows is anything.
void packRowTiles(Code &code, const Matrix &a, std::array<mlir::Value, 2> size, const RowTiles &tiles, mlir::Value to,
                  mlir::Value tileSteps);

} // namespace fovea::kernels
