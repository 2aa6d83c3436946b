// What a schedule op gives to the functions that emitKernels makes of a kernel.func.
#ifndef FOVEA_COMPILER_KERNELS_EMIT_SCHEDULEEMITTER_H
#define FOVEA_COMPILER_KERNELS_EMIT_SCHEDULEEMITTER_H

#include "compiler/kernels/Target.h"
#include "dialects/kernel/KernelDialect.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/IRMapping.h"
#include <memory>

namespace fovea::kernels {

/// What @f.run gets besides the kernel's own arguments.
struct RunArguments {
  mlir::Value exec;    ///< !llvm.ptr: fovea_exec, for failures and what it says of the processor
  mlir::Value begin;   ///< index: the tasks of this call ...
  mlir::Value end;     ///< ... are [begin, end): either all below the number of tasks, or none
  mlir::Value scratch; ///< memref<?xi8>, 64-byte aligned, at least as long as `scratch` said
  mlir::Value shared;  ///< memref<?xi8>, likewise: one for all tasks
};

/// Emits one schedule op. Each method is called once, in a function of its own: `outer` maps what the schedule op uses
/// from the kernel.func (its arguments, sizes computed before it) to values of that function, and `builder` stands
/// where to emit.
///
/// Bits of the outputs must not depend on how the tasks are split over calls of `run`.
class ScheduleEmitter {
public:
  explicit ScheduleEmitter(const Target &target) : target(target) {}
  virtual ~ScheduleEmitter() = default;

  /// The number of tasks (index), from sizes alone: memrefs may be null. A task is worth some ten thousand operations
  /// or more.
  virtual mlir::FailureOr<mlir::Value> emitTasks(mlir::OpBuilder &builder, mlir::IRMapping &outer) = 0;
  /// Bytes of scratch (index) that each thread needs, from sizes alone; a constant 0 where none.
  virtual mlir::FailureOr<mlir::Value> emitScratch(mlir::OpBuilder &builder, mlir::IRMapping &outer) = 0;
  /// The number of tasks behind those that run when all of them have ended, and the bytes that all share (index), from
  /// sizes alone. Most kernels have neither.
  virtual mlir::FailureOr<mlir::Value> emitFinish(mlir::OpBuilder &builder, mlir::IRMapping &outer);
  virtual mlir::FailureOr<mlir::Value> emitShared(mlir::OpBuilder &builder, mlir::IRMapping &outer);
  /// Names of the ways in which the kernel may run; empty where there is one.
  virtual llvm::ArrayRef<llvm::StringLiteral> variants() const { return {}; }
  /// The number of the variant that is taken (index), from sizes alone; asked for only where there are several.
  virtual mlir::FailureOr<mlir::Value> emitVariant(mlir::OpBuilder &builder, mlir::IRMapping &outer) {
    return mlir::failure();
  }
  /// The work of the tasks [begin, end).
  virtual mlir::LogicalResult emitRun(mlir::OpBuilder &builder, mlir::IRMapping &outer,
                                      const RunArguments &arguments) = 0;

protected:
  const Target &target;
};

std::unique_ptr<ScheduleEmitter> makeMapEmitter(kernel::MapOp op, const Target &target);
std::unique_ptr<ScheduleEmitter> makeMatmulEmitter(kernel::MatmulOp op, const Target &target);
std::unique_ptr<ScheduleEmitter> makeAttentionEmitter(kernel::AttentionOp op, const Target &target);
std::unique_ptr<ScheduleEmitter> makeAttentionBackwardEmitter(kernel::AttentionBackwardOp op, const Target &target);
std::unique_ptr<ScheduleEmitter> makeTopKEmitter(kernel::TopKOp op, const Target &target);
std::unique_ptr<ScheduleEmitter> makeLinearAttentionEmitter(kernel::LinearAttentionOp op, const Target &target);

} // namespace fovea::kernels
#endif
