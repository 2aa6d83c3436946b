// Which tiles of an attention see nothing, everything, or a part: interval analysis of the mask region.
//
// The region is read as a formula over t and j. Comparisons of integers are decided by ranges over a box of queries and
// keys, with the interval rules of the elementwise table (a band `|t - j| <= w` as well as affine forms); a part that
// depends on one axis alone (a padding mask, document ids) is summarised over a block of that axis when the kernel
// runs, and what is read by both (any tensor of bools) over tiles. What cannot be decided counts as "a part": the tile
// then runs the mask.
#pragma once

#include "compiler/kernels/Target.h"
#include "compiler/kernels/emit/MicroKernel.h"
#include "dialects/kernel/KernelDialect.h"

#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/SetVector.h"

#include <optional>

namespace fovea::kernels {

class Visibility {
public:
  /// Queries [queryBegin, queryEnd) and keys [keyBegin, keyEnd), neither empty.
  struct Box {
    mlir::Value queryBegin, queryEnd, keyBegin, keyEnd;
  };
  /// Scalars of i1: no point of the box is visible; every point is.
  struct Answer {
    mlir::Value none, all;
  };

  /// What conditions that read by query and key are summarised over: `panels` times `queries` from a task's first one,
  /// and chunks of `keys` from a block's first one, at most 63 of them.
  struct Tiles {
    int64_t queries, keys, panels;
    mlir::Value summary =
        nullptr; ///< memref<conditions x panels x 2 x index>: bits of chunks of which some, all are seen
  };

  /// `mask` is the op's mask block, or null: then everything is visible. `batch` are the batch indices. Without `tiles`
  /// no condition is summarised over them.
  Visibility(Code &code, mlir::Block *mask, const Target &target, const mlir::IRMapping &outer, mlir::ValueRange batch,
             std::optional<Tiles> tiles = {});

  /// Conditions that are summarised over tiles.
  int64_t tiledConditions() const { return tiled.size(); }

  bool hasMask() const { return mask; }
  /// Emits loops over the queries of `box` for what depends on t alone. Boxes asked for later lie within.
  void summarizeQueries(const Box &box);
  /// The same for keys.
  void summarizeKeys(const Box &box);
  /// The same for tiles, of all the task's queries and a block of keys.
  void summarizeTiles(const Box &box);
  /// Cheap: a few scalar instructions. Sound for every sub-box of those summarised.
  Answer query(const Box &box);

private:
  enum Axis : unsigned { none = 0, queries = 1, keys = 2, both = 3 };
  struct Range {
    mlir::Value low, high;
  };
  unsigned dependence(mlir::Value value);
  void collect(mlir::Value condition);
  bool collectRange(mlir::Value value);
  void addLeaf(mlir::Value value);
  bool readsMemory(mlir::Value value);
  llvm::SetVector<mlir::Operation *> sliceOf(mlir::ValueRange values);
  std::pair<mlir::Value, mlir::Value> summarizeTile(mlir::Value condition, const Box &box);
  Answer tileAnswer(int64_t condition, const Box &box);
  void summarize(unsigned axis, mlir::Value begin, mlir::Value end);
  /// `value` at query or key `at` (null: at neither), as a scalar.
  llvm::SmallVector<mlir::Value> evaluate(llvm::ArrayRef<mlir::Value> values, unsigned axis, mlir::Value at);
  mlir::Value toIndex(mlir::Value scalar);
  Answer answer(mlir::Value condition, const Box &box);
  Answer compare(mlir::arith::CmpIPredicate predicate, const Range &x, const Range &y);
  std::optional<Range> range(mlir::Value value, const Box &box);
  Range remainder(mlir::Value low, mlir::Value high, int64_t by);

  Code &code;
  mlir::Block *mask;
  const Target &target;
  const mlir::IRMapping &outer;
  mlir::ValueRange batch;
  llvm::DenseMap<mlir::Value, unsigned> dependences;
  llvm::SmallVector<mlir::Value> leaves; ///< what is summarised by a loop
  bool undecided = false;                ///< a leaf could not be evaluated
  std::optional<Tiles> tiles;
  llvm::SmallVector<mlir::Value> tiled; ///< conditions that are summarised over tiles
  Box tiledBox;                         ///< of the last summary
  llvm::DenseMap<mlir::Value, Answer> conditions;
  llvm::DenseMap<mlir::Value, Range> ranges;
};

} // namespace fovea::kernels
