#include "compiler/program/Tables.h"

#include "compiler/program/LowerProgram.h"
#include "fovea/abi.h"

#include "llvm/IR/Constants.h"
#include "llvm/IR/IRBuilder.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;

namespace fovea::program {

namespace {

/// Constants in the layout of the C structs of abi.h. Struct types are literal and not packed, with explicit 32-bit
/// fields in pairs, as in the header: C and LLVM agree on them.
class TableBuilder {
public:
  explicit TableBuilder(Module &module) : module(module), context(module.getContext()) {}

  Constant *i32(int64_t v) { return ConstantInt::getSigned(Type::getInt32Ty(context), v); }
  Constant *i64(int64_t v) { return ConstantInt::getSigned(Type::getInt64Ty(context), v); }
  Constant *null() { return ConstantPointerNull::get(PointerType::getUnqual(context)); }
  Constant *record(ArrayRef<Constant *> fields) { return ConstantStruct::getAnon(context, fields); }

  Constant *global(Constant *value, const Twine &name = "fovea.table") {
    auto *variable = new GlobalVariable(module, value->getType(), /*isConstant=*/true, GlobalValue::InternalLinkage, value, name);
    return variable;
  }
  Constant *text(StringRef value) {
    Constant *&known = texts[value];
    if (!known)
      known = global(ConstantDataArray::getString(context, value), "fovea.text");
    return known;
  }
  /// The address of the first of `values`, or null where there are none.
  Constant *array(ArrayRef<Constant *> values) {
    if (values.empty())
      return null();
    return global(ConstantArray::get(ArrayType::get(values[0]->getType(), values.size()), values));
  }
  Constant *bytes(ArrayRef<uint8_t> values) { return ConstantDataArray::get(context, values); }
  Constant *words(ArrayRef<int64_t> values) { return global(ConstantDataArray::get(context, values)); }

  using SymbolIndex = function_ref<int64_t(std::string_view)>;
  Constant *dim(DimExpr expr, SymbolIndex symbol) {
    std::vector<int64_t> code;
    encode(expr, symbol, code);
    return record({words(code), i64(code.size()), text(expr.str())});
  }
  Constant *tensor(const TensorSpec &spec, SymbolIndex symbol) {
    std::vector<Constant *> dims;
    for (DimExpr d : spec.dims)
      dims.push_back(dim(d, symbol));
    return record({text(spec.name), text(spec.place), i32(spec.dtype), i32(spec.dims.size()), array(dims)});
  }

private:
  static void encode(DimExpr expr, SymbolIndex symbol, std::vector<int64_t> &code) {
    auto binary = [&](int64_t op) {
      encode(expr.lhs(), symbol, code);
      encode(expr.rhs(), symbol, code);
      code.push_back(op);
    };
    switch (expr.kind()) {
    case DimExpr::Kind::Constant:
      code.insert(code.end(), {FOVEA_DIM_PUSH, *expr.value()});
      return;
    case DimExpr::Kind::Symbol:
      code.insert(code.end(), {FOVEA_DIM_SYMBOL, symbol(expr.name())});
      return;
    case DimExpr::Kind::FloorDiv:
      return binary(FOVEA_DIM_FLOORDIV);
    case DimExpr::Kind::Mod:
      return binary(FOVEA_DIM_MOD);
    case DimExpr::Kind::Max:
      return binary(FOVEA_DIM_MAX);
    case DimExpr::Kind::Min:
      return binary(FOVEA_DIM_MIN);
    case DimExpr::Kind::Sum:
      break;
    }
    bool first = true;
    for (const DimExpr::Term &term : expr.terms()) {
      bool plain = term.coefficient == 1 && !term.factors.empty();
      if (!plain)
        code.insert(code.end(), {FOVEA_DIM_PUSH, term.coefficient});
      for (size_t i = 0; i < term.factors.size(); ++i) {
        encode(term.factors[i], symbol, code);
        if (i || !plain)
          code.push_back(FOVEA_DIM_MUL);
      }
      if (!first)
        code.push_back(FOVEA_DIM_ADD);
      first = false;
    }
  }

  Module &module;
  LLVMContext &context;
  StringMap<Constant *> texts;
};

int64_t indexIn(const std::vector<std::string> &names, std::string_view name) {
  return llvm::find(names, name) - names.begin();
}

Constant *entryTable(TableBuilder &t, const Entry &entry, const Interface &interface) {
  auto symbol = [&](std::string_view name) -> int64_t {
    return name == foundSymbol ? entry.symbols.size() : indexIn(entry.symbols, name);
  };
  std::vector<Constant *> inputs, outputs, symbols, bindings, requirements, states, stateSymbols;
  for (const TensorSpec &input : entry.inputs)
    inputs.push_back(t.tensor(input, symbol));
  for (const TensorSpec &output : entry.outputs)
    outputs.push_back(t.tensor(output, symbol));
  for (const std::string &name : entry.symbols)
    symbols.push_back(t.text(name));
  for (const Binding &binding : entry.bindings)
    bindings.push_back(t.record({t.i32(binding.symbol), t.i32(binding.input), t.i32(binding.axis), t.i32(0), t.dim(binding.value, symbol)}));
  for (const Requirement &r : entry.requirements)
    requirements.push_back(t.record({t.dim(r.lhs, symbol), t.dim(r.rhs, symbol), t.i32(r.relation), t.i32(0), t.text(r.message), t.text(r.place)}));
  for (size_t state : entry.states)
    states.push_back(t.i32(state));
  for (size_t i = 0; i < interface.stateSymbols.size(); ++i) {
    auto it = llvm::find_if(entry.stateSizes, [&](const auto &pair) { return pair.first == i; });
    stateSymbols.push_back(t.i32(it == entry.stateSizes.end() ? -1 : static_cast<int64_t>(it->second)));
  }
  return t.record({t.text(entry.name), t.text(entry.doc), t.i32(inputs.size()), t.i32(outputs.size()), t.i32(symbols.size()),
                   t.i32(bindings.size()), t.i32(requirements.size()), t.i32(states.size()), t.array(inputs), t.array(outputs),
                   t.array(symbols), t.array(bindings), t.array(requirements), t.array(states), t.array(stateSymbols),
                   t.i32(entry.role), t.i32(0)});
}

} // namespace

void addTargetTable(Module &module, const Interface &interface, const TargetTable &target, StringRef symbol,
                    function_ref<std::string(StringRef)> arenaFormula) {
  TableBuilder t(module);
  for (GlobalValue &value : module.global_values())
    if (!value.isDeclaration())
      value.setLinkage(GlobalValue::InternalLinkage);
  auto code = [&](StringRef function) {
    return t.record({module.getFunction(entrySymbol(function)), module.getFunction(arenaSymbol(function)),
                     module.getFunction(scratchSymbol(function)), module.getFunction(sharedSymbol(function)),
                     t.record({t.null(), t.i64(0), t.text(arenaFormula(function))})});
  };
  std::vector<Constant *> features, entries, prepare, derived, direct;
  for (const std::string &feature : target.features)
    features.push_back(t.text(feature));
  features.push_back(t.null());
  for (const Entry &entry : interface.entries)
    entries.push_back(code(entry.function));
  for (const std::string &function : interface.prepare)
    prepare.push_back(code(function));
  for (const Derived &d : interface.derived)
    derived.push_back(t.record({t.text(d.name), t.i64(d.bytes), t.i32(d.prepare), t.i32(d.dtype)}));
  for (size_t param : interface.direct)
    direct.push_back(t.i32(param));
  Constant *table = t.record({t.text(target.name), t.array(features), t.array(entries), t.array(prepare),
                              t.i32(prepare.size()), t.i32(derived.size()), t.array(derived), t.array(direct),
                              t.i32(direct.size()), t.i32(0), t.bytes(interface.identity)});
  auto *global = cast<GlobalVariable>(t.global(table, symbol));
  global->setLinkage(GlobalValue::ExternalLinkage);
  global->setVisibility(GlobalValue::HiddenVisibility);
}

/// `fovea_packed` of a file that the assembler reads. Its section is marked as large: the linker keeps it away from
/// code, which reaches what it needs within 2 GiB.
static Constant *packedTable(TableBuilder &t, Module &module, const PackedPath &packed, size_t number) {
  std::string symbol = "fovea_packed_" + std::to_string(number), text;
  raw_string_ostream stream(text);
  stream << "\t.section .fovea.packed,\"al\",@progbits\n\t.p2align 12\n\t.hidden " << symbol << "\n\t.globl " << symbol
         << "\n"
         << symbol << ":\n\t.incbin \"";
  stream.write_escaped(packed.path);
  stream << "\"\n";
  module.appendModuleInlineAsm(text);
  auto *data = new GlobalVariable(module, Type::getInt8Ty(module.getContext()), true, GlobalValue::ExternalLinkage,
                                  nullptr, symbol);
  data->setVisibility(GlobalValue::HiddenVisibility);
  return t.record({data, t.i64(packed.bytes)});
}

std::unique_ptr<Module> makeProgramModule(LLVMContext &context, const Interface &interface,
                                          ArrayRef<std::string> targetSymbols, bool executable,
                                          ArrayRef<PackedPath> packed) {
  auto module = std::make_unique<Module>("program", context);
  TableBuilder t(*module);
  std::vector<Constant *> entries, params, states, targets, stateSymbols, initials, packedTables;
  for (const Entry &entry : interface.entries)
    entries.push_back(entryTable(t, entry, interface));
  auto none = [](std::string_view) -> int64_t { return 0; };
  for (const TensorSpec &param : interface.params)
    params.push_back(t.tensor(param, none));
  auto stateSymbol = [&](std::string_view name) { return indexIn(interface.stateSymbols, name); };
  for (const TensorSpec &state : interface.states)
    states.push_back(t.tensor(state, stateSymbol));
  for (const std::string &name : interface.stateSymbols)
    stateSymbols.push_back(t.text(name));
  auto number = [&](double value) { return ConstantFP::get(Type::getDoubleTy(context), value); };
  for (const Initial &initial : interface.initials)
    initials.push_back(t.record({t.i32(initial.kind), t.i32(initial.isParam), number(initial.a), number(initial.b)}));
  for (const std::string &symbol : targetSymbols)
    targets.push_back(new GlobalVariable(*module, Type::getInt8Ty(context), true, GlobalValue::ExternalLinkage, nullptr, symbol));
  for (Constant *target : targets)
    cast<GlobalVariable>(target)->setVisibility(GlobalValue::HiddenVisibility);
  for (auto [i, file] : llvm::enumerate(packed))
    packedTables.push_back(packedTable(t, *module, file, i));
  Constant *program =
      t.global(t.record({t.i32(FOVEA_ABI_VERSION), t.i32(entries.size()), t.i32(params.size()), t.i32(states.size()),
                         t.i32(targets.size()), t.i32(stateSymbols.size()), t.text(interface.name), t.array(entries),
                         t.array(params), t.array(states), t.array(targets), t.array(stateSymbols),
                         t.array(initials), t.array(packedTables)}),
               "fovea.program");
  auto returnProgram = [&](const std::string &name, bool visible) {
    auto *type = FunctionType::get(PointerType::getUnqual(context), false);
    auto *function = Function::Create(type, GlobalValue::ExternalLinkage, name, *module);
    function->setVisibility(visible ? GlobalValue::DefaultVisibility : GlobalValue::HiddenVisibility);
    IRBuilder<> builder(BasicBlock::Create(context, "", function));
    builder.CreateRet(program);
  };
  returnProgram(interface.symbolPrefix() + "_program", true);
  if (executable)
    returnProgram("fovea_linked_program", false);
  return module;
}

} // namespace fovea::program
