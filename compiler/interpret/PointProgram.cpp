// Scalar code inside regions: graph.at and graph.size, arith, math.
#include "compiler/interpret/Evaluate.h"

#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/TypeSwitch.h"

#include <cmath>

using namespace mlir;
using namespace fovea;
using namespace fovea::interpret;
using llvm::Error;
using llvm::Expected;

namespace {

using Real1 = double (*)(double);
using Real2 = double (*)(double, double);
using Int2 = int64_t (*)(int64_t, int64_t);

double propagatingMax(double a, double b) { return std::isnan(a) || std::isnan(b) ? std::nan("") : std::max(a, b); }

const llvm::StringMap<Real1> &unaryReals() {
  static const llvm::StringMap<Real1> table = {
      {"arith.negf", [](double x) { return -x; }},
      {"arith.extf", [](double x) { return x; }}, // reals are never rounded to their type
      {"arith.truncf", [](double x) { return x; }},
      {"math.absf", std::fabs},
      {"math.exp", std::exp},
      {"math.exp2", std::exp2},
      {"math.expm1", std::expm1},
      {"math.log", std::log},
      {"math.log2", std::log2},
      {"math.log1p", std::log1p},
      {"math.sqrt", std::sqrt},
      {"math.rsqrt", [](double x) { return 1 / std::sqrt(x); }},
      {"math.tanh", std::tanh},
      {"math.erf", std::erf},
      {"math.sin", std::sin},
      {"math.cos", std::cos},
      {"math.floor", std::floor},
      {"math.ceil", std::ceil},
  };
  return table;
}

const llvm::StringMap<Real2> &binaryReals() {
  static const llvm::StringMap<Real2> table = {
      {"arith.addf", [](double a, double b) { return a + b; }},
      {"arith.subf", [](double a, double b) { return a - b; }},
      {"arith.mulf", [](double a, double b) { return a * b; }},
      {"arith.divf", [](double a, double b) { return a / b; }},
      {"arith.remf", std::fmod},
      {"arith.maximumf", propagatingMax},
      {"arith.minimumf", [](double a, double b) { return -propagatingMax(-a, -b); }},
      {"arith.maxnumf", std::fmax},
      {"arith.minnumf", std::fmin},
      {"math.powf", std::pow},
  };
  return table;
}

const llvm::StringMap<Int2> &binaryInts() {
  // Division by 0 is undefined in arith; here it gives 0, as bodies of graph ops see to.
  static const llvm::StringMap<Int2> table = {
      {"arith.addi", [](int64_t a, int64_t b) { return int64_t(uint64_t(a) + uint64_t(b)); }},
      {"arith.subi", [](int64_t a, int64_t b) { return int64_t(uint64_t(a) - uint64_t(b)); }},
      {"arith.muli", [](int64_t a, int64_t b) { return int64_t(uint64_t(a) * uint64_t(b)); }},
      {"arith.divsi", [](int64_t a, int64_t b) { return b == 0    ? 0
                                                        : b == -1 ? int64_t(0 - uint64_t(a))
                                                                  : a / b; }},
      {"arith.remsi", [](int64_t a, int64_t b) { return b == 0 || b == -1 ? 0 : a % b; }},
      {"arith.floordivsi",
       [](int64_t a, int64_t b) {
         if (b == 0 || b == -1)
           return b == 0 ? 0 : int64_t(0 - uint64_t(a));
         return a / b - (a % b != 0 && (a < 0) != (b < 0));
       }},
      {"arith.divui", [](int64_t a, int64_t b) { return b == 0 ? 0 : int64_t(uint64_t(a) / uint64_t(b)); }},
      {"arith.remui", [](int64_t a, int64_t b) { return b == 0 ? 0 : int64_t(uint64_t(a) % uint64_t(b)); }},
      {"arith.andi", [](int64_t a, int64_t b) { return a & b; }},
      {"arith.ori", [](int64_t a, int64_t b) { return a | b; }},
      {"arith.xori", [](int64_t a, int64_t b) { return a ^ b; }},
      {"arith.shrui", [](int64_t a, int64_t b) { return b >= 0 && b < 64 ? int64_t(uint64_t(a) >> b) : 0; }},
      {"arith.maxsi", [](int64_t a, int64_t b) { return std::max(a, b); }},
      {"arith.minsi", [](int64_t a, int64_t b) { return std::min(a, b); }},
  };
  return table;
}

/// Integers are kept sign-extended, i1 as 0 or 1.
int64_t wrap(int64_t value, Type type) {
  if (type.isIndex())
    return value;
  unsigned width = type.getIntOrFloatBitWidth();
  return width == 1 ? value & 1 : llvm::SignExtend64(uint64_t(value), width);
}

int64_t truncate(double x) {
  if (std::isnan(x))
    return 0;
  return x >= 0x1p63 ? INT64_MAX : x < -0x1p63 ? INT64_MIN : static_cast<int64_t>(x);
}

uint64_t asUnsigned(int64_t value, Type type) {
  unsigned width = type.isIndex() ? 64 : type.getIntOrFloatBitWidth();
  return width == 64 ? uint64_t(value) : uint64_t(value) & llvm::maskTrailingOnes<uint64_t>(width);
}

bool compare(arith::CmpIPredicate p, APInt a, APInt b) { return arith::applyCmpPredicate(p, a, b); }
bool compare(arith::CmpFPredicate p, double a, double b) {
  return arith::applyCmpPredicate(p, llvm::APFloat(a), llvm::APFloat(b));
}

class PointEvaluator {
public:
  explicit PointEvaluator(const Scope &scope) : scope(scope) {}

  Expected<SmallVector<Scalar>> run(Block &block, ArrayRef<Scalar> arguments) {
    for (auto [argument, value] : llvm::zip(block.getArguments(), arguments))
      values[argument] = value;
    for (Operation &op : block.without_terminator()) {
      Expected<Scalar> result = evaluate(&op);
      if (!result)
        return result.takeError();
      values[op.getResult(0)] = *result;
    }
    return llvm::map_to_vector(block.getTerminator()->getOperands(), [&](Value v) { return get(v); });
  }

private:
  Scalar get(Value v) { return values.lookup(v); }

  Expected<Scalar> evaluate(Operation *op) {
    StringRef name = op->getName().getStringRef();
    if (auto it = unaryReals().find(name); it != unaryReals().end())
      return Scalar{it->second(get(op->getOperand(0)).real), 0};
    if (auto it = binaryReals().find(name); it != binaryReals().end())
      return Scalar{it->second(get(op->getOperand(0)).real, get(op->getOperand(1)).real), 0};
    if (auto it = binaryInts().find(name); it != binaryInts().end()) {
      int64_t value = it->second(get(op->getOperand(0)).integer, get(op->getOperand(1)).integer);
      return Scalar{0, wrap(value, op->getResult(0).getType())};
    }
    return llvm::TypeSwitch<Operation *, Expected<Scalar>>(op)
        .Case([&](graph::AtOp o) { return read(o); })
        .Case([&](graph::DotOp o) { return product(o); })
        .Case([&](graph::SizeOp o) -> Expected<Scalar> {
          std::optional<int64_t> size = scope.size(o.getSize().getValue());
          if (!size)
            return failAt(o, "the size " + o.getSize().getValue().str() + " is undefined");
          return Scalar{0, *size};
        })
        .Case([&](arith::ConstantOp o) -> Expected<Scalar> {
          if (auto real = dyn_cast<FloatAttr>(o.getValue()))
            return Scalar{real.getValueAsDouble(), 0};
          return Scalar{0, wrap(cast<IntegerAttr>(o.getValue()).getValue().getSExtValue(), o.getType())};
        })
        .Case([&](arith::SelectOp o) -> Expected<Scalar> {
          return get(o.getCondition()).integer ? get(o.getTrueValue()) : get(o.getFalseValue());
        })
        .Case([&](arith::CmpFOp o) -> Expected<Scalar> {
          return Scalar{0, compare(o.getPredicate(), get(o.getLhs()).real, get(o.getRhs()).real)};
        })
        .Case([&](arith::CmpIOp o) -> Expected<Scalar> {
          Type type = o.getLhs().getType();
          unsigned width = type.isIndex() ? 64 : type.getIntOrFloatBitWidth();
          auto bits = [&](Value v) { return APInt(width, asUnsigned(get(v).integer, type)); };
          return Scalar{0, compare(o.getPredicate(), bits(o.getLhs()), bits(o.getRhs()))};
        })
        .Default([&](Operation *o) { return convert(o); });
  }

  Expected<Scalar> convert(Operation *op) {
    Scalar x = op->getNumOperands() ? get(op->getOperand(0)) : Scalar();
    if (isa<arith::IndexCastOp, arith::ExtSIOp, arith::TruncIOp>(op)) {
      // i1 as a signed number is 0 or -1.
      int64_t value = op->getOperand(0).getType().isInteger(1) ? -x.integer : x.integer;
      return Scalar{0, wrap(value, op->getResult(0).getType())};
    }
    if (isa<arith::IndexCastUIOp, arith::ExtUIOp>(op))
      return Scalar{0, int64_t(asUnsigned(x.integer, op->getOperand(0).getType()))};
    if (isa<arith::SIToFPOp>(op))
      return Scalar{double(op->getOperand(0).getType().isInteger(1) ? -x.integer : x.integer), 0};
    if (isa<arith::UIToFPOp>(op))
      return Scalar{double(asUnsigned(x.integer, op->getOperand(0).getType())), 0};
    if (isa<arith::FPToSIOp>(op))
      return Scalar{0, wrap(truncate(x.real), op->getResult(0).getType())};
    if (isa<math::AbsIOp>(op))
      return Scalar{0, wrap(x.integer < 0 ? int64_t(0 - uint64_t(x.integer)) : x.integer, op->getResult(0).getType())};
    if (isa<math::FmaOp>(op))
      return Scalar{std::fma(x.real, get(op->getOperand(1)).real, get(op->getOperand(2)).real), 0};
    return failAt(op, "the interpreter has no meaning for '" + op->getName().getStringRef() + "' in a region");
  }

  /// Where a row begins and how far its elements are apart.
  Expected<std::pair<int64_t, int64_t>> rowOf(graph::DotOp op, const Tensor &x, ValueRange indices, int64_t axis) {
    int64_t offset = 0, step = 1;
    for (size_t i = 0, next = 0; i < x.shape.size(); ++i) {
      int64_t index = int64_t(i) == axis ? 0 : get(indices[next++]).integer;
      if (index < 0 || (int64_t(i) != axis && index >= x.shape[i]))
        return failAt(op, "index " + Twine(index) + " is outside [0, " + Twine(x.shape[i]) + ")");
      offset = offset * x.shape[i] + index;
      step = int64_t(i) > axis ? step * x.shape[i] : 1;
    }
    return std::pair(offset, step);
  }

  Expected<Scalar> product(graph::DotOp op) {
    const Tensor &a = scope.get(op.getA()), &b = scope.get(op.getB());
    auto left = rowOf(op, a, op.getAIndices(), op.getAAxis());
    if (!left)
      return left.takeError();
    auto right = rowOf(op, b, op.getBIndices(), op.getBAxis());
    if (!right)
      return right.takeError();
    double sum = 0;
    for (int64_t k = 0; k < a.shape[op.getAAxis()]; ++k)
      sum += a.reals[left->first + k * left->second] * b.reals[right->first + k * right->second];
    return Scalar{sum, 0};
  }

  Expected<Scalar> read(graph::AtOp op) {
    if (op.getGuard() && !get(op.getGuard()).integer)
      return Scalar{0, 0};
    const Tensor &x = scope.get(op.getX());
    int64_t offset = 0;
    for (auto [size, operand] : llvm::zip(x.shape, op.getIndices())) {
      int64_t i = get(operand).integer;
      if (i < 0 || i >= size)
        return failAt(op, "index " + Twine(i) + " is outside [0, " + Twine(size) + ")");
      offset = offset * size + i;
    }
    return x.isFloat() ? Scalar{x.reals[offset], 0} : Scalar{0, x.ints[offset]};
  }

  const Scope &scope;
  llvm::DenseMap<Value, Scalar> values;
};

} // namespace

Expected<Scalar> interpret::evaluatePoint(const Scope &scope, Block &block, ArrayRef<Scalar> arguments) {
  Expected<SmallVector<Scalar>> all = evaluatePoints(scope, block, arguments);
  return all ? Expected<Scalar>(all->front()) : all.takeError();
}

Expected<SmallVector<Scalar>> interpret::evaluatePoints(const Scope &scope, Block &block, ArrayRef<Scalar> arguments) {
  return PointEvaluator(scope).run(block, arguments);
}
