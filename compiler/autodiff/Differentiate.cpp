// graph-differentiate: reverse mode over the straight line of a function's body.
#include "compiler/autodiff/AttentionRule.h"
#include "compiler/autodiff/ElementDerivative.h"
#include "compiler/autodiff/Passes.h"
#include "compiler/autodiff/Rules.h"

#include "dialects/graph/Places.h"

#include "llvm/ADT/DenseSet.h"

namespace fovea {
#define GEN_PASS_DEF_DIFFERENTIATE
#include "compiler/autodiff/Passes.h.inc"
} // namespace fovea

using namespace mlir;
using namespace fovea;

namespace {

bool isFloat(Value x) { return isa<FloatType>(cast<graph::TensorType>(x.getType()).getElementType()); }

/// Says of every op that is made where it belongs: graph-rematerialize computes ops before the loss again for those
/// behind it.
struct MarkGradients : OpBuilder::Listener {
  void notifyOperationInserted(Operation *op, OpBuilder::InsertPoint) override { op->setLoc(ofGradient(op->getLoc())); }
};

/// One graph.grad.
class Reverse {
public:
  explicit Reverse(graph::GradOp op) : op(op), b(op) { b.setListener(&marks); }

  LogicalResult run() {
    mark();
    if (addLogSums())
      mark();
    reaching[op.getLoss()].push_back(autodiff::splat(b, op.getLoc(), op.getLoss().getType(), 1));
    for (Operation &each : llvm::reverse(*op->getBlock()))
      if (leading.contains(&each) && failed(back(each)))
        return failure();
    for (auto [x, gradient] : llvm::zip(op.getWrt(), op.getGradients())) {
      Value total = sum(x);
      gradient.replaceAllUsesWith(total ? total
                                        : autodiff::splat(b, op.getLoc(), cast<graph::TensorType>(x.getType()), 0));
    }
    op.erase();
    return success();
  }

private:
  void mark() {
    reached.clear();
    leading.clear();
    markReached();
    markLeading();
  }

  /// Attention on the way needs its log-sum-exp. Whether some had none.
  bool addLogSums() {
    bool isAdded = false;
    for (Operation &each : llvm::make_early_inc_range(*op->getBlock())) {
      auto attention = dyn_cast<graph::AttentionOp>(each);
      if (!attention || !leading.contains(&each) || attention.getNormalizer() != "softmax" || attention.getLse())
        continue;
      autodiff::withLogSum(attention);
      isAdded = true;
    }
    return isAdded;
  }

  /// Values that depend on one of `wrt`.
  void markReached() {
    reached.insert_range(op.getWrt());
    for (Operation &each : *op->getBlock()) {
      if (&each == op)
        break;
      if (llvm::any_of(each.getOperands(), [&](Value x) { return reached.contains(x); }))
        for (Value result : each.getResults())
          if (isFloat(result))
            reached.insert(result);
    }
  }

  /// Ops that depend on one of `wrt` and that the loss depends on.
  void markLeading() {
    SmallVector<Value> open{op.getLoss()};
    while (!open.empty()) {
      Value x = open.pop_back_val();
      Operation *source = x.getDefiningOp();
      if (source && reached.contains(x) && leading.insert(source).second)
        llvm::append_range(open, source->getOperands());
    }
  }

  /// What reaches x from all of its uses; null where nothing does.
  Value sum(Value x) {
    SmallVector<Value> &all = reaching[x];
    while (all.size() > 1) {
      Value first = all[0], second = all[1];
      all.erase(all.begin());
      all[0] = graph::AddOp::create(b, x.getLoc(), first, second);
    }
    return all.empty() ? Value() : all[0];
  }

  LogicalResult back(Operation &each) {
    SmallVector<Value> gradients;
    for (Value result : each.getResults())
      gradients.push_back(sum(result));
    if (llvm::none_of(gradients, [](Value g) { return bool(g); }))
      return success();
    if (keepDerivative(each, gradients.front()))
      return success();
    autodiff::Adjoint adjoint{b, &each, gradients, llvm::BitVector(each.getNumOperands()), {}};
    adjoint.passed.resize(each.getNumOperands());
    for (auto [i, x] : llvm::enumerate(each.getOperands()))
      if (reached.contains(x))
        adjoint.needed.set(i);
    if (failed(autodiff::applyRule(adjoint))) {
      InFlightDiagnostic error = each.emitError("`") << each.getName().stripDialect() << "` has no derivative";
      error.attachNote(op.getLoc()) << "a gradient is asked for here";
      return failure();
    }
    for (auto [x, gradient] : llvm::zip(each.getOperands(), adjoint.passed))
      if (gradient)
        reaching[x].push_back(gradient);
    return success();
  }

  /// Passes the gradient of an elementwise function of one tensor on to that tensor, by one product.
  bool keepDerivative(Operation &each, Value gradient) {
    auto derivative = autodiff::derivativeToKeep(&each, {reached, leading, op.getWrt()});
    if (!derivative)
      return false;
    reaching[derivative->x].push_back(graph::MulOp::create(b, each.getLoc(), gradient, derivative->value));
    return true;
  }

  graph::GradOp op;
  MarkGradients marks;
  OpBuilder b;
  DenseSet<Value> reached;
  DenseSet<Operation *> leading;
  DenseMap<Value, SmallVector<Value>> reaching;
};

class Differentiate : public fovea::impl::DifferentiateBase<Differentiate> {
  void runOnOperation() override {
    SmallVector<graph::GradOp> ops;
    getOperation().walk([&](graph::GradOp op) { ops.push_back(op); }); // in order: inner ones first
    for (graph::GradOp op : ops) {
      if (failed(Reverse(op).run()))
        return signalPassFailure();
      ++numDifferentiated;
    }
    getOperation().walk([](graph::VariableOp variable) {
      variable.getResult().replaceAllUsesWith(variable.getX());
      variable.erase();
    });
  }
};

} // namespace
