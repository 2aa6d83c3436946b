// contract(q, k) -> score -> softmax over the keys -> contract with v becomes graph.attention, which never holds the
// scores. Always pays where it fires: memory falls from T x S to tiles, and time with it.
// Numerical effect: sums over keys are rescaled in blocks; see Passes.td.
//
// Matching is in AttentionMatch.cpp, the regions in AttentionRegions.cpp, what else reads weights in
// AttentionLogSums.cpp.
#include "compiler/autodiff/AttentionRule.h"
#include "compiler/autodiff/ScoreAdjoint.h"
#include "compiler/passes/AttentionLogSums.h"
#include "compiler/passes/LinearAttention.h"
#include "compiler/passes/NearMiss.h"
#include "compiler/passes/Passes.h"
#include "compiler/passes/Remedies.h"
#include "compiler/passes/Roles.h"
#include "dialects/graph/Places.h"

#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"

namespace fovea {
#define GEN_PASS_DEF_FUSEATTENTION
#include "compiler/passes/Passes.h.inc"
} // namespace fovea

using namespace mlir;
using namespace fovea;

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

/// Products with what is computed of weights element by element.
static SmallVector<WeightsUse> productsOfChanged(Value weights) {
  SmallVector<WeightsUse> products;
  llvm::SetVector<Value> reached;
  reached.insert(weights);
  for (size_t i = 0; i < reached.size() && reached.size() < 256; ++i)
    for (OpOperand &use : reached[i].getUses()) {
      Operation *user = use.getOwner();
      if (auto product = dyn_cast<graph::ContractOp>(user))
        products.push_back({product, use.getOperandNumber() == 0});
      else if (isLayout(user) || isa<graph::ElementwiseOpInterface>(user))
        reached.insert(user->getResult(0));
    }
  return products;
}

namespace {
/// Whether the gradient of a gradient is asked for.
static bool isDifferentiatedTwice(graph::FuncOp function) {
  llvm::SetVector<Operation *> behind;
  function.walk([&](graph::GradOp op) {
    if (Operation *loss = op.getLoss().getDefiningOp())
      behind.insert(loss);
  });
  for (size_t i = 0; i < behind.size(); ++i)
    for (Value operand : behind[i]->getOperands())
      if (Operation *op = operand.getDefiningOp())
        behind.insert(op);
  return llvm::any_of(behind, [](Operation *op) { return isa<graph::GradOp>(op); });
}

class FuseAttention : public fovea::impl::FuseAttentionBase<FuseAttention> {
public:
  using FuseAttentionBase::FuseAttentionBase;

private:
  llvm::MapVector<Operation *, size_t>
      missed;                 ///< a softmax's products that are no attention, and where they are reported
  SmallVector<size_t> mended; ///< of these places

  void runOnOperation() override {
    if (forGradients)
      return fuseForGradients();
    FusionReport report;
    bool isWrong = false;
    for (auto function : getOperation().getOps<graph::FuncOp>()) {
      size_t before = report.chains.size();
      fuseSoftmaxes(function, report);
      fuseLogSums(function, report);
      fuseSums(function, report);
      fusePointwise(function, report);
      fuseTopKs(function, report);
      restoreSums(function, report);
      fuseLogSums(function, report); // of scores that only statistics have read
      forgetMended(report);
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

  /// What graph-differentiate has a rule for, in functions that ask for gradients. Chains that stay have their say in
  /// the pass's run after that.
  void fuseForGradients() {
    FusionReport report;
    for (auto function : getOperation().getOps<graph::FuncOp>()) {
      if (function.getBody().getOps<graph::GradOp>().empty())
        continue;
      if (isDifferentiatedTwice(function)) {
        function.walk([](graph::SoftmaxOp softmax) { keepsWeights(softmax, "gradients of gradients are asked for"); });
        continue;
      }
      size_t before = report.chains.size();
      fuseSoftmaxes(function, report);
      fusePointwise(function, report);
      for (size_t i = before; i < report.chains.size(); ++i) {
        report.chains[i].function = function.getSymName().str();
        report.chains[i].proved("its gradient is one pass that computes the weights again");
      }
    }
    llvm::erase_if(report.chains, [](const ChainReport &chain) { return !chain.fused; });
    report.addTo(getOperation());
  }

  /// Products that were missed and then found as pointwise ones, of weights that another attention's log-sum-exp gives.
  void forgetMended(FusionReport &report) {
    llvm::sort(mended, std::greater<size_t>());
    for (size_t place : mended)
      report.chains.erase(report.chains.begin() + place);
    mended.clear();
    missed.clear();
  }

  /// Notes why the way back of what belongs to `op` is not fused.
  static void keepsWeights(Operation *op, StringRef reason) {
    op->setAttr(graph::names::unfusedBackward, StringAttr::get(op->getContext(), reason));
  }

  /// Whether the function that holds a chain, or one that was inlined with it, asks for fused ones.
  bool isRequired(graph::FuncOp function, const ChainReport &chain) {
    auto inlined = getOperation()->getAttrOfType<ArrayAttr>(inlinedRequireFused);
    return function.getRequireFused() ||
           (inlined && llvm::any_of(placeFrames(chain.place), [&](const PlaceFrame &frame) {
              return llvm::is_contained(inlined.getAsValueRange<StringAttr>(), frame.function);
            }));
  }

  /// An error where a chain must be fused and is not.
  LogicalResult require(graph::FuncOp function, const ChainReport &chain) {
    if (chain.fused || !isRequired(function, chain))
      return success();
    InFlightDiagnostic error = modelError(chain.place, "not-fused") << "attention is not fused: " << chain.failure;
    if (chain.failurePlace)
      error.attachNote(chain.failurePlace) << "this is why";
    if (std::string help = remedyFor(chain.failure); !help.empty())
      error.attachNote(chain.place) << "help: " << help;
    return failure();
  }

  void fuseSoftmaxes(graph::FuncOp function, FusionReport &report) {
    SmallVector<graph::SoftmaxOp> softmaxes;
    function.walk([&](graph::SoftmaxOp softmax) { softmaxes.push_back(softmax); });
    for (graph::SoftmaxOp softmax : softmaxes)
      if (isChain(softmax))
        fuse(softmax, report);
  }

  /// Every product of the softmax's weights with values becomes an attention of its own. What else reads the weights,
  /// or the log-sum-exp of the scores, is served by one of them.
  void fuse(graph::SoftmaxOp softmax, FusionReport &report) {
    llvm::SmallPtrSet<Operation *, 4> tried;
    LogSumServer server(softmax);
    size_t before = report.chains.size();
    while (true) {
      WeightsUses uses = usesOfWeights(softmax);
      auto next = llvm::find_if(uses.products, [&](WeightsUse use) { return !tried.contains(use.product); });
      if (next == uses.products.end()) {
        if (tried.empty())
          declineUnused(softmax, uses, report);
        break;
      }
      tried.insert(next->product);
      auto match = std::make_unique<AttentionMatch>();
      ChainReport &chain = report.chains.emplace_back(softmax.getLoc());
      FailureOr<BuiltAttention> built = fuse(matchAttention(softmax, *next, *match, chain), *match, chain);
      if (auto reason = softmax->getAttrOfType<StringAttr>(graph::names::unfusedBackward))
        chain.proved("on the way back the weights are held: " + reason.str());
      if (failed(built)) {
        missed[next->product] = report.chains.size() - 1;
        continue;
      }
      eraseDead(match->product, softmax);
      server.offer(*built, std::move(match), report.chains.size() - 1);
    }
    server.serve(report);
    if (!softmax->use_empty() && !softmax.getSink())
      fuseChanged(softmax, report, before);
    eraseDead(softmax);
  }

  /// Weights that are changed before they meet the values, `where(m, softmax(s), 0) @ v`: the log-sum-exp comes first,
  /// in a pass over the keys of its own, then the weights are a function of each score. Where all their products are
  /// pointwise attentions then; what was reported from `before` on is replaced.
  void fuseChanged(graph::SoftmaxOp softmax, FusionReport &report, size_t before) {
    SmallVector<WeightsUse> products = productsOfChanged(softmax.getResult());
    if (products.empty())
      return;
    OpBuilder builder(softmax);
    SmallVector<DimExpr> rows = llvm::to_vector(softmax.getType().getDims());
    rows.erase(rows.begin() + softmax.getAxis());
    auto logSum =
        graph::LogSumExpOp::create(builder, softmax.getLoc(), softmax.getType().cloneWith(ArrayRef<DimExpr>(rows)),
                                   softmax.getX(), softmax.getAxis());
    ChainReport chain(softmax.getLoc());
    AttentionMatch match;
    FailureOr<BuiltAttention> built = failure();
    if (succeeded(matchLogSum(logSum, match, chain)) && !match.query.empty())
      built = buildAttention(match, chain);
    if (succeeded(built)) {
      built->op = autodiff::withLogSum(built->op);
      builder.setInsertionPoint(softmax);
      Value weights = weightsOf(builder, softmax, *built, match);
      softmax.replaceAllUsesWith(weights);
      if (llvm::all_of(products, [](WeightsUse use) { return isPointwise(use); })) {
        chain.fused = true;
        chain.proved("the weights are changed before they meet the values: their log-sum-exp comes first");
        report.chains.resize(before, chain);
        missed.remove_if([&](const auto &entry) { return entry.second >= before; });
        report.chains.push_back(chain);
        ++numFused;
      } else {
        weights.replaceAllUsesWith(softmax.getResult());
        eraseDead(weights.getDefiningOp());
      }
    }
    eraseDead(logSum, softmax.getX().getDefiningOp());
  }

  static bool isPointwise(WeightsUse use) {
    AttentionMatch match;
    ChainReport chain(use.product.getLoc());
    return !use.product.getPacked() && succeeded(matchPointwise(use, match, chain)) && !match.isLinear;
  }

  /// Weights that meet no values. Where they are a part of others, these do.
  void declineUnused(graph::SoftmaxOp softmax, const WeightsUses &uses, FusionReport &report) {
    if (softmax->hasAttr(graph::names::part))
      return;
    ChainReport &chain = report.chains.emplace_back(softmax.getLoc());
    (void)(uses.other ? chain.failed("the weights are used by " + uses.other->getName().stripDialect().str() +
                                         ", not by a contraction",
                                     uses.other->getLoc())
                      : chain.failed("the weights are not used", softmax.getLoc()));
    ++numDeclined;
  }

  /// Log-sum-exps that no attention has served, of scores that nothing else reads: held, these would be the largest
  /// tensor.
  void fuseLogSums(graph::FuncOp function, FusionReport &report) {
    SmallVector<graph::LogSumExpOp> logSums;
    function.walk([&](graph::LogSumExpOp logSum) { logSums.push_back(logSum); });
    for (graph::LogSumExpOp logSum : logSums) {
      if (logSum->use_empty()) {
        eraseDead(logSum);
        continue;
      }
      ChainReport chain(logSum.getLoc());
      AttentionMatch match;
      if (failed(matchLogSum(logSum, match, chain)) || match.hasOtherUses || match.query.empty())
        continue;
      FailureOr<BuiltAttention> built = fuse(success(), match, chain);
      if (failed(built))
        continue;
      OpBuilder builder(logSum);
      logSum.replaceAllUsesWith(
          logSumOf(builder, *built, match, withoutAxis(match.topLabels, logSum.getAxis()), logSum.getType()));
      eraseDead(logSum);
      report.chains.push_back(chain);
    }
  }

  /// Sums of weights over the keys, where they are linear in the scores or where these weights meet values: products
  /// with values of 1. What normalises weights by them has no scores behind it then.
  void fuseSums(graph::FuncOp function, FusionReport &report) {
    ParamDependence params(function, ParamDependence::Params::All);
    SmallVector<graph::ReduceOp> sums;
    function.walk([&](graph::ReduceOp sum) {
      bool isSum = sum.getKind() == "sum" && sum.getAxes().size() == 1;
      if (isSum && isa<FloatType>(sum.getType().getElementType()) && mayBeWeights(sum.getX(), params))
        sums.push_back(sum);
    });
    for (graph::ReduceOp sum : sums) {
      graph::ContractOp product = productWithOnes(sum);
      sum.replaceAllUsesWith(product.getResult());
      ChainReport chain(sum.getLoc());
      AttentionMatch match;
      bool isMatch = succeeded(matchPointwise({product, true}, match, chain)) && !match.feedsSoftmax &&
                     !params.isConstant(match.k);
      if (isMatch && (match.isLinear ? fuseLinear(match, chain)
                                     : fuseDecayed(match, chain) || fuseNormaliser(sum, match, chain))) {
        report.chains.push_back(chain);
        eraseDead(sum);
      } else {
        product.getResult().replaceAllUsesWith(sum.getResult());
      }
      eraseDead(product);
    }
  }

  static graph::ContractOp productWithOnes(graph::ReduceOp sum) {
    OpBuilder builder(sum);
    Location loc = sum.getLoc();
    graph::TensorType type = typeOf(sum.getX());
    int64_t axis = sum.getAxes().front();
    graph::TensorType scalar = type.cloneWith(ArrayRef<DimExpr>()), row = type.cloneWith(ArrayRef(type.getDim(axis)));
    auto element = cast<FloatType>(type.getElementType());
    Value one = graph::ConstantOp::create(builder, loc, scalar, builder.getFloatAttr(element, 1));
    Value ones = graph::BroadcastOp::create(builder, loc, row, one, ArrayRef<int64_t>());
    SmallVector<int64_t> labels = llvm::to_vector(llvm::seq<int64_t>(0, type.getRank())), out = labels;
    out.erase(out.begin() + axis);
    return graph::ContractOp::create(builder, loc, sum.getType(), sum.getX(), ones, labels, ArrayRef(axis), out, false);
  }

  /// As graph.linear_attention or not at all.
  bool fuseDecayed(AttentionMatch &match, ChainReport &chain) {
    FailureOr<BuiltAttention> built = buildAttention(match, chain);
    if (failed(built))
      return false;
    Value before = match.product.getResult();
    before.replaceAllUsesWith(built->result);
    if (raiseLinearAttention(built->op, chain)) {
      setFused(match, chain);
      return true;
    }
    built->result.replaceAllUsesWith(before);
    eraseDead(built->result.getDefiningOp());
    return false;
  }

  /// Of weights that are no softmax's and divided by their sum: where all that they meet are values. The sum comes
  /// first, in a pass over the keys of its own.
  bool fuseNormaliser(graph::ReduceOp sum, AttentionMatch &match, ChainReport &chain) {
    FailureOr<BuiltAttention> built = buildAttention(match, chain);
    if (failed(built))
      return false;
    Value before = match.product.getResult();
    before.replaceAllUsesWith(built->result);
    SmallVector<WeightsUse> products = productsOfChanged(sum.getX());
    llvm::erase_if(products, [&](WeightsUse use) { return use.product == match.product; });
    if (!products.empty() && llvm::all_of(products, isPointwise)) {
      chain.fused = true;
      chain.scores = match.scores.getLoc();
      chain.product = match.product.getLoc();
      chain.proved("the weights are summed over the keys before they meet the values");
      ++numFused;
      return true;
    }
    built->result.replaceAllUsesWith(before);
    eraseDead(built->result.getDefiningOp());
    return false;
  }

  /// Products of weights that are any other function of each score. What is none is not reported: it need not be meant
  /// as attention.
  void fusePointwise(graph::FuncOp function, FusionReport &report) {
    ParamDependence params(function, ParamDependence::Params::All);
    SmallVector<graph::ContractOp> products;
    SmallVector<Operation *> dead;
    function.walk([&](graph::ContractOp product) { products.push_back(product); });
    for (graph::ContractOp product : llvm::reverse(products))
      for (bool isLhs : {true, false}) {
        if (product.getPacked() || !mayBeWeights(product->getOperand(isLhs ? 0 : 1), params))
          continue;
        ChainReport chain(product.getLoc());
        AttentionMatch match;
        // What looks like scores is a linear layer where the keys are params.
        if (failed(matchPointwise({product, isLhs}, match, chain)) || params.isConstant(match.k))
          continue;
        chain.place = match.place();
        if (!(match.isLinear && fuseLinear(match, chain)) && (isScaled(match) || !fuseWeights(match, chain)))
          continue;
        report.chains.push_back(chain);
        dead.push_back(product);
        if (auto miss = missed.find(product); miss != missed.end())
          mended.push_back(miss->second);
        break;
      }
    for (Operation *product : dead)
      eraseDead(product);
  }

  /// The largest scores of each query: of weights, or where nothing else needs the scores and these are no linear
  /// layer's.
  void fuseTopKs(graph::FuncOp function, FusionReport &report) {
    ParamDependence params(function, ParamDependence::Params::All);
    SmallVector<graph::TopKOp> topKs;
    function.walk([&](graph::TopKOp topK) { topKs.push_back(topK); });
    for (graph::TopKOp topK : topKs) {
      ChainReport chain(topK.getLoc());
      AttentionMatch match;
      bool isStatistic = topK->hasAttr(graph::names::statistic);
      bool isMatched = succeeded(matchTopK(topK, match, chain)) && !match.query.empty();
      if (isMatched && !isStatistic && (match.hasOtherUses || params.isConstant(match.k)))
        continue;
      FailureOr<BuiltAttention> built = failure();
      if (isMatched)
        built = fuse(success(), match, chain);
      if (succeeded(built))
        replace(topK, *built, match);
      if (succeeded(built) || isStatistic)
        report.chains.push_back(chain);
      if (failed(built) && isStatistic)
        restoreMaximum(topK);
    }
  }

  /// A list of one, whose place nobody asks for, is a maximum again.
  static void restoreMaximum(graph::TopKOp topK) {
    graph::TensorType type = typeOf(topK.getValues());
    int64_t last = type.getRank() - 1;
    if (!topK.getIndices().use_empty() || !type.getDim(last).isConstant(1))
      return;
    OpBuilder builder(topK);
    graph::TensorType rows = type.cloneWith(type.getDims().drop_back());
    Value largest = graph::ReduceOp::create(builder, topK.getLoc(), rows, "max", topK.getX(), ArrayRef<int64_t>(last));
    topK.getValues().replaceAllUsesWith(graph::ReshapeOp::create(builder, topK.getLoc(), type, largest));
    eraseDead(topK);
  }

  static void replace(graph::TopKOp topK, const BuiltAttention &built, AttentionMatch &match) {
    OpBuilder builder(topK);
    Location loc = topK.getLoc();
    // The largest of a row have a label of their own.
    AxisLabels place = match.expressions.newLabels(typeOf(topK.getIndices())).back();
    TensorLabels from = match.laidOut({match.query, place}), to = match.topLabels;
    to.back() = place;
    auto laidOut = [&](Value value) { return relabel(builder, loc, match.expressions, value, from, to); };
    Value values = laidOut(built.op->getResult(0));
    if (values.getType() != topK.getValues().getType())
      values = graph::CastOp::create(builder, loc, topK.getValues().getType(), values);
    topK.getValues().replaceAllUsesWith(values);
    topK.getIndices().replaceAllUsesWith(laidOut(built.op->getResult(1)));
    eraseDead(topK);
  }

  /// Sums of what is computed from weights that did not become attentions are sums again.
  void restoreSums(graph::FuncOp function, FusionReport &report) {
    SmallVector<graph::ContractOp> products;
    function.walk([&](graph::ContractOp product) {
      if (product->hasAttr(graph::names::statistic))
        products.push_back(product);
    });
    for (graph::ContractOp product : products) {
      ChainReport chain(product.getLoc());
      AttentionMatch match;
      if (succeeded(matchPointwise({product, true}, match, chain)) || chain.failure.empty())
        chain.failure = "the score cannot be written as a function of indices";
      report.chains.push_back(chain);
      OpBuilder builder(product);
      SmallVector<int64_t> summed;
      for (auto [axis, label] : llvm::enumerate(product.getLhsLabels()))
        if (llvm::is_contained(product.getRhsLabels(), label))
          summed.push_back(axis);
      Value sum =
          graph::ReduceOp::create(builder, product.getLoc(), product.getType(), "sum", product.getLhs(), summed);
      product.getResult().replaceAllUsesWith(sum);
      eraseDead(product);
    }
  }

  bool fuseWeights(AttentionMatch &match, ChainReport &chain) {
    FailureOr<BuiltAttention> built = fuse(success(), match, chain);
    if (succeeded(built) && !forGradients && raiseLinearAttention(built->op, chain))
      setFused(match, chain);
    return succeeded(built);
  }

  /// Whether weights are the scores, all times the same.
  static bool isScaled(AttentionMatch &match) {
    return match.isLinear && match.keyFactors.empty() &&
           llvm::none_of(match.queryFactors, [&](auto factor) { return factor.node->dependsOnAny(match.query); });
  }

  /// Without a mask, in another order.
  bool fuseLinear(AttentionMatch &match, ChainReport &chain) {
    Value result = reassociate(match, chain);
    if (!result)
      return false;
    match.product.getResult().replaceAllUsesWith(result);
    setFused(match, chain);
    return true;
  }

  /// Of a chain that is linear in its scores: who else reads these has an order of its own.
  void setFused(AttentionMatch &match, ChainReport &chain) {
    llvm::erase_if(chain.facts, [](StringRef fact) { return fact.contains("computed again"); });
    chain.fused = true;
    chain.scores = match.scores.getLoc();
    chain.product = match.product.getLoc();
    ++numLinear;
  }

  FailureOr<BuiltAttention> fuse(LogicalResult matched, AttentionMatch &match, ChainReport &chain) {
    FailureOr<BuiltAttention> built = failure();
    if (succeeded(matched))
      built = buildAttention(match, chain);
    if (forGradients && succeeded(built))
      if (std::string reason = autodiff::whyNotDifferentiable(built->op); !reason.empty()) {
        keepsWeights(match.anchor, reason);
        eraseDead(built->result.getDefiningOp(), match.anchor);
        built = failure();
      }
    chain.fused = succeeded(built);
    if (!chain.fused) {
      ++numDeclined;
      return failure();
    }
    ++numFused;
    chain.scores = match.scores.getLoc();
    chain.product = (match.product ? match.product : match.anchor)->getLoc();
    if (match.product)
      match.product.getResult().replaceAllUsesWith(built->result);
    return built;
  }

  /// A cheap look before the expensive one: a contraction is behind that is no linear layer.
  static bool mayBeWeights(Value weights, ParamDependence &params) {
    llvm::SetVector<Value> reached;
    reached.insert(weights);
    for (size_t i = 0; i < reached.size() && reached.size() < 256; ++i) {
      Operation *op = reached[i].getDefiningOp();
      if (auto scores = dyn_cast_or_null<graph::ContractOp>(op);
          scores && !params.isConstant(scores.getLhs()) && !params.isConstant(scores.getRhs()))
        return true;
      if (isa_and_nonnull<graph::ElementwiseOpInterface>(op) || isLayout(op))
        reached.insert(op->operand_begin(), op->operand_end());
    }
    return false;
  }
};
} // namespace
