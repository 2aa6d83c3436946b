/// A checksum of any bytes, at the speed of memory: finds damage and change, and is no defence against an attacker.
#ifndef FOVEA_RUNTIME_CORE_HASH_H
#define FOVEA_RUNTIME_CORE_HASH_H

#include "runtime/core/Status.h"

#include <stddef.h>

namespace fovea::rt {

/// However the bytes are divided between calls of `add`, the outcome is the same. Any change within 8 aligned bytes
/// changes it for certain, others but for one in 2^64.
class Hash {
public:
  Hash();
  void add(const void *data, size_t size);
  void add(Text text) { add(text.data(), text.size()); }
  uint64_t finish() const;

private:
  static constexpr size_t block = 64;
  void addBlock(const unsigned char *bytes);

  uint64_t lanes[block / 8];
  uint64_t length = 0;
  unsigned char rest[block]; // what has been added since the last whole block
};

} // namespace fovea::rt
#endif
