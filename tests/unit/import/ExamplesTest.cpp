// Model text through the frontend and into the dialect: every entry verifies, and the interpreter gives it numbers.
#include "compiler/import/Import.h"
#include "compiler/interpret/Interpreter.h"
#include "compiler/sema/Sema.h"
#include "dialects/graph/GraphDialect.h"

#include <doctest/doctest.h>

using namespace fovea;

TEST_CASE("model text to numbers") {
  source::SourceManager sources;
  source::DiagnosticEngine diagnostics(sources);
  source::FileId file = sources.add("tiny.fov", R"(
import nn

model Tiny() {
  entry attend(q: f32[B, T, 2], k: f32[B, S, 2], v: f32[B, S, 1]) -> f32[B, T, 1] {
    attention(q, k, v)
  }
}
)");
  std::optional<sema::Model> model = sema::elaborate(sources, file, {}, diagnostics);
  REQUIRE(model.has_value());
  mlir::MLIRContext context;
  std::string message;
  context.getDiagEngine().registerHandler([&](mlir::Diagnostic &d) { message += d.str() + "\n"; });
  mlir::OwningOpRef<mlir::ModuleOp> module = importModel(*model, sources, context);
  REQUIRE_MESSAGE(module, message);

  interpret::Arguments arguments;
  auto give = [&](const char *name, std::vector<int64_t> shape, std::vector<double> values) {
    arguments.inputs[name] = std::make_shared<interpret::HostTensor>(interpret::HostTensor::ofReals(shape, values));
  };
  give("q", {1, 1, 2}, {0, 0});
  give("k", {1, 3, 2}, {1, 2, 3, 4, 5, 6});
  give("v", {1, 3, 1}, {1, 2, 6});
  std::string entry = "attend";
  for (const sema::Function &f : model->functions)
    if (f.isEntry)
      entry = f.name;
  llvm::Expected<interpret::Results> results = interpret::Interpreter(*module).run(entry, arguments);
  REQUIRE_MESSAGE(bool(results), llvm::toString(results.takeError()));
  REQUIRE(results->outputs.size() == 1);
  CHECK(results->outputs.begin()->second->shape == std::vector<int64_t>{1, 1, 1});
  CHECK(results->outputs.begin()->second->reals[0] == doctest::Approx(3).epsilon(1e-14));
}

TEST_CASE("every model of the examples imports, with all its entries") {
  for (const char *path : {"/minilm/minilm.fov", "/first_steps/first_steps.fov", "/encoder_decoder/encoder_decoder.fov"}) {
    source::SourceManager sources;
    source::DiagnosticEngine diagnostics(sources);
    std::optional<source::FileId> file = sources.load(std::string(FOVEA_EXAMPLES) + path);
    REQUIRE(file.has_value());
    std::vector<sema::ModelSummary> models = sema::listModels(sources, *file, diagnostics);
    REQUIRE_FALSE(models.empty());
    for (const sema::ModelSummary &summary : models) {
      sema::Options options;
      options.modelName = summary.name;
      std::optional<sema::Model> model = sema::elaborate(sources, *file, options, diagnostics);
      CHECK_MESSAGE(model.has_value(), std::string(path), " ", summary.name);
      if (!model)
        continue;
      mlir::MLIRContext context;
      std::string message;
      context.getDiagEngine().registerHandler([&](mlir::Diagnostic &d) { message += d.str() + "\n"; });
      mlir::OwningOpRef<mlir::ModuleOp> module = importModel(*model, sources, context);
      CHECK_MESSAGE(bool(module), std::string(path), " ", summary.name, ": ", message);
    }
  }
}
