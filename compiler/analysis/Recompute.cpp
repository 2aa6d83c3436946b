// The minimum cut, and the search for the price at which it fits a budget.
//
// A step is on the source's side where it is repeated. For each value that repeats could give there is a node that is
// on the source's side where the value is needed behind the loss:
//
//   source --inf--> needed(v)               a backward step reads v
//   needed(v) --price of v--> step(v)       cut where v is needed and its step is not repeated: v is kept (to the sink
//                                           where it may not be)
//   step(s) --inf--> needed(v)              s reads v
//   step(s) --cost of s--> sink             cut where s is repeated
//
// This is the cut of AOTAutograd's partitioner with costs in place of a list of ops that must not be repeated. The cut
// knows bytes and not when they live, so every choice is judged by the peak of the steps that it leads to.
#include "compiler/analysis/Recompute.h"

#include <algorithm>
#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/boykov_kolmogorov_max_flow.hpp>
#include <limits>
#include <numeric>

namespace fovea {

//===-- What a choice leads to ------------------------------------------------------------------------------------===//

namespace {

/// Emits runs in order.
class Schedule {
public:
  Schedule(const RecomputeProblem &problem, const std::vector<bool> &isRepeated)
      : problem(problem), isRepeated(isRepeated), isDone(problem.steps.size()) {}

  std::vector<Execution> run() {
    for (size_t step = 0; step < problem.steps.size(); ++step) {
      if (problem.steps[step].isBackward)
        repeatWhatIsRead(step);
      order.push_back({step, false});
    }
    return std::move(order);
  }

private:
  void repeatWhatIsRead(size_t reader) {
    for (size_t value : problem.steps[reader].reads) {
      size_t step = problem.values[value].producer;
      if (!isRepeated[step] || isDone[step])
        continue;
      isDone[step] = true;
      repeatWhatIsRead(step);
      order.push_back({step, true});
    }
  }

  const RecomputeProblem &problem;
  const std::vector<bool> &isRepeated;
  std::vector<bool> isDone;
  std::vector<Execution> order;
};

} // namespace

std::vector<Execution> executionsOf(const RecomputeProblem &problem, const std::vector<bool> &isRepeated) {
  return Schedule(problem, isRepeated).run();
}

int64_t peakOf(const RecomputeProblem &problem, const std::vector<bool> &isRepeated) {
  size_t count = problem.values.size(); // value v, and behind all of them the copy of v
  std::vector<Execution> order = executionsOf(problem, isRepeated);
  std::vector<size_t> last(2 * count);
  for (size_t at = 0; at < order.size(); ++at) {
    const RecomputeProblem::Step &step = problem.steps[order[at].step];
    for (size_t value : step.reads) {
      bool ofRepeat = (order[at].isRepeat || step.isBackward) && isRepeated[problem.values[value].producer];
      last[value + (ofRepeat ? count : 0)] = at;
    }
    for (size_t value : step.writes)
      last[value + (order[at].isRepeat ? count : 0)] = at;
  }
  auto bytesOf = [&](size_t instance) {
    const RecomputeProblem::Value &value = problem.values[instance % count];
    return instance < count && value.isOutput ? 0 : value.bytes;
  };
  std::vector<int64_t> freed(order.size());
  int64_t live = 0, peak = 0;
  for (size_t at = 0; at < order.size(); ++at) {
    const RecomputeProblem::Step &step = problem.steps[order[at].step];
    for (size_t value : step.writes) {
      size_t instance = value + (order[at].isRepeat ? count : 0);
      live += bytesOf(instance);
      freed[last[instance]] += bytesOf(instance);
    }
    peak = std::max(peak, live + step.scratch);
    live -= freed[at];
  }
  return peak;
}

std::vector<size_t> keptValues(const RecomputeProblem &problem, const std::vector<bool> &isRepeated) {
  std::vector<bool> isNeeded(problem.values.size());
  for (size_t step = 0; step < problem.steps.size(); ++step)
    if (problem.steps[step].isBackward || isRepeated[step])
      for (size_t value : problem.steps[step].reads)
        isNeeded[value] = true;
  std::vector<size_t> kept;
  for (size_t value = 0; value < problem.values.size(); ++value) {
    size_t producer = problem.values[value].producer;
    if (isNeeded[value] && !problem.steps[producer].isBackward && !isRepeated[producer])
      kept.push_back(value);
  }
  return kept;
}

//===-- The cut ---------------------------------------------------------------------------------------------------===//

namespace {

using Traits = boost::adjacency_list_traits<boost::vecS, boost::vecS, boost::directedS>;
using VertexProperties =
    boost::property<boost::vertex_color_t, boost::default_color_type,
                    boost::property<boost::vertex_distance_t, long,
                                    boost::property<boost::vertex_predecessor_t, Traits::edge_descriptor>>>;
using EdgeProperties =
    boost::property<boost::edge_capacity_t, double,
                    boost::property<boost::edge_residual_capacity_t, double,
                                    boost::property<boost::edge_reverse_t, Traits::edge_descriptor>>>;
using FlowGraph = boost::adjacency_list<boost::vecS, boost::vecS, boost::directedS, VertexProperties, EdgeProperties>;

class Network {
public:
  explicit Network(size_t vertices) : graph(vertices) {}

  void connect(size_t from, size_t to, double capacity) {
    auto forward = boost::add_edge(from, to, graph).first, back = boost::add_edge(to, from, graph).first;
    boost::put(boost::edge_capacity, graph, forward, capacity);
    boost::put(boost::edge_capacity, graph, back, 0);
    boost::put(boost::edge_reverse, graph, forward, back);
    boost::put(boost::edge_reverse, graph, back, forward);
  }
  /// The vertices that what is left of the capacities leads to from the source: the smallest side of a minimum cut.
  std::vector<bool> sourceSide(size_t source, size_t sink) {
    boost::boykov_kolmogorov_max_flow(graph, source, sink);
    std::vector<bool> isReached(boost::num_vertices(graph));
    std::vector<size_t> open{source};
    isReached[source] = true;
    while (!open.empty()) {
      size_t at = open.back();
      open.pop_back();
      for (auto [edge, end] = boost::out_edges(at, graph); edge != end; ++edge) {
        size_t to = boost::target(*edge, graph);
        if (isReached[to] || boost::get(boost::edge_residual_capacity, graph, *edge) <= 0)
          continue;
        isReached[to] = true;
        open.push_back(to);
      }
    }
    return isReached;
  }

private:
  FlowGraph graph;
};

} // namespace

std::vector<bool> cheapestRepeats(const RecomputeProblem &problem, const std::vector<double> &prices) {
  size_t steps = problem.steps.size(), source = steps + problem.values.size(), sink = source + 1;
  constexpr double infinite = std::numeric_limits<double>::max();
  Network network(sink + 1);
  for (size_t value = 0; value < problem.values.size(); ++value)
    if (size_t producer = problem.values[value].producer; !problem.steps[producer].isBackward && prices[value] > 0)
      network.connect(steps + value, problem.steps[producer].mayRepeat ? producer : sink, prices[value]);
  for (size_t step = 0; step < steps; ++step) {
    const RecomputeProblem::Step &each = problem.steps[step];
    if (each.isBackward || each.mayRepeat)
      for (size_t value : each.reads)
        network.connect(each.isBackward ? source : step, steps + value, infinite);
    if (each.mayRepeat)
      network.connect(step, sink, each.cost);
  }
  std::vector<bool> side = network.sourceSide(source, sink);
  side.resize(steps);
  return side;
}

//===-- The search ------------------------------------------------------------------------------------------------===//

namespace {

class Search {
public:
  Search(const RecomputeProblem &problem, int64_t budget) : problem(problem), budget(budget) {}

  Recomputation run() {
    std::vector<Point> points = changingCuts();
    size_t first = 0;
    while (first < points.size() && !offer(points[first].isRepeated))
      ++first;
    if (first == points.size())
      keepFewer();
    else if (first > 0)
      refine(points[first - 1].price, points[first].price);
    if (best.peak <= budget)
      takeBack();
    return std::move(best);
  }

private:
  /// The cut where each byte has the price `price`.
  struct Point {
    double price;
    std::vector<bool> isRepeated;
    double cost, kept; // of repeated steps; bytes

    double total(double price) const { return cost + price * kept; }
  };

  double bytesOf(size_t value) const {
    return problem.values[value].isOutput ? 0 : double(problem.values[value].bytes);
  }
  double costOf(const std::vector<bool> &isRepeated) const {
    double cost = 0;
    for (size_t step = 0; step < isRepeated.size(); ++step)
      cost += isRepeated[step] ? problem.steps[step].cost : 0;
    return cost;
  }
  /// The cut where a byte of value v has the price `priceOf(v)`.
  template <typename PriceOf> std::vector<bool> cut(PriceOf priceOf) const {
    std::vector<double> prices(problem.values.size());
    for (size_t value = 0; value < prices.size(); ++value)
      prices[value] = priceOf(value) * bytesOf(value);
    return cheapestRepeats(problem, prices);
  }
  Point pointAt(double price) const {
    Point point{price, cut([&](size_t) { return price; }), 0, 0};
    point.cost = costOf(point.isRepeated);
    for (size_t value : keptValues(problem, point.isRepeated))
      point.kept += bytesOf(value);
    return point;
  }
  /// A price at which any byte costs more than all steps.
  double highest() const {
    double all = 1;
    for (const RecomputeProblem::Step &step : problem.steps)
      all += step.mayRepeat ? step.cost : 0;
    return all;
  }

  /// The cuts at all prices, by price: the least total is a concave function of the price, made of straight pieces.
  std::vector<Point> changingCuts() const {
    std::vector<Point> points;
    Point lowest = pointAt(0), most = pointAt(highest());
    points.push_back(lowest);
    addBetween(lowest, most, points);
    points.push_back(std::move(most));
    return points;
  }
  void addBetween(const Point &low, const Point &high, std::vector<Point> &points) const {
    if (high.kept >= low.kept || high.cost <= low.cost || points.size() >= mostCuts)
      return;
    double price = (high.cost - low.cost) / (low.kept - high.kept);
    Point middle = pointAt(price);
    if (middle.total(price) >= low.total(price) * (1 - 1e-9))
      return;
    addBetween(low, middle, points);
    points.push_back(middle);
    addBetween(middle, high, points);
  }

  /// Takes a choice where it is better than all before; whether it fits.
  bool offer(std::vector<bool> isRepeated) {
    Recomputation choice{std::move(isRepeated), 0, 0};
    choice.cost = costOf(choice.isRepeated);
    choice.peak = peakOf(problem, choice.isRepeated);
    bool fits = choice.peak <= budget, isFirst = best.isRepeated.empty(), bestFits = best.peak <= budget;
    if (isFirst || (fits != bestFits ? fits : fits ? choice.cost < best.cost : choice.peak < best.peak))
      best = std::move(choice);
    return fits;
  }

  /// The cut at `low` does not fit, that at `high` does: the fewest of the first steps with the high price that fit.
  /// Equal layers have equal prices; of those that make the first, values live longest.
  void refine(double low, double high) {
    size_t fails = 0, fits = problem.steps.size();
    while (fails + 1 < fits) {
      size_t middle = (fails + fits) / 2;
      auto priceOf = [&](size_t value) { return problem.values[value].producer < middle ? high : low; };
      (offer(cut(priceOf)) ? fits : fails) = middle;
    }
  }

  /// What is computed again lives until it is used: with nothing kept that would be all. Keeps every n-th of the values
  /// that the choice with the lowest peak keeps, so that what lies between two of them is computed at a time.
  void keepFewer() {
    std::vector<size_t> all;
    for (size_t value : keptValues(problem, best.isRepeated))
      if (problem.steps[problem.values[value].producer].mayRepeat)
        all.push_back(value);
    double price = highest();
    for (size_t every = 2; every <= std::min<size_t>(all.size(), mostCuts); ++every) {
      std::vector<bool> isKept(problem.values.size());
      for (size_t i = every - 1; i < all.size(); i += every)
        isKept[all[i]] = true;
      if (offer(cut([&](size_t value) { return isKept[value] ? 0 : price; })))
        return;
    }
  }

  /// Keeps what fits beside all that is kept already.
  void takeBack() {
    std::vector<std::pair<double, size_t>> order; // cost for a byte, step; of equal ones the last, which live shortest
    for (size_t step = 0; step < best.isRepeated.size(); ++step) {
      double bytes = 1;
      for (size_t value : problem.steps[step].writes)
        bytes += bytesOf(value);
      if (best.isRepeated[step])
        order.push_back({problem.steps[step].cost / bytes, step});
    }
    std::sort(order.rbegin(), order.rend());
    for (auto [cost, step] : order) {
      std::vector<bool> without = best.isRepeated;
      without[step] = false;
      offer(withoutUnread(without));
    }
  }
  /// Without repeats that nothing reads any longer.
  std::vector<bool> withoutUnread(const std::vector<bool> &isRepeated) const {
    std::vector<bool> isRead(isRepeated.size());
    for (Execution execution : executionsOf(problem, isRepeated))
      if (execution.isRepeat)
        isRead[execution.step] = true;
    return isRead;
  }

  static constexpr size_t mostCuts = 64;
  const RecomputeProblem &problem;
  int64_t budget;
  Recomputation best;
};

} // namespace

Recomputation recomputeWithin(const RecomputeProblem &problem, int64_t budget) { return Search(problem, budget).run(); }

} // namespace fovea
