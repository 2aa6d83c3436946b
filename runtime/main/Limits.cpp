#include "runtime/main/Limits.h"

#include "runtime/core/Cpu.h"
#include "runtime/core/Profile.h"

#include <stdio.h>
#include <sys/mman.h>

namespace fovea::rt {
namespace {

constexpr int chains = 12; ///< latency 4 times two pipes is eight; no width spills twelve and two
constexpr int sums = 8;

/// `multiplyAdds`: `steps` times a multiply-add in each of the chains. `read`: every vector of [p, end), whose bytes
/// are a multiple of 512.
#define FOVEA_MEASURED_LOOPS(lanes, attributes)                                                                        \
  struct Loops##lanes {                                                                                                \
    typedef float Vector __attribute__((vector_size(4 * lanes)));                                                      \
    attributes static void multiplyAdds(int64_t steps) {                                                               \
      Vector a[chains], x = Vector{} + 0.999999f, y = Vector{} + 1e-6f;                                                \
      for (int i = 0; i < chains; ++i)                                                                                 \
        a[i] = Vector{} + static_cast<float>(i);                                                                       \
      for (int64_t k = 0; k < steps; ++k)                                                                              \
        _Pragma("clang loop unroll(full)") for (int i = 0; i < chains; ++i) {                                          \
          a[i] = a[i] * x + y;                                                                                         \
          __asm__ volatile("" : "+v"(a[i]));                                                                           \
        }                                                                                                              \
    }                                                                                                                  \
    attributes static void read(const char *p, const char *end) {                                                      \
      Vector s[sums] = {};                                                                                             \
      for (; p < end; p += sizeof(s))                                                                                  \
        _Pragma("clang loop unroll(full)") for (int i = 0; i < sums; ++i) {                                            \
          s[i] += reinterpret_cast<const Vector *>(p)[i];                                                              \
          __asm__ volatile("" : "+v"(s[i]));                                                                           \
        }                                                                                                              \
    }                                                                                                                  \
  };

#if defined(__x86_64__)
FOVEA_MEASURED_LOOPS(16, __attribute__((target("avx512f"))))
FOVEA_MEASURED_LOOPS(8, __attribute__((target("avx2,fma"))))
#endif
FOVEA_MEASURED_LOOPS(4, )

#if defined(__x86_64__)
/// `steps` times a dot product in each of `count` chains: they take longer than multiply-adds, 24 hide that.
#define FOVEA_MEASURED_DOTS(name, isa, bytes, count, instruction)                                                      \
  __attribute__((target(isa))) static void name(int64_t steps) {                                                       \
    typedef int Vector __attribute__((vector_size(bytes)));                                                            \
    Vector a[count] = {}, x = {};                                                                                      \
    for (int64_t k = 0; k < steps; ++k)                                                                                \
      _Pragma("clang loop unroll(full)") for (int i = 0; i < count; ++i) {                                             \
        __asm__ volatile(instruction " %1, %1, %0" : "+v"(a[i]) : "v"(x));                                             \
      }                                                                                                                \
  }
FOVEA_MEASURED_DOTS(dotsOfBFloats, "avx512f", 64, 24, "vdpbf16ps")
FOVEA_MEASURED_DOTS(dotsOfBytes, "avx512f", 64, 24, "vpdpbusd")
FOVEA_MEASURED_DOTS(shortDotsOfBytes, "avx2", 32, 12, "%{vex%} vpdpbusd")
#endif

struct Loops {
  int lanes;
  void (*multiplyAdds)(int64_t steps);
  void (*read)(const char *p, const char *end);
};

Loops widest() {
#if defined(__x86_64__)
  if (cpuHas("avx512f"))
    return {16, Loops16::multiplyAdds, Loops16::read};
  if (cpuHas("avx2") && cpuHas("fma"))
    return {8, Loops8::multiplyAdds, Loops8::read};
#endif
  return {4, Loops4::multiplyAdds, Loops4::read};
}

/// The best rate at which all threads do `step(thread, count)`, in counts a second of one thread. A window is a
/// millisecond at least.
template <typename Step> double bestRate(ThreadPool &pool, double seconds, Step step) {
  struct Window {
    Step &step;
    int64_t count;
    static void run(void *window, int32_t thread) {
      auto &self = *static_cast<Window *>(window);
      self.step(thread, self.count);
    }
  } window{step, 1};
  double best = 0;
  int64_t end = nanoseconds() + static_cast<int64_t>(seconds * 1e9);
  do {
    int64_t begin = nanoseconds();
    pool.run(Window::run, &window);
    int64_t took = nanoseconds() - begin;
    double rate = static_cast<double>(window.count) * 1e9 / static_cast<double>(took > 0 ? took : 1);
    if (took < 1'000'000)
      window.count *= 2;
    else
      best = rate > best ? rate : best;
  } while (nanoseconds() < end || best == 0);
  return best;
}

} // namespace

double Limits::operations(double seconds) {
  Loops loops = widest();
  constexpr int64_t steps = 1000;
  double rate = bestRate(pool, seconds, [&](int32_t, int64_t count) { loops.multiplyAdds(count * steps); });
  return rate * steps * chains * 2 * loops.lanes * pool.threads();
}

double Limits::dotProducts(int bytes, double seconds) {
  constexpr int64_t steps = 1000;
  void (*dots)(int64_t) = nullptr;
  double operations = 0; // of a step
#if defined(__x86_64__)
  if (bytes == 2 && cpuHas("avx512bf16") && !cpuHas("amx-bf16")) // where both are, multiply-adds are faster
    dots = dotsOfBFloats, operations = 24 * 2 * 2 * 16;
  else if (bytes == 1 && cpuHas("avx512vnni"))
    dots = dotsOfBytes, operations = 24 * 2 * 4 * 16;
  else if (bytes == 1 && cpuHas("avxvnni"))
    dots = shortDotsOfBytes, operations = 12 * 2 * 4 * 8;
#endif
  if (!dots)
    return this->operations(seconds);
  double rate = bestRate(pool, seconds, [&](int32_t, int64_t count) { dots(count * steps); });
  return rate * steps * operations * pool.threads();
}

double Limits::reading(size_t bytes, double seconds) {
  constexpr size_t page = 4096;
  size_t part = (bytes / static_cast<size_t>(pool.threads()) + page - 1) / page * page;
  size_t whole = part * static_cast<size_t>(pool.threads());
  void *memory = mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (part == 0 || memory == MAP_FAILED)
    return 0;
  madvise(memory, whole, MADV_HUGEPAGE);
  auto *begin = static_cast<char *>(memory);
  for (size_t i = 0; i < whole; i += page)
    begin[i] = 1;
  Loops loops = widest();
  double rate = bestRate(pool, seconds, [&](int32_t thread, int64_t count) {
    const char *mine = begin + part * static_cast<size_t>(thread);
    for (int64_t i = 0; i < count; ++i)
      loops.read(mine, mine + part);
  });
  munmap(memory, whole);
  return rate * static_cast<double>(whole);
}

// What the C library says of shared caches is wrong on virtual machines.
double cacheBytes(int level) {
  for (int index = 0; index < 8; ++index) {
    auto number = [&](const char *what, const char *format, long *value, char *unit) {
      char path[80];
      snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu0/cache/index%d/%s", index, what);
      FILE *file = fopen(path, "re");
      int found = file ? fscanf(file, format, value, unit) : 0;
      if (file)
        fclose(file);
      return found > 0;
    };
    long at = 0, size = 0;
    char unit = 0;
    if (number("level", "%ld%c", &at, &unit) && at == level && number("size", "%ld%c", &size, &unit))
      return static_cast<double>(size) * (unit == 'K' ? 1024 : unit == 'M' ? 1048576 : 1);
  }
  return 0;
}

fovea_code measureLimits(int32_t threads, fovea_limits &out, fovea_error *error) {
  Limits limits;
  if (fovea_code code = limits.start(threads, error))
    return code;
  double second = cacheBytes(2) * limits.threads(), third = cacheBytes(3);
  out.cache_bytes[0] = second;
  out.cache_bytes[1] = third > second ? third : second;
  out.operations = limits.operations(0.03);
  // Half of a cache is read: the rest is for what else lies there. Memory: more than the last level holds.
  constexpr double megabyte = 1 << 20;
  double memory = third > 0 && third < 64 * megabyte ? 4 * third : 256 * megabyte;
  const double sizes[] = {second > 0 ? second / 2 : megabyte / 4, third > 0 ? third / 2 : 8 * megabyte, memory};
  for (int level = 0; level < 3; ++level)
    out.reading[level] = limits.reading(static_cast<size_t>(sizes[level]), 0.03);
  return FOVEA_OK;
}

int memoryLevel(double bytes, int32_t threads) {
  // The last level is shared, the second one every core's own.
  if (bytes <= cacheBytes(2) * threads)
    return 2;
  return bytes <= cacheBytes(3) ? 3 : 4;
}

} // namespace fovea::rt
