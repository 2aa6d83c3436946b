// Moves what depends on params alone to prepare functions, which run once after loading. Pays: packing, merged weights
// and folded constants cost nothing in a run. Exact.
//
//   entry(x, w): y = f(x, pack(w))      becomes    prepare(w): pack(w)      entry(x, p {graph.derived}): y = f(x, p)
#include "compiler/analysis/IndexBounds.h"
#include "compiler/passes/ElementExpression.h"
#include "compiler/passes/Passes.h"
#include "compiler/passes/Roles.h"

#include "mlir/IR/Dominance.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Transforms/CSE.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringSet.h"

namespace fovea {
#define GEN_PASS_DEF_HOISTLOADTIME
#include "compiler/passes/Passes.h.inc"
} // namespace fovea

using namespace mlir;
using namespace fovea;

namespace {

class HoistLoadTime : public fovea::impl::HoistLoadTimeBase<HoistLoadTime> {
  void runOnOperation() override;

  void hoistLayer(graph::FuncOp layer);
  void hoistEntries(ArrayRef<graph::FuncOp> entries);
  /// What an entry derives from params alone.
  struct Derived {
    graph::FuncOp entry;
    SmallVector<Value> values;
  };
  void hoistDerived(ArrayRef<Derived> all);
  SmallVector<std::string> joinEntries(graph::FuncOp prepare, ArrayRef<Derived> all);
  bool mayRestOnProof(Value value, IndexBounds &bounds);
  SmallVector<Value> frontier(graph::FuncOp function);
  std::string nameOf(graph::FuncOp function, Value value);
  graph::FuncOp createPrepare(StringRef name, Location loc, bool isPrivate);
  void finishPrepare(graph::FuncOp function, ValueRange results, ArrayRef<std::string> names);
  void updateCalls(graph::FuncOp layer, graph::FuncOp prepare, ArrayRef<unsigned> params, const BitVector &erased);
  void addDerived(graph::FuncOp function, ArrayRef<Value> values, ArrayRef<std::string> names);

  SymbolTable *symbols = nullptr;
  llvm::DenseMap<Operation *, SmallVector<graph::CallOp>> calls; ///< by callee
};

} // namespace

//===-- What is moved ---------------------------------------------------------------------------------------------===//

/// The value that a view is of: layouts, slices and widening casts are made where they are read.
static Value baseOf(Value value) {
  while (Operation *op = value.getDefiningOp()) {
    auto convert = dyn_cast<graph::CastOp>(op);
    bool widens = convert && isa<FloatType>(typeOf(convert.getX()).getElementType()) &&
                  isa<FloatType>(typeOf(convert.getResult()).getElementType()) &&
                  typeOf(convert.getX()).getElementType().getIntOrFloatBitWidth() <
                      typeOf(convert.getResult()).getElementType().getIntOrFloatBitWidth();
    if (!isLayout(op) && !widens && !(isa<graph::SliceOp>(op) && op->getNumOperands() == 1))
      break;
    value = op->getOperand(0);
  }
  return value;
}

/// Whether indices are computed from `value` by ops that ranges go through.
static bool reachesIndex(Value value) {
  SmallVector<Value> work = {value};
  DenseSet<Operation *> seen;
  while (!work.empty())
    for (OpOperand &use : work.pop_back_val().getUses()) {
      Operation *user = use.getOwner();
      if (isa<graph::GatherOp, graph::ScatterOp, graph::SliceOp, graph::UpdateSliceOp>(user) &&
          use.getOperandNumber() > 0)
        return true; // indices and offsets come after the tensor
      if (auto attention = dyn_cast<graph::AttentionOp>(user);
          attention && llvm::is_contained(attention.getCaptures(), use.get()))
        return true; // whose regions may hold them
      if (auto backward = dyn_cast<graph::AttentionBackwardOp>(user);
          backward && llvm::is_contained(backward.getCaptures(), use.get()))
        return true;
      bool passesOn =
          isLayout(user) || isa<graph::ElementwiseOpInterface, graph::CastOp, graph::SliceOp, graph::GatherOp,
                                graph::ScatterOp, graph::UpdateSliceOp, graph::ConcatOp>(user);
      if (passesOn && seen.insert(user).second)
        llvm::append_range(work, user->getResults());
    }
  return false;
}

/// Whether an index may be proved to be in range from the ops that compute `value`: it is then read without a check.
/// The proof does not hold for values from elsewhere, such as a packed file, so the value stays in the function.
/// Integers stay whatever is known of them now; panels are no indices, and what a layer's prepare function gives isn't
/// either.
bool HoistLoadTime::mayRestOnProof(Value value, IndexBounds &bounds) {
  Type element = typeOf(value).getElementType();
  if (element.isF32())
    return bounds.realRangeOf(value).isKnown() && reachesIndex(value);
  if (element.isInteger(1)) // packed ones are checked to be 0 or 1
    return bounds.truthOf(value).has_value() && reachesIndex(value);
  if (!element.isSignlessInteger() || value.getDefiningOp<graph::PackOp>())
    return false;
  auto call = value.getDefiningOp<graph::CallOp>();
  auto callee = call ? symbols->lookup<graph::FuncOp>(call.getCallee()) : graph::FuncOp();
  return !callee || !callee.getPrepare();
}

/// Values of params alone that something else reads, each once.
SmallVector<Value> HoistLoadTime::frontier(graph::FuncOp function) {
  ParamDependence params(function);
  IndexBounds bounds(function);
  llvm::SetVector<Value> found;
  llvm::SetVector<Operation *> readers;
  for (Operation &op : function.getBody().front())
    if (!op.getNumResults() || !llvm::all_of(op.getResults(), [&](Value v) { return params.isConstant(v); }))
      readers.insert(&op);
  for (size_t i = 0; i < readers.size(); ++i)
    for (Value operand : readers[i]->getOperands()) {
      if (!operand.getDefiningOp() || !params.hasParam(operand))
        continue;
      Value base = baseOf(operand);
      if (!base.getDefiningOp() || !params.hasParam(base))
        continue;
      if (mayRestOnProof(base, bounds))
        readers.insert(base.getDefiningOp());
      else
        found.insert(base);
    }
  return found.takeVector();
}

/// The params that a value is computed from, by argument number, ascending.
static SmallVector<unsigned> paramsOf(ArrayRef<Value> values) {
  llvm::SetVector<Value> reached(values.begin(), values.end());
  SmallVector<unsigned> result;
  for (size_t i = 0; i < reached.size(); ++i) {
    if (Operation *op = reached[i].getDefiningOp())
      reached.insert(op->operand_begin(), op->operand_end());
    else
      result.push_back(cast<BlockArgument>(reached[i]).getArgNumber());
  }
  llvm::sort(result);
  return result;
}

/// "query.weight.pack", "layers.0.query.weight+2.concat": the first param, how many more, the last op.
std::string HoistLoadTime::nameOf(graph::FuncOp function, Value value) {
  Operation *op = value.getDefiningOp();
  if (auto call = dyn_cast<graph::CallOp>(op)) {
    auto callee = symbols->lookup<graph::FuncOp>(call.getCallee());
    unsigned number = cast<OpResult>(value).getResultNumber();
    auto inner = callee ? callee.getResultAttrOfType<StringAttr>(number, graph::names::derived) : StringAttr();
    std::string path = call.getPath().value_or(call.getCallee()).str();
    return path + "." + (inner ? inner.str() : std::to_string(number));
  }
  SmallVector<unsigned> params = paramsOf({value});
  std::string name;
  if (!params.empty()) {
    StringRef role = roleName(function, params.front(), graph::names::param);
    if (role.empty())
      role = roleName(function, params.front(), graph::names::derived);
    name = role.empty() ? "param" + std::to_string(params.front()) : role.str();
  }
  if (params.size() > 1)
    name += "+" + std::to_string(params.size() - 1);
  return name + "." + op->getName().stripDialect().str();
}

//===-- Prepare functions -----------------------------------------------------------------------------------------===//

graph::FuncOp HoistLoadTime::createPrepare(StringRef name, Location loc, bool isPrivate) {
  OpBuilder builder(&getContext());
  OperationState state(loc, graph::FuncOp::getOperationName());
  state.addAttribute("sym_name", builder.getStringAttr(name));
  state.addAttribute("function_type", TypeAttr::get(builder.getFunctionType({}, {})));
  state.addAttribute("symbols", builder.getStrArrayAttr({}));
  state.addAttribute("requirements", builder.getArrayAttr({}));
  state.addAttribute("prepare", builder.getUnitAttr());
  if (isPrivate)
    state.addAttribute("sym_visibility", builder.getStringAttr("private"));
  state.addRegion()->emplaceBlock();
  auto function = cast<graph::FuncOp>(Operation::create(state));
  symbols->insert(function);
  return function;
}

/// Gives a prepare function its return, its type, and its results their names.
void HoistLoadTime::finishPrepare(graph::FuncOp function, ValueRange results, ArrayRef<std::string> names) {
  OpBuilder builder(&getContext());
  Block &body = function.getBody().front();
  builder.setInsertionPointToEnd(&body);
  graph::ReturnOp::create(builder, function.getLoc(), results);
  function.setFunctionTypeAttr(TypeAttr::get(builder.getFunctionType(body.getArgumentTypes(), results.getTypes())));
  SmallVector<Attribute> roles;
  for (const std::string &name : names)
    roles.push_back(
        builder.getDictionaryAttr(builder.getNamedAttr(graph::names::derived, builder.getStringAttr(name))));
  function.setResAttrsAttr(builder.getArrayAttr(roles));
}

/// Copies what computes `value` to the end of a block; params come from `mapping`.
static void cloneInto(OpBuilder &builder, Value root, IRMapping &mapping) {
  SmallVector<Value> work{root};
  while (!work.empty()) {
    Value value = work.back();
    if (mapping.contains(value)) {
      work.pop_back();
      continue;
    }
    bool ready = true;
    for (Value operand : value.getDefiningOp()->getOperands())
      if (!mapping.contains(operand)) {
        work.push_back(operand);
        ready = false;
      }
    if (ready)
      builder.clone(*value.getDefiningOp(), mapping);
  }
}

static std::string uniqueName(std::string name, llvm::StringSet<> &used) {
  std::string unique = name;
  for (unsigned i = 2; !used.insert(unique).second; ++i)
    unique = name + "." + std::to_string(i);
  return unique;
}

//===-- Rewriting -------------------------------------------------------------------------------------------------===//

/// Makes `values` arguments of the function, and erases what computed them where nothing else needs it.
void HoistLoadTime::addDerived(graph::FuncOp function, ArrayRef<Value> values, ArrayRef<std::string> names) {
  Builder builder(&getContext());
  for (auto [value, name] : llvm::zip_equal(values, names)) {
    unsigned number = function.getNumArguments();
    auto role = builder.getDictionaryAttr(builder.getNamedAttr(graph::names::derived, builder.getStringAttr(name)));
    (void)function.insertArgument(number, value.getType(), role, value.getLoc());
    Value(value).replaceAllUsesWith(function.getArgument(number));
    ++numHoisted;
  }
  for (Operation &op : llvm::make_early_inc_range(llvm::reverse(function.getBody().front())))
    if (isOpTriviallyDead(&op))
      op.erase();
}

/// Params that nothing reads any more.
static BitVector unusedParams(graph::FuncOp function) {
  BitVector unused(function.getNumArguments());
  for (BlockArgument argument : function.getArguments())
    if (argument.use_empty() && function.getArgAttr(argument.getArgNumber(), graph::names::param))
      unused.set(argument.getArgNumber());
  return unused;
}

void HoistLoadTime::updateCalls(graph::FuncOp layer, graph::FuncOp prepare, ArrayRef<unsigned> params,
                                const BitVector &erased) {
  for (graph::CallOp call : calls[layer]) {
    OpBuilder builder(call);
    SmallVector<Value> operands;
    for (auto [i, operand] : llvm::enumerate(call.getOperands()))
      if (!erased.test(i))
        operands.push_back(operand);
    if (prepare) {
      SmallVector<Value> inputs;
      for (unsigned param : params)
        inputs.push_back(call.getOperand(param));
      auto prepared =
          graph::CallOp::create(builder, call.getLoc(), prepare.getResultTypes(), prepare.getSymName(), inputs,
                                builder.getArrayAttr({}), call.getPathAttr(), ArrayAttr(), ArrayAttr());
      calls[prepare].push_back(prepared);
      llvm::append_range(operands, prepared.getResults());
    }
    call.getOperandsMutable().assign(operands);
  }
}

void HoistLoadTime::hoistLayer(graph::FuncOp layer) {
  SmallVector<Value> values = frontier(layer);
  graph::FuncOp prepare;
  SmallVector<unsigned> params = paramsOf(values);
  if (!values.empty()) {
    prepare = createPrepare((layer.getSymName() + ".prepare").str(), layer.getLoc(), true);
    IRMapping mapping;
    OpBuilder builder = OpBuilder::atBlockEnd(&prepare.getBody().front());
    SmallVector<Attribute> roles;
    for (unsigned param : params) {
      BlockArgument argument = layer.getArgument(param);
      mapping.map(argument, prepare.getBody().front().addArgument(argument.getType(), argument.getLoc()));
      roles.push_back(layer.getArgAttrDict(param));
      if (!roles.back())
        roles.back() = builder.getDictionaryAttr({});
    }
    SmallVector<std::string> names;
    SmallVector<Value> results;
    llvm::StringSet<> used;
    for (Value value : values) {
      cloneInto(builder, value, mapping);
      results.push_back(mapping.lookup(value));
      names.push_back(uniqueName(nameOf(layer, value), used));
    }
    finishPrepare(prepare, results, names);
    prepare.setArgAttrsAttr(builder.getArrayAttr(roles));
    addDerived(layer, values, names);
  }
  BitVector unused = unusedParams(layer);
  BitVector before = unused; // of the arguments that calls have
  before.resize(layer.getNumArguments() - values.size());
  updateCalls(layer, prepare, params, before);
  (void)layer.eraseArguments(unused);
}

/// Equal calls, made on behalf of several entries, get one path, so that they are equal as ops.
static void joinPaths(graph::FuncOp prepare) {
  SmallVector<graph::CallOp> seen;
  for (auto call : prepare.getOps<graph::CallOp>()) {
    auto same = llvm::find_if(seen, [&](graph::CallOp other) {
      return other.getCallee() == call.getCallee() && other.getOperands() == call.getOperands();
    });
    if (same == seen.end())
      seen.push_back(call);
    else if (StringAttr path = (*same).getPathAttr())
      call.setPathAttr(path);
  }
}

/// Puts everything that any entry derives into `prepare`, with params joined by name; gives the values' names.
SmallVector<std::string> HoistLoadTime::joinEntries(graph::FuncOp prepare, ArrayRef<Derived> all) {
  Block &body = prepare.getBody().front();
  OpBuilder builder = OpBuilder::atBlockEnd(&body);
  llvm::StringMap<BlockArgument> params;
  SmallVector<Attribute> roles;
  SmallVector<Value> results;
  SmallVector<std::string> names;
  for (auto [entry, values] : all) {
    IRMapping mapping;
    for (unsigned param : paramsOf(values)) {
      BlockArgument argument = entry.getArgument(param);
      auto [known, isNew] = params.try_emplace(roleName(entry, param, graph::names::param));
      if (isNew) {
        known->second = body.addArgument(argument.getType(), argument.getLoc());
        roles.push_back(entry.getArgAttrDict(param));
      }
      mapping.map(argument, known->second);
    }
    for (Value value : values) {
      cloneInto(builder, value, mapping);
      results.push_back(mapping.lookup(value));
      names.push_back(nameOf(entry, value));
    }
  }
  finishPrepare(prepare, results, names);
  prepare.setArgAttrsAttr(builder.getArrayAttr(roles));
  return names;
}

void HoistLoadTime::hoistDerived(ArrayRef<Derived> all) {
  graph::FuncOp prepare = createPrepare("prepare", getOperation().getLoc(), false);
  SmallVector<std::string> names = joinEntries(prepare, all);
  // Equal values once.
  joinPaths(prepare);
  IRRewriter rewriter(&getContext());
  DominanceInfo dominance(prepare);
  eliminateCommonSubExpressions(rewriter, dominance, prepare);
  Operation *terminator = prepare.getBody().front().getTerminator();
  llvm::MapVector<Value, std::string> unique;
  llvm::StringSet<> used;
  for (auto [value, name] : llvm::zip_equal(terminator->getOperands(), names))
    if (!unique.contains(value))
      unique[value] = uniqueName(name, used);
  size_t next = 0;
  for (auto [entry, values] : all) {
    SmallVector<std::string> mine;
    for (size_t i = 0; i < values.size(); ++i)
      mine.push_back(unique[terminator->getOperand(next++)]);
    addDerived(entry, values, mine);
  }
  SmallVector<Value> kept;
  names.clear();
  for (auto &[value, name] : unique) {
    kept.push_back(value);
    names.push_back(name);
  }
  terminator->erase();
  finishPrepare(prepare, kept, names);
}

void HoistLoadTime::hoistEntries(ArrayRef<graph::FuncOp> entries) {
  SmallVector<Derived> all;
  for (graph::FuncOp entry : entries)
    if (SmallVector<Value> values = frontier(entry); !values.empty())
      all.push_back({entry, values});
  if (!all.empty())
    hoistDerived(all);
  for (graph::FuncOp entry : entries)
    (void)entry.eraseArguments(unusedParams(entry));
}

void HoistLoadTime::runOnOperation() {
  SymbolTable table(getOperation());
  symbols = &table;
  calls.clear();
  SmallVector<graph::FuncOp> layers, entries;
  llvm::DenseMap<Operation *, unsigned> open; // callers' calls that are not yet counted
  for (auto function : getOperation().getOps<graph::FuncOp>()) {
    if (function.getPrepare())
      continue;
    (function.getEntry() ? entries : layers).push_back(function);
    for (auto call : function.getOps<graph::CallOp>())
      if (auto callee = table.lookup<graph::FuncOp>(call.getCallee()))
        calls[callee].push_back(call);
  }
  // Callees before callers: a caller then sees the calls of its callees' prepare functions.
  llvm::SmallPtrSet<Operation *, 16> done;
  bool progress = true;
  while (progress) {
    progress = false;
    for (graph::FuncOp layer : layers) {
      bool ready = !done.contains(layer) && llvm::all_of(layer.getOps<graph::CallOp>(), [&](graph::CallOp call) {
        auto callee = table.lookup<graph::FuncOp>(call.getCallee());
        return !callee || callee.getPrepare() || done.contains(callee);
      });
      if (!ready || !calls.contains(layer))
        continue;
      hoistLayer(layer);
      done.insert(layer);
      progress = true;
    }
  }
  hoistEntries(entries);
}
