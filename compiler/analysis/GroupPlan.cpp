#include "compiler/analysis/GroupPlan.h"
#include "compiler/analysis/PointProgram.h"
#include "compiler/analysis/Storage.h"

#include "dialects/graph/ElementCost.h"
#include "dialects/graph/Places.h"

#include <set>

using namespace mlir;

namespace fovea {

static constexpr unsigned notCheap = 1000;

static bool isReduction(Operation *op) { return isa<graph::ReduceOp, graph::ArgmaxOp>(op); }
static bool isElementwise(Operation *op) { return isa_and_nonnull<graph::ElementwiseOpInterface>(op); }

bool isPoint(Operation *op) { return isReduction(op) || isa<graph::PackOp>(op) || hasPointRule(op); }

SmallVector<int64_t> reducedAxesOf(Operation *op) {
  if (auto reduce = dyn_cast<graph::ReduceOp>(op))
    return SmallVector<int64_t>(reduce.getAxes());
  return {static_cast<int64_t>(cast<graph::ArgmaxOp>(op).getAxis())};
}

GroupPlan::GroupPlan(graph::FuncOp function) : function(function) {
  for (unsigned i = 0; i < function.getNumResults(); ++i)
    if (std::optional<unsigned> state = stateArgument(function, i))
      overwritten.insert(function.getArgument(*state));
  for (auto contract : function.getBody().front().getOps<graph::ContractOp>())
    claimEpilogue(contract);
  leafCounts.clear(); // what is in memory is known only now
  for (Value operand : function.getBody().front().getTerminator()->getOperands())
    needInMemory(operand);
  // From the results back: an op is visited once all its users are, elementwise ops before reductions, and those that
  // no axis repeats before others, so that the axes of a group's reductions are chosen by the one that needs them most.
  DenseMap<Operation *, size_t> pending;
  std::set<std::pair<size_t, Operation *>> ready; // by position in the block, last first
  DenseMap<Operation *, size_t> position;
  size_t count = 0;
  for (Operation &op : llvm::reverse(function.getBody().front().without_terminator())) {
    position[&op] = count++;
    size_t users = 0;
    for (Operation *user : op.getUsers()) // a region reads what its op has as an operand too
      users += user->getBlock() == op.getBlock() && !user->hasTrait<OpTrait::IsTerminator>();
    if (!(pending[&op] = users))
      ready.insert({position[&op], &op});
  }
  while (!ready.empty()) {
    auto next = std::min_element(ready.begin(), ready.end(), [&](const auto &a, const auto &b) {
      unsigned left = priority(a.second), right = priority(b.second);
      return left != right ? left < right : a.first < b.first;
    });
    Operation *op = next->second;
    ready.erase(next);
    visit(op);
    for (Value operand : op->getOperands())
      if (Operation *def = operand.getDefiningOp(); def && !--pending[def])
        ready.insert({position[def], def});
  }
}

unsigned GroupPlan::priority(Operation *op) {
  if (!isReduction(op))
    return 0;
  for (const Request &request : requests[op->getResult(0)]) {
    uint64_t all = (uint64_t(1) << groups[request.group].box.size()) - 1;
    for (unsigned axis : groups[request.group].reduced)
      all &= ~(uint64_t(1) << axis);
    if (all & ~maskOf(request.pattern))
      return 2;
  }
  return 1;
}

bool GroupPlan::reachesFromOutside(Operation *from, const llvm::SetVector<Operation *> &members,
                                   std::optional<unsigned> own) {
  DenseSet<Operation *> seen;
  DenseSet<unsigned> seenGroups;
  SmallVector<Operation *> work;
  // Epilogues alone are groups whose results come last: what stands behind all members leads to none of them.
  Operation *last =
      own ? nullptr : *llvm::max_element(members, [](Operation *a, Operation *b) { return a->isBeforeInBlock(b); });
  // An op may be computed in several groups: then it is outside as well.
  auto push = [&](Operation *op) {
    if (last && op->getBlock() == last->getBlock() && last->isBeforeInBlock(op))
      return;
    bool isOutside = !members.contains(op) || llvm::any_of(groupsOf.lookup(op), [&](unsigned g) { return g != own; });
    if (isOutside && seen.insert(op).second)
      work.push_back(op);
  };
  for (Operation *user : from->getUsers())
    push(user);
  while (!work.empty()) {
    Operation *op = work.pop_back_val();
    SmallVector<Value> written; // what others can read: of a group, its roots
    ArrayRef<unsigned> in = groupsOf[op];
    if (in.empty() || views.contains(op))
      llvm::append_range(written, op->getResults());
    for (unsigned group : in)
      if (group != own && seenGroups.insert(group).second)
        llvm::append_range(written, groups[group].roots);
    for (Value value : written)
      for (Operation *user : value.getUsers()) {
        if (members.contains(user))
          return true;
        push(user);
      }
  }
  return false;
}

//===-- Visiting --------------------------------------------------------------------------------------------------===//

void GroupPlan::want(Value value, unsigned group, Pattern pattern) {
  SmallVector<Request> &all = requests[value];
  for (const Request &request : all)
    if (request.group == group && request.pattern == pattern)
      return;
  all.push_back({group, std::move(pattern)});
}

void GroupPlan::needInMemory(Value value) {
  inMemory.insert(value);
  if (Operation *op = value.getDefiningOp(); isLayoutOp(op) && views.insert(op).second)
    needInMemory(op->getOperand(0));
}

static Pattern pointsOf(size_t rank) {
  Pattern pattern;
  for (unsigned i = 0; i < rank; ++i)
    pattern.push_back(Coordinate::of(i));
  return pattern;
}

void GroupPlan::compute(Operation *op, unsigned group, const Pattern &pattern) {
  groups[group].ops.insert(op);
  if (SmallVector<unsigned, 1> &in = groupsOf[op]; !llvm::is_contained(in, group))
    in.push_back(group);
  if (isReduction(op)) {
    SmallVector<unsigned> axes = *reductionAxes(op, group, maskOf(pattern), true);
    Pattern operand(pattern);
    for (auto [axis, boxAxis] : llvm::zip(reducedAxesOf(op), axes))
      operand.insert(operand.begin() + axis, Coordinate::of(boxAxis));
    want(op->getOperand(0), group, operand);
    return;
  }
  if (groups[group].inPlace == op) {
    needInMemory(op->getOperand(0));
    want(op->getOperand(1), group, pattern);
    auto scatter = dyn_cast<graph::ScatterOp>(op);
    for (Value index : op->getOperands().drop_front(2)) {
      size_t rank = cast<graph::TensorType>(index.getType()).getRank();
      want(index, group, scatter ? Pattern(ArrayRef(pattern).slice(scatter.getAxes().front(), rank)) : Pattern());
    }
    return;
  }
  for (auto [operand, wanted] : llvm::zip(op->getOperands(), operandPatterns(op, pattern)))
    want(operand, group, wanted);
}

void GroupPlan::startGroup(Operation *op) {
  PlannedGroup group;
  std::vector<DimExpr> dims = dimsOf(op->getResult(0));
  if (auto update = dyn_cast<graph::UpdateSliceOp>(op); update && canUpdateInPlace(update)) {
    group.inPlace = op;
    updatedInPlace.insert(op);
    dims = dimsOf(update.getV());
  }
  group.box.assign(dims.begin(), dims.end());
  group.roots = {op->getResult(0)};
  group.points.push_back(llvm::to_vector(llvm::seq<int64_t>(0, dims.size())));
  groups.push_back(std::move(group));
  compute(op, groups.size() - 1, pointsOf(dims.size()));
}

void GroupPlan::startScatter(graph::ScatterOp op) {
  PlannedGroup group;
  std::vector<DimExpr> dims = dimsOf(op.getV());
  group.inPlace = op;
  group.copies = !canUpdateInPlace(op);
  group.box.assign(dims.begin(), dims.end());
  group.roots = {op.getResult()};
  group.points.push_back(llvm::to_vector(llvm::seq<int64_t>(0, dims.size())));
  groups.push_back(std::move(group));
  compute(op, groups.size() - 1, pointsOf(dims.size()));
}

void GroupPlan::visit(Operation *op) {
  if (isa<graph::AttentionOp, graph::AttentionBackwardOp, graph::LinearAttentionOp, graph::TopKOp>(op)) {
    PlannedGroup group;
    group.kind = isa<graph::TopKOp>(op) ? PlannedGroup::TopK : PlannedGroup::Attention;
    group.ops.insert(op);
    llvm::append_range(group.roots, op->getResults());
    groupsOf[op].push_back(groups.size());
    groups.push_back(std::move(group));
    llvm::for_each(op->getOperands(), [&](Value operand) { needInMemory(operand); });
  } else if (auto it = claimed.find(op); it != claimed.end()) {
    unsigned group = it->second;
    if (isa<graph::ContractOp>(op))
      llvm::for_each(op->getOperands(), [&](Value operand) { needInMemory(operand); });
    else
      compute(op, group, pointsOf(groups[group].box.size()));
  } else if (auto scatter = dyn_cast<graph::ScatterOp>(op)) {
    startScatter(scatter);
  } else if (isPoint(op)) {
    visitPoint(op);
  } else {
    llvm::for_each(op->getOperands(), [&](Value operand) { needInMemory(operand); });
  }
}

void GroupPlan::visitPoint(Operation *op) {
  Value value = op->getResult(0);
  bool needed = inMemory.contains(value);
  SmallVector<Request> wanted = requests.lookup(value);
  if (!needed && wanted.empty())
    return; // dead
  if (isLayoutOp(op) || (!needed && mayInline(op))) {
    for (const Request &request : wanted)
      compute(op, request.group, request.pattern);
    return;
  }
  if (std::optional<unsigned> group = groupToJoin(value)) {
    groups[*group].roots.push_back(value);
    for (const Request &request : wanted)
      if (request.group == *group) {
        groups[*group].points.push_back(
            llvm::map_to_vector(request.pattern, [](Coordinate c) { return int64_t(c.axis); }));
        compute(op, *group, request.pattern);
        return;
      }
  }
  if (std::optional<unsigned> group = groupToShare(value)) {
    size_t rank = groups[*group].box.size();
    groups[*group].roots.push_back(value);
    groups[*group].points.push_back(llvm::to_vector(llvm::seq<int64_t>(0, rank)));
    compute(op, *group, pointsOf(rank));
    return;
  }
  startGroup(op);
}

//===-- Decisions -------------------------------------------------------------------------------------------------===//

unsigned GroupPlan::leaves(Value value) {
  Operation *op = value.getDefiningOp();
  if (inMemory.contains(value) || !op || !isPoint(op) || isReduction(op) || claimed.contains(op))
    return 1;
  if (isa<graph::GatherOp, graph::PackOp, graph::UpdateSliceOp>(op) || graph::isCostly(op))
    return notCheap;
  if (auto it = leafCounts.find(value); it != leafCounts.end())
    return it->second;
  unsigned count = 0;
  for (Value operand : op->getOperands())
    count = std::min(notCheap, count + leaves(operand));
  return leafCounts[value] = count;
}

/// Whether a value's elements hang on a reduction through ops of the same points or fewer: they are a row's, not a
/// point's.
static bool followsReduction(Value value) {
  Operation *op = value.getDefiningOp();
  if (!op || !(isElementwise(op) || isLayoutOp(op) || isReduction(op)))
    return false;
  return isReduction(op) || llvm::any_of(op->getOperands(), followsReduction);
}

bool GroupPlan::hangsOnOtherReduction(Operation *op, const Pattern &pattern, unsigned index) {
  const PlannedGroup &group = groups[index];
  if (isReduction(op))
    return group.kind != PlannedGroup::Map || group.inPlace ||
           llvm::any_of(pattern, [](const Coordinate &c) { return c.axis < 0 && c.mask; }) ||
           llvm::any_of(group.reduced, [&](unsigned axis) { return maskOf(pattern) >> axis & 1; });
  if (!isElementwise(op) && !isLayoutOp(op))
    return false;
  if (group.kind == PlannedGroup::Matmul && isa<graph::BroadcastOp>(op))
    return false; // what a row or a column has is written once, and read by the epilogue
  auto isSame = [&](const auto &known) { return known.pattern == pattern && known.reduced == group.reduced; };
  if (auto &known = hanging[{op, index}]; !known.empty())
    if (auto it = llvm::find_if(known, isSame); it != known.end())
      return it->hangs;
  bool hangs = false;
  for (auto [operand, wanted] : llvm::zip(op->getOperands(), operandPatterns(op, pattern)))
    if (Operation *def = operand.getDefiningOp(); def && hangsOnOtherReduction(def, wanted, index)) {
      hangs = true;
      break;
    }
  hanging[{op, index}].push_back({pattern, group.reduced, hangs});
  return hangs;
}

/// An elementwise op on one value of its own shape that has other uses: writing that value serves them all.
static bool passesOn(Operation *op) {
  Value from;
  for (Value operand : op->getOperands()) {
    if (!followsReduction(operand))
      continue;
    if (from && operand != from)
      return false;
    from = operand;
  }
  return from && from.getType() == op->getResult(0).getType() &&
         llvm::any_of(from.getUsers(), [&](Operation *user) { return user != op; });
}

bool GroupPlan::mayInline(Operation *op) {
  Value value = op->getResult(0);
  ArrayRef<Request> wanted = requests[value];
  if (isa<graph::PackOp, graph::UpdateSliceOp>(op))
    return false;
  if (!isReduction(op) && wanted.size() == 1 && !passesOn(op) &&
      hangsOnOtherReduction(op, wanted.front().pattern, wanted.front().group))
    return false;
  if (!isReduction(op) && leaves(value) <= 1)
    return true;
  if (wanted.size() != 1 || isKeptForGradients(op))
    return false;
  const Request &request = wanted.front();
  const PlannedGroup &group = groups[request.group];
  if (isReduction(op))
    return mayInlineReduction(op, request);
  if (group.kind == PlannedGroup::Matmul && isa<graph::GatherOp>(op))
    return false;
  for (const Coordinate &coordinate : request.pattern)
    if (coordinate.scattered)
      return false;
  // Axes of the box that the element does not depend on repeat it, but along reduced axes a row's value is computed
  // once.
  uint64_t repeated = ((uint64_t(1) << group.box.size()) - 1) & ~maskOf(request.pattern);
  for (unsigned axis : group.reduced)
    repeated &= ~(uint64_t(1) << axis);
  for (auto [axis, size] : llvm::enumerate(group.box))
    if (size.isConstant(1))
      repeated &= ~(uint64_t(1) << axis);
  return !repeated || followsReduction(value) || isa<graph::ConcatOp>(op);
}

std::optional<SmallVector<unsigned>> GroupPlan::reductionAxes(Operation *op, unsigned index, uint64_t outer, bool add) {
  PlannedGroup &group = groups[index];
  std::vector<DimExpr> dims = dimsOf(op->getOperand(0));
  SmallVector<int64_t> reduced = reducedAxesOf(op);
  SmallVector<unsigned> axes;
  if (!group.reduced.empty()) {
    if (group.reduced.size() != reduced.size())
      return std::nullopt;
    for (auto [axis, boxAxis] : llvm::zip(reduced, group.reduced)) {
      if (group.box[boxAxis] != dims[axis] || (outer >> boxAxis & 1))
        return std::nullopt;
      axes.push_back(boxAxis);
    }
    return axes;
  }
  // Axes of the box with these sizes that the result does not depend on, in order; where one is missing all are new.
  unsigned from = 0;
  for (int64_t axis : reduced) {
    while (from < group.box.size() && (group.box[from] != dims[axis] || (outer >> from & 1)))
      ++from;
    if (from == group.box.size())
      break;
    axes.push_back(from++);
  }
  if (axes.size() != reduced.size()) {
    axes.clear();
    for (auto [i, axis] : llvm::enumerate(reduced))
      axes.push_back(group.box.size() + i);
  }
  if (add) {
    for (auto [i, axis] : llvm::enumerate(reduced))
      if (axes[i] == group.box.size())
        group.box.push_back(dims[axis]);
    group.reduced.assign(axes.begin(), axes.end());
  }
  return axes;
}

bool GroupPlan::mayInlineReduction(Operation *op, const Request &request) {
  const PlannedGroup &group = groups[request.group];
  if (group.kind != PlannedGroup::Map || group.inPlace)
    return false;
  uint64_t outer = maskOf(request.pattern);
  for (const Coordinate &coordinate : request.pattern)
    if (coordinate.axis < 0 && coordinate.mask)
      return false;
  std::optional<SmallVector<unsigned>> axes = reductionAxes(op, request.group, outer, false);
  if (!axes)
    return false;
  uint64_t repeated = ((uint64_t(1) << group.box.size()) - 1) & ~outer;
  for (unsigned axis : *axes)
    repeated &= ~(uint64_t(1) << axis);
  for (auto [axis, size] : llvm::enumerate(group.box))
    if (size.isConstant(1))
      repeated &= ~(uint64_t(1) << axis);
  // Along axes that the reduction does not depend on it is repeated: only where it comes along with others and is
  // cheap.
  return !repeated || (!group.reduced.empty() && leaves(op->getOperand(0)) <= 1);
}

/// A map group that wants exactly the value's points can store it as well.
std::optional<unsigned> GroupPlan::groupToJoin(Value value) {
  Operation *op = value.getDefiningOp();
  if (isa<graph::PackOp, graph::UpdateSliceOp>(op) || isReduction(op) || isKeptForGradients(op))
    return std::nullopt;
  for (const Request &request : requests.lookup(value)) {
    const PlannedGroup &group = groups[request.group];
    if (group.kind != PlannedGroup::Map || group.inPlace)
      continue;
    uint64_t axes = 0;
    bool aligned = true;
    for (const Coordinate &coordinate : request.pattern) {
      aligned &= coordinate.axis >= 0 && !(axes >> coordinate.axis & 1);
      axes |= coordinate.mask;
    }
    uint64_t all = (uint64_t(1) << group.box.size()) - 1;
    unsigned patterns = llvm::count_if(requests[value], [&](const Request &r) { return r.group == request.group; });
    if (!aligned || axes != all || patterns != 1 || hangsOnOtherReduction(op, request.pattern, request.group))
      continue;
    llvm::SetVector<Operation *> with = group.ops;
    with.insert(op);
    if (!reachesFromOutside(op, with, request.group))
      return request.group;
  }
  return std::nullopt;
}

/// The nearest costly values that an element of `op`'s result is computed from at its own point.
static void findCostly(Operation *op, llvm::SetVector<Value> &found) {
  for (Value operand : op->getOperands()) {
    Operation *def = operand.getDefiningOp();
    if (!isElementwise(def))
      continue;
    if (graph::isCostly(def))
      found.insert(operand);
    else
      findCostly(def, found);
  }
}

std::optional<unsigned> GroupPlan::groupToShare(Value value) {
  Operation *op = value.getDefiningOp();
  if (!isElementwise(op))
    return std::nullopt;
  Pattern points = pointsOf(dimsOf(value).size());
  auto isComputedIn = [&](Operation *user, unsigned index) {
    const PlannedGroup &group = groups[index];
    if (group.kind != PlannedGroup::Map || group.inPlace || !group.reduced.empty() ||
        !llvm::equal(group.box, dimsOf(value)))
      return false;
    Value result = user->getResult(0);
    return result == group.roots.front() || llvm::is_contained(requests[result], Request{index, points});
  };
  // From what is costly on to what is computed from it. Groups are not asked for it yet, but for that.
  llvm::SetVector<Value> open;
  findCostly(op, open);
  for (size_t i = 0; i < open.size(); ++i) {
    if (inMemory.contains(open[i]) || claimed.contains(open[i].getDefiningOp()))
      continue;
    for (Operation *user : open[i].getUsers()) {
      if (user == op || !isElementwise(user))
        continue;
      for (unsigned group : groupsOf.lookup(user)) {
        llvm::SetVector<Operation *> with = groups[group].ops;
        with.insert(op);
        if (isComputedIn(user, group) && !reachesFromOutside(op, with, group))
          return group;
      }
      if (groupsOf.lookup(user).empty())
        open.insert(user->getResult(0));
    }
  }
  return std::nullopt;
}

bool GroupPlan::isKeptForGradients(Operation *op) {
  return isElementwise(op) && !isOfGradient(op->getLoc()) && leaves(op->getResult(0)) > 1 &&
         llvm::all_of(op->getUsers(), [](Operation *user) { return isOfGradient(user->getLoc()); });
}

/// The operand is a state's old value whose other readers can all run before (or, of a scatter, read by nothing else).
bool GroupPlan::canUpdateInPlace(Operation *op) {
  Value x = op->getOperand(0);
  Operation *maker = x.getDefiningOp();
  if (isa<graph::ScatterOp>(op) && maker && !isLayoutOp(maker) && !isa<graph::CallOp>(maker) && x.hasOneUse())
    return true; // a buffer that nobody else looks at
  if (auto argument = dyn_cast<BlockArgument>(x)) {
    if (!function.getArgAttr(argument.getArgNumber(), graph::names::state))
      return false;
  } else if (!isa<graph::UpdateSliceOp, graph::ScatterOp>(maker) || !x.hasOneUse()) {
    return false;
  }
  // No point may read what another one stores: what is written must not come from the old value.
  DenseSet<Operation *> before;
  SmallVector<Value> sources(op->getOperands().drop_front());
  while (!sources.empty()) {
    Value source = sources.pop_back_val();
    if (source == x)
      return false;
    if (Operation *def = source.getDefiningOp(); def && before.insert(def).second)
      llvm::append_range(sources, def->getOperands());
  }
  DenseSet<Operation *> after;
  SmallVector<Operation *> work(op->getUsers().begin(), op->getUsers().end());
  while (!work.empty()) {
    Operation *next = work.pop_back_val();
    if (after.insert(next).second)
      llvm::append_range(work, next->getUsers());
  }
  SmallVector<Operation *> readers(x.getUsers().begin(), x.getUsers().end());
  while (!readers.empty()) {
    Operation *reader = readers.pop_back_val();
    if (after.contains(reader) || isa<graph::ReturnOp>(reader))
      return false;
    if (isLayoutOp(reader))
      llvm::append_range(readers, reader->getUsers());
  }
  return true;
}

} // namespace fovea
