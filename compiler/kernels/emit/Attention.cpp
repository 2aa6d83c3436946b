// kernel.attention: the selector between its variants. What a variant does: AttentionTask.h.
//
// Few queries (T at most one vector of them) take the narrow variant: panels of one vector, output rows one by one over
// many value columns. Both variants compute every element by the same chains, so they give the same bits.
#include "compiler/kernels/emit/AttentionTask.h"
#include "compiler/kernels/emit/ScheduleEmitter.h"

using namespace mlir;

namespace fovea::kernels {
namespace {

class AttentionEmitter : public ScheduleEmitter {
public:
  AttentionEmitter(kernel::AttentionOp op, const Target &target)
      : ScheduleEmitter(target), op(op), wide(target, /*narrow=*/false), narrow(target, /*narrow=*/true) {}

  FailureOr<Value> emitTasks(OpBuilder &builder, IRMapping &outer) override {
    // One block holds the queries of the narrow variant, so both count alike.
    Code code = codeAt(builder);
    return AttentionTask(code, op, target, wide, outer).tasks();
  }

  FailureOr<Value> emitScratch(OpBuilder &builder, IRMapping &outer) override {
    Code code = codeAt(builder);
    Value bytes = AttentionTask(code, op, target, wide, outer).reserve(nullptr);
    return code.max(bytes, AttentionTask(code, op, target, narrow, outer).reserve(nullptr));
  }

  LogicalResult emitRun(OpBuilder &builder, IRMapping &outer, const RunArguments &arguments) override {
    Code code = codeAt(builder);
    LogicalResult result = success();
    auto emit = [&](const AttentionShape &shape) {
      AttentionTask task(code, op, target, shape, outer, hasChecks() ? arguments.exec : Value());
      task.reserve(arguments.scratch);
      code.loop(arguments.begin, arguments.end, 1, [&](Value index) {
        if (failed(task.run(index)))
          result = failure();
      });
    };
    auto type = cast<MemRefType>(op.getQ().getType());
    int64_t rows = type.getDimSize(type.getRank() - 2);
    if (!ShapedType::isDynamic(rows))
      emit(rows <= narrow.queries() ? narrow : wide);
    else
      code.branch(
          code.compare(arith::CmpIPredicate::sle, code.dim(outer.lookupOrDefault(op.getQ()), type.getRank() - 2),
                       code.index(narrow.queries())),
          [&] { emit(narrow); }, [&] { emit(wide); });
    return result;
  }

private:
  Code codeAt(OpBuilder &builder) { return Code(builder, op.getLoc(), wide.lanes, wide.fused); }
  bool hasChecks() {
    bool found = false;
    op->walk([&](kernel::CheckOp) { found = true; });
    return found;
  }

  kernel::AttentionOp op;
  AttentionShape wide, narrow;
};

} // namespace

std::unique_ptr<ScheduleEmitter> makeAttentionEmitter(kernel::AttentionOp op, const Target &target) {
  return std::make_unique<AttentionEmitter>(op, target);
}

} // namespace fovea::kernels
