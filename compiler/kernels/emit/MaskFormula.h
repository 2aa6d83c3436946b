// A mask region as a formula over a query t and a key j: what its parts depend on, and which of them are summarised.
#pragma once

#include "dialects/graph/Intervals.h"
#include "dialects/kernel/KernelDialect.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Block.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/SetVector.h"

#include <optional>

namespace fovea::kernels {

class MaskFormula {
public:
  enum Axis : unsigned { none = 0, queries = 1, keys = 2, both = 3 };

  /// `mask`: block arguments are batch indices, then t and j; its terminator yields an i1. Null: everything is visible.
  explicit MaskFormula(mlir::Block *mask);
  /// Of integers of a score region, whose last arguments are t and j likewise, in place of a condition.
  MaskFormula(mlir::Block *region, llvm::ArrayRef<mlir::Value> integers);

  bool hasMask() const { return mask; }
  mlir::Block *block() const { return mask; }
  mlir::Value condition() const { return mask->getTerminator()->getOperand(0); }
  mlir::Value query() const { return mask->getArgument(mask->getNumArguments() - 2); }
  mlir::Value key() const { return mask->getArguments().back(); }

  /// The axes that `value` depends on; none for what is the same over the whole mask, up to the batch.
  unsigned dependence(mlir::Value value);
  /// What is summarised over a block of its axis, before tiles are decided: the parts that depend on one axis at most,
  /// as integers in a comparison or as conditions of their own.
  llvm::ArrayRef<mlir::Value> summarised() const { return leaves; }
  /// Conditions that read memory by query and key: where queries are many, they are evaluated over tiles.
  llvm::ArrayRef<mlir::Value> tiled() const { return tiles; }
  /// The ops of the mask that `values` need.
  llvm::SetVector<mlir::Operation *> sliceOf(llvm::ArrayRef<mlir::Value> values) const;

private:
  void collect(mlir::Value condition);
  bool collectRange(mlir::Value value);
  void addLeaf(mlir::Value value);
  bool readsMemory(mlir::Value value) const;

  mlir::Block *mask;
  llvm::DenseMap<mlir::Value, unsigned> dependences;
  llvm::SmallVector<mlir::Value> leaves, tiles;
};

/// How formulas are read; each of them looks at one op.
namespace formula {
bool isInteger(mlir::Value value);
std::optional<int64_t> constantOf(mlir::Value value);
/// The operand that `op` negates, where it is `x xor true`.
mlir::Value negated(mlir::Operation *op);
bool isConversion(mlir::Operation *op);
/// How the range of an integer op follows from its operands'. Of 64 bits: what wraps around in 32 is no interval.
graph::IntervalRule ruleOf(mlir::Operation *op);
/// x of `(x xor c) < 0` with c at least 0, which is x < 0: how a floored division asks for the sign.
mlir::Value testedForSign(mlir::arith::CmpIOp op);
} // namespace formula

} // namespace fovea::kernels
