// A contraction as kernel.matmul: labels become batch axes, M, N and K; the group's elementwise ops the epilogue.
#include "compiler/kernels/lower/KernelBuilder.h"

using namespace mlir;

namespace fovea::kernels {

namespace {

using Labels = SmallVector<int64_t>;

bool has(ArrayRef<int64_t> labels, int64_t label) { return llvm::is_contained(labels, label); }

/// One operand: a view whose axes have labels.
struct Labelled {
  Value base;
  View view;
  Labels labels;

  /// Axes in the order of `to`; labels that this operand has not become axes of stride 0 with the size that `sizes`
  /// gives.
  View arranged(ArrayRef<int64_t> to, const DenseMap<int64_t, DimExpr> &sizes) const {
    View out;
    out.offset = view.offset;
    for (int64_t label : to) {
      auto it = llvm::find(labels, label);
      bool found = it != labels.end();
      out.dims.push_back(found ? view.dims[it - labels.begin()] : sizes.lookup(label));
      out.strides.push_back(found ? view.strides[it - labels.begin()] : DimExpr(0));
    }
    return out;
  }
};

/// The longest tail of `labels` that is one axis of `operand`; the rest is returned, as batch axes.
Labels splitUnmergeable(Labels &labels, const Labelled &operand, const DenseMap<int64_t, DimExpr> &sizes) {
  View view = operand.arranged(labels, sizes);
  size_t first = labels.size() - (labels.empty() ? 0 : 1);
  while (first > 0 && view.merged(first - 1, labels.size() - 1))
    --first;
  Labels rest(labels.begin(), labels.begin() + first);
  labels.erase(labels.begin(), labels.begin() + first);
  return rest;
}

DimExpr product(ArrayRef<int64_t> labels, const DenseMap<int64_t, DimExpr> &sizes) {
  DimExpr total(1);
  for (int64_t label : labels)
    total = total * sizes.lookup(label);
  return total;
}

/// [batch..., rows, columns] where either may be several labels that merge, or none: an axis of one element.
View matrixView(const Labelled &operand, ArrayRef<int64_t> batch, ArrayRef<int64_t> rows, ArrayRef<int64_t> columns,
                const DenseMap<int64_t, DimExpr> &sizes) {
  View out = operand.arranged(batch, sizes);
  for (ArrayRef<int64_t> axis : {rows, columns}) {
    View part = operand.arranged(axis, sizes);
    if (axis.size() > 1)
      part = *part.merged(0, axis.size() - 1);
    out.dims.push_back(axis.empty() ? DimExpr(1) : part.dims[0]);
    out.strides.push_back(axis.empty() ? DimExpr(0) : part.strides[0]);
  }
  return out;
}

/// A contraction as products of matrices.
class Matrices {
public:
  Matrices(graph::ContractOp contract, Labelled left, Labelled right);

  View left() const { return matrixView(lhs, batch, m, {k}, sizes); }
  View right() const { return isPacked ? rhs.view : matrixView(rhs, batch, {k}, n, sizes); }
  DimExpr columns() const { return product(n, sizes); }
  SmallVector<DimExpr> extents(ArrayRef<int64_t> labels) const {
    return llvm::map_to_vector(labels, [&](int64_t label) { return sizes.lookup(label); });
  }

  Labelled lhs, rhs;
  bool isPacked, isSwapped = false;
  Labels batch, m, n; ///< labels by what they are to the kernel, each list in the order of the result

private:
  int64_t k = -1;
  DenseMap<int64_t, DimExpr> sizes;
};

Matrices::Matrices(graph::ContractOp contract, Labelled left, Labelled right)
    : lhs(std::move(left)), rhs(std::move(right)), isPacked(contract.getPacked()) {
  ArrayRef<int64_t> out = contract.getOutLabels();
  // The result's last axis is the kernel's N, so that stores are contiguous; packed panels are rhs anyway.
  if (!isPacked && !out.empty() && !has(rhs.labels, out.back()))
    isSwapped = true, std::swap(lhs, rhs);
  for (auto [label, dim] : llvm::zip(out, contract.getType().getDims()))
    sizes[label] = dim;
  for (int64_t label : out)
    (has(lhs.labels, label) ? has(rhs.labels, label) ? batch : m : n).push_back(label);
  for (auto [label, dim] : llvm::zip(lhs.labels, lhs.view.dims))
    if (!has(out, label)) {
      k = label;
      sizes[label] = dim;
    }
  llvm::append_range(batch, splitUnmergeable(m, lhs, sizes));
  if (!isPacked)
    llvm::append_range(batch, splitUnmergeable(n, rhs, sizes));
}

} // namespace

LogicalResult KernelBuilder::buildMatmul() {
  auto contract = *group.getBody().front().getOps<graph::ContractOp>().begin();
  auto labelled = [&](Value inner, ArrayRef<int64_t> labels) {
    const Storage &storage = storageOf(outer(inner));
    return Labelled{storage.base, storage.view, Labels(labels)};
  };
  if (!isa<BlockArgument>(contract.getLhs()) || !isa<BlockArgument>(contract.getRhs()))
    return contract.emitError("internal: a contraction whose operands are not in memory");
  Matrices matrices(contract, labelled(contract.getLhs(), contract.getLhsLabels()),
                    labelled(contract.getRhs(), contract.getRhsLabels()));
  bool isSwapped = matrices.isSwapped;
  Value leftMemref = memref(matrices.lhs.base, matrices.left()),
        rightMemref = memref(matrices.rhs.base, matrices.right());
  auto matmul =
      kernel::MatmulOp::create(prologue, loc, leftMemref, rightMemref, size(matrices.columns()), matrices.isPacked,
                               isSwapped ? contract.getHiddenRhs() : contract.getHiddenLhs(),
                               isSwapped ? contract.getHiddenLhs() : contract.getHiddenRhs(), contract.getKBlock());
  Block &block = matmul.getEpilogue().empty() ? matmul.getEpilogue().emplaceBlock() : matmul.getEpilogue().front();
  Type elementType = contract.getType().getElementType();
  bool isExact = isa<IntegerType>(elementType);
  Value acc = block.addArgument(isExact ? Type(prologue.getI32Type()) : prologue.getF32Type(), loc);
  DenseMap<int64_t, Value> coordinate;
  for (int64_t label : matrices.batch)
    coordinate[label] = block.addArgument(prologue.getIndexType(), loc);
  Value mIndex = block.addArgument(prologue.getIndexType(), loc),
        nIndex = block.addArgument(prologue.getIndexType(), loc);

  enter(block, [&, acc](Value tensor, ValueRange, Value) -> FailureOr<Value> {
    if (tensor != contract.getResult())
      return group.emitError("internal: an epilogue holds an op that has no elements: ") << tensor;
    return elementType == acc.getType() ? acc : arith::TruncFOp::create(body, loc, elementType, acc).getResult();
  });
  auto spread = [&](ArrayRef<int64_t> labels, Value index) {
    SmallVector<Value> digits = points->delinearize(index, matrices.extents(labels), loc);
    for (auto [label, digit] : llvm::zip(labels, digits))
      coordinate[label] = digit;
    merged.push_back({index, digits});
  };
  spread(matrices.m, mIndex);
  spread(matrices.n, nIndex);
  SmallVector<Value> at =
      llvm::map_to_vector(contract.getOutLabels(), [&](int64_t label) { return coordinate.lookup(label); });
  Operation *yield = group.getBody().front().getTerminator();
  for (auto [result, value] : llvm::zip(group.getResults(), yield->getOperands())) {
    FailureOr<Value> element = points->element(value, at);
    if (failed(element))
      return failure();
    store(*element, storageOf(result), at);
  }
  kernel::YieldOp::create(body, loc, ValueRange());
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block)))
    if (isOpTriviallyDead(&op)) // digits that every access has merged again
      op.erase();
  return success();
}

} // namespace fovea::kernels
