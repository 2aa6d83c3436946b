// K or V of an attention task, by key: a key's row is the one of its own number, or the one that a table names. Rows
// may lie in several pieces, one behind the other; a table is of the first one.
#pragma once

#include "compiler/kernels/emit/MicroKernel.h"

namespace fovea::kernels {

/// Key numbers [begin, begin + count), a block of them.
struct KeyRange {
  mlir::Value begin, count;
};

class KeyedRows {
public:
  /// What view() leaves where it lies: all rows whose columns are adjacent, or only those without gaps between them.
  enum class InPlace { All, Adjacent };
  /// `pieces` at `batch`; `rows`, [batch…, key], may be null.
  KeyedRows(Code &code, mlir::ValueRange pieces, mlir::Value rows, mlir::ValueRange batch,
            InPlace inPlace = InPlace::All);

  /// The row of a key of the first piece.
  mlir::Value row(mlir::Value key) const;
  /// Whether the rows of these keys lie one after the other, from that of the first.
  mlir::Value areNeighbours(const KeyRange &keys) const { return areNeighbours(keys, row(keys.begin)); }
  /// These keys' rows with adjacent columns, as elements of `copy`: where they lie, or copied there. Where `copy` is
  /// null, as they lie.
  mlir::Value view(const KeyRange &keys, mlir::Value copy, mlir::Value columns) const;
  /// Where the rows of the keys from `key` lie that are in its piece, to fetch from; null where columns may be apart.
  mlir::Value from(mlir::Value key, mlir::Value columns) const;
  /// Whether rows of these pieces must be copied to be read as adjacent f32.
  static bool needsCopy(mlir::ValueRange pieces);
  /// Whether one row may not begin where the one before it ends.
  static bool mayLieApart(mlir::ValueRange pieces);
  /// The element type that all pieces have; f32 where they differ.
  static mlir::Type element(mlir::ValueRange pieces);

private:
  mlir::Value areNeighbours(const KeyRange &keys, mlir::Value first) const;
  mlir::Value subview(mlir::Value piece, mlir::Value row, mlir::Value count, mlir::Value columns) const;
  mlir::Value viewFrom(size_t number, const KeyRange &keys, mlir::Value copy, mlir::Value columns) const;
  void copyRows(const KeyRange &keys, mlir::Value copy, mlir::Value columns) const;
  /// Keys [first, last) of the block, which are in one piece.
  void copyRows(size_t number, const KeyRange &keys, mlir::Value first, mlir::Value last, mlir::Value copy,
                mlir::Value columns) const;
  /// A matrix of any strides of its rows, columns adjacent.
  mlir::MemRefType viewOf(mlir::Type element) const;

  Code &code;
  Code::Values pieces;
  Code::Values begins; ///< the number of each piece's first key
  mlir::Value rows;
  Code::Values batch;
  InPlace inPlace;
};

} // namespace fovea::kernels
