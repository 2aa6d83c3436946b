#include "runtime/core/Initial.h"

#include "fovea/philox.h"
#include "runtime/core/Random.h"
#include "runtime/core/TensorFile.h"

namespace fovea::rt {

/// `value` as it lies in memory, in the first bytes of `element`.
static void writeElement(int32_t dtype, double value, unsigned char (&element)[8]) {
  auto narrow = static_cast<float>(value);
  // Little-endian: the low bytes are the smaller types.
  int64_t whole = isFloat(dtype) ? 0 : static_cast<int64_t>(value);
  uint32_t bits;
  memcpy(&bits, &narrow, sizeof(bits));
  if (dtype == FOVEA_BF16 || dtype == FOVEA_F16)
    bits = dtype == FOVEA_F16 ? narrowF16(narrow) : narrowBF16(narrow);
  if (dtype == FOVEA_BOOL)
    whole = value != 0;
  const void *from = dtype == FOVEA_F64 ? static_cast<const void *>(&value)
                     : isFloat(dtype)   ? static_cast<const void *>(&bits)
                                        : &whole;
  memcpy(element, from, static_cast<size_t>(fovea_dtype_size(dtype)));
}

/// FNV-1a, as long as names are short.
static uint64_t hashName(const char *name) {
  uint64_t hash = 0xcbf29ce484222325;
  for (; *name; ++name)
    hash = (hash ^ static_cast<unsigned char>(*name)) * 0x100000001b3;
  return hash;
}

/// The value of a distribution below which a part u of it lies.
static double quantile(const fovea_initial &initial, double u) {
  if (initial.kind == FOVEA_INITIAL_UNIFORM)
    return initial.a + (initial.b - initial.a) * u;
  constexpr double belowTwo = 0.022750131948179207; // of a normal distribution, below minus two deviations
  if (initial.kind == FOVEA_INITIAL_TRUNCATED_NORMAL)
    u = belowTwo + (1 - 2 * belowTwo) * u;
  return initial.a + initial.b * normalQuantile(u);
}

void fillInitial(const fovea_initial &initial, const char *name, uint64_t seed, int32_t dtype, int64_t elements,
                 unsigned char *to) {
  auto size = static_cast<size_t>(fovea_dtype_size(dtype));
  auto low = [](uint64_t x) { return static_cast<uint32_t>(x); };
  auto high = [](uint64_t x) { return static_cast<uint32_t>(x >> 32); };
  const uint64_t hash = hashName(name);
  const uint32_t key[2] = {low(hash), high(hash)};
  unsigned char element[8];
  writeElement(dtype, initial.a, element);
  uint32_t words[4];
  for (int64_t i = 0; i < elements; ++i) {
    if (initial.kind != FOVEA_INITIAL_CONSTANT) {
      auto block = static_cast<uint64_t>(i) / 4;
      const uint32_t counter[4] = {low(block), high(block), low(seed), high(seed)};
      if (i % 4 == 0)
        fovea_philox(counter, key, words);
      writeElement(dtype, quantile(initial, (words[i % 4] + 0.5) * 0x1p-32), element);
    }
    memcpy(to + static_cast<size_t>(i) * size, element, size);
  }
}

} // namespace fovea::rt
