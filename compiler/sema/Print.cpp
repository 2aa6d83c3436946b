#include "compiler/sema/Entity.h"

#include <fmt/format.h>

using namespace fovea;
using namespace fovea::sema;

static std::string text(const Attribute &attribute) {
  struct Visitor {
    std::string operator()(int64_t v) const { return std::to_string(v); }
    std::string operator()(double v) const { return fmt::format("{}", v); }
    std::string operator()(bool v) const { return v ? "true" : "false"; }
    std::string operator()(const std::string &v) const { return "\"" + v + "\""; }
    std::string operator()(const std::vector<int64_t> &v) const { return fmt::format("[{}]", fmt::join(v, ", ")); }
    std::string operator()(DimExpr v) const { return "<" + v.str() + ">"; }
    std::string operator()(const std::vector<DimExpr> &v) const { return "<" + joinDims(v) + ">"; }
    std::string operator()(DType v) const { return dtypeName(v); }
  };
  return std::visit(Visitor(), attribute);
}

static std::string printOp(const Model &model, const Function &f, const Op &op) {
  std::string out = "  ", operands, attributes, types;
  for (ValueId v : op.results)
    out += fmt::format("{}%{}", v == op.results[0] ? "" : ", ", v);
  for (ValueId v : op.operands)
    operands += fmt::format("{}%{}", operands.empty() ? "" : ", ", v);
  for (const auto &[name, value] : op.attributes)
    attributes += (attributes.empty() ? " {" : ", ") + name + " = " + text(value);
  if (op.name == "call")
    for (const auto &[symbol, value] : op.substitution)
      attributes += (attributes.empty() ? " {" : ", ") + symbol + " := " + value.str();
  for (ValueId v : op.results)
    types += (types.empty() ? "" : ", ") + describe(f.values[v].type);
  std::string name = op.name == "call" ? "call " + model.functions[op.callee].name : op.name;
  out += fmt::format(" = {}({}){} : {}", name, operands, attributes.empty() ? "" : attributes + "}", types);
  return out + (op.path.empty() ? "" : "  // " + op.path) + "\n";
}

static std::string printFunction(const Model &model, const Function &f) {
  static constexpr const char *kinds[] = {"", "param ", "state "};
  std::string out =
      fmt::format("{}{}{}{}{}<{}>(", f.role.empty() ? "" : "@" + f.role + " ", f.requireFused ? "@require_fused " : "",
                  f.isLayer ? "layer " : "", f.isEntry ? "entry " : "fn ", f.name, fmt::join(f.symbols, ", "));
  for (const Argument &a : f.arguments)
    out += fmt::format("{}\n    {}%{} {}: {}", &a == f.arguments.data() ? "" : ",", kinds[static_cast<int>(a.kind)],
                       a.value, a.name, describe(f.values[a.value].type));
  out += ") {\n";
  for (const auto &[symbol, argument] : f.scalarSymbols)
    out += fmt::format("  scalar {} = {}\n", symbol, f.arguments[argument].name);
  for (const Require &r : f.requirements)
    out += fmt::format("  require {} {} {}  // {}\n", r.lhs.str(), spelling(r.relation), r.rhs.str(), r.message);
  for (const Op &op : f.ops)
    out += printOp(model, f, op);
  for (const Result &r : f.results)
    out += fmt::format("  {} {} = %{}: {}\n", r.state < 0 ? "return" : "update", r.name, r.value,
                       describe(f.values[r.value].type));
  return out + "}\n";
}

static std::string text(const Initializer &initializer) {
  return fmt::format("{}({})", initializer.name, fmt::join(initializer.args, ", "));
}

std::string sema::print(const Model &model) {
  std::string out = "model " + model.name + "\n";
  for (const ParamInfo &p : model.params)
    out += fmt::format("{}param {}: {}{}\n", p.isWritten ? "written " : "", p.path, describe(p.type),
                       p.initializer.name.empty() ? "" : " = " + text(p.initializer));
  for (const StateInfo &s : model.states)
    out += fmt::format("state {}: {} = {}\n", s.path, describe(s.type),
                       s.initializer.name.empty() ? fmt::to_string(s.initial) : text(s.initializer));
  for (const Function &f : model.functions)
    out += "\n" + printFunction(model, f);
  return out;
}
