// Text to the typed model: what is emitted, what becomes a precondition, what is shared.
#include "tests/unit/sema/Elaborated.h"

#include <algorithm>

using namespace fovea;

namespace {

/// The entry `e` of a model whose only member it is.
Elaborated elaborateEntry(const std::string &signature, const std::string &body, const std::string &before = "") {
  return Elaborated(before + "\nmodel M {\n entry e" + signature + " {\n" + body + "\n }\n}\n");
}

std::string opNames(const sema::Function &f) {
  std::string out;
  for (const sema::Op &op : f.ops)
    out += (out.empty() ? "" : " ") + op.name;
  return out;
}

std::string requirements(const sema::Function &f) {
  std::string out;
  static constexpr const char *spelling[] = {"==", "!=", "<", "<=", ">", ">="};
  for (const sema::Require &r : f.requirements)
    out += (out.empty() ? "" : "; ") + r.lhs.str() + " " + spelling[static_cast<int>(r.relation)] + " " + r.rhs.str();
  return out;
}

std::string resultDims(const sema::Function &f, size_t i = 0) {
  std::string out;
  for (DimExpr d : f.values[f.results[i].value].type.dims)
    out += (out.empty() ? "" : ", ") + d.str();
  return out;
}

} // namespace

TEST_CASE("broadcasting is explicit, and literal 1s are squeezed first") {
  auto e = elaborateEntry("(x: f32[B, T], y: f32[B, 1]) -> f32[B, T]", "x + y");
  GOOD(e);
  CHECK(opNames(e.entry()) == "reshape broadcast add");
  auto scalar = elaborateEntry("(x: f32[B, T]) -> f32[B, T]", "x * 2");
  GOOD(scalar);
  CHECK(opNames(scalar.entry()) == "constant broadcast mul");
}

TEST_CASE("only a literal 1 broadcasts: two names must be equal when it runs") {
  auto e = elaborateEntry("(x: f32[A], y: f32[B]) -> f32[A]", "x + y");
  GOOD(e);
  CHECK(requirements(e.entry()) == "A == B");
  CHECK(e.error() == "assumed-equal");
  CHECK(elaborateEntry("(x: f32[3], y: f32[4]) -> f32[3]", "x + y").error() == "dimension-clash");
  CHECK(elaborateEntry("(x: f32[T], y: f32[T + 1]) -> f32[T]", "x + y").error() == "dimension-clash");
}

TEST_CASE("constants fold in double and take the type of what they meet") {
  auto e = elaborateEntry("(x: f32[B]) -> f32[B]", "x / sqrt(64) * (1 + 2 * 3) ");
  GOOD(e);
  const sema::Op &op = e.entry().ops[0];
  CHECK(op.name == "constant");
  CHECK(std::get<double>(op.attributes[0].second) == 8.0);
  CHECK(elaborateEntry("(x: i64[B]) -> i64[B]", "x * 0.5").error() == "type-mismatch");
  CHECK(elaborateEntry("(x: i64[B]) -> i64[B]", "x * 2").model.has_value());
  CHECK(elaborateEntry("(x: i8[B]) -> i8[B]", "x * 200").error() == "overflow");
}

TEST_CASE("powers of constants become products and roots") {
  CHECK(opNames(elaborateEntry("(x: f32[B]) -> f32[B]", "x ^ 2").entry()) == "mul");
  CHECK(opNames(elaborateEntry("(x: f32[B]) -> f32[B]", "x ^ 0.5").entry()) == "sqrt");
  CHECK(opNames(elaborateEntry("(x: f32[B]) -> f32[B]", "x ^ 3").entry()) == "constant broadcast pow");
}

TEST_CASE("a size to a power that is no size is a number") {
  CHECK(opNames(elaborateEntry("(x: f32[D]) -> f32[D]", "x * D ^ -0.5").entry()) == "dim cast rsqrt broadcast mul");
  CHECK(opNames(elaborateEntry("(x: f32[D]) -> f32[D]", "x * D ^ -1").entry()) ==
        "dim cast constant div broadcast mul");
  CHECK(resultDims(elaborateEntry("(x: f32[D]) -> i64[D ^ 2]", "index(D ^ 2)").entry()) == "D*D");
}

TEST_CASE("matmul labels its axes; a batch axis of one operand is free") {
  auto e = elaborateEntry("(x: f32[B, H, T, D], w: f32[D, E]) -> f32[B, H, T, E]", "x @ w");
  GOOD(e);
  CHECK(opNames(e.entry()) == "contract");
  auto grouped =
      elaborateEntry("(q: f32[B, G, R, T, D], k: f32[B, G, S, D]) -> f32[B, G, R, T, S]", "q @ k[:, :, None].T");
  GOOD(grouped);
  CHECK(opNames(grouped.entry()) == "reshape transpose reshape contract"); // never a broadcast
  auto vector = elaborateEntry("(x: f32[T, D], v: f32[D]) -> f32[T]", "x @ v");
  GOOD(vector);
  CHECK(elaborateEntry("(x: f32[T, D], v: i64[D]) -> f32[T]", "x @ v").error() == "type-mismatch");
}

TEST_CASE("rearrange splits with a precondition where it can't know") {
  auto fixed =
      elaborateEntry("(x: f32[B, T, 384]) -> f32[B, 12, T, 32]", "rearrange(x, \"b t (h d) -> b h t d\", h = 12)");
  GOOD(fixed);
  CHECK(opNames(fixed.entry()) == "reshape transpose");
  CHECK(requirements(fixed.entry()) == "");
  auto open = elaborateEntry("(x: f32[B, D]) -> f32[B, 4, D // 4]", "rearrange(x, \"b (h d) -> b h d\", h = 4)");
  GOOD(open);
  CHECK(requirements(open.entry()).find("floordiv(D, 4)") != std::string::npos);
  auto dots = elaborateEntry("(x: f32[A, B, C, D]) -> f32[A, B, D, C]", "rearrange(x, \"... c d -> ... d c\")");
  GOOD(dots);
  CHECK(opNames(dots.entry()) == "transpose");
}

TEST_CASE("einsum with words, letters and three operands") {
  for (const char *pattern : {"b t d, b s d -> b t s", "btd,bsd->bts", "... t d, ... s d -> ... t s"}) {
    auto e = elaborateEntry("(q: f32[B, T, D], k: f32[B, S, D]) -> f32[B, T, S]",
                            std::string("einsum(\"") + pattern + "\", q, k)");
    GOOD(e);
    CHECK(opNames(e.entry()) == "contract");
  }
  auto three = elaborateEntry("(a: f32[I, J], b: f32[J, K], c: f32[K, L]) -> f32[L, I]",
                              "einsum(\"i j, j k, k l -> l i\", a, b, c)");
  GOOD(three);
  CHECK(opNames(three.entry()) == "contract contract");
  auto sum = elaborateEntry("(a: f32[I, J]) -> f32[J]", "einsum(\"i j -> j\", a)");
  GOOD(sum);
  CHECK(opNames(sum.entry()) == "reduce");
  CHECK(elaborateEntry("(a: f32[I, J], b: f16[J, K]) -> f32[I, K]", "einsum(\"i j, j k -> i k\", a, b)").error() ==
        "type-mismatch");
}

TEST_CASE("slices: sizes, negative bounds and preconditions") {
  auto e = elaborateEntry("(x: f32[10, T]) -> f32[3, T]", "x[-4:-1]");
  GOOD(e);
  auto stepped = elaborateEntry("(x: f32[T]) -> f32[(T + 1) // 2]", "x[::2]");
  GOOD(stepped);
  auto reversed = elaborateEntry("(x: f32[T]) -> f32[T]", "x[::-1]");
  GOOD(reversed);
  auto tail = elaborateEntry("(x: f32[T]) -> f32[T - 1]", "x[1:]");
  GOOD(tail);
  CHECK(requirements(tail.entry()) == "1 <= T");
  auto last = elaborateEntry("(x: f32[T, D]) -> f32[D]", "x[-1]");
  GOOD(last);
  CHECK(opNames(last.entry()) == "slice reshape");
  CHECK(requirements(last.entry()) == "0 <= T-1");
  auto before = elaborateEntry("(x: f32[B, T, D]) -> f32[B, D]", "x[:, T - 1]");
  GOOD(before);
  CHECK(requirements(before.entry()) == "0 <= T-1");
  CHECK(elaborateEntry("(x: f32[4]) -> f32", "x[4]").error() == "bad-index");
}

TEST_CASE("run-time integers as bounds") {
  auto e = elaborateEntry("(x: f32[N], p: i64) -> f32[4]", "x[p : p + 4]");
  GOOD(e);
  CHECK(e.entry().scalarSymbols.size() == 1);
  CHECK(requirements(e.entry()) == "p >= 0; p+4 <= N");
  // A value that is computed has no symbol: the start is an operand.
  auto computed = elaborateEntry("(x: f32[N], ids: i64[B]) -> f32[4]", "let p = max(ids)\nx[p : p + 4]");
  GOOD(computed);
  CHECK(computed.entry().ops.back().name == "slice");
  CHECK(computed.entry().ops.back().operands.size() == 2);
  CHECK(requirements(computed.entry()) == "");
  // In arithmetic alone a scalar may be negative.
  auto value = elaborateEntry("(x: i64[N], p: i64) -> i64[N]", "x + p - 1");
  GOOD(value);
  CHECK(requirements(value.entry()) == "");
}

TEST_CASE("gathers by tensors; indices below a size become a precondition") {
  auto e = elaborateEntry("(table: f32[V, D], ids: i64[B, T]) -> f32[B, T, D]", "table[ids]");
  GOOD(e);
  CHECK(requirements(e.entry()) == "");
  auto positions = elaborateEntry("(table: f32[V, D], x: f32[T]) -> f32[T, D]", "table[index(T)]");
  GOOD(positions);
  CHECK(requirements(positions.entry()) == "T <= V");
  auto second = elaborateEntry("(x: f32[B, V], ids: i64[T]) -> f32[B, T]", "x[:, ids]");
  GOOD(second);
  auto several = elaborateEntry("(x: f32[A, B, C], i: i64[T], j: i32[S, 1]) -> f32[S, T, B]", "x[i, :, j]");
  GOOD(several);
  CHECK(opNames(several.entry()) == "broadcast reshape broadcast gather");
  auto rows = elaborateEntry("(x: f32[A, B, C], i: i64[A]) -> f32[A, C]", "x[index(A), i]");
  GOOD(rows);
  CHECK(requirements(rows.entry()) == "");
  CHECK(requirements(elaborateEntry("(x: f32[A, B], i: i64[T], j: i64[S]) -> f32[T]", "x[i, j]").entry()) == "S == T");
  CHECK(elaborateEntry("(x: f32[A, B], i: i64[2], j: i64[3]) -> f32[2]", "x[i, j]").error() == "dimension-clash");
}

TEST_CASE("assignment to places that tensors name") {
  auto e = elaborateEntry("(x: f32[A, B, C], v: f32[T, B], i: i64[T]) -> f32[A, B, C]",
                          "let y = x\ny[i, :, index(T)] = v\ny");
  GOOD(e);
  CHECK(opNames(e.entry()) == "iota scatter");
  CHECK(requirements(e.entry()) == "T <= C");
  auto part =
      elaborateEntry("(x: f32[A, B, C], v: f32[T, 2], i: i64[T]) -> f32[A, B, C]", "let y = x\ny[i, 1 : 3, 0] = v\ny");
  GOOD(part);
  CHECK(opNames(part.entry()) == "slice slice reshape scatter slice update_slice update_slice");
  CHECK(elaborateEntry("(x: f32[A], i: i64[T], v: f32[2, 2]) -> f32[A]", "let y = x\ny[i] = v\ny").error() ==
        "rebind-type");
}

TEST_CASE("dimension names: checked, solved, unbound") {
  const char *solve = "fn f(x: f32[2 * N]) -> f32[N] { x[: N] }";
  auto e = elaborateEntry("(x: f32[10]) -> f32[5]", "f(x)", solve);
  GOOD(e);
  auto symbolic = elaborateEntry("(x: f32[T]) -> f32[T // 2]", "f(x)", solve);
  GOOD(symbolic);
  CHECK(requirements(symbolic.entry()).find("floordiv(T, 2)") != std::string::npos);
  CHECK(elaborateEntry("(x: f32[11]) -> f32[5]", "f(x)", solve).error() == "argument-shape");
  auto later = elaborateEntry("(x: f32[6], y: f32[4], z: f32[2]) -> f32[2]", "g(x, y, z)",
                              "fn g(a: f32[N + M], b: f32[N], c: f32[M]) -> f32[M] { c }");
  GOOD(later);
}

TEST_CASE("calls are shared up to the names of sizes; equal sizes stay equal") {
  auto e = elaborateEntry("(x: f32[B, T], y: f32[S, R]) -> f32[B, T]", "let z = f(y)\nf(x)",
                          "fn f(x: f32[A, C]) -> f32[A, C] { x + 1 }");
  GOOD(e);
  CHECK(e.model->functions.size() == 2);
  auto square = elaborateEntry("(x: f32[B, T], y: f32[S, S]) -> f32[B, T]", "let z = f(y)\nf(x)",
                               "fn f(x: f32[A, C]) -> f32[A, C] { x + 1 }");
  GOOD(square);
  CHECK(square.model->functions.size() == 3);
  // A precondition of the callee reaches the entry in the entry's names, or is decided there.
  const char *limited = "fn f(x: f32[A]) -> f32[A] { assert A <= 8\n x }";
  CHECK(requirements(elaborateEntry("(x: f32[T + 1]) -> f32[T + 1]", "f(x)", limited).entry()) == "T+1 <= 8");
  CHECK(requirements(elaborateEntry("(x: f32[8]) -> f32[8]", "f(x)", limited).entry()) == "");
  CHECK(elaborateEntry("(x: f32[9]) -> f32[9]", "f(x)", limited).error() == "assert-failed");
}

TEST_CASE("compile-time values: functions, lists, None, strings") {
  auto e = elaborateEntry("(x: f32[B]) -> f32[B]", "apply(x, activation = double, kind = \"twice\")", R"(
fn double(x: f32[...]) -> f32[...] { x + x }
fn apply(x: f32[...], activation: function, kind: str = "once", mask: bool[...] = None) -> f32[...] {
  x = activation(x)
  if kind == "twice" { x = activation(x) }
  if mask == None { x } else { where(mask, x, 0) }
})");
  GOOD(e);
  auto loop = elaborateEntry("(x: f32[B]) -> f32[B]", "for i, k in enumerate([1, 2, 3]) { x = x * k + i }\nx");
  GOOD(loop);
  CHECK(std::count_if(loop.entry().ops.begin(), loop.entry().ops.end(), [](auto &op) { return op.name == "mul"; }) ==
        3);
}

static const char *stack = R"(
module Block(dim: int, bias: bool = true) {
  param weight: f32[dim, dim] = normal(std = 0.5)
  if bias { param bias: f32[dim] = zeros() }
  fn forward(x: f32[..., dim]) -> f32[..., dim] {
    let y = x @ weight.T
    if bias { y = y + bias }
    y
  }
}
model M(dim: int = 4, depth: int = 3, bias: bool = true) as "net" {
  blocks: [Block(dim, bias); depth] as "layer"
  entry run(x: f32[B, dim]) -> (y: f32[B, dim], norm: f32[B]) {
    for block in blocks { x = block(x) }
    (x, sum(x * x, axis = -1))
  }
})";

TEST_CASE("results are placed by name, and have the signature's names") {
  const char *functions = "fn f(x: f32[B]) -> (y: f32[B], z: i64[B]) { (z = i64(x), y = x) }\n"
                          "fn g(x: f32[B]) -> (y: f32[B], z: i64[B]) { (x, i64(x)) }\n";
  auto e = elaborateEntry("(x: f32[B]) -> (a: f32[B], b: i64[B])", "(f(x).y + g(x).y, f(x).z + g(x).z)", functions);
  GOOD(e);
  CHECK(
      elaborateEntry("(x: f32[B]) -> f32[B]", "h(x).y", "fn h(x: f32[B]) -> (y: f32[B], z: f32[B]) { (y = x, w = x) }")
          .error() == "result-mismatch");
  CHECK(elaborateEntry("(x: f32[B]) -> f32[B]", "h(x).y", "fn h(x: f32[B]) -> (y: f32[B], z: f32[B]) { (x, y = x) }")
            .error() == "result-mismatch");
}

TEST_CASE("modules: stored names, initialisers, layers, settings") {
  Elaborated e(stack);
  GOOD(e);
  CHECK(e.model->params.size() == 6);
  CHECK(e.model->params[0].path == "net.layer.0.weight");
  CHECK(e.model->params[0].initializer.name == "normal");
  CHECK(e.model->params[0].initializer.args == std::vector<double>{0, 0.5});
  CHECK(e.model->functions.size() == 2); // equal layers are one function
  CHECK(e.model->functions[0].isLayer);
  CHECK(e.entry().ops[1].path == "blocks.1");
  CHECK(e.entry().results[1].name == "norm");
  sema::Options options;
  options.sets = {{"depth", "5"}, {"bias", "false"}};
  Elaborated set(stack, options);
  GOOD(set);
  CHECK(set.model->params.size() == 5);
}

TEST_CASE("tied params are one") {
  Elaborated e(
      "module E(n: int) { param weight: f32[n, 4]\n fn forward(i: i64[...]) -> f32[..., 4] { weight[i] } }\n"
      "model M { a: E(8)\n param w: f32[8, 4]\n tie w = a.weight\n entry e(i: i64[T]) -> f32[T, 8] { a(i) @ w.T } }");
  GOOD(e);
  CHECK(e.model->params.size() == 1);
  CHECK(e.model->params[0].path == "a.weight");
  CHECK(e.engine.diagnostics().empty());
}

TEST_CASE("state: a first value is a number, or drawn by an initialiser; each place that calls dropout has a seed") {
  Elaborated e("module L() { fn forward(x: f32[B]) -> f32[B] { dropout(dropout(x, 0.1), 0.2) } }\n"
               "model M { layers: [L(); 2]\n entry e(x: f32[B]) -> f32[B] { state n: i64 = 3\n n = n + 1\n"
               "for layer in layers { x = layer(x) }\n x } }");
  GOOD(e);
  REQUIRE(e.model->states.size() == 5);
  CHECK(e.model->states[0].initial == 3);
  CHECK(e.model->states[0].initializer.name.empty());
  const char *paths[] = {"layers.0.dropout.next_seed.seed", "layers.0.dropout#2.next_seed.seed",
                         "layers.1.dropout.next_seed.seed", "layers.1.dropout#2.next_seed.seed"};
  for (size_t i = 0; i < 4; ++i) {
    CHECK(e.model->states[i + 1].path == paths[i]);
    CHECK(e.model->states[i + 1].initializer.name == "uniform");
    CHECK(e.model->states[i + 1].initializer.args == std::vector<double>{0, 0x1p62});
  }
  Elaborated given("model M { entry e(x: f32[B], seed: i64) -> f32[B] { dropout(x, 0.1, seed) } }");
  GOOD(given);
  CHECK(given.model->states.empty());
}

TEST_CASE("state: reads see writes, and each module has its own") {
  Elaborated e("module C(n: int) { state seen: f32[B, n] = 1\n fn forward(x: f32[B, n]) -> f32[B, n] { seen = seen + "
               "x\n seen * 2 } }\n"
               "model M { c: [C(4); 2]\n state count: i64 = 0\n entry step(x: f32[N, 4]) -> f32[N, 4] {\n"
               "for m in c { x = m(x) }\n count = count + 1\n x } }");
  GOOD(e);
  CHECK(e.model->states.size() == 3);
  CHECK(e.model->states[0].path == "c.0.seen");
  CHECK(e.model->states[0].initial == 1);
  CHECK(resultDims(e.entry(), 1) == "N, 4");
  size_t written = 0;
  for (const sema::Result &r : e.entry().results)
    written += r.state >= 0;
  CHECK(written == 3);
}

TEST_CASE("state: functions of its module know the names of its sizes, also before they read it") {
  Elaborated e("module C() { state kept: f32[B, limit]\n fn room(x: f32[B, T]) -> f32[B, limit - T] {\n"
               "assert T <= limit, \"full\"\n let left = limit - T\n broadcast(0.0, [B, left]) } }\n"
               "model M { c: C()\n state all: f32[2 * rows] = 0\n entry room(x: f32[B, T]) -> f32[B] { sum(c.room(x), "
               "axis = 1) }\n"
               "entry empty(x: f32[T]) -> f32[rows] { f32(index(rows)) }\n"
               "entry fill(x: f32[rows]) { all = concat([x, x], axis = 0) } }");
  GOOD(e);
  CHECK(resultDims(e.entry(1), 0) == "rows");
  CHECK(
      Elaborated("model M { state kept: f32[B, limit]\n entry e(x: f32[T]) -> f32[T] { x + f32(limits) } }").error() ==
      "unknown-name");
}

TEST_CASE("what nothing calls is checked too, where it can be") {
  CHECK(Elaborated("fn f(x: f32[T, 4]) -> f32[T, 5] { x }\nmodel M { entry e(x: f32[B]) -> f32[B] { x } }").error() ==
        "result-mismatch");
  CHECK(
      Elaborated(
          "module A(n: int) { fn forward(x: f32[n]) -> f32[n] { y } }\nmodel M { entry e(x: f32[B]) -> f32[B] { x } }")
          .error() == "unknown-name");
  // Unknown compile-time values are no reason to complain.
  CHECK(Elaborated("fn f(x: f32[T], n: int) -> f32[T] { for i in range(n) { x = x + i }\n x }\n"
                   "model M { entry e(x: f32[B]) -> f32[B] { x } }")
            .model.has_value());
}

TEST_CASE("one mistake gives one report") {
  CHECK(elaborateEntry("(x: f32[B]) -> f32[B]", "let y = nothing\nlet z = y + 1\nlet w = f(z)\nw",
                       "fn f(x: f32[B]) -> f32[B] { x }")
            .engine.diagnostics()
            .size() == 1);
  CHECK(elaborateEntry("(x: f32[B]) -> f32[B]", "let y = nothing\nlet z = other\nx").engine.diagnostics().size() == 2);
}

TEST_CASE("elaboration stays within its limits") {
  CHECK(elaborateEntry("(x: f32[B]) -> f32[B]", "for i in range(9999) { for j in range(9999) { x = x + 1 } }\nx")
            .error() == "too-large");
  CHECK(elaborateEntry("(x: f32[B]) -> f32[B]", "let a = [1; 10000]\nlet b = [a; 10000]\nlet c = [b; 10000]\nx")
            .error() == "too-large");
  CHECK(elaborateEntry("(x: f32[A, B, C]) -> f32[A, B, C]", "let n = (A + B + C + 1) ^ 40\nlet m = n * n\nx").error() ==
        "too-large");
  std::string chain = "fn f0(x: f32[B]) -> f32[B] { x }\n";
  for (int i = 1; i < 300; ++i)
    chain += "fn f" + std::to_string(i) + "(x: f32[B]) -> f32[B] { f" + std::to_string(i - 1) + "(x) }\n";
  CHECK(elaborateEntry("(x: f32[B]) -> f32[B]", "f299(x)", chain).error() == "too-deep");
}

TEST_CASE("the examples and the library are accepted as they are") {
  for (const char *path : {"examples/minilm/minilm.fov", "examples/first_steps/first_steps.fov",
                           "examples/encoder_decoder/encoder_decoder.fov", "compiler/library/nn.fov"}) {
    source::SourceManager sources;
    source::DiagnosticEngine engine(sources);
    std::optional<source::FileId> file = sources.load(std::string(FOVEA_SOURCE_DIR "/") + path);
    REQUIRE(file.has_value());
    CHECK(sema::check(sources, *file, {}, engine));
    INFO(engine.render());
    CHECK(engine.diagnostics().empty());
  }
}

TEST_CASE("abs of an integer argument stays an integer") {
  Elaborated e = elaborateEntry("(x: i64[4], n: i64) -> i64[4]", "x // (abs(n) + 1)");
  GOOD(e);
  CHECK(e.entry().values[e.entry().results[0].value].type.dtype == sema::DType::I64);
}
