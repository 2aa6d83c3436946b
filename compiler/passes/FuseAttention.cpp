// contract(q, k) -> score -> softmax over the keys -> contract with v becomes graph.attention, which never holds the
// scores. Always pays where it fires: memory falls from T x S to tiles, and time with it.
// Numerical effect: sums over keys are rescaled in blocks; see Passes.td.
//
// Matching is in AttentionMatch.cpp, the regions in AttentionRegions.cpp.
#include "compiler/passes/AttentionRegions.h"
#include "compiler/passes/NearMiss.h"
#include "compiler/passes/Passes.h"
#include "compiler/passes/Roles.h"
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
      size_t before = report.chains.size();
      fuseSoftmaxes(function, report);
      fusePointwise(function, report);
      function.walk([&](graph::ContractOp product) {
        ChainReport chain(product.getLoc());
        if (!isNearMiss(product, chain))
          return;
        report.chains.push_back(chain);
        ++numDeclined;
      });
      for (size_t i = before; i < report.chains.size(); ++i) {
        report.chains[i].function = function.getSymName().str();
        isWrong |= failed(require(function, report.chains[i]));
      }
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
    return failure();
  }

  void fuseSoftmaxes(graph::FuncOp function, FusionReport &report) {
    SmallVector<graph::SoftmaxOp> softmaxes;
    function.walk([&](graph::SoftmaxOp softmax) { softmaxes.push_back(softmax); });
    for (graph::SoftmaxOp softmax : softmaxes)
      if (isChain(softmax))
        fuse(softmax, report);
  }

  /// Every product of the softmax's weights with values becomes an attention of its own.
  void fuse(graph::SoftmaxOp softmax, FusionReport &report) {
    llvm::SmallPtrSet<Operation *, 4> tried;
    while (true) {
      WeightsUses uses = usesOfWeights(softmax);
      auto next = llvm::find_if(uses.products, [&](WeightsUse use) { return !tried.contains(use.product); });
      bool isLast = next == uses.products.end();
      if (isLast && !tried.empty())
        return;
      ChainReport &chain = report.chains.emplace_back(softmax.getLoc());
      if (isLast) {
        (void)(uses.other ? chain.failed("the weights are used by " + opName(uses.other) + ", not by a contraction",
                                         uses.other->getLoc())
                          : chain.failed("the weights are not used", softmax.getLoc()));
        ++numDeclined;
        return;
      }
      tried.insert(next->product);
      AttentionMatch match;
      if (!fuse(matchAttention(softmax, *next, match, chain), match, chain))
        continue;
      eraseDead(match.product, softmax);
      if (softmax->use_empty())
        return eraseDead(softmax);
    }
  }

  /// Products of weights that are any other function of each score. What is none is not reported: it need not be meant
  /// as attention.
  void fusePointwise(graph::FuncOp function, FusionReport &report) {
    ParamDependence params(function);
    SmallVector<graph::ContractOp> products;
    SmallVector<Operation *> dead;
    function.walk([&](graph::ContractOp product) { products.push_back(product); });
    for (graph::ContractOp product : llvm::reverse(products))
      for (bool isLhs : {true, false}) {
        if (product.getPacked() || !mayBeWeights(product->getOperand(isLhs ? 0 : 1)))
          continue;
        ChainReport chain(product.getLoc());
        AttentionMatch match;
        // Keys and values that are both params are a layer of a perceptron.
        if (failed(matchPointwise({product, isLhs}, match, chain)) ||
            (params.isConstant(match.k) && params.isConstant(match.v)))
          continue;
        chain.place = match.place();
        if (!fuse(success(), match, chain))
          continue;
        report.chains.push_back(chain);
        dead.push_back(product);
        break;
      }
    for (Operation *product : dead)
      eraseDead(product);
  }

  bool fuse(LogicalResult matched, AttentionMatch &match, ChainReport &chain) {
    FailureOr<BuiltAttention> built = failure();
    if (succeeded(matched))
      built = buildAttention(match, chain);
    chain.fused = succeeded(built);
    if (!chain.fused) {
      ++numDeclined;
      return false;
    }
    ++numFused;
    match.product.getResult().replaceAllUsesWith(built->result);
    return true;
  }

  static std::string opName(Operation *op) { return op->getName().stripDialect().str(); }

  /// A cheap look before the expensive one: a contraction is behind, and something that is computed of its elements.
  static bool mayBeWeights(Value weights) {
    llvm::SetVector<Value> reached;
    bool isComputed = false;
    reached.insert(weights);
    for (size_t i = 0; i < reached.size() && reached.size() < 256; ++i) {
      Operation *op = reached[i].getDefiningOp();
      if (isa_and_nonnull<graph::ContractOp>(op) && isComputed)
        return true;
      bool isElementwise = isa_and_nonnull<graph::ElementwiseOpInterface>(op);
      isComputed |= isElementwise;
      if (isElementwise || isLayout(op))
        reached.insert(op->operand_begin(), op->operand_end());
    }
    return false;
  }

  /// Erases an op without uses, and then its operands' ops where they have none left; but not `keep`.
  static void eraseDead(Operation *dead, Operation *keep = nullptr) {
    llvm::SetVector<Operation *> work;
    work.insert(dead);
    while (!work.empty()) {
      Operation *op = work.pop_back_val();
      if (op == keep || !isOpTriviallyDead(op))
        continue;
      for (Value operand : op->getOperands())
        if (Operation *source = operand.getDefiningOp())
          work.insert(source);
      op->erase();
    }
  }
};
} // namespace
