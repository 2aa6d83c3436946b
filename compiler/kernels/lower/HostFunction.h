// The host side of one graph.func: the order of its steps, its arena, launches and calls.
#pragma once

#include "compiler/analysis/StepFlow.h"
#include "compiler/kernels/lower/KernelBuilder.h"
#include "compiler/kernels/lower/Lower.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace fovea::kernels {

/// All kernels of a module; equal ones are one.
class KernelTable {
public:
  explicit KernelTable(mlir::ModuleOp module) : module(module), end(mlir::OpBuilder::atBlockEnd(module.getBody())) {}

  /// Takes `kernel`, which is in no module: gives it a name made from `hint`, or drops it for an equal one. Gives the
  /// name.
  mlir::FlatSymbolRefAttr add(kernel::FuncOp kernel, llvm::StringRef hint);

private:
  mlir::ModuleOp module;
  mlir::OpBuilder end;
  std::map<const void *, std::vector<kernel::FuncOp>> byType;
  llvm::StringMap<unsigned> names;
};

class HostFunction {
public:
  /// `plans`: those of the functions that are lowered already, which this one calls; its own is added.
  HostFunction(graph::FuncOp function, KernelTable &kernels, FunctionPlans &plans);

  mlir::LogicalResult lower();

private:
  struct Step {
    mlir::Operation *op;                    // group or call
    std::vector<mlir::Value> reads, writes; // bases
    LoweredGroup group;
    DimExpr scratch; // a callee's arena
    FunctionPlan::Callee callee;
  };

  mlir::LogicalResult collectSteps();
  DimExpr arenaOfCallee(const FunctionPlan::Callee &callee);
  mlir::LogicalResult orderSteps();
  void planArena();
  void declare();
  void emitStep(Step &step);
  void emitLaunch(Step &step);
  void emitCall(Step &step);
  void emitDump(mlir::OpResult value);
  void emitDumpsOfViews(mlir::Value value);
  void emitArenaFunction();
  mlir::Value viewOf(mlir::Value base, const View &view, mlir::MemRefType type);
  mlir::Value arenaView(DimExpr offset, mlir::MemRefType type, llvm::ArrayRef<DimExpr> dims);

  graph::FuncOp function;
  mlir::Operation *module;
  KernelTable &kernels;
  FunctionPlans &plans;
  StorageMap storages;
  mlir::OpBuilder b;
  mlir::Location loc;
  std::vector<Step> steps;
  llvm::DenseMap<mlir::Value, DimExpr> offsets; // of bases in the arena
  std::vector<DimExpr> scratchOffsets;          // one a step; null where it needs none
  SizeFormula arenaSize;                        // at first the names of callees' arenas alone
  std::map<std::string, DimExpr> calleeArenas; // by name and sizes
  llvm::DenseMap<mlir::Value, mlir::Value> buffers; // of bases that are arguments of the host function
  mlir::func::FuncOp host;
  mlir::Value exec, arena;
  llvm::StringMap<mlir::Value> symbols;
  std::unique_ptr<DimEmitter> dims;
  std::vector<std::tuple<mlir::Value, View, mlir::Value>> views; // made already
  llvm::StringMap<mlir::Value> named; // by source path: the last value in the text that has it
};

/// Host functions have this behind the name while the graph functions exist.
inline constexpr llvm::StringLiteral hostSuffix = ".host";

} // namespace fovea::kernels
