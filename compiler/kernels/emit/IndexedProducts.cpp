#include "compiler/kernels/emit/IndexedProducts.h"

#include "compiler/analysis/IndexSpread.h"
#include "compiler/kernels/emit/RowsToLanes.h"

using namespace mlir;

namespace fovea::kernels {

static SmallVector<Value> indicesOf(Block &score) {
  return llvm::map_to_vector(score.getOps<kernel::DotOp>(),
                             [](kernel::DotOp dot) -> Value { return dot.getBIndices().back(); });
}

IndexedProducts::IndexedProducts(Code &code, const Target &target, const IRMapping &outer, Block &score,
                                 int64_t queries, int64_t keys, Lanes lanes)
    : code(code), target(target), outer(outer), score(score), queries(queries), keys(keys),
      formula(&score, indicesOf(score)), domain{code} {
  for (auto dot : score.getOps<kernel::DotOp>()) {
    Product product;
    product.op = dot;
    product.byQuery = dot.getAIndices().back() == formula.query();
    product.rowsInLanes = product.byQuery && lanes == Lanes::Rows;
    // The pass that made the op has asked for boxes of other sizes: a bound for these is there as well.
    std::optional<int64_t> spread = indexSpread(dot.getBIndices().back(), score, queries, keys);
    int64_t whole = product.rowsInLanes ? mostVectors * target.vectorLength : mostRows;
    product.rows = llvm::alignTo(spread.value_or(mostIndexSpread) + 1, whole);
    product.depth = code.dim(mapped(dot.getB()), dot.getBIndices().size());
    products.push_back(product);
  }
}

void IndexedProducts::reserve(ScratchLayout &layout, int64_t panels, int64_t queryLanes) {
  for (Product &product : products) {
    if (product.rowsInLanes) {
      product.lanes = layout.allocate({ShapedType::kDynamic, product.rows}, {product.depth});
      product.tile = layout.allocate({int64_t(llvm::alignTo(queries, mostQueries)), product.rows}, {});
      continue;
    }
    int64_t lanes = product.byQuery ? queryLanes : keys;
    Value columns = product.byQuery ? code.mul(product.depth, panels) : product.depth;
    product.lanes = layout.allocate({ShapedType::kDynamic, lanes}, {columns});
    product.tile = layout.allocate({product.rows, lanes}, {});
    bool isCopied = !cast<MemRefType>(product.op.getB().getType()).getElementType().isF32() ||
                    !hasUnitColumns(mapped(product.op.getB()));
    if (isCopied)
      product.copy = layout.allocate({product.rows, ShapedType::kDynamic}, {product.depth});
  }
}

void IndexedProducts::enter(ValueRange batch) {
  rules = std::make_unique<MaskRules<CodeDomain>>(domain, formula);
  SmallVector<Value> values(formula.summarised());
  for (Product &product : products) {
    llvm::append_range(values, product.op.getAIndices().drop_back());
    llvm::append_range(values, product.op.getBIndices().drop_back());
  }
  PointVectorizer point(code.b, code.loc, target, target.vectorLength, nullptr, outer);
  for (auto [i, index] : llvm::enumerate(batch))
    point.bind(score.getArgument(1 + i), LaneValue::uniform(index));
  for (Operation *op : inOrder(values))
    (void)point.emit(*op);
  for (Value leaf : formula.summarised()) {
    Value value = point.lookup(leaf).value;
    if (leaf.getType().isInteger(1)) {
      rules->know(leaf, MaskRules<CodeDomain>::Answer{code.logicalNot(value), value});
      continue;
    }
    if (!value.getType().isIndex())
      value = arith::IndexCastOp::create(code.b, code.loc, code.b.getIndexType(), value);
    rules->know(leaf, MaskRules<CodeDomain>::Range{value, value});
  }
  auto at = [&](ValueRange indices) {
    return llvm::map_to_vector(indices.drop_back(), [&](Value index) { return point.lookup(index).value; });
  };
  for (Product &product : products) {
    product.aBatch = at(product.op.getAIndices());
    product.bBatch = at(product.op.getBIndices());
  }
}

/// Rows of `a`, from `first`, to all lanes that they have, in the columns from `base`.
void IndexedProducts::load(Product &product, Value first, Value last, Value base) {
  RowsToLanes rows(code, mapped(product.op.getA()), product.aBatch, product.depth);
  int64_t lanes = cast<MemRefType>(product.lanes.getType()).getDimSize(1);
  code.loop(code.index(0), code.index(lanes), code.lanes,
            [&](Value lane) { rows.move({first, lane, last, product.lanes, base, lane}); });
}

void IndexedProducts::loadQueries(Value panel, Value first, Value last) {
  for (Product &product : products)
    if (product.byQuery && !product.rowsInLanes)
      load(product, first, last, code.mul(panel, product.depth));
}

void IndexedProducts::loadKeys(Value first, Value last) {
  for (Product &product : products)
    if (!product.byQuery)
      load(product, first, last, code.index(0));
}

void IndexedProducts::multiply(const Box &box, Value panel) {
  for (Product &product : products) {
    Value number = product.op.getBIndices().back();
    MaskRules<CodeDomain>::Range range = *rules->range(number, box);
    product.low = range.low;
    product.next = rules
                       ->range(number, {box.queryBegin, box.queryEnd, box.keyEnd,
                                        code.sub(code.add(box.keyEnd, box.keyEnd), box.keyBegin)})
                       ->low;
    Value count = code.add(code.sub(range.high, range.low), 1);
    if (product.rowsInLanes)
      multiplyRows(product, count, box.queryBegin, box.queryEnd);
    else
      multiply(product, count, product.byQuery ? code.mul(panel, product.depth) : code.index(0));
  }
}

/// The rows of b as f32 with adjacent columns, and the number of the first of them.
std::pair<Value, Value> IndexedProducts::rowsOf(Product &product, Value count) {
  Value b = mapped(product.op.getB());
  if (!product.copy)
    return {matrixAt(code, b, product.bBatch).memref, product.low};
  Matrix matrix = matrixAt(code, b, product.bBatch);
  Value zero = code.index(0), whole = zero;
  if (matrix.unitColumns)
    whole = code.sub(product.depth, code.rem(product.depth, code.index(code.lanes)));
  code.loop(zero, count, 1, [&](Value row) {
    Value from = code.add(product.low, row);
    if (matrix.unitColumns)
      code.loop(zero, whole, code.lanes,
                [&](Value c) { code.storeVector(code.loadVector(matrix.memref, {from, c}), product.copy, {row, c}); });
    code.loop(whole, product.depth, 1,
              [&](Value c) { code.store(code.load(matrix.memref, {from, c}), product.copy, {row, c}); });
  });
  return {product.copy, code.index(0)};
}

void IndexedProducts::multiply(Product &product, Value count, Value base) {
  auto [b, first] = rowsOf(product, count);
  int64_t vectors = cast<MemRefType>(product.tile.getType()).getDimSize(1) / code.lanes,
          together = std::min<int64_t>(vectors, 2);
  Value last = code.sub(count, code.index(1));
  // Enough sums to hide the multiply-add's latency, and no more than there are registers for.
  int rows = target.registers >= 32 || together == 1 ? mostRows : mostRows / 2;
  code.loop(code.index(0), count, rows, [&, b = b, first = first](Value row) {
    Code::Values numbers, next; // beyond the last row the last one is computed again
    for (int r = 0; r < rows; ++r) {
      numbers.push_back(code.add(first, code.min(code.add(row, r), last)));
      next.push_back(code.add(product.next, code.add(row, r)));
    }
    for (int64_t v = 0; v < vectors; v += together) {
      int count = std::min(together, vectors - v);
      auto lane = [&](int i) { return code.index((v + i) * code.lanes); };
      TileLoop tile{rows, count, 8, [&](int r, Value k) { return code.load(b, {numbers[r], k}); },
                    [&](int i, Value k) { return code.loadVector(product.lanes, {code.add(base, k), lane(i)}); }};
      if (v == 0 && !product.copy)
        tile.every = [&](Value k, int step) {
          if (step == 0)
            for (Value row : next)
              code.fetch(b, {row, k}, Code::Level::Second);
        };
      Code::Values sums =
          multiplyAccumulate(code, tile, code.index(0), product.depth, Code::Values(rows * count, code.splat(0)));
      for (int r = 0; r < rows; ++r)
        for (int i = 0; i < count; ++i)
          code.storeVector(sums[r * count + i], product.tile, {code.add(row, r), lane(i)});
    }
  });
}

void IndexedProducts::multiplyRows(Product &product, Value count, Value begin, Value end) {
  Value zero = code.index(0), last = code.sub(end, code.index(1));
  Value lastRow = code.sub(code.add(product.low, count), code.index(1));
  RowsToLanes rows(code, mapped(product.op.getB()), product.bBatch, product.depth);
  code.loop(zero, count, code.lanes, [&](Value lane) {
    rows.before = [&](Value b, Value column) {
      for (int i = 0; i < code.lanes; ++i)
        code.fetch(b, {code.add(product.next, code.add(lane, i)), column}, Code::Level::Second);
    };
    rows.move({product.low, lane, lastRow, product.lanes, zero, lane});
  });
  Matrix a = matrixAt(code, mapped(product.op.getA()), product.aBatch);
  auto tile = [&](Value first, int height, int vectors) {
    Code::Values numbers; // beyond the last query the last one is multiplied again
    for (int r = 0; r < height; ++r)
      numbers.push_back(code.min(code.add(code.add(begin, first), r), last));
    code.loop(zero, count, int64_t(vectors) * code.lanes, [&](Value row) {
      auto lane = [&](int v) { return code.add(row, v * code.lanes); };
      TileLoop loop{height, vectors, 8, [&](int r, Value k) { return code.load(a.memref, {numbers[r], k}); },
                    [&](int v, Value k) { return code.loadVector(product.lanes, {k, lane(v)}); }};
      Code::Values sums =
          multiplyAccumulate(code, loop, zero, product.depth, Code::Values(height * vectors, code.splat(0)));
      for (int r = 0; r < height; ++r)
        for (int v = 0; v < vectors; ++v)
          code.storeVector(sums[r * vectors + v], product.tile, {code.add(first, r), lane(v)});
    });
  };
  Value queries = code.sub(end, begin);
  code.branch(
      code.equal(queries, code.index(1)), [&] { tile(zero, 1, mostVectors); },
      [&] { code.loop(zero, queries, mostQueries, [&](Value first) { tile(first, mostQueries, mostVectors / 2); }); });
}

LogicalResult IndexedProducts::bind(PointVectorizer &points, LaneValue query, LaneValue key) {
  for (Product &product : products) {
    Value index = product.op.getBIndices().back();
    for (Operation *op : inOrder(index))
      if (!points.isBound(op->getResult(0)) && failed(points.emit(*op)))
        return failure();
    LaneValue row = points.lookup(index);
    if (row.kind == LaneValue::Kind::varying)
      row.value = code.sub(row.value, vector::BroadcastOp::create(code.b, code.loc, row.value.getType(), product.low));
    else
      row.value = code.sub(row.value, product.low), row.alignment = 1;
    std::array<LaneValue, 2> at{row, product.byQuery ? query : key};
    if (product.rowsInLanes)
      std::swap(at[0], at[1]);
    points.bind(product.op.getResult(), points.load(product.tile, at));
  }
  return success();
}

/// The region's ops that these values need.
SmallVector<Operation *> IndexedProducts::inOrder(ArrayRef<Value> values) {
  llvm::SetVector<Operation *> slice = formula.sliceOf(values);
  SmallVector<Operation *> ops;
  for (Operation &op : score)
    if (slice.contains(&op))
      ops.push_back(&op);
  return ops;
}

} // namespace fovea::kernels
