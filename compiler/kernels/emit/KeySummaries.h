// What the mask of an attention says of each block of keys, summarised once for all tasks of a launch: tasks of their
// own run before those of the queries. A task that summarised the blocks itself would look at every key, which is
// quadratic in the length and shows where most tiles are skipped (document ids, padding).
#pragma once

#include "compiler/kernels/emit/Visibility.h"

namespace fovea::kernels {

class KeySummaries {
public:
  /// `batchSizes` are those of the op, `blockKeys` the keys of a block.
  KeySummaries(Code &code, mlir::Block *mask, const Target &target, const mlir::IRMapping &outer,
               mlir::ValueRange batchSizes, mlir::Value keys, int64_t blockKeys);

  /// Nothing depends on keys but by formula.
  bool empty() const { return parts == 0; }
  /// A task summarises all blocks of one batch index, of those axes that the summary depends on.
  mlir::Value tasks();
  /// Lays out the memory that all tasks share (null: sizes only); gives its bytes.
  mlir::Value reserve(mlir::Value shared);
  /// Fails where a part can't be evaluated: nothing is known of keys then.
  mlir::LogicalResult run(mlir::Value task);
  /// Makes `visibility` know the block of keys from `keyBegin`.
  void know(Visibility &visibility, mlir::ValueRange batch, mlir::Value keyBegin);

private:
  mlir::Value blocks() { return code.ceilDiv(keys, blockKeys); }

  Code &code;
  mlir::Block *mask;
  const Target &target;
  const mlir::IRMapping &outer;
  Code::Values batchSizes;
  mlir::Value keys;
  const int64_t blockKeys;
  int64_t parts = 0;
  llvm::SmallVector<unsigned> axes; ///< batch axes that the summary depends on
  mlir::Value table;                ///< [batch index x block][number]
};

} // namespace fovea::kernels
