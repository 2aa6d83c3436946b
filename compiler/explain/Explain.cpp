#include "compiler/explain/Explain.h"

#include "compiler/analysis/MemoryPlan.h"
#include "compiler/explain/Facts.h"
#include "compiler/passes/FusionReport.h"
#include "compiler/passes/Remedies.h"
#include "dialects/graph/Places.h"
#include "fovea/abi.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;

namespace fovea::explain {
namespace {

std::optional<int64_t> evaluate(DimExpr size, const Symbols &symbols) {
  return size.evaluate([&](std::string_view name) -> std::optional<int64_t> {
    auto found = symbols.find(name);
    return found == symbols.end() ? std::nullopt : std::optional(found->second);
  });
}

DimExpr substitute(DimExpr size, const Substitution &by) {
  return size.substitute([&](std::string_view name) -> std::optional<DimExpr> {
    auto found = by.find(name);
    return found == by.end() ? std::nullopt : std::optional(found->second);
  });
}

const char *decisionName(kernels::MaskDecision decision) {
  static const char *const names[] = {"no mask", "formula", "summaries", "mask"};
  return names[int(decision)];
}

bool holds(const program::Requirement &requirement, const Symbols &symbols) {
  auto lhs = evaluate(requirement.lhs, symbols), rhs = evaluate(requirement.rhs, symbols);
  if (!lhs || !rhs)
    return true;
  switch (requirement.relation) {
  case FOVEA_EQ:
    return *lhs == *rhs;
  case FOVEA_NE:
    return *lhs != *rhs;
  case FOVEA_LT:
    return *lhs < *rhs;
  case FOVEA_LE:
    return *lhs <= *rhs;
  case FOVEA_GT:
    return *lhs > *rhs;
  default:
    return *lhs >= *rhs;
  }
}

class Explainer {
public:
  explicit Explainer(const Input &input) : input(input), fusion(FusionReport::fromModule(input.fused)) {}

  Report run() {
    if (auto model = input.fused->getAttrOfType<StringAttr>(graph::names::model))
      report.model = model.str();
    report.sizes = input.sizes;
    for (Input::Lowered lowered : input.lowered)
      report.targets.push_back(lowered.target->name.str());
    if (!input.lowered.empty()) {
      interface = input.lowered.front().interface;
      reached = reachedFrom(input.fused, *interface);
      describeEntries();
    }
    for (const ChainReport &chain : fusion.chains)
      report.chains.push_back(describe(chain));
    if (!report.chains.empty())
      report.source = report.chains.front().place.file;
    draw();
    return std::move(report);
  }

private:
  //===-- Entries -------------------------------------------------------------------------------------------------===//

  void describeEntries() {
    for (const program::Entry &entry : interface->entries) {
      Entry &mine = report.entries.emplace_back();
      mine.name = entry.name;
      mine.symbols = entry.symbols;
      Symbols &values = sizes[&entry];
      for (const std::string &symbol : entry.symbols) {
        auto found = llvm::find_if(input.sizes, [&](auto &size) { return size.first == symbol; });
        if (found != input.sizes.end())
          values[symbol] = found->second;
        else if (!input.sizes.empty())
          mine.missing.push_back(symbol);
      }
      for (const program::Requirement &requirement : entry.requirements)
        if (isComplete(entry) && !holds(requirement, values))
          mine.broken.push_back(requirement.message);
      mine.recomputation = entry.recomputation;
      for (Input::Lowered lowered : input.lowered) {
        auto arena = lowered.module.lookupSymbol<func::FuncOp>(entry.function + ".arena");
        auto formula = arena ? arena->getAttrOfType<StringAttr>("fovea.formula") : StringAttr();
        if (!formula)
          continue;
        std::optional<SizeFormula> bytes = SizeFormula::parse(formula.getValue());
        bool isKnown = isComplete(entry) && bytes;
        mine.arenas.push_back({lowered.target->name.str(), bytes ? bytes->summary() : formula.str(),
                               isKnown ? bytes->evaluate({values.begin(), values.end()}) : std::nullopt});
      }
    }
  }

  /// Whether all sizes of the entry are known: it may have no symbols.
  bool isComplete(const program::Entry &entry) { return sizes[&entry].size() == entry.symbols.size(); }
  /// Whether the entry runs at the sizes asked for.
  bool canRun(const program::Entry &entry) {
    return isComplete(entry) && llvm::all_of(entry.requirements, [&](const program::Requirement &requirement) {
             return holds(requirement, sizes[&entry]);
           });
  }

  //===-- Chains --------------------------------------------------------------------------------------------------===//

  Chain describe(const ChainReport &chain) {
    Chain mine;
    mine.place = placeFrom(LocationAttr(chain.place));
    mine.function = chain.function;
    mine.fused = chain.fused;
    mine.facts = chain.facts;
    StringRef path = chain.result ? pathOf(chain.result) : StringRef();
    mine.path = (path.empty() ? pathOf(chain.place) : path).str();
    if (!chain.fused) {
      mine.failure = Failure{chain.failure, placeFrom(chain.failurePlace), remedyFor(chain.failure)};
      mine.heldBytes = heldBytes(chain);
      return mine;
    }
    unsigned number = numbers[{chain.function, chain.result}]++;
    ordinals[&chain] = number;
    graph::AttentionOp op = findAttention(chain, number);
    if (!op)
      return mine;
    mine.attention = describeAttention(op);
    std::vector<std::optional<AttentionLaunch>> launches;
    for (Input::Lowered lowered : input.lowered) {
      launches.push_back(findLaunch(lowered.module, chain.function, Location(chain.result), number));
      if (launches.back())
        mine.targets.push_back(describeTarget(*lowered.target, *launches.back(), *mine.attention));
    }
    if (!launches.empty() && llvm::all_of(launches, [](auto &launch) { return launch.has_value(); })) {
      for (int64_t axis : kernels::sharedAxes(launches.front()->op))
        mine.attention->shared.push_back("b" + std::to_string(axis) + " (" + mine.attention->batch[axis] + ")");
      addRuns(mine, op, launches);
    }
    return mine;
  }

  /// The scores that a softmax left in the graph reads.
  std::string heldBytes(const ChainReport &chain) {
    std::string bytes;
    if (auto function = input.fused.lookupSymbol<graph::FuncOp>(chain.function))
      function.walk([&](graph::SoftmaxOp op) {
        auto type = cast<graph::TensorType>(op.getX().getType());
        DimExpr elements = type.getNumElements(), width(int64_t(type.getElementType().getIntOrFloatBitWidth() / 8));
        if (op.getLoc() == chain.place && elements && elements * width)
          bytes = (elements * width).str();
      });
    return bytes;
  }

  graph::AttentionOp findAttention(const ChainReport &chain, unsigned number) {
    auto function = input.fused.lookupSymbol<graph::FuncOp>(chain.function);
    graph::AttentionOp last;
    if (function)
      function.walk([&](graph::AttentionOp op) {
        if (LocationAttr(op.getLoc()) != chain.result)
          return WalkResult::advance();
        last = op;
        return number-- == 0 ? WalkResult::interrupt() : WalkResult::advance(); // equal ones may have become one
      });
    return last;
  }

  static TargetRun describeTarget(const kernels::Target &target, const AttentionLaunch &launch,
                                  const Attention &attention) {
    using kernels::AttentionVariant;
    TargetRun run{target.name.str(), target.attentionRows, target.attentionKeys, {}};
    auto taken = kernels::variantFor(launch.op, target, DimExpr::parse(attention.queries)->value(),
                                     DimExpr::parse(attention.keys)->value());
    for (AttentionVariant variant : {AttentionVariant::FewQueries, AttentionVariant::ManyQueries}) {
      if (variant == AttentionVariant::FewQueries && !kernels::mayHaveFewQueries(launch.op))
        continue;
      std::string condition = kernels::conditionOf(variant, target, attention.queries, attention.keys);
      if (taken)
        condition = taken == variant ? "always" : "never";
      run.variants.push_back({kernels::attentionVariantNames()[int(variant)].str(), condition,
                              decisionName(kernels::decisionOf(launch.op, variant))});
    }
    return run;
  }

  //===-- Runs ----------------------------------------------------------------------------------------------------===//

  /// Calls with the same sizes are one run.
  void addRuns(Chain &chain, graph::AttentionOp op, ArrayRef<std::optional<AttentionLaunch>> launches) {
    auto amount = [&](StringRef name) {
      auto attribute = launches.front()->launch->getAttrOfType<graph::DimAttr>(name);
      return attribute ? attribute.getValue() : DimExpr(0);
    };
    auto q = cast<graph::TensorType>(op.getQ().getType());
    DimExpr flops = amount("flops"), bytes = amount("bytes"), scoreBytes(4);
    SmallVector<DimExpr> dims = llvm::to_vector(q.getDims().drop_back(1));
    dims.push_back(op.getKeyCount());
    for (DimExpr dim : dims)
      scoreBytes = scoreBytes * dim;
    std::map<std::string, size_t> known;
    for (const Reached &at : reached[chain.function]) {
      std::string key = at.entry->name;
      for (DimExpr dim : dims)
        key += " " + substitute(dim, at.sizes).str();
      auto [found, isNew] = known.try_emplace(key, chain.runs.size());
      if (isNew) {
        Run &run = chain.runs.emplace_back();
        run.entry = at.entry->name;
        run.flops = substitute(flops, at.sizes).str();
        run.bytes = substitute(bytes, at.sizes).str();
        run.scoreBytes = substitute(scoreBytes, at.sizes).str();
        if (canRun(*at.entry)) {
          run.at = amountsAt(at, dims, {flops, bytes, scoreBytes}, launches);
          run.isTooLarge = !run.at;
        }
      }
      std::string path = at.path;
      if (!chain.path.empty())
        path += (path.empty() ? "" : ".") + chain.path;
      chain.runs[found->second].paths.push_back(path);
    }
  }

  /// nullopt where an amount does not fit 64 bits.
  std::optional<Amounts> amountsAt(const Reached &at, ArrayRef<DimExpr> dims, std::array<DimExpr, 3> formulas,
                                   ArrayRef<std::optional<AttentionLaunch>> launches) {
    Symbols symbols;
    for (const auto &[symbol, size] : at.sizes)
      if (std::optional<int64_t> value = evaluate(size, sizes[at.entry]))
        symbols[symbol] = *value;
    SmallVector<int64_t> values;
    for (DimExpr size : dims)
      values.push_back(evaluate(size, symbols).value_or(-1));
    Amounts amounts;
    for (auto [formula, amount] : {std::pair(formulas[0], &amounts.flops), std::pair(formulas[1], &amounts.bytes),
                                   std::pair(formulas[2], &amounts.scoreBytes)}) {
      std::optional<int64_t> value = evaluate(formula, symbols);
      if (!value)
        return std::nullopt;
      *amount = *value;
    }
    if (llvm::any_of(values, [](int64_t value) { return value < 0; }))
      return std::nullopt;
    kernels::AttentionSizes extent{llvm::to_vector(ArrayRef(values).drop_back(2)), values[values.size() - 2],
                                   values.back()};
    amounts.batch.assign(extent.batch.begin(), extent.batch.end());
    amounts.queries = extent.queries, amounts.keys = extent.keys;
    for (auto [lowered, launch] : llvm::zip(input.lowered, launches))
      amounts.tiles.push_back(tilesAt(*lowered.target, *launch, extent, symbols, amounts.flops));
    return amounts;
  }

  static Tiles tilesAt(const kernels::Target &target, const AttentionLaunch &launch,
                       const kernels::AttentionSizes &extent, const Symbols &symbols, int64_t flops) {
    auto variant = *kernels::variantFor(launch.op, target, extent.queries, extent.keys);
    Tiles tiles{target.name.str(), kernels::attentionVariantNames()[int(variant)].str()};
    auto counts = tilesOf(launch, target, extent, symbols);
    if (!counts)
      return tiles;
    tiles.counted = true;
    tiles.tiles = counts->tiles();
    tiles.skipped = counts->skipped, tiles.full = counts->full;
    tiles.masked = counts->masked, tiles.open = counts->open;
    if (counts->allPairs)
      tiles.flops = flops / counts->allPairs * counts->pairs; // a pair's operations are the same for all
    return tiles;
  }

  //===-- Drawings ------------------------------------------------------------------------------------------------===//

  void draw() {
    std::set<std::string> functions;
    for (const Chain &chain : report.chains)
      functions.insert(chain.function);
    DenseMap<Operation *, std::string> before, after;
    for (auto [i, chain] : llvm::enumerate(fusion.chains)) {
      std::string number = " chain-" + std::to_string(i + 1);
      markBefore(chain, number, before);
      auto function = input.fused.lookupSymbol<graph::FuncOp>(chain.function);
      if (!function)
        continue;
      if (!chain.fused)
        markMissed(function, chain, number, after);
      else if (graph::AttentionOp op = findAttention(chain, ordinals[&chain]))
        addClass(op, number, after);
    }
    report.drawings.before = drawFunctions(input.before, functions, [&](Operation *op) { return before.lookup(op); });
    report.drawings.after = drawFunctions(input.fused, functions, [&](Operation *op) { return after.lookup(op); });
  }

  static void markMissed(graph::FuncOp function, const ChainReport &chain, const std::string &number,
                         DenseMap<Operation *, std::string> &classes) {
    function.walk([&](Operation *op) {
      if (chain.failurePlace && LocationAttr(op->getLoc()) == chain.failurePlace)
        classes[op] = "blocked" + number;
      else if (op->getLoc() == chain.place)
        classes[op] = "missed" + number;
    });
  }

  /// Before fusion a chain is all that lies between its two contractions.
  void markBefore(const ChainReport &chain, const std::string &number, DenseMap<Operation *, std::string> &classes) {
    auto function = input.before.lookupSymbol<graph::FuncOp>(chain.function);
    if (!function)
      return;
    if (!chain.fused)
      return markMissed(function, chain, number, classes);
    llvm::SetVector<Operation *> behind, ahead;
    function.walk([&](graph::ContractOp op) {
      if (LocationAttr(op.getLoc()) == chain.product)
        behind.insert(op);
      if (LocationAttr(op.getLoc()) == chain.scores)
        ahead.insert(op);
    });
    for (size_t i = 0; i < behind.size(); ++i)
      for (Value operand : behind[i]->getOperands())
        if (Operation *op = operand.getDefiningOp())
          behind.insert(op);
    for (size_t i = 0; i < ahead.size(); ++i) {
      if (LocationAttr(ahead[i]->getLoc()) == chain.product)
        continue;
      for (Operation *user : ahead[i]->getUsers())
        ahead.insert(user);
    }
    for (Operation *op : ahead)
      if (behind.contains(op))
        addClass(op, number, classes);
  }

  static void addClass(Operation *op, const std::string &number, DenseMap<Operation *, std::string> &classes) {
    std::string &mine = classes[op];
    mine += (mine.empty() ? "chain" : "") + number;
  }

  Input input; // handles
  FusionReport fusion;
  Report report;
  const program::Interface *interface = nullptr;
  std::map<std::string, std::vector<Reached>, std::less<>> reached;
  std::map<const program::Entry *, Symbols> sizes;
  struct ByPlace {
    bool operator()(const std::pair<std::string, LocationAttr> &a,
                    const std::pair<std::string, LocationAttr> &b) const {
      return std::pair(a.first, a.second.getAsOpaquePointer()) < std::pair(b.first, b.second.getAsOpaquePointer());
    }
  };
  std::map<const ChainReport *, unsigned> ordinals;
  /// Chains met so far in a function at a place: copies of one line of the text.
  std::map<std::pair<std::string, LocationAttr>, unsigned, ByPlace> numbers;
};

} // namespace

size_t Report::fused() const {
  return llvm::count_if(chains, [](const Chain &chain) { return chain.fused; });
}

Report explain(const Input &input) { return Explainer(input).run(); }

} // namespace fovea::explain
