// Names for kernels that say what they do.
#include "compiler/kernels/lower/KernelBuilder.h"

#include "dialects/graph/Places.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;

namespace fovea::kernels {

static bool holds(graph::GroupOp group, StringRef mnemonic) {
  return llvm::any_of(group.getBody().front(), [&](Operation &op) { return op.getName().stripDialect() == mnemonic; });
}

/// What is added, by where it comes from: a broadcast vector is a bias, a whole tensor a residual.
static StringRef addName(Operation &op) {
  for (Value operand : op.getOperands()) {
    if (isa<BlockArgument>(operand))
      return "residual";
    if (auto broadcast = operand.getDefiningOp<graph::BroadcastOp>(); broadcast && isa<BlockArgument>(broadcast.getX()))
      return "bias";
  }
  return {};
}

static std::string matmulName(graph::GroupOp group) {
  auto contract = *group.getBody().front().getOps<graph::ContractOp>().begin();
  auto lhs = cast<graph::TensorType>(contract.getLhs().getType()),
       out = cast<graph::TensorType>(contract.getResult().getType());
  DimExpr k(1);
  for (auto [label, dim] : llvm::zip(contract.getLhsLabels(), lhs.getDims()))
    if (!llvm::is_contained(contract.getOutLabels(), label))
      k = k * dim;
  DimExpr n = out.getRank() ? out.getDims().back() : DimExpr(1);
  std::string name = "matmul";
  if (k && k.isConstant() && n.isConstant())
    name += "_" + std::to_string(*k.value()) + "x" + std::to_string(*n.value());
  SmallVector<StringRef> parts;
  for (Operation &op : group.getBody().front())
    if (StringRef part = isa<graph::AddOp>(op) ? addName(op) : StringRef();
        !part.empty() && !llvm::is_contained(parts, part))
      parts.push_back(part);
  for (auto [mnemonic, part] : {std::pair<StringRef, StringRef>{"erf", "gelu"},
                                {"tanh", "tanh"},
                                {"sigmoid", "sigmoid"},
                                {"exp", "exp"},
                                {"max", "relu"}})
    if (holds(group, mnemonic))
      parts.push_back(part);
  for (StringRef part : parts)
    name += "_" + part.str();
  return name;
}

static std::string mapName(graph::GroupOp group) {
  std::string name = "map";
  for (StringRef part : {"gather", "scatter", "update_slice", "concat", "pack", "argmax"})
    if (holds(group, part))
      name += "_" + part.str();
  bool reduces = holds(group, "reduce");
  if (reduces && holds(group, "exp"))
    name += "_softmax";
  else if (reduces && (holds(group, "rsqrt") || holds(group, "sqrt")))
    name += "_norm";
  else if (reduces)
    name += "_reduce";
  SmallVector<StringRef> rest;
  for (Operation &op : group.getBody().front())
    if (StringRef mnemonic = op.getName().stripDialect();
        isa<graph::ElementwiseOpInterface>(op) && !llvm::is_contained(rest, mnemonic))
      rest.push_back(mnemonic);
  if (name == "map" && rest.empty())
    return holds(group, "broadcast") ? "map_broadcast" : "map_copy";
  if (name == "map")
    for (StringRef mnemonic : ArrayRef(rest).take_front(4))
      name += "_" + mnemonic.str();
  return name;
}

std::string describeGroup(graph::GroupOp group) {
  if (group.getKind() == "matmul")
    return matmulName(group);
  if (group.getKind() == "map")
    return mapName(group);
  if (group.getKind() == "top_k")
    return "top_k";
  auto named = [](std::string name, DimExpr features) {
    std::optional<int64_t> size = features.value();
    return size ? name + "_" + std::to_string(*size) : name;
  };
  for (auto linear : group.getBody().front().getOps<graph::LinearAttentionOp>())
    return named("linear_attention", linear.getQ().getType().getDims().back());
  auto describe = [&](std::string name, auto attention) {
    DimExpr features(0);
    for (auto [q, k] : attention.getParts())
      features = features + cast<graph::TensorType>(q.getType()).getDims().back();
    return named(name, features) + (attention.getMask().empty() ? "" : "_masked");
  };
  for (auto backward : group.getBody().front().getOps<graph::AttentionBackwardOp>())
    return describe("attention_backward", backward);
  return describe("attention", *group.getBody().front().getOps<graph::AttentionOp>().begin());
}

/// What gives a value, in another group where it comes from there.
static Operation *definingOp(Value value) {
  if (auto argument = dyn_cast<BlockArgument>(value)) {
    auto group = dyn_cast<graph::GroupOp>(argument.getOwner()->getParentOp());
    return group ? definingOp(group->getOperand(argument.getArgNumber())) : nullptr;
  }
  if (auto group = value.getDefiningOp<graph::GroupOp>())
    return definingOp(group.getBody().front().getTerminator()->getOperand(cast<OpResult>(value).getResultNumber()));
  return value.getDefiningOp();
}

/// Whether a divisor is a constant or a size.
static bool isKnown(Value divisor) {
  while (Operation *op = definingOp(divisor)) {
    if (op->hasTrait<OpTrait::ConstantLike>() || isa<graph::ConstantOp, graph::DimOp>(op))
      return true;
    if (!isa<graph::CastOp, graph::BroadcastOp, graph::ReshapeOp>(op))
      return false;
    divisor = op->getOperand(0);
  }
  return false;
}

/// Whether a value is a sum of exponentials, which is 0 where all of them are too small alone.
static bool isSumOfExponentials(Value value) {
  bool isSummed = false;
  while (Operation *op = definingOp(value)) {
    if (isa<graph::ExpOp>(op))
      return isSummed;
    auto reduce = dyn_cast<graph::ReduceOp>(op);
    if (!isa<graph::CastOp, graph::BroadcastOp, graph::ReshapeOp, graph::TransposeOp>(op) &&
        !(reduce && reduce.getKind() == "sum"))
      return false;
    isSummed |= bool(reduce);
    value = op->getOperand(0);
  }
  return false;
}

/// How likely an op makes numbers that are not finite: 0, of ordinary ones, as logarithms of numbers below 0; 1, of
/// exponents that are not large, as logarithms of sums of exponentials; 2, of large numbers alone; nullopt, never.
static std::optional<int> suspicion(Operation *op) {
  if (isa<graph::DivOp, arith::DivFOp>(op))
    return isKnown(op->getOperand(1)) ? 2 : 0;
  if (auto log = dyn_cast<graph::LogOp>(op); log && isSumOfExponentials(log.getOperand()))
    return 1;
  if (isa<graph::PowOp, graph::LogOp, graph::SqrtOp, graph::RsqrtOp, math::PowFOp, math::LogOp, math::SqrtOp,
          math::RsqrtOp>(op))
    return 0;
  if (isa<graph::ExpOp, math::ExpOp>(op))
    return 1;
  if (auto cast = dyn_cast<graph::CastOp>(op))
    return isa<FloatType>(cast.getX().getType().getElementType()) ? std::optional(2) : std::nullopt;
  return isa<graph::AddOp, graph::SubOp, graph::MulOp, graph::ReduceOp, graph::ContractOp, graph::SoftmaxOp,
             graph::LogSumExpOp, graph::AttentionOp, graph::AttentionBackwardOp, graph::LinearAttentionOp,
             graph::ScatterOp, arith::AddFOp, arith::SubFOp, arith::MulFOp>(op)
             ? std::optional(2)
             : std::nullopt;
}

/// "log (3:5)"
static std::string withPlace(Operation *op) {
  StringRef name = op->getName().stripDialect();
  if (isa<arith::ArithDialect, math::MathDialect>(op->getDialect()))
    name.consume_back("f");
  SmallVector<PlaceFrame> frames = placeFrames(op->getLoc());
  const PlaceFrame *frame = userFrame(frames);
  return frame ? llvm::formatv("{0} ({1}:{2})", name, frame->place.getLine(), frame->place.getColumn()).str()
               : name.str();
}

Arithmetic arithmeticOf(graph::GroupOp group) {
  constexpr size_t most = 8;
  SmallVector<std::pair<int, Operation *>> suspects;
  // Regions, of an attention's scores, stand before the op.
  group.getBody().walk<WalkOrder::PostOrder>([&](Operation *op) {
    if (std::optional<int> rank = suspicion(op))
      suspects.push_back({*rank, op});
  });
  if (suspects.empty())
    for (Value value : group.getBody().front().getTerminator()->getOperands())
      if (Operation *op = value.getDefiningOp())
        suspects.push_back({2, op});
  llvm::stable_sort(suspects, llvm::less_first());
  Arithmetic arithmetic;
  if (!suspects.empty() && suspects.front().first < 2)
    arithmetic.place = suspects.front().second->getLoc();
  SmallVector<std::string> parts;
  for (auto [rank, op] : suspects)
    if (std::string part = withPlace(op); !llvm::is_contained(parts, part))
      parts.push_back(part);
  if (parts.size() > most)
    parts[most] = "...";
  arithmetic.ops = llvm::join(ArrayRef(parts).take_front(most + 1), ", ");
  return arithmetic;
}

} // namespace fovea::kernels
