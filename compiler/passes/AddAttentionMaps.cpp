// Gives every entry that attends a twin that returns what its attentions look at as well:
//
//   @embed(ids) -> y     ->   @embed(ids) -> y,  @"embed-attention-maps"(ids) -> y, "layers.0.attention.weights", ...
//
// Maps are further passes over the tiles, by ops that are there: the weights by cells of keys are the attention with
// values that say which cell a key belongs to; entropies and column masses are sums of functions of exp(s - lse)
// (docs/graph.md). So no map holds queries by keys. Layers have twins as well, which are compiled once.
#include "compiler/autodiff/AttentionRule.h"
#include "compiler/passes/AttentionRegions.h"
#include "compiler/passes/Passes.h"
#include "dialects/graph/Places.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/StringMap.h"

namespace fovea {
#define GEN_PASS_DEF_ADDATTENTIONMAPS
#include "compiler/passes/Passes.h.inc"
} // namespace fovea

using namespace mlir;
using namespace fovea;

/// An attention that applies weights to values; others are statistics of one, or give its log-sum-exp.
static bool isMapped(graph::AttentionOp op) {
  if (op.getNormalizer() == "top_k" || typeOf(op.getV()).getDims().back().isConstant(0) || !op.getMoreK().empty())
    return false;
  return !graph::getSplat(op.getV());
}

namespace {
/// The maps of one attention.
class MapBuilder {
public:
  MapBuilder(graph::AttentionOp op, int64_t cells)
      : builder(op.getContext()), loc(withPath(op.getLoc(), "")), op(op), cells(cells) {
    isSoftmax = op.getNormalizer() == "softmax";
    if (isSoftmax)
      this->op = autodiff::withLogSum(op);
    builder.setInsertionPointAfter(this->op);
  }

  /// Weights summed over cells of keys: [batch..., T, cells].
  Value cellWeights();
  /// Of the weights of each query: [batch..., T]. The entropy of a softmax, otherwise the sum.
  Value querySums();
  /// The weights of each key, summed over the queries: [batch..., S].
  Value keySums();

private:
  graph::TensorType vectors(Type element, std::initializer_list<DimExpr> dims) {
    return graph::TensorType::get(builder.getContext(), ArrayRef<DimExpr>(dims.begin(), dims.size()), element);
  }
  Value broadcast(Value x, graph::TensorType type, ArrayRef<int64_t> axes) {
    return graph::BroadcastOp::create(builder, loc, type, x, axes);
  }
  Value inF32(Value x) {
    graph::TensorType type = typeOf(x).cloneWith(builder.getF32Type());
    return x.getType() == type ? x : Value(graph::CastOp::create(builder, loc, type, x));
  }
  Value cellOfKeys();
  Value ones(Value like);
  static void dropFactor(graph::AttentionOp copy);
  graph::AttentionOp pointwise(bool exchanged);
  void weigh(Block &score, bool isEntropy, Value logSum);
  Value sums(bool exchanged, bool isEntropy);

  OpBuilder builder;
  Location loc;
  graph::AttentionOp op;
  const int64_t cells;
  bool isSoftmax;
};
} // namespace

/// [S, cells]: 1 where the key belongs to the cell; cells are equally wide.
Value MapBuilder::cellOfKeys() {
  DimExpr keys = typeOf(op.getK()).getDims().drop_back().back();
  Type i64 = builder.getI64Type();
  graph::TensorType scalar = vectors(i64, {}), row = vectors(i64, {keys}), all = vectors(i64, {keys, DimExpr(cells)});
  Value width = graph::DimOp::create(builder, loc, scalar,
                                     graph::DimAttr::get(builder.getContext(), DimExpr::ceilDiv(keys, cells)));
  Value key = graph::IotaOp::create(builder, loc, row);
  Value cell = graph::FloorDivOp::create(builder, loc, key, broadcast(width, row, {}));
  Value number = graph::IotaOp::create(builder, loc, vectors(i64, {DimExpr(cells)}));
  Value isThere = graph::CompareOp::create(builder, loc, all.cloneWith(builder.getI1Type()), "eq",
                                           broadcast(cell, all, {0}), broadcast(number, all, {1}));
  return graph::CastOp::create(builder, loc, all.cloneWith(typeOf(op.getV()).getElementType()), isThere);
}

Value MapBuilder::cellWeights() {
  graph::TensorType v = typeOf(op.getV()), result = typeOf(op.getResult());
  auto withCells = [&](graph::TensorType type) {
    SmallVector<DimExpr> dims = llvm::to_vector(type.getDims());
    dims.back() = DimExpr(cells);
    return type.cloneWith(ArrayRef<DimExpr>(dims));
  };
  int64_t rank = v.getRank();
  Value values = broadcast(cellOfKeys(), withCells(v), {rank - 2, rank - 1});
  auto copy = graph::AttentionOp::create(builder, loc, TypeRange(withCells(result)), op.getQ(), op.getK(),
                                         op.getMoreK(), op.getJoinedQ(), op.getJoinedK(), values,
                                         /*moreV=*/ValueRange(), op.getCaptures(), op.getSinks(), op.getKeyRows(),
                                         op.getValueRows(), op.getNormalizerAttr());
  IRMapping mapping;
  op.getScore().cloneInto(&copy.getScore(), mapping);
  op.getMask().cloneInto(&copy.getMask(), mapping);
  dropFactor(copy);
  return inF32(copy.getResult());
}

/// Maps are of the weights as the softmax gives them.
void MapBuilder::dropFactor(graph::AttentionOp copy) {
  Operation *yield = copy.getScore().front().getTerminator();
  yield->eraseOperands(1, yield->getNumOperands() - 1);
}

/// Values of ones for what is like keys: [batch..., S, 1].
Value MapBuilder::ones(Value like) {
  SmallVector<DimExpr> dims = llvm::to_vector(typeOf(like).getDims());
  dims.back() = DimExpr(1);
  graph::TensorType type = typeOf(like).cloneWith(ArrayRef<DimExpr>(dims));
  Value one = graph::ConstantOp::create(builder, loc, type.cloneWith(ArrayRef<DimExpr>()),
                                        builder.getFloatAttr(type.getElementType(), 1));
  return broadcast(one, type, {});
}

/// The scores of the op, not normalised, summed: with q and k exchanged, over the queries.
graph::AttentionOp MapBuilder::pointwise(bool exchanged) {
  SmallVector<Value> q{op.getQ()}, k{op.getK()};
  llvm::append_range(q, op.getJoinedQ());
  llvm::append_range(k, op.getJoinedK());
  if (exchanged)
    std::swap(q, k);
  SmallVector<DimExpr> dims = llvm::to_vector(typeOf(q[0]).getDims());
  dims.back() = DimExpr(1);
  SmallVector<Value> captures = llvm::to_vector(op.getCaptures());
  if (isSoftmax && !llvm::is_contained(captures, op.getLse()))
    captures.push_back(op.getLse());
  graph::TensorType type = typeOf(q[0]).cloneWith(ArrayRef<DimExpr>(dims));
  auto sum = graph::AttentionOp::create(builder, loc, TypeRange(type), q[0], k[0], /*moreK=*/ValueRange(),
                                        ArrayRef(q).drop_front(), ArrayRef(k).drop_front(), ones(k[0]),
                                        /*moreV=*/ValueRange(), captures, Value(), Value(), Value(),
                                        builder.getStringAttr("pointwise"));
  IRMapping mapping;
  op.getScore().cloneInto(&sum.getScore(), mapping);
  op.getMask().cloneInto(&sum.getMask(), mapping);
  dropFactor(sum);
  for (Region *region : {&sum.getScore(), &sum.getMask()})
    if (exchanged && !region->empty()) {
      Block &block = region->front();
      Value query = block.getArgument(block.getNumArguments() - 2), key = block.getArguments().back();
      SmallVector<OpOperand *> keyUses = llvm::map_to_vector(key.getUses(), [](OpOperand &use) { return &use; });
      query.replaceAllUsesWith(key);
      for (OpOperand *use : keyUses)
        use->set(query);
    }
  return sum;
}

/// What the score region gives becomes its weight, exp(s - lse), or -w log w of that. `logSum` is of the query.
void MapBuilder::weigh(Block &score, bool isEntropy, Value logSum) {
  auto yield = cast<graph::YieldOp>(score.getTerminator());
  OpBuilder b(yield);
  auto number = [&](double value) -> Value { return arith::ConstantOp::create(b, loc, b.getF32FloatAttr(value)); };
  Value isEmpty = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OEQ, logSum,
                                        number(-std::numeric_limits<double>::infinity()));
  Value shift = arith::SelectOp::create(b, loc, isEmpty, number(0), logSum);
  Value difference = arith::SubFOp::create(b, loc, yield.getOperand(0), shift);
  Value weight = math::ExpOp::create(b, loc, difference);
  if (isEntropy) {
    Value isNone = arith::CmpFOp::create(b, loc, arith::CmpFPredicate::OEQ, weight, number(0));
    Value product = arith::MulFOp::create(b, loc, weight, arith::NegFOp::create(b, loc, difference));
    weight = arith::SelectOp::create(b, loc, isNone, number(0), product);
  }
  yield.setOperand(0, weight);
}

Value MapBuilder::sums(bool exchanged, bool isEntropy) {
  graph::AttentionOp sum = pointwise(exchanged);
  if (isSoftmax) {
    Block &score = sum.getScore().front();
    SmallVector<Value> row(score.getArguments().begin() + 1, score.getArguments().end() - 2);
    row.push_back(exchanged ? score.getArguments().back() : score.getArgument(score.getNumArguments() - 2));
    OpBuilder b = OpBuilder::atBlockBegin(&score);
    weigh(score, isEntropy, graph::AtOp::create(b, loc, b.getF32Type(), op.getLse(), row, Value()));
  }
  graph::TensorType type = typeOf(sum.getResult());
  Value rows = graph::ReshapeOp::create(builder, loc, type.cloneWith(type.getDims().drop_back()), sum.getResult());
  return inF32(rows);
}

Value MapBuilder::querySums() { return sums(false, isSoftmax); }
Value MapBuilder::keySums() { return sums(true, false); }

namespace {
/// Twins of functions, made once each.
class Twins {
public:
  Twins(ModuleOp module, int64_t cells) : symbols(module), cells(cells) {}

  /// Names of the maps, behind the function's own results, in its twin; none where nothing attends.
  struct Twin {
    graph::FuncOp function;
    SmallVector<std::string> names;
  };
  const Twin &of(graph::FuncOp function);

private:
  bool attends(graph::FuncOp function);
  void mapAttention(graph::AttentionOp op, Twin &twin, SmallVector<Value> &maps);
  void mapCall(graph::CallOp call, Twin &twin, SmallVector<Value> &maps);
  void add(Twin &twin, SmallVector<Value> &maps, const std::string &name, Value value);

  SymbolTable symbols;
  const int64_t cells;
  std::map<Operation *, Twin> twins;
};
} // namespace

bool Twins::attends(graph::FuncOp function) {
  return function
      .walk([&](Operation *op) {
        auto attention = dyn_cast<graph::AttentionOp>(op);
        auto call = dyn_cast<graph::CallOp>(op);
        bool isOne =
            (attention && isMapped(attention)) || (call && attends(symbols.lookup<graph::FuncOp>(call.getCallee())));
        return isOne ? WalkResult::interrupt() : WalkResult::advance();
      })
      .wasInterrupted();
}

void Twins::add(Twin &twin, SmallVector<Value> &maps, const std::string &name, Value value) {
  std::string unique = name;
  for (int n = 2; llvm::is_contained(twin.names, unique); ++n) {
    auto [path, kind] = StringRef(name).rsplit('.');
    unique = (path + "#" + Twine(n) + "." + kind).str();
  }
  twin.names.push_back(unique);
  maps.push_back(value);
}

void Twins::mapAttention(graph::AttentionOp op, Twin &twin, SmallVector<Value> &maps) {
  std::string path = pathOf(op.getLoc()).str();
  if (path.empty())
    path = "attention";
  bool isSoftmax = op.getNormalizer() == "softmax";
  MapBuilder builder(op, cells);
  add(twin, maps, path + ".weights", builder.cellWeights());
  add(twin, maps, path + (isSoftmax ? ".entropy" : ".sum"), builder.querySums());
  add(twin, maps, path + ".mass", builder.keySums());
}

void Twins::mapCall(graph::CallOp call, Twin &twin, SmallVector<Value> &maps) {
  const Twin &callee = of(symbols.lookup<graph::FuncOp>(call.getCallee()));
  if (callee.names.empty())
    return;
  OpBuilder builder(call);
  SmallVector<Type> types;
  graph::FuncOp function = callee.function;
  for (Type type : function.getResultTypes())
    types.push_back(graph::substitute(cast<graph::TensorType>(type), function.getSymbols(), call.getSubstitution()));
  auto more = graph::CallOp::create(builder, call.getLoc(), types, function.getSymName(), call.getOperands(),
                                    call.getSubstitution(), call.getPathAttr(), ArrayAttr(), ArrayAttr());
  size_t own = call.getNumResults();
  call.replaceAllUsesWith(more.getResults().take_front(own));
  for (auto [name, value] : llvm::zip_equal(callee.names, more.getResults().drop_front(own)))
    add(twin, maps, (call.getPath().value_or("") + (call.getPath() ? "." : "") + name).str(), value);
  call.erase();
}

const Twins::Twin &Twins::of(graph::FuncOp function) {
  auto [entry, isNew] = twins.try_emplace(function);
  Twin &twin = entry->second;
  if (!isNew || !attends(function))
    return twin;
  twin.function = function.clone();
  twin.function.setSymName((function.getSymName() + "-attention-maps").str());
  twin.function->removeAttr("graph.role"); // the entry has it
  symbols.insert(twin.function, std::next(function->getIterator()));
  SmallVector<Value> maps;
  for (Operation &op : llvm::make_early_inc_range(twin.function.getBody().front()))
    if (auto attention = dyn_cast<graph::AttentionOp>(op); attention && isMapped(attention))
      mapAttention(attention, twin, maps);
    else if (auto call = dyn_cast<graph::CallOp>(op))
      mapCall(call, twin, maps);
  Operation *terminator = twin.function.getBody().front().getTerminator();
  terminator->insertOperands(terminator->getNumOperands(), maps);
  SmallVector<Type> types(terminator->getOperandTypes());
  SmallVector<Attribute> roles;
  Builder builder(function.getContext());
  for (unsigned i = 0; i < function.getNumResults(); ++i)
    roles.push_back(twin.function.getResultAttrDict(i) ? twin.function.getResultAttrDict(i)
                                                       : builder.getDictionaryAttr({}));
  for (const std::string &name : twin.names)
    roles.push_back(builder.getDictionaryAttr(builder.getNamedAttr(graph::names::output, builder.getStringAttr(name))));
  twin.function.setFunctionType(builder.getFunctionType(twin.function.getArgumentTypes(), types));
  twin.function.setResAttrsAttr(builder.getArrayAttr(roles));
  return twin;
}

namespace {
class AddAttentionMaps : public fovea::impl::AddAttentionMapsBase<AddAttentionMaps> {
  using AddAttentionMapsBase::AddAttentionMapsBase;
  void runOnOperation() override {
    Twins twins(getOperation(), cells);
    for (auto function : llvm::to_vector(getOperation().getOps<graph::FuncOp>()))
      if (function.getEntry())
        numMaps += twins.of(function).names.size();
  }
};
} // namespace
