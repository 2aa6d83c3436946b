#include "compiler/kernels/emit/KeyLaneProducts.h"

#include "compiler/kernels/emit/RowsToLanes.h"

#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace fovea::kernels {

KeyLaneProducts::KeyLaneProducts(Code &code, const Target &target, const AttentionShape &shape,
                                 ArrayRef<FeaturePart> parts, Value depth)
    : code(code), target(target), shape(shape), parts(parts), depth(depth) {}

void KeyLaneProducts::reserve(ScratchLayout &layout) {
  // A part's features are stored in whole vectors, the last of which may reach beyond it.
  Value last = parts.back().depth, columns = code.add(parts.back().first, code.roundUp(last, shape.lanes));
  columns = code.roundUp(columns, shape.lanes);
  IntegerAttr known;
  if (matchPattern(columns, m_Constant(&known)))
    queries = layout.allocate({shape.rows(), known.getInt()}, {});
  else
    queries = layout.allocate({shape.rows(), ShapedType::kDynamic}, {columns});
  keyTile = layout.allocate({ShapedType::kDynamic, shape.keys}, {depth});
  products = layout.allocate({shape.rows(), shape.keys}, {});
}

void KeyLaneProducts::multiply(const Block &block, Value rows) {
  Source lying{block, nullptr};
  if (!block.copy)
    return multiply(lying, rows);
  const FeaturePart &part = parts.front(); // there is one
  auto throughView = [&] { multiply({block, rowsOf(part, block).view(block.keys, block.copy, depth)}, rows); };
  if (!block.table || part.keys.size() > 1 || !hasUnitColumns(part.keys.front()) || !mayBeDirect())
    return throughView();
  code.branch(
      isDirect(lying, rows),
      [&] {
        code.branch(
            areVectorsNeighbours(block),
            [&] { forTiles(code, rows, [&](ValueRange tile) { multiplyDirectly(lying, tile); }); }, throughView);
      },
      throughView);
}

void KeyLaneProducts::multiply(const Source &source, Value rows) {
  auto byWayOfScratch = [&] {
    for (const FeaturePart &part : parts)
      transposeKeys(source, part);
    forTiles(code, rows, [&](ValueRange tile) { multiplyTransposed(source.block.keys, tile); });
  };
  if (!mayBeDirect())
    return byWayOfScratch();
  code.branch(
      isDirect(source, rows), [&] { forTiles(code, rows, [&](ValueRange tile) { multiplyDirectly(source, tile); }); },
      byWayOfScratch);
}

void KeyLaneProducts::forTiles(Code &code, Value rows, llvm::function_ref<void(ValueRange tile)> body) {
  code.branch(
      code.equal(rows, code.index(1)), [&] { body(code.index(0)); },
      [&] {
        code.loop(code.index(0), rows, tall, [&](Value row) {
          Code::Values tile;
          for (int r = 0; r < tall; ++r)
            tile.push_back(code.add(row, r));
          body(tile);
        });
      });
}

//===-- From where they lie ---------------------------------------------------------------------------------------===//

Value KeyLaneProducts::isDirect(const Source &source, Value rows) {
  Value whole = code.equal(source.block.keys.count, code.index(shape.keys));
  Value all = code.logicalAnd(whole, code.compare(arith::CmpIPredicate::sle, rows, code.index(tall)));
  for (const FeaturePart &part : parts) {
    Value even = code.equal(code.rem(part.depth, code.index(columns)), code.index(0));
    Value keys = part.keys.front();
    Value adjacent =
        source.view || hasUnitColumns(keys) ? code.boolean(true) : code.equal(lastStride(code, keys), code.index(1));
    all = code.logicalAnd(all, code.logicalAnd(even, adjacent));
  }
  return all;
}

Value KeyLaneProducts::areVectorsNeighbours(const Block &block) {
  KeyedRows table = rowsOf(parts.front(), block);
  return code.carry(code.index(0), code.index(shape.keys), shape.lanes, code.boolean(true),
                    [&](Value first, ValueRange sofar) {
                      KeyRange vector{code.add(block.keys.begin, first), code.index(shape.lanes)};
                      return Code::Values{code.logicalAnd(sofar[0], table.areNeighbours(vector))};
                    })[0];
}

/// Products of a tile's rows with a whole block of keys.
void KeyLaneProducts::multiplyDirectly(const Source &source, ValueRange tile) {
  const Block &block = source.block;
  int64_t step = int64_t(directVectors) * shape.lanes;
  code.loop(code.index(0), code.index(shape.keys), step, [&](Value first) {
    // Rows that a table names are looked up for each vector of keys.
    bool byTable = block.table && !source.view;
    KeyedRows table = rowsOf(parts.front(), block);
    Value begin = source.view ? first : code.add(block.keys.begin, first),
          last = code.sub(block.keyCount, code.index(1));
    Code::Values rows, next;
    for (int v = 0; v < directVectors; ++v) {
      Value key = code.add(begin, v * shape.lanes), following = code.add(key, step);
      rows.push_back(byTable ? table.row(key) : key);
      next.push_back(byTable ? table.row(code.min(following, last)) : following);
    }
    std::optional<RowLines> following;
    int64_t linesAtOnce = 0;
    if (block.following) {
      Value keys = parts.front().keys.front();
      Value matrix = matrixAt(code, keys, block.batch, /*assumeUnit=*/true).memref;
      int64_t width = cast<MemRefType>(keys.getType()).getShape().back();
      Value isLast = code.compare(arith::CmpIPredicate::sge, code.add(first, step), code.index(shape.keys));
      following = block.following->orElse(isLast, RowLines(code, matrix, next[0], width));
      linesAtOnce = llvm::divideCeil(step * RowLines::linesOf(code, matrix, width), width);
    }
    Code::Values sums(tile.size() * directVectors, code.splat(0));
    for (const FeaturePart &part : parts) {
      Value matrix =
          source.view ? source.view : matrixAt(code, part.keys.front(), block.batch, /*assumeUnit=*/true).memref;
      sums = code.carry(code.index(0), part.depth, columns, sums, [&](Value c, ValueRange sofar) {
        if (!byTable && !following)
          fetchRows(matrix, part.depth, next[0], step, c, columns);
        else if (byTable)
          for (Value row : next)
            fetchRows(matrix, part.depth, row, shape.lanes, c, columns);
        Code::Values x(sofar), k[directVectors];
        for (int v = 0; v < directVectors; ++v)
          k[v] = loadEightColumns(code, matrix, rows[v], c);
        for (int64_t i = 0; i < columns; ++i) {
          if (following)
            following->fetch(code.mul(c, linesAtOnce), columns * linesAtOnce, i * linesAtOnce, linesAtOnce);
          for (auto [r, row] : llvm::enumerate(tile)) {
            Value q = code.broadcast(code.load(queries, {row, code.add(part.first, code.add(c, i))}));
            for (int v = 0; v < directVectors; ++v)
              x[r * directVectors + v] = code.fma(q, k[v][i], x[r * directVectors + v]);
          }
        }
        return x;
      });
    }
    for (auto [r, row] : llvm::enumerate(tile))
      for (int v = 0; v < directVectors; ++v)
        code.storeVector(sums[r * directVectors + v], products, {row, code.add(first, v * shape.lanes)});
  });
}

void KeyLaneProducts::fetchRows(Value matrix, Value depth, Value first, int64_t rows, Value column, int64_t columns) {
  int64_t perLine = code.perLine(matrix), share = rows * columns / perLine;
  Value lineCount = code.ceilDiv(depth, perLine);
  for (int64_t i = 0; i < share; ++i) {
    Value line = code.add(code.mul(code.div(column, code.index(columns)), share), i);
    code.fetch(matrix, {code.add(first, code.div(line, lineCount)), code.mul(code.rem(line, lineCount), perLine)},
               Code::Level::First);
  }
}

//===-- By way of scratch -----------------------------------------------------------------------------------------===//

void KeyLaneProducts::transposeKeys(const Source &source, const FeaturePart &part) {
  const KeyRange &keys = source.block.keys;
  RowsToLanes rows = source.view ? RowsToLanes(code, source.view, part.depth)
                                 : RowsToLanes(code, part.keys.front(), source.block.batch, part.depth);
  Value begin = source.view ? code.index(0) : keys.begin;
  Value last = code.sub(source.view ? keys.count : source.block.keyCount, code.index(1));
  code.loop(code.index(0), keys.count, shape.lanes, [&](Value first) {
    rows.before = [&](Value adjacent, Value column) {
      Value next = code.add(begin, code.add(first, shape.lanes));
      fetchRows(adjacent, part.depth, next, shape.lanes, column, shape.lanes);
    };
    rows.move({begin, first, last, keyTile, part.first, first});
  });
}

/// Products of a tile's rows with the transposed keys. What whole steps leave is done by ever fewer vectors, down to as
/// many sums as hide the latency of a multiply-add that takes a cycle.
void KeyLaneProducts::multiplyTransposed(const KeyRange &keys, ValueRange tile) {
  constexpr int fewestSums = 4;
  int height = tile.size(), vectors = std::min<int>(accumulators(target) / height, shape.keys / shape.lanes);
  Value begin = code.index(0), count = code.roundUp(keys.count, shape.lanes);
  for (bool isLast = false; !isLast; vectors /= 2) {
    isLast = vectors / 2 * height < fewestSums;
    int64_t step = int64_t(vectors) * shape.lanes;
    Value end = isLast ? count : code.sub(count, code.rem(code.sub(count, begin), code.index(step)));
    code.loop(begin, end, step, [&](Value first) { multiplyTransposed(tile, first, vectors); });
    begin = end;
  }
}

/// With so many vectors of keys from number `first`.
void KeyLaneProducts::multiplyTransposed(ValueRange tile, Value first, int vectors) {
  int height = tile.size();
  Code::Values columns;
  for (int v = 0; v < vectors; ++v)
    columns.push_back(code.add(first, v * shape.lanes));
  TileLoop loop{height, vectors, height * vectors > 8 ? 4 : 16,
                [&](int r, Value c) { return code.load(queries, {tile[r], c}); },
                [&](int v, Value c) { return code.loadVector(keyTile, {c, columns[v]}); }};
  Code::Values zero(height * vectors, code.splat(0));
  Code::Values x = multiplyAccumulate(code, loop, code.index(0), depth, zero);
  for (int r = 0; r < height; ++r)
    for (int v = 0; v < vectors; ++v)
      code.storeVector(x[r * vectors + v], products, {tile[r], columns[v]});
}

} // namespace fovea::kernels
