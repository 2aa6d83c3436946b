#include "compiler/kernels/emit/TileCounts.h"

#include "compiler/kernels/emit/MaskRules.h"
#include "compiler/kernels/emit/NumberDomain.h"
#include "compiler/kernels/emit/ScalarEvaluator.h"

#include <cmath>
#include <map>

using namespace mlir;

namespace fovea::kernels {
namespace {

/// What is known of a leaf over a block of its axis.
struct Summary {
  Kleene none = Kleene::Yes, all = Kleene::Yes;
  Number low, high;
};
/// By leaf and first index of the block: tasks ask for the same blocks of keys.
using Summaries = std::map<std::pair<const void *, int64_t>, Summary>;

/// Decides boxes of one batch index.
class NumberVisibility {
public:
  using Rules = MaskRules<NumberDomain>;
  using Box = Rules::Box;

  NumberVisibility(MaskFormula &formula, ArrayRef<int64_t> batch,
                   const std::function<std::optional<int64_t>(Value)> &outer, Summaries &summaries, bool tilesMask)
      : formula(formula), batch(batch), outer(outer), summaries(summaries), rules(domain, formula) {
    if (tilesMask)
      rules.useTiles([](size_t, const Box &) { return Rules::Answer{Kleene::Open, Kleene::Open}; });
  }

  void summarize(unsigned axis, int64_t begin, int64_t end) {
    for (Value leaf : formula.summarised()) {
      if (formula.dependence(leaf) != axis)
        continue;
      auto [found, isNew] = summaries.try_emplace({leaf.getAsOpaquePointer(), begin});
      if (isNew)
        found->second = summaryOf(leaf, axis, begin, end);
      const Summary &summary = found->second;
      if (leaf.getType().isInteger(1))
        rules.know(leaf, Rules::Answer{summary.none, summary.all});
      else
        rules.know(leaf, Rules::Range{summary.low, summary.high});
    }
  }
  Rules::Answer query(const Box &box) { return rules.query(box); }

private:
  Number evaluate(Value value, unsigned axis, int64_t at) {
    ScalarEvaluator evaluator([&](Value x) -> Number {
      auto argument = dyn_cast<BlockArgument>(x);
      if (!argument || argument.getOwner() != formula.block())
        return outer(x);
      if (argument.getArgNumber() < batch.size())
        return batch[argument.getArgNumber()];
      bool isMine =
          (axis == MaskFormula::queries && x == formula.query()) || (axis == MaskFormula::keys && x == formula.key());
      return isMine ? Number(at) : std::nullopt;
    });
    return evaluator.evaluate(value);
  }

  Summary summaryOf(Value leaf, unsigned axis, int64_t begin, int64_t end) {
    Summary summary;
    for (int64_t at = begin; at < end; ++at) {
      Number value = evaluate(leaf, axis, at);
      if (!value) // reads memory, at every index
        return {Kleene::Open, Kleene::Open, std::nullopt, std::nullopt};
      summary.none = domain.both(summary.none, domain.truth(!*value));
      summary.all = domain.both(summary.all, domain.truth(*value));
      summary.low = at == begin ? value : domain.min(summary.low, value);
      summary.high = at == begin ? value : domain.max(summary.high, value);
    }
    return summary;
  }

  MaskFormula &formula;
  ArrayRef<int64_t> batch;
  const std::function<std::optional<int64_t>(Value)> &outer;
  Summaries &summaries;
  NumberDomain domain;
  Rules rules;
};

class TileCounter {
public:
  TileCounter(kernel::AttentionOp op, const Target &target, const AttentionSizes &sizes,
              std::function<std::optional<int64_t>(Value)> outer)
      : op(op), sizes(sizes), outer(std::move(outer)), formula(op.getMask().empty() ? nullptr : &op.getMask().front()) {
    counts.variant = *variantFor(op, target, sizes.queries, sizes.keys);
    bool isFew = counts.variant == AttentionVariant::FewQueries;
    counts.tileRows = isFew ? target.vectorLength : target.attentionRows;
    counts.tileKeys = target.attentionKeys;
    isDecided = !isFew || isMaskShared(op);
  }

  std::optional<TileCounts> run(int64_t limit) {
    batch.assign(sizes.batch.size(), 0);
    int64_t same = 1; // batch indices that the mask does not read
    SmallVector<int64_t> axes;
    SmallVector<int64_t> shared = isFew() ? sharedAxes(op) : SmallVector<int64_t>();
    for (auto [axis, size] : llvm::enumerate(sizes.batch)) {
      bool isRead = formula.hasMask() && isDecided && !formula.block()->getArgument(axis).use_empty();
      if (llvm::is_contained(shared, int64_t(axis)))
        group *= size;
      else if (isRead)
        axes.push_back(axis);
      else
        same *= size;
    }
    double looks = std::ceil(double(sizes.queries) / counts.tileRows) * std::ceil(double(sizes.keys) / counts.tileKeys);
    for (int64_t axis : axes)
      looks *= double(sizes.batch[axis]);
    if (looks > double(limit))
      return std::nullopt;
    overBatch(axes);
    for (int64_t *count :
         {&counts.skipped, &counts.full, &counts.masked, &counts.open, &counts.pairs, &counts.allPairs})
      *count *= same;
    return counts;
  }

private:
  using Box = NumberVisibility::Box;
  bool isFew() const { return counts.variant == AttentionVariant::FewQueries; }

  void overBatch(ArrayRef<int64_t> axes) {
    if (axes.empty()) {
      summaries.clear();
      return isFew() ? rowsOfGroup() : blocksOfQueries();
    }
    for (int64_t i = 0; i < sizes.batch[axes.front()]; ++i) {
      batch[axes.front()] = i;
      overBatch(axes.drop_front());
    }
  }

  /// Many queries: a task is a block of them.
  void blocksOfQueries() {
    for (int64_t begin = 0; begin < sizes.queries; begin += counts.tileRows)
      overKeys(begin, std::min(sizes.queries, begin + counts.tileRows), 1);
  }

  /// Few queries: tasks are rows of all heads that share keys, and each of them is decided for all queries.
  void rowsOfGroup() {
    int64_t rows = group * sizes.queries;
    if (rows > 0)
      overKeys(0, sizes.queries, llvm::divideCeil(rows, counts.tileRows), rows);
  }

  void overKeys(int64_t queryBegin, int64_t queryEnd, int64_t tasks, int64_t rows = 0) {
    rows = rows ? rows : queryEnd - queryBegin;
    NumberVisibility visibility(formula, batch, outer, summaries, /*tilesMask=*/!isFew());
    if (formula.hasMask() && isDecided) {
      visibility.summarize(MaskFormula::none, 0, 1);
      visibility.summarize(MaskFormula::queries, queryBegin, queryEnd);
    }
    for (int64_t begin = 0; begin < sizes.keys; begin += counts.tileKeys) {
      int64_t end = std::min(sizes.keys, begin + counts.tileKeys);
      int64_t &count = classify(visibility, {queryBegin, queryEnd, begin, end});
      count += tasks;
      counts.allPairs += rows * (end - begin);
      if (&count != &counts.skipped)
        counts.pairs += rows * (end - begin);
    }
  }

  int64_t &classify(NumberVisibility &visibility, const Box &box) {
    if (!formula.hasMask())
      return counts.full;
    if (!isDecided)
      return counts.masked;
    visibility.summarize(MaskFormula::keys, *box.keyBegin, *box.keyEnd);
    auto answer = visibility.query(box);
    if (answer.none == Kleene::Yes)
      return counts.skipped;
    if (answer.all == Kleene::Yes)
      return counts.full;
    return answer.none == Kleene::Open || answer.all == Kleene::Open ? counts.open : counts.masked;
  }

  kernel::AttentionOp op;
  const AttentionSizes &sizes;
  std::function<std::optional<int64_t>(Value)> outer;
  MaskFormula formula;
  SmallVector<int64_t> batch;
  Summaries summaries; ///< at the current batch index
  TileCounts counts;
  int64_t group = 1;
  bool isDecided;
};

} // namespace

std::optional<TileCounts> countTiles(kernel::AttentionOp op, const Target &target, const AttentionSizes &sizes,
                                     std::function<std::optional<int64_t>(Value)> outer, int64_t limit) {
  return TileCounter(op, target, sizes, std::move(outer)).run(limit);
}

MaskDecision decisionOf(kernel::AttentionOp op, AttentionVariant variant) {
  if (op.getMask().empty())
    return MaskDecision::NoMask;
  if (variant == AttentionVariant::FewQueries && !isMaskShared(op))
    return MaskDecision::Never;
  // One query and one key, every size and tensor unknown: what is not open then is never decided.
  MaskFormula formula(&op.getMask().front());
  NumberDomain domain;
  MaskRules<NumberDomain> rules(domain, formula);
  bool reads = variant == AttentionVariant::ManyQueries && !formula.tiled().empty();
  if (reads)
    rules.useTiles([](size_t, const auto &) { return MaskRules<NumberDomain>::Answer{Kleene::Open, Kleene::Open}; });
  for (Value leaf : formula.summarised()) {
    for (Operation *inner : formula.sliceOf(leaf))
      reads |= isa<kernel::LoadOp>(inner);
    if (leaf.getType().isInteger(1))
      rules.know(leaf, MaskRules<NumberDomain>::Answer{Kleene::Open, Kleene::Open});
    else
      rules.know(leaf, MaskRules<NumberDomain>::Range{});
  }
  auto answer = rules.query({std::nullopt, std::nullopt, std::nullopt, std::nullopt});
  if (answer.none != Kleene::Open && answer.all != Kleene::Open)
    return MaskDecision::Never;
  return reads ? MaskDecision::Summaries : MaskDecision::Formula;
}

} // namespace fovea::kernels
