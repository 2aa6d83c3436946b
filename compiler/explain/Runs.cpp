// Where chains run from, at which sizes, and what their kernels decide there.
#include "compiler/explain/Facts.h"

#include "compiler/analysis/Storage.h"
#include "compiler/kernels/emit/ScalarEvaluator.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace fovea::explain {

//===-- Calls -----------------------------------------------------------------------------------------------------===//

namespace {
class Reaching {
public:
  Reaching(ModuleOp graph) : graph(graph) {}

  void from(const program::Entry &entry) {
    auto function = graph.lookupSymbol<graph::FuncOp>(entry.function);
    if (!function)
      return;
    Substitution own;
    for (auto symbol : function.getSymbols().getAsRange<StringAttr>())
      own[symbol.str()] = DimExpr::symbol(symbol.getValue());
    visit(function, {&entry, "", own});
  }
  std::map<std::string, std::vector<Reached>, std::less<>> found;

private:
  void visit(graph::FuncOp function, const Reached &at) {
    found[function.getSymName().str()].push_back(at);
    for (auto call : function.getBody().getOps<graph::CallOp>()) {
      graph::FuncOp callee = calleeOf(call);
      Reached inner{at.entry, at.path, {}};
      if (StringRef path = call.getPath().value_or(""); !path.empty())
        inner.path += (inner.path.empty() ? "" : ".") + path.str();
      auto sizes = graph::getSizes(call.getSubstitution());
      for (auto [symbol, size] : llvm::zip(callee.getSymbols().getAsRange<StringAttr>(), sizes))
        inner.sizes[symbol.str()] = size.substitute([&](std::string_view name) -> std::optional<DimExpr> {
          auto found = at.sizes.find(name);
          return found == at.sizes.end() ? std::nullopt : std::optional(found->second);
        });
      visit(callee, inner);
    }
  }

  ModuleOp graph;
};
} // namespace

std::map<std::string, std::vector<Reached>, std::less<>> reachedFrom(ModuleOp graph,
                                                                     const program::Interface &interface) {
  Reaching reaching(graph);
  for (const program::Entry &entry : interface.entries)
    reaching.from(entry);
  return std::move(reaching.found);
}

//===-- Launches --------------------------------------------------------------------------------------------------===//

std::optional<AttentionLaunch> findLaunch(ModuleOp lowered, StringRef function, Location place, unsigned number) {
  auto host = lowered.lookupSymbol<func::FuncOp>(function);
  std::optional<AttentionLaunch> last;
  if (!host)
    return last;
  host.walk([&](kernel::LaunchOp launch) {
    auto kernel = lowered.lookupSymbol<kernel::FuncOp>(launch.getKernel());
    auto op = kernel ? dyn_cast<kernel::AttentionOp>(kernel.getSchedule()) : kernel::AttentionOp();
    if (!op || launch.getLoc() != place)
      return WalkResult::advance();
    last = AttentionLaunch{launch, op};
    return number-- == 0 ? WalkResult::interrupt() : WalkResult::advance(); // equal ones may have become one
  });
  return last;
}

namespace {
/// Values of a kernel's function at one launch.
class LaunchValues {
public:
  LaunchValues(kernel::LaunchOp launch, const Symbols &symbols)
      : launch(launch), symbols(symbols), host([this](Value value) { return knownInHost(value); }),
        kernel([this](Value value) { return knownInKernel(value); }) {}

  std::optional<int64_t> operator()(Value value) { return kernel.evaluate(value); }

private:
  std::optional<int64_t> knownInHost(Value value) {
    auto argument = dyn_cast<BlockArgument>(value);
    if (!argument || !value.getType().isIndex())
      return std::nullopt;
    auto function = cast<func::FuncOp>(argument.getOwner()->getParentOp());
    auto name = function.getArgAttrOfType<StringAttr>(argument.getArgNumber(), "fovea.name");
    auto found = name ? symbols.find(name.getValue()) : symbols.end();
    return found == symbols.end() ? std::nullopt : std::optional(found->second);
  }

  std::optional<int64_t> knownInKernel(Value value) {
    if (auto argument = dyn_cast<BlockArgument>(value))
      return value.getType().isIndex() && isa<kernel::FuncOp>(argument.getOwner()->getParentOp())
                 ? host.evaluate(launch.getOperands()[argument.getArgNumber()])
                 : std::nullopt;
    auto dim = value.getDefiningOp<memref::DimOp>();
    auto memref = dim ? dyn_cast<BlockArgument>(dim.getSource()) : BlockArgument();
    std::optional<int64_t> axis = dim ? dim.getConstantIndex() : std::nullopt;
    return memref && axis ? sizeOf(launch.getOperands()[memref.getArgNumber()], *axis) : std::nullopt;
  }

  /// The size of a view in the host function.
  std::optional<int64_t> sizeOf(Value memref, int64_t axis) {
    auto type = cast<MemRefType>(memref.getType());
    if (!type.isDynamicDim(axis))
      return type.getDimSize(axis);
    Operation *op = memref.getDefiningOp();
    if (auto cast = dyn_cast_or_null<memref::CastOp>(op))
      return sizeOf(cast.getSource(), axis);
    if (auto view = dyn_cast_or_null<memref::ViewOp>(op))
      return host.evaluate(view.getSizes()[type.getDynamicDimIndex(axis)]);
    if (auto view = dyn_cast_or_null<memref::ReinterpretCastOp>(op)) {
      auto size = dyn_cast<Value>(view.getMixedSizes()[axis]);
      return size ? host.evaluate(size) : std::nullopt;
    }
    auto argument = dyn_cast<BlockArgument>(memref);
    auto function = argument ? dyn_cast<func::FuncOp>(argument.getOwner()->getParentOp()) : func::FuncOp();
    auto tensor = function ? function.getArgAttrOfType<TypeAttr>(argument.getArgNumber(), "fovea.type") : TypeAttr();
    auto known = tensor ? dyn_cast<graph::TensorType>(tensor.getValue()) : graph::TensorType();
    return known ? evaluate(known.getDim(axis), symbols) : std::nullopt;
  }
  static std::optional<int64_t> evaluate(DimExpr size, const Symbols &symbols) {
    return size.evaluate([&](std::string_view name) -> std::optional<int64_t> {
      auto found = symbols.find(name);
      return found == symbols.end() ? std::nullopt : std::optional(found->second);
    });
  }

  kernel::LaunchOp launch;
  const Symbols &symbols;
  kernels::ScalarEvaluator host, kernel;
};
} // namespace

std::optional<kernels::TileCounts> tilesOf(const AttentionLaunch &launch, const kernels::Target &target,
                                           const kernels::AttentionSizes &sizes, const Symbols &symbols) {
  LaunchValues values(launch.launch, symbols);
  return kernels::countTiles(launch.op, target, sizes, [&](Value value) { return values(value); });
}

} // namespace fovea::explain
