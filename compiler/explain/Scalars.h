// Regions of graph.attention, read: their values as text, and as sums of the query, the key and what is the same for
// all.
#pragma once

#include "dialects/graph/GraphDialect.h"

#include "mlir/IR/Block.h"
#include "llvm/ADT/DenseMap.h"

#include <optional>
#include <string>

namespace fovea::explain {

/// What a tensor is called: the name in the signature, the dotted path, or the op that computes it.
std::string tensorName(mlir::Value tensor);
/// "f32[B, T, 64]"
std::string tensorText(graph::TensorType type);

/// Values of a score region (s, batch..., t, j) or a mask region (batch..., t, j) as formulas over s, b0, b1, ..., t,
/// j.
class RegionReader {
public:
  explicit RegionReader(mlir::Block *block);

  mlir::Value query() const { return block->getArgument(block->getNumArguments() - 2); }
  mlir::Value key() const { return block->getArguments().back(); }
  mlir::Value result() const { return block->getTerminator()->getOperand(0); }

  /// Of long formulas the beginning.
  std::string text(mlir::Value value);
  bool dependsOn(mlir::Value value, mlir::Value argument);
  bool readsTensor(mlir::Value value);

  /// t * query + j * key + rest + (the sum of `uniform`, which depend on neither and are no sizes).
  struct Affine {
    int64_t query = 0, key = 0;
    DimExpr rest = DimExpr(0);
    llvm::SmallVector<std::pair<mlir::Value, int64_t>, 1> uniform; ///< value, factor
  };
  std::optional<Affine> affine(mlir::Value value);

private:
  std::string textOf(mlir::Value value, int precedence);
  std::string opText(mlir::Operation *op, int precedence);
  std::string rowText(mlir::Value tensor, mlir::ValueRange indices, int64_t axis);
  std::string argumentText(mlir::BlockArgument argument) const;
  std::string callText(llvm::StringRef name, mlir::Operation *op);
  std::optional<std::string> floored(mlir::Operation *op, int precedence);
  std::optional<Affine> affineOf(mlir::Value value);

  mlir::Block *block;
  bool hasScore;
  /// Values are shared: without an end a formula may be longer than memory.
  unsigned budget = 0;
  llvm::DenseMap<std::pair<mlir::Value, mlir::Value>, bool> dependences;
  llvm::DenseMap<mlir::Value, bool> reads;
};

/// `a - b`, `a * factor`; nullopt where numbers overflow.
std::optional<RegionReader::Affine> difference(const RegionReader::Affine &a, const RegionReader::Affine &b);
std::optional<RegionReader::Affine> scaled(RegionReader::Affine a, int64_t factor);

} // namespace fovea::explain
