// Which keys of a block the panels of an attention task's queries see, as far as the mask is decided for boxes of them.
#pragma once

#include "compiler/kernels/emit/AttentionTask.h"

namespace fovea::kernels {

class SeenKeys {
public:
  /// `chunk` keys are decided together for a panel.
  SeenKeys(Code &code, const AttentionShape &shape, bool isMasked, int64_t chunk)
      : code(code), shape(shape), isMasked(isMasked), chunk(chunk) {}

  void reserve(ScratchLayout &layout);
  /// A task's queries begin at `first`, all end at `last`. `visibility` outlives what is asked for the task.
  void enter(Visibility &visibility, mlir::Value first, mlir::Value last);

  /// Calls `hidden` for chunks [from, to) of a block's keys that no query of the panel sees, `seen` for the others,
  /// with whether each query sees `all` of them. Remembers the range of those.
  void scan(mlir::Value panel, const KeyRange &keys, llvm::function_ref<void(mlir::Value from, mlir::Value to)> hidden,
            llvm::function_ref<void(mlir::Value from, mlir::Value to, mlir::Value all)> seen);
  /// What the panel sees some of, as scan() found.
  mlir::Value first(mlir::Value panel) { return code.load(firstKey, panel); }
  mlir::Value last(mlir::Value panel) { return code.load(lastKey, panel); }
  /// The panel's vectors [from, to) that see some of the block's keys [begin, end); others are none, or beyond the last
  /// query.
  std::pair<mlir::Value, mlir::Value> vectors(mlir::Value panel, const KeyRange &keys, mlir::Value begin,
                                              mlir::Value end);
  /// The panel's last() without keys at the end that none of its `count` queries from row `row` sees: below a diagonal
  /// a panel's first rows see fewer.
  mlir::Value lastOf(mlir::Value row, int64_t count, const KeyRange &keys, mlir::Value first, mlir::Value last);

private:
  /// Keys that are left out together at the end of what a tile of the output sees.
  static constexpr int64_t chunkOfEnd = 8;
  using Box = Visibility::Box;

  mlir::Value firstQuery(mlir::Value panel) { return code.add(queryBegin, code.mul(panel, shape.panel())); }

  Code &code;
  const AttentionShape &shape;
  const bool isMasked;
  const int64_t chunk;
  Visibility *visibility = nullptr;
  mlir::Value queryBegin, queryEnd;
  mlir::Value firstKey, lastKey; ///< scratch, by panel
};

} // namespace fovea::kernels
