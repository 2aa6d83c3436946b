// The reducing passes of kernel.map, in the contract's order: spans of 1024 elements from index 0 of the innermost
// reduced axis; in a span, along lanes: vector c goes to accumulator c mod 4, accumulators combine as (0,1),(2,3),
// lanes by halves; across lanes: one chain; spans in order, then the outer reduced axes in order.
#include "compiler/kernels/emit/Map.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace fovea::kernels;
namespace kernel = fovea::kernel;

static constexpr int64_t span = 1024;
static constexpr int64_t accumulators = 4;

FailureOr<SmallVector<Partial>> MapEmitter::emitPoint(PointVectorizer &row, int64_t pass, Value mask, Value along) {
  PointVectorizer inner = row.nested(mask);
  bindAxis(inner, analysis.reducedAxes().back(), along);
  if (failed(emitInner(inner, pass)))
    return failure();
  SmallVector<Partial> result;
  for (kernel::ReduceOp op : analysis.reductions(pass)) {
    Partial partial{inner.vector(op.getValue()), {}};
    if (op.getKind() == "argmax") {
      // A value only for its index: the reduced axis' argument as i64, by lanes or broadcast.
      Value index = inner.vector(map.getBody().getArgument(op.getAxes().front()));
      Type type = VectorType::get({target.vectorLength}, b->getI64Type());
      partial.index = arith::IndexCastOp::create(*b, loc, type, index);
    }
    result.push_back(partial);
  }
  return result;
}

/// A row along the lanes: spans in order.
FailureOr<MapEmitter::Carried> MapEmitter::reduceLanes(PointVectorizer &row, int64_t pass, ValueRange totals) {
  int64_t axis = analysis.laneAxis();
  FailureOr<Carried> result =
      forRange(constant(0), cut.sizes[axis], span, totals, [&](Value low, ValueRange carried) -> FailureOr<Carried> {
        Value high = arith::MinUIOp::create(*b, loc, add(low, constant(span)), cut.sizes[axis]);
        FailureOr<Carried> one = reduceSpan(row, pass, low, high);
        if (failed(one))
          return failure();
        Carried next;
        ValueRange rest = *one;
        for (kernel::ReduceOp op : analysis.reductions(pass)) {
          Combiner combiner(*b, op);
          Partial total = combiner.take(carried);
          Combiner::append(next, combiner.combine(total, combiner.take(rest)));
        }
        return next;
      });
  indices[axis] = {};
  return result;
}

namespace {

/// What the reductions of a pass have come to, as vectors: `accumulators` partial results of each.
class Accumulators {
public:
  Accumulators(OpBuilder &builder, ArrayRef<kernel::ReduceOp> reductions)
      : b(builder), reductions(reductions), partials(reductions.size()) {}

  SmallVector<Value> identities(int64_t lanes) {
    SmallVector<Value> values;
    for (kernel::ReduceOp op : reductions)
      for (int64_t u = 0; u < accumulators; ++u)
        Combiner::append(values, Combiner(b, op).identity(lanes));
    return values;
  }
  void take(ValueRange carried) {
    for (auto [op, of] : llvm::zip(reductions, partials)) {
      of.clear();
      for (int64_t u = 0; u < accumulators; ++u)
        of.push_back(Combiner(b, op).take(carried));
    }
  }
  SmallVector<Value> give() const {
    SmallVector<Value> values;
    for (const auto &of : partials)
      for (const Partial &partial : of)
        Combiner::append(values, partial);
    return values;
  }
  /// Each reduction's accumulators and lanes combined.
  SmallVector<Value> combined() {
    SmallVector<Value> values;
    for (auto [op, of] : llvm::zip(reductions, partials)) {
      Combiner combiner(b, op);
      Partial left = combiner.combine(of[0], of[1]), right = combiner.combine(of[2], of[3]);
      Combiner::append(values, combiner.acrossLanes(combiner.combine(left, right)));
    }
    return values;
  }
  /// Accumulator `u` of each reduction takes in a vector of points.
  void add(int64_t u, ArrayRef<Partial> points) {
    for (auto [op, of, point] : llvm::zip(reductions, partials, points))
      of[u] = Combiner(b, op).combine(of[u], point);
  }
  /// The same of the points of `mask`, where it is this accumulator's turn.
  void addMasked(int64_t u, ArrayRef<Partial> points, Value mask, Value turn) {
    for (auto [op, of, point] : llvm::zip(reductions, partials, points)) {
      Combiner combiner(b, op);
      Partial combined = combiner.combine(of[u], combiner.masked(point, mask));
      of[u] = combiner.select(turn, combined, of[u]);
    }
  }

private:
  OpBuilder &b;
  ArrayRef<kernel::ReduceOp> reductions;
  SmallVector<SmallVector<Partial>> partials;
};

} // namespace

/// [low, high): vector c combines into accumulator c mod 4, whole groups of four vectors first, then one masked vector
/// at a time.
FailureOr<MapEmitter::Carried> MapEmitter::reduceSpan(PointVectorizer &row, int64_t pass, Value low, Value high) {
  SmallVector<kernel::ReduceOp> reductions = analysis.reductions(pass);
  int64_t lanes = target.vectorLength, group = lanes * accumulators;
  Accumulators partials(*b, reductions);
  Carried start = partials.identities(lanes);
  Value rest = arith::RemUIOp::create(*b, loc, arith::SubIOp::create(*b, loc, high, low), constant(group));
  Value whole = arith::SubIOp::create(*b, loc, high, rest);
  FailureOr<Carried> groups =
      forRange(low, whole, group, start, [&](Value base, ValueRange carried) -> FailureOr<Carried> {
        partials.take(carried);
        for (int64_t u = 0; u < accumulators; ++u) {
          auto point = emitPoint(row, pass, Value(), add(base, constant(u * lanes)));
          if (failed(point))
            return failure();
          partials.add(u, *point);
        }
        return partials.give();
      });
  if (failed(groups))
    return failure();
  auto maskType = VectorType::get({lanes}, b->getI1Type());
  FailureOr<Carried> all =
      forRange(whole, high, lanes, *groups, [&](Value base, ValueRange carried) -> FailureOr<Carried> {
        partials.take(carried);
        Value mask = vector::CreateMaskOp::create(*b, loc, maskType, Value(arith::SubIOp::create(*b, loc, high, base)));
        auto point = emitPoint(row, pass, mask, base);
        if (failed(point))
          return failure();
        for (int64_t u = 0; u < accumulators; ++u) {
          Value turn = arith::CmpIOp::create(*b, loc, arith::CmpIPredicate::eq, base, add(whole, constant(u * lanes)));
          partials.addMasked(u, *point, mask, turn);
        }
        return partials.give();
      });
  if (failed(all))
    return failure();
  partials.take(*all);
  return partials.combined();
}

/// Each lane its own row: one chain a span, spans in order.
FailureOr<MapEmitter::Carried> MapEmitter::reduceAcross(PointVectorizer &row, int64_t pass, ValueRange totals) {
  SmallVector<kernel::ReduceOp> reductions = analysis.reductions(pass);
  int64_t axis = analysis.reducedAxes().back();
  auto merge = [&](ValueRange x, ArrayRef<Partial> y) {
    Carried next;
    for (auto [op, partial] : llvm::zip(reductions, y)) {
      Combiner combiner(*b, op);
      Combiner::append(next, combiner.combine(combiner.take(x), partial));
    }
    return next;
  };
  auto chain = [&](Value low, ValueRange carried) -> FailureOr<Carried> {
    Value high = arith::MinUIOp::create(*b, loc, add(low, constant(span)), cut.sizes[axis]);
    Carried start;
    for (kernel::ReduceOp op : reductions)
      Combiner::append(start, Combiner(*b, op).identity(lanes));
    FailureOr<Carried> one = forRange(low, high, 1, start, [&](Value index, ValueRange inside) -> FailureOr<Carried> {
      auto point = emitPoint(row, pass, row.getMask(), index);
      if (failed(point))
        return failure();
      return merge(inside, *point);
    });
    if (failed(one))
      return failure();
    SmallVector<Partial> partials;
    ValueRange rest = *one;
    for (kernel::ReduceOp op : reductions)
      partials.push_back(Combiner(*b, op).take(rest));
    return merge(carried, partials);
  };
  FailureOr<Carried> result = forRange(constant(0), cut.sizes[axis], span, totals, chain);
  indices[axis] = {};
  return result;
}
