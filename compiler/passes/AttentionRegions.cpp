// Regions of graph.attention: the score chain and its masks as point programs.
#include "compiler/passes/AttentionRegions.h"
#include "compiler/autodiff/AttentionRule.h"

#include "compiler/analysis/IndexBounds.h"
#include "compiler/analysis/PointProgram.h"
#include "compiler/passes/AttentionMasks.h"
#include "compiler/passes/DistanceTable.h"
#include "compiler/passes/IndexedProduct.h"
#include "dialects/graph/Places.h"

#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace fovea;

using Mask = AttentionMasks::Mask;

namespace {

class RegionBuilder {
public:
  RegionBuilder(AttentionMatch &match, ChainReport &report)
      : match(match), report(report), bounds(match.anchor->getParentOfType<graph::FuncOp>()), masks(match, bounds) {}
  FailureOr<BuiltAttention> run();

private:
  LogicalResult buildScore(graph::AttentionOp op);
  LogicalResult tryScore(graph::AttentionOp op);
  void findTables();
  Value readTable(OpBuilder &builder, Value value, ValueRange indices, Value guard, PointProgram &program);
  bool isOfProduct(Value value, unsigned depth = 0);
  bool isReadHere(graph::ContractOp product);
  Value computeProduct(OpBuilder &builder, graph::ContractOp product, ValueRange indices, Value guard);
  LogicalResult buildMask(graph::AttentionOp op);
  SmallVector<Value> indicesOf(const TensorLabels &labels, PointProgram &program, Block *block, bool hasScore);
  PointCallbacks callbacks(OpBuilder &builder, Value score, PointProgram **program);
  bool isCaptured(Value value);
  bool isReadInPieces(graph::ConcatOp op);
  bool isAsLargeAsScores(Value value);
  bool isWeights(Value value) { return match.changed && value == match.softmax.getResult(); }
  bool isPlace(Value value, unsigned depth = 0);
  bool hasTensor(Value value, unsigned depth = 0);
  void describe();
  graph::AttentionOp build(OpBuilder &builder, bool &isWidened);
  Value buildPart(OpBuilder &builder, const AttentionPart &part, bool isOfKeys, bool isWidened);
  Value buildSinks(OpBuilder &builder, graph::AttentionOp op);

  AttentionMatch &match;
  ChainReport &report;
  IndexBounds bounds;
  llvm::SetVector<Value> captures;
  llvm::SetVector<Value> read; ///< element by element
  /// Products in the score region that are read as tensors: a tile of them cannot be computed with the scores'.
  llvm::SmallPtrSet<Operation *, 4> held;
  /// Gathers in the score region that are read by distance instead.
  llvm::DenseMap<Value, DistanceTable> tables;
  bool isInScore = false;
  AttentionMasks masks;
  llvm::DenseMap<Value, bool> tensors;
  SmallVector<std::pair<DimExpr, DimExpr>> shares; ///< of an axis, that tensors have which are joined but read alone
};

} // namespace

//===-- What is read ----------------------------------------------------------------------------------------------===//

/// Whether a value is computed from tensors, not from constants, sizes and indices alone.
bool RegionBuilder::hasTensor(Value value, unsigned depth) {
  if (auto known = tensors.find(value); known != tensors.end())
    return known->second;
  Operation *op = value.getDefiningOp();
  bool result = !op || !hasPointRule(op) || depth > 2000; // of longer chains the end is captured
  tensors[value] = result;
  for (size_t i = 0; op && !result && i < op->getNumOperands(); ++i)
    result = hasTensor(op->getOperand(i), depth + 1);
  return tensors[value] = result;
}

/// Whether a value is a sum of indices, sizes and integers without axes, as a place in a cache is.
bool RegionBuilder::isPlace(Value value, unsigned depth) {
  Operation *op = value.getDefiningOp();
  if (!hasTensor(value))
    return true;
  if (!op || depth > 64)
    return typeOf(value).getRank() == 0;
  if (isLayout(op))
    return isPlace(op->getOperand(0), depth + 1);
  bool isSum = isa<graph::AddOp, graph::SubOp, graph::NegOp>(op);
  return (isSum && llvm::all_of(op->getOperands(), [&](Value x) { return isPlace(x, depth + 1); })) ||
         typeOf(value).getRank() == 0;
}

/// Whether tensors that are joined are read where they lie, each for its part of the scores: joined they would have an
/// element for each key. Every element is chosen among all of them, so that many are joined.
bool RegionBuilder::isReadInPieces(graph::ConcatOp op) {
  constexpr size_t most = 8;
  DimExpr keys = match.expressions.sizeOf(match.key);
  return op.getXs().size() <= most && !keys.isConstant(0) &&
         DimExpr::exactDiv(typeOf(op.getResult()).getNumElements(), keys);
}

/// Whether a tensor has an element for each of the scores, or for each of a piece of them that is read alone.
bool RegionBuilder::isAsLargeAsScores(Value value) {
  DimExpr size = typeOf(value).getNumElements(),
          scores = match.expressions.sizeOf(match.query) * match.expressions.sizeOf(match.key);
  auto isMultipleOf = [&](DimExpr of) { return !of.isConstant(0) && DimExpr::exactDiv(size, of); };
  return isMultipleOf(scores) || llvm::any_of(shares, [&](auto share) {
           auto [piece, whole] = share;
           std::optional<DimExpr> mine = DimExpr::exactDiv(scores * piece, whole);
           return mine && isMultipleOf(*mine);
         });
}

/// Whether an operand that does not depend on the scores is read whole, or computed in the region from its operands.
/// In the region: what moves elements only, what has no tensor behind it, what costs next to nothing, and what is
/// larger than its operands. Arithmetic on a tensor of its own size is done once, outside.
bool RegionBuilder::isCaptured(Value value) {
  Operation *op = value.getDefiningOp();
  if (!op || !hasPointRule(op) || isa<graph::UpdateSliceOp>(op))
    return true;
  if (auto concat = dyn_cast<graph::ConcatOp>(op)) {
    if (!isReadInPieces(concat))
      return true;
    int64_t axis = concat.getAxis();
    for (Value piece : concat.getXs())
      shares.push_back({typeOf(piece).getDim(axis), typeOf(value).getDim(axis)});
    return false;
  }
  if (isa<graph::ElementwiseOpInterface>(op) && isOfProduct(value))
    return false;
  if (auto gather = dyn_cast<graph::GatherOp>(op)) // read through where it is proved inside: regions cannot fail a run
    return llvm::any_of(llvm::zip(gather.getIndices(), gather.getAxes()), [&](auto index) {
      auto [indices, axis] = index;
      return !bounds.isWithin(indices, typeOf(gather.getX()).getDim(axis));
    });
  if (!hasTensor(value) || !isa<graph::ElementwiseOpInterface>(op) || match.chain.contains(op))
    return false;
  if (isa<graph::CastOp, graph::CompareOp, graph::NotOp, graph::AndOp, graph::OrOp, graph::SelectOp>(op))
    return false;
  if (typeOf(value).getRank() > 0 && isa<IntegerType>(typeOf(value).getElementType()) && isPlace(value))
    return false;               // a causal mask with an offset stays one
  if (isAsLargeAsScores(value)) // never held
    return false;
  return llvm::none_of(op->getOperands(), [&](Value operand) {
    // Something above is spread over more axes than it has.
    SmallVector<Value> work{operand};
    for (size_t steps = 0; !work.empty() && steps < 64; ++steps) {
      Operation *source = work.pop_back_val().getDefiningOp();
      if (isa_and_nonnull<graph::BroadcastOp>(source) && hasTensor(source->getOperand(0)) &&
          typeOf(source->getOperand(0)).getRank() > 0)
        return true;
      if (source && (isLayout(source) || isa<graph::ElementwiseOpInterface>(source)))
        llvm::append_range(work, source->getOperands());
    }
    return false;
  });
}

PointCallbacks RegionBuilder::callbacks(OpBuilder &builder, Value score, PointProgram **program) {
  PointCallbacks result;
  result.isLeaf = [this, score](Value value) {
    if (score && (value == match.summed || match.passed.contains(value) || isWeights(value)))
      return true;
    return (score && (masks.removing(value) || tables.contains(value))) || isCaptured(value);
  };
  result.read = [this, &builder, score, program](Value value, ValueRange indices, Value guard) -> FailureOr<Value> {
    if (score && value == match.summed) {
      Type type = typeOf(value).getElementType();
      if (type.isF32())
        return score;
      return arith::TruncFOp::create(builder, value.getLoc(), type, score).getResult();
    }
    if (score && isWeights(value)) // what remains is their factor
      return arith::ConstantOp::create(builder, value.getLoc(), builder.getFloatAttr(typeOf(value).getElementType(), 1))
          .getResult();
    // Other parts of the sum are in the score already.
    if (Value left = score ? match.passed.lookup(value) : Value())
      return (*program)->element(left, indices, guard);
    // What a mask hides never counts: the score goes past it.
    if (const Mask *mask = score ? masks.removing(value) : nullptr)
      return (*program)->element(mask->scores, indices, guard);
    if (score && tables.contains(value))
      return readTable(builder, value, indices, guard, **program);
    if (auto product = value.getDefiningOp<graph::ContractOp>(); score && product)
      if (Value element = computeProduct(builder, product, indices, guard))
        return element;
    captures.insert(value);
    read.insert(value);
    return graph::AtOp::create(builder, value.getLoc(), typeOf(value).getElementType(), value, indices, guard)
        .getResult();
  };
  return result;
}

/// Gathers that the score may read by distance.
void RegionBuilder::findTables() {
  OpBuilder builder(match.anchor);
  llvm::SetVector<Value> reached;
  reached.insert(match.top);
  for (size_t i = 0; i < reached.size() && reached.size() < 256; ++i) {
    Operation *op = reached[i].getDefiningOp();
    if (auto gather = dyn_cast_or_null<graph::GatherOp>(op)) {
      if (std::optional<DistanceTable> table = tableByDistance(builder, gather))
        tables.try_emplace(gather.getResult(), *table);
    } else if (op && op != match.scores && hasPointRule(op)) {
      reached.insert(op->operand_begin(), op->operand_end());
    }
  }
}

Value RegionBuilder::readTable(OpBuilder &builder, Value value, ValueRange indices, Value guard,
                               PointProgram &program) {
  const DistanceTable &table = tables.find(value)->second;
  Location loc = value.getLoc();
  SmallVector<Value> at = llvm::to_vector(indices);
  Value distance = arith::SubIOp::create(builder, loc, indices[table.queryAxis], indices[table.keyAxis]);
  at[table.queryAxis] = arith::AddIOp::create(builder, loc, distance, program.size(table.origin, loc));
  at.erase(at.begin() + table.keyAxis);
  captures.insert(table.table);
  read.insert(table.table);
  return graph::AtOp::create(builder, loc, typeOf(value).getElementType(), table.table, at, guard);
}

//===-- Regions ---------------------------------------------------------------------------------------------------===//

/// The indices of a tensor with `labels` from the block's: batch..., t, j.
SmallVector<Value> RegionBuilder::indicesOf(const TensorLabels &labels, PointProgram &program, Block *block,
                                            bool hasScore) {
  Location loc = match.place();
  const ElementExpressions &expressions = match.expressions;
  llvm::DenseMap<Label, Value> values;
  size_t argument = hasScore;
  for (Label label : match.batch)
    values[label] = block->getArgument(argument++);
  for (Label label : match.query)
    values[label] = block->getArgument(argument);
  ++argument;
  auto sizesOf = [&](ArrayRef<Label> labels) {
    return llvm::map_to_vector(labels, [&](Label label) { return expressions.sizeOf(label); });
  };
  SmallVector<Value> keys = program.delinearize(block->getArgument(argument), sizesOf(match.key), loc);
  for (auto [label, value] : llvm::zip_equal(match.key, keys))
    values[label] = value;
  SmallVector<Value> indices;
  for (const AxisLabels &axis : labels) {
    SmallVector<Value> parts = llvm::map_to_vector(axis, [&](Label label) { return values[label]; });
    indices.push_back(program.linearize(parts, sizesOf(axis), loc));
  }
  return indices;
}

static Block *addBlock(OpBuilder &builder, Region &region, Location loc, size_t indices, bool hasScore) {
  SmallVector<Type> types(indices, builder.getIndexType());
  if (hasScore)
    types.insert(types.begin(), builder.getF32Type());
  return builder.createBlock(&region, {}, types, SmallVector<Location>(types.size(), loc));
}

//===-- Products at other places ----------------------------------------------------------------------------------===//

/// Whether a value is computed, element by element, from a product that may be computed where the scores read it.
bool RegionBuilder::isOfProduct(Value value, unsigned depth) {
  Operation *op = value.getDefiningOp();
  if (!isInScore || !op || depth > 16 || match.chain.contains(op))
    return false;
  if (isa<graph::ContractOp>(op))
    return !held.contains(op);
  return (isLayout(op) || isa<graph::ElementwiseOpInterface>(op)) &&
         llvm::any_of(op->getOperands(), [&](Value x) { return isOfProduct(x, depth + 1); });
}

/// Whether a product is only read on the way to the scores.
bool RegionBuilder::isReadHere(graph::ContractOp product) {
  llvm::SetVector<Operation *> users(product->user_begin(), product->user_end());
  for (size_t i = 0; i < users.size(); ++i) {
    Operation *op = users[i];
    if (match.chain.contains(op) || (match.changed && op == match.product))
      continue;
    if (!isLayout(op) && !isa<graph::ElementwiseOpInterface, graph::GatherOp, graph::SliceOp>(op))
      return false;
    users.insert(op->user_begin(), op->user_end());
  }
  return true;
}

/// The element of a product as graph.dot; null where it is to be held: it is read in places that say nothing, or
/// elsewhere as well, or it has no more places than a tile has keys, or is of some of the scores.
Value RegionBuilder::computeProduct(OpBuilder &builder, graph::ContractOp product, ValueRange indices, Value guard) {
  if (!guard && !held.contains(product) && isReadHere(product))
    if (graph::DotOp dot = buildDot(builder, product, indices)) {
      captures.insert(dot.getA());
      captures.insert(dot.getB());
      Type type = typeOf(product).getElementType();
      return type.isF32() ? dot.getResult() : arith::TruncFOp::create(builder, product.getLoc(), type, dot).getResult();
    }
  held.insert(product);
  return Value();
}

/// Again, with what has to be held read as it is in memory, until that is known of all products.
LogicalResult RegionBuilder::buildScore(graph::AttentionOp op) {
  isInScore = true;
  LogicalResult result = failure();
  size_t before;
  do {
    before = held.size();
    captures.clear();
    read.clear();
    op.getScore().getBlocks().clear();
    result = tryScore(op);
  } while (succeeded(result) && held.size() != before);
  isInScore = false;
  return result;
}

LogicalResult RegionBuilder::tryScore(graph::AttentionOp op) {
  OpBuilder builder(op.getContext());
  Location loc = match.place();
  Block *block = addBlock(builder, op.getScore(), loc, match.batch.size() + 2, true);
  PointProgram *self = nullptr;
  PointProgram program(builder, callbacks(builder, block->getArgument(0), &self));
  self = &program;
  SmallVector<Value> results;
  auto add = [&](Value tensor, const TensorLabels &labels) {
    FailureOr<Value> element = program.element(tensor, indicesOf(labels, program, block, true));
    if (failed(element))
      return report.failed("the score cannot be written as a function of indices", loc);
    unsigned width = element->getType().getIntOrFloatBitWidth();
    if (width > 32)
      return report.failed("the scores are wider than f32", loc);
    results.push_back(width < 32 ? arith::ExtFOp::create(builder, loc, builder.getF32Type(), *element).getResult()
                                 : *element);
    return success();
  };
  if (failed(add(match.top, match.topLabels)) || (match.changed && failed(add(match.changed, match.changedLabels))))
    return failure();
  graph::YieldOp::create(builder, loc, results);
  return success();
}

LogicalResult RegionBuilder::buildMask(graph::AttentionOp op) {
  if (masks.masks.empty())
    return success();
  OpBuilder builder(op.getContext());
  Location loc = match.place();
  Block *block = addBlock(builder, op.getMask(), loc, match.batch.size() + 2, false);
  PointProgram *self = nullptr;
  PointProgram program(builder, callbacks(builder, Value(), &self));
  self = &program;
  SmallVector<Value> indices = indicesOf(match.topLabels, program, block, false);
  Value visible;
  size_t next = 0;
  for (Operation *source : masks.path) {
    if (source != masks.masks[next].op) {
      if (isLayout(source))
        indices = program.layoutIndices(source, indices);
      continue;
    }
    const Mask &mask = masks.masks[next++];
    for (auto [condition, isInverse, layouts] : llvm::zip_equal(mask.conditions, mask.isInverse, mask.layouts)) {
      SmallVector<Value> at = indices;
      for (Operation *layout : layouts)
        at = program.layoutIndices(layout, at);
      FailureOr<Value> element = program.element(condition, at);
      if (failed(element))
        return report.failed("the mask cannot be written as a function of indices", source->getLoc());
      Value seen = *element;
      if (isInverse) {
        Value truth = arith::ConstantOp::create(builder, source->getLoc(), builder.getBoolAttr(true));
        seen = arith::XOrIOp::create(builder, source->getLoc(), seen, truth);
      }
      visible = visible ? arith::AndIOp::create(builder, source->getLoc(), visible, seen).getResult() : seen;
    }
  }
  graph::YieldOp::create(builder, loc, visible);
  return success();
}

//===-- The op ----------------------------------------------------------------------------------------------------===//

/// Says what is a mask. What is read, and how, can be seen of the op.
void RegionBuilder::describe() {
  if (match.changed)
    report.proved("what multiplies the weights and not their sum is a factor of each, where it meets its value");
  for (const Mask &mask : masks.masks) {
    bool comparesIndices = llvm::none_of(mask.conditions, [&](Value condition) { return hasTensor(condition); });
    std::string fact = isa<graph::AddOp>(mask.op) ? "mask, added as 0 or -inf: " : "mask: ";
    report.proved(fact + (comparesIndices ? "from indices alone (tiles can be skipped)" : "from tensors"));
  }
  if (llvm::any_of(tables, [&](auto &entry) { return read.contains(entry.second.table); }))
    report.proved("a table of what depends on the distance of queries and keys alone is made once");
  if (captures.size() > read.size())
    report.proved("another product is computed with the scores' tiles, at the places where they read it");
  for (Value capture : read) {
    Operation *op = capture.getDefiningOp();
    while (isLayout(op))
      op = op->getOperand(0).getDefiningOp();
    if (isa_and_nonnull<graph::ContractOp>(op))
      report.proved("another product is held: the score reads it at places of its own, or other ops do");
  }
}

/// Values of no columns, for keys of which only the log-sum-exp is wanted.
static Value noColumns(OpBuilder &builder, Location loc, Value k) {
  graph::TensorType type = typeOf(k);
  SmallVector<DimExpr> dims = llvm::to_vector(type.getDims());
  dims.back() = DimExpr(0);
  return graph::SliceOp::create(builder, loc, type.cloneWith(ArrayRef<DimExpr>(dims)), k, Value(),
                                builder.getI64IntegerAttr(dims.size() - 1),
                                graph::DimAttr::get(builder.getContext(), 0), builder.getI64IntegerAttr(1));
}

static Value widened(OpBuilder &builder, Location loc, Value value, bool isWidened) {
  if (!isWidened || typeOf(value).getElementType().isF32())
    return value;
  return graph::CastOp::create(builder, loc, typeOf(value).cloneWith(builder.getF32Type()), value);
}

/// `x`, whose axes have labels `to`, times a factor, or divided by it, in the type of `x`.
static Value scaled(OpBuilder &builder, AttentionMatch &match, Value x, const TensorLabels &to, Value by,
                    const TensorLabels &labels, bool divides) {
  Location loc = match.place();
  Type element = typeOf(x).getElementType();
  if (typeOf(by).getElementType() != element)
    by = graph::CastOp::create(builder, loc, typeOf(by).cloneWith(element), by);
  by = relabel(builder, loc, match.expressions, by, labels, to);
  if (divides)
    return graph::DivOp::create(builder, loc, x, by);
  return graph::MulOp::create(builder, loc, x, by);
}

/// The queries or keys of a part in the op's layout.
Value RegionBuilder::buildPart(OpBuilder &builder, const AttentionPart &part, bool isOfKeys, bool isWidened) {
  Location loc = withPath(match.place(), "");
  const PartOperand &operand = isOfKeys ? part.k : part.q;
  TensorLabels labels = operand.labels, to = match.laidOut({isOfKeys ? match.key : match.query, part.inner});
  Value value = operand.pieces.front();
  if (operand.pieces.size() > 1 || operand.begin) {
    SmallVector<DimExpr> dims = llvm::to_vector(typeOf(value).getDims());
    dims[operand.axis] = match.expressions.sizeOf(part.inner);
    graph::TensorType type = typeOf(value).cloneWith(dims);
    IntegerAttr axis = builder.getI64IntegerAttr(operand.axis);
    if (operand.begin)
      value = graph::SliceOp::create(builder, loc, type, value, Value(), axis,
                                     graph::DimAttr::get(builder.getContext(), *operand.begin),
                                     builder.getI64IntegerAttr(1));
    else
      value = graph::ConcatOp::create(builder, loc, type, operand.pieces, axis);
  }
  value = widened(builder, loc, value, isWidened);
  auto moveTo = [&](const TensorLabels &target) {
    value = relabel(builder, loc, match.expressions, value, labels, target);
    labels = target;
  };
  for (const AttentionPart::Factor &factor : part.factors) {
    if (factor.isOfKeys != isOfKeys)
      continue;
    SmallVector<Label> have = flat(labels);
    if (llvm::any_of(flat(factor.node->labels), [&](Label label) { return !llvm::is_contained(have, label); }))
      moveTo(to);
    value = scaled(builder, match, value, labels, factor.node->value, factor.node->labels, factor.divides);
  }
  if (part.isNegative && !isOfKeys)
    value = graph::NegOp::create(builder, loc, value);
  moveTo(to);
  return value;
}

/// The op with operands in its layout, without captures and regions.
graph::AttentionOp RegionBuilder::build(OpBuilder &builder, bool &isWidened) {
  // The softmax's place, the path of what comes out.
  Location loc = withPath(match.place(), pathOf(match.anchor->getLoc())), pathless = withPath(loc, "");
  Type element = typeOf(match.q).getElementType();
  auto differs = [&](Value value) { return typeOf(value).getElementType() != element; };
  isWidened = match.v && differs(match.v);
  for (const AttentionPart &part : match.parts)
    isWidened |= differs(part.q.pieces.front()) || differs(part.k.pieces.front());
  SmallVector<Value> q, k;
  for (const AttentionPart &part : match.parts) {
    q.push_back(buildPart(builder, part, /*isOfKeys=*/false, isWidened));
    k.push_back(buildPart(builder, part, /*isOfKeys=*/true, isWidened));
  }
  Value v = match.v ? relabel(builder, pathless, match.expressions, widened(builder, pathless, match.v, isWidened),
                              match.vLabels, match.laidOut({match.key, match.value}))
                    : noColumns(builder, pathless, k.front());
  SmallVector<DimExpr> dims = llvm::to_vector(typeOf(q.front()).getDims());
  dims.back() = typeOf(v).getDims().back();
  SmallVector<Type> types{typeOf(q.front()).cloneWith(dims)};
  if (auto topK = dyn_cast<graph::TopKOp>(match.anchor)) {
    dims.back() = typeOf(topK.getValues()).getDims().back();
    graph::TensorType scores = typeOf(q.front()).cloneWith(dims);
    types = {scores.cloneWith(builder.getF32Type()), scores.cloneWith(builder.getI64Type())};
  }
  const char *normalizer = types.size() > 1 ? "top_k" : match.isPointwise() ? "pointwise" : "softmax";
  return graph::AttentionOp::create(builder, loc, types, q.front(), k.front(), /*moreK=*/ValueRange(),
                                    ArrayRef(q).drop_front(), ArrayRef(k).drop_front(), v, /*moreV=*/ValueRange(),
                                    ValueRange(), Value(), Value(), Value(), builder.getStringAttr(normalizer));
}

/// The softmax's sink, one of each batch, as an operand. One that differs from query to query comes after: it scales
/// the result by sum / (sum + exp(sink)), which is sigmoid(lse - sink), lse being without it.
Value RegionBuilder::buildSinks(OpBuilder &builder, graph::AttentionOp op) {
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPoint(op);
  TensorLabels rows = match.laidOut({match.query});
  bool isOfBatch = llvm::all_of(match.sink->labels, [&](const AxisLabels &axis) {
    return llvm::all_of(axis, [&](Label label) { return !llvm::is_contained(match.query, label); });
  });
  Value sink = match.sink->value;
  if (!typeOf(sink).getElementType().isF32())
    sink = graph::CastOp::create(builder, op.getLoc(), typeOf(sink).cloneWith(builder.getF32Type()), sink);
  if (isOfBatch) {
    report.proved("a logit beside the scores takes part in the sum");
    sink = relabel(builder, op.getLoc(), match.expressions, sink, match.sink->labels, match.laidOut({}));
    op.getSinksMutable().assign(sink);
    return Value();
  }
  report.proved("a logit of each query beside the scores takes part in the sum: the result is scaled by it");
  sink = relabel(builder, op.getLoc(), match.expressions, sink, match.sink->labels, rows);
  return sink;
}

FailureOr<BuiltAttention> RegionBuilder::run() {
  OpBuilder builder(match.anchor);
  bool isWidened = false;
  findTables();
  graph::AttentionOp op = build(builder, isWidened);
  report.result = op.getLoc();
  if (failed(buildScore(op)) || failed(buildMask(op))) {
    op.erase();
    return failure();
  }
  op.getCapturesMutable().assign(captures.getArrayRef());
  describe();
  Value sink = match.sink ? buildSinks(builder, op) : Value();
  if (sink)
    op = autodiff::withLogSum(op);
  if (!match.product)
    return BuiltAttention{op, Value(), true};
  Value result = finishProduct(builder, match, op.getResult());
  if (sink) {
    Location loc = match.place();
    Value share =
        graph::SigmoidOp::create(builder, loc, graph::SubOp::create(builder, loc, op.getLse(), sink).getResult());
    result = scaled(builder, match, result, match.resultLabels, share, match.laidOut({match.query}), false);
  }
  return BuiltAttention{op, result, !sink};
}

Value fovea::scale(OpBuilder &builder, AttentionMatch &match, Value x, const TensorLabels &to,
                   const AttentionMatch::Factor &factor) {
  return scaled(builder, match, x, to, factor.node->value, factor.node->labels, factor.divides);
}

Value fovea::finishProduct(OpBuilder &builder, AttentionMatch &match, Value result) {
  Location loc = result.getLoc();
  Type element = typeOf(match.product.getResult()).getElementType();
  if (typeOf(result).getElementType() != element)
    result = graph::CastOp::create(builder, loc, typeOf(result).cloneWith(element), result);
  result =
      relabel(builder, loc, match.expressions, result, match.laidOut({match.query, match.value}), match.resultLabels);
  for (const AttentionMatch::Factor &factor : match.factors)
    result = scale(builder, match, result, match.resultLabels, factor);
  return match.isNegative ? graph::NegOp::create(builder, match.place(), result).getResult() : result;
}

FailureOr<BuiltAttention> fovea::buildAttention(AttentionMatch &match, ChainReport &report) {
  return RegionBuilder(match, report).run();
}
