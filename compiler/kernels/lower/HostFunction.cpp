#include "compiler/kernels/lower/HostFunction.h"

#include "dialects/graph/Places.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;

namespace fovea::kernels {

HostFunction::HostFunction(graph::FuncOp function, KernelTable &kernels, FunctionPlans &plans)
    : function(function), module(function->getParentOp()), kernels(kernels), plans(plans), storages(function),
      b(function.getContext()), loc(function.getLoc()) {}

//===-- Steps -----------------------------------------------------------------------------------------------------===//

/// The source path of what a group, a call or a layout op gives; empty where it has none, as an attention's
/// log-sum-exp.
static StringRef pathOfResult(OpResult result) {
  if (auto group = dyn_cast<graph::GroupOp>(result.getOwner())) {
    Value yielded = group.getBody().front().getTerminator()->getOperand(result.getResultNumber());
    auto value = dyn_cast<OpResult>(yielded);
    return value && value.getResultNumber() == 0 ? pathOf(value.getOwner()->getLoc()) : StringRef();
  }
  return result.getOwner()->getNumResults() == 1 ? pathOf(result.getOwner()->getLoc()) : StringRef();
}

/// The callee's arena over this function's symbols, by names that are added to `arenaSize`; calls at the same sizes
/// share them. Null where it can't be expressed.
DimExpr HostFunction::arenaOfCallee(const FunctionPlan::Callee &callee) {
  std::string key = callee.name;
  for (const auto &[symbol, size] : callee.sizes)
    key += ";" + size.str();
  auto [it, isNew] = calleeArenas.try_emplace(key);
  if (!isNew)
    return it->second;
  std::map<std::string, DimExpr, std::less<>> known = callee.sizes;
  auto lookup = [&](std::string_view name) -> std::optional<DimExpr> {
    auto size = known.find(name);
    return size == known.end() ? std::nullopt : std::optional(size->second);
  };
  const SizeFormula &formula = plans[callee.name].size;
  for (const NamedSize &named : formula.names) {
    DimExpr value = named.value.substitute(lookup);
    if (!value)
      return {};
    std::string name = "arena." + std::to_string(arenaSize.names.size() + 1);
    arenaSize.names.push_back({name, value});
    known[named.name] = DimExpr::symbol(name);
  }
  return it->second = formula.total.substitute(lookup);
}

LogicalResult HostFunction::collectSteps() {
  for (Operation &op : function.getBody().front().without_terminator()) {
    bool isView = isLayoutOp(&op) && storages.lookup(op.getResult(0));
    for (OpResult result : op.getResults())
      if (isView || isa<graph::GroupOp, graph::CallOp>(op))
        named[pathOfResult(result)] = result;
    if (isView)
      continue;
    if (!isa<graph::GroupOp, graph::CallOp>(op))
      return op.emitError("internal: an op outside of groups that is no view");
    Step step{&op, {}, {}, {}, {}, {}};
    for (Value operand : op.getOperands()) {
      const Storage *storage = storages.lookup(operand);
      if (!storage)
        return op.emitError("internal: an operand that lies nowhere");
      step.reads.push_back(storage->base);
    }
    for (Value result : op.getResults())
      step.writes.push_back(storages.lookup(result)->base);
    if (auto group = dyn_cast<graph::GroupOp>(op)) {
      FailureOr<LoweredGroup> lowered = KernelBuilder(group, storages).build();
      if (failed(lowered))
        return failure();
      step.group = std::move(*lowered);
    } else {
      auto call = cast<graph::CallOp>(op);
      graph::FuncOp callee = calleeOf(call);
      step.callee.name = callee.getSymName().str();
      for (auto [symbol, size] :
           llvm::zip(callee.getSymbols().getAsRange<StringAttr>(), graph::getSizes(call.getSubstitution())))
        step.callee.sizes[symbol.getValue().str()] = size;
      step.scratch = arenaOfCallee(step.callee);
      if (!step.scratch)
        return op.emitError("the callee's arena has no size that can be expressed");
    }
    steps.push_back(std::move(step));
  }
  return success();
}

LogicalResult HostFunction::orderSteps() {
  StepFlow flow(function, storages);
  if (!flow.graph.topologicalOrder())
    return modelError(function.getLoc(), "state-order") << "a state's old value is read by what depends on its new one";
  std::vector<Step> ordered;
  for (size_t i : flow.order(plannedSizes(function)))
    ordered.push_back(std::move(steps[i]));
  steps = std::move(ordered);
  return success();
}

//===-- The arena -------------------------------------------------------------------------------------------------===//

void HostFunction::planArena() {
  SmallVector<Value> outputs = outputBases(function, storages);
  FunctionPlan &mine = plans[function.getSymName().str()];
  std::vector<PlanBuffer> &buffers = mine.buffers;
  SmallVector<Value> owners;
  DenseMap<Value, size_t> index;
  std::vector<std::pair<size_t, size_t>> scratch; // step, buffer
  for (auto [i, step] : llvm::enumerate(steps)) {
    for (Value base : step.reads)
      if (auto it = index.find(base); it != index.end())
        buffers[it->second].last = i;
    for (Value result : step.op->getResults())
      if (Value base = storages.lookup(result)->base; base == result && !llvm::is_contained(outputs, base)) {
        index[base] = buffers.size();
        owners.push_back(base);
        buffers.push_back({alignBytes(bytesOf(base)), i, i});
      } else if (auto it = index.find(base); it != index.end()) {
        buffers[it->second].last = i;
      }
    if (step.scratch && !step.scratch.isConstant(0)) {
      scratch.push_back({i, buffers.size()});
      step.callee.buffer = buffers.size();
      mine.callees.push_back(step.callee);
      owners.push_back({});
      buffers.push_back({step.scratch, i, i});
    }
  }
  MemoryPlan plan = planMemory(buffers, plannedSizes(function), std::move(arenaSize.names));
  for (auto [owner, offset] : llvm::zip(owners, plan.offsets))
    if (owner)
      offsets[owner] = offset;
  scratchOffsets.resize(steps.size());
  for (auto [step, buffer] : scratch)
    scratchOffsets[step] = plan.offsets[buffer];
  mine.size = arenaSize = std::move(plan.size);
}

//===-- Emission --------------------------------------------------------------------------------------------------===//

static MemRefType contiguousType(Value tensor) {
  return memrefTypeOf(View::identity(dimsOf(tensor)), cast<graph::TensorType>(tensor.getType()).getElementType());
}

/// The func.func's signature, roles and names; the buffers that arguments are.
void HostFunction::declare() {
  SmallVector<Type> types = {LLVM::LLVMPointerType::get(b.getContext())};
  SmallVector<std::pair<StringRef, std::string>> roles;
  SmallVector<Value> owners;                               // of arguments after the symbols
  SmallVector<Type> tensors(function.getSymbols().size()); // what lies in them; null for symbols
  for (auto symbol : function.getSymbols().getAsRange<StringAttr>()) {
    types.push_back(b.getIndexType());
    roles.push_back({"symbol", symbol.getValue().str()});
  }
  auto add = [&](StringRef role, Attribute name, Value owner) {
    types.push_back(contiguousType(owner));
    roles.push_back({role, name ? cast<StringAttr>(name).getValue().str() : role.str() + std::to_string(roles.size())});
    owners.push_back(owner);
    tensors.push_back(owner.getType());
  };
  for (BlockArgument argument : function.getBody().getArguments()) {
    unsigned i = argument.getArgNumber();
    StringRef role = "input";
    Attribute name = function.getArgAttr(i, graph::names::input);
    for (auto [other, attribute] : {std::pair<StringRef, StringRef>{"param", graph::names::param},
                                    {"state", graph::names::state},
                                    {"derived", graph::names::derived}})
      if (Attribute found = function.getArgAttr(i, attribute)) {
        role = other;
        name = found;
      }
    add(role, name, argument);
  }
  for (OpOperand &operand : function.getBody().front().getTerminator()->getOpOperands()) {
    unsigned i = operand.getOperandNumber();
    if (stateArgument(function, i))
      continue;
    if (Attribute derived = function.getResultAttr(i, graph::names::derived))
      add("derived", derived, storages.lookup(operand.get())->base);
    else
      add("output", function.getResultAttr(i, graph::names::output), storages.lookup(operand.get())->base);
    // The buffer has the result's layout: the owner may see it through an inverse view.
    types.back() = contiguousType(operand.get());
    tensors.back() = operand.get().getType();
  }
  types.push_back(MemRefType::get({ShapedType::kDynamic}, b.getI8Type()));
  roles.push_back({"arena", "arena"});

  b.setInsertionPoint(function);
  host = func::FuncOp::create(b, loc, (function.getSymName() + hostSuffix).str(),
                              b.getFunctionType(types, {b.getI32Type()}));
  for (auto [i, role] : llvm::enumerate(roles)) {
    host.setArgAttr(i + 1, "fovea.role", b.getStringAttr(role.first));
    host.setArgAttr(i + 1, "fovea.name", b.getStringAttr(role.second));
    if (i < tensors.size() && tensors[i])
      host.setArgAttr(i + 1, "fovea.type", TypeAttr::get(tensors[i]));
  }
  Block *entry = host.addEntryBlock();
  b.setInsertionPointToStart(entry);
  exec = entry->getArgument(0);
  arena = entry->getArguments().back();
  size_t next = 1;
  for (auto symbol : function.getSymbols().getAsRange<StringAttr>())
    symbols[symbol.getValue()] = entry->getArgument(next++);
  for (Value owner : owners)
    buffers[owner] = entry->getArgument(next++);
  dims = std::make_unique<DimEmitter>(b, loc, [this](StringRef name) { return symbols.lookup(name); });
  for (const NamedSize &named : arenaSize.names)
    symbols[named.name] = dims->index(named.value);
}

Value HostFunction::arenaView(DimExpr offset, MemRefType type, ArrayRef<DimExpr> sizes) {
  SmallVector<Value> dynamic;
  for (DimExpr size : sizes)
    if (!size.isConstant())
      dynamic.push_back(dims->index(size));
  return memref::ViewOp::create(b, loc, type, arena, dims->index(offset), dynamic);
}

Value HostFunction::viewOf(Value base, const View &view, MemRefType type) {
  for (auto &[otherBase, otherView, value] : views)
    if (otherBase == base && otherView == view && value.getType() == type)
      return value;
  Value value;
  auto buffer = buffers.find(base);
  bool whole = view.isIdentity();
  // Memrefs of other sizes may have the same type: [B, 2*H, T, D] read as [B, H, 2*T, D].
  auto asItIs = [&] {
    return whole && view.dims == std::vector<DimExpr>(cast<graph::TensorType>(base.getType()).getDims());
  };
  if (buffer != buffers.end() && buffer->second.getType() == type && asItIs()) {
    value = buffer->second;
  } else if (buffer == buffers.end() && whole) {
    value = arenaView(offsets[base], type, view.dims);
  } else {
    Value source;
    if (buffer != buffers.end()) {
      source = buffer->second;
    } else {
      View all = View::identity({DimExpr(cast<graph::TensorType>(base.getType()).getNumElements())});
      source = viewOf(base, all, memrefTypeOf(all, cast<graph::TensorType>(base.getType()).getElementType()));
    }
    auto mixed = [&](DimExpr e, bool isStatic) -> OpFoldResult {
      if (isStatic)
        return b.getIndexAttr(*e.value());
      return dims->index(e);
    };
    SmallVector<int64_t> strides;
    int64_t offset;
    (void)type.getStridesAndOffset(strides, offset);
    SmallVector<OpFoldResult> sizes, steps;
    std::vector<DimExpr> expected = whole ? rowMajorStrides(view.dims) : view.strides;
    for (auto [i, dim] : llvm::enumerate(view.dims)) {
      sizes.push_back(mixed(dim, !type.isDynamicDim(i)));
      steps.push_back(mixed(expected[i], !ShapedType::isDynamic(strides[i])));
    }
    value = memref::ReinterpretCastOp::create(b, loc, type, source, mixed(view.offset, !ShapedType::isDynamic(offset)),
                                              sizes, steps);
  }
  views.push_back({base, view, value});
  return value;
}

/// The path that the profile shows: of the group's main op, or, where that has no name, of the call that it is in.
static StringRef pathOfLaunch(graph::GroupOp group) {
  StringRef path = pathOf(group.getLoc());
  for (Operation &op : group.getBody().front())
    if (op.getLoc() == group.getLoc() && isUnnamed(&op))
      return path.rsplit('.').first;
  return path;
}

void HostFunction::emitLaunch(Step &step) {
  auto group = cast<graph::GroupOp>(step.op);
  SmallVector<Value> operands;
  for (const LaunchOperand &operand : step.group.operands)
    operands.push_back(operand.base ? viewOf(operand.base, operand.view, cast<MemRefType>(operand.type))
                                    : dims->index(operand.size));
  StringRef path = pathOfLaunch(group);
  FlatSymbolRefAttr name = kernels.add(step.group.kernel, describeGroup(group));
  auto launch = kernel::LaunchOp::create(b, step.op->getLoc(), name, operands,
                                         path.empty() ? StringAttr() : b.getStringAttr(path));
  for (auto [attribute, amount] :
       {std::pair<StringRef, DimExpr>{"flops", step.group.flops}, {"bytes", step.group.bytes}})
    if (amount)
      launch->setAttr(attribute, graph::DimAttr::get(b.getContext(), amount));
}

void HostFunction::emitCall(Step &step) {
  auto call = cast<graph::CallOp>(step.op);
  graph::FuncOp callee = calleeOf(call);
  SmallVector<Value> operands = {exec};
  for (DimExpr size : graph::getSizes(call.getSubstitution()))
    operands.push_back(dims->index(size));
  auto contiguous = [&](Value value) {
    const Storage &storage = *storages.lookup(value);
    return viewOf(storage.base, storage.view, contiguousType(value));
  };
  for (Value operand : call.getOperands())
    operands.push_back(contiguous(operand));
  for (OpResult result : call->getResults())
    if (!stateArgument(callee, result.getResultNumber()))
      operands.push_back(contiguous(result));
  auto bytes = MemRefType::get({ShapedType::kDynamic}, b.getI8Type());
  DimExpr offset = scratchOffsets[&step - steps.data()];
  operands.push_back(
      offset ? memref::ViewOp::create(b, loc, bytes, arena, dims->index(offset), ValueRange{dims->index(step.scratch)})
                   .getResult()
             : arena);
  // A callee's parameters are memrefs over its own symbols; a caller that knows a size casts it away.
  auto target = cast<ModuleOp>(module).lookupSymbol<func::FuncOp>((callee.getSymName() + hostSuffix).str());
  for (auto [operand, type] : llvm::zip(MutableArrayRef<Value>(operands), target.getArgumentTypes()))
    if (operand.getType() != type)
      operand = memref::CastOp::create(b, loc, type, operand);
  auto emitted = func::CallOp::create(b, call.getLoc(), callee.getSymName(), TypeRange{b.getI32Type()}, operands);
  if (auto path = call.getPathAttr())
    emitted->setAttr("fovea.path", path);
}

/// Offers a value where it has a path of its own.
void HostFunction::emitDump(OpResult value) {
  StringRef path = pathOfResult(value);
  bool isNamed = !path.empty() && named.lookup(path) == value;
  auto group = dyn_cast<graph::GroupOp>(value.getOwner());
  // Where training looks for numbers that are not finite, it looks at all values.
  if (!isNamed && !(group && function->hasAttr("graph.role")))
    return;
  const Storage &storage = *storages.lookup(value);
  Type element = cast<graph::TensorType>(value.getType()).getElementType();
  Value view = viewOf(storage.base, storage.view, memrefTypeOf(storage.view, element));
  Arithmetic arithmetic = group ? arithmeticOf(group) : Arithmetic();
  auto dump = kernel::DumpOp::create(b, arithmetic.place.value_or(value.getLoc()), view, isNamed ? path : "", element);
  if (!isNamed)
    dump->setAttr("fovea.unnamed", b.getUnitAttr());
  if (group)
    dump->setAttr("fovea.ops", b.getStringAttr(arithmetic.ops));
}

/// Offers the views of a value that have a name, parts of it among them: projections that were merged.
void HostFunction::emitDumpsOfViews(Value value) {
  for (Operation *user : value.getUsers())
    if (isLayoutOp(user)) {
      if (!isUnnamed(user))
        emitDump(user->getResult(0));
      emitDumpsOfViews(user->getResult(0));
    }
}

void HostFunction::emitStep(Step &step) {
  if (isa<graph::GroupOp>(step.op))
    emitLaunch(step);
  else
    emitCall(step);
  if (function.getPrepare())
    return;
  auto call = dyn_cast<graph::CallOp>(step.op);
  bool offersItself = call && calleeOf(call).getLayer();
  for (OpResult result : step.op->getResults()) {
    if (!offersItself)
      emitDump(result);
    emitDumpsOfViews(result);
  }
}

void HostFunction::emitArenaFunction() {
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointAfter(host);
  SmallVector<Type> types(function.getSymbols().size(), b.getIndexType());
  auto sizes = func::FuncOp::create(b, loc, (function.getSymName() + ".arena").str(),
                                    b.getFunctionType(types, {b.getIndexType()}));
  sizes->setAttr("fovea.formula", b.getStringAttr(arenaSize.str()));
  Block *entry = sizes.addEntryBlock();
  b.setInsertionPointToStart(entry);
  llvm::StringMap<Value> values;
  for (auto [i, symbol] : llvm::enumerate(function.getSymbols().getAsRange<StringAttr>()))
    values[symbol.getValue()] = entry->getArgument(i);
  DimEmitter::Symbols lookup = [&](StringRef name) { return values.lookup(name); };
  Value bytes = emitChecked(b, loc, arenaSize, lookup);
  func::ReturnOp::create(b, loc, bytes);
}

LogicalResult HostFunction::lower() {
  if (failed(collectSteps()) || failed(orderSteps()))
    return failure();
  planArena();
  declare();
  if (!function.getPrepare())
    for (BlockArgument argument : function.getBody().getArguments())
      if (function.getArgAttr(argument.getArgNumber(), graph::names::input))
        emitDumpsOfViews(argument);
  for (Step &step : steps)
    emitStep(step);
  if (function.getLayer() && !function.getPrepare() && function.getNumResults() == 1 && !stateArgument(function, 0)) {
    // Under the path of the call alone; a layer's code does not know it.
    Value result = function.getBody().front().getTerminator()->getOperand(0);
    Type element = cast<graph::TensorType>(result.getType()).getElementType();
    kernel::DumpOp::create(b, loc, host.getArgument(host.getNumArguments() - 2), "", element);
  }
  Value ok = arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(0));
  func::ReturnOp::create(b, loc, ok);
  emitArenaFunction();
  return success();
}

} // namespace fovea::kernels
