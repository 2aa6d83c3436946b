#include "compiler/kernels/emit/MatmulTile.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/IR/SymbolTable.h"

using namespace mlir;

namespace fovea::kernels {

/// What a tile of few rows reads of B in a step at least, as f32: with less in a multiply-add's latency it waits for
/// its own sums, with more it reads more streams than the processor foresees.
static constexpr int stepBytes = 192;
/// Steps of a tile for which it fetches some lines of the packed panel after its own.
static constexpr int64_t stepsPerFetch = 4;
/// Steps ahead of which a tile fetches its elements of an A whose rows are adjacent: each step reads another line, of a
/// page of its own where A is wide, which the processor does not foresee.
static constexpr int64_t lhsAhead = 32;

int panelsOf(const TileShape &tile, int rows) {
  auto fits = [&](int panels) {
    int accumulators = rows * panels * tile.vectors;
    return accumulators + (rows == 1 ? 2 : panels * tile.vectors + 2) <= tile.registers;
  };
  int wanted = llvm::divideCeil(stepBytes, tile.panel() * 4);
  while (wanted > 1 && !fits(wanted))
    --wanted;
  return wanted;
}

int mostPanels(const TileShape &tile) {
  int most = 1;
  for (int r = 1; r <= tile.rows; ++r)
    most = std::max(most, panelsOf(tile, r));
  return most;
}

static StringRef letter(Type element) {
  return element.isF32() ? "f" : element.isF16() ? "h" : element.isBF16() ? "b" : "i";
}

static StringRef letter(TileFunction::Lhs lhs) {
  switch (lhs) {
  case TileFunction::Lhs::AdjacentColumns:
    return "u";
  case TileFunction::Lhs::Packed:
    return "p";
  case TileFunction::Lhs::Strided:
    return "s";
  }
}

static std::string nameOf(const TileFunction &f, const TileShape &tile) {
  return ("fovea_tile_" + Twine(f.rows) + "x" + Twine(f.panels) + "x" + Twine(tile.vectors) + "x" + Twine(tile.lanes) +
          "_" + letter(f.lhsElement) + letter(f.lhs) + "_" + letter(f.rhsElement) + (f.packedRhs ? "p" : "n") +
          (f.linesAhead ? "a" + std::to_string(f.linesAhead) : "") + (f.anyStep ? "s" : "") + (f.fetchOwn ? "o" : "") +
          (f.kBlock > 1 ? "_dot" + std::to_string(f.kBlock) : ""))
      .str();
}

MemRefType sumsType(Type sum, const TileShape &tile) {
  return MemRefType::get({ShapedType::kDynamic, mostPanels(tile) * tile.panel()}, sum);
}
MemRefType matrixType(Type element, int64_t rowStride, int64_t columnStride, int64_t columns) {
  int64_t any = ShapedType::kDynamic;
  auto layout = StridedLayoutAttr::get(element.getContext(), any, {rowStride, columnStride});
  return MemRefType::get({any, columns}, element, layout);
}

int64_t lhsWidth(const TileShape &tile) { return llvm::PowerOf2Ceil(tile.rows); }
MemRefType packedLhsType(Type element, const TileShape &tile) { return matrixType(element, 1, lhsWidth(tile)); }

RowTiles::RowTiles(Code &code, Value first, Value rows, int64_t most)
    : count(code.ceilDiv(rows, most)), code(code), first(first), height(code.div(rows, count)),
      taller(code.rem(rows, count)) {}
Value RowTiles::begin(Value tile) const {
  return code.add(first, code.add(code.mul(tile, height), code.min(tile, taller)));
}
Value RowTiles::rows(Value tile) const {
  return code.add(height, code.select(code.less(tile, taller), code.index(1), code.index(0)));
}

int lowestTile(const TileShape &tile, int64_t rows) {
  int64_t lowest = tile.rows;
  for (int64_t n = rows; n < rows + 2 * tile.rows * tile.rows; ++n)
    lowest = std::min<int64_t>(lowest, n / llvm::divideCeil(n, tile.rows));
  return lowest;
}

int linesOf(const TileShape &tile, int64_t rowLength, Type element) {
  return std::max<int>(1, stepsPerFetch * rowLength * element.getIntOrFloatBitWidth() / 8 / tile.target.lineBytes);
}

/// Fetches into the second-level cache what later tiles will read: lines from address `from` on, which moves on by
/// `step` bytes each time.
static void fetchAhead(Code &code, const TileFunction &f, Value from, Value step, Value k) {
  Value first = code.mul(code.div(k, code.index(stepsPerFetch)), step);
  for (int line = 0; line < f.linesAhead; ++line)
    code.fetch(from, code.add(first, line * code.target.lineBytes), Code::Level::Second);
}

/// Fetches the lines of the tile's own panels that begin in step `step`, so many steps ahead of their use: a tile that
/// is alone streams them from far away. The last ones are those of the panel that follows. No steps ahead, a line is
/// fetched as it is read, which costs nothing.
static void fetchOwn(Code &code, int64_t rowLength, Value b, ValueRange offsets, Value ahead, Value k, int64_t step) {
  int64_t perLine = code.perLine(b), first = llvm::alignTo(step * rowLength, perLine);
  for (Value offset : offsets)
    for (int64_t line = first; line < (step + 1) * rowLength; line += perLine)
      code.fetch(b, {code.add(code.add(offset, k), ahead), code.index(line - step * rowLength)}, Code::Level::First);
}

/// Enough that the loop's own instructions don't show. Strides that are not known cost registers, and so do pairs of
/// bytes.
static int stepsInBody(const TileFunction &f, int sums) {
  if (f.widensBytes())
    return sums <= 6 ? 4 : sums <= 8 ? 2 : 1;
  if (f.lhs == TileFunction::Lhs::Strided || !f.packedRhs)
    return 2;
  return sums > 16 ? 4 : sums > 8 || f.fetchOwn ? 8 : 16;
}

static void writeTile(Code &code, const TileFunction &f, const TileShape &tile, Block &body) {
  Value a = body.getArgument(0), b = body.getArgument(1), out = body.getArgument(2), row = body.getArgument(3),
        k = body.getArgument(4);
  int vectors = f.panels * tile.vectors;
  int64_t vectorLength = tile.lanes * f.kBlock;
  Code::Values rows, offsets, columns;
  for (int r = 0; r < f.rows; ++r)
    rows.push_back(code.add(row, r));
  for (int p = 0; p < f.panels; ++p)
    offsets.push_back(body.getArgument(f.firstPanel() + p));
  for (int v = 0; v < vectors; ++v) {
    Value within = code.index((v % tile.vectors) * vectorLength);
    columns.push_back(f.packedRhs ? within : code.add(offsets[v / tile.vectors], within));
  }
  int unroll = stepsInBody(f, vectors * f.rows);
  TileLoop loop{f.rows, vectors, unroll,
                [&](int r, Value k) {
                  return f.kBlock == 1 ? code.load(a, {rows[r], k})
                                       : code.loadBits(a, {rows[r], code.mul(k, f.kBlock)}, f.kBlock);
                },
                [&](int v, Value k) {
                  Value at = f.packedRhs ? code.add(offsets[v / tile.vectors], k) : k;
                  return f.kBlock == 1 ? code.loadVector(b, {at, columns[v]})
                                       : code.loadElements(b, {at, columns[v]}, vectorLength);
                }};
  loop.dots = f.kBlock != 1;
  if (f.readsByRow(vectors))
    loop.lastOfRow = [&](int r, Value k) {
      Value at = code.add(r == 0 ? offsets.back() : body.getArgument(f.firstPanel() - 1 + f.panels + r), k);
      return f.kBlock == 1 ? code.loadVector(b, {at, columns.back()})
                           : code.loadElements(b, {at, columns.back()}, vectorLength);
    };
  bool keepsOrder = f.widensBytes() && unroll > 1, fetchesLhs = f.lhs == TileFunction::Lhs::Strided && f.packedRhs;
  Value from = body.getArguments().drop_back(f.anyStep).back();
  Value step = f.anyStep ? body.getArguments().back() : code.index(f.linesAhead * tile.target.lineBytes);
  if (f.linesAhead || f.fetchOwn || keepsOrder || fetchesLhs)
    loop.every = [&](Value k, int number) {
      if (keepsOrder)
        code.keepOrder();
      if (fetchesLhs)
        code.fetch(a, {rows.front(), code.mul(code.add(k, lhsAhead), f.kBlock)}, Code::Level::First);
      if (f.fetchOwn)
        fetchOwn(code, tile.panel() * f.kBlock, b, offsets, body.getArguments().back(), k, number);
      else if (f.linesAhead && number % stepsPerFetch == 0)
        fetchAhead(code, f, from, step, k);
    };
  Code::Values begin(f.rows * vectors, f.sumsIntegers() ? code.splatInt(0) : code.splat(0));
  if (f.mayGoOn())
    begin = code.choose(
        code.equal(body.getArgument(5), code.index(0)), ValueRange(begin).getTypes(), [&] { return begin; },
        [&] {
          Code::Values sofar;
          for (int r = 0; r < f.rows; ++r)
            for (int v = 0; v < vectors; ++v)
              sofar.push_back(code.loadVector(out, {code.index(r), code.index(v * tile.lanes)}));
          return sofar;
        });
  Code::Values sums = multiplyAccumulate(code, loop, code.index(0), k, begin);
  for (int r = 0; r < f.rows; ++r)
    for (int v = 0; v < vectors; ++v)
      code.storeVector(sums[r * vectors + v], out, {code.index(r), code.index(v * tile.lanes)});
}

func::FuncOp tileFunction(Code &code, Operation *module, const TileFunction &f, const TileShape &tile) {
  std::string name = nameOf(f, tile);
  if (auto found = SymbolTable::lookupNearestSymbolFrom<func::FuncOp>(module, code.b.getStringAttr(name)))
    return found;
  MLIRContext *context = code.b.getContext();
  int64_t any = ShapedType::kDynamic, rowLength = tile.panel() * f.kBlock;
  Type index = code.b.getIndexType();
  SmallVector<Type> inputs{f.lhs == TileFunction::Lhs::Packed
                               ? packedLhsType(f.lhsElement, tile)
                               : matrixType(f.lhsElement, any, f.lhs == TileFunction::Lhs::AdjacentColumns ? 1 : any),
                           f.packedRhs ? matrixType(f.rhsElement, rowLength, 1, rowLength)
                                       : matrixType(f.rhsElement, any, 1),
                           matrixType(f.sumsIntegers() ? Type(code.b.getI32Type()) : code.b.getF32Type(),
                                      mostPanels(tile) * tile.panel(), 1),
                           index, index};
  if (f.mayGoOn())
    inputs.push_back(index);
  int again = f.readsByRow(f.panels * tile.vectors) ? f.rows - 1 : 0;
  inputs.append(f.panels + again + (f.linesAhead || f.fetchOwn ? 1 : 0) + (f.anyStep ? 1 : 0), index);
  OpBuilder builder = OpBuilder::atBlockEnd(&module->getRegion(0).front());
  Location loc = UnknownLoc::get(context);
  auto function = func::FuncOp::create(builder, loc, name, builder.getFunctionType(inputs, {}));
  function.setPrivate();
  function->setAttr("llvm.linkage", LLVM::LinkageAttr::get(context, LLVM::Linkage::Internal));
  function->setAttr("passthrough", builder.getStrArrayAttr({"noinline"}));
  Block *body = function.addEntryBlock();
  builder.setInsertionPointToStart(body);
  Code inner(builder, loc, tile.target);
  writeTile(inner, f, tile, *body);
  func::ReturnOp::create(builder, loc);
  return function;
}

} // namespace fovea::kernels
