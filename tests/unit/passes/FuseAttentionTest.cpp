// Random identities never hide an attention, and near misses are never taken for one.
#include "RandomChains.h"

#include "compiler/interpret/Interpreter.h"
#include "compiler/passes/ElementExpression.h"
#include "compiler/passes/FusionReport.h"
#include "compiler/passes/Passes.h"

#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"

#include <doctest/doctest.h>

#include <cmath>

using namespace mlir;
using namespace fovea;
using namespace fovea::test;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

struct Fixture {
  MLIRContext context{MLIRContext::Threading::DISABLED};
  Fixture() {
    DialectRegistry registry;
    graph::registerDialect(registry);
    context.appendDialectRegistry(registry);
    context.loadAllAvailableDialects();
  }
};

FusionReport fuse(ModuleOp module, bool clean) {
  PassManager passes(module.getContext());
  // Slices do not go through reshapes that merge and split again.
  module.walk([&](graph::SliceOp) { clean = true; });
  if (clean) {
    passes.addPass(createCanonicalizerPass());
    passes.addPass(createCSEPass());
  }
  passes.addPass(createRecognizeSoftmax());
  if (clean)
    passes.addPass(createCanonicalizerPass());
  passes.addPass(createRaiseSlices());
  passes.addPass(createDistributeWeights());
  passes.addPass(createFuseAttention());
  CHECK(succeeded(passes.run(module)));
  return FusionReport::fromModule(module);
}

std::string print(ModuleOp module) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  module.print(stream);
  return text;
}

/// Runs the chain on random numbers at B 2, T 3, S 4, U 2: all results, one after another. Empty where it fails.
std::vector<double> interpret(ModuleOp module, unsigned seed) {
  auto function = *module.getOps<graph::FuncOp>().begin();
  std::mt19937 random(seed);
  interpret::Arguments arguments;
  auto sizeOf = [](std::string_view symbol) -> std::optional<int64_t> {
    return symbol == "B" || symbol == "U" ? 2 : symbol == "T" ? 3 : 4;
  };
  for (unsigned i = 0; i < function.getNumArguments(); ++i) {
    auto type = llvm::cast<graph::TensorType>(function.getArgument(i).getType());
    std::vector<int64_t> shape;
    for (DimExpr dim : type.getDims())
      shape.push_back(*dim.evaluate(sizeOf));
    interpret::HostTensor tensor;
    if (type.getElementType().isInteger(1)) {
      tensor = interpret::HostTensor::zeros(shape, sema::DType::Bool);
      for (int64_t &value : tensor.ints)
        value = random() % 3 != 0;
    } else {
      mlir::Type element = type.getElementType();
      tensor = interpret::HostTensor::zeros(shape, element.isF16()    ? sema::DType::F16
                                                   : element.isBF16() ? sema::DType::BF16
                                                                      : sema::DType::F32);
      for (double &value : tensor.reals)
        value = element.isF32() ? std::uniform_real_distribution<double>(-2, 2)(random)
                                : (int(random() % 257) - 128) / 64.0;
    }
    arguments.inputs["x" + std::to_string(i)] = std::make_shared<interpret::HostTensor>(std::move(tensor));
  }
  llvm::Expected<interpret::Results> results = interpret::Interpreter(module).run("chain", arguments);
  if (!results) {
    std::string message = llvm::toString(results.takeError());
    CHECK_MESSAGE(false, message);
    return {};
  }
  std::vector<double> all;
  for (unsigned i = 0; i < function.getNumResults(); ++i)
    llvm::append_range(all, results->outputs["y" + std::to_string(i)]->reals);
  return all;
}

/// The largest difference, where the reference is a number (an unguarded softmax of nothing visible is NaN).
double difference(const std::vector<double> &reference, const std::vector<double> &values) {
  if (reference.size() != values.size())
    return infinity;
  double worst = 0;
  for (size_t i = 0; i < values.size(); ++i)
    if (!std::isnan(reference[i]))
      worst = std::isnan(values[i]) ? infinity : std::max(worst, std::abs(reference[i] - values[i]));
  return worst;
}

/// A module as text and what it computed, before its chains were fused.
struct Fusion {
  std::string before;
  std::vector<double> reference;
  FusionReport report;
};

/// Fuses a random module, every other one cleaned up first.
Fusion fuseRandom(ModuleOp module, unsigned seed) {
  REQUIRE(succeeded(verify(module)));
  Fusion fusion{print(module), interpret(module, seed), {}};
  fusion.report = fuse(module, seed % 2 == 1);
  return fusion;
}

unsigned countAttentions(ModuleOp module) {
  unsigned count = 0;
  module.walk([&](graph::AttentionOp) { ++count; });
  return count;
}

} // namespace

TEST_CASE_FIXTURE(Fixture, "chains in random spellings fuse") {
  for (unsigned seed = 0; seed < 800; ++seed) {
    OwningOpRef<ModuleOp> module = attention(context, seed);
    auto [before, reference, report] = fuseRandom(*module, seed);
    INFO("seed ", seed, "\n", before, print(*module)); // with the report
    // Both run in doubles: sums of a few terms near 1, in another order. Of a power of a constant the score has the
    // logarithm as an f32 factor, half a unit in the last place away, of exponents up to some 10.
    double bound = before.find("graph.pow") == std::string::npos ? 1e-12 : 10 * 0x1p-24;
    CHECK(difference(reference, interpret(*module, seed)) < bound);
    CHECK(report.chains.size() == 1);
    CHECK(countAttentions(*module) == 1);
    CHECK((!report.chains.empty() && report.chains.front().fused));
  }
}

/// Whether a tensor that attention reads is a widened copy, moved or not.
static bool isWidenedCopy(Value value) {
  while (isLayout(value.getDefiningOp()))
    value = value.getDefiningOp()->getOperand(0);
  return isWidening(value.getDefiningOp());
}

TEST_CASE_FIXTURE(Fixture, "chains of widened tensors fuse, and no copy of one is read") {
  for (unsigned seed = 0; seed < 400; ++seed) {
    OwningOpRef<ModuleOp> module = attention(context, seed, /*narrowPercent=*/60);
    auto [before, reference, report] = fuseRandom(*module, seed);
    PassManager passes(&context);
    passes.addPass(createNarrowOperands());
    passes.addPass(createCanonicalizerPass());
    REQUIRE(succeeded(passes.run(*module)));
    INFO("seed ", seed, "\n", before, print(*module)); // with the report
    double bound = before.find("graph.pow") == std::string::npos ? 1e-12 : 10 * 0x1p-24;
    CHECK(difference(reference, interpret(*module, seed)) < bound);
    CHECK(countAttentions(*module) == 1);
    CHECK((report.chains.size() == 1 && report.chains.front().fused));
    module->walk([&](graph::AttentionOp op) { CHECK(llvm::none_of(op->getOperands(), isWidenedCopy)); });
  }
}

TEST_CASE_FIXTURE(Fixture, "other functions of the scores fuse") {
  for (unsigned seed = 0; seed < 600; ++seed) {
    OwningOpRef<ModuleOp> module = pointwise(context, seed);
    auto [before, reference, report] = fuseRandom(*module, seed);
    INFO("seed ", seed, "\n", before, print(*module)); // with the report
    // Squares of scores up to some 60, with a few steps before: sums of terms up to 1e5 in another order.
    CHECK(difference(reference, interpret(*module, seed)) < 1e-9);
    CHECK(countAttentions(*module) == 1);
    CHECK(report.chains.size() == 1);
  }
}

TEST_CASE_FIXTURE(Fixture, "products of scores that are only scaled are taken in another order") {
  for (unsigned seed = 0; seed < 80; ++seed) {
    ChainWriter w(context, seed);
    Tensor q = w.argument("bhtd"), k = w.argument("bhsd"), v = w.argument("bhse");
    Tensor s = w.binary<graph::DivOp>(w.shuffled(w.contract(q, k, "d")), w.rootOf('d'));
    for (const char *factor : {"h", "bht", "bhs"})
      if (w.maybe(50))
        s = w.binary<graph::MulOp>(w.argument(factor), s);
    OwningOpRef<ModuleOp> module = w.finish({w.contract(w.shuffled(s), v, "s")});
    auto [before, reference, report] = fuseRandom(*module, seed);
    INFO("seed ", seed, "\n", before, print(*module)); // with the report
    CHECK(difference(reference, interpret(*module, seed)) < 1e-12);
    CHECK(countAttentions(*module) == 0);
    CHECK((report.chains.size() == 1 && report.chains.front().fused));
    bool holdsScores = false;
    module->walk([&](graph::ContractOp product) {
      std::string type = product.getType().getNumElements().str();
      holdsScores |= StringRef(type).contains("S") && StringRef(type).contains("T");
    });
    CHECK(!holdsScores);
  }
}

TEST_CASE_FIXTURE(Fixture, "chains fuse whose weights or scores have other uses") {
  for (unsigned seed = 0; seed < 20 * sharedKinds; ++seed) {
    unsigned kind = seed % sharedKinds;
    OwningOpRef<ModuleOp> module = shared(context, kind, seed);
    auto [before, reference, report] = fuseRandom(*module, seed);
    INFO("kind ", kind, " seed ", seed, "\n", before, print(*module)); // with the report
    CHECK(difference(reference, interpret(*module, seed)) < 1e-12);
    CHECK(countAttentions(*module) == (kind == 4 ? 2 : 1));
    for (const ChainReport &chain : report.chains)
      CHECK(chain.fused);
  }
}

TEST_CASE_FIXTURE(Fixture, "functions of the weights fuse in two passes") {
  for (unsigned seed = 0; seed < 100; ++seed) {
    OwningOpRef<ModuleOp> module = changed(context, seed);
    auto [before, reference, report] = fuseRandom(*module, seed);
    INFO("seed ", seed, "\n", before, print(*module)); // with the report
    // The difference from the log-sum-exp, up to some 60, is rounded once more.
    CHECK(difference(reference, interpret(*module, seed)) < 1e-12);
    CHECK(countAttentions(*module) == 2);
    for (const ChainReport &chain : report.chains)
      CHECK(chain.fused);
  }
}

TEST_CASE_FIXTURE(Fixture, "factors of the weights alone, not of their sum, fuse in one pass") {
  for (unsigned seed = 0; seed < 100; ++seed) {
    OwningOpRef<ModuleOp> module = factored(context, seed);
    auto [before, reference, report] = fuseRandom(*module, seed);
    INFO("seed ", seed, "\n", before, print(*module)); // with the report
    CHECK(difference(reference, interpret(*module, seed)) < 1e-12);
    CHECK(countAttentions(*module) == 1);
    module->walk([](graph::AttentionOp op) { CHECK(op.getScore().front().getTerminator()->getNumOperands() == 2); });
    for (const ChainReport &chain : report.chains)
      CHECK(chain.fused);
  }
}

TEST_CASE_FIXTURE(Fixture, "sums of weights become sums of attentions") {
  for (unsigned seed = 0; seed < 90; ++seed) {
    unsigned count = 2 + seed % 2;
    OwningOpRef<ModuleOp> module = mixture(context, seed, count);
    auto [before, reference, report] = fuseRandom(*module, seed);
    INFO("seed ", seed, "\n", before, print(*module)); // with the report
    CHECK(difference(reference, interpret(*module, seed)) < 1e-12);
    CHECK(countAttentions(*module) == count);
  }
}

TEST_CASE_FIXTURE(Fixture, "products that are summed over more than the keys are attentions of each, and then summed") {
  for (unsigned seed = 0; seed < 80; ++seed) {
    bool isChanged = seed % 4 > 1;
    OwningOpRef<ModuleOp> module = summed(context, isChanged, seed);
    auto [before, reference, report] = fuseRandom(*module, seed);
    INFO("seed ", seed, "\n", before, print(*module)); // with the report
    CHECK(difference(reference, interpret(*module, seed)) < 1e-12);
    CHECK(countAttentions(*module) == 1);
    CHECK(!report.chains.empty());
    for (const ChainReport &chain : report.chains)
      CHECK(chain.fused);
  }
}

TEST_CASE_FIXTURE(Fixture, "near misses are not taken for a softmax's weights") {
  for (unsigned seed = 0; seed < 10 * missKinds; ++seed) {
    OwningOpRef<ModuleOp> module = nearMiss(context, seed % missKinds, seed);
    auto [before, reference, report] = fuseRandom(*module, seed);
    INFO("kind ", seed % missKinds, " seed ", seed, "\n", before, print(*module));
    CHECK(difference(reference, interpret(*module, seed)) < 1e-9);
    CHECK(!report.chains.empty());
    if (seed % missKinds == shareOfAnotherBase && countAttentions(*module) > 0) {
      // Functions of each score, divided by a sum of their own. Other spellings of it are not seen.
      module->walk([](graph::AttentionOp op) { CHECK(op.getNormalizer() == "pointwise"); });
      continue;
    }
    CHECK(countAttentions(*module) == 0);
    for (const ChainReport &chain : report.chains) {
      CHECK(!chain.fused);
      CHECK(!chain.failure.empty());
    }
  }
}

TEST_CASE_FIXTURE(Fixture, "the report survives in the module's text") {
  OwningOpRef<ModuleOp> module = ModuleOp::create(UnknownLoc::get(&context));
  Location place =
      NameLoc::get(StringAttr::get(&context, "layers.0.scores"), FileLineColLoc::get(&context, "m.fov", 3, 9));
  Location later = FileLineColLoc::get(&context, "m.fov", 4, 1);
  FusionReport report;
  ChainReport &fused = report.chains.emplace_back(place);
  fused.function = "forward";
  fused.fused = true;
  fused.scores = place, fused.product = later, fused.result = place;
  fused.proved("softmax over the key axis");
  ChainReport &missed = report.chains.emplace_back(place);
  CHECK(failed(missed.failed("the weights are not used", later)));
  CHECK(failed(missed.failed("a later fact", place)));
  report.addTo(*module);
  OwningOpRef<ModuleOp> parsed = parseSourceString<ModuleOp>(print(*module), &context);
  REQUIRE(parsed);
  FusionReport back = FusionReport::fromModule(*parsed);
  REQUIRE(back.chains.size() == 2);
  const ChainReport &first = back.chains[0], &second = back.chains[1];
  CHECK(first.place == place);
  CHECK(first.function == "forward");
  CHECK(first.fused);
  CHECK(first.facts == std::vector<std::string>{"softmax over the key axis"});
  CHECK(first.scores == LocationAttr(place));
  CHECK(first.product == LocationAttr(later));
  CHECK(first.result == LocationAttr(place));
  CHECK(!second.fused);
  CHECK(second.failure == "the weights are not used");
  CHECK(second.failurePlace == LocationAttr(later));
  CHECK(!second.result);
}
