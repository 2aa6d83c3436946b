// The arena's layout: no two live buffers overlap at any size; little is lost.
#include "compiler/analysis/MemoryPlan.h"

#include <doctest/doctest.h>
#include <random>

using namespace fovea;

namespace {

const DimExpr B = DimExpr::symbol("B"), T = DimExpr::symbol("T");

std::vector<SymbolValues> fiveSizes() {
  return {{{"B", 1}, {"T", 1}},
          {{"B", 1}, {"T", 128}},
          {{"B", 8}, {"T", 128}},
          {{"B", 2}, {"T", 2048}},
          {{"B", 7}, {"T", 31}}};
}

/// Checks that buffers alive together are apart and within the arena; gives arena / peak.
double checkAt(const std::vector<PlanBuffer> &buffers, const MemoryPlan &plan, const SymbolValues &sizes) {
  std::vector<int64_t> begin, end;
  int64_t total = *plan.size.evaluate(sizes);
  for (size_t i = 0; i < buffers.size(); ++i) {
    begin.push_back(*evaluate(plan.offsets[i], withNames(plan.size.names, sizes)));
    end.push_back(begin[i] + *evaluate(buffers[i].bytes, sizes));
    CHECK(begin[i] >= 0);
    CHECK(begin[i] % bufferAlignment == 0);
    CHECK(end[i] <= total);
    for (size_t j = 0; j < i; ++j)
      if (buffers[i].first <= buffers[j].last && buffers[j].first <= buffers[i].last)
        CHECK((end[i] <= begin[j] || end[j] <= begin[i] || begin[i] == end[i] || begin[j] == end[j]));
  }
  return double(total) / double(std::max<int64_t>(1, peakOfLiveBytes(buffers, sizes)));
}

} // namespace

TEST_CASE("sizes are rounded up to the alignment") {
  CHECK(alignBytes(DimExpr(64) * T) == DimExpr(64) * T);
  CHECK(alignBytes(4) == DimExpr(64));
  CHECK(evaluate(alignBytes(DimExpr(4) * T), {{"T", 17}}) == 128);
}

TEST_CASE("an encoder layer wastes at most 15 percent at five sizes") {
  DimExpr x = DimExpr(4 * 384) * B * T;
  std::vector<PlanBuffer> buffers = {
      {DimExpr(3) * x, 0, 1}, // q, k, v
      {x, 1, 2},              // attention
      {x, 2, 3},              // projection and residual
      {x, 3, 5},              // norm
      {DimExpr(4) * x, 4, 5}, // hidden
      {x, 5, 6},              // down
      {alignBytes(DimExpr(4) * B), 6, 6},
  };
  MemoryPlan plan = planMemory(buffers, representativeSizes({"B", "T"}));
  for (const SymbolValues &sizes : fiveSizes())
    CHECK(checkAt(buffers, plan, sizes) <= 1.15);
}

TEST_CASE("sizes of different degree: who is large changes with the sizes") {
  std::vector<PlanBuffer> buffers = {
      {alignBytes(DimExpr(4) * B * T * T), 0, 2},
      {DimExpr(6144) * B * T, 1, 3},
      {alignBytes(DimExpr(4) * B * T * T), 3, 5},
      {DimExpr(1536) * B * T, 2, 5},
      {DimExpr(4096) * B, 0, 5},
  };
  MemoryPlan plan = planMemory(buffers, representativeSizes({"B", "T"}));
  for (const SymbolValues &sizes : fiveSizes())
    CHECK(checkAt(buffers, plan, sizes) <= 1.15);
}

TEST_CASE("random buffers never overlap, whatever the sizes") {
  std::mt19937 random(7);
  for (int round = 0; round < 40; ++round) {
    std::vector<PlanBuffer> buffers;
    for (int i = 0; i < 14; ++i) {
      size_t first = random() % 12;
      DimExpr bytes = alignBytes(DimExpr(int64_t(random() % 300)) * (random() % 2 ? B : DimExpr(1)) *
                                 (random() % 2 ? T : DimExpr(1)));
      buffers.push_back({bytes, first, first + random() % 5});
    }
    MemoryPlan plan = planMemory(buffers, representativeSizes({"B", "T"}));
    for (SymbolValues sizes :
         {SymbolValues{{"B", 0}, {"T", 0}}, {{"B", 1}, {"T", 977}}, {{"B", 333}, {"T", 2}}, {{"B", 13}, {"T", 64}}})
      checkAt(buffers, plan, sizes);
  }
}

TEST_CASE("nothing to place needs nothing") { CHECK(planMemory({}, representativeSizes({})).size.total == DimExpr(0)); }

TEST_CASE("what the plan of a training step computes is in proportion to its buffers") {
  std::mt19937 random(11);
  const DimExpr S = DimExpr::symbol("S");
  size_t shorter = 0, longer = 0;
  for (int count : {200, 800}) {
    std::vector<PlanBuffer> buffers; // kept for the way back, last ones first, and short ones between
    for (int i = 0; i < count; ++i) {
      DimExpr bytes = alignBytes(DimExpr(int64_t(4 + random() % 300)) * (random() % 2   ? B * T
                                                                         : random() % 2 ? B * S
                                                                                        : T));
      size_t first = size_t(i), last = random() % 3 ? first + 1 + random() % 4 : size_t(2 * count - i);
      buffers.push_back({bytes, first, last});
    }
    MemoryPlan plan = planMemory(buffers, representativeSizes({"B", "S", "T"}));
    size_t length = 0;
    for (const NamedSize &named : plan.size.names)
      length += named.value.str().size();
    for (DimExpr offset : plan.offsets)
      length += offset.str().size();
    (count == 200 ? shorter : longer) = length;
    CHECK(plan.size.names.size() <= 2 * buffers.size());
    checkAt(buffers, plan, {{"B", 3}, {"S", 50}, {"T", 17}});
  }
  CHECK(longer <= 8 * shorter);
}

TEST_CASE("a formula with names is written and read") {
  SizeFormula formula;
  DimExpr last(0);
  for (int i = 1; i <= 20; ++i) {
    std::string name = "arena." + std::to_string(i);
    formula.names.push_back({name, DimExpr::max(last + DimExpr(i) * B, DimExpr(3 * i) * T)});
    last = DimExpr::symbol(name);
  }
  formula.total = last + DimExpr(64) * B * T;
  std::optional<SizeFormula> read = SizeFormula::parse(formula.str());
  REQUIRE(read);
  CHECK(read->str() == formula.str());
  SymbolValues sizes{{"B", 5}, {"T", 31}};
  CHECK(read->evaluate(sizes) == formula.evaluate(sizes));
  CHECK(formula.summary() == "f(B, T)");
  for (const char *wrong : {"", "arena.1 = B", "B; B", "B; arena.1 = ", "B; arena.1 = B*"})
    CHECK_FALSE(SizeFormula::parse(wrong).has_value());
  // A few names are written out.
  formula.names.resize(2);
  formula.total = DimExpr::symbol("arena.2") + B;
  CHECK(formula.str().find("arena") == std::string::npos);
  CHECK(SizeFormula::parse(formula.str())->evaluate(sizes) == formula.evaluate(sizes));
}
