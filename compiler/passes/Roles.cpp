#include "compiler/passes/Roles.h"

#include "compiler/passes/ElementExpression.h"

using namespace mlir;
using namespace fovea;

ParamDependence::ParamDependence(graph::FuncOp function, Params params) : function(function), params(params) {}

StringRef fovea::roleName(graph::FuncOp function, unsigned argument, StringRef role) {
  auto name = function.getArgAttrOfType<StringAttr>(argument, role);
  return name ? name.getValue() : StringRef();
}

/// A param or a derived value; of fixed ones no result is the new value.
bool ParamDependence::isParam(BlockArgument argument) {
  if (argument.getOwner() != &function.getBody().front())
    return false;
  unsigned number = argument.getArgNumber();
  if (function.getArgAttr(number, graph::names::derived))
    return true;
  if (params == Params::All && function.getArgAttr(number, "graph.written"))
    return true;
  StringRef name = roleName(function, number, graph::names::param);
  if (!function.getArgAttr(number, graph::names::param))
    return false;
  for (unsigned i = 0; i < function.getNumResults(); ++i)
    for (StringRef role : {StringRef(graph::names::state), StringRef(graph::names::param)})
      if (auto written = function.getResultAttrOfType<StringAttr>(i, role); written && written.getValue() == name)
        return false;
  return true;
}

static bool hasNumericSizes(Value value) {
  auto type = dyn_cast<graph::TensorType>(value.getType());
  return type && llvm::all_of(type.getDims(), [](DimExpr dim) { return dim.isConstant(); });
}

ParamDependence::Class ParamDependence::classOf(Value root) {
  // Operands first, without recursion: chains may be long.
  SmallVector<Value> work{root};
  while (!work.empty()) {
    Value value = work.back();
    if (classes.contains(value)) {
      work.pop_back();
      continue;
    }
    Operation *op = value.getDefiningOp();
    if (!op) {
      auto argument = cast<BlockArgument>(value);
      classes[value] = hasNumericSizes(value) && isParam(argument) ? Class::Param : Class::Varying;
      continue;
    }
    bool ready = true;
    Class result = Class::Constant;
    bool isEligible = isPure(op) && op->getNumRegions() == 0 && hasNumericSizes(value);
    if (auto dim = dyn_cast<graph::DimOp>(op))
      isEligible &= dim.getSize().getValue().isConstant();
    for (Value operand : isEligible ? op->getOperands() : ValueRange()) {
      auto known = classes.find(operand);
      if (known == classes.end()) {
        work.push_back(operand);
        ready = false;
      } else {
        result = std::max(result, known->second);
      }
    }
    if (ready)
      classes[value] = isEligible ? result : Class::Varying;
  }
  return classes[root];
}

bool ParamDependence::isView(Value value) {
  while (Operation *op = value.getDefiningOp()) {
    if (!isLayout(op) && !(isa<graph::SliceOp>(op) && op->getNumOperands() == 1))
      return false;
    value = op->getOperand(0);
  }
  return true;
}

void fovea::moveBefore(Value value, Operation *anchor) {
  Operation *op = value.getDefiningOp();
  if (!op || op->getBlock() != anchor->getBlock() || op->isBeforeInBlock(anchor))
    return;
  // Operands first, without recursion.
  SmallVector<Operation *> work{op};
  while (!work.empty()) {
    Operation *top = work.back();
    bool ready = true;
    for (Value operand : top->getOperands()) {
      Operation *source = operand.getDefiningOp();
      if (source && source->getBlock() == anchor->getBlock() && anchor->isBeforeInBlock(source)) {
        work.push_back(source);
        ready = false;
      }
    }
    if (!ready)
      continue;
    work.pop_back();
    if (anchor->isBeforeInBlock(top))
      top->moveBefore(anchor);
  }
}
