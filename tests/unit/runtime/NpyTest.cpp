#include "DamagedFiles.h"
#include "runtime/core/Inflate.h"
#include "runtime/core/TensorFile.h"

#include <string.h>

using namespace fovea;
using namespace fovea::test;
using rt::FileDtype;
using rt::TensorFile;

/// Keeps the bytes of the last call: tensors point into them.
static fovea_code parse(const std::string &bytes, TensorFile &file, fovea_error &error) {
  static std::string kept;
  file = TensorFile();
  kept = bytes;
  return file.parseNpy(reinterpret_cast<const unsigned char *>(kept.data()), kept.size(), {}, &error);
}

TEST_CASE("npy: versions, dtypes, orders") {
  TensorFile file;
  fovea_error error = {};
  for (char major : {1, 2, 3}) {
    REQUIRE(parse(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }  \n", floats({1, 2}), major), file,
                  error) == FOVEA_OK);
    CHECK(file[0].rank == 1);
    CHECK(rt::elementAsDouble(FileDtype::F32, file[0].data + 4) == 2);
  }
  REQUIRE(parse(npy("{\"shape\":(), \"descr\":\"|b1\",\"fortran_order\":False}", "\1"), file, error) == FOVEA_OK);
  CHECK(file[0].dtype == FileDtype::Bool);
  CHECK(file[0].rank == 0);
  REQUIRE(parse(npy("{'descr': '<i2', 'fortran_order': False, 'shape': (0, 3L)}", ""), file, error) == FOVEA_OK);
  CHECK(file[0].elements() == 0);
  // Columns 1 2, 3 4, 5 6 are rows 1 3 5, 2 4 6.
  REQUIRE(parse(npy("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3)}", floats({1, 2, 3, 4, 5, 6})), file,
                error) == FOVEA_OK);
  CHECK(std::string(reinterpret_cast<const char *>(file[0].data), 24) == floats({1, 3, 5, 2, 4, 6}));
}

TEST_CASE("npy: damaged files give an error that says what is wrong") {
  CHECK(damagedNpy().size() >= 40);
  for (const DamagedFile &row : damagedNpy()) {
    TensorFile file;
    fovea_error error = {};
    INFO(std::string(row.message), " <- ", row.bytes);
    CHECK(parse(row.bytes, file, error) == FOVEA_BAD_FILE);
    CHECK_CONTAINS(error.message, row.message);
  }
}

TEST_CASE("npy: what is written is read back; bf16 becomes f32") {
  fovea_error error = {};
  TensorFile file;
  int64_t shape[] = {3};
  uint16_t bf16[] = {0x3f80, 0xc000, 0x7f80};
  std::string path = temporaryPath("written.npy");
  REQUIRE(rt::writeNpy(path.c_str(), {"", FileDtype::BF16, 1, shape, bf16}, &error) == FOVEA_OK);
  CHECK(readFile(path).size() % 64 == 12);
  REQUIRE(file.open(path.c_str(), {}, &error) == FOVEA_OK);
  CHECK(file[0].dtype == FileDtype::F32);
  CHECK(rt::elementAsDouble(FileDtype::F32, file[0].data + 4) == -2);
}

TEST_CASE("f16: every value widens exactly") {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    auto half = static_cast<uint16_t>(bits);
    unsigned char from[2], to[4];
    memcpy(from, &half, 2);
    rt::widenF16(from, 1, to);
    float got;
    memcpy(&got, to, 4);
    int exponent = bits >> 10 & 31, mantissa = bits & 1023;
    if (exponent == 31 && mantissa) {
      CHECK(got != got);
      continue;
    }
    double expected = exponent == 31
                          ? __builtin_inf()
                          : __builtin_ldexp(exponent ? mantissa + 1024 : mantissa, (exponent ? exponent : 1) - 25);
    if (got != (bits & 0x8000 ? -expected : expected) || __builtin_signbit(got) != (bits >> 15 & 1))
      FAIL("half ", bits, " gave ", got);
  }
}

TEST_CASE("f16 and bf16: what was widened narrows to itself, what lies between to the nearest even") {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    auto half = static_cast<uint16_t>(bits);
    float f16, bf16, next;
    rt::widenF16(reinterpret_cast<unsigned char *>(&half), 1, reinterpret_cast<unsigned char *>(&f16));
    rt::widenBF16(reinterpret_cast<unsigned char *>(&half), 1, reinterpret_cast<unsigned char *>(&bf16));
    if (f16 == f16 && rt::narrowF16(f16) != half)
      FAIL_CHECK("f16 ", bits);
    if (bf16 == bf16 && rt::narrowBF16(bf16) != half)
      FAIL_CHECK("bf16 ", bits);
    bool isLast = (bits & 0x7FFF) >= 0x7BFF; // infinity is behind it, or it is NaN
    uint16_t above = static_cast<uint16_t>(half + 1), even = half & 1 ? above : half;
    rt::widenF16(reinterpret_cast<unsigned char *>(&above), 1, reinterpret_cast<unsigned char *>(&next));
    if (!isLast && rt::narrowF16((f16 + next) / 2) != even)
      FAIL_CHECK("the middle behind f16 ", bits);
  }
  float nan = __builtin_nanf(""), huge = 3e38f;
  CHECK((rt::narrowF16(nan) & 0x7FFF) > 0x7C00);
  CHECK((rt::narrowBF16(nan) & 0x7FFF) > 0x7F80);
  CHECK(rt::narrowF16(65520) == 0x7C00);
  CHECK(rt::narrowF16(65519) == 0x7BFF);
  CHECK(rt::narrowBF16(huge) == 0x7F62);
  CHECK(rt::narrowBF16(0x1.01p0f) == 0x3F80); // halfway: to even
  CHECK(rt::narrowBF16(0x1.03p0f) == 0x3F82);
}

TEST_CASE("npz: what is written is read back, and damage is noticed") {
  fovea_error error = {};
  TensorFile file;
  int64_t shape[] = {2};
  float values[] = {1.5f, -2};
  bool flag = true;
  rt::OutputTensor tensors[] = {{"x", FileDtype::F32, 1, shape, values}, {"flag", FileDtype::Bool, 0, nullptr, &flag}};
  std::string path = temporaryPath("written.npz");
  REQUIRE(save(path, &error, [&](rt::OutputFile &to) { return rt::writeNpz(to, tensors, 2, {}, &error); }) == FOVEA_OK);
  std::string good = readFile(path);
  REQUIRE(file.open(path.c_str(), {}, &error) == FOVEA_OK);
  REQUIRE(file.size() == 2);
  CHECK(memcmp(file.find("x")->data, values, sizeof(values)) == 0);
  CHECK(*file.find("flag")->data == 1);
  CHECK(strcmp(file.kind(), "npz") == 0);
  auto parseNpz = [&](const std::string &bytes) {
    TensorFile damaged;
    return damaged.parseNpz(reinterpret_cast<const unsigned char *>(bytes.data()), bytes.size(), {}, &error);
  };
  for (size_t i = 0; i < good.size(); ++i)
    CHECK(parseNpz(good.substr(0, i)) == FOVEA_BAD_FILE);
  for (size_t i = 0; i < good.size(); ++i)
    for (int bit : {0, 7}) {
      std::string changed = good;
      changed[i] = static_cast<char>(changed[i] ^ 1 << bit);
      fovea_code code = parseNpz(changed);
      CHECK((code == FOVEA_OK || code == FOVEA_BAD_FILE));
    }
  std::string changed = good;
  changed[changed.find(floats({1.5f}))] = 1;
  CHECK(parseNpz(changed) == FOVEA_BAD_FILE);
  CHECK_CONTAINS(error.message, "checksum");
}

TEST_CASE("inflate: stored, fixed and dynamic blocks, and what is no stream") {
  unsigned char out[2000];
  auto run = [&](const std::string &stream, size_t size) {
    return rt::inflate(reinterpret_cast<const unsigned char *>(stream.data()), stream.size(), out, size);
  };
  CHECK(run(std::string("\x01\x03\x00\xfc\xff"
                        "abc",
                        8),
            3) == nullptr);
  CHECK(memcmp(out, "abc", 3) == 0);
  CHECK(run(std::string("\x4b\x4c\x4a\x06\x00", 5), 3) == nullptr); // fixed: "abc"
  CHECK(memcmp(out, "abc", 3) == 0);
  CHECK(run(std::string("\x4b\x4c\x84\x01\x00", 5), 10) == nullptr); // fixed: "a" * 10 with an overlapping copy
  CHECK(std::string(reinterpret_cast<char *>(out), 10) == std::string(10, 'a'));
  // zlib's dynamic block of 400 letters from a linear congruential generator.
  static const char dynamic[] =
      "\x5d\x50\x89\x0d\xc4\x30\x08\x9b\x15\x7b\xff\x1d\xea\x07\x72\xd2\xa9\x2a\x69\xf0\x83\xe9\x00\x33"
      "\x1c\x15\xd5\x21\xe1\x3b\x74\xb8\x04\x51\x2f\x70\x01\xbd\xae\x81\xa6\xdd\x13\x9d\x49\x4e\x7d\x30"
      "\x67\xa4\x7a\xd8\x29\xe6\x22\xfc\x98\x71\x29\x8c\xbd\xd1\x2a\xa5\x65\x06\x11\xff\xe6\x7c\x95\x6d"
      "\x97\xd5\x7c\xa6\x24\x5e\x6e\x96\xa2\xa1\x37\x4c\xd5\x2f\x90\x75\x8b\x66\xcb\x4e\xaf\xa3\x5d\xc8"
      "\xdd\x05\x95\x73\xd7\xf9\xb5\xea\xd9\x79\x8e\xcd\xcb\x8c\xb7\xed\x2c\x31\xde\x1e\x7f\x19\x6e\xe0"
      "\xfe\xdd\x70\x3f";
  std::string letters;
  for (uint32_t i = 0, x = 1; i < 400; ++i) {
    x = (x * 1103515245u + 12345u) & 0x7FFFFFFF;
    letters += "aaabbc"[(x >> 16) % 6];
  }
  std::string stream(dynamic, sizeof(dynamic) - 1);
  CHECK(run(stream, 400) == nullptr);
  CHECK(std::string(reinterpret_cast<char *>(out), 400) == letters);
  for (size_t i = 0; i < stream.size(); ++i)
    CHECK(run(stream.substr(0, i), 400) != nullptr);
  for (size_t i = 0; i < stream.size() * 8; ++i) { // any of them may be a stream; none may write outside
    std::string changed = stream;
    changed[i / 8] = static_cast<char>(changed[i / 8] ^ 1 << i % 8);
    memset(out, 0x55, sizeof(out));
    run(changed, 400);
    CHECK(out[400] == 0x55);
  }
  struct Row {
    std::string stream;
    size_t size;
    const char *problem;
  } rows[] = {
      {"", 0, "ends too early"},
      {std::string("\x07", 1), 0, "unknown kind"},
      {std::string("\x01\x03\x00\xfc\xfe"
                   "abc",
                   8),
       3, "stored block is damaged"},
      {std::string("\x01\x03\x00\xfc\xff"
                   "ab",
                   7),
       3, "ends too early"},
      {std::string("\x4b\x4c\x4a\x06\x00", 5), 2, "longer than announced"},
      {std::string("\x4b\x4c\x4a\x06\x00", 5), 4, "shorter than announced"},
      {std::string("\x4b\x4c\x4a", 3), 3, "ends too early"},
      {std::string("\x03\x02\x00", 3), 10, "before the start"},
      {std::string("\x05\x00\x00\x00\x00\x00\x00", 7), 10, "invalid code"},
  };
  for (const Row &row : rows) {
    const char *problem = run(row.stream, row.size);
    INFO(row.problem);
    REQUIRE(problem);
    CHECK_CONTAINS(problem, row.problem);
  }
  CHECK(rt::crc32(0, "123456789", 9) == 0xCBF43926u);
}
