// contract(x, pack(W)) {packed} reads W from a narrower type: contract(x, pack(bf16(W))), or contract(x * r, pack(i8(W
// / (r s)))) * s with a scale s for each of W's columns (a linear layer's output features), r for each row (its
// inputs). Pays: products of few rows take as long as reading their weights. Not exact: see the pass's record.
#include "compiler/passes/Passes.h"
#include "compiler/passes/Quantization.h"

namespace fovea {
#define GEN_PASS_DEF_NARROWWEIGHTS
#include "compiler/passes/Passes.h.inc"
} // namespace fovea

using namespace mlir;
using namespace fovea;
using namespace fovea::quantization;

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

  static Value packAgain(OpBuilder &b, graph::PackOp pack, Value x) {
    graph::TensorType type = typeOf(pack).cloneWith(typeOf(x).getElementType());
    return graph::PackOp::create(b, pack.getLoc(), type, x, pack.getPanel());
  }

  static void toBFloat(graph::ContractOp contract, graph::PackOp pack) {
    OpBuilder b(pack);
    contract.getRhsMutable().assign(packAgain(b, pack, cast(b, pack.getLoc(), pack.getX(), b.getBF16Type())));
  }

  static void toInteger(graph::ContractOp contract, graph::PackOp pack) {
    OpBuilder b(pack);
    Location loc = pack.getLoc();
    Value weight = pack.getX();
    Type type = weight.getType();
    Value rows = orOne(b, loc, graph::SqrtOp::create(b, loc, mostOf(b, loc, weight, 1)));
    Value even = graph::DivOp::create(b, loc, weight, spread(b, loc, rows, type, 0));
    Columns columns = quantizeColumns(b, loc, even);
    contract.getRhsMutable().assign(packAgain(b, pack, columns.bytes));

    auto axisOf = [](ArrayRef<int64_t> labels, int64_t label) { return llvm::find(labels, label) - labels.begin(); };
    ArrayRef<int64_t> labels = contract.getRhsLabels();
    b.setInsertionPoint(contract);
    Value input = contract.getLhs();
    Value rowScales = spread(b, loc, rows, input.getType(), axisOf(contract.getLhsLabels(), labels[0]));
    contract.getLhsMutable().assign(graph::MulOp::create(b, contract.getLoc(), input, rowScales));
    b.setInsertionPointAfter(contract);
    Value product = contract.getResult();
    Value columnScales = spread(b, loc, columns.scales, product.getType(), axisOf(contract.getOutLabels(), labels[1]));
    auto result = graph::MulOp::create(b, contract.getLoc(), product, columnScales);
    product.replaceAllUsesExcept(result, result);
  }
};
} // namespace
