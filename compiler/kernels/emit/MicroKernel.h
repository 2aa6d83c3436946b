// Register-tile code: a small builder for index, scalar and vector code, and the multiply-accumulate loop of every
// tile.
#pragma once

#include "compiler/kernels/Target.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Builders.h"

#include <functional>

namespace fovea::kernels {

/// Writes code of `target` at the insertion point of `b`, for vectors of `lanes` f32. Constants are folded as they are
/// made. fma() is one rounding where the target has fused multiply-adds, otherwise a product and a sum.
class Code {
public:
  using Values = llvm::SmallVector<mlir::Value>;
  Code(mlir::OpBuilder &builder, mlir::Location loc, const Target &target);

  mlir::OpBuilder &b;
  mlir::Location loc;
  const Target &target;
  const int lanes;

  mlir::VectorType vector() const { return mlir::VectorType::get({lanes}, b.getF32Type()); }
  mlir::VectorType vectorOf(mlir::Type element) const { return mlir::VectorType::get({lanes}, element); }

  // Indices.
  mlir::Value index(int64_t value);
  mlir::Value add(mlir::Value x, mlir::Value y);
  mlir::Value add(mlir::Value x, int64_t y);
  mlir::Value sub(mlir::Value x, mlir::Value y);
  mlir::Value mul(mlir::Value x, mlir::Value y);
  mlir::Value mul(mlir::Value x, int64_t y);
  /// Operands are not negative.
  mlir::Value div(mlir::Value x, mlir::Value y);
  mlir::Value rem(mlir::Value x, mlir::Value y);
  mlir::Value ceilDiv(mlir::Value x, mlir::Value y);
  mlir::Value ceilDiv(mlir::Value x, int64_t y) { return ceilDiv(x, index(y)); }
  mlir::Value roundUp(mlir::Value x, int64_t y) { return mul(ceilDiv(x, y), y); }
  mlir::Value min(mlir::Value x, mlir::Value y);
  mlir::Value max(mlir::Value x, mlir::Value y);
  mlir::Value compare(mlir::arith::CmpIPredicate predicate, mlir::Value x, mlir::Value y);
  mlir::Value less(mlir::Value x, mlir::Value y) { return compare(mlir::arith::CmpIPredicate::slt, x, y); }
  mlir::Value equal(mlir::Value x, mlir::Value y) { return compare(mlir::arith::CmpIPredicate::eq, x, y); }
  mlir::Value boolean(bool value);
  mlir::Value logicalAnd(mlir::Value x, mlir::Value y);
  mlir::Value logicalOr(mlir::Value x, mlir::Value y);
  mlir::Value logicalNot(mlir::Value x);
  mlir::Value select(mlir::Value condition, mlir::Value x, mlir::Value y);

  // Scalars and vectors of f32.
  mlir::Value scalar(float value);
  mlir::Value splat(float value);
  mlir::Value splatInt(int32_t value);
  mlir::Value broadcast(mlir::Value scalar);
  mlir::Value fma(mlir::Value x, mlir::Value y, mlir::Value accumulator);
  /// accumulator + sum of x[i] y[i] over the `kBlock` numbers in each lane, by the target's instruction for y's type.
  /// `x` holds a lane's numbers as an integer in each lane, `y` is a vector of lanes * kBlock bf16 or i8.
  mlir::Value dot(mlir::Value x, mlir::Value y, mlir::Value accumulator);
  mlir::Value addF(mlir::Value x, mlir::Value y);
  mlir::Value subF(mlir::Value x, mlir::Value y);
  mlir::Value mulF(mlir::Value x, mlir::Value y);
  mlir::Value compareF(mlir::arith::CmpFPredicate predicate, mlir::Value x, mlir::Value y);
  /// `x > y ? x : y`: y where either is NaN (the processor's own maximum).
  mlir::Value maxOrSecond(mlir::Value x, mlir::Value y);
  mlir::Value bitcast(mlir::Value x, mlir::Type type);
  /// Lanes [0, count) of `lanes`: `count` may be below 0 or above the vector's length.
  mlir::Value laneMask(mlir::Value count) { return laneMask(count, lanes); }
  mlir::Value laneMask(mlir::Value count, int64_t lanes);

  // Memory. Elements of 16 bits are widened to f32 and rounded when stored; vectors of i8 are read as numbers.
  mlir::Value load(mlir::Value memref, mlir::ValueRange indices);
  mlir::Value loadVector(mlir::Value memref, mlir::ValueRange indices);
  /// `count` elements as they are in memory: as one integer; as a vector.
  mlir::Value loadBits(mlir::Value memref, mlir::ValueRange indices, int64_t count);
  mlir::Value loadElements(mlir::Value memref, mlir::ValueRange indices, int64_t count);
  mlir::Value loadMasked(mlir::Value memref, mlir::ValueRange indices, mlir::Value mask);
  void store(mlir::Value scalar, mlir::Value memref, mlir::ValueRange indices);
  void storeVector(mlir::Value vector, mlir::Value memref, mlir::ValueRange indices);
  void storeMasked(mlir::Value vector, mlir::Value memref, mlir::ValueRange indices, mlir::Value mask);
  mlir::Value dim(mlir::Value memref, int64_t axis);
  /// Fetches the line of an element into a cache ahead of its use. Where it lies outside `memref` that is harmless.
  enum class Level { First, Second };
  void fetch(mlir::Value memref, mlir::ValueRange indices, Level level);
  /// The same for what lies `bytes` behind an address.
  void fetch(mlir::Value address, mlir::Value bytes, Level level);
  mlir::Value addressOf(mlir::Value memref, mlir::ValueRange indices);
  /// What accesses memory before and after stays so in the code: the compiler may otherwise put the loads of many steps
  /// before what is fetched between them, for which there are not registers enough. No instruction.
  void keepOrder();
  /// Whether the processor fetches by itself what is read in the order of addresses, as `exec` (fovea_exec) says.
  mlir::Value foresees(mlir::Value exec);
  /// Elements of `memref` in a cache line.
  int64_t perLine(mlir::Value memref) const;

  // Control.
  void loop(mlir::Value begin, mlir::Value end, mlir::Value step, llvm::function_ref<void(mlir::Value)> body);
  void loop(mlir::Value begin, mlir::Value end, int64_t step, llvm::function_ref<void(mlir::Value)> body) {
    loop(begin, end, index(step), body);
  }
  /// A loop that carries `init`.
  Values carry(mlir::Value begin, mlir::Value end, mlir::Value step, mlir::ValueRange init,
               llvm::function_ref<Values(mlir::Value, mlir::ValueRange)> body);
  Values carry(mlir::Value begin, mlir::Value end, int64_t step, mlir::ValueRange init,
               llvm::function_ref<Values(mlir::Value, mlir::ValueRange)> body) {
    return carry(begin, end, index(step), init, body);
  }
  void branch(mlir::Value condition, llvm::function_ref<void()> then, llvm::function_ref<void()> otherwise = nullptr);
  Values choose(mlir::Value condition, mlir::TypeRange types, llvm::function_ref<Values()> then,
                llvm::function_ref<Values()> otherwise);
};

/// A row-major or strided matrix: where it starts in `memref` (rank 2, f32 or 16-bit floats), after all batch axes are
/// fixed.
struct Matrix {
  mlir::Value memref;
  mlir::Value rowStride() const { return strides[0]; }
  mlir::Value columnStride() const { return strides[1]; }
  mlir::Value strides[2];
  /// The type says that columns are adjacent.
  bool unitColumns = false;
};

/// The last two axes of `memref` at batch index `batch`. `assumeUnit`: the caller has checked that columns are
/// adjacent.
Matrix matrixAt(Code &code, mlir::Value memref, mlir::ValueRange batch, bool assumeUnit = false);
/// The last axis of `memref` at `batch`, as a matrix of one column more outward: [1, n].
mlir::Value elementOffset(Code &code, mlir::Value memref, mlir::ValueRange indices);
/// A matrix without its first rows and columns: what a loop over its rows adds to its address are constants.
mlir::Value partFrom(Code &code, mlir::Value matrix, mlir::Value row, mlir::Value column);
/// Whether the memref's type says that its last axis is adjacent.
bool hasUnitColumns(mlir::Value memref);
/// Whether it says how far the rows of its matrices are apart.
bool hasKnownRows(mlir::Value memref);
/// The last stride as an index.
mlir::Value lastStride(Code &code, mlir::Value memref);

/// Row-major f32 memory in a task's scratch, laid out one after the other at multiples of 64 bytes.
class ScratchLayout {
public:
  /// From byte `begin` of `base`, which may be null: then only sizes are summed up.
  ScratchLayout(Code &code, mlir::Value base, mlir::Value begin) : code(code), base(base), used(begin) {}
  ScratchLayout(Code &code, mlir::Value base) : ScratchLayout(code, base, code.index(0)) {}
  /// A memref of `shape` (kDynamic entries take their size from `sizes`).
  mlir::Value allocate(llvm::ArrayRef<int64_t> shape, mlir::ValueRange sizes, mlir::Type element = {});
  mlir::Value bytes() const { return used; }

private:
  Code &code;
  mlir::Value base;
  mlir::Value used;
};

/// accumulators[r * vectors + v] += sum over k in [begin, end) of lhs(r, k) * rhs(v, k), one chain in k order each.
/// With `dots` a step is Code::dot: of `lhs`, which gives integers then, and `rhs`.
///
/// `lhs` gives scalars, `rhs` vectors; `unroll` steps of k stand in the main loop's body.
struct TileLoop {
  int rows;
  int vectors;
  int unroll;
  std::function<mlir::Value(int row, mlir::Value k)> lhs;
  std::function<mlir::Value(int vector, mlir::Value k)> rhs;
  /// Emits what goes before step `step` of the unrolled body, if anything.
  std::function<void(mlir::Value k, int step)> every = nullptr;
  bool dots = false;
  /// The last vector as row `row` reads it for itself, at an address of its own, if given: each multiply-add of it has
  /// it as its memory operand then, and there is one load less, but `rows` readings instead of one.
  std::function<mlir::Value(int row, mlir::Value k)> lastOfRow = nullptr;
};
Code::Values multiplyAccumulate(Code &code, const TileLoop &tile, mlir::Value begin, mlir::Value end,
                                mlir::ValueRange accumulators);

/// Transposes `lanes` vectors of `lanes` elements in registers.
Code::Values transpose(Code &code, mlir::ValueRange rows);
/// Elements [column, column + 8) of 16 rows of a matrix, transposed in registers: eight vectors of f32, lane i is row
/// `row + i`. A vector takes a load and log2(16) merges, of which one is another load: as few as there can be. Elements
/// of 16 bits are widened between the loads and the other merges.
Code::Values loadEightColumns(Code &code, mlir::Value memref, mlir::Value row, mlir::Value column);

/// Splits a linear index into one index a size, row-major.
Code::Values delinearize(Code &code, mlir::Value linear, mlir::ValueRange sizes);

} // namespace fovea::kernels
