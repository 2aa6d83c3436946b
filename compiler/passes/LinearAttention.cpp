// Linear attention: from the point programs of a pointwise graph.attention to graph.linear_attention, and without a
// mask to two products.
//
// A weight that is s a(t) b(j) w(t, j), where w of two steps is the product of theirs, lets one matrix stand for all
// keys and values before a place. That w is such a decay is proved by its form: an exponential (or a power of what is
// the same for all places) of differences f(t) - f(j), of the same f; products and quotients of those.
#include "compiler/passes/LinearAttention.h"

#include "dialects/graph/Places.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace fovea;

namespace {

//===-- Forms of scalars ------------------------------------------------------------------------------------------===//

/// Values of a region over (..., t, j).
class Places {
public:
  explicit Places(Block &block)
      : block(block), t(block.getArgument(block.getNumArguments() - 2)), j(block.getArguments().back()) {}

  bool hasQuery(Value value) { return dependsOn(value, t); }
  bool hasKey(Value value) { return dependsOn(value, j); }
  bool isUniform(Value value) { return !hasQuery(value) && !hasKey(value); }
  bool dependsOn(Value value, Value on) {
    if (value == on)
      return true;
    Operation *op = value.getDefiningOp();
    if (!op || op->getBlock() != &block)
      return false;
    auto [known, isNew] = dependence.try_emplace({value, on}, false);
    if (!isNew)
      return known->second;
    bool found = llvm::any_of(op->getOperands(), [&](Value x) { return dependsOn(x, on); });
    return dependence[{value, on}] = found;
  }

  /// Whether a condition is t >= j and no less.
  bool isCausal(Value condition) {
    if (auto both = condition.getDefiningOp<arith::AndIOp>())
      return isCausal(both.getLhs()) && isCausal(both.getRhs());
    if (auto compare = condition.getDefiningOp<arith::CmpFOp>())
      return isCausalF(compare);
    auto compare = condition.getDefiningOp<arith::CmpIOp>();
    std::optional<Affine> left = compare ? affine(compare.getLhs()) : std::nullopt;
    std::optional<Affine> right = left ? affine(compare.getRhs()) : std::nullopt;
    return right && isCausal(compare.getPredicate(), *left - *right);
  }

  /// Whether a value is x(t, j) = x(t, r) + x(r, j) for all j <= r <= t.
  bool isDifference(Value value) {
    Operation *op = value.getDefiningOp();
    if (!op || op->getBlock() != &block)
      return false;
    if (isa<arith::SIToFPOp, arith::IndexCastOp, arith::ExtSIOp, arith::NegFOp>(op))
      return isDifference(op->getOperand(0));
    if (isa<arith::MulFOp, arith::MulIOp>(op) && isUniform(op->getOperand(0)))
      return isDifference(op->getOperand(1));
    if (isa<arith::MulFOp, arith::MulIOp, arith::DivFOp>(op) && isUniform(op->getOperand(1)))
      return isDifference(op->getOperand(0));
    if (std::optional<Affine> form = affine(withoutBound(value)); form && value.getType().isIntOrIndex())
      return form->query == -form->key && form->number == 0;
    if (Value visible = underMask(value))
      return isDifference(visible);
    SmallVector<Addend> addends;
    addendsOf(value, false, addends);
    return addends.size() > 1 && cancel(addends);
  }

  /// What a choice gives where the key is visible.
  Value underMask(Value value) {
    auto select = value.getDefiningOp<arith::SelectOp>();
    return select && isCausal(select.getCondition()) ? select.getTrueValue() : Value();
  }

private:
  struct Affine {
    int64_t query = 0, key = 0, number = 0;
    Affine operator-(const Affine &other) const {
      return {query - other.query, key - other.key, number - other.number};
    }
  };
  struct Addend {
    Value value;
    bool isNegative;
  };

  /// Whether x stands in this relation to 0 where t >= j and nowhere else.
  static bool isCausal(arith::CmpIPredicate relation, Affine x) {
    if (relation == arith::CmpIPredicate::slt || relation == arith::CmpIPredicate::sle) {
      x = Affine{} - x;
      relation = relation == arith::CmpIPredicate::slt ? arith::CmpIPredicate::sgt : arith::CmpIPredicate::sge;
    }
    if (relation == arith::CmpIPredicate::sgt)
      x.number -= 1;
    else if (relation != arith::CmpIPredicate::sge)
      return false;
    return x.query == 1 && x.key == -1 && x.number == 0;
  }

  /// The sign of a float that was an integer is that of the integer; two of them may be rounded to be equal.
  bool isCausalF(arith::CmpFOp compare) {
    auto sign = [&](Value value) {
      auto cast = value.getDefiningOp<arith::SIToFPOp>();
      return cast ? affine(cast.getIn()) : std::nullopt;
    };
    bool isLeft = matchPattern(compare.getRhs(), m_AnyZeroFloat());
    if (!isLeft && !matchPattern(compare.getLhs(), m_AnyZeroFloat()))
      return false;
    std::optional<Affine> x = sign(isLeft ? compare.getLhs() : compare.getRhs());
    if (!x)
      return false;
    Affine difference = isLeft ? *x : Affine{} - *x;
    switch (compare.getPredicate()) {
    case arith::CmpFPredicate::OGE:
      return isCausal(arith::CmpIPredicate::sge, difference);
    case arith::CmpFPredicate::OGT:
      return isCausal(arith::CmpIPredicate::sgt, difference);
    case arith::CmpFPredicate::OLE:
      return isCausal(arith::CmpIPredicate::sle, difference);
    case arith::CmpFPredicate::OLT:
      return isCausal(arith::CmpIPredicate::slt, difference);
    default:
      return false;
    }
  }

  /// a t + b j + c, of numbers.
  std::optional<Affine> affine(Value value) {
    if (value == t)
      return Affine{1, 0, 0};
    if (value == j)
      return Affine{0, 1, 0};
    APInt number;
    if (matchPattern(value, m_ConstantInt(&number)))
      return Affine{0, 0, number.getSExtValue()};
    Operation *op = value.getDefiningOp();
    if (isa_and_nonnull<arith::IndexCastOp, arith::ExtSIOp>(op))
      return affine(op->getOperand(0));
    if (!isa_and_nonnull<arith::AddIOp, arith::SubIOp>(op))
      return std::nullopt;
    std::optional<Affine> left = affine(op->getOperand(0)), right = affine(op->getOperand(1));
    if (!left || !right)
      return std::nullopt;
    return isa<arith::SubIOp>(op) ? *left - *right : *left - (Affine{} - *right);
  }

  /// x of max(x, 0) and of |x|, which for a visible key are t - j as x is.
  Value withoutBound(Value value) {
    Operation *op = value.getDefiningOp();
    bool isBound = isa_and_nonnull<arith::MaxSIOp>(op) &&
                   (matchPattern(op->getOperand(1), m_Zero()) || matchPattern(op->getOperand(0), m_Zero()));
    if (!isBound && !isa_and_nonnull<math::AbsIOp>(op))
      return value;
    Value x = isBound && matchPattern(op->getOperand(0), m_Zero()) ? op->getOperand(1) : op->getOperand(0);
    std::optional<Affine> form = affine(x);
    return form && form->query > 0 ? x : value;
  }

  void addendsOf(Value value, bool isNegative, SmallVectorImpl<Addend> &addends) {
    Operation *op = value.getDefiningOp();
    if (addends.size() < 64 && isa_and_nonnull<arith::AddFOp, arith::SubFOp>(op)) {
      addendsOf(op->getOperand(0), isNegative, addends);
      addendsOf(op->getOperand(1), isNegative != isa<arith::SubFOp>(op), addends);
    } else if (addends.size() < 64 && isa_and_nonnull<arith::NegFOp>(op)) {
      addendsOf(op->getOperand(0), !isNegative, addends);
    } else {
      addends.push_back({value, isNegative});
    }
  }

  /// Whether addends are differences, each by itself or two that are the same of t and of j.
  bool cancel(SmallVector<Addend> addends) {
    while (!addends.empty()) {
      Addend one = addends.pop_back_val();
      bool isOfQuery = hasQuery(one.value), isOfKey = hasKey(one.value);
      if (isOfQuery && isOfKey) {
        if (!isDifference(one.value))
          return false;
        continue;
      }
      auto other = llvm::find_if(
          addends, [&](Addend x) { return x.isNegative != one.isNegative && isSame(one.value, x.value, isOfQuery); });
      if (isOfQuery == isOfKey || other == addends.end())
        return false;
      addends.erase(other);
    }
    return true;
  }

  /// Whether `b` is `a` with the query's place and the key's exchanged: `ofQuery` says of which `a` is.
  bool isSame(Value a, Value b, bool ofQuery, unsigned depth = 0) {
    if (a == (ofQuery ? t : j))
      return b == (ofQuery ? j : t);
    if (a == b)
      return isUniform(a);
    Operation *x = a.getDefiningOp(), *y = b.getDefiningOp();
    if (!x || !y || depth > 32 || x->getName() != y->getName() || x->getNumOperands() != y->getNumOperands() ||
        x->getAttrDictionary() != y->getAttrDictionary() || a.getType() != b.getType() || x->getBlock() != &block)
      return false;
    return llvm::all_of(llvm::zip(x->getOperands(), y->getOperands()),
                        [&](auto pair) { return isSame(std::get<0>(pair), std::get<1>(pair), ofQuery, depth + 1); });
  }

  Block &block;
  Value t, j;
  llvm::DenseMap<std::pair<Value, Value>, bool> dependence;
};

//===-- The weights -----------------------------------------------------------------------------------------------===//

/// A weight as a product.
class Weight {
public:
  struct Factor {
    Value value;
    bool divides;
  };
  SmallVector<Factor> queries, keys, decays;

  explicit Weight(Block &block) : places(block), score(block.getArgument(0)) {}

  /// Takes apart what has the score in it.
  bool takeScore(Value value) {
    while (value != score) {
      Operation *op = value.getDefiningOp();
      if (Value visible = places.underMask(value)) {
        value = visible;
      } else if (isa_and_nonnull<arith::NegFOp, arith::TruncFOp, arith::ExtFOp>(op)) { // products stay in f32
        isNegative ^= isa<arith::NegFOp>(op);
        value = op->getOperand(0);
      } else if (isa_and_nonnull<arith::MulFOp, arith::DivFOp>(op)) {
        unsigned side = places.dependsOn(op->getOperand(0), score) ? 0 : 1;
        bool divides = isa<arith::DivFOp>(op);
        if (places.dependsOn(op->getOperand(1 - side), score) || (divides && side == 1) ||
            !takeFactor(op->getOperand(1 - side), divides))
          return false;
        value = op->getOperand(side);
      } else {
        return false;
      }
    }
    return true;
  }
  bool isNegative = false;

  /// The value that this one is where the key is visible.
  Value whereVisible(Value value) {
    while (Value visible = places.underMask(value))
      value = visible;
    return value;
  }

private:
  bool takeFactor(Value value, bool divides) {
    if (!places.hasKey(value))
      return queries.push_back({value, divides}), true;
    if (!places.hasQuery(value))
      return keys.push_back({value, divides}), true;
    Operation *op = value.getDefiningOp();
    if (Value visible = places.underMask(value))
      return takeFactor(visible, divides);
    if (isa<arith::MulFOp, arith::DivFOp>(op))
      return takeFactor(op->getOperand(0), divides) && takeFactor(op->getOperand(1), divides != isa<arith::DivFOp>(op));
    bool isDecay =
        (isa<math::ExpOp>(op) && places.isDifference(op->getOperand(0))) ||
        (isa<math::PowFOp>(op) && places.isUniform(op->getOperand(0)) && places.isDifference(op->getOperand(1)));
    if (isDecay)
      decays.push_back({value, divides});
    return isDecay;
  }

  Places places;
  Value score;
};

/// Fills a region with the product of some factors, which are values of `from`, as they are for visible keys; arguments
/// of `from` that the region has not are `left`.
void fillRegion(Region &region, Block &from, Weight &weight, ArrayRef<Weight::Factor> factors, bool isNegative,
                std::optional<unsigned> left) {
  if (factors.empty() && !isNegative)
    return;
  OpBuilder builder(from.getParentOp()->getContext());
  Location loc = from.getParentOp()->getLoc();
  Block *block = builder.createBlock(&region);
  IRMapping mapping;
  for (auto [i, argument] : llvm::enumerate(from.getArguments().drop_front())) // the score
    if (i + 1 != left)
      mapping.map(argument, block->addArgument(argument.getType(), argument.getLoc()));
  llvm::SetVector<Operation *> needed;
  SmallVector<Value> work = llvm::map_to_vector(factors, [](Weight::Factor factor) { return factor.value; });
  while (!work.empty())
    if (Operation *op = weight.whereVisible(work.pop_back_val()).getDefiningOp();
        op && op->getBlock() == &from && needed.insert(op))
      llvm::append_range(work, op->getOperands());
  for (Operation &op : from)
    if (needed.contains(&op))
      builder.clone(op, mapping);
    else if (op.getNumResults() == 1)
      mapping.map(op.getResult(0), mapping.lookupOrDefault(weight.whereVisible(op.getResult(0))));
  Value product;
  auto one = [&](double value) -> Value {
    return arith::ConstantOp::create(builder, loc, builder.getF32FloatAttr(value));
  };
  for (Weight::Factor factor : factors) {
    Value value = mapping.lookup(factor.value);
    if (factor.divides)
      product = arith::DivFOp::create(builder, loc, product ? product : one(1), value);
    else
      product = product ? arith::MulFOp::create(builder, loc, product, value).getResult() : value;
  }
  if (isNegative)
    product = product ? arith::NegFOp::create(builder, loc, product).getResult() : one(-1);
  graph::YieldOp::create(builder, loc, product);
}

} // namespace

graph::LinearAttentionOp fovea::raiseLinearAttention(graph::AttentionOp op, ChainReport &report) {
  graph::TensorType q = typeOf(op.getQ()), k = typeOf(op.getK());
  int64_t rank = q.getRank();
  if (op.getNormalizer() != "pointwise" || op.getMask().empty() || !op.getJoinedQ().empty() ||
      q.getDim(rank - 2) != k.getDim(rank - 2))
    return {};
  Block &mask = op.getMask().front(), &block = op.getScore().front();
  if (!Places(mask).isCausal(mask.getTerminator()->getOperand(0)))
    return {};
  Weight weight(block);
  if (!weight.takeScore(block.getTerminator()->getOperand(0)))
    return {};
  OpBuilder builder(op);
  auto linear = graph::LinearAttentionOp::create(builder, op.getLoc(), op.getResult().getType(), op.getQ(), op.getK(),
                                                 op.getV(), ValueRange());
  unsigned query = block.getNumArguments() - 2;
  fillRegion(linear.getQueries(), block, weight, weight.queries, weight.isNegative, query + 1);
  fillRegion(linear.getKeys(), block, weight, weight.keys, false, query);
  fillRegion(linear.getDecay(), block, weight, weight.decays, false, std::nullopt);
  llvm::SetVector<Value> captures;
  linear->walk([&](graph::AtOp at) { captures.insert(at.getX()); });
  linear.getCapturesMutable().assign(captures.getArrayRef());
  op.getResult().replaceAllUsesWith(linear.getResult());
  op.erase();
  report.proved(weight.decays.empty()
                    ? "linear in the scores, each query sees the keys up to its own: computed by chunks of keys"
                    : "linear in the scores, with a decay from key to query: computed by chunks of keys");
  return linear;
}

//===-- Without a mask --------------------------------------------------------------------------------------------===//

/// Whether q (k^T v) costs less than (q k^T) v at all sizes, or at all but small ones where a length is a name: chosen
/// once, so that a row's bits do not depend on how many others there are.
static bool costsLess(AttentionMatch &match) {
  auto size = [&](ArrayRef<Label> labels) { return match.expressions.sizeOf(labels).value(); };
  std::optional<int64_t> t = size(match.query), s = size(match.key), d = size(match.inner), e = size(match.value);
  if (!d || !e)
    return false;
  double matrix = double(*d) * *e, both = double(*d) + *e;
  if (t && s)
    return (double(*s) + *t) * matrix < double(*t) * *s * both;
  if (t || s)
    return matrix < double(t ? *t : *s) * both;
  return true;
}

Value fovea::reassociate(AttentionMatch &match, ChainReport &report) {
  if (match.query.empty() || !costsLess(match))
    return {};
  OpBuilder builder(match.product);
  Location loc = withPath(match.product.getLoc(), "");
  const ElementExpressions &expressions = match.expressions;
  Type element = typeOf(match.product.getResult()).getElementType();
  if (!llvm::all_of(ArrayRef{match.q, match.k, match.v},
                    [&](Value x) { return typeOf(x).getElementType() == element; }))
    return {};
  Value q = relabel(builder, loc, expressions, match.q, match.qLabels, match.laidOut({match.query, match.inner}));
  Value k = relabel(builder, loc, expressions, match.k, match.kLabels, match.laidOut({match.key, match.inner}));
  Value v = relabel(builder, loc, expressions, match.v, match.vLabels, match.laidOut({match.key, match.value}));
  for (const AttentionMatch::Factor &factor : match.keyFactors)
    v = scale(builder, match, v, match.laidOut({match.key, match.value}), factor);
  int64_t batches = typeOf(q).getRank() - 2;
  // [batch..., T, D] and so on: t, d, j, e are the labels behind the batches.
  auto labels = [&](int64_t first, int64_t second) {
    SmallVector<int64_t> result = llvm::to_vector(llvm::seq<int64_t>(0, batches));
    result.push_back(batches + first), result.push_back(batches + second);
    return result;
  };
  enum { t, d, j, e };
  auto contract = [&](Value left, ArrayRef<int64_t> leftLabels, Value right, ArrayRef<int64_t> rightLabels,
                      DimExpr rows, ArrayRef<int64_t> out, Location at) -> Value {
    SmallVector<DimExpr> dims = llvm::to_vector(typeOf(left).getDims().drop_back(2));
    dims.push_back(rows);
    dims.push_back(typeOf(right).getDims().back());
    return graph::ContractOp::create(builder, at, typeOf(left).cloneWith(dims), left, right, leftLabels, rightLabels,
                                     out, false);
  };
  Value matrix = contract(k, labels(j, d), v, labels(j, e), typeOf(k).getDims().back(), labels(d, e), loc);
  Value result =
      contract(q, labels(t, d), matrix, labels(d, e), typeOf(q).getDim(batches), labels(t, e), match.product.getLoc());
  report.proved("linear in the scores: computed as q (k^T v), which costs less");
  llvm::append_range(match.factors, match.queryFactors);
  match.isNegative ^= match.isScoreNegative;
  return finishProduct(builder, match, result);
}
