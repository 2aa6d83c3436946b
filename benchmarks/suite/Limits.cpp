#include "benchmarks/suite/Limits.h"

#include <algorithm>
#include <immintrin.h>
#include <sys/mman.h>
#include <time.h>

namespace fovea::bench {

double now() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + 1e-9 * t.tv_nsec;
}

int vectorWidth() {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f"))
    return 16;
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? 8 : 4;
}

namespace {

// Twelve accumulators: latency 4 times two pipes is eight, and no register is spilled at any width.
#define FOVEA_CHAINS(M) M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8) M(9) M(10) M(11)
#define FOVEA_PIN asm volatile("" : "+x"(a0), "+x"(a1), "+x"(a2), "+x"(a3), "+x"(a4), "+x"(a5)); \
  asm volatile("" : "+x"(a6), "+x"(a7), "+x"(a8), "+x"(a9), "+x"(a10), "+x"(a11));
#define FOVEA_PIN512 asm volatile("" : "+v"(a0), "+v"(a1), "+v"(a2), "+v"(a3), "+v"(a4), "+v"(a5)); \
  asm volatile("" : "+v"(a6), "+v"(a7), "+v"(a8), "+v"(a9), "+v"(a10), "+v"(a11));

__attribute__((target("avx512f"))) void chains16(int64_t steps) {
  __m512 x = _mm512_set1_ps(0.999999f), y = _mm512_set1_ps(1e-6f);
#define M(i) __m512 a##i = _mm512_set1_ps(1.0f + i);
  FOVEA_CHAINS(M)
#undef M
#define M(i) a##i = _mm512_fmadd_ps(a##i, x, y);
  for (int64_t k = 0; k < steps; ++k) {
    FOVEA_CHAINS(M)
    FOVEA_PIN512
  }
#undef M
}

__attribute__((target("avx2,fma"))) void chains8(int64_t steps) {
  __m256 x = _mm256_set1_ps(0.999999f), y = _mm256_set1_ps(1e-6f);
#define M(i) __m256 a##i = _mm256_set1_ps(1.0f + i);
  FOVEA_CHAINS(M)
#undef M
#define M(i) a##i = _mm256_fmadd_ps(a##i, x, y);
  for (int64_t k = 0; k < steps; ++k) {
    FOVEA_CHAINS(M)
    FOVEA_PIN
  }
#undef M
}

void chains4(int64_t steps) {
  __m128 x = _mm_set1_ps(0.999999f), y = _mm_set1_ps(1e-6f);
#define M(i) __m128 a##i = _mm_set1_ps(1.0f + i);
  FOVEA_CHAINS(M)
#undef M
#define M(i) a##i = _mm_add_ps(_mm_mul_ps(a##i, x), y);
  for (int64_t k = 0; k < steps; ++k) {
    FOVEA_CHAINS(M)
    FOVEA_PIN
  }
#undef M
}

__attribute__((target("avx512f"))) void read16(const float *p, size_t count) {
  __m512 s0 = _mm512_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
  for (size_t i = 0; i < count; i += 64) {
    s0 = _mm512_add_ps(s0, _mm512_load_ps(p + i));
    s1 = _mm512_add_ps(s1, _mm512_load_ps(p + i + 16));
    s2 = _mm512_add_ps(s2, _mm512_load_ps(p + i + 32));
    s3 = _mm512_add_ps(s3, _mm512_load_ps(p + i + 48));
  }
  asm volatile("" : : "v"(s0), "v"(s1), "v"(s2), "v"(s3));
}

__attribute__((target("avx2"))) void read8(const float *p, size_t count) {
  __m256 s[8];
  for (__m256 &x : s)
    x = _mm256_setzero_ps();
  for (size_t i = 0; i < count; i += 64)
    for (int j = 0; j < 8; ++j)
      s[j] = _mm256_add_ps(s[j], _mm256_load_ps(p + i + 8 * j));
  for (__m256 &x : s)
    asm volatile("" : : "x"(x));
}

void read4(const float *p, size_t count) {
  __m128 s[8];
  for (__m128 &x : s)
    x = _mm_setzero_ps();
  for (size_t i = 0; i < count; i += 32)
    for (int j = 0; j < 8; ++j)
      s[j] = _mm_add_ps(s[j], _mm_load_ps(p + i + 4 * j));
  for (__m128 &x : s)
    asm volatile("" : : "x"(x));
}

/// Calls `step(n)` with growing n until it takes long enough; the best rate of several calls, in units a second.
template <class Step> double bestRate(double seconds, Step step) {
  int64_t n = 1;
  double best = 0, end = now() + seconds;
  do {
    double start = now();
    step(n);
    double took = now() - start;
    if (took < 1e-3)
      n *= 2;
    else
      best = std::max(best, n / took);
  } while (now() < end || best == 0);
  return best;
}

} // namespace

double fmaRate(double seconds) {
  int width = vectorWidth();
  auto chains = width == 16 ? chains16 : width == 8 ? chains8 : chains4;
  return bestRate(seconds, [&](int64_t n) { chains(n * 1000); }) * 1000 * 12 * width * 2 * 1e-9;
}

double readRate(size_t bytes, double seconds) {
  bytes = (bytes + 4095) / 4096 * 4096;
  void *memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    return 0;
  madvise(memory, bytes, MADV_HUGEPAGE);
  auto *p = static_cast<float *>(memory);
  for (size_t i = 0; i < bytes / 4; ++i)
    p[i] = static_cast<float>(i & 7);
  int width = vectorWidth();
  auto read = width == 16 ? read16 : width == 8 ? read8 : read4;
  double rate = bestRate(seconds, [&](int64_t n) {
    for (int64_t i = 0; i < n; ++i)
      read(p, bytes / 4);
  });
  munmap(memory, bytes);
  return rate * bytes * 1e-9;
}

} // namespace fovea::bench
