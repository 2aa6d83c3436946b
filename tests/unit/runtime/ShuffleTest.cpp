#include "runtime/main/Shuffle.h"

#include <algorithm>
#include <doctest/doctest.h>
#include <vector>

using namespace fovea::rt;

static std::vector<int64_t> orderOf(size_t rows, int64_t seed, int64_t epoch) {
  Array<int64_t> order;
  REQUIRE(order.resize(rows));
  shuffle(order, seed, epoch);
  return {order.begin(), order.end()};
}

TEST_CASE("shuffle: a permutation that seed and epoch decide") {
  for (size_t rows : {0, 1, 2, 3, 100}) {
    std::vector<int64_t> order = orderOf(rows, 7, 3);
    CHECK(order == orderOf(rows, 7, 3));
    std::sort(order.begin(), order.end());
    for (size_t i = 0; i < rows; ++i)
      CHECK(order[i] == static_cast<int64_t>(i));
  }
  CHECK(orderOf(100, 7, 3) != orderOf(100, 8, 3));
  CHECK(orderOf(100, 7, 3) != orderOf(100, 7, 4));
  CHECK(orderOf(100, 7, 3) != orderOf(101, 7, 3));
}

TEST_CASE("shuffle: each row comes to each place about equally often") {
  constexpr int rows = 5, epochs = 20000;
  int counts[rows][rows] = {};
  for (int epoch = 0; epoch < epochs; ++epoch) {
    std::vector<int64_t> order = orderOf(rows, 1, epoch);
    for (int i = 0; i < rows; ++i)
      ++counts[i][order[static_cast<size_t>(i)]];
  }
  // Binomial of 20000 at 1/5: a standard deviation of 57, so that six of them are never seen.
  for (const auto &line : counts)
    for (int count : line)
      CHECK(std::abs(count - epochs / rows) < 6 * 57);
}
