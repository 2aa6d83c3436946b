// contract(q, k) -> score -> softmax over the keys -> contract with v becomes graph.attention, which never holds the
// scores. Always pays where it fires: memory falls from T x S to tiles, and time with it.
// Numerical effect: sums over keys are rescaled in blocks; see Passes.td.
//
// Matching is in AttentionMatch.cpp, the regions in AttentionRegions.cpp.
#include "compiler/passes/AttentionRegions.h"
#include "compiler/passes/NearMiss.h"
#include "compiler/passes/Passes.h"
#include "compiler/passes/Remedies.h"
#include "dialects/graph/Places.h"

#include "mlir/IR/Verifier.h"

namespace fovea {
#define GEN_PASS_DEF_FUSEATTENTION
#include "compiler/passes/Passes.h.inc"
} // namespace fovea

using namespace mlir;
using namespace fovea;

namespace {
class FuseAttention : public fovea::impl::FuseAttentionBase<FuseAttention> {
  void runOnOperation() override {
    FusionReport report;
    bool isWrong = false;
    for (auto function : getOperation().getOps<graph::FuncOp>()) {
      SmallVector<graph::SoftmaxOp> softmaxes;
      function.walk([&](graph::SoftmaxOp softmax) { softmaxes.push_back(softmax); });
      for (graph::SoftmaxOp softmax : softmaxes) {
        if (!isChain(softmax))
          continue;
        ChainReport &chain = report.chains.emplace_back(softmax.getLoc());
        chain.function = function.getSymName().str();
        run(softmax, chain);
        isWrong |= failed(require(function, chain));
      }
      function.walk([&](graph::ContractOp product) {
        ChainReport chain(product.getLoc());
        if (!isNearMiss(product, chain))
          return;
        chain.function = function.getSymName().str();
        report.chains.push_back(chain);
        ++numDeclined;
        isWrong |= failed(require(function, chain));
      });
    }
    report.addTo(getOperation());
    if (isWrong)
      signalPassFailure();
  }

  /// An error where a function must be fused and a chain in it is not.
  static LogicalResult require(graph::FuncOp function, const ChainReport &chain) {
    if (chain.fused || !function.getRequireFused())
      return success();
    InFlightDiagnostic error = modelError(chain.place, "not-fused") << "attention is not fused: " << chain.failure;
    if (chain.failurePlace)
      error.attachNote(chain.failurePlace) << "this is why";
    if (std::string help = remedyFor(chain.failure); !help.empty())
      error.attachNote(chain.place) << "help: " << help;
    return failure();
  }

  void run(graph::SoftmaxOp softmax, ChainReport &chain) {
    AttentionMatch match;
    FailureOr<Value> result = failure();
    if (succeeded(matchAttention(softmax, match, chain)))
      result = buildAttention(match, chain);
    chain.fused = succeeded(result);
    if (!chain.fused) {
      ++numDeclined;
      return;
    }
    ++numFused;
    chain.scores = match.scores.getLoc();
    chain.product = match.product.getLoc();
    match.product.getResult().replaceAllUsesWith(*result);
    eraseDead(match.product);
  }

  /// Erases an op without uses, and then its operands' ops where they have none left.
  static void eraseDead(Operation *dead) {
    llvm::SetVector<Operation *> work;
    work.insert(dead);
    while (!work.empty()) {
      Operation *op = work.pop_back_val();
      if (!isOpTriviallyDead(op))
        continue;
      for (Value operand : op->getOperands())
        if (Operation *source = operand.getDefiningOp())
          work.insert(source);
      op->erase();
    }
  }
};
} // namespace
