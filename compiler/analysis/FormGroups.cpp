// graph-form-groups: wraps the ops of every function into groups, each of which becomes one kernel.
//
//   %0 = graph.contract %x […], %w […] -> […]                %0 = graph.group "matmul"(%x, %w, %b) {
//   %1 = graph.broadcast %b [2]                        ->      ^bb(…): contract, broadcast, add, yield
//   %2 = graph.add %0, %1                                    }
//   %3 = graph.reshape %2                                    %1 = graph.reshape %0      // a view
//
// Before: a function in canonical form, after fusion and packing. After: the body holds groups, calls, and layout ops
// that are views (StorageMap finds the storage of every value); returns and calls take contiguous values, every output
// has a buffer of its own, and a state's new value lies in the state's buffer,
// written there by the group that computes it where nothing reads the old one afterwards. GroupPlan.h says what is
// fused. Always pays; exact.
#include "compiler/analysis/FormGroups.h"
#include "compiler/analysis/GroupPlan.h"
#include "compiler/analysis/OverwriteStates.h"
#include "compiler/analysis/StepGraph.h"
#include "compiler/analysis/Storage.h"

#include "mlir/IR/IRMapping.h"

#define DEBUG_TYPE "graph-form-groups"

using namespace mlir;

namespace fovea {

namespace {

/// A map that copies `x` (and overwrites `target` with it, where it is given).
Value copy(OpBuilder &b, Location loc, Value x, Value target = {}) {
  SmallVector<Value> inputs = {x};
  if (target)
    inputs.push_back(target);
  auto group = graph::GroupOp::create(b, loc, TypeRange(x.getType()), b.getStringAttr("map"), inputs);
  Block &block = group.getBody().emplaceBlock();
  for (Value input : inputs)
    block.addArgument(input.getType(), loc);
  OpBuilder inner = OpBuilder::atBlockEnd(&block);
  graph::YieldOp::create(inner, loc, ValueRange{block.getArgument(0)});
  if (target)
    group->setAttr(inPlaceAttr, b.getDenseI64ArrayAttr({1}));
  return group.getResult(0);
}

/// Rewrites one function's body by a plan.
class GroupBuilder {
public:
  GroupBuilder(graph::FuncOp function, const GroupPlan &plan)
      : function(function), body(function.getBody().front()), plan(plan) {}

  LogicalResult run();

private:
  void addNodes();
  LogicalResult addEdges(StepGraph &graph);
  SmallVector<Value> externalOperands(size_t node);
  void build(size_t node, OpBuilder &b);

  struct Node {
    SmallVector<Operation *> ops; // in order
    const PlannedGroup *group;    // null: one op that stays
  };

  graph::FuncOp function;
  Block &body;
  const GroupPlan &plan;
  SmallVector<Node> nodes;
  DenseMap<Value, size_t> producers;
  IRMapping mapping;
};

void GroupBuilder::addNodes() {
  DenseSet<Operation *> grouped;
  for (const PlannedGroup &group : plan.getGroups()) {
    Node node{llvm::to_vector(group.ops), &group};
    llvm::sort(node.ops, [](Operation *a, Operation *b) { return a->isBeforeInBlock(b); });
    grouped.insert(node.ops.begin(), node.ops.end());
    nodes.push_back(std::move(node));
  }
  for (Operation &op : body.without_terminator())
    if (plan.isView(&op) || isa<graph::CallOp>(op) || (!grouped.contains(&op) && !isMemoryEffectFree(&op)))
      nodes.push_back({{&op}, nullptr});
  llvm::stable_sort(nodes, [](const Node &a, const Node &b) { return a.ops.back()->isBeforeInBlock(b.ops.back()); });
  for (auto [i, node] : llvm::enumerate(nodes)) {
    if (node.group)
      for (Value root : node.group->roots)
        producers[root] = i;
    else
      for (Value result : node.ops.front()->getResults())
        producers[result] = i;
  }
}

SmallVector<Value> GroupBuilder::externalOperands(size_t index) {
  const Node &node = nodes[index];
  llvm::SetVector<Value> operands;
  for (Operation *op : node.ops)
    for (Value operand : op->getOperands())
      if (!llvm::is_contained(node.ops, operand.getDefiningOp()) || !operand.getDefiningOp())
        operands.insert(operand);
  return operands.takeVector();
}

LogicalResult GroupBuilder::addEdges(StepGraph &graph) {
  graph.count = nodes.size();
  for (size_t i = 0; i < nodes.size(); ++i)
    for (Value operand : externalOperands(i)) {
      if (isa<BlockArgument>(operand))
        continue;
      auto producer = producers.find(operand);
      if (producer == producers.end())
        return operand.getDefiningOp()->emitError("internal: no group computes this value");
      graph.edges.push_back({producer->second, i});
    }
  return success();
}

static StringRef kindName(PlannedGroup::Kind kind) {
  switch (kind) {
  case PlannedGroup::Map:
    return "map";
  case PlannedGroup::Matmul:
    return "matmul";
  case PlannedGroup::Attention:
    return "attention";
  case PlannedGroup::TopK:
    return "top_k";
  }
  llvm_unreachable("all kinds are above");
}

static Operation *mainOp(ArrayRef<Operation *> ops) {
  for (Operation *op : ops)
    if (isa<graph::ContractOp, graph::AttentionOp, graph::AttentionBackwardOp, graph::LinearAttentionOp, graph::TopKOp>(op))
      return op;
  return ops.back();
}

void GroupBuilder::build(size_t index, OpBuilder &b) {
  const Node &node = nodes[index];
  if (!node.group) {
    b.clone(*node.ops.front(), mapping);
    return;
  }
  SmallVector<Value> inputs = externalOperands(index), roots = node.group->roots;
  SmallVector<Value> mapped = llvm::map_to_vector(inputs, [&](Value v) { return mapping.lookupOrDefault(v); });
  Operation *update = node.group->inPlace;
  int64_t overwritten = update ? llvm::find(inputs, update->getOperand(0)) - inputs.begin() : 0;
  if (node.group->copies) {
    Value x = update->getOperand(0), fresh = copy(b, update->getLoc(), mapping.lookupOrDefault(x));
    bool isRead = llvm::any_of(x.getUsers(),
                               [&](Operation *user) { return user != update && llvm::is_contained(node.ops, user); });
    if (isRead) { // by others in the group, as it is
      overwritten = mapped.size();
      inputs.push_back({});
      mapped.push_back(x);
    }
    mapped[overwritten] = fresh;
  }
  auto group = graph::GroupOp::create(b, mainOp(node.ops)->getLoc(), TypeRange(ValueRange(roots)),
                                      b.getStringAttr(kindName(node.group->kind)), mapped);
  Block &block = group.getBody().emplaceBlock();
  IRMapping inside;
  for (auto [input, outer] : llvm::zip(inputs, mapped))
    inside.map(input, block.addArgument(outer.getType(), outer.getLoc()));
  OpBuilder inner = OpBuilder::atBlockEnd(&block);
  for (Operation *op : node.ops) {
    Operation *cloned = inner.clone(*op, inside);
    if (op == update)
      cloned->setOperand(0, block.getArgument(overwritten));
  }
  SmallVector<Value> yields = llvm::map_to_vector(roots, [&](Value root) { return inside.lookup(root); });
  graph::YieldOp::create(inner, group.getLoc(), yields);
  for (auto [root, result] : llvm::zip(roots, group.getResults()))
    mapping.map(root, result);
  if (node.group->kind == PlannedGroup::Map) {
    const PlannedGroup &plan = *node.group;
    MapSpace{plan.box, SmallVector<int64_t>(plan.reduced.begin(), plan.reduced.end()), plan.points}.set(group);
  }
  if (update)
    group->setAttr(inPlaceAttr, b.getDenseI64ArrayAttr({overwritten}));
}

LogicalResult GroupBuilder::run() {
  addNodes();
  StepGraph graph;
  if (failed(addEdges(graph)))
    return failure();
  std::optional<std::vector<size_t>> order = graph.topologicalOrder();
  if (!order)
    return function.emitError("internal: fusion closed a cycle");
  Operation *terminator = body.getTerminator();
  SmallVector<Operation *> old = llvm::map_to_vector(body.without_terminator(), [](Operation &op) { return &op; });
  OpBuilder b(terminator);
  for (size_t node : *order)
    build(node, b);
  for (OpOperand &operand : terminator->getOpOperands())
    operand.set(mapping.lookupOrDefault(operand.get()));
  for (Operation *op : llvm::reverse(old))
    op->erase();
  return success();
}

//===-- Copies ----------------------------------------------------------------------------------------------------===//

/// Turns a layout op that is no view into a map.
void wrap(Operation *op) {
  OpBuilder b(op);
  SmallVector<Value> inputs(op->getOperands());
  auto group = graph::GroupOp::create(b, op->getLoc(), op->getResultTypes(), b.getStringAttr("map"), inputs);
  op->getResult(0).replaceAllUsesWith(group.getResult(0));
  Block &block = group.getBody().emplaceBlock();
  for (OpOperand &operand : op->getOpOperands())
    operand.set(block.addArgument(operand.get().getType(), op->getLoc()));
  op->remove();
  block.push_back(op);
  OpBuilder inner = OpBuilder::atBlockEnd(&block);
  graph::YieldOp::create(inner, op->getLoc(), op->getResults());
}

/// The storages of a function, made anew only after it has changed: a new use may move where a value lies.
class CurrentStorages {
public:
  explicit CurrentStorages(graph::FuncOp function) : function(function) {}
  const Storage *lookup(Value value) {
    if (!storages)
      storages.emplace(function);
    return storages->lookup(value);
  }
  Value lastVersion(BlockArgument argument) { return storages->lastVersion(argument); }
  void changed() { storages.reset(); }

private:
  graph::FuncOp function;
  std::optional<StorageMap> storages;
};

/// Makes every value that crosses groups one that lies somewhere.
void copyWhatIsNoView(graph::FuncOp function) {
  CurrentStorages storages(function);
  for (bool changed = true; changed;) {
    changed = false;
    for (Operation &op : function.getBody().front())
      if (isLayoutOp(&op) && !storages.lookup(op.getResult(0))) {
        wrap(&op);
        storages.changed();
        changed = true;
        break;
      }
  }
}

void makeCallsContiguous(graph::FuncOp function) {
  CurrentStorages storages(function);
  for (auto call : llvm::to_vector(function.getBody().front().getOps<graph::CallOp>()))
    for (OpOperand &operand : call->getOpOperands())
      if (!storages.lookup(operand.get())->view.isIdentity()) {
        OpBuilder b(call);
        operand.set(copy(b, call.getLoc(), operand.get()));
        storages.changed();
      }
}

/// Every output gets a buffer of this function's own making, every state's new value the state's buffer.
void placeResults(graph::FuncOp function) {
  Operation *terminator = function.getBody().front().getTerminator();
  OpBuilder b(terminator);
  DenseSet<Value> taken;
  CurrentStorages storages(function);
  for (OpOperand &operand : terminator->getOpOperands()) {
    Storage storage = *storages.lookup(operand.get());
    bool identity = storage.view.isIdentity();
    if (std::optional<unsigned> state = stateArgument(function, operand.getOperandNumber())) {
      BlockArgument argument = function.getArgument(*state);
      Value value = operand.get(), old = storages.lastVersion(argument);
      Value source = value;
      while (isLayoutOp(source.getDefiningOp()))
        source = source.getDefiningOp()->getOperand(0);
      if (source == old && identity)
        continue;
      if (isa<BlockArgument>(storage.base)) // read whole before any of it is overwritten
        value = copy(b, terminator->getLoc(), value);
      operand.set(copy(b, terminator->getLoc(), value, old));
      storages.changed();
      continue;
    }
    // A part at the front of a larger value is contiguous as well, but its buffer would not hold that value.
    auto elements = [](Value value) { return cast<graph::TensorType>(value.getType()).getNumElements(); };
    bool whole = identity && elements(operand.get()) == elements(storage.base);
    if (!whole || isa<BlockArgument>(storage.base) || !taken.insert(storage.base).second) {
      operand.set(copy(b, terminator->getLoc(), operand.get()));
      storages.changed();
      taken.insert(operand.get());
    }
  }
}

struct FormGroups : PassWrapper<FormGroups, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(FormGroups)

  FormGroups() = default;
  FormGroups(const FormGroups &other) : PassWrapper(other) {}
  StringRef getName() const final { return "FormGroups"; }
  StringRef getArgument() const final { return DEBUG_TYPE; }
  StringRef getDescription() const final { return "Wrap the ops of every function into groups that become kernels"; }
  Statistic formed{this, "groups", "Groups formed"};

  void runOnOperation() override {
    for (auto function : getOperation().getOps<graph::FuncOp>()) {
      if (function.isExternal() || !function.getBody().front().getOps<graph::GroupOp>().empty())
        continue;
      expandForGroups(function);
      GroupPlan plan(function);
      if (failed(GroupBuilder(function, plan).run()))
        return signalPassFailure();
      overwriteStates(function);
      copyWhatIsNoView(function);
      makeCallsContiguous(function);
      placeResults(function);
      formed += llvm::range_size(function.getBody().front().getOps<graph::GroupOp>());
    }
  }
};

} // namespace

std::unique_ptr<Pass> createFormGroupsPass() { return std::make_unique<FormGroups>(); }
void registerFormGroupsPass() { PassRegistration<FormGroups>(); }

} // namespace fovea
