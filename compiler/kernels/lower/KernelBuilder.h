// Builds one kernel.func from a group.
#pragma once

#include "compiler/analysis/PointProgram.h"
#include "compiler/analysis/Storage.h"
#include "compiler/kernels/lower/EmitDim.h"
#include "dialects/kernel/KernelDialect.h"

#include <memory>
#include <optional>

namespace fovea::kernels {

/// What a launch passes: a view of the buffer that belongs to `base`, or a size.
struct LaunchOperand {
  mlir::Value base; // null: a size
  View view;
  DimExpr size;
  mlir::Type type; // the kernel's argument type
};

/// A kernel and how the group that it was made from calls it.
struct LoweredGroup {
  kernel::FuncOp kernel; // not in a module yet
  std::vector<LaunchOperand> operands;
  DimExpr flops, bytes; // null where unknown
};

/// The element type in memory: bool is i8.
mlir::Type memoryType(mlir::Type element);
/// The memref type of a view: static where its sizes and strides are literal; identity layout where it is row-major.
mlir::MemRefType memrefTypeOf(const View &view, mlir::Type element);

class KernelBuilder {
public:
  KernelBuilder(graph::GroupOp group, const StorageMap &storages);

  /// Lowers the group. Its kinds: below, MatmulKernel.cpp, AttentionKernel.cpp, TopKKernel.cpp.
  mlir::FailureOr<LoweredGroup> build();

private:
  mlir::LogicalResult buildMap();
  mlir::LogicalResult buildMatmul();
  mlir::LogicalResult buildAttention();
  mlir::LogicalResult buildTopK();
  mlir::LogicalResult buildAttentionBackward(graph::AttentionBackwardOp op);
  mlir::LogicalResult buildLinearAttention(graph::LinearAttentionOp op);

  // -- arguments and sizes
  /// The argument for `view` of `base`'s buffer; the same for the same view.
  mlir::Value memref(mlir::Value base, const View &view);
  mlir::Value memref(mlir::Value outer);
  /// The value outside the group that `inner`, a block argument, stands for.
  mlir::Value outer(mlir::Value inner) {
    return group.getInputs()[mlir::cast<mlir::BlockArgument>(inner).getArgNumber()];
  }
  const Storage &storageOf(mlir::Value outer) const { return *storages.lookup(outer); }
  /// A size, in the function's prologue.
  mlir::Value size(DimExpr e);
  mlir::Value symbol(llvm::StringRef name);
  /// Sets where point programs are built, after which `points` may be used.
  void enter(mlir::Block &block,
             std::function<llvm::FailureOr<mlir::Value>(mlir::Value, mlir::ValueRange, mlir::Value)> compute);

  // -- point programs
  /// An axis of the schedule that stands for several neighbouring axes of tensors.
  struct MergedAxis {
    mlir::Value index;
    llvm::SmallVector<mlir::Value> digits;
  };
  /// `storage` with the axes indexed by all digits of a merged axis, in order, as one, where they run on.
  void collapse(View &view, llvm::SmallVectorImpl<mlir::Value> &indices) const;
  std::optional<Storage> storageInside(mlir::Value inner);
  mlir::Value load(Storage storage, mlir::Type element, mlir::ValueRange indices, mlir::Value guard);
  void store(mlir::Value value, const Storage &storage, mlir::ValueRange indices, bool adds = false);
  llvm::FailureOr<mlir::Value> reduceElement(llvm::StringRef kind, mlir::Value operand, mlir::ArrayRef<int64_t> axes,
                                             mlir::ValueRange indices, mlir::Location loc);
  llvm::FailureOr<mlir::Value> packElement(graph::PackOp op, mlir::ValueRange indices);
  mlir::LogicalResult storeUpdate(graph::UpdateSliceOp update, mlir::OpResult result, mlir::ValueRange points);
  mlir::LogicalResult storeScattered(graph::ScatterOp scatter, mlir::OpResult result, mlir::ValueRange points);
  void cloneRegion(mlir::Region &from, mlir::Region &to);
  mlir::Value lowerDot(graph::DotOp dot, const mlir::IRMapping &mapping);
  void countBytes();

  graph::GroupOp group;
  const StorageMap &storages;
  mlir::Location loc;
  mlir::OpBuilder prologue; // before the schedule op
  mlir::OpBuilder body;     // in the point program
  LoweredGroup lowered;
  std::unique_ptr<DimEmitter> dims;
  llvm::StringMap<mlir::Value> symbols;
  std::unique_ptr<PointProgram> points;
  llvm::SmallVector<MergedAxis> merged;
  llvm::SmallVector<mlir::Value> box; // of a map: the point
  llvm::SmallVector<int64_t> reducedAxes;
};

/// A name that says what the group does: "matmul_384x1536_bias_gelu", "attention_32", "map_norm".
std::string describeGroup(graph::GroupOp group);

/// The arithmetic of a group, for people who look for where a number stopped being finite: ops that make such numbers
/// of ordinary ones come first, in their order, then exponentials, then what overflows for large ones alone.
struct Arithmetic {
  std::optional<mlir::Location> place; ///< of the first op, where it is not one of the last kind
  std::string ops;                     ///< "log (3:5), sub (3:9)"
};
Arithmetic arithmeticOf(graph::GroupOp group);

} // namespace fovea::kernels
