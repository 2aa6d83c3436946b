#include "compiler/kernels/emit/RowsToLanes.h"

using namespace mlir;

namespace fovea::kernels {

RowsToLanes::RowsToLanes(Code &code, Value memref, ValueRange batch, Value depth)
    : code(code), matrix(matrixAt(code, memref, batch)), adjacent(matrix.memref), depth(depth),
      whole(code.sub(depth, code.rem(depth, code.index(code.lanes)))) {
  if (matrix.unitColumns)
    return;
  // Read only where the stride is found to be 1.
  adjacent = matrixAt(code, memref, batch, /*assumeUnit=*/true).memref;
  whole = code.select(code.equal(matrix.columnStride(), code.index(1)), whole, code.index(0));
}

RowsToLanes::RowsToLanes(Code &code, Value memref, Value depth)
    : code(code), adjacent(memref), depth(depth), whole(code.sub(depth, code.rem(depth, code.index(code.lanes)))) {
  matrix.memref = memref, matrix.unitColumns = true;
}

void RowsToLanes::move(const Destination &to) {
  auto rowOf = [&](Value i) { return code.min(code.add(to.first, code.add(to.offset, i)), to.last); };
  Code::Values rows;
  for (int i = 0; i < code.lanes; ++i)
    rows.push_back(rowOf(code.index(i)));
  Value zero = code.index(0);
  code.loop(zero, whole, code.lanes, [&](Value c) {
    if (before && matrix.unitColumns)
      before(adjacent, c);
    Code::Values x =
        llvm::map_to_vector<4>(rows, [&](Value row) { return converted(code.loadVector(adjacent, {row, c})); });
    for (auto [i, column] : llvm::enumerate(transpose(code, x)))
      code.storeVector(column, to.tile, {code.add(to.base, code.add(c, i)), to.lane});
  });
  code.loop(whole, depth, 1, [&](Value c) {
    code.loop(zero, code.index(code.lanes), 1, [&](Value i) {
      Value x = converted(code.load(matrix.memref, {rowOf(i), c}));
      code.store(x, to.tile, {code.add(to.base, c), code.add(to.lane, i)});
    });
  });
}

} // namespace fovea::kernels
