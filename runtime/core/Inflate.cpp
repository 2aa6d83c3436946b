#include "runtime/core/Inflate.h"

#include <string.h>

namespace fovea::rt {

namespace {

/// A canonical Huffman code: how many codes each length has, and the symbols in order of their codes.
struct Code {
  uint16_t count[16];
  uint16_t symbols[288];

  /// False where the lengths are over-subscribed, or leave codes unused though more than one symbol has a code.
  bool build(const uint8_t *lengths, int symbolCount) {
    memset(count, 0, sizeof(count));
    for (int i = 0; i < symbolCount; ++i)
      ++count[lengths[i]];
    int used = symbolCount - count[0];
    count[0] = 0;
    int left = 1;
    uint16_t offsets[16] = {};
    for (int length = 1; length < 16; ++length) {
      left = left * 2 - count[length];
      if (left < 0)
        return false;
      offsets[length] = static_cast<uint16_t>(offsets[length - 1] + count[length - 1]);
    }
    for (int i = 0; i < symbolCount; ++i)
      if (lengths[i])
        symbols[offsets[lengths[i]]++] = static_cast<uint16_t>(i);
    return left == 0 || used <= 1;
  }
};

struct Inflater {
  const unsigned char *from;
  size_t fromSize;
  unsigned char *to;
  size_t toSize;
  size_t read = 0, written = 0;
  uint64_t bits = 0;
  int bitCount = 0;
  const char *problem = nullptr;
  Code literals, distances;

  bool report(const char *what) {
    if (!problem)
      problem = what;
    return false;
  }

  void refill() {
    while (bitCount <= 56 && read < fromSize) {
      bits |= static_cast<uint64_t>(from[read++]) << bitCount;
      bitCount += 8;
    }
  }

  bool take(int count, unsigned &value) {
    if (bitCount < count)
      refill();
    if (bitCount < count)
      return report("the compressed data ends too early");
    value = static_cast<unsigned>(bits & ((uint64_t(1) << count) - 1));
    bits >>= count;
    bitCount -= count;
    return true;
  }

  bool symbol(const Code &code, int &value) {
    if (bitCount < 15)
      refill();
    int word = 0, first = 0, index = 0;
    for (int length = 1; length < 16; ++length) {
      if (length > bitCount)
        return report("the compressed data ends too early");
      word |= static_cast<int>((bits >> (length - 1)) & 1);
      int count = code.count[length];
      if (word - first < count) {
        value = code.symbols[index + word - first];
        bits >>= length;
        bitCount -= length;
        return true;
      }
      index += count;
      first = (first + count) << 1;
      word <<= 1;
    }
    return report("an invalid code in the compressed data");
  }

  bool stored() {
    unsigned length, check, ignored;
    if (!take(bitCount & 7, ignored) || !take(16, length) || !take(16, check))
      return false;
    if ((length ^ check) != 0xFFFF)
      return report("a stored block is damaged");
    if (length > toSize - written)
      return report("the data is longer than announced");
    for (; length && bitCount >= 8; --length) {
      to[written++] = static_cast<unsigned char>(bits);
      bits >>= 8;
      bitCount -= 8;
    }
    if (length > fromSize - read)
      return report("the compressed data ends too early");
    if (length)
      memcpy(to + written, from + read, length);
    read += length;
    written += length;
    return true;
  }

  void fixedCodes() {
    uint8_t lengths[288];
    for (int i = 0; i < 288; ++i)
      lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
    literals.build(lengths, 288);
    memset(lengths, 5, 30);
    distances.build(lengths, 30); // 30 of 32 codes: the two others are invalid
  }

  bool dynamicCodes() {
    static const uint8_t order[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    unsigned literalCount, distanceCount, lengthCount;
    if (!take(5, literalCount) || !take(5, distanceCount) || !take(4, lengthCount))
      return false;
    literalCount += 257;
    distanceCount += 1;
    lengthCount += 4;
    if (literalCount > 286 || distanceCount > 30)
      return report("too many codes in the compressed data");
    uint8_t lengths[320] = {};
    for (unsigned i = 0; i < lengthCount; ++i) {
      unsigned value;
      if (!take(3, value))
        return false;
      lengths[order[i]] = static_cast<uint8_t>(value);
    }
    if (!literals.build(lengths, 19))
      return report("an invalid code table");
    uint8_t all[320] = {};
    for (unsigned i = 0; i < literalCount + distanceCount;) {
      int value;
      if (!symbol(literals, value))
        return false;
      if (value < 16) {
        all[i++] = static_cast<uint8_t>(value);
        continue;
      }
      static const int extraBits[] = {2, 3, 7};
      static const unsigned base[] = {3, 3, 11};
      unsigned repeat;
      if (value == 16 && i == 0)
        return report("an invalid code table");
      if (!take(extraBits[value - 16], repeat))
        return false;
      repeat += base[value - 16];
      if (i + repeat > literalCount + distanceCount)
        return report("an invalid code table");
      memset(all + i, value == 16 ? all[i - 1] : 0, repeat);
      i += repeat;
    }
    if (!all[256] || !literals.build(all, static_cast<int>(literalCount)) ||
        !distances.build(all + literalCount, static_cast<int>(distanceCount)))
      return report("an invalid code table");
    return true;
  }

  bool compressed() {
    static const uint16_t lengthBase[29] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                            31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
    static const uint8_t lengthBits[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                           2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
    static const uint16_t distanceBase[30] = {1,    2,    3,    4,    5,    7,    9,    13,    17,    25,
                                              33,   49,   65,   97,   129,  193,  257,  385,   513,   769,
                                              1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
    static const uint8_t distanceBits[30] = {0, 0, 0, 0, 1, 1, 2, 2,  3,  3,  4,  4,  5,  5,  6,
                                             6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13};
    for (;;) {
      int value, distanceCode;
      unsigned extra, distanceExtra;
      if (!symbol(literals, value))
        return false;
      if (value < 256) {
        if (written == toSize)
          return report("the data is longer than announced");
        to[written++] = static_cast<unsigned char>(value);
        continue;
      }
      if (value == 256)
        return true;
      if (value > 285)
        return report("an invalid code in the compressed data");
      if (!take(lengthBits[value - 257], extra) || !symbol(distances, distanceCode) ||
          !take(distanceBits[distanceCode], distanceExtra))
        return false;
      size_t length = lengthBase[value - 257] + extra, distance = distanceBase[distanceCode] + distanceExtra;
      if (distance > written)
        return report("a reference before the start of the data");
      if (length > toSize - written)
        return report("the data is longer than announced");
      for (size_t i = 0; i < length; ++i, ++written)
        to[written] = to[written - distance];
    }
  }

  bool run() {
    unsigned last, kind;
    do {
      if (!take(1, last) || !take(2, kind))
        return false;
      if (kind == 3)
        return report("an unknown kind of block");
      if (kind == 1)
        fixedCodes();
      if (kind == 0 ? !stored() : (kind == 2 && !dynamicCodes()) || !compressed())
        return false;
    } while (!last);
    return written == toSize || report("the data is shorter than announced");
  }
};

struct CrcTable {
  uint32_t values[256];
  constexpr CrcTable() : values() {
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit)
        value = value & 1 ? value >> 1 ^ 0xEDB88320u : value >> 1;
      values[i] = value;
    }
  }
};
constexpr CrcTable crcTable;

} // namespace

const char *inflate(const unsigned char *from, size_t fromSize, unsigned char *to, size_t toSize) {
  Inflater inflater;
  inflater.from = from;
  inflater.fromSize = fromSize;
  inflater.to = to;
  inflater.toSize = toSize;
  return inflater.run() ? nullptr : inflater.problem;
}

uint32_t crc32(uint32_t sum, const void *bytes, size_t size) {
  const auto *data = static_cast<const unsigned char *>(bytes);
  sum = ~sum;
  for (size_t i = 0; i < size; ++i)
    sum = crcTable.values[(sum ^ data[i]) & 255] ^ sum >> 8;
  return ~sum;
}

} // namespace fovea::rt
