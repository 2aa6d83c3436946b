// Scores of keys that lie in several places, and values that do, become those of one concatenation:
//
//   concat(f(contract(q, a)), f(contract(q, b)))            ->  f(contract(q, concat(a, b)))
//   contract(w[: P], a) + contract(w[P :], b)               ->  contract(w, concat(a, b)), and with - of concat(a, -b)
//
// where the first goes to a softmax and w comes from one: a cache and what is new. Pays because attention then reads
// the keys where they lie, and neither scores nor weights are held. Numerical effect: see Passes.td.
#include "compiler/passes/Passes.h"
#include "compiler/passes/ReductionOrder.h"

#include "llvm/ADT/SetVector.h"

namespace fovea {
#define GEN_PASS_DEF_JOINKEYS
#include "compiler/passes/Passes.h.inc"
} // namespace fovea

using namespace mlir;
using namespace fovea;

static graph::TensorType typeOf(Value value) { return cast<graph::TensorType>(value.getType()); }

static graph::TensorType withDim(graph::TensorType type, int64_t axis, DimExpr size) {
  SmallVector<DimExpr> dims = llvm::to_vector(type.getDims());
  dims[axis] = size;
  return type.cloneWith(ArrayRef<DimExpr>(dims));
}

/// Whether a softmax, or a log-sum-exp, is computed from a value element by element.
static bool feedsSoftmax(Value value) {
  llvm::SetVector<Operation *> reached(value.user_begin(), value.user_end());
  for (size_t i = 0; i < reached.size() && reached.size() < 256; ++i) {
    if (isa<graph::SoftmaxOp, graph::LogSumExpOp>(reached[i]))
      return true;
    if (isLayout(reached[i]) || isa<graph::ElementwiseOpInterface>(reached[i]))
      reached.insert(reached[i]->user_begin(), reached[i]->user_end());
  }
  return false;
}

namespace {
/// Computes pieces that are joined along an axis as one value. Builds at one place; what a failure leaves is dead.
class Joiner {
public:
  Joiner(OpBuilder &builder, Location loc) : builder(builder), loc(loc) {}

  /// Null where the pieces are not the same function of contractions that share an operand.
  Value joined(ArrayRef<Value> pieces, int64_t axis) {
    Operation *first = pieces.front().getDefiningOp();
    if (!first || ++steps > 64)
      return Value();
    DimExpr size(0);
    for (Value piece : pieces) {
      Operation *op = piece.getDefiningOp();
      if (!op || op->getName() != first->getName() ||
          op->getPropertiesAsAttribute() != first->getPropertiesAsAttribute())
        return Value();
      size = size + typeOf(piece).getDim(axis);
    }
    graph::TensorType type = withDim(typeOf(pieces.front()), axis, size);
    if (isa<graph::ContractOp>(first))
      return product(pieces, axis, type);
    if (isa<graph::ElementwiseOpInterface>(first))
      return elementwise(pieces, axis, type);
    return isLayout(first) ? layout(pieces, axis, type) : Value();
  }

  Value concat(ArrayRef<Value> pieces, int64_t axis) {
    DimExpr size(0);
    for (Value piece : pieces)
      size = size + typeOf(piece).getDim(axis);
    return graph::ConcatOp::create(builder, loc, withDim(typeOf(pieces.front()), axis, size), pieces, axis);
  }

private:
  static SmallVector<Value> operandsOf(ArrayRef<Value> pieces, unsigned number) {
    return llvm::map_to_vector(pieces, [&](Value piece) { return piece.getDefiningOp()->getOperand(number); });
  }
  Value withOperands(Operation *op, ArrayRef<Value> operands, graph::TensorType type) {
    Operation *copy = builder.clone(*op);
    copy->setOperands(operands);
    copy->getResult(0).setType(type);
    return copy->getResult(0);
  }

  Value product(ArrayRef<Value> pieces, int64_t axis, graph::TensorType type) {
    auto first = pieces.front().getDefiningOp<graph::ContractOp>();
    int64_t label = first.getOutLabels()[axis];
    if (first.getPacked())
      return Value();
    for (unsigned side : {0, 1}) {
      ArrayRef<int64_t> mine = side ? first.getRhsLabels() : first.getLhsLabels();
      ArrayRef<int64_t> theirs = side ? first.getLhsLabels() : first.getRhsLabels();
      auto place = llvm::find(mine, label);
      if (place == mine.end() || llvm::is_contained(theirs, label) || !llvm::all_equal(operandsOf(pieces, 1 - side)))
        continue;
      SmallVector<Value> operands = llvm::to_vector(ValueRange(first->getOperands()));
      operands[side] = concat(operandsOf(pieces, side), place - mine.begin());
      return withOperands(first, operands, type);
    }
    return Value();
  }

  Value elementwise(ArrayRef<Value> pieces, int64_t axis, graph::TensorType type) {
    Operation *first = pieces.front().getDefiningOp();
    SmallVector<Value> operands;
    for (unsigned number = 0; number < first->getNumOperands(); ++number) {
      SmallVector<Value> theirs = operandsOf(pieces, number);
      Value operand = joined(theirs, axis);
      if (!operand)
        return Value();
      operands.push_back(operand);
    }
    return operands.empty() ? Value() : withOperands(first, operands, type);
  }

  Value layout(ArrayRef<Value> pieces, int64_t axis, graph::TensorType type) {
    Operation *first = pieces.front().getDefiningOp();
    SmallVector<Value> inner = operandsOf(pieces, 0);
    int64_t place = axis; // of the axis in the operand
    if (auto transpose = dyn_cast<graph::TransposeOp>(first)) {
      place = transpose.getPermutation()[axis];
    } else if (auto broadcast = dyn_cast<graph::BroadcastOp>(first)) {
      auto found = llvm::find(broadcast.getAxes(), axis);
      place = found - broadcast.getAxes().begin();
      if (found == broadcast.getAxes().end()) // of what is the same for all keys
        return llvm::all_equal(inner) ? withOperands(first, inner.front(), type) : Value();
    } else {
      // The axis and all behind it are left alone.
      int64_t behind = type.getRank() - axis;
      place = typeOf(inner.front()).getRank() - behind;
      auto isApart = [&](Value piece) {
        Value source = piece.getDefiningOp()->getOperand(0);
        return typeOf(source).getRank() >= behind &&
               typeOf(source).getDims().take_back(behind) == typeOf(piece).getDims().take_back(behind);
      };
      if (!llvm::all_of(pieces, isApart))
        return Value();
    }
    Value operand = joined(inner, place);
    return operand ? withOperands(first, operand, type) : Value();
  }

  OpBuilder &builder;
  Location loc;
  unsigned steps = 0;
};

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
    for (graph::ConcatOp concat : concats)
      joinScores(concat);
    for (Operation *sum : sums)
      joinValues(sum);
  }

  void joinScores(graph::ConcatOp concat) {
    if (!feedsSoftmax(concat))
      return;
    OpBuilder builder(concat);
    SmallVector<Value> pieces = llvm::to_vector(concat.getXs());
    Value scores = Joiner(builder, concat.getLoc()).joined(pieces, concat.getAxis());
    if (!scores)
      return;
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
      operands[1 - side] = Joiner(builder, sum->getLoc()).concat(values, place);
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
