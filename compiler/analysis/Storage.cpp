#include "compiler/analysis/Storage.h"

#include "mlir/IR/BuiltinAttributes.h"

using namespace mlir;

namespace fovea {

std::vector<DimExpr> dimsOf(Value tensor) {
  ArrayRef<DimExpr> dims = cast<graph::TensorType>(tensor.getType()).getDims();
  return {dims.begin(), dims.end()};
}

bool isLayoutOp(Operation *op) {
  if (auto slice = dyn_cast_or_null<graph::SliceOp>(op))
    return !slice.getOffset();
  return isa_and_nonnull<graph::TransposeOp, graph::ReshapeOp, graph::BroadcastOp>(op);
}

bool isWritten(Value value) {
  Operation *op = value.getDefiningOp();
  return !op || isa<graph::ContractOp, graph::AttentionOp, graph::CallOp, graph::UpdateSliceOp, graph::ScatterOp,
                    graph::ConcatOp>(op);
}

std::optional<View> viewThrough(Operation *op, const View &operand) {
  if (auto transpose = dyn_cast<graph::TransposeOp>(op))
    return operand.transposed(transpose.getPermutation().vec());
  if (auto reshape = dyn_cast<graph::ReshapeOp>(op))
    return operand.reshaped(dimsOf(reshape.getResult()));
  if (auto broadcast = dyn_cast<graph::BroadcastOp>(op))
    return operand.broadcast(broadcast.getAxes().vec(), dimsOf(broadcast.getResult()));
  auto slice = cast<graph::SliceOp>(op);
  int64_t axis = slice.getAxis();
  return operand.sliced(axis, slice.getStart()->getValue(), slice.getStep(), dimsOf(slice.getResult())[axis]);
}

/// The view of a transpose's or reshape's operand, given its result's.
static std::optional<View> viewBackThrough(Operation *op, const View &result) {
  if (auto transpose = dyn_cast<graph::TransposeOp>(op))
    return result.inverseTransposed(transpose.getPermutation().vec());
  return result.reshaped(dimsOf(op->getOperand(0)));
}

bool needsContiguous(OpOperand &use) { return isa<graph::ReturnOp, graph::CallOp>(use.getOwner()); }

std::optional<unsigned> inPlaceInput(graph::GroupOp group, unsigned result) {
  auto inputs = group->getAttrOfType<DenseI64ArrayAttr>(inPlaceAttr);
  if (!inputs || result >= static_cast<unsigned>(inputs.size()) || inputs[result] < 0)
    return std::nullopt;
  return static_cast<unsigned>(inputs[result]);
}

MapSpace MapSpace::of(graph::GroupOp group) {
  MapSpace space;
  if (auto box = group->getAttrOfType<ArrayAttr>("box")) {
    space.box = graph::getSizes(box);
  } else {
    std::vector<DimExpr> dims = dimsOf(group.getResult(0));
    space.box.assign(dims.begin(), dims.end());
  }
  if (auto reduced = group->getAttrOfType<DenseI64ArrayAttr>("reduced"))
    space.reduced.assign(reduced.asArrayRef().begin(), reduced.asArrayRef().end());
  auto points = group->getAttrOfType<ArrayAttr>("points");
  for (OpResult result : group.getResults()) {
    if (points)
      space.points.push_back(
          SmallVector<int64_t>(cast<DenseI64ArrayAttr>(points[result.getResultNumber()]).asArrayRef()));
    else
      space.points.push_back(
          llvm::to_vector(llvm::seq<int64_t>(0, cast<graph::TensorType>(result.getType()).getRank())));
  }
  return space;
}

void MapSpace::set(graph::GroupOp group) const {
  Builder b(group.getContext());
  group->setAttr("box", graph::getSizesAttr(group.getContext(), box));
  if (!reduced.empty())
    group->setAttr("reduced", b.getDenseI64ArrayAttr(reduced));
  bool plain = llvm::all_of(llvm::zip(points, group.getResultTypes()), [](const auto &result) {
    const auto &[axes, type] = result; // a scatter's points have the rank of what is written
    return llvm::equal(axes, llvm::seq<int64_t>(0, cast<graph::TensorType>(type).getRank()));
  });
  if (!plain)
    group->setAttr("points", b.getArrayAttr(llvm::map_to_vector(
                                 points, [&](const auto &axes) -> Attribute { return b.getDenseI64ArrayAttr(axes); })));
}

std::optional<unsigned> stateArgument(graph::FuncOp function, unsigned result) {
  Attribute name = function.getResultAttr(result, graph::names::state);
  if (!name)
    return std::nullopt;
  for (unsigned i = 0; i < function.getNumArguments(); ++i)
    if (function.getArgAttr(i, graph::names::state) == name)
      return i;
  return std::nullopt;
}

graph::FuncOp calleeOf(graph::CallOp call) {
  return SymbolTable::lookupNearestSymbolFrom<graph::FuncOp>(call, call.getCalleeAttr());
}

namespace {

/// Values reached from an owner through layout ops, parents before children.
struct LayoutTree {
  struct Node {
    Value value;
    size_t parent;   // of the root: itself
    bool invertible; // reached by transposes and reshapes alone
  };
  SmallVector<Node> nodes;

  explicit LayoutTree(Value owner) {
    nodes.push_back({owner, 0, true});
    for (size_t i = 0; i < nodes.size(); ++i)
      for (Operation *user : nodes[i].value.getUsers())
        if (isLayoutOp(user) && user->getOperand(0) == nodes[i].value)
          nodes.push_back(
              {user->getResult(0), i, nodes[i].invertible && isa<graph::TransposeOp, graph::ReshapeOp>(user)});
  }

  /// Views of all nodes where the node `layout` is row-major; nullopt for those that are none.
  SmallVector<std::optional<View>> viewsWith(size_t layout) const {
    SmallVector<std::optional<View>> views(nodes.size());
    std::optional<View> view = View::identity(dimsOf(nodes[layout].value));
    for (size_t at = layout; at != 0 && view; at = nodes[at].parent)
      view = viewBackThrough(nodes[at].value.getDefiningOp(), *view);
    views[0] = view;
    for (size_t i = 1; i < nodes.size(); ++i)
      if (views[nodes[i].parent])
        views[i] = viewThrough(nodes[i].value.getDefiningOp(), *views[nodes[i].parent]);
    return views;
  }

  /// Copies that have to be made: values that are no views and, where contiguity is asked for, not contiguous ones.
  size_t cost(const SmallVector<std::optional<View>> &views) const {
    if (!views[0])
      return SIZE_MAX;
    size_t copies = 0;
    for (auto [node, view] : llvm::zip(nodes, views)) {
      bool contiguous = llvm::any_of(node.value.getUses(), needsContiguous);
      copies += !view || (contiguous && !view->isIdentity());
    }
    return copies;
  }
};

} // namespace

void StorageMap::place(Value owner) {
  LayoutTree tree(owner);
  SmallVector<std::optional<View>> best = tree.viewsWith(0);
  size_t bestCost = tree.cost(best);
  for (size_t i = 1; i < tree.nodes.size() && bestCost; ++i) {
    if (!tree.nodes[i].invertible)
      continue;
    SmallVector<std::optional<View>> views = tree.viewsWith(i);
    if (size_t cost = tree.cost(views); cost < bestCost) {
      best = std::move(views);
      bestCost = cost;
    }
  }
  for (auto [node, view] : llvm::zip(tree.nodes, best))
    if (view)
      storages[node.value] = {owner, *view};
}

/// Gives the layout ops after `value`, whose storage is known, theirs.
void StorageMap::follow(Value value) {
  for (Operation *user : value.getUsers()) {
    if (!isLayoutOp(user) || user->getOperand(0) != value)
      continue;
    const Storage storage = storages.find(value)->second;
    if (std::optional<View> view = viewThrough(user, storage.view)) {
      storages[user->getResult(0)] = {storage.base, *view};
      follow(user->getResult(0));
    }
  }
}

StorageMap::StorageMap(graph::FuncOp function) {
  auto own = [&](Value value) {
    storages[value] = {value, View::identity(dimsOf(value))};
    follow(value);
  };
  for (BlockArgument argument : function.getBody().getArguments())
    own(argument);
  auto share = [&](Value result, Value with) {
    const Storage *shared = lookup(with);
    if (!shared)
      return false;
    Storage copy = *shared;
    storages[result] = copy;
    follow(result);
    return true;
  };
  for (Operation &op : function.getBody().front()) {
    if (auto call = dyn_cast<graph::CallOp>(op)) {
      for (OpResult result : op.getResults()) {
        std::optional<unsigned> state = stateArgument(calleeOf(call), result.getResultNumber());
        if (!state || !share(result, call.getOperands()[*state]))
          own(result);
      }
      continue;
    }
    auto group = dyn_cast<graph::GroupOp>(op);
    if (!group)
      continue;
    for (OpResult result : group.getResults()) {
      std::optional<unsigned> input = inPlaceInput(group, result.getResultNumber());
      if (!input || !share(result, group.getInputs()[*input]))
        place(result);
    }
  }
}

Value StorageMap::lastVersion(BlockArgument argument) const {
  Value last = argument;
  for (Operation &op : *argument.getOwner())
    if (isa<graph::CallOp, graph::GroupOp>(op))
      for (Value result : op.getResults())
        if (const Storage *storage = lookup(result);
            storage && storage->base == argument && result.getType() == argument.getType())
          last = result;
  return last;
}

} // namespace fovea
