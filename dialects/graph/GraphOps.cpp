// Parsers, printers and small methods of the graph dialect's ops. Verifiers: GraphVerify.cpp, AttentionVerify.cpp.
// Folds: GraphFold.cpp.
#include "dialects/graph/GraphDialect.h"

#include "mlir/IR/OpImplementation.h"
#include "mlir/Interfaces/FunctionImplementation.h"

using namespace mlir;
using namespace fovea;
using namespace fovea::graph;

/// A call's substitution: `[B, T+1]`.
static ParseResult parseSizes(OpAsmParser &parser, ArrayAttr &sizes) {
  SmallVector<DimExpr> parsed;
  if (parser.parseCommaSeparatedList(AsmParser::Delimiter::Square,
                                     [&] { return parseDim(parser, parsed.emplace_back()); }))
    return failure();
  sizes = getSizesAttr(parser.getContext(), parsed);
  return success();
}

static void printSizes(OpAsmPrinter &printer, Operation *, ArrayAttr sizes) {
  printer << "[";
  llvm::interleaveComma(getSizes(sizes), printer, [&](DimExpr e) { printDim(printer, e); });
  printer << "]";
}

#define GET_OP_CLASSES
#include "dialects/graph/GraphOps.cpp.inc"

ParseResult FuncOp::parse(OpAsmParser &parser, OperationState &result) {
  Builder &builder = parser.getBuilder();
  (void)impl::parseOptionalVisibilityKeyword(parser, result.attributes);
  StringAttr name;
  SmallVector<Attribute> symbols;
  auto parseSymbol = [&] {
    StringRef symbol;
    if (parser.parseKeyword(&symbol))
      return failure();
    symbols.push_back(builder.getStringAttr(symbol));
    return success();
  };
  if (parser.parseSymbolName(name, getSymNameAttrName(result.name), result.attributes))
    return failure();
  if (succeeded(parser.parseOptionalLess()) &&
      (parser.parseCommaSeparatedList(AsmParser::Delimiter::Square, parseSymbol) || parser.parseGreater()))
    return failure();
  result.addAttribute(getSymbolsAttrName(result.name), builder.getArrayAttr(symbols));

  SmallVector<OpAsmParser::Argument> arguments;
  SmallVector<Type> resultTypes;
  SmallVector<DictionaryAttr> resultAttrs;
  bool isVariadic = false;
  if (function_interface_impl::parseFunctionSignatureWithArguments(parser, /*allowVariadic=*/false, arguments,
                                                                   isVariadic, resultTypes, resultAttrs))
    return failure();
  SmallVector<Type> argumentTypes = llvm::map_to_vector(arguments, [](const auto &a) { return a.type; });
  result.addAttribute(getFunctionTypeAttrName(result.name),
                      TypeAttr::get(builder.getFunctionType(argumentTypes, resultTypes)));
  if (parser.parseOptionalAttrDictWithKeyword(result.attributes))
    return failure();
  call_interface_impl::addArgAndResultAttrs(builder, result, arguments, resultAttrs, getArgAttrsAttrName(result.name),
                                            getResAttrsAttrName(result.name));
  return parser.parseRegion(*result.addRegion(), arguments);
}

void FuncOp::print(OpAsmPrinter &printer) {
  printer << ' ';
  if (std::optional<StringRef> visibility = getSymVisibility())
    printer << *visibility << ' ';
  printer.printSymbolName(getSymName());
  if (!getSymbols().empty()) {
    printer << "<[";
    llvm::interleaveComma(getSymbols().getAsRange<StringAttr>(), printer,
                          [&](StringAttr s) { printer.printKeywordOrString(s.getValue()); });
    printer << "]>";
  }
  function_interface_impl::printFunctionSignature(printer, *this, getArgumentTypes(), /*isVariadic=*/false,
                                                  getResultTypes());
  SmallVector<StringRef> elided = {getSymVisibilityAttrName(), getSymbolsAttrName(), getFunctionTypeAttrName(),
                                   getArgAttrsAttrName(), getResAttrsAttrName()};
  if (getRequirements().empty())
    elided.push_back(getRequirementsAttrName());
  function_interface_impl::printFunctionAttributes(printer, *this, elided);
  printer << ' ';
  printer.printRegion(getBody(), /*printEntryBlockArgs=*/false, /*printBlockTerminators=*/true);
}
