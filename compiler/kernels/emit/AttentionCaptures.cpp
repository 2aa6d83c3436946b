#include "compiler/kernels/emit/AttentionCaptures.h"

#include "mlir/IR/Matchers.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;

namespace fovea::kernels {
namespace {

/// The ops of `block` that `values` need; fails where one reads memory or is no plain arithmetic on integers.
LogicalResult collectSlice(Block *block, ValueRange values, llvm::SetVector<Operation *> &slice) {
  for (Value value : values) {
    Operation *op = value.getDefiningOp();
    if (!op || op->getBlock() != block || slice.contains(op))
      continue;
    if (!isa<arith::ArithDialect>(op->getDialect()) || failed(collectSlice(block, op->getOperands(), slice)))
      return failure();
    slice.insert(op);
  }
  return success();
}

bool dependsOn(Value value, Value argument) {
  Operation *op = value.getDefiningOp();
  return value == argument || (op && op->getBlock() == argument.getParentBlock() &&
                               llvm::any_of(op->getOperands(), [&](Value x) { return dependsOn(x, argument); }));
}

/// Whether `value` grows by 1 with `argument`.
bool followsByOne(Value value, Value argument) {
  if (value == argument)
    return true;
  Operation *op = value.getDefiningOp();
  if (isa_and_nonnull<arith::SubIOp>(op))
    return followsByOne(op->getOperand(0), argument) && !dependsOn(op->getOperand(1), argument);
  if (!isa_and_nonnull<arith::AddIOp>(op))
    return false;
  Value x = op->getOperand(0), y = op->getOperand(1);
  return (followsByOne(x, argument) && !dependsOn(y, argument)) ||
         (followsByOne(y, argument) && !dependsOn(x, argument));
}

bool isTransposed(kernel::LoadOp load, Value query, Value key) {
  Type element = cast<MemRefType>(load.getSource().getType()).getElementType();
  bool isMask = element.isInteger(8) && load.getResult().getType().isInteger(1);
  if (!hasUnitColumns(load.getSource()) || load.getIndices().empty() || !(isMask || isa<FloatType>(element)) ||
      (isa<FloatType>(element) && element.getIntOrFloatBitWidth() > 32))
    return false;
  ValueRange outerIndices = load.getIndices().drop_back();
  llvm::SetVector<Operation *> slice;
  if (Value mask = load.getMask();
      mask && (dependsOn(mask, query) || failed(collectSlice(load->getBlock(), mask, slice))))
    return false;
  return followsByOne(load.getIndices().back(), key) &&
         llvm::none_of(outerIndices, [&](Value x) { return dependsOn(x, key); }) &&
         llvm::any_of(load.getIndices(), [&](Value x) { return dependsOn(x, query); }) &&
         succeeded(collectSlice(load->getBlock(), load.getIndices(), slice));
}

} // namespace

TransposedCaptures::TransposedCaptures(Block *block) : block(block) {
  // A checked index may be out of range at some points: such accesses stay single.
  if (!block || !block->getOps<kernel::CheckOp>().empty())
    return;
  Value key = block->getArguments().back(), query = block->getArgument(block->getNumArguments() - 2);
  for (auto load : block->getOps<kernel::LoadOp>())
    if (isTransposed(load, query, key))
      captures.push_back({load, nullptr});
}

void TransposedCaptures::reserve(Code &code, ScratchLayout &layout) {
  for (Capture &capture : captures)
    capture.tile = layout.allocate({code.lanes, code.lanes}, {});
}

/// A vectoriser that has emitted what `values` are computed from.
FailureOr<PointVectorizer> TransposedCaptures::evaluated(const Region &region, ValueRange values, Value query,
                                                         LaneValue key) {
  llvm::SetVector<Operation *> slice;
  (void)collectSlice(block, values, slice);
  Code &code = region.code;
  PointVectorizer point(code.b, code.loc, region.target, code.lanes, nullptr, region.outer);
  region.bind(point);
  point.bind(block->getArgument(block->getNumArguments() - 2), LaneValue::uniform(query));
  point.bind(block->getArguments().back(), key);
  for (Operation *op : slice)
    if (failed(point.emit(*op)))
      return failure();
  return point;
}

FailureOr<Code::Values> TransposedCaptures::indicesAt(const Region &region, kernel::LoadOp load, Value query,
                                                      Value key) {
  FailureOr<PointVectorizer> point = evaluated(region, load.getIndices(), query, LaneValue::uniform(key));
  if (failed(point))
    return failure();
  return llvm::map_to_vector(load.getIndices(), [&](Value index) { return point->lookup(index).value; });
}

/// Which of a vector of keys from `key` are read: some, and all of them, as scalars and by lane.
FailureOr<TransposedCaptures::KeysRead> TransposedCaptures::keysRead(const Region &region, kernel::LoadOp load,
                                                                     Value query, Value key) {
  FailureOr<PointVectorizer> point = evaluated(region, load.getMask(), query, LaneValue::linear(key));
  if (failed(point))
    return failure();
  Code &code = region.code;
  Value lanes = point->vector(load.getMask());
  auto reduce = [&](vector::CombiningKind kind) -> Value {
    return vector::ReductionOp::create(code.b, code.loc, kind, lanes);
  };
  return KeysRead{reduce(vector::CombiningKind::OR), reduce(vector::CombiningKind::AND), lanes};
}

LogicalResult TransposedCaptures::fetch(const Region &region, Value query, Value key, int64_t keys) {
  Code &code = region.code;
  for (Capture &capture : captures) {
    Value source = region.outer.lookupOrDefault(capture.load.getSource());
    FailureOr<Code::Values> indices = indicesAt(region, capture.load, query, key);
    if (failed(indices))
      return failure();
    auto lines = [&] {
      for (int64_t i = 0; i < keys; i += code.perLine(source)) {
        Code::Values at(*indices);
        at.back() = code.add(at.back(), i);
        code.fetch(source, at, Code::Level::Second);
      }
    };
    if (!capture.load.getMask()) {
      lines();
      continue;
    }
    // A piece of the keys that lies within these is not fetched.
    FailureOr<KeysRead> first = keysRead(region, capture.load, query, key);
    FailureOr<KeysRead> last = keysRead(region, capture.load, query, code.add(key, keys - code.lanes));
    if (failed(first) || failed(last))
      return failure();
    code.branch(code.logicalOr(first->some, last->some), lines);
  }
  return success();
}

LogicalResult TransposedCaptures::fill(const Region &region, ValueRange queries, Value key) {
  Code &code = region.code;
  LogicalResult result = success();
  for (Capture &capture : captures) {
    auto read = [&](Value lanes) {
      if (failed(fillTile(region, capture, queries, key, lanes)))
        result = failure();
    };
    if (!capture.load.getMask()) {
      read(nullptr);
      continue;
    }
    FailureOr<KeysRead> keys = keysRead(region, capture.load, queries.front(), key);
    if (failed(keys))
      return failure();
    code.branch(
        keys->all, [&] { read(nullptr); },
        [&] {
          code.branch(
              keys->some, [&] { read(keys->lanes); },
              [&] {
                for (int i = 0; i < code.lanes; ++i)
                  code.storeVector(code.splat(0), capture.tile, {code.index(i), code.index(0)});
              });
        });
  }
  return result;
}

/// Of those keys alone that `lanes` (null: all) says; 0 for the others.
LogicalResult TransposedCaptures::fillTile(const Region &region, Capture capture, ValueRange queries, Value key,
                                           Value lanes) {
  Code &code = region.code;
  Value source = region.outer.lookupOrDefault(capture.load.getSource());
  bool isMask = capture.load.getResult().getType().isInteger(1);
  Code::Values rows;
  for (Value query : queries) {
    FailureOr<Code::Values> indices = indicesAt(region, capture.load, query, key);
    if (failed(indices))
      return failure();
    if (!isMask) {
      rows.push_back(lanes ? code.loadMasked(source, *indices, lanes) : code.loadVector(source, *indices));
      continue;
    }
    VectorType type = code.vectorOf(code.b.getI8Type());
    Value none = arith::ConstantOp::create(code.b, code.loc, code.b.getZeroAttr(type));
    Value bytes = lanes ? Value(vector::MaskedLoadOp::create(code.b, code.loc, type, source, *indices, lanes, none))
                        : Value(vector::LoadOp::create(code.b, code.loc, type, source, *indices));
    Value wide = arith::ExtUIOp::create(code.b, code.loc, code.vectorOf(code.b.getI32Type()), bytes);
    rows.push_back(code.bitcast(wide, code.vector()));
  }
  for (auto [i, column] : llvm::enumerate(transpose(code, rows)))
    code.storeVector(column, capture.tile, {code.index(i), code.index(0)});
  return success();
}

void TransposedCaptures::bind(Code &code, PointVectorizer &points, Value key) {
  for (Capture &capture : captures) {
    Value x = code.loadVector(capture.tile, {key, code.index(0)});
    Type type = capture.load.getResult().getType();
    if (type.isInteger(1)) {
      Value bytes = code.bitcast(x, code.vectorOf(code.b.getI32Type()));
      x = arith::CmpIOp::create(code.b, code.loc, arith::CmpIPredicate::ne, bytes, code.splatInt(0));
    } else if (!type.isF32()) {
      x = arith::TruncFOp::create(code.b, code.loc, code.vectorOf(type), x); // exact: it comes from 16 bits
    }
    points.bind(capture.load.getResult(), LaneValue::varying(x));
  }
}

//===-- Of several regions ----------------------------------------------------------------------------------------===//

RegionCaptures::RegionCaptures(Code &code, const Target &target, const IRMapping &outer, ArrayRef<Block *> regions)
    : code(code), target(target), outer(outer) {
  for (Block *region : regions)
    if (TransposedCaptures its(region); !its.empty())
      captures.emplace_back(region, std::move(its));
}

bool RegionCaptures::isIn(Block *region) const { return llvm::is_contained(llvm::make_first_range(captures), region); }

void RegionCaptures::reserve(ScratchLayout &layout) {
  for (auto &[region, its] : captures)
    its.reserve(code, layout);
}

LogicalResult RegionCaptures::fill(ValueRange queries, Value key, Block *skipped, Bind bind) {
  for (auto &[region, its] : captures) {
    auto bindRegion = [&, region = region](PointVectorizer &points) { bind(*region, points); };
    if (region != skipped && failed(its.fill({code, target, outer, bindRegion}, queries, key)))
      return failure();
  }
  return success();
}

LogicalResult RegionCaptures::fetch(Value query, Value key, int64_t keys, Bind bind) {
  for (auto &[region, its] : captures) {
    auto bindRegion = [&, region = region](PointVectorizer &points) { bind(*region, points); };
    if (failed(its.fetch({code, target, outer, bindRegion}, query, key, keys)))
      return failure();
  }
  return success();
}

void RegionCaptures::bind(Block &region, PointVectorizer &points, Value key) {
  for (auto &[its, reads] : captures)
    if (its == &region)
      reads.bind(code, points, key);
}

} // namespace fovea::kernels
