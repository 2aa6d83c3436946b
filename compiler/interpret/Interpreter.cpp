// Entries: symbols from shapes, preconditions, calls.
#include "compiler/interpret/Interpreter.h"

#include "compiler/interpret/Evaluate.h"

using namespace mlir;
using namespace fovea;
using namespace fovea::interpret;
using llvm::Error;
using llvm::Expected;

HostTensor HostTensor::ofReals(std::vector<int64_t> shape, std::vector<double> values, sema::DType dtype) {
  return {dtype, std::move(shape), std::move(values), {}};
}

HostTensor HostTensor::ofInts(std::vector<int64_t> shape, std::vector<int64_t> values, sema::DType dtype) {
  return {dtype, std::move(shape), {}, std::move(values)};
}

HostTensor HostTensor::zeros(std::vector<int64_t> shape, sema::DType dtype) {
  HostTensor t{dtype, std::move(shape), {}, {}};
  if (t.isFloat())
    t.reals.resize(t.count());
  else
    t.ints.resize(t.count());
  return t;
}

int64_t HostTensor::count() const {
  int64_t product = 1;
  for (int64_t size : shape)
    product *= size;
  return product;
}

static Error fail(const Twine &message) { return llvm::createStringError(message); }

static std::string shapeText(ArrayRef<int64_t> shape) {
  std::string text = "[";
  for (auto [i, size] : llvm::enumerate(shape))
    text += (i ? ", " : "") + std::to_string(size);
  return text + "]";
}

namespace {

using Symbols = std::map<std::string, int64_t, std::less<>>;

/// One named tensor handed to an entry, and the type it must have.
struct Given {
  std::string name;
  Ref tensor;
  graph::TensorType type;
  StringRef scalarSymbol;
};

/// Values for symbols: a size that is a lone symbol, or linear in one unknown, binds it; then every size is checked.
class SymbolBinder {
public:
  explicit SymbolBinder(ArrayRef<Given> given) : given(given) {}

  Expected<Symbols> run(ArrayAttr declared) {
    for (const Given &g : given) {
      if (g.tensor->dtype != dtypeOf(g.type.getElementType()))
        return fail("`" + g.name + "` has another element type than the model's");
      if (int64_t(g.tensor->shape.size()) != g.type.getRank())
        return fail("`" + g.name + "` has rank " + Twine(g.tensor->shape.size()) + ", the model expects rank " +
                    Twine(g.type.getRank()));
      if (!g.scalarSymbol.empty())
        symbols[g.scalarSymbol.str()] = g.tensor->ints[0];
    }
    while (bindOne())
      ;
    for (auto symbol : declared.getAsRange<StringAttr>()) {
      auto it = symbols.find(std::string_view(symbol.getValue()));
      if (it == symbols.end())
        return fail("no argument gives `" + symbol.getValue() + "` a value");
      if (it->second < 0)
        return fail("`" + symbol.getValue() + "` is " + Twine(it->second) + ", which is negative");
    }
    if (Error error = check())
      return std::move(error);
    return symbols;
  }

private:
  std::optional<int64_t> valueOf(DimExpr e) {
    return e.evaluate([&](std::string_view name) -> std::optional<int64_t> {
      auto it = symbols.find(name);
      return it == symbols.end() ? std::nullopt : std::optional(it->second);
    });
  }

  bool bindOne() {
    for (const Given &g : given)
      for (auto [i, size] : llvm::enumerate(g.type.getDims())) {
        std::string unknown;
        int count = 0;
        for (const std::string &name : size.symbols())
          if (!symbols.count(name)) {
            unknown = name;
            ++count;
          }
        if (count != 1)
          continue;
        std::optional<DimExpr> solution = size.solveFor(unknown, DimExpr(g.tensor->shape[i]));
        std::optional<int64_t> value = solution ? valueOf(*solution) : std::nullopt;
        if (!value)
          continue;
        symbols[unknown] = *value;
        return true;
      }
    return false;
  }

  Error check() {
    for (const Given &g : given)
      for (auto [i, size] : llvm::enumerate(g.type.getDims())) {
        std::optional<int64_t> expected = valueOf(size);
        if (!expected || *expected != g.tensor->shape[i])
          return fail("`" + g.name + "` has shape " + shapeText(g.tensor->shape) + ": axis " + Twine(i) + " is " +
                      Twine(g.tensor->shape[i]) + ", the model expects " + size.str() +
                      (expected && !size.isConstant() ? " = " + Twine(*expected) : Twine()));
      }
    return Error::success();
  }

  ArrayRef<Given> given;
  Symbols symbols;
};

} // namespace

static bool holds(StringRef relation, int64_t a, int64_t b) {
  return relation == "eq"   ? a == b
         : relation == "ne" ? a != b
         : relation == "lt" ? a < b
         : relation == "le" ? a <= b
         : relation == "gt" ? a > b
                            : a >= b;
}

static Error checkRequirements(graph::FuncOp function, const Scope &scope) {
  for (auto require : function.getRequirements().getAsRange<graph::RequireAttr>()) {
    std::optional<int64_t> lhs = scope.size(require.getLhs()), rhs = scope.size(require.getRhs());
    if (!lhs || !rhs || !holds(require.getRelation(), *lhs, *rhs))
      return fail(require.getPlace() + ": requires " + require.getMessage() + ", but " + require.getLhs().str() +
                  " is " + (lhs ? std::to_string(*lhs) : "undefined") + " and " + require.getRhs().str() + " is " +
                  (rhs ? std::to_string(*rhs) : "undefined"));
  }
  return Error::success();
}

Expected<std::vector<Ref>> fovea::interpret::callFunction(graph::FuncOp function, Symbols symbols,
                                                          std::vector<Ref> arguments, Surroundings around) {
  Scope scope;
  scope.around = std::move(around);
  scope.symbols = std::move(symbols);
  if (Error error = checkRequirements(function, scope))
    return std::move(error);
  Block &body = function.getBody().front();
  for (auto [argument, tensor] : llvm::zip(body.getArguments(), arguments))
    scope.values[argument] = tensor;
  if (Error error = evaluateBlock(scope, body))
    return std::move(error);
  std::vector<Ref> results;
  for (Value v : body.getTerminator()->getOperands())
    results.push_back(scope.values[v]);
  return results;
}

Expected<Results> Interpreter::run(StringRef entry, const Arguments &arguments) {
  auto function = module.lookupSymbol<graph::FuncOp>(entry);
  if (!function)
    return fail("the model has no entry `" + entry + "`");
  std::vector<Given> given;
  for (unsigned i = 0; i < function.getNumArguments(); ++i) {
    auto attribute = [&](StringRef key) { return function.getArgAttrOfType<StringAttr>(i, key); };
    const std::pair<StringRef, const std::map<std::string, TensorRef> &> roles[] = {
        {graph::names::input, arguments.inputs},
        {graph::names::param, arguments.params},
        {graph::names::state, arguments.states}};
    Given g;
    for (const auto &[key, tensors] : roles)
      if (StringAttr name = attribute(key)) {
        g.name = name.str();
        auto it = tensors.find(g.name);
        if (it != tensors.end())
          g.tensor = std::make_shared<Tensor>(*it->second);
      }
    if (!g.tensor)
      return fail("no tensor is given for `" + g.name + "`");
    if (int64_t(g.tensor->isFloat() ? g.tensor->reals.size() : g.tensor->ints.size()) != g.tensor->count())
      return fail("`" + g.name + "` has fewer or more elements than its shape");
    g.type = cast<graph::TensorType>(function.getArgumentTypes()[i]);
    if (StringAttr symbol = attribute(graph::names::scalarSymbol))
      g.scalarSymbol = symbol.getValue();
    given.push_back(std::move(g));
  }

  Expected<Symbols> symbols = SymbolBinder(given).run(function.getSymbols());
  if (!symbols)
    return symbols.takeError();
  std::vector<Ref> tensors;
  for (Given &g : given)
    tensors.push_back(g.tensor);
  Expected<std::vector<Ref>> values =
      callFunction(function, std::move(*symbols), std::move(tensors), {module, observer ? &observer : nullptr, {}});
  if (!values)
    return values.takeError();
  Results results;
  for (auto [i, value] : llvm::enumerate(*values)) {
    if (auto state = function.getResultAttrOfType<StringAttr>(i, graph::names::state))
      results.states[state.str()] = value;
    else if (auto output = function.getResultAttrOfType<StringAttr>(i, graph::names::output))
      results.outputs[output.str()] = value;
  }
  return results;
}
