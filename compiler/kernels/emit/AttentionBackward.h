// One task of kernel.attention_backward: the batches that share its sums' elements, one after the other.
//
//   for each block of keys (shape.keys of them):
//     for each block of queries (shape.queries of them) that sees some of them:
//       P = weights, from the scores and the log-sum-exp;  G = P (dO V^T - delta), then the score's adjoint
//       dV += P^T dO, dK += G^T Q, dQ += G K
//   dQ of the task's queries
//
// With factors F of the weights, G = P (F dO V^T - delta) and dV += (P F)^T dO.
//
// Weights are computed once, and five products are all there are. A tile's sums begin at -lse and at -delta. Where
// nothing follows the score's scale, the keys carry it into the scores, the values into G: scores are then powers of 2,
// and the adjoint is done. dQ stays in scratch, blocks of keys add to it in order; so bits depend on sizes alone.
//
// Few batches are divided: a task is then a *part* of a batch's keys, in whole blocks, as many as sizes say. Each
// leaves its sums of dQ in memory that all tasks share, and further tasks add them in order.
//
// Hidden weights are -0. A hidden key takes part in products with 0, and 0 * inf is NaN: a task whose gradients are not
// finite runs again carefully, and leaves out products with -0.
#pragma once

#include "compiler/kernels/emit/AttentionCaptures.h"
#include "compiler/kernels/emit/AttentionTask.h"

namespace fovea::kernels {

/// Blocks and register tiles: `tileRows` by `vectors`, of scores (queries by keys) and of gradients (rows by features).
struct BackwardShape {
  explicit BackwardShape(const Target &target);
  int lanes, vectors, tileRows;
  int64_t queries, keys;
  int64_t panel() const { return int64_t(vectors) * lanes; }
  /// Of a row of P and G: rows lie in different sets of the cache.
  int64_t rowLength() const { return keys + 16; }
};

class BackwardTask {
public:
  /// `outer` maps the op's operands and captures to values of the function that is being written.
  BackwardTask(Code &code, kernel::AttentionBackwardOp op, const Target &target, const mlir::IRMapping &outer);

  mlir::Value tasks() { return code.mul(batchTasks(), keyParts()); }
  /// Tasks behind these, which run when all of them have ended.
  mlir::Value finishTasks() { return code.select(isDivided(), batchTasks(), code.index(0)); }
  /// Lays out the task's memory in `scratch` (null: sizes only) and gives its bytes.
  mlir::Value reserve(mlir::Value scratch);
  /// Likewise what all tasks share.
  mlir::Value reserveShared(mlir::Value shared);
  mlir::LogicalResult run(mlir::Value task);

private:
  using Box = Visibility::Box;
  /// A block of queries or keys.
  struct Span {
    mlir::Value begin, count;
  };
  struct Part {
    mlir::Value q, k, dq, dk;
    mlir::Value depth, first; ///< its features, and where they begin among those of all parts
  };
  /// A gradient of what the score reads.
  struct Sum {
    mlir::Value memref;
    mlir::Value number; ///< of the adjoint region
    mlir::Value guard;  ///< whether the number is added; null: always
    llvm::SmallVector<mlir::Value> indices;
    bool isSingle = true; ///< one element for all queries and keys of a batch
    bool isOwn = true;    ///< an element of its own for each query and key of a batch
    int64_t keyAxis = -1; ///< the axis of keys, if there is one; its index is the key less these sizes
    llvm::SmallVector<mlir::Value, 2> taken = {};
  };
  mlir::BlockArgument queryArgument() { return adjoint.getArgument(batchSizes.size() + 1); }
  mlir::BlockArgument keyArgument() { return adjoint.getArgument(batchSizes.size() + 2); }
  /// Whether a factor's own gradient goes on to something.
  bool factorIsReached() { return score.factor && !adjoint.getArguments().back().use_empty(); }
  /// Rows of Q or dO by rows of P or G.
  struct KeyProduct {
    mlir::Value weights, rows, sums, columns;
  };

  // The frame.
  void readSums();
  Sum sumInto(mlir::Value memref, mlir::OperandRange &yielded);
  /// The place of a key along the sum's axis of keys; may be outside of it.
  mlir::Value placeOf(const Sum &sum, mlir::Value key);
  bool isOuter(int64_t axis);
  /// Whether each element of the sum is stored, and only once.
  bool isStored(const Sum &sum) { return sum.isOwn && !mask && areAllOuter; }
  mlir::Value batchTasks();
  bool mayDivide();
  mlir::Value keyParts();
  mlir::Value isDivided() { return code.less(code.index(1), keyParts()); }
  void runPart(mlir::ValueRange outerIndex, mlir::Value part, mlir::Value task);
  mlir::Value keepPart(mlir::Value task);
  void addParts(mlir::Value number);
  mlir::Value batchWork(const Span &keys, mlir::Value task, mlir::Value careful);
  void clearSum(const Sum &sum, const Span &keys);
  void addSingles();
  void loadQueries();
  void loadRows(mlir::Value from, mlir::Value to, mlir::Value firstColumn, mlir::Value columns);
  void packKeys(const Span &keys);
  void packPanels(mlir::Value from, const Span &keys, mlir::Value to, mlir::Value firstColumn, mlir::Value columns,
                  mlir::Value scale);
  mlir::Value keyBlock(const Span &keys, mlir::Value careful);
  mlir::Value storeRows(mlir::Value from, mlir::Value to, const Span &rows, mlir::Value firstColumn,
                        mlir::Value columns);
  void clear(mlir::Value memref, mlir::Value rows, mlir::Value columns);
  mlir::Value allocate(ScratchLayout &layout, llvm::ArrayRef<mlir::Value> sizes, mlir::Type element = {});

  // Tiles.
  void block(const Span &queries, const Span &keys, mlir::Value careful);
  void scoreTile(const Span &queries, const Span &keys, mlir::Value row, mlir::Value panel, mlir::Value all);
  void hideTile(mlir::Value row, mlir::Value panel);
  Code::Values tileProducts(mlir::Value rows, mlir::Value firstRow, mlir::Value panels, mlir::Value panel,
                            mlir::Value depth, mlir::Value starts);
  void noteSeen(mlir::Value row, mlir::Value panel);
  void addToKeys(const KeyProduct &product, const Span &queries, const Span &keys);
  void addToQueries(const Span &queries, const Span &keys);
  void addToKeysCarefully(const KeyProduct &product, const Span &queries, const Span &keys);
  void addToQueriesCarefully(const Span &queries, const Span &keys);
  mlir::Value unlessHidden(mlir::Value weight, mlir::ValueRange sums, llvm::function_ref<mlir::Value()> then);

  // Points.
  /// Rows of a tile, a vector of keys at a time.
  struct Points {
    mlir::Value row, column; ///< of the block
    mlir::Value query, key;  ///< of the lane 0
    mlir::Value inside;      ///< lanes that are keys; null: all
    mlir::Value visible;     ///< and that are seen; null: as inside
  };
  void fetchNext(const Span &queries, const Span &keys, mlir::Value row, mlir::Value panel);
  void fetchSum(const Sum &sum, mlir::Value query, mlir::Value key);
  void forPoints(const Span &queries, const Span &keys, mlir::Value row, mlir::Value panel, mlir::Value all,
                 llvm::function_ref<void(const Points &)> body);
  mlir::Value evaluate(mlir::Block &region, const Points &at, mlir::Value mask, unsigned firstIndex,
                       llvm::function_ref<void(PointVectorizer &)> bind,
                       llvm::function_ref<void(PointVectorizer &)> finish = nullptr);
  void hidePoints(const Points &at);
  void scorePoints(const Points &at);
  mlir::Value changeOf(mlir::Value reaching, mlir::Value query, mlir::ValueRange at);
  void adjointPoints(const Points &at);
  void markHidden(const Span &queries, const Span &keys);

  mlir::Value mapped(mlir::Value value) { return outer.lookupOrDefault(value); }
  bool softmax() { return op.getNormalizer() == "softmax"; }
  /// Nothing follows the score's scale, and nothing else wants a gradient.
  bool isPlain() { return softmax() && score.plain && sums.empty(); }

  Code &code;
  kernel::AttentionBackwardOp op;
  const Target &target;
  const BackwardShape shape;
  const mlir::IRMapping &outer;
  ScoreProgram score;
  mlir::Block *mask, &adjoint;
  TransposedCaptures rowReads; ///< of the score, by rows of keys
  bool areAllOuter;            ///< a task is one batch
  mlir::LogicalResult result = mlir::success();

  Code::Values batchSizes, batch;
  llvm::SmallVector<Part, 2> parts;
  llvm::SmallVector<Sum> sums;
  mlir::Value t, s, d, e, paddedD, paddedE, paddedT;
  std::optional<Visibility> visibility;
  // Scratch. Of a batch: rows of all queries, their gradient's sums and where their tiles begin.
  mlir::Value queryRows, gradientRows, querySums, scoreStarts, changeStarts;
  // Of a block of keys: [panel][feature][key], [panel of features][key][feature], and sums.
  mlir::Value keyPanels, valuePanels, keyRows, keySums, valueSums;
  // Of a pair of blocks: P, G, raw scores; queries that see some of a panel of keys, keys that a tile's rows see. With
  // factors: these, P without them, and dO V^T.
  mlir::Value weights, changes, products, firstQuery, lastQuery, firstKey, lastKey;
  mlir::Value factors, wholeWeights, reachingFactors;
  mlir::Value singles;  ///< [sum][lane]
  mlir::Value partSums; ///< of all tasks: [task][query][feature]
};

} // namespace fovea::kernels
