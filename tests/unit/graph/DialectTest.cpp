// The dialect's text in and out, the elementwise table against itself.
#include "dialects/graph/GraphDialect.h"

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Parser/Parser.h"

#include <doctest/doctest.h>

using namespace mlir;
using namespace fovea;

namespace {
struct Fixture {
  MLIRContext context;
  std::string message;
  Fixture() {
    DialectRegistry registry;
    graph::registerDialect(registry);
    context.appendDialectRegistry(registry);
    context.loadAllAvailableDialects();
    context.getDiagEngine().registerHandler([this](Diagnostic &d) { message += d.str() + "\n"; });
  }
  OwningOpRef<ModuleOp> parse(StringRef text) { return parseSourceString<ModuleOp>(text, &context); }
};
std::string print(Operation *op) {
  std::string text;
  llvm::raw_string_ostream os(text);
  op->print(os);
  return text;
}
} // namespace

TEST_CASE_FIXTURE(Fixture, "text goes both ways") {
  OwningOpRef<ModuleOp> module = parse(R"(
    graph.func @layer<[B, T]>(%x: !graph.tensor<[B, T, 8], f32>, %w: !graph.tensor<[8, 8], f32>) -> !graph.tensor<[B, T, 8], f32>
        attributes {layer} {
      %0 = graph.contract %x [0, 1, 2], %w [3, 2] -> [0, 1, 3] : !graph.tensor<[B, T, 8], f32>, !graph.tensor<[8, 8], f32> -> !graph.tensor<[B, T, 8], f32>
      %1 = graph.exp %0 : !graph.tensor<[B, T, 8], f32>
      graph.return %1 : !graph.tensor<[B, T, 8], f32>
    }
    graph.func @main<[B, T]>(%x: !graph.tensor<[B, T-1+2, 8], f32> {graph.input = "x"}, %w: !graph.tensor<[8, 8], f32> {graph.param = "w"})
        -> (!graph.tensor<[B, T+1, 8], f32> {graph.output = "y"})
        attributes {entry, requirements = [#graph.require<T, "le", 512, "T <= 512", "m.fov:1:2">]} {
      %0 = graph.call @layer[B, T+1](%x, %w) {path = "l"} : (!graph.tensor<[B, T+1, 8], f32>, !graph.tensor<[8, 8], f32>) -> !graph.tensor<[B, T+1, 8], f32>
      %s = graph.dim <floordiv(T, 16)*B> : !graph.tensor<[], i64>
      %c = graph.constant 1.0 : f32 : !graph.tensor<[], f32>
      graph.return %0 : !graph.tensor<[B, T+1, 8], f32>
    }
  )");
  REQUIRE_MESSAGE(module, message);
  std::string once = print(*module);
  OwningOpRef<ModuleOp> again = parse(once);
  REQUIRE_MESSAGE(again, message);
  CHECK(print(*again) == once);
}
