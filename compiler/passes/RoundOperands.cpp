// contract(x, pack(W)) {packed} in f32 gets both operands rounded, the activations as well as the weights:
//   bf16:  contract(bf16(x), pack(bf16(W)))
//   i8:    (contract(u, pack(q)) - zero colsum(q)) * scale * s, with x = scale (u - zero), W = q s
// scale and zero for each row of x, s for each column of W. Pays: processors multiply two or four times as many narrow
// numbers. Not exact: see the pass's record.
#include "compiler/passes/Passes.h"
#include "compiler/passes/Quantization.h"
#include "dialects/graph/Places.h"

#include <limits>

namespace fovea {
#define GEN_PASS_DEF_ROUNDOPERANDS
#include "compiler/passes/Passes.h.inc"
} // namespace fovea

using namespace mlir;
using namespace fovea;
using namespace fovea::quantization;

/// Terms of an exact sum at most: as many products of unsigned by signed bytes fit into an i32.
static constexpr int64_t mostTerms = 65536;
/// Steps of a row's range. Of the 255 that bytes have, one is left for roundings at both ends.
static constexpr double steps = 254;
/// Ranges below are taken for this, so that nothing is divided by 0.
static constexpr double leastRange = 0x1p-100;

namespace {
/// A contraction with a constant matrix on its right.
struct Product {
  graph::ContractOp contract;
  graph::PackOp pack;
  Value x; ///< with the summed axis last
  SmallVector<int64_t> labels;
  Location loc;

  static Product of(graph::ContractOp contract, graph::PackOp pack, OpBuilder &b) {
    Product p{contract, pack, contract.getLhs(), llvm::to_vector(contract.getLhsLabels()),
              withPath(contract.getLoc(), "")};
    int64_t summed = contract.getRhsLabels()[0], axis = llvm::find(p.labels, summed) - p.labels.begin();
    if (axis + 1 == int64_t(p.labels.size()))
      return p;
    SmallVector<int64_t> order;
    SmallVector<DimExpr> dims;
    p.labels.erase(p.labels.begin() + axis);
    p.labels.push_back(summed);
    for (int64_t label : p.labels) {
      order.push_back(llvm::find(contract.getLhsLabels(), label) - contract.getLhsLabels().begin());
      dims.push_back(typeOf(p.x).getDim(order.back()));
    }
    p.x = graph::TransposeOp::create(b, p.loc, typeOf(p.x).cloneWith(dims), p.x, order);
    return p;
  }

  ArrayRef<int64_t> rowLabels() const { return ArrayRef(labels).drop_back(); }

  /// What has one number for each of `labels`, spread over the result's axes.
  Value overResult(OpBuilder &b, Value value, ArrayRef<int64_t> labels) {
    graph::TensorType type = contract.getType().cloneWith(typeOf(value).getElementType());
    SmallVector<int64_t> axes, order;
    SmallVector<DimExpr> dims;
    for (auto [axis, label] : llvm::enumerate(contract.getOutLabels()))
      if (auto found = llvm::find(labels, label); found != labels.end()) {
        axes.push_back(axis);
        order.push_back(found - labels.begin());
        dims.push_back(type.getDim(axis));
      }
    if (!llvm::is_sorted(order))
      value = graph::TransposeOp::create(b, loc, typeOf(value).cloneWith(dims), value, order);
    return axes.size() == type.getDims().size() ? value
                                                : graph::BroadcastOp::create(b, loc, type, value, axes).getResult();
  }
};

class RoundOperands : public fovea::impl::RoundOperandsBase<RoundOperands> {
public:
  using RoundOperandsBase::RoundOperandsBase;

private:
  void runOnOperation() override {
    if (precision.empty())
      return;
    if ((precision != "bf16" && precision != "i8") || kBlock < 1) {
      getOperation().emitError("graph-round-operands: precision is bf16 or i8, and k-block positive, not ")
          << precision << " and " << kBlock.getValue();
      return signalPassFailure();
    }
    for (auto function : getOperation().getOps<graph::FuncOp>())
      for (auto contract : llvm::make_early_inc_range(function.getOps<graph::ContractOp>()))
        if (auto pack = contract.getRhs().getDefiningOp<graph::PackOp>();
            pack && contract.getPacked() && contract.getKBlock() == 1)
          if (precision == "bf16" ? toBFloat(contract, pack) : toIntegers(contract, pack))
            ++numRounded;
  }

  /// `x` with zeros behind it along `axis`, so that its size is a multiple of kBlock.
  Value padded(OpBuilder &b, Location loc, Value x, int64_t axis) const {
    SmallVector<DimExpr> dims(typeOf(x).getDims());
    int64_t size = *dims[axis].value(), missing = llvm::alignTo(size, kBlock) - size;
    if (missing == 0)
      return x;
    dims[axis] = DimExpr(missing);
    Type element = typeOf(x).getElementType();
    graph::TensorType scalar = typeOf(x).cloneWith(ArrayRef<DimExpr>());
    Value zero = graph::ConstantOp::create(b, loc, scalar, mlir::cast<TypedAttr>(b.getZeroAttr(element)));
    Value zeros = graph::BroadcastOp::create(b, loc, typeOf(x).cloneWith(ArrayRef(dims)), zero, ArrayRef<int64_t>());
    dims[axis] = DimExpr(size + missing);
    return graph::ConcatOp::create(b, loc, typeOf(x).cloneWith(ArrayRef(dims)), ValueRange{x, zeros}, axis);
  }

  /// The product of narrow operands, [..., K] and [K, N], by kBlock numbers at a time.
  Value multiply(OpBuilder &b, Product &p, Value x, Value weight, Type sum) const {
    x = padded(b, p.loc, x, typeOf(x).getRank() - 1);
    weight = padded(b, p.loc, weight, 0);
    int64_t panel = p.pack.getPanel();
    DimExpr k = typeOf(weight).getDim(0), n = typeOf(weight).getDim(1);
    SmallVector<DimExpr> dims{DimExpr::ceilDiv(n, DimExpr(panel)), *DimExpr::exactDiv(k, DimExpr(kBlock)),
                              DimExpr(panel * kBlock)};
    Value packed = graph::PackOp::create(b, p.loc, typeOf(weight).cloneWith(ArrayRef(dims)), weight, panel, kBlock);
    return graph::ContractOp::create(b, p.contract.getLoc(), p.contract.getType().cloneWith(sum), x, packed, p.labels,
                                     p.contract.getRhsLabels(), p.contract.getOutLabels(), /*packed=*/true,
                                     /*hidden_lhs=*/false, /*hidden_rhs=*/false, kBlock);
  }

  static void replace(graph::ContractOp contract, Value result) {
    contract.getResult().replaceAllUsesWith(result);
    contract.erase();
  }

  bool toBFloat(graph::ContractOp contract, graph::PackOp pack) const {
    OpBuilder b(contract);
    Type element = typeOf(pack).getElementType(), bf16 = b.getBF16Type();
    if (element.isF32() && kBlock == 1) {
      Location loc = withPath(contract.getLoc(), "");
      Value x = contract.getLhs(), weight = cast(b, loc, pack.getX(), bf16);
      contract.getLhsMutable().assign(cast(b, loc, cast(b, loc, x, bf16), b.getF32Type()));
      contract.getRhsMutable().assign(
          graph::PackOp::create(b, loc, typeOf(pack).cloneWith(bf16), weight, pack.getPanel()));
      return true;
    }
    if (kBlock == 1 || !(element.isF32() || element.isBF16()))
      return false;
    Product p = Product::of(contract, pack, b);
    Value result = multiply(b, p, cast(b, p.loc, p.x, bf16), cast(b, p.loc, pack.getX(), bf16), b.getF32Type());
    replace(contract, element.isF32() ? result : cast(b, p.loc, result, element));
    return true;
  }

  /// x[r, .] = scale[r] (bytes[r, .] - zero[r]), bytes unsigned, zero a whole number, one that stands for 0.
  struct Rows {
    Value bytes, zero, scale;
  };
  static Rows quantizeRows(OpBuilder &b, Location loc, Value x) {
    int64_t axis = typeOf(x).getRank() - 1;
    graph::TensorType type = typeOf(x).cloneWith(typeOf(x).getDims().drop_back());
    auto number = [&](double value) { return splat(b, loc, type, value); };
    auto reduced = [&](StringRef kind) -> Value {
      return graph::ReduceOp::create(b, loc, type, kind, x, ArrayRef<int64_t>{axis});
    };
    auto overRow = [&](Value v) -> Value {
      return graph::BroadcastOp::create(b, loc, typeOf(x), v, llvm::to_vector(llvm::seq(axis)));
    };
    Value high = graph::MaxOp::create(b, loc, reduced("max"), number(0));
    Value low = graph::MinOp::create(b, loc, reduced("min"), number(0));
    Value range = graph::SubOp::create(b, loc, high, low);
    range = graph::MaxOp::create(b, loc, range, number(leastRange));
    Value inverse = graph::DivOp::create(b, loc, number(steps), range);
    Value below = graph::MulOp::create(b, loc, graph::NegOp::create(b, loc, low).getResult(), inverse);
    Value zero = graph::FloorOp::create(b, loc, graph::AddOp::create(b, loc, below, number(0.5)).getResult());
    // Not below 0, so that cutting off is rounding down.
    Value shift = graph::AddOp::create(b, loc, zero, number(0.5));
    Value scaled = graph::MulOp::create(b, loc, x, overRow(inverse));
    Value shifted = graph::AddOp::create(b, loc, scaled, overRow(shift));
    Value bytes = cast(b, loc, cast(b, loc, shifted, b.getI32Type()), b.getI8Type());
    // All three numbers of a row follow from one another, so that one kernel writes them.
    constexpr double infinity = std::numeric_limits<double>::infinity();
    auto isBelow = [&](Value v, double bound) -> Value {
      return graph::CompareOp::create(b, loc, type.cloneWith(b.getI1Type()), "lt", v, number(bound));
    };
    Value isFinite = graph::AndOp::create(b, loc, isBelow(range, infinity), isBelow(zero, steps + 1));
    Value scale = graph::DivOp::create(b, loc, number(1), inverse);
    scale = graph::SelectOp::create(b, loc, isFinite, scale, number(std::numeric_limits<double>::quiet_NaN()));
    return {bytes, zero, scale};
  }

  bool toIntegers(graph::ContractOp contract, graph::PackOp pack) const {
    OpBuilder b(contract);
    std::optional<int64_t> terms = typeOf(pack.getX()).getDim(0).value();
    if (!typeOf(pack).getElementType().isF32() || !terms || *terms > mostTerms)
      return false;
    Product p = Product::of(contract, pack, b);
    Type f32 = b.getF32Type();
    Rows rows = quantizeRows(b, p.loc, p.x);
    Columns columns = quantizeColumns(b, p.loc, pack.getX());
    Value sums = cast(b, p.loc, multiply(b, p, rows.bytes, columns.bytes, b.getI32Type()), f32);
    Value columnSums = graph::ReduceOp::create(b, p.loc, typeOf(columns.scales), "sum",
                                               cast(b, p.loc, columns.bytes, f32), ArrayRef<int64_t>{0});
    ArrayRef<int64_t> columnLabel(contract.getRhsLabels()[1]);
    Value offsets = graph::MulOp::create(b, p.loc, p.overResult(b, rows.zero, p.rowLabels()),
                                         p.overResult(b, columnSums, columnLabel));
    Value corrected = graph::SubOp::create(b, p.loc, sums, offsets);
    Value result = graph::MulOp::create(b, p.loc, corrected, p.overResult(b, rows.scale, p.rowLabels()));
    replace(contract, graph::MulOp::create(b, contract.getLoc(), result, p.overResult(b, columns.scales, columnLabel)));
    return true;
  }
};
} // namespace
