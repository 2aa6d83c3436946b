// kernel.matmul over register tiles.
//
// A task is (batch, block of rows, block of panels). Within it each panel of B stays near while the rows of A's block
// pass by in tiles of at most target.tileRows x target.tileVectors accumulators, whose heights differ by one at most:
// no row is left over that would have to stream the panels again. Every output is one multiply-add chain over k, so its
// bits depend on its row of A and its column of B alone. A block that is one tile takes as many panels at once as keep
// enough chains in flight.
//
// A B that is not packed is packed once where several blocks of rows read it: by the tasks of the first block, which
// run before the others, into memory that all tasks share. Otherwise each task packs its panels into its scratch, or
// reads them in place. A is read in place, but for adjacent rows that the caches cannot hold as they lie (MatmulGrid):
// of these each task packs its own, in tiles.
//
// Tile functions (MatmulTile) leave their sums in a tile of scratch that stays in the first-level cache, and the
// epilogue reads them there: it is emitted once (plain and masked) for all tile shapes.
#include "compiler/kernels/emit/MatmulGrid.h"
#include "compiler/kernels/emit/PanelPacking.h"
#include "compiler/kernels/emit/ScheduleEmitter.h"
#include "compiler/kernels/emit/Vectorize.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/SymbolTable.h"

using namespace mlir;

namespace fovea::kernels {
namespace {

/// Below this many rows an unpacked B is read in place, and so is an A whose rows are adjacent.
constexpr int64_t packRows = 16;
/// How many bytes ahead a tile that is alone fetches its own panels.
constexpr int64_t ownAhead = 6144;

//===-- One task --------------------------------------------------------------------------------------------------===//

class Task {
public:
  /// Writes the epilogue of `lanes` points (batch..., m, n..n+lanes); `mask` is null where all are inside.
  using Epilogue = std::function<void(Value accumulator, ValueRange batch, Value m, Value n, Value mask)>;

  /// Fetches the lines of what the epilogue reads or writes that begin at a point.
  using Fetch = std::function<void(ValueRange batch, Value m, Value n)>;

  Task(Code &code, const MatmulOperands &operands, const TileShape &tile, const MatmulGrid &grid,
       Operation *module = nullptr, Epilogue epilogue = nullptr, Fetch fetch = nullptr)
      : code(code), operands(operands), tile(tile), grid(grid), module(module), epilogue(std::move(epilogue)),
        fetch(std::move(fetch)) {}

  /// Memory of a task: the sums of a tile, or where k is sliced of all of its tiles, and, where B is not packed, panels
  /// of it.
  Value reserve(Value scratch) {
    ScratchLayout layout(code, scratch);
    bool areIntegers = operands.kBlock > 1 && element(operands.rhs).isInteger(8);
    auto type = sumsType(areIntegers ? Type(code.b.getI32Type()) : code.b.getF32Type(), tile);
    Value tiles = code.mul(code.ceilDiv(grid.rowsPerBlock, tile.rows), grid.otherPanels.size);
    Value rows = code.select(isSliced(), code.mul(tiles, tile.rows), code.index(tile.rows));
    allSums = layout.allocate(type.getShape(), {rows}, type.getElementType());
    if (!operands.packed) {
      Value panels = code.select(grid.packsFirst, code.index(0), code.index(mostPanels(tile)));
      packed = layout.allocate({ShapedType::kDynamic, tile.panel()}, {code.mul(grid.k, panels)}, element(operands.rhs));
    }
    if (mayPackLhs()) {
      Value tiles = code.div(grid.rowsPerBlock, code.index(tile.rows));
      Value rows = code.select(grid.packsLhs, code.mul(tiles, lhsTileSteps()), code.index(0));
      packedLhs = layout.allocate({ShapedType::kDynamic, lhsWidth(tile)}, {rows}, element(operands.lhs));
    }
    return layout.bytes();
  }

  /// Memory of all tasks: B's panels, where they are packed first.
  Value share(Value shared) {
    if (operands.packed)
      return code.index(0);
    ScratchLayout layout(code, shared);
    Value rows = code.mul(code.mul(grid.matrices, grid.panels), grid.k);
    allPanels = layout.allocate({ShapedType::kDynamic, tile.panel()},
                                {code.select(grid.packsFirst, rows, code.index(0))}, element(operands.rhs));
    return layout.bytes();
  }

  /// How far ahead tiles fetch panels that they read once; before `run`. Not, where the processor foresees that.
  void readExec(Value exec) {
    int64_t stepBytes = rowLength() * element(operands.rhs).getIntOrFloatBitWidth() / 8;
    stepsAhead = code.select(code.foresees(exec), code.index(0), code.index(ownAhead / stepBytes));
  }

  /// `packs`: whether it is one of the first block of rows, which run before the others.
  void run(Value task, Value packs) {
    Value one = code.index(1), zero = code.index(0);
    Value others = code.logicalAnd(grid.packsFirst, code.logicalNot(packs));
    Code::Values sizes(grid.batch);
    sizes.push_back(code.select(packs, one, code.sub(grid.rowBlocks, code.select(others, one, zero))));
    sizes.push_back(code.select(packs, grid.firstPanels.count, grid.otherPanels.count));
    Code::Values at = delinearize(code, task, sizes);
    batch.assign(at.begin(), at.end() - 2);
    packsNow = packs;
    firstPanel = code.index(0);
    for (auto [size, index] : llvm::zip(grid.batch, batch))
      firstPanel = code.add(code.mul(firstPanel, size), index);
    firstPanel = code.select(grid.packsFirst, code.mul(firstPanel, grid.panels), code.index(0));
    Value rowBlock = code.add(at[at.size() - 2], code.select(others, one, zero));
    Value rowBegin = code.mul(rowBlock, grid.rowsPerBlock);
    Value rowEnd = code.min(code.add(rowBegin, grid.rowsPerBlock), grid.m);
    Value panels = code.select(packs, grid.firstPanels.size, grid.otherPanels.size);
    panelBegin = code.mul(at.back(), panels);
    panelEnd = code.min(code.add(panelBegin, panels), grid.panels);
    a = matrixAt(code, operands.lhs, batch);
    Value rows = code.sub(rowEnd, rowBegin);
    if (mayPackLhs()) {
      readsPackedLhs =
          code.logicalAnd(grid.packsLhs, code.compare(arith::CmpIPredicate::sge, rows, code.index(packRows)));
      code.branch(readsPackedLhs, [&] {
        packRowTiles(code, a, {grid.m, grid.k}, RowTiles(code, rowBegin, rows, tile.rows), packedLhs, lhsTileSteps());
      });
    }
    direct = code.logicalAnd(code.less(rows, code.index(packRows)), code.logicalNot(grid.packsFirst));
    Value step = panelsFor(rows);
    code.loop(zero, code.max(grid.k, one), code.max(grid.slice, one), [&](Value k) {
      sliceBegin = k;
      sliceSize = code.min(grid.slice, code.sub(grid.k, k));
      isLastSlice = code.compare(arith::CmpIPredicate::sge, code.add(k, sliceSize), grid.k);
      code.loop(panelBegin, panelEnd, step, [&](Value p) { panelGroup(p, step, rowBegin, rows); });
    });
  }

private:
  static Type element(Value memref) { return cast<MemRefType>(memref.getType()).getElementType(); }
  /// Elements of B that one step of k reads of a panel.
  int64_t rowLength() const { return tile.panel() * operands.kBlock; }

  /// Panels at once for a block of so many rows.
  Value panelsFor(Value rows) {
    Value panels = code.index(1);
    for (int r = 1; r <= tile.rows; ++r)
      if (panelsOf(tile, r) > 1)
        panels = code.select(code.equal(rows, code.index(r)), code.index(panelsOf(tile, r)), panels);
    return panels;
  }

  /// `count` rows from `begin` against panels [p, p + step), cut at the task's end.
  void panelGroup(Value p, Value step, Value begin, Value count) {
    Value last = code.min(code.add(p, step), panelEnd);
    Value columnBegin = code.mul(p, tile.panel());
    Value columns = code.sub(code.min(code.mul(last, tile.panel()), grid.n), columnBegin);
    Value inPlace;
    if (!operands.packed) {
      Value whole = code.compare(arith::CmpIPredicate::sle, code.mul(last, tile.panel()), grid.n);
      Value unit = code.equal(lastStride(code, operands.rhs), code.index(1));
      inPlace = code.logicalAnd(code.logicalAnd(direct, whole), unit);
      Value isThere = code.logicalOr(inPlace, code.logicalAnd(grid.packsFirst, code.logicalNot(packsNow)));
      code.branch(code.logicalNot(isThere), [&] { code.loop(p, last, 1, [&](Value q) { pack(q, p); }); });
    }
    RowTiles tiles(code, begin, count, tile.rows);
    severalTiles = code.less(code.index(1), tiles.count);
    code.loop(code.index(0), tiles.count, 1, [&](Value i) {
      Value row = tiles.begin(i), rows = tiles.rows(i);
      lhsTile = i;
      Value number = code.add(code.mul(code.div(code.sub(p, panelBegin), step), tiles.count), i);
      Value slot = code.select(isSliced(), number, code.index(0));
      sums = partFrom(code, allSums, code.mul(slot, tile.rows), code.index(0));
      if (fetch) // while the tile multiplies; of what the second-level cache holds it costs more than it gains
        code.branch(
            code.logicalAnd(isLastSlice, code.less(code.index(tile.target.l2Bytes / 4), code.mul(grid.m, grid.n))),
            [&] {
              code.loop(code.index(0), rows, 1, [&](Value r) {
                code.loop(code.index(0), columns, tile.target.lineBytes / 4,
                          [&](Value c) { fetch(batch, code.add(row, r), code.add(columnBegin, c)); });
              });
            });
      chooseFetches(i, tiles.count, code.add(row, rows), p);
      multiply(row, rows, p, last, inPlace);
      code.branch(isLastSlice, [&] {
        if (operands.hidesLhs || operands.hidesRhs)
          code.branch(anyNotFinite(rows, columns), [&] { multiplyCarefully(row, rows, p, columns, inPlace); });
        finish(row, rows, columnBegin, columns);
      });
    });
  }

  Value isSliced() { return code.less(grid.slice, grid.k); }
  /// Whether tasks may pack their rows of A, as far as its type tells.
  bool mayPackLhs() const { return operands.kBlock == 1 && !hasUnitColumns(operands.lhs); }
  /// Rows of `packedLhs` from one tile to the next: one line more than a tile has, so that tiles' same steps lie in
  /// different sets of the cache.
  Value lhsTileSteps() {
    int64_t bytes = lhsWidth(tile) * element(operands.lhs).getIntOrFloatBitWidth() / 8;
    return code.add(grid.k, tile.target.lineBytes / bytes);
  }

  /// Copies panel `q` of B, of a task's group that begins with `p`, to where the tile reads it.
  void pack(Value q, Value p) {
    packPanel(code, {operands.rhs, batch, grid.k, grid.n}, code.mul(q, tile.panel()), ownPanels(),
              code.mul(originOf(q, p), grid.k));
  }
  Value ownPanels() { return code.select(grid.packsFirst, allPanels, packed); }

  /// sums = the tile at `row` with panels [p, last): one call of the function for that many rows.
  void multiply(Value row, Value rows, Value p, Value last, Value inPlace) {
    SmallVector<int64_t> cases;
    for (int r = 1; r < tile.rows; ++r)
      cases.push_back(r);
    Value selector = rows;
    auto choice = scf::IndexSwitchOp::create(code.b, code.loc, TypeRange{}, selector, cases, cases.size());
    OpBuilder::InsertionGuard guard(code.b);
    for (int r = 1; r <= tile.rows; ++r) {
      Region &region = r < tile.rows ? choice.getCaseRegions()[r - 1] : choice.getDefaultRegion();
      code.b.createBlock(&region);
      if (inPlace)
        code.branch(inPlace, [&] { call(r, row, p, last, true); }, [&] { call(r, row, p, last, false); });
      else
        call(r, row, p, last, false);
      code.b.setInsertionPointToEnd(&region.front());
      scf::YieldOp::create(code.b, code.loc);
    }
  }

  Value anyNotFinite(Value rows, Value columns) {
    Value zero = code.index(0), none = code.splat(0);
    Value bad = code.carry(zero, rows, 1, none, [&](Value r, ValueRange sofar) {
      return code.carry(zero, columns, tile.lanes, sofar, [&](Value c, ValueRange x) {
        return Code::Values{code.fma(code.loadVector(sums, {r, c}), none, x[0])}; // 0 * y is NaN where y is not finite
      });
    })[0];
    Value unordered = code.compareF(arith::CmpFPredicate::UNO, bad, bad);
    return vector::ReductionOp::create(code.b, code.loc, vector::CombiningKind::OR, unordered);
  }

  /// The tile's sums once more, by the same chains, without the elements that are hidden.
  void multiplyCarefully(Value row, Value rows, Value p, Value columns, Value inPlace) {
    Value zero = code.index(0), panel = code.index(tile.panel());
    auto product = [&](bool isInPlace) {
      Value b = rhsView(isInPlace);
      code.loop(zero, rows, 1, [&](Value r) {
        code.loop(zero, columns, tile.lanes, [&](Value c) {
          Value origin = code.add(originOf(p, p), code.div(c, panel));
          Value first = isInPlace ? zero : code.mul(origin, grid.k);
          Value column = isInPlace ? code.add(code.mul(p, tile.panel()), c) : code.rem(c, panel);
          Value sum = code.carry(zero, grid.k, 1, code.splat(0), [&](Value k, ValueRange sofar) {
            Value x = code.load(a.memref, {code.add(row, r), k}), y = code.loadVector(b, {code.add(first, k), column});
            Value next = code.fma(code.broadcast(x), y, sofar[0]);
            return Code::Values{code.select(isHidden(operands.hidesLhs ? x : y), sofar[0], next)};
          })[0];
          code.storeVector(sum, sums, {r, c});
        });
      });
    };
    if (inPlace)
      code.branch(inPlace, [&] { product(true); }, [&] { product(false); });
    else
      product(false);
  }

  /// Whether a number is -0: for each lane of a vector.
  Value isHidden(Value x) {
    Type bits = code.b.getI32Type();
    bool isVector = isa<VectorType>(x.getType());
    Value hidden = isVector
                       ? code.splatInt(INT32_MIN)
                       : arith::ConstantOp::create(code.b, code.loc, code.b.getI32IntegerAttr(INT32_MIN)).getResult();
    return code.equal(code.bitcast(x, isVector ? Type(code.vectorOf(bits)) : bits), hidden);
  }

  /// The number of panel `q` where the panels are that the tile reads, of a task's group that begins with `p`.
  Value originOf(Value q, Value p) {
    if (operands.packed)
      return q;
    return code.select(grid.packsFirst, code.add(firstPanel, q), code.sub(q, p));
  }

  void call(int rows, Value row, Value p, Value last, bool inPlace) {
    TileFunction f{.rows = rows,
                   .panels = panelsOf(tile, rows),
                   .packedRhs = !inPlace,
                   .lhsElement = element(operands.lhs),
                   .rhsElement = element(operands.rhs),
                   .kBlock = operands.kBlock};
    Code::Values arguments{nullptr, rhsView(inPlace), sums, row, sliceSize};
    if (f.mayGoOn())
      arguments.push_back(sliceBegin);
    for (int i = 0; i < f.panels; ++i) {
      // Beyond the last panel the last one is computed again.
      Value panel = i == 0 ? p : code.min(code.add(p, i), code.sub(last, code.index(1)));
      arguments.push_back(inPlace ? code.mul(panel, tile.panel())
                                  : code.add(code.mul(originOf(panel, p), grid.k), sliceBegin));
    }
    f.fetchOwn = operands.packed && 2 * rows <= tile.rows; // so few rows are mostly a block of one tile
    if (f.readsByRow(f.panels * tile.vectors)) // to the compiler these may differ, so it keeps a load for each
      arguments.append(rows - 1, arguments.back());
    if (f.fetchOwn)
      arguments.push_back(stepsAhead);
    auto emit = [&](TileFunction::Lhs lhs, int linesAhead = 0) {
      f.lhs = lhs;
      f.linesAhead = linesAhead;
      f.anyStep = linesAhead && !operands.packed;
      Code::Values all(arguments);
      if (lhs == TileFunction::Lhs::Packed) {
        all[0] = packedLhsTile();
        all[3] = code.index(0);
      } else {
        Value matrix = matrixAt(code, operands.lhs, batch, lhs == TileFunction::Lhs::AdjacentColumns).memref;
        all[0] = f.mayGoOn() ? partFrom(code, matrix, code.index(0), sliceBegin) : matrix;
      }
      if (linesAhead)
        all.push_back(fetched);
      if (f.anyStep)
        all.push_back(fetchStep);
      func::CallOp::create(code.b, code.loc, tileFunction(code, module, f, tile), all);
    };
    auto fetching = [&](TileFunction::Lhs lhs) {
      code.branch(fetchesMuch, [&] { emit(lhs, mostLines()); }, [&] { emit(lhs, 1); });
    };
    auto whereItLies = [&](TileFunction::Lhs lhs) {
      if (inPlace || f.fetchOwn || f.widensBytes())
        return emit(lhs);
      // What a task packs into its scratch is near. A single tile, which waits for its own panel, would only be held
      // up.
      Value fetches = operands.packed ? severalTiles : code.logicalAnd(severalTiles, grid.packsFirst);
      code.branch(fetches, [&] { fetching(lhs); }, [&] { emit(lhs); });
    };
    if (a.unitColumns)
      return whereItLies(TileFunction::Lhs::AdjacentColumns);
    auto strided = [&] {
      code.branch(
          code.equal(a.columnStride(), code.index(1)), [&] { whereItLies(TileFunction::Lhs::AdjacentColumns); },
          [&] { whereItLies(TileFunction::Lhs::Strided); });
    };
    if (!mayPackLhs() || inPlace || rows < lowestTile(tile, packRows))
      return strided();
    code.branch(readsPackedLhs, [&] { fetching(TileFunction::Lhs::Packed); }, strided);
  }

  /// The tile's rows of A where they are packed: [row, k].
  Value packedLhsTile() {
    auto metadata = memref::ExtractStridedMetadataOp::create(code.b, code.loc, packedLhs);
    Value offset = code.mul(code.add(code.mul(lhsTile, lhsTileSteps()), sliceBegin), lhsWidth(tile));
    SmallVector<OpFoldResult> sizes{code.index(tile.rows), sliceSize};
    SmallVector<OpFoldResult> strides{code.b.getIndexAttr(1), code.b.getIndexAttr(lhsWidth(tile))};
    return memref::ReinterpretCastOp::create(code.b, code.loc, packedLhsType(element(operands.lhs), tile),
                                             metadata.getBaseBuffer(), OpFoldResult(offset), sizes, strides);
  }

  /// Lines that a tile fetches in turn at most: two such tiles fetch a panel, and one the rows of the next.
  int mostLines() const { return std::max(1, linesOf(tile, rowLength(), element(operands.rhs)) / 2); }

  /// What tile `i` of panel `p` fetches for later ones while it multiplies, which would otherwise wait for each line.
  ///
  /// The next panel, or the first one again where other rows follow: its tiles take turns, evenly where they are many,
  /// otherwise the first ones do it. The tiles of the first panel, which read their rows from far away, fetch those of
  /// the next tile, from row `next` on; their last ones fetch the panel. The last tile of all fetches the rows of the
  /// first one that follows. What lies beyond the operands is harmless.
  void chooseFetches(Value i, Value tiles, Value next, Value p) {
    Value zero = code.index(0), isFirst = code.equal(p, zero), isLast = code.equal(code.add(p, 1), grid.panels);
    int lines = linesOf(tile, rowLength(), element(operands.rhs)), shares = lines / mostLines();
    Value unit = code.equal(a.columnStride(), code.index(1));
    Value whole = code.logicalNot(isSliced());
    Value readsRows = code.logicalAnd(code.logicalAnd(unit, isFirst), whole), left = code.sub(tiles, i),
          follows = code.less(next, grid.m);
    Value isEnd = code.logicalAnd(code.logicalAnd(isLast, follows), code.equal(left, code.index(1)));
    isEnd = code.logicalAnd(isEnd, whole);
    Value fetchesRows =
        code.logicalOr(code.logicalAnd(readsRows, code.less(code.index(shares), left)), code.logicalAnd(unit, isEnd));
    Value manyTiles = code.less(code.index(lines - 1), tiles);
    fetchesMuch = code.logicalOr(code.logicalOr(readsRows, isEnd), code.logicalNot(manyTiles));
    Value turn = code.max(code.select(readsRows, code.sub(code.index(shares), left), i), zero);
    Value lineCount = code.select(fetchesMuch, code.index(mostLines()), code.index(1));
    // Lines of each `lines` that others fetch before.
    Value before = code.min(code.mul(turn, lineCount), code.sub(code.index(lines), lineCount));
    Value again = code.logicalAnd(code.logicalAnd(isLast, follows), isLastSlice);
    Value panel = code.select(again, zero, code.add(p, 1)), begin = sliceBegin;
    if (operands.packed) { // after its last panel a task goes on with the next slice of its first one
      Value isTasksLast = code.compare(arith::CmpIPredicate::sge, code.add(p, 1), panelEnd);
      Value goesOn = code.logicalAnd(isTasksLast, code.logicalNot(isLastSlice));
      panel = code.select(goesOn, panelBegin, panel);
      Value after = code.select(isLastSlice, zero, code.add(sliceBegin, sliceSize));
      begin = code.select(isTasksLast, after, begin);
    }
    Value bytes = code.mul(lineCount, tile.target.lineBytes);
    Value skipped = code.mul(code.div(code.mul(before, sliceSize), code.index(lines)), rowBytes());
    Value first = code.add(code.mul(originOf(panel, p), grid.k), begin);
    Value address = code.add(code.addressOf(rhsView(false), {first, zero}), skipped);
    fetchStep = bytes;
    if (!operands.packed) {
      auto [source, step] = sourceOf(panel, turn, skipped, bytes);
      Value fetchesSource = code.logicalAnd(packsNow, code.logicalNot(code.logicalOr(again, fetchesRows)));
      address = code.select(fetchesSource, source, address);
      fetchStep = code.select(fetchesSource, step, bytes);
    }
    fetched = code.select(fetchesRows, code.addressOf(a.memref, {next, zero}), address);
  }

  int64_t rowBytes() const { return rowLength() * element(operands.rhs).getIntOrFloatBitWidth() / 8; }

  /// Where a tile begins to fetch panel `panel` of a B that is not packed yet, and how far it moves on. Rows that are
  /// adjacent lie like a panel; of adjacent columns each tile fetches a line of each row, of a part of the rows.
  std::pair<Value, Value> sourceOf(Value panel, Value turn, Value skipped, Value bytes) {
    Matrix b = matrixAt(code, operands.rhs, batch);
    Value column = code.mul(panel, tile.panel());
    Value begin = code.addressOf(b.memref, {code.index(0), column});
    int64_t perRow = std::max<int64_t>(1, rowBytes() / tile.target.lineBytes);
    int64_t parts = std::max<int64_t>(1, linesOf(tile, rowLength(), element(operands.rhs)) / perRow);
    Value part = code.select(fetchesMuch, turn, code.div(turn, code.index(perRow)));
    Value line = code.select(fetchesMuch, code.index(0), code.rem(turn, code.index(perRow)));
    Value row = code.div(code.mul(code.min(part, code.index(parts - 1)), grid.k), code.index(parts));
    Value stride = code.mul(b.rowStride(), element(operands.rhs).getIntOrFloatBitWidth() / 8);
    Value across = code.add(code.add(begin, code.mul(row, stride)), code.mul(line, tile.target.lineBytes));
    Value unit = code.equal(b.columnStride(), code.index(1));
    return {code.select(unit, across, code.add(begin, skipped)), code.select(unit, stride, bytes)};
  }

  Value rhsView(bool inPlace) {
    if (inPlace)
      return matrixAt(code, operands.rhs, batch, /*assumeUnit=*/true).memref;
    auto type = matrixType(element(operands.rhs), rowLength(), 1, rowLength());
    if (!operands.packed)
      return memref::CastOp::create(code.b, code.loc, type, ownPanels());
    auto metadata = memref::ExtractStridedMetadataOp::create(code.b, code.loc, operands.rhs);
    SmallVector<OpFoldResult> sizes{code.mul(grid.panels, grid.k), code.b.getIndexAttr(rowLength())};
    SmallVector<OpFoldResult> strides{code.b.getIndexAttr(rowLength()), code.b.getIndexAttr(1)};
    return memref::ReinterpretCastOp::create(code.b, code.loc, type, metadata.getBaseBuffer(),
                                             OpFoldResult(metadata.getOffset()), sizes, strides);
  }

  /// The epilogue over the tile's rows: whole vectors without a mask, then the rest of the row under one.
  void finish(Value row, Value rows, Value columnBegin, Value columns) {
    Value rest = code.rem(columns, code.index(tile.lanes)), whole = code.sub(columns, rest);
    Value ragged = code.compare(arith::CmpIPredicate::ne, rest, code.index(0));
    code.loop(code.index(0), rows, 1, [&](Value r) {
      Value m = code.add(row, r);
      code.loop(code.index(0), whole, tile.lanes,
                [&](Value c) { epilogue(code.loadVector(sums, {r, c}), batch, m, code.add(columnBegin, c), nullptr); });
      code.branch(ragged, [&] {
        epilogue(code.loadVector(sums, {r, whole}), batch, m, code.add(columnBegin, whole), code.laneMask(rest));
      });
    });
  }

  Code &code;
  const MatmulOperands &operands;
  const TileShape &tile;
  const MatmulGrid &grid;
  Operation *module;
  Epilogue epilogue;
  Fetch fetch;
  Code::Values batch;
  Value allSums, sums; ///< of the task's tiles, and of one
  Value sliceBegin, sliceSize, isLastSlice;
  Value packed, packedLhs, panelBegin, panelEnd, direct, packsNow;
  Value readsPackedLhs, lhsTile; ///< whether the task packs its rows of A, and the number of a tile there
  Value allPanels, firstPanel;   ///< panels that are packed first, and the number of this matrix's first one
  Value severalTiles;            ///< whether a panel has more than one
  Value fetched, fetchStep;      ///< where a tile begins to fetch, and how far it moves on
  Value fetchesMuch;             ///< whether it fetches several lines in turn
  Value stepsAhead;              ///< steps ahead of which a tile that is alone fetches its own panels
  Matrix a;
};

class MatmulEmitter : public ScheduleEmitter {
public:
  MatmulEmitter(kernel::MatmulOp op, const Target &target) : ScheduleEmitter(target), op(op), tile(target) {}

  FailureOr<Value> emitTasks(OpBuilder &builder, IRMapping &outer) override {
    Code code = codeAt(builder);
    MatmulGrid grid(code, operands(outer), tile);
    return code.select(grid.packsFirst, grid.firstTasks, grid.otherTasks);
  }

  FailureOr<Value> emitFinish(OpBuilder &builder, IRMapping &outer) override {
    Code code = codeAt(builder);
    MatmulGrid grid(code, operands(outer), tile);
    return code.select(grid.packsFirst, grid.otherTasks, code.index(0));
  }

  FailureOr<Value> emitShared(OpBuilder &builder, IRMapping &outer) override {
    Code code = codeAt(builder);
    MatmulOperands mapped = operands(outer);
    MatmulGrid grid(code, mapped, tile);
    return Task(code, mapped, tile, grid).share(nullptr);
  }

  FailureOr<Value> emitScratch(OpBuilder &builder, IRMapping &outer) override {
    Code code = codeAt(builder);
    MatmulOperands mapped = operands(outer);
    MatmulGrid grid(code, mapped, tile);
    return Task(code, mapped, tile, grid).reserve(nullptr);
  }

  LogicalResult emitRun(OpBuilder &builder, IRMapping &outer, const RunArguments &arguments) override {
    Code code = codeAt(builder);
    MatmulOperands mapped = operands(outer);
    MatmulGrid grid(code, mapped, tile);
    LogicalResult result = success();
    Task task(
        code, mapped, tile, grid, op->getParentOfType<ModuleOp>(),
        [&](Value accumulator, ValueRange batch, Value m, Value n, Value mask) {
          if (failed(emitEpilogue(code, outer, arguments.exec, grid, accumulator, batch, m, n, mask)))
            result = failure();
        },
        fetchOf(code, outer));
    task.reserve(arguments.scratch);
    task.share(arguments.shared);
    task.readExec(arguments.exec);
    Value packs = code.less(arguments.begin, grid.firstTasks);
    Value first = code.select(packs, code.index(0), grid.firstTasks);
    code.loop(arguments.begin, arguments.end, 1, [&](Value index) { task.run(code.sub(index, first), packs); });
    return result;
  }

private:
  Code codeAt(OpBuilder &builder) { return Code(builder, op.getLoc(), target); }
  MatmulOperands operands(IRMapping &outer) {
    return {outer.lookupOrDefault(op.getLhs()),
            outer.lookupOrDefault(op.getRhs()),
            outer.lookupOrDefault(op.getN()),
            op.getPacked(),
            op.getHiddenLhs(),
            op.getHiddenRhs(),
            int64_t(op.getKBlock())};
  }

  LogicalResult emitEpilogue(Code &code, IRMapping &outer, Value exec, const MatmulGrid &grid, Value accumulator,
                             ValueRange batch, Value m, Value n, Value mask) {
    Block &block = op.getEpilogue().front();
    // A product with one column has one lane: its epilogue may store to what has no axis for n at all.
    bool oneColumn = matchPattern(op.getN(), m_One());
    FailureContext failures;
    if (!block.getOps<kernel::CheckOp>().empty()) {
      Value row = m;
      for (auto [i, index] : llvm::enumerate(batch))
        row = code.add(row, code.mul(index, strideOf(code, grid, i)));
      Value point = code.add(code.mul(row, grid.n), n);
      failures = {exec, oneColumn ? LaneValue::uniform(point) : LaneValue::linear(point)};
    }
    PointVectorizer points(code.b, op.getLoc(), target, tile.lanes, oneColumn ? Value() : mask, outer, failures);
    points.bind(block.getArgument(0),
                oneColumn ? LaneValue::uniform(vector::ExtractOp::create(code.b, op.getLoc(), accumulator, int64_t(0)))
                          : LaneValue::varying(accumulator));
    for (auto [i, index] : llvm::enumerate(batch))
      points.bind(block.getArgument(1 + i), LaneValue::uniform(index));
    points.bind(block.getArgument(1 + batch.size()), LaneValue::uniform(m));
    points.bind(block.getArgument(2 + batch.size()), oneColumn ? LaneValue::uniform(n) : LaneValue::linear(n));
    return points.emitBlock(block);
  }

  /// What fetches the lines that the epilogue reads at points of its own, or else those that it writes; null where
  /// there are none.
  Task::Fetch fetchOf(Code &code, IRMapping &outer) {
    Block &block = op.getEpilogue().front();
    ValueRange points = block.getArguments().drop_front();
    SmallVector<std::pair<Value, ValueRange>> accesses;
    auto add = [&](Value memref, ValueRange indices) {
      if (indices.size() >= 2 && llvm::equal(indices.take_back(2), points.take_back(2)) &&
          llvm::all_of(indices, [&](Value index) { return llvm::is_contained(points, index); }))
        accesses.push_back({memref, indices});
    };
    for (Operation &inner : block)
      if (auto load = dyn_cast<kernel::LoadOp>(inner))
        add(load.getSource(), load.getIndices());
    if (accesses.empty()) // what is written then is all that has to come
      for (auto store : block.getOps<kernel::StoreOp>())
        add(store.getTarget(), store.getIndices());
    if (accesses.empty())
      return nullptr;
    return [&code, &outer, points, accesses](ValueRange batch, Value m, Value n) {
      SmallVector<Value> at(batch);
      at.append({m, n});
      for (auto [memref, indices] : accesses) {
        SmallVector<Value> place;
        for (Value index : indices)
          place.push_back(at[llvm::find(points, index) - points.begin()]);
        code.fetch(outer.lookupOrDefault(memref), place, Code::Level::First);
      }
    };
  }

  /// Rows of the output from one index of batch axis `axis` to the next.
  static Value strideOf(Code &code, const MatmulGrid &grid, size_t axis) {
    Value stride = grid.m;
    for (size_t i = axis + 1; i < grid.batch.size(); ++i)
      stride = code.mul(stride, grid.batch[i]);
    return stride;
  }

  kernel::MatmulOp op;
  TileShape tile;
};

} // namespace

std::unique_ptr<ScheduleEmitter> makeMatmulEmitter(kernel::MatmulOp op, const Target &target) {
  return std::make_unique<MatmulEmitter>(op, target);
}

} // namespace fovea::kernels
