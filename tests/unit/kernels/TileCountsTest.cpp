// Tiles that are counted against brute force over all pairs of a query and a key, at awkward sizes; and against what
// the code of kernels decides.
#include "compiler/kernels/emit/TileCounts.h"
#include "compiler/kernels/emit/Emit.h"
#include "compiler/kernels/emit/Visibility.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Matchers.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"

#include "doctest/doctest.h"

using namespace mlir;
using namespace fovea;
using namespace fovea::kernels;

namespace {

struct MaskCase {
  const char *name;
  const char *mask; ///< of %b, %h, %t, %j and the kernel's %size
  std::function<bool(int64_t h, int64_t t, int64_t j, int64_t size)> visible;
  MaskDecision decision;
  bool exact = true; ///< tiles that are run with the mask do see a part, and no more
};

const std::vector<MaskCase> &cases() {
  using D = MaskDecision;
  static const std::vector<MaskCase> all = {
      {"causal with an offset of a size", R"(
    %last = arith.addi %t, %size : index
    %see = arith.cmpi sle, %j, %last : index
    kernel.yield %see : i1)",
       [](int64_t, int64_t t, int64_t j, int64_t size) { return j <= t + size; }, D::Formula},
      {"sliding window", R"(
    %d = arith.subi %t, %j : index
    %zero = arith.constant 0 : index
    %w = arith.constant 70 : index
    %a = arith.cmpi sge, %d, %zero : index
    %c = arith.cmpi slt, %d, %w : index
    %see = arith.andi %a, %c : i1
    kernel.yield %see : i1)",
       [](int64_t, int64_t t, int64_t j, int64_t) { return j <= t && t - j < 70; }, D::Formula},
      {"band", R"(
    %d = arith.subi %t, %j : index
    %m = math.absi %d : index
    %see = arith.cmpi sle, %m, %size : index
    kernel.yield %see : i1)",
       [](int64_t, int64_t t, int64_t j, int64_t size) { return std::abs(t - j) <= size; }, D::Formula},
      {"prefix or causal", R"(
    %a = arith.cmpi slt, %j, %size : index
    %c = arith.cmpi sle, %j, %t : index
    %see = arith.ori %a, %c : i1
    kernel.yield %see : i1)",
       [](int64_t, int64_t t, int64_t j, int64_t size) { return j < size || j <= t; }, D::Formula},
      {"blocks of fifty", R"(
    %n = arith.constant 50 : index
    %x = arith.floordivsi %t, %n : index
    %y = arith.floordivsi %j, %n : index
    %see = arith.cmpi eq, %x, %y : index
    kernel.yield %see : i1)",
       [](int64_t, int64_t t, int64_t j, int64_t) { return t / 50 == j / 50; }, D::Formula, false},
      {"a window for each head", R"(
    %n = arith.constant 60 : index
    %w = arith.muli %h, %n : index
    %d = arith.subi %t, %j : index
    %m = math.absi %d : index
    %see = arith.cmpi sle, %m, %w : index
    kernel.yield %see : i1)",
       [](int64_t h, int64_t t, int64_t j, int64_t) { return std::abs(t - j) <= 60 * h; }, D::Formula},
      {"every fourth", R"(
    %n = arith.constant 4 : index
    %d = arith.subi %t, %j : index
    %r = arith.remsi %d, %n : index
    %zero = arith.constant 0 : index
    %see = arith.cmpi eq, %r, %zero : index
    kernel.yield %see : i1)",
       [](int64_t, int64_t t, int64_t j, int64_t) { return (t - j) % 4 == 0; }, D::Formula, false},
      {"padding and causal", R"(
    %p = kernel.load %padding[%b, %j] : memref<?x?xi8> -> i1
    %c = arith.cmpi sle, %j, %t : index
    %see = arith.andi %p, %c : i1
    kernel.yield %see : i1)",
       nullptr, D::Summaries},
      {"any tensor", R"(
    %see = kernel.load %padding[%t, %j] : memref<?x?xi8> -> i1
    kernel.yield %see : i1)",
       nullptr, D::Never},
      {"no mask", nullptr, [](int64_t, int64_t, int64_t, int64_t) { return true; }, D::NoMask},
  };
  return all;
}

struct Parsed {
  MLIRContext context{MLIRContext::Threading::DISABLED};
  OwningOpRef<ModuleOp> module;
  kernel::AttentionOp op;
  Value size;

  explicit Parsed(const MaskCase &mask, const char *type = "memref<?x?x?x?xf32>") {
    loadEmissionDialects(context);
    std::string t = type;
    std::string text = "kernel.func @k(%q: memref<?x?x?x?xf32>, %k: " + t + ", %v: " + t +
                       ", %o: memref<?x?x?x?xf32>, %padding: memref<?x?xi8>, %size: index) {\n"
                       "kernel.attention q(%q) k(%k) v(%v) out(%o) score {\n"
                       "^bb0(%s: f32, %b: index, %h: index, %t: index, %j: index):\n kernel.yield %s : f32\n} mask {\n";
    if (mask.mask)
      text += "^bb0(%b: index, %h: index, %t: index, %j: index):" + std::string(mask.mask) + "\n";
    text += "} : memref<?x?x?x?xf32>, " + t + ", " + t + ", memref<?x?x?x?xf32>\nkernel.return\n}\n";
    module = parseSourceString<ModuleOp>(text, &context);
    REQUIRE(module);
    module->walk([&](kernel::AttentionOp found) { op = found; });
    size = (*module->getOps<kernel::FuncOp>().begin()).getBody().getArguments().back();
  }
  std::optional<TileCounts> count(const Target &target, const AttentionSizes &sizes, int64_t value,
                                  int64_t limit = 1 << 22) {
    return countTiles(
        op, target, sizes, [&](Value x) { return x == size ? std::optional(value) : std::nullopt; }, limit);
  }
};

/// Tiles by what they hold, pair by pair.
struct Truth {
  int64_t hidden = 0, seen = 0, part = 0, pairs = 0;
};
Truth bruteForce(const MaskCase &mask, const TileCounts &counts, const AttentionSizes &sizes, int64_t value) {
  Truth truth;
  int64_t rows = counts.variant == AttentionVariant::FewQueries ? std::max<int64_t>(1, sizes.queries) : counts.tileRows;
  for (int64_t h = 0; h < sizes.batch[1]; ++h)
    for (int64_t t0 = 0; t0 < sizes.queries; t0 += rows)
      for (int64_t j0 = 0; j0 < sizes.keys; j0 += counts.tileKeys) {
        int64_t all = 0, seen = 0;
        for (int64_t t = t0; t < std::min(sizes.queries, t0 + rows); ++t)
          for (int64_t j = j0; j < std::min(sizes.keys, j0 + counts.tileKeys); ++j, ++all)
            seen += mask.visible(h, t, j, value);
        ++(seen == 0 ? truth.hidden : seen == all ? truth.seen : truth.part);
        truth.pairs += all;
      }
  for (int64_t *count : {&truth.hidden, &truth.seen, &truth.part, &truth.pairs})
    *count *= sizes.batch[0];
  return truth;
}

/// The code that a kernel decides its tiles by, folded at these sizes: "skipped", "full" or "masked", tile by tile, for
/// one batch index of each head.
std::array<int64_t, 3> decidedByCode(Parsed &parsed, const Target &target, const AttentionSizes &sizes, int64_t value) {
  MLIRContext &context = parsed.context;
  OpBuilder builder(&context);
  Location loc = UnknownLoc::get(&context);
  OwningOpRef<ModuleOp> module(ModuleOp::create(loc));
  builder.setInsertionPointToStart(module->getBody());
  auto function = func::FuncOp::create(builder, loc, "tiles", builder.getFunctionType({}, {}));
  builder.setInsertionPointToStart(function.addEntryBlock());
  Code code(builder, loc, target);
  IRMapping outer;
  outer.map(parsed.size, code.index(value));
  SmallVector<Value> answers;
  for (int64_t h = 0; h < sizes.batch[1]; ++h) {
    SmallVector<Value> batch{code.index(0), code.index(h)};
    for (int64_t t = 0; t < sizes.queries; t += target.attentionRows) {
      Visibility visibility(code, &parsed.op.getMask().front(), target, outer, batch);
      Value from = code.index(t), to = code.index(std::min(sizes.queries, t + target.attentionRows));
      visibility.summarizeQueries({from, to, code.index(0), code.index(sizes.keys)});
      for (int64_t j = 0; j < sizes.keys; j += target.attentionKeys) {
        Visibility::Box box{from, to, code.index(j), code.index(std::min(sizes.keys, j + target.attentionKeys))};
        visibility.summarizeKeys(box);
        Visibility::Answer answer = visibility.query(box);
        answers.append({answer.none, answer.all});
      }
    }
  }
  func::ReturnOp::create(builder, loc, answers);
  function.setFunctionType(builder.getFunctionType({}, SmallVector<Type>(answers.size(), builder.getI1Type())));
  PassManager passes(&context);
  passes.addPass(createCanonicalizerPass());
  REQUIRE(succeeded(passes.run(*module)));
  std::array<int64_t, 3> counts{};
  Operation *yield = function.getBody().front().getTerminator();
  for (unsigned i = 0; i < yield->getNumOperands(); i += 2) {
    for (Value answer : yield->getOperands().slice(i, 2))
      REQUIRE(matchPattern(answer, m_Constant()));
    bool none = matchPattern(yield->getOperand(i), m_One()), all = matchPattern(yield->getOperand(i + 1), m_One());
    ++counts[none ? 0 : all ? 1 : 2];
  }
  return counts;
}

} // namespace

TEST_CASE("the code of kernels decides the tiles that are counted") {
  const Target &target = *lookupTarget("x86-64-v4");
  for (const MaskCase &mask : cases()) {
    if (!mask.visible || !mask.mask)
      continue;
    Parsed parsed(mask);
    for (auto [queries, keys, value] : {std::array<int64_t, 3>{130, 200, 37}, {65, 64, 0}, {200, 131, 64}}) {
      INFO(mask.name, " T ", queries, " S ", keys, " size ", value);
      AttentionSizes sizes{{1, 3}, queries, keys};
      auto counts = parsed.count(target, sizes, value);
      REQUIRE(counts);
      auto [skipped, full, masked] = decidedByCode(parsed, target, sizes, value);
      CHECK(counts->skipped == skipped);
      CHECK(counts->full == full);
      CHECK(counts->masked == masked);
    }
  }
}

TEST_CASE("tiles that are skipped, full and masked are what brute force finds") {
  for (const MaskCase &mask : cases()) {
    if (!mask.visible)
      continue;
    Parsed parsed(mask);
    for (const Target &target : targets())
      for (int64_t queries : {0, 1, 2, 9, 63, 64, 65, 130})
        for (int64_t keys : {0, 1, 63, 64, 65, 131, 200})
          for (int64_t value : {0, 1, 37, 64}) {
            INFO(mask.name, " ", target.name.str(), " T ", queries, " S ", keys, " size ", value);
            AttentionSizes sizes{{2, 3}, queries, keys};
            auto counts = parsed.count(target, sizes, value);
            REQUIRE(counts);
            Truth truth = bruteForce(mask, *counts, sizes, value);
            CHECK(counts->tiles() == truth.hidden + truth.seen + truth.part);
            CHECK(counts->allPairs == truth.pairs);
            CHECK(counts->open == 0);
            // Sound always; exact where the rules lose nothing.
            CHECK(counts->skipped <= truth.hidden);
            CHECK(counts->full <= truth.seen);
            if (mask.exact) {
              CHECK(counts->skipped == truth.hidden);
              CHECK(counts->full == truth.seen);
            }
          }
  }
}

TEST_CASE("how a mask is decided") {
  for (const MaskCase &mask : cases()) {
    INFO(mask.name);
    Parsed parsed(mask);
    CHECK(decisionOf(parsed.op, AttentionVariant::FewQueries) == mask.decision);
    // Many queries have what reads by query and key evaluated over tiles.
    MaskDecision many = mask.decision == MaskDecision::Never ? MaskDecision::Summaries : mask.decision;
    CHECK(decisionOf(parsed.op, AttentionVariant::ManyQueries) == many);
  }
}

TEST_CASE("what a tensor decides stays open, what it cannot change does not") {
  const Target &target = *lookupTarget("x86-64-v4");
  AttentionSizes sizes{{2, 3}, 256, 256};
  // Above the diagonal all is skipped; below it padding decides between the three.
  auto padded = Parsed(cases()[7]).count(target, sizes, 0);
  REQUIRE(padded);
  CHECK(padded->skipped == 6 * 6);
  CHECK(padded->open == 6 * 10);
  CHECK(padded->full == 0);
  CHECK(padded->masked == 0);
  auto tensor = Parsed(cases()[8]).count(target, sizes, 0);
  REQUIRE(tensor);
  CHECK(tensor->open == 6 * 16);
  CHECK(tensor->tiles() == 6 * 16);
  AttentionSizes few{{2, 3}, 2, 256};
  tensor = Parsed(cases()[8]).count(target, few, 0);
  REQUIRE(tensor);
  CHECK(tensor->masked == 6 * 4);
}

TEST_CASE("few queries: heads that share keys are rows of one task, decided together where the mask allows it") {
  const char *shared = "memref<?x?x?x?xf32, strided<[?, 0, ?, 1]>>";
  const Target &target = *lookupTarget("x86-64-v4");
  AttentionSizes sizes{{2, 12}, 2, 200};
  Parsed causal(cases()[0], shared);
  CHECK(sharedAxes(causal.op) == SmallVector<int64_t>{1});
  auto counts = causal.count(target, sizes, 100);
  REQUIRE(counts);
  CHECK(counts->variant == AttentionVariant::FewQueries);
  CHECK(counts->tiles() == 2 * 2 * 4); // batch, 24 rows in lanes of 16, blocks of keys
  CHECK(counts->skipped == 2 * 2 * 2);
  CHECK(counts->full == 2 * 2 * 1);
  CHECK(counts->allPairs == 2 * 12 * 2 * 200);
  Parsed byHead(cases()[5], shared);
  CHECK(decisionOf(byHead.op, AttentionVariant::FewQueries) == MaskDecision::Never);
  CHECK(decisionOf(byHead.op, AttentionVariant::ManyQueries) == MaskDecision::Formula);
  counts = byHead.count(target, sizes, 0);
  REQUIRE(counts);
  CHECK(counts->masked == counts->tiles());
}

TEST_CASE("too many tiles are not looked at") {
  Parsed parsed(cases()[0]);
  AttentionSizes sizes{{1, 1}, 4096, 4096};
  CHECK(parsed.count(targets().front(), sizes, 0));
  CHECK(!parsed.count(targets().front(), sizes, 0, 100));
}

TEST_CASE("an unknown size leaves tiles open instead of guessing") {
  Parsed parsed(cases()[0]);
  AttentionSizes sizes{{1, 1}, 256, 256};
  auto counts = countTiles(parsed.op, targets().front(), sizes, [](Value) { return std::nullopt; });
  REQUIRE(counts);
  CHECK(counts->open == counts->tiles());
}

TEST_CASE("the variant that is taken, and when, as text") {
  const Target &narrow = *lookupTarget("x86-64-v3"), &wide = *lookupTarget("x86-64-v4");
  using V = AttentionVariant;
  CHECK(variantFor(narrow, 4, 100) == V::FewQueries);
  CHECK(variantFor(narrow, 5, 100) == V::ManyQueries);
  CHECK(conditionOf(V::FewQueries, narrow, "T", "S") == "T <= 4");
  CHECK(conditionOf(V::ManyQueries, narrow, "T", "S") == "T > 4");
  // A handful of queries with few keys.
  CHECK(variantFor(wide, 8, 33) == V::FewQueries);
  CHECK(variantFor(wide, 8, 32) == V::ManyQueries);
  CHECK(variantFor(wide, 4, 32) == V::FewQueries);
  CHECK(variantFor(wide, 9, 100) == V::ManyQueries);
  CHECK(conditionOf(V::FewQueries, wide, "T", "S") == "T <= 8 and (T <= 4 or S > 32)");
  CHECK(conditionOf(V::ManyQueries, wide, "T", "S") == "T > 8 or T > 4 and S <= 32");
  // What is not known is left open only where it matters.
  CHECK(variantFor(wide, 3, std::nullopt) == V::FewQueries);
  CHECK(variantFor(wide, 9, std::nullopt) == V::ManyQueries);
  CHECK(variantFor(wide, 6, std::nullopt) == std::nullopt);
  CHECK(variantFor(wide, std::nullopt, 100) == std::nullopt);
}
