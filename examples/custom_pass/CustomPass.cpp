// A pass of one's own, loaded by `fovea build --load-pass=libCustomPass.so:custom-clamp@before-fusion` or by
// `fovea-opt --load-pass-plugin=libCustomPass.so --pass-pipeline='builtin.module(custom-clamp)'`.
//
// Before:  max(min(x, 6), 0)   (the ReLU6 that mobile networks use)
// After:   min(max(x, 0), 6)   one spelling, so that later patterns need to know only that one
// It also remarks how many attention ops the module has.
#include "dialects/graph/GraphDialect.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/Pass/Pass.h"
#include "mlir/Tools/Plugins/PassPlugin.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

using namespace mlir;
using namespace fovea;

namespace {

/// The number that `value` is everywhere, where it is a (broadcast) constant.
std::optional<double> uniformValue(Value value) {
  if (auto broadcast = value.getDefiningOp<graph::BroadcastOp>())
    value = broadcast.getX();
  auto constant = value.getDefiningOp<graph::ConstantOp>();
  auto number = constant ? dyn_cast<FloatAttr>(constant.getValue()) : FloatAttr();
  return number ? std::optional(number.getValueAsDouble()) : std::nullopt;
}

/// max(min(x, high), low) with low <= high is min(max(x, low), high). Exact; a NaN stays one on both sides.
struct ClampOrder : OpRewritePattern<graph::MaxOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(graph::MaxOp op, PatternRewriter &rewriter) const override {
    auto inner = op.getLhs().getDefiningOp<graph::MinOp>();
    if (!inner || !inner->hasOneUse())
      return failure();
    std::optional<double> low = uniformValue(op.getRhs()), high = uniformValue(inner.getRhs());
    if (!low || !high || *low > *high)
      return failure();
    Type type = op.getType();
    Value raised = graph::MaxOp::create(rewriter, op.getLoc(), type, inner.getLhs(), op.getRhs());
    rewriter.replaceOpWithNewOp<graph::MinOp>(op, type, raised, inner.getRhs());
    return success();
  }
};

struct CustomClamp : PassWrapper<CustomClamp, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(CustomClamp)
  StringRef getArgument() const override { return "custom-clamp"; }
  StringRef getDescription() const override { return "writes clamps as min(max(x, low), high); counts attentions"; }
  void runOnOperation() override {
    int64_t attentions = 0;
    getOperation()->walk([&](graph::AttentionOp) { ++attentions; });
    getOperation()->setAttr("custom.attentions", IntegerAttr::get(IntegerType::get(&getContext(), 64), attentions));
    RewritePatternSet patterns(&getContext());
    patterns.add<ClampOrder>(&getContext());
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};

} // namespace

extern "C" LLVM_ATTRIBUTE_WEAK PassPluginLibraryInfo mlirGetPassPluginInfo() {
  return {MLIR_PLUGIN_API_VERSION, "FoveaCustomPass", "1", [] { PassRegistration<CustomClamp>(); }};
}
