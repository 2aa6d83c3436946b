#include "compiler/analysis/StepGraph.h"

#include <algorithm>
#include <boost/graph/adjacency_list.hpp>
#include <boost/graph/breadth_first_search.hpp>
#include <boost/graph/topological_sort.hpp>
#include <cstdlib>
#include <queue>
#include <set>

// Boost is built without exceptions here: what it would throw are broken preconditions of ours.
namespace boost {
void throw_exception(const std::exception &) { std::abort(); }
void throw_exception(const std::exception &, const boost::source_location &) { std::abort(); }
} // namespace boost

namespace fovea {

using Graph = boost::adjacency_list<boost::vecS, boost::vecS, boost::bidirectionalS>;

static Graph toBoost(const StepGraph &graph) {
  Graph out(graph.count);
  std::set<std::pair<size_t, size_t>> seen;
  for (auto [from, to] : graph.edges)
    if (seen.insert({from, to}).second)
      boost::add_edge(from, to, out);
  return out;
}

/// Runs the ready step that `better` prefers, again and again. Shorter than the number of steps where there is a cycle.
template <typename Pick> static std::vector<size_t> listSchedule(const Graph &graph, Pick pick) {
  std::vector<size_t> missing(boost::num_vertices(graph));
  std::set<size_t> ready;
  for (size_t v = 0; v < missing.size(); ++v)
    if (!(missing[v] = boost::in_degree(v, graph)))
      ready.insert(v);
  std::vector<size_t> order;
  while (!ready.empty()) {
    size_t next = pick(ready, order);
    ready.erase(next);
    order.push_back(next);
    for (auto [e, end] = boost::out_edges(next, graph); e != end; ++e)
      if (!--missing[boost::target(*e, graph)])
        ready.insert(boost::target(*e, graph));
  }
  return order;
}

static size_t first(const std::set<size_t> &ready, const std::vector<size_t> &) { return *ready.begin(); }

std::optional<std::vector<size_t>> StepGraph::topologicalOrder() const {
  std::vector<size_t> order = listSchedule(toBoost(*this), first);
  if (order.size() != count)
    return std::nullopt;
  return order;
}

bool StepGraph::reaches(size_t from, size_t to) const {
  Graph graph = toBoost(*this);
  std::vector<boost::default_color_type> colors(count);
  auto map = boost::make_iterator_property_map(colors.begin(), boost::get(boost::vertex_index, graph));
  boost::breadth_first_search(graph, from, boost::color_map(map));
  return colors[to] != boost::white_color;
}

namespace {

/// Live bytes while steps run one after another.
class LiveBytes {
public:
  LiveBytes(const std::vector<StepValue> &values, size_t steps) : made(steps), read(steps), left(values.size()) {
    for (size_t v = 0; v < values.size(); ++v) {
      made[values[v].producer].push_back(v);
      std::set<size_t> consumers(values[v].consumers.begin(), values[v].consumers.end());
      left[v] = consumers.size();
      for (size_t step : consumers)
        read[step].push_back(v);
    }
  }

  /// Change of the live bytes once `step` is done.
  int64_t change(size_t step, const std::vector<int64_t> &bytes) const {
    int64_t delta = 0;
    for (size_t v : made[step])
      delta += left[v] ? bytes[v] : 0;
    for (size_t v : read[step])
      delta -= left[v] == 1 ? bytes[v] : 0;
    return delta;
  }
  /// Runs `step`; returns the live bytes during it.
  int64_t run(size_t step, const std::vector<int64_t> &bytes) {
    for (size_t v : made[step])
      live += bytes[v];
    int64_t during = live;
    for (size_t v : made[step])
      live -= left[v] ? 0 : bytes[v];
    for (size_t v : read[step])
      live -= --left[v] ? 0 : bytes[v];
    return during;
  }

private:
  std::vector<std::vector<size_t>> made, read;
  std::vector<size_t> left;
  int64_t live = 0;
};

int64_t peakOf(const std::vector<size_t> &order, const std::vector<StepValue> &values, const std::vector<int64_t> &bytes) {
  LiveBytes live(values, order.size());
  int64_t peak = 0;
  for (size_t step : order)
    peak = std::max(peak, live.run(step, bytes));
  return peak;
}

} // namespace

std::vector<size_t> orderForPeak(const StepGraph &graph, const std::vector<StepValue> &values,
                                 const std::vector<std::vector<int64_t>> &bytes) {
  Graph boostGraph = toBoost(graph);
  std::vector<size_t> plain = listSchedule(boostGraph, first);
  std::vector<size_t> best = plain;
  double bestCost = 1;
  for (const std::vector<int64_t> &sample : bytes) {
    LiveBytes live(values, graph.count);
    size_t done = 0;
    std::vector<size_t> order = listSchedule(boostGraph, [&](const std::set<size_t> &ready, const std::vector<size_t> &so) {
      for (; done < so.size(); ++done)
        live.run(so[done], sample);
      return *std::min_element(ready.begin(), ready.end(), [&](size_t a, size_t b) {
        int64_t left = live.change(a, sample), right = live.change(b, sample);
        return left != right ? left < right : a < b;
      });
    });
    double cost = 0;
    for (const std::vector<int64_t> &at : bytes)
      cost = std::max(cost, double(peakOf(order, values, at)) / double(std::max<int64_t>(1, peakOf(plain, values, at))));
    if (cost < bestCost) {
      bestCost = cost;
      best = order;
    }
  }
  return best;
}

} // namespace fovea
