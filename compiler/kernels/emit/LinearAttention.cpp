// kernel.linear_attention: a task is (batch, block of columns of the values), and goes through its keys in chunks.
//
//   for each chunk of keys, with r the last key before it and l its own last one:
//     S[j][t] = (k[j] . q[t]) w(t, j)                    for j <= t of the chunk
//     y[t]    = w(t, r) q[t] H + sum of S[j][t] v[j]     where q and k have their own factors, a(t) and b(j)
//     H       = w(l, r) H + sum of w(l, j) k[j] v[j]     H: D x E, nothing before the first chunk
//
// As in AttentionQueryLanes scores are transposed, queries lie in the lanes, and all sums are register tiles of
// multiply-adds. Each number of y is one chain: over H's rows, then over the chunk's keys in order. Keys behind a query
// are in no product: what they hold, NaN included, does not count. Chunks begin at key 0, so that a row's bits depend
// on what is before it alone; which columns a task has does not matter either.
#include "compiler/kernels/emit/MicroKernel.h"
#include "compiler/kernels/emit/ScheduleEmitter.h"
#include "compiler/kernels/emit/Vectorize.h"

using namespace mlir;

namespace fovea::kernels {
namespace {

constexpr int64_t dynamic = ShapedType::kDynamic;

/// Register tiles: enough accumulators to hide the multiply-add's latency, beside the operands.
struct Tiles {
  explicit Tiles(const Target &target) : rows(target.registers >= 32 ? 8 : target.fma ? 6 : 4) {}
  int rows;                         ///< of keys, of outputs and of H
  static constexpr int vectors = 2; ///< of queries and of columns
  static constexpr int mostRows = 8;
};

/// One call's tasks. `outer` maps the op's operands and captures to values of the function that is being written.
class LinearTask {
public:
  LinearTask(Code &code, kernel::LinearAttentionOp op, const Target &target, const IRMapping &outer)
      : code(code), op(op), target(target), outer(outer), tiles(target), chunk(op.getChunk()), lanes(code.lanes),
        wide(int64_t(Tiles::vectors) * code.lanes) {
    int64_t rank = cast<MemRefType>(op.getQ().getType()).getRank();
    for (int64_t i = 0; i < rank - 2; ++i)
      batchSizes.push_back(code.dim(mapped(op.getOut()), i));
    s = code.dim(mapped(op.getQ()), rank - 2);
    d = code.dim(mapped(op.getQ()), rank - 1);
    e = code.dim(mapped(op.getV()), rank - 1);
    heads = code.index(1);
    for (Value size : batchSizes)
      heads = code.mul(heads, size);
    // Few heads: each takes its scores again for every block of columns, so that there is work for all threads.
    Value all = code.roundUp(code.max(e, code.index(1)), wide);
    taskColumns = code.select(code.less(heads, code.index(fewHeads)), code.index(wide), all);
    blocks = code.ceilDiv(e, taskColumns);
  }

  Value tasks() { return code.mul(heads, blocks); }
  Value reserve(Value scratch);
  LogicalResult run(Value task);

private:
  static constexpr int64_t fewHeads = 4;

  Value mapped(Value value) { return outer.lookupOrDefault(value); }
  /// Where rows of a matrix are adjacent in `columns` or not, and its elements.
  struct Rows {
    Matrix matrix;
    Value adjacent; ///< the same memory, columns adjacent; only where `isAdjacent`
    Value isAdjacent;
  };
  Rows rowsOf(Value memref);
  Value loadPart(const Rows &from, Value row, Value column, Value count);

  void loadQueries();
  struct Columns {
    Value memref, first, count;
  };
  void loadRows(const Columns &from, Value padded, Region *factor,
                llvm::function_ref<void(Value x, Value j, Value column)> store);
  void scores();
  void scoreTile(Value panel, Value key);
  void decayScores(Value panel, Value key, Value query);
  void decayQueries();
  void outputs();
  void outputTile(Value row, Value column);
  Code::Values diagonal(Value row, Value panel, Code::Values sums);
  void writeOutputs();
  void decayKeys();
  void moveState();
  void stateTile(Value row, Value column, Value factor);

  /// A region's numbers at these places behind the batch index; what is not linear is the same in all lanes.
  Value factorAt(Region &region, ArrayRef<LaneValue> places, Value active);
  Value scalarFactor(Region &region, ArrayRef<Value> places);
  Value activeFrom(Value lane) { return code.laneMask(code.sub(count, lane)); }

  Value panelOf(Value column) { return code.div(column, code.index(wide)); }
  /// Where an element of panels lies.
  Code::Values inPanels(Value row, Value column) { return {panelOf(column), row, code.rem(column, code.index(wide))}; }

  Code &code;
  kernel::LinearAttentionOp op;
  const Target &target;
  const IRMapping &outer;
  const Tiles tiles;
  const int64_t chunk, lanes, wide;
  LogicalResult result = success();

  Code::Values batchSizes;
  Value s, d, e, heads, taskColumns, blocks;
  // Of a task.
  Code::Values batch;
  Value firstColumn, columns; ///< of the values
  // Of a chunk.
  Value begin, count;
  // Scratch: queries [d][t], scores [j][t], the other rows padded to whole tiles; what a tile's columns are read or
  // written of in panels of so many, so that a row is at a constant distance from the one before.
  Value queryTile, scoreTiles, keyTile, valuePanels, outputPanels, statePanels;
};

Value LinearTask::reserve(Value scratch) {
  ScratchLayout layout(code, scratch);
  Value depth = code.roundUp(code.add(d, Tiles::mostRows), lanes);
  int64_t rows = chunk + Tiles::mostRows; // a tile may begin at the last one, and its columns run into another row
  Value panels = panelOf(taskColumns);
  queryTile = layout.allocate({dynamic, chunk}, code.add(d, 1));
  scoreTiles = layout.allocate({rows, chunk}, {});
  keyTile = layout.allocate({rows, dynamic}, depth);
  valuePanels = layout.allocate({dynamic, rows, wide}, panels);
  outputPanels = layout.allocate({dynamic, rows, wide}, panels);
  statePanels = layout.allocate({dynamic, dynamic, wide}, {panels, depth});
  return layout.bytes();
}

LogicalResult LinearTask::run(Value task) {
  batch = delinearize(code, code.div(task, blocks), batchSizes);
  firstColumn = code.mul(code.rem(task, blocks), taskColumns);
  columns = code.min(taskColumns, code.sub(e, firstColumn));
  code.loop(code.index(0), s, chunk, [&](Value first) {
    begin = first;
    count = code.min(code.sub(s, begin), code.index(chunk));
    loadQueries();
    loadRows({op.getK(), code.index(0), d}, code.dim(keyTile, 1), &op.getKeys(),
             [&](Value x, Value j, Value column) { code.storeVector(x, keyTile, {j, column}); });
    loadRows({op.getV(), firstColumn, columns}, taskColumns, nullptr,
             [&](Value x, Value j, Value column) { code.storeVector(x, valuePanels, inPanels(j, column)); });
    scores();
    decayQueries();
    outputs();
    writeOutputs();
    code.branch(code.less(code.add(begin, chunk), s), [&] {
      decayKeys();
      moveState();
    });
  });
  return result;
}

//===-- Factors ---------------------------------------------------------------------------------------------------===//

Value LinearTask::factorAt(Region &region, ArrayRef<LaneValue> places, Value active) {
  Block &block = region.front();
  PointVectorizer points(code.b, code.loc, target, lanes, active, outer);
  SmallVector<LaneValue> arguments = llvm::map_to_vector(batch, [](Value index) { return LaneValue::uniform(index); });
  llvm::append_range(arguments, places);
  for (auto [argument, value] : llvm::zip_equal(block.getArguments(), arguments))
    points.bind(argument, value);
  if (failed(points.emitBlock(block)))
    result = failure();
  return points.vector(block.getTerminator()->getOperand(0));
}

Value LinearTask::scalarFactor(Region &region, ArrayRef<Value> places) {
  SmallVector<LaneValue> uniform = llvm::map_to_vector(places, [](Value place) { return LaneValue::uniform(place); });
  return factorAt(region, uniform, nullptr);
}

//===-- Loads -----------------------------------------------------------------------------------------------------===//

LinearTask::Rows LinearTask::rowsOf(Value memref) {
  Value value = mapped(memref);
  return {matrixAt(code, value, batch), matrixAt(code, value, batch, /*assumeUnit=*/true).memref,
          code.equal(lastStride(code, value), code.index(1))};
}

/// The first `count` elements of a vector of a row, zeros behind them.
Value LinearTask::loadPart(const Rows &from, Value row, Value column, Value count) {
  return code.choose(
      from.isAdjacent, code.vector(),
      [&] { return Code::Values{code.loadMasked(from.adjacent, {row, column}, code.laneMask(count))}; },
      [&] {
        return code.carry(code.index(0), code.min(count, code.index(lanes)), 1, code.splat(0),
                          [&](Value lane, ValueRange sofar) {
                            Value x = code.load(from.matrix.memref, {row, code.add(column, lane)});
                            return Code::Values{vector::InsertOp::create(code.b, code.loc, x, sofar[0], lane)};
                          });
      })[0];
}

/// Transposed, a vector of queries at a time; beyond the last query it stands again.
void LinearTask::loadQueries() {
  Rows rows = rowsOf(op.getQ());
  Value zero = code.index(0), last = code.sub(code.add(begin, count), code.index(1));
  Value whole = code.sub(d, code.rem(d, code.index(lanes)));
  code.loop(zero, count, lanes, [&](Value lane) {
    Code::Values queries;
    for (int64_t i = 0; i < lanes; ++i)
      queries.push_back(code.min(code.add(begin, code.add(lane, i)), last));
    Value factor;
    if (!op.getQueries().empty())
      factor = factorAt(op.getQueries(), LaneValue::linear(code.add(begin, lane)), activeFrom(lane));
    auto store = [&](Value x, Value k) { code.storeVector(factor ? code.mulF(x, factor) : x, queryTile, {k, lane}); };
    auto transposed = [&](Value k, Value most, llvm::function_ref<Value(Value)> load) {
      Code::Values loaded = llvm::map_to_vector(queries, load);
      for (auto [i, x] : llvm::enumerate(transpose(code, loaded))) {
        Value at = code.add(k, i);
        if (!most)
          store(x, at);
        else
          code.branch(code.less(at, most), [&, x = x] { store(x, at); });
      }
    };
    code.branch(
        rows.isAdjacent,
        [&] {
          code.loop(zero, whole, lanes, [&](Value k) {
            transposed(k, nullptr, [&](Value query) { return code.loadVector(rows.adjacent, {query, k}); });
          });
        },
        [&] {
          code.loop(zero, whole, lanes, [&](Value k) {
            transposed(k, nullptr, [&](Value query) { return loadPart(rows, query, k, code.index(lanes)); });
          });
        });
    code.branch(code.less(whole, d), [&] {
      transposed(whole, d, [&](Value query) { return loadPart(rows, query, whole, code.sub(d, whole)); });
    });
  });
}

/// Vectors of the chunk's rows, zeros in the padding; times their factor, if any.
void LinearTask::loadRows(const Columns &from, Value padded, Region *factor,
                          llvm::function_ref<void(Value x, Value j, Value column)> store) {
  Rows rows = rowsOf(from.memref);
  Value zero = code.index(0), whole = code.sub(from.count, code.rem(from.count, code.index(lanes)));
  whole = code.select(rows.isAdjacent, whole, zero);
  code.loop(zero, count, 1, [&](Value j) {
    Value row = code.add(begin, j), by;
    if (factor && !factor->empty())
      by = scalarFactor(*factor, row);
    auto scaled = [&](Value x) { return by ? code.mulF(x, by) : x; };
    code.loop(zero, whole, lanes, [&](Value column) {
      store(scaled(code.loadVector(rows.adjacent, {row, code.add(from.first, column)})), j, column);
    });
    code.loop(whole, padded, lanes, [&](Value column) {
      Value left = code.max(code.sub(from.count, column), zero);
      store(scaled(loadPart(rows, row, code.add(from.first, column), left)), j, column);
    });
  });
}

//===-- Within a chunk --------------------------------------------------------------------------------------------===//

void LinearTask::scores() {
  code.loop(code.index(0), count, wide, [&](Value panel) {
    Value last = code.min(code.add(panel, wide), count); // keys that some query of the panel sees
    code.loop(code.index(0), last, tiles.rows, [&](Value key) { scoreTile(panel, key); });
  });
}

void LinearTask::scoreTile(Value panel, Value key) {
  Code::Values queries;
  for (int v = 0; v < Tiles::vectors; ++v)
    queries.push_back(code.add(panel, v * lanes));
  TileLoop tile{tiles.rows, Tiles::vectors, 8,
                [&](int r, Value k) { return code.load(keyTile, {code.add(key, r), k}); },
                [&](int v, Value k) { return code.loadVector(queryTile, {k, queries[v]}); }};
  Code::Values zero(tiles.rows * Tiles::vectors, code.splat(0));
  Code::Values sums = multiplyAccumulate(code, tile, code.index(0), d, zero);
  for (int r = 0; r < tiles.rows; ++r)
    for (int v = 0; v < Tiles::vectors; ++v)
      code.storeVector(sums[r * Tiles::vectors + v], scoreTiles, {code.add(key, r), queries[v]});
  if (op.getDecay().empty())
    return;
  code.loop(key, code.min(code.add(key, tiles.rows), count), 1, [&](Value j) {
    code.loop(panel, code.min(code.add(panel, wide), count), lanes, [&](Value t) { decayScores(panel, j, t); });
  });
}

/// Where all of these queries are before the key, nothing reads their scores.
void LinearTask::decayScores(Value panel, Value key, Value query) {
  code.branch(code.less(key, code.add(query, lanes)), [&] {
    Value factor =
        factorAt(op.getDecay(), {LaneValue::linear(code.add(begin, query)), LaneValue::uniform(code.add(begin, key))},
                 activeFrom(query));
    Value score = code.loadVector(scoreTiles, {key, query});
    code.storeVector(code.mulF(score, factor), scoreTiles, {key, query});
  });
}

/// From here on the queries meet what came before the chunk.
void LinearTask::decayQueries() {
  if (op.getDecay().empty())
    return;
  Value zero = code.index(0), before = code.max(code.sub(begin, code.index(1)), zero);
  code.loop(zero, count, lanes, [&](Value lane) {
    Value factor = factorAt(op.getDecay(), {LaneValue::linear(code.add(begin, lane)), LaneValue::uniform(before)},
                            activeFrom(lane));
    code.loop(zero, d, 1, [&](Value k) {
      code.storeVector(code.mulF(code.loadVector(queryTile, {k, lane}), factor), queryTile, {k, lane});
    });
  });
}

void LinearTask::outputs() {
  code.loop(code.index(0), count, tiles.rows, [&](Value row) {
    code.loop(code.index(0), columns, wide, [&](Value column) { outputTile(row, column); });
  });
}

void LinearTask::outputTile(Value row, Value column) {
  Code::Values rows, places;
  Value panel = panelOf(column);
  for (int r = 0; r < tiles.rows; ++r)
    rows.push_back(code.add(row, r));
  for (int v = 0; v < Tiles::vectors; ++v)
    places.push_back(code.index(v * lanes));
  auto tileOf = [&](Value left, Value right, int unroll) {
    return TileLoop{tiles.rows, Tiles::vectors, unroll,
                    [&, left](int r, Value k) { return code.load(left, {k, rows[r]}); },
                    [&, right](int v, Value k) { return code.loadVector(right, {panel, k, places[v]}); }};
  };
  Value zero = code.index(0), before = code.select(code.equal(begin, zero), zero, d);
  Code::Values sums(tiles.rows * Tiles::vectors, code.splat(0));
  sums = multiplyAccumulate(code, tileOf(queryTile, statePanels, 4), zero, before, sums);
  sums = multiplyAccumulate(code, tileOf(scoreTiles, valuePanels, 4), zero, row, sums);
  sums = diagonal(row, panel, sums);
  for (int r = 0; r < tiles.rows; ++r)
    for (int v = 0; v < Tiles::vectors; ++v)
      code.storeVector(sums[r * Tiles::vectors + v], outputPanels, {panel, rows[r], places[v]});
}

/// `sums` and the products of the tile's rows with the keys up to each. Two views, so that all addresses are two and
/// constants.
Code::Values LinearTask::diagonal(Value row, Value panel, Code::Values sums) {
  auto view = [&](Value memref, ArrayRef<Value> begin, ArrayRef<int64_t> shape) {
    SmallVector<OpFoldResult> offsets(begin.begin(), begin.end()), sizes, strides(begin.size(), code.b.getIndexAttr(1));
    for (int64_t size : shape)
      sizes.push_back(code.b.getIndexAttr(size));
    return memref::SubViewOp::create(code.b, code.loc, memref, offsets, sizes, strides);
  };
  Value zero = code.index(0), scores = view(scoreTiles, {row, row}, {tiles.rows, tiles.rows});
  Value values = view(valuePanels, {panel, row, zero}, {1, tiles.rows, wide});
  for (int j = 0; j < tiles.rows; ++j) // keys behind a row are left out
    for (int v = 0; v < Tiles::vectors; ++v) {
      Value value = code.loadVector(values, {zero, code.index(j), code.index(v * lanes)});
      for (int r = j; r < tiles.rows; ++r) {
        Value &sum = sums[r * Tiles::vectors + v];
        sum = code.fma(code.broadcast(code.load(scores, {code.index(j), code.index(r)})), value, sum);
      }
    }
  return sums;
}

void LinearTask::writeOutputs() {
  Rows out = rowsOf(op.getOut());
  Value zero = code.index(0);
  code.loop(zero, count, 1, [&](Value row) {
    Value to = code.add(begin, row);
    code.branch(
        out.isAdjacent,
        [&] {
          code.loop(zero, columns, lanes, [&](Value c) {
            code.storeMasked(code.loadVector(outputPanels, inPanels(row, c)), out.adjacent,
                             {to, code.add(firstColumn, c)}, code.laneMask(code.sub(columns, c)));
          });
        },
        [&] {
          code.loop(zero, columns, 1, [&](Value c) {
            code.store(code.load(outputPanels, inPanels(row, c)), out.matrix.memref, {to, code.add(firstColumn, c)});
          });
        });
  });
}

//===-- Between chunks --------------------------------------------------------------------------------------------===//

void LinearTask::decayKeys() {
  if (op.getDecay().empty())
    return;
  Value last = code.add(begin, chunk - 1), zero = code.index(0);
  code.loop(zero, count, 1, [&](Value j) {
    Value factor = scalarFactor(op.getDecay(), {last, code.add(begin, j)});
    code.loop(zero, d, lanes,
              [&](Value k) { code.storeVector(code.mulF(code.loadVector(keyTile, {j, k}), factor), keyTile, {j, k}); });
  });
}

void LinearTask::moveState() {
  Value zero = code.index(0), factor;
  if (!op.getDecay().empty()) {
    Value before = code.max(code.sub(begin, code.index(1)), zero);
    factor = scalarFactor(op.getDecay(), {code.add(begin, chunk - 1), before});
  }
  code.loop(zero, d, tiles.rows,
            [&](Value row) { code.loop(zero, columns, wide, [&](Value column) { stateTile(row, column, factor); }); });
}

void LinearTask::stateTile(Value row, Value column, Value factor) {
  Code::Values places, init;
  Value panel = panelOf(column);
  for (int v = 0; v < Tiles::vectors; ++v)
    places.push_back(code.index(v * lanes));
  Value first = code.equal(begin, code.index(0));
  for (int r = 0; r < tiles.rows; ++r)
    for (int v = 0; v < Tiles::vectors; ++v) {
      Value old = code.loadVector(statePanels, {panel, code.add(row, r), places[v]});
      init.push_back(code.select(first, code.splat(0), factor ? code.mulF(old, factor) : old));
    }
  TileLoop tile{tiles.rows, Tiles::vectors, 8,
                [&](int r, Value j) { return code.load(keyTile, {j, code.add(row, r)}); },
                [&](int v, Value j) { return code.loadVector(valuePanels, {panel, j, places[v]}); }};
  Code::Values sums = multiplyAccumulate(code, tile, code.index(0), count, init);
  for (int r = 0; r < tiles.rows; ++r)
    for (int v = 0; v < Tiles::vectors; ++v)
      code.storeVector(sums[r * Tiles::vectors + v], statePanels, {panel, code.add(row, r), places[v]});
}

class LinearAttentionEmitter : public ScheduleEmitter {
public:
  LinearAttentionEmitter(kernel::LinearAttentionOp op, const Target &target) : ScheduleEmitter(target), op(op) {}

  FailureOr<Value> emitTasks(OpBuilder &builder, IRMapping &outer) override {
    Code code = codeAt(builder);
    return LinearTask(code, op, target, outer).tasks();
  }
  FailureOr<Value> emitScratch(OpBuilder &builder, IRMapping &outer) override {
    Code code = codeAt(builder);
    return LinearTask(code, op, target, outer).reserve(nullptr);
  }
  LogicalResult emitRun(OpBuilder &builder, IRMapping &outer, const RunArguments &arguments) override {
    Code code = codeAt(builder);
    LinearTask tasks(code, op, target, outer);
    tasks.reserve(arguments.scratch);
    LogicalResult result = success();
    code.loop(arguments.begin, arguments.end, 1, [&](Value task) { result = tasks.run(task); });
    return result;
  }

private:
  Code codeAt(OpBuilder &builder) { return Code(builder, op.getLoc(), target); }
  kernel::LinearAttentionOp op;
};

} // namespace

std::unique_ptr<ScheduleEmitter> makeLinearAttentionEmitter(kernel::LinearAttentionOp op, const Target &target) {
  return std::make_unique<LinearAttentionEmitter>(op, target);
}

} // namespace fovea::kernels
