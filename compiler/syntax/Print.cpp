#include "compiler/syntax/Ast.h"

#include <fmt/format.h>

using namespace fovea::syntax;

namespace {

std::string quoted(const std::string &s) {
  std::string out = "\"";
  for (char c : s)
    out += c == '"' ? "\\\"" : c == '\\' ? "\\\\" : c == '\n' ? "\\n" : std::string(1, c);
  return out + "\"";
}

std::string argumentList(const std::vector<ArgumentExpr> &arguments) {
  std::string out;
  for (const ArgumentExpr &a : arguments)
    out += (out.empty() ? "" : ", ") + (a.name.empty() ? "" : a.name.text + " = ") + print(*a.value);
  return out;
}

std::string childList(const std::vector<ExprPtr> &children, size_t from) {
  std::string out;
  for (size_t i = from; i < children.size(); ++i)
    out += (i > from ? ", " : "") + print(*children[i]);
  return out;
}

std::string slice(const Expr &e) {
  auto part = [](const ExprPtr &p) { return p ? print(*p) : std::string(); };
  std::string out = part(e.children[0]) + ":" + part(e.children[1]);
  return e.children[2] ? out + ":" + print(*e.children[2]) : out;
}

/// Indented lines, one declaration or statement each.
class Printer {
public:
  std::string out;

  void file(const File &file) {
    for (const ImportDecl &import : file.imports)
      line("import " + import.name.text);
    for (const auto &f : file.functions)
      function(*f);
    for (const auto &m : file.modules)
      module(*m);
  }

private:
  void line(const std::string &text) { out += std::string(indent * 2, ' ') + text + "\n"; }

  void doc(const std::string &text) {
    for (size_t at = 0; at < text.size();) {
      size_t end = std::min(text.find('\n', at), text.size());
      line("/// " + text.substr(at, end - at));
      at = end + 1;
    }
  }

  static std::string parameters(const std::vector<ParameterDecl> &list) {
    std::string s;
    for (const ParameterDecl &p : list) {
      s += (s.empty() ? "" : ", ") + p.name.text;
      if (p.type.kind != TypeExpr::Kind::Any)
        s += ": " + print(p.type);
      if (p.defaultValue)
        s += " = " + print(*p.defaultValue);
    }
    return s;
  }

  void function(const FunctionDecl &f) {
    doc(f.doc);
    if (f.requireFused)
      line("@require_fused");
    for (const Name &role : f.roles)
      line("@" + role.text);
    std::string results;
    for (const ResultDecl &r : f.results)
      results += (results.empty() ? "" : ", ") + (r.name.empty() ? "" : r.name.text + ": ") + print(r.type);
    if (f.results.size() != 1 || !f.results[0].name.empty())
      results = "(" + results + ")";
    line(fmt::format("{} {}({}){} {{", f.isEntry ? "entry" : "fn", f.name.text, parameters(f.parameters),
                     f.hasResults ? " -> " + results : ""));
    block(f.body);
    line("}");
  }

  void module(const ModuleDecl &m) {
    doc(m.doc);
    line(fmt::format("{} {}({}){} {{", m.isModel ? "model" : "module", m.name.text, parameters(m.parameters),
                     m.prefix.empty() ? "" : " as " + quoted(m.prefix)));
    members(m.members);
    line("}");
  }

  void members(const MemberBlock &block) {
    ++indent;
    for (const auto &m : block)
      member(*m);
    --indent;
  }

  void member(const MemberDecl &m) {
    using Kind = MemberDecl::Kind;
    std::string stored = m.renamed ? " as " + quoted(m.stored) : "";
    std::string value = m.value ? print(*m.value) : "";
    switch (m.kind) {
    case Kind::Submodule:
      return line(m.name.text + ": " + value + stored);
    case Kind::Param:
    case Kind::State:
      return line(fmt::format("{} {}: {}{}{}", m.kind == Kind::Param ? "param" : "state", m.name.text, print(m.type),
                              m.value ? " = " + value : "", stored));
    case Kind::Let:
      return line("let " + m.name.text + " = " + value);
    case Kind::Tie:
      return line("tie " + print(*m.target) + " = " + value);
    case Kind::Assert:
      return line("assert " + value + (m.message.empty() ? "" : ", " + quoted(m.message)));
    case Kind::Function:
      return function(*m.function);
    case Kind::If:
      line("if " + value + " {");
      members(m.body);
      if (!m.otherwise.empty()) {
        line("} else {");
        members(m.otherwise);
      }
      return line("}");
    }
  }

  static std::string nameList(const std::vector<Name> &names) {
    std::string s;
    for (const Name &n : names)
      s += (s.empty() ? "" : ", ") + n.text;
    return s;
  }

  void block(const Block &block) {
    ++indent;
    for (const auto &s : block)
      statement(*s);
    --indent;
  }

  void statement(const Stmt &s) {
    using Kind = Stmt::Kind;
    std::string value = s.value ? print(*s.value) : "", type;
    if (s.type.kind != TypeExpr::Kind::Any)
      type = ": " + print(s.type);
    switch (s.kind) {
    case Kind::Let:
      return line("let " + nameList(s.names) + type + " = " + value);
    case Kind::Assign:
      return line(nameList(s.names) + " = " + value);
    case Kind::SliceAssign:
      return line(print(*s.target) + " = " + value);
    case Kind::Assert:
      return line("assert " + value + (s.message.empty() ? "" : ", " + quoted(s.message)));
    case Kind::State:
      return line("state " + nameList(s.names) + type + (s.value ? " = " + value : ""));
    case Kind::Return:
      return line(s.value ? "return " + value : "return");
    case Kind::Expression:
      return line(value);
    case Kind::For:
      line("for " + nameList(s.names) + " in " + value + " {");
      block(s.body);
      return line("}");
    case Kind::If:
      line("if " + value + " {");
      block(s.body);
      if (s.hasElse) {
        line("} else {");
        block(s.otherwise);
      }
      return line("}");
    }
  }

  unsigned indent = 0;
};

} // namespace

std::string fovea::syntax::print(const Expr &e) {
  using Kind = Expr::Kind;
  switch (e.kind) {
  case Kind::Int:
    return std::to_string(e.integer);
  case Kind::Float: {
    std::string s = fmt::format("{}", e.number);
    return s.find_first_of(".ein") == std::string::npos ? s + ".0" : s;
  }
  case Kind::Bool:
    return e.integer ? "true" : "false";
  case Kind::String:
    return quoted(e.text);
  case Kind::None:
    return "None";
  case Kind::Ellipsis:
    return "...";
  case Kind::Name:
    return e.text;
  case Kind::Unary:
    return fmt::format("({}{}{})", e.text, e.text == "not" ? " " : "", print(*e.children[0]));
  case Kind::Binary:
    return fmt::format("({} {} {})", print(*e.children[0]), e.text, print(*e.children[1]));
  case Kind::Call:
    return print(*e.children[0]) + "(" + argumentList(e.arguments) + ")";
  case Kind::Index:
    return print(*e.children[0]) + "[" + childList(e.children, 1) + "]";
  case Kind::Slice:
    return slice(e);
  case Kind::Member:
    return print(*e.children[0]) + "." + e.text;
  case Kind::List:
    return "[" + childList(e.children, 0) + "]";
  case Kind::Repeat:
    return "[" + print(*e.children[0]) + "; " + print(*e.children[1]) + "]";
  case Kind::Tuple:
    return "(" + argumentList(e.arguments) + ")";
  case Kind::Error:
    return "<error>";
  }
  return {};
}

std::string fovea::syntax::print(const TypeExpr &t) {
  using Kind = TypeExpr::Kind;
  switch (t.kind) {
  case Kind::Any:
    return "any";
  case Kind::Int:
    return "int";
  case Kind::Float:
    return "float";
  case Kind::Bool:
    return "bool";
  case Kind::String:
    return "str";
  case Kind::Function:
    return "function";
  case Kind::Like:
    return "like(" + print(*t.like) + ")";
  case Kind::Tensor:
    break;
  }
  std::string dims;
  for (const DimensionExpr &d : t.dimensions)
    dims += (dims.empty() ? "" : ", ") + (d.size ? print(*d.size) : "..." + d.ellipsis.text);
  return t.dimensions.empty() && t.dtype != "bool" ? t.dtype : t.dtype + "[" + dims + "]";
}

std::string fovea::syntax::print(const File &file) {
  Printer printer;
  printer.file(file);
  return std::move(printer.out);
}
