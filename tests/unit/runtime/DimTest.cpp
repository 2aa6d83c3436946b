#include "runtime/core/Dim.h"

#include <doctest/doctest.h>
#include <vector>

using namespace fovea::rt;

static DimResult run(std::vector<int64_t> code, int64_t &value) {
  int64_t symbols[] = {7, -3};
  fovea_dim dim = {code.data(), static_cast<int64_t>(code.size()), ""};
  return evaluate(dim, symbols, 2, value);
}

static int64_t binary(int64_t a, int64_t b, int64_t op) {
  int64_t value = -999;
  CHECK(run({FOVEA_DIM_PUSH, a, FOVEA_DIM_PUSH, b, op}, value) == DimResult::Ok);
  return value;
}

TEST_CASE("dim: operators") {
  CHECK(binary(3, 4, FOVEA_DIM_ADD) == 7);
  CHECK(binary(3, -4, FOVEA_DIM_MUL) == -12);
  CHECK(binary(7, 2, FOVEA_DIM_FLOORDIV) == 3);
  CHECK(binary(-7, 2, FOVEA_DIM_FLOORDIV) == -4);
  CHECK(binary(7, -2, FOVEA_DIM_FLOORDIV) == -4);
  CHECK(binary(-6, 2, FOVEA_DIM_FLOORDIV) == -3);
  CHECK(binary(-7, 3, FOVEA_DIM_MOD) == 2);
  CHECK(binary(7, -3, FOVEA_DIM_MOD) == -2);
  CHECK(binary(-6, 3, FOVEA_DIM_MOD) == 0);
  CHECK(binary(7, 3, FOVEA_DIM_MAX) == 7);
  CHECK(binary(7, 3, FOVEA_DIM_MIN) == 3);
  int64_t value;
  CHECK(run({FOVEA_DIM_SYMBOL, 0, FOVEA_DIM_SYMBOL, 1, FOVEA_DIM_MUL}, value) == DimResult::Ok);
  CHECK(value == -21);
}

TEST_CASE("dim: what cannot be evaluated") {
  int64_t value;
  CHECK(run({FOVEA_DIM_PUSH, INT64_MAX, FOVEA_DIM_PUSH, 1, FOVEA_DIM_ADD}, value) == DimResult::Overflow);
  CHECK(run({FOVEA_DIM_PUSH, INT64_MAX, FOVEA_DIM_PUSH, 2, FOVEA_DIM_MUL}, value) == DimResult::Overflow);
  CHECK(run({FOVEA_DIM_PUSH, INT64_MIN, FOVEA_DIM_PUSH, -1, FOVEA_DIM_FLOORDIV}, value) == DimResult::Overflow);
  CHECK(run({FOVEA_DIM_PUSH, 1, FOVEA_DIM_PUSH, 0, FOVEA_DIM_FLOORDIV}, value) == DimResult::DivideByZero);
  CHECK(run({FOVEA_DIM_PUSH, 1, FOVEA_DIM_PUSH, 0, FOVEA_DIM_MOD}, value) == DimResult::DivideByZero);
  CHECK(run({}, value) == DimResult::Malformed);
  CHECK(run({FOVEA_DIM_PUSH}, value) == DimResult::Malformed);
  CHECK(run({FOVEA_DIM_SYMBOL, 2}, value) == DimResult::Malformed);
  CHECK(run({FOVEA_DIM_SYMBOL, -1}, value) == DimResult::Malformed);
  CHECK(run({FOVEA_DIM_PUSH, 1, FOVEA_DIM_ADD}, value) == DimResult::Malformed);
  CHECK(run({FOVEA_DIM_PUSH, 1, FOVEA_DIM_PUSH, 1}, value) == DimResult::Malformed);
  CHECK(run({FOVEA_DIM_PUSH, 1, FOVEA_DIM_PUSH, 1, 99}, value) == DimResult::Malformed);
  std::vector<int64_t> deep;
  for (int i = 0; i < 1000; ++i)
    deep.insert(deep.end(), {FOVEA_DIM_PUSH, 1});
  CHECK(run(deep, value) == DimResult::Malformed);
}
