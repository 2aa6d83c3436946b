// Tensors that a region reads with adjacent keys, where queries lie in the lanes: a bias or a mask [T, S].
//
// Read point by point they are gathers, 16 lines of memory for 16 elements. Instead, for a chunk of as many keys as a
// vector has lanes, each of a vector's queries reads its row, and the rows are transposed into scratch, [key][lane].
// What is read for some of the keys alone (a mask of the read) is looked at once for such a chunk.
// Rows lie far apart, in pages of their own, where the processor fetches nothing ahead by itself.
#pragma once

#include "compiler/kernels/emit/MicroKernel.h"
#include "compiler/kernels/emit/Vectorize.h"

namespace fovea::kernels {

class TransposedCaptures {
public:
  /// Finds such reads in `block`, whose last two arguments are a query and a key.
  explicit TransposedCaptures(mlir::Block *block);

  bool empty() const { return captures.empty(); }
  void reserve(Code &code, ScratchLayout &layout);
  /// Where code is written that evaluates the block; `bind` makes its other arguments known.
  struct Region {
    Code &code;
    const Target &target;
    const mlir::IRMapping &outer;
    llvm::function_ref<void(PointVectorizer &)> bind;
  };
  /// Reads code.lanes keys from `key` for each query of a vector; `queries` are those of the lanes.
  mlir::LogicalResult fill(const Region &region, mlir::ValueRange queries, mlir::Value key);
  /// Fetches `keys` keys (whole vectors) from `key` of one query's row ahead of their use; `key` may be beyond the last
  /// one.
  mlir::LogicalResult fetch(const Region &region, mlir::Value query, mlir::Value key, int64_t keys);
  /// Makes the results of the reads known for key number `key` of the chunk.
  void bind(Code &code, PointVectorizer &points, mlir::Value key);

private:
  struct Capture {
    kernel::LoadOp load;
    mlir::Value tile;
  };
  struct KeysRead {
    mlir::Value some, all, lanes;
  };
  mlir::FailureOr<PointVectorizer> evaluated(const Region &region, mlir::ValueRange values, mlir::Value query,
                                             LaneValue key);
  mlir::FailureOr<Code::Values> indicesAt(const Region &region, kernel::LoadOp load, mlir::Value query,
                                          mlir::Value key);
  mlir::FailureOr<KeysRead> keysRead(const Region &region, kernel::LoadOp load, mlir::Value query, mlir::Value key);
  mlir::LogicalResult fillTile(const Region &region, Capture capture, mlir::ValueRange queries, mlir::Value key,
                               mlir::Value lanes);
  mlir::Block *block;
  llvm::SmallVector<Capture> captures;
};

/// Those of several regions of a task, which `regions` are; null ones have none.
class RegionCaptures {
public:
  /// Makes known a region's arguments.
  using Bind = llvm::function_ref<void(mlir::Block &region, PointVectorizer &points)>;

  /// What is given outlives this.
  RegionCaptures(Code &code, const Target &target, const mlir::IRMapping &outer, llvm::ArrayRef<mlir::Block *> regions);

  bool isIn(mlir::Block *region) const;
  void reserve(ScratchLayout &layout);
  /// TransposedCaptures::fill() of all regions but `skipped`.
  mlir::LogicalResult fill(mlir::ValueRange queries, mlir::Value key, mlir::Block *skipped, Bind bind);
  mlir::LogicalResult fetch(mlir::Value query, mlir::Value key, int64_t keys, Bind bind);
  void bind(mlir::Block &region, PointVectorizer &points, mlir::Value key);

private:
  Code &code;
  const Target &target;
  const mlir::IRMapping &outer;
  llvm::SmallVector<std::pair<mlir::Block *, TransposedCaptures>, 2> captures; ///< of regions that have some
};

} // namespace fovea::kernels
