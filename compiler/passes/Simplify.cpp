// Identities that folders and canonicalisers of single ops miss. All exact, but sums of products of broadcasts, which
// become contractions (one chain instead of spans): see Passes.td.
#include "compiler/analysis/IndexBounds.h"
#include "compiler/passes/ElementExpression.h"
#include "compiler/passes/Passes.h"
#include "dialects/graph/Places.h"

#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

#include <cmath>

namespace fovea {
#define GEN_PASS_DEF_SIMPLIFY
#include "compiler/passes/Passes.h.inc"
} // namespace fovea

using namespace mlir;
using namespace fovea;

static bool isFloat(Value value) { return isa<FloatType>(typeOf(value).getElementType()); }

namespace {

/// x / 2^n is x * 2^-n, where both are exact.
struct DivideByPowerOfTwo : OpRewritePattern<graph::DivOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(graph::DivOp op, PatternRewriter &rewriter) const override {
    auto type = typeOf(op.getResult());
    std::optional<double> divisor = type.getElementType().isF32() ? constantValue(op.getRhs()) : std::nullopt;
    int exponent = 0;
    if (!divisor || !std::isfinite(*divisor) || std::abs(std::frexp(*divisor, &exponent)) != 0.5 ||
        std::abs(exponent) > 100)
      return failure();
    Value reciprocal = graph::ConstantOp::create(rewriter, op.getLoc(), type.cloneWith(ArrayRef<DimExpr>()),
                                                 rewriter.getF32FloatAttr(1 / *divisor));
    if (type.getRank())
      reciprocal = graph::BroadcastOp::create(rewriter, op.getLoc(), type, reciprocal, ArrayRef<int64_t>());
    rewriter.replaceOpWithNewOp<graph::MulOp>(op, type, op.getLhs(), reciprocal);
    return success();
  }
};

/// f(broadcast a, broadcast b) is broadcast(f(a, b)) where both are spread in the same way, or are scalars.
struct SinkBroadcast : RewritePattern {
  explicit SinkBroadcast(MLIRContext *context) : RewritePattern(MatchAnyOpTypeTag(), 1, context) {}

  LogicalResult matchAndRewrite(Operation *op, PatternRewriter &rewriter) const override {
    if (!isa<graph::ElementwiseOpInterface>(op) || op->getNumOperands() == 0)
      return failure();
    graph::BroadcastOp widest;
    for (Value operand : op->getOperands()) {
      auto broadcast = operand.getDefiningOp<graph::BroadcastOp>();
      if (!broadcast)
        return failure();
      if (!widest || broadcast.getAxes().size() > widest.getAxes().size())
        widest = broadcast;
    }
    graph::TensorType type = typeOf(op->getResult(0)), inner = typeOf(widest.getX());
    Location pathless = withPath(op->getLoc(), ""); // the path is the broadcast's
    SmallVector<Value> operands;
    for (Value operand : op->getOperands()) {
      auto broadcast = operand.getDefiningOp<graph::BroadcastOp>();
      bool isScalar = broadcast.getAxes().empty();
      if (!isScalar && broadcast.getAxes() != widest.getAxes())
        return failure();
      Value x = broadcast.getX();
      if (isScalar && inner.getRank())
        x = graph::BroadcastOp::create(rewriter, pathless, inner.cloneWith(typeOf(x).getElementType()), x,
                                       ArrayRef<int64_t>());
      operands.push_back(x);
    }
    OperationState state(pathless, op->getName());
    state.addOperands(operands);
    state.addAttributes(llvm::to_vector(op->getDiscardableAttrs()));
    state.propertiesAttr = op->getPropertiesAsAttribute();
    state.addTypes(inner.cloneWith(type.getElementType()));
    Operation *small = rewriter.create(state);
    rewriter.replaceOpWithNewOp<graph::BroadcastOp>(op, type, small->getResult(0), widest.getAxes());
    return success();
  }
};

/// A choice whose condition is proved of all elements is one of its sides.
struct DecidedSelect : OpRewritePattern<graph::SelectOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(graph::SelectOp op, PatternRewriter &rewriter) const override {
    std::optional<bool> truth = IndexBounds(op->getParentOfType<graph::FuncOp>()).truthOf(op.getCondition());
    if (!truth)
      return failure();
    rewriter.replaceOp(op, *truth ? op.getLhs() : op.getRhs());
    return success();
  }
};

/// `a and b` is b where a is proved, and a where that is refuted; `or` likewise.
template <typename OpT> struct DecidedLogic : OpRewritePattern<OpT> {
  using OpRewritePattern<OpT>::OpRewritePattern;
  LogicalResult matchAndRewrite(OpT op, PatternRewriter &rewriter) const override {
    constexpr bool neutral = std::is_same_v<OpT, graph::AndOp>;
    IndexBounds bounds(op->template getParentOfType<graph::FuncOp>());
    for (auto [one, other] : {std::pair(op.getLhs(), op.getRhs()), std::pair(op.getRhs(), op.getLhs())})
      if (std::optional<bool> truth = bounds.truthOf(one)) {
        rewriter.replaceOp(op, *truth == neutral ? other : one);
        return success();
      }
    return failure();
  }
};

/// A gather at a constant index, or at 0, 1, 2..., within the axis, is a slice.
struct GatherToSlice : OpRewritePattern<graph::GatherOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(graph::GatherOp op, PatternRewriter &rewriter) const override {
    if (op.getAxes().size() > 1)
      return failure();
    Value index = op.getIndices().front();
    graph::TensorType from = typeOf(op.getX()), indices = typeOf(index);
    int64_t along = op.getAxes().front();
    DimExpr size = from.getDim(along);
    if (auto iota = index.getDefiningOp<graph::IotaOp>()) {
      if (!IndexBounds(op->getParentOfType<graph::FuncOp>()).isWithin(iota, size))
        return failure();
      rewriter.replaceOpWithNewOp<graph::SliceOp>(
          op, op.getType(), op.getX(), Value(), rewriter.getI64IntegerAttr(along),
          graph::DimAttr::get(op.getContext(), 0), rewriter.getI64IntegerAttr(1));
      return success();
    }
    std::optional<int64_t> place = constantIndex(index);
    if (!place || *place < 0 || !DimExpr::provablyLessOrEqual(DimExpr(*place + 1), size))
      return failure();
    SmallVector<DimExpr> dims = llvm::to_vector(from.getDims());
    dims[along] = DimExpr(1);
    Location pathless = withPath(op.getLoc(), "");
    Value slice = graph::SliceOp::create(rewriter, pathless, from.cloneWith(dims), op.getX(), Value(),
                                         rewriter.getI64IntegerAttr(along),
                                         graph::DimAttr::get(op.getContext(), *place), rewriter.getI64IntegerAttr(1));
    dims.erase(dims.begin() + along);
    Value row = graph::ReshapeOp::create(rewriter, pathless, from.cloneWith(dims), slice);
    SmallVector<int64_t> axes;
    for (int64_t axis = 0; axis < int64_t(dims.size()); ++axis)
      axes.push_back(axis < along ? axis : axis + indices.getRank());
    rewriter.replaceOpWithNewOp<graph::BroadcastOp>(op, op.getType(), row, axes);
    return success();
  }

  static std::optional<int64_t> constantIndex(Value value) {
    while (isLayout(value.getDefiningOp()))
      value = value.getDefiningOp()->getOperand(0);
    auto constant = value.getDefiningOp<graph::ConstantOp>();
    auto number = constant ? dyn_cast<IntegerAttr>(constant.getValueAttr()) : IntegerAttr();
    return number ? std::optional(number.getInt()) : std::nullopt;
  }
};

/// concat of x[0:a], x[a:b], ..., x[z:] is x.
struct ConcatOfSlices : OpRewritePattern<graph::ConcatOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(graph::ConcatOp op, PatternRewriter &rewriter) const override {
    Value whole;
    DimExpr start(0);
    for (Value piece : op.getXs()) {
      auto slice = piece.getDefiningOp<graph::SliceOp>();
      if (!slice || slice.getOffset() || slice.getAxis() != op.getAxis() || slice.getStep() != 1 ||
          (whole && slice.getX() != whole) || !slice.getStart() || slice.getStart()->getValue() != start)
        return failure();
      whole = slice.getX();
      start = start + typeOf(piece).getDim(op.getAxis());
    }
    if (!whole || whole.getType() != op.getType())
      return failure();
    rewriter.replaceOp(op, whole);
    return success();
  }
};

/// sum(broadcast(a) * broadcast(b)) is contract(a, b), where each factor lacks an axis.
struct SumOfProducts : OpRewritePattern<graph::ReduceOp> {
  using OpRewritePattern::OpRewritePattern;

  struct Factor {
    Value value;
    SmallVector<int64_t> labels; ///< axes of the product
  };
  static Factor factorOf(Value value) {
    if (auto broadcast = value.getDefiningOp<graph::BroadcastOp>())
      return {broadcast.getX(), llvm::to_vector(broadcast.getAxes())};
    return {value, llvm::to_vector(llvm::seq<int64_t>(0, typeOf(value).getRank()))};
  }

  LogicalResult matchAndRewrite(graph::ReduceOp op, PatternRewriter &rewriter) const override {
    auto mul = op.getX().getDefiningOp<graph::MulOp>();
    if (op.getKind() != "sum" || !mul || !mul->hasOneUse() || !isFloat(mul.getResult()))
      return failure();
    Factor a = factorOf(mul.getLhs()), b = factorOf(mul.getRhs());
    SmallVector<int64_t> out;
    bool isSaved = false, aLacks = false, bLacks = false;
    for (int64_t axis = 0; axis < typeOf(mul.getResult()).getRank(); ++axis) {
      bool inA = llvm::is_contained(a.labels, axis), inB = llvm::is_contained(b.labels, axis);
      bool isSummed = llvm::is_contained(op.getAxes(), axis);
      if ((!inA && !inB) || (isSummed && !(inA && inB)))
        return failure();
      aLacks |= !inA;
      bLacks |= !inB;
      if (!isSummed)
        out.push_back(axis);
    }
    isSaved = aLacks && bLacks;
    if (!isSaved)
      return failure();
    rewriter.replaceOpWithNewOp<graph::ContractOp>(op, op.getType(), a.value, b.value, a.labels, b.labels, out, false);
    return success();
  }
};

class Simplify : public fovea::impl::SimplifyBase<Simplify> {
  void runOnOperation() override {
    RewritePatternSet patterns(&getContext());
    patterns.add<DivideByPowerOfTwo, SinkBroadcast, DecidedSelect, DecidedLogic<graph::AndOp>,
                 DecidedLogic<graph::OrOp>, GatherToSlice, ConcatOfSlices, SumOfProducts>(&getContext());
    Counter counter(numSimplified, numContracts);
    GreedyRewriteConfig config;
    config.setListener(&counter);
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns), config)))
      return; // not converged: every state is valid
  }

  struct Counter : RewriterBase::Listener {
    Counter(Statistic &replaced, Statistic &contracts) : replaced(replaced), contracts(contracts) {}
    void notifyOperationReplaced(Operation *op, ValueRange values) override {
      ++replaced;
      contracts += isa<graph::ReduceOp>(op) && values.size() == 1 && values[0].getDefiningOp<graph::ContractOp>();
    }
    Statistic &replaced, &contracts;
  };
};
} // namespace
