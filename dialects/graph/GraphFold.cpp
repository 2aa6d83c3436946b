// Folds: rewrites of one op that are numerically exact.
#include "dialects/graph/GraphDialect.h"

using namespace mlir;
using namespace fovea;
using namespace fovea::graph;

OpFoldResult ConstantOp::fold(FoldAdaptor) { return getValueAttr(); }

OpFoldResult DimOp::fold(FoldAdaptor) {
  std::optional<int64_t> value = getSize().getValue().value();
  return value ? Builder(getContext()).getI64IntegerAttr(*value) : OpFoldResult();
}

OpFoldResult CastOp::fold(FoldAdaptor) { return getX().getType() == getType() ? getX() : Value(); }

OpFoldResult BroadcastOp::fold(FoldAdaptor) { return getX().getType() == getType() ? getX() : Value(); }

OpFoldResult ReshapeOp::fold(FoldAdaptor) { return getX().getType() == getType() ? getX() : Value(); }

OpFoldResult TransposeOp::fold(FoldAdaptor) {
  ArrayRef<int64_t> permutation = getPermutation();
  bool identity = llvm::all_of(llvm::enumerate(permutation), [](auto p) { return int64_t(p.index()) == p.value(); });
  return identity ? getX() : Value();
}

OpFoldResult SliceOp::fold(FoldAdaptor) {
  bool whole = getX().getType() == getType() && getStep() == 1 && getStart() && getStart()->getValue().isConstant(0);
  return whole ? getX() : Value();
}

OpFoldResult ConcatOp::fold(FoldAdaptor) { return getXs().size() == 1 ? getXs()[0] : Value(); }

OpFoldResult ReduceOp::fold(FoldAdaptor) { return getAxes().empty() ? getX() : Value(); }
