// graph-gather-keys: attention reads keys and values through the rows that a gather names.
//
//   %k = graph.transpose (graph.gather %pages at %page, %place [0, 2])      %all = graph.reshape %pages        // [R,
//   D], a view %y = graph.attention q(%q) k(%k) v(%v)                             ->   %row = … the same ops on 0, 1,
//   2, …
//                                                                           %y = graph.attention q(%q) k(%all) v(…)
//                                                                           key_rows(%row)
//
// The ops between a buffer and the attention's operand move rows and leave columns alone. The same ops on the rows'
// numbers give each key's row: an integer in the place of D numbers, checked as the gather checks its indices. Pays
// wherever it can: a cache read by a table of pages is read where it lies. Exact.
#include "compiler/analysis/Storage.h"
#include "compiler/passes/Passes.h"

#include "mlir/IR/IRMapping.h"

using namespace mlir;
using namespace fovea;

namespace fovea {
#define GEN_PASS_DEF_GATHERKEYS
#include "compiler/passes/Passes.h.inc"
} // namespace fovea

namespace {

/// Whether `op` moves rows, whole and in order along the last axis.
bool keepsColumns(Operation *op) {
  if (!op)
    return false;
  int64_t last = typeOf(op->getResult(0)).getRank() - 1, from = typeOf(op->getOperand(0)).getRank() - 1;
  if (last < 0 || from < 0)
    return false;
  if (auto transpose = dyn_cast<graph::TransposeOp>(op))
    return transpose.getPermutation().back() == last;
  if (auto broadcast = dyn_cast<graph::BroadcastOp>(op))
    return broadcast.getAxes().back() == last;
  if (auto gather = dyn_cast<graph::GatherOp>(op))
    return gather.getAxes().back() < from;
  if (auto slice = dyn_cast<graph::SliceOp>(op))
    return int64_t(slice.getAxis()) < last;
  return isa<graph::ReshapeOp>(op) &&
         typeOf(op->getOperand(0)).getDims().back() == typeOf(op->getResult(0)).getDims().back();
}

/// An operand of attention as rows of a buffer.
struct Rows {
  Value all;    ///< [R, D]
  Value number; ///< [batch..., S], i64
};

class RowReader {
public:
  RowReader(OpBuilder &builder) : builder(builder) {}

  std::optional<Rows> read(Value operand) {
    SmallVector<Operation *> between; // from the operand back
    bool gathers = false;
    Value base = operand;
    for (; keepsColumns(base.getDefiningOp()); base = base.getDefiningOp()->getOperand(0)) {
      between.push_back(base.getDefiningOp());
      gathers |= isa<graph::GatherOp>(between.back());
    }
    if (!gathers || !isWritten(base))
      return std::nullopt;
    graph::TensorType type = typeOf(base);
    DimExpr count(1);
    for (DimExpr dim : type.getDims().drop_back())
      if (count = count * dim; !count)
        return std::nullopt;
    Location loc = between.front()->getLoc();
    Type i64 = builder.getI64Type();
    Value numbers = graph::IotaOp::create(builder, loc, graph::TensorType::get(builder.getContext(), {count}, i64));
    numbers = graph::ReshapeOp::create(builder, loc, withoutColumns(type), numbers);
    for (Operation *op : llvm::reverse(between))
      numbers = onRows(op, numbers);
    Value all = graph::ReshapeOp::create(builder, loc, type.cloneWith({count, type.getDims().back()}), base);
    return Rows{all, numbers};
  }

private:
  graph::TensorType withoutColumns(graph::TensorType type) {
    return graph::TensorType::get(builder.getContext(), type.getDims().drop_back(), builder.getI64Type());
  }

  /// What `op` does to rows, done to their numbers.
  Value onRows(Operation *op, Value numbers) {
    IRMapping mapping;
    mapping.map(op->getOperand(0), numbers);
    Operation *copy = builder.clone(*op, mapping);
    copy->getResult(0).setType(withoutColumns(typeOf(op->getResult(0))));
    if (auto transpose = dyn_cast<graph::TransposeOp>(copy))
      transpose.setPermutation(transpose.getPermutation().drop_back());
    if (auto broadcast = dyn_cast<graph::BroadcastOp>(copy))
      broadcast.setAxes(broadcast.getAxes().drop_back());
    return copy->getResult(0);
  }

  OpBuilder &builder;
};

/// `all` [R, D] for each of `batch`.
Value spread(OpBuilder &builder, Value all, ArrayRef<DimExpr> batch) {
  graph::TensorType type = typeOf(all);
  SmallVector<DimExpr> dims(batch);
  llvm::append_range(dims, type.getDims());
  int64_t rank = dims.size();
  if (batch.empty())
    return all;
  return graph::BroadcastOp::create(builder, all.getLoc(), type.cloneWith(dims), all,
                                    ArrayRef<int64_t>{rank - 2, rank - 1});
}

struct GatherKeys : fovea::impl::GatherKeysBase<GatherKeys> {
  void runOnOperation() override {
    getOperation()->walk([&](graph::AttentionOp op) {
      OpBuilder builder(op);
      RowReader reader(builder);
      ArrayRef<DimExpr> batch = typeOf(op.getQ()).getDims().drop_back(2);
      bool mayRead = !op.getKeyRows() && op.getJoinedK().empty();
      if (std::optional<Rows> keys = mayRead ? reader.read(op.getK()) : std::nullopt) {
        op.getKMutable().assign(spread(builder, keys->all, batch));
        op.getKeyRowsMutable().assign(keys->number);
        ++numRead;
      }
      if (std::optional<Rows> values = op.getValueRows() ? std::nullopt : reader.read(op.getV())) {
        op.getVMutable().assign(spread(builder, values->all, batch));
        op.getValueRowsMutable().assign(values->number);
        ++numRead;
      }
    });
  }
};

} // namespace
