// Many queries: a task is (batch, block of queries), and queries lie in the lanes.
//
// Scores are computed transposed, S^T = K Q^T: K and V stay as they lie in memory, only the queries are transposed,
// nothing is summed across lanes, and a row's maximum, sum and rescaling live in its own lane. For each panel of
// queries, keys come in chunks, of which those that no query of a vector sees are skipped.
#include "compiler/kernels/emit/AttentionCaptures.h"
#include "compiler/kernels/emit/AttentionTask.h"
#include "compiler/kernels/emit/IndexedProducts.h"
#include "compiler/kernels/emit/KeySelection.h"
#include "compiler/kernels/emit/KeySummaries.h"
#include "compiler/kernels/emit/RowsToLanes.h"
#include "compiler/kernels/emit/SeenKeys.h"

using namespace mlir;

namespace fovea::kernels {
namespace {

/// Register tiles: enough accumulators to hide the multiply-add's latency, beside the operands and, without FMA, a
/// product. Lists begin with the tile that does most of the work; the others, ever lower, are for what is left at the
/// end, which takes the lowest that holds it.
struct Tiles {
  struct Sums {
    int rows, vectors;
  };
  explicit Tiles(const Target &target) {
    if (target.registers >= 32)
      vectors = 2, panelKeys = {8, 4}, vectorKeys = {8, 4, 2}, values = {{8, 2}, {4, 4}};
    else if (target.fma)
      vectors = 3, panelKeys = {4}, vectorKeys = {8}, values = {{6, 2}};
    else
      vectors = 2, panelKeys = {4}, vectorKeys = {8}, values = {{4, 2}};
  }
  int queryRows() const { return values.front().rows; }

  int vectors;                          ///< of queries in a panel
  llvm::SmallVector<int, 3> panelKeys;  ///< rows of a score tile by all vectors of a panel
  llvm::SmallVector<int, 3> vectorKeys; ///< by one of them
  llvm::SmallVector<Sums, 2> values;    ///< one or two output tiles; the rows of the first divide a panel
};

/// Values are read once for each tile of rows. Rows that lie apart, as those of heads side by side, take an entry of
/// the address cache each, and fall into few sets of the first-level cache where their step is a power of two: so these
/// are copied as well as what must be.
bool mayCopyValues(kernel::AttentionOp op) {
  auto pieces = op.getValuePieces();
  return KeyedRows::needsCopy(pieces) || KeyedRows::mayLieApart(pieces) || op.getValueRows();
}

/// Blocks of queries that a task has at most. Where values are copied, they share the copies; where the mask is
/// summarised over queries, fewer of them are told from each other sooner.
int64_t mostBlocks(kernel::AttentionOp op) {
  if (op.getNormalizer() == "top_k" || !mayCopyValues(op))
    return 1;
  MaskFormula mask(op.getMask().empty() ? nullptr : &op.getMask().front());
  bool ofQueries = llvm::any_of(mask.summarised(), [&](Value x) { return mask.dependence(x) == MaskFormula::queries; });
  return ofQueries || !mask.tiled().empty() ? 1 : 3;
}

AttentionShape shapeOf(kernel::AttentionOp op, const Target &target) {
  int64_t panel = Tiles(target).vectors * target.vectorLength;
  int64_t panels = std::max<int64_t>(1, target.attentionRows / panel);
  return {int(target.vectorLength), Tiles(target).vectors, panels * mostBlocks(op), target.attentionKeys};
}

class QueryLanes : public AttentionTask {
public:
  QueryLanes(Code &code, kernel::AttentionOp op, const Target &target, const IRMapping &outer, Value exec)
      : AttentionTask(code, op, target, shapeOf(op, target), outer, exec), tiles(target),
        seen(code, this->shape, mask, chunk()),
        captures(code, target, outer, {score.plain ? nullptr : score.block, mask}),
        indexed(code, target, outer, *score.block, this->shape.panel(), shape.keys, IndexedProducts::Lanes::Queries),
        summaries(code, mask, target, outer, batchSizes, s, shape.keys) {
    if (selects())
      selection.emplace(code, op->getParentOfType<ModuleOp>(), this->shape,
                        code.dim(mapped(op.getOut()), cast<MemRefType>(op.getOut().getType()).getRank() - 1));
  }

  /// Where keys are summarised, those tasks come first, and all others wait for them.
  Value tasks() override { return summaries.empty() ? queryTasks() : summaries.tasks(); }
  Value finishTasks() override { return summaries.empty() ? code.index(0) : queryTasks(); }
  Value reserve(Value scratch) override;
  Value reserveShared(Value memory) override { return summaries.empty() ? code.index(0) : summaries.reserve(memory); }
  LogicalResult run(Value task) override;

protected:
  void place(Value task) override;
  void loadQueries() override;
  Row rowAt(Value row) override { return {batch, code.add(queryBegin, row)}; }
  Box queriesSeeing(Value keyBegin, Value keyEnd) override {
    return {queryBegin, code.add(queryBegin, rows), keyBegin, keyEnd};
  }
  void block(const Keys &keys, Value careful) override;
  void finish() override;
  void summarizeKeys(const Box &box) override;
  Value outputRows() override { return code.roundUp(rows, tiles.queryRows()); }
  bool tilesMask() override { return maskTiles.has_value(); }
  Type copiedValue() override { return mayCopyValues(op) ? code.b.getF32Type() : Type(); }

private:
  /// Consecutive vectors of a panel: `count` from lane `lane`.
  struct Vectors {
    Value lane;
    int count;
  };
  struct ValueTile {
    Value row, column; ///< of the output
    Value first, last; ///< keys of the block
    Tiles::Sums sums;
    Value mask; ///< null where all columns are inside
  };

  /// Keys that are decided together whether a vector of queries sees them: as many as it has queries, so that beside a
  /// diagonal it sees all chunks but one in whole or not at all; a multiple of the score tiles' rows.
  int64_t chunk() const { return std::max(mostKeyRows, shape.lanes); }
  static constexpr int mostKeyRows = 8; ///< of a score tile: more are more pointers than there are registers for

  void loadQueries(const Part &part, Value scale);
  void scores(Value panel, const Keys &keys);
  void products(Value panel, const Keys &keys, Value begin, Value end, Value keepMaximum);
  void productsOf(const Vectors &vectors, Value panel, const Keys &keys, Value begin, Value end, Value keepMaximum);
  void scoreTileOf(const Vectors &vectors, Value panel, Value key, Value end, int keyRows, Value keepMaximum);
  void hide(const Vectors &vectors, Value panel, Value begin, Value end);
  void regions(Value panel, const Keys &keys, Value begin, Value end, Value all);
  void regionRows(Value panel, const Keys &keys, Value begin, Value end, bool masked);
  /// Keys [begin, end) of the panel's vector at `lane`; where `captured`, their captures have been read.
  void regionVectors(Value panel, const Keys &keys, Value begin, Value end, Value lane, bool masked, bool captured);
  void readCaptures(const Keys &keys, Value begin, Value query, bool masked);
  /// The next block's, for the queries that fall to a tile of `keyRows` of the panel's keys from `key`.
  void fetchCaptures(Value panel, const Keys &keys, Value key, int64_t keyRows);
  void exponentials(Value panel, ValueRange maxima, bool careful);
  void exponentialsOf(Value panel, int begin, ValueRange maxima, bool careful);
  void values(const Keys &keys);
  void carefulValues();
  void select(Value panel, const Keys &keys);
  void valueTile(const ValueTile &tile);

  Value scoreRow(Value panel, Value key) { return code.add(code.mul(panel, shape.keys), key); }
  Value firstQuery(Value panel) { return code.add(queryBegin, code.mul(panel, shape.panel())); }

  /// Vectors of a panel that the tiles of its rows' values read.
  Value usedVectors(Value panel) {
    Value left = code.sub(rows, code.mul(panel, shape.panel()));
    Value used = code.ceilDiv(code.roundUp(left, tiles.queryRows()), shape.lanes);
    return code.min(used, code.index(shape.vectors));
  }

  Value batches() {
    Value count = code.index(1);
    for (Value size : batchSizes)
      count = code.mul(count, size);
    return count;
  }
  /// Queries of a task: several blocks of them where enough tasks are left.
  Value taskRows() {
    if (shape.rows() <= target.attentionRows)
      return code.index(shape.rows());
    constexpr int64_t enoughTasks = 64;
    Value one = code.index(1), wanted = code.ceilDiv(code.index(enoughTasks), code.max(batches(), one));
    Value blocks = code.ceilDiv(t, target.attentionRows), least = code.ceilDiv(t, shape.rows());
    Value count = code.max(code.max(least, code.min(blocks, wanted)), one);
    return code.roundUp(code.max(code.ceilDiv(t, count), one), shape.panel());
  }
  Value queryTasks() { return code.mul(code.ceilDiv(t, taskRows()), batches()); }

  const Tiles tiles;
  SeenKeys seen;
  RegionCaptures captures;
  IndexedProducts indexed;
  KeySummaries summaries;
  bool isSummarised = false; ///< `summaries` are there
  Value queryBegin;
  std::optional<KeySelection> selection;      ///< with the normaliser "top_k"
  std::optional<Visibility::Tiles> maskTiles; ///< null where no condition needs them
  // Scratch: queries [panel * D + d][lane]; scores [panel * keys + key][lane], and factors of their weights likewise;
  // copies of the parts of a block's keys, null where they are read from where they lie.
  Value queryTile, scoreTile, factorTile;
  Code::Values keyCopies;
  Code::Values keyViews; ///< of each part of the current block's keys, [key, column], columns adjacent
};

Value QueryLanes::reserve(Value scratch) {
  ScratchLayout layout(code, scratch);
  queryTile = layout.allocate({ShapedType::kDynamic, shape.panel()}, {code.mul(d, shape.panels)});
  scoreTile = layout.allocate({shape.panels * shape.keys, shape.panel()}, {});
  if (score.factor)
    factorTile = layout.allocate({shape.panels * shape.keys, shape.panel()}, {});
  reserveRows(layout);
  seen.reserve(layout);
  if (selection)
    selection->reserve(layout);
  keyCopies.clear();
  for (const Part &part : parts) {
    bool isCopied = KeyedRows::needsCopy(part.keys) || op.getKeyRows();
    keyCopies.push_back(isCopied ? layout.allocate({shape.keys, ShapedType::kDynamic}, {part.depth}) : Value());
  }
  captures.reserve(layout);
  indexed.reserve(layout, shape.panels, shape.panel());
  maskTiles = {shape.panel(), chunk(), shape.panels};
  if (int64_t count = Visibility(code, mask, target, outer, {}, maskTiles).tiledConditions())
    maskTiles->summary = layout.allocate({count, shape.panels, 2}, {}, code.b.getIndexType());
  else
    maskTiles.reset();
  return layout.bytes();
}

LogicalResult QueryLanes::run(Value task) {
  if (summaries.empty())
    return AttentionTask::run(task);
  Value before = summaries.tasks();
  code.branch(
      code.less(task, before), [&] { isSummarised = succeeded(summaries.run(task)); },
      [&] { (void)AttentionTask::run(code.sub(task, before)); });
  return result;
}

void QueryLanes::summarizeKeys(const Box &box) {
  if (isSummarised)
    summaries.know(*visibility, batch, box.keyBegin);
  else
    AttentionTask::summarizeKeys(box);
}

void QueryLanes::place(Value task) {
  Code::Values sizes(batchSizes);
  Value most = taskRows();
  sizes.push_back(code.ceilDiv(t, most));
  batch = delinearize(code, task, sizes);
  queryBegin = code.mul(batch.pop_back_val(), most);
  rows = code.min(code.sub(t, queryBegin), most);
  panels = code.ceilDiv(rows, shape.panel());
  visibility.emplace(code, mask, target, outer, batch, maskTiles);
  seen.enter(*visibility, queryBegin, t);
}

void QueryLanes::loadQueries() {
  if (selection)
    selection->start(rows, panels);
  Value scale = scoreScale(batch);
  for (const Part &part : parts)
    loadQueries(part, scale);
  if (indexed.empty())
    return;
  indexed.enter(batch);
  Value last = code.sub(t, code.index(1));
  code.loop(code.index(0), panels, 1, [&](Value panel) { indexed.loadQueries(panel, firstQuery(panel), last); });
}

void QueryLanes::loadQueries(const Part &part, Value scale) {
  Value scales = code.broadcast(scale), last = code.sub(t, code.index(1));
  RowsToLanes queries(code, part.q, batch, part.depth);
  queries.convert = [&](Value x) { return code.mulF(x, x.getType().isF32() ? scale : scales); };
  code.loop(code.index(0), rows, shape.lanes, [&](Value i) {
    Value panel = code.div(i, code.index(shape.panel())), lane = code.rem(i, code.index(shape.panel()));
    Value base = code.add(code.mul(panel, d), part.first);
    queries.move({queryBegin, i, last, queryTile, base, lane});
  });
}

void QueryLanes::block(const Keys &keys, Value careful) {
  keyViews.clear();
  for (auto [part, copy] : llvm::zip(parts, keyCopies))
    keyViews.push_back(keyRows(part).view(keys, copy, part.depth));
  valueView = valueRows(KeyedRows::InPlace::Adjacent).view(keys, valueCopy, e);
  indexed.loadKeys(keys.begin, code.sub(s, code.index(1)));
  code.loop(code.index(0), panels, 1, [&](Value panel) {
    scores(panel, keys);
    if (selection)
      return select(panel, keys);
    if (!softmax())
      return;
    Code::Values maxima = moveMaxima(panel);
    code.branch(careful, [&] { exponentials(panel, maxima, true); }, [&] { exponentials(panel, maxima, false); });
  });
  if (!selection)
    code.branch(careful, [&] { carefulValues(); }, [&] { values(keys); });
}

/// Offers the scores of the keys that a panel sees some of to its rows; what stands where there is no row is not taken.
void QueryLanes::select(Value panel, const Keys &keys) {
  code.loop(seen.first(panel), seen.last(panel), 1, [&](Value key) {
    for (int v = 0; v < shape.vectors; ++v) {
      Value lane = code.index(v * shape.lanes);
      selection->offer(panel, lane, code.loadVector(scoreTile, {scoreRow(panel, key), lane}),
                       code.add(keys.begin, key));
    }
  });
}

void QueryLanes::finish() {
  if (!selection)
    return AttentionTask::finish();
  selection->finish(rows, [&](Value row, Value place, Value score, Value key) {
    Row at = rowAt(row);
    at.batch.append({at.query, place});
    code.store(score, mapped(op.getOut()), at.batch);
    memref::StoreOp::create(code.b, code.loc, key, mapped(op.getLse()), at.batch);
  });
}

//===-- Scores ----------------------------------------------------------------------------------------------------===//

void QueryLanes::scores(Value panel, const Keys &keys) {
  if (softmax())
    for (int v = 0; v < shape.vectors; ++v)
      code.storeVector(hiddenScore(), blockMaximum, {panel, code.index(v * shape.lanes)});
  seen.scan(
      panel, keys, [&](Value from, Value to) { hide({code.index(0), shape.vectors}, panel, from, to); },
      [&](Value from, Value to, Value all) {
        products(panel, keys, from, to, score.plain && softmax() ? all : code.boolean(false));
        if (mask || !score.plain)
          regions(panel, keys, from, to, all);
      });
}

/// Scores of keys [begin, end) that none of these queries sees: another chunk after them may be seen.
void QueryLanes::hide(const Vectors &vectors, Value panel, Value begin, Value end) {
  code.loop(begin, end, 1, [&](Value key) {
    for (int v = 0; v < vectors.count; ++v) {
      Code::Values at{scoreRow(panel, key), code.add(vectors.lane, v * shape.lanes)};
      code.storeVector(hiddenScore(), scoreTile, at);
      if (score.factor)
        code.storeVector(code.splat(0), factorTile, at);
    }
  });
}

/// S[key] = K[key] . Q for keys [begin, end) of the block; where `keepMaximum`, these are the final scores. Vectors
/// that see none of them, or are beyond the last query, are left out at both ends.
void QueryLanes::products(Value panel, const Keys &keys, Value begin, Value end, Value keepMaximum) {
  Value zero = code.index(0);
  auto [from, to] = seen.vectors(panel, keys, begin, end);
  Value all = code.equal(code.sub(to, from), code.index(shape.vectors));
  code.branch(
      all, [&] { productsOf({zero, shape.vectors}, panel, keys, begin, end, keepMaximum); },
      [&] {
        code.loop(zero, code.index(shape.vectors), 1, [&](Value v) {
          Vectors vector{code.mul(v, shape.lanes), 1};
          Value sees = code.logicalAnd(code.compare(arith::CmpIPredicate::sle, from, v), code.less(v, to));
          code.branch(
              sees, [&] { productsOf(vector, panel, keys, begin, end, keepMaximum); },
              [&] { code.branch(code.less(v, usedVectors(panel)), [&] { hide(vector, panel, begin, end); }); });
        });
      });
}

void QueryLanes::productsOf(const Vectors &vectors, Value panel, const Keys &keys, Value begin, Value end,
                            Value keepMaximum) {
  ArrayRef<int> heights = vectors.count == 1 ? tiles.vectorKeys : tiles.panelKeys;
  auto tile = [&](Value key, int keyRows) {
    fetchCaptures(panel, keys, key, keyRows);
    scoreTileOf(vectors, panel, key, end, keyRows, keepMaximum);
  };
  int most = heights.front();
  Value whole = end;
  if (heights.size() > 1) {
    Value rest = code.rem(code.sub(end, begin), code.index(most));
    whole = code.sub(end, code.select(code.less(code.index(heights[1]), rest), code.index(0), rest));
  }
  code.loop(begin, whole, most, [&](Value key) { tile(key, most); });
  Value left = code.sub(end, whole);
  for (heights = heights.drop_front(); !heights.empty(); heights = heights.drop_front()) {
    int height = heights.front(), lower = heights.size() > 1 ? heights[1] : 0;
    Value holds = code.logicalAnd(code.less(code.index(lower), left), code.less(left, code.index(height + 1)));
    code.branch(holds, [&] { tile(whole, height); });
  }
}

/// `keyRows` keys from `key`; beyond the last one before `end` that is computed again.
void QueryLanes::scoreTileOf(const Vectors &vectors, Value panel, Value key, Value end, int keyRows,
                             Value keepMaximum) {
  Value base = code.mul(panel, d), lastOne = code.sub(end, code.index(1));
  Code::Values lanes, keyNumbers;
  for (int v = 0; v < vectors.count; ++v)
    lanes.push_back(code.add(vectors.lane, v * shape.lanes));
  for (int r = 0; r < keyRows; ++r)
    keyNumbers.push_back(code.min(code.add(key, r), lastOne));
  Code::Values sums(keyRows * vectors.count, code.splat(0));
  for (auto [part, keyView] : llvm::zip(parts, keyViews)) {
    Value features = code.add(base, part.first);
    TileLoop tile{keyRows, vectors.count, keyRows * vectors.count > 8 ? 8 : 16,
                  [&, keyView = keyView](int r, Value k) { return code.load(keyView, {keyNumbers[r], k}); },
                  [&](int v, Value k) { return code.loadVector(queryTile, {code.add(features, k), lanes[v]}); }};
    sums = multiplyAccumulate(code, tile, code.index(0), part.depth, sums);
  }
  if (!softmax() && score.plain) // -0 marks hidden keys
    for (Value &x : sums)
      x = code.addF(x, code.splat(0));
  Value row = scoreRow(panel, key);
  for (int r = 0; r < keyRows; ++r)
    for (int v = 0; v < vectors.count; ++v)
      code.storeVector(sums[r * vectors.count + v], scoreTile, {code.add(row, r), lanes[v]});
  if (matchPattern(keepMaximum, m_Zero()))
    return;
  code.branch(keepMaximum, [&] {
    for (int v = 0; v < vectors.count; ++v) {
      Value most = code.loadVector(blockMaximum, {panel, lanes[v]});
      // NaN is skipped here and comes back by its exponential: pairs would pass it on.
      for (int r = 0; r < keyRows; ++r)
        most = code.maxOrSecond(sums[r * vectors.count + v], most);
      code.storeVector(most, blockMaximum, {panel, lanes[v]});
    }
  });
}

/// The score and mask regions over rows [begin, end); `all`: nothing there is hidden.
void QueryLanes::regions(Value panel, const Keys &keys, Value begin, Value end, Value all) {
  if (score.plain) {
    code.branch(code.logicalNot(all), [&] { regionRows(panel, keys, begin, end, /*masked=*/true); });
    return;
  }
  Value first = firstQuery(panel), beyond = code.add(first, shape.panel());
  indexed.multiply({first, code.min(beyond, t), code.add(keys.begin, begin), code.add(keys.begin, end)}, panel);
  Value full = code.compare(arith::CmpIPredicate::sle, beyond, t);
  code.branch(
      code.logicalAnd(all, full), [&] { regionRows(panel, keys, begin, end, /*masked=*/false); },
      [&] { regionRows(panel, keys, begin, end, /*masked=*/true); });
}

void QueryLanes::regionRows(Value panel, const Keys &keys, Value begin, Value end, bool masked) {
  Value first = firstQuery(panel), zero = code.index(0);
  Value count = code.min(code.index(shape.panel()), code.sub(t, first));
  bool anyCaptured = captures.isIn(score.block) || (masked && captures.isIn(mask));
  // Chunks whose keys are all there have their captures transposed; the rest, at the end of the keys, has not.
  Value whole = anyCaptured ? code.sub(end, code.rem(code.sub(end, begin), code.index(shape.lanes))) : begin;
  if (anyCaptured)
    code.loop(begin, whole, shape.lanes, [&](Value chunk) {
      code.loop(zero, count, shape.lanes, [&](Value lane) {
        readCaptures(keys, chunk, code.add(first, lane), masked);
        regionVectors(panel, keys, chunk, code.add(chunk, shape.lanes), lane, masked, /*captured=*/true);
      });
    });
  code.loop(zero, count, shape.lanes,
            [&](Value lane) { regionVectors(panel, keys, whole, end, lane, masked, /*captured=*/false); });
}

void QueryLanes::readCaptures(const Keys &keys, Value begin, Value query, bool masked) {
  Value last = code.sub(t, code.index(1));
  Code::Values queries; // beyond the last query the last one stands in
  for (int lane = 0; lane < shape.lanes; ++lane)
    queries.push_back(code.min(code.add(query, lane), last));
  Value key = code.add(keys.begin, begin);
  Row row{batch, query};
  auto bind = [&](Block &region, PointVectorizer &point) {
    bindPoints(point, region, {row, LaneValue::uniform(query), LaneValue::uniform(key), nullptr, masked});
  };
  if (failed(captures.fill(queries, key, /*skipped=*/masked ? nullptr : mask, bind)))
    result = failure();
}

void QueryLanes::fetchCaptures(Value panel, const Keys &keys, Value key, int64_t keyRows) {
  Value next = code.add(keys.begin, shape.keys), last = code.sub(t, code.index(1));
  int64_t share = std::max<int64_t>(1, shape.panel() * keyRows / shape.keys);
  for (int64_t i = 0; i < share; ++i) {
    Value query = code.add(firstQuery(panel), code.add(code.mul(code.div(key, code.index(keyRows)), share), i));
    query = code.min(query, last);
    Row row{batch, query};
    auto bind = [&](Block &region, PointVectorizer &point) {
      bindPoints(point, region, {row, LaneValue::uniform(query), LaneValue::uniform(next), nullptr, true});
    };
    if (failed(captures.fetch(query, next, shape.keys, bind)))
      result = failure();
  }
}

void QueryLanes::regionVectors(Value panel, const Keys &keys, Value begin, Value end, Value lane, bool masked,
                               bool captured) {
  Value first = firstQuery(panel), query = code.add(first, lane);
  Value count = code.min(code.index(shape.panel()), code.sub(t, first));
  Value active = masked ? code.laneMask(code.sub(count, lane)) : Value();
  Row row{batch, query};
  Value most = softmax() ? code.loadVector(blockMaximum, {panel, lane}) : hiddenScore();
  most = code.carry(begin, end, 1, most, [&](Value key, ValueRange sofar) {
    Points points{row, LaneValue::linear(query), LaneValue::uniform(code.add(keys.begin, key)), active, masked};
    points.bindCaptures = [&](Block &region, PointVectorizer &vectorizer) {
      if (captured)
        captures.bind(region, vectorizer, code.sub(key, begin));
      if (&region == score.block && failed(indexed.bind(vectorizer, LaneValue::linear(lane), LaneValue::uniform(key))))
        result = failure();
    };
    Value at = scoreRow(panel, key);
    Scored x = pointScores(code.loadVector(scoreTile, {at, lane}), points);
    code.storeVector(x.scores, scoreTile, {at, lane});
    if (score.factor)
      code.storeVector(x.factors, factorTile, {at, lane});
    return Code::Values{code.maxOrSecond(x.scores, sofar[0])}; // NaN is skipped here, as in products
  })[0];
  if (softmax())
    code.storeVector(most, blockMaximum, {panel, lane});
}

/// S = 2^(S - maximum), sum += S; then S times its factor.
void QueryLanes::exponentials(Value panel, ValueRange maxima, bool careful) {
  Value used = usedVectors(panel);
  auto each = [&](int count) {
    for (int v = 0; v < count; ++v)
      code.branch(code.less(code.index(v), used), [&] { exponentialsOf(panel, v, maxima.slice(v, 1), careful); });
  };
  if (careful)
    return each(shape.vectors);
  code.branch(
      code.equal(used, code.index(shape.vectors)), [&] { exponentialsOf(panel, 0, maxima, careful); },
      [&] { each(shape.vectors - 1); });
}

/// Of the panel's vectors from number `begin`, one for each of the `maxima`.
void QueryLanes::exponentialsOf(Value panel, int begin, ValueRange maxima, bool careful) {
  Value first = seen.first(panel), last = seen.last(panel);
  Code::Values lanes, init;
  for (size_t v = 0; v < maxima.size(); ++v) {
    lanes.push_back(code.index((begin + v) * shape.lanes));
    init.push_back(code.loadVector(current.sum, {panel, lanes[v]}));
  }
  auto rowOfWeights = [&](Value key, ValueRange sofar) {
    Code::Values next;
    for (auto [lane, maximum, sum] : llvm::zip(lanes, maxima, sofar)) {
      Code::Values at{scoreRow(panel, key), lane};
      Value weight = weights(code.loadVector(scoreTile, at), maximum, careful);
      next.push_back(code.addF(sum, weight));
      if (score.factor)
        weight = changed(weight, code.loadVector(factorTile, at), careful);
      code.storeVector(weight, scoreTile, at);
    }
    return next;
  };
  // Four vectors at once hide the latency of the polynomial, where its coefficients leave registers for them.
  int64_t together = careful || target.registers < 32 ? 1 : 4 / maxima.size();
  Value middle = code.add(first, code.mul(code.div(code.sub(last, first), code.index(together)), together));
  Code::Values sums = code.carry(first, middle, together, init, [&](Value key, ValueRange sofar) {
    Code::Values x(sofar);
    for (int64_t i = 0; i < together; ++i)
      x = rowOfWeights(code.add(key, i), x);
    return x;
  });
  if (together > 1)
    sums = code.carry(middle, last, 1, sums, [&](Value key, ValueRange sofar) { return rowOfWeights(key, sofar); });
  for (auto [lane, sum] : llvm::zip(lanes, sums))
    code.storeVector(sum, current.sum, {panel, lane});
}

//===-- Values ----------------------------------------------------------------------------------------------------===//

/// output += S^T V over the keys that a panel sees.
void QueryLanes::values(const Keys &keys) {
  Value zero = code.index(0);
  code.loop(zero, rows, tiles.queryRows(), [&](Value row) {
    Value panel = code.div(row, code.index(shape.panel()));
    Value first = seen.first(panel);
    Value last = seen.lastOf(row, tiles.queryRows(), keys, first, seen.last(panel));
    auto allColumns = [&](Tiles::Sums sums) {
      int64_t step = int64_t(sums.vectors) * shape.lanes;
      Value whole = code.sub(e, code.rem(e, code.index(step)));
      code.loop(zero, whole, step, [&](Value column) { valueTile({row, column, first, last, sums, nullptr}); });
      code.loop(whole, e, shape.lanes, [&](Value column) {
        valueTile({row, column, first, last, {sums.rows, 1}, code.laneMask(code.sub(e, column))});
      });
    };
    if (tiles.values.size() == 1)
      return allColumns(tiles.values.front());
    Tiles::Sums few = tiles.values[1];
    code.branch(
        code.less(code.add(row, few.rows), rows), [&] { allColumns(tiles.values.front()); }, [&] { allColumns(few); });
  });
}

void QueryLanes::valueTile(const ValueTile &at) {
  Value row = at.row, column = at.column, inside = at.mask;
  auto [tileRows, vectors] = at.sums;
  Value panel = code.div(row, code.index(shape.panel())), lane = code.rem(row, code.index(shape.panel()));
  Value base = code.mul(panel, shape.keys);
  Code::Values lanes, rowNumbers, columns, init;
  for (int v = 0; v < vectors; ++v)
    columns.push_back(code.add(column, v * shape.lanes));
  for (int r = 0; r < tileRows; ++r) {
    lanes.push_back(code.add(lane, r));
    rowNumbers.push_back(code.add(row, r));
    for (int v = 0; v < vectors; ++v)
      init.push_back(code.loadVector(current.output, {rowNumbers[r], columns[v]}));
  }
  // Rows of V are a run-time stride apart: each step more of the body holds another multiple of it.
  constexpr int unroll = 4;
  TileLoop tile{tileRows, vectors, unroll,
                [&](int r, Value k) { return code.load(scoreTile, {code.add(base, k), lanes[r]}); },
                [&](int v, Value k) {
                  return inside ? code.loadMasked(valueView, {k, columns[v]}, inside)
                                : code.loadVector(valueView, {k, columns[v]});
                }};
  Code::Values sums = multiplyAccumulate(code, tile, at.first, at.last, init);
  for (int r = 0; r < tileRows; ++r)
    for (int v = 0; v < vectors; ++v)
      code.storeVector(sums[r * vectors + v], current.output, {rowNumbers[r], columns[v]});
}

/// values() with the products of hidden keys (weight -0) left out.
void QueryLanes::carefulValues() {
  code.loop(code.index(0), rows, 1, [&](Value row) {
    Value panel = code.div(row, code.index(shape.panel())), lane = code.rem(row, code.index(shape.panel()));
    addCarefully(row, seen.first(panel), seen.last(panel),
                 [&](Value key) { return code.load(scoreTile, {scoreRow(panel, key), lane}); });
  });
}

} // namespace

std::unique_ptr<AttentionTask> makeQueryLanes(Code &code, kernel::AttentionOp op, const Target &target,
                                              const IRMapping &outer, Value exec) {
  return std::make_unique<QueryLanes>(code, op, target, outer, exec);
}

} // namespace fovea::kernels
