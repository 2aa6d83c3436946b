// The SPMD vectoriser: point programs (scalar code for one point) to vector code along a lane axis.
//
//   kernel.load %X[%b, %d]       %b uniform, %d = base + lane      vector.load %X[%b, %base]
//   arith.mulf %x, %s            %x varying, %s uniform       =>   arith.mulf %xv, broadcast %s
//   kernel.store %y, %Y[%b, %d]                                    vector.maskedstore …, %mask, %yv
//
// Exact: lanes compute what the scalar code does, whatever the mask.
#ifndef FOVEA_COMPILER_KERNELS_EMIT_VECTORIZE_H
#define FOVEA_COMPILER_KERNELS_EMIT_VECTORIZE_H

#include "compiler/kernels/Target.h"
#include "dialects/kernel/KernelDialect.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/IRMapping.h"

namespace fovea::kernels {

/// What a scalar of a point program is across the lanes.
struct LaneValue {
  enum class Kind {
    uniform, ///< `value` is the scalar: the same in every lane
    linear,  ///< index or i64: `value` (scalar) + lane * stride
    varying, ///< `value` is a vector<lanes x T>
  };
  Kind kind = Kind::uniform;
  mlir::Value value;
  int64_t stride = 0;
  int64_t alignment = 1; ///< linear: `value` is a multiple of this

  static LaneValue uniform(mlir::Value scalar) { return {Kind::uniform, scalar, 0, 1}; }
  static LaneValue linear(mlir::Value base, int64_t stride = 1, int64_t alignment = 1) {
    return {Kind::linear, base, stride, alignment};
  }
  static LaneValue varying(mlir::Value vector) { return {Kind::varying, vector, 0, 1}; }
  bool isUniform() const { return kind == Kind::uniform; }
};

/// What kernel.check needs. A vectoriser without an `exec` computes checks (so that loads stay in bounds) and reports
/// none.
struct FailureContext {
  mlir::Value exec; ///< !llvm.ptr
  LaneValue point;  ///< i64 or index: the point's linear index, which orders failures; uniform or linear
};

/// Emits point programs at `builder`, `lanes` points at once. One instance serves one place of the emitted code: values
/// that it made are reused, so everything is emitted into the block where `builder` stands at the first call.
///
///   PointVectorizer lanes(builder, loc, target, target.vectorLength, mask, outer);
///   lanes.bind(block.getArgument(0), LaneValue::uniform(row));
///   lanes.bind(block.getArgument(1), LaneValue::linear(column));
///   if (failed(lanes.emitBlock(block))) …
///   Value score = lanes.vector(yield.getOperand(0));
class PointVectorizer {
public:
  /// `mask`: vector<lanes x i1>, null for "all true"; at least one lane must be active. `outer` maps values defined
  /// outside of the point program (memrefs, sizes, scalars); those that it does not know stand for themselves. All are
  /// uniform.
  PointVectorizer(mlir::OpBuilder &builder, mlir::Location loc, const Target &target, int64_t lanes, mlir::Value mask,
                  const mlir::IRMapping &outer, FailureContext failures = {});

  /// A vectoriser for code inside a loop or branch of where this one stands: it knows what this one made, and works
  /// under another mask. What is bound to it stays its own.
  PointVectorizer nested(mlir::Value innerMask) const {
    PointVectorizer inner(*this);
    inner.mask = innerMask;
    return inner;
  }
  /// Whether checks call @fovea_fail and with which point; without an `exec` they only guard accesses.
  void setFailures(FailureContext context) { failures = context; }
  /// Where the masks of loads mostly say the same of all lanes, and masked loads are slow: branches tell.
  void branchOnLoadMasks() { branches = true; }

  /// Says what `scalar` (a block argument, or a value computed elsewhere) is.
  void bind(mlir::Value scalar, LaneValue lane) { known[scalar] = lane; }
  bool isBound(mlir::Value scalar) const { return known.contains(scalar); }

  /// Emits all of `block` but its terminator.
  mlir::LogicalResult emitBlock(mlir::Block &block);
  /// Emits one op whose operands are bound, emitted or outer. kernel.reduce is the caller's to bind.
  mlir::LogicalResult emit(mlir::Operation &op);

  /// Stores `value` of each point to an element of its own, where `condition` (null: always) holds.
  void store(mlir::Value value, mlir::Value memref, mlir::ValueRange indices, mlir::Value condition);
  /// Adds `value` of each point to an element, likewise; lanes that add to one element do so in their order.
  void add(mlir::Value value, mlir::Value memref, mlir::ValueRange indices, mlir::Value condition);

  LaneValue lookup(mlir::Value scalar);
  /// An element of `memref`, a value of the emitted code, at indices that were computed there.
  LaneValue load(mlir::Value memref, llvm::ArrayRef<LaneValue> indices);
  /// `scalar` as a vector<lanes x T>; uniform values are broadcast.
  mlir::Value vector(mlir::Value scalar);
  mlir::Value getMask() const { return mask; }

private:
  /// Where an access is made and whether: the conditions are null where always true.
  struct Access {
    mlir::Value memref;
    llvm::SmallVector<LaneValue> indices;
    mlir::Value when;                  ///< scalar i1
    mlir::Value lanesWhen;             ///< vector of i1, without the vectoriser's own mask
    std::optional<int64_t> laneStride; ///< elements from lane to lane; none where it is not a constant
  };
  Access analyse(mlir::Value memref, mlir::ValueRange indices, mlir::Value condition);
  static Access accessAt(mlir::Value memref, llvm::ArrayRef<LaneValue> indices);
  LaneValue emitLoad(const Access &access);
  void restrict(Access &access, LaneValue condition);
  mlir::Value scalarIndex(const LaneValue &index) { return index.value; }
  llvm::SmallVector<mlir::Value> laneZero(const Access &access);
  std::pair<mlir::Value, llvm::SmallVector<mlir::Value>> contiguousBase(const Access &access);
  mlir::Value flatView(mlir::Value memref, llvm::SmallVectorImpl<mlir::Value> &strides);
  std::pair<mlir::Value, mlir::Value> laneOffsets(const Access &access, llvm::ArrayRef<mlir::Value> strides);
  mlir::Value activeLanes(const Access &access);

  mlir::LogicalResult emitLoad(kernel::LoadOp op);
  LaneValue emitUniformLoad(const Access &access, mlir::Type element);
  mlir::Value emitContiguousLoad(const Access &access, mlir::Type element);
  mlir::Value emitPairLoad(const Access &access, mlir::Type element);
  mlir::Value emitGather(const Access &access, mlir::Type element);
  mlir::LogicalResult emitStore(kernel::StoreOp op);
  void emitVectorStore(mlir::Value value, const Access &access);
  void emitUniformStore(kernel::StoreOp op, const Access &access);
  void emitContiguousStore(const Access &access, mlir::Value value);
  void emitScatter(const Access &access, mlir::Value value);
  void emitAddition(mlir::Value value, const Access &access);
  void emitSum(mlir::Value value, const Access &access);
  void emitContiguousAddition(mlir::Value value, const Access &access);
  mlir::LogicalResult emitCheck(kernel::CheckOp op);
  void reportFailure(kernel::CheckOp op, mlir::Value failing);
  bool emitLinear(mlir::Operation &op);
  bool emitDigit(mlir::Operation &op);
  mlir::LogicalResult emitElementwise(mlir::Operation &op);
  mlir::Value materialize(const LaneValue &lane);
  mlir::VectorType vectorOf(mlir::Type element) const { return mlir::VectorType::get({lanes}, element); }

  mlir::OpBuilder &builder;
  mlir::Location loc;
  int64_t lanes;
  mlir::Value mask;
  const mlir::IRMapping &outer;
  FailureContext failures;
  bool branches = false;
  llvm::DenseMap<mlir::Value, LaneValue> known;
  llvm::DenseMap<mlir::Value, mlir::Value> vectors; ///< materialised forms, by point value
  llvm::DenseMap<mlir::Value, LaneValue> inRange;   ///< of checked indices, by point value
};

} // namespace fovea::kernels
#endif
