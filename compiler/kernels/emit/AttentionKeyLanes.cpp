// Few queries: a task is (batch, some rows, a span of keys), and keys lie in the lanes.
//
// Rows are the queries of all heads that share keys and values (batch axes along which K and V have stride 0), so that
// these are read once for the whole group. Scores and weights lie as [row][key], and a row of V is a vector for the
// output. What is captured by key (a bias, a padding mask) is contiguous in the lanes.
//
// Keys and values are read once and come from far away. Rows of V are read as they lie, which the processor foresees;
// of keys many rows are read side by side, which it doesn't: they are fetched into the second-level cache while the
// values of the block before are added up, and from there in the order of addresses while the keys before are
// multiplied (KeyLaneProducts).
#include "compiler/kernels/emit/AttentionVariants.h"
#include "compiler/kernels/emit/IndexedProducts.h"
#include "compiler/kernels/emit/KeyLaneProducts.h"

#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace fovea::kernels {
namespace {

class KeyLanes : public AttentionTask {
public:
  KeyLanes(Code &code, kernel::AttentionOp op, const Target &target, const IRMapping &outer, Value exec)
      : AttentionTask(code, op, target, {int(target.vectorLength), 1, 1, target.attentionKeys}, outer, exec),
        sharedAxes(kernels::sharedAxes(op)), products(code, target, this->shape, parts, d),
        indexed(code, target, outer, *score.block, target.vectorLength / 2, target.attentionKeys,
                IndexedProducts::Lanes::Rows) {
    group = t;
    for (int64_t axis : sharedAxes)
      group = code.mul(group, batchSizes[axis]);
    // One decision for all rows of a task.
    decided = mask && isMaskShared(op);
  }

  Value tasks() override { return code.mul(groups(), spanTasks()); }
  Value finishTasks() override { return code.select(split(), groups(), code.index(0)); }
  Value reserve(Value scratch) override;
  Value reserveShared(Value memory) override {
    shared = memory;
    return code.select(split(), code.mul(tasks(), partialBytes()), code.index(0));
  }
  LogicalResult run(Value task) override;

protected:
  void place(Value task) override;
  void loadQueries() override;
  Row rowAt(Value row) override;
  Box queriesSeeing(Value keyBegin, Value keyEnd) override { return {code.index(0), t, keyBegin, keyEnd}; }
  void block(const Keys &keys, Value careful) override;
  /// Narrow values are widened where they are multiplied, unless pieces differ.
  Type copiedValue() override {
    if (inPieces())
      return KeyedRows::element(op.getValuePieces());
    return hasUnitColumns(op.getV()) ? Type() : code.b.getF32Type();
  }
  Value valueRow(Value key) override { return valuesLie() ? valueRows().row(code.add(blockBegin, key)) : key; }

private:
  /// Each span is a task; those that finish merge them.
  Value spanTasks() { return code.max(spans(), code.index(1)); }
  Value split() { return code.less(code.index(1), spans()); }
  Value partialBytes() {
    ScratchLayout layout(code, nullptr);
    reservePartial(layout, sharedRows());
    return layout.bytes();
  }
  Value sharedRows() { return code.min(group, code.index(shape.rows())); }
  /// What the task of that number leaves.
  Partial partialOf(Value task) {
    ScratchLayout layout(code, shared, code.mul(task, partialBytes()));
    return reservePartial(layout, sharedRows());
  }
  Value groups() {
    Value count = code.index(1);
    for (Value size : sizes())
      count = code.mul(count, size);
    return count;
  }
  /// What a group's number is made of: batch axes that are not shared, blocks of rows.
  Code::Values sizes() {
    Code::Values all;
    for (auto [axis, size] : llvm::enumerate(batchSizes))
      if (!llvm::is_contained(sharedAxes, int64_t(axis)))
        all.push_back(size);
    all.push_back(code.ceilDiv(group, shape.rows()));
    return all;
  }
  /// Whether a table names rows of V, which are read as they lie.
  bool valuesLie() { return op.getValueRows() && !copiedValue(); }
  /// Values, most of which lie as they are, but for blocks across a border.
  bool inPieces() { return !op.getMoreV().empty(); }
  void rowTiles(llvm::function_ref<void(ValueRange tile)> body) { KeyLaneProducts::forTiles(code, rows, body); }
  /// The regions, and each row's maximum; where not `masked`, all of the block's keys are there and seen.
  void scores(const Keys &keys, bool masked);
  /// Of the rows [begin, end), the queries of one batch index where products are indexed.
  void scoresOf(Value begin, Value end, const Keys &keys, bool masked);
  /// Calls `body` for rows [begin, end) of the task that are queries of one batch index.
  void runs(llvm::function_ref<void(Value begin, Value end)> body);
  void exponentials(const Keys &keys, bool careful);
  void sums(const Keys &keys);
  void multiplyByFactors(const Keys &keys, bool careful);
  llvm::SmallVector<int> valueVectors(int height);
  /// Keys [begin, end) of a block whose values are added up.
  struct Stretch {
    Value begin, end;
    std::optional<RowLines> following = std::nullopt; ///< what is read after these: where set, all is fetched in order
  };
  void whereForeseen(llvm::function_ref<void()> inOrder, llvm::function_ref<void()> anyhow);
  std::optional<int64_t> rowWidth();
  void values(const Keys &keys, bool inOrder);
  void valuesOf(const Keys &keys, const Stretch &stretch);
  struct Columns {
    Value first;
    int vectors;
    Value inside;   ///< mask of the last ones; null: all
    bool fetchRows; ///< of V, ahead
  };
  Value nextBlock(const Keys &keys);
  void valueTile(ValueRange tile, const Keys &keys, const Stretch &stretch, const Columns &at);

  SmallVector<int64_t> sharedAxes; ///< batch axes along which keys and values repeat; `batch` is 0 there
  KeyLaneProducts products;
  IndexedProducts indexed;
  Value group; ///< rows that share keys
  Value rowBegin;
  Value scoreTile;  ///< [row][key], where the products are
  Value factorTile; ///< of the weights, likewise
  Value keyCopy;
  Value blockBegin;
  Value shared; ///< partial results, by task
};

Value KeyLanes::reserve(Value scratch) {
  ScratchLayout layout(code, scratch);
  products.reserve(layout);
  scoreTile = products.products;
  if (score.factor)
    factorTile = layout.allocate({shape.rows(), shape.keys}, {});
  reserveRows(layout);
  indexed.reserve(layout, 1, shape.lanes);
  const Code::Values &keys = parts.front().keys;
  if (op.getKeyRows() || keys.size() > 1)
    keyCopy = layout.allocate({shape.keys, ShapedType::kDynamic}, {d},
                              keys.size() > 1 ? KeyedRows::element(keys) : code.b.getF32Type());
  return layout.bytes();
}

LogicalResult KeyLanes::run(Value task) {
  Value count = spanTasks(), all = tasks(), merges = code.logicalNot(code.less(task, all));
  Value number = code.select(merges, code.sub(task, all), code.div(task, count));
  place(number);
  code.branch(
      merges,
      [&] {
        code.loop(code.index(0), count, 1, [&](Value i) {
          copy(partialOf(code.add(code.mul(number, count), i)), current);
          code.branch(code.less(code.index(0), i), [&] { merge(before); });
          copy(current, before);
        });
      },
      [&] {
        prepare();
        attempt([&](Value careful) {
          Value itsSpan = code.rem(task, count);
          start(code.equal(itsSpan, code.index(0)));
          span(itsSpan, careful, /*entered=*/code.boolean(true), [] {});
          return anyNotFinite();
        });
      });
  code.branch(
      code.logicalOr(merges, code.logicalNot(split())), [&] { finish(); }, [&] { copy(current, partialOf(task)); });
  return result;
}

void KeyLanes::place(Value task) {
  Code::Values at = delinearize(code, task, sizes());
  rowBegin = code.mul(at.pop_back_val(), shape.rows());
  rows = code.min(code.sub(group, rowBegin), code.index(shape.rows()));
  panels = code.index(1);
  batch.clear();
  for (size_t axis = 0, next = 0; axis < batchSizes.size(); ++axis)
    batch.push_back(llvm::is_contained(sharedAxes, int64_t(axis)) ? code.index(0) : at[next++]);
  visibility.emplace(code, decided ? mask : nullptr, target, outer, batch);
}

AttentionTask::Row KeyLanes::rowAt(Value row) {
  Row at{batch, code.add(rowBegin, row)};
  if (sharedAxes.empty())
    return at;
  Code::Values extents;
  for (int64_t axis : sharedAxes)
    extents.push_back(batchSizes[axis]);
  extents.push_back(t);
  Code::Values digits = delinearize(code, at.query, extents);
  at.query = digits.pop_back_val();
  for (auto [axis, digit] : llvm::zip(sharedAxes, digits))
    at.batch[axis] = digit;
  return at;
}

void KeyLanes::loadQueries() {
  Value zero = code.index(0);
  code.loop(zero, rows, 1, [&](Value row) {
    Row at = rowAt(row);
    Value scale = scoreScale(at.batch);
    for (const Part &part : parts) {
      Matrix matrix = matrixAt(code, part.q, at.batch);
      if (matrix.unitColumns)
        code.loop(zero, part.depth, shape.lanes, [&](Value c) {
          Value x = code.loadMasked(matrix.memref, {at.query, c}, code.laneMask(code.sub(part.depth, c)));
          code.storeVector(code.mulF(x, code.broadcast(scale)), products.queries, {row, code.add(part.first, c)});
        });
      else
        code.loop(zero, part.depth, 1, [&](Value c) {
          code.store(code.mulF(code.load(matrix.memref, {at.query, c}), scale), products.queries,
                     {row, code.add(part.first, c)});
        });
    }
  });
  code.loop(rows, code.roundUp(rows, KeyLaneProducts::tall), 1, [&](Value row) {
    code.loop(zero, d, shape.lanes, [&](Value c) { code.storeVector(code.splat(0), products.queries, {row, c}); });
  });
}

void KeyLanes::block(const Keys &keys, Value careful) {
  blockBegin = keys.begin;
  valueView = valuesLie() ? matrixAt(code, mapped(op.getV()), batch, /*assumeUnit=*/true).memref
                          : valueRows().view(keys, valueCopy, e);
  KeyLaneProducts::Block block{keys, s, batch, keyTable(), keyCopy};
  auto multiplyInOrder = [&] {
    KeyLaneProducts::Block ordered = block;
    ordered.following.emplace(code, valueView, code.index(0), *rowWidth());
    products.multiply(ordered, rows);
  };
  whereForeseen(multiplyInOrder, [&] { products.multiply(block, rows); });
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
    if (score.factor)
      code.branch(careful, [&] { multiplyByFactors(keys, true); }, [&] { multiplyByFactors(keys, false); });
  }
  code.branch(
      careful,
      [&] {
        code.loop(code.index(0), rows, 1, [&](Value row) {
          addCarefully(row, code.index(0), keys.count, [&](Value key) { return code.load(scoreTile, {row, key}); });
        });
      },
      [&] { whereForeseen([&] { values(keys, true); }, [&] { values(keys, false); }); });
}

/// Where the processor fetches ahead of what is read in the order of addresses (fovea_exec), `inOrder` in place of
/// `anyhow`.
void KeyLanes::whereForeseen(llvm::function_ref<void()> inOrder, llvm::function_ref<void()> anyhow) {
  if (!rowWidth())
    return anyhow();
  code.branch(code.foresees(exec), inOrder, anyhow);
}

/// The width of rows of keys and values that may be fetched in the order of addresses: both lie where they are read,
/// and their rows have as many lines.
std::optional<int64_t> KeyLanes::rowWidth() {
  Value k = op.getK(), v = op.getV();
  bool lie = exec && products.mayBeDirect() && parts.size() == 1 && op.getMoreK().empty() && !inPieces() &&
             !op.getKeyRows() && !op.getValueRows() && !valueCopy;
  int64_t width = cast<MemRefType>(k.getType()).getShape().back();
  bool alike = cast<MemRefType>(v.getType()).getShape().back() == width &&
               cast<MemRefType>(v.getType()).getElementType() == cast<MemRefType>(k.getType()).getElementType();
  return lie && alike && !ShapedType::isDynamic(width) ? std::optional(width) : std::nullopt;
}

//===-- Scores ----------------------------------------------------------------------------------------------------===//

void KeyLanes::scores(const Keys &keys, bool masked) {
  Value zero = code.index(0);
  if (softmax())
    code.storeVector(hiddenScore(), blockMaximum, {zero, zero});
  if (indexed.empty())
    return scoresOf(zero, rows, keys, masked);
  runs([&](Value begin, Value end) {
    Row first = rowAt(begin);
    Value lastQuery = code.sub(t, code.index(1));
    indexed.enter(first.batch);
    indexed.loadQueries(zero, first.query, lastQuery);
    indexed.loadKeys(keys.begin, code.sub(s, code.index(1)));
    Value last = code.add(first.query, code.sub(end, begin));
    indexed.multiply({first.query, last, keys.begin, code.add(keys.begin, keys.count)}, zero);
    scoresOf(begin, end, keys, masked);
  });
}

void KeyLanes::runs(llvm::function_ref<void(Value begin, Value end)> body) {
  Value first = code.div(rowBegin, t), last = code.ceilDiv(code.add(rowBegin, rows), t), zero = code.index(0);
  code.loop(first, last, 1, [&](Value run) {
    Value begin = code.max(code.sub(code.mul(run, t), rowBegin), zero);
    Value end = code.min(code.sub(code.mul(code.add(run, 1), t), rowBegin), rows);
    body(begin, end);
  });
}

void KeyLanes::scoresOf(Value begin, Value end, const Keys &keys, bool masked) {
  Value zero = code.index(0);
  code.loop(begin, end, 1, [&](Value row) {
    Row at = rowAt(row);
    Value most = code.carry(zero, keys.count, shape.lanes, hiddenScore(), [&](Value first, ValueRange sofar) {
      Value active = masked ? code.laneMask(code.sub(keys.count, first)) : Value();
      Points points{at, LaneValue::uniform(at.query), LaneValue::linear(code.add(keys.begin, first)), active, masked};
      points.bindCaptures = [&](Block &region, PointVectorizer &vectorizer) {
        LaneValue query = LaneValue::uniform(code.sub(row, begin));
        if (&region == score.block && failed(indexed.bind(vectorizer, query, LaneValue::linear(first))))
          result = failure();
      };
      auto [x, factors] = pointScores(code.loadVector(scoreTile, {row, first}), points);
      if (score.factor)
        code.storeVector(factors, factorTile, {row, first});
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
      init.push_back(code.load(current.sum, {zero, row}));
    Code::Values totals = code.carry(zero, keys.count, 1, init, [&](Value key, ValueRange sofar) {
      Code::Values next;
      for (auto [row, total] : llvm::zip(tile, sofar))
        next.push_back(code.addF(total, code.load(scoreTile, {row, key})));
      return next;
    });
    for (auto [row, total] : llvm::zip(tile, totals))
      code.store(total, current.sum, {zero, row});
  });
}

/// What has been summed, as it meets the values.
void KeyLanes::multiplyByFactors(const Keys &keys, bool careful) {
  Value zero = code.index(0);
  code.loop(zero, rows, 1, [&](Value row) {
    code.loop(zero, keys.count, shape.lanes, [&](Value first) {
      Value x = changed(code.loadVector(scoreTile, {row, first}), code.loadVector(factorTile, {row, first}), careful);
      code.storeVector(x, scoreTile, {row, first});
    });
  });
}

/// Vectors of columns that tiles of `height` rows take, widest first: as many as leave registers for a weight and the
/// values of a row, and two of what those leave.
SmallVector<int> KeyLanes::valueVectors(int height) {
  int most = std::max<int>((target.registers - 1) / (height + 1), KeyLaneProducts::accumulators(target) / height);
  int vectors = std::min<int>(most, 64 / shape.lanes);
  return vectors > 2 ? SmallVector<int>{vectors, 2} : SmallVector<int>{vectors};
}

/// output += weights V. In order, each half of the block is followed by the one behind it, at last the next block's
/// keys.
void KeyLanes::values(const Keys &keys, bool inOrder) {
  Value zero = code.index(0);
  if (!inOrder)
    return valuesOf(keys, {zero, keys.count});
  auto k = matrixAt(code, parts.front().keys.front(), batch, /*assumeUnit=*/true).memref;
  RowLines nextKeys(code, k, code.add(keys.begin, shape.keys), *rowWidth());
  int64_t half = shape.keys / 2;
  code.loop(zero, keys.count, half, [&](Value begin) {
    Value end = code.add(begin, half);
    RowLines otherHalf(code, valueView, end, *rowWidth());
    valuesOf(keys, {begin, code.min(end, keys.count), nextKeys.orElse(code.less(zero, begin), otherHalf)});
  });
}

void KeyLanes::valuesOf(const Keys &keys, const Stretch &stretch) {
  Value zero = code.index(0);
  rowTiles([&](ValueRange tile) {
    auto multiply = [&](const Columns &at) { valueTile(tile, keys, stretch, at); };
    Value begin = zero;
    for (int vectors : valueVectors(tile.size())) {
      int64_t step = int64_t(vectors) * shape.lanes;
      Value count = code.sub(e, begin), end = code.sub(e, code.rem(count, code.index(step)));
      // The first columns' products fetch whole rows, in the order of addresses.
      Value first = begin == zero && !stretch.following ? code.min(end, code.index(step)) : begin;
      if (first != begin)
        code.loop(begin, first, step, [&](Value column) { multiply({column, vectors, nullptr, true}); });
      code.loop(first, end, step, [&](Value column) { multiply({column, vectors, nullptr, false}); });
      begin = end;
    }
    // Masked loads of 16 bits are no instructions of all targets: only the last vector's are masked.
    bool isWide = cast<MemRefType>(valueView.getType()).getElementType().isF32();
    Value last = isWide ? begin : code.sub(e, code.rem(e, code.index(shape.lanes)));
    code.loop(begin, last, shape.lanes, [&](Value column) { multiply({column, 1, nullptr, false}); });
    code.loop(last, e, shape.lanes,
              [&](Value column) { multiply({column, 1, code.laneMask(code.sub(e, column)), false}); });
  });
}

/// The first part of the next block's keys, to fetch from; null where columns may be apart, and where all keys are one
/// block.
Value KeyLanes::nextBlock(const Keys &keys) {
  IntegerAttr all;
  bool isOnly = matchPattern(s, m_Constant(&all)) && all.getInt() <= shape.keys;
  if (isOnly || op.getKeyRows())
    return nullptr;
  return keyRows(parts.front()).from(code.add(keys.begin, shape.keys), parts.front().depth);
}

void KeyLanes::valueTile(ValueRange tile, const Keys &keys, const Stretch &stretch, const Columns &at) {
  Code::Values columns, init;
  for (int v = 0; v < at.vectors; ++v)
    columns.push_back(code.add(at.first, v * shape.lanes));
  for (Value row : tile)
    for (Value c : columns)
      init.push_back(code.loadVector(current.output, {row, c}));
  // Rows whose distance is no constant have addresses of their own, whole rows ahead twice as many: with more steps
  // they would leave no registers.
  bool isKnown = hasKnownRows(op.getK()) && hasKnownRows(op.getV());
  int sums = tile.size() * at.vectors, unroll = isKnown && sums <= 8 ? 8 : 4;
  if (at.fetchRows && tile.size() > 1 && (!isKnown || sums > 12))
    unroll = 2;
  Value zero = code.index(0), values = partFrom(code, valueView, zero, at.first);
  TileLoop loop{
      int(tile.size()), at.vectors, unroll, [&](int r, Value key) { return code.load(scoreTile, {tile[r], key}); },
      [&](int v, Value key) {
        Value row = valueRow(key), place = code.index(v * shape.lanes);
        return at.inside ? code.loadMasked(values, {row, place}, at.inside) : code.loadVector(values, {row, place});
      }};
  constexpr int64_t rowsAhead = 4;
  bool byTable = op.getValueRows() && !valueCopy;
  // Within the rows also where these are a few that are known: so a view has to be.
  Value lastRow = code.sub(code.dim(valueView, 0), code.index(1));
  Value firstAhead = code.max(code.min(code.index(rowsAhead), lastRow), zero);
  Value later = byTable ? valueView : partFrom(code, valueView, firstAhead, zero);
  auto ahead = [&](Value key) {
    Value last = code.sub(keys.count, code.index(1));
    return byTable ? valueRow(code.min(code.add(key, rowsAhead), last)) : key;
  };
  int64_t width = cast<MemRefType>(op.getV().getType()).getShape().back();
  Value nextKeys = stretch.following ? Value() : nextBlock(keys), rowMatrix;
  if (op.getKeyRows() && op.getMoreK().empty() && hasUnitColumns(mapped(op.getK())))
    rowMatrix = matrixAt(code, mapped(op.getK()), batch).memref;
  loop.every = [&](Value key, int number) {
    if (stretch.following) {
      // Of the lines of half a block, a share for each vector of values that is multiplied. (Its base is a multiple of
      // 32 where a row's lines are a power of two.)
      int64_t lines = shape.keys / 2 * RowLines::linesOf(code, valueView, width),
              perStep = llvm::divideCeil(at.vectors * shape.lanes * lines, shape.keys / 2 * width);
      Value before = code.div(code.mul(at.first, lines), code.index(width)),
            step = code.sub(key, code.add(stretch.begin, number));
      stretch.following->fetch(code.add(before, code.mul(step, perStep)), unroll * perStep, number * perStep, perStep);
    }
    if (at.fetchRows && !ShapedType::isDynamic(width) && (!valueCopy || inPieces()))
      for (int64_t c = 0; c < width; c += code.perLine(valueView))
        code.fetch(later, {ahead(key), code.index(c)}, Code::Level::First);
    if (nextKeys)
      for (int v = 0; v < at.vectors; v += std::max<int>(1, code.perLine(nextKeys) / shape.lanes))
        code.fetch(nextKeys, {key, columns[v]}, Code::Level::Second);
    if (rowMatrix) {
      Value next = code.min(code.add(keys.begin, code.add(key, shape.keys)), code.sub(s, code.index(1)));
      Value row = keyRows(parts.front()).row(next);
      for (int v = 0; v < at.vectors; v += std::max<int>(1, code.perLine(rowMatrix) / shape.lanes))
        code.fetch(rowMatrix, {row, columns[v]}, Code::Level::Second);
    }
  };
  Code::Values x = multiplyAccumulate(code, loop, stretch.begin, stretch.end, init);
  for (auto [r, row] : llvm::enumerate(tile))
    for (int v = 0; v < at.vectors; ++v)
      code.storeVector(x[r * at.vectors + v], current.output, {row, columns[v]});
}

} // namespace

std::unique_ptr<AttentionTask> makeKeyLanes(Code &code, kernel::AttentionOp op, const Target &target,
                                            const IRMapping &outer, Value exec) {
  return std::make_unique<KeyLanes>(code, op, target, outer, exec);
}

} // namespace fovea::kernels
