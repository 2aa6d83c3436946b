// graph.attention's derivative: one graph.attention_backward, which computes the weights again from the log-sum-exp.
#include "compiler/autodiff/AttentionRule.h"

#include "compiler/autodiff/ScoreAdjoint.h"

#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;
using namespace fovea;
using namespace fovea::autodiff;

graph::AttentionOp autodiff::withLogSum(graph::AttentionOp op) {
  if (op.getLse())
    return op;
  OpBuilder builder(op);
  graph::TensorType queries = typeOf(op.getQ());
  Type types[] = {op.getResult().getType(),
                  graph::TensorType::get(op.getContext(), queries.getDims().drop_back(), builder.getF32Type())};
  auto both = graph::AttentionOp::create(builder, op.getLoc(), types, op.getQ(), op.getK(), op.getMoreK(),
                                         op.getJoinedQ(), op.getJoinedK(), op.getV(), op.getMoreV(), op.getCaptures(),
                                         op.getSinks(), op.getKeyRows(), op.getValueRows(), op.getNormalizerAttr());
  both.getScore().takeBody(op.getScore());
  both.getMask().takeBody(op.getMask());
  op.getResult().replaceAllUsesWith(both.getResult());
  op.erase();
  return both;
}

namespace {

class AttentionRule {
public:
  AttentionRule(Adjoint &adjoint, graph::AttentionOp op)
      : adjoint(adjoint), op(op), b(adjoint.b), loc(op.getLoc()), isSoftmax(op.getNormalizer() == "softmax"),
        rows(typeOf(op.getQ()).cloneWith(typeOf(op.getQ()).getDims().drop_back()).cloneWith(b.getF32Type())) {}

  LogicalResult run() {
    if (op.getNormalizer() == "top_k" || op.getKeyRows() || op.getValueRows() || !op.getMoreK().empty() ||
        !op.getMoreV().empty() || (isSoftmax && !op.getLse()))
      return failure();
    Value gradient = adjoint.gradients[0];
    if (!gradient)
      gradient = splat(b, loc, typeOf(op.getResult()), 0);
    Value delta = isSoftmax ? deltaOf(gradient) : Value();
    Region scoreAdjoint;
    Operation *obstacle = nullptr;
    auto isWanted = [&](Value capture) { return needs(op.getCapturesMutable(), capture); };
    auto sums = buildScoreAdjoint(op, isWanted, scoreAdjoint, obstacle);
    if (failed(sums))
      return failure();
    auto back = graph::AttentionBackwardOp::create(b, loc, resultTypes(*sums), op.getQ(), op.getK(), op.getJoinedQ(),
                                                   op.getJoinedK(), op.getV(), op.getCaptures(), op.getLse(), delta,
                                                   gradient, op.getNormalizerAttr());
    IRMapping same;
    op.getScore().cloneInto(&back.getScore(), same);
    op.getMask().cloneInto(&back.getMask(), same);
    back.getAdjoint().takeBody(scoreAdjoint);
    passOn(back, *sums);
    if (op.getSinks())
      passToSinks(delta);
    return success();
  }

private:
  bool needs(MutableOperandRange operands, Value value) {
    return llvm::any_of(
        operands, [&](OpOperand &each) { return each.get() == value && adjoint.needed[each.getOperandNumber()]; });
  }
  void pass(OpOperand &operand, Value gradient) {
    if (adjoint.needed[operand.getOperandNumber()])
      adjoint.passed[operand.getOperandNumber()] = gradient;
  }
  Value inF32(Value x) {
    Type f32 = b.getF32Type();
    return typeOf(x).getElementType() == f32 ? x : graph::CastOp::create(b, loc, typeOf(x).cloneWith(f32), x);
  }
  Value like(Value x, Value other) {
    return x.getType() == other.getType() ? x : graph::CastOp::create(b, loc, other.getType(), x);
  }

  /// sum(gradient y) - what reaches the log-sum-exp.
  Value deltaOf(Value gradient) {
    Value products = graph::MulOp::create(b, loc, inF32(gradient), inF32(op.getResult()));
    Value delta = graph::ReduceOp::create(b, loc, rows, "sum", products, ArrayRef<int64_t>(rows.getRank()));
    Value own = adjoint.gradients.size() > 1 ? adjoint.gradients[1] : Value();
    return own ? graph::SubOp::create(b, loc, delta, own) : delta;
  }

  SmallVector<Type> resultTypes(ArrayRef<CaptureGradient> sums) {
    SmallVector<Type> types{op.getQ().getType(), op.getK().getType()};
    llvm::append_range(types, op.getJoinedQ().getTypes());
    llvm::append_range(types, op.getJoinedK().getTypes());
    types.push_back(op.getV().getType());
    for (const CaptureGradient &sum : sums)
      types.push_back(rows.cloneWith(sum.dims));
    return types;
  }

  void passOn(graph::AttentionBackwardOp back, ArrayRef<CaptureGradient> sums) {
    auto result = back.getGradients().begin();
    pass(op.getQMutable(), *result++);
    pass(op.getKMutable(), *result++);
    for (MutableOperandRange joined : {op.getJoinedQMutable(), op.getJoinedKMutable()})
      for (OpOperand &operand : joined)
        pass(operand, *result++);
    pass(op.getVMutable(), *result++);
    llvm::MapVector<Value, Value> totals;
    for (auto [sum, partial] : llvm::zip(sums, back.getSums())) {
      Value whole = partial;
      graph::TensorType type = rows.cloneWith(ArrayRef(sum.dims).drop_front(sum.partial));
      if (sum.partial)
        whole =
            graph::ReduceOp::create(b, loc, type, "sum", partial, llvm::to_vector(llvm::seq<int64_t>(0, sum.partial)));
      graph::TensorType own = rows.cloneWith(typeOf(sum.capture).getDims());
      if (own != type)
        whole = graph::ReshapeOp::create(b, loc, own, whole);
      Value &total = totals[sum.capture];
      total = total ? Value(graph::AddOp::create(b, loc, total, whole)) : whole;
    }
    for (OpOperand &capture : op.getCapturesMutable())
      if (auto found = totals.find(capture.get()); found != totals.end())
        pass(capture, like(found->second, capture.get()));
  }

  /// -sum over t of exp(sink - lse) delta: of a sink's own weight nothing comes out.
  void passToSinks(Value delta) {
    OpOperand &operand = op.getSinksMutable()[0];
    if (!adjoint.needed[operand.getOperandNumber()])
      return;
    Value sink = inF32(op.getSinks());
    SmallVector<int64_t> batch = llvm::to_vector(llvm::seq<int64_t>(0, rows.getRank() - 1));
    Value wide = graph::BroadcastOp::create(b, loc, rows, sink, batch);
    Value weight = graph::ExpOp::create(b, loc, graph::SubOp::create(b, loc, wide, op.getLse()).getResult());
    Value lost = graph::NegOp::create(b, loc, graph::MulOp::create(b, loc, weight, delta).getResult());
    Value sum = graph::ReduceOp::create(b, loc, typeOf(sink), "sum", lost, ArrayRef<int64_t>(rows.getRank() - 1));
    pass(operand, like(sum, op.getSinks()));
  }

  Adjoint &adjoint;
  graph::AttentionOp op;
  OpBuilder &b;
  Location loc;
  bool isSoftmax;
  graph::TensorType rows; ///< f32 [batch..., T]
};

} // namespace

LogicalResult autodiff::applyAttentionRule(Adjoint &adjoint, graph::AttentionOp op) {
  return AttentionRule(adjoint, op).run();
}
