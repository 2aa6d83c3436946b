// What is computed of attention weights, and the largest of rows: bits over threads, and all sizes beside the oracle.
#include "Program.h"

#include <algorithm>
#include <cmath>
#include <numeric>

using namespace fovea::test;

namespace {

const char *const targets[] = {"x86-64", "x86-64-v3", "x86-64-v4"};

/// Everything that `statistics` gives, as bytes.
std::string statistics(const char *target, int32_t threads, int64_t size) {
  constexpr int64_t heads = 3, dim = 16;
  Program program;
  if (!program.load("long", nullptr, target, threads))
    return {};
  Numbers numbers(5);
  std::vector<float> q = numbers.reals(heads * size * dim), k = numbers.reals(q.size()), v = numbers.reals(q.size());
  std::vector<float> y(q.size()), entropy(heads * size), mass(heads * size), weights(heads * size * 8),
      chosen(heads * 2 * size);
  std::vector<int64_t> keys(weights.size()), rows{size / 2, 0};
  std::vector<int64_t> shape{1, heads, size, dim}, row{1, heads, size}, largest{1, heads, size, 8};
  program.run("statistics", {tensor(shape, q), tensor(shape, k), tensor(shape, v), tensor(FOVEA_I64, {2}, rows.data())},
              {tensor(shape, y), tensor(row, entropy), tensor(row, mass), tensor(largest, weights),
               tensor(FOVEA_I64, largest, keys.data()), tensor({1, heads, 2, size}, chosen)});
  std::string bytes;
  for (const std::vector<float> *part : {&y, &entropy, &mass, &weights, &chosen})
    bytes.append(reinterpret_cast<const char *>(part->data()), part->size() * 4);
  return bytes.append(reinterpret_cast<const char *>(keys.data()), keys.size() * 8);
}

/// The places of `count` elements, `stride` apart, in the order of top_k.
std::vector<int64_t> ordered(const float *x, int64_t count, int64_t stride) {
  std::vector<int64_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    float left = x[a * stride], right = x[b * stride];
    return !std::isnan(right) && (std::isnan(left) || left > right);
  });
  return order;
}

/// Numbers of which many are equal, some not finite, and rows that ascend: every element of these replaces another one.
std::vector<float> awkward(int64_t rows, int64_t size) {
  Numbers numbers(uint64_t(rows * 1000 + size));
  std::vector<float> x = numbers.reals(rows * size);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t i = 0; i < size; ++i) {
      float &element = x[r * size + i];
      if (r % 4 == 1)
        element = std::floor(element * 4);
      if (r % 4 == 2)
        element = float(i);
      if (r % 4 == 3)
        element = i % 5 == 0 ? NAN : i % 3 == 0 ? -INFINITY : element;
    }
  return x;
}

bool isSame(float a, float b) { return a == b || (std::isnan(a) && std::isnan(b)); }

} // namespace

TEST_CASE("statistics of attention have the same bits on any number of threads") {
  for (const char *target : targets)
    for (int64_t size : {8, 65, 1300}) {
      CAPTURE(std::string(target));
      CAPTURE(size);
      std::string one = statistics(target, 1, size);
      CHECK(one == statistics(target, 2, size));
      CHECK(one == statistics(target, 3, size));
    }
}

TEST_CASE("top_k of rows of any size, contiguous and strided") {
  for (const char *target : targets) {
    Program program;
    if (!program.load("long", nullptr, target, 2))
      continue;
    CAPTURE(std::string(target));
    for (int64_t rows : {1, 5, 67})
      for (int64_t size : {1, 2, 15, 16, 17, 33, 1025})
        for (int64_t k : {int64_t(0), int64_t(1), std::min<int64_t>(size, 7), size}) {
          CAPTURE(rows);
          CAPTURE(size);
          CAPTURE(k);
          std::vector<float> x = awkward(rows, size), values(rows * k + 1), down(rows * size);
          std::vector<int64_t> places(rows * k + 1), order(rows * size);
          program.run("largest", {tensor({rows, size}, x), tensor(FOVEA_I64, {}, &k)},
                      {tensor({rows, k}, values), tensor(FOVEA_I64, {rows, k}, places.data()),
                       tensor({size, rows}, down), tensor(FOVEA_I64, {size, rows}, order.data())});
          int wrong = 0;
          for (int64_t r = 0; r < rows; ++r) {
            std::vector<int64_t> expected = ordered(&x[r * size], size, 1);
            for (int64_t i = 0; i < k; ++i)
              wrong += places[r * k + i] != expected[i] || !isSame(values[r * k + i], x[r * size + expected[i]]);
          }
          for (int64_t c = 0; c < size; ++c) {
            std::vector<int64_t> expected = ordered(&x[c], rows, size);
            for (int64_t i = 0; i < rows; ++i)
              wrong += order[c * rows + i] != expected[i] || !isSame(down[c * rows + i], x[expected[i] * size + c]);
          }
          CHECK(wrong == 0);
        }
  }
}
