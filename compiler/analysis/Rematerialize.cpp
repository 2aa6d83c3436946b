// graph-rematerialize: decides, for each value that the way back reads, whether it is kept or computed again.
//
// Before: graph-form-groups. After: in entries that compute gradients, groups before the loss are cloned, with the
// views of their results, in front of the first group behind it that reads of them, where the arena would otherwise be
// larger than `max-memory` at the sizes `at` (a symbol that is not given there: 128). Every function that is changed,
// or fits as it is, is then planned for these sizes. What was decided is left as `graph.recomputation`.
//
// Groups and not ops are what runs again: their results are the very buffers of the arena, and a clone is the same
// kernel, so that results keep their bits and code does not grow. Nothing merges them after: graph-lower-to-kernel
// comes next.
//
// Requires: places say what is of a gradient (`isOfGradient`), or what it is read from. Declines for groups that write
// over a buffer or read one that is written over before the loss, whose results leave the function or are handed to
// calls; for calls. Fails where no choice fits, and says the least. Exact.
#include "compiler/analysis/Rematerialize.h"

#include "compiler/analysis/GroupCost.h"
#include "compiler/analysis/Recompute.h"
#include "compiler/analysis/StepFlow.h"
#include "dialects/graph/Places.h"

#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/MapVector.h"

#define DEBUG_TYPE "graph-rematerialize"

using namespace mlir;

namespace fovea {
namespace {

/// A size that is not given.
constexpr int64_t usualSize = 128;
/// Operations in the time that a byte takes to be read or written, and that a launch takes.
constexpr double flopsPerByte = 8, flopsPerLaunch = 1e5;

int64_t valueOf(DimExpr size, const SymbolValues &sizes) {
  return size ? std::max<int64_t>(0, evaluate(size, sizes).value_or(0)) : 0;
}

//===-- The arena -------------------------------------------------------------------------------------------------===//

int64_t arenaOf(graph::FuncOp function, const SymbolValues &sizes);

/// The arena of what a step calls.
int64_t scratchOf(Operation *step, const SymbolValues &sizes) {
  auto call = dyn_cast<graph::CallOp>(step);
  if (!call)
    return 0;
  graph::FuncOp callee = calleeOf(call);
  SymbolValues inner;
  for (auto [symbol, size] :
       llvm::zip(callee.getSymbols().getAsRange<StringAttr>(), graph::getSizes(call.getSubstitution())))
    inner[symbol.str()] = valueOf(size, sizes);
  return arenaOf(callee, inner);
}

/// The bytes of the arena that graph-lower-to-kernel plans where it plans for `sizes` alone.
int64_t arenaOf(graph::FuncOp function, const SymbolValues &sizes) {
  StorageMap storages(function);
  StepFlow flow(function, storages);
  SmallVector<Value> outputs = outputBases(function, storages);
  std::vector<size_t> order = flow.order({sizes}), place(order.size());
  for (auto [at, step] : llvm::enumerate(order))
    place[step] = at;
  std::vector<SmallVector<size_t>> made(order.size());
  for (auto [value, flowing] : llvm::enumerate(flow.values))
    made[flowing.producer].push_back(value);
  std::vector<PlanBuffer> buffers;
  for (auto [at, step] : llvm::enumerate(order)) {
    for (size_t value : made[step]) {
      if (llvm::is_contained(outputs, flow.bases[value]))
        continue;
      size_t last = at;
      for (size_t reader : flow.values[value].consumers)
        last = std::max(last, place[reader]);
      buffers.push_back({DimExpr(valueOf(alignBytes(bytesOf(flow.bases[value])), sizes)), at, last});
    }
    if (int64_t scratch = scratchOf(flow.steps[step], sizes))
      buffers.push_back({DimExpr(scratch), at, at});
  }
  return planMemory(buffers, {SymbolValues()}).size.evaluate({}).value_or(0);
}

//===-- The problem -----------------------------------------------------------------------------------------------===//

/// The steps of a function as a problem. Its steps and values have the numbers of the flow's.
class ProblemBuilder {
public:
  ProblemBuilder(graph::FuncOp function, const SymbolValues &sizes)
      : sizes(sizes), storages(function), flow(function, storages), outputs(outputBases(function, storages)) {}

  RecomputeProblem build() {
    problem.steps.resize(flow.steps.size());
    problem.values.resize(flow.values.size());
    for (auto [value, flowing] : llvm::enumerate(flow.values)) {
      Value base = flow.bases[value];
      problem.values[value] = {valueOf(alignBytes(bytesOf(base)), sizes), flowing.producer,
                               llvm::is_contained(outputs, base)};
      problem.steps[flowing.producer].writes.push_back(value);
      for (size_t reader : flowing.consumers)
        if (std::vector<size_t> &reads = problem.steps[reader].reads; !llvm::is_contained(reads, value))
          reads.push_back(value);
    }
    for (auto [i, step] : llvm::enumerate(problem.steps)) {
      step.isBackward = isBackward(i);
      step.scratch = scratchOf(flow.steps[i], sizes);
      step.cost = std::max(flopsOfStep(i), flopsPerByte * bytesOfStep(i)) + flopsPerLaunch;
    }
    DenseSet<Value> overwritten = overwrittenBeforeLoss();
    for (auto [i, step] : llvm::enumerate(problem.steps))
      step.mayRepeat = !step.isBackward && mayRepeat(flow.steps[i], overwritten);
    return std::move(problem);
  }

  const StepFlow &getFlow() const { return flow; }
  double flopsOfStep(size_t step) const {
    auto group = dyn_cast<graph::GroupOp>(flow.steps[step]);
    return group ? double(valueOf(flopsOf(group), sizes)) : 0;
  }

private:
  double bytesOfStep(size_t step) const {
    double bytes = 0;
    for (Value value : llvm::concat<Value>(llvm::to_vector_of<Value>(flow.steps[step]->getOperands()),
                                           llvm::to_vector_of<Value>(flow.steps[step]->getResults())))
      bytes += double(valueOf(bytesOf(value), sizes));
    return bytes;
  }

  /// Whether all that a step gives is of a gradient, or it reads what is.
  bool isBackward(size_t i) {
    Operation *step = flow.steps[i];
    for (Value operand : step->getOperands()) {
      while (isLayoutOp(operand.getDefiningOp()))
        operand = operand.getDefiningOp()->getOperand(0);
      if (operand.getDefiningOp() && backward.contains(operand.getDefiningOp()))
        return backward.insert(step), true;
    }
    bool isMarked = isOfGradient(step->getLoc());
    if (auto group = dyn_cast<graph::GroupOp>(step))
      isMarked = llvm::all_of(group.getBody().front().getTerminator()->getOperands(), [&](Value root) {
        return isOfGradient(root.getDefiningOp() ? root.getDefiningOp()->getLoc() : step->getLoc());
      });
    if (isMarked)
      backward.insert(step);
    return isMarked;
  }

  /// Buffers that a step which is not of a gradient computes in place.
  DenseSet<Value> overwrittenBeforeLoss() {
    DenseSet<Value> bases;
    for (Operation *step : flow.steps)
      for (Value result : step->getResults())
        if (Value base = storages.lookup(result)->base; base != result && !backward.contains(step))
          bases.insert(base);
    return bases;
  }

  bool mayRepeat(Operation *step, const DenseSet<Value> &overwritten) {
    if (!isa<graph::GroupOp>(step))
      return false;
    auto isOverwritten = [&](Value value) { return overwritten.contains(storages.lookup(value)->base); };
    if (llvm::any_of(step->getOperands(), isOverwritten))
      return false;
    return llvm::all_of(step->getResults(), [&](Value result) {
      return storages.lookup(result)->base == result && !isOverwritten(result) && staysInside(result);
    });
  }
  /// Whether a value is read by groups only: what else reads it may ask for another layout than the clone's readers do.
  static bool staysInside(Value value) {
    return llvm::all_of(value.getUses(), [](OpOperand &use) {
      return !needsContiguous(use) && (!isLayoutOp(use.getOwner()) || staysInside(use.getOwner()->getResult(0)));
    });
  }

  const SymbolValues &sizes;
  StorageMap storages;
  StepFlow flow;
  SmallVector<Value> outputs;
  DenseSet<Operation *> backward;
  RecomputeProblem problem;
};

//===-- The rewrite -----------------------------------------------------------------------------------------------===//

/// Clones the layout ops behind a value that is mapped, in the order of its uses: the clone then has the layout of the
/// original.
void cloneViews(OpBuilder &b, Value value, IRMapping &copies) {
  SmallVector<Operation *> users = llvm::to_vector(value.getUsers()); // the last use first
  for (Operation *user : llvm::reverse(users))
    if (isLayoutOp(user) && user->getOperand(0) == value) {
      Value view = b.clone(*user, copies)->getResult(0);
      view.setLoc(withPath(view.getLoc(), ""));
      cloneViews(b, user->getResult(0), copies);
    }
}

/// Runs the repeated steps of `function` again. The values of the originals keep their names, so clones have none.
void repeatSteps(graph::FuncOp function, const RecomputeProblem &problem, const std::vector<bool> &isRepeated) {
  StorageMap storages(function);
  StepFlow flow(function, storages);
  IRMapping copies;
  SmallVector<size_t> waiting; // repeated steps before the next one that is not
  for (Execution execution : executionsOf(problem, isRepeated)) {
    if (execution.isRepeat) {
      waiting.push_back(execution.step);
      continue;
    }
    Operation *step = flow.steps[execution.step];
    OpBuilder b(step);
    for (size_t each : waiting) {
      Operation *clone = b.clone(*flow.steps[each], copies);
      cast<graph::GroupOp>(clone).getBody().walk([](Operation *op) { op->setLoc(withPath(op->getLoc(), "")); });
      for (Value result : flow.steps[each]->getResults())
        cloneViews(b, result, copies);
    }
    waiting.clear();
    if (problem.steps[execution.step].isBackward)
      for (OpOperand &operand : step->getOpOperands())
        operand.set(copies.lookupOrDefault(operand.get()));
  }
}

//===-- The report ------------------------------------------------------------------------------------------------===//

class Rows {
public:
  void add(Location loc, int64_t amount) {
    RecomputationReport::Row &row = rows[placeOf(loc)];
    if (!row.count++)
      row.path = pathOf(loc).str();
    row.amount += amount;
  }
  std::vector<RecomputationReport::Row> take() {
    std::vector<RecomputationReport::Row> out;
    for (auto &[place, row] : rows) {
      row.place = place;
      out.push_back(std::move(row));
    }
    llvm::stable_sort(out, [](const auto &a, const auto &b) { return a.amount > b.amount; });
    return out;
  }

private:
  llvm::MapVector<std::string, RecomputationReport::Row, std::map<std::string, unsigned>> rows;
};

/// Where a value that crosses groups comes from.
Location locationOf(Value value) {
  auto group = value.getDefiningOp<graph::GroupOp>();
  if (!group)
    return value.getLoc();
  Value root = group.getBody().front().getTerminator()->getOperand(cast<OpResult>(value).getResultNumber());
  return root.getDefiningOp() ? root.getDefiningOp()->getLoc() : group.getLoc();
}

//===-- The pass --------------------------------------------------------------------------------------------------===//

class EntryRewriter {
public:
  EntryRewriter(graph::FuncOp function, SymbolValues sizes, int64_t limit)
      : function(function), sizes(std::move(sizes)), limit(limit), builder(function, this->sizes),
        problem(builder.build()) {}

  /// Whether it is an entry of whose values some are read by a gradient.
  bool hasGradients() const {
    return llvm::any_of(problem.steps, [](const auto &step) { return step.isBackward; });
  }

  LogicalResult run() {
    report.sizes = sizes;
    report.limit = limit;
    report.before = report.after = arenaOf(function, sizes);
    std::vector<bool> isRepeated(problem.steps.size());
    if (limit && report.before > limit) {
      std::optional<std::vector<bool>> choice = choose();
      if (!choice)
        return failure();
      isRepeated = std::move(*choice);
    }
    describe(isRepeated);
    setRecomputation(function, report);
    if (limit)
      setPlannedSizes();
    repeatSteps(function, problem, isRepeated);
    return success();
  }

private:
  /// A choice whose arena fits. The search knows peaks; an arena may be larger where buffers leave gaps, so it then
  /// looks below.
  std::optional<std::vector<bool>> choose() {
    int64_t target = limit, least = report.before;
    for (int attempt = 0; attempt < 6; ++attempt) {
      Recomputation choice = recomputeWithin(problem, target);
      int64_t arena = arenaWith(choice.isRepeated);
      least = std::min(least, arena);
      if (arena <= limit) {
        report.after = arena;
        return std::move(choice.isRepeated);
      }
      if (choice.peak > target)
        break;
      target = std::min(target, choice.peak) - std::max<int64_t>(bufferAlignment, (arena - limit) / 2);
    }
    modelError(function.getLoc(), "max-memory")
        << "`" << nameOf() << "` needs an arena of at least " << bytesInWords(least) << " (" << least << " bytes)"
        << sizesInWords(sizes) << ", and --max-memory allows " << bytesInWords(limit);
    return std::nullopt;
  }
  /// The entry's name behind the model's.
  StringRef nameOf() {
    auto [model, name] = function.getSymName().rsplit('.');
    return name.empty() ? model : name;
  }

  int64_t arenaWith(const std::vector<bool> &isRepeated) {
    OpBuilder b(function);
    auto trial = cast<graph::FuncOp>(b.clone(*function));
    trial.setSymName((function.getSymName() + ".trial").str());
    repeatSteps(trial, problem, isRepeated);
    int64_t bytes = arenaOf(trial, sizes);
    trial.erase();
    return bytes;
  }

  void describe(const std::vector<bool> &isRepeated) {
    Rows kept, repeated;
    for (size_t value : keptValues(problem, isRepeated))
      if (!problem.values[value].isOutput)
        kept.add(locationOf(builder.getFlow().bases[value]), problem.values[value].bytes);
    for (size_t step = 0; step < isRepeated.size(); ++step) {
      report.flops += int64_t(builder.flopsOfStep(step));
      if (isRepeated[step])
        repeated.add(locationOf(builder.getFlow().steps[step]->getResult(0)), int64_t(builder.flopsOfStep(step)));
    }
    report.kept = kept.take();
    report.repeated = repeated.take();
  }

  void setPlannedSizes() {
    Builder b(function.getContext());
    NamedAttrList list;
    for (const auto &[symbol, size] : sizes)
      list.set(symbol, b.getI64IntegerAttr(size));
    function->setAttr(plannedSizesAttr, list.getDictionary(b.getContext()));
  }

  graph::FuncOp function;
  SymbolValues sizes;
  int64_t limit;
  ProblemBuilder builder;
  RecomputeProblem problem;
  RecomputationReport report;
};

struct Rematerialize : PassWrapper<Rematerialize, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(Rematerialize)

  Rematerialize() = default;
  Rematerialize(const Rematerialize &other) : PassWrapper(other) {}
  StringRef getName() const final { return "Rematerialize"; }
  StringRef getArgument() const final { return DEBUG_TYPE; }
  StringRef getDescription() const final {
    return "Compute values before the loss again for their gradients where the arena is to be smaller";
  }
  Option<int64_t> maxMemory{*this, "max-memory", llvm::cl::desc("bytes of an entry's arena; 0: report only"),
                            llvm::cl::init(0)};
  ListOption<std::string> at{*this, "at", llvm::cl::desc("sizes, as T=128")};
  Statistic repeated{this, "repeated", "Groups that run again"};

  /// The given sizes, by symbol.
  FailureOr<SymbolValues> given() {
    SymbolValues sizes;
    for (const std::string &text : at) {
      auto [symbol, number] = StringRef(text).split('=');
      int64_t value;
      if (number.getAsInteger(10, value))
        return getOperation().emitError("graph-rematerialize: `at` wants sizes such as T=128, found ") << text;
      sizes[symbol.str()] = value;
    }
    return sizes;
  }

  void runOnOperation() override {
    FailureOr<SymbolValues> asked = given();
    if (failed(asked))
      return signalPassFailure();
    for (auto function : llvm::to_vector(getOperation().getOps<graph::FuncOp>())) {
      if (function.isExternal() || !function.getEntry())
        continue;
      SymbolValues sizes;
      bool isComplete = true;
      for (auto symbol : function.getSymbols().getAsRange<StringAttr>()) {
        auto found = asked->find(symbol.str());
        isComplete &= found != asked->end();
        sizes[symbol.str()] = found == asked->end() ? usualSize : found->second;
      }
      if (!maxMemory && !isComplete)
        continue;
      EntryRewriter entry(function, std::move(sizes), maxMemory);
      if (!entry.hasGradients())
        continue;
      if (failed(entry.run()))
        return signalPassFailure();
      for (const RecomputationReport::Row &row : recomputationOf(function)->repeated)
        repeated += row.count;
    }
  }
};

} // namespace

std::unique_ptr<Pass> createRematerializePass() { return std::make_unique<Rematerialize>(); }
void registerRematerializePass() { PassRegistration<Rematerialize>(); }

} // namespace fovea
