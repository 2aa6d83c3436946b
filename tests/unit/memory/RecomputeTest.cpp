#include "compiler/analysis/Recompute.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

using namespace fovea;

namespace {

/// Builds problems step by step.
struct Builder {
  RecomputeProblem problem;

  /// A step that makes one value, which is returned.
  size_t step(double cost, int64_t bytes, std::vector<size_t> reads, bool isBackward = false) {
    size_t step = problem.steps.size(), value = problem.values.size();
    problem.steps.push_back({cost, isBackward, !isBackward, std::move(reads), {value}, 0});
    problem.values.push_back({bytes, step, false});
    return value;
  }
};

/// Layers of a wide value that is dear and the narrow one that the next layer starts from; each has two steps back.
RecomputeProblem layers(size_t depth, std::vector<size_t> *boundaries = nullptr) {
  Builder b;
  std::vector<size_t> wide, narrow{b.step(100, 10, {})};
  for (size_t layer = 0; layer < depth; ++layer) {
    wide.push_back(b.step(100, 80, {narrow.back()}));
    narrow.push_back(b.step(100, 10, {wide.back()}));
  }
  size_t gradient = b.step(1, 10, {narrow.back()}, true);
  for (size_t layer = depth; layer-- > 0;) {
    gradient = b.step(1, 80, {gradient, wide[layer]}, true);
    gradient = b.step(1, 10, {gradient, narrow[layer]}, true);
  }
  if (boundaries)
    *boundaries = narrow;
  return b.problem;
}

std::vector<bool> none(const RecomputeProblem &problem) { return std::vector<bool>(problem.steps.size()); }

double totalOf(const RecomputeProblem &problem, const std::vector<bool> &isRepeated,
               const std::vector<double> &prices) {
  double total = 0;
  for (size_t step = 0; step < isRepeated.size(); ++step)
    total += isRepeated[step] ? problem.steps[step].cost : 0;
  for (size_t value : keptValues(problem, isRepeated))
    total += prices[value];
  return total;
}

} // namespace

TEST_CASE("the cut is the cheapest of all choices") {
  std::mt19937 random(7);
  auto below = [&](int n) { return int(random() % n); };
  for (int trial = 0; trial < 200; ++trial) {
    Builder b;
    std::vector<double> prices;
    for (int step = 0; step < 14; ++step) {
      std::vector<size_t> reads;
      for (int i = below(3); i > 0 && step > 0; --i)
        if (size_t value = below(step); std::find(reads.begin(), reads.end(), value) == reads.end())
          reads.push_back(value);
      b.step(below(20), 1, reads, step >= 9);
      b.problem.steps.back().mayRepeat = step < 9 && below(5);
      prices.push_back(below(20));
    }
    std::vector<bool> cut = cheapestRepeats(b.problem, prices);
    double best = totalOf(b.problem, none(b.problem), prices);
    for (unsigned choice = 0; choice < 1u << 9; ++choice) {
      std::vector<bool> isRepeated(14);
      bool isAllowed = true;
      for (unsigned step = 0; step < 9; ++step)
        if (choice >> step & 1)
          isRepeated[step] = true, isAllowed &= b.problem.steps[step].mayRepeat;
      if (isAllowed)
        best = std::min(best, totalOf(b.problem, isRepeated, prices));
    }
    CAPTURE(trial);
    for (size_t step = 0; step < cut.size(); ++step)
      CHECK((!cut[step] || b.problem.steps[step].mayRepeat));
    CHECK(totalOf(b.problem, cut, prices) == best);
  }
}

TEST_CASE("a repeated step runs just before the first step that reads of it") {
  Builder b;
  size_t x = b.step(1, 10, {}), y = b.step(1, 10, {x}), loss = b.step(1, 1, {y});
  size_t first = b.step(1, 1, {loss}, true), second = b.step(1, 1, {first, y}, true);
  b.step(1, 1, {second, x}, true);
  std::vector<bool> isRepeated{true, true, false, false, false, false};
  std::vector<size_t> steps;
  std::vector<bool> repeats;
  for (Execution each : executionsOf(b.problem, isRepeated)) {
    steps.push_back(each.step);
    repeats.push_back(each.isRepeat);
  }
  CHECK(steps == std::vector<size_t>{0, 1, 2, 3, 0, 1, 4, 5});
  CHECK(repeats == std::vector<bool>{false, false, false, false, true, true, false, false});
}

TEST_CASE("the peak counts what is kept, copies, scratch, and not what lies elsewhere") {
  Builder b;
  size_t x = b.step(1, 10, {}), y = b.step(1, 100, {x}), loss = b.step(1, 1, {y});
  size_t back = b.step(1, 1, {loss}, true);
  b.step(1, 1, {back, y}, true);
  CHECK(peakOf(b.problem, none(b.problem)) == 110); // x and y
  b.problem.steps[3].scratch = 50;
  CHECK(peakOf(b.problem, none(b.problem)) == 152);                    // y, loss, back and the scratch
  CHECK(peakOf(b.problem, {false, true, false, false, false}) == 111); // x is kept until y is there again, beside back
  b.problem.values[y].isOutput = true;
  CHECK(peakOf(b.problem, none(b.problem)) == 52);
}

TEST_CASE("with room for all, nothing is computed again") {
  RecomputeProblem problem = layers(6);
  int64_t all = peakOf(problem, none(problem));
  Recomputation choice = recomputeWithin(problem, all);
  CHECK(choice.isRepeated == none(problem));
  CHECK(choice.peak == all);
}

TEST_CASE("a tight budget keeps what layers start from, and repeats each layer") {
  std::vector<size_t> boundaries;
  RecomputeProblem problem = layers(12, &boundaries);
  Recomputation choice = recomputeWithin(problem, 12 * 10 + 190);
  CHECK(choice.peak <= 12 * 10 + 190);
  std::vector<size_t> kept = keptValues(problem, choice.isRepeated);
  kept.erase(std::remove_if(kept.begin(), kept.end(), [&](size_t value) { return problem.values[value].bytes == 80; }),
             kept.end());
  CHECK(kept == boundaries);
}

TEST_CASE("between two prices the first layers are repeated, as few as fit") {
  RecomputeProblem problem = layers(10);
  int64_t all = peakOf(problem, none(problem));
  double before = 0;
  for (int64_t budget : {all - 1, all - 100, all - 200, all - 400}) {
    Recomputation choice = recomputeWithin(problem, budget);
    CAPTURE(budget);
    CHECK(choice.peak <= budget);
    CHECK(choice.peak > budget - 80); // with one layer less it would not fit
    CHECK(choice.cost >= before);
    before = choice.cost;
    bool isLast = false;
    for (size_t layer = 0; layer < 10; ++layer) {
      bool isRepeated = choice.isRepeated[1 + 2 * layer];
      CHECK(!(isRepeated && isLast)); // none behind one that is kept
      isLast |= !isRepeated;
    }
  }
}

TEST_CASE("a repeat without which it fits is taken back, and with it those that only it reads") {
  Builder b;
  size_t x = b.step(1, 1, {}), early = b.step(2, 10, {x}), late = b.step(2, 10, {x});
  size_t loss = b.step(100, 10, {early, late});
  size_t first = b.step(1, 10, {loss, early}, true); // where `early` dies
  size_t wide = b.step(1, 40, {first}, true), back = b.step(1, 10, {wide}, true);
  b.step(1, 1, {back, late}, true);
  // Of the first steps `late` is not one without `early`.
  Recomputation choice = recomputeWithin(b.problem, 51);
  CHECK(choice.isRepeated == std::vector<bool>{false, false, true, false, false, false, false, false});
  CHECK(choice.cost == 2);
  CHECK(choice.peak == peakOf(b.problem, choice.isRepeated));
  CHECK(choice.peak == 51);
}

TEST_CASE("no repeat of a choice can be left out alone") {
  RecomputeProblem problem = layers(10);
  int64_t all = peakOf(problem, none(problem));
  for (int64_t budget = all; budget > all / 3; budget -= 30) {
    Recomputation choice = recomputeWithin(problem, budget);
    CAPTURE(budget);
    for (size_t step = 0; step < choice.isRepeated.size() && choice.peak <= budget; ++step) {
      if (!choice.isRepeated[step])
        continue;
      std::vector<bool> without = choice.isRepeated;
      without[step] = false;
      CHECK(peakOf(problem, without) > budget);
    }
  }
}

TEST_CASE("below a layer's start for each, some starts are computed again as well") {
  RecomputeProblem problem = layers(36);
  Recomputation choice = recomputeWithin(problem, 36 * 10);
  CHECK(choice.peak <= 36 * 10 + 200);
  CHECK(recomputeWithin(problem, 600).peak <= 600);
}

TEST_CASE("where nothing fits, the answer is the lowest peak") {
  RecomputeProblem problem = layers(4);
  Recomputation choice = recomputeWithin(problem, 10);
  CHECK(choice.peak > 10);
  CHECK(recomputeWithin(problem, choice.peak).peak == choice.peak);
  CHECK(recomputeWithin(problem, choice.peak - 1).peak >= choice.peak);
}
