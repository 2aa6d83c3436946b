#include "compiler/kernels/emit/PanelPacking.h"

using namespace mlir;

namespace fovea::kernels {
namespace {

/// Rows and squares ahead of which their lines are fetched: pieces of rows that are so short are nothing that the
/// processor foresees.
constexpr int64_t rowsAhead = 16, squaresAhead = 4;

/// A matrix whose rows are adjacent, its rows as columns.
Value transposed(Code &code, const Matrix &m, std::array<Value, 2> size) {
  auto metadata = memref::ExtractStridedMetadataOp::create(code.b, code.loc, m.memref);
  Type element = cast<MemRefType>(m.memref.getType()).getElementType();
  int64_t any = ShapedType::kDynamic;
  auto layout = StridedLayoutAttr::get(code.b.getContext(), any, {any, 1});
  SmallVector<OpFoldResult> sizes{size[0], size[1]}, strides{m.columnStride(), code.b.getIndexAttr(1)};
  return memref::ReinterpretCastOp::create(code.b, code.loc, MemRefType::get({any, any}, element, layout),
                                           metadata.getBaseBuffer(), OpFoldResult(metadata.getOffset()), sizes,
                                           strides);
}

class PanelPacking {
public:
  PanelPacking(Code &code, const PackedMatrix &matrix, Value column, Value panels, Value at)
      : code(code), matrix(matrix), column(column), panels(panels), at(at), zero(code.index(0)) {
    auto type = cast<MemRefType>(panels.getType());
    element = type.getElementType();
    width = type.getDimSize(1);
  }

  void run() {
    Matrix b = matrixAt(code, matrix.memref, matrix.batch);
    if (b.unitColumns)
      return copyRows();
    auto isUnit = [&](Value stride) { return code.equal(stride, code.index(1)); };
    auto others = [&] {
      if (!element.isF32())
        return copyColumns(b);
      code.branch(isUnit(b.rowStride()), [&] { transposeSquares(b); }, [&] { copyColumns(b); });
    };
    code.branch(isUnit(b.columnStride()), [&] { copyRows(); }, others);
  }

private:
  /// Columns are adjacent.
  void copyRows() {
    Matrix b = matrixAt(code, matrix.memref, matrix.batch, /*assumeUnit=*/true);
    VectorType type = code.vectorOf(element);
    Value none = arith::ConstantOp::create(code.b, code.loc, code.b.getZeroAttr(type));
    Code::Values masks;
    for (int64_t j = 0; j < width; j += code.lanes)
      masks.push_back(code.laneMask(code.sub(matrix.columns, code.add(column, j))));
    code.loop(zero, matrix.rows, 1, [&](Value k) {
      auto [row, beyond] = ahead(k, rowsAhead, matrix.rows);
      for (int64_t j = 0; j < width; j += code.perLine(b.memref))
        code.fetch(b.memref, {row, code.add(code.add(column, code.select(beyond, code.index(width), zero)), j)},
                   Code::Level::First);
      for (auto [v, mask] : llvm::enumerate(masks)) {
        Value from = code.add(column, v * code.lanes), to = code.index(v * code.lanes);
        Value x = vector::MaskedLoadOp::create(code.b, code.loc, type, b.memref, ValueRange{k, from}, mask, none);
        vector::StoreOp::create(code.b, code.loc, x, panels, ValueRange{code.add(at, k), to});
      }
    });
  }

  /// Rows are adjacent: squares are transposed in registers.
  void transposeSquares(const Matrix &b) {
    Value turned = transposed(code, b, {matrix.columns, matrix.rows}), lanes = code.index(code.lanes);
    Value rest = code.rem(matrix.rows, lanes), whole = code.sub(matrix.rows, rest);
    code.loop(zero, code.index(width), lanes, [&](Value j) {
      code.loop(zero, whole, lanes, [&](Value k) {
        auto [from, beyond] = ahead(k, squaresAhead * code.lanes, whole);
        Value first = code.add(code.add(column, j), code.select(beyond, lanes, zero));
        for (int lane = 0; lane < code.lanes; ++lane)
          code.fetch(turned, {code.add(first, lane), from}, Code::Level::First);
        transposeSquare(turned, k, j, nullptr);
      });
      code.branch(code.less(zero, rest), [&] { transposeSquare(turned, whole, j, rest); });
    });
  }

  /// What lies `distance` rows of B after row `k` where the next panel follows row `end`: the row, and whether it is
  /// the next panel's.
  std::pair<Value, Value> ahead(Value k, int64_t distance, Value end) {
    Value to = code.add(k, distance), beyond = code.logicalNot(code.less(to, end));
    return {code.select(beyond, code.sub(to, end), to), beyond};
  }

  /// Rows from `k`, columns from `j` of the panel; `rows` of them, or all where it is null. Columns beyond the matrix
  /// are read as its last one.
  void transposeSquare(Value turned, Value k, Value j, Value rows) {
    Value first = code.add(column, j), last = code.sub(matrix.columns, code.index(1));
    Value inside = code.laneMask(code.sub(matrix.columns, first)), rowMask = rows ? code.laneMask(rows) : Value();
    Code::Values x;
    for (int lane = 0; lane < code.lanes; ++lane) {
      Code::Values from{code.min(code.add(first, lane), last), k};
      x.push_back(rows ? code.loadMasked(turned, from, rowMask) : code.loadVector(turned, from));
    }
    for (auto [i, row] : llvm::enumerate(transpose(code, x))) {
      auto store = [&, row = row, i = i] {
        code.storeVector(code.select(inside, row, code.splat(0)), panels, {code.add(code.add(at, k), i), j});
      };
      if (rows)
        code.branch(code.less(code.index(i), rows), store);
      else
        store();
    }
  }

  void copyColumns(const Matrix &b) {
    Value none = arith::ConstantOp::create(code.b, code.loc, code.b.getZeroAttr(element));
    auto fill = [&](Value j, llvm::function_ref<Value(Value)> from) {
      code.loop(zero, matrix.rows, 1, [&](Value k) {
        memref::StoreOp::create(code.b, code.loc, from(k), panels, ValueRange{code.add(at, k), j});
      });
    };
    Value count = code.min(code.sub(matrix.columns, column), code.index(width));
    code.loop(zero, code.index(width), 1, [&](Value j) {
      auto load = [&](Value k) -> Value {
        return memref::LoadOp::create(code.b, code.loc, b.memref, ValueRange{k, code.add(column, j)});
      };
      code.branch(code.less(j, count), [&] { fill(j, load); }, [&] { fill(j, [&](Value) { return none; }); });
    });
  }

  Code &code;
  const PackedMatrix &matrix;
  Value column, panels, at, zero;
  Type element;
  int64_t width;
};

} // namespace

void packPanel(Code &code, const PackedMatrix &matrix, Value column, Value panels, Value at) {
  PanelPacking(code, matrix, column, panels, at).run();
}

void packRowTiles(Code &code, const Matrix &a, std::array<Value, 2> size, const RowTiles &tiles, Value to,
                  Value tileSteps) {
  auto [rows, steps] = size;
  Value zero = code.index(0), turned = transposed(code, a, {steps, rows}), last = code.sub(tiles.count, code.index(1));
  auto type = cast<MemRefType>(to.getType());
  auto vector = VectorType::get({type.getDimSize(1)}, type.getElementType());
  Value none = arith::ConstantOp::create(code.b, code.loc, code.b.getZeroAttr(vector));
  Value begin = tiles.begin(zero), end = code.add(tiles.begin(last), tiles.rows(last));
  Value inside = code.laneMask(code.sub(rows, tiles.begin(last)), vector.getNumElements());
  code.loop(zero, steps, 1, [&](Value k) {
    code.loop(begin, end, code.perLine(turned),
              [&](Value row) { code.fetch(turned, {code.add(k, rowsAhead), row}, Code::Level::First); });
    auto store = [&](Value i, Value x) {
      vector::StoreOp::create(code.b, code.loc, x, to, ValueRange{code.add(code.mul(i, tileSteps), k), zero});
    };
    code.loop(zero, last, 1, [&](Value i) {
      store(i, vector::LoadOp::create(code.b, code.loc, vector, turned, ValueRange{k, tiles.begin(i)}));
    });
    store(last, vector::MaskedLoadOp::create(code.b, code.loc, vector, turned, ValueRange{k, tiles.begin(last)}, inside,
                                             none));
  });
}

} // namespace fovea::kernels
