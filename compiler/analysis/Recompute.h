// Which steps run again on the way back, so that what they make need not be kept until then. No MLIR here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace fovea {

/// Steps in an order in which they can run, and the values that they hand to one another. Values that are not there (a
/// function's arguments) are always at hand.
struct RecomputeProblem {
  struct Step {
    double cost = 0;                   ///< of running it once more
    bool isBackward = false;           ///< what it reads is kept until it runs, or computed again before it
    bool mayRepeat = false;            ///< never of a backward step
    std::vector<size_t> reads, writes; ///< values, each once
    int64_t scratch = 0;               ///< bytes that it needs while it runs
  };
  struct Value {
    int64_t bytes = 0;
    size_t producer = 0;
    bool isOutput = false; ///< lies elsewhere and stays: keeping it costs nothing
  };
  std::vector<Step> steps;
  std::vector<Value> values;
};

/// One run of a step. A repeated one gives copies of the step's values, for backward steps and other repeated ones.
struct Execution {
  size_t step;
  bool isRepeat;
};

/// All runs in order: a repeated one stands before the first that reads of it, so that its values live as short as can
/// be.
std::vector<Execution> executionsOf(const RecomputeProblem &problem, const std::vector<bool> &isRepeated);

/// The most bytes that live at once.
int64_t peakOf(const RecomputeProblem &problem, const std::vector<bool> &isRepeated);

/// The values that are kept: read by backward steps or repeated ones, and not computed again.
std::vector<size_t> keptValues(const RecomputeProblem &problem, const std::vector<bool> &isRepeated);

/// The choice for which the costs of repeated steps plus the prices of kept values are least: a minimum cut. `prices`
/// has a price for each value.
std::vector<bool> cheapestRepeats(const RecomputeProblem &problem, const std::vector<double> &prices);

struct Recomputation {
  std::vector<bool> isRepeated; ///< by step
  double cost = 0;              ///< of all repeated steps
  int64_t peak = 0;
};

/// Of the choices that are looked at the cheapest one with a peak of at most `budget`; where there is none, the one
/// with the lowest peak.
///
/// Looked at are, cheapest first: the minimum cuts at every price of a byte where they change; between two of these,
/// cuts where bytes that are made early (and so live long) have the higher price; and, beyond the last, cuts that keep
/// every second, third, ... of the values that the best of them keeps, with all in between computed again. Of the
/// choice, repeats without which it fits as well are then taken back, those first whose cost for a byte is highest:
/// what is left is needed, one by one.
Recomputation recomputeWithin(const RecomputeProblem &problem, int64_t budget);

} // namespace fovea
