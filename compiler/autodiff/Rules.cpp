#include "compiler/autodiff/Rules.h"

#include "compiler/autodiff/AttentionRule.h"

#include "llvm/ADT/StringMap.h"

#include <numeric>

using namespace mlir;
using namespace fovea;
using namespace fovea::autodiff;

namespace {

SmallVector<int64_t> allAxesBut(int64_t rank, ArrayRef<int64_t> without) {
  SmallVector<int64_t> axes;
  for (int64_t i = 0; i < rank; ++i)
    if (!llvm::is_contained(without, i))
      axes.push_back(i);
  return axes;
}

/// Writes ops of the graph at the adjoint's place.
class Tensors : public graph::Algebra {
public:
  Tensors(OpBuilder &b, Location loc) : b(b), loc(loc) {}

  Value apply(StringRef mnemonic, ValueRange operands) override {
    OperationState state(loc, ("graph." + mnemonic).str(), operands, operands.back().getType());
    return b.create(state)->getResult(0);
  }
  Value compare(StringRef predicate, Value x, Value y) override {
    return graph::CompareOp::create(b, loc, typeOf(x).cloneWith(b.getI1Type()), predicate, x, y);
  }
  Value convert(Value x, Value like) override { return cast(x, typeOf(like).getElementType()); }
  Value constant(Value like, double number) override { return splat(b, loc, typeOf(like), number); }

  Value cast(Value x, Type element) {
    return typeOf(x).getElementType() == element ? x : graph::CastOp::create(b, loc, typeOf(x).cloneWith(element), x);
  }
  Value reshape(Value x, graph::TensorType type) {
    return x.getType() == type ? x : Value(graph::ReshapeOp::create(b, loc, type, x));
  }
  Value reduce(StringRef kind, Value x, ArrayRef<int64_t> axes) {
    SmallVector<DimExpr> dims;
    for (int64_t axis : allAxesBut(typeOf(x).getRank(), axes))
      dims.push_back(typeOf(x).getDim(axis));
    return axes.empty() ? x : Value(graph::ReduceOp::create(b, loc, typeOf(x).cloneWith(dims), kind, x, axes));
  }
  Value sum(Value x, ArrayRef<int64_t> axes) { return reduce("sum", x, axes); }
  /// x with axes `axes` of `type`, which it lacks.
  Value widen(Value x, graph::TensorType type, ArrayRef<int64_t> axes) {
    graph::TensorType wide = type.cloneWith(typeOf(x).getElementType());
    return axes.empty() ? x : Value(graph::BroadcastOp::create(b, loc, wide, x, allAxesBut(type.getRank(), axes)));
  }

  OpBuilder &b;
  Location loc;
};

/// One adjoint with the tools to write it.
struct Rule : Tensors {
  explicit Rule(Adjoint &adjoint) : Tensors(adjoint.b, adjoint.op->getLoc()), adjoint(adjoint), op(adjoint.op) {}

  bool needs(unsigned operand) const { return adjoint.needed[operand]; }
  void pass(unsigned operand, Value gradient) { adjoint.passed[operand] = gradient; }
  Value gradient(unsigned result = 0) const { return adjoint.gradients[result]; }

  Adjoint &adjoint;
  Operation *op;
};

/// Where it is: uses come through the mark.
void variableRule(Rule &rule, graph::VariableOp) { rule.pass(0, rule.gradient()); }

//===-- Layout ----------------------------------------------------------------------------------------------------===//

void broadcastRule(Rule &rule, graph::BroadcastOp op) {
  rule.pass(0, rule.sum(rule.gradient(), allAxesBut(op.getType().getRank(), op.getAxes())));
}

void reshapeRule(Rule &rule, graph::ReshapeOp op) { rule.pass(0, rule.reshape(rule.gradient(), op.getX().getType())); }

/// A product is computed in the operand's order at once: what reads the gradient of `w` in `x @ w.T` wants rows of w.
void transposeRule(Rule &rule, graph::TransposeOp op) {
  SmallVector<int64_t> inverse(op.getPermutation().size());
  for (auto [i, axis] : llvm::enumerate(op.getPermutation()))
    inverse[axis] = i;
  auto product = rule.gradient().getDefiningOp<graph::ContractOp>();
  if (product && product->use_empty()) {
    auto labels = llvm::map_to_vector(inverse, [&](int64_t axis) { return product.getOutLabels()[axis]; });
    return rule.pass(0, graph::ContractOp::create(rule.b, rule.loc, op.getX().getType(), product.getLhs(),
                                                  product.getRhs(), product.getLhsLabels(), product.getRhsLabels(),
                                                  labels, /*packed=*/false));
  }
  rule.pass(0, graph::TransposeOp::create(rule.b, rule.loc, op.getX().getType(), rule.gradient(), inverse));
}

void sliceRule(Rule &rule, graph::SliceOp op) {
  Value zero = splat(rule.b, rule.loc, op.getX().getType(), 0);
  rule.pass(0, graph::UpdateSliceOp::create(rule.b, rule.loc, op.getX().getType(), zero, rule.gradient(),
                                            op.getOffset(), op.getAxis(), op.getStartAttr(), op.getStep()));
}

void updateSliceRule(Rule &rule, graph::UpdateSliceOp op) {
  if (rule.needs(0)) {
    Value zero = splat(rule.b, rule.loc, op.getV().getType(), 0);
    rule.pass(0, graph::UpdateSliceOp::create(rule.b, rule.loc, op.getX().getType(), rule.gradient(), zero,
                                              op.getOffset(), op.getAxis(), op.getStartAttr(), op.getStep()));
  }
  if (rule.needs(1))
    rule.pass(1, graph::SliceOp::create(rule.b, rule.loc, op.getV().getType(), rule.gradient(), op.getOffset(),
                                        op.getAxis(), op.getStartAttr(), op.getStep()));
}

void concatRule(Rule &rule, graph::ConcatOp op) {
  DimExpr start(0);
  for (auto [i, x] : llvm::enumerate(op.getXs())) {
    if (rule.needs(i))
      rule.pass(i, graph::SliceOp::create(rule.b, rule.loc, x.getType(), rule.gradient(), Value(), op.getAxis(),
                                          graph::DimAttr::get(rule.b.getContext(), start), 1));
    start = start + typeOf(x).getDim(op.getAxis());
  }
}

//===-- Places ----------------------------------------------------------------------------------------------------===//

/// What reaches an element comes from everywhere it was read at. Summed in f32.
Value addedAt(Rule &rule, graph::TensorType type, Value gradient, ValueRange indices, ArrayRef<int64_t> axes) {
  Type f32 = rule.b.getF32Type();
  graph::TensorType wide = type.cloneWith(f32);
  Value zero = splat(rule.b, rule.loc, wide, 0);
  Value sum = graph::ScatterOp::create(rule.b, rule.loc, wide, zero, rule.cast(gradient, f32), indices, axes,
                                       /*adds=*/true);
  return rule.cast(sum, type.getElementType());
}

void gatherRule(Rule &rule, graph::GatherOp op) {
  rule.pass(0, addedAt(rule, op.getX().getType(), rule.gradient(), op.getIndices(), op.getAxes()));
}

/// Elements of v that were written over get nothing: the number of the last one that names a place stays there.
Value maskWrittenOver(Rule &rule, graph::ScatterOp op, Value gradient) {
  graph::TensorType x = op.getX().getType(), indices = typeOf(op.getIndices().front()), v = op.getV().getType();
  SmallVector<DimExpr> places;
  SmallVector<int64_t> axes, own;
  for (auto [i, axis] : llvm::enumerate(op.getAxes())) {
    places.push_back(x.getDim(axis));
    axes.push_back(i);
  }
  for (int64_t i = 0; i < indices.getRank(); ++i)
    own.push_back(op.getAxes().front() + i);
  graph::TensorType numbers = indices.cloneWith(rule.b.getI64Type());
  graph::TensorType line = numbers.cloneWith(ArrayRef<DimExpr>(indices.getNumElements()));
  Value number = rule.reshape(graph::IotaOp::create(rule.b, rule.loc, line), numbers);
  graph::TensorType table = numbers.cloneWith(ArrayRef<DimExpr>(places));
  Value zero =
      graph::ConstantOp::create(rule.b, rule.loc, table.cloneWith(ArrayRef<DimExpr>()), rule.b.getI64IntegerAttr(0));
  Value none = graph::BroadcastOp::create(rule.b, rule.loc, table, zero, ArrayRef<int64_t>());
  Value last = graph::ScatterOp::create(rule.b, rule.loc, table, none, number, op.getIndices(), axes, false);
  Value there = graph::GatherOp::create(rule.b, rule.loc, numbers, last, op.getIndices(), axes);
  Value stays = graph::BroadcastOp::create(rule.b, rule.loc, v.cloneWith(rule.b.getI1Type()),
                                           rule.compare("eq", there, number), own);
  return rule.select(stays, gradient, rule.constant(gradient, 0));
}

void scatterRule(Rule &rule, graph::ScatterOp op) {
  if (op.getAdds() && rule.needs(0))
    rule.pass(0, rule.gradient());
  else if (rule.needs(0))
    rule.pass(0, graph::ScatterOp::create(rule.b, rule.loc, op.getX().getType(), rule.gradient(),
                                          splat(rule.b, rule.loc, op.getV().getType(), 0), op.getIndices(),
                                          op.getAxes(), false));
  if (!rule.needs(1))
    return;
  Value read =
      graph::GatherOp::create(rule.b, rule.loc, op.getV().getType(), rule.gradient(), op.getIndices(), op.getAxes());
  rule.pass(1, op.getAdds() ? read : maskWrittenOver(rule, op, read));
}

/// The largest ones have come from their places.
void topKRule(Rule &rule, graph::TopKOp op) {
  graph::TensorType indices = op.getIndices().getType();
  SmallVector<Value> places;
  SmallVector<int64_t> axes;
  for (int64_t axis = 0; axis + 1 < indices.getRank(); ++axis) {
    graph::TensorType line = indices.cloneWith(ArrayRef<DimExpr>(indices.getDim(axis)));
    Value number = graph::IotaOp::create(rule.b, rule.loc, line);
    places.push_back(graph::BroadcastOp::create(rule.b, rule.loc, indices, number, axis));
    axes.push_back(axis);
  }
  places.push_back(op.getIndices());
  axes.push_back(indices.getRank() - 1);
  rule.pass(0, addedAt(rule, op.getX().getType(), rule.gradient(), places, axes));
}

//===-- Sums and products -----------------------------------------------------------------------------------------===//

/// Each factor gets the gradient's product with the other one, summed over what it lacks.
void contractRule(Rule &rule, graph::ContractOp op) {
  auto product = [&](Value other, ArrayRef<int64_t> labels, Value factor, ArrayRef<int64_t> factorLabels) -> Value {
    return graph::ContractOp::create(rule.b, rule.loc, factor.getType(), rule.gradient(), other, op.getOutLabels(),
                                     labels, factorLabels, /*packed=*/false);
  };
  if (rule.needs(0))
    rule.pass(0, product(op.getRhs(), op.getRhsLabels(), op.getLhs(), op.getLhsLabels()));
  if (rule.needs(1))
    rule.pass(1, product(op.getLhs(), op.getLhsLabels(), op.getRhs(), op.getRhsLabels()));
}

/// Of the greatest elements (or the smallest ones) each gets the same share.
Value extremumGradient(Rule &rule, graph::ReduceOp op) {
  graph::TensorType type = op.getX().getType();
  Value most = rule.widen(op.getResult(), type, op.getAxes());
  Value isMost = rule.cast(rule.compare("eq", op.getX(), most), type.getElementType());
  Value share = rule.div(rule.gradient(), rule.sum(isMost, op.getAxes()));
  return rule.mul(isMost, rule.widen(share, type, op.getAxes()));
}

/// The product of the others: the whole one divided by the element, unless elements are 0.
Value productGradient(Rule &rule, graph::ReduceOp op) {
  graph::TensorType type = op.getX().getType();
  Value x = op.getX(), one = rule.constant(x, 1), isZero = rule.compare("eq", x, rule.constant(x, 0));
  Value zeros = rule.sum(rule.cast(isZero, type.getElementType()), op.getAxes());
  Value nonZero = rule.select(isZero, one, x), product = rule.reduce("prod", nonZero, op.getAxes());
  auto where = [&](double count) {
    Value selected = rule.compare("eq", zeros, rule.constant(zeros, count));
    Value kept = rule.select(selected, rule.mul(rule.gradient(), product), rule.constant(product, 0));
    return rule.widen(kept, type, op.getAxes());
  };
  return rule.select(isZero, where(1), rule.div(where(0), nonZero));
}

void reduceRule(Rule &rule, graph::ReduceOp op) {
  StringRef kind = op.getKind();
  if (kind == "sum")
    rule.pass(0, rule.widen(rule.gradient(), op.getX().getType(), op.getAxes()));
  else
    rule.pass(0, kind == "prod" ? productGradient(rule, op) : extremumGradient(rule, op));
}

//===-- Softmax ---------------------------------------------------------------------------------------------------===//

/// w (g - sum(g w)); a sink has the weight that is missing to 1, and the same rule.
void softmaxRule(Rule &rule, graph::SoftmaxOp op) {
  Value g = rule.gradient(), w = op.getResult();
  int64_t axis = op.getAxis();
  Value mean = rule.sum(rule.mul(g, w), axis);
  if (rule.needs(0))
    rule.pass(0, rule.mul(w, rule.sub(g, rule.widen(mean, op.getType(), axis))));
  if (op.getSink() && rule.needs(1)) {
    Value total = rule.sum(w, axis);
    rule.pass(1, rule.neg(rule.mul(mean, rule.sub(rule.constant(total, 1), total))));
  }
}

void logSumExpRule(Rule &rule, graph::LogSumExpOp op) {
  graph::TensorType type = op.getX().getType();
  Value w = graph::SoftmaxOp::create(rule.b, rule.loc, type, op.getX(), Value(), op.getAxis());
  rule.pass(0, rule.mul(rule.widen(rule.gradient(), type, op.getAxis()), w));
}

//===-- The table -------------------------------------------------------------------------------------------------===//

using RuleFunction = void (*)(Rule &);

template <typename OpT, void (*rule)(Rule &, OpT)> std::pair<StringRef, RuleFunction> row() {
  return {OpT::getOperationName(), [](Rule &r) { rule(r, cast<OpT>(r.op)); }};
}

/// The rule of every op that is not elementwise.
const llvm::StringMap<RuleFunction> &table() {
  static const llvm::StringMap<RuleFunction> rules{
      row<graph::VariableOp, variableRule>(), row<graph::BroadcastOp, broadcastRule>(),
      row<graph::ReshapeOp, reshapeRule>(),   row<graph::TransposeOp, transposeRule>(),
      row<graph::SliceOp, sliceRule>(),       row<graph::UpdateSliceOp, updateSliceRule>(),
      row<graph::ConcatOp, concatRule>(),     row<graph::GatherOp, gatherRule>(),
      row<graph::ScatterOp, scatterRule>(),   row<graph::TopKOp, topKRule>(),
      row<graph::ContractOp, contractRule>(), row<graph::ReduceOp, reduceRule>(),
      row<graph::SoftmaxOp, softmaxRule>(),   row<graph::LogSumExpOp, logSumExpRule>(),
  };
  return rules;
}

} // namespace

Value autodiff::splat(OpBuilder &b, Location loc, graph::TensorType type, double number) {
  graph::TensorType scalar = type.cloneWith(ArrayRef<DimExpr>());
  Value constant = graph::ConstantOp::create(b, loc, scalar, b.getFloatAttr(type.getElementType(), number));
  return type == scalar ? constant : graph::BroadcastOp::create(b, loc, type, constant, ArrayRef<int64_t>());
}

LogicalResult autodiff::applyRule(Adjoint &adjoint) {
  Rule rule(adjoint);
  if (auto elementwise = dyn_cast<graph::ElementwiseOpInterface>(adjoint.op)) {
    for (unsigned i : adjoint.needed.set_bits())
      adjoint.passed[i] =
          elementwise.buildAdjoint(rule, rule.gradient(), adjoint.op->getOperands(), adjoint.op->getResult(0), i);
    return success();
  }
  if (auto attention = dyn_cast<graph::AttentionOp>(adjoint.op))
    return applyAttentionRule(adjoint, attention);
  auto found = table().find(adjoint.op->getName().getStringRef());
  if (found == table().end())
    return failure();
  found->second(rule);
  return success();
}
