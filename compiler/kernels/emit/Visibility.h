// Which tiles of an attention see nothing, everything, or a part: interval analysis of the mask region, as code.
//
// The region is read as a formula over t and j (MaskFormula). Comparisons of integers are decided by ranges over a box
// of queries and keys, with the interval rules of the elementwise table (MaskRules: a band `|t - j| <= w` as well as
// affine forms); a part that depends on one axis alone (a padding mask, document ids) is summarised over a block of
// that axis when the kernel runs. What cannot be decided counts as "a part": the tile then runs the mask.
#pragma once

#include "compiler/kernels/Target.h"
#include "compiler/kernels/emit/MaskRules.h"
#include "compiler/kernels/emit/MicroKernel.h"
#include "dialects/kernel/KernelDialect.h"

#include "mlir/IR/IRMapping.h"

namespace fovea::kernels {

/// Indices and truth values of the code being written.
struct CodeDomain {
  using Index = mlir::Value;
  using Truth = mlir::Value;
  Code &code;

  Index index(int64_t value) { return code.index(value); }
  Index add(Index a, Index b) { return code.add(a, b); }
  Index sub(Index a, Index b) { return code.sub(a, b); }
  Index mul(Index a, Index b) { return code.mul(a, b); }
  Index min(Index a, Index b) { return code.min(a, b); }
  Index max(Index a, Index b) { return code.max(a, b); }
  Index divide(Index x, int64_t by, bool floors);
  Index select(Truth condition, Index a, Index b);
  bool isAtLeast(Index x, int64_t bound) { return formula::constantOf(x).value_or(bound - 1) >= bound; }
  Truth truth(bool value) { return code.boolean(value); }
  Truth less(Index a, Index b) { return code.less(a, b); }
  Truth lessOrEqual(Index a, Index b) { return code.compare(mlir::arith::CmpIPredicate::sle, a, b); }
  Truth equal(Index a, Index b) { return code.equal(a, b); }
  Truth both(Truth a, Truth b) { return code.logicalAnd(a, b); }
  Truth either(Truth a, Truth b) { return code.logicalOr(a, b); }
  Truth negate(Truth a) { return code.logicalNot(a); }
};

class Visibility {
public:
  using Rules = MaskRules<CodeDomain>;
  using Box = Rules::Box;
  /// Scalars of i1.
  using Answer = Rules::Answer;

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
  Visibility(const Visibility &) = delete;

  /// Conditions that are summarised over tiles.
  int64_t tiledConditions() const { return tiles ? formula.tiled().size() : 0; }

  bool hasMask() const { return formula.hasMask(); }
  /// Emits loops over the queries of `box` for what depends on t alone. Boxes asked for later lie within.
  void summarizeQueries(const Box &box);
  /// The same for keys.
  void summarizeKeys(const Box &box);
  /// Parts that depend on keys alone: a summary has two numbers of each.
  int64_t keyParts() const { return partsOn(MaskFormula::keys).size(); }
  /// The summary of the keys of `box` as index numbers in place of knowing it; none where it can't be made.
  llvm::SmallVector<mlir::Value> keySummary(const Box &box);
  /// Knows the summary of a block of keys that keySummary has given.
  void knowKeys(mlir::ValueRange numbers);
  /// Whether a summary of keys is different from one index of batch axis `axis` to the next.
  bool keysDependOn(unsigned axis) const;
  /// The same for tiles, of all the task's queries and a block of keys.
  void summarizeTiles(const Box &box);
  /// Cheap: a few scalar instructions. Sound for every sub-box of those summarised.
  Answer query(const Box &box);

private:
  using Axis = MaskFormula::Axis;
  llvm::SmallVector<mlir::Value> partsOn(unsigned axis) const;
  void summarize(unsigned axis, mlir::Value begin, mlir::Value end);
  llvm::SmallVector<mlir::Value> summaryOf(unsigned axis, mlir::Value begin, mlir::Value end);
  void know(unsigned axis, mlir::ValueRange summary);
  /// `value` at query or key `at` (null: at neither), as a scalar.
  llvm::SmallVector<mlir::Value> evaluate(llvm::ArrayRef<mlir::Value> values, unsigned axis, mlir::Value at);
  mlir::Value toIndex(mlir::Value scalar);
  std::pair<mlir::Value, mlir::Value> summarizeTile(mlir::Value condition, const Box &box);
  Answer tileAnswer(int64_t condition, const Box &box);

  Code &code;
  const Target &target;
  const mlir::IRMapping &outer;
  mlir::ValueRange batch;
  mutable MaskFormula formula; ///< remembers what it was asked
  CodeDomain domain;
  Rules rules;
  bool undecided = false; ///< a leaf could not be evaluated
  std::optional<Tiles> tiles;
  Box tiledBox; ///< of the last summary
};

} // namespace fovea::kernels
