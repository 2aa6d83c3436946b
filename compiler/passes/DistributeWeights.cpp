// contract(a + b, v) becomes contract(a, v) + contract(b, v) where a or b are weights of a softmax: differential
// attention and other mixtures become an attention for each, none of which holds its weights. Pays because the sum of
// the weights is queries by keys, and what is summed then only as large as the result. Numerical effect: see Passes.td.
#include "compiler/passes/ElementExpression.h"
#include "compiler/passes/Passes.h"

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

class DistributeWeights : public fovea::impl::DistributeWeightsBase<DistributeWeights> {
  void runOnOperation() override {
    SmallVector<graph::ContractOp> products;
    getOperation().walk([&](graph::ContractOp product) { products.push_back(product); });
    for (graph::ContractOp product : products)
      for (unsigned side : {0, 1})
        if (!product.getPacked() && distribute(product, side))
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
};
} // namespace
