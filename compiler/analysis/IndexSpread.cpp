#include "compiler/analysis/IndexSpread.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;

namespace fovea {
namespace {

class Spread {
public:
  Spread(Block &region, int64_t queries, int64_t keys) : region(region), queries(queries), keys(keys) {}

  std::optional<int64_t> of(Value value) {
    auto [at, isNew] = memo.try_emplace(value);
    if (!isNew)
      return at->second;
    std::optional<int64_t> result = compute(value);
    return memo[value] = result && *result <= mostIndexSpread ? result : std::nullopt;
  }

private:
  using Known = std::optional<int64_t>;

  Known compute(Value value) {
    if (!dependenceOf(value, region).any())
      return 0;
    Operation *op = value.getDefiningOp();
    if (!op)
      return value == region.getArguments().back() ? keys - 1 : queries - 1;
    // What may wrap around has no bound.
    if (value.getType().isInteger(32))
      return std::nullopt;
    return llvm::TypeSwitch<Operation *, Known>(op)
        .Case<arith::IndexCastOp, arith::ExtSIOp, math::AbsIOp>([&](auto o) { return of(o->getOperand(0)); })
        .Case<arith::AddIOp, arith::SubIOp>([&](auto o) { return sum(of(o.getLhs()), of(o.getRhs())); })
        .Case<arith::MinSIOp, arith::MaxSIOp>([&](auto o) { return larger(of(o.getLhs()), of(o.getRhs())); })
        .Case<arith::MulIOp>([&](auto o) { return product(o); })
        .Default([](Operation *) { return Known(); });
  }

  static Known sum(Known a, Known b) { return a && b ? Known(*a + *b) : std::nullopt; }
  static Known larger(Known a, Known b) { return a && b ? Known(std::max(*a, *b)) : std::nullopt; }
  static Known constant(Value value) {
    APInt number;
    if (!matchPattern(value, m_ConstantInt(&number)) || number.getSExtValue() < -mostIndexSpread ||
        number.getSExtValue() > mostIndexSpread)
      return std::nullopt;
    return number.getSExtValue();
  }
  Known product(arith::MulIOp op) {
    for (auto [factor, other] : {std::pair(op.getLhs(), op.getRhs()), std::pair(op.getRhs(), op.getLhs())})
      if (Known by = constant(factor))
        if (Known spread = of(other))
          return std::abs(*by) * *spread;
    return std::nullopt;
  }

  Block &region;
  int64_t queries, keys;
  llvm::DenseMap<Value, Known> memo;
};

} // namespace

IndexDependence dependenceOf(Value index, Block &region) {
  IndexDependence result;
  llvm::DenseSet<Value> seen;
  SmallVector<Value> work{index};
  Value key = region.getArguments().back(), query = region.getArgument(region.getNumArguments() - 2);
  while (!work.empty()) {
    Value value = work.pop_back_val();
    result.query |= value == query;
    result.key |= value == key;
    Operation *op = value.getDefiningOp();
    if (!op || op->getBlock() != &region || !seen.insert(value).second)
      continue;
    llvm::append_range(work, op->getOperands());
  }
  return result;
}

std::optional<SmallVector<Value, 2>> sizesTaken(Value index, BlockArgument argument) {
  auto isSize = [&](Value value) {
    Operation *op = value.getDefiningOp();
    if (!op)
      return cast<BlockArgument>(value).getOwner() != argument.getOwner();
    return op->getBlock() != argument.getOwner() || op->getNumOperands() == 0;
  };
  SmallVector<Value, 2> sizes;
  while (index != argument) {
    auto difference = index.getDefiningOp<arith::SubIOp>();
    if (!difference || !isSize(difference.getRhs()))
      return std::nullopt;
    sizes.push_back(difference.getRhs());
    index = difference.getLhs();
  }
  return sizes;
}

std::optional<int64_t> indexSpread(Value index, Block &region, int64_t queries, int64_t keys) {
  return Spread(region, queries, keys).of(index);
}

} // namespace fovea
