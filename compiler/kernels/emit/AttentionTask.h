// One task of kernel.attention: a block of queries of one batch index against all keys.
//
// Scores are computed transposed, S^T = K Q^T, with the queries in the lanes: K and V stay as they lie in memory, only
// the queries are transposed, nothing is summed across lanes, and a row's maximum, sum and rescaling live in its own
// lane. A panel is `vectors` vectors of queries; keys come in blocks of `keys`, anchored at key 0:
//
//   for each block of keys that some query sees:
//     for each panel: S = K Q^T (a panel's chunks that see nothing are skipped), score region, mask, running maximum;
//                     rescale where the maximum moved; S = 2^(S - maximum), sum += S
//     O += S^T V
//   y = O / sum
//
// The running maximum is a whole number that moves only when exceeded by a factor of 2^8, and a lane that doesn't move
// is multiplied by exactly 1: a row's bits depend on its own query and visible keys alone. For scores in units of log
// 2, rescaling is exact. A hidden key has the score -inf and the weight 0. As 0 * inf is NaN, a task whose result is
// not finite runs again carefully: hidden weights are then -0 (no visible one is) and their products are left out.
// Finite rows get the same bits from both ways.
#pragma once

#include "compiler/kernels/emit/MicroKernel.h"
#include "compiler/kernels/emit/Visibility.h"
#include "dialects/kernel/KernelDialect.h"

namespace fovea::kernels {

/// The score region, taken apart: score = rest(s * scale), where `scale` is uniform.
struct ScoreProgram {
  explicit ScoreProgram(mlir::Block &block);
  mlir::Block *block;
  /// What scales the product, in order: factors and divisors.
  struct Factor {
    mlir::Value value;
    bool divide;
  };
  llvm::SmallVector<Factor> factors;
  llvm::SmallVector<mlir::Operation *> head; ///< the ops that apply them
  mlir::Value scaled;                        ///< the value after them
  bool plain;                                ///< nothing follows
};

/// Register tiles and blocks of a variant.
struct AttentionShape {
  /// `narrow`: one vector of queries, for few of them.
  AttentionShape(const Target &target, bool narrow);
  int lanes;
  int vectors;      ///< vectors of queries in a panel
  int keyRows;      ///< keys of a score tile
  int queryRows;    ///< queries of an output tile ...
  int valueVectors; ///< ... by vectors of value columns
  int64_t panels;   ///< panels of a task
  int64_t keys;     ///< keys of a block
  bool fused;
  int64_t panel() const { return int64_t(vectors) * lanes; }
  int64_t queries() const { return panels * panel(); }
};

class AttentionTask {
public:
  /// `outer` maps the op's operands and captures to values of the function that is being written.
  AttentionTask(Code &code, kernel::AttentionOp op, const Target &target, const AttentionShape &shape,
                const mlir::IRMapping &outer, mlir::Value exec = {});

  mlir::Value tasks();
  /// Lays out the task's memory in `scratch` (null: sizes only) and gives its bytes.
  mlir::Value reserve(mlir::Value scratch);
  mlir::LogicalResult run(mlir::Value task);

private:
  using Box = Visibility::Box;
  /// Keys that are decided together whether a panel sees them: as many as a vector has queries, so that on a diagonal a
  /// vector sees a chunk in whole or in part, but for one chunk; a multiple of the score tiles' rows.
  int64_t chunk() const { return std::max(mostKeyRows, shape.lanes); }
  static constexpr int mostKeyRows = 8; ///< of a score tile: more are more pointers than there are registers for
  /// Keys that are left out together at the end of what a tile of the output sees.
  static constexpr int64_t valueChunk = 8;
  struct Keys {
    mlir::Value begin, count; ///< key numbers [begin, begin + count) of this block
  };

  mlir::Value mapped(mlir::Value value) { return outer.lookupOrDefault(value); }
  bool softmax() { return op.getNormalizer() == "softmax"; }
  /// Scores are kept in units of log 2, by way of the queries, where nothing follows their scale; otherwise as the
  /// region gives them, since a finite one must stay finite.
  bool inLog2() { return softmax() && score.plain; }
  mlir::Value scoreScale();
  void loadQueries();
  void start();
  void keyBlock(mlir::Value begin, mlir::Value careful);
  mlir::Value blockView(mlir::Value memref, const Keys &keys, mlir::Value copy, mlir::Value columns);
  void copyRows(mlir::Value memref, const Keys &keys, mlir::Value copy, mlir::Value columns);
  void scores(mlir::Value panel, const Keys &keys);
  std::pair<mlir::Value, mlir::Value> chunks(mlir::Value panel, const Keys &keys, mlir::Value first, mlir::Value last);
  void products(mlir::Value panel, const Keys &keys, mlir::Value begin, mlir::Value end, mlir::Value keepMaximum);
  /// Consecutive vectors of a panel: `count` from lane `lane`.
  struct Vectors {
    mlir::Value lane;
    int count;
  };
  void productsOf(const Vectors &vectors, mlir::Value panel, const Keys &keys, mlir::Value begin, mlir::Value end,
                  mlir::Value keepMaximum);
  void hide(const Vectors &vectors, mlir::Value panel, mlir::Value begin, mlir::Value end);
  void regions(mlir::Value panel, const Keys &keys, mlir::Value begin, mlir::Value end, mlir::Value all);
  void regionRows(mlir::Value panel, const Keys &keys, mlir::Value begin, mlir::Value end, bool masked);
  mlir::Value regionRow(mlir::Value score, mlir::Value query, mlir::Value key, mlir::Value lanes, bool masked);
  void bindPoint(class PointVectorizer &points, mlir::Block &block, mlir::Value query, mlir::Value key, bool score);
  void weights(mlir::Value panel, mlir::Value careful);
  void rescale(mlir::Value panel, mlir::ValueRange factors);
  void exponentials(mlir::Value panel, mlir::ValueRange maxima, bool careful);
  void values(const Keys &keys);
  struct ValueTile {
    mlir::Value row, column; ///< of the output
    mlir::Value first, last; ///< keys of the block
    int vectors;
    mlir::Value mask; ///< null where all columns are inside
  };
  mlir::Value lastSeen(mlir::Value row, const Keys &keys, mlir::Value first, mlir::Value last);
  void valueTile(const ValueTile &tile);
  void carefulValues();
  mlir::Value finish();
  void writeRow(mlir::Value row, mlir::Value factor);
  void writeSums(mlir::Value panel);

  mlir::Value wholeNumber(mlir::Value x);
  mlir::Value orZero(mlir::Value maximum);
  mlir::Value power(mlir::Value x);
  mlir::Value scoreRow(mlir::Value panel, mlir::Value key) { return code.add(code.mul(panel, shape.keys), key); }
  mlir::Value firstQuery(mlir::Value panel) { return code.add(queryBegin, code.mul(panel, shape.panel())); }

  Code &code;
  kernel::AttentionOp op;
  const Target &target;
  const AttentionShape &shape;
  const mlir::IRMapping &outer;
  mlir::Value exec;
  ScoreProgram score;
  mlir::Block *mask;
  mlir::LogicalResult result = mlir::success();

  Code::Values batchSizes, batch;
  mlir::Value t, s, d, e, paddedE;
  mlir::Value queryBegin, queries, panels;
  std::optional<Visibility> visibility;
  // Scratch: queries [panel * D + d][lane]; scores [panel * keys + key][lane]; output [query][column]; per lane the
  // running maximum, the sum, this block's maximum, a factor; per panel the range of keys that it sees; copies of K and
  // V.
  mlir::Value queryTile, scoreTile, output, maximum, sum, blockMaximum, factor, firstKey, lastKey, keyCopy, valueCopy;
  mlir::Value keyView, valueView; ///< the current block, [key, column], columns adjacent
};

} // namespace fovea::kernels
