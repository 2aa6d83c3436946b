#include "compiler/analysis/StepFlow.h"

#include <algorithm>

using namespace mlir;

namespace fovea {

DimExpr bytesOf(Value tensor) {
  auto type = cast<graph::TensorType>(tensor.getType());
  DimExpr bytes(int64_t(std::max(8u, type.getElementType().getIntOrFloatBitWidth()) / 8));
  for (DimExpr dim : type.getDims())
    bytes = bytes ? bytes * dim : bytes;
  return bytes;
}

StepFlow::StepFlow(graph::FuncOp function, const StorageMap &storages) {
  for (Operation &op : function.getBody().front())
    if (isa<graph::GroupOp, graph::CallOp>(op)) {
      numbers[&op] = steps.size();
      steps.push_back(&op);
    }
  graph.count = steps.size();
  DenseMap<Value, size_t> valueOf;
  for (auto [i, step] : llvm::enumerate(steps))
    for (Value result : step->getResults()) {
      if (storages.lookup(result)->base != result)
        continue;
      valueOf[result] = values.size();
      values.push_back({i, {}});
      bases.push_back(result);
    }
  for (auto [i, step] : llvm::enumerate(steps))
    for (Value operand : step->getOperands()) {
      if (auto it = valueOf.find(storages.lookup(operand)->base); it != valueOf.end())
        values[it->second].consumers.push_back(i);
      Value value = operand; // values, through their views: also new versions of states
      while (isLayoutOp(value.getDefiningOp()))
        value = value.getDefiningOp()->getOperand(0);
      if (Operation *def = value.getDefiningOp())
        graph.edges.push_back({numbers[def], i});
    }
  addOrderForUpdates(storages);
}

/// A step that overwrites a value runs after all others that read the value.
void StepFlow::addOrderForUpdates(const StorageMap &storages) {
  for (auto [i, step] : llvm::enumerate(steps)) {
    for (OpResult result : step->getResults()) {
      Value base = storages.lookup(result)->base;
      if (base == result)
        continue;
      SmallVector<Value> old; // operands that lie in the buffer, and their views
      for (Value operand : step->getOperands())
        if (storages.lookup(operand)->base == base)
          old.push_back(operand);
      DenseSet<Value> seen;
      while (!old.empty()) {
        Value value = old.pop_back_val();
        if (!seen.insert(value).second)
          continue;
        if (Operation *def = value.getDefiningOp(); isLayoutOp(def))
          old.push_back(def->getOperand(0));
        for (Operation *user : value.getUsers()) {
          if (isLayoutOp(user))
            old.push_back(user->getResult(0));
          else if (auto it = numbers.find(user); it != numbers.end() && it->second != i)
            graph.edges.push_back({it->second, i});
        }
      }
    }
  }
}

std::vector<size_t> StepFlow::order(const std::vector<SymbolValues> &samples) const {
  std::vector<std::vector<int64_t>> bytes;
  for (const SymbolValues &sizes : samples) {
    std::vector<int64_t> &sample = bytes.emplace_back();
    for (Value base : bases)
      sample.push_back(std::max<int64_t>(0, evaluate(bytesOf(base), sizes).value_or(0)));
  }
  return orderForPeak(graph, values, bytes);
}

std::vector<SymbolValues> plannedSizes(graph::FuncOp function) {
  if (auto given = function->getAttrOfType<DictionaryAttr>(plannedSizesAttr)) {
    SymbolValues sizes;
    for (NamedAttribute size : given)
      sizes[size.getName().str()] = cast<IntegerAttr>(size.getValue()).getInt();
    return {sizes};
  }
  std::vector<std::string> names;
  for (auto symbol : function.getSymbols().getAsRange<StringAttr>())
    names.push_back(symbol.getValue().str());
  return representativeSizes(names);
}

SmallVector<Value> outputBases(graph::FuncOp function, const StorageMap &storages) {
  SmallVector<Value> outputs;
  for (OpOperand &operand : function.getBody().front().getTerminator()->getOpOperands())
    if (!stateArgument(function, operand.getOperandNumber()))
      outputs.push_back(storages.lookup(operand.get())->base);
  return outputs;
}

} // namespace fovea
