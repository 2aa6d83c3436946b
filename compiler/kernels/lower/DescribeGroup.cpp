// Names for kernels that say what they do.
#include "compiler/kernels/lower/KernelBuilder.h"

#include "dialects/graph/Places.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/TypeSwitch.h"

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

std::string arithmeticOf(graph::GroupOp group) {
  constexpr size_t most = 8;
  SmallVector<std::string> parts;
  auto add = [&](Operation &op) {
    SmallVector<PlaceFrame> frames = placeFrames(op.getLoc());
    const PlaceFrame *frame = userFrame(frames);
    std::string part = op.getName().stripDialect().str();
    if (frame)
      part += " (" + std::to_string(frame->place.getLine()) + ":" + std::to_string(frame->place.getColumn()) + ")";
    if (!llvm::is_contained(parts, part))
      parts.push_back(part);
  };
  auto narrows = [](Operation &op) {
    auto cast = dyn_cast<graph::CastOp>(op);
    return cast && isa<FloatType>(cast.getX().getType().getElementType());
  };
  Block &body = group.getBody().front();
  for (Operation &op : body)
    if (narrows(op) ||
        isa<graph::AddOp, graph::SubOp, graph::MulOp, graph::DivOp, graph::PowOp, graph::ExpOp, graph::LogOp,
            graph::SqrtOp, graph::RsqrtOp, graph::ReduceOp, graph::ContractOp, graph::SoftmaxOp, graph::LogSumExpOp,
            graph::AttentionOp, graph::LinearAttentionOp, graph::ScatterOp>(op))
      add(op);
  if (parts.empty())
    for (Value value : body.getTerminator()->getOperands())
      if (Operation *op = value.getDefiningOp())
        add(*op);
  if (parts.size() > most)
    parts[most] = "...";
  return llvm::join(ArrayRef(parts).take_front(most + 1), ", ");
}

} // namespace fovea::kernels
