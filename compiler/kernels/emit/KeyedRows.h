// K or V of an attention task, by key: a key's row is the one of its own number, or the one that a table names.
#pragma once

#include "compiler/kernels/emit/MicroKernel.h"

namespace fovea::kernels {

/// Key numbers [begin, begin + count), a block of them.
struct KeyRange {
  mlir::Value begin, count;
};

class KeyedRows {
public:
  /// `memref` at `batch`; `rows`, [batch…, key], may be null.
  KeyedRows(Code &code, mlir::Value memref, mlir::Value rows, mlir::ValueRange batch)
      : code(code), memref(memref), rows(rows), batch(batch) {}

  /// Whether a table names the rows.
  bool hasTable() const { return bool(rows); }
  mlir::Value row(mlir::Value key) const;
  /// Whether the rows of these keys lie one after the other, from that of the first.
  mlir::Value areNeighbours(const KeyRange &keys) const { return areNeighbours(keys, row(keys.begin)); }
  /// These keys' rows as f32 with adjacent columns: where they lie, or copied to `copy`.
  mlir::Value view(const KeyRange &keys, mlir::Value copy, mlir::Value columns) const;
  /// Whether rows of `memref` must be copied to be read so.
  static bool needsCopy(mlir::Value memref);

private:
  mlir::Value areNeighbours(const KeyRange &keys, mlir::Value first) const;
  void copyRows(const KeyRange &keys, mlir::Value copy, mlir::Value columns) const;

  Code &code;
  mlir::Value memref, rows;
  Code::Values batch;
};

} // namespace fovea::kernels
