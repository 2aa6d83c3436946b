// kernel.matmul against its definition: one multiply-add chain in k order, so the bits are known exactly.
#include "tests/unit/kernels/Harness.h"

#include "doctest/doctest.h"
#include <cmath>

using namespace fovea::test;

namespace {
/// C = A B + bias[n], stored through a row stride; `rhs` is B's type.
std::string text(const std::string &lhs, const std::string &rhs, bool packed) {
  return "kernel.func @f(%a: " + lhs + ", %b: " + rhs +
         ", %c: memref<?x?x?xf32, strided<[?, ?, 1]>>, %bias: memref<?xf32>, %size: index) {\n"
         "  kernel.matmul %a, %b " +
         (packed ? "packed " : "") +
         "n(%size) {\n"
         "  ^bb0(%acc: f32, %i: index, %m: index, %n: index):\n"
         "    %x = kernel.load %bias[%n] : memref<?xf32> -> f32\n"
         "    %y = arith.addf %acc, %x : f32\n"
         "    kernel.store %y, %c[%i, %m, %n] : f32, memref<?x?x?xf32, strided<[?, ?, 1]>>\n"
         "    kernel.yield\n"
         "  } : " +
         lhs + ", " + rhs + "\n  kernel.return\n}";
}
const char *const strided = "memref<?x?x?xf32, strided<[?, ?, ?], offset: ?>>";
const char *const contiguous = "memref<?x?x?xf32>";

struct Shape {
  int64_t batch, m, n, k;
  int64_t aStride = 0; ///< from one column of a transposed A to the next; 0: m
};

/// The sum of `length` products, of the pairs that `factors` gives.
float chain(const Target &target, llvm::function_ref<std::pair<float, float>(int64_t k)> factors, int64_t length) {
  float sum = 0;
  for (int64_t k = 0; k < length; ++k) {
    auto [x, y] = factors(k);
    if (target.fma) {
      sum = std::fma(x, y, sum);
    } else {
      volatile float product = x * y; // rounded
      sum += product;
    }
  }
  return sum;
}

float chain(const Target &target, Array<float> &a, Array<float> &b, const Shape &s, int64_t i, int64_t m, int64_t n) {
  return chain(target, [&](int64_t k) { return std::pair(a.at(i, m, k), b.at(i, k, n)); }, s.k);
}

/// Runs one shape and compares every output; what lies between the rows must stay. `packed` is null for plain B.
void check(Kernels &kernels, const Target &target, const Shape &s, bool transposeA, bool transposeB, bool packed) {
  CAPTURE(target.name.str());
  CAPTURE(s.batch);
  CAPTURE(s.m);
  CAPTURE(s.n);
  CAPTURE(s.k);
  CAPTURE(transposeA);
  CAPTURE(transposeB);
  Random random(s.m * 10007 + s.n * 101 + s.k);
  auto matrix = [&](int64_t rows, int64_t columns, bool transpose, bool shared, int64_t stride = 0) {
    stride = stride ? stride : rows;
    int64_t batchStride = shared ? 0 : (transpose ? stride : rows) * columns;
    Array<float> x({s.batch, rows, columns}, {batchStride, transpose ? 1 : columns, transpose ? stride : 1}, 0.0f);
    random.fill(x, -1, 1);
    return x;
  };
  Array<float> a = matrix(s.m, s.k, transposeA, false, s.aStride), b = matrix(s.k, s.n, transposeB, packed);
  int64_t panels = (s.n + target.panel - 1) / target.panel;
  Array<float> panelsOfB({panels, s.k, target.panel});
  for (int64_t p = 0; p < panels; ++p)
    for (int64_t k = 0; k < s.k; ++k)
      for (int64_t j = 0; j < target.panel && p * target.panel + j < s.n; ++j)
        panelsOfB.at(p, k, j) = b.at(0, k, p * target.panel + j);
  Array<float> bias({s.n}), c({s.batch, s.m, s.n}, {s.m * (s.n + 3), s.n + 3, 1}, -77.0f);
  random.fill(bias, -1, 1);
  std::vector<Argument> arguments{a, packed ? Argument(panelsOfB) : Argument(b), c, bias, s.n};
  kernels.run("f", arguments, 1 + s.m % 3, s.n % 2);
  int64_t wrong = 0;
  for (int64_t i = 0; i < s.batch; ++i)
    for (int64_t m = 0; m < s.m; ++m)
      for (int64_t n = 0; n < s.n; ++n) {
        float want = chain(target, a, b, s, i, m, n) + bias[n];
        if (c.at(i, m, n) != want && ++wrong == 1)
          FAIL_CHECK("at ", i, " ", m, " ", n, ": got ", c.at(i, m, n), ", want ", want);
      }
  CHECK(wrong == 0);
  bool untouched = true;
  for (int64_t row = 0; row + 1 < s.batch * s.m; ++row)
    for (int64_t gap = s.n; gap < s.n + 3; ++gap)
      untouched &= s.n == 0 || c[row * (s.n + 3) + gap] == -77.0f;
  CHECK(untouched);
  CHECK(c.guardsHold());
}
} // namespace

TEST_CASE("matmul with packed B gives the exact chain for all odd sizes") {
  for (const Target *target : runnableTargets()) {
    std::string packed = "memref<?x?x" + std::to_string(target->panel) + "xf32>";
    Kernels plainA(text(contiguous, packed, true), *target), anyA(text(strided, packed, true), *target);
    for (int64_t m : oddSizes)
      for (int64_t n : oddSizes)
        check((m + n) % 2 ? plainA : anyA, *target, {1 + (m + n) % 2, m, n, oddSizes[(m * 3 + n) % 10]}, false, false,
              true);
    check(anyA, *target, {2, 17, 31, 15}, true, false, true);
    for (bool foresees : {false, true}) {
      plainA.foresees = foresees;
      for (int64_t m : {1, 2, 3, 4})
        check(plainA, *target, {1, m, 97, 150}, false, false, true);
    }
  }
}

TEST_CASE("matmul with plain B gives the exact chain whatever the strides") {
  for (const Target *target : runnableTargets()) {
    Kernels unit(text(contiguous, contiguous, false), *target), any(text(strided, strided, false), *target);
    for (int64_t m : oddSizes)
      for (int64_t n : oddSizes) {
        int64_t k = oddSizes[(m * 7 + n) % 10];
        check(unit, *target, {2, m, n, k}, false, false, false);
        check(any, *target, {1, m, n, k}, m % 2, n % 2, false);
        check(any, *target, {3, m, n, k}, n % 2, m % 2, false);
      }
  }
}

TEST_CASE("an epilogue stores several values of each sum, of any type and through any strides") {
  const std::string any = "memref<?x?xf32, strided<[?, ?]>>", text = R"(
    kernel.func @f(%a: memref<?x?xf32>, %b: memref<?x?xf32>, %square: memref<?x?xf32>, %above: memref<?x?xi8>, %sum: )" +
                                                                     any + R"(, %size: index) {
      kernel.matmul %a, %b n(%size) {
      ^bb0(%acc: f32, %m: index, %n: index):
        %zero = arith.constant 0.0 : f32
        %s = arith.mulf %acc, %acc : f32
        %positive = arith.cmpf ogt, %acc, %zero : f32
        kernel.store %s, %square[%m, %n] : f32, memref<?x?xf32>
        kernel.store %positive, %above[%m, %n] : i1, memref<?x?xi8>
        kernel.store %acc, %sum[%m, %n] : f32, )" + any + R"(
        kernel.yield
      } : memref<?x?xf32>, memref<?x?xf32>
      kernel.return
    })";
  for (const Target *target : runnableTargets()) {
    CAPTURE(target->name.str());
    Kernels kernels(text, *target);
    for (Shape s : {Shape{1, 1, 1, 3}, Shape{1, 7, 17, 5}, Shape{1, 130, 97, 33}}) {
      Array<float> a({s.m, s.k}), b({s.k, s.n}), square({s.m, s.n}), sum({s.m, s.n}, {1, s.m}, 0.0f);
      Array<int8_t> above({s.m, s.n}, int8_t(7));
      Random random(s.m);
      random.fill(a, -1, 1);
      random.fill(b, -1, 1);
      kernels.run("f", {a, b, square, above, sum, s.n}, 1, false);
      int64_t wrong = 0;
      for (int64_t m = 0; m < s.m; ++m)
        for (int64_t n = 0; n < s.n; ++n) {
          float want = chain(*target, [&](int64_t k) { return std::pair(a.at(m, k), b.at(k, n)); }, s.k);
          wrong += sum.at(m, n) != want || square.at(m, n) != want * want || above.at(m, n) != (want > 0);
        }
      CHECK(wrong == 0);
      CHECK((square.guardsHold() && above.guardsHold() && sum.guardsHold()));
    }
  }
}

TEST_CASE("a product over nothing is 0, an empty product has no tasks") {
  for (const Target *target : runnableTargets()) {
    Kernels kernels(text(strided, strided, false), *target);
    check(kernels, *target, {2, 5, 7, 0}, false, false, false);
    for (Shape s : {Shape{0, 3, 3, 3}, Shape{1, 0, 3, 3}, Shape{1, 3, 0, 3}}) {
      Array<float> a({s.batch, s.m, s.k}), b({s.batch, s.k, s.n}), c({s.batch, s.m, s.n}), bias({s.n});
      CHECK(kernels.tasks("f", {a, b, c, bias, s.n}) == 0);
    }
  }
}

TEST_CASE("plain B that several blocks of rows read is packed once, by tasks before the others") {
  for (const Target *target : runnableTargets()) {
    Kernels unit(text(contiguous, contiguous, false), *target), any(text(strided, strided, false), *target);
    for (Shape s : {Shape{1, 300, 70, 40}, Shape{2, 517, 49, 33}, Shape{3, 257, 16, 5}, Shape{1, 131, 50, 1601}}) {
      check(unit, *target, s, false, false, false);
      for (bool transposeA : {false, true})
        for (bool transposeB : {false, true})
          check(any, *target, s, transposeA, transposeB, false);
      Array<float> a({s.batch, s.m, s.k}), b({s.batch, s.k, s.n}), c({s.batch, s.m, s.n}), bias({s.n});
      CHECK(unit.sharedBytes("f", {a, b, c, bias, s.n}) >= s.batch * s.k * s.n * 4);
    }
    Array<float> a({1, 40, 64}), b({1, 64, 70}), c({1, 40, 70}), bias({70});
    CHECK(unit.sharedBytes("f", {a, b, c, bias, 70}) == 0);
  }
}

TEST_CASE("adjacent rows of A whose steps fall into few sets of the cache are packed by each task") {
  for (const Target *target : runnableTargets()) {
    std::string panels = "memref<?x?x" + std::to_string(target->panel) + "xf32>";
    Kernels plain(text(strided, strided, false), *target), packed(text(strided, panels, true), *target);
    for (Shape s : {Shape{1, 1000, 100, 300, 1024}, Shape{2, 37, 470, 1100, 1024}, Shape{1, 19, 49, 270, 1024},
                    Shape{1, 24, 100, 40, 8192}, Shape{1, 9, 100, 300, 1024}, Shape{1, 280, 50, 300, 1040}}) {
      check(plain, *target, s, true, false, false);
      check(packed, *target, s, true, false, true);
    }
    auto scratch = [&](int64_t stride) {
      Array<float> a({1, 1000, 300}, {300 * stride, 1, stride}, 0.0f), b({1, 300, 100}), c({1, 1000, 100}), bias({100});
      return plain.scratchBytes("f", {a, b, c, bias, 100});
    };
    CHECK(scratch(1024) >= scratch(1001) + 48 * 300 * 4);
    CHECK(scratch(1040) == scratch(1001));
  }
}

TEST_CASE("where few rows of all of k stay near, k is summed up in slices by the same chains") {
  for (const Target *target : runnableTargets()) {
    std::string panels = "memref<?x?x" + std::to_string(target->panel) + "xf32>";
    Kernels unit(text(contiguous, panels, true), *target), any(text(strided, panels, true), *target);
    for (Shape s :
         {Shape{1, 57, 250, 2100}, Shape{2, 49, 31, 4099}, Shape{1, 131, 50, 2001}, Shape{1, 200, 17, 5003}}) {
      check(unit, *target, s, false, false, true);
      check(any, *target, s, true, false, true);
    }
    check(any, *target, {1, 60, 100, 3000, 1024}, true, false, true); // whose rows are packed as well
    auto scratch = [&](int64_t m, int64_t k, int64_t n = 250) {
      Array<float> a({1, m, k}), b({(n + target->panel - 1) / target->panel, k, target->panel}), c({1, m, n}),
          bias({n});
      return unit.scratchBytes("f", {a, b, c, bias, n});
    };
    // However large the output is, a task's sums stay near: half of the second level, beside what narrow panels leave.
    CHECK(scratch(4000, 1900, 4500) <= target->l2Bytes / 2 * std::max(1, 48 / int(target->panel)) * 6 / 5);
    CHECK(scratch(57, 4099) >= scratch(57, 512) + 16 * 192 * 4);
    CHECK(scratch(1, 4099) == scratch(1, 512));
  }
}

TEST_CASE("large products are cut into several tasks, with the same bits for any cut") {
  for (const Target *target : runnableTargets()) {
    Kernels kernels(text(contiguous, contiguous, false), *target);
    Shape s{1, 131, 197, 64};
    Random random(5);
    Array<float> a({1, s.m, s.k}), b({1, s.k, s.n}), bias({s.n}), all({1, s.m, s.n}), one({1, s.m, s.n});
    random.fill(a, -1, 1), random.fill(b, -1, 1);
    CHECK(kernels.tasks("f", {a, b, all, bias, s.n}) > 1);
    kernels.run("f", {a, b, all, bias, s.n}, 1000);
    kernels.run("f", {a, b, one, bias, s.n}, 1, true);
    CHECK(all == one);
    // A row alone.
    Array<float> row({1, 1, s.n});
    Array<float> input({1, 1, s.k});
    for (int64_t k = 0; k < s.k; ++k)
      input[k] = a.at(0, 100, k);
    kernels.run("f", {input, b, row, bias, s.n});
    CHECK(std::memcmp(row.data(), &all.at(0, 100, 0), s.n * sizeof(float)) == 0);
  }
}

/// Packed B of 8 or 16 bits beside A in f32: the chain over the numbers that B holds.
template <typename T> static void checkNarrow(const char *element, T (*store)(int), float (*value)(T)) {
  for (const Target *target : runnableTargets()) {
    Kernels kernels(text(contiguous, "memref<?x?x" + std::to_string(target->panel) + "x" + element + ">", true),
                    *target);
    std::vector<Shape> shapes{{1, 53, 31, 4099}}; // of k in slices
    for (int64_t m : oddSizes)
      for (int64_t n : {1, 7, 16, 31, 97})
        shapes.push_back({1, m, n, oddSizes[(m * 3 + n) % 10]});
    for (Shape s : shapes) {
      int64_t m = s.m, n = s.n;
      Random random(m * 101 + n);
      int64_t panels = (n + target->panel - 1) / target->panel;
      Array<float> a({1, m, s.k}), b({1, s.k, n}), c({1, m, n}), bias({n});
      Array<T> packed({panels, s.k, target->panel});
      random.fill(a, -1, 1);
      for (int64_t k = 0; k < s.k; ++k)
        for (int64_t j = 0; j < n; ++j) {
          T x = store(int(random.below(255)) - 127);
          packed.at(j / target->panel, k, j % target->panel) = x;
          b.at(0, k, j) = value(x);
        }
      kernels.run("f", {a, packed, c, bias, n}, 2);
      bool same = true;
      for (int64_t i = 0; i < m; ++i)
        for (int64_t j = 0; j < n; ++j)
          same &= c.at(0, i, j) == chain(*target, a, b, s, 0, i, j);
      CAPTURE(target->name.str());
      CAPTURE(m);
      CAPTURE(n);
      CHECK(same);
    }
  }
}

TEST_CASE("weights of 8 and 16 bits are widened exactly") {
  checkNarrow<int8_t>("i8", [](int x) { return int8_t(x); }, [](int8_t x) { return float(x); });
  // Eight bits of an integer fit into bf16, the upper half of an f32.
  checkNarrow<uint16_t>(
      "bf16",
      [](int x) {
        float f = float(x) / 16;
        uint32_t bits;
        std::memcpy(&bits, &f, 4);
        return uint16_t(bits >> 16);
      },
      [](uint16_t x) {
        uint32_t bits = uint32_t(x) << 16;
        float f;
        std::memcpy(&f, &bits, 4);
        return f;
      });
}
