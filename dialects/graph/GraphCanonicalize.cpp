// Canonical forms, all numerically exact: broadcasts towards results, transposes, broadcasts and repetitions into
// contractions' labels.
#include "dialects/graph/Places.h"
#include "dialects/graph/TypeFacts.h"

#include "mlir/IR/PatternMatch.h"

#include <cmath>

using namespace mlir;
using namespace fovea;
using namespace fovea::graph;

namespace {

//===-- Constants -------------------------------------------------------------------------------------------------===//

/// f(broadcast a, broadcast b) of scalar constants is broadcast f(a, b), which folds.
struct ElementwiseOfScalars : OpInterfaceRewritePattern<ElementwiseOpInterface> {
  using OpInterfaceRewritePattern::OpInterfaceRewritePattern;
  LogicalResult matchAndRewrite(ElementwiseOpInterface op, PatternRewriter &rewriter) const override {
    auto type = typeOf(op->getResult(0));
    if (type.getRank() == 0)
      return failure();
    SmallVector<Value> scalars;
    for (Value operand : op->getOperands()) {
      auto broadcast = operand.getDefiningOp<BroadcastOp>();
      if (!broadcast || !broadcast.getAxes().empty() || !broadcast.getX().getDefiningOp<ConstantOp>())
        return failure();
      scalars.push_back(broadcast.getX());
    }
    OperationState state(op->getLoc(), op->getName());
    state.addOperands(scalars);
    state.addTypes(type.cloneWith(ArrayRef<DimExpr>()));
    state.propertiesAttr = op->getPropertiesAsAttribute();
    Value scalar = rewriter.create(state)->getResult(0);
    rewriter.replaceOpWithNewOp<BroadcastOp>(op, type, scalar, ArrayRef<int64_t>());
    return success();
  }
};

/// Whether a float is the same number everywhere.
bool isNumber(Value value, double number) {
  if (auto broadcast = value.getDefiningOp<BroadcastOp>(); broadcast && broadcast.getAxes().empty())
    value = broadcast.getX();
  auto constant = value.getDefiningOp<ConstantOp>();
  auto found = constant ? dyn_cast<FloatAttr>(constant.getValueAttr()) : FloatAttr();
  return found && found.getValueAsDouble() == number && !std::signbit(found.getValueAsDouble());
}

/// A choice between the floats 1 and 0 is its condition as a number.
struct SelectOfNumbers : OpRewritePattern<SelectOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(SelectOp op, PatternRewriter &rewriter) const override {
    Value condition = op.getCondition();
    if (isNumber(op.getLhs(), 0) && isNumber(op.getRhs(), 1))
      condition = NotOp::create(rewriter, withPath(op.getLoc(), ""), condition).getResult();
    else if (!isNumber(op.getLhs(), 1) || !isNumber(op.getRhs(), 0))
      return failure();
    rewriter.replaceOpWithNewOp<CastOp>(op, op.getResult().getType(), condition);
    return success();
  }
};

/// 1 - c, of a condition as a number, is what holds where c does not.
struct ComplementOfCondition : OpRewritePattern<SubOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(SubOp op, PatternRewriter &rewriter) const override {
    auto number = op.getRhs().getDefiningOp<CastOp>();
    if (!isNumber(op.getLhs(), 1) || !number || !typeOf(number.getX()).getElementType().isInteger(1))
      return failure();
    Value condition = NotOp::create(rewriter, withPath(op.getLoc(), ""), number.getX()).getResult();
    rewriter.replaceOpWithNewOp<CastOp>(op, op.getResult().getType(), condition);
    return success();
  }
};

/// A layout op of a scalar spread everywhere is that scalar spread over the result.
template <typename OpT> struct LayoutOfScalar : OpRewritePattern<OpT> {
  using OpRewritePattern<OpT>::OpRewritePattern;
  LogicalResult matchAndRewrite(OpT op, PatternRewriter &rewriter) const override {
    auto broadcast = op.getX().template getDefiningOp<BroadcastOp>();
    if (!broadcast || !broadcast.getAxes().empty() || op->getNumOperands() != 1)
      return failure();
    rewriter.replaceOpWithNewOp<BroadcastOp>(op, op.getType(), broadcast.getX(), ArrayRef<int64_t>());
    return success();
  }
};

//===-- Layouts ---------------------------------------------------------------------------------------------------===//

/// transpose(broadcast x) is broadcast(transpose x), or broadcast x where x's axes keep their order.
struct TransposeOfBroadcast : OpRewritePattern<TransposeOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(TransposeOp op, PatternRewriter &rewriter) const override {
    auto broadcast = op.getX().getDefiningOp<BroadcastOp>();
    if (!broadcast)
      return failure();
    SmallVector<int64_t> axes, permutation; // where x's axes come to stand, in the order of the result
    for (auto [i, axis] : llvm::enumerate(op.getPermutation())) {
      auto it = llvm::find(broadcast.getAxes(), axis);
      if (it == broadcast.getAxes().end())
        continue;
      axes.push_back(i);
      permutation.push_back(it - broadcast.getAxes().begin());
    }
    Value x = broadcast.getX();
    if (!llvm::is_sorted(permutation)) {
      auto dims = llvm::map_to_vector(permutation, [&](int64_t axis) { return typeOf(x).getDim(axis); });
      x = TransposeOp::create(rewriter, withPath(op.getLoc(), ""), typeOf(x).cloneWith(dims), x, permutation);
    }
    rewriter.replaceOpWithNewOp<BroadcastOp>(op, op.getType(), x, axes);
    return success();
  }
};

/// A slice at a fixed start along an axis that a broadcast adds: the broadcast adds less.
struct SliceOfBroadcast : OpRewritePattern<SliceOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(SliceOp op, PatternRewriter &rewriter) const override {
    auto broadcast = op.getX().getDefiningOp<BroadcastOp>();
    // A start that is an operand is checked when the program runs, so it has to stay.
    if (!broadcast || op.getOffset() || llvm::is_contained(broadcast.getAxes(), int64_t(op.getAxis())))
      return failure();
    rewriter.replaceOpWithNewOp<BroadcastOp>(op, op.getType(), broadcast.getX(), broadcast.getAxes());
    return success();
  }
};

/// Operands of size 0 along the axis add nothing.
struct ConcatOfNothing : OpRewritePattern<ConcatOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ConcatOp op, PatternRewriter &rewriter) const override {
    SmallVector<Value> kept;
    for (Value x : op.getXs())
      if (!typeOf(x).getDim(op.getAxis()).isConstant(0))
        kept.push_back(x);
    if (kept.size() == op.getXs().size() || kept.empty())
      return failure();
    rewriter.modifyOpInPlace(op, [&] { op.getXsMutable().assign(kept); });
    return success();
  }
};

//===-- Contractions ----------------------------------------------------------------------------------------------===//

/// One operand of a contraction with its labels.
struct Factor {
  Value value;
  SmallVector<int64_t> labels;
};

/// The factor without a transpose that made it.
bool stripTranspose(Factor &factor) {
  auto transpose = factor.value.getDefiningOp<TransposeOp>();
  if (!transpose)
    return false;
  SmallVector<int64_t> labels(factor.labels.size());
  for (auto [label, axis] : llvm::zip(factor.labels, transpose.getPermutation()))
    labels[axis] = label;
  factor = {transpose.getX(), std::move(labels)};
  return true;
}

/// The factor without those axes of a broadcast that the other factor has as well and the result keeps: a batch axis
/// becomes one that is free in the other. A summed axis has to stay: its sum has that many terms.
bool stripBroadcast(Factor &factor, const Factor &other, ArrayRef<int64_t> out, PatternRewriter &rewriter) {
  auto broadcast = factor.value.getDefiningOp<BroadcastOp>();
  if (!broadcast)
    return false;
  SmallVector<int64_t> labels, axes; // of what is left
  SmallVector<DimExpr> dims;
  bool isWhole = true; // nothing but x's own axes is left
  for (auto [axis, label] : llvm::enumerate(factor.labels)) {
    bool isNew = !llvm::is_contained(broadcast.getAxes(), int64_t(axis));
    if (isNew && llvm::is_contained(other.labels, label) && llvm::is_contained(out, label))
      continue;
    if (isNew)
      isWhole = false;
    else
      axes.push_back(labels.size());
    labels.push_back(label);
    dims.push_back(typeOf(factor.value).getDim(axis));
  }
  if (labels.size() == factor.labels.size())
    return false;
  Value x = broadcast.getX();
  if (!isWhole)
    x = BroadcastOp::create(rewriter, withPath(broadcast.getLoc(), ""), typeOf(x).cloneWith(dims), x, axes);
  factor = {x, std::move(labels)};
  return true;
}

/// Transposes and broadcasts of operands become labels.
struct ContractOfLayouts : OpRewritePattern<ContractOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(ContractOp op, PatternRewriter &rewriter) const override {
    if (op.getPacked())
      return failure();
    Factor lhs{op.getLhs(), llvm::to_vector(op.getLhsLabels())}, rhs{op.getRhs(), llvm::to_vector(op.getRhsLabels())};
    bool changed = false;
    while (stripTranspose(lhs) || stripTranspose(rhs) || stripBroadcast(lhs, rhs, op.getOutLabels(), rewriter) ||
           stripBroadcast(rhs, lhs, op.getOutLabels(), rewriter))
      changed = true;
    if (!changed)
      return failure();
    rewriter.modifyOpInPlace(op, [&] {
      op.getLhsMutable().assign(lhs.value);
      op.getRhsMutable().assign(rhs.value);
      op.setLhsLabels(lhs.labels);
      op.setRhsLabels(rhs.labels);
    });
    return success();
  }
};

/// The axis of `merged` that joins two of `x`, of which one is new in the broadcast that made x; -1 where there is
/// none.
int64_t repeatedAxis(ReshapeOp merged, BroadcastOp x) {
  ArrayRef<DimExpr> from = typeOf(x).getDims(), to = typeOf(merged).getDims();
  if (from.size() != to.size() + 1)
    return -1;
  for (size_t axis = 0; axis < to.size(); ++axis) {
    bool isOld = llvm::is_contained(x.getAxes(), int64_t(axis)) && llvm::is_contained(x.getAxes(), int64_t(axis) + 1);
    if (!isOld && from.take_front(axis) == to.take_front(axis) && from.drop_front(axis + 2) == to.drop_front(axis + 1))
      return axis;
  }
  return -1;
}

/// `values` with `pair` in the place of one of them.
template <typename T> SmallVector<T> split(ArrayRef<T> values, size_t at, ArrayRef<T> pair) {
  SmallVector<T> result(values.take_front(at));
  result.append(pair.begin(), pair.end());
  result.append(values.begin() + at + 1, values.end());
  return result;
}

/// An operand whose batch axis repeats another (heads of keys, each for several of queries) gets the two axes again
/// that were joined, and so does all that shares them: then the repetition is a broadcast, which becomes a label less.
struct ContractOfRepeats : OpRewritePattern<ContractOp> {
  using OpRewritePattern::OpRewritePattern;

  LogicalResult matchAndRewrite(ContractOp op, PatternRewriter &rewriter) const override {
    Factor lhs{op.getLhs(), llvm::to_vector(op.getLhsLabels())}, rhs{op.getRhs(), llvm::to_vector(op.getRhsLabels())};
    return success(!op.getPacked() && (rewrite(op, lhs, rhs, lhs, rewriter) || rewrite(op, lhs, rhs, rhs, rewriter)));
  }

  /// Where `repeat` is such a factor.
  static bool rewrite(ContractOp op, Factor &lhs, Factor &rhs, Factor &repeat, PatternRewriter &rewriter) {
    auto merged = repeat.value.getDefiningOp<ReshapeOp>();
    auto broadcast = merged ? merged.getX().getDefiningOp<BroadcastOp>() : BroadcastOp();
    int64_t axis = broadcast ? repeatedAxis(merged, broadcast) : -1;
    if (axis < 0)
      return false;
    Factor &other = &repeat == &lhs ? rhs : lhs;
    SmallVector<int64_t> out(op.getOutLabels());
    int64_t label = repeat.labels[axis];
    auto inOther = llvm::find(other.labels, label), inOut = llvm::find(out, label);
    if (inOther == other.labels.end() || inOut == out.end())
      return false;
    int64_t fresh = 0;
    for (ArrayRef<int64_t> labels : {ArrayRef<int64_t>(lhs.labels), ArrayRef<int64_t>(rhs.labels)})
      for (int64_t used : labels)
        fresh = std::max(fresh, used + 1);
    ArrayRef<DimExpr> sizes = typeOf(broadcast).getDims().slice(axis, 2);
    int64_t pair[] = {label, fresh};
    size_t otherAxis = inOther - other.labels.begin(), outAxis = inOut - out.begin();
    auto splitType = [&](Value value, size_t at) {
      return typeOf(value).cloneWith(split(typeOf(value).getDims(), at, sizes));
    };

    Location loc = withPath(op.getLoc(), "");
    other = {ReshapeOp::create(rewriter, loc, splitType(other.value, otherAxis), other.value),
             split<int64_t>(other.labels, otherAxis, pair)};
    repeat = {broadcast, split<int64_t>(repeat.labels, axis, pair)};
    Value product = ContractOp::create(
        rewriter, loc, splitType(op, outAxis), lhs.value, rhs.value, rewriter.getDenseI64ArrayAttr(lhs.labels),
        rewriter.getDenseI64ArrayAttr(rhs.labels), rewriter.getDenseI64ArrayAttr(split<int64_t>(out, outAxis, pair)));
    rewriter.replaceOpWithNewOp<ReshapeOp>(op, op.getType(), product);
    return true;
  }
};

} // namespace

void GraphDialect::getCanonicalizationPatterns(RewritePatternSet &patterns) const {
  patterns.add<ElementwiseOfScalars, SelectOfNumbers, ComplementOfCondition>(getContext());
}

void TransposeOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *context) {
  patterns.add<TransposeOfBroadcast>(context);
}

void ReshapeOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *context) {
  patterns.add<LayoutOfScalar<ReshapeOp>>(context);
}

void SliceOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *context) {
  patterns.add<SliceOfBroadcast>(context);
}

void ConcatOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *context) {
  patterns.add<ConcatOfNothing>(context);
}

void ContractOp::getCanonicalizationPatterns(RewritePatternSet &patterns, MLIRContext *context) {
  patterns.add<ContractOfLayouts, ContractOfRepeats>(context);
}
