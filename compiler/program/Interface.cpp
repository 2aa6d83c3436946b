#include "compiler/program/Interface.h"

#include "compiler/analysis/Rematerialize.h"
#include "dialects/graph/GraphDialect.h"
#include "dialects/graph/Places.h"
#include "fovea/abi.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/ADT/StringSwitch.h"

#include <cmath>
#include <set>

using namespace mlir;

namespace fovea::program {

std::string Interface::symbolPrefix() const {
  std::string out;
  for (char c : name)
    out += llvm::isAlnum(c) ? llvm::toLower(c) : '_';
  return out.empty() || llvm::isDigit(out[0]) ? "_" + out : out;
}

int32_t dtypeOf(Type type) {
  if (type.isF32())
    return FOVEA_F32;
  if (type.isF16())
    return FOVEA_F16;
  if (type.isBF16())
    return FOVEA_BF16;
  if (type.isF64())
    return FOVEA_F64;
  switch (type.getIntOrFloatBitWidth()) {
  case 64:
    return FOVEA_I64;
  case 32:
    return FOVEA_I32;
  case 8:
    return FOVEA_I8;
  default:
    return FOVEA_BOOL;
  }
}

static TensorSpec specOf(StringRef name, Type type, std::string place) {
  auto tensor = cast<graph::TensorType>(type);
  return {name.str(),
          std::move(place),
          dtypeOf(tensor.getElementType()),
          {tensor.getDims().begin(), tensor.getDims().end()}};
}

/// Chooses for each symbol an input size (or integer scalar) that gives it: plain names first, then what is linear in
/// one unknown, until nothing more can be solved. What only states have (`limit`) comes from the context.
static LogicalResult bindSymbols(graph::FuncOp function, Entry &entry,
                                 const std::vector<std::pair<std::string, size_t>> &scalars) {
  DimExpr found = DimExpr::symbol(foundSymbol);
  std::set<std::string> known;
  auto indexOf = [&](llvm::StringRef name) { return size_t(llvm::find(entry.symbols, name) - entry.symbols.begin()); };
  auto bind = [&](const std::string &name, int64_t input, int64_t axis, DimExpr value) {
    if (known.insert(name).second)
      entry.bindings.push_back({indexOf(name), input, axis, value});
  };
  for (const auto &[name, input] : scalars)
    bind(name, input, -1, found);
  for (const auto &[i, input] : llvm::enumerate(entry.inputs))
    for (const auto &[axis, dim] : llvm::enumerate(input.dims))
      if (dim.kind() == DimExpr::Kind::Symbol)
        bind(std::string(dim.name()), i, axis, found);
  for (bool progress = true; progress;) {
    progress = false;
    for (const auto &[i, input] : llvm::enumerate(entry.inputs))
      for (const auto &[axis, dim] : llvm::enumerate(input.dims)) {
        std::vector<std::string> unknown;
        for (const std::string &name : dim.symbols())
          if (!known.count(name))
            unknown.push_back(name);
        if (unknown.size() != 1)
          continue;
        if (std::optional<DimExpr> value = dim.solveFor(unknown[0], found)) {
          bind(unknown[0], i, axis, *value);
          progress = true;
        }
      }
  }
  for (auto [common, own] : entry.stateSizes)
    bind(entry.symbols[own], -1, common, found);
  for (const std::string &name : entry.symbols)
    if (!known.count(name))
      return modelError(function.getLoc(), "unbound-size")
             << "the size `" << name << "` of entry `" << entry.name << "` cannot be had from its inputs";
  return success();
}

static int32_t relationOf(StringRef relation) {
  return llvm::StringSwitch<int32_t>(relation)
      .Case("ne", FOVEA_NE)
      .Case("lt", FOVEA_LT)
      .Case("le", FOVEA_LE)
      .Case("gt", FOVEA_GT)
      .Case("ge", FOVEA_GE)
      .Default(FOVEA_EQ);
}

/// Adds `spec` to a program-wide table unless its name is there already; gives its index.
static size_t addOnce(std::vector<TensorSpec> &table, TensorSpec spec) {
  auto it = llvm::find_if(table, [&](const TensorSpec &other) { return other.name == spec.name; });
  size_t index = it - table.begin();
  if (it == table.end())
    table.push_back(std::move(spec));
  return index;
}

/// Adds a state that `entry` uses. The first entry's names of its sizes become the program's state symbols; a later
/// entry's symbols at the same axes must equal them.
static void addState(TensorSpec spec, Initial initial, Entry &entry, Interface &interface) {
  std::vector<DimExpr> dims = spec.dims;
  size_t index = addOnce(interface.states, std::move(spec));
  interface.initials.resize(interface.states.size(), initial);
  entry.states.push_back(index);
  for (auto [common, own] : llvm::zip(interface.states[index].dims, dims)) {
    if (common.kind() != DimExpr::Kind::Symbol || own.kind() != DimExpr::Kind::Symbol)
      continue;
    auto position = [](std::vector<std::string> &names, std::string_view name) {
      auto it = llvm::find(names, name);
      size_t at = it - names.begin();
      if (it == names.end())
        names.emplace_back(name);
      return at;
    };
    std::pair<size_t, size_t> pair(position(interface.stateSymbols, common.name()),
                                   position(entry.symbols, own.name()));
    if (!llvm::is_contained(entry.stateSizes, pair))
      entry.stateSizes.push_back(pair);
  }
}

/// The row of the module's table `table` with this name; null where there is none.
static DictionaryAttr findInfo(ModuleOp module, StringRef table, StringRef name) {
  auto infos = module->getAttrOfType<ArrayAttr>(table);
  for (Attribute attribute : infos ? infos.getValue() : ArrayRef<Attribute>())
    if (auto info = cast<DictionaryAttr>(attribute); info.getAs<StringAttr>("name").getValue() == name)
      return info;
  return {};
}

/// An initialiser, by its name and arguments. Fans are PyTorch's: axis 1 is what comes in, axis 0 what goes out, each
/// with all further axes; the deviation is gain * sqrt(2 / (in + out)) (Xavier) or gain / sqrt(in) (Kaiming), a uniform
/// distribution's bound sqrt(3) of it.
static Initial initializerOf(DictionaryAttr info) {
  Initial initial;
  StringRef name = info.getAs<StringAttr>("initializer").getValue();
  ArrayRef<double> args = info.getAs<DenseF64ArrayAttr>("args");
  double a = args.empty() ? name == "ones" : args[0], b = args.size() < 2 ? 0 : args[1];
  if (name.starts_with("xavier") || name.starts_with("kaiming")) {
    ArrayRef<DimExpr> dims = cast<graph::TensorType>(info.getAs<TypeAttr>("type").getValue()).getDims();
    double field = 1;
    for (DimExpr dim : dims.drop_front(2))
      field *= static_cast<double>(dim.value().value_or(0));
    double in = field * static_cast<double>(dims[1].value().value_or(0));
    double out = field * static_cast<double>(dims[0].value().value_or(0));
    double fan = name.starts_with("xavier") ? (in + out) / 2 : in;
    b = fan > 0 ? a / std::sqrt(fan) : 0;
    a = 0;
    if (name.ends_with("uniform")) {
      b *= std::sqrt(3.0);
      a = -b;
    }
  }
  initial.kind = llvm::StringSwitch<int32_t>(name)
                     .Case("", FOVEA_INITIAL_NONE)
                     .EndsWith("uniform", FOVEA_INITIAL_UNIFORM)
                     .Case("truncated_normal", FOVEA_INITIAL_TRUNCATED_NORMAL)
                     .EndsWith("normal", FOVEA_INITIAL_NORMAL)
                     .Default(FOVEA_INITIAL_CONSTANT);
  initial.a = a;
  initial.b = b;
  return initial;
}

/// What a state is at first, from the module's tables: a written param has its row in that of params.
static Initial initialOf(graph::FuncOp function, StringRef state) {
  auto module = function->getParentOfType<ModuleOp>();
  Initial initial;
  if (DictionaryAttr info = findInfo(module, graph::names::params, state)) {
    initial = initializerOf(info);
    initial.isParam = true;
    return initial;
  }
  DictionaryAttr info = findInfo(module, graph::names::states, state);
  if (info && info.get("initializer"))
    return initializerOf(info);
  if (auto value = info ? info.getAs<FloatAttr>("initial") : FloatAttr())
    initial.a = value.getValueAsDouble();
  return initial;
}

static FailureOr<Entry> describeEntry(graph::FuncOp function, Interface &interface) {
  Entry entry;
  entry.function = function.getSymName().str();
  StringRef name = function.getSymName();
  entry.name = name.contains('.') ? name.rsplit('.').second.str() : name.str();
  if (auto doc = function->getAttrOfType<StringAttr>("doc"))
    entry.doc = doc.getValue().str();
  entry.recomputation = recomputationOf(function);
  if (auto role = function->getAttrOfType<StringAttr>("graph.role"))
    entry.role = role.getValue() == "train" ? FOVEA_ROLE_TRAIN : FOVEA_ROLE_EVALUATE;
  for (Attribute symbol : function.getSymbols())
    entry.symbols.push_back(cast<StringAttr>(symbol).getValue().str());
  std::vector<std::pair<std::string, size_t>> scalars;
  for (BlockArgument argument : function.getArguments()) {
    unsigned i = argument.getArgNumber();
    std::string place = placeOf(argument.getLoc());
    if (auto name = function.getArgAttrOfType<StringAttr>(i, "graph.input")) {
      if (auto symbol = function.getArgAttrOfType<StringAttr>(i, "graph.scalar_symbol"))
        scalars.emplace_back(symbol.getValue().str(), entry.inputs.size());
      entry.inputs.push_back(specOf(name, argument.getType(), place));
    } else if (auto name = function.getArgAttrOfType<StringAttr>(i, "graph.param")) {
      size_t param = addOnce(interface.params, specOf(name, argument.getType(), place));
      if (auto at = llvm::lower_bound(interface.direct, param); at == interface.direct.end() || *at != param)
        interface.direct.insert(at, param);
    } else if (auto name = function.getArgAttrOfType<StringAttr>(i, "graph.state")) {
      addState(specOf(name, argument.getType(), place), initialOf(function, name), entry, interface);
    }
  }
  for (unsigned i = 0; i < function.getNumResults(); ++i)
    if (auto name = function.getResultAttrOfType<StringAttr>(i, "graph.output"))
      entry.outputs.push_back(specOf(name, function.getResultTypes()[i], placeOf(function.getLoc())));
  if (failed(bindSymbols(function, entry, scalars)))
    return failure();
  for (Attribute attribute : function.getRequirements()) {
    auto require = cast<graph::RequireAttr>(attribute);
    entry.requirements.push_back({require.getLhs(), require.getRhs(), relationOf(require.getRelation()),
                                  require.getMessage().str(), require.getPlace().str()});
  }
  return entry;
}

static LogicalResult describePrepare(graph::FuncOp function, Interface &interface) {
  for (BlockArgument argument : function.getArguments())
    if (auto name = function.getArgAttrOfType<StringAttr>(argument.getArgNumber(), "graph.param"))
      addOnce(interface.params, specOf(name, argument.getType(), placeOf(argument.getLoc())));
  for (unsigned i = 0; i < function.getNumResults(); ++i) {
    auto name = function.getResultAttrOfType<StringAttr>(i, "graph.derived");
    auto type = cast<graph::TensorType>(function.getResultTypes()[i]);
    std::optional<int64_t> elements = type.getNumElements().value();
    if (!name || !elements)
      return function.emitError("result ") << i << " of a prepare function has no name or no literal size";
    int64_t width = std::max<int64_t>(1, type.getElementType().getIntOrFloatBitWidth() / 8);
    interface.derived.push_back(
        {name.getValue().str(), dtypeOf(type.getElementType()), *elements * width, interface.prepare.size()});
  }
  interface.prepare.push_back(function.getSymName().str());
  return success();
}

FailureOr<Interface> describeProgram(ModuleOp module) {
  Interface interface;
  if (auto name = module->getAttrOfType<StringAttr>("graph.model"))
    interface.name = name.getValue().str();
  llvm::StringSet<> called; // prepare functions of layers are called by the program's
  module.walk([&](graph::CallOp call) { called.insert(call.getCallee()); });
  for (auto function : module.getOps<graph::FuncOp>()) {
    if (function.getEntry()) {
      FailureOr<Entry> entry = describeEntry(function, interface);
      if (failed(entry))
        return failure();
      interface.entries.push_back(std::move(*entry));
    } else if (function.getPrepare() && !called.count(function.getSymName())) {
      if (failed(describePrepare(function, interface)))
        return failure();
    }
  }
  for (const TensorSpec &param : interface.params)
    for (DimExpr dim : param.dims)
      if (!dim.isConstant())
        return modelError(module.getLoc(), "unknown-size")
               << "the size `" << dim.str() << "` of param `" << param.name << "` is not known when it is built";
  return interface;
}

} // namespace fovea::program
