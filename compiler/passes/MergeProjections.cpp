// contract(x, W1) + b1, contract(x, W2) + b2, ... become slices of contract(x, concat(W1, W2, ...)) + concat(b1, b2,
// ...). Pays: x is read once and small products fill the tiles; the concatenations move to load time. Exact.
#include "compiler/passes/Passes.h"
#include "compiler/passes/Roles.h"
#include "dialects/graph/Places.h"

#include "llvm/ADT/MapVector.h"

namespace fovea {
#define GEN_PASS_DEF_MERGEPROJECTIONS
#include "compiler/passes/Passes.h.inc"
} // namespace fovea

using namespace mlir;
using namespace fovea;

namespace {

/// A contraction of an activation with a weight that has one free axis.
struct Projection {
  graph::ContractOp contract;
  bool weightIsRhs = true;
  int64_t weightAxis = 0; ///< the free axis in the weight
  int64_t outAxis = 0;    ///< and in the result
  Value weight() { return weightIsRhs ? contract.getRhs() : contract.getLhs(); }
  Value input() { return weightIsRhs ? contract.getLhs() : contract.getRhs(); }
  /// A bias addition that is the only use: its broadcast of a vector along the free axis, and the addition.
  graph::BroadcastOp bias;
  graph::AddOp add;
};

class MergeProjections : public fovea::impl::MergeProjectionsBase<MergeProjections> {
  void runOnOperation() override {
    for (auto function : getOperation().getOps<graph::FuncOp>()) {
      ParamDependence params(function);
      llvm::MapVector<std::pair<Value, Attribute>, SmallVector<Projection>> families;
      for (auto contract : function.getOps<graph::ContractOp>())
        if (std::optional<Projection> found = projection(contract, params))
          families[{found->input(), signature(*found)}].push_back(*found);
      for (auto &[key, members] : families)
        if (members.size() > 1)
          merge(members);
    }
  }

  static std::optional<Projection> projection(graph::ContractOp contract, ParamDependence &params) {
    if (contract.getPacked())
      return std::nullopt;
    Projection result{contract, true, 0, 0, {}, {}};
    bool left = params.isConstant(contract.getLhs()), right = params.isConstant(contract.getRhs());
    if (left == right || !params.hasParam(left ? contract.getLhs() : contract.getRhs()))
      return std::nullopt;
    result.weightIsRhs = right;
    ArrayRef<int64_t> mine = right ? contract.getRhsLabels() : contract.getLhsLabels();
    ArrayRef<int64_t> theirs = right ? contract.getLhsLabels() : contract.getRhsLabels();
    int64_t free = 0;
    for (auto [axis, label] : llvm::enumerate(mine)) {
      auto out = llvm::find(contract.getOutLabels(), label);
      bool isShared = llvm::is_contained(theirs, label), isOut = out != contract.getOutLabels().end();
      if (isShared && isOut)
        return std::nullopt; // a batch axis
      if (!isOut)
        continue;
      ++free;
      result.weightAxis = axis;
      result.outAxis = out - contract.getOutLabels().begin();
    }
    if (free != 1)
      return std::nullopt;
    findBias(result, params);
    return result;
  }

  static void findBias(Projection &projection, ParamDependence &params) {
    Value value = projection.contract.getResult();
    auto add = value.hasOneUse() ? dyn_cast<graph::AddOp>(*value.user_begin()) : graph::AddOp();
    if (!add)
      return;
    auto broadcast = (add.getLhs() == value ? add.getRhs() : add.getLhs()).getDefiningOp<graph::BroadcastOp>();
    if (!broadcast || broadcast.getAxes() != ArrayRef<int64_t>(projection.outAxis) ||
        !params.isConstant(broadcast.getX()) || !params.hasParam(broadcast.getX()))
      return;
    projection.bias = broadcast;
    projection.add = add;
  }

  /// Contractions with equal signatures can be merged: labels up to renaming, the position of the free axis, element
  /// type.
  static Attribute signature(Projection &projection) {
    graph::ContractOp contract = projection.contract;
    llvm::SmallDenseMap<int64_t, int64_t> names;
    SmallVector<int64_t> key{projection.weightIsRhs, projection.weightAxis, projection.outAxis};
    auto add = [&](ArrayRef<int64_t> labels) {
      key.push_back(-1);
      for (int64_t label : labels)
        key.push_back(names.try_emplace(label, names.size()).first->second);
    };
    add(projection.weightIsRhs ? contract.getLhsLabels() : contract.getRhsLabels());
    add(projection.weightIsRhs ? contract.getRhsLabels() : contract.getLhsLabels());
    add(contract.getOutLabels());
    Builder builder(contract.getContext());
    return builder.getArrayAttr(
        {builder.getDenseI64ArrayAttr(key), TypeAttr::get(typeOf(projection.contract.getResult()).getElementType())});
  }

  static Value concat(OpBuilder &builder, Location loc, ArrayRef<Value> values, int64_t axis) {
    SmallVector<DimExpr> dims = llvm::to_vector(typeOf(values.front()).getDims());
    for (Value value : values.drop_front())
      dims[axis] = dims[axis] + typeOf(value).getDim(axis);
    return graph::ConcatOp::create(builder, loc, typeOf(values.front()).cloneWith(dims), values, axis);
  }

  void merge(MutableArrayRef<Projection> members) {
    Projection &first = members.front();
    // All operands are constants or the common input: everything can stand at the first of them.
    Operation *anchor = first.contract;
    SmallVector<Value> weights, biases;
    SmallVector<Location> places;
    bool hasBias = llvm::all_of(members, [](Projection &member) { return member.bias; });
    for (Projection &member : members) {
      weights.push_back(member.weight());
      places.push_back(withPath(member.contract->getLoc(), ""));
      if (hasBias)
        biases.push_back(member.bias.getX());
    }
    for (Value constant : llvm::concat<Value>(weights, biases))
      moveBefore(constant, anchor);
    OpBuilder builder(anchor);
    // The whole is nobody's value: "query+2" are query and the two projections after it.
    std::string path = pathOf((hasBias ? first.add->getLoc() : first.contract->getLoc())).str();
    if (!path.empty())
      path += "+" + std::to_string(members.size() - 1);
    Location loc = withPath(builder.getFusedLoc(places), path);
    Value weight = concat(builder, loc, weights, first.weightAxis);
    SmallVector<DimExpr> dims = llvm::to_vector(typeOf(first.contract.getResult()).getDims());
    dims[first.outAxis] = typeOf(weight).getDim(first.weightAxis);
    graph::TensorType type = typeOf(first.contract.getResult()).cloneWith(dims);
    Value left = first.weightIsRhs ? first.input() : weight, right = first.weightIsRhs ? weight : first.input();
    Value merged = graph::ContractOp::create(builder, loc, type, left, right, first.contract.getLhsLabels(),
                                             first.contract.getRhsLabels(), first.contract.getOutLabels(), false);
    if (hasBias) {
      Value bias = concat(builder, loc, biases, 0);
      bias = graph::BroadcastOp::create(builder, loc, type, bias, first.bias.getAxes());
      merged = graph::AddOp::create(builder, loc, type, merged, bias);
    }
    DimExpr start(0);
    for (Projection &member : members) {
      Value replaced = hasBias ? member.add.getResult() : member.contract.getResult();
      auto slice = graph::SliceOp::create(builder, replaced.getLoc(), replaced.getType(), merged, Value(),
                                          builder.getI64IntegerAttr(first.outAxis),
                                          graph::DimAttr::get(&getContext(), start), builder.getI64IntegerAttr(1));
      start = start + typeOf(replaced).getDim(first.outAxis);
      replaced.replaceAllUsesWith(slice);
    }
    for (Projection &member : members) {
      if (hasBias)
        member.add->erase();
      if (hasBias && member.bias->use_empty())
        member.bias->erase();
      member.contract->erase();
    }
    numMerged += members.size() - 1;
  }
};
} // namespace
