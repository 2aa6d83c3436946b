// graph-read-pieces: attention reads keys and values of several places where they lie.
//
//   %all = graph.concat %old, %new {axis = 1}
//   %k = graph.transpose %all                   ->   %a = graph.transpose %old        %b = graph.transpose %new
//   %y = graph.attention q(%q) k(%k) v(%v)           %y = graph.attention q(%q) k(%a, %b) v(%v)
//
// Pays wherever it can: neither a cache nor what is new is copied to stand beside the other. Where something else reads
// the concatenation, which then may have to be written, it pays if the pieces lie in memory in any case. Exact.
#include "compiler/analysis/Storage.h"
#include "compiler/passes/ElementExpression.h"
#include "compiler/passes/KeyPieces.h"
#include "compiler/passes/Passes.h"

namespace fovea {
#define GEN_PASS_DEF_READPIECES
#include "compiler/passes/Passes.h.inc"
} // namespace fovea

using namespace mlir;
using namespace fovea;

/// Whether attentions, as keys or values, are all that reads a value, through what the pass sees through.
static bool isReadByAttentions(Value value, unsigned depth = 0) {
  return depth <= 16 && llvm::all_of(value.getUses(), [&](OpOperand &use) {
           Operation *user = use.getOwner();
           if (auto attention = dyn_cast<graph::AttentionOp>(user))
             return use.get() == attention.getK() || use.get() == attention.getV();
           return (isLayout(user) || isWidening(user)) && isReadByAttentions(user->getResult(0), depth + 1);
         });
}

static bool liesInMemory(Value value) {
  while (isLayoutOp(value.getDefiningOp()) || isWidening(value.getDefiningOp()))
    value = value.getDefiningOp()->getOperand(0);
  return isWritten(value);
}

namespace {

/// An operand as pieces of it along its axis of rows.
class Cutter {
public:
  explicit Cutter(Operation *attention) : builder(attention) {}

  /// Empty where it is not one of several.
  SmallVector<Value> piecesOf(Value operand) {
    constexpr size_t most = 8;
    SmallVector<Operation *> behind; // from the operand back
    Value from = operand;
    int64_t axis = typeOf(operand).getRank() - 2;
    for (Operation *op = from.getDefiningOp(); isLayout(op) || isWidening(op); op = from.getDefiningOp()) {
      std::optional<int64_t> inner = isLayout(op) ? axisOfOperand(op, axis) : axis;
      if (!inner)
        return {};
      behind.push_back(op);
      axis = *inner;
      from = op->getOperand(0);
    }
    auto concat = from.getDefiningOp<graph::ConcatOp>();
    if (!concat || int64_t(concat.getAxis()) != axis || concat.getXs().size() > most ||
        (!llvm::all_of(concat.getXs(), liesInMemory) && !isReadByAttentions(from)))
      return {};
    SmallVector<Value> pieces = llvm::to_vector(concat.getXs());
    for (Value &piece : pieces) {
      DimExpr size = typeOf(piece).getDim(axis);
      int64_t at = axis;
      for (Operation *op : llvm::reverse(behind)) {
        at = isLayout(op) ? axisOfResult(op, at) : at;
        piece = withOperands(builder, op, piece, withDim(typeOf(op->getResult(0)), at, size));
      }
    }
    return pieces;
  }

private:
  /// The axis of a layout's result that is its operand's `axis`.
  static int64_t axisOfResult(Operation *layout, int64_t axis) {
    for (int64_t result = 0, rank = typeOf(layout->getResult(0)).getRank(); result < rank; ++result)
      if (axisOfOperand(layout, result) == axis)
        return result;
    llvm_unreachable("the axis was followed from the result");
  }

  OpBuilder builder;
};

class ReadPieces : public fovea::impl::ReadPiecesBase<ReadPieces> {
  void runOnOperation() override {
    SmallVector<graph::AttentionOp> attentions;
    getOperation().walk([&](graph::AttentionOp op) { attentions.push_back(op); });
    // What is read by all of them is decided before any is changed.
    SmallVector<SmallVector<Value>> keys, values;
    for (graph::AttentionOp op : attentions) {
      Cutter cutter(op);
      bool mayCut = op.getMoreK().empty() && !op.getKeyRows() && op.getJoinedK().empty();
      keys.push_back(mayCut ? cutter.piecesOf(op.getK()) : SmallVector<Value>());
      values.push_back(op.getMoreV().empty() && !op.getValueRows() ? cutter.piecesOf(op.getV()) : SmallVector<Value>());
    }
    for (auto [op, k, v] : llvm::zip(attentions, keys, values)) {
      numRead += read(op.getKMutable(), op.getMoreKMutable(), k);
      numRead += read(op.getVMutable(), op.getMoreVMutable(), v);
    }
  }

  static bool read(OpOperand &first, MutableOperandRange more, ArrayRef<Value> pieces) {
    if (pieces.empty())
      return false;
    first.set(pieces.front());
    more.assign(pieces.drop_front());
    return true;
  }
};

} // namespace
