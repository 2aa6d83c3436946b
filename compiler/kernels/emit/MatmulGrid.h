// How the output of kernel.matmul is cut into tasks.
#pragma once

#include "compiler/kernels/emit/MatmulTile.h"

namespace fovea::kernels {

/// kernel.matmul's operands as values of the function that is being written.
struct MatmulOperands {
  mlir::Value lhs, rhs, n;
  bool packed;
  bool hidesLhs, hidesRhs; ///< whose elements take no part where they are -0
  int64_t kBlock;          ///< numbers of k that one step of a tile multiplies
};

/// Panels of a block of rows that a task takes, and how many such tasks there are.
struct PanelBlocks {
  mlir::Value size, count;
};

/// How the output is cut into tasks; task = (batch * row blocks + row block) * panel blocks + panel block.
struct MatmulGrid {
  MatmulGrid(Code &code, const MatmulOperands &operands, const TileShape &tile);

  Code::Values batch;
  mlir::Value m, k, n; ///< k: steps of a tile
  mlir::Value slice;   ///< steps that a task takes with all its panels before the next ones, whose sums it keeps
  mlir::Value panels, rowsPerBlock, rowBlocks;
  PanelBlocks firstPanels, otherPanels; ///< of the first block of rows where its tasks run first; of others, or all
  mlir::Value matrices;                 ///< the product of `batch`
  mlir::Value packsFirst; ///< whether the tasks of the first block of rows run before the others and pack B for all
  mlir::Value firstTasks; ///< how many these are; none where there are no others
  mlir::Value otherTasks;
  mlir::Value packsLhs; ///< whether each task packs its rows of A, which are adjacent, if they are not few
};

} // namespace fovea::kernels
