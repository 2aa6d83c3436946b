// kernel.matmul with a k_block: sums of bytes are exact and the same on every target, sums of bf16 within the roundings
// of a chain of dot products.
#include "tests/unit/kernels/Harness.h"

#include "doctest/doctest.h"
#include <cmath>

using namespace fovea::test;
using fovea::kernels::Precision;

namespace {
/// C = A B, stored through a row stride.
std::string text(const Target &target, const std::string &element, const std::string &sum, int64_t kBlock) {
  std::string lhs = "memref<?x?x" + element + ">",
              rhs = "memref<?x?x" + std::to_string(target.panel * kBlock) + "x" + element + ">",
              out = "memref<?x?x" + sum + ", strided<[?, 1]>>";
  return "kernel.func @f(%a: " + lhs + ", %b: " + rhs + ", %c: " + out +
         ", %size: index) {\n"
         "  kernel.matmul %a, %b packed n(%size) {\n"
         "  ^bb0(%acc: " +
         sum +
         ", %m: index, %n: index):\n"
         "    kernel.store %acc, %c[%m, %n] : " +
         sum + ", " + out + "\n    kernel.yield\n  } {k_block = " + std::to_string(kBlock) + " : i64} : " + lhs + ", " +
         rhs + "\n  kernel.return\n}";
}

/// B [K, N] in panels, as graph.pack lays it out.
template <typename T> Array<T> pack(Array<T> &b, int64_t panel, int64_t kBlock) {
  int64_t k = b.sizes[0], n = b.sizes[1];
  Array<T> packed({(n + panel - 1) / panel, k / kBlock, panel * kBlock});
  for (int64_t i = 0; i < k; ++i)
    for (int64_t j = 0; j < n; ++j)
      packed.at(j / panel, i / kBlock, j % panel * kBlock + i % kBlock) = b.at(i, j);
  return packed;
}

float widen(uint16_t x) {
  uint32_t bits = uint32_t(x) << 16;
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
}
/// Cut off, not rounded: any number will do.
uint16_t narrow(double x) {
  float f = float(x);
  uint32_t bits;
  std::memcpy(&bits, &f, 4);
  return uint16_t(bits >> 16);
}

/// Runs C = A B for an A [m, k]; what lies between C's rows must stay.
template <typename T, typename Sum>
Array<Sum> product(Kernels &kernels, Array<T> &a, Array<T> &packed, int64_t n, int64_t chunk = 1) {
  int64_t m = a.sizes[0], gap = 3;
  Array<Sum> c({m, n}, {n + gap, 1}, Sum(-77));
  kernels.run("f", {a, packed, c, n}, chunk, n % 2);
  bool untouched = c.guardsHold();
  for (int64_t row = 0; row + 1 < m; ++row)
    for (int64_t j = n; j < n + gap; ++j)
      untouched &= c.at(row, j) == Sum(-77);
  CHECK(untouched);
  return c;
}

/// Whether a row has the same bits alone as among others.
template <typename T, typename Sum>
bool standsAlone(Kernels &kernels, Array<T> &a, Array<T> &packed, Array<Sum> &all, int64_t row, int64_t n) {
  Array<T> one({1, a.sizes[1]});
  for (int64_t k = 0; k < a.sizes[1]; ++k)
    one[k] = a.at(row, k);
  Array<Sum> alone = product<T, Sum>(kernels, one, packed, n);
  return std::memcmp(alone.data(), &all.at(row, 0), n * sizeof(Sum)) == 0;
}
} // namespace

TEST_CASE("sums of unsigned by signed bytes are exact on every target") {
  for (const Target *target : runnableTargets(Precision::I8)) {
    int64_t kBlock = target->i8.kBlock;
    Kernels kernels(text(*target, "i8", "i32", kBlock), *target);
    CAPTURE(target->name.str());
    for (int64_t m : oddSizes)
      for (int64_t n : oddSizes) {
        int64_t k = oddSizes[(m * 3 + n) % 10] * kBlock;
        CAPTURE(m);
        CAPTURE(n);
        CAPTURE(k);
        Random random(m * 10007 + n * 101 + k);
        bool isExtreme = (m + n) % 3 == 0; // sums of pairs as large as can be, which 16 bits do not hold
        Array<int8_t> a({m, k}), b({k, n});
        for (int64_t i = 0; i < a.size(); ++i)
          a[i] = isExtreme ? int8_t(255) : int8_t(random.below(256));
        for (int64_t i = 0; i < b.size(); ++i)
          b[i] = isExtreme ? int8_t(i % 2 ? 127 : -128) : int8_t(random.below(256));
        Array<int8_t> packed = pack(b, target->panel, kBlock);
        Array<int32_t> c = product<int8_t, int32_t>(kernels, a, packed, n, 1 + m % 3);
        int64_t wrong = 0;
        for (int64_t i = 0; i < m; ++i)
          for (int64_t j = 0; j < n; ++j) {
            int32_t want = 0;
            for (int64_t t = 0; t < k; ++t)
              want += int32_t(uint8_t(a.at(i, t))) * b.at(t, j);
            wrong += c.at(i, j) != want;
          }
        CHECK(wrong == 0);
      }
  }
}

TEST_CASE("sums of bf16 are off by the roundings of their chain at most") {
  for (const Target *target : runnableTargets(Precision::BF16)) {
    int64_t kBlock = target->bf16.kBlock;
    if (kBlock == 1) // f32 multiply-adds: their bits are known (MatmulTest)
      continue;
    Kernels kernels(text(*target, "bf16", "f32", kBlock), *target);
    CAPTURE(target->name.str());
    for (int64_t m : oddSizes)
      for (int64_t n : oddSizes) {
        int64_t k = oddSizes[(m * 3 + n) % 10] * kBlock;
        CAPTURE(m);
        CAPTURE(n);
        CAPTURE(k);
        Random random(m * 10007 + n * 101 + k);
        Array<uint16_t> a({m, k}), b({k, n});
        for (int64_t i = 0; i < a.size(); ++i)
          a[i] = narrow(random.uniform(-1, 1));
        for (int64_t i = 0; i < b.size(); ++i)
          b[i] = narrow(random.uniform(-1, 1));
        if (m == 7) // below the least normal number: counted as 0
          a[0] = narrow(0x1p-130);
        Array<uint16_t> packed = pack(b, target->panel, kBlock);
        Array<float> c = product<uint16_t, float>(kernels, a, packed, n, 1 + m % 3);
        int64_t wrong = 0;
        for (int64_t i = 0; i < m; ++i)
          for (int64_t j = 0; j < n; ++j) {
            double want = 0, magnitude = 0;
            for (int64_t t = 0; t < k; ++t) {
              double x = double(widen(a.at(i, t))) * widen(b.at(t, j));
              want += x;
              magnitude += std::fabs(x);
            }
            // Products are exact in f32; each of k additions rounds what is at most all magnitudes.
            double bound = magnitude * (double(k) * 0x1p-24) * (1 + double(k) * 0x1p-24) + double(k) * 0x1p-125;
            wrong += !(std::fabs(c.at(i, j) - want) <= bound);
          }
        CHECK(wrong == 0);
      }
  }
}

TEST_CASE("NaN and infinities go through products of bf16") {
  for (const Target *target : runnableTargets(Precision::BF16)) {
    if (target->bf16.kBlock == 1)
      continue;
    Kernels kernels(text(*target, "bf16", "f32", target->bf16.kBlock), *target);
    Array<uint16_t> a({3, 8}, narrow(1)), b({8, 5}, narrow(2));
    a.at(0, 3) = narrow(std::nan(""));
    a.at(1, 6) = narrow(-INFINITY);
    Array<uint16_t> packed = pack(b, target->panel, target->bf16.kBlock);
    Array<float> c = product<uint16_t, float>(kernels, a, packed, 5);
    CHECK(std::isnan(c.at(0, 4)));
    CHECK(c.at(1, 4) == -INFINITY);
    CHECK(c.at(2, 4) == 16);
  }
}

TEST_CASE("dot products of large matrices are cut into several tasks, with the same bits for any cut") {
  for (Precision precision : {Precision::BF16, Precision::I8})
    for (const Target *target : runnableTargets(precision)) {
      bool isBFloat = precision == Precision::BF16;
      int64_t kBlock = (isBFloat ? target->bf16 : target->i8).kBlock, m = 131, n = 597, k = 320;
      if (kBlock == 1)
        continue;
      CAPTURE(target->name.str());
      Kernels kernels(text(*target, isBFloat ? "bf16" : "i8", isBFloat ? "f32" : "i32", kBlock), *target);
      Random random(11);
      auto check = [&](auto element, auto sum, auto make) {
        using T = decltype(element);
        using Sum = decltype(sum);
        Array<T> a({m, k}), b({k, n});
        for (int64_t i = 0; i < a.size(); ++i)
          a[i] = make();
        for (int64_t i = 0; i < b.size(); ++i)
          b[i] = make();
        Array<T> packed = pack(b, target->panel, kBlock);
        Array<Sum> all = product<T, Sum>(kernels, a, packed, n, 1000), one = product<T, Sum>(kernels, a, packed, n);
        CHECK(kernels.tasks("f", {a, packed, all, n}) > 1);
        CHECK(all == one);
        CHECK(standsAlone(kernels, a, packed, all, 0, n));
        CHECK(standsAlone(kernels, a, packed, all, 100, n));
      };
      if (isBFloat)
        check(uint16_t(), float(), [&] { return narrow(random.uniform(-1, 1)); });
      else
        check(int8_t(), int32_t(), [&] { return int8_t(random.below(256)); });
    }
}
