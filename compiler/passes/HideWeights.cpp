// contract(w, v), w from a softmax or an exponential of x, becomes a product that leaves out the elements that are -0,
// where w's zeros are -0 if x is -inf and 0 if not. 0 * NaN is NaN, so a hidden key would count otherwise. The choice
// joins the map that writes the weights.
// Numerical effect: none but for hidden NaN.
#include "compiler/passes/ElementExpression.h"
#include "compiler/passes/Passes.h"

#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/DenseMap.h"

#include <limits>

namespace fovea {
#define GEN_PASS_DEF_HIDEWEIGHTS
#include "compiler/passes/Passes.h.inc"
} // namespace fovea

using namespace mlir;
using namespace fovea;

namespace {

/// Which elements of values stem from exp(-inf): tensors of bools beside them.
class HiddenElements {
public:
  /// Null where none does.
  Value of(Value value, unsigned depth = 0) {
    if (auto known = memo.find(value); known != memo.end())
      return known->second;
    Operation *op = value.getDefiningOp();
    Value result;
    if (op && depth < mostOps && isa<FloatType>(typeOf(value).getElementType())) {
      if (isa<graph::SoftmaxOp, graph::ExpOp>(op))
        result = isLowest(op->getOperand(0));
      else if (isLayout(op) || isa<graph::SliceOp, graph::GatherOp>(op))
        result = moved(op, of(op->getOperand(0), depth + 1));
      else if (auto concat = dyn_cast<graph::ConcatOp>(op))
        result = joined(concat, depth + 1);
      else if (isa<graph::ElementwiseOpInterface>(op))
        result = any(op, depth + 1);
    }
    return memo[value] = result;
  }

  /// `value` with -0 in place of the zeros that are hidden, and 0 in place of all others.
  Value marked(Value value, Value hidden) {
    if (Value known = marks.lookup(value))
      return known;
    OpBuilder b = after(value);
    Location loc = value.getLoc();
    graph::TensorType type = typeOf(value);
    Value zero = splat(b, loc, type, 0.0);
    Value isZero = graph::CompareOp::create(b, loc, type.cloneWith(b.getI1Type()), "eq", value, zero);
    Value zeros = graph::SelectOp::create(b, loc, type, hidden, splat(b, loc, type, -0.0), zero);
    return marks[value] = graph::SelectOp::create(b, loc, type, isZero, zeros, value);
  }

private:
  static constexpr unsigned mostOps = 64; ///< between an exponential and a product

  static OpBuilder after(Value value) {
    OpBuilder b(value.getContext());
    b.setInsertionPointAfterValue(value);
    return b;
  }
  static Value splat(OpBuilder &b, Location loc, graph::TensorType type, double number) {
    Type element = type.getElementType();
    Attribute value = isa<FloatType>(element) ? Attribute(b.getFloatAttr(element, number)) : b.getBoolAttr(number != 0);
    Value scalar = graph::ConstantOp::create(b, loc, type.cloneWith(ArrayRef<DimExpr>()), cast<TypedAttr>(value));
    return type.getRank() ? graph::BroadcastOp::create(b, loc, type, scalar, ArrayRef<int64_t>()).getResult() : scalar;
  }
  /// Null where x has a finite lower bound.
  static Value isLowest(Value x) {
    if (auto bounded = x.getDefiningOp<graph::MaxOp>())
      for (Value bound : bounded->getOperands())
        if (auto number = dyn_cast_or_null<FloatAttr>(graph::getSplat(bound)); number && number.getValue().isFinite())
          return Value();
    OpBuilder b = after(x);
    graph::TensorType type = typeOf(x);
    Value lowest = splat(b, x.getLoc(), type, -std::numeric_limits<double>::infinity());
    return graph::CompareOp::create(b, x.getLoc(), type.cloneWith(b.getI1Type()), "eq", x, lowest);
  }
  /// The same layout op on what is hidden.
  static Value moved(Operation *layout, Value hidden) {
    if (!hidden)
      return Value();
    OpBuilder b(layout);
    Operation *copy = b.clone(*layout);
    copy->setOperand(0, hidden);
    copy->getResult(0).setType(typeOf(layout->getResult(0)).cloneWith(b.getI1Type()));
    return copy->getResult(0);
  }
  Value joined(graph::ConcatOp op, unsigned depth) {
    SmallVector<Value> pieces = llvm::map_to_vector(op.getXs(), [&](Value x) { return of(x, depth); });
    if (llvm::none_of(pieces, [](Value hidden) { return bool(hidden); }))
      return Value();
    OpBuilder b(op);
    for (auto [piece, x] : llvm::zip(pieces, op.getXs()))
      if (!piece)
        piece = splat(b, op.getLoc(), typeOf(x).cloneWith(b.getI1Type()), 0);
    return graph::ConcatOp::create(b, op.getLoc(), op.getType().cloneWith(b.getI1Type()), pieces, op.getAxis());
  }
  Value any(Operation *op, unsigned depth) {
    Value result;
    for (Value operand : op->getOperands())
      if (Value hidden = of(operand, depth)) {
        OpBuilder b(op);
        result = result ? graph::OrOp::create(b, op->getLoc(), result, hidden).getResult() : hidden;
      }
    return result;
  }

  llvm::DenseMap<Value, Value> memo, marks;
};

class HideWeights : public fovea::impl::HideWeightsBase<HideWeights> {
  void runOnOperation() override {
    for (auto function : getOperation().getOps<graph::FuncOp>()) {
      HiddenElements hidden;
      SmallVector<graph::ContractOp> products;
      function.walk([&](graph::ContractOp product) { products.push_back(product); });
      for (graph::ContractOp product : products)
        for (unsigned side : {0, 1})
          if (Value which = side == 1 && product.getPacked() ? Value() : hidden.of(product->getOperand(side))) {
            product->setOperand(side, hidden.marked(product->getOperand(side), which));
            product.setHiddenLhs(side == 0);
            product.setHiddenRhs(side == 1);
            ++numMarked;
            break;
          }
    }
  }
};
} // namespace
