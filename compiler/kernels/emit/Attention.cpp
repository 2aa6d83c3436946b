// kernel.attention: the selector between its variants. What they share, and what each does: AttentionTask.h.
//
// Few queries (at most half a vector of them) have keys in the lanes, many have queries there. Both compute every
// element by the same chains, so they give the same bits.
#include "compiler/kernels/emit/AttentionTask.h"
#include "compiler/kernels/emit/AttentionVariants.h"
#include "compiler/kernels/emit/ScheduleEmitter.h"

using namespace mlir;

namespace fovea::kernels {
namespace {

class AttentionEmitter : public ScheduleEmitter {
public:
  AttentionEmitter(kernel::AttentionOp op, const Target &target) : ScheduleEmitter(target), op(op) {}

  FailureOr<Value> emitTasks(OpBuilder &builder, IRMapping &outer) override {
    return sizeOf(builder, outer, [](AttentionTask &task) { return task.tasks(); });
  }
  FailureOr<Value> emitFinish(OpBuilder &builder, IRMapping &outer) override {
    return sizeOf(builder, outer, [](AttentionTask &task) { return task.finishTasks(); });
  }
  FailureOr<Value> emitScratch(OpBuilder &builder, IRMapping &outer) override {
    return sizeOf(builder, outer, [](AttentionTask &task) { return task.reserve(nullptr); });
  }
  FailureOr<Value> emitShared(OpBuilder &builder, IRMapping &outer) override {
    return sizeOf(builder, outer, [](AttentionTask &task) { return task.reserveShared(nullptr); });
  }

  ArrayRef<llvm::StringLiteral> variants() const override { return attentionVariantNames(); }

  FailureOr<Value> emitVariant(OpBuilder &builder, IRMapping &outer) override {
    Code code = codeAt(builder);
    return code.select(few(code, outer), code.index(int64_t(AttentionVariant::FewQueries)),
                       code.index(int64_t(AttentionVariant::ManyQueries)));
  }

  LogicalResult emitRun(OpBuilder &builder, IRMapping &outer, const RunArguments &arguments) override {
    Code code = codeAt(builder);
    LogicalResult result = success();
    auto emit = [&](std::unique_ptr<AttentionTask> task) {
      task->reserve(arguments.scratch);
      task->reserveShared(arguments.shared);
      code.loop(arguments.begin, arguments.end, 1, [&](Value index) {
        if (failed(task->run(index)))
          result = failure();
      });
    };
    Value chosen = few(code, outer);
    if (!matchPattern(chosen, m_Zero()) && !matchPattern(chosen, m_One()))
      code.branch(
          chosen, [&] { emit(makeKeyLanes(code, op, target, outer, arguments.exec)); },
          [&] { emit(makeQueryLanes(code, op, target, outer, arguments.exec)); });
    else
      emit(matchPattern(chosen, m_One()) ? makeKeyLanes(code, op, target, outer, arguments.exec)
                                         : makeQueryLanes(code, op, target, outer, arguments.exec));
    return result;
  }

private:
  Code codeAt(OpBuilder &builder) { return Code(builder, op.getLoc(), target); }
  Value sizeOf(OpBuilder &builder, IRMapping &outer, llvm::function_ref<Value(AttentionTask &)> size) {
    Code code = codeAt(builder);
    return code.select(few(code, outer), size(*makeKeyLanes(code, op, target, outer)),
                       size(*makeQueryLanes(code, op, target, outer)));
  }
  /// Whether the queries are few; a constant where that is known.
  Value few(Code &code, IRMapping &outer) {
    if (!mayHaveFewQueries(op))
      return code.boolean(false);
    int64_t rank = cast<MemRefType>(op.getQ().getType()).getRank();
    Value queries = code.dim(outer.lookupOrDefault(op.getQ()), rank - 2);
    CodeDomain domain{code};
    return areFewQueries(domain, target, queries, keyCount(code, op, outer));
  }

  kernel::AttentionOp op;
};

} // namespace

std::unique_ptr<ScheduleEmitter> makeAttentionEmitter(kernel::AttentionOp op, const Target &target) {
  return std::make_unique<AttentionEmitter>(op, target);
}

} // namespace fovea::kernels
