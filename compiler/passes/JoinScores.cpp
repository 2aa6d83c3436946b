// Joins pieces of scores. See the header.
#include "compiler/passes/JoinScores.h"

#include "llvm/ADT/SetVector.h"

using namespace mlir;
using namespace fovea;

static SmallVector<DimExpr> sizesAlong(ArrayRef<Value> pieces, int64_t axis) {
  return llvm::map_to_vector(pieces, [&](Value piece) { return typeOf(piece).getDim(axis); });
}

static graph::TensorType joinedType(ArrayRef<Value> pieces, int64_t axis) {
  SmallVector<DimExpr> dims = llvm::to_vector(typeOf(pieces.front()).getDims());
  for (Value piece : pieces.drop_front())
    dims[axis] = dims[axis] + typeOf(piece).getDim(axis);
  return typeOf(pieces.front()).cloneWith(ArrayRef<DimExpr>(dims));
}

Value fovea::concatenated(OpBuilder &builder, Location loc, ArrayRef<Value> pieces, int64_t axis) {
  return graph::ConcatOp::create(builder, loc, joinedType(pieces, axis), pieces, axis);
}

ScoreJoiner::ScoreJoiner(OpBuilder &builder, Location loc, ArrayRef<Value> pieces, int64_t axis)
    : builder(builder), loc(loc), roots(pieces), rootAxis(axis),
      bounds(pieces.front().getDefiningOp()->getParentOfType<graph::FuncOp>()),
      others(builder, loc, sizesAlong(pieces, axis), bounds) {}

//===-- The products ----------------------------------------------------------------------------------------------===//

/// Contractions that a value is computed from, element by element: those of most axes first.
static SmallVector<graph::ContractOp> productsBehind(Value value) {
  llvm::SetVector<Value> reached;
  SmallVector<graph::ContractOp> products;
  reached.insert(value);
  for (size_t i = 0; i < reached.size() && reached.size() < 256; ++i) {
    Operation *op = reached[i].getDefiningOp();
    if (auto product = dyn_cast_or_null<graph::ContractOp>(op); product && !product.getPacked())
      products.push_back(product);
    else if (op && (isLayout(op) || isa<graph::ElementwiseOpInterface>(op)))
      reached.insert(op->operand_begin(), op->operand_end());
  }
  llvm::stable_sort(
      products, [](graph::ContractOp a, graph::ContractOp b) { return a.getType().getRank() > b.getType().getRank(); });
  return products;
}

bool ScoreJoiner::isOfProduct(Value value) { return !productsBehind(value).empty(); }

/// The side of keys in `other` whose product is that of `first` for more keys: the other operand is the same. And where
/// each axis of the keys of `first` is in its keys.
static std::optional<std::pair<unsigned, SmallVector<int64_t>>> keysLike(graph::ContractOp first, unsigned side,
                                                                         graph::ContractOp other) {
  auto labelsOf = [](graph::ContractOp op, unsigned side) { return side ? op.getRhsLabels() : op.getLhsLabels(); };
  for (unsigned mine : {0, 1}) {
    if (other->getOperand(1 - mine) != first->getOperand(1 - side))
      continue;
    llvm::DenseMap<int64_t, int64_t> names;
    auto areNames = [&](ArrayRef<int64_t> from, ArrayRef<int64_t> to) {
      return from.size() == to.size() && llvm::all_of(llvm::zip(from, to), [&](auto pair) {
               auto [a, b] = pair;
               return names.try_emplace(a, b).first->second == b;
             });
    };
    if (!areNames(other.getOutLabels(), first.getOutLabels()) ||
        !areNames(labelsOf(other, 1 - mine), labelsOf(first, 1 - side)))
      continue;
    ArrayRef<int64_t> theirs = labelsOf(other, mine), wanted = labelsOf(first, side);
    SmallVector<int64_t> places;
    for (int64_t label : wanted) {
      auto found = llvm::find_if(theirs, [&](int64_t name) {
        auto known = names.find(name);
        return known != names.end() && known->second == label;
      });
      if (found != theirs.end())
        places.push_back(found - theirs.begin());
    }
    if (places.size() == wanted.size() && theirs.size() == wanted.size())
      return std::pair(mine, places);
  }
  return std::nullopt;
}

/// One product of each piece, which all share an operand, the queries.
bool ScoreJoiner::findProducts() {
  for (graph::ContractOp first : productsBehind(roots.front())) {
    products = {first};
    for (Value piece : ArrayRef(roots).drop_front()) {
      SmallVector<graph::ContractOp> mine = productsBehind(piece);
      auto found = llvm::find_if(mine, [&](graph::ContractOp other) {
        return llvm::any_of(other->getOperands(),
                            [&](Value operand) { return llvm::is_contained(first->getOperands(), operand); });
      });
      if (found != mine.end())
        products.push_back(*found);
    }
    if (products.size() == roots.size())
      return true;
  }
  return false;
}

bool ScoreJoiner::dependsOnProduct(Value value, size_t piece, unsigned depth) {
  Operation *op = value.getDefiningOp();
  if (!op || op == products[piece] || depth > 64)
    return op == products[piece];
  if (auto known = depends.find({value, piece}); known != depends.end())
    return known->second;
  bool isThrough = isLayout(op) || isa<graph::ElementwiseOpInterface>(op);
  bool result = isThrough && llvm::any_of(op->getOperands(),
                                          [&](Value operand) { return dependsOnProduct(operand, piece, depth + 1); });
  return depends[{value, piece}] = result;
}

unsigned ScoreJoiner::dependent(Operation *op, size_t piece) {
  unsigned result = 0;
  for (auto [number, operand] : llvm::enumerate(op->getOperands()))
    result |= unsigned(dependsOnProduct(operand, piece)) << number;
  return result;
}

/// Ops between a value and the product of its piece.
unsigned ScoreJoiner::length(Value value, size_t piece) {
  unsigned length = 0;
  for (Operation *op = value.getDefiningOp(); op && op != products[piece] && length < 64; ++length) {
    auto inner = llvm::find_if(op->getOperands(), [&](Value operand) { return dependsOnProduct(operand, piece); });
    op = inner == op->operand_end() ? nullptr : (*inner).getDefiningOp();
  }
  return length;
}

//===-- Pieces as one ---------------------------------------------------------------------------------------------===//

Value ScoreJoiner::run() { return findProducts() ? joined(roots, rootAxis) : Value(); }

static bool areAlike(ArrayRef<Value> pieces) {
  Operation *first = pieces.front().getDefiningOp();
  return llvm::all_of(pieces, [&](Value piece) {
    Operation *op = piece.getDefiningOp();
    return op && isSameFunction(op, first);
  });
}

/// Products of which some are turned round: all as they are needed.
void ScoreJoiner::foldTransposes(SmallVectorImpl<Value> &pieces) {
  for (auto [number, piece] : llvm::enumerate(pieces)) {
    auto transpose = piece.getDefiningOp<graph::TransposeOp>();
    if (!transpose || transpose.getX() != products[number].getResult())
      continue;
    SmallVector<int64_t> out;
    for (int64_t axis : transpose.getPermutation())
      out.push_back(products[number].getOutLabels()[axis]);
    graph::ContractOp old = products[number];
    products[number] = graph::ContractOp::create(builder, old.getLoc(), transpose.getType(), old.getLhs(), old.getRhs(),
                                                 old.getLhsLabels(), old.getRhsLabels(), out, false);
    piece = products[number];
  }
}

Value ScoreJoiner::joined(SmallVector<Value> pieces, int64_t axis) {
  if (++steps > 256)
    return Value();
  if (!areAlike(pieces))
    foldTransposes(pieces);
  auto isProduct = [](Value piece) { return bool(piece.getDefiningOp<graph::ContractOp>()); };
  if (llvm::all_of(pieces, isProduct))
    return joinedProduct(pieces, axis);
  Operation *first = pieces.front().getDefiningOp();
  if (areAlike(pieces)) {
    if (isLayout(first))
      return joinedLayout(pieces, axis);
    unsigned ofProduct = dependent(first, 0);
    bool areSame = llvm::all_of(llvm::enumerate(pieces), [&](auto piece) {
      return dependent(piece.value().getDefiningOp(), piece.index()) == ofProduct;
    });
    if (areSame)
      return joinedElementwise(pieces, axis, ofProduct);
  }
  return joinedStep(pieces, axis);
}

Value ScoreJoiner::joinedProduct(ArrayRef<Value> pieces, int64_t axis) {
  auto first = pieces.front().getDefiningOp<graph::ContractOp>();
  int64_t label = first.getOutLabels()[axis];
  for (unsigned side : {0, 1}) {
    ArrayRef<int64_t> mine = side ? first.getRhsLabels() : first.getLhsLabels();
    ArrayRef<int64_t> theirs = side ? first.getLhsLabels() : first.getRhsLabels();
    auto place = llvm::find(mine, label);
    if (place == mine.end() || llvm::is_contained(theirs, label))
      continue;
    SmallVector<Value> keys;
    for (Value piece : pieces) {
      auto product = piece.getDefiningOp<graph::ContractOp>();
      auto found = keysLike(first, side, product);
      if (!found)
        break;
      auto [where, places] = *found;
      Value key = product->getOperand(where);
      if (!llvm::is_sorted(places)) {
        SmallVector<DimExpr> dims = llvm::map_to_vector(places, [&](int64_t at) { return typeOf(key).getDim(at); });
        graph::TensorType turned = typeOf(key).cloneWith(ArrayRef<DimExpr>(dims));
        key = graph::TransposeOp::create(builder, loc, turned, key, places);
      }
      keys.push_back(key);
    }
    if (keys.size() != pieces.size())
      continue;
    SmallVector<Value> operands = llvm::to_vector(ValueRange(first->getOperands()));
    operands[side] = concatenated(builder, loc, keys, place - mine.begin());
    return withOperands(builder, first, operands, joinedType(pieces, axis));
  }
  return Value();
}

/// The same function of each: of what is joined of their operands.
Value ScoreJoiner::joinedElementwise(ArrayRef<Value> pieces, int64_t axis, unsigned ofProduct) {
  Operation *first = pieces.front().getDefiningOp();
  SmallVector<Value> operands;
  for (unsigned number = 0; number < first->getNumOperands(); ++number) {
    SmallVector<Value> theirs =
        llvm::map_to_vector(pieces, [&](Value piece) { return piece.getDefiningOp()->getOperand(number); });
    Value operand = ofProduct >> number & 1 ? joined(theirs, axis) : others.joined(theirs, axis);
    if (!operand)
      return Value();
    operands.push_back(operand);
  }
  return withOperands(builder, first, operands, joinedType(pieces, axis));
}

Value ScoreJoiner::joinedLayout(ArrayRef<Value> pieces, int64_t axis) {
  Operation *first = pieces.front().getDefiningOp();
  SmallVector<Value> inner =
      llvm::map_to_vector(pieces, [](Value piece) { return piece.getDefiningOp()->getOperand(0); });
  SmallVector<std::optional<int64_t>> places =
      llvm::map_to_vector(pieces, [&](Value piece) { return axisOfOperand(piece.getDefiningOp(), axis); });
  if (!places.front() || !llvm::all_equal(places))
    return Value();
  Value operand = joined(inner, *places.front());
  return operand ? withOperands(builder, first, operand, joinedType(pieces, axis)) : Value();
}

//===-- Steps of some pieces --------------------------------------------------------------------------------------===//

namespace {
/// An op that does something to scores, by operands that do not depend on them: where(condition, scores, other), a sum,
/// a difference, a product, a quotient.
struct Step {
  Operation *op = nullptr;
  Value scores, other, condition = Value();
  bool isInverse = false; ///< the scores are where the condition does not hold
};
} // namespace

static std::optional<Step> stepOf(Operation *op, unsigned ofProduct) {
  if (isa<graph::SelectOp>(op) && (ofProduct == 2 || ofProduct == 4)) {
    bool isInverse = ofProduct == 4;
    return Step{op, op->getOperand(isInverse ? 2 : 1), op->getOperand(isInverse ? 1 : 2), op->getOperand(0), isInverse};
  }
  bool commutes = isa<graph::AddOp, graph::MulOp>(op);
  if (commutes ? ofProduct == 1 || ofProduct == 2 : isa<graph::SubOp, graph::DivOp>(op) && ofProduct == 1)
    return Step{op, op->getOperand(ofProduct - 1), op->getOperand(2 - ofProduct)};
  return std::nullopt;
}

/// Whether a piece has such an op between a value and its product.
bool ScoreJoiner::hasStep(Value value, size_t piece, OperationName name) {
  for (unsigned steps = 0; value && steps < 64; ++steps) {
    Operation *op = value.getDefiningOp();
    if (!op || op == products[piece])
      return false;
    if (op->getName() == name)
      return true;
    auto inner = llvm::find_if(op->getOperands(), [&](Value operand) { return dependsOnProduct(operand, piece); });
    value = inner == op->operand_end() ? Value() : Value(*inner);
  }
  return false;
}

/// The last step of one piece, which is no step at all for those that do not take it: one that these do not take later
/// if there is such a one, of the piece that takes most of them.
Value ScoreJoiner::joinedStep(ArrayRef<Value> pieces, int64_t axis) {
  SmallVector<std::optional<Step>> mine;
  for (auto [piece, value] : llvm::enumerate(pieces)) {
    Operation *op = value.getDefiningOp();
    mine.push_back(op == products[piece] ? std::nullopt : stepOf(op, dependent(op, piece)));
  }
  size_t most = pieces.size();
  std::tuple<bool, bool, unsigned> best;
  for (auto [piece, value] : llvm::enumerate(pieces)) {
    if (!mine[piece])
      continue;
    OperationName name = mine[piece]->op->getName();
    bool isLater = llvm::any_of(llvm::enumerate(pieces), [&](auto other) {
      auto &step = mine[other.index()];
      return !(step && step->op->getName() == name) && hasStep(other.value(), other.index(), name);
    });
    // Masks outermost: what hides is seen to hide there, whatever is added below.
    std::tuple<bool, bool, unsigned> rank{!isLater, isa<graph::SelectOp>(mine[piece]->op), length(value, piece)};
    if (most == pieces.size() || rank > best) {
      most = piece;
      best = rank;
    }
  }
  if (most == pieces.size())
    return Value();
  const Step model = *mine[most];
  bool isChoice = isa<graph::SelectOp>(model.op), isFactor = isa<graph::MulOp, graph::DivOp>(model.op);
  double nothing = isFactor ? 1 : isChoice ? constantValue(model.other).value_or(0) : 0;
  SmallVector<Value> scores, operands, conditions;
  for (auto [piece, value] : llvm::enumerate(pieces)) {
    const Step *step = mine[piece] && mine[piece]->op->getName() == model.op->getName() ? &*mine[piece] : nullptr;
    scores.push_back(step ? step->scores : value);
    operands.push_back(step ? step->other : others.number(piece, typeOf(model.other), axis, nothing));
    if (!isChoice)
      continue;
    Value condition = step ? step->condition : others.number(piece, typeOf(model.condition), axis, 1);
    if (step && step->isInverse)
      condition = graph::NotOp::create(builder, step->op->getLoc(), condition.getType(), condition);
    conditions.push_back(condition);
  }
  Value all = joined(scores, axis);
  if (!all)
    return Value();
  Value other = others.joined(operands, axis);
  Location place = model.op->getLoc();
  if (isChoice)
    return graph::SelectOp::create(builder, place, all.getType(), others.joined(conditions, axis), all, other);
  return withOperands(builder, model.op, {all, other}, typeOf(all));
}
