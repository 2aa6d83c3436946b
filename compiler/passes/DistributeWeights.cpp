// contract(a + b, v) becomes contract(a, v) + contract(b, v) where a or b are weights of a softmax: differential
// attention and other mixtures become an attention for each, none of which holds its weights. Pays because the sum of
// the weights is queries by keys, and what is summed then only as large as the result. contract(a, v) over keys and
// heads becomes a sum over the heads of contract(a, v) over the keys, for the same reason. Numerical effect: see
// Passes.td.
#include "compiler/passes/ElementExpression.h"
#include "compiler/passes/Passes.h"
#include "compiler/passes/ReductionOrder.h"

namespace fovea {
#define GEN_PASS_DEF_DISTRIBUTEWEIGHTS
#include "compiler/passes/Passes.h.inc"
} // namespace fovea

using namespace mlir;
using namespace fovea;

/// Whether a value is a softmax's result, but for layouts, casts and factors.
static bool isWeights(Value value, unsigned depth = 0) {
  Operation *op = value.getDefiningOp();
  if (isa_and_nonnull<graph::SoftmaxOp>(op))
    return true;
  if (!op || depth > 64)
    return false;
  if (isa<graph::MulOp>(op))
    return isWeights(op->getOperand(0), depth + 1) || isWeights(op->getOperand(1), depth + 1);
  bool follows = isFloatCast(op) || isa<graph::ReshapeOp, graph::TransposeOp, graph::DivOp, graph::NegOp>(op);
  return follows && isWeights(op->getOperand(0), depth + 1);
}

namespace {
struct Addend {
  Value value;
  bool isNegative;
};
using Addends = SmallVector<Addend, 2>;

/// Takes sums apart, whatever layouts and factors stand before them.
class Addition {
public:
  explicit Addition(OpBuilder &builder) : builder(builder) {}

  Addends of(Value value) {
    Operation *op = value.getDefiningOp();
    if (!op || ++steps > 256)
      return {{value, false}};
    if (isa<graph::AddOp, graph::SubOp>(op)) {
      Addends all = of(op->getOperand(0)), right = of(op->getOperand(1));
      for (Addend addend : right)
        all.push_back({addend.value, addend.isNegative != isa<graph::SubOp>(op)});
      return all;
    }
    if (isa<graph::NegOp>(op)) {
      Addends all = of(op->getOperand(0));
      for (Addend &addend : all)
        addend.isNegative = !addend.isNegative;
      return all;
    }
    unsigned sides = isa<graph::MulOp>(op) ? 2 : isa<graph::ReshapeOp, graph::TransposeOp, graph::DivOp>(op) ? 1 : 0;
    for (unsigned side = 0; side < sides; ++side) {
      Addends all = of(op->getOperand(side));
      if (all.size() < 2)
        continue;
      for (Addend &addend : all)
        addend.value = withOperand(op, side, addend.value);
      return all;
    }
    return {{value, false}};
  }

private:
  Value withOperand(Operation *op, unsigned side, Value value) {
    Operation *copy = builder.clone(*op);
    copy->setOperand(side, value);
    return copy->getResult(0);
  }

  OpBuilder &builder;
  unsigned steps = 0;
};

/// Operands of a product, in f32, where the axes of weights that join several are taken apart.
class TakenApart {
public:
  TakenApart(ArrayRef<int64_t> weightLabels, ArrayRef<int64_t> valueLabels, const ReductionOrder &order) {
    int64_t fresh = 1 + std::max(*llvm::max_element(weightLabels), *llvm::max_element(valueLabels));
    for (auto [label, sizes] : llvm::zip_equal(weightLabels, order.parts)) {
      Axis &axis = axes[label];
      axis.labels = {label};
      axis.sizes.assign(sizes.begin(), sizes.end());
      while (axis.labels.size() < sizes.size())
        axis.labels.push_back(fresh++);
    }
  }

  std::pair<Value, SmallVector<int64_t>> of(OpBuilder &builder, Value value, ArrayRef<int64_t> labels) const {
    SmallVector<int64_t> apart;
    SmallVector<DimExpr> dims;
    for (auto [label, dim] : llvm::zip_equal(labels, typeOf(value).getDims())) {
      auto axis = axes.find(label);
      bool isJoined = axis != axes.end() && axis->second.labels.size() > 1;
      llvm::append_range(apart, isJoined ? ArrayRef(axis->second.labels) : ArrayRef(label));
      llvm::append_range(dims, isJoined ? ArrayRef(axis->second.sizes) : ArrayRef(dim));
    }
    if (typeOf(value).getDims() != ArrayRef(dims))
      value = graph::ReshapeOp::create(builder, value.getLoc(), typeOf(value).cloneWith(dims), value);
    graph::TensorType wide = typeOf(value).cloneWith(builder.getF32Type());
    if (value.getType() != wide)
      value = graph::CastOp::create(builder, value.getLoc(), wide, value);
    return {value, apart};
  }

private:
  struct Axis {
    SmallVector<int64_t> labels;
    SmallVector<DimExpr> sizes;
  };
  llvm::DenseMap<int64_t, Axis> axes; ///< by the label that it had
};

class DistributeWeights : public fovea::impl::DistributeWeightsBase<DistributeWeights> {
  void runOnOperation() override {
    forEachProduct([&](graph::ContractOp product, unsigned side) { return distribute(product, side); });
    forEachProduct([&](graph::ContractOp product, unsigned side) { return sumKeysFirst(product, side); });
  }

  void forEachProduct(llvm::function_ref<bool(graph::ContractOp, unsigned)> rewrite) {
    SmallVector<graph::ContractOp> products;
    getOperation().walk([&](graph::ContractOp product) { products.push_back(product); });
    for (graph::ContractOp product : products)
      for (unsigned side : {0, 1})
        if (!product.getPacked() && rewrite(product, side))
          break;
  }

  bool distribute(graph::ContractOp product, unsigned side) {
    OpBuilder builder(product);
    Addends addends = Addition(builder).of(product->getOperand(side));
    auto areWeights = [](Addend addend) { return isWeights(addend.value); };
    if (addends.size() < 2 || !llvm::any_of(addends, areWeights))
      return false; // what was built is dead
    Value total;
    for (Addend addend : addends) {
      auto part = cast<graph::ContractOp>(builder.clone(*product));
      part->setOperand(side, addend.value);
      Value result = part.getResult();
      if (!total)
        total = addend.isNegative ? graph::NegOp::create(builder, product.getLoc(), result).getResult() : result;
      else if (addend.isNegative)
        total = graph::SubOp::create(builder, product.getLoc(), total, result);
      else
        total = graph::AddOp::create(builder, product.getLoc(), total, result);
    }
    product.getResult().replaceAllUsesWith(total);
    product.erase();
    ++numDistributed;
    return true;
  }

  /// A product that sums other axes as well as the keys: these alone, then a sum of what is left.
  bool sumKeysFirst(graph::ContractOp product, unsigned side) {
    Value weights = product->getOperand(side);
    ArrayRef<int64_t> mine = side ? product.getRhsLabels() : product.getLhsLabels();
    ArrayRef<int64_t> theirs = side ? product.getLhsLabels() : product.getRhsLabels(), out = product.getOutLabels();
    SmallVector<int64_t> summed;
    for (auto [axis, label] : llvm::enumerate(mine))
      if (!llvm::is_contained(out, label))
        summed.push_back(axis);
    // Of values that differ from row to row the product is no attention.
    bool areShared = llvm::any_of(mine, [&](int64_t label) { return !llvm::is_contained(theirs, label); });
    if (!areShared || summed.empty() || !dependsOnWeights(weights))
      return false;
    std::optional<ReductionOrder> order = orderOfReduction(weights, summed);
    if (!order || order->after.empty())
      return false;
    OpBuilder builder(product);
    TakenApart axes(mine, theirs, *order);
    auto [w, wLabels] = axes.of(builder, weights, mine);
    auto [v, vLabels] = axes.of(builder, product->getOperand(1 - side), theirs);
    graph::TensorType type = product.getType().cloneWith(builder.getF32Type());
    SmallVector<int64_t> partLabels, rest;
    SmallVector<DimExpr> dims;
    for (int64_t axis : order->after) {
      rest.push_back(partLabels.size());
      partLabels.push_back(wLabels[axis]);
      dims.push_back(typeOf(w).getDim(axis));
    }
    llvm::append_range(partLabels, out);
    llvm::append_range(dims, type.getDims());
    if (side) {
      std::swap(w, v);
      std::swap(wLabels, vLabels);
    }
    Location loc = product.getLoc();
    Value parts = graph::ContractOp::create(builder, loc, type.cloneWith(ArrayRef<DimExpr>(dims)), w, v, wLabels,
                                            vLabels, partLabels, false);
    Value total = graph::ReduceOp::create(builder, loc, type, "sum", parts, rest);
    if (product.getType() != type)
      total = graph::CastOp::create(builder, loc, product.getType(), total);
    product.getResult().replaceAllUsesWith(total);
    product.erase();
    ++numOrdered;
    return true;
  }
};
} // namespace
