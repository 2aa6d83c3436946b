#include "runtime/core/PackedFile.h"
#include "FakeProgram.h"
#include "runtime/core/Hash.h"

#include <stddef.h>
#include <string.h>

using namespace fovea;
using namespace fovea::test;
using rt::PackedFile;
using rt::PackedHeader;
using rt::PackedItem;

namespace {

/// The bytes of a file where a parser may have them: aligned, and of exactly this size.
struct Aligned {
  explicit Aligned(const std::string &text) : bytes(new (std::align_val_t(64)) unsigned char[text.size() + 1]) {
    memcpy(bytes, text.data(), text.size());
  }
  ~Aligned() { operator delete[](bytes, std::align_val_t(64)); }
  unsigned char *bytes;
};

fovea_code parse(const std::string &text, fovea_error &error) {
  Aligned copy(text);
  return PackedFile().parse(copy.bytes, text.size(), &error);
}

template <typename T> void put(std::string &text, size_t offset, T value) {
  memcpy(text.data() + offset, &value, sizeof(value));
}

/// Gives the header the checksum that it should have, whatever stands in it.
void rehash(std::string &text) {
  put(text, offsetof(PackedHeader, headerHash), uint64_t(0));
  uint64_t size;
  memcpy(&size, text.data() + offsetof(PackedHeader, headerBytes), sizeof(size));
  rt::Hash hash;
  hash.add(rt::Text(text).data(), size < text.size() ? size : text.size());
  put(text, offsetof(PackedHeader, headerHash), hash.finish());
}

constexpr size_t firstSource = sizeof(PackedHeader), firstItem = firstSource + sizeof(rt::PackedSource);

/// A small item, a large one and one of bools.
std::string goodFile() {
  static const std::string large(5000 * 4, 'x');
  const unsigned char bools[3] = {1, 0, 1};
  float value = 2.5f;
  std::string path = temporaryPath("good.packed");
  fovea_error error = {};
  rt::PackedWriter writer({});
  REQUIRE(writer.addSource("model.safetensors", {1234, 5, 6, 7}));
  REQUIRE(writer.addItem("scale", {{}, rt::PackedRole::Derived, 0, FOVEA_F32, 1, 0, 4, {1}}, &value));
  REQUIRE(writer.addItem("large", {{}, rt::PackedRole::Param, 3, FOVEA_F32, 2, 0, 20000, {50, 100}}, large.data()));
  REQUIRE(writer.addItem("flags", {{}, rt::PackedRole::Param, 4, FOVEA_BOOL, 1, 0, 3, {3}}, bools));
  PackedHeader header = {};
  header.sourceHash = 42;
  header.identity[3] = 7;
  {
    rt::OutputFile file;
    REQUIRE(file.open(path.c_str(), &error) == FOVEA_OK);
    REQUIRE(writer.write(file, header, "Model", "x86-64-v3", "bert.", &error) == FOVEA_OK);
    REQUIRE(file.commit(&error, /*durable=*/true) == FOVEA_OK);
  }
  std::string text = readFile(path);
  remove(path.c_str());
  return text;
}

} // namespace

TEST_CASE("hash: of all bytes, however they come") {
  std::string text;
  for (int i = 0; i < 1000; ++i)
    text += static_cast<char>(i * 7 + i / 256);
  for (size_t size : {0, 1, 7, 8, 63, 64, 65, 128, 999}) {
    rt::Hash whole;
    whole.add(text.data(), size);
    for (size_t step : {1, 3, 64, 100}) {
      rt::Hash pieces;
      for (size_t i = 0; i < size; i += step)
        pieces.add(text.data() + i, size - i < step ? size - i : step);
      CHECK(pieces.finish() == whole.finish());
    }
    for (size_t i = 0; i < size; ++i) {
      std::string changed = text;
      changed[i] = static_cast<char>(changed[i] ^ 1);
      rt::Hash other;
      other.add(changed.data(), size);
      CHECK(other.finish() != whole.finish());
    }
    rt::Hash longer; // zeros at the end count
    longer.add(text.data(), size);
    longer.add("", 1);
    CHECK(longer.finish() != whole.finish());
  }
}

TEST_CASE("packed file: what is written is read back, aligned") {
  std::string text = goodFile();
  Aligned copy(text);
  PackedFile packed;
  fovea_error error = {};
  INFO(std::string(error.message));
  REQUIRE(packed.parse(copy.bytes, text.size(), &error) == FOVEA_OK);
  const PackedHeader &header = packed.header();
  CHECK(packed.text(header.program) == "Model");
  CHECK(packed.text(header.target) == "x86-64-v3");
  CHECK(packed.text(header.prefix) == "bert.");
  CHECK(header.sourceHash == 42);
  CHECK(header.identity[3] == 7);
  REQUIRE(header.sourceCount == 1);
  CHECK(packed.text(packed.source(0).name) == "model.safetensors");
  CHECK(packed.source(0).stamp == rt::FileStamp{1234, 5, 6, 7});
  REQUIRE(header.itemCount == 3);
  CHECK(packed.text(packed.item(1).name) == "large");
  CHECK(packed.item(1).number == 3);
  CHECK(packed.item(1).shape[1] == 100);
  CHECK(packed.item(1).offset % 4096 == 0);
  for (size_t i = 0; i < 3; ++i)
    CHECK(packed.item(i).offset % 64 == 0);
  CHECK(packed.item(2).offset - packed.item(1).offset < 20000 + 64); // small ones need no page of their own
  CHECK(packed.data(packed.item(1))[19999] == 'x');
  CHECK(packed.isIntact());
  copy.bytes[packed.item(1).offset] ^= 1;
  CHECK_FALSE(packed.isIntact());
}

TEST_CASE("packed file: every cut, and every change of the header, is damage") {
  std::string good = goodFile();
  uint64_t headerBytes;
  memcpy(&headerBytes, good.data() + offsetof(PackedHeader, headerBytes), sizeof(headerBytes));
  for (size_t size = 0; size < good.size(); size += size < 700 ? 1 : 97) {
    fovea_error error = {};
    CHECK(parse(good.substr(0, size), error) == FOVEA_BAD_FILE);
    CHECK(error.message[0]);
  }
  fovea_error error = {};
  CHECK(parse(good + "x", error) == FOVEA_BAD_FILE);
  for (size_t i = 0; i < headerBytes; ++i) {
    std::string changed = good;
    changed[i] = static_cast<char>(changed[i] ^ (1 << i % 8));
    INFO(i);
    CHECK(parse(changed, error) == FOVEA_BAD_FILE);
  }
}

TEST_CASE("packed file: what its header says is checked even where the checksum is right") {
  struct Row {
    const char *message;
    size_t offset;
    uint64_t value;
    size_t size;
  };
  constexpr size_t secondItem = firstItem + sizeof(PackedItem);
  const Row rows[] = {
      {"doesn't start with", 0, 0, 1},
      {"layout 99", offsetof(PackedHeader, version), 99, 4},
      {"should have 8 bytes", offsetof(PackedHeader, fileBytes), 8, 8},
      {"header's length", offsetof(PackedHeader, headerBytes), 8, 8},
      {"header's length", offsetof(PackedHeader, headerBytes), ~uint64_t(0), 8},
      {"tables reach beyond", offsetof(PackedHeader, itemCount), 0xFFFFFFFF, 4},
      {"tables reach beyond", offsetof(PackedHeader, sourceCount), 0xFFFFFFFF, 4},
      {"a name lies outside", offsetof(PackedHeader, target), 0xFFFFFFFF, 4},
      {"a name lies outside", offsetof(PackedHeader, prefix) + 4, 0xFFFFFFFF, 4},
      {"a name lies outside", firstSource, 0xFFFFFFFF, 4},
      {"impossible name", firstSource + 4, 0, 4},
      {"a name lies outside", firstItem + offsetof(PackedItem, name) + 4, 0x7FFFFFFF, 4},
      {"no known role", firstItem + offsetof(PackedItem, role), 3, 4},
      {"impossible type", firstItem + offsetof(PackedItem, dtype), 99, 4},
      {"impossible type", firstItem + offsetof(PackedItem, rank), 17, 4},
      {"impossible type", firstItem + offsetof(PackedItem, rank), 0xFFFFFFFF, 4},
      {"impossible type", firstItem + offsetof(PackedItem, shape), ~uint64_t(0), 8},
      {"impossible type", secondItem + offsetof(PackedItem, shape), uint64_t(1) << 62, 8},
      {"don't agree", firstItem + offsetof(PackedItem, bytes), 8, 8},
      {"don't agree", firstItem + offsetof(PackedItem, shape), 2, 8},
      {"outside the data", firstItem + offsetof(PackedItem, offset), 0, 8},
      {"outside the data", firstItem + offsetof(PackedItem, offset), uint64_t(0) - 64, 8},
      {"outside the data", firstItem + offsetof(PackedItem, offset), 4096 + 4, 8},
      {"overlap", secondItem + offsetof(PackedItem, offset), 4096, 8},
  };
  std::string good = goodFile();
  for (const Row &row : rows) {
    std::string changed = good;
    memcpy(changed.data() + row.offset, &row.value, row.size);
    if (strcmp(row.message, "header's length") != 0)
      rehash(changed);
    fovea_error error = {};
    INFO(row.message);
    CHECK(parse(changed, error) == FOVEA_BAD_FILE);
    CHECK_CONTAINS(error.message, row.message);
  }
  std::string slash = good;
  slash.replace(slash.find("model.safetensors"), 5, "/odel");
  rehash(slash);
  fovea_error error = {};
  CHECK(parse(slash, error) == FOVEA_BAD_FILE);
  CHECK_CONTAINS(error.message, "impossible name");
  std::string flag = good;
  flag.back() = 2;
  CHECK(parse(flag, error) == FOVEA_BAD_FILE);
  CHECK_CONTAINS(error.message, "`flags`: a byte of it is no bool");
}

TEST_CASE("packed file: failures while writing leave nothing behind") {
  size_t before = temporaryFiles().size();
  fovea_error error = {};
  rt::OutputFile file;
  rt::PackedWriter writer({});
  std::string large(3 << 20, 'x');
  REQUIRE(
      writer.addItem("large", {{}, rt::PackedRole::Param, 0, FOVEA_I8, 1, 0, large.size(), {3 << 20}}, large.data()));
  REQUIRE(file.open("/dev/full", &error) == FOVEA_OK);
  CHECK(writer.write(file, {}, "", "", "", &error) == FOVEA_FILE_ERROR);
  CHECK(temporaryFiles().size() == before);
}
