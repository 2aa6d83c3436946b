// The arenas of real models beside what must be there at the same time.
#include "compiler/kernels/lower/Lower.h"
#include "compiler/pipeline/Compiler.h"

#include <doctest/doctest.h>

using namespace fovea;

namespace {

struct ModelPlans {
  program::Interface interface;
  kernels::FunctionPlans functions;
};

/// The plans of a model's functions for one target, which counts by its panels alone.
ModelPlans plansOf(const char *file, const char *target) {
  pipeline::Options options;
  options.targets = {kernels::lookupTarget(target)};
  pipeline::Compiler compiler(std::move(options));
  bool ready = compiler.read(std::string(FOVEA_SOURCE_DIR) + "/" + file) && compiler.import() && compiler.optimize();
  REQUIRE(ready);
  ModelPlans plans;
  mlir::OwningOpRef<mlir::ModuleOp> module =
      compiler.lower(*kernels::lookupTarget(target), pipeline::Stage::Fused, plans.interface);
  REQUIRE(module);
  module->getContext()->loadAllAvailableDialects(); // the pass does so with those that it needs
  REQUIRE(mlir::succeeded(kernels::lowerToKernels(*module, &plans.functions)));
  return plans;
}

/// The most bytes that live at once, in a called function its own most and not its arena.
int64_t peakOf(const kernels::FunctionPlans &plans, const std::string &name, const SymbolValues &sizes) {
  const kernels::FunctionPlan &plan = plans.at(name);
  std::vector<PlanBuffer> buffers = plan.buffers;
  for (const kernels::FunctionPlan::Callee &callee : plan.callees) {
    SymbolValues inner;
    for (const auto &[symbol, size] : callee.sizes)
      inner[symbol] = evaluate(size, sizes).value();
    buffers[callee.buffer].bytes = DimExpr(peakOf(plans, callee.name, inner));
  }
  return peakOfLiveBytes(buffers, sizes); // the sizes by names are those of callees' arenas, which are replaced
}

void checkPlans(const char *file, const std::vector<SymbolValues> &allSizes) {
  for (const char *target : {"x86-64", "x86-64-v4"}) {
    ModelPlans plans = plansOf(file, target);
    for (const program::Entry &entry : plans.interface.entries)
      for (const SymbolValues &sizes : allSizes) {
        std::string at = entry.name + " for " + target + " at";
        for (const auto &[symbol, value] : sizes)
          at += " " + symbol + " = " + std::to_string(value);
        INFO(at);
        int64_t peak = peakOf(plans.functions, entry.function, sizes);
        int64_t arena = plans.functions.at(entry.function).size.evaluate(sizes).value();
        CHECK(peak > 0);
        CHECK(double(arena) <= 1.15 * double(peak));
      }
  }
}

} // namespace

TEST_CASE("the arena of MiniLM is at most 1.15 times the peak of live bytes") {
  checkPlans("examples/minilm/minilm.fov", {{{"B", 1}, {"T", 1}},
                                            {{"B", 1}, {"T", 128}},
                                            {{"B", 8}, {"T", 128}},
                                            {{"B", 1}, {"T", 512}},
                                            {{"B", 100}, {"T", 7}}});
}

TEST_CASE("the arena of the encoder-decoder is at most 1.15 times the peak of live bytes") {
  checkPlans("examples/encoder_decoder/encoder_decoder.fov", {{{"B", 1}, {"S", 1}, {"T", 1}},
                                                              {{"B", 1}, {"S", 64}, {"T", 64}},
                                                              {{"B", 2}, {"S", 500}, {"T", 16}},
                                                              {{"B", 4}, {"S", 7}, {"T", 300}},
                                                              {{"B", 32}, {"S", 50}, {"T", 50}}});
}
