// A typed model built by hand, imported: text, roles, places; and what a broken typed model gives.
#include "compiler/import/Import.h"
#include "dialects/graph/GraphDialect.h"

#include <doctest/doctest.h>

using namespace fovea;
using sema::DType;

namespace {

/// A function under construction.
struct Sketch {
  sema::Function f;
  sema::ValueId value(std::vector<DimExpr> dims, DType dtype = DType::F32) {
    f.values.push_back({{std::move(dims), dtype}, {}});
    return sema::ValueId(f.values.size() - 1);
  }
  sema::ValueId argument(std::string name, sema::ArgumentKind kind, std::vector<DimExpr> dims,
                         DType dtype = DType::F32) {
    sema::ValueId v = value(std::move(dims), dtype);
    f.arguments.push_back({kind, std::move(name), v, {}});
    return v;
  }
  sema::Op &op(std::string name, std::vector<sema::ValueId> operands, sema::ValueId result) {
    sema::Op &o = f.ops.emplace_back();
    o.name = std::move(name);
    o.operands = std::move(operands);
    o.results = {result};
    return o;
  }
};

struct Fixture {
  mlir::MLIRContext context;
  source::SourceManager sources;
  std::string message;
  DimExpr B = DimExpr::symbol("B"), T = DimExpr::symbol("T");
  Fixture() {
    context.getDiagEngine().registerHandler([this](mlir::Diagnostic &d) { message += d.str() + "\n"; });
  }
  std::string text(const sema::Model &model) {
    mlir::OwningOpRef<mlir::ModuleOp> module = importModel(model, sources, context);
    std::string out;
    llvm::raw_string_ostream os(out);
    if (module)
      module->print(os, mlir::OpPrintingFlags().enableDebugInfo(true, true));
    return out;
  }
  bool has(const std::string &text, const char *part) {
    bool found = text.find(part) != std::string::npos;
    if (!found)
      MESSAGE(text);
    return found;
  }

  /// layer(x, w) = x w^T; the entry calls it on [B, T+1, 4].
  sema::Model model() {
    sema::Model m;
    m.name = "Tiny";
    Sketch layer;
    layer.f.name = "Layer.forward";
    layer.f.isLayer = true;
    layer.f.symbols = {"B", "T"};
    auto x = layer.argument("x", sema::ArgumentKind::Input, {B, T, 4});
    auto w = layer.argument("weight", sema::ArgumentKind::Param, {8, 4});
    auto y = layer.value({B, T, 8});
    layer.op("contract", {x, w}, y).attributes = {{"lhs", std::vector<int64_t>{0, 1, 2}},
                                                  {"rhs", std::vector<int64_t>{3, 2}},
                                                  {"out", std::vector<int64_t>{0, 1, 3}}};
    layer.f.ops.back().path = "up";
    layer.f.results = {{"", y, -1}};
    m.functions.push_back(layer.f);

    Sketch entry;
    source::FileId file = sources.add("tiny.fov", "model Tiny\n  entry run\n");
    entry.f.name = "run";
    entry.f.doc = "Runs.";
    entry.f.isEntry = true;
    entry.f.symbols = {"B", "T", "past"};
    auto a = entry.argument("x", sema::ArgumentKind::Input, {B, T + 1, 4});
    auto p = entry.argument("past", sema::ArgumentKind::Input, {}, DType::I64);
    auto v = entry.argument("layers.0.weight", sema::ArgumentKind::Param, {8, 4});
    auto s = entry.argument("cache", sema::ArgumentKind::State, {B, T + 1, 8});
    (void)p;
    (void)s;
    entry.f.scalarSymbols = {{"past", 1}};
    auto r = entry.value({B, T + 1, 8});
    sema::Op &call = entry.op("call", {a, v}, r);
    call.callee = 0;
    call.substitution = {{"T", T + 1}, {"B", B}};
    call.path = "layers.0";
    call.span = {file, 13, 18};
    auto c = entry.value({});
    entry.op("constant", {}, c).attributes = {{"value", 2.5}};
    auto wide = entry.value({B, T + 1, 8});
    entry.op("broadcast", {c}, wide).attributes = {{"axes", std::vector<int64_t>{}}};
    auto z = entry.value({B, T + 1, 8});
    entry.op("mul", {r, wide}, z);
    auto slice = entry.value({B, 1, 8});
    entry.op("slice", {z}, slice).attributes = {{"axis", int64_t(1)}, {"start", T}};
    auto small = entry.value({B, T + 1, 8}, DType::Bool);
    entry.op("compare", {z, wide}, small).attributes = {{"predicate", std::string("lt")}};
    entry.f.requirements = {{T, sema::Relation::LE, DimExpr(512), "T <= 512", {file, 13, 18}}};
    entry.f.results = {{"y", z, -1}, {"last", slice, -1}, {"below", small, -1}, {"cache", r, 3}};
    m.functions.push_back(entry.f);
    m.params = {{"layers.0.weight", {{8, 4}, DType::F32}, {"normal", {0.0, 0.02}}, {}, {}}};
    m.states = {{"cache", {{B, T + 1, 8}, DType::F32}, 0, {}, {}},
                {"seed", {{}, DType::I64}, 0, {"uniform", {0, 8}}, {}}};
    return m;
  }
};

} // namespace

TEST_CASE_FIXTURE(Fixture, "a model with a layer, a param, a state and a scalar symbol") {
  std::string out = text(model());
  REQUIRE_MESSAGE(!out.empty(), message);
  CHECK(has(out, "graph.model = \"Tiny\""));
  CHECK(has(out, "initializer = \"normal\""));
  CHECK(has(out, "{initial = 0.000000e+00 : f64, name = \"cache\""));
  CHECK(has(out, "{args = array<f64: 0.000000e+00, 8.000000e+00>, initializer = \"uniform\", name = \"seed\""));
  CHECK(has(out, "graph.func private @Layer.forward<[B, T]>"));
  CHECK(has(out, "[0, 1, 2], %arg1 [3, 2] -> [0, 1, 3]"));
  CHECK(has(out, "\"up\""));
  CHECK(has(out, "graph.func @run<[B, T, past]>"));
  CHECK(has(out, "{graph.input = \"past\", graph.scalar_symbol = \"past\"}"));
  CHECK(has(out, "graph.call @Layer.forward [B, T+1](%arg0, %arg2) {path = \"layers.0\"}"));
  CHECK(has(out, "= \"layers.0\"(#loc"));
  CHECK(has(out, "= tiny.fov:2:3"));
  CHECK(has(out, "graph.constant 2.500000e+00 : f32"));
  CHECK(has(out, "start = #graph.dim<T>"));
  CHECK(has(out, "#graph.require<T, \"le\", 512, \"T <= 512\", \"tiny.fov:2:3\">"));
  CHECK(has(out, "{graph.state = \"cache\"}"));
  CHECK(has(out, "doc = \"Runs.\""));
}

TEST_CASE_FIXTURE(Fixture, "constants are typed by their result") {
  for (auto [dtype, expected] : {std::pair(DType::F32, "3.000000e+00 : f32"),
                                 {DType::BF16, "3.000000e+00 : bf16"},
                                 {DType::I32, "3 : i32"},
                                 {DType::Bool, "true"}}) {
    sema::Model m;
    Sketch s;
    s.f.name = "f";
    auto c = s.value({}, dtype);
    s.op("constant", {}, c).attributes = {{"value", int64_t(3)}};
    s.f.results = {{"", c, -1}};
    m.functions.push_back(s.f);
    CHECK(has(text(m), expected));
  }
}

TEST_CASE_FIXTURE(Fixture, "a typed model that breaks its contract is an error, not a crash") {
  sema::Model m = model();
  SUBCASE("unknown op") {
    m.functions[0].ops[0].name = "frobnicate";
    CHECK(text(m).empty());
    CHECK(message.find("'frobnicate' is not an op") != std::string::npos);
  }
  SUBCASE("a value that nobody computes") {
    m.functions[1].ops.erase(m.functions[1].ops.begin());
    CHECK(text(m).empty());
    CHECK(message.find("before it is computed") != std::string::npos);
  }
  SUBCASE("a type that does not follow") {
    m.functions[1].values[m.functions[1].ops[0].results[0]].type.dims[0] = T;
    CHECK(text(m).empty());
    CHECK(message.find("'graph.mul'") != std::string::npos);
  }
  SUBCASE("a missing attribute") {
    m.functions[0].ops[0].attributes.pop_back();
    CHECK(text(m).empty());
    CHECK(message.find("out_labels") != std::string::npos);
  }
  SUBCASE("a call without a size") {
    m.functions[1].ops[0].substitution.pop_back();
    CHECK(text(m).empty());
    CHECK(message.find("gives no size for 'B'") != std::string::npos);
  }
}
