// Replaces calls by bodies. Layers that are called more than once stay, so that equal layers are compiled once. Exact.
#include "compiler/passes/FusionReport.h"
#include "compiler/passes/Passes.h"

#include "dialects/graph/Places.h"

#include "mlir/IR/AttrTypeSubElements.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/SetVector.h"

namespace fovea {
#define GEN_PASS_DEF_INLINE
#include "compiler/passes/Passes.h.inc"
} // namespace fovea

using namespace mlir;
using namespace fovea;

namespace {

/// The replacement of a callee's symbols by a call's sizes.
class SymbolReplacer {
public:
  SymbolReplacer(ArrayAttr symbols, ArrayAttr sizes) {
    for (auto [symbol, size] : llvm::zip_equal(symbols.getAsRange<StringAttr>(), graph::getSizes(sizes)))
      values[symbol.getValue()] = size;
    replacer.addReplacement([this](graph::TensorType type) -> Type {
      return type.cloneWith(llvm::map_to_vector(type.getDims(), [this](DimExpr dim) { return replace(dim); }));
    });
    replacer.addReplacement([this](graph::DimAttr attr) -> Attribute {
      return graph::DimAttr::get(attr.getContext(), replace(attr.getValue()));
    });
  }

  DimExpr replace(DimExpr e) const {
    return e.substitute([this](std::string_view name) -> std::optional<DimExpr> {
      auto found = values.find(StringRef(name.data(), name.size()));
      return found == values.end() ? std::nullopt : std::optional(found->second);
    });
  }
  void replaceIn(Operation *op) {
    replacer.recursivelyReplaceElementsIn(op, /*replaceAttrs=*/true, /*replaceLocs=*/false, /*replaceTypes=*/true);
  }

private:
  llvm::StringMap<DimExpr> values;
  AttrTypeReplacer replacer;
};

class Inline : public fovea::impl::InlineBase<Inline> {
  void runOnOperation() override {
    symbols = SymbolTable(getOperation());
    SmallVector<graph::FuncOp> order; // callees first
    for (auto function : getOperation().getOps<graph::FuncOp>())
      if (failed(visit(function, order)))
        return signalPassFailure();
    countCalls(order);
    for (graph::FuncOp function : order)
      inlineCalls(function);
    keepRequireFused(order);
    eraseUnused(order);
    addCommonCallers(llvm::to_vector(getOperation().getOps<graph::FuncOp>()));
  }

  graph::FuncOp calleeOf(graph::CallOp call) { return symbols->lookup<graph::FuncOp>(call.getCallee()); }

  LogicalResult visit(graph::FuncOp function, SmallVectorImpl<graph::FuncOp> &order) {
    // Depth first without recursion on the stack: a chain of calls may be long.
    struct Frame {
      graph::FuncOp function;
      SmallVector<graph::CallOp> calls;
      size_t next = 0;
    };
    auto frameOf = [](graph::FuncOp f) { return Frame{f, llvm::to_vector(f.getOps<graph::CallOp>())}; };
    if (states.contains(function))
      return success();
    states[function] = State::Open;
    SmallVector<Frame> stack{frameOf(function)};
    while (!stack.empty()) {
      Frame &top = stack.back();
      if (top.next == top.calls.size()) {
        states[top.function] = State::Done;
        order.push_back(top.function);
        stack.pop_back();
        continue;
      }
      graph::CallOp call = top.calls[top.next++];
      graph::FuncOp callee = calleeOf(call);
      if (!callee)
        return call.emitError("calls @") << call.getCallee() << ", which is no graph.func";
      auto [state, isNew] = states.try_emplace(callee, State::Open);
      if (!isNew && state->second == State::Open)
        return call.emitError("calls @") << call.getCallee() << ", which calls itself";
      if (isNew)
        stack.push_back(frameOf(callee));
    }
    return success();
  }

  /// How often each function runs when every entry runs once, or, without entries, every function that is not called.
  void countCalls(ArrayRef<graph::FuncOp> order) {
    bool hasEntry = false;
    for (graph::FuncOp function : order) {
      hasEntry |= function.getEntry();
      for (auto call : function.getOps<graph::CallOp>())
        called.insert(calleeOf(call));
    }
    for (graph::FuncOp function : order)
      counts[function] = hasEntry ? function.getEntry() : !called.contains(function);
    for (graph::FuncOp function : llvm::reverse(order)) // callers first
      for (auto call : function.getOps<graph::CallOp>()) {
        uint64_t &count = counts[calleeOf(call)];
        count = std::min<uint64_t>(count + counts[function], 1u << 30);
      }
  }

  /// Layers too where a gradient is asked for: the way back leads through them.
  void inlineCalls(graph::FuncOp function) {
    bool isAgain = true;
    while (std::exchange(isAgain, false))
      for (auto call : llvm::make_early_inc_range(function.getOps<graph::CallOp>())) {
        graph::FuncOp callee = calleeOf(call);
        bool hasGradient = !function.getOps<graph::GradOp>().empty() || !callee.getOps<graph::GradOp>().empty();
        if (staysCalled(callee) && !(hasGradient && !callee.getPrepare()))
          continue;
        isAgain |= hasGradient; // what it called stands here now
        inlineCall(call, callee, function);
      }
  }

  bool staysCalled(graph::FuncOp callee) { return callee.getPrepare() || (callee.getLayer() && counts[callee] >= 2); }

  void inlineCall(graph::CallOp call, graph::FuncOp callee, graph::FuncOp caller) {
    SymbolReplacer replacer(callee.getSymbols(), call.getSubstitution());
    OpBuilder builder(call);
    IRMapping mapping;
    Block &body = callee.getBody().front();
    mapping.map(body.getArguments(), call.getOperands());
    StringRef path = call.getPath().value_or("");
    llvm::SmallPtrSet<Operation *, 4> results;
    for (Value result : body.getTerminator()->getOperands())
      results.insert(result.getDefiningOp());
    llvm::StringMap<int> counts;
    for (Operation &op : body.without_terminator()) {
      Operation *copy = builder.clone(op, mapping);
      replacer.replaceIn(copy);
      addCaller(copy, callee, call.getLoc());
      std::string unnamed = pathOfUnnamed(&op, counts);
      if (!path.empty())
        prefix(copy, path, results.contains(&op) ? "" : unnamed);
    }
    for (auto [result, value] : llvm::zip_equal(call.getResults(), body.getTerminator()->getOperands()))
      result.replaceAllUsesWith(mapping.lookup(value));
    addRequires(callee, replacer, caller);
    if (callee.getRequireFused())
      requireFused.insert(callee.getSymNameAttr());
    call.erase();
    ++numInlined;
  }

  /// What asks for fused chains asks for it in the layers that it calls as well, and, inlined, where it has gone:
  /// places have its name.
  void keepRequireFused(ArrayRef<graph::FuncOp> order) {
    for (graph::FuncOp function : llvm::reverse(order)) // callers first
      if (function.getRequireFused())
        for (auto call : function.getOps<graph::CallOp>())
          calleeOf(call).setRequireFused(true);
    if (!requireFused.empty())
      getOperation()->setAttr(inlinedRequireFused, ArrayAttr::get(&getContext(), requireFused.getArrayRef()));
  }

  /// The places of an op of `callee` and of what is in it, as seen from a call.
  static void addCaller(Operation *copy, graph::FuncOp callee, Location caller) {
    if (placeFrames(caller).empty())
      return;
    copy->walk([&](Operation *op) {
      if (!placeFrames(op->getLoc()).empty())
        op->setLoc(calledFrom(op->getLoc(), callee.getSymNameAttr(), caller));
    });
  }

  /// A layer that stays keeps the place of its calls where all of them are one place of the text, as in a loop.
  void addCommonCallers(ArrayRef<graph::FuncOp> order) {
    llvm::MapVector<Operation *, llvm::SetVector<Attribute>> places; // of the calls of each
    for (graph::FuncOp function : order)
      for (auto call : function.getOps<graph::CallOp>()) {
        Location place = call.getLoc();
        if (auto path = dyn_cast<NameLoc>(place))
          place = path.getChildLoc();
        places[calleeOf(call)].insert(LocationAttr(place));
      }
    for (auto &[callee, callers] : places)
      if (callers.size() == 1)
        for (Operation &op : cast<graph::FuncOp>(callee).getBody().front())
          addCaller(&op, cast<graph::FuncOp>(callee), Location(cast<LocationAttr>(callers.front())));
  }

  /// loc("a.b"(place)) in a function called as "path" is loc("path.a.b"(place)); so are the paths of calls. What has no
  /// name is called `unnamed`; where that is empty, for the function's result, after the call.
  static void prefix(Operation *copy, StringRef path, StringRef unnamed) {
    MLIRContext *context = copy->getContext();
    auto join = [&](StringRef inner) {
      return StringAttr::get(context, inner.empty() ? path : StringRef((path + "." + inner).str()));
    };
    copy->walk([&](Operation *op) {
      if (auto name = dyn_cast<NameLoc>(op->getLoc()))
        op->setLoc(NameLoc::get(join(name.getName()), name.getChildLoc()));
      else
        op->setLoc(NameLoc::get(join(unnamed), op->getLoc()));
      if (auto call = dyn_cast<graph::CallOp>(op))
        call.setPathAttr(join(call.getPath().value_or("")));
    });
  }

  static void addRequires(graph::FuncOp callee, const SymbolReplacer &replacer, graph::FuncOp caller) {
    SmallVector<Attribute> all(caller.getRequirements().begin(), caller.getRequirements().end());
    // A caller's own words win, and each demand is made once.
    auto isKnown = [&](DimExpr lhs, StringRef relation, DimExpr rhs) {
      return llvm::any_of(all, [&](Attribute attribute) {
        auto other = cast<graph::RequireAttr>(attribute);
        return other.getLhs() == lhs && other.getRhs() == rhs && other.getRelation() == relation;
      });
    };
    for (auto require : callee.getRequirements().getAsRange<graph::RequireAttr>()) {
      DimExpr lhs = replacer.replace(require.getLhs()), rhs = replacer.replace(require.getRhs());
      StringRef relation = require.getRelation();
      bool holds = (lhs == rhs && (relation == "eq" || relation == "le" || relation == "ge")) ||
                   (relation == "le" && DimExpr::provablyLessOrEqual(lhs, rhs)) ||
                   (relation == "ge" && DimExpr::provablyLessOrEqual(rhs, lhs)) ||
                   (relation == "lt" && DimExpr::provablyLessOrEqual(lhs + DimExpr(1), rhs)) ||
                   (relation == "gt" && DimExpr::provablyLessOrEqual(rhs + DimExpr(1), lhs));
      if (!holds && !isKnown(lhs, relation, rhs))
        all.push_back(
            graph::RequireAttr::get(caller.getContext(), lhs, relation, rhs, require.getMessage(), require.getPlace()));
    }
    caller.setRequirementsAttr(ArrayAttr::get(caller.getContext(), all));
  }

  /// Callers come after callees in `order`: from behind, what an erased function called may be unused in turn.
  void eraseUnused(ArrayRef<graph::FuncOp> order) {
    for (graph::FuncOp function : llvm::reverse(order)) {
      bool isHelper = function.getSymVisibility() == "private" || called.contains(function);
      if (!isHelper || function.getEntry() || !SymbolTable::symbolKnownUseEmpty(function, getOperation()))
        continue;
      function.erase();
      ++numErased;
    }
  }

  enum class State { Open, Done };
  std::optional<SymbolTable> symbols;
  llvm::DenseMap<Operation *, State> states;
  llvm::DenseMap<Operation *, uint64_t> counts;
  llvm::SmallPtrSet<Operation *, 16> called;
  llvm::SetVector<Attribute> requireFused; ///< names of functions that were inlined
};
} // namespace
