// The elementwise ops that are computed in a product's kernel, while a tile of it is near.
#include "compiler/analysis/GroupPlan.h"
#include "compiler/analysis/Storage.h"

using namespace mlir;

namespace fovea {

using Ops = llvm::SetVector<Operation *>;

bool GroupPlan::updatesState(Operation *op, const Ops &members) {
  Ops seen;
  seen.insert(op);
  for (size_t i = 0; i < seen.size(); ++i)
    for (Value operand : seen[i]->getOperands()) {
      if (overwritten.contains(operand))
        return true;
      Operation *def = operand.getDefiningOp();
      if (isa_and_nonnull<graph::ElementwiseOpInterface>(def) && !members.contains(def)) // not a bias that spreads
        seen.insert(def);
    }
  return false;
}

bool GroupPlan::mayJoinEpilogue(Operation *op, const Ops &members) {
  if (members.contains(op) || claimed.contains(op) || !isa<graph::ElementwiseOpInterface>(op))
    return false;
  if (dimsOf(op->getResult(0)) != dimsOf(members.front()->getResult(0)))
    return false;
  // What updates a state is left to a map, which can write over it: sums that are not finished lie in a product's
  // result.
  if (updatesState(op, members))
    return false;
  // An operand that needs a member's value from outside would wait for this very kernel.
  Ops with = members;
  with.insert(op);
  return llvm::none_of(members, [&](Operation *member) { return reachesFromOutside(member, with); });
}

SmallVector<Operation *> GroupPlan::candidates(graph::ContractOp contract) {
  Ops members;
  members.insert(contract);
  for (bool grown = true; grown;) {
    grown = false;
    for (Operation *member : llvm::to_vector(members))
      for (Operation *user : member->getUsers())
        if (mayJoinEpilogue(user, members))
          grown |= members.insert(user);
  }
  SmallVector<Operation *> ordered = members.takeVector();
  llvm::sort(ordered, [](Operation *a, Operation *b) { return a->isBeforeInBlock(b); });
  return ordered;
}

/// `ops` and the members that they are computed from.
static Ops withSources(ArrayRef<Operation *> ops, ArrayRef<Operation *> members) {
  Ops part(ops.begin(), ops.end());
  for (size_t i = 0; i < part.size(); ++i)
    for (Value operand : part[i]->getOperands())
      if (Operation *def = operand.getDefiningOp(); llvm::is_contained(members, def))
        part.insert(def);
  return part;
}

/// The ops of a part that others use.
static SmallVector<Operation *> resultsOf(const Ops &part) {
  SmallVector<Operation *> results;
  for (Operation *op : part)
    if (op->use_empty() || llvm::any_of(op->getUsers(), [&](Operation *user) { return !part.contains(user); }))
      results.push_back(op);
  return results;
}

/// Whether an op that reads whole tensors reads the value, as it is or through a view.
static bool isReadFromMemory(Value value) {
  return llvm::any_of(value.getUsers(), [](Operation *user) {
    return isLayoutOp(user) ? isReadFromMemory(user->getResult(0)) : !isPoint(user) && !isa<graph::ScatterOp>(user);
  });
}

void GroupPlan::claim(const Ops &ops) {
  for (Operation *op : ops)
    claimed[op] = groups.size();
}

void GroupPlan::claimEpilogue(graph::ContractOp contract) {
  SmallVector<Operation *> members = candidates(contract);
  Ops part;
  for (Operation *last : llvm::reverse(members))
    if (part = withSources(last, members); resultsOf(part).size() == 1)
      break;
  Operation *last = resultsOf(part).front();
  claim(part); // what is cheap to compute from the result is not written
  Ops written;
  written.insert(last);
  for (Operation *op : members) {
    if (isReadFromMemory(op->getResult(0)))
      inMemory.insert(op->getResult(0));
    if (inMemory.contains(op->getResult(0)) || isKeptForGradients(op))
      written.insert(op);
  }
  // No value is written that would not be without this kernel: then it saves reading the one result again.
  for (bool shrunk = true; shrunk;) {
    part = withSources(written.getArrayRef(), members);
    SmallVector<Operation *> unwanted = resultsOf(part);
    llvm::erase_if(unwanted, [&](Operation *op) { return written.contains(op); });
    shrunk = written.remove_if([&](Operation *op) {
      Ops sources = withSources(op, members);
      return llvm::any_of(unwanted, [&](Operation *result) { return sources.contains(result); });
    });
  }
  claim(part);
  PlannedGroup group;
  group.kind = PlannedGroup::Matmul;
  std::vector<DimExpr> dims = dimsOf(contract.getResult());
  group.box.assign(dims.begin(), dims.end());
  group.ops = part;
  for (Operation *op : members)
    if (llvm::is_contained(resultsOf(part), op))
      group.roots.push_back(op->getResult(0));
  for (Operation *op : part)
    groupsOf[op].push_back(groups.size());
  groups.push_back(std::move(group));
}

} // namespace fovea
