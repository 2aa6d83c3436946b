// graph-mark-variables: keeps what gradients are with respect to in the way of rewrites.
#include "compiler/autodiff/Passes.h"

namespace fovea {
#define GEN_PASS_DEF_MARKVARIABLES
#include "compiler/autodiff/Passes.h.inc"
} // namespace fovea

using namespace mlir;
using namespace fovea;

namespace {
class MarkVariables : public fovea::impl::MarkVariablesBase<MarkVariables> {
  void runOnOperation() override {
    int64_t number = 0;
    getOperation().walk([&](graph::GradOp op) {
      for (Value x : op.getWrt()) {
        // Arguments are what they are. What an earlier gradient is with respect to has its mark.
        Operation *source = x.getDefiningOp();
        if (!source || isa<graph::VariableOp>(source))
          continue;
        OpBuilder builder(op.getContext());
        builder.setInsertionPointAfter(source);
        auto variable = graph::VariableOp::create(builder, x.getLoc(), x.getType(), x, number++);
        x.replaceAllUsesExcept(variable.getResult(), variable);
        ++numMarked;
      }
    });
  }
};
} // namespace
