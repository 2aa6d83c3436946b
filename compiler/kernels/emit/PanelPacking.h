// Copies a matrix's columns into panels that the tiles of a product read row by row.
#pragma once

#include "compiler/kernels/emit/MicroKernel.h"

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

} // namespace fovea::kernels
