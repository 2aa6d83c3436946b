// Types and attributes of the graph dialect, and the text form of sizes.
#include "dialects/graph/GraphDialect.h"

#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace fovea;
using fovea::graph::DimAttr;
using fovea::graph::RequireAttr;

#define GET_TYPEDEF_CLASSES
#include "dialects/graph/GraphTypes.cpp.inc"

#define GET_ATTRDEF_CLASSES
#include "dialects/graph/GraphAttributes.cpp.inc"

void graph::GraphDialect::registerTypes() {
  addTypes<
#define GET_TYPEDEF_LIST
#include "dialects/graph/GraphTypes.cpp.inc"
      >();
}

void graph::GraphDialect::registerAttributes() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/graph/GraphAttributes.cpp.inc"
      >();
}

//===-- Sizes -----------------------------------------------------------------------------------------------------===//

namespace {

/// sum := product (('+'|'-') product)* ; product := factor ('*' factor)* ;
/// factor := '-' factor | integer | name | function '(' sum ',' sum ')' | '(' sum ')'
class DimAsmParser {
public:
  explicit DimAsmParser(AsmParser &parser) : parser(parser) {}

  ParseResult sum(DimExpr &result) {
    SMLoc loc = parser.getCurrentLocation();
    if (product(result))
      return failure();
    while (true) {
      DimExpr next;
      if (succeeded(parser.parseOptionalPlus())) {
        if (product(next))
          return failure();
        result = result + next;
      } else if (succeeded(parser.parseOptionalMinus())) {
        if (product(next))
          return failure();
        result = result - next;
      } else {
        break;
      }
    }
    if (!result)
      return parser.emitError(loc, "the size's coefficients leave 64 bits");
    return success();
  }

private:
  ParseResult product(DimExpr &result) {
    if (factor(result))
      return failure();
    while (succeeded(parser.parseOptionalStar())) {
      DimExpr next;
      if (factor(next))
        return failure();
      result = result * next;
    }
    return success();
  }

  ParseResult factor(DimExpr &result) {
    constexpr int maxDepth = 200; // far above what a person writes, far below the stack
    if (depth >= maxDepth)
      return parser.emitError(parser.getCurrentLocation(), "size expression is nested too deeply");
    ++depth;
    ParseResult parsed = primary(result);
    --depth;
    return parsed;
  }

  ParseResult primary(DimExpr &result) {
    if (succeeded(parser.parseOptionalMinus())) {
      if (factor(result))
        return failure();
      result = DimExpr(0) - result;
      return success();
    }
    if (succeeded(parser.parseOptionalLParen()))
      return failure(sum(result) || parser.parseRParen());
    int64_t value;
    if (OptionalParseResult integer = parser.parseOptionalInteger(value); integer.has_value()) {
      result = DimExpr(value);
      return *integer;
    }
    StringRef name;
    SMLoc loc = parser.getCurrentLocation();
    if (failed(parser.parseOptionalKeyword(&name)))
      return parser.emitError(loc, "expected a size: a name, an integer or an expression of them");
    if (failed(parser.parseOptionalLParen())) {
      result = DimExpr::symbol(std::string_view(name));
      return success();
    }
    return call(loc, name, result);
  }

  ParseResult call(SMLoc loc, StringRef name, DimExpr &result) {
    using Binary = DimExpr (*)(DimExpr, DimExpr);
    auto make = llvm::StringSwitch<Binary>(name)
                    .Case("floordiv", DimExpr::floorDiv)
                    .Case("mod", DimExpr::mod)
                    .Case("max", DimExpr::max)
                    .Case("min", DimExpr::min)
                    .Default(nullptr);
    if (!make)
      return parser.emitError(loc, "unknown function of sizes: ") << name;
    DimExpr lhs, rhs;
    if (sum(lhs) || parser.parseComma() || sum(rhs) || parser.parseRParen())
      return failure();
    result = make(lhs, rhs);
    return success();
  }

  AsmParser &parser;
  int depth = 0;
};

} // namespace

ParseResult graph::parseDim(AsmParser &parser, DimExpr &result) { return DimAsmParser(parser).sum(result); }

void graph::printDim(AsmPrinter &printer, DimExpr e) { printer << e.str(); }

SmallVector<DimExpr> graph::getSizes(ArrayAttr sizes) {
  return llvm::map_to_vector(sizes.getAsRange<DimAttr>(), [](DimAttr a) { return a.getValue(); });
}

ArrayAttr graph::getSizesAttr(MLIRContext *context, ArrayRef<DimExpr> sizes) {
  return ArrayAttr::get(context,
                        llvm::map_to_vector(sizes, [&](DimExpr e) -> Attribute { return DimAttr::get(context, e); }));
}

graph::TensorType fovea::withDim(graph::TensorType type, int64_t axis, DimExpr size) {
  SmallVector<DimExpr> dims = llvm::to_vector(type.getDims());
  dims[axis] = size;
  return type.cloneWith(ArrayRef<DimExpr>(dims));
}

graph::TensorType graph::substitute(TensorType type, ArrayAttr symbols, ArrayAttr sizes) {
  auto lookup = [&](std::string_view name) -> std::optional<DimExpr> {
    for (auto [symbol, size] : llvm::zip(symbols.getAsRange<StringAttr>(), sizes.getAsRange<DimAttr>()))
      if (std::string_view(symbol.getValue()) == name)
        return size.getValue();
    return std::nullopt;
  };
  return type.cloneWith(llvm::map_to_vector(type.getDims(), [&](DimExpr e) { return e.substitute(lookup); }));
}

//===-- Types -----------------------------------------------------------------------------------------------------===//

DimExpr graph::TensorType::getNumElements() const {
  DimExpr product(1);
  for (DimExpr e : getDims())
    product = product * e;
  return product;
}

LogicalResult graph::TensorType::verify(function_ref<InFlightDiagnostic()> emitError, ArrayRef<DimExpr> dims,
                                        Type element) {
  if (llvm::any_of(dims, [](DimExpr e) { return !e; }))
    return emitError() << "a size's coefficients leave 64 bits";
  if (llvm::any_of(dims, [](DimExpr e) { return e.value().value_or(0) < 0; }))
    return emitError() << "sizes are at least 0";
  if (element.isF32() || element.isF16() || element.isBF16() || element.isF64() || element.isSignlessInteger(64) ||
      element.isSignlessInteger(32) || element.isSignlessInteger(8) || element.isSignlessInteger(1))
    return success();
  return emitError() << "element type must be one of f32 f16 bf16 f64 i64 i32 i8 i1, got " << element;
}

Type graph::TensorType::parse(AsmParser &parser) {
  SmallVector<DimExpr> dims;
  Type element;
  auto parseOne = [&] { return parseDim(parser, dims.emplace_back()); };
  if (parser.parseLess() || parser.parseCommaSeparatedList(AsmParser::Delimiter::Square, parseOne) ||
      parser.parseComma() || parser.parseType(element) || parser.parseGreater())
    return {};
  return parser.getChecked<TensorType>(parser.getContext(), dims, element);
}

void graph::TensorType::print(AsmPrinter &printer) const {
  printer << "<[";
  llvm::interleaveComma(getDims(), printer, [&](DimExpr e) { printDim(printer, e); });
  printer << "], " << getElementType() << ">";
}

//===-- Attributes ------------------------------------------------------------------------------------------------===//

Attribute DimAttr::parse(AsmParser &parser, Type) {
  DimExpr value;
  if (parser.parseLess() || parseDim(parser, value) || parser.parseGreater())
    return {};
  return get(parser.getContext(), value);
}

void DimAttr::print(AsmPrinter &printer) const {
  printer << "<";
  printDim(printer, getValue());
  printer << ">";
}

LogicalResult RequireAttr::verify(function_ref<InFlightDiagnostic()> emitError, DimExpr lhs, StringRef relation,
                                  DimExpr rhs, StringRef message, StringRef place) {
  if (!lhs || !rhs)
    return emitError() << "a size's coefficients leave 64 bits";
  // (C1)
  if (!llvm::is_contained({"eq", "ne", "lt", "le", "gt", "ge"}, relation))
    return emitError() << "(C1) relation must be one of eq ne lt le gt ge, got " << relation;
  return success();
}

Attribute RequireAttr::parse(AsmParser &parser, Type) {
  DimExpr lhs, rhs;
  std::string relation, message, place;
  if (parser.parseLess() || parseDim(parser, lhs) || parser.parseComma() || parser.parseString(&relation) ||
      parser.parseComma() || parseDim(parser, rhs) || parser.parseComma() || parser.parseString(&message) ||
      parser.parseComma() || parser.parseString(&place) || parser.parseGreater())
    return {};
  return parser.getChecked<RequireAttr>(parser.getContext(), lhs, relation, rhs, message, place);
}

void RequireAttr::print(AsmPrinter &printer) const {
  printer << "<";
  printDim(printer, getLhs());
  printer << ", \"" << getRelation() << "\", ";
  printDim(printer, getRhs());
  printer << ", ";
  printer.printString(getMessage());
  printer << ", ";
  printer.printString(getPlace());
  printer << ">";
}
