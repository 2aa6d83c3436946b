// Tables by distance. See the header.
#include "compiler/passes/DistanceTable.h"

#include "compiler/passes/ElementExpression.h"
#include "dialects/graph/ElementCost.h"

#include "llvm/ADT/SetVector.h"

using namespace mlir;
using namespace fovea;

namespace {
/// Axes of queries and keys of a value; -1 where it has none.
struct Pair {
  int64_t query, key;
  bool isNone() const { return query < 0 && key < 0; }
};

/// How an integer grows with the query and the key.
struct Slope {
  int64_t query = 0, key = 0;
};

class TableBuilder {
public:
  TableBuilder(OpBuilder &builder, Location loc, DimExpr queries, DimExpr keys)
      : builder(builder), loc(loc), keys(keys), count(queries + keys) {}

  bool isOfDistance(Value value, Pair axes, unsigned depth = 0);
  /// The value where the query is the distance and the key is 0.
  Value of(Value value, Pair axes);

private:
  static std::optional<Slope> slopeOf(Value value, Pair axes, unsigned depth = 0);
  graph::TensorType typeFor(Value value, Pair axes);

  OpBuilder &builder;
  Location loc;
  DimExpr keys, count;
  std::map<std::tuple<const void *, int64_t, int64_t>, Value>
      built; ///< by value and axes: queries and keys may share one
};
} // namespace

/// Axes of the operand of a broadcast.
static Pair within(graph::BroadcastOp op, Pair axes) {
  auto find = [&](int64_t axis) -> int64_t {
    auto found = llvm::find(op.getAxes(), axis);
    return found == op.getAxes().end() ? -1 : found - op.getAxes().begin();
  };
  return {find(axes.query), find(axes.key)};
}

std::optional<Slope> TableBuilder::slopeOf(Value value, Pair axes, unsigned depth) {
  Operation *op = value.getDefiningOp();
  if (axes.isNone())
    return Slope();
  if (!op || depth > 64)
    return std::nullopt;
  if (auto broadcast = dyn_cast<graph::BroadcastOp>(op))
    return slopeOf(broadcast.getX(), within(broadcast, axes), depth + 1);
  if (isa<graph::IotaOp>(op))
    return Slope{axes.query == 0, axes.key == 0};
  if (!isa<graph::AddOp, graph::SubOp, graph::NegOp>(op))
    return std::nullopt;
  Slope sum;
  for (auto [number, operand] : llvm::enumerate(op->getOperands())) {
    std::optional<Slope> slope = slopeOf(operand, axes, depth + 1);
    if (!slope)
      return std::nullopt;
    int64_t sign = isa<graph::NegOp>(op) || (isa<graph::SubOp>(op) && number == 1) ? -1 : 1;
    sum = {sum.query + sign * slope->query, sum.key + sign * slope->key};
  }
  return sum;
}

bool TableBuilder::isOfDistance(Value value, Pair axes, unsigned depth) {
  if (isa<IntegerType>(typeOf(value).getElementType()))
    if (std::optional<Slope> slope = slopeOf(value, axes))
      return slope->query == -slope->key;
  Operation *op = value.getDefiningOp();
  if (axes.isNone())
    return true;
  if (!op || depth > 32)
    return false;
  if (auto broadcast = dyn_cast<graph::BroadcastOp>(op))
    return isOfDistance(broadcast.getX(), within(broadcast, axes), depth + 1);
  return isa<graph::ElementwiseOpInterface>(op) &&
         llvm::all_of(op->getOperands(), [&](Value operand) { return isOfDistance(operand, axes, depth + 1); });
}

graph::TensorType TableBuilder::typeFor(Value value, Pair axes) {
  SmallVector<DimExpr> dims = llvm::to_vector(typeOf(value).getDims());
  if (axes.query >= 0)
    dims[axes.query] = count;
  if (axes.key >= 0)
    dims.erase(dims.begin() + axes.key);
  return typeOf(value).cloneWith(ArrayRef<DimExpr>(dims));
}

Value TableBuilder::of(Value value, Pair axes) {
  if (axes.isNone())
    return value;
  Value &result = built[{value.getAsOpaquePointer(), axes.query, axes.key}];
  if (result)
    return result;
  Operation *op = value.getDefiningOp();
  graph::TensorType type = typeFor(value, axes);
  if (isa<graph::IotaOp>(op)) {
    graph::TensorType scalar = type.cloneWith(ArrayRef<DimExpr>());
    if (axes.key == 0)
      return result = graph::ConstantOp::create(builder, loc, scalar, builder.getI64IntegerAttr(0));
    Value origin = graph::DimOp::create(builder, loc, scalar, graph::DimAttr::get(builder.getContext(), keys));
    origin = graph::BroadcastOp::create(builder, loc, type, origin, ArrayRef<int64_t>());
    result = graph::SubOp::create(builder, loc, type, graph::IotaOp::create(builder, loc, type), origin);
  } else if (auto broadcast = dyn_cast<graph::BroadcastOp>(op)) {
    Pair inner = within(broadcast, axes);
    SmallVector<int64_t> kept;
    for (int64_t axis : broadcast.getAxes())
      if (axis != axes.key)
        kept.push_back(axis - (axes.key >= 0 && axis > axes.key));
    result = graph::BroadcastOp::create(builder, loc, type, of(broadcast.getX(), inner), kept);
  } else {
    SmallVector<Value> operands = llvm::map_to_vector(op->getOperands(), [&](Value x) { return of(x, axes); });
    result = withOperands(builder, op, operands, type);
  }
  return result;
}

/// Whether what costs more than reading an element is computed for a value.
static bool hasCostly(Value value) {
  llvm::SetVector<Operation *> reached;
  if (Operation *op = value.getDefiningOp())
    reached.insert(op);
  for (size_t i = 0; i < reached.size() && reached.size() < 64; ++i) {
    if (graph::isCostly(reached[i]))
      return true;
    for (Value operand : reached[i]->getOperands())
      if (Operation *op = operand.getDefiningOp(); op && (isLayout(op) || isa<graph::ElementwiseOpInterface>(op)))
        reached.insert(op);
  }
  return false;
}

std::optional<DistanceTable> fovea::tableByDistance(OpBuilder &builder, graph::GatherOp gather) {
  Value places = gather.getIndices().front();
  graph::TensorType type = typeOf(places);
  if (type.getRank() != 2 || gather.getAxes().size() != 1 || !hasCostly(places))
    return std::nullopt;
  IndexBounds bounds(gather->getParentOfType<graph::FuncOp>());
  int64_t first = gather.getAxes().front();
  DimExpr size = typeOf(gather.getX()).getDim(first);
  for (int64_t query : {0, 1}) {
    TableBuilder table(builder, gather.getLoc(), type.getDim(query), type.getDim(1 - query));
    Pair axes{query, 1 - query};
    if (!table.isOfDistance(places, axes))
      continue;
    Value byDistance = table.of(places, axes);
    if (!bounds.isWithin(byDistance, size))
      continue;
    SmallVector<DimExpr> dims = llvm::to_vector(gather.getType().getDims());
    dims[first + query] = type.getDim(0) + type.getDim(1);
    dims.erase(dims.begin() + first + 1 - query);
    Value result =
        graph::GatherOp::create(builder, gather.getLoc(), gather.getType().cloneWith(ArrayRef<DimExpr>(dims)),
                                gather.getX(), ValueRange(byDistance), gather.getAxes());
    return DistanceTable{result, first + query, first + 1 - query, type.getDim(1 - query)};
  }
  return std::nullopt;
}
