#include "runtime/main/Shuffle.h"

#include "fovea/philox.h"

namespace fovea::rt {

static uint32_t low(uint64_t x) { return static_cast<uint32_t>(x); }
static uint32_t high(uint64_t x) { return static_cast<uint32_t>(x >> 32); }

void shuffle(Array<int64_t> &order, int64_t seed, int64_t epoch) {
  for (size_t i = 0; i < order.size(); ++i)
    order[i] = static_cast<int64_t>(i);
  const uint32_t key[2] = {low(static_cast<uint64_t>(seed)), high(static_cast<uint64_t>(seed))};
  for (size_t i = order.size(); i-- > 1;) {
    const auto e = static_cast<uint64_t>(epoch);
    const uint32_t counter[4] = {low(i), high(i), low(e), high(e)};
    uint32_t words[4];
    fovea_philox(counter, key, words);
    uint64_t random = words[0] | uint64_t(words[1]) << 32;
    // The high half of the product is even over [0, i] but for one part in 2^64 / i.
    auto j = static_cast<size_t>(static_cast<unsigned __int128>(random) * (i + 1) >> 64);
    std::swap(order[i], order[j]);
  }
}

} // namespace fovea::rt
