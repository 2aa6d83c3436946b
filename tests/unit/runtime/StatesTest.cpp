#include "FakeProgram.h"
#include "runtime/core/TensorFile.h"

#include <string.h>

using namespace fovea;
using namespace fovea::test;

/// Runs `push` for a batch: a column of the state `keys`.
static fovea_code push(Loaded &loaded, std::vector<float> x, int64_t at, int64_t limit, std::vector<float> &keys) {
  std::vector<int64_t> place = {at};
  keys.assign(x.size() * static_cast<size_t>(limit), 0);
  fovea_tensor in[] = {tensor(FOVEA_F32, {static_cast<int64_t>(x.size())}, x), tensor(FOVEA_I64, {}, place)};
  fovea_tensor out = tensor(FOVEA_F32, {static_cast<int64_t>(x.size()), limit}, keys);
  return fovea_run(loaded.context, Push, in, 2, &out, 1, &loaded.error);
}

TEST_CASE("states: saved and loaded, with sizes that nothing has fixed yet") {
  fovea_size limit = {"limit", 3};
  fovea_context_options options = {};
  options.sizes = &limit;
  options.size_count = 1;
  Loaded first(&options), second;
  std::vector<float> keys;
  std::string path = temporaryPath("states.safetensors");
  // B is not known: `keys` has no value, here and in whoever takes the file.
  REQUIRE(fovea_context_save(first.context, path.c_str(), &first.error) == FOVEA_OK);
  CHECK_FALSE(contains(readFile(path), "keys"));
  REQUIRE(fovea_context_load(second.context, path.c_str(), &second.error) == FOVEA_OK);
  fovea_tensor state;
  CHECK(fovea_context_state(second.context, "keys", &state, &second.error) == FOVEA_PRECONDITION);
  CHECK_CONTAINS(second.error.message, "is not fixed");
  REQUIRE(push(first, {1, 2}, 1, 3, keys) == FOVEA_OK);
  CHECK(fovea_context_load(first.context, path.c_str(), &first.error) == FOVEA_WEIGHTS_MISMATCH); // it has one here
  CHECK_CONTAINS(first.error.message, "tensor `keys` (fake.fov:32:1) is missing");
  REQUIRE(fovea_context_save(first.context, path.c_str(), &first.error) == FOVEA_OK);
  REQUIRE(fovea_context_load(second.context, path.c_str(), &second.error) == FOVEA_OK);
  REQUIRE(push(second, {5, 6}, 2, 3, keys) == FOVEA_OK);
  CHECK(keys == std::vector<float>{-1, 1, 5, -1, 2, 6});
  std::string again = temporaryPath("again.safetensors");
  REQUIRE(fovea_context_load(first.context, path.c_str(), nullptr) == FOVEA_OK); // what is there is replaced
  REQUIRE(fovea_context_save(first.context, again.c_str(), nullptr) == FOVEA_OK);
  CHECK(readFile(path) == readFile(again));
}

TEST_CASE("states: a file that doesn't fit says why, and changes nothing") {
  Loaded loaded;
  std::vector<float> keys;
  REQUIRE(fovea_context_load(loaded.context, "/nonexistent", &loaded.error) == FOVEA_FILE_ERROR);
  fovea_context_reset(loaded.context);
  auto file = [&](const std::string &header, size_t bytes) {
    std::string path = temporaryPath("other.safetensors");
    writeFile(path, safetensors(header, std::string(bytes, '\0')));
    return path;
  };
  fovea_size sizes[] = {{"limit", 2}, {"B", 2}};
  fovea_context_options options = {};
  options.sizes = sizes;
  options.size_count = 2;
  Loaded fixed(&options);
  REQUIRE(push(fixed, {1, 2}, 0, 2, keys) == FOVEA_OK);
  struct Row {
    std::string header;
    size_t bytes;
    fovea_code code;
    const char *message;
  } rows[] = {
      {R"({"key":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}})", 16, FOVEA_WEIGHTS_MISMATCH,
       "tensor `keys` (fake.fov:32:1) is missing; nearest: `key`"},
      {R"({"keys":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}})", 24, FOVEA_WEIGHTS_MISMATCH,
       "tensor `keys` is f32[2, 3] in the file, and f32[2, 2] in the program"},
      {R"({"keys":{"dtype":"I32","shape":[2,2],"data_offsets":[0,16]}})", 16, FOVEA_WEIGHTS_MISMATCH, "is i32[2, 2]"},
      {R"({"keys":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"w":{"dtype":"F32","shape":[1],"data_offsets":[16,20]}})",
       20, FOVEA_WEIGHTS_MISMATCH, "1 of the file's 2 tensors is no state of the program: `w`"},
      {R"({"keys":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}})", 12, FOVEA_BAD_FILE,
       "outside the file's data"},
  };
  for (const Row &row : rows) {
    INFO(row.message);
    CHECK(fovea_context_load(fixed.context, file(row.header, row.bytes).c_str(), &fixed.error) == row.code);
    CHECK_CONTAINS(fixed.error.message, row.message);
    CHECK_CONTAINS(fixed.error.message, "other.safetensors`: ");
  }
  REQUIRE(push(fixed, {7, 8}, 1, 2, keys) == FOVEA_OK);
  CHECK(keys == std::vector<float>{1, 7, 2, 8});
  // Where no size is fixed the state may be missing, and a tensor of another name is still none.
  CHECK(fovea_context_load(loaded.context, file(rows[0].header, 16).c_str(), &loaded.error) == FOVEA_WEIGHTS_MISMATCH);
  CHECK_CONTAINS(loaded.error.message, "1 of the file's 1 tensors is no state of the program: `key`");
  REQUIRE(fovea_context_load(loaded.context,
                             file(R"({"keys":{"dtype":"F16","shape":[1,4],"data_offsets":[0,8]}})", 8).c_str(),
                             &loaded.error) == FOVEA_OK); // widened
  REQUIRE(push(loaded, {9}, 3, 4, keys) == FOVEA_OK);
  CHECK(keys == std::vector<float>{0, 0, 0, 9});
}

TEST_CASE("states: the params of a model are saved beside what is trained, and load as weights") {
  fovea_size sizes[] = {{"limit", 2}, {"B", 1}};
  fovea_context_options options = {};
  options.sizes = sizes;
  options.size_count = 2;
  Loaded loaded(&options);
  std::string path = temporaryPath("params.safetensors");
  REQUIRE(fovea_context_save_params(loaded.context, path.c_str(), &loaded.error) == FOVEA_OK);
  rt::TensorFile file;
  REQUIRE(file.open(path.c_str(), {}, &loaded.error) == FOVEA_OK);
  REQUIRE(file.find("bias"));
  CHECK(memcmp(file.find("bias")->data, floats({10, 20, 30, 40}).data(), 16) == 0);
  fovea_model *model = nullptr;
  CHECK(fovea_model_load(fakeProgram(), path.c_str(), nullptr, &model, &loaded.error) == FOVEA_OK);
  fovea_model_destroy(model);
  CHECK(fovea_context_save(loaded.context, "/nonexistent/x", &loaded.error) == FOVEA_FILE_ERROR);
  CHECK(fovea_context_save(loaded.context, "/dev/full", &loaded.error) == FOVEA_FILE_ERROR);
}

TEST_CASE("states: notes of a file come back, whatever is in them") {
  std::string path = temporaryPath("notes.safetensors");
  fovea_error error = {};
  std::string strange = "a \"b\" \\ \n \xc3\xa9";
  float value = 1;
  rt::OutputTensor one = {"x", rt::FileDtype::F32, 0, nullptr, &value};
  rt::FileNote notes[] = {{"first", strange}, {"second", ""}};
  REQUIRE(save(path, &error, [&](rt::OutputFile &to) {
            return rt::writeSafetensors(to, &one, 1, {}, &error, notes, 2);
          }) == FOVEA_OK);
  rt::TensorFile file;
  REQUIRE(file.open(path.c_str(), {}, &error) == FOVEA_OK);
  REQUIRE(file.note("first"));
  CHECK(std::string(*file.note("first")) == strange);
  REQUIRE(file.note("second"));
  CHECK(file.note("second")->empty());
  CHECK_FALSE(file.note("third"));
  CHECK(file.size() == 1);
}
