#include "compiler/kernels/emit/MatmulGrid.h"

using namespace mlir;

namespace fovea::kernels {
namespace {

/// Rows of A that a task keeps near: what fills half of the second-level cache, within these.
constexpr int64_t fewestRows = 48, mostRows = 256;
/// Where a task goes through slices of k, each with all of its panels, and keeps the sums in between: where so few rows
/// of all of k would stay near that they would fall out of the second level (fewer than the least), or that panels, of
/// which a step of a tile reads 8 lanes / rows bytes a cycle, would pass by too fast (fewer than so many for each
/// lane). A slice has k for as many rows, and a task panels for as many columns.
constexpr int64_t leastRowsOfWholeK = 36, rowsOfWholeK = 6, rowsOfSlices = 8, columnsOfSlices = 192;
/// Tasks that are to be left where slices are to have more columns, whose sums take as many bytes as a slice at most.
constexpr int64_t tasksOfSlices = 32;
/// Multiply-adds a task has at least, where the shape allows: some ten microseconds.
constexpr int64_t taskWork = int64_t(1) << 19;
/// Panels a task has at least, where there are so many, if it packs its rows of A: of the first block of rows, and of
/// others.
constexpr int64_t firstPanelsOfPackedLhs = 2, panelsOfPackedLhs = 8;

/// Rows of A that are adjacent are read a step of k at a time, each step another line. Lines at multiples of a power of
/// two fall into few sets of the second-level cache, which hold only some of the steps: then every panel would read A
/// from behind it.
Value packsItsRows(Code &code, const MatmulOperands &operands, const TileShape &tile, const MatmulGrid &grid) {
  if (operands.kBlock != 1 || hasUnitColumns(operands.lhs))
    return code.boolean(false);
  Matrix a = matrixAt(code, operands.lhs, Code::Values(grid.batch.size(), code.index(0)));
  int64_t bytes = cast<MemRefType>(operands.lhs.getType()).getElementTypeBitWidth() / 8;
  Value step = code.mul(a.columnStride(), bytes);
  Value powerOfTwo = code.logicalAnd(step, code.sub(code.index(0), step)); // the largest that divides the step
  Value fallsOut = code.less(code.index(tile.target.l2Bytes), code.mul(grid.k, powerOfTwo));
  Value severalPanels = code.less(code.index(1), grid.panels);
  return code.logicalAnd(code.equal(a.rowStride(), code.index(1)), code.logicalAnd(fallsOut, severalPanels));
}

} // namespace

MatmulGrid::MatmulGrid(Code &code, const MatmulOperands &operands, const TileShape &tile) {
  int64_t rank = cast<MemRefType>(operands.lhs.getType()).getRank();
  for (int64_t i = 0; i < rank - 2; ++i)
    batch.push_back(code.dim(operands.lhs, i));
  m = code.dim(operands.lhs, rank - 2);
  k = code.dim(operands.lhs, rank - 1);
  if (operands.kBlock != 1)
    k = code.div(k, code.index(operands.kBlock));
  n = operands.n;
  Value one = code.index(1);
  panels = code.ceilDiv(n, tile.panel());
  Value near = code.index(tile.cache / 4), fitting = code.div(near, code.max(k, one));
  slice = k;
  if (operands.packed && operands.kBlock == 1) {
    Value rows = code.max(fitting, code.index(fewestRows));
    Value fallsOut = code.logicalAnd(code.less(fitting, code.index(leastRowsOfWholeK)), code.less(fitting, m));
    Value isFast = code.logicalAnd(code.less(rows, code.index(rowsOfWholeK * tile.lanes)), code.less(rows, m));
    Value isSliced = code.logicalOr(fallsOut, isFast);
    Value slices = code.ceilDiv(k, code.index(tile.cache / 4 / (rowsOfSlices * tile.lanes)));
    Value size = code.roundUp(code.ceilDiv(k, code.max(slices, one)), tile.target.lineBytes / 4);
    slice = code.select(isSliced, code.min(size, k), k);
    fitting = code.div(near, code.max(slice, one));
  }
  Value blockRows = code.min(code.max(fitting, code.index(fewestRows)), code.index(mostRows));
  Value blocks = code.max(code.ceilDiv(m, blockRows), one);
  rowsPerBlock = code.max(code.roundUp(code.ceilDiv(m, blocks), tile.rows), one);
  rowBlocks = code.ceilDiv(m, rowsPerBlock);
  Value work = code.mul(code.max(code.mul(code.min(m, rowsPerBlock), k), one), tile.panel());
  Value most = code.max(code.ceilDiv(code.index(taskWork), work), one);
  packsLhs = packsItsRows(code, operands, tile, *this);
  auto blocksOf = [&](int64_t mostOfPackedLhs) {
    Value wanted = code.select(packsLhs, code.max(most, code.index(mostOfPackedLhs)), most);
    Value shared = code.div(code.mul(rowBlocks, panels), code.index(tasksOfSlices));
    Value nearSums = code.div(near, code.mul(rowsPerBlock, tile.panel()));
    Value ofSlices = code.max(code.min(shared, nearSums), code.index(llvm::divideCeil(columnsOfSlices, tile.panel())));
    wanted = code.select(code.less(slice, k), code.max(wanted, ofSlices), wanted);
    Value size = code.max(code.ceilDiv(panels, code.max(code.ceilDiv(panels, wanted), one)), one);
    return PanelBlocks{size, code.ceilDiv(panels, size)};
  };
  firstPanels = blocksOf(firstPanelsOfPackedLhs);
  otherPanels = blocksOf(panelsOfPackedLhs);
  matrices = one;
  for (Value size : batch)
    matrices = code.mul(matrices, size);
  packsFirst = operands.packed ? code.boolean(false) : code.less(one, rowBlocks);
  firstTasks = code.select(packsFirst, code.mul(firstPanels.count, matrices), code.index(0));
  Value otherBlocks = code.sub(rowBlocks, code.select(packsFirst, one, code.index(0)));
  otherTasks = code.mul(code.mul(otherBlocks, otherPanels.count), matrices);
}

} // namespace fovea::kernels
