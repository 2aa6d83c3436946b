#include "compiler/kernels/emit/Vectorize.h"

#include "compiler/kernels/emit/Elementwise.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace fovea::kernels;
namespace kernel = fovea::kernel;

PointVectorizer::PointVectorizer(OpBuilder &builder, Location loc, const Target &, int64_t lanes, Value mask,
                                 const IRMapping &outer, FailureContext failures)
    : builder(builder), loc(loc), lanes(lanes), mask(mask), outer(outer), failures(failures) {}

//===-- Values ----------------------------------------------------------------------------------------------------===//

LaneValue PointVectorizer::lookup(Value scalar) {
  auto found = known.find(scalar);
  return found == known.end() ? LaneValue::uniform(outer.lookupOrDefault(scalar)) : found->second;
}

Value PointVectorizer::vector(Value scalar) {
  Value &vector = vectors[scalar];
  if (!vector)
    vector = materialize(lookup(scalar));
  return vector;
}

Value PointVectorizer::materialize(const LaneValue &lane) {
  if (lane.kind == LaneValue::Kind::varying)
    return lane.value;
  VectorType type = vectorOf(lane.value.getType());
  Value splat = vector::BroadcastOp::create(builder, loc, type, lane.value);
  if (lane.isUniform())
    return splat;
  SmallVector<Attribute> steps;
  for (int64_t i = 0; i < lanes; ++i)
    steps.push_back(builder.getIntegerAttr(type.getElementType(), i * lane.stride));
  Value offsets = arith::ConstantOp::create(builder, loc, DenseElementsAttr::get(type, steps));
  return arith::AddIOp::create(builder, loc, splat, offsets);
}

//===-- Ops -------------------------------------------------------------------------------------------------------===//

LogicalResult PointVectorizer::emitBlock(Block &block) {
  for (Operation &op : block.without_terminator())
    if (failed(emit(op)))
      return failure();
  return success();
}

LogicalResult PointVectorizer::emit(Operation &op) {
  if (auto load = dyn_cast<kernel::LoadOp>(op))
    return emitLoad(load);
  if (auto store = dyn_cast<kernel::StoreOp>(op))
    return emitStore(store);
  if (auto check = dyn_cast<kernel::CheckOp>(op))
    return emitCheck(check);
  if (emitLinear(op) || emitDigit(op))
    return success();
  return emitElementwise(op);
}

/// Index arithmetic that keeps a constant step from lane to lane; false where `op` is none.
bool PointVectorizer::emitLinear(Operation &op) {
  if (!isa<arith::AddIOp, arith::SubIOp, arith::MulIOp, arith::IndexCastOp, arith::IndexCastUIOp>(op))
    return false;
  Type type = op.getResult(0).getType();
  if (!type.isIndex() && !type.isInteger(64))
    return false;
  SmallVector<LaneValue> operands = llvm::map_to_vector(op.getOperands(), [&](Value v) { return lookup(v); });
  auto is = [&](LaneValue::Kind kind) { return [kind](const LaneValue &lane) { return lane.kind == kind; }; };
  if (llvm::none_of(operands, is(LaneValue::Kind::linear)) || llvm::any_of(operands, is(LaneValue::Kind::varying)))
    return false;
  int64_t stride = operands[0].stride;
  if (isa<arith::AddIOp>(op))
    stride += operands[1].stride;
  else if (isa<arith::SubIOp>(op))
    stride -= operands[1].stride;
  else if (isa<arith::MulIOp>(op)) {
    const LaneValue &factor = operands[operands[0].isUniform() ? 0 : 1];
    APInt constant;
    if (!factor.isUniform() || !matchPattern(factor.value, m_ConstantInt(&constant)))
      return false;
    stride = (operands[0].stride + operands[1].stride) * constant.getSExtValue();
  } else if (!op.getOperand(0).getType().isIndex() && !op.getOperand(0).getType().isInteger(64)) {
    return false; // a narrower integer may wrap from lane to lane
  }
  Operation *base = op.clone();
  base->setOperands(llvm::map_to_vector(operands, [](const LaneValue &lane) { return lane.value; }));
  Value value = builder.insert(base)->getResult(0);
  known[op.getResult(0)] = stride == 0 ? LaneValue::uniform(value) : LaneValue::linear(value, stride);
  return true;
}

/// A digit of a linear index, by a constant that whole vectors divide: all lanes have the same quotient, and the rest
/// runs on. So the axes of a reshape stay contiguous. False where `op` is none.
bool PointVectorizer::emitDigit(Operation &op) {
  if (!isa<arith::DivUIOp, arith::RemUIOp>(op))
    return false;
  LaneValue index = lookup(op.getOperand(0)), divisor = lookup(op.getOperand(1));
  APInt constant;
  if (index.kind != LaneValue::Kind::linear || index.stride != 1 || index.alignment % lanes != 0 ||
      !divisor.isUniform() || !matchPattern(divisor.value, m_ConstantInt(&constant)) || constant.isZero() ||
      constant.urem(lanes) != 0)
    return false;
  Operation *base = op.clone();
  base->setOperands({index.value, divisor.value});
  Value value = builder.insert(base)->getResult(0);
  known[op.getResult(0)] = isa<arith::DivUIOp>(op) ? LaneValue::uniform(value) : LaneValue::linear(value, 1, lanes);
  return true;
}

LogicalResult PointVectorizer::emitElementwise(Operation &op) {
  bool uniform = llvm::all_of(op.getOperands(), [&](Value v) { return lookup(v).isUniform(); });
  SmallVector<Value> operands =
      llvm::map_to_vector(op.getOperands(), [&](Value v) { return uniform ? lookup(v).value : vector(v); });
  FailureOr<Value> result = fovea::kernels::emitElementwise(builder, op, operands);
  if (failed(result))
    return failure();
  known[op.getResult(0)] = uniform ? LaneValue::uniform(*result) : LaneValue::varying(*result);
  return success();
}

//===-- Checks ----------------------------------------------------------------------------------------------------===//

LogicalResult PointVectorizer::emitCheck(kernel::CheckOp op) {
  bool uniform =
      lookup(op.getValue()).isUniform() && lookup(op.getLow()).isUniform() && lookup(op.getHigh()).isUniform();
  auto get = [&](Value v) { return uniform ? lookup(v).value : vector(v); };
  Value value = get(op.getValue());
  Value above = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::sge, value, get(op.getLow()));
  Value below = arith::CmpIOp::create(builder, loc, arith::CmpIPredicate::slt, value, get(op.getHigh()));
  Value holds = arith::AndIOp::create(builder, loc, above, below);
  inRange[op.getValue()] = uniform ? LaneValue::uniform(holds) : LaneValue::varying(holds);
  if (!failures.exec)
    return success();
  bool scalar = uniform && (!op.getMask() || lookup(op.getMask()).isUniform());
  if (uniform && !scalar)
    holds = vector::BroadcastOp::create(builder, loc, vectorOf(builder.getI1Type()), holds);
  Value failing = arith::XOrIOp::create(builder, loc, holds, emitSplat(builder, loc, holds.getType(), 1));
  if (op.getMask())
    failing = arith::AndIOp::create(builder, loc, failing, scalar ? lookup(op.getMask()).value : vector(op.getMask()));
  if (!scalar && mask)
    failing = arith::AndIOp::create(builder, loc, failing, mask);
  reportFailure(op, failing);
  return success();
}

/// The address of `text` as a C string, a global of the module.
static Value emitString(OpBuilder &builder, Location loc, ModuleOp module, StringRef text) {
  std::string name = ("fovea.place." + text).str();
  if (!module.lookupSymbol(name)) {
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(module.getBody());
    auto type = LLVM::LLVMArrayType::get(builder.getI8Type(), text.size() + 1);
    LLVM::GlobalOp::create(builder, loc, type, /*isConstant=*/true, LLVM::Linkage::Internal, name,
                           builder.getStringAttr(text.str() + '\0'));
  }
  return LLVM::AddressOfOp::create(builder, loc, LLVM::LLVMPointerType::get(builder.getContext()), name);
}

static void declareFail(OpBuilder &builder, Location loc, ModuleOp module) {
  if (module.lookupSymbol("fovea_fail"))
    return;
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(module.getBody());
  Type pointer = LLVM::LLVMPointerType::get(builder.getContext()), i64 = builder.getI64Type();
  auto type = builder.getFunctionType({pointer, builder.getI32Type(), pointer, i64, i64, i64, i64}, {});
  func::FuncOp::create(builder, loc, "fovea_fail", type).setPrivate();
}

/// In a cold branch, reports the smallest lane of `failing` (i1 or a vector of i1).
void PointVectorizer::reportFailure(kernel::CheckOp op, Value failing) {
  auto module = builder.getInsertionBlock()->getParentOp()->getParentOfType<ModuleOp>();
  declareFail(builder, loc, module);
  Type i64 = builder.getI64Type();
  bool scalar = !isa<VectorType>(failing.getType());
  // Vector forms are made before the branch: those inside would not dominate later uses.
  SmallVector<Value> found = {op.getValue(), op.getLow(), op.getHigh()};
  SmallVector<LaneValue> shown;
  for (Value v : found)
    shown.push_back(lookup(v).isUniform() ? lookup(v) : LaneValue::varying(vector(v)));
  Value any = scalar ? failing : Value(vector::ReductionOp::create(builder, loc, vector::CombiningKind::OR, failing));
  auto branch = scf::IfOp::create(builder, loc, any, /*withElseRegion=*/false);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(branch.thenBlock());
  Value lane;
  if (scalar) {
    lane = arith::ConstantOp::create(builder, loc, builder.getIndexAttr(0));
  } else {
    Value numbers =
        materialize(LaneValue::linear(arith::ConstantOp::create(builder, loc, builder.getI64IntegerAttr(0))));
    Value none = emitSplat(builder, loc, numbers.getType(), lanes);
    Value candidates = arith::SelectOp::create(builder, loc, failing, numbers, none);
    lane = vector::ReductionOp::create(builder, loc, vector::CombiningKind::MINSI, candidates);
    lane = arith::IndexCastOp::create(builder, loc, builder.getIndexType(), lane);
  }
  auto asI64 = [&](Value v) -> Value {
    return v.getType().isIndex() ? Value(arith::IndexCastOp::create(builder, loc, i64, v)) : v;
  };
  Value point = asI64(failures.point.value);
  if (failures.point.stride != 0) {
    Value step = arith::ConstantOp::create(builder, loc, builder.getI64IntegerAttr(failures.point.stride));
    Value distance = arith::MulIOp::create(builder, loc, asI64(lane), step);
    point = arith::AddIOp::create(builder, loc, point, distance);
  }
  SmallVector<Value> arguments = {failures.exec,
                                  arith::ConstantOp::create(builder, loc, builder.getI32IntegerAttr(op.getCode())),
                                  emitString(builder, loc, module, op.getPlace()), point};
  for (const LaneValue &value : shown)
    arguments.push_back(
        asI64(value.isUniform() ? value.value : Value(vector::ExtractOp::create(builder, loc, value.value, lane))));
  func::CallOp::create(builder, loc, "fovea_fail", TypeRange(), arguments);
}
