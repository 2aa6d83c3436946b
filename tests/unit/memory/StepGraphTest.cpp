#include "compiler/analysis/StepGraph.h"

#include <doctest/doctest.h>

using namespace fovea;

TEST_CASE("topological order prefers the given one and finds cycles") {
  StepGraph graph{4, {{2, 0}, {0, 3}}};
  CHECK(*graph.topologicalOrder() == std::vector<size_t>{1, 2, 0, 3});
  graph.edges.push_back({3, 2});
  CHECK(!graph.topologicalOrder());
}

TEST_CASE("reachability") {
  StepGraph graph{4, {{0, 1}, {1, 2}}};
  CHECK(graph.reaches(0, 2));
  CHECK(graph.reaches(3, 3));
  CHECK(!graph.reaches(2, 0));
  CHECK(!graph.reaches(0, 3));
}

TEST_CASE("large values that wait are made late") {
  // 0 and 2 make large values that 1 and 3 turn into small ones; 4 takes both.
  StepGraph graph{5, {{0, 1}, {2, 3}, {1, 4}, {3, 4}}};
  std::vector<StepValue> values = {{0, {1}}, {1, {4}}, {2, {3}}, {3, {4}}};
  std::vector<size_t> order = orderForPeak(graph, values, {{100, 1, 100, 1}});
  CHECK(order == std::vector<size_t>{0, 1, 2, 3, 4});
  // The same with the steps numbered so that the plain order makes both large values first.
  StepGraph other{5, {{0, 2}, {1, 3}, {2, 4}, {3, 4}}};
  std::vector<StepValue> flow = {{0, {2}}, {1, {3}}, {2, {4}}, {3, {4}}};
  CHECK(orderForPeak(other, flow, {{100, 100, 1, 1}}) == std::vector<size_t>{0, 2, 1, 3, 4});
}
