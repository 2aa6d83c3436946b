//   %e = erf(%x c), %y = %x (1 + %e)                    %d = (1 + %e) + %x erf'(%x c) c, behind %y
//   gradients of %y that reach %x by %e and by itself    %dx = %dy %d
//
// GELU's gradient takes %x and %e from memory, which nothing else wants; its derivative is one tensor, and computed
// where %x and %e are at hand. Reassociating: products with the gradient are distributed.
#include "compiler/autodiff/ElementDerivative.h"

#include "compiler/autodiff/Rules.h"
#include "dialects/graph/ElementCost.h"
#include "dialects/graph/Places.h"

#include "llvm/ADT/SetVector.h"

using namespace mlir;
using namespace fovea;
using namespace fovea::autodiff;

namespace {

bool isElementwise(Operation *op) { return isa_and_nonnull<graph::ElementwiseOpInterface>(op); }

/// Ops from one tensor to one value, which alone is read by others.
class ElementFunction {
public:
  ElementFunction(Operation *last, const GradientPaths &paths) : last(last), paths(paths) { ops.insert(last); }

  /// The tensor that it is a function of; null where it is one of several.
  Value argument() const {
    SmallVector<Value> all = arguments();
    return all.size() == 1 && all.front().getType() == last->getResult(0).getType() ? all.front() : Value();
  }

  /// Takes the last op in that an argument comes from. Whether there is one that only the function reads.
  bool grow() {
    Operation *next = nullptr;
    for (Value x : arguments())
      if (mayTake(x) && (!next || next->isBeforeInBlock(x.getDefiningOp())))
        next = x.getDefiningOp();
    return next && ops.insert(next);
  }

  /// The derivative, written behind the function; null where it has none. `written`: its ops, in order.
  Value write(Value x, SmallVector<Operation *> &written) const;
  /// Tensors that nobody else keeps and that `derivative` is computed from.
  unsigned tensorsBehind(Value derivative, Value x, ArrayRef<Operation *> written) const;

private:
  bool isOfOthers(Value x) const {
    return llvm::any_of(x.getUsers(),
                        [&](Operation *user) { return paths.leading.contains(user) && !ops.contains(user); });
  }
  bool mayTake(Value x) const {
    Operation *op = x.getDefiningOp();
    return isElementwise(op) && paths.leading.contains(op) && !llvm::is_contained(paths.wrt, x) && !isOfOthers(x);
  }
  SmallVector<Value> arguments() const {
    llvm::SetVector<Value> all;
    for (Operation *op : ops)
      for (Value x : op->getOperands())
        if (paths.reached.contains(x) && !ops.contains(x.getDefiningOp()))
          all.insert(x);
    return all.takeVector();
  }

  Operation *last;
  const GradientPaths &paths;
  llvm::SetVector<Operation *> ops;
};

/// Says what was written.
struct Record : OpBuilder::Listener {
  explicit Record(SmallVector<Operation *> &written) : written(written) {}
  void notifyOperationInserted(Operation *op, OpBuilder::InsertPoint) override {
    op->setLoc(withPath(op->getLoc(), "")); // the path is the function's own value's
    written.push_back(op);
  }
  SmallVector<Operation *> &written;
};

Value ElementFunction::write(Value x, SmallVector<Operation *> &written) const {
  Record record(written);
  OpBuilder b(last->getContext());
  b.setInsertionPointAfter(last);
  b.setListener(&record);
  DenseMap<Value, Value> reaching;
  auto type = cast<graph::TensorType>(x.getType());
  reaching[last->getResult(0)] = splat(b, last->getLoc(), type, 1);
  SmallVector<Operation *> order = llvm::to_vector(ops);
  llvm::sort(order, [](Operation *a, Operation *b) { return b->isBeforeInBlock(a); });
  for (Operation *op : order) {
    Value gradient = reaching.lookup(op->getResult(0));
    if (!gradient)
      continue;
    Adjoint adjoint{b, op, gradient, llvm::BitVector(op->getNumOperands()), {}};
    adjoint.passed.resize(op->getNumOperands());
    for (auto [i, operand] : llvm::enumerate(op->getOperands()))
      adjoint.needed[i] = paths.reached.contains(operand);
    if (failed(applyRule(adjoint)))
      return {};
    for (auto [operand, passed] : llvm::zip(op->getOperands(), adjoint.passed))
      if (passed) {
        Value &sum = reaching[operand];
        sum = sum ? Value(graph::AddOp::create(b, op->getLoc(), sum, passed)) : passed;
      }
  }
  return reaching.lookup(x);
}

unsigned ElementFunction::tensorsBehind(Value derivative, Value x, ArrayRef<Operation *> written) const {
  DenseSet<Value> seen;
  SmallVector<Value> open{derivative};
  unsigned count = 0;
  while (!open.empty()) {
    Value value = open.pop_back_val();
    if (!seen.insert(value).second)
      continue;
    Operation *op = value.getDefiningOp();
    if (value == x)
      count += !isOfOthers(x);
    else if (!op || !(isElementwise(op) || isa<graph::BroadcastOp>(op)))
      continue; // there anyway
    else if (!graph::isCostly(op) || llvm::is_contained(written, op))
      llvm::append_range(open, op->getOperands());
    else
      count += op != last && ops.contains(op); // what comes out last is kept for others
  }
  return count;
}

void erase(ArrayRef<Operation *> ops) {
  for (Operation *op : llvm::reverse(ops))
    op->erase();
}

} // namespace

std::optional<ElementDerivative> autodiff::derivativeToKeep(Operation *op, const GradientPaths &paths) {
  if (!isElementwise(op) || cast<graph::TensorType>(op->getResult(0).getType()).getRank() == 0)
    return std::nullopt;
  ElementFunction function(op, paths);
  std::optional<ElementDerivative> best;
  SmallVector<Operation *> bestOps;
  unsigned most = 1; // it is one itself
  do {
    Value x = function.argument();
    if (!x)
      continue;
    SmallVector<Operation *> written;
    Value derivative = function.write(x, written);
    unsigned tensors = derivative ? function.tensorsBehind(derivative, x, written) : 0;
    if (tensors > most) {
      erase(bestOps);
      std::swap(bestOps, written);
      best = {x, derivative};
      most = tensors;
    } else {
      erase(written);
    }
  } while (function.grow());
  if (std::string path = pathOf(op->getLoc()).str(); best && !path.empty()) {
    Operation *derivative = best->value.getDefiningOp();
    derivative->setLoc(withPath(derivative->getLoc(), path + ".derivative"));
  }
  return best;
}
