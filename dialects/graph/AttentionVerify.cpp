// Verifiers of the attention ops, and of what stands in their regions. The labels (C1...) are those of GraphOps.td and
// of tests/ir/graph/invalid.mlir.
#include "dialects/graph/TypeFacts.h"

using namespace mlir;
using namespace fovea;
using namespace fovea::graph;

//===-- Regions ---------------------------------------------------------------------------------------------------===//

/// (C3) of graph.attention for one region: its block and what it may use.
template <typename Op>
static LogicalResult verifyPointProgram(Op op, Region &region, TypeRange arguments, TypeRange results, StringRef name) {
  if (!region.hasOneBlock())
    return op.emitOpError("(C3) the ") << name << " region has one block";
  Block &block = region.front();
  if (block.getArgumentTypes() != arguments)
    return op.emitOpError("(C3) the ") << name << " block's arguments do not have the types " << arguments;
  auto yield = block.empty() ? nullptr : dyn_cast<YieldOp>(block.back());
  if (!yield || yield.getOperandTypes() != results)
    return op.emitOpError("(C3) the ") << name << " region ends with graph.yield of "
                                       << (results.size() == 1 ? "one " : "") << results;
  for (Operation &inner : block) {
    bool allowed =
        isa<AtOp, DotOp, SizeOp, YieldOp>(inner) ||
        (isa_and_present<arith::ArithDialect, math::MathDialect>(inner.getDialect()) && inner.getNumRegions() == 0);
    if (!allowed)
      return inner.emitOpError("(C3) cannot stand in the ") << name << " region of " << op->getName();
    for (Value operand : inner.getOperands()) {
      bool isRead = isa<AtOp, DotOp>(inner) && isa<Tensor>(operand.getType());
      if (operand.getParentRegion() != &region && !(isRead && llvm::is_contained(op.getCaptures(), operand)))
        return inner.emitOpError("(C3) uses a value from outside that is not a capture read by graph.at");
    }
  }
  return success();
}

/// How many rows pieces have, of which a table may name those of the first one.
static DimExpr rowCount(ArrayRef<Value> pieces, Value table) {
  DimExpr count = table ? typeOf(table).getDims().back() : DimExpr(0);
  for (Value piece : pieces.drop_front(table ? 1 : 0))
    count = count + typeOf(piece).getDims().end()[-2];
  return count;
}

DimExpr AttentionOp::getKeyCount() { return rowCount(getKeyPieces(), getKeyRows()); }

/// What has the result's type: itself, or what reaches it.
template <typename Op> static Value outputOf(Op op) {
  if constexpr (std::is_same_v<Op, AttentionBackwardOp>)
    return op.getGradient();
  else
    return op.getResult();
}

/// (C1) of q, k, v and the result of any attention.
template <typename Op> static LogicalResult verifyBatches(Op op) {
  Tensor q = typeOf(op.getQ()), k = typeOf(op.getK()), v = typeOf(op.getV()), y = typeOf(outputOf(op));
  int64_t rank = q.getRank();
  if (rank < 2 || k.getRank() != rank || v.getRank() != rank || y.getRank() != rank)
    return op.emitOpError("(C1) q, k, v and the result have one rank, at least 2");
  for (Tensor t : {k, v, y})
    if (t.getDims().drop_back(2) != q.getDims().drop_back(2))
      return op.emitOpError("(C1) batch sizes of ") << q << " and " << t << " differ";
  return success();
}

/// Whether tiles load elements of this type: floats, widened to f32 where they are narrower.
static bool isLoaded(Tensor t) { return isFloat(t) && t.getElementType().getIntOrFloatBitWidth() <= 32; }

/// (C2) and (C4) of them, with these numbers of keys and values. One that `selects` adds nothing up.
template <typename Op> static LogicalResult verifySizes(Op op, DimExpr keys, DimExpr values, bool selects = false) {
  Tensor q = typeOf(op.getQ()), k = typeOf(op.getK()), v = typeOf(op.getV()), y = typeOf(outputOf(op));
  int64_t rank = q.getRank();
  if (q.getDim(rank - 1) != k.getDim(rank - 1) || keys != values || q.getDim(rank - 2) != y.getDim(rank - 2) ||
      (selects ? !v.getDim(rank - 1).isConstant(0) : v.getDim(rank - 1) != y.getDim(rank - 1)))
    return op.emitOpError("(C2) ") << q << ", " << k << ", " << v << " and " << y
                                   << " are not [T, D], [S, D], [S, E], [T, E]";
  for (Tensor t : {q, k, v, y})
    if (!isLoaded(t))
      return op.emitOpError("(C4) elements are f32, f16 or bf16, got ") << t;
  if (selects && !y.getElementType().isF32())
    return op.emitOpError("(C4) scores are f32, got ") << y;
  return success();
}

template <typename Op> static LogicalResult verifyJoined(Op op) {
  Tensor q = typeOf(op.getQ()), k = typeOf(op.getK());
  if (op.getJoinedQ().size() != op.getJoinedK().size())
    return op.emitOpError("(C1) joins ") << op.getJoinedQ().size() << " queries by " << op.getJoinedK().size()
                                         << " keys";
  for (auto [joinedQ, joinedK] : llvm::zip(op.getJoinedQ(), op.getJoinedK())) {
    Tensor a = typeOf(joinedQ), b = typeOf(joinedK);
    auto isLike = [](Tensor x, Tensor whole) {
      return x.getRank() == whole.getRank() && x.getDims().drop_back() == whole.getDims().drop_back();
    };
    if (!isLike(a, q) || !isLike(b, k) || a.getDims().back() != b.getDims().back())
      return op.emitOpError("(C2) ") << a << " and " << b << " cannot be joined to " << q << " and " << k;
    for (Tensor t : {a, b})
      if (!isLoaded(t))
        return op.emitOpError("(C4) elements are f32, f16 or bf16, got ") << t;
  }
  return success();
}

/// (C7) of keys, or values.
static LogicalResult verifyPieces(AttentionOp op, Value first, ValueRange more) {
  Tensor type = typeOf(first);
  for (Value piece : more) {
    Tensor its = typeOf(piece);
    int64_t rank = type.getRank();
    if (its.getRank() != rank ||
        withDim(its, rank - 2, DimExpr(0)).getDims() != withDim(type, rank - 2, DimExpr(0)).getDims())
      return op.emitOpError("(C7) ") << type << " and " << its << " are not pieces of one tensor";
    if (!isLoaded(its))
      return op.emitOpError("(C4) elements are f32, f16 or bf16, got ") << its;
  }
  return success();
}

static LogicalResult verifyAttentionTypes(AttentionOp op) {
  if (failed(verifyBatches(op)) || failed(verifyJoined(op)) || failed(verifyPieces(op, op.getK(), op.getMoreK())) ||
      failed(verifyPieces(op, op.getV(), op.getMoreV())))
    return failure();
  if (!op.getMoreK().empty() && !op.getJoinedK().empty())
    return op.emitOpError("(C7) pieces of keys are not joined");
  Tensor q = typeOf(op.getQ()), y = typeOf(op.getResult());
  ArrayRef<DimExpr> batch = q.getDims().drop_back(2);
  if (op.getSinks() && typeOf(op.getSinks()).getDims() != batch)
    return op.emitOpError("(C1) sinks have the batch sizes, got ") << op.getSinks().getType();
  for (Value rows : {op.getKeyRows(), op.getValueRows()})
    if (rows && (!typeOf(rows).getElementType().isInteger(64) || typeOf(rows).getRank() != q.getRank() - 1 ||
                 typeOf(rows).getDims().drop_back() != batch))
      return op.emitOpError("(C6) rows are i64 [batch..., S], got ") << rows.getType();
  if (op.getKeyRows() && !op.getJoinedK().empty())
    return op.emitOpError("(C6) keys that are rows of a table are not joined");
  bool selects = op.getNormalizer() == "top_k";
  DimExpr values = rowCount(op.getValuePieces(), op.getValueRows());
  if (failed(verifySizes(op, op.getKeyCount(), values, selects)))
    return failure();
  if (op.getSinks() && !isFloat(typeOf(op.getSinks())))
    return op.emitOpError("(C4) sinks are floats");
  if (op.getLse() && selects) {
    Tensor indices = typeOf(op.getLse());
    if (indices.getDims() != y.getDims() || !indices.getElementType().isInteger(64))
      return op.emitOpError("(C4) indices are i64 of the scores' sizes, got ") << indices;
  } else if (op.getLse()) {
    Tensor lse = typeOf(op.getLse());
    if (lse.getDims() != q.getDims().drop_back(1))
      return op.emitOpError("(C2) lse is [batch..., T], got ") << lse;
    if (!lse.getElementType().isF32())
      return op.emitOpError("(C4) lse is f32, got ") << lse;
  }
  return success();
}

/// What the score region yields: the score, and of softmax's weights perhaps a factor.
template <typename Op> static SmallVector<Type> scoreResults(Op op) {
  Block *block = op.getScore().hasOneBlock() ? &op.getScore().front() : nullptr;
  bool hasFactor = op.getNormalizer() == "softmax" && block && !block->empty() && block->back().getNumOperands() == 2;
  return SmallVector<Type>(hasFactor ? 2 : 1, Float32Type::get(op.getContext()));
}

LogicalResult AttentionOp::verify() {
  if (failed(verifyAttentionTypes(*this)))
    return failure();
  bool softmax = getNormalizer() == "softmax", selects = getNormalizer() == "top_k";
  if (!softmax && !selects && getNormalizer() != "pointwise")
    return emitOpError("(C5) normalizer must be softmax, pointwise or top_k, got ") << getNormalizerAttr();
  if (!softmax && (getSinks() || (getLse() && !selects)))
    return emitOpError("(C5) sinks and lse go with softmax only");
  if (selects && !getLse())
    return emitOpError("(C5) top_k has indices");
  Builder builder(getContext());
  SmallVector<Type> arguments(1 + typeOf(getQ()).getRank(), builder.getIndexType()); // batch..., t, j behind the score
  arguments[0] = builder.getF32Type();
  if (failed(verifyPointProgram(*this, getScore(), arguments, scoreResults(*this), "score")))
    return failure();
  if (getMask().empty())
    return success();
  return verifyPointProgram(*this, getMask(), ArrayRef(arguments).drop_front(), builder.getI1Type(), "mask");
}

/// lse and delta of softmax's weights, and results like the operands.
static LogicalResult verifyGradientTypes(AttentionBackwardOp op) {
  Tensor q = typeOf(op.getQ());
  bool isSoftmax = op.getNormalizer() == "softmax";
  for (Value rows : {op.getLse(), op.getDelta()})
    if (bool(rows) != isSoftmax ||
        (rows && (typeOf(rows).getDims() != q.getDims().drop_back(1) || !typeOf(rows).getElementType().isF32())))
      return op.emitOpError("(C5) lse and delta are f32 [batch..., T] with softmax, and only there");
  SmallVector<Type> types{q, op.getK().getType()};
  llvm::append_range(types, op.getJoinedQ().getTypes());
  llvm::append_range(types, op.getJoinedK().getTypes());
  types.push_back(op.getV().getType());
  auto isGradient = [](Type gradient, Type operand) {
    return gradient == operand || gradient == cast<Tensor>(operand).cloneWith(Float32Type::get(operand.getContext()));
  };
  TypeRange gradients = op.getGradients().getTypes();
  if (gradients.size() < types.size() || !llvm::all_of(llvm::zip(types, gradients), [&](auto pair) {
        return isGradient(std::get<1>(pair), std::get<0>(pair));
      }))
    return op.emitOpError("(C1) results begin with gradients of the types ") << types << ", or in f32";
  for (Value sum : op.getSums())
    if (!typeOf(sum).getElementType().isF32())
      return op.emitOpError("(C4) sums are f32, got ") << sum.getType();
  return success();
}

LogicalResult AttentionBackwardOp::verify() {
  if (getNormalizer() != "softmax" && getNormalizer() != "pointwise")
    return emitOpError("(C5) normalizer must be softmax or pointwise, got ") << getNormalizerAttr();
  Tensor k = typeOf(getK()), v = typeOf(getV());
  if (failed(verifyBatches(*this)) || failed(verifyJoined(*this)) ||
      failed(verifySizes(*this, k.getDims().end()[-2], v.getDims().end()[-2])) || failed(verifyGradientTypes(*this)))
    return failure();
  Builder builder(getContext());
  Type f32 = builder.getF32Type(), index = builder.getIndexType();
  SmallVector<Type> arguments(1 + typeOf(getQ()).getRank(), index), yields{f32}; // batch..., t, j behind the score
  arguments[0] = f32;
  SmallVector<Type> scores = scoreResults(*this);
  if (failed(verifyPointProgram(*this, getScore(), arguments, scores, "score")) ||
      (!getMask().empty() &&
       failed(verifyPointProgram(*this, getMask(), ArrayRef(arguments).drop_front(), builder.getI1Type(), "mask"))))
    return failure();
  arguments.append(scores.size(), f32); // what reaches the score, and the factor
  Operation *yield =
      getAdjoint().hasOneBlock() && !getAdjoint().front().empty() ? &getAdjoint().front().back() : nullptr;
  for (Value sum : getSums()) {
    yields.push_back(f32);
    if (size_t next = yields.size();
        yield && next < yield->getNumOperands() && yield->getOperand(next).getType().isInteger(1))
      yields.push_back(builder.getI1Type());
    yields.append(typeOf(sum).getRank(), index);
  }
  return verifyPointProgram(*this, getAdjoint(), arguments, yields, "adjoint");
}

LogicalResult LinearAttentionOp::verify() {
  if (failed(verifyBatches(*this)))
    return failure();
  Tensor q = typeOf(getQ()), k = typeOf(getK());
  if (failed(verifySizes(*this, k.getDims().end()[-2], typeOf(getV()).getDims().end()[-2])))
    return failure();
  if (q.getDim(q.getRank() - 2) != k.getDim(k.getRank() - 2))
    return emitOpError("(C2) has queries and keys of different numbers, ") << q << " and " << k;
  Builder builder(getContext());
  SmallVector<Type> indices(q.getRank(), builder.getIndexType()); // batch..., t, j
  std::tuple<Region &, size_t, StringRef> regions[] = {
      {getQueries(), 1, "queries"}, {getKeys(), 1, "keys"}, {getDecay(), 0, "decay"}};
  for (auto [region, fewer, name] : regions)
    if (!region.empty() &&
        failed(verifyPointProgram(*this, region, ArrayRef(indices).drop_back(fewer), builder.getF32Type(), name)))
      return failure();
  return success();
}

LogicalResult AtOp::verify() {
  Tensor x = typeOf(getX());
  if (int64_t(getIndices().size()) != x.getRank())
    return emitOpError("(C1) has ") << getIndices().size() << " indices for " << x;
  if (getResult().getType() != x.getElementType())
    return emitOpError("(C2) reads ") << x.getElementType() << ", not " << getResult().getType();
  return success();
}

LogicalResult DotOp::verify() {
  Tensor a = typeOf(getA()), b = typeOf(getB());
  auto isAxis = [](Tensor x, int64_t axis) { return axis >= 0 && axis < x.getRank(); };
  if (!isAxis(a, getAAxis()) || !isAxis(b, getBAxis()) || int64_t(getAIndices().size()) != a.getRank() - 1 ||
      int64_t(getBIndices().size()) != b.getRank() - 1)
    return emitOpError("(C1) needs an index for each axis of ") << a << " and " << b << " but the summed ones";
  if (a.getDim(getAAxis()) != b.getDim(getBAxis()))
    return emitOpError("(C2) sums over ") << a.getDim(getAAxis()).str() << " and " << b.getDim(getBAxis()).str();
  if (!isFloat(a) || !isFloat(b))
    return emitOpError("(C3) float elements");
  return success();
}
