// Entries: symbols, roles, preconditions, calls, groups, errors.
#include "Harness.h"

using namespace fovea::interpret;

static TensorRef ref(HostTensor t) { return std::make_shared<HostTensor>(std::move(t)); }

static const char *callText = R"(
  graph.func private @layer<[N]>(%x: <<N:f32>> {graph.input = "x"}, %w: <<N:f32>> {graph.param = "w"}) -> <<N:f32>>
      attributes {layer, requirements = [#graph.require<N, "le", 4, "N <= positions", "m.fov:3:5">]} {
    %y = graph.mul %x, %w : <<N:f32>>
    graph.return %y : <<N:f32>>
  }
  graph.func @main<[T]>(%x: <<2*T+1:f32>> {graph.input = "x"}, %w: <<2*T+1:f32>> {graph.param = "w"}, %s: <<:f32>> {graph.state = "count"})
      -> (<<2*T+1:f32>> {graph.output = "y"}, <<:i64>> {graph.output = "T"}, <<:f32>> {graph.state = "count"})
      attributes {entry} {
    %y = graph.call @layer[2*T+1](%x, %w) : (<<2*T+1:f32>>, <<2*T+1:f32>>) -> <<2*T+1:f32>>
    %t = graph.dim <T> : <<:i64>>
    %one = graph.constant 1.0 : f32 : <<:f32>>
    %next = graph.add %s, %one : <<:f32>>
    graph.return %y, %t, %next : <<2*T+1:f32>>, <<:i64>>, <<:f32>>
  })";

TEST_CASE_FIXTURE(Harness, "a symbol is solved for, a call carries it, a state goes round") {
  Arguments a;
  a.inputs["x"] = ref(reals({3}, {1, 2, 3}));
  a.params["w"] = ref(reals({3}, {10, 20, 30}));
  a.params["unused"] = ref(reals({1}, {0}));
  a.states["count"] = ref(reals({}, {41}));
  Results r = run(callText, a);
  REQUIRE_MESSAGE(error.empty(), error);
  CHECK(same(r.outputs["y"]->reals, {10, 40, 90}));
  CHECK(r.outputs["T"]->ints == std::vector<int64_t>{1});
  CHECK(same(r.states["count"]->reals, {42}));
}

TEST_CASE_FIXTURE(Harness, "what does not fit is said") {
  Arguments a;
  a.inputs["x"] = ref(reals({3}, {1, 2, 3}));
  a.params["w"] = ref(reals({3}, {10, 20, 30}));
  a.states["count"] = ref(reals({}, {41}));
  auto says = [&](const char *expected) {
    run(callText, a);
    bool found = error.find(expected) != std::string::npos;
    if (!found)
      MESSAGE(error);
    return found;
  };
  SUBCASE("missing") {
    a.params.clear();
    CHECK(says("no tensor is given for `w`"));
  }
  SUBCASE("rank") {
    a.inputs["x"] = ref(reals({3, 1}, {1, 2, 3}));
    CHECK(says("`x` has rank 2, the model expects rank 1"));
  }
  SUBCASE("element type") {
    a.inputs["x"] = ref(ints({3}, {1, 2, 3}));
    CHECK(says("`x` has another element type"));
  }
  SUBCASE("two sizes for one symbol") {
    a.params["w"] = ref(reals({5}, {1, 2, 3, 4, 5}));
    CHECK(says("axis 0 is 5, the model expects 2*T+1 = 3"));
  }
  SUBCASE("no whole solution") {
    a.inputs["x"] = ref(reals({4}, {1, 2, 3, 4}));
    a.params["w"] = ref(reals({4}, {1, 2, 3, 4}));
    CHECK(says("axis 0 is 4, the model expects 2*T+1 = 3"));
  }
  SUBCASE("a negative solution") {
    a.inputs["x"] = ref(reals({0}, {}));
    a.params["w"] = ref(reals({0}, {}));
    CHECK(says("`T` is -1, which is negative"));
  }
  SUBCASE("a precondition of a layer") {
    a.inputs["x"] = ref(reals({5}, {1, 2, 3, 4, 5}));
    a.params["w"] = ref(reals({5}, {1, 2, 3, 4, 5}));
    CHECK(says("m.fov:3:5: requires N <= positions, but N is 5 and 4 is 4"));
  }
  SUBCASE("fewer elements than the shape") {
    a.inputs["x"] = ref(reals({3}, {1, 2}));
    CHECK(says("`x` has fewer or more elements than its shape"));
  }
}

TEST_CASE_FIXTURE(Harness, "a scalar input is a size") {
  const char *text = R"(
    graph.func @main<[past]>(%p: <<:i64>> {graph.input = "past", graph.scalar_symbol = "past"}) -> (<<past+1:i64>> {graph.output = "y"})
        attributes {entry} {
      %i = graph.iota : <<past+1:i64>>
      graph.return %i : <<past+1:i64>>
    })";
  Arguments a;
  a.inputs["past"] = ref(ints({}, {2}));
  CHECK(run(text, a).outputs["y"]->ints == std::vector<int64_t>{0, 1, 2});
  a.inputs["past"] = ref(ints({}, {-2}));
  run(text, a);
  CHECK(error.find("`past` is -2, which is negative") != std::string::npos);
  a.inputs["past"] = ref(ints({}, {INT64_MAX}));
  run(text, a);
  CHECK_FALSE(error.empty());
  a.inputs["past"] = ref(ints({}, {int64_t(1) << 40}));
  run(text, a);
  CHECK(error.find("too many elements") != std::string::npos);
}

TEST_CASE_FIXTURE(Harness, "an unknown entry") {
  auto module = mlir::parseSourceString<mlir::ModuleOp>("module {}", &context);
  llvm::Expected<Results> r = Interpreter(*module).run("missing", {});
  REQUIRE_FALSE(bool(r));
  CHECK(llvm::toString(r.takeError()) == "the model has no entry `missing`");
}

TEST_CASE_FIXTURE(Harness, "a group means what its ops mean") {
  auto y = compute(R"(
    %y = graph.group "map"(%a) {
    ^bb0(%x: <<2:f32>>):
      %0 = graph.mul %x, %x : <<2:f32>>
      %1 = graph.add %0, %x : <<2:f32>>
      graph.yield %1 : <<2:f32>>
    } : (<<2:f32>>) -> <<2:f32>>)",
                   "<<2:f32>>", {{"<<2:f32>>", reals({2}, {2, 3})}});
  CHECK(same(y->reals, {6, 12}));
}

TEST_CASE_FIXTURE(Harness, "errors carry their place in the model") {
  compute("%y = graph.gather %a at %b [0] : <<2:f32>>, <<1:i64>> -> <<1:f32>> "
          "loc(\"layer.look\"(\"m.fov\":12:7))",
          "<<1:f32>>", {{"<<2:f32>>", reals({2}, {1, 2})}, {"<<1:i64>>", ints({1}, {2})}});
  CHECK(error == "m.fov:12:7: index 2 (number 0) is outside [0, 2)");
}
