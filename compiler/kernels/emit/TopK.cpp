// kernel.top_k: a task is some rows, each read once.
//
// The first k elements of a row are put into a heap, whose root is the last of them in order. Of the others, vectors
// are compared with it, and what comes before it takes its place: of n elements in random order some k ln(n / k). In
// the end the heap is sorted. Order is total, so the result does not depend on the way.
#include "compiler/kernels/emit/RankedList.h"
#include "compiler/kernels/emit/ScheduleEmitter.h"

using namespace mlir;

namespace fovea::kernels {
namespace {

/// Elements that a task reads at least, where there are rows enough.
constexpr int64_t taskElements = 32768;

class TopKEmitter : public ScheduleEmitter {
public:
  TopKEmitter(kernel::TopKOp op, const Target &target) : ScheduleEmitter(target), op(op) {}

  FailureOr<Value> emitTasks(OpBuilder &builder, IRMapping &outer) override {
    Code code = codeAt(builder);
    Sizes sizes = sizesOf(code, outer);
    return code.ceilDiv(sizes.rows, sizes.rowsPerTask);
  }

  FailureOr<Value> emitScratch(OpBuilder &builder, IRMapping &outer) override {
    Code code = codeAt(builder);
    return reserve(code, sizesOf(code, outer).k, Value()).bytes;
  }

  LogicalResult emitRun(OpBuilder &builder, IRMapping &outer, const RunArguments &arguments) override {
    Code code = codeAt(builder);
    Sizes sizes = sizesOf(code, outer);
    Memory memory = reserve(code, sizes.k, arguments.scratch);
    RankedList list(code, op->getParentOp()->getParentOp(), memory.values, memory.indices, code.index(0), sizes.k);
    Value first = code.mul(arguments.begin, sizes.rowsPerTask);
    Value last = code.min(code.mul(arguments.end, sizes.rowsPerTask), sizes.rows);
    code.branch(code.less(code.index(0), sizes.k),
                [&] { code.loop(first, last, 1, [&](Value row) { emitRow(code, outer, sizes, memory, list, row); }); });
    return success();
  }

private:
  struct Sizes {
    Code::Values outer;
    Value rows, n, k, rowsPerTask;
  };
  struct Row {
    Value memref, stride;
    bool isUnit;
  };
  struct Memory {
    Value values, indices, bytes;
  };

  Code codeAt(OpBuilder &builder) { return Code(builder, op.getLoc(), target); }
  Type element() { return cast<MemRefType>(op.getX().getType()).getElementType(); }

  Sizes sizesOf(Code &code, IRMapping &outer) {
    Sizes sizes;
    Value x = outer.lookupOrDefault(op.getX());
    int64_t axis = cast<MemRefType>(x.getType()).getRank() - 1;
    sizes.rows = code.index(1);
    for (int64_t i = 0; i < axis; ++i) {
      sizes.outer.push_back(code.dim(x, i));
      sizes.rows = code.mul(sizes.rows, sizes.outer.back());
    }
    sizes.n = code.dim(x, axis);
    sizes.k = code.dim(outer.lookupOrDefault(op.getValues()), axis);
    Value one = code.index(1);
    sizes.rowsPerTask = code.max(code.div(code.index(taskElements), code.max(sizes.n, one)), one);
    return sizes;
  }

  /// The heap. 16-bit floats are in it as f32.
  Memory reserve(Code &code, Value k, Value scratch) {
    ScratchLayout layout(code, scratch);
    Type wide = isa<FloatType>(element()) ? code.b.getF32Type() : element();
    Value values = layout.allocate({ShapedType::kDynamic}, {k}, wide);
    Value indices = layout.allocate({ShapedType::kDynamic}, {k}, code.b.getI64Type());
    return {values, indices, layout.bytes()};
  }

  void emitRow(Code &code, IRMapping &outer, const Sizes &sizes, const Memory &memory, RankedList &list, Value number) {
    Value x = outer.lookupOrDefault(op.getX()), zero = code.index(0);
    Code::Values at = delinearize(code, number, sizes.outer);
    Row row = rowOf(code, x, at);
    auto load = [&](Value j) { return code.load(row.memref, j); };
    auto asInteger = [&](Value j) -> Value {
      return arith::IndexCastOp::create(code.b, code.loc, code.b.getI64Type(), j);
    };
    code.loop(zero, sizes.k, 1, [&](Value j) {
      memref::StoreOp::create(code.b, code.loc, load(j), memory.values, j);
      memref::StoreOp::create(code.b, code.loc, asInteger(j), memory.indices, j);
    });
    list.order();
    auto offer = [&](Value j) {
      Value value = load(j);
      code.branch(RankedList::isBefore(code, value, list.last()), [&] { list.replaceLast(value, asInteger(j)); });
    };
    Value scalarsFrom = sizes.k;
    if (isa<FloatType>(element()))
      scalarsFrom = emitVectors(code, x, at, row, sizes, list, offer);
    code.loop(scalarsFrom, sizes.n, 1, offer);
    list.sort();
    at.push_back(Value());
    code.loop(zero, sizes.k, 1, [&](Value i) {
      at.back() = i;
      code.store(code.load(memory.values, i), outer.lookupOrDefault(op.getValues()), at);
      memref::StoreOp::create(code.b, code.loc, code.load(memory.indices, i), outer.lookupOrDefault(op.getIndices()),
                              at);
    });
  }

  /// Whole vectors, where elements are adjacent: offers those of which some element comes before the last one. Gives
  /// where they end.
  Value emitVectors(Code &code, Value x, ValueRange at, const Row &row, const Sizes &sizes, RankedList &list,
                    llvm::function_ref<void(Value)> offer) {
    Value count = code.sub(sizes.n, sizes.k), lanes = code.index(code.lanes);
    Value whole = code.mul(code.div(count, lanes), lanes);
    if (!row.isUnit)
      whole = code.select(code.equal(row.stride, code.index(1)), whole, code.index(0));
    Value end = code.add(sizes.k, whole), adjacent = rowOf(code, x, at, /*assumeUnit=*/true).memref;
    code.loop(sizes.k, end, code.lanes, [&](Value j) {
      Value vector = code.loadVector(adjacent, j);
      Value before = RankedList::isBefore(code, vector, code.broadcast(list.last()));
      Value any = vector::ReductionOp::create(code.b, code.loc, vector::CombiningKind::OR, before);
      code.branch(any, [&] { code.loop(j, code.add(j, lanes), 1, offer); });
    });
    return end;
  }

  /// The row at `at`. `assumeUnit`: its elements are known to be adjacent.
  Row rowOf(Code &code, Value x, ValueRange at, bool assumeUnit = false) {
    auto type = cast<MemRefType>(x.getType());
    auto metadata = memref::ExtractStridedMetadataOp::create(code.b, code.loc, x);
    Row row;
    row.isUnit = assumeUnit || hasUnitColumns(x);
    row.stride = row.isUnit ? code.index(1) : metadata.getStrides().back();
    int64_t any = ShapedType::kDynamic;
    auto layout = StridedLayoutAttr::get(code.b.getContext(), any, {row.isUnit ? 1 : any});
    OpFoldResult stride = row.isUnit ? OpFoldResult(code.b.getIndexAttr(1)) : OpFoldResult(row.stride);
    row.memref = memref::ReinterpretCastOp::create(
        code.b, code.loc, MemRefType::get({any}, type.getElementType(), layout), metadata.getBaseBuffer(),
        OpFoldResult(elementOffset(code, x, at)), ArrayRef<OpFoldResult>{metadata.getSizes().back()},
        ArrayRef<OpFoldResult>{stride});
    return row;
  }

  kernel::TopKOp op;
};

} // namespace

std::unique_ptr<ScheduleEmitter> makeTopKEmitter(kernel::TopKOp op, const Target &target) {
  return std::make_unique<TopKEmitter>(op, target);
}

} // namespace fovea::kernels
