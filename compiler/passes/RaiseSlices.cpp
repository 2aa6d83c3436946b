// slice(f(softmax(g(contract(q, k))))) becomes f(softmax(g(contract(slice(q), k)))): weights or scores of which a part
// is read are computed for that part. Pays because the whole is queries by keys, which nothing else holds once
// attention is fused. A slice along the keys of softmax(concat(scores, logit)) that leaves the logit out becomes a
// softmax with a sink, the log-sum-exp where there are several. Gathers of weights likewise. Numerical effect: exact;
// with a sink the sum has the logits' share last.
#include "compiler/passes/ElementExpression.h"
#include "compiler/passes/Passes.h"

#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/ADT/SetVector.h"

namespace fovea {
#define GEN_PASS_DEF_RAISESLICES
#include "compiler/passes/Passes.h.inc"
} // namespace fovea

using namespace mlir;
using namespace fovea;

/// Whether an op of `Ops` is reached from `from` by `next`, through layouts and elementwise ops.
template <typename... Ops, typename Next> static bool reaches(SmallVector<Operation *> from, Next next) {
  llvm::SetVector<Operation *> seen(from.begin(), from.end());
  for (size_t i = 0; i < seen.size() && seen.size() < 256; ++i) {
    Operation *op = seen[i];
    if (isa_and_nonnull<Ops...>(op))
      return true;
    if (op && (isLayout(op) || isa<graph::ElementwiseOpInterface>(op)))
      for (Operation *other : next(op))
        seen.insert(other);
  }
  return false;
}

static SmallVector<Operation *> sourcesOf(Operation *op) {
  return llvm::map_to_vector(op->getOperands(), [](Value operand) { return operand.getDefiningOp(); });
}
static SmallVector<Operation *> usersOf(Operation *op) { return llvm::to_vector(op->getUsers()); }

namespace {
/// Which elements along an axis: `size` of them, from a start in steps, or those at `indices` (rank 1).
struct Part {
  Value offset; ///< or null ...
  DimExpr start;
  int64_t step;
  DimExpr size;
  Value indices = Value();
};

/// Takes a part of values by taking it of what they are computed from.
class Raiser {
public:
  /// `place`: the op that takes it.
  Raiser(Operation *place, Part part) : builder(place), place(place), part(part) {}

  /// The part of `value` along `axis`.
  Value sliced(Value value, int64_t axis) {
    auto [entry, isNew] = known.try_emplace({value, axis}, Value());
    if (!isNew)
      return entry->second;
    Value result = raised(value, axis);
    return known[{value, axis}] = result ? result : taken(value, axis);
  }

  bool hasRaised = false;  ///< through a softmax or a contraction
  bool hasPiece = false;   ///< a whole operand of a concatenation along the axis
  bool cutsPieces = false; ///< another part of one

private:
  Value taken(Value value, int64_t axis) {
    Location loc = place->getLoc();
    if (part.indices)
      return graph::GatherOp::create(builder, loc, partType(value, axis), value, ValueRange(part.indices),
                                     ArrayRef(axis));
    return graph::SliceOp::create(
        builder, loc, partType(value, axis), value, part.offset, builder.getI64IntegerAttr(axis),
        part.offset ? graph::DimAttr() : graph::DimAttr::get(builder.getContext(), part.start),
        builder.getI64IntegerAttr(part.step));
  }

  graph::TensorType partType(Value value, int64_t axis) { return withDim(typeOf(value), axis, part.size); }

  /// `op` with other operands, of the type that the part of its result has.
  Value clone(Operation *op, ArrayRef<Value> operands, int64_t axis) {
    return withOperands(builder, op, operands, partType(op->getResult(0), axis));
  }

  Value raised(Value value, int64_t axis);
  Value raisedLayout(Operation *op, int64_t axis);
  Value raisedConcat(graph::ConcatOp concat, int64_t axis);
  Value raisedSoftmax(graph::SoftmaxOp softmax, int64_t axis);
  Value logSum(Value logits, int64_t axis);
  Value raisedContract(graph::ContractOp contract, int64_t axis);

  OpBuilder builder;
  Operation *place;
  const Part part;
  llvm::DenseMap<std::pair<Value, int64_t>, Value> known;
};
} // namespace

Value Raiser::raised(Value value, int64_t axis) {
  Operation *op = value.getDefiningOp();
  if (isLayout(op))
    return raisedLayout(op, axis);
  if (auto softmax = dyn_cast_or_null<graph::SoftmaxOp>(op))
    return raisedSoftmax(softmax, axis);
  if (auto contract = dyn_cast_or_null<graph::ContractOp>(op))
    return raisedContract(contract, axis);
  if (auto concat = dyn_cast_or_null<graph::ConcatOp>(op))
    return raisedConcat(concat, axis);
  if (!isa_and_nonnull<graph::ElementwiseOpInterface>(op))
    return Value();
  return clone(op, llvm::map_to_vector(op->getOperands(), [&](Value operand) { return sliced(operand, axis); }), axis);
}

Value Raiser::raisedLayout(Operation *op, int64_t axis) {
  Value x = op->getOperand(0);
  if (auto broadcast = dyn_cast<graph::BroadcastOp>(op)) {
    auto mine = llvm::find(broadcast.getAxes(), axis);
    if (mine != broadcast.getAxes().end())
      x = sliced(x, mine - broadcast.getAxes().begin());
    return clone(op, x, axis);
  }
  if (auto transpose = dyn_cast<graph::TransposeOp>(op))
    return clone(op, sliced(x, transpose.getPermutation()[axis]), axis);
  // A reshape that leaves the axis as it is.
  ArrayRef<DimExpr> from = typeOf(x).getDims(), to = typeOf(op->getResult(0)).getDims();
  DimExpr before(1), sofar(1);
  for (DimExpr dim : to.take_front(axis))
    before = before * dim;
  for (auto [position, dim] : llvm::enumerate(from)) {
    if (sofar == before && dim == to[axis] && !dim.isConstant(1))
      return clone(op, sliced(x, position), axis);
    sofar = sofar * dim;
  }
  return Value();
}

/// Along its axis only where the part is one of its operands.
Value Raiser::raisedConcat(graph::ConcatOp concat, int64_t axis) {
  if (int64_t(concat.getAxis()) != axis)
    return Value();
  DimExpr start(0);
  for (Value piece : concat.getXs()) {
    if (!part.indices && !part.offset && part.step == 1 && part.start == start &&
        typeOf(piece).getDim(axis) == part.size) {
      hasPiece = true;
      return piece;
    }
    start = start + typeOf(piece).getDim(axis);
  }
  cutsPieces = true;
  return Value();
}

/// The log-sum-exp of logits, for as few rows as they differ in.
Value Raiser::logSum(Value logits, int64_t axis) {
  Location loc = place->getLoc();
  SmallVector<DimExpr> rows = llvm::to_vector(typeOf(logits).getDims());
  rows.erase(rows.begin() + axis);
  graph::TensorType type = typeOf(logits).cloneWith(ArrayRef<DimExpr>(rows));
  if (typeOf(logits).getDim(axis).isConstant(1))
    return graph::ReshapeOp::create(builder, loc, type, logits);
  auto broadcast = logits.getDefiningOp<graph::BroadcastOp>();
  auto mine = broadcast ? llvm::find(broadcast.getAxes(), axis) : nullptr;
  if (!broadcast || mine == broadcast.getAxes().end())
    return graph::LogSumExpOp::create(builder, loc, type, logits, axis);
  Value inner = logSum(broadcast.getX(), mine - broadcast.getAxes().begin());
  SmallVector<int64_t> axes;
  for (int64_t other : broadcast.getAxes())
    if (other != axis)
      axes.push_back(other - (other > axis));
  return graph::BroadcastOp::create(builder, loc, type, inner, axes);
}

/// Along another axis than the keys; or along the keys of a concatenation of which all is read but logits at an end: of
/// several their log-sum-exp is the sink.
Value Raiser::raisedSoftmax(graph::SoftmaxOp softmax, int64_t axis) {
  int64_t keys = softmax.getAxis();
  if (axis != keys) {
    hasRaised = true;
    SmallVector<Value> operands{sliced(softmax.getX(), axis)};
    if (softmax.getSink())
      operands.push_back(sliced(softmax.getSink(), axis - (axis > keys)));
    Value weights = clone(softmax, operands, axis);
    weights.getDefiningOp()->setDiscardableAttr(graph::names::part, builder.getUnitAttr());
    return weights;
  }
  DimExpr left = typeOf(softmax.getX()).getDim(keys) - part.size;
  bool isLast = part.start == DimExpr(0);
  if (part.indices || part.offset || part.step != 1 || softmax.getSink() || (!isLast && part.start != left))
    return Value();
  Raiser scores(place, part), logits(place, {Value(), isLast ? part.size : DimExpr(0), 1, left});
  Value x = scores.sliced(softmax.getX(), keys), others = logits.sliced(softmax.getX(), keys);
  if (!scores.hasPiece || scores.cutsPieces || !logits.hasPiece || logits.cutsPieces)
    return Value();
  hasRaised = true;
  Value sink = logSum(others, keys);
  return graph::SoftmaxOp::create(builder, softmax.getLoc(), x.getType(), x, sink, keys);
}

Value Raiser::raisedContract(graph::ContractOp contract, int64_t axis) {
  if (contract.getPacked())
    return Value();
  hasRaised = true;
  int64_t label = contract.getOutLabels()[axis];
  SmallVector<Value> operands;
  for (auto [operand, labels] :
       {std::pair(contract.getLhs(), contract.getLhsLabels()), std::pair(contract.getRhs(), contract.getRhsLabels())}) {
    auto mine = llvm::find(labels, label);
    operands.push_back(mine == labels.end() ? operand : sliced(operand, mine - labels.begin()));
  }
  return clone(contract, operands, axis);
}

namespace {
class RaiseSlices : public fovea::impl::RaiseSlicesBase<RaiseSlices> {
  void runOnOperation() override {
    while (raiseAll()) // a part of a part comes after it
      ;
    // What no one reads whole any more, and what was built in vain.
    for (auto function : getOperation().getOps<graph::FuncOp>())
      for (Operation &op : llvm::make_early_inc_range(llvm::reverse(function.getBody().front())))
        if (isOpTriviallyDead(&op))
          op.erase();
  }

  bool raiseAll() {
    SmallVector<Operation *> parts;
    getOperation().walk([&](Operation *op) {
      if (isa<graph::SliceOp, graph::GatherOp>(op) && !op->use_empty())
        parts.push_back(op);
    });
    bool isAny = false;
    // From behind: what reads a part may be one itself, and goes up through it.
    for (Operation *part : llvm::reverse(parts)) {
      Value result = raise(part);
      if (!result)
        continue;
      part->getResult(0).replaceAllUsesWith(result);
      ++numRaised;
      isAny = true;
    }
    return isAny;
  }

  /// The part, of what its operand is computed from; null where it stays.
  static Value raise(Operation *part) {
    SmallVector<Operation *> source{part->getOperand(0).getDefiningOp()};
    bool isOfWeights = reaches<graph::SoftmaxOp>(source, sourcesOf);
    bool isOfScores =
        reaches<graph::ContractOp>(source, sourcesOf) && reaches<graph::SoftmaxOp>(usersOf(part), usersOf);
    // A gather of scores may have more elements than these.
    if (auto gather = dyn_cast<graph::GatherOp>(part))
      return isOfWeights ? raise(gather) : Value();
    if (!isOfWeights && !isOfScores)
      return Value();
    auto slice = cast<graph::SliceOp>(part);
    Raiser raiser(slice, {slice.getOffset(), slice.getOffset() ? DimExpr(0) : slice.getStart()->getValue(),
                          int64_t(slice.getStep()), typeOf(slice.getResult()).getDim(slice.getAxis())});
    Value result = raiser.sliced(slice.getX(), slice.getAxis());
    return raiser.hasRaised ? result : Value();
  }

  /// Indices of any rank along one axis, as one axis.
  static Value raise(graph::GatherOp gather) {
    if (gather.getAxes().size() != 1)
      return Value();
    OpBuilder builder(gather);
    Value indices = gather.getIndices().front();
    graph::TensorType type = typeOf(indices);
    DimExpr count = type.getNumElements();
    if (!count)
      return Value();
    if (type.getRank() != 1)
      indices = graph::ReshapeOp::create(builder, gather.getLoc(), type.cloneWith(ArrayRef<DimExpr>(count)), indices);
    Raiser raiser(gather, {Value(), DimExpr(0), 1, count, indices});
    Value result = raiser.sliced(gather.getX(), gather.getAxes().front());
    if (!raiser.hasRaised)
      return Value();
    if (result.getType() != gather.getType())
      result = graph::ReshapeOp::create(builder, gather.getLoc(), gather.getType(), result);
    return result;
  }
};
} // namespace
