// What a graph.attention computes, read from the op.
#include "compiler/explain/Facts.h"
#include "compiler/explain/Scalars.h"
#include "compiler/kernels/emit/AttentionTask.h"

#include "mlir/IR/Matchers.h"
#include "llvm/ADT/SetVector.h"

#include <fmt/format.h>

#include <cmath>

using namespace mlir;

namespace fovea::explain {
namespace {

/// How one read moves through memory along `axis`, the tensor lying row by row; a whole row where an index less is
/// given.
Access accessOf(RegionReader &reader, ValueRange indices, bool isRow, Value axis) {
  Access access = Access::Broadcast;
  for (auto [i, index] : llvm::enumerate(indices)) {
    if (!reader.dependsOn(index, axis))
      continue;
    auto place = reader.affine(index);
    if (!place)
      return Access::Gathered;
    int64_t step = axis == reader.query() ? place->query : place->key;
    bool isAdjacent = !isRow && i + 1 == indices.size() && step == 1;
    access = std::max(access, isAdjacent ? Access::Contiguous : Access::Strided);
  }
  return access;
}

void addReads(Capture &capture, Value tensor, Region &region) {
  if (region.empty())
    return;
  RegionReader reader(&region.front());
  auto add = [&](Value read, ValueRange indices, std::optional<int64_t> row) {
    if (read != tensor)
      return;
    (region.getRegionNumber() == 0 ? capture.inScore : capture.inMask) = true;
    if (capture.indices.empty()) {
      for (Value index : indices)
        capture.indices.push_back(reader.text(index));
      if (row)
        capture.indices.insert(capture.indices.begin() + *row, ":");
    }
    capture.byQuery = std::max(capture.byQuery, accessOf(reader, indices, bool(row), reader.query()));
    capture.byKey = std::max(capture.byKey, accessOf(reader, indices, bool(row), reader.key()));
  };
  for (Operation &op : region.front()) {
    if (auto at = dyn_cast<graph::AtOp>(op))
      add(at.getX(), at.getIndices(), std::nullopt);
    if (auto dot = dyn_cast<graph::DotOp>(op)) {
      add(dot.getA(), dot.getAIndices(), dot.getAAxis());
      add(dot.getB(), dot.getBIndices(), dot.getBAxis());
    }
  }
}

void describeScore(Attention &attention, graph::AttentionOp op) {
  Block &block = op.getScore().front();
  RegionReader reader(&block);
  kernels::ScoreProgram program(block); // what the kernel takes apart
  if (!program.factors.empty())
    attention.scale = reader.text(program.scaled);
  attention.score = reader.text(reader.result());
  if (program.factor)
    attention.factor = reader.text(program.factor);
}

/// A number that is to hide what it is added to or chosen for, and is finite.
std::optional<double> lowNumber(Attribute constant) {
  auto number = dyn_cast_or_null<FloatAttr>(constant);
  double value = number ? number.getValueAsDouble() : 0;
  return value <= -1000 && std::isfinite(value) ? std::optional(value) : std::nullopt;
}

void addHint(Attention &attention, double value, Operation *op) {
  attention.hints.push_back({fmt::format("{:g} is finite and no mask: what it is to hide is computed all the same; "
                                         "where(seen, score, -inf) hides keys, and tiles of them are skipped",
                                         value),
                             placeFrom(LocationAttr(op->getLoc()))});
}

/// Masks by large negative numbers, in the score region and in what it reads.
void addHints(Attention &attention, graph::AttentionOp op) {
  for (Operation &inner : op.getScore().front()) {
    if (!isa<arith::SelectOp, arith::MulFOp, arith::AddFOp>(inner))
      continue;
    for (Value operand : inner.getOperands())
      if (Attribute constant; matchPattern(operand, m_Constant(&constant)))
        if (std::optional<double> low = lowNumber(constant))
          return addHint(attention, *low, &inner);
  }
  llvm::SetVector<Operation *> behind;
  for (Value tensor : op.getCaptures())
    if (Operation *source = tensor.getDefiningOp())
      behind.insert(source);
  constexpr size_t most = 64; // what masks are made of is near
  for (size_t i = 0; i < behind.size() && i < most; ++i) {
    Operation *source = behind[i];
    bool isElementwise = isa<graph::ElementwiseOpInterface>(source);
    if (!isElementwise && !isa<graph::BroadcastOp, graph::ReshapeOp, graph::TransposeOp>(source))
      continue;
    for (Value operand : source->getOperands()) {
      bool mayHide = isa<graph::MulOp, graph::SelectOp, graph::AddOp>(source);
      if (std::optional<double> low = mayHide ? lowNumber(graph::getSplat(operand)) : std::nullopt)
        return addHint(attention, *low, source);
      if (Operation *next = operand.getDefiningOp())
        behind.insert(next);
    }
  }
}

} // namespace

const char *accessName(Access access) {
  static const char *const names[] = {"broadcast", "contiguous", "strided", "gathered"};
  return names[int(access)];
}

/// Says which operands lie in several places, and which tiles widen.
static void describeOperands(Attention &attention, graph::AttentionOp op) {
  auto add = [&](const std::string &name, Value operand) {
    std::string type;
    llvm::raw_string_ostream(type) << typeOf(operand).getElementType();
    if (!typeOf(operand).getElementType().isF32())
      attention.widened.push_back(name + " " + type);
  };
  for (auto [number, part] : llvm::enumerate(op.getParts())) {
    std::string suffix = number ? std::to_string(number) : "";
    add("q" + suffix, part.first);
    if (number || op.getMoreK().empty())
      add("k" + suffix, part.second);
  }
  auto addPieces = [&](const std::string &name, ArrayRef<Value> pieces, std::vector<std::string> &types) {
    for (auto [number, piece] : llvm::enumerate(pieces)) {
      types.push_back(tensorText(typeOf(piece)));
      add(name + "[" + std::to_string(number) + "]", piece);
    }
  };
  if (!op.getMoreK().empty())
    addPieces("k", op.getKeyPieces(), attention.keyPieces);
  if (!op.getMoreV().empty())
    addPieces("v", op.getValuePieces(), attention.valuePieces);
  else
    add("v", op.getV());
}

Attention describeAttention(graph::AttentionOp op) {
  Attention attention;
  graph::TensorType q = typeOf(op.getQ()), k = typeOf(op.getK()), v = typeOf(op.getV());
  if (!op.getMoreK().empty())
    k = withDim(k, k.getRank() - 2, op.getKeyCount());
  if (!op.getMoreV().empty())
    v = withDim(v, v.getRank() - 2, op.getKeyCount());
  for (DimExpr dim : q.getDims().drop_back(2))
    attention.batch.push_back(dim.str());
  int64_t rank = q.getRank();
  attention.queries = q.getDim(rank - 2).str();
  DimExpr inner(0);
  for (auto [number, part] : llvm::enumerate(op.getParts())) {
    auto [partQ, partK] = part;
    DimExpr features = typeOf(partQ).getDim(rank - 1);
    if (number > 0)
      attention.joined.push_back({features.str(), tensorText(typeOf(partQ)), tensorText(typeOf(partK))});
    inner = inner + features;
  }
  attention.inner = inner.str();
  attention.keys = op.getKeyCount().str();
  attention.values = v.getDim(rank - 1).str();
  attention.q = tensorText(q), attention.k = tensorText(k), attention.v = tensorText(v);
  attention.result = tensorText(typeOf(op.getResult()));
  describeOperands(attention, op);
  attention.normalizer = op.getNormalizer().str();
  if (op.getSinks())
    attention.normalizer += " with sinks";
  describeScore(attention, op);
  attention.mask = classifyMask(op.getMask().empty() ? nullptr : &op.getMask().front());
  for (Value tensor : op.getCaptures()) {
    Capture capture{tensorName(tensor), tensorText(typeOf(tensor)), false, false, {},
                    Access::Broadcast,  Access::Broadcast};
    addReads(capture, tensor, op.getScore());
    addReads(capture, tensor, op.getMask());
    attention.captures.push_back(std::move(capture));
  }
  addHints(attention, op);
  return attention;
}

} // namespace fovea::explain
