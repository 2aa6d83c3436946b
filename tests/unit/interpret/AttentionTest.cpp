// Attention in plain ops and as one op, by the numerical contract.
#include "Harness.h"

using namespace fovea::interpret;

namespace {

/// softmax(a, axis 1) as the library writes it, times b: scores [1, 3], values [3, 1].
const char *plainSoftmaxTimes = R"(
  %ninf = graph.constant 0xFF800000 : f32 : <<:f32>>
  %zero = graph.constant 0.0 : f32 : <<:f32>>
  %m = graph.reduce "max" %a [1] : <<1,3:f32>> -> <<1:f32>>
  %n1 = graph.broadcast %ninf [] : <<:f32>> -> <<1:f32>>
  %z1 = graph.broadcast %zero [] : <<:f32>> -> <<1:f32>>
  %hidden = graph.compare "eq" %m, %n1 : <<1:f32>> -> <<1:i1>>
  %m0 = graph.select %hidden, %z1, %m : <<1:i1>>, <<1:f32>>
  %mw = graph.broadcast %m0 [0] : <<1:f32>> -> <<1,3:f32>>
  %c = graph.sub %a, %mw : <<1,3:f32>>
  %e = graph.exp %c : <<1,3:f32>>
  %s = graph.reduce "sum" %e [1] : <<1,3:f32>> -> <<1:f32>>
  %none = graph.compare "eq" %s, %z1 : <<1:f32>> -> <<1:i1>>
  %nw = graph.broadcast %none [0] : <<1:i1>> -> <<1,3:i1>>
  %sw = graph.broadcast %s [0] : <<1:f32>> -> <<1,3:f32>>
  %q = graph.div %e, %sw : <<1,3:f32>>
  %zw = graph.broadcast %zero [] : <<:f32>> -> <<1,3:f32>>
  %w = graph.select %nw, %zw, %q : <<1,3:i1>>, <<1,3:f32>>
  %y = graph.contract %w [0, 1], %b [1, 2] -> [0, 2] : <<1,3:f32>>, <<3,1:f32>> -> <<1,1:f32>>
)";

const char *fusedSoftmaxTimes = R"(
  %w = graph.softmax %a {axis = 1 : i64} : <<1,3:f32>>
  %y = graph.contract %w [0, 1], %b [1, 2] -> [0, 2] : <<1,3:f32>>, <<3,1:f32>> -> <<1,1:f32>>
)";

/// The same with a as the only captured bias of a zero product.
const char *attentionWithBias = R"(
  %zero = graph.constant 0.0 : f32 : <<:f32>>
  %q = graph.broadcast %zero [] : <<:f32>> -> <<1,1:f32>>
  %k = graph.broadcast %zero [] : <<:f32>> -> <<3,1:f32>>
  %y = graph.attention q(%q) k(%k) v(%b) captures(%a) score {
  ^bb0(%s: f32, %t: index, %j: index):
    %bias = graph.at %a[%t, %j] : <<1,3:f32>> -> f32
    %r = arith.addf %s, %bias : f32
    graph.yield %r : f32
  } mask {} : (<<1,1:f32>>, <<3,1:f32>>, <<3,1:f32>>, <<1,3:f32>>) -> <<1,1:f32>>
)";

} // namespace

TEST_CASE_FIXTURE(Harness, "softmax times values: three spellings, one meaning") {
  for (const char *body : {plainSoftmaxTimes, fusedSoftmaxTimes, attentionWithBias}) {
    auto run = [&](std::vector<double> scores, std::vector<double> values) {
      return compute(body, "<<1,1:f32>>",
                     {{"<<1,3:f32>>", reals({1, 3}, scores)}, {"<<3,1:f32>>", reals({3, 1}, values)}})
          ->reals;
    };
    CHECK(same(run({0, 0, 0}, {1, 2, 6}), {3}));
    CHECK(same(run({5, 5, -infinity}, {1, 3, 1000}), {2}));
    // A hidden key contributes nothing, NaN and infinity included.
    CHECK(same(run({5, 5, -infinity}, {1, 3, NaN}), {2}));
    CHECK(same(run({5, 5, -infinity}, {1, 3, infinity}), {2}));
    // Nobody is visible: 0, whatever the values.
    CHECK(same(run({-infinity, -infinity, -infinity}, {1, NaN, infinity}), {0}));
    // A finite large negative score is a visible key, and its NaN counts.
    CHECK(same(run({0, 0, -1e30}, {1, 3, 7}), {2}));
    CHECK(same(run({0, 0, -1e30}, {1, 3, NaN}), {NaN}));
    // NaN in a visible score or value gives NaN.
    CHECK(same(run({0, NaN, 0}, {1, 2, 3}), {NaN}));
    CHECK(same(run({0, 0, 0}, {1, NaN, 3}), {NaN}));
    // Shift invariance.
    CHECK(same(run({100, 101, 102}, {1, 2, 3}), run({0, 1, 2}, {1, 2, 3})));
    // Scores so large that their exponentials would overflow.
    CHECK(same(run({1000, 1000, 0}, {1, 2, 9}), {1.5}));
  }
}

TEST_CASE_FIXTURE(Harness, "causal attention with a query offset, and its log-sum-exp") {
  // q·k is 0 everywhere, so that every visible key has the same weight. T = 2, S = 3: row t sees keys 0 .. t + 1.
  Arguments arguments;
  arguments.inputs["q"] = std::make_shared<HostTensor>(reals({1, 2, 1}, {0, 0}));
  arguments.inputs["k"] = std::make_shared<HostTensor>(reals({1, 3, 1}, {1, 2, 3}));
  arguments.inputs["v"] = std::make_shared<HostTensor>(reals({1, 3, 2}, {1, 10, 3, 30, NaN, 50}));
  Results r = run(R"(
    graph.func @main<[B, T, S]>(%q: <<B,T,1:f32>> {graph.input = "q"}, %k: <<B,S,1:f32>> {graph.input = "k"}, %v: <<B,S,2:f32>> {graph.input = "v"})
        -> (<<B,T,2:f32>> {graph.output = "y"}, <<B,T:f32>> {graph.output = "lse"}) {
      %y, %lse = graph.attention q(%q) k(%k) v(%v) score {
      ^bb0(%s: f32, %b: index, %t: index, %j: index):
        graph.yield %s : f32
      } mask {
      ^bb0(%b: index, %t: index, %j: index):
        %offset = graph.size <S-T>
        %last = arith.addi %t, %offset : index
        %seen = arith.cmpi sle, %j, %last : index
        graph.yield %seen : i1
      } : (<<B,T,1:f32>>, <<B,S,1:f32>>, <<B,S,2:f32>>) -> (<<B,T,2:f32>>, <<B,T:f32>>)
      graph.return %y, %lse : <<B,T,2:f32>>, <<B,T:f32>>
    })",
                  arguments);
  REQUIRE_MESSAGE(error.empty(), error);
  CHECK(same(r.outputs["y"]->reals, {2, 20, NaN, 30}));
  CHECK(same(r.outputs["lse"]->reals, {std::log(2.0), std::log(3.0)}));
}

TEST_CASE_FIXTURE(Harness, "a sink takes a share of the weight, alone gives 0") {
  auto run = [&](double sink, std::vector<double> k) {
    return compute(R"(
      %y = graph.attention q(%a) k(%b) v(%b) sinks(%c) score {
      ^bb0(%s: f32, %h: index, %t: index, %j: index):
        graph.yield %s : f32
      } mask {} : (<<1,1,1:f32>>, <<1,2,1:f32>>, <<1,2,1:f32>>, <<1:f32>>) -> <<1,1,1:f32>>)",
                   "<<1,1,1:f32>>",
                   {{"<<1,1,1:f32>>", reals({1, 1, 1}, {0})},
                    {"<<1,2,1:f32>>", reals({1, 2, 1}, k)},
                    {"<<1:f32>>", reals({1}, {sink})}})
        ->reals;
  };
  CHECK(same(run(0, {3, 6}), {3}));
  CHECK(same(run(-infinity, {3, 6}), {4.5}));
  CHECK(same(run(1e9, {3, 6}), {0}));
}

TEST_CASE_FIXTURE(Harness, "pointwise normaliser: the score region's result is the weight") {
  auto y = compute(R"(
    %y = graph.attention q(%a) k(%b) v(%b) score {
    ^bb0(%s: f32, %t: index, %j: index):
      %zero = arith.constant 0.0 : f32
      %r = arith.maximumf %s, %zero : f32
      graph.yield %r : f32
    } mask {
    ^bb0(%t: index, %j: index):
      %two = arith.constant 2 : index
      %m = arith.cmpi ult, %j, %two : index
      graph.yield %m : i1
    } {normalizer = "pointwise"} : (<<1,1:f32>>, <<3,1:f32>>, <<3,1:f32>>) -> <<1,1:f32>>)",
                   "<<1,1:f32>>", {{"<<1,1:f32>>", reals({1, 1}, {2})}, {"<<3,1:f32>>", reals({3, 1}, {3, -5, NaN})}});
  CHECK(same(y->reals, {18}));
}

TEST_CASE_FIXTURE(Harness, "keys and values are the rows that a table names") {
  auto run = [&](std::vector<int64_t> rows) {
    return compute(R"(
      %y = graph.attention q(%a) k(%b) v(%b) key_rows(%c) value_rows(%c) score {
      ^bb0(%s: f32, %t: index, %j: index):
        graph.yield %s : f32
      } mask {} : (<<1,1:f32>>, <<3,1:f32>>, <<3,1:f32>>, <<2:i64>>, <<2:i64>>) -> <<1,1:f32>>)",
                   "<<1,1:f32>>",
                   {{"<<1,1:f32>>", reals({1, 1}, {0})},
                    {"<<3,1:f32>>", reals({3, 1}, {3, 50, 6})},
                    {"<<2:i64>>", ints({2}, rows)}});
  };
  CHECK(same(run({2, 0})->reals, {4.5}));
  CHECK(same(run({1, 1})->reals, {50}));
  run({0, 3});
  CHECK(error.find("row 3 is outside [0, 3)") != std::string::npos);
}

TEST_CASE_FIXTURE(Harness, "keys and values lie in pieces, cut at different places") {
  auto y = compute(R"(
    %y = graph.attention q(%a) k(%b, %c) v(%c, %b) score {
    ^bb0(%s: f32, %t: index, %j: index):
      graph.yield %s : f32
    } mask {} {normalizer = "pointwise"} : (<<1,1:f32>>, <<2,1:f32>>, <<1,1:f32>>, <<1,1:f32>>, <<2,1:f32>>) -> <<1,1:f32>>)",
                   "<<1,1:f32>>",
                   {{"<<1,1:f32>>", reals({1, 1}, {2})},
                    {"<<2,1:f32>>", reals({2, 1}, {3, 5})},
                    {"<<1,1:f32>>", reals({1, 1}, {7})}});
  CHECK(same(y->reals, {2 * (3 * 7 + 5 * 3 + 7 * 5)}));
}

TEST_CASE_FIXTURE(Harness, "a table names rows of the first piece") {
  auto y = compute(R"(
    %y = graph.attention q(%a) k(%b, %c) v(%b, %c) key_rows(%d) value_rows(%d) score {
    ^bb0(%s: f32, %t: index, %j: index):
      graph.yield %s : f32
    } mask {} {normalizer = "pointwise"} : (<<1,1:f32>>, <<3,1:f32>>, <<1,1:f32>>, <<3,1:f32>>, <<1,1:f32>>, <<2:i64>>, <<2:i64>>) -> <<1,1:f32>>)",
                   "<<1,1:f32>>",
                   {{"<<1,1:f32>>", reals({1, 1}, {2})},
                    {"<<3,1:f32>>", reals({3, 1}, {3, 100, 5})},
                    {"<<1,1:f32>>", reals({1, 1}, {7})},
                    {"<<2:i64>>", ints({2}, {2, 0})}});
  CHECK(same(y->reals, {2 * (5 * 5 + 3 * 3 + 7 * 7)}));
}

TEST_CASE_FIXTURE(Harness, "a read outside a capture is an error") {
  compute(R"(
    %y = graph.attention q(%a) k(%b) v(%b) captures(%b) score {
    ^bb0(%s: f32, %t: index, %j: index):
      %two = arith.constant 2 : index
      %i = arith.addi %j, %two : index
      %x = graph.at %b[%i, %t] : <<3,1:f32>> -> f32
      graph.yield %x : f32
    } mask {} : (<<1,1:f32>>, <<3,1:f32>>, <<3,1:f32>>, <<3,1:f32>>) -> <<1,1:f32>>)",
          "<<1,1:f32>>", {{"<<1,1:f32>>", reals({1, 1}, {2})}, {"<<3,1:f32>>", reals({3, 1}, {3, -5, 1})}});
  CHECK(error.find("index 3 is outside [0, 3)") != std::string::npos);
}
