// The largest scores of each row of an attention task, as the keys go by.
#pragma once

#include "compiler/kernels/emit/AttentionTask.h"
#include "compiler/kernels/emit/RankedList.h"

namespace fovea::kernels {

/// A list for each row of a task. Keys come in ascending order, hidden ones (of score -inf) may be left out: the list
/// starts with the first `size` keys, all of score -inf.
class KeySelection {
public:
  KeySelection(Code &code, mlir::Operation *module, const AttentionShape &shape, mlir::Value size)
      : code(code), module(module), shape(shape), size(size) {}

  void reserve(ScratchLayout &layout);
  /// Empties the lists of a task's rows.
  void start(mlir::Value rows, mlir::Value panels);
  /// Offers key number `key` to the rows of a panel from `lane`, a vector of their scores.
  void offer(mlir::Value panel, mlir::Value lane, mlir::Value scores, mlir::Value key);
  /// Sorts the lists; `write` takes each element: row, place, score, key (i64).
  void finish(mlir::Value rows,
              llvm::function_ref<void(mlir::Value row, mlir::Value place, mlir::Value score, mlir::Value key)> write);

private:
  RankedList listOf(mlir::Value row) { return {code, module, scores, keys, code.mul(row, size), size}; }
  void insert(mlir::Value panel, mlir::Value lane, mlir::Value score, mlir::Value key);

  Code &code;
  mlir::Operation *module;
  const AttentionShape &shape;
  mlir::Value size;
  /// Scratch. [row * size + place]: scores and keys. [panel][lane]: what a score must come before to be taken (NaN:
  /// nothing is); whether the row's list is a heap yet.
  mlir::Value scores, keys, least, isHeap;
};

} // namespace fovea::kernels
