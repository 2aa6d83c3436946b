// One task of kernel.attention: some rows of queries against all keys. The frame that its two variants share.
//
//   for each span of keys (spanKeys of them, from key 0):
//     for each block of its keys (shape.keys of them) that some row sees:
//       scores of the rows, score region, mask, each row's maximum over the block
//       rescale where the running maximum moved; weights = 2^(score - maximum); sum += weights
//       output += weights V, each weight times its factor where the score region yields one
//     merge output and sum with those of the spans before
//   y = output / sum
//
// AttentionQueryLanes (many queries) has queries in the lanes, AttentionKeyLanes (few) keys. Each element is computed
// by the same chains in both, so they give the same bits: a product is one chain over the head's columns, sum and
// output are chains over the keys of a span, and spans are merged in order. So a span can be a task of its own: few
// queries leave a *partial* result of each span in memory that all tasks share, and further tasks merge them.
//
// The running maximum is a whole number that moves only when exceeded by a factor of 2^8, and a row that doesn't move
// is multiplied by exactly 1: a row's bits depend on its own query and visible keys alone. For scores in units of log
// 2, rescaling is exact. A hidden key has the score -inf and the weight 0. As 0 * inf is NaN, a task whose result is
// not finite runs again carefully: hidden weights are then -0 (no visible one is) and their products are left out.
// Finite rows get the same bits from both ways.
#pragma once

#include "compiler/kernels/emit/KeyedRows.h"
#include "compiler/kernels/emit/MicroKernel.h"
#include "compiler/kernels/emit/Vectorize.h"
#include "compiler/kernels/emit/Visibility.h"
#include "dialects/kernel/KernelDialect.h"

#include <memory>

namespace fovea::kernels {

/// The score region, taken apart: score = rest(s * scale), where `scale` is uniform; and the weight's factor.
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
  mlir::Value factor;                        ///< of the weight where it meets its value; null: 1
  bool plain;                                ///< nothing follows, and there is no factor

  /// The product of the head's factors at `batch`; null where there are none.
  mlir::FailureOr<mlir::Value> scale(Code &code, const mlir::IRMapping &outer, mlir::ValueRange batch) const;
};

/// 2^x, or e^x of `natural` x: 0 where 2^-126.5 is not reached; NaN stays NaN.
mlir::Value power(Code &code, mlir::Value x, bool natural);

/// Rows of a task in panels of vectors, one lane a row: how their maxima and sums lie in memory.
struct AttentionShape {
  int lanes;
  int vectors;    ///< of a panel
  int64_t panels; ///< of a task, at most
  int64_t keys;   ///< of a block
  int64_t panel() const { return int64_t(vectors) * lanes; }
  int64_t rows() const { return panels * panel(); }
};

/// How many keys there are; of the op's operands `outer` has what they are in the function.
mlir::Value keyCount(Code &code, kernel::AttentionOp op, const mlir::IRMapping &outer);

/// Features of queries and keys whose products are summed, one part after the other.
struct FeaturePart {
  mlir::Value q;
  Code::Values keys; ///< in pieces, one behind the other
  mlir::Value depth; ///< how many there are
  mlir::Value first; ///< where they begin in the task's rows of queries
};

class AttentionTask {
public:
  /// `outer` maps the op's operands and captures to values of the function that is being written.
  AttentionTask(Code &code, kernel::AttentionOp op, const Target &target, const AttentionShape &shape,
                const mlir::IRMapping &outer, mlir::Value exec);
  virtual ~AttentionTask() = default;

  virtual mlir::Value tasks() = 0;
  /// Tasks behind these, which run when all of them have ended.
  virtual mlir::Value finishTasks() { return code.index(0); }
  /// Lays out the task's memory in `scratch` (null: sizes only) and gives its bytes.
  virtual mlir::Value reserve(mlir::Value scratch) = 0;
  /// Likewise what all tasks share.
  virtual mlir::Value reserveShared(mlir::Value) { return code.index(0); }
  virtual mlir::LogicalResult run(mlir::Value task);

protected:
  using Box = Visibility::Box;
  using Keys = KeyRange; ///< of a block
  using Part = FeaturePart;
  /// What a row is to the op.
  struct Row {
    Code::Values batch;
    mlir::Value query;
  };

  /// Accumulators over some keys: output [row][column]; per row, [panel][lane], the running maximum and the sum of
  /// weights.
  struct Partial {
    mlir::Value output, maximum, sum;
  };
  static constexpr int64_t spanKeys = 1024;

  /// Sets `batch`, `rows`, `panels` and the visibility of task number `task`.
  virtual void place(mlir::Value task) = 0;
  virtual void loadQueries() = 0;
  virtual Row rowAt(mlir::Value row) = 0;
  /// The queries of the rows: what a block of keys is decided against.
  virtual Box queriesSeeing(mlir::Value keyBegin, mlir::Value keyEnd) = 0;
  virtual void block(const Keys &keys, mlir::Value careful) = 0;
  /// Makes known what the mask says of a block of keys.
  virtual void summarizeKeys(const Box &box) { visibility->summarizeKeys(box); }
  /// Whether the mask is summarised over tiles.
  virtual bool tilesMask() { return false; }

  // Spans.
  mlir::Value spans() { return code.ceilDiv(s, spanKeys); }
  /// What comes before the first block of keys.
  void prepare();
  /// `body`, which gives whether some element is not finite; where one is, again, carefully.
  void attempt(llvm::function_ref<mlir::Value(mlir::Value careful)> body);
  /// The keys of a span, after `enter` where it is not `entered` before some row may see some of them; gives whether it
  /// is in the end.
  mlir::Value span(mlir::Value number, mlir::Value careful, mlir::Value entered, llvm::function_ref<void()> enter);
  /// Accumulators of no key, but of the sinks where `isFirst`.
  void start(mlir::Value isFirst);
  /// The accumulators take in what `before` has of the spans before theirs.
  void merge(const Partial &before);
  void copy(const Partial &from, const Partial &to);
  /// Writes the rows.
  virtual void finish();
  /// Whether some element of the output is not finite.
  mlir::Value anyNotFinite();

  /// Rows of the output whose accumulators are read: at least the task's rows.
  virtual mlir::Value outputRows() { return rows; }
  /// Calls `body` for the first column of each vector of an output's row; without a loop where these are few.
  void eachColumn(llvm::function_ref<void(mlir::Value)> body);

  // Memory.
  void reserveRows(ScratchLayout &layout);
  Partial reservePartial(ScratchLayout &layout, mlir::Value rows);
  /// The elements of copies of values that are not read as they lie; null where there are none.
  virtual mlir::Type copiedValue() = 0;
  /// The row of `valueView` that is the block's key.
  virtual mlir::Value valueRow(mlir::Value key) { return key; }
  /// Which row each key is; null: that of its number.
  mlir::Value keyTable() { return op.getKeyRows() ? mapped(op.getKeyRows()) : mlir::Value(); }
  mlir::Value valueTable() { return op.getValueRows() ? mapped(op.getValueRows()) : mlir::Value(); }
  KeyedRows keyRows(const Part &part) { return {code, part.keys, keyTable(), batch}; }
  KeyedRows valueRows(KeyedRows::InPlace inPlace = KeyedRows::InPlace::All) {
    return {code, mapped(op.getValuePieces()), valueTable(), batch, inPlace};
  }

  // Scores.
  mlir::Value mapped(mlir::Value value) { return outer.lookupOrDefault(value); }
  Code::Values mapped(llvm::ArrayRef<mlir::Value> values) {
    return llvm::map_to_vector(values, [&](mlir::Value value) { return mapped(value); });
  }
  bool softmax() { return op.getNormalizer() == "softmax"; }
  /// Nothing is summed: the largest scores are wanted.
  bool selects() { return op.getNormalizer() == "top_k"; }
  /// Scores are kept in units of log 2, by way of the queries, where nothing follows their scale; otherwise as the
  /// region gives them, since a finite one must stay finite.
  bool inLog2() { return softmax() && score.plain; }
  mlir::Value hiddenScore();
  mlir::Value scoreScale(mlir::ValueRange batch);
  /// A vector of points: keys of one row, or rows of one key.
  struct Points {
    const Row &row;
    LaneValue query, key;
    mlir::Value active; ///< lanes that are points at all; null: all
    bool masked;        ///< the mask region says which of them are seen
    /// Makes known what was read beforehand of a region, where anything was.
    std::function<void(mlir::Block &, PointVectorizer &)> bindCaptures = nullptr;
  };
  void bindPoints(PointVectorizer &points, mlir::Block &region, const Points &at);
  /// What a vector of points has: scores, and factors of their weights or null.
  struct Scored {
    mlir::Value scores, factors;
  };
  /// Final ones from scaled products.
  Scored pointScores(mlir::Value products, const Points &at);

  // Weights.
  /// Moves a panel's running maxima where the block's exceed them; gives what to subtract, a vector for each of the
  /// panel's.
  Code::Values moveMaxima(mlir::Value panel);
  mlir::Value weights(mlir::Value scores, mlir::Value maximum, bool careful);
  /// Weights as they meet the values; one whose factor is 0 is hidden.
  mlir::Value changed(mlir::Value weights, mlir::Value factors, bool careful);
  /// The exponential of a difference of scores, in their unit.
  mlir::Value power(mlir::Value x) { return kernels::power(code, x, !inLog2()); }
  /// row of the output += weight(key) V[key] over all keys but the hidden ones, whose weights are -0.
  void addCarefully(mlir::Value row, mlir::Value begin, mlir::Value end,
                    llvm::function_ref<mlir::Value(mlir::Value key)> weight);

  Code &code;
  kernel::AttentionOp op;
  const Target &target;
  const AttentionShape shape;
  const mlir::IRMapping &outer;
  mlir::Value exec;
  ScoreProgram score;
  mlir::Block *mask;
  mlir::LogicalResult result = mlir::success();

  Code::Values batchSizes;
  llvm::SmallVector<Part, 2> parts;
  mlir::Value t, s, e, paddedE;
  mlir::Value d;      ///< features of all parts
  Code::Values batch; ///< of the task's keys and values
  mlir::Value rows, panels;
  bool decided; ///< blocks of keys that nobody sees are skipped: there is a mask, and it is the same for all rows
  std::optional<Visibility> visibility;
  // Scratch: the accumulators of the span that runs and those of all spans before; per row this block's maximum and a
  // factor.
  Partial current, before;
  mlir::Value blockMaximum, factor, valueCopy;
  mlir::Value valueView; ///< the current block's, [key, column], columns adjacent

private:
  mlir::Value addSpan(mlir::Value number, mlir::Value any, mlir::Value careful);
  mlir::Value sinksOf(mlir::Value panel, int vector);
  mlir::Value keyBlock(mlir::Value begin, mlir::Value careful, mlir::Value entered, llvm::function_ref<void()> enter);
  void rescale(mlir::Value panel, mlir::ValueRange factors);
  void writeRow(mlir::Value row, mlir::Value factor);
  void writeSums(mlir::Value panel);
  mlir::Value wholeNumber(mlir::Value x);
  mlir::Value orZero(mlir::Value maximum);
};

/// Many queries. `code`, `outer` and what they refer to outlive the task.
std::unique_ptr<AttentionTask> makeQueryLanes(Code &code, kernel::AttentionOp op, const Target &target,
                                              const mlir::IRMapping &outer, mlir::Value exec = {});
/// Few queries; of several heads at once where these share keys and values.
std::unique_ptr<AttentionTask> makeKeyLanes(Code &code, kernel::AttentionOp op, const Target &target,
                                            const mlir::IRMapping &outer, mlir::Value exec = {});

} // namespace fovea::kernels
