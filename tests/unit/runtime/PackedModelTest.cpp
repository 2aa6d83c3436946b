#include "FakeProgram.h"
#include "runtime/core/PackedFile.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace fovea::test;

namespace {

/// Gives a file the time that all such files have, as one that is unpacked from an archive.
void age(const std::string &path) {
  timespec times[2] = {{1'000'000'000, 0}, {1'000'000'000, 0}};
  REQUIRE(utimensat(AT_FDCWD, path.c_str(), times, 0) == 0);
}

std::string weightsFile(const char *name, const std::string &bytes = goodWeights()) {
  std::string path = temporaryPath(name);
  writeFile(path, bytes);
  age(path);
  return path;
}

/// Other numbers, the same header and size.
std::string otherWeights() {
  std::string bytes = goodWeights();
  bytes.replace(bytes.size() - 16, 16, floats({1, 2, 3, 4}));
  return bytes;
}

struct Loading {
  fovea_load_options options = {};
  fovea_model *model = nullptr;
  fovea_error error = {};
  fovea_code code = FOVEA_OK;

  explicit Loading(const fovea_program *program, const char *weights, const char *packed = nullptr,
                   const char *cache = nullptr, const char *prefix = nullptr, const char *target = nullptr) {
    options.packed = packed;
    options.cache = cache;
    options.prefix = prefix;
    options.target = target;
    code = fovea_model_load(program, weights, &options, &model, &error);
    CHECK((code == FOVEA_OK) == (model != nullptr));
  }
  ~Loading() { fovea_model_destroy(model); }
  Loading(const Loading &) = delete;
  /// Whether nothing had to be computed.
  bool isMapped() const { return model && fovea_model_bytes(model) == 0; }
  /// x * weight + 2 * bias for x = 1: 21 ... 84 for the good weights.
  float first() {
    INFO(std::string(error.message));
    REQUIRE(model);
    fovea_context *context;
    REQUIRE(fovea_context_create(model, nullptr, &context, &error) == FOVEA_OK);
    std::vector<float> x(4, 1.0f), y(4);
    fovea_tensor in = tensor(FOVEA_F32, {1, 4}, x), out = tensor(FOVEA_F32, {1, 4}, y);
    CHECK(fovea_run(context, Affine, &in, 1, &out, 1, &error) == FOVEA_OK);
    fovea_context_destroy(context);
    return y[0];
  }
};

std::string pack(const std::string &weights, const char *name = "fake.packed", const char *prefix = nullptr) {
  std::string path = temporaryPath(name);
  Loading from(fakeProgram(), weights.c_str(), nullptr, nullptr, prefix);
  INFO(std::string(from.error.message));
  REQUIRE(fovea_model_pack(from.model, path.c_str(), &from.error) == FOVEA_OK);
  return path;
}

std::vector<std::string> filesIn(const std::string &folder) {
  std::vector<std::string> names;
  if (DIR *directory = opendir(folder.c_str())) {
    while (dirent *entry = readdir(directory))
      if (entry->d_name[0] != '.')
        names.push_back(folder + "/" + entry->d_name);
    closedir(directory);
  }
  return names;
}

/// A cache folder that goes with the test.
struct CacheFolder {
  std::string outer = temporaryPath("cache"), path = outer + "/fovea";
  ~CacheFolder() {
    for (const std::string &file : filesIn(path))
      remove(file.c_str());
    rmdir(path.c_str());
    rmdir(outer.c_str());
  }
};

} // namespace

TEST_CASE("packed: the same results, without the weights, without memory of its own") {
  std::string weights = weightsFile("once.safetensors"), packed = pack(weights);
  remove(weights.c_str());
  Loading loading(fakeProgram(), nullptr, packed.c_str());
  CHECK(loading.code == FOVEA_OK);
  CHECK(loading.isMapped());
  CHECK(loading.first() == 21);
  CHECK(strcmp(fovea_model_target(loading.model), "plain") == 0);
  CHECK(fovea_model_pack(loading.model, packed.c_str(), &loading.error) == FOVEA_INVALID_ARGUMENT);
  CHECK_CONTAINS(loading.error.message, "are packed");
}

TEST_CASE("packed: weights that are named as well must be those it was made from") {
  std::string weights = weightsFile("tested.safetensors"), packed = pack(weights);
  auto load = [&](const char *prefix = nullptr) {
    return Loading(fakeProgram(), weights.c_str(), packed.c_str(), nullptr, prefix);
  };
  CHECK(load().isMapped());
  writeFile(weights, goodWeights()); // other times, the same contents
  CHECK(load().isMapped());
  writeFile(weights, otherWeights());
  Loading changed = load();
  CHECK(changed.code == FOVEA_WEIGHTS_MISMATCH);
  CHECK_CONTAINS(changed.error.message, "fake.packed`: packed from other weights: the contents of");
  age(weights); // the time of modification is set back: that of the change isn't
  CHECK(load().code == FOVEA_WEIGHTS_MISMATCH);
  writeFile(weights, goodWeights() + " ");
  Loading longer = load();
  CHECK(longer.code == FOVEA_WEIGHTS_MISMATCH);
  CHECK_CONTAINS(longer.error.message, "bytes now, and had");
  remove(weights.c_str());
  Loading missing = load();
  CHECK(missing.code == FOVEA_WEIGHTS_MISMATCH);
  CHECK_CONTAINS(missing.error.message, "there is no file");
  writeFile(weights, goodWeights());
  Loading prefixed = load("m.");
  CHECK(prefixed.code == FOVEA_WEIGHTS_MISMATCH);
  CHECK_CONTAINS(prefixed.error.message, "packed with the prefix ``, and `m.` is asked for");
}

TEST_CASE("packed: a file that was written in the moment of packing is not known by its times") {
  std::string weights = temporaryPath("fresh.safetensors");
  writeFile(weights, goodWeights());
  std::string packed = pack(weights);
  fovea::rt::PackedFile file;
  fovea::rt::MappedFile map;
  fovea::rt::FileStamp now;
  fovea_error error;
  REQUIRE(map.open(packed.c_str(), &error) == FOVEA_OK);
  REQUIRE(file.parse(map.data(), map.size(), &error) == FOVEA_OK);
  REQUIRE(fovea::rt::readStamp(weights.c_str(), now));
  CHECK(file.source(0).stamp.bytes == now.bytes);
  CHECK(file.source(0).stamp != now);
  CHECK(Loading(fakeProgram(), weights.c_str(), packed.c_str()).isMapped()); // but by its contents
}

TEST_CASE("packed: of another target, program, or model") {
  std::string packed = pack(weightsFile("tested.safetensors"));
  auto fails = [&](const fovea_target &target, fovea_code code, const char *message) {
    const fovea_target *targets[] = {&target};
    fovea_program program = *fakeProgram();
    program.targets = targets;
    program.target_count = 1;
    Loading loading(&program, nullptr, packed.c_str());
    CHECK(loading.code == code);
    CHECK_CONTAINS(loading.error.message, message);
  };
  fovea_target target = *fakeProgram()->targets[1];
  target.name = "plainer";
  fails(target, FOVEA_WEIGHTS_MISMATCH, "packed for the target `plain`, and the program runs as `plainer` here");
  target = *fakeProgram()->targets[1];
  target.identity[15] = 1;
  fails(target, FOVEA_WEIGHTS_MISMATCH, "packed for another program: `fake` (0102030000000000), and this is `fake`");
  // The same identity with other contents: no compiler makes that, but bytes may.
  target = *fakeProgram()->targets[1];
  fovea_derived derived = target.derived[0];
  target.derived = &derived;
  derived.bytes = 32;
  fails(target, FOVEA_BAD_FILE, "`bias.doubled` is not what the program wants");
  derived.bytes = 16;
  derived.dtype = FOVEA_I32;
  fails(target, FOVEA_BAD_FILE, "`bias.doubled` is not what the program wants");
  target.derived_count = 0;
  fails(target, FOVEA_BAD_FILE, "`bias.doubled` is not what the program wants");
  target = *fakeProgram()->targets[1];
  const int32_t both[] = {0, 1};
  target.direct = both;
  target.direct_count = 2;
  fails(target, FOVEA_BAD_FILE, "`bias` is missing");
}

TEST_CASE("packed: files that can't be read or written") {
  std::string weights = weightsFile("tested.safetensors");
  CHECK(Loading(fakeProgram(), nullptr, "/nonexistent").code == FOVEA_FILE_ERROR);
  Loading other(fakeProgram(), nullptr, weights.c_str());
  CHECK(other.code == FOVEA_BAD_FILE);
  CHECK_CONTAINS(other.error.message, "tested.safetensors`: not a file of packed weights");
  std::string packed = pack(weights), bytes = readFile(packed);
  Loading swapped(fakeProgram(), packed.c_str());
  CHECK(swapped.code == FOVEA_BAD_FILE);
  CHECK_CONTAINS(swapped.error.message, "these are packed weights");
  for (size_t size = 0; size < bytes.size(); size += 41) {
    writeFile(packed, bytes.substr(0, size));
    CHECK(Loading(fakeProgram(), nullptr, packed.c_str()).code == FOVEA_BAD_FILE);
  }
  size_t before = temporaryFiles().size();
  Loading good(fakeProgram(), weights.c_str());
  CHECK(fovea_model_pack(good.model, "/nonexistent/x.packed", &good.error) == FOVEA_FILE_ERROR);
  CHECK(fovea_model_pack(good.model, "/dev/full", &good.error) == FOVEA_FILE_ERROR);
  CHECK(fovea_model_pack(good.model, nullptr, &good.error) == FOVEA_INVALID_ARGUMENT);
  CHECK(fovea_model_pack(nullptr, packed.c_str(), &good.error) == FOVEA_INVALID_ARGUMENT);
  writeFile(weights, otherWeights()); // while the model has the old ones
  writeFile(packed, "before");
  CHECK(fovea_model_pack(good.model, packed.c_str(), &good.error) == FOVEA_FILE_ERROR);
  CHECK_CONTAINS(good.error.message, "changed since it was read");
  CHECK(readFile(packed) == "before");
  CHECK(temporaryFiles().size() == before);
}

TEST_CASE("packed: sharded weights, each shard counts") {
  auto shard = [](const char *name, const std::string &data) {
    return safetensors(std::string("{\"") + name + R"(":{"dtype":"F32","shape":[4],"data_offsets":[0,16]}} )", data);
  };
  weightsFile("one.safetensors", shard("weight", floats({1, 2, 3, 4})));
  std::string two = weightsFile("two.safetensors", shard("bias", floats({10, 20, 30, 40})));
  std::string index = weightsFile("sharded.safetensors.index.json",
                                  R"({"weight_map":{"weight":"one.safetensors","bias":"two.safetensors"}})");
  std::string packed = pack(index);
  CHECK(Loading(fakeProgram(), index.c_str(), packed.c_str()).first() == 21);
  writeFile(two, shard("bias", floats({1, 2, 3, 4})));
  CHECK(Loading(fakeProgram(), index.c_str(), packed.c_str()).code == FOVEA_WEIGHTS_MISMATCH);
  remove(two.c_str());
  Loading missing(fakeProgram(), index.c_str(), packed.c_str());
  CHECK(missing.code == FOVEA_WEIGHTS_MISMATCH);
  CHECK_CONTAINS(missing.error.message, "there is no file `two.safetensors`");
  CHECK(Loading(fakeProgram(), nullptr, packed.c_str()).first() == 21);
}

TEST_CASE("cache: kept where asked for, found, and made again when it is stale, damaged or of another program") {
  CacheFolder folder;
  std::string weights = weightsFile("cached.safetensors");
  auto load = [&] { return Loading(fakeProgram(), weights.c_str(), nullptr, folder.path.c_str()); };
  auto keep = [&](Loading &loading) {
    CHECK(fovea_model_keep(loading.model, folder.path.c_str(), nullptr) == FOVEA_OK);
  };
  {
    Loading first = load();
    CHECK_FALSE(first.isMapped());
    CHECK(filesIn(folder.path).empty()); // loading writes nothing
    keep(first);
    REQUIRE(filesIn(folder.path).size() == 1);
    struct stat status;
    REQUIRE(stat(folder.path.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0700);
    Loading second = load();
    CHECK(second.isMapped());
    CHECK(second.first() == 21);
    keep(second); // nothing to do
  }
  std::string kept = filesIn(folder.path)[0], bytes = readFile(kept);
  writeFile(weights, otherWeights());
  age(weights);
  {
    Loading changed = load();
    CHECK_FALSE(changed.isMapped());
    CHECK(changed.first() == 3);
    keep(changed);
    CHECK(load().isMapped());
    CHECK(load().first() == 3);
    CHECK(filesIn(folder.path) == std::vector<std::string>{kept}); // in place of the old one
  }
  for (size_t size : {size_t(0), size_t(50), bytes.size() - 1}) {
    writeFile(kept, bytes.substr(0, size));
    Loading damaged = load();
    CHECK_FALSE(damaged.isMapped());
    CHECK(damaged.first() == 3);
    keep(damaged);
    CHECK(load().isMapped());
  }
  fovea_target target = *fakeProgram()->targets[1];
  const fovea_target *targets[] = {&target};
  fovea_program program = *fakeProgram();
  program.targets = targets;
  program.target_count = 1;
  target.identity[0] = 77;
  Loading other(&program, weights.c_str(), nullptr, folder.path.c_str());
  CHECK_FALSE(other.isMapped());
  keep(other);
  CHECK(filesIn(folder.path).size() == 2); // the first program's is still of use
  CHECK(load().isMapped());
  CHECK_FALSE(Loading(fakeProgram(), weights.c_str(), nullptr, folder.path.c_str(), "m.").isMapped());
}

TEST_CASE("cache: folders that can't be") {
  std::string weights = weightsFile("cached.safetensors"), file = weightsFile("a_file", "x");
  Loading loading(fakeProgram(), weights.c_str(), nullptr, (file + "/fovea").c_str());
  CHECK(loading.first() == 21);
  fovea_error error = {};
  CHECK(fovea_model_keep(loading.model, (file + "/fovea").c_str(), &error) == FOVEA_FILE_ERROR);
  CHECK_CONTAINS(error.message, "can't make the folder");
  CHECK(fovea_model_keep(loading.model, nullptr, &error) == FOVEA_INVALID_ARGUMENT);
  remove(weights.c_str());
  CHECK(fovea_model_keep(loading.model, file.c_str(), &error) == FOVEA_FILE_ERROR);
}

TEST_CASE("cache: processes that load, keep and replace weights at once all get what the weights are") {
  CacheFolder folder;
  std::string weights = weightsFile("raced.safetensors");
  auto work = [&] {
    for (int i = 0; i < 30; ++i) {
      fovea_load_options options = {};
      options.cache = folder.path.c_str();
      options.threads = 1;
      fovea_model *model;
      if (fovea_model_load(fakeProgram(), weights.c_str(), &options, &model, nullptr))
        return 1;
      fovea_context *context;
      fovea_context_options one = {};
      one.threads = 1;
      if (fovea_context_create(model, &one, &context, nullptr))
        return 2;
      std::vector<float> x(4, 1.0f), y(4);
      fovea_tensor in = tensor(FOVEA_F32, {1, 4}, x), out = tensor(FOVEA_F32, {1, 4}, y);
      if (fovea_run(context, Affine, &in, 1, &out, 1, nullptr) || y[3] != 84)
        return 3;
      if (fovea_model_keep(model, folder.path.c_str(), nullptr))
        return 4;
      fovea_context_destroy(context);
      fovea_model_destroy(model);
      if (i % 3 == 0) // whoever comes first: the others make it again
        for (const std::string &kept : filesIn(folder.path))
          if (kept.find(".tmp") == std::string::npos)
            unlink(kept.c_str());
    }
    return 0;
  };
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i)
    if (pid_t child = fork())
      children.push_back(child);
    else
      _exit(work());
  for (pid_t child : children) {
    int status = -1;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(status == 0);
  }
  for (const std::string &file : filesIn(folder.path))
    CHECK_FALSE(contains(file, ".tmp"));
}

TEST_CASE("packed: weights within the program") {
  std::string bytes = readFile(pack(weightsFile("tested.safetensors")));
  auto *aligned = static_cast<unsigned char *>(operator new(bytes.size(), std::align_val_t(4096)));
  memcpy(aligned, bytes.data(), bytes.size());
  fovea_packed packed[] = {{nullptr, 0}, {aligned, static_cast<int64_t>(bytes.size())}};
  fovea_program program = *fakeProgram();
  program.packed = packed;
  {
    Loading own(&program, nullptr);
    CHECK(own.isMapped());
    CHECK(own.first() == 21);
  }
  CHECK(Loading(&program, weightsFile("other.safetensors", otherWeights()).c_str()).first() == 3);
  packed[1].bytes -= 1;
  Loading cut(&program, nullptr);
  CHECK(cut.code == FOVEA_BAD_FILE);
  CHECK_CONTAINS(cut.error.message, "the weights within the program: damaged");
  packed[1] = {aligned + 4, static_cast<int64_t>(bytes.size())};
  CHECK(Loading(&program, nullptr).code == FOVEA_BAD_PROGRAM);
  packed[1] = {nullptr, 0}; // none for this target
  CHECK(Loading(&program, nullptr).code == FOVEA_INVALID_ARGUMENT);
  operator delete(aligned, std::align_val_t(4096));
}
