#include "compiler/kernels/emit/ScalarEvaluator.h"

#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace fovea::kernels {

std::optional<int64_t> ScalarEvaluator::evaluate(Value value) {
  auto integer = dyn_cast_or_null<IntegerAttr>(attributeOf(value));
  if (!integer)
    return std::nullopt;
  return value.getType().isInteger(1) ? integer.getValue().getZExtValue() : integer.getValue().getSExtValue();
}

Attribute ScalarEvaluator::attributeOf(Value value) {
  if (auto found = memo.find(value); found != memo.end())
    return found->second;
  Attribute result;
  if (std::optional<int64_t> given = known(value))
    result = IntegerAttr::get(value.getType(), *given);
  else if (auto opResult = dyn_cast<OpResult>(value))
    result = fold(opResult.getOwner(), opResult.getResultNumber());
  return memo[value] = result;
}

Attribute ScalarEvaluator::fold(Operation *op, unsigned result) {
  Attribute constant;
  if (matchPattern(op, m_Constant(&constant)))
    return constant;
  if (op->getNumRegions() || op->getNumResults() != 1)
    return Attribute();
  SmallVector<Attribute> operands;
  for (Value operand : op->getOperands())
    operands.push_back(attributeOf(operand)); // null where it is not known: `x and false` still folds
  SmallVector<OpFoldResult> results;
  // An op that folds in place is changed: that must not happen to code which is only looked at.
  Operation *copy = op->clone();
  LogicalResult folded = copy->fold(operands, results);
  copy->erase();
  if (failed(folded) || results.size() <= result)
    return Attribute();
  if (auto attribute = dyn_cast<Attribute>(results[result]))
    return attribute;
  return attributeOf(cast<Value>(results[result]));
}

} // namespace fovea::kernels
