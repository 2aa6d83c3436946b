// The best of many elements, in a heap: kernel.top_k, and the largest scores of attention.
#pragma once

#include "compiler/kernels/emit/MicroKernel.h"

namespace fovea::kernels {

/// `size` elements of a row and their indices, the last in order first of all (a heap). In order means: by value,
/// descending, NaN before all numbers; of equal ones the lower index first.
///
/// The heap's functions are shared by all kernels of a module: one each for a type of elements.
class RankedList {
public:
  /// Lies in places [first, first + size) of `values` and `indices` (i64).
  RankedList(Code &code, mlir::Operation *module, mlir::Value values, mlir::Value indices, mlir::Value first,
             mlir::Value size)
      : code(code), module(module), values(values), indices(indices), first(first), size(size) {}

  /// Makes a heap of elements in any order.
  void order();
  /// The last in order, of a heap that is not empty.
  mlir::Value last() { return code.load(values, first); }
  /// Puts an element in the place of the last one.
  void replaceLast(mlir::Value value, mlir::Value index);
  /// Sorts a heap.
  void sort();

  /// Whether `value` comes before `other` by value alone; of scalars or vectors.
  static mlir::Value isBefore(Code &code, mlir::Value value, mlir::Value other);

private:
  mlir::Value at(mlir::Value place) { return code.add(first, place); }
  void sift(mlir::Value count, mlir::Value root, mlir::Value value, mlir::Value index);

  Code &code;
  mlir::Operation *module;
  mlir::Value values, indices, first, size;
};

} // namespace fovea::kernels
