#include "compiler/analysis/OverwriteStates.h"

using namespace mlir;

namespace fovea {

namespace {

class StateOverwriter {
public:
  explicit StateOverwriter(graph::FuncOp function) : function(function), storages(function) {
    for (auto group : function.getBody().front().getOps<graph::GroupOp>())
      for (OpResult result : group.getResults())
        if (std::optional<unsigned> input = inPlaceInput(group, result.getResultNumber()))
          orderBefore(readersOf(group.getInputs()[*input], group), group);
  }

  void run() {
    Operation *terminator = function.getBody().front().getTerminator();
    for (OpOperand &operand : terminator->getOpOperands())
      if (std::optional<unsigned> state = stateArgument(function, operand.getOperandNumber()))
        overwrite(operand.get(), storages.lastVersion(function.getArgument(*state)));
  }

private:
  /// `old` is what lies in the state's buffer so far.
  void overwrite(Value value, Value old) {
    auto group = value.getDefiningOp<graph::GroupOp>();
    if (!group || inPlaceInput(group, cast<OpResult>(value).getResultNumber()) || !mayOverwrite(group, value, old))
      return;
    SmallVector<Operation *> readers = readersOf(old, group);
    DenseSet<Operation *> after = allAfter(group);
    if (llvm::any_of(readers, [&](Operation *reader) { return after.contains(reader); }))
      return;
    orderBefore(readers, group);
    size_t input = llvm::find(group.getInputs(), old) - group.getInputs().begin();
    if (input == group.getInputs().size()) {
      group.getInputsMutable().append(old);
      group.getBody().front().addArgument(old.getType(), old.getLoc());
    }
    SmallVector<int64_t> inputs(group.getNumResults(), -1);
    if (auto known = group->getAttrOfType<DenseI64ArrayAttr>(inPlaceAttr))
      inputs.assign(known.asArrayRef().begin(), known.asArrayRef().end());
    inputs[cast<OpResult>(value).getResultNumber()] = input;
    group->setAttr(inPlaceAttr, DenseI64ArrayAttr::get(group.getContext(), inputs));
  }

  /// Whether no point of the group reads what another one stores.
  bool mayOverwrite(graph::GroupOp group, Value value, Value old) {
    Value buffer = storages.lookup(old)->base;
    bool isMap = group.getKind() == "map";
    if (!isMap && group.getKind() != "matmul")
      return false;
    Block &block = group.getBody().front();
    Value written = block.getTerminator()->getOperand(cast<OpResult>(value).getResultNumber());
    if (Operation *def = written.getDefiningOp(); isa_and_nonnull<graph::ScatterOp, graph::UpdateSliceOp>(def))
      return false; // these store at places of their own
    for (auto [input, inner] : llvm::zip(group.getInputs(), block.getArguments())) {
      const Storage *storage = storages.lookup(input);
      if (!storage || storage->base != buffer)
        continue;
      if (!isMap || input != old || !isReadPointwise(inner, MapSpace::of(group), cast<OpResult>(value)))
        return false;
    }
    return true;
  }

  /// Whether only elementwise ops come from the input `inner`, to results at the points of `written`: then each point
  /// reads the element that it writes.
  static bool isReadPointwise(Value inner, const MapSpace &space, OpResult written) {
    DenseSet<Operation *> seen;
    SmallVector<Value> work = {inner};
    while (!work.empty())
      for (OpOperand &use : work.pop_back_val().getUses()) {
        Operation *user = use.getOwner();
        if (isa<graph::YieldOp>(user)) {
          if (space.points[use.getOperandNumber()] != space.points[written.getResultNumber()])
            return false;
          continue;
        }
        if (!isa<graph::ElementwiseOpInterface>(user))
          return false;
        if (seen.insert(user).second)
          llvm::append_range(work, user->getResults());
      }
    return true;
  }

  /// All that read the buffer of `value` as it is before `writer` overwrites it.
  SmallVector<Operation *> readersOf(Value value, Operation *writer) {
    while (isLayoutOp(value.getDefiningOp()))
      value = value.getDefiningOp()->getOperand(0);
    SmallVector<Operation *> readers;
    SmallVector<Value> work = {value};
    while (!work.empty())
      for (Operation *user : work.pop_back_val().getUsers()) {
        if (user == writer || isa<graph::ReturnOp>(user))
          continue;
        readers.push_back(user);
        if (isLayoutOp(user))
          work.push_back(user->getResult(0));
      }
    return readers;
  }

  void orderBefore(ArrayRef<Operation *> readers, Operation *writer) {
    for (Operation *reader : readers)
      later[reader].push_back(writer);
  }

  DenseSet<Operation *> allAfter(Operation *op) {
    DenseSet<Operation *> after;
    SmallVector<Operation *> work = {op};
    while (!work.empty()) {
      Operation *next = work.pop_back_val();
      SmallVector<Operation *> following(next->getUsers());
      llvm::append_range(following, later.lookup(next));
      for (Operation *user : following)
        if (after.insert(user).second)
          work.push_back(user);
    }
    return after;
  }

  graph::FuncOp function;
  StorageMap storages;
  DenseMap<Operation *, SmallVector<Operation *, 1>> later; ///< writers that wait for a reader
};

} // namespace

void overwriteStates(graph::FuncOp function) { StateOverwriter(function).run(); }

} // namespace fovea
