// Few queries: a task is (batch, some rows), and keys lie in the lanes.
//
// Rows are the queries of all heads that share keys and values (batch axes along which K and V have stride 0), so that
// these are read once for the whole group. A block of keys is transposed into scratch, K^T [column][key], which every
// row's scores then read; weights lie as [row][key], and a row of V is a vector for the output. What is captured by key
// (a bias, a padding mask) is contiguous in the lanes.
//
// Keys and values are read once and come from far away: while a block's keys are transposed its values are fetched, and
// while these are added up the next block's keys.
#include "compiler/kernels/emit/AttentionTask.h"

using namespace mlir;

namespace fovea::kernels {
namespace {

/// Whether a view repeats along `axis`.
bool repeats(Value memref, int64_t axis) {
  SmallVector<int64_t> strides;
  int64_t offset;
  return succeeded(cast<MemRefType>(memref.getType()).getStridesAndOffset(strides, offset)) && strides[axis] == 0;
}

class KeyLanes : public AttentionTask {
public:
  KeyLanes(Code &code, kernel::AttentionOp op, const Target &target, const IRMapping &outer, Value exec)
      : AttentionTask(code, op, target, {int(target.vectorLength), 1, 1, target.attentionKeys}, outer, exec),
        accumulators(target.registers >= 32 ? 16 : 8) {
    group = t;
    for (auto [axis, size] : llvm::enumerate(batchSizes))
      if (repeats(op.getK(), axis) && repeats(op.getV(), axis)) {
        shared.push_back(axis);
        group = code.mul(group, size);
      }
    // One decision for all rows of a task.
    decided = mask && llvm::none_of(shared, [&](int64_t axis) { return !mask->getArgument(axis).use_empty(); });
  }

  Value tasks() override {
    Value count = code.index(1);
    for (Value size : sizes())
      count = code.mul(count, size);
    return count;
  }
  Value reserve(Value scratch) override;

protected:
  void place(Value task) override;
  void loadQueries() override;
  Row rowAt(Value row) override;
  Box queriesSeeing(Value keyBegin, Value keyEnd) override { return {code.index(0), t, keyBegin, keyEnd}; }
  void block(const Keys &keys, Value careful) override;

private:
  /// Rows of a tile, where there are several.
  static constexpr int tall = 4;

  /// What a task's number is made of: batch axes that are not shared, blocks of rows.
  Code::Values sizes() {
    Code::Values all;
    for (auto [axis, size] : llvm::enumerate(batchSizes))
      if (!llvm::is_contained(shared, int64_t(axis)))
        all.push_back(size);
    all.push_back(code.ceilDiv(group, shape.rows()));
    return all;
  }
  void transposeKeys(const Keys &keys);
  /// Fetches a line of a row of K or V ahead of its use; `row` may be beyond the last one.
  void fetch(Value memref, Value row, Value column);
  /// Calls `body` for tiles of rows: their numbers; beyond the last row it stands in again.
  void rowTiles(llvm::function_ref<void(ValueRange rows)> body);
  void products(const Keys &keys);
  void scores(const Keys &keys, bool masked);
  void exponentials(const Keys &keys, bool careful);
  void sums(const Keys &keys);
  void values(const Keys &keys);
  void valueTile(ValueRange tile, const Keys &keys, Value column, int vectors, Value inside);

  const int accumulators; ///< that hide the multiply-add's latency
  SmallVector<int64_t> shared;
  Code::Values batch; ///< of the keys: 0 along shared axes
  Value group;        ///< rows that share keys
  Value rowBegin;
  // Scratch: scaled queries [row][column]; keys [column][key]; scores [row][key].
  Value queryTile, keyTile, scoreTile;
};

Value KeyLanes::reserve(Value scratch) {
  ScratchLayout layout(code, scratch);
  queryTile = layout.allocate({shape.rows(), ShapedType::kDynamic}, {code.roundUp(d, shape.lanes)});
  keyTile = layout.allocate({ShapedType::kDynamic, shape.keys}, {d});
  scoreTile = layout.allocate({shape.rows(), shape.keys}, {});
  reserveRows(layout);
  return layout.bytes();
}

void KeyLanes::place(Value task) {
  Code::Values at = delinearize(code, task, sizes());
  rowBegin = code.mul(at.pop_back_val(), shape.rows());
  rows = code.min(code.sub(group, rowBegin), code.index(shape.rows()));
  panels = code.index(1);
  batch.clear();
  for (size_t axis = 0, next = 0; axis < batchSizes.size(); ++axis)
    batch.push_back(llvm::is_contained(shared, int64_t(axis)) ? code.index(0) : at[next++]);
  visibility.emplace(code, decided ? mask : nullptr, target, outer, batch);
}

AttentionTask::Row KeyLanes::rowAt(Value row) {
  Row at{batch, code.add(rowBegin, row)};
  if (shared.empty())
    return at;
  Code::Values extents;
  for (int64_t axis : shared)
    extents.push_back(batchSizes[axis]);
  extents.push_back(t);
  Code::Values digits = delinearize(code, at.query, extents);
  at.query = digits.pop_back_val();
  for (auto [axis, digit] : llvm::zip(shared, digits))
    at.batch[axis] = digit;
  return at;
}

void KeyLanes::loadQueries() {
  Value q = mapped(op.getQ()), zero = code.index(0);
  code.loop(zero, rows, 1, [&](Value row) {
    Row at = rowAt(row);
    Value scale = scoreScale(at.batch);
    Matrix matrix = matrixAt(code, q, at.batch);
    if (matrix.unitColumns)
      code.loop(zero, d, shape.lanes, [&](Value c) {
        Value x = code.loadMasked(matrix.memref, {at.query, c}, code.laneMask(code.sub(d, c)));
        code.storeVector(code.mulF(x, code.broadcast(scale)), queryTile, {row, c});
      });
    else
      code.loop(zero, d, 1, [&](Value c) {
        code.store(code.mulF(code.load(matrix.memref, {at.query, c}), scale), queryTile, {row, c});
      });
  });
}

void KeyLanes::block(const Keys &keys, Value careful) {
  valueView = blockView(mapped(op.getV()), batch, keys, valueCopy, e);
  transposeKeys(keys);
  products(keys);
  Value whole = code.equal(keys.count, code.index(shape.keys));
  if (mask) {
    Box box = queriesSeeing(keys.begin, code.add(keys.begin, keys.count));
    whole = decided ? code.logicalAnd(whole, visibility->query(box).all) : code.boolean(false);
  }
  code.branch(whole, [&] { scores(keys, /*masked=*/false); }, [&] { scores(keys, /*masked=*/true); });
  if (softmax()) {
    Code::Values maxima = moveMaxima(code.index(0));
    code.storeVector(maxima[0], factor, {code.index(0), code.index(0)});
    code.branch(careful, [&] { exponentials(keys, true); }, [&] { exponentials(keys, false); });
    sums(keys);
  }
  code.branch(
      careful,
      [&] {
        code.loop(code.index(0), rows, 1, [&](Value row) {
          addCarefully(row, code.index(0), keys.count, [&](Value key) { return code.load(scoreTile, {row, key}); });
        });
      },
      [&] { values(keys); });
}

//===-- Scores ----------------------------------------------------------------------------------------------------===//

void KeyLanes::transposeKeys(const Keys &keys) {
  Value k = mapped(op.getK()), zero = code.index(0), lastKey = code.sub(s, code.index(1));
  Matrix matrix = matrixAt(code, k, batch);
  Value adjacent = matrix.memref, whole = code.sub(d, code.rem(d, code.index(shape.lanes)));
  if (!matrix.unitColumns) {
    // Read only where the stride is found to be 1.
    adjacent = matrixAt(code, k, batch, /*assumeUnit=*/true).memref;
    whole = code.select(code.equal(matrix.columnStride(), code.index(1)), whole, zero);
  }
  code.loop(zero, keys.count, shape.lanes, [&](Value first) {
    Code::Values numbers; // beyond the last key the last one stands in
    for (int lane = 0; lane < shape.lanes; ++lane)
      numbers.push_back(code.min(code.add(keys.begin, code.add(first, lane)), lastKey));
    code.loop(zero, whole, shape.lanes, [&](Value c) {
      Code::Values x;
      for (Value key : numbers) {
        x.push_back(code.loadVector(adjacent, {key, c}));
        fetch(mapped(op.getV()), key, c);
      }
      for (auto [i, column] : llvm::enumerate(transpose(code, x)))
        code.storeVector(column, keyTile, {code.add(c, i), first});
    });
    code.loop(whole, d, 1, [&](Value c) {
      code.loop(zero, code.index(shape.lanes), 1, [&](Value lane) {
        Value key = code.min(code.add(keys.begin, code.add(first, lane)), lastKey);
        code.store(code.load(matrix.memref, {key, c}), keyTile, {c, code.add(first, lane)});
      });
    });
  });
}

void KeyLanes::fetch(Value memref, Value row, Value column) {
  if (!hasUnitColumns(memref))
    return;
  memref::PrefetchOp::create(code.b, code.loc, matrixAt(code, memref, batch).memref, ValueRange{row, column},
                             /*isWrite=*/false, /*localityHint=*/2, /*isDataCache=*/true);
}

void KeyLanes::rowTiles(llvm::function_ref<void(ValueRange rows)> body) {
  code.branch(
      code.equal(rows, code.index(1)), [&] { body(code.index(0)); },
      [&] {
        Value last = code.sub(rows, code.index(1));
        code.loop(code.index(0), rows, tall, [&](Value row) {
          Code::Values tile;
          for (int r = 0; r < tall; ++r)
            tile.push_back(code.min(code.add(row, r), last));
          body(tile);
        });
      });
}

/// Scaled products of the rows with the block's keys; beyond its last key anything.
void KeyLanes::products(const Keys &keys) {
  rowTiles([&](ValueRange tile) {
    int height = tile.size(), vectors = std::min<int>(accumulators / height, shape.keys / shape.lanes);
    code.loop(code.index(0), keys.count, int64_t(vectors) * shape.lanes, [&](Value first) {
      Code::Values columns;
      for (int v = 0; v < vectors; ++v)
        columns.push_back(code.add(first, v * shape.lanes));
      TileLoop loop{height, vectors, 4, [&](int r, Value c) { return code.load(queryTile, {tile[r], c}); },
                    [&](int v, Value c) { return code.loadVector(keyTile, {c, columns[v]}); }};
      Code::Values zero(height * vectors, code.splat(0));
      Code::Values x = multiplyAccumulate(code, loop, code.index(0), d, zero);
      for (int r = 0; r < height; ++r)
        for (int v = 0; v < vectors; ++v)
          code.storeVector(x[r * vectors + v], scoreTile, {tile[r], columns[v]});
    });
  });
}

/// The regions, and each row's maximum; where not `masked`, all of the block's keys are there and seen.
void KeyLanes::scores(const Keys &keys, bool masked) {
  Value zero = code.index(0);
  if (softmax())
    code.storeVector(hiddenScore(), blockMaximum, {zero, zero});
  code.loop(zero, rows, 1, [&](Value row) {
    Row at = rowAt(row);
    Value most = code.carry(zero, keys.count, shape.lanes, hiddenScore(), [&](Value first, ValueRange sofar) {
      Value active = masked ? code.laneMask(code.sub(keys.count, first)) : Value();
      Value x = pointScores(
          code.loadVector(scoreTile, {row, first}),
          {at, LaneValue::uniform(at.query), LaneValue::linear(code.add(keys.begin, first)), active, masked});
      if (active)
        x = code.select(active, x, hiddenScore());
      code.storeVector(x, scoreTile, {row, first});
      // NaN is skipped here and comes back by its exponential.
      return Code::Values{code.maxOrSecond(x, sofar[0])};
    })[0];
    if (softmax())
      code.store(vector::ReductionOp::create(code.b, code.loc, vector::CombiningKind::MAXNUMF, most), blockMaximum,
                 {zero, row});
  });
}

//===-- Weights and values ----------------------------------------------------------------------------------------===//

void KeyLanes::exponentials(const Keys &keys, bool careful) {
  Value zero = code.index(0);
  code.loop(zero, rows, 1, [&](Value row) {
    Value maximum = code.broadcast(code.load(factor, {zero, row}));
    code.loop(zero, keys.count, shape.lanes, [&](Value first) {
      Value x = weights(code.loadVector(scoreTile, {row, first}), maximum, careful);
      code.storeVector(x, scoreTile, {row, first});
    });
  });
}

/// A row's sum is one chain over its keys: several rows side by side hide its latency.
void KeyLanes::sums(const Keys &keys) {
  Value zero = code.index(0);
  rowTiles([&](ValueRange tile) {
    Code::Values init;
    for (Value row : tile)
      init.push_back(code.load(sum, {zero, row}));
    Code::Values totals = code.carry(zero, keys.count, 1, init, [&](Value key, ValueRange sofar) {
      Code::Values next;
      for (auto [row, total] : llvm::zip(tile, sofar))
        next.push_back(code.addF(total, code.load(scoreTile, {row, key})));
      return next;
    });
    for (auto [row, total] : llvm::zip(tile, totals))
      code.store(total, sum, {zero, row});
  });
}

/// output += weights V.
void KeyLanes::values(const Keys &keys) {
  Value zero = code.index(0);
  rowTiles([&](ValueRange tile) {
    int vectors = std::min<int>(accumulators / tile.size(), 64 / shape.lanes);
    int64_t step = int64_t(vectors) * shape.lanes;
    Value whole = code.sub(e, code.rem(e, code.index(step)));
    code.loop(zero, whole, step, [&](Value column) { valueTile(tile, keys, column, vectors, nullptr); });
    code.loop(whole, e, shape.lanes,
              [&](Value column) { valueTile(tile, keys, column, 1, code.laneMask(code.sub(e, column))); });
  });
}

void KeyLanes::valueTile(ValueRange tile, const Keys &keys, Value column, int vectors, Value inside) {
  Code::Values columns, init;
  for (int v = 0; v < vectors; ++v)
    columns.push_back(code.add(column, v * shape.lanes));
  for (Value row : tile)
    for (Value c : columns)
      init.push_back(code.loadVector(output, {row, c}));
  TileLoop loop{int(tile.size()), vectors, 4, [&](int r, Value key) { return code.load(scoreTile, {tile[r], key}); },
                [&](int v, Value key) {
                  return inside ? code.loadMasked(valueView, {key, columns[v]}, inside)
                                : code.loadVector(valueView, {key, columns[v]});
                }};
  Value nextKeys = code.add(keys.begin, shape.keys);
  loop.every = [&](Value key, int) {
    for (Value c : columns)
      fetch(mapped(op.getK()), code.add(nextKeys, key), c);
  };
  Code::Values x = multiplyAccumulate(code, loop, code.index(0), keys.count, init);
  for (auto [r, row] : llvm::enumerate(tile))
    for (int v = 0; v < vectors; ++v)
      code.storeVector(x[r * vectors + v], output, {row, columns[v]});
}

} // namespace

std::unique_ptr<AttentionTask> makeKeyLanes(Code &code, kernel::AttentionOp op, const Target &target,
                                            const IRMapping &outer, Value exec) {
  return std::make_unique<KeyLanes>(code, op, target, outer, exec);
}

} // namespace fovea::kernels
