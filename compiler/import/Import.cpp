#include "compiler/import/Import.h"

#include "dialects/graph/GraphDialect.h"

#include "mlir/IR/Verifier.h"
#include "llvm/ADT/StringSwitch.h"

using namespace mlir;
using namespace fovea;

namespace {

/// One sema function at a time becomes a graph.func at the end of the module.
class Importer {
public:
  Importer(const sema::Model &model, const source::SourceManager &sources, MLIRContext &context)
      : model(model), sources(sources), builder(&context) {}

  OwningOpRef<ModuleOp> run();

private:
  LogicalResult importFunction(const sema::Function &function);
  LogicalResult importOp(const sema::Function &function, const sema::Op &op, MutableArrayRef<Value> values);
  LogicalResult importCall(const sema::Op &op, ArrayRef<Value> operands, ArrayRef<Type> types,
                           MutableArrayRef<Value> values);
  graph::FuncOp createFunction(const sema::Function &function, ArrayRef<Type> arguments, ArrayRef<Type> results);

  Location location(source::Span span, StringRef path = {});
  std::string place(source::Span span);
  /// Null where sema handed over a size that is not one; the error is reported at `loc`.
  Type type(const sema::TensorType &type, Location loc);
  Type element(sema::DType dtype);
  Attribute attribute(const sema::Attribute &value, StringRef name, Type element);
  ArrayAttr paramInfos();
  ArrayAttr stateInfos();
  DictionaryAttr role(StringRef key, StringRef name) {
    return builder.getDictionaryAttr(builder.getNamedAttr(key, builder.getStringAttr(name)));
  }

  const sema::Model &model;
  const source::SourceManager &sources;
  OpBuilder builder;
};

StringRef relationName(sema::Relation relation) {
  static constexpr llvm::StringLiteral names[] = {"eq", "ne", "lt", "le", "gt", "ge"};
  return names[static_cast<int>(relation)];
}

/// The ODS name of an attribute that sema abbreviates.
StringRef odsName(StringRef op, StringRef attribute) {
  if (op != "contract")
    return attribute;
  return llvm::StringSwitch<StringRef>(attribute)
      .Case("lhs", "lhs_labels")
      .Case("rhs", "rhs_labels")
      .Case("out", "out_labels")
      .Default(attribute);
}

} // namespace

Location Importer::location(source::Span span, StringRef path) {
  Location loc = builder.getUnknownLoc();
  if (span.valid()) {
    source::Position at = sources.position(span.file, span.begin);
    loc = FileLineColLoc::get(builder.getContext(), sources.name(span.file), at.line, at.column);
  }
  return path.empty() ? loc : Location(NameLoc::get(builder.getStringAttr(path), loc));
}

std::string Importer::place(source::Span span) {
  if (!span.valid())
    return {};
  source::Position at = sources.position(span.file, span.begin);
  return sources.name(span.file) + ":" + std::to_string(at.line) + ":" + std::to_string(at.column);
}

Type Importer::element(sema::DType dtype) {
  switch (dtype) {
  case sema::DType::F32:
    return builder.getF32Type();
  case sema::DType::F16:
    return builder.getF16Type();
  case sema::DType::BF16:
    return builder.getBF16Type();
  case sema::DType::I64:
    return builder.getI64Type();
  case sema::DType::I32:
    return builder.getI32Type();
  case sema::DType::I8:
    return builder.getI8Type();
  case sema::DType::Bool:
    return builder.getI1Type();
  case sema::DType::F64:
    return builder.getF64Type();
  }
  return {};
}

Type Importer::type(const sema::TensorType &type, Location loc) {
  return graph::TensorType::getChecked([&] { return emitError(loc); }, builder.getContext(),
                                       ArrayRef<DimExpr>(type.dims), element(type.dtype));
}

/// `element` types the value of a constant; everything else has the type that ODS gives it.
Attribute Importer::attribute(const sema::Attribute &value, StringRef name, Type element) {
  bool isConstant = name == "value" && element;
  auto number = [&](auto v) -> Attribute {
    if (isa<FloatType>(element))
      return builder.getFloatAttr(element, static_cast<double>(v));
    return element.isInteger(1) ? Attribute(builder.getBoolAttr(v != 0))
                                : Attribute(builder.getIntegerAttr(element, static_cast<int64_t>(v)));
  };
  struct Visitor {
    Importer &self;
    StringRef name;
    bool isConstant;
    decltype(number) &typed;
    Builder &b = self.builder;

    Attribute operator()(int64_t v) {
      if (isConstant)
        return typed(v);
      bool isSize = name == "start" || name == "size";
      return isSize ? Attribute(graph::DimAttr::get(b.getContext(), DimExpr(v))) : Attribute(b.getI64IntegerAttr(v));
    }
    Attribute operator()(double v) { return isConstant ? typed(v) : Attribute(b.getF64FloatAttr(v)); }
    Attribute operator()(bool v) { return isConstant ? typed(int64_t(v)) : Attribute(b.getBoolAttr(v)); }
    Attribute operator()(const std::string &v) { return b.getStringAttr(v); }
    Attribute operator()(const std::vector<int64_t> &v) { return b.getDenseI64ArrayAttr(v); }
    Attribute operator()(DimExpr v) { return graph::DimAttr::get(b.getContext(), v); }
    Attribute operator()(const std::vector<DimExpr> &v) { return graph::getSizesAttr(b.getContext(), v); }
    Attribute operator()(sema::DType v) { return TypeAttr::get(self.element(v)); }
  };
  return std::visit(Visitor{*this, name, isConstant, number}, value);
}

ArrayAttr Importer::paramInfos() {
  SmallVector<Attribute> infos;
  for (const sema::ParamInfo &param : model.params) {
    Type paramType = type(param.type, location(param.span));
    if (!paramType)
      return {};
    infos.push_back(builder.getDictionaryAttr({
        builder.getNamedAttr("name", builder.getStringAttr(param.path)),
        builder.getNamedAttr("type", TypeAttr::get(paramType)),
        builder.getNamedAttr("initializer", builder.getStringAttr(param.initializer.name)),
        builder.getNamedAttr("args", builder.getDenseF64ArrayAttr(param.initializer.args)),
    }));
  }
  return builder.getArrayAttr(infos);
}

ArrayAttr Importer::stateInfos() {
  SmallVector<Attribute> infos;
  for (const sema::StateInfo &state : model.states) {
    Type stateType = type(state.type, location(state.span));
    if (!stateType)
      return {};
    SmallVector<NamedAttribute> info = {builder.getNamedAttr("name", builder.getStringAttr(state.path)),
                                        builder.getNamedAttr("type", TypeAttr::get(stateType))};
    if (state.initializer.name.empty()) {
      info.push_back(builder.getNamedAttr("initial", builder.getF64FloatAttr(state.initial)));
    } else {
      info.push_back(builder.getNamedAttr("initializer", builder.getStringAttr(state.initializer.name)));
      info.push_back(builder.getNamedAttr("args", builder.getDenseF64ArrayAttr(state.initializer.args)));
    }
    infos.push_back(builder.getDictionaryAttr(info));
  }
  return builder.getArrayAttr(infos);
}

graph::FuncOp Importer::createFunction(const sema::Function &function, ArrayRef<Type> arguments,
                                       ArrayRef<Type> results) {
  SmallVector<Attribute> argumentRoles, resultRoles, requirements;
  auto add = [&](size_t index, StringRef name, Attribute value) {
    auto attributes = llvm::to_vector(cast<DictionaryAttr>(argumentRoles[index]));
    attributes.push_back(builder.getNamedAttr(name, value));
    argumentRoles[index] = builder.getDictionaryAttr(attributes);
  };
  for (auto [i, argument] : llvm::enumerate(function.arguments)) {
    argumentRoles.push_back(role(argument.kind == sema::ArgumentKind::Input   ? graph::names::input
                                 : argument.kind == sema::ArgumentKind::Param ? graph::names::param
                                                                              : graph::names::state,
                                 argument.name));
    if (argument.isWrittenParam)
      add(i, "graph.written", builder.getUnitAttr());
  }
  for (const auto &[symbol, index] : function.scalarSymbols)
    add(index, graph::names::scalarSymbol, builder.getStringAttr(symbol));
  for (const sema::Result &result : function.results)
    resultRoles.push_back(result.state < 0 ? role(graph::names::output, result.name)
                                           : role(graph::names::state, function.arguments[result.state].name));
  for (const sema::Require &r : function.requirements)
    requirements.push_back(graph::RequireAttr::get(builder.getContext(), r.lhs, relationName(r.relation), r.rhs,
                                                   r.message, place(r.span)));

  SmallVector<StringRef> symbols(function.symbols.begin(), function.symbols.end());
  OperationState state(location(function.span), graph::FuncOp::getOperationName());
  auto set = [&](StringRef name, Attribute value) { state.addAttribute(name, value); };
  set("sym_name", builder.getStringAttr(function.name));
  set("function_type", TypeAttr::get(builder.getFunctionType(arguments, results)));
  set("symbols", builder.getStrArrayAttr(symbols));
  set("requirements", builder.getArrayAttr(requirements));
  set("arg_attrs", builder.getArrayAttr(argumentRoles));
  set("res_attrs", builder.getArrayAttr(resultRoles));
  if (!function.doc.empty())
    set("doc", builder.getStringAttr(function.doc));
  if (!function.role.empty())
    set("graph.role", builder.getStringAttr(function.role));
  if (!function.isEntry)
    set("sym_visibility", builder.getStringAttr("private"));
  for (auto [name, on] : {std::pair("entry", function.isEntry), std::pair("layer", function.isLayer),
                          std::pair("require_fused", function.requireFused)})
    if (on)
      set(name, builder.getUnitAttr());
  state.addRegion();
  return cast<graph::FuncOp>(builder.create(state));
}

LogicalResult Importer::importFunction(const sema::Function &function) {
  SmallVector<Type> arguments, results;
  SmallVector<Location> places;
  auto append = [&](SmallVector<Type> &types, sema::ValueId value) {
    types.push_back(type(function.values[value].type, location(function.values[value].span)));
    return success(bool(types.back()));
  };
  for (const sema::Argument &argument : function.arguments) {
    if (failed(append(arguments, argument.value)))
      return failure();
    places.push_back(location(argument.span, argument.name));
  }
  for (const sema::Result &result : function.results)
    if (failed(append(results, result.value)))
      return failure();

  graph::FuncOp func = createFunction(function, arguments, results);
  OpBuilder::InsertionGuard guard(builder);
  Block *body = builder.createBlock(&func.getBody(), {}, arguments, places);
  SmallVector<Value> values(function.values.size());
  for (auto [argument, value] : llvm::zip(function.arguments, body->getArguments()))
    values[argument.value] = value;
  for (const sema::Op &op : function.ops)
    if (failed(importOp(function, op, values)))
      return failure();

  SmallVector<Value> returned;
  for (const sema::Result &result : function.results) {
    if (!values[result.value])
      return func.emitError("result '") << result.name << "' is returned without having been computed";
    returned.push_back(values[result.value]);
  }
  graph::ReturnOp::create(builder, location(function.span), returned);
  return success();
}

LogicalResult Importer::importOp(const sema::Function &function, const sema::Op &op, MutableArrayRef<Value> values) {
  Location loc = location(op.span, op.path);
  SmallVector<Value> operands;
  for (sema::ValueId id : op.operands) {
    if (!values[id])
      return emitError(loc) << "'" << op.name << "' uses a value before it is computed";
    operands.push_back(values[id]);
  }
  SmallVector<Type> types;
  for (sema::ValueId id : op.results) {
    types.push_back(type(function.values[id].type, loc));
    if (!types.back())
      return failure();
  }
  if (op.name == "call")
    return importCall(op, operands, types, values);

  OperationState state(loc, "graph." + op.name, operands, types);
  if (!state.name.isRegistered())
    return emitError(loc) << "'" << op.name << "' is not an op of the graph dialect";
  Type element = types.empty() ? Type() : cast<graph::TensorType>(types[0]).getElementType();
  for (const auto &[name, value] : op.attributes) {
    StringRef ods = odsName(op.name, name);
    state.addAttribute(ods, attribute(value, ods, op.name == "constant" ? element : Type()));
  }
  Operation *created = builder.create(state);
  for (auto [id, value] : llvm::zip(op.results, created->getResults()))
    values[id] = value;
  return success();
}

LogicalResult Importer::importCall(const sema::Op &op, ArrayRef<Value> operands, ArrayRef<Type> types,
                                   MutableArrayRef<Value> values) {
  const sema::Function &callee = model.functions[op.callee];
  SmallVector<DimExpr> sizes; // in the order of the callee's symbols
  for (const std::string &symbol : callee.symbols) {
    auto given = llvm::find_if(op.substitution, [&](const auto &entry) { return entry.first == symbol; });
    if (given == op.substitution.end())
      return emitError(location(op.span, op.path))
             << "the call of '" << callee.name << "' gives no size for '" << symbol << "'";
    sizes.push_back(given->second);
  }
  OperationState state(location(op.span, op.path), graph::CallOp::getOperationName(), operands, types);
  state.addAttribute("callee", FlatSymbolRefAttr::get(builder.getContext(), callee.name));
  state.addAttribute("substitution", graph::getSizesAttr(builder.getContext(), sizes));
  if (!op.path.empty())
    state.addAttribute("path", builder.getStringAttr(op.path));
  Operation *call = builder.create(state);
  for (auto [id, value] : llvm::zip(op.results, call->getResults()))
    values[id] = value;
  return success();
}

OwningOpRef<ModuleOp> Importer::run() {
  OwningOpRef<ModuleOp> module = ModuleOp::create(builder.getUnknownLoc());
  ArrayAttr params = paramInfos(), states = stateInfos();
  if (!params || !states)
    return {};
  (*module)->setAttr(graph::names::model, builder.getStringAttr(model.name));
  (*module)->setAttr(graph::names::params, params);
  (*module)->setAttr(graph::names::states, states);
  builder.setInsertionPointToEnd(module->getBody());
  for (const sema::Function &function : model.functions)
    if (failed(importFunction(function)))
      return {};
  if (failed(verify(*module)))
    return {};
  return module;
}

OwningOpRef<ModuleOp> fovea::importModel(const sema::Model &model, const source::SourceManager &sources,
                                         MLIRContext &context) {
  context.getOrLoadDialect<graph::GraphDialect>();
  return Importer(model, sources, context).run();
}
