// Scores of several pieces of keys as those of all keys, by algebra: a step that one piece alone takes is one that does
// nothing to the others.
#pragma once

#include "compiler/passes/KeyPieces.h"

namespace fovea {

/// Computes pieces of scores that are joined along an axis as one value. Builds at one place; what a failure leaves is
/// dead.
///
/// Pieces are elementwise functions of contractions that share the queries. Steps that all take are taken of what is
/// joined; a mask, an addend or a factor of some is true, 0 or 1 for the rest.
class ScoreJoiner {
public:
  ScoreJoiner(mlir::OpBuilder &builder, mlir::Location loc, llvm::ArrayRef<mlir::Value> pieces, int64_t axis);

  /// Null where the pieces are not such functions.
  mlir::Value run();
  /// Whether a contraction is behind a value, element by element.
  static bool isOfProduct(mlir::Value value);

private:
  bool findProducts();
  bool dependsOnProduct(mlir::Value value, size_t piece, unsigned depth = 0);
  /// Operands of a piece's op that depend on its product, a bit each.
  unsigned dependent(mlir::Operation *op, size_t piece);
  unsigned length(mlir::Value value, size_t piece);
  bool hasStep(mlir::Value value, size_t piece, mlir::OperationName name);
  void foldTransposes(llvm::SmallVectorImpl<mlir::Value> &pieces);
  mlir::Value joined(llvm::SmallVector<mlir::Value> pieces, int64_t axis);
  mlir::Value joinedProduct(llvm::ArrayRef<mlir::Value> pieces, int64_t axis);
  mlir::Value joinedElementwise(llvm::ArrayRef<mlir::Value> pieces, int64_t axis, unsigned ofProduct);
  mlir::Value joinedLayout(llvm::ArrayRef<mlir::Value> pieces, int64_t axis);
  mlir::Value joinedStep(llvm::ArrayRef<mlir::Value> pieces, int64_t axis);

  mlir::OpBuilder &builder;
  mlir::Location loc;
  llvm::SmallVector<mlir::Value> roots;
  int64_t rootAxis;
  IndexBounds bounds;
  KeyPieces others;                              ///< what does not depend on the products
  llvm::SmallVector<graph::ContractOp> products; ///< of the pieces
  llvm::DenseMap<std::pair<mlir::Value, size_t>, bool> depends;
  unsigned steps = 0;
};

/// Tensors one after another.
mlir::Value concatenated(mlir::OpBuilder &builder, mlir::Location loc, llvm::ArrayRef<mlir::Value> pieces,
                         int64_t axis);

} // namespace fovea
