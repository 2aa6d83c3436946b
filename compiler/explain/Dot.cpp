// A graph module as Graphviz text: one cluster a function, one node an op. Constants and what spreads them are left
// out.
#include "compiler/explain/Facts.h"
#include "compiler/explain/Scalars.h"
#include "dialects/graph/Places.h"

#include "llvm/Support/raw_ostream.h"

using namespace mlir;

namespace fovea::explain {
namespace {

std::string quoted(StringRef text) {
  std::string result = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\')
      result += '\\';
    result += c == '\n' ? std::string("\\n") : std::string(1, c);
  }
  return result + "\"";
}

class Drawer {
public:
  Drawer(llvm::raw_ostream &out, llvm::function_ref<std::string(Operation *)> classOf) : out(out), classOf(classOf) {}

  void function(graph::FuncOp function, size_t number) {
    out << "  subgraph cluster_" << number << " {\n    label=" << quoted(function.getSymName()) << ";\n";
    Block &body = function.getBody().front();
    for (BlockArgument argument : body.getArguments())
      node(argument, function);
    for (Operation &op : body)
      if (!isHidden(&op))
        node(&op);
    for (Operation &op : body)
      if (!isHidden(&op))
        edges(&op);
    out << "  }\n";
  }

private:
  static bool isHidden(Operation *op) {
    if (op->getNumResults() == 1 && graph::getSplat(op->getResult(0)))
      return true;
    return isa<graph::DimOp>(op);
  }

  void node(BlockArgument argument, graph::FuncOp function) {
    if (argument.use_empty())
      return;
    bool isInput = function.getArgAttr(argument.getArgNumber(), graph::names::input) != nullptr;
    ids[argument] = next;
    out << "    n" << next++
        << " [label=" << quoted(tensorName(argument) + "\n" + tensorText(cast<graph::TensorType>(argument.getType())))
        << " shape=" << (isInput ? "ellipse" : "plain") << " class=" << (isInput ? "\"input\"" : "\"param\"") << "];\n";
  }

  void node(Operation *op) {
    std::string label = op->getName().stripDialect().str(), classes = classOf(op);
    if (auto reduce = dyn_cast<graph::ReduceOp>(op))
      label += " " + reduce.getKind().str();
    if (auto call = dyn_cast<graph::CallOp>(op))
      label = call.getPath().value_or(call.getCallee()).str();
    else if (StringRef path = pathOf(op->getLoc()); !path.empty() && op->getNumResults())
      label += "\n" + path.str();
    for (Value result : op->getResults()) {
      ids[result] = next;
      if (op->getNumResults() == 1)
        label += "\n" + tensorText(cast<graph::TensorType>(result.getType()));
    }
    out << "    n" << next << " [label=" << quoted(label);
    nodes[op] = next++;
    if (!classes.empty())
      out << " class=" << quoted(classes) << " style=filled fillcolor=\"" << colour(classes) << "\"";
    if (std::string place = placeOf(op->getLoc()); !place.empty())
      out << " tooltip=" << quoted(place);
    out << "];\n";
  }

  static StringRef colour(StringRef classes) {
    return classes.starts_with("blocked") ? "#f4a3a3" : classes.starts_with("missed") ? "#f8d7a0" : "#b9e3b4";
  }

  void edges(Operation *op) {
    for (Value operand : op->getOperands())
      if (auto from = ids.find(operand); from != ids.end())
        out << "    n" << from->second << " -> n" << nodes[op] << ";\n";
  }

  llvm::raw_ostream &out;
  llvm::function_ref<std::string(Operation *)> classOf;
  DenseMap<Value, size_t> ids;
  DenseMap<Operation *, size_t> nodes;
  size_t next = 0;
};

} // namespace

std::string drawFunctions(ModuleOp module, const std::set<std::string> &functions,
                          llvm::function_ref<std::string(Operation *)> classOf) {
  std::string text;
  llvm::raw_string_ostream out(text);
  out << "digraph {\n  rankdir=TB;\n  node [shape=box fontname=\"sans-serif\" fontsize=10 margin=\"0.08,0.04\"];\n"
         "  edge [arrowsize=0.6 color=\"#777777\"];\n  graph [fontname=\"sans-serif\" color=\"#bbbbbb\" "
         "ranksep=0.3];\n";
  Drawer drawer(out, classOf);
  size_t number = 0;
  for (const std::string &name : functions)
    if (auto function = module.lookupSymbol<graph::FuncOp>(name))
      drawer.function(function, number++);
  out << "}\n";
  return text;
}

} // namespace fovea::explain
