// Functions that multiply one register tile of kernel.matmul. All kernels of a module share them.
#pragma once

#include "compiler/kernels/emit/MicroKernel.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace fovea::kernels {

/// The register tile: `rows` broadcast elements of A against `vectors` vectors of B; a panel is vectors * lanes
/// columns.
struct TileShape {
  explicit TileShape(const Target &target)
      : target(target), lanes(target.vectorLength), rows(target.tileRows), vectors(target.tileVectors),
        registers(target.registers), cache(target.l2Bytes / 2) {}
  int panel() const { return lanes * vectors; }
  const Target &target;
  int lanes, rows, vectors, registers;
  int64_t cache; ///< bytes for a block of A
};

/// Panels that a tile of `rows` rows takes at once.
int panelsOf(const TileShape &tile, int rows);
int mostPanels(const TileShape &tile);

/// The rows of a block in tiles of at most `most`, whose heights differ by one at most.
struct RowTiles {
  RowTiles(Code &code, mlir::Value first, mlir::Value rows, int64_t most);
  mlir::Value begin(mlir::Value tile) const;
  mlir::Value rows(mlir::Value tile) const;

  mlir::Value count;

private:
  Code &code;
  mlir::Value first, height, taller;
};
/// The lowest of the tiles of a block of at least so many rows.
int lowestTile(const TileShape &tile, int64_t rows);

/// A tile function: out[r, panel p's columns] = sum over k of a[row + r, k] b(p, k), all rows inside. Of a packed B it
/// may go on with the sums that are there, so that k can be summed up in slices, by the same chains.
struct TileFunction {
  int rows, panels;
  /// How A lies: rows with any stride of adjacent columns, of a packed tile (lhsWidth), or with any strides.
  enum class Lhs { AdjacentColumns, Packed, Strided } lhs = Lhs::AdjacentColumns;
  bool packedRhs;        // B is [rows, panel], panel p begins at row offset[p]; otherwise at column offset[p]
  int linesAhead = 0;    // fetched every few steps; where any, there is one more argument: the address to begin with
  bool anyStep = false;  // these lie as far apart as one more argument says, otherwise one after the other
  bool fetchOwn = false; // its own panels' rows are fetched ahead: so many steps as one more argument says
  mlir::Type lhsElement, rhsElement;
  int64_t kBlock; // above 1: a step of k is a dot product of so many numbers
  bool mayGoOn() const { return packedRhs && kBlock == 1; }
  /// Where the first panel's argument is.
  int firstPanel() const { return mayGoOn() ? 6 : 5; }
  bool sumsIntegers() const { return kBlock > 1 && rhsElement.isInteger(8); }
  /// Bytes become pairs of i16, for which there are registers a step at a time only.
  bool widensBytes() const { return sumsIntegers() && kBlock == 2; }
  /// Whether rows read the last vector of each step for themselves. Of so few sums that are more vectors and rows than
  /// one, loads and broadcasts are nearly as many as multiply-adds.
  bool readsByRow(int vectors) const {
    bool readsAsItLies = rhsElement.isF32() || (kBlock > 1 && !widensBytes());
    return fetchOwn && readsAsItLies && rows > 1 && rows * vectors <= 6;
  }
};

/// Tiles' sums in scratch, one after the other.
mlir::MemRefType sumsType(mlir::Type sum, const TileShape &tile);
/// A matrix with these strides, as tile functions take it.
mlir::MemRefType matrixType(mlir::Type element, int64_t rowStride, int64_t columnStride,
                            int64_t columns = mlir::ShapedType::kDynamic);
/// Numbers that lie beside each other in a packed tile of A, [k, width]: its rows.
int64_t lhsWidth(const TileShape &tile);
/// A packed tile of A as tile functions take it, [row, k].
mlir::MemRefType packedLhsType(mlir::Type element, const TileShape &tile);
/// Lines of a packed panel that a tile reads in the steps after which it fetches again; `rowLength` elements in each
/// step.
int linesOf(const TileShape &tile, int64_t rowLength, mlir::Type element);
/// The module's function of that kind, which is made where there is none.
mlir::func::FuncOp tileFunction(Code &code, mlir::Operation *module, const TileFunction &f, const TileShape &tile);

} // namespace fovea::kernels
