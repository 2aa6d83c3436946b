/// The decompressor for npz files (deflate, RFC 1951) and the checksum that goes with it.
#ifndef FOVEA_RUNTIME_CORE_INFLATE_H
#define FOVEA_RUNTIME_CORE_INFLATE_H

#include <stddef.h>
#include <stdint.h>

namespace fovea::rt {

/// No stream expands by more: a claimed size above this is a lie, and nothing need be allocated for it.
inline constexpr uint64_t maxInflation = 1032;

/// Fills exactly `toSize` bytes from the stream, or returns what is wrong with it (null: nothing). Allocates nothing.
const char *inflate(const unsigned char *from, size_t fromSize, unsigned char *to, size_t toSize);

/// CRC-32 as in zip: continues `sum` (0 at first) over the bytes.
uint32_t crc32(uint32_t sum, const void *bytes, size_t size);

} // namespace fovea::rt
#endif
