// Precedence, line ends, recovery, and that what is printed reads the same.
#include "compiler/syntax/Parser.h"

#include <doctest/doctest.h>

using namespace fovea;

namespace {

struct Parsed {
  source::SourceManager sources;
  source::DiagnosticEngine engine{sources, 1000};
  std::unique_ptr<syntax::File> file;
  explicit Parsed(std::string text) { file = syntax::parse(sources, sources.add("t.fov", std::move(text)), engine); }
  std::string names() const {
    std::string out;
    for (const source::Diagnostic &d : engine.diagnostics())
      out += (out.empty() ? "" : " ") + std::string(d.info->name);
    return out;
  }
};

/// The value of `fn f() { <text> }`, fully parenthesised.
std::string expression(const std::string &text) {
  Parsed p("fn f() {\n" + text + "\n}");
  INFO(p.engine.render());
  CHECK_FALSE(p.engine.hasErrors());
  if (p.file->functions.empty() || p.file->functions[0]->body.empty())
    return "nothing";
  return syntax::print(*p.file->functions[0]->body.back()->value);
}

} // namespace

TEST_CASE("precedence") {
  CHECK(expression("a + b * c") == "(a + (b * c))");
  CHECK(expression("q @ k.T / s") == "((q @ k.T) / s)");
  CHECK(expression("-x ^ 2") == "(-(x ^ 2))");
  CHECK(expression("2 ^ -1") == "(2 ^ (-1))");
  CHECK(expression("a ^ b ^ c") == "(a ^ (b ^ c))");
  CHECK(expression("a - b - c") == "((a - b) - c)");
  CHECK(expression("not a and b or c < d") == "(((not a) and b) or (c < d))");
  CHECK(expression("not a == b") == "(not (a == b))");
  CHECK(expression("a // b % c") == "((a // b) % c)");
  CHECK(expression("f(x)[0].w(y = 1)") == "f(x)[0].w(y = 1)");
}

TEST_CASE("indices") {
  CHECK(expression("x[:, None, 1:, :n, ::-1, ..., a:b:2, i]") == "x[:, None, 1:, :n, ::(-1), ..., a:b:2, i]");
  CHECK(expression("[M(a); 6]") == "[M(a); 6]");
  CHECK(expression("(a, b = 2)") == "(a, b = 2)");
}

TEST_CASE("a line ends a statement, but not inside brackets or after an operator") {
  Parsed p("fn f() {\n  let a = (1\n    + 2)\n  let b = a +\n    3\n  f\n  (a)\n}");
  CHECK_FALSE(p.engine.hasErrors());
  CHECK(p.file->functions[0]->body.size() == 4);
  CHECK(Parsed("fn f() { let a = 1; a }").file->functions[0]->body.size() == 2);
  CHECK(Parsed("fn f() { let a = 1 a }").names() == "expected");
}

TEST_CASE("contextual words are names elsewhere") {
  CHECK(expression("state = 1\nmodel + entry + param + in + as") == "((((model + entry) + param) + in) + as)");
  Parsed p("module Linear(in: int, out: int) {\n  state: Other(in)\n  state keys: f32[B]\n}");
  CHECK_FALSE(p.engine.hasErrors());
  CHECK(p.file->modules[0]->members[0]->kind == syntax::MemberDecl::Kind::Submodule);
  CHECK(p.file->modules[0]->members[1]->kind == syntax::MemberDecl::Kind::State);
}

TEST_CASE("one report a broken statement, and the next one is read") {
  Parsed p(
      "fn f(x: f32[B]) {\n  let = 1\n  let y 2\n  x + )\n  let z = 3\n  z\n}\nfn g() { 1 }\nmodule { }\nfn h() { 2 }");
  CHECK(p.names() == "expected expected expected expected");
  REQUIRE(p.file->functions.size() == 3);
  CHECK(p.file->functions[0]->body.size() == 2);
  CHECK(p.file->functions[2]->name.text == "h");
}

TEST_CASE("what is printed reads the same") {
  const char *text = R"(import nn

/// A network.
model M(dim: int = 4, act: function = relu) as "bert" {
  param w: f32[dim, 4] as "weight" = normal(std = 0.02)
  state keys: f32[B, dim] = 0
  layers: [Layer(dim); 3] as "layer"
  tie head.weight = words.weight
  let half = dim // 2
  if half > 1 { assert dim > 1, "too small" } else if dim == 1 { param b: f32[1] } else { param c: f32[1] }
  @require_fused
  entry run(x: f32[B, ..., dim], t: like(x), n: i64, m: bool[B]) -> (a: f32[B], b: i64) {
    for i, layer in enumerate(layers) { x = layer(x) }
    state count: i64 = 0
    keys[:, 1 : n] = x
    let a, b = f(x)
    if half == 2 { return a } else { b }
  }
}
)";
  Parsed first(text);
  INFO(first.engine.render());
  CHECK_FALSE(first.engine.hasErrors());
  std::string printed = syntax::print(*first.file);
  Parsed second(printed);
  INFO(second.engine.render());
  CHECK_FALSE(second.engine.hasErrors());
  CHECK(syntax::print(*second.file) == printed);
  CHECK(printed.find("entry run(x: f32[B, ..., dim], t: like(x), n: i64, m: bool[B]) -> (a: f32[B], b: i64) {") !=
        std::string::npos);
}

TEST_CASE("nesting is bounded in every form") {
  auto repeat = [](const std::string &s, int n) {
    std::string out;
    for (int i = 0; i < n; ++i)
      out += s;
    return out;
  };
  const int n = 100000;
  for (const std::string &deep :
       {repeat("(", n), repeat("[", n), repeat("-", n), repeat("not ", n), repeat("f(", n), repeat("x[", n),
        "1" + repeat("+1", n), "x" + repeat(".y", n), "x" + repeat("[0]", n), "1" + repeat("^1", n),
        repeat("if x {", n), "if x {}" + repeat(" else if x {}", n), repeat("for i in x {", n)}) {
    Parsed p("fn f() {\n" + deep + "\n}");
    CHECK(p.names().find("too-deep") != std::string::npos);
  }
  CHECK(Parsed("module A() {\n" + repeat("if x {", n)).names().find("too-deep") != std::string::npos);
}
