// Scores of keys that lie in several places, and values that do, become those of one concatenation:
//
//   concat(f(contract(q, a)), f(contract(q, b)))            ->  f(contract(q, concat(a, b)))
//   concat(contract(q, a), where(m, contract(q, b), -inf))  ->  where(concat(true, m), contract(q, concat(a, b)), -inf)
//   contract(w[: P], a) + contract(w[P :], b)               ->  contract(w, concat(a, b)), and with - of concat(a, -b)
//
// where the first goes to a softmax and w comes from one: a cache and what is new. Pays because attention then reads
// the keys where they lie, and neither scores nor weights are held. Numerical effect: see Passes.td.
#include "compiler/passes/JoinScores.h"
#include "compiler/passes/Passes.h"
#include "compiler/passes/ReductionOrder.h"

#include "llvm/ADT/SetVector.h"

namespace fovea {
#define GEN_PASS_DEF_JOINKEYS
#include "compiler/passes/Passes.h.inc"
} // namespace fovea

using namespace mlir;
using namespace fovea;

/// Whether a softmax, or a log-sum-exp, is computed from a value element by element.
static bool feedsSoftmax(Value value) {
  llvm::SetVector<Operation *> reached(value.user_begin(), value.user_end());
  for (size_t i = 0; i < reached.size() && reached.size() < 256; ++i) {
    if (isa<graph::SoftmaxOp, graph::LogSumExpOp>(reached[i]))
      return true;
    if (isLayout(reached[i]) || isa<graph::ElementwiseOpInterface, graph::ConcatOp>(reached[i]))
      reached.insert(reached[i]->user_begin(), reached[i]->user_end());
  }
  return false;
}

/// Where the weights are cut along their keys, if only parts of them are read: graph-raise-slices makes a sink of what
/// no part has.
static SmallVector<DimExpr> cutsOf(graph::ConcatOp concat) {
  SmallVector<DimExpr> cuts;
  llvm::SetVector<Operation *> reached(concat->user_begin(), concat->user_end());
  for (size_t i = 0; i < reached.size() && reached.size() < 256; ++i) {
    if (isLayout(reached[i]) || isa<graph::ElementwiseOpInterface>(reached[i]))
      reached.insert(reached[i]->user_begin(), reached[i]->user_end());
    auto softmax = dyn_cast<graph::SoftmaxOp>(reached[i]);
    if (!softmax)
      continue;
    for (Operation *user : softmax->getUsers()) {
      auto slice = dyn_cast<graph::SliceOp>(user);
      if (!slice || slice.getAxis() != softmax.getAxis() || !slice.getStart())
        return {};
      DimExpr begin = slice.getStart()->getValue();
      cuts.append({begin, begin + slice.getType().getDim(slice.getAxis())});
    }
  }
  return cuts;
}

namespace {
class JoinKeys : public fovea::impl::JoinKeysBase<JoinKeys> {
  void runOnOperation() override {
    SmallVector<graph::ConcatOp> concats;
    SmallVector<Operation *> sums;
    getOperation().walk([&](Operation *op) {
      if (auto concat = dyn_cast<graph::ConcatOp>(op))
        concats.push_back(concat);
      else if (isa<graph::AddOp, graph::SubOp>(op))
        sums.push_back(op);
    });
    for (Operation *sum : sums)
      joinValues(sum);
    for (graph::ConcatOp concat : concats)
      joinScores(concat);
  }

  void joinScores(graph::ConcatOp concat) {
    if (!feedsSoftmax(concat))
      return;
    OpBuilder builder(concat);
    int64_t axis = concat.getAxis();
    // Neighbours with a product behind them: a logit beside the scores stays one.
    SmallVector<Value> pieces = llvm::to_vector(concat.getXs()), results;
    SmallVector<DimExpr> cuts = cutsOf(concat);
    DimExpr position(0);
    for (size_t begin = 0, end; begin < pieces.size(); begin = end) {
      end = begin;
      while (end < pieces.size() && ScoreJoiner::isOfProduct(pieces[end]) &&
             (end == begin || !llvm::is_contained(cuts, position)))
        position = position + typeOf(pieces[end++]).getDim(axis);
      ArrayRef<Value> run = ArrayRef(pieces).slice(begin, end - begin);
      Value scores = run.size() > 1 ? ScoreJoiner(builder, concat.getLoc(), run, axis).run() : Value();
      if (scores)
        results.push_back(scores);
      else
        llvm::append_range(results, run);
      if (run.empty()) {
        position = position + typeOf(pieces[end]).getDim(axis);
        results.push_back(pieces[end++]);
      }
    }
    if (results.size() == pieces.size())
      return;
    Value scores = results.size() > 1 ? concatenated(builder, concat.getLoc(), results, axis) : results.front();
    concat.replaceAllUsesWith(scores);
    concat.erase();
    ++numJoined;
  }

  void joinValues(Operation *sum) {
    auto first = sum->getOperand(0).getDefiningOp<graph::ContractOp>();
    auto second = sum->getOperand(1).getDefiningOp<graph::ContractOp>();
    if (!first || !second || first.getPacked() || second.getPacked() ||
        first->getPropertiesAsAttribute() != second->getPropertiesAsAttribute())
      return;
    for (unsigned side : {0, 1}) {
      auto a = first->getOperand(side).getDefiningOp<graph::SliceOp>();
      auto b = second->getOperand(side).getDefiningOp<graph::SliceOp>();
      if (!areSlices(a, b) || !dependsOnWeights(a.getX()))
        continue;
      ArrayRef<int64_t> mine = side ? first.getRhsLabels() : first.getLhsLabels();
      ArrayRef<int64_t> theirs = side ? first.getLhsLabels() : first.getRhsLabels();
      int64_t label = mine[a.getAxis()], place = llvm::find(theirs, label) - theirs.begin();
      bool isTurned = isFollowedBy(b, a);
      if ((!isTurned && !isFollowedBy(a, b)) || llvm::is_contained(first.getOutLabels(), label))
        continue;
      OpBuilder builder(sum);
      SmallVector<Value> values{first->getOperand(1 - side), second->getOperand(1 - side)}, operands(2);
      if (isa<graph::SubOp>(sum))
        values[1] = graph::NegOp::create(builder, sum->getLoc(), values[1]).getResult();
      if (isTurned)
        std::swap(values[0], values[1]);
      operands[side] = isTurned ? both(builder, b, a) : both(builder, a, b);
      operands[1 - side] = concatenated(builder, sum->getLoc(), values, place);
      Operation *product = builder.clone(*first);
      product->setOperands(operands);
      sum->replaceAllUsesWith(product);
      sum->erase();
      ++numJoined;
      return;
    }
  }

  static bool areSlices(graph::SliceOp a, graph::SliceOp b) {
    return a && b && a.getX() == b.getX() && a.getAxis() == b.getAxis() && a.getStart() && b.getStart() &&
           a.getStep() == 1 && b.getStep() == 1;
  }
  static DimExpr sizeOf(graph::SliceOp slice) { return slice.getType().getDim(slice.getAxis()); }
  static bool isFollowedBy(graph::SliceOp a, graph::SliceOp b) {
    return b.getStart()->getValue() == a.getStart()->getValue() + sizeOf(a);
  }
  /// What two slices one after the other are together.
  static Value both(OpBuilder &builder, graph::SliceOp a, graph::SliceOp b) {
    graph::TensorType type = withDim(a.getType(), a.getAxis(), sizeOf(a) + sizeOf(b));
    if (a.getX().getType() == type)
      return a.getX();
    return graph::SliceOp::create(builder, a.getLoc(), type, a.getX(), Value(), a.getAxisAttr(), a.getStartAttr(),
                                  a.getStepAttr());
  }
};
} // namespace
