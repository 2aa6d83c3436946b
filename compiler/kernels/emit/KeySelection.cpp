#include "compiler/kernels/emit/KeySelection.h"

#include <limits>

using namespace mlir;

namespace fovea::kernels {

void KeySelection::reserve(ScratchLayout &layout) {
  Value count = code.mul(size, shape.rows());
  scores = layout.allocate({ShapedType::kDynamic}, {count});
  keys = layout.allocate({ShapedType::kDynamic}, {count}, code.b.getI64Type());
  least = layout.allocate({shape.panels, shape.panel()}, {});
  isHeap = layout.allocate({shape.panels, shape.panel()}, {}, code.b.getI32Type());
}

void KeySelection::start(Value rows, Value panels) {
  Value zero = code.index(0), none = code.scalar(-std::numeric_limits<float>::infinity());
  code.loop(zero, rows, 1, [&](Value row) {
    code.loop(zero, size, 1, [&](Value place) {
      Value at = code.add(code.mul(row, size), place);
      code.store(none, scores, at);
      Value key = arith::IndexCastOp::create(code.b, code.loc, code.b.getI64Type(), place);
      memref::StoreOp::create(code.b, code.loc, key, keys, at);
    });
  });
  Value nothing = code.scalar(std::numeric_limits<float>::quiet_NaN());
  Value fresh = arith::ConstantOp::create(code.b, code.loc, code.b.getI32IntegerAttr(0));
  code.loop(zero, code.mul(panels, shape.panel()), 1, [&](Value row) {
    Value panel = code.div(row, code.index(shape.panel())), lane = code.rem(row, code.index(shape.panel()));
    Value isTaking = code.logicalAnd(code.less(row, rows), code.less(zero, size));
    code.store(code.select(isTaking, none, nothing), least, {panel, lane});
    memref::StoreOp::create(code.b, code.loc, fresh, isHeap, ValueRange{panel, lane});
  });
}

void KeySelection::offer(Value panel, Value lane, Value vector, Value key) {
  Value before = RankedList::isBefore(code, vector, code.loadVector(least, {panel, lane}));
  Value any = vector::ReductionOp::create(code.b, code.loc, vector::CombiningKind::OR, before);
  code.branch(any, [&] {
    for (int i = 0; i < shape.lanes; ++i) {
      Value takes = vector::ExtractOp::create(code.b, code.loc, before, i);
      Value score = vector::ExtractOp::create(code.b, code.loc, vector, i);
      code.branch(takes, [&] { insert(panel, code.add(lane, i), score, key); });
    }
  });
}

/// The first keys have places of their own; with the next one the row's list becomes a heap.
void KeySelection::insert(Value panel, Value lane, Value score, Value key) {
  Value row = code.add(code.mul(panel, shape.panel()), lane), first = code.mul(row, size);
  code.branch(
      code.less(key, size), [&] { code.store(score, scores, code.add(first, key)); },
      [&] {
        RankedList list = listOf(row);
        Value flag = memref::LoadOp::create(code.b, code.loc, isHeap, ValueRange{panel, lane});
        Value one = arith::ConstantOp::create(code.b, code.loc, code.b.getI32IntegerAttr(1));
        code.branch(code.logicalNot(code.equal(flag, one)), [&] {
          list.order();
          memref::StoreOp::create(code.b, code.loc, one, isHeap, ValueRange{panel, lane});
        });
        code.branch(RankedList::isBefore(code, score, list.last()), [&] {
          list.replaceLast(score, arith::IndexCastOp::create(code.b, code.loc, code.b.getI64Type(), key));
        });
        code.store(list.last(), least, {panel, lane});
      });
}

void KeySelection::finish(Value rows, llvm::function_ref<void(Value, Value, Value, Value)> write) {
  code.loop(code.index(0), rows, 1, [&](Value row) {
    RankedList list = listOf(row);
    list.order(); // a heap stays one
    list.sort();
    Value first = code.mul(row, size);
    code.loop(code.index(0), size, 1, [&](Value place) {
      Value at = code.add(first, place);
      write(row, place, code.load(scores, at), memref::LoadOp::create(code.b, code.loc, keys, at));
    });
  });
}

} // namespace fovea::kernels
