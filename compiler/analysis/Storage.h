// Where the values that cross groups lie: which value owns the buffer, and the view of it that each other value is.
#pragma once

#include "compiler/analysis/View.h"
#include "dialects/graph/GraphDialect.h"
#include "llvm/ADT/DenseMap.h"

#include <optional>

namespace fovea {

/// Elements of a value: `view` of the buffer that belongs to `base`.
struct Storage {
  mlir::Value base;
  View view;
};

/// The storage of the values of one function's body, whose ops are groups, calls and layout ops.
///
/// Arguments and results of calls own contiguous buffers. A group's result owns one as well, laid out so that the
/// layout ops after it (and what returns and calls ask for: contiguity) are views wherever that is possible: the group
/// then writes through the inverse view. A result that a group computes in place (`in_place`) lies where its input
/// lies, a call's new state where the old one does.
class StorageMap {
public:
  explicit StorageMap(graph::FuncOp function);

  /// Null where the value is not a view of anything: a copy has to be made.
  const Storage *lookup(mlir::Value value) const {
    auto it = storages.find(value);
    return it == storages.end() ? nullptr : &it->second;
  }

  /// What lies in the buffer of `argument` in the end: the result of the last call or group that has written it in
  /// place, or the argument itself.
  mlir::Value lastVersion(mlir::BlockArgument argument) const;

private:
  void place(mlir::Value owner);
  void follow(mlir::Value value);

  llvm::DenseMap<mlir::Value, Storage> storages;
};

/// transpose, reshape, broadcast, or slice with a start that is a size: what can be a view.
bool isLayoutOp(mlir::Operation *op);

/// Whether a value lies in memory as a whole, whoever reads it.
bool isWritten(mlir::Value value);

/// The view of a layout op's result, given its operand's; nullopt where it is none.
std::optional<View> viewThrough(mlir::Operation *op, const View &operand);

/// Whether `use` needs the value whole and contiguous in a buffer: an operand of a call or of the return.
bool needsContiguous(mlir::OpOperand &use);

/// The input whose buffer `result` of a group overwrites; nullopt where the result has its own.
std::optional<unsigned> inPlaceInput(graph::GroupOp group, unsigned result);
inline constexpr llvm::StringLiteral inPlaceAttr = "in_place";

/// The iteration space of a map, kept in its attributes: `box` (sizes), `reduced` (box axes of the reductions inside),
/// `points` (for each result the box axis of each of its axes). Without attributes: the first result's sizes.
struct MapSpace {
  llvm::SmallVector<DimExpr> box;
  llvm::SmallVector<int64_t> reduced;
  llvm::SmallVector<llvm::SmallVector<int64_t>> points;

  static MapSpace of(graph::GroupOp group);
  void set(graph::GroupOp group) const;
};

/// The state argument whose new value is result number `result`; nullopt for other results.
std::optional<unsigned> stateArgument(graph::FuncOp function, unsigned result);

/// The function that a call calls.
graph::FuncOp calleeOf(graph::CallOp call);

std::vector<DimExpr> dimsOf(mlir::Value tensor);

} // namespace fovea
