// Masks of an attention chain: what hides keys, whatever their scores are.
#pragma once

#include "compiler/analysis/IndexBounds.h"
#include "compiler/passes/AttentionMatch.h"

namespace fovea {

/// The masks of a matched chain, from its top down.
///
/// A key is hidden where its weight is exactly 0: its score -inf before a softmax, or before what makes 0 of it
/// (sigmoid, max(x, 0)...), or its weight chosen as 0, or a factor 0. The chain between is followed where it is proved
/// to keep that.
class AttentionMasks {
public:
  /// Collects. Both stay the caller's, the ops must not change.
  AttentionMasks(AttentionMatch &match, IndexBounds &bounds);

  /// What hides keys: a selection between the scores and -inf, an addend that is -inf or not; of weights, a selection
  /// between them and 0, a factor.
  struct Mask {
    mlir::Operation *op;                          ///< of the chain
    mlir::Value scores;                           ///< its operand
    llvm::SmallVector<mlir::Value, 2> conditions; ///< where all hold the key is seen ...
    llvm::SmallVector<bool, 2> isInverse;         ///< ... or, for each, where it does not hold
    llvm::SmallVector<llvm::SmallVector<mlir::Operation *>, 2>
        layouts; ///< from `op` to the condition: how its elements are found
    bool isKept; ///< does more than hide: it stays a part of the score
  };
  llvm::SmallVector<Mask> masks;
  /// From the chain's top to the last mask, each the operand's op of the one before.
  llvm::SmallVector<mlir::Operation *> path;

  /// The mask that makes `value` and does nothing else: the score goes past it.
  const Mask *removing(mlir::Value value) const {
    for (const Mask &mask : masks)
      if (!mask.isKept && mask.op == value.getDefiningOp())
        return &mask;
    return nullptr;
  }

private:
  /// What a value is where a key is hidden, so that its weight is exactly 0.
  enum class Hidden { NegativeInfinity, Zero, NotPositive };

  mlir::Value keepsNegativeInfinity(mlir::Operation *op);
  bool isNotZero(mlir::Value value);
  mlir::Value keepsZero(mlir::Operation *op, Hidden &hidden);
  mlir::Value keepsHidden(mlir::Operation *op, Hidden &hidden);
  bool isAddend(mlir::Value addend, llvm::SmallVector<mlir::Operation *> layouts, Mask &mask);
  bool isFactor(mlir::Value factor, Mask &mask);
  bool collectMask(mlir::Operation *op, Hidden hidden);

  AttentionMatch &match;
  IndexBounds &bounds;
};

} // namespace fovea
