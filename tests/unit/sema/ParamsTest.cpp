// `params`: what the tree holds, what writing a leaf does, how states are named, and what written params become.
#include "tests/unit/sema/Elaborated.h"

#include <algorithm>

using namespace fovea;

namespace {

constexpr const char *network = "module Network(n: int) {\n  up: Linear(n, n)\n  layers: [Linear(n, n); 2]\n"
                                "  fn forward(x: f32[B, n]) -> f32[B, n] {\n    x = up(x)\n"
                                "    for l in layers { x = l(x) }\n    x\n  }\n}\n";

} // namespace

TEST_CASE("a step writes every param once, and its states have the params' names") {
  Elaborated e(
      std::string(network) +
      "fn descend(params, grads, rate: f32) {\n  state step: i64 = 0\n  step = step + 1\n"
      "  for p, g in zip(params, grads) {\n    state m: like(p) = 0\n    m = 0.9 * m + g\n    p = p - rate * m\n"
      "  }\n}\n"
      "model M {\n  net: Network(4)\n  tie net.layers[1].weight = net.up.weight\n"
      "  entry predict(x: f32[B, 4]) -> f32[B, 4] { net(x) }\n"
      "  entry step(x: f32[B, 4]) -> f32 {\n    let loss = mean(net(x) ^ 2)\n"
      "    descend(params, grad(loss, params), 0.1)\n    loss\n  }\n}\n");
  GOOD(e);
  std::string all = "net.up.weight net.up.bias net.layers.0.weight net.layers.0.bias net.layers.1.bias";
  CHECK(e.written() == all);
  CHECK(e.states() == "descend.step descend.m.net.up.weight descend.m.net.up.bias descend.m.net.layers.0.weight "
                      "descend.m.net.layers.0.bias descend.m.net.layers.1.bias");
  CHECK(e.arguments("M.step", sema::ArgumentKind::Param) == "");
  CHECK(e.arguments("M.predict", sema::ArgumentKind::Param) == "");
  CHECK(e.arguments("M.predict", sema::ArgumentKind::State) == all);
  CHECK(e.function("M.predict").results.size() == 1); // it reads them only
  CHECK(e.function("M.step").results.size() == 1 + 5 + 6);
  CHECK(e.arguments("Linear.forward", sema::ArgumentKind::Param) == "");
}

TEST_CASE("a second call has states of its own, with a number") {
  Elaborated e("fn shrink(params) { for p in params {\n state seen: like(p) = 0\n seen = seen + p\n p = p - seen } }\n"
               "model M {\n  a: Linear(2, 2)\n  entry step(x: f32[B, 2]) -> f32[B, 2] {\n"
               "    shrink(params)\n    shrink(a.params)\n    a(x)\n  }\n}\n");
  GOOD(e);
  CHECK(e.states() == "shrink.seen.a.weight shrink.seen.a.bias shrink#2.seen.a.weight shrink#2.seen.a.bias");
}

TEST_CASE("so has a call in another entry") {
  Elaborated e("fn count() -> i64 {\n  state n: i64 = 0\n  n = n + 1\n  n\n}\n"
               "model M {\n  entry a() -> i64 { count() + count() }\n  entry b() -> i64 { count() }\n"
               "  entry c() -> i64 {\n    state count: i64 = 0\n    count = count + 1\n    count\n  }\n}\n");
  GOOD(e);
  CHECK(e.states() == "count.n count#2.n count#3.n count#4");
  CHECK(e.arguments("M.b", sema::ArgumentKind::State) == "count#3.n");
}

TEST_CASE("params that no entry writes stay as they are, in functions that both kinds go through as well") {
  Elaborated e(std::string(network) + "model M {\n  net: Network(4)\n  entry step(x: f32[B, 4]) -> f32[B, 4] {\n"
                                      "    for p in net.layers[0].params { p = p * 0.5 }\n    net(x)\n  }\n}\n");
  GOOD(e);
  CHECK(e.written() == "net.layers.0.weight net.layers.0.bias");
  CHECK(e.arguments("M.step", sema::ArgumentKind::Param) ==
        "net.up.weight net.up.bias net.layers.1.weight net.layers.1.bias");
  std::string kinds;
  for (const sema::Op &op : e.function("Network.forward").ops) {
    REQUIRE(op.name == "call");
    bool takesStates = false;
    for (const sema::Argument &a : e.model->functions[op.callee].arguments)
      takesStates = takesStates || a.kind == sema::ArgumentKind::State;
    kinds += takesStates ? "state " : "param ";
  }
  CHECK(kinds == "param state param ");
}

TEST_CASE("leaves have paths and ranks, and chosen ones make trees") {
  Elaborated e("fn chosen(params) {\n  let out = []\n  for p in params {\n"
               "    if rank(p) >= 2 and not starts_with(p.path, \"b.\") { out = out + [p] }\n  }\n  out\n}\n"
               "model M {\n  a: Linear(2, 3)\n  b: Linear(3, 2)\n  entry step(x: f32[B, 2]) -> f32[B, 2] {\n"
               "    for p in chosen(params) { p = 0 * p }\n    b(a(x))\n  }\n}\n");
  GOOD(e);
  CHECK(e.written() == "a.weight");
  Elaborated renamed("model M as \"net\" {\n  a: Linear(2, 2) as \"first\"\n  entry step(x: f32[B, 2]) -> f32[B, 2] {\n"
                     "    for p in params { if p.path == \"first.bias\" { p = p + 1 } }\n    a(x)\n  }\n}\n");
  GOOD(renamed);
  CHECK(renamed.written() == "net.first.bias");
}

TEST_CASE("reads see the write; a name that `let` binds, and a parameter with a type, have the value") {
  Elaborated e(
      "fn doubled(x: f32[N]) -> f32[N] {\n  x = x * 2\n  x\n}\n"
      "model M {\n  param w: f32[3]\n  entry e() -> (old: f32[3], new: f32[3], twice: f32[3]) {\n"
      "    let old = w\n    for p in params {\n      let kept = p\n      kept = kept + 1\n      p = p * 3\n    }\n"
      "    let twice = doubled(params[0])\n    old = old + 0\n    (old = old, new = w, twice = twice)\n  }\n}\n");
  GOOD(e);
  const sema::Function &f = e.function("M.e");
  auto maker = [&](sema::ValueId id) {
    for (const sema::Op &op : f.ops)
      if (!op.results.empty() && op.results[0] == id)
        return op.name;
    return std::string("argument");
  };
  REQUIRE(f.results.size() == 4);
  CHECK(maker(f.results[1].value) == "mul");
  CHECK(f.results[3].name == "w");
  CHECK(f.results[3].value == f.results[1].value);
  Elaborated direct(
      "model M {\n  param w: f32[3]\n  entry e() -> f32[3] {\n    w = w * 2\n    w[0 : 1] = w[1 : 2]\n    w\n  }\n}\n");
  GOOD(direct);
  CHECK(direct.written() == "w");
}

TEST_CASE("a gradient has the form of the tree") {
  Elaborated e("model M {\n  a: Linear(2, 3)\n  param ids: i64[4]\n  entry e(x: f32[B, 2]) -> (w: f32[3, 2], b: "
               "f32[3], n: i64) {\n"
               "    let g = grad(mean(a(x)), params)\n    assert len(g) == len(params)\n    (w = g[0], b = g[1], n = "
               "ids[0])\n  }\n}\n");
  GOOD(e);
  CHECK(e.written() == "");
  CHECK(e.arguments("M.e", sema::ArgumentKind::Param) == "a.weight a.bias ids");
}

TEST_CASE("what can't be trained, or not so, is said") {
  auto inEntry = [](const std::string &body) {
    return Elaborated("model M {\n  param w: f32[3]\n  entry e(x: f32[3]) -> f32[3] {\n" + body + "\n x * w\n  }\n}\n")
        .error();
  };
  CHECK(inEntry("for p in params { p = p[: 2] }") == "rebind-type");
  CHECK(inEntry("for p in params { p = i64(p) }") == "rebind-type");
  CHECK(inEntry("w = x[: 2]") == "rebind-type");
  CHECK(inEntry("params = [x]") == "rebind-unknown");
  CHECK(inEntry("let y = x.path") == "unknown-member");
  CHECK(inEntry("let y = params + 1") == "bad-operand");
  CHECK(inEntry("let y = contains(1, \"a\")") == "argument-type");
  CHECK(Elaborated("model M {\n let all = params\n entry e(x: f32[3]) -> f32[3] { x }\n}\n").error() == "not-constant");
  CHECK(Elaborated("model M {\n param w: f32[3] = xavier_uniform()\n entry e(x: f32[3]) -> f32[3] { x * w }\n}\n")
            .error() == "rank-mismatch");
}

TEST_CASE("the work for a deep model is in proportion to its layers, and is no limit to them") {
  auto text = [](int depth) {
    return "import optim\nmodule Layer(dim: int) {\n  attention: MultiHeadAttention(dim, 1)\n  up: Linear(dim, dim)\n"
           "  fn forward(x: f32[B, T, dim]) -> f32[B, T, dim] { x + up(attention.causal(x)) }\n}\n"
           "model M {\n  layers: [Layer(2); " +
           std::to_string(depth) +
           "]\n"
           "  entry step(x: f32[B, T, 2]) {\n    let y = x\n    for layer in layers { y = layer(y) }\n"
           "    adamw(params, clip_by_norm(grad(sum(y * y), params), 1.0), lr = 1e-3, decays = matrices)\n  }\n}\n";
  };
  Elaborated e(text(160)); // 1,600 params
  GOOD(e);
  CHECK(e.model->params.size() == 1600);
  CHECK(e.states().size() > 1600);
}

TEST_CASE("a list that is built item by item is the list") {
  auto text = [](const std::string &claim) {
    return "model M {\n  entry e(x: f32[B]) -> f32[B] {\n    let all = []\n    let none = all\n"
           "    for i in range(4) { all = all + [10 * i, len(all)] }\n    let eight = all\n"
           "    all = all + [len(all), len(eight)]\n    for i in range(2) { all = all + all }\n    assert " +
           claim + ", \"the claim\"\n    x\n  }\n}\n";
  };
  for (const char *claim : {"len(all) == 40", "len(eight) == 8", "len(none) == 0", "all[6] == 30", "all[7] == 6", "all[9] == 8",
                            "all[39] == 8", "all[30] == 0"}) {
    Elaborated e(text(claim));
    GOOD(e);
  }
  CHECK_FALSE(Elaborated(text("len(all) == 41")).model.has_value());
}

TEST_CASE("work without an end is an error") {
  Elaborated e("model M {\n  layers: [Linear(2, 2); 3]\n  entry e(x: f32[B, 2]) -> f32[B, 2] {\n"
               "    for i in range(10000) { for j in range(10000) { x = layers[j % 3](x) } }\n    x\n  }\n}\n");
  CHECK(e.error() == "too-large");
}
