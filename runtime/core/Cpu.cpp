#include "runtime/core/Cpu.h"

#include <sched.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace fovea::rt {

#if defined(__x86_64__)
namespace {

enum Register { A, B, C, D };
/// What the system must save for the feature's registers.
enum Saved { None = 0, Ymm = 6, Zmm = 0xE6, Tiles = 0x60006 };

struct FeatureRow {
  const char *name;
  uint32_t leaf, subleaf;
  Register where;
  uint32_t bit;
  Saved saved;
};

const FeatureRow features[] = {
    {"sse", 1, 0, D, 25, None},
    {"sse2", 1, 0, D, 26, None},
    {"sse3", 1, 0, C, 0, None},
    {"ssse3", 1, 0, C, 9, None},
    {"sse4.1", 1, 0, C, 19, None},
    {"sse4.2", 1, 0, C, 20, None},
    {"popcnt", 1, 0, C, 23, None},
    {"cx16", 1, 0, C, 13, None},
    {"movbe", 1, 0, C, 22, None},
    {"fma", 1, 0, C, 12, Ymm},
    {"avx", 1, 0, C, 28, Ymm},
    {"f16c", 1, 0, C, 29, Ymm},
    {"xsave", 1, 0, C, 26, None},
    {"fxsr", 1, 0, D, 24, None},
    {"cmov", 1, 0, D, 15, None},
    {"cx8", 1, 0, D, 8, None},
    {"mmx", 1, 0, D, 23, None},
    {"x87", 1, 0, D, 0, None},
    {"bmi", 7, 0, B, 3, None},
    {"avx2", 7, 0, B, 5, Ymm},
    {"bmi2", 7, 0, B, 8, None},
    {"avx512f", 7, 0, B, 16, Zmm},
    {"avx512dq", 7, 0, B, 17, Zmm},
    {"avx512ifma", 7, 0, B, 21, Zmm},
    {"avx512cd", 7, 0, B, 28, Zmm},
    {"avx512bw", 7, 0, B, 30, Zmm},
    {"avx512vl", 7, 0, B, 31, Zmm},
    {"avx512vbmi", 7, 0, C, 1, Zmm},
    {"avx512vbmi2", 7, 0, C, 6, Zmm},
    {"avx512vnni", 7, 0, C, 11, Zmm},
    {"avx512bitalg", 7, 0, C, 12, Zmm},
    {"avx512vpopcntdq", 7, 0, C, 14, Zmm},
    {"avx512fp16", 7, 0, D, 23, Zmm},
    {"amx-bf16", 7, 0, D, 22, Tiles},
    {"amx-tile", 7, 0, D, 24, Tiles},
    {"amx-int8", 7, 0, D, 25, Tiles},
    {"avx512bf16", 7, 1, A, 5, Zmm},
    {"avxvnni", 7, 1, A, 4, Ymm},
    {"lzcnt", 0x80000001, 0, C, 5, None},
    {"sahf", 0x80000001, 0, C, 0, None},
    {"64bit", 0x80000001, 0, D, 29, None},
    {"crc32", 1, 0, C, 20, None},
};

uint64_t savedRegisters() {
  uint32_t eax, ebx, ecx, edx;
  if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx >> 27 & 1)) // OSXSAVE
    return 0;
  uint32_t low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return static_cast<uint64_t>(high) << 32 | low;
}

/// Processors that foresee what is read in the order of addresses, and are held up by fetches of it.
struct ForeseeingRow {
  uint32_t vendor; ///< EBX of leaf 0
  uint32_t family;
  const char *feature; ///< that tells it from others of the family
};

const ForeseeingRow foreseeing[] = {
    {signature_AMD_ebx, 25, "avx512f"}, // Zen 4; Zen 3, of the same family, was not measured
};

} // namespace

bool cpuHas(const char *feature) {
  for (const FeatureRow &row : features) {
    if (strcmp(row.name, feature) != 0)
      continue;
    uint32_t registers[4] = {};
    if (!__get_cpuid_count(row.leaf, row.subleaf, &registers[A], &registers[B], &registers[C], &registers[D]))
      return false;
    return (registers[row.where] >> row.bit & 1) && (row.saved == None || (savedRegisters() & row.saved) == row.saved);
  }
  return false;
}

bool foreseesStreams() {
  uint32_t eax, vendor, model, b, c, d;
  if (!__get_cpuid(0, &eax, &vendor, &c, &d) || !__get_cpuid(1, &model, &b, &c, &d))
    return false;
  uint32_t base = model >> 8 & 15, family = base == 15 ? base + (model >> 20 & 255) : base;
  for (const ForeseeingRow &row : foreseeing)
    if (row.vendor == vendor && row.family == family && cpuHas(row.feature))
      return true;
  return false;
}
#else
bool cpuHas(const char *) { return false; }
bool foreseesStreams() { return false; }
#endif

int32_t cpuCount() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
    return CPU_COUNT(&set);
  long online = sysconf(_SC_NPROCESSORS_ONLN);
  return online > 0 ? static_cast<int32_t>(online) : 1;
}

int32_t processorAfter(const cpu_set_t &allowed, int32_t current, int32_t n) {
  for (int32_t step = 1; step < CPU_SETSIZE; ++step) {
    int32_t processor = (current + step) % CPU_SETSIZE;
    if (CPU_ISSET(static_cast<size_t>(processor), &allowed) && --n == 0)
      return processor;
  }
  return -1;
}

} // namespace fovea::rt
