#include "compiler/explain/Scalars.h"

#include "compiler/explain/Place.h"
#include "dialects/graph/Places.h"

#include "mlir/IR/Matchers.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/Support/MathExtras.h"

#include <fmt/format.h>

using namespace mlir;

namespace fovea::explain {

Place placeFrom(LocationAttr location) {
  Place place;
  if (!location)
    return place;
  SmallVector<PlaceFrame> frames = placeFrames(location);
  if (const PlaceFrame *user = userFrame(frames)) {
    place.file = user->place.getFilename().str();
    place.line = user->place.getLine(), place.column = user->place.getColumn();
  }
  place.text = placeOf(location);
  return place;
}

//===-- Tensors ---------------------------------------------------------------------------------------------------===//

std::string tensorName(Value tensor) {
  if (auto argument = dyn_cast<BlockArgument>(tensor)) {
    auto function = dyn_cast<graph::FuncOp>(argument.getOwner()->getParentOp());
    for (StringRef role : {graph::names::input, graph::names::param, graph::names::state, graph::names::derived})
      if (auto name = function ? function.getArgAttrOfType<StringAttr>(argument.getArgNumber(), role) : StringAttr())
        return name.str();
    return "argument " + std::to_string(argument.getArgNumber());
  }
  StringRef path = pathOf(tensor.getLoc());
  return path.empty() ? tensor.getDefiningOp()->getName().stripDialect().str() : path.str();
}

std::string tensorText(graph::TensorType type) {
  Type element = type.getElementType();
  std::string text;
  llvm::raw_string_ostream out(text);
  if (element.isInteger(1))
    out << "bool";
  else
    out << element;
  out << "[";
  llvm::interleaveComma(type.getDims(), out, [&](DimExpr dim) { out << dim.str(); });
  out << "]";
  return text;
}

//===-- Text ------------------------------------------------------------------------------------------------------===//

namespace {
/// How tightly operators bind, as in the language.
enum Precedence { lowest, orLevel, andLevel, notLevel, compareLevel, sumLevel, termLevel, unaryLevel, callLevel };
/// Ops of a formula that are shown, or looked at.
constexpr unsigned longest = 100;

struct Infix {
  const char *text;
  int level;
};

std::optional<Infix> infixOf(Operation *op) {
  return llvm::StringSwitch<std::optional<Infix>>(op->getName().getStringRef())
      .Cases({"arith.addi", "arith.addf"}, Infix{"+", sumLevel})
      .Cases({"arith.subi", "arith.subf"}, Infix{"-", sumLevel})
      .Cases({"arith.muli", "arith.mulf"}, Infix{"*", termLevel})
      .Case("arith.divf", Infix{"/", termLevel})
      .Cases({"arith.divsi", "arith.divui", "arith.floordivsi"}, Infix{"//", termLevel})
      .Cases({"arith.remsi", "arith.remui"}, Infix{"%", termLevel})
      .Case("arith.andi", Infix{"and", andLevel})
      .Case("arith.ori", Infix{"or", orLevel})
      .Default(std::nullopt);
}

const char *comparisonOf(Operation *op) {
  if (auto compare = dyn_cast<arith::CmpIOp>(op)) {
    using P = arith::CmpIPredicate;
    switch (compare.getPredicate()) {
    case P::eq:
      return "==";
    case P::ne:
      return "!=";
    case P::slt:
    case P::ult:
      return "<";
    case P::sle:
    case P::ule:
      return "<=";
    case P::sgt:
    case P::ugt:
      return ">";
    default:
      return ">=";
    }
  }
  auto compare = dyn_cast<arith::CmpFOp>(op);
  if (!compare)
    return nullptr;
  return llvm::StringSwitch<const char *>(arith::stringifyCmpFPredicate(compare.getPredicate()).drop_front())
      .Case("eq", "==")
      .Case("ne", "!=")
      .Case("lt", "<")
      .Case("le", "<=")
      .Case("gt", ">")
      .Case("ge", ">=")
      .Default(nullptr);
}

bool onlyConverts(Operation *op) {
  return isa<arith::IndexCastOp, arith::ExtSIOp, arith::ExtUIOp, arith::TruncIOp, arith::ExtFOp, arith::TruncFOp,
             arith::SIToFPOp, arith::UIToFPOp>(op);
}

std::string within(std::string text, int mine, int needed) { return mine < needed ? "(" + text + ")" : text; }
} // namespace

RegionReader::RegionReader(Block *block) : block(block), hasScore(block->getArgument(0).getType().isF32()) {}

std::string RegionReader::argumentText(BlockArgument argument) const {
  if (argument.getOwner() != block)
    return tensorName(argument);
  unsigned number = argument.getArgNumber(), count = block->getNumArguments();
  if (number + 2 >= count)
    return number + 1 == count ? "j" : "t";
  if (hasScore && number == 0)
    return "s";
  return "b" + std::to_string(number - hasScore);
}

std::string RegionReader::text(Value value) {
  budget = longest;
  return textOf(value, lowest);
}

std::string RegionReader::textOf(Value value, int precedence) {
  if (auto argument = dyn_cast<BlockArgument>(value))
    return argumentText(argument);
  if (budget == 0)
    return "...";
  --budget;
  return opText(value.getDefiningOp(), precedence);
}

std::string RegionReader::callText(StringRef name, Operation *op) {
  std::string result = name.str() + "(";
  for (auto [i, operand] : llvm::enumerate(op->getOperands()))
    result += (i ? ", " : "") + textOf(operand, lowest);
  return result + ")";
}

/// `x // c` and `x % c`, which are written with the division that truncates and a correction.
std::optional<std::string> RegionReader::floored(Operation *op, int precedence) {
  auto select = dyn_cast<arith::SelectOp>(op);
  Operation *plain = select ? select.getFalseValue().getDefiningOp() : nullptr;
  Operation *corrected = select ? select.getTrueValue().getDefiningOp() : nullptr;
  bool isQuotient = isa_and_nonnull<arith::DivSIOp>(plain) && isa_and_nonnull<arith::SubIOp>(corrected) &&
                    matchPattern(corrected->getOperand(1), m_One());
  bool isRemainder = isa_and_nonnull<arith::RemSIOp>(plain) && isa_and_nonnull<arith::AddIOp>(corrected) &&
                     corrected->getOperand(1) == plain->getOperand(1);
  if ((!isQuotient && !isRemainder) || corrected->getOperand(0) != plain->getResult(0))
    return std::nullopt;
  return opText(plain, precedence);
}

/// A row of a tensor along `axis`: "r[b1, t - j, :]".
std::string RegionReader::rowText(Value tensor, ValueRange indices, int64_t axis) {
  SmallVector<std::string> parts = llvm::map_to_vector(indices, [&](Value index) { return textOf(index, lowest); });
  parts.insert(parts.begin() + axis, ":");
  return tensorName(tensor) + "[" + llvm::join(parts, ", ") + "]";
}

static std::string constantText(Attribute constant) {
  if (auto real = dyn_cast<FloatAttr>(constant))
    return fmt::format("{:.6g}", real.getValueAsDouble());
  auto integer = cast<IntegerAttr>(constant);
  if (integer.getType().isInteger(1))
    return integer.getValue().isZero() ? "false" : "true";
  return std::to_string(integer.getValue().getSExtValue());
}

std::string RegionReader::opText(Operation *op, int precedence) {
  Attribute constant;
  if (matchPattern(op, m_Constant(&constant)) && isa<FloatAttr, IntegerAttr>(constant))
    return constantText(constant);
  if (onlyConverts(op))
    return textOf(op->getOperand(0), precedence);
  if (auto size = dyn_cast<graph::SizeOp>(op)) {
    DimExpr value = size.getSize().getValue();
    return within(value.str(), value.kind() == DimExpr::Kind::Sum ? sumLevel : int(callLevel), precedence);
  }
  if (auto at = dyn_cast<graph::AtOp>(op)) {
    std::string result = tensorName(at.getX());
    for (auto [i, index] : llvm::enumerate(at.getIndices()))
      result += (i ? ", " : "[") + textOf(index, lowest);
    return at.getIndices().empty() ? result : result + "]";
  }
  if (auto dot = dyn_cast<graph::DotOp>(op))
    return within(rowText(dot.getA(), dot.getAIndices(), dot.getAAxis()) + " . " +
                      rowText(dot.getB(), dot.getBIndices(), dot.getBAxis()),
                  sumLevel + 1, precedence);
  if (auto result = floored(op, precedence))
    return *result;
  if (isa<arith::XOrIOp>(op) && matchPattern(op->getOperand(1), m_One()) && op->getResult(0).getType().isInteger(1))
    return within("not " + textOf(op->getOperand(0), notLevel), notLevel, precedence);
  if (isa<arith::NegFOp>(op))
    return within("-" + textOf(op->getOperand(0), unaryLevel), unaryLevel, precedence);
  if (const char *sign = comparisonOf(op)) {
    std::string sides[] = {textOf(op->getOperand(0), sumLevel), textOf(op->getOperand(1), sumLevel)};
    return within(sides[0] + " " + sign + " " + sides[1], compareLevel, precedence);
  }
  if (std::optional<Infix> infix = infixOf(op)) {
    std::string left = textOf(op->getOperand(0), infix->level);
    std::string right = textOf(op->getOperand(1), infix->level + 1);
    return within(left + " " + infix->text + " " + right, infix->level, precedence);
  }
  StringRef name = llvm::StringSwitch<StringRef>(op->getName().getStringRef())
                       .Case("arith.select", "where")
                       .Cases({"arith.maxsi", "arith.maximumf", "arith.maxnumf"}, "max")
                       .Cases({"arith.minsi", "arith.minimumf", "arith.minnumf"}, "min")
                       .Cases({"math.absi", "math.absf"}, "abs")
                       .Default(op->getName().stripDialect());
  return callText(name, op);
}

//===-- Sums ------------------------------------------------------------------------------------------------------===//

bool RegionReader::dependsOn(Value value, Value argument) {
  if (value == argument)
    return true;
  Operation *op = value.getDefiningOp();
  if (!op || op->getBlock() != block)
    return false;
  if (auto known = dependences.find({value, argument}); known != dependences.end())
    return known->second;
  bool result = llvm::any_of(op->getOperands(), [&](Value x) { return dependsOn(x, argument); });
  return dependences[{value, argument}] = result;
}

bool RegionReader::readsTensor(Value value) {
  Operation *op = value.getDefiningOp();
  if (!op || op->getBlock() != block)
    return false;
  if (auto known = reads.find(value); known != reads.end())
    return known->second;
  bool result =
      isa<graph::AtOp, graph::DotOp>(op) || llvm::any_of(op->getOperands(), [&](Value x) { return readsTensor(x); });
  return reads[value] = result;
}

std::optional<RegionReader::Affine> scaled(RegionReader::Affine a, int64_t factor) {
  bool overflows = llvm::MulOverflow(a.query, factor, a.query) | llvm::MulOverflow(a.key, factor, a.key);
  a.rest = a.rest * DimExpr(factor);
  for (auto &[value, times] : a.uniform)
    overflows |= bool(llvm::MulOverflow(times, factor, times));
  return a.rest && !overflows ? std::optional(a) : std::nullopt;
}

std::optional<RegionReader::Affine> difference(const RegionReader::Affine &a, const RegionReader::Affine &b) {
  std::optional<RegionReader::Affine> result = scaled(b, -1);
  if (!result)
    return std::nullopt;
  bool overflows =
      llvm::AddOverflow(result->query, a.query, result->query) | llvm::AddOverflow(result->key, a.key, result->key);
  result->rest = result->rest + a.rest;
  llvm::append_range(result->uniform, a.uniform);
  return result->rest && !overflows ? result : std::nullopt;
}

std::optional<RegionReader::Affine> RegionReader::affine(Value value) {
  budget = longest;
  return affineOf(value);
}

std::optional<RegionReader::Affine> RegionReader::affineOf(Value value) {
  if (budget == 0)
    return std::nullopt;
  --budget;
  Affine result;
  APInt constant;
  if (value == query())
    result.query = 1;
  else if (value == key())
    result.key = 1;
  else if (matchPattern(value, m_ConstantInt(&constant)))
    result.rest = DimExpr(constant.getSExtValue());
  else if (!dependsOn(value, query()) && !dependsOn(value, key()) &&
           !isa_and_nonnull<graph::SizeOp>(value.getDefiningOp()) && (readsTensor(value) || isa<BlockArgument>(value)))
    result.uniform.push_back({value, 1});
  else if (Operation *op = value.getDefiningOp()) {
    if (auto size = dyn_cast<graph::SizeOp>(op)) {
      result.rest = size.getSize().getValue();
      return result;
    }
    if (isa<arith::IndexCastOp, arith::ExtSIOp>(op))
      return affineOf(op->getOperand(0));
    if (!isa<arith::AddIOp, arith::SubIOp, arith::MulIOp>(op))
      return std::nullopt;
    auto a = affineOf(op->getOperand(0)), b = affineOf(op->getOperand(1));
    if (!a || !b)
      return std::nullopt;
    if (isa<arith::SubIOp>(op))
      return difference(*a, *b);
    if (isa<arith::AddIOp>(op)) {
      auto negated = scaled(*b, -1);
      return negated ? difference(*a, *negated) : std::nullopt;
    }
    auto isConstant = [](const Affine &x) { return !x.query && !x.key && x.uniform.empty() && x.rest.isConstant(); };
    if (isConstant(*b))
      return scaled(*a, *b->rest.value());
    return isConstant(*a) ? scaled(*b, *a->rest.value()) : std::nullopt;
  } else {
    return std::nullopt;
  }
  return result;
}

} // namespace fovea::explain
