// A block of queries by a block of keys: weights, their changes, and the products with them.
#include "compiler/kernels/emit/AttentionBackward.h"

using namespace mlir;

namespace fovea::kernels {
/// Steps in the body of a loop over queries, keys or features.
static constexpr int unroll = 4;
static constexpr float logE = 1.4426950408889634f; // to base 2

void BackwardTask::block(const Span &queries, const Span &keys, Value careful) {
  Value zero = code.index(0), panels = code.ceilDiv(keys.count, shape.panel());
  Value strips = code.ceilDiv(queries.count, shape.tileRows);
  Value all = code.boolean(true);
  if (mask) {
    all = visibility
              ->query(Box{queries.begin, code.add(queries.begin, queries.count), keys.begin,
                          code.add(keys.begin, keys.count)})
              .all;
    // Whole, until tiles say what is seen.
    code.loop(zero, code.index(shape.keys / shape.panel() + 1), 1, [&](Value panel) {
      code.store(code.select(all, zero, code.index(shape.queries)), firstQuery, panel);
      code.store(code.select(all, queries.count, zero), lastQuery, panel);
    });
    code.loop(zero, strips, 1, [&](Value strip) {
      code.store(code.select(all, zero, code.index(shape.keys)), firstKey, strip);
      code.store(code.select(all, keys.count, zero), lastKey, strip);
    });
  }
  code.loop(zero, panels, 1, [&](Value panel) {
    code.loop(zero, queries.count, shape.tileRows, [&](Value row) {
      if (!mask)
        return scoreTile(queries, keys, row, panel, all);
      Value first = code.mul(panel, shape.panel());
      Value rowEnd = code.min(code.add(row, shape.tileRows), queries.count);
      Value keyEnd = code.min(code.add(first, shape.panel()), keys.count);
      Visibility::Answer answer = visibility->query(Box{code.add(queries.begin, row), code.add(queries.begin, rowEnd),
                                                        code.add(keys.begin, first), code.add(keys.begin, keyEnd)});
      Value none = code.logicalAnd(answer.none, code.logicalNot(all));
      code.branch(
          none, [&] { hideTile(row, panel); },
          [&] {
            noteSeen(row, panel);
            scoreTile(queries, keys, row, panel, code.logicalOr(all, answer.all));
          });
    });
  });
  KeyProduct toValues{weights, gradientRows, valueSums, paddedE}, toKeys{changes, queryRows, keySums, paddedD};
  code.branch(
      careful,
      [&] {
        if (isPlain())
          markHidden(queries, keys);
        addToKeysCarefully(toValues, queries, keys);
        addToKeysCarefully(toKeys, queries, keys);
        addToQueriesCarefully(queries, keys);
      },
      [&] {
        addToKeys(toValues, queries, keys);
        addToKeys(toKeys, queries, keys);
        addToQueries(queries, keys);
      });
}

/// Widens the ranges that products run over by a tile.
void BackwardTask::noteSeen(Value row, Value panel) {
  Value strip = code.div(row, code.index(shape.tileRows)), first = code.mul(panel, shape.panel());
  auto least = [&](Value range, Value at, Value x) { code.store(code.min(code.load(range, at), x), range, at); };
  auto most = [&](Value range, Value at, Value x) { code.store(code.max(code.load(range, at), x), range, at); };
  least(firstQuery, panel, row);
  most(lastQuery, panel, code.add(row, shape.tileRows));
  least(firstKey, strip, first);
  most(lastKey, strip, code.add(first, shape.panel()));
}

void BackwardTask::hideTile(Value row, Value panel) {
  Value hidden = code.splat(-0.0f);
  for (int r = 0; r < shape.tileRows; ++r)
    for (int v = 0; v < shape.vectors; ++v)
      for (Value tile : {weights, changes})
        code.storeVector(hidden, tile, {code.add(row, r), code.add(code.mul(panel, shape.panel()), v * shape.lanes)});
}

/// rows[firstRow...] by a panel of keys, from `starts`.
Code::Values BackwardTask::tileProducts(Value rows, Value firstRow, Value panels, Value panel, Value depth,
                                        Value starts) {
  Code::Values init, numbers, lanes;
  for (int v = 0; v < shape.vectors; ++v)
    lanes.push_back(code.index(v * shape.lanes));
  for (int r = 0; r < shape.tileRows; ++r) {
    numbers.push_back(code.add(firstRow, r));
    Value start = starts ? code.broadcast(code.load(starts, numbers[r])) : code.splat(0);
    init.append(shape.vectors, start);
  }
  TileLoop tile{shape.tileRows, shape.vectors, unroll, [&](int r, Value k) { return code.load(rows, {numbers[r], k}); },
                [&](int v, Value k) { return code.loadVector(panels, {panel, k, lanes[v]}); }};
  return multiplyAccumulate(code, tile, code.index(0), depth, init);
}

/// P and G of some queries and a panel of keys; where not `all`, some of these may be hidden.
void BackwardTask::scoreTile(const Span &queries, const Span &keys, Value row, Value panel, Value all) {
  Value firstRow = code.add(queries.begin, row), first = code.mul(panel, shape.panel());
  if (!isPlain())
    fetchNext(queries, keys, row, panel);
  auto store = [&](Value tile, int r, int v, Value x) {
    code.storeVector(x, tile, {code.add(row, r), code.add(first, v * shape.lanes)});
  };
  auto eachVector = [&](llvm::function_ref<void(int, int, int)> body) {
    for (int r = 0, i = 0; r < shape.tileRows; ++r)
      for (int v = 0; v < shape.vectors; ++v, ++i)
        body(r, v, i);
  };
  Code::Values x = tileProducts(queryRows, firstRow, keyPanels, panel, d, isPlain() ? scoreStarts : Value());
  eachVector([&](int r, int v, int i) {
    store(isPlain() ? weights : products, r, v, isPlain() ? power(code, x[i], /*natural=*/false) : x[i]);
  });
  if (!isPlain())
    forPoints(queries, keys, row, panel, all, [&](const Points &at) { scorePoints(at); });
  else if (mask)
    code.branch(code.logicalNot(all), [&] {
      forPoints(queries, keys, row, panel, code.boolean(false), [&](const Points &at) { hidePoints(at); });
    });
  x = tileProducts(gradientRows, firstRow, valuePanels, panel, e, softmax() && !score.factor ? changeStarts : Value());
  eachVector([&](int r, int v, int i) {
    Code::Values at{code.add(row, r), code.add(first, v * shape.lanes)};
    if (score.factor)
      x[i] = changeOf(x[i], code.add(firstRow, r), at);
    else if (softmax())
      x[i] = code.mulF(x[i], code.loadVector(weights, at));
    store(changes, r, v, x[i]);
  });
  if (!isPlain())
    forPoints(queries, keys, row, panel, all, [&](const Points &at) { adjointPoints(at); });
}

//===-- Products --------------------------------------------------------------------------------------------------===//

/// sums[key] += weights[query][key] rows[query].
void BackwardTask::addToKeys(const KeyProduct &product, const Span &queries, const Span &keys) {
  Value zero = code.index(0), panel = code.index(shape.panel());
  code.loop(zero, product.columns, shape.panel(), [&](Value column) {
    code.loop(zero, keys.count, shape.tileRows, [&](Value key) {
      Value first = zero, last = queries.count;
      if (mask) { // a tile's keys lie in two panels at most
        Value low = code.div(key, panel), high = code.div(code.add(key, shape.tileRows - 1), panel);
        first = code.min(code.load(firstQuery, low), code.load(firstQuery, high));
        last = code.max(code.load(lastQuery, low), code.load(lastQuery, high));
        last = code.min(last, queries.count);
        first = code.min(first, last);
      }
      Code::Values init, numbers, columns;
      for (int v = 0; v < shape.vectors; ++v)
        columns.push_back(code.add(column, v * shape.lanes));
      for (int r = 0; r < shape.tileRows; ++r) {
        numbers.push_back(code.add(key, r));
        for (int v = 0; v < shape.vectors; ++v)
          init.push_back(code.loadVector(product.sums, {numbers[r], columns[v]}));
      }
      TileLoop tile{
          shape.tileRows, shape.vectors, unroll,
          [&](int r, Value k) { return code.load(product.weights, {k, numbers[r]}); },
          [&](int v, Value k) { return code.loadVector(product.rows, {code.add(queries.begin, k), columns[v]}); }};
      Code::Values x = multiplyAccumulate(code, tile, first, last, init);
      for (int r = 0, i = 0; r < shape.tileRows; ++r)
        for (int v = 0; v < shape.vectors; ++v, ++i)
          code.storeVector(x[i], product.sums, {numbers[r], columns[v]});
    });
  });
}

/// querySums[query] += changes[query][key] keys[key].
void BackwardTask::addToQueries(const Span &queries, const Span &keys) {
  Value zero = code.index(0);
  code.loop(zero, paddedD, shape.panel(), [&](Value column) {
    Value panel = code.div(column, code.index(shape.panel()));
    code.loop(zero, queries.count, shape.tileRows, [&](Value row) {
      Value first = zero, last = keys.count;
      if (mask) {
        Value strip = code.div(row, code.index(shape.tileRows));
        last = code.min(code.load(lastKey, strip), keys.count);
        first = code.min(code.load(firstKey, strip), last);
      }
      Code::Values init, numbers, sumRows, columns, lanes;
      for (int v = 0; v < shape.vectors; ++v) {
        lanes.push_back(code.index(v * shape.lanes));
        columns.push_back(code.add(column, lanes[v]));
      }
      for (int r = 0; r < shape.tileRows; ++r) {
        numbers.push_back(code.add(row, r));
        sumRows.push_back(code.add(queries.begin, numbers[r]));
        for (int v = 0; v < shape.vectors; ++v)
          init.push_back(code.loadVector(querySums, {sumRows[r], columns[v]}));
      }
      TileLoop tile{shape.tileRows, shape.vectors, unroll,
                    [&](int r, Value k) { return code.load(changes, {numbers[r], k}); },
                    [&](int v, Value k) { return code.loadVector(keyRows, {panel, k, lanes[v]}); }};
      Code::Values x = multiplyAccumulate(code, tile, first, last, init);
      for (int r = 0, i = 0; r < shape.tileRows; ++r)
        for (int v = 0; v < shape.vectors; ++v, ++i)
          code.storeVector(x[i], querySums, {sumRows[r], columns[v]});
    });
  });
}

/// The sums where the weight is -0, else what `then` gives.
Value BackwardTask::unlessHidden(Value weight, ValueRange sums, llvm::function_ref<Value()> then) {
  Value hiddenBits = arith::ConstantOp::create(code.b, code.loc, code.b.getI32IntegerAttr(INT32_MIN));
  Value hidden = code.equal(code.bitcast(weight, code.b.getI32Type()), hiddenBits);
  return code.choose(
      hidden, code.vector(), [&] { return Code::Values(sums); }, [&] { return Code::Values{then()}; })[0];
}

void BackwardTask::addToKeysCarefully(const KeyProduct &product, const Span &queries, const Span &keys) {
  Value zero = code.index(0);
  code.loop(zero, keys.count, 1, [&](Value key) {
    code.loop(zero, product.columns, shape.lanes, [&](Value column) {
      Value init = code.loadVector(product.sums, {key, column});
      Value sum = code.carry(zero, queries.count, 1, init, [&](Value k, ValueRange sofar) {
        Value w = code.load(product.weights, {k, key});
        return Code::Values{unlessHidden(w, sofar, [&] {
          return code.fma(code.broadcast(w), code.loadVector(product.rows, {code.add(queries.begin, k), column}),
                          sofar[0]);
        })};
      })[0];
      code.storeVector(sum, product.sums, {key, column});
    });
  });
}

void BackwardTask::addToQueriesCarefully(const Span &queries, const Span &keys) {
  Value zero = code.index(0), panel = code.index(shape.panel());
  code.loop(zero, queries.count, 1, [&](Value row) {
    Value sumRow = code.add(queries.begin, row);
    code.loop(zero, paddedD, shape.lanes, [&](Value column) {
      Value init = code.loadVector(querySums, {sumRow, column});
      Value sum = code.carry(zero, keys.count, 1, init, [&](Value k, ValueRange sofar) {
        Value w = code.load(changes, {row, k});
        return Code::Values{unlessHidden(w, sofar, [&] {
          Value x = code.loadVector(keyRows, {code.div(column, panel), k, code.rem(column, panel)});
          return code.fma(code.broadcast(w), x, sofar[0]);
        })};
      })[0];
      code.storeVector(sum, querySums, {sumRow, column});
    });
  });
}

/// Of plain scores' tiles: changes are -0 where the weights are, and nowhere else.
void BackwardTask::markHidden(const Span &queries, const Span &keys) {
  Value zero = code.index(0), bits = code.splatInt(INT32_MIN), hidden = code.splat(-0.0f), none = code.splat(0);
  Type integers = code.vectorOf(code.b.getI32Type());
  code.loop(zero, queries.count, 1, [&](Value row) {
    code.loop(zero, code.roundUp(keys.count, shape.panel()), shape.lanes, [&](Value column) {
      Value isHidden = code.equal(code.bitcast(code.loadVector(weights, {row, column}), integers), bits);
      Value change = code.addF(code.loadVector(changes, {row, column}), none);
      code.storeVector(code.select(isHidden, hidden, change), changes, {row, column});
    });
  });
}

//===-- Points ----------------------------------------------------------------------------------------------------===//

/// What the tile after this one reads and sums by rows: rows lie in pages of their own, and often in the same sets of
/// the caches, where nothing stays for long.
void BackwardTask::fetchNext(const Span &queries, const Span &keys, Value row, Value panel) {
  auto bind = [&](PointVectorizer &points) {
    for (auto [axis, index] : llvm::enumerate(batch))
      points.bind(score.block->getArgument(1 + axis), LaneValue::uniform(index));
  };
  auto ofRows = [&](const Sum &sum) { return sum.isOwn && sum.keyAxis + 1 == int64_t(sum.indices.size()); };
  if (rowReads.empty() && llvm::none_of(sums, ofRows))
    return;
  // Down the panel, then on the next panel of keys, in the next block of queries, and of keys.
  auto reaches = [&](Value x, Value end) { return code.compare(arith::CmpIPredicate::sge, x, end); };
  Value zero = code.index(0), below = code.add(row, shape.tileRows),
        right = code.mul(code.add(panel, 1), shape.panel());
  Value isBelow = code.less(below, queries.count), isRight = code.less(right, keys.count);
  Value after = code.add(queries.begin, shape.queries), isLast = reaches(after, t);
  Value inBlock = code.logicalOr(isBelow, isRight);
  Value first = code.select(inBlock, code.add(queries.begin, code.select(isBelow, below, zero)),
                            code.select(isLast, zero, after));
  Value column = code.select(isBelow, code.mul(panel, shape.panel()),
                             code.select(isRight, right, code.select(isLast, code.index(shape.keys), zero)));
  Value key = code.add(keys.begin, column);
  code.loop(first, code.add(first, shape.tileRows), 1, [&](Value query) {
    if (failed(rowReads.fetch({code, target, outer, bind}, query, key, shape.panel())))
      result = failure();
    for (const Sum &sum : sums)
      if (ofRows(sum))
        fetchSum(sum, query, key);
  });
}

/// A panel's keys from `key` of a query's row.
void BackwardTask::fetchSum(const Sum &sum, Value query, Value key) {
  Code::Values at;
  for (Value index : ArrayRef(sum.indices).drop_back()) {
    auto argument = dyn_cast<BlockArgument>(index); // what is none is the only element of an axis
    int64_t axis = argument ? int64_t(argument.getArgNumber()) - 1 : -1, batches = batch.size();
    at.push_back(!argument ? code.index(0) : axis < batches ? batch[axis] : query);
  }
  Value memref = mapped(sum.memref), first = placeOf(sum, key);
  at.push_back(first);
  auto lines = [&] {
    for (int64_t i = 0; i < shape.panel(); i += code.perLine(memref)) {
      at.back() = code.add(first, i);
      code.fetch(memref, at, Code::Level::Second);
    }
  };
  if (!sum.guard)
    return lines();
  Value isBehind = code.less(code.index(-shape.panel()), first);
  code.branch(code.logicalAnd(isBehind, code.less(first, code.dim(memref, sum.keyAxis))), lines);
}

/// Every vector of keys of a tile's rows, a row at a time. Where not `all`, the mask says which lanes are seen.
void BackwardTask::forPoints(const Span &queries, const Span &keys, Value row, Value panel, Value all,
                             llvm::function_ref<void(const Points &)> body) {
  Value first = code.mul(panel, shape.panel());
  Value rowEnd = code.min(code.add(row, shape.tileRows), queries.count);
  auto rows = [&](bool isWhole) {
    code.loop(row, rowEnd, 1, [&](Value r) {
      for (int v = 0; v < shape.vectors; ++v) {
        Value column = code.add(first, v * shape.lanes);
        Points at{r, column, code.add(queries.begin, r), code.add(keys.begin, column), nullptr, nullptr};
        if (isWhole) {
          body(at);
          continue;
        }
        Value left = code.sub(keys.count, column);
        code.branch(code.less(code.index(0), left), [&] { // a vector beyond the last key has no lane to be read
          at.inside = at.visible = code.laneMask(left);
          if (mask) {
            Value seen = evaluate(*mask, at, at.inside, 0, [](PointVectorizer &) {});
            at.visible = code.logicalAnd(at.inside, seen);
          }
          body(at);
        });
      }
    });
  };
  Value inside = code.compare(arith::CmpIPredicate::sle, code.add(first, shape.panel()), keys.count);
  code.branch(code.logicalAnd(all, inside), [&] { rows(true); }, [&] { rows(false); });
}

/// The region's first result at these points; `bind` makes known what stands before and behind its indices.
Value BackwardTask::evaluate(Block &region, const Points &at, Value lanes, unsigned firstIndex,
                             llvm::function_ref<void(PointVectorizer &)> bind,
                             llvm::function_ref<void(PointVectorizer &)> finish) {
  PointVectorizer points(code.b, code.loc, target, shape.lanes, lanes, outer);
  if (!target.maskRegisters)
    points.branchOnLoadMasks();
  for (auto [axis, index] : llvm::enumerate(batch))
    points.bind(region.getArgument(firstIndex + axis), LaneValue::uniform(index));
  points.bind(region.getArgument(firstIndex + batch.size()), LaneValue::uniform(at.query));
  points.bind(region.getArgument(firstIndex + batch.size() + 1), LaneValue::linear(at.key));
  bind(points);
  if (failed(points.emitBlock(region)))
    result = failure();
  if (finish)
    finish(points);
  return points.vector(region.getTerminator()->getOperand(0));
}

void BackwardTask::hidePoints(const Points &at) {
  if (!at.visible)
    return;
  Value weight = code.loadVector(weights, {at.row, at.column});
  code.storeVector(code.select(at.visible, weight, code.splat(-0.0f)), weights, {at.row, at.column});
}

void BackwardTask::scorePoints(const Points &at) {
  Value product = code.loadVector(products, {at.row, at.column});
  Value by;
  Value x = evaluate(
      *score.block, at, at.inside, 1,
      [&](PointVectorizer &points) { points.bind(score.block->getArgument(0), LaneValue::varying(product)); },
      [&](PointVectorizer &points) { by = score.factor ? points.vector(score.factor) : Value(); });
  if (softmax())
    x = power(code, code.fma(x, code.splat(logE), code.broadcast(code.load(scoreStarts, at.query))), /*natural=*/false);
  else
    x = code.addF(x, code.splat(0)); // -0 marks hidden keys
  Value isSeen = at.visible;
  if (by) {
    code.storeVector(x, wholeWeights, {at.row, at.column});
    code.storeVector(by, factors, {at.row, at.column});
    x = code.addF(code.mulF(x, by), code.splat(0));
    Value counts = code.compareF(arith::CmpFPredicate::UNE, by, code.splat(0));
    isSeen = isSeen ? code.logicalAnd(isSeen, counts) : counts;
  }
  code.storeVector(isSeen ? code.select(isSeen, x, code.splat(-0.0f)) : x, weights, {at.row, at.column});
}

/// G of weights with factors, from dO V^T.
Value BackwardTask::changeOf(Value reaching, Value query, ValueRange at) {
  Value by = code.loadVector(factors, at), start = code.broadcast(code.load(changeStarts, query));
  Value counts = code.compareF(arith::CmpFPredicate::UNE, by, code.splat(0)), whole = code.loadVector(wholeWeights, at);
  if (reachingFactors)
    code.storeVector(code.mulF(reaching, whole), reachingFactors, at);
  return code.mulF(code.select(counts, code.fma(by, reaching, start), start), whole);
}

void BackwardTask::adjointPoints(const Points &at) {
  Value product = code.loadVector(products, {at.row, at.column}),
        change = code.loadVector(changes, {at.row, at.column});
  auto bind = [&](PointVectorizer &points) {
    points.bind(adjoint.getArgument(0), LaneValue::varying(product));
    points.bind(adjoint.getArgument(batch.size() + 3), LaneValue::varying(change));
    if (reachingFactors)
      points.bind(adjoint.getArguments().back(),
                  LaneValue::varying(code.loadVector(reachingFactors, {at.row, at.column})));
  };
  auto addToSums = [&](PointVectorizer &points) {
    PointVectorizer seen = points.nested(at.visible);
    for (auto [i, sum] : llvm::enumerate(sums)) {
      if (isStored(sum)) {
        seen.store(sum.number, sum.memref, sum.indices, sum.guard);
        continue;
      }
      if (!sum.isSingle) {
        seen.add(sum.number, sum.memref, sum.indices, sum.guard);
        continue;
      }
      Value x = points.vector(sum.number);
      Code::Values place{code.index(i), code.index(0)};
      x = at.visible ? code.select(at.visible, x, code.splat(0)) : x;
      code.storeVector(code.addF(code.loadVector(singles, place), x), singles, place);
    }
  };
  Value x = evaluate(adjoint, at, at.inside, 1, bind, addToSums);
  x = code.addF(x, code.splat(0)); // -0 marks hidden keys
  code.storeVector(at.visible ? code.select(at.visible, x, code.splat(-0.0f)) : x, changes, {at.row, at.column});
}

} // namespace fovea::kernels
