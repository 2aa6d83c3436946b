// contract(x, W), W a matrix computed from params, reads W in the target's panels: contract(x, pack(W)) {packed}.
// Pays: the kernel streams a panel instead of striding through the matrix; packing runs once, at load time. Exact.
#include "compiler/passes/ElementExpression.h"
#include "compiler/passes/Passes.h"
#include "compiler/passes/Roles.h"
#include "dialects/graph/Places.h"

namespace fovea {
#define GEN_PASS_DEF_PACKWEIGHTS
#include "compiler/passes/Passes.h.inc"
} // namespace fovea

using namespace mlir;
using namespace fovea;

namespace {
/// A contraction's labels, with the weight on the right.
struct Packing {
  Value input, weight;
  SmallVector<int64_t> inputLabels, weightLabels;
  SmallVector<int64_t> summed, free; ///< the weight's labels: in the order of the input's axes, of the result's axes
};

class PackWeights : public fovea::impl::PackWeightsBase<PackWeights> {
public:
  using PackWeightsBase::PackWeightsBase;

private:
  void runOnOperation() override {
    if (panel <= 0)
      return;
    for (auto function : getOperation().getOps<graph::FuncOp>()) {
      if (function.getPrepare())
        continue;
      ParamDependence params(function);
      for (auto contract : llvm::make_early_inc_range(function.getOps<graph::ContractOp>()))
        if (std::optional<Packing> packing = match(contract, params))
          rewrite(contract, *packing);
    }
  }

  static std::optional<Packing> match(graph::ContractOp contract, ParamDependence &params) {
    if (contract.getPacked())
      return std::nullopt;
    bool left = params.hasParam(contract.getLhs()), right = params.hasParam(contract.getRhs());
    if (left == right) // both: the whole contraction is computed at load time
      return std::nullopt;
    Packing result;
    result.weight = right ? contract.getRhs() : contract.getLhs();
    result.input = right ? contract.getLhs() : contract.getRhs();
    result.weightLabels = llvm::to_vector(right ? contract.getRhsLabels() : contract.getLhsLabels());
    result.inputLabels = llvm::to_vector(right ? contract.getLhsLabels() : contract.getRhsLabels());
    ArrayRef<int64_t> out = contract.getOutLabels();
    for (int64_t label : result.inputLabels)
      if (llvm::is_contained(result.weightLabels, label))
        result.summed.push_back(label);
    for (int64_t label : out)
      if (llvm::is_contained(result.weightLabels, label))
        result.free.push_back(label);
    bool isBatched = llvm::any_of(result.free, [&](int64_t l) { return llvm::is_contained(result.inputLabels, l); });
    if (isBatched || result.summed.empty() || result.free.empty() ||
        typeOf(result.weight).getNumElements().isConstant(0))
      return std::nullopt;
    // Several summed axes are joined, which must not move the input's elements.
    auto first = llvm::find(result.inputLabels, result.summed.front()) - result.inputLabels.begin();
    for (auto [i, label] : llvm::enumerate(result.summed))
      if (result.inputLabels[first + i] != label)
        return std::nullopt;
    return result;
  }

  static SmallVector<DimExpr> sizesOf(Value value, ArrayRef<int64_t> labels, ArrayRef<int64_t> wanted) {
    return llvm::map_to_vector(
        wanted, [&](int64_t label) { return typeOf(value).getDim(llvm::find(labels, label) - labels.begin()); });
  }
  static DimExpr product(ArrayRef<DimExpr> dims) {
    DimExpr result(1);
    for (DimExpr dim : dims)
      result = result * dim;
    return result;
  }
  static Value reshape(OpBuilder &builder, Location loc, Value value, ArrayRef<DimExpr> dims) {
    return typeOf(value).getDims() == dims
               ? value
               : graph::ReshapeOp::create(builder, loc, typeOf(value).cloneWith(dims), value).getResult();
  }

  /// pack of the weight as [K, N].
  Value pack(OpBuilder &builder, Location loc, const Packing &packing, DimExpr k, DimExpr n) {
    SmallVector<int64_t> order(packing.summed), permutation;
    llvm::append_range(order, packing.free);
    for (int64_t label : order)
      permutation.push_back(llvm::find(packing.weightLabels, label) - packing.weightLabels.begin());
    Value weight = packing.weight;
    if (!llvm::is_sorted(permutation))
      weight = graph::TransposeOp::create(
          builder, loc, typeOf(weight).cloneWith(sizesOf(weight, packing.weightLabels, order)), weight, permutation);
    weight = reshape(builder, loc, weight, {k, n});
    SmallVector<DimExpr> dims{DimExpr::ceilDiv(n, DimExpr(panel)), k, DimExpr(panel)};
    return graph::PackOp::create(builder, loc, typeOf(weight).cloneWith(dims), weight, panel);
  }

  void rewrite(graph::ContractOp contract, const Packing &packing) {
    OpBuilder builder(contract);
    Location loc = contract.getLoc();
    SmallVector<DimExpr> ks = sizesOf(packing.weight, packing.weightLabels, packing.summed),
                         ns = sizesOf(packing.weight, packing.weightLabels, packing.free);
    DimExpr k = product(ks), n = product(ns);
    Value packed = pack(builder, loc, packing, k, n);
    // The input with its summed axes joined.
    SmallVector<int64_t> inputLabels, outLabels;
    SmallVector<DimExpr> inputDims, outDims;
    int64_t kLabel = packing.summed.front(), nLabel = packing.free.front();
    for (auto [label, dim] : llvm::zip_equal(packing.inputLabels, typeOf(packing.input).getDims())) {
      bool isSummed = llvm::is_contained(packing.summed, label);
      if (isSummed && label != kLabel)
        continue;
      inputLabels.push_back(label);
      inputDims.push_back(isSummed ? k : dim);
      if (!isSummed) {
        outLabels.push_back(label);
        outDims.push_back(dim);
      }
    }
    Value input = reshape(builder, withPath(loc, ""), packing.input, inputDims);
    // Where the weight has one free axis, it may stand anywhere in the result; several are joined at the end.
    ArrayRef<int64_t> out = contract.getOutLabels();
    if (packing.free.size() == 1) {
      outLabels = llvm::to_vector(out);
      outDims = llvm::to_vector(typeOf(contract.getResult()).getDims());
    } else {
      outLabels.push_back(nLabel);
      outDims.push_back(n);
    }
    graph::TensorType type = typeOf(contract.getResult());
    Value result = graph::ContractOp::create(builder, loc, type.cloneWith(outDims), input, packed, inputLabels,
                                             ArrayRef<int64_t>{kLabel, nLabel}, outLabels, true);
    if (packing.free.size() > 1) {
      SmallVector<int64_t> order(ArrayRef(outLabels).drop_back()), permutation;
      llvm::append_range(order, packing.free);
      SmallVector<DimExpr> dims(ArrayRef(outDims).drop_back());
      llvm::append_range(dims, ns);
      result = reshape(builder, loc, result, dims);
      for (int64_t label : out)
        permutation.push_back(llvm::find(order, label) - order.begin());
      if (!llvm::is_sorted(permutation))
        result = graph::TransposeOp::create(builder, loc, type, result, permutation);
    }
    contract.getResult().replaceAllUsesWith(result);
    contract.erase();
    ++numPacked;
  }
};
} // namespace
