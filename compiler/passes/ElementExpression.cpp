// Elements of graph values as expressions over labels. See the header for the contract.
#include "compiler/passes/ElementExpression.h"

#include <queue>

using namespace mlir;
using namespace fovea;

using Node = ElementExpressions::Node;

/// Chains deeper than this are cut into leaves, so that no model can exhaust the stack.
static constexpr unsigned maximalDepth = 2000;

bool fovea::isLayout(Operation *op) {
  return isa_and_nonnull<graph::BroadcastOp, graph::ReshapeOp, graph::TransposeOp>(op);
}

bool fovea::isFloatCast(Operation *op) {
  auto convert = dyn_cast_or_null<graph::CastOp>(op);
  return convert && isa<FloatType>(typeOf(convert.getX()).getElementType()) &&
         isa<FloatType>(typeOf(convert.getResult()).getElementType());
}

bool fovea::isWidening(Operation *op) {
  if (!isFloatCast(op))
    return false;
  Type from = typeOf(op->getOperand(0)).getElementType();
  return (from.isF16() || from.isBF16()) && typeOf(op->getResult(0)).getElementType().isF32();
}

/// Whether elements of what `op` gives are computed from elements of what it reads.
static bool isTransparent(Operation *op) { return isa<graph::ElementwiseOpInterface, graph::ReduceOp>(op); }

//===-- Labels ----------------------------------------------------------------------------------------------------===//

Label ElementExpressions::newLabel(DimExpr size) {
  sizes.push_back(size);
  return sizes.size() - 1;
}

TensorLabels ElementExpressions::newLabels(graph::TensorType type) {
  TensorLabels labels;
  for (DimExpr dim : type.getDims())
    labels.push_back(dim.isConstant(1) ? AxisLabels() : AxisLabels{newLabel(dim)});
  return labels;
}

AxisLabels ElementExpressions::expand(ArrayRef<Label> labels) const {
  AxisLabels result;
  for (Label label : labels) {
    auto parts = splits.find(label);
    if (parts == splits.end())
      result.push_back(label);
    else
      llvm::append_range(result, expand({parts->second.first, parts->second.second}));
  }
  return result;
}

TensorLabels ElementExpressions::expand(const TensorLabels &labels) const {
  TensorLabels result;
  for (const AxisLabels &axis : labels)
    result.push_back(expand(ArrayRef<Label>(axis)));
  return result;
}

DimExpr ElementExpressions::sizeOf(ArrayRef<Label> labels) const {
  DimExpr product(1);
  for (Label label : labels)
    product = product * sizes[label];
  return product;
}

bool ElementExpressions::split(Label label, DimExpr outer) {
  std::optional<DimExpr> inner = DimExpr::exactDiv(sizes[label], outer);
  if (!inner || inner->isConstant(0))
    return false;
  Label first = newLabel(outer);
  splits[label] = {first, newLabel(*inner)};
  wasSplit = true;
  return true;
}

Label ElementExpressions::boundLabel(unsigned height, unsigned ordinal, DimExpr size) {
  auto [entry, isNew] = boundLabels.try_emplace({height, ordinal, size.opaque()}, 0);
  if (isNew)
    entry->second = newLabel(size);
  return entry->second;
}

std::optional<TensorLabels> ElementExpressions::regroup(const TensorLabels &labels, graph::TensorType to) {
  SmallVector<Label> all = flat(labels);
  TensorLabels result;
  size_t next = 0;
  for (DimExpr dim : to.getDims()) {
    AxisLabels axis;
    DimExpr product(1);
    if (dim.isConstant(0))
      return std::nullopt;
    while (product != dim) {
      if (next == all.size())
        return std::nullopt;
      Label label = all[next];
      DimExpr joined = product * sizes[label];
      if (DimExpr::exactDiv(dim, joined)) {
        axis.push_back(label);
        product = joined;
        ++next;
        continue;
      }
      std::optional<DimExpr> outer = DimExpr::exactDiv(dim, product);
      if (!outer || !split(label, *outer))
        return std::nullopt;
      return TensorLabels(); // void: the round is run again
    }
    result.push_back(axis);
  }
  return next == all.size() ? std::optional(result) : std::nullopt;
}

//===-- Elements --------------------------------------------------------------------------------------------------===//

static void encode(std::vector<uintptr_t> &key, const TensorLabels &labels) {
  for (const AxisLabels &axis : labels) {
    key.push_back(axis.size());
    for (Label label : axis)
      key.push_back(label);
  }
}

static uintptr_t opaque(const void *pointer) { return reinterpret_cast<uintptr_t>(pointer); }

const Node *ElementExpressions::intern(Key key, Node node) {
  llvm::sort(node.free);
  node.free.erase(llvm::unique(node.free), node.free.end());
  return &nodes.try_emplace(std::move(key), std::move(node)).first->second;
}

const Node *ElementExpressions::element(Value value, const TensorLabels &labels) {
  if (wasSplit)
    return nullptr;
  Key key{opaque(value.getAsOpaquePointer())};
  encode(key, labels);
  if (auto known = memo.find(key); known != memo.end())
    return known->second;
  ++depth;
  const Node *node = depth > maximalDepth ? leaf(value, labels) : compute(value, labels);
  --depth;
  if (wasSplit)
    return nullptr;
  memo[std::move(key)] = node;
  return node;
}

const Node *ElementExpressions::leaf(Value value, const TensorLabels &labels) {
  Key key{Node::Leaf, opaque(value.getAsOpaquePointer())};
  encode(key, labels);
  Node node{Node::Leaf, value, labels, {}, {}, {}};
  for (const AxisLabels &axis : labels)
    llvm::append_range(node.free, axis);
  return intern(std::move(key), std::move(node));
}

void ElementExpressions::seeNear(Operation *root, unsigned most) {
  auto isEarlier = [](Operation *a, Operation *b) { return a->isBeforeInBlock(b); };
  std::priority_queue<Operation *, std::vector<Operation *>, decltype(isEarlier)> open(isEarlier);
  DenseMap<Operation *, bool> isBehindContraction; // by every way from the root
  auto add = [&](Operation *op, bool isBehind) {
    if (!op || op->getBlock() != root->getBlock())
      return;
    auto [known, isNew] = isBehindContraction.try_emplace(op, isBehind);
    known->second &= isBehind;
    if (isNew)
      open.push(op);
  };
  near.emplace();
  add(root, false);
  while (!open.empty() && near->size() < most) {
    Operation *op = open.top();
    open.pop();
    bool isContraction = isa<graph::ContractOp>(op), isBehind = isBehindContraction[op] || isContraction;
    if (isContraction ? isBehindContraction[op] : !(isLayout(op) || isTransparent(op)))
      continue;
    if (isTransparent(op))
      near->insert(op);
    for (Value operand : op->getOperands())
      add(operand.getDefiningOp(), isBehind);
  }
}

std::optional<TensorLabels> ElementExpressions::through(Operation *layout, const TensorLabels &labels) {
  TensorLabels inner;
  if (auto broadcast = dyn_cast<graph::BroadcastOp>(layout)) {
    for (int64_t axis : broadcast.getAxes())
      inner.push_back(labels[axis]);
  } else if (auto transpose = dyn_cast<graph::TransposeOp>(layout)) {
    inner.resize(labels.size());
    for (auto [axis, source] : llvm::enumerate(transpose.getPermutation()))
      inner[source] = labels[axis];
  } else {
    std::optional<TensorLabels> regrouped = regroup(labels, typeOf(layout->getOperand(0)));
    return wasSplit ? std::nullopt : regrouped;
  }
  return inner;
}

const Node *ElementExpressions::compute(Value value, const TensorLabels &labels) {
  Operation *op = value.getDefiningOp();
  if (!op)
    return leaf(value, labels);
  if (isLayout(op)) {
    std::optional<TensorLabels> inner = through(op, labels);
    if (wasSplit)
      return nullptr;
    return inner ? element(op->getOperand(0), *inner) : leaf(value, labels);
  }
  if (near && isTransparent(op) && !near->contains(op))
    return leaf(value, labels);
  if (isa<graph::ElementwiseOpInterface, graph::ConstantOp, graph::DimOp>(op))
    return operation(op, labels);
  if (auto reduce = dyn_cast<graph::ReduceOp>(op))
    return reduction(reduce, labels);
  return leaf(value, labels);
}

const Node *ElementExpressions::operation(Operation *op, const TensorLabels &labels) {
  Node node{Node::Op, op->getResult(0), labels, {}, {}, {}};
  for (Value operand : op->getOperands()) {
    const Node *child = element(operand, labels);
    if (!child)
      return nullptr;
    node.children.push_back(child);
    llvm::append_range(node.free, child->free);
  }
  if (op->hasTrait<OpTrait::IsCommutative>())
    llvm::sort(node.children);
  Key key{Node::Op, opaque(op->getName().getAsOpaquePointer()), opaque(op->getAttrDictionary().getAsOpaquePointer()),
          opaque(typeOf(op->getResult(0)).getElementType().getAsOpaquePointer())};
  for (const Node *child : node.children)
    key.push_back(opaque(child));
  return intern(std::move(key), std::move(node));
}

const Node *ElementExpressions::reduction(graph::ReduceOp op, const TensorLabels &labels) {
  Node node{Node::Reduce, op.getResult(), labels, {}, {}, {}};
  TensorLabels inner;
  unsigned level = height(op.getX());
  size_t kept = 0, ordinal = 0;
  for (auto [axis, dim] : llvm::enumerate(typeOf(op.getX()).getDims())) {
    if (!llvm::is_contained(op.getAxes(), int64_t(axis))) {
      inner.push_back(labels[kept++]);
    } else if (dim.isConstant(1)) {
      inner.push_back({});
    } else {
      inner.push_back(expand({boundLabel(level, ordinal++, dim)}));
      llvm::append_range(node.bound, inner.back());
    }
  }
  const Node *child = element(op.getX(), inner);
  if (!child)
    return nullptr;
  node.children.push_back(child);
  for (Label label : child->free)
    if (!llvm::is_contained(node.bound, label))
      node.free.push_back(label);
  Key key{Node::Reduce, opaque(op.getKindAttr().getAsOpaquePointer()), opaque(child)};
  for (Label label : node.bound)
    key.push_back(label);
  return intern(std::move(key), std::move(node));
}

const Node *ElementExpressions::reduced(const Node *reduce, ArrayRef<Label> replacement) {
  auto op = cast<graph::ReduceOp>(reduce->op());
  AxisLabels rest(replacement.begin(), replacement.end());
  TensorLabels inner;
  size_t kept = 0;
  for (auto [axis, dim] : llvm::enumerate(typeOf(op.getX()).getDims())) {
    if (!llvm::is_contained(op.getAxes(), int64_t(axis))) {
      inner.push_back(reduce->labels[kept++]);
      continue;
    }
    // As many of the replacement as make up this axis.
    AxisLabels mine;
    DimExpr product(1);
    while (product != dim && !rest.empty()) {
      product = product * sizes[rest.front()];
      mine.push_back(rest.front());
      rest.erase(rest.begin());
    }
    if (product != dim)
      return nullptr;
    inner.push_back(mine);
  }
  return rest.empty() ? element(op.getX(), inner) : nullptr;
}

unsigned ElementExpressions::height(Value value, unsigned level) {
  Operation *op = value.getDefiningOp();
  if (!op || level > maximalDepth || !(isLayout(op) || isa<graph::ElementwiseOpInterface, graph::ReduceOp>(op)))
    return 0;
  if (auto known = heights.find(value); known != heights.end())
    return known->second;
  unsigned result = 0;
  for (Value operand : op->getOperands())
    result = std::max(result, height(operand, level + 1));
  result += isa<graph::ReduceOp>(op);
  heights[value] = result;
  return result;
}

//===-- Contractions ----------------------------------------------------------------------------------------------===//

Label ContractionLabels::own(Operation *op, int64_t axis, DimExpr size) {
  auto [entry, isNew] = labels.try_emplace({op, axis}, 0);
  if (isNew)
    entry->second = expressions.newLabel(size);
  return entry->second;
}

TensorLabels ContractionLabels::operand(graph::ContractOp contract, bool isLhs, ArrayRef<int64_t> known,
                                        const TensorLabels &knownLabels) {
  TensorLabels result;
  Value operand = isLhs ? contract.getLhs() : contract.getRhs();
  ArrayRef<int64_t> axes = isLhs ? contract.getLhsLabels() : contract.getRhsLabels();
  for (auto [dim, axis] : llvm::zip_equal(typeOf(operand).getDims(), axes)) {
    if (auto found = llvm::find(known, axis); found != known.end())
      result.push_back(knownLabels[found - known.begin()]);
    else if (dim.isConstant(1))
      result.push_back({});
    else
      result.push_back(expressions.expand({own(contract, axis, dim)}));
  }
  return result;
}

SmallVector<Label> fovea::flat(const TensorLabels &labels) {
  SmallVector<Label> result;
  for (const AxisLabels &axis : labels)
    llvm::append_range(result, axis);
  return result;
}

//===-- Building --------------------------------------------------------------------------------------------------===//

static Value reshapeTo(OpBuilder &builder, Location loc, Value value, ArrayRef<DimExpr> dims) {
  graph::TensorType type = typeOf(value);
  if (type.getDims() == dims)
    return value;
  return graph::ReshapeOp::create(builder, loc, type.cloneWith(dims), value);
}

Value fovea::relabel(OpBuilder &builder, Location loc, const ElementExpressions &expressions, Value value,
                     const TensorLabels &from, const TensorLabels &to) {
  if (from == to)
    return value;
  SmallVector<Label> have = flat(from), want = flat(to);
  auto sizesOf = [&](ArrayRef<Label> labels) {
    return llvm::map_to_vector(labels, [&](Label label) { return expressions.sizeOf(label); });
  };
  value = reshapeTo(builder, loc, value, sizesOf(have));
  // Transpose to the order of the target, leaving out what is new there.
  SmallVector<Label> order;
  SmallVector<int64_t> permutation, axes;
  for (auto [position, label] : llvm::enumerate(want)) {
    auto found = llvm::find(have, label);
    if (found == have.end())
      continue;
    permutation.push_back(found - have.begin());
    axes.push_back(position);
    order.push_back(label);
  }
  graph::TensorType type = typeOf(value);
  if (!llvm::is_sorted(permutation))
    value = graph::TransposeOp::create(builder, loc, type.cloneWith(sizesOf(order)), value, permutation);
  if (axes.size() != want.size())
    value = graph::BroadcastOp::create(builder, loc, type.cloneWith(sizesOf(want)), value, axes);
  SmallVector<DimExpr> dims;
  for (const AxisLabels &axis : to)
    dims.push_back(expressions.sizeOf(ArrayRef<Label>(axis)));
  return reshapeTo(builder, loc, value, dims);
}

std::optional<double> fovea::constantValue(Value value) {
  for (unsigned step = 0; step < 64; ++step) {
    Operation *op = value.getDefiningOp();
    if (isLayout(op)) {
      value = op->getOperand(0);
      continue;
    }
    if (auto constant = dyn_cast_or_null<graph::ConstantOp>(op)) {
      if (auto number = dyn_cast<FloatAttr>(constant.getValueAttr()))
        return number.getValueAsDouble();
      if (auto number = dyn_cast<IntegerAttr>(constant.getValueAttr()))
        return number.getType().isInteger(1) ? double(!number.getValue().isZero()) : double(number.getInt());
      return std::nullopt;
    }
    if (auto neg = dyn_cast_or_null<graph::NegOp>(op)) {
      std::optional<double> inner = constantValue(neg.getX());
      return inner ? std::optional(-*inner) : std::nullopt;
    }
    auto convert = dyn_cast_or_null<graph::CastOp>(op);
    // Casts are exact between floats for what is asked of constants here (0, 1, infinities) and from small integers.
    if (!convert || !isa<FloatType>(typeOf(convert.getResult()).getElementType()))
      return std::nullopt;
    value = convert.getX();
  }
  return std::nullopt;
}

bool fovea::isSameFunction(Operation *a, Operation *b) {
  return a->getName() == b->getName() && a->getPropertiesAsAttribute() == b->getPropertiesAsAttribute();
}

Value fovea::withOperands(OpBuilder &builder, Operation *op, ValueRange operands, graph::TensorType type) {
  Operation *copy = builder.clone(*op);
  copy->setOperands(operands);
  copy->getResult(0).setType(type);
  return copy->getResult(0);
}
