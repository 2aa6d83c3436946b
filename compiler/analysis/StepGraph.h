// Steps of a function and the order in which they run. No MLIR here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace fovea {

/// Steps 0 .. count-1; an edge (a, b) makes a run before b.
struct StepGraph {
  size_t count = 0;
  std::vector<std::pair<size_t, size_t>> edges;

  /// An order that obeys the edges and, of what is free, prefers lower numbers; nullopt where there is a cycle.
  std::optional<std::vector<size_t>> topologicalOrder() const;
  /// Whether a path leads from `from` to `to` (true for from == to).
  bool reaches(size_t from, size_t to) const;
};

/// A value that steps hand to one another: written by `producer`, read by `consumers`.
struct StepValue {
  size_t producer;
  std::vector<size_t> consumers;
};

/// An order of `graph` with a low peak of live bytes. `bytes[s][v]` is the size of value v under sample s; the order's cost
/// is the largest, over the samples, of its peak relative to that of the plain topological order, which wins a tie.
/// The graph must be acyclic.
std::vector<size_t> orderForPeak(const StepGraph &graph, const std::vector<StepValue> &values,
                                 const std::vector<std::vector<int64_t>> &bytes);

} // namespace fovea
