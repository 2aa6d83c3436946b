#include "runtime/core/Hash.h"

#include <string.h>

namespace fovea::rt {

/// Odd numbers with bits everywhere: the fractions of the golden ratio and of the square root of 2.
static constexpr uint64_t golden = 0x9E3779B97F4A7C15, root = 0x6A09E667F3BCC909;

Hash::Hash() {
  for (size_t i = 0; i < block / 8; ++i)
    lanes[i] = root * (2 * i + 1);
}

/// Each word goes through one lane, in steps that can be undone: a change of one word never gets lost.
void Hash::addBlock(const unsigned char *bytes) {
  for (size_t i = 0; i < block / 8; ++i) {
    uint64_t word;
    memcpy(&word, bytes + 8 * i, sizeof(word));
    uint64_t mixed = (lanes[i] ^ word) * golden;
    lanes[i] = mixed << 29 | mixed >> 35;
  }
}

void Hash::add(const void *data, size_t size) {
  if (size == 0) // the address may be null
    return;
  auto *bytes = static_cast<const unsigned char *>(data);
  size_t used = length % block;
  length += size;
  if (used) {
    size_t taken = size < block - used ? size : block - used;
    memcpy(rest + used, bytes, taken);
    if (used + taken < block)
      return;
    addBlock(rest);
    bytes += taken;
    size -= taken;
  }
  for (; size >= block; bytes += block, size -= block)
    addBlock(bytes);
  if (size)
    memcpy(rest, bytes, size);
}

uint64_t Hash::finish() const {
  Hash whole = *this;
  size_t used = length % block;
  memset(whole.rest + used, 0, block - used);
  whole.addBlock(whole.rest);
  uint64_t result = length;
  for (uint64_t lane : whole.lanes) {
    result = (result ^ lane) * golden;
    result ^= result >> 32;
  }
  return result;
}

} // namespace fovea::rt
