// What one element of a graph value is, as an expression: layout ops vanish, so that algebra does not see spellings.
#pragma once

#include "dialects/dim/DimExpr.h"
#include "dialects/graph/GraphDialect.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseSet.h"

#include <map>
#include <optional>
#include <vector>

namespace fovea {

/// An index variable with a size. A tensor's axis is indexed by a list of labels, outermost first (a mixed radix): a
/// reshape that merges axes joins lists, one that splits an axis takes a list apart, an axis of one element has none.
using Label = int32_t;
using AxisLabels = llvm::SmallVector<Label, 2>;
using TensorLabels = llvm::SmallVector<AxisLabels, 4>;

/// Elements of graph values as hash-consed expressions over labels: two elements that differ in layout ops, in the
/// order of commutative operands or in the names of bound indices only are the same node.
///
/// Sees through elementwise ops, constants, sizes, broadcast, transpose, reshape (where it splits and merges whole
/// axes), and reduce; everything else is a leaf. Where a reshape splits a label, the label is replaced by two and all
/// nodes made before are void: `solve` runs a computation again until no split is asked for.
class ElementExpressions {
public:
  struct Node {
    enum Kind { Leaf, Op, Reduce } kind;
    mlir::Value value;   ///< A value (the leaf's, or one that was found to have this element) ...
    TensorLabels labels; ///< ... and the labels at which `value` is this element.
    std::vector<const Node *> children;
    llvm::SmallVector<Label> bound; ///< Reduce: the labels over which it runs.
    llvm::SmallVector<Label> free;  ///< Labels on which the element depends, ascending.

    mlir::Operation *op() const { return value.getDefiningOp(); }
    template <typename T> T dynOp() const { return kind == Leaf ? T() : llvm::dyn_cast_or_null<T>(op()); }
    bool dependsOn(Label label) const { return llvm::is_contained(free, label); }
    bool dependsOnAny(llvm::ArrayRef<Label> labels) const {
      return llvm::any_of(labels, [&](Label label) { return dependsOn(label); });
    }
  };

  /// A label of its own, for the axis of a root. Axes of one element have no labels.
  Label newLabel(DimExpr size);
  /// Labels for all axes of a root value.
  TensorLabels newLabels(graph::TensorType type);
  /// The labels that stand for `labels` after splits.
  AxisLabels expand(llvm::ArrayRef<Label> labels) const;
  TensorLabels expand(const TensorLabels &labels) const;
  DimExpr sizeOf(Label label) const { return sizes[label]; }
  DimExpr sizeOf(llvm::ArrayRef<Label> labels) const;

  /// Makes leaves of all but the last operations of the block, at most `most` (layouts and constants aside), that
  /// `root` is made of, through one contraction at most: the work is then bounded however deep the model is. What
  /// becomes a leaf is one wherever it is read, so what is equal above it stays equal.
  void seeNear(mlir::Operation *root, unsigned most);

  /// Labels at which a layout op reads its operand; nullopt where a reshape does not follow them, or a split was
  /// needed.
  std::optional<TensorLabels> through(mlir::Operation *layout, const TensorLabels &labels);
  /// Whether a split was asked for: what is computed of elements now is void.
  bool isVoid() const { return wasSplit; }
  /// The element of `value` at `labels`; null where a split was needed (see `solve`).
  const Node *element(mlir::Value value, const TensorLabels &labels);
  /// The element of a reduction's operand with `replacement` for its bound labels.
  const Node *reduced(const Node *reduce, llvm::ArrayRef<Label> replacement);

  /// Runs `compute` until it needs no further split. `compute` expands the labels that it starts from.
  template <typename F> auto solve(F compute) {
    for (int round = 0;; ++round) {
      wasSplit = false;
      auto result = compute();
      if (!wasSplit || round == 64) // at the bound `element` has given null: nothing was found
        return result;
      nodes.clear();
      memo.clear();
    }
  }

private:
  using Key = std::vector<uintptr_t>;
  const Node *compute(mlir::Value value, const TensorLabels &labels);
  const Node *intern(Key key, Node node);
  const Node *leaf(mlir::Value value, const TensorLabels &labels);
  const Node *operation(mlir::Operation *op, const TensorLabels &labels);
  const Node *reduction(graph::ReduceOp op, const TensorLabels &labels);
  /// Labels of a reshape's operand; nullopt where it is not made of splits and merges.
  std::optional<TensorLabels> regroup(const TensorLabels &labels, graph::TensorType to);
  bool split(Label label, DimExpr outer);
  Label boundLabel(unsigned height, unsigned ordinal, DimExpr size);
  /// How many reductions are nested in what `value` sees through.
  unsigned height(mlir::Value value, unsigned depth = 0);

  std::vector<DimExpr> sizes;
  std::map<Label, std::pair<Label, Label>> splits;
  std::map<std::tuple<unsigned, unsigned, const void *>, Label> boundLabels;
  std::map<Key, Node> nodes;
  std::map<Key, const Node *> memo;
  llvm::DenseMap<mlir::Value, unsigned> heights;
  std::optional<llvm::DenseSet<mlir::Operation *>> near; ///< null: all are seen through
  bool wasSplit = false;
  unsigned depth = 0;
};

/// Labels of contractions' operands. Those that are no result's are made once, so that they stay the same from one
/// round of `solve` to the next.
class ContractionLabels {
public:
  explicit ContractionLabels(ElementExpressions &expressions) : expressions(expressions) {}

  /// The labels of an operand, where the axes that `contract` calls `known` have `knownLabels`.
  TensorLabels operand(graph::ContractOp contract, bool isLhs, llvm::ArrayRef<int64_t> known,
                       const TensorLabels &knownLabels);
  /// The label that `op` has for `axis`.
  Label own(mlir::Operation *op, int64_t axis, DimExpr size);

private:
  ElementExpressions &expressions;
  std::map<std::pair<mlir::Operation *, int64_t>, Label> labels;
};

/// All labels of a tensor.
llvm::SmallVector<Label> flat(const TensorLabels &labels);

/// Rebuilds a tensor whose axes have labels `from` so that its axes have labels `to`, by reshape, transpose and
/// broadcast (labels of `to` that `from` has not are new axes). Every label of `from` must occur in `to`. Builds
/// nothing where nothing changes.
mlir::Value relabel(mlir::OpBuilder &builder, mlir::Location loc, const ElementExpressions &expressions,
                    mlir::Value value, const TensorLabels &from, const TensorLabels &to);

/// The value of a scalar constant behind broadcasts, reshapes, casts and exact negation; nullopt otherwise.
std::optional<double> constantValue(mlir::Value value);

/// Whether an op only moves elements (broadcast, transpose, reshape).
bool isLayout(mlir::Operation *op);

/// Whether an op converts floats to floats.
bool isFloatCast(mlir::Operation *op);

/// Whether an op widens f16 or bf16 to f32, which is exact.
bool isWidening(mlir::Operation *op);

/// Whether two ops are the same function, of whatever operands.
bool isSameFunction(mlir::Operation *a, mlir::Operation *b);

/// The result, of this type, of a copy of `op` with other operands.
mlir::Value withOperands(mlir::OpBuilder &builder, mlir::Operation *op, mlir::ValueRange operands,
                         graph::TensorType type);

} // namespace fovea
