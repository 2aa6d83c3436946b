// Scaled products of a few queries with a block of keys that lie in the lanes.
//
// Keys are transposed in registers on their way into the products where the rows are one tile and the target has
// registers for that; otherwise a block of them into scratch, K^T [column][key], which every tile then reads. The next
// keys' rows are fetched in the order of addresses while those before are multiplied.
#pragma once

#include "compiler/kernels/emit/AttentionTask.h"
#include "compiler/kernels/emit/RowLines.h"

namespace fovea::kernels {

class KeyLaneProducts {
public:
  /// Features in `parts`, which outlive this, `depth` of them in all.
  KeyLaneProducts(Code &code, const Target &target, const AttentionShape &shape, llvm::ArrayRef<FeaturePart> parts,
                  mlir::Value depth);

  /// Lays out what follows.
  void reserve(ScratchLayout &layout);
  /// The queries, [row][column]: scaled, and 0 in further rows up to a multiple of `tall`.
  mlir::Value queries;
  /// Their products, [row][key]; beyond the block's last key anything.
  mlir::Value products;

  /// Keys and how they are read.
  struct Block {
    KeyRange keys;
    mlir::Value keyCount; ///< of all blocks
    mlir::ValueRange batch;
    mlir::Value table; ///< which row each key is; null: that of its number
    mlir::Value copy;  ///< for rows of a table or of pieces that cannot be read as they lie; null where all lie
    /// Set where all is fetched in the order in which it is read, half a block ahead: what is read after these keys,
    /// rows with as many lines. Keys are then one part that lies.
    std::optional<RowLines> following = std::nullopt;
  };
  /// Multiplies so many rows of queries.
  void multiply(const Block &block, mlir::Value rows);

  /// Rows of a tile, where there are several.
  static constexpr int tall = 4;
  /// Calls `body` for tiles of rows: their numbers; those beyond the last row have queries of 0.
  static void forTiles(Code &code, mlir::Value rows, llvm::function_ref<void(mlir::ValueRange tile)> body);
  /// Accumulators that hide the multiply-add's latency.
  static int accumulators(const Target &target) { return target.registers >= 32 ? 16 : 8; }

  /// Vectors of keys that are multiplied at once from where they lie.
  static constexpr int directVectors = 2;
  /// Whether a block's keys may be multiplied from where they lie: with fewer registers the transposed columns would
  /// push the sums out of them.
  bool mayBeDirect() const { return target.registers >= 32; }

private:
  /// Of keys that are multiplied from where they lie.
  static constexpr int columns = 8;
  /// A block's keys, from where they lie, or from its rows in a view of their own.
  struct Source {
    const Block &block;
    mlir::Value view; ///< [key, column], columns adjacent; null: they lie
  };

  KeyedRows rowsOf(const FeaturePart &part, const Block &block) { return {code, part.keys, block.table, block.batch}; }
  void multiply(const Source &source, mlir::Value rows);
  /// Whether they are.
  mlir::Value isDirect(const Source &source, mlir::Value rows);
  /// Whether the rows of each vector of a whole block's keys are neighbours.
  mlir::Value areVectorsNeighbours(const Block &block);
  void multiplyDirectly(const Source &source, mlir::ValueRange tile);
  void transposeKeys(const Source &source, const FeaturePart &part);
  /// Fetches, in the order of addresses, the share of a step of `columns` columns of the lines of `rows` rows, which
  /// have `depth` columns.
  void fetchRows(mlir::Value matrix, mlir::Value depth, mlir::Value first, int64_t rows, mlir::Value column,
                 int64_t columns);
  void multiplyTransposed(const KeyRange &keys, mlir::ValueRange tile);
  void multiplyTransposed(mlir::ValueRange tile, mlir::Value first, int vectors);

  Code &code;
  const Target &target;
  const AttentionShape &shape;
  llvm::ArrayRef<FeaturePart> parts;
  mlir::Value depth;
  mlir::Value keyTile; ///< [column][key]
};

} // namespace fovea::kernels
