#include "compiler/autodiff/ScoreAdjoint.h"

#include "compiler/analysis/IndexSpread.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/StringMap.h"

using namespace mlir;
using namespace fovea;
using namespace fovea::autodiff;

namespace {

/// Writes scalar code.
class Scalars : public graph::Algebra {
public:
  Scalars(OpBuilder &b, Location loc) : b(b), loc(loc) {}

  Value apply(StringRef mnemonic, ValueRange operands) override {
    return graph::buildElementwise(mnemonic, b, loc, operands);
  }
  Value compare(StringRef predicate, Value x, Value y) override {
    return graph::buildComparison(predicate, b, loc, x, y);
  }
  Value convert(Value x, Value like) override {
    unsigned from = x.getType().getIntOrFloatBitWidth(), to = like.getType().getIntOrFloatBitWidth();
    if (from == to)
      return x;
    return from < to ? Value(arith::ExtFOp::create(b, loc, like.getType(), x))
                     : Value(arith::TruncFOp::create(b, loc, like.getType(), x));
  }
  Value constant(Value like, double number) override {
    return arith::ConstantOp::create(b, loc, b.getFloatAttr(like.getType(), number));
  }

private:
  OpBuilder &b;
  Location loc;
};

/// The row of the elementwise table that a scalar op is; empty where it is none. "0": the derivative is 0.
StringRef rowOf(Operation *op) {
  static const llvm::StringMap<StringRef> rows = {
      {"arith.addf", "add"},  {"arith.subf", "sub"},     {"arith.mulf", "mul"},     {"arith.divf", "div"},
      {"arith.negf", "neg"},  {"arith.maximumf", "max"}, {"arith.minimumf", "min"}, {"arith.select", "select"},
      {"arith.extf", "cast"}, {"arith.truncf", "cast"},  {"math.absf", "abs"},      {"math.exp", "exp"},
      {"math.log", "log"},    {"math.sqrt", "sqrt"},     {"math.rsqrt", "rsqrt"},   {"math.tanh", "tanh"},
      {"math.erf", "erf"},    {"math.sin", "sin"},       {"math.cos", "cos"},       {"math.powf", "pow"},
      {"math.floor", "0"},    {"math.ceil", "0"},
  };
  return rows.lookup(op->getName().getStringRef());
}

/// 1 / (1 + exp(-x)): its parts overflow where it is 0 or 1, and so would their derivatives. Gives x.
Value sigmoidOf(Operation *op) {
  auto isOne = [](Value x) { return matchPattern(x, m_OneFloat()); };
  auto quotient = dyn_cast<arith::DivFOp>(op);
  auto sum = quotient && isOne(quotient.getLhs()) ? quotient.getRhs().getDefiningOp<arith::AddFOp>() : arith::AddFOp();
  if (!sum || (!isOne(sum.getLhs()) && !isOne(sum.getRhs())))
    return {};
  auto power = sum->getOperand(isOne(sum.getLhs()) ? 1 : 0).getDefiningOp<math::ExpOp>();
  auto minus = power ? power.getOperand().getDefiningOp<arith::NegFOp>() : arith::NegFOp();
  return minus ? minus.getOperand() : Value();
}

/// Reverse mode over a score region.
class ScoreReverse {
public:
  ScoreReverse(graph::AttentionOp op, llvm::function_ref<bool(Value)> wanted, Region &adjoint)
      : batch(cast<graph::TensorType>(op.getQ().getType()).getDims().drop_back(2)), score(op.getScore().front()),
        wanted(wanted), b(op.getContext()) {
    SmallVector<Type> types(score.getArgumentTypes());
    types.append(score.getTerminator()->getNumOperands(), b.getF32Type());
    Block *block = b.createBlock(&adjoint, {}, types, SmallVector<Location>(types.size(), op.getLoc()));
    mapping.map(score.getArguments(), block->getArguments().take_front(score.getNumArguments()));
  }

  FailureOr<SmallVector<CaptureGradient>> run(Operation *&obstacle) {
    markReached();
    for (Operation &op : score.without_terminator())
      b.clone(op, mapping);
    Operation *yield = score.getTerminator();
    // What reaches the score, and the weight's factor.
    auto arriving = b.getInsertionBlock()->getArguments().drop_front(score.getNumArguments());
    for (auto [yielded, gradient] : llvm::zip_equal(yield->getOperands(), arriving))
      pass(yielded, gradient);
    SmallVector<CaptureGradient> sums;
    SmallVector<Value> results{Value()};
    for (Operation &op : llvm::reverse(score.without_terminator())) {
      Value gradient = op.getNumResults() == 1 ? reaching.lookup(op.getResult(0)) : Value();
      if (!gradient || !reached.contains(op.getResult(0)))
        continue;
      if (auto at = dyn_cast<graph::AtOp>(op)) {
        sums.push_back(addTo(at, gradient, results));
      } else if (failed(back(op, gradient))) {
        obstacle = &op;
        return failure();
      }
    }
    Value product = reaching.lookup(score.getArgument(0));
    results[0] = product ? product : constant(yield->getLoc(), 0);
    graph::YieldOp::create(b, yield->getLoc(), results);
    return sums;
  }

private:
  Value constant(Location loc, double number) { return arith::ConstantOp::create(b, loc, b.getF32FloatAttr(number)); }

  /// Values that depend on the product or on what a gradient goes to.
  void markReached() {
    reached.insert(score.getArgument(0));
    for (Operation &op : score.without_terminator()) {
      auto at = dyn_cast<graph::AtOp>(op);
      bool isReached =
          at ? wanted(at.getX()) : llvm::any_of(op.getOperands(), [&](Value x) { return reached.contains(x); });
      if (isReached && isa<FloatType>(op.getResult(0).getType()))
        reached.insert(op.getResult(0));
    }
  }

  void pass(Value operand, Value gradient) {
    if (!gradient || !reached.contains(operand))
      return;
    Value &sum = reaching[operand];
    sum = sum ? Value(arith::AddFOp::create(b, gradient.getLoc(), sum, gradient)) : gradient;
  }

  LogicalResult back(Operation &op, Value gradient) {
    Scalars scalars(b, op.getLoc());
    Value result = mapping.lookup(op.getResult(0));
    if (Value x = sigmoidOf(&op)) {
      pass(x, graph::buildAdjoint("sigmoid", scalars, gradient, mapping.lookup(x), result, 0));
      return success();
    }
    StringRef row = rowOf(&op);
    if (row.empty())
      return failure();
    if (row == "0")
      return success();
    SmallVector<Value> operands = llvm::map_to_vector(op.getOperands(), [&](Value x) { return mapping.lookup(x); });
    for (auto [i, x] : llvm::enumerate(op.getOperands())) {
      if (!reached.contains(x))
        continue;
      pass(x, row == "cast" ? scalars.convert(gradient, operands[i])
                            : graph::buildAdjoint(row, scalars, gradient, operands, result, i));
    }
    return success();
  }

  /// The batch axes whose row-major number the index is; none where it is none.
  SmallVector<int64_t> axesOf(Value index) {
    if (auto argument = dyn_cast<BlockArgument>(index)) {
      int64_t axis = int64_t(argument.getArgNumber()) - 1;
      return axis < int64_t(batch.size()) ? SmallVector<int64_t>{axis} : SmallVector<int64_t>{};
    }
    auto sum = index.getDefiningOp<arith::AddIOp>();
    for (int side : {0, 1}) {
      auto product = sum ? sum->getOperand(side).getDefiningOp<arith::MulIOp>() : arith::MulIOp();
      if (!product)
        continue;
      SmallVector<int64_t> low = axesOf(sum->getOperand(1 - side));
      DimExpr size(1);
      for (int64_t axis : low)
        size = size * batch[axis];
      for (int factor : {0, 1}) {
        SmallVector<int64_t> high = axesOf(product->getOperand(factor));
        if (high.empty() || low.empty() || sizeOf(product->getOperand(1 - factor)) != size)
          continue;
        llvm::append_range(high, low);
        return high;
      }
    }
    return {};
  }
  static std::optional<DimExpr> sizeOf(Value index) {
    APInt number;
    if (matchPattern(index, m_ConstantInt(&number)))
      return DimExpr(number.getSExtValue());
    auto size = index.getDefiningOp<graph::SizeOp>();
    return size ? std::optional(size.getSize().getValue()) : std::nullopt;
  }

  CaptureGradient addTo(graph::AtOp at, Value gradient, SmallVectorImpl<Value> &results) {
    CaptureGradient sum{at.getX(), {}};
    auto arguments = score.getArguments();
    auto capture = cast<graph::TensorType>(at.getX().getType());
    SmallVector<int64_t> own;
    SmallVector<Value> indices;
    SmallVector<DimExpr> dims;
    for (auto [index, dim] : llvm::zip(at.getIndices(), capture.getDims())) {
      SmallVector<int64_t> axes = axesOf(index);
      for (int64_t axis : axes) {
        indices.push_back(mapping.lookup(arguments[1 + axis]));
        dims.push_back(batch[axis]);
      }
      llvm::append_range(own, axes);
      if (axes.empty()) {
        indices.push_back(mapping.lookup(index));
        dims.push_back(dim);
      }
    }
    if (!gradient.getType().isF32())
      gradient = Scalars(b, at.getLoc()).convert(gradient, constant(at.getLoc(), 0));
    results.push_back(gradient);
    if (at.getGuard())
      results.push_back(mapping.lookup(at.getGuard()));
    // What has an element for each query and key is added up over the other batch axes in its place.
    auto reads = [&](BlockArgument argument) {
      return llvm::any_of(at.getIndices(), [&](Value index) { return sizesTaken(index, argument).has_value(); });
    };
    if (!reads(arguments.drop_back().back()) || !reads(arguments.back()))
      for (auto [axis, dim] : llvm::enumerate(batch))
        if (!llvm::is_contained(own, axis)) {
          ++sum.partial;
          sum.dims.push_back(dim);
          results.push_back(mapping.lookup(arguments[1 + axis]));
        }
    llvm::append_range(sum.dims, dims);
    llvm::append_range(results, indices);
    return sum;
  }

  ArrayRef<DimExpr> batch; ///< sizes of the batch axes
  Block &score;
  llvm::function_ref<bool(Value)> wanted;
  OpBuilder b;
  IRMapping mapping;
  DenseSet<Value> reached;
  DenseMap<Value, Value> reaching; ///< of values of the score, in the adjoint
};

} // namespace

FailureOr<SmallVector<CaptureGradient>> autodiff::buildScoreAdjoint(graph::AttentionOp op,
                                                                    llvm::function_ref<bool(Value)> wanted,
                                                                    Region &adjoint, Operation *&obstacle) {
  auto sums = ScoreReverse(op, wanted, adjoint).run(obstacle);
  if (failed(sums))
    adjoint.getBlocks().clear();
  return sums;
}

std::string autodiff::whyNotDifferentiable(graph::AttentionOp op) {
  if (op.getNormalizer() == "top_k")
    return "the largest scores are wanted";
  Region adjoint;
  Operation *obstacle = nullptr;
  auto isFloat = [](Value x) { return isa<FloatType>(cast<graph::TensorType>(x.getType()).getElementType()); };
  if (succeeded(buildScoreAdjoint(op, isFloat, adjoint, obstacle)))
    return "";
  return "`" + obstacle->getName().getStringRef().str() + "` of the score has no derivative";
}
