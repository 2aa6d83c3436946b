#include "DamagedFiles.h"
#include "runtime/core/TensorFile.h"

#include <string.h>

using namespace fovea;
using namespace fovea::test;
using rt::FileDtype;
using rt::TensorFile;

static fovea_code parse(const std::string &bytes, TensorFile &file, fovea_error &error) {
  return file.parseSafetensors(reinterpret_cast<const unsigned char *>(bytes.data()), bytes.size(), {}, &error);
}

TEST_CASE("safetensors: tensors, in any order, with metadata, escapes and padding") {
  std::string bytes = safetensors(
      R"( {"__metadata__":{"format":"pt"}, "b\u00e9\n" : {"shape":[2, 1],"data_offsets":[4,8],"dtype":"I16","more":[1,{"x":null}]},)"
      R"("a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"none":{"dtype":"I64","shape":[0,7],"data_offsets":[8,8]}}   )",
      floats({2.5f}) + std::string("\1\0\2\0", 4));
  TensorFile file;
  fovea_error error = {};
  // A header starts with `{`: white space in front is refused, so cut it.
  CHECK(parse(bytes, file, error) == FOVEA_BAD_FILE);
  bytes.erase(8, 1);
  bytes[0] = static_cast<char>(bytes[0] - 1);
  INFO(std::string(error.message));
  REQUIRE(parse(bytes, file, error) == FOVEA_OK);
  REQUIRE(file.size() == 3);
  CHECK(file[0].name == "a");
  CHECK(file[0].rank == 0);
  CHECK(rt::elementAsDouble(file[0].dtype, file[0].data) == 2.5);
  CHECK(file[1].name == "b\xc3\xa9\n");
  CHECK(file[1].dtype == FileDtype::I16);
  CHECK(file[1].shape[0] == 2);
  CHECK(rt::elementAsDouble(FileDtype::I16, file[1].data + 2) == 2);
  CHECK(file[2].elements() == 0);
  CHECK(file.find("none") == &file[2]);
  CHECK(file.find("nona") == nullptr);
}

TEST_CASE("safetensors: damaged files give an error that says what is wrong") {
  CHECK(damagedSafetensors().size() >= 40);
  for (const DamagedFile &row : damagedSafetensors()) {
    TensorFile file;
    fovea_error error = {};
    INFO(std::string(row.message), " <- ", row.bytes.substr(0, 120));
    CHECK(parse(row.bytes, file, error) == FOVEA_BAD_FILE);
    CHECK_CONTAINS(error.message, row.message);
  }
}

TEST_CASE("safetensors: every cut and every flipped byte of a small file gives a result or an error") {
  std::string good = goodWeights();
  for (size_t i = 0; i <= good.size(); ++i) {
    TensorFile file;
    fovea_error error = {};
    CHECK((parse(good.substr(0, i), file, error) == FOVEA_OK) == (i == good.size()));
  }
  for (size_t i = 0; i < good.size(); ++i)
    for (int bit = 0; bit < 8; ++bit) {
      std::string changed = good;
      changed[i] = static_cast<char>(changed[i] ^ 1 << bit);
      TensorFile file;
      fovea_error error = {};
      fovea_code code = parse(changed, file, error);
      CHECK((code == FOVEA_OK || code == FOVEA_BAD_FILE));
      for (const rt::FileTensor &tensor : file)
        if (code == FOVEA_OK)
          CHECK(tensor.data + tensor.bytes <= reinterpret_cast<const unsigned char *>(changed.data()) + changed.size());
    }
}

TEST_CASE("safetensors: what is written is read back") {
  int64_t shape[] = {2, 2};
  float values[] = {1, 2, 3, 4};
  int64_t number = -7;
  rt::OutputTensor tensors[] = {{"w\"eird\\", FileDtype::F32, 2, shape, values},
                                {"n", FileDtype::I64, 0, nullptr, &number}};
  std::string path = temporaryPath("written.safetensors");
  fovea_error error = {};
  REQUIRE(save(path, &error, [&](rt::OutputFile &to) { return rt::writeSafetensors(to, tensors, 2, {}, &error); }) ==
          FOVEA_OK);
  TensorFile file;
  REQUIRE(file.open(path.c_str(), {}, &error) == FOVEA_OK);
  REQUIRE(file.find("w\"eird\\"));
  CHECK(memcmp(file.find("w\"eird\\")->data, values, sizeof(values)) == 0);
  CHECK(rt::elementAsDouble(FileDtype::I64, file.find("n")->data) == -7);
}

TEST_CASE("safetensors: shards by an index") {
  auto shard = [](const char *name, const char *value) {
    return safetensors(std::string("{\"") + name + R"(":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", value);
  };
  writeFile(temporaryPath("one.safetensors"), shard("a", "1"));
  writeFile(temporaryPath("two.safetensors"), shard("b", "2"));
  std::string index = temporaryPath("model.safetensors.index.json");
  TensorFile file;
  fovea_error error = {};
  auto open = [&](const char *text) {
    writeFile(index, text);
    return file.open(index.c_str(), {}, &error);
  };
  REQUIRE(open(R"({"metadata":{"total_size":2.5e1},"weight_map":{"b":"two.safetensors","a":"one.safetensors"}})") ==
          FOVEA_OK);
  REQUIRE(file.size() == 2);
  CHECK(*file.find("a")->data == '1');
  CHECK(*file.find("b")->data == '2');
  struct Row {
    const char *text, *message;
  } rows[] = {
      {R"({"weight_map":{"b":"one.safetensors"}})", "is not in `one.safetensors`"},
      {R"({"weight_map":{"b":"../one.safetensors"}})", "not a plain file name"},
      {R"({"weight_map":{"b":"/etc/passwd"}})", "not a plain file name"},
      {R"({"weight_map":{"b":""}})", "not a plain file name"},
      {R"({"weight_map":{"a":"one.safetensors","a":"one.safetensors"}})", "two tensors are named"},
      {R"({"weight_map":{},"weight_map":{}})", "twice"},
      {R"({"weight_map":[]})", "expected `{`"},
      {R"({"metadata":{}})", "no `weight_map`"},
      {R"({"weight_map":{"a":"one.safetensors"})", "ends too early"},
      {"", "expected `{`"},
  };
  for (const Row &row : rows) {
    CHECK(open(row.text) == FOVEA_BAD_FILE);
    CHECK_CONTAINS(error.message, row.message);
    CHECK_CONTAINS(error.message, "index.json");
  }
  CHECK(open(R"({"weight_map":{"b":"three.safetensors"}})") == FOVEA_FILE_ERROR);
  CHECK(open(R"({"weight_map":{"b":"model.safetensors.index.json"}})") == FOVEA_BAD_FILE);
}

TEST_CASE("files: missing, folders, unwritable") {
  TensorFile file;
  fovea_error error = {};
  CHECK(file.open(temporaryPath("absent").c_str(), {}, &error) == FOVEA_FILE_ERROR);
  CHECK_CONTAINS(error.message, "No such file");
  CHECK(file.open("/tmp", {}, &error) == FOVEA_FILE_ERROR);
  CHECK_CONTAINS(error.message, "directory");
  CHECK(file.open("/dev/null", {}, &error) == FOVEA_FILE_ERROR);
  float value = 1;
  size_t before = temporaryFiles().size();
  CHECK(rt::writeNpy(temporaryPath("no/such/folder.npy").c_str(), {"", FileDtype::F32, 0, nullptr, &value}, &error) ==
        FOVEA_FILE_ERROR);
  CHECK(rt::writeNpy("/dev/full", {"", FileDtype::F32, 0, nullptr, &value}, &error) == FOVEA_FILE_ERROR);
  CHECK_CONTAINS(error.message, "No space");
  CHECK(rt::writeNpy("/dev/null", {"", FileDtype::F32, 0, nullptr, &value}, &error) == FOVEA_OK);
  CHECK(temporaryFiles().size() == before);
}
