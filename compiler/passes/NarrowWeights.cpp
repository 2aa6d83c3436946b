// contract(x, pack(W)) {packed} reads W from a narrower type: contract(x, pack(bf16(W))), or contract(x * r, pack(i8(W
// / (r s)))) * s with a scale s for each of W's columns (a linear layer's output features), r for each row (its
// inputs). Pays: products of few rows take as long as reading their weights. Not exact: see the pass's record.
#include "compiler/passes/Passes.h"

namespace fovea {
#define GEN_PASS_DEF_NARROWWEIGHTS
#include "compiler/passes/Passes.h.inc"
} // namespace fovea

using namespace mlir;
using namespace fovea;

static graph::TensorType typeOf(Value value) { return cast<graph::TensorType>(value.getType()); }

namespace {
class NarrowWeights : public fovea::impl::NarrowWeightsBase<NarrowWeights> {
public:
  using NarrowWeightsBase::NarrowWeightsBase;

private:
  void runOnOperation() override {
    if (dtype.empty())
      return;
    if (dtype != "bf16" && dtype != "i8") {
      getOperation().emitError("graph-narrow-weights: dtype is bf16 or i8, not ") << dtype;
      return signalPassFailure();
    }
    for (auto function : getOperation().getOps<graph::FuncOp>())
      for (auto contract : llvm::make_early_inc_range(function.getOps<graph::ContractOp>())) {
        auto pack = contract.getPacked() ? contract.getRhs().getDefiningOp<graph::PackOp>() : graph::PackOp();
        if (!pack || !typeOf(pack).getElementType().isF32())
          continue;
        if (dtype == "bf16")
          toBFloat(contract, pack);
        else
          toInteger(contract, pack);
        ++numNarrowed;
      }
  }

  static Value cast(OpBuilder &b, Location loc, Value x, Type element) {
    return graph::CastOp::create(b, loc, typeOf(x).cloneWith(element), x);
  }
  static Value packAgain(OpBuilder &b, graph::PackOp pack, Value x) {
    graph::TensorType type = typeOf(pack).cloneWith(typeOf(x).getElementType());
    return graph::PackOp::create(b, pack.getLoc(), type, x, pack.getPanel());
  }

  static void toBFloat(graph::ContractOp contract, graph::PackOp pack) {
    OpBuilder b(pack);
    contract.getRhsMutable().assign(packAgain(b, pack, cast(b, pack.getLoc(), pack.getX(), b.getBF16Type())));
  }

  /// A number, broadcast like `type`.
  static Value splat(OpBuilder &b, Location loc, graph::TensorType type, double value) {
    graph::TensorType scalar = type.cloneWith(ArrayRef<DimExpr>());
    Value constant = graph::ConstantOp::create(b, loc, scalar, b.getF32FloatAttr(value));
    return graph::BroadcastOp::create(b, loc, type, constant, ArrayRef<int64_t>());
  }

  /// `x`, or 1 where it is 0: something to divide by.
  static Value orOne(OpBuilder &b, Location loc, Value x) {
    graph::TensorType type = typeOf(x);
    Value isZero = graph::CompareOp::create(b, loc, type.cloneWith(b.getI1Type()), "eq", x, splat(b, loc, type, 0));
    return graph::SelectOp::create(b, loc, isZero, splat(b, loc, type, 1), x);
  }
  /// The greatest magnitude along `axis`.
  static Value mostOf(OpBuilder &b, Location loc, Value weight, int64_t axis) {
    Value magnitude = graph::AbsOp::create(b, loc, weight);
    graph::TensorType type = typeOf(weight).cloneWith(typeOf(weight).getDim(1 - axis));
    return graph::ReduceOp::create(b, loc, type, "max", magnitude, ArrayRef<int64_t>{axis});
  }
  static Value spread(OpBuilder &b, Location loc, Value vector, Type type, int64_t axis) {
    return graph::BroadcastOp::create(b, loc, type, vector, ArrayRef<int64_t>{axis});
  }

  static void toInteger(graph::ContractOp contract, graph::PackOp pack) {
    OpBuilder b(pack);
    Location loc = pack.getLoc();
    Value weight = pack.getX();
    Type type = weight.getType();
    Value rows = orOne(b, loc, graph::SqrtOp::create(b, loc, mostOf(b, loc, weight, 1)));
    Value even = graph::DivOp::create(b, loc, weight, spread(b, loc, rows, type, 0));
    Value most = orOne(b, loc, mostOf(b, loc, even, 0));
    Value columns = graph::MulOp::create(b, loc, most, splat(b, loc, typeOf(most), 1.0 / 127));
    Value ratio = graph::DivOp::create(b, loc, even, spread(b, loc, columns, type, 1));
    Value rounded = graph::FloorOp::create(
        b, loc, graph::AddOp::create(b, loc, ratio, splat(b, loc, typeOf(weight), 0.5)).getResult());
    contract.getRhsMutable().assign(packAgain(b, pack, cast(b, loc, rounded, b.getI8Type())));

    auto axisOf = [](ArrayRef<int64_t> labels, int64_t label) { return llvm::find(labels, label) - labels.begin(); };
    ArrayRef<int64_t> labels = contract.getRhsLabels();
    b.setInsertionPoint(contract);
    Value input = contract.getLhs();
    Value rowScales = spread(b, loc, rows, input.getType(), axisOf(contract.getLhsLabels(), labels[0]));
    contract.getLhsMutable().assign(graph::MulOp::create(b, contract.getLoc(), input, rowScales));
    b.setInsertionPointAfter(contract);
    Value product = contract.getResult();
    Value columnScales = spread(b, loc, columns, product.getType(), axisOf(contract.getOutLabels(), labels[1]));
    auto result = graph::MulOp::create(b, contract.getLoc(), product, columnScales);
    product.replaceAllUsesExcept(result, result);
  }
};
} // namespace
