// Reads ops, not elements: it is asked where the algebra has found no softmax, to name what is in the way.
#include "compiler/passes/NearMiss.h"

#include "compiler/passes/ElementExpression.h"

#include "llvm/ADT/SetVector.h"

using namespace mlir;
using namespace fovea;

static bool isElementwise(Operation *op) { return isLayout(op) || isa_and_nonnull<graph::ElementwiseOpInterface>(op); }

static bool isExponential(Operation *op) {
  if (auto power = dyn_cast_or_null<graph::PowOp>(op))
    return constantValue(power.getLhs()).has_value();
  return isa_and_nonnull<graph::ExpOp>(op);
}

/// Ops that `value` is computed by, itself first, through those that `follows` accepts.
static llvm::SetVector<Operation *> sources(Value value, llvm::function_ref<bool(Operation *)> follows) {
  llvm::SetVector<Operation *> found;
  if (Operation *op = value.getDefiningOp())
    found.insert(op);
  for (size_t i = 0; i < found.size() && found.size() < 512; ++i)
    if (follows(found[i]))
      for (Value operand : found[i]->getOperands())
        if (Operation *op = operand.getDefiningOp())
          found.insert(op);
  return found;
}

static Operation *behindLayouts(Value value) {
  Operation *op = value.getDefiningOp();
  while (isLayout(op))
    op = op->getOperand(0).getDefiningOp();
  return op;
}

/// What divides the exponentials: in the weights, or in what follows the product.
static Value denominator(Value weights, graph::ContractOp product, Operation *exponential) {
  auto isOver = [&](graph::DivOp div, Operation *numerator) {
    return sources(div.getLhs(), isElementwise).contains(numerator);
  };
  for (Operation *op : sources(weights, isElementwise))
    if (auto div = dyn_cast<graph::DivOp>(op); div && isOver(div, exponential))
      return div.getRhs();
  Value result = product.getResult();
  while (result.hasOneUse() && isElementwise(*result.user_begin())) {
    if (auto div = dyn_cast<graph::DivOp>(*result.user_begin()); div && isOver(div, product))
      return div.getRhs();
    result = (*result.user_begin())->getResult(0);
  }
  return Value();
}

static LogicalResult explain(Value by, Operation *exponential, ChainReport &report) {
  if (!by)
    return report.failed("these are no weights: nothing divides the exponentials by their sum", exponential->getLoc());
  Operation *op = behindLayouts(by);
  auto reduce = dyn_cast_or_null<graph::ReduceOp>(op);
  if (reduce && reduce.getKind() == "sum") {
    bool isTheirs = sources(reduce.getX(), isElementwise).contains(exponential);
    return report.failed(
        isTheirs ? "the sum that divides the exponentials is over another axis, or of something else as well"
                 : "the exponentials are divided by a sum of others",
        op->getLoc());
  }
  std::string what = reduce ? reduce.getKind().str() : op ? op->getName().stripDialect().str() : "a value from outside";
  return report.failed("the exponentials are divided by " + what + ", not by their sum",
                       (op ? op : exponential)->getLoc());
}

bool fovea::isNearMiss(graph::ContractOp product, ChainReport &report) {
  auto isReduction = [](Operation *op) { return isElementwise(op) || isa<graph::ReduceOp>(op); };
  for (Value weights : product->getOperands()) {
    llvm::SetVector<Operation *> made = sources(weights, isElementwise);
    auto exponential = llvm::find_if(made, isExponential);
    if (exponential == made.end())
      continue;
    // Of scores: a contraction is behind, and a maximum or a sum of them takes part, here or in what divides the
    // product.
    Value by = denominator(weights, product, *exponential);
    llvm::SetVector<Operation *> behind = sources((*exponential)->getResult(0), isReduction);
    bool isOfScores = llvm::any_of(behind, [](Operation *op) { return isa<graph::ContractOp>(op); });
    // One key alone has the weight 1, and its scores are no more than the queries are.
    auto reduces = [](Operation *op) {
      auto reduce = dyn_cast<graph::ReduceOp>(op);
      return reduce && llvm::any_of(reduce.getAxes(), [&](int64_t axis) {
               return !cast<graph::TensorType>(reduce.getX().getType()).getDim(axis).isConstant(1);
             });
    };
    bool isNormalised =
        llvm::any_of(sources(weights, isReduction), reduces) || (by && llvm::any_of(sources(by, isReduction), reduces));
    if (!isOfScores || !isNormalised)
      continue;
    (void)explain(by, *exponential, report);
    return true;
  }
  return false;
}
