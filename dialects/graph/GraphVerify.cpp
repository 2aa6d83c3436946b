// Verifiers of all ops but attention's (AttentionVerify.cpp). The labels (C1...) are those of GraphOps.td and of
// tests/ir/graph/invalid.mlir.
#include "dialects/graph/TypeFacts.h"

#include "mlir/IR/AttrTypeSubElements.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;
using namespace fovea;
using namespace fovea::graph;

//===-- Structure -------------------------------------------------------------------------------------------------===//

/// (C1) of graph.func: the symbols that types and attributes below `func` use are declared.
static LogicalResult verifySymbols(FuncOp func) {
  llvm::StringSet<> declared;
  for (Attribute symbol : func.getSymbols())
    if (!declared.insert(cast<StringAttr>(symbol).getValue()).second)
      return func.emitOpError("(C1) declares the symbol ") << symbol << " twice";

  std::string unknown;
  auto check = [&](DimExpr e) {
    for (const std::string &name : e.symbols())
      if (!declared.contains(name))
        unknown = name;
    return unknown.empty() ? WalkResult::advance() : WalkResult::interrupt();
  };
  AttrTypeWalker walker;
  walker.addWalk([&](Tensor type) {
    for (DimExpr e : type.getDims())
      if (check(e).wasInterrupted())
        return WalkResult::interrupt();
    return WalkResult::advance();
  });
  walker.addWalk([&](DimAttr attr) { return check(attr.getValue()); });
  walker.addWalk([&](RequireAttr attr) {
    return check(attr.getLhs()).wasInterrupted() ? WalkResult::interrupt() : check(attr.getRhs());
  });
  WalkResult result = func->walk<WalkOrder::PreOrder>([&](Operation *op) {
    bool failed = walker.walk(op->getAttrDictionary()).wasInterrupted() ||
                  llvm::any_of(op->getResultTypes(), [&](Type t) { return walker.walk(t).wasInterrupted(); });
    for (Region &region : op->getRegions())
      for (Block &block : region)
        failed |= llvm::any_of(block.getArgumentTypes(), [&](Type t) { return walker.walk(t).wasInterrupted(); });
    if (!failed)
      return WalkResult::advance();
    op->emitOpError("(C1) uses the symbol '") << unknown << "', which '" << func.getSymName() << "' does not declare";
    return WalkResult::interrupt();
  });
  return failure(result.wasInterrupted());
}

LogicalResult FuncOp::verify() {
  if (!getBody().hasOneBlock() || getBody().front().empty() || !isa<ReturnOp>(getBody().front().back()))
    return emitOpError("(C2) the body is one block that ends with graph.return");
  auto isTensor = [](Type t) { return isa<Tensor>(t); };
  if (!llvm::all_of(getArgumentTypes(), isTensor) || !llvm::all_of(getResultTypes(), isTensor))
    return emitOpError("takes and gives graph tensors alone");
  return verifySymbols(*this);
}

LogicalResult ReturnOp::verify() {
  auto func = cast<FuncOp>((*this)->getParentOp());
  if (getOperandTypes() != func.getResultTypes())
    return emitOpError("(C2) operand types must be the function's result types");
  return success();
}

LogicalResult CallOp::verifySymbolUses(SymbolTableCollection &tables) {
  auto callee = tables.lookupNearestSymbolFrom<FuncOp>(*this, getCalleeAttr());
  if (!callee)
    return emitOpError("(C1) ") << getCalleeAttr() << " is not a graph.func";
  if (getSubstitution().size() != callee.getSymbols().size())
    return emitOpError("(C2) gives ") << getSubstitution().size() << " sizes, but " << getCalleeAttr() << " has "
                                      << callee.getSymbols().size() << " symbols";
  auto check = [&](TypeRange given, TypeRange declared, StringRef what) -> LogicalResult {
    if (given.size() != declared.size())
      return emitOpError("(C3) has ") << given.size() << " " << what << "s, but " << getCalleeAttr() << " has "
                                      << declared.size();
    for (auto [i, type] : llvm::enumerate(declared)) {
      Tensor expected = substitute(cast<Tensor>(type), callee.getSymbols(), getSubstitution());
      if (given[i] != expected)
        return emitOpError("(C3) ") << what << " " << i << " is " << given[i] << ", but " << getCalleeAttr() << " has "
                                    << expected;
    }
    return success();
  };
  if (failed(check(getOperandTypes(), callee.getArgumentTypes(), "operand")))
    return failure();
  return check(getResultTypes(), callee.getResultTypes(), "result");
}

//===-- Values and elementwise ------------------------------------------------------------------------------------===//

LogicalResult ConstantOp::verify() {
  Tensor type = getType();
  if (type.getRank() != 0)
    return emitOpError("(C1) is a scalar, got ") << type;
  if (getValue().getType() != type.getElementType())
    return emitOpError("(C2) the value's type ") << getValue().getType() << " is not the element type of " << type;
  return success();
}

LogicalResult DimOp::verify() {
  if (!isScalarI64(getType()))
    return emitOpError("(C1) gives a rank-0 i64, got ") << getType();
  return success();
}

LogicalResult IotaOp::verify() {
  if (getType().getRank() != 1 || !getType().getElementType().isInteger(64))
    return emitOpError("(C1) gives a rank-1 i64, got ") << getType();
  return success();
}

LogicalResult CompareOp::verify() {
  if (!llvm::is_contained({"eq", "ne", "lt", "le", "gt", "ge"}, getPredicate()))
    return emitOpError("(C1) predicate must be one of eq ne lt le gt ge, got ") << getPredicateAttr();
  if (!isBool(getType()))
    return emitOpError("(C2) gives i1, got ") << getType();
  return success();
}

LogicalResult SelectOp::verify() {
  if (!isBool(typeOf(getCondition())))
    return emitOpError("(C1) the condition is i1, got ") << getCondition().getType();
  return success();
}

//===-- Shape -----------------------------------------------------------------------------------------------------===//

LogicalResult BroadcastOp::verify() {
  Tensor from = typeOf(getX()), to = getType();
  if (int64_t(getAxes().size()) != from.getRank() || !isAscendingAxes(getAxes(), to.getRank()))
    return emitOpError("(C1) axes are ascending result axes, one for each of the operand's ") << from.getRank();
  for (auto [i, axis] : llvm::enumerate(getAxes()))
    if (from.getDim(i) != to.getDim(axis))
      return emitOpError("(C2) operand axis ") << i << " has size " << from.getDim(i).str() << ", result axis " << axis
                                               << " has " << to.getDim(axis).str();
  if (from.getElementType() != to.getElementType())
    return emitOpError("(C3) element types differ: ") << from << " and " << to;
  return success();
}

LogicalResult ReshapeOp::verify() {
  Tensor from = typeOf(getX()), to = getType();
  if (from.getNumElements() != to.getNumElements())
    return emitOpError("(C1) has ") << from.getNumElements().str() << " elements, the result has "
                                    << to.getNumElements().str();
  if (from.getElementType() != to.getElementType())
    return emitOpError("(C2) element types differ: ") << from << " and " << to;
  return success();
}

LogicalResult TransposeOp::verify() {
  Tensor from = typeOf(getX()), to = getType();
  SmallVector<int64_t> sorted(getPermutation());
  llvm::sort(sorted);
  if (int64_t(sorted.size()) != from.getRank() || !isAscendingAxes(sorted, from.getRank()))
    return emitOpError("(C1) the permutation names each of the operand's ") << from.getRank() << " axes once";
  auto dims = llvm::map_to_vector(getPermutation(), [&](int64_t axis) { return from.getDim(axis); });
  if (from.cloneWith(dims) != to)
    return emitOpError("(C2) gives ") << from.cloneWith(dims) << ", not " << to;
  return success();
}

/// The constraints that slice and update_slice share; `part` is the slice's type.
template <typename OpT> static LogicalResult verifySlice(OpT op, Tensor whole, Tensor part) {
  int64_t axis = op.getAxis();
  if (!inRange(axis, whole))
    return op.emitOpError("(C1) axis ") << axis << " is not one of " << whole;
  int64_t removed[] = {axis};
  if (whole.getRank() != part.getRank() || whole.getElementType() != part.getElementType() ||
      without(whole, removed) != without(part, removed))
    return op.emitOpError("(C2) ") << whole << " and " << part << " differ elsewhere than in the size of axis " << axis;
  if (bool(op.getOffset()) == op.getStart().has_value())
    return op.emitOpError("(C3) has exactly one start: an operand or the attribute");
  if (op.getOffset() && !isScalarI64(typeOf(op.getOffset())))
    return op.emitOpError("(C3) the start is a rank-0 i64, got ") << op.getOffset().getType();
  if (op.getStep() == 0)
    return op.emitOpError("(C4) step is not 0");
  return success();
}

LogicalResult SliceOp::verify() { return verifySlice(*this, typeOf(getX()), getType()); }

LogicalResult UpdateSliceOp::verify() {
  if (getX().getType() != getType())
    return emitOpError("(C2) the result's type is x's: ") << getX().getType() << " and " << getType();
  return verifySlice(*this, typeOf(getX()), typeOf(getV()));
}

/// What indices along `axes` name of `x`; null after an error.
static Tensor verifyIndices(Operation *op, Tensor x, ValueRange indices, ArrayRef<int64_t> axes) {
  if (axes.empty() || axes.size() != indices.size() || !isAscendingAxes(axes, x.getRank())) {
    op->emitOpError("(C1) ") << indices.size() << " index tensors for axes that are not as many ascending ones of "
                             << x;
    return {};
  }
  Tensor first = typeOf(indices.front());
  for (Value index : indices) {
    Type element = typeOf(index).getElementType();
    if ((!element.isInteger(64) && !element.isInteger(32)) || typeOf(index).getDims() != first.getDims()) {
      op->emitOpError("(C2) indices are i64 or i32 of one shape, got ") << typeOf(index);
      return {};
    }
  }
  SmallVector<DimExpr> dims(x.getDims().take_front(axes.front()));
  llvm::append_range(dims, first.getDims());
  for (int64_t axis = axes.front(); axis < x.getRank(); ++axis)
    if (!llvm::is_contained(axes, axis))
      dims.push_back(x.getDim(axis));
  return x.cloneWith(dims);
}

LogicalResult GatherOp::verify() {
  Tensor type = verifyIndices(*this, typeOf(getX()), getIndices(), getAxes());
  if (type && type != getType())
    return emitOpError("(C3) gives ") << type << ", not " << getType();
  return success(bool(type));
}

LogicalResult ScatterOp::verify() {
  Tensor type = verifyIndices(*this, typeOf(getX()), getIndices(), getAxes());
  if (type && type != typeOf(getV()))
    return emitOpError("(C3) takes ") << type << ", not " << getV().getType();
  if (type && getX().getType() != getType())
    return emitOpError("(C4) the result's type is x's: ") << getX().getType() << " and " << getType();
  if (type && getAdds() && !type.getElementType().isF32())
    return emitOpError("(C5) adds f32, not ") << type.getElementType();
  return success(bool(type));
}

LogicalResult ConcatOp::verify() {
  int64_t axis = getAxis();
  if (getXs().empty() || !inRange(axis, getType()))
    return emitOpError("(C1) needs an operand and an axis in range, got axis ") << axis << " of " << getType();
  int64_t removed[] = {axis};
  DimExpr sum(0);
  for (Value x : getXs()) {
    Tensor type = typeOf(x);
    if (type.getRank() != getType().getRank() || type.getElementType() != getType().getElementType() ||
        without(type, removed) != without(getType(), removed))
      return emitOpError("(C2) ") << type << " and " << getType() << " differ elsewhere than in the size of axis "
                                  << axis;
    sum = sum + type.getDim(axis);
  }
  if (sum != getType().getDim(axis))
    return emitOpError("(C3) sizes along axis ")
           << axis << " add up to " << sum.str() << ", not " << getType().getDim(axis).str();
  return success();
}

//===-- Sums and products -----------------------------------------------------------------------------------------===//

static bool areDistinct(ArrayRef<int64_t> labels) {
  return llvm::SmallDenseSet<int64_t>(labels.begin(), labels.end()).size() == labels.size();
}

/// (C5) of graph.contract: rhs is a graph.pack's result [ceildiv(N, panel), K, panel] of a [k, n].
static LogicalResult verifyPacked(ContractOp op) {
  Tensor lhs = typeOf(op.getLhs()), rhs = typeOf(op.getRhs()), out = op.getType();
  ArrayRef<int64_t> labels = op.getRhsLabels();
  if (rhs.getRank() != 3 || labels.size() != 2)
    return op.emitOpError("(C5) a packed rhs has rank 3 and two labels, got ") << rhs;
  auto k = llvm::find(op.getLhsLabels(), labels[0]), n = llvm::find(op.getOutLabels(), labels[1]);
  if (k == op.getLhsLabels().end() || llvm::is_contained(op.getOutLabels(), labels[0]) ||
      n == op.getOutLabels().end() || llvm::is_contained(op.getLhsLabels(), labels[1]))
    return op.emitOpError("(C5) a packed rhs's labels are one that is summed and one that is free");
  DimExpr sizeK = lhs.getDim(k - op.getLhsLabels().begin()), sizeN = out.getDim(n - op.getOutLabels().begin());
  int64_t kBlock = op.getKBlock();
  std::optional<int64_t> width = rhs.getDim(2).value();
  if (!width || *width < 1 || kBlock < 1 || *width % kBlock ||
      rhs.getDim(0) != DimExpr::ceilDiv(sizeN, *width / kBlock) || rhs.getDim(1) * DimExpr(kBlock) != sizeK)
    return op.emitOpError("(C5) ") << rhs << " does not hold " << sizeK.str() << " x " << sizeN.str() << " in panels";
  return success();
}

/// (C6) of graph.contract: packed operands whose products are summed by several at a time.
static LogicalResult verifyBlocked(ContractOp op) {
  Type lhs = typeOf(op.getLhs()).getElementType(), rhs = typeOf(op.getRhs()).getElementType(),
       out = op.getType().getElementType();
  bool areFloats = lhs.isBF16() && rhs.isBF16() && out.isF32();
  bool areBytes = lhs.isInteger(8) && rhs.isInteger(8) && out.isInteger(32);
  if (!op.getPacked() || !(areFloats || areBytes))
    return op.emitOpError("(C6) a k_block is for packed operands of bf16 to f32 or of i8 to i32");
  if (failed(verifyPacked(op)))
    return failure();
  if (op.getLhsLabels().back() != op.getRhsLabels()[0])
    return op.emitOpError("(C6) with a k_block the last axis of lhs is summed");
  return success();
}

LogicalResult ContractOp::verify() {
  struct Side {
    Tensor type;
    ArrayRef<int64_t> labels;
  } lhs{typeOf(getLhs()), getLhsLabels()}, rhs{typeOf(getRhs()), getRhsLabels()}, out{getType(), getOutLabels()};
  for (const Side &side : {lhs, rhs}) {
    bool onePerAxis =
        int64_t(side.labels.size()) == side.type.getRank() || (getPacked() && side.labels.data() == rhs.labels.data());
    if (!onePerAxis || !areDistinct(side.labels))
      return emitOpError("(C1) needs one label for each axis of ") << side.type << ", all different";
  }
  if (int64_t(out.labels.size()) != out.type.getRank() || !areDistinct(out.labels))
    return emitOpError("(C2) needs one label for each axis of ") << out.type << ", all different";
  for (int64_t label : out.labels)
    if (!llvm::is_contained(lhs.labels, label) && !llvm::is_contained(rhs.labels, label))
      return emitOpError("(C2) result label ") << label << " is in neither operand";
  llvm::SmallDenseMap<int64_t, DimExpr> sizes;
  SmallVector<Side, 3> sides = {lhs, out}; // a packed rhs has no axis per label: (C5)
  if (!getPacked())
    sides.push_back(rhs);
  for (const Side &side : sides)
    for (auto [i, label] : llvm::enumerate(side.labels)) {
      DimExpr size = side.type.getDim(i), known = sizes.try_emplace(label, size).first->second;
      if (known != size)
        return emitOpError("(C3) label ") << label << " has the sizes " << known.str() << " and " << size.str();
    }
  for (auto [side, other] : {std::pair(lhs, rhs), std::pair(rhs, lhs)})
    for (int64_t label : side.labels)
      if (!llvm::is_contained(other.labels, label) && !llvm::is_contained(out.labels, label))
        return emitOpError("(C2) label ") << label << " is in one operand alone and not in the result";
  Type weights = rhs.type.getElementType();
  if (getKBlock() != 1)
    return verifyBlocked(*this);
  bool isNarrow = getPacked() && lhs.type.getElementType().isF32() && (weights.isBF16() || weights.isInteger(8));
  if (!isFloat(lhs.type) || (lhs.type.getElementType() != weights && !isNarrow) ||
      lhs.type.getElementType() != out.type.getElementType())
    return emitOpError("(C4) element types are one float type");
  if (getHiddenRhs() && (getHiddenLhs() || getPacked()))
    return emitOpError("(C7) elements are hidden of one operand, which is not packed");
  return getPacked() ? verifyPacked(*this) : success();
}

LogicalResult ReduceOp::verify() {
  Tensor x = typeOf(getX());
  if (!isAscendingAxes(getAxes(), x.getRank()))
    return emitOpError("(C1) axes are ascending axes of ") << x;
  if (without(x, getAxes()) != SmallVector<DimExpr>(getType().getDims()))
    return emitOpError("(C2) gives ") << x.cloneWith(without(x, getAxes())) << ", not " << getType();
  bool logic = llvm::is_contained({"any", "all"}, getKind());
  if (!logic && !llvm::is_contained({"sum", "prod", "max", "min"}, getKind()))
    return emitOpError("(C3) kind must be one of sum prod max min any all, got ") << getKindAttr();
  if (logic != isBool(x) || x.getElementType() != getType().getElementType())
    return emitOpError("(C3) ") << getKind() << " is not defined from " << x << " to " << getType();
  return success();
}

LogicalResult ArgmaxOp::verify() {
  Tensor x = typeOf(getX());
  if (!inRange(getAxis(), x))
    return emitOpError("(C1) axis ") << getAxis() << " is not one of " << x;
  int64_t removed[] = {int64_t(getAxis())};
  if (without(x, removed) != SmallVector<DimExpr>(getType().getDims()) || !getType().getElementType().isInteger(64))
    return emitOpError("(C2) gives i64 and x's sizes without the axis, not ") << getType();
  return success();
}

LogicalResult TopKOp::verify() {
  Tensor x = typeOf(getX()), values = typeOf(getValues()), indices = typeOf(getIndices());
  if (x.getRank() == 0 || isBool(x) || x.getElementType().isF64())
    return emitOpError("(C1) is defined for numbers but f64 with an axis, got ") << x;
  ArrayRef<DimExpr> rows = x.getDims().drop_back();
  if (values.getRank() != x.getRank() || values.getDims().drop_back() != rows || values.getDims() != indices.getDims())
    return emitOpError("(C2) ") << values << " and " << indices << " are not rows of " << x;
  if (values.getElementType() != x.getElementType() || !indices.getElementType().isInteger(64))
    return emitOpError("(C3) gives ") << x.getElementType() << " and i64, not " << values << " and " << indices;
  return success();
}

//===-- Made by passes --------------------------------------------------------------------------------------------===//

/// x's type without the axis that a softmax or a log-sum-exp is over.
static Tensor rowsOf(Tensor x, int64_t axis) {
  SmallVector<DimExpr> rows = llvm::to_vector(x.getDims());
  rows.erase(rows.begin() + axis);
  return x.cloneWith(ArrayRef<DimExpr>(rows));
}

LogicalResult SoftmaxOp::verify() {
  if (!inRange(getAxis(), getType()))
    return emitOpError("(C1) axis ") << getAxis() << " is not one of " << getType();
  if (!isFloat(getType()))
    return emitOpError("(C2) is defined for floats, got ") << getType();
  if (getSink() && getSink().getType() != rowsOf(getType(), getAxis()))
    return emitOpError("(C3) has a sink of ") << getSink().getType() << " for " << getType();
  return success();
}

LogicalResult GradOp::verify() {
  Tensor loss = typeOf(getLoss());
  if (loss.getRank() != 0 || !isa<FloatType>(loss.getElementType()))
    return emitOpError("(C1) the loss is a float of rank 0, got ") << loss;
  for (Value x : getWrt())
    if (!isa<FloatType>(typeOf(x).getElementType()))
      return emitOpError("(C2) gradients are with respect to floats, got ") << x.getType();
  if (TypeRange(getWrt()) != getGradients().getTypes())
    return emitOpError("(C3) gradients have the types of what they are with respect to");
  return success();
}

LogicalResult LogSumExpOp::verify() {
  Tensor x = typeOf(getX());
  if (!inRange(getAxis(), x))
    return emitOpError("(C1) axis ") << getAxis() << " is not one of " << x;
  if (!isFloat(x))
    return emitOpError("(C2) is defined for floats, got ") << x;
  if (getType() != rowsOf(x, getAxis()))
    return emitOpError("(C3) gives ") << rowsOf(x, getAxis()) << ", not " << getType();
  return success();
}

LogicalResult PackOp::verify() {
  Tensor x = typeOf(getX());
  int64_t panel = getPanel(), kBlock = getKBlock();
  if (x.getRank() != 2 || panel < 1)
    return emitOpError("(C1) packs [K, N] in panels of at least 1, got ") << x << " and " << panel;
  std::optional<DimExpr> rows = kBlock < 1 ? std::nullopt : DimExpr::exactDiv(x.getDim(0), DimExpr(kBlock));
  if (!rows)
    return emitOpError("(C1) packs rows by a k_block that divides their number, got ") << x << " and " << kBlock;
  DimExpr dims[] = {DimExpr::ceilDiv(x.getDim(1), panel), *rows, DimExpr(panel * kBlock)};
  if (x.cloneWith(dims) != getType())
    return emitOpError("(C1) gives ") << x.cloneWith(dims) << ", not " << getType();
  return success();
}

LogicalResult GroupOp::verify() {
  if (!llvm::is_contained({"map", "matmul", "attention", "top_k"}, getKind()))
    return emitOpError("(C3) kind must be map, matmul, attention or top_k, got ") << getKindAttr();
  Block &block = getBody().front();
  if (block.getArgumentTypes() != getInputs().getTypes())
    return emitOpError("(C1) the block's arguments have the types of the inputs");
  auto yield = block.empty() ? nullptr : dyn_cast<YieldOp>(block.back());
  if (!yield || yield.getOperandTypes() != getResultTypes())
    return emitOpError("(C2) the body ends with graph.yield of the results");
  for (Operation &op : block)
    if (isa<CallOp, GroupOp, FuncOp>(op))
      return op.emitOpError("(C4) cannot stand in a graph.group");
  auto contracts = llvm::range_size(block.getOps<ContractOp>()),
       attentions = size_t(llvm::count_if(
           block, [](Operation &op) { return isa<AttentionOp, AttentionBackwardOp, LinearAttentionOp>(op); })),
       selections = llvm::range_size(block.getOps<TopKOp>());
  if (contracts != (getKind() == "matmul") || attentions != (getKind() == "attention") ||
      selections != (getKind() == "top_k"))
    return emitOpError("(C3) a ") << getKind() << " group does not hold " << contracts << " contracts, " << attentions
                                  << " attentions and " << selections << " top_ks";
  return success();
}
