#include "compiler/passes/IndexedProduct.h"

#include "compiler/analysis/IndexSpread.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace fovea;

static constexpr int64_t tileQueries = 64, tileKeys = 64; ///< at most, on any target

namespace {
/// An operand of a contraction whose result is read at `indices`: its indices but that of the summed axis.
struct ProductOperand {
  Value tensor;
  int64_t axis = -1; ///< summed
  SmallVector<Value> indices;

  ProductOperand(graph::ContractOp product, bool isLhs, ValueRange at)
      : tensor(isLhs ? product.getLhs() : product.getRhs()) {
    for (auto [i, label] : llvm::enumerate(isLhs ? product.getLhsLabels() : product.getRhsLabels())) {
      auto out = llvm::find(product.getOutLabels(), label);
      if (out == product.getOutLabels().end())
        axis = i;
      else
        indices.push_back(at[out - product.getOutLabels().begin()]);
    }
  }
  bool hasOneSum() const { return int64_t(indices.size()) == cast<graph::TensorType>(tensor.getType()).getRank() - 1; }
};
} // namespace

/// An index without conversions.
static Value plain(Value index) {
  while (auto cast = index.getDefiningOp<arith::IndexCastOp>())
    index = cast.getIn();
  return index;
}

/// Whether `row` is read by the query (or by the key) and `moving` in few places for each tile.
static bool isIndexed(ProductOperand &row, ProductOperand &moving, Block &block) {
  Value query = block.getArgument(block.getNumArguments() - 2), key = block.getArguments().back();
  Value place;
  for (Value &index : row.indices) {
    IndexDependence on = dependenceOf(index, block);
    if (on.any() && (place || (plain(index) != query && plain(index) != key)))
      return false;
    if (on.any())
      place = index = plain(index);
  }
  Value at;
  for (Value index : moving.indices)
    if (dependenceOf(index, block).any()) {
      if (at || !indexSpread(index, block, tileQueries, tileKeys))
        return false;
      at = index;
    }
  // One that is read where the scores are would have become a part of them, if that paid.
  if (!place || !at || plain(at) == query || plain(at) == key)
    return false;
  IndexDependence on = dependenceOf(at, block);
  return place == query ? on.key : on.query;
}

/// Whether what moves runs over few rows: holding the product costs no more than its queries do.
static bool hasFewRows(const ProductOperand &moving, Block &block) {
  for (auto [i, index] : llvm::enumerate(moving.indices)) {
    int64_t axis = int64_t(i) + (int64_t(i) >= moving.axis);
    std::optional<int64_t> size = cast<graph::TensorType>(moving.tensor.getType()).getDim(axis).value();
    if (dependenceOf(index, block).any() && size && *size <= tileKeys)
      return true;
  }
  return false;
}

graph::DotOp fovea::buildDot(OpBuilder &builder, graph::ContractOp product, ValueRange indices) {
  Block &block = *builder.getInsertionBlock();
  for (bool rowIsLhs : {true, false}) {
    ProductOperand row(product, rowIsLhs, indices), moving(product, !rowIsLhs, indices);
    if (product.getPacked() || !row.hasOneSum() || !moving.hasOneSum())
      return {};
    if (!isIndexed(row, moving, block))
      continue;
    if (hasFewRows(moving, block))
      return {};
    return graph::DotOp::create(builder, product.getLoc(), builder.getF32Type(), row.tensor, moving.tensor, row.indices,
                                moving.indices, row.axis, moving.axis);
  }
  return {};
}
