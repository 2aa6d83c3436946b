// Packed weights whose data are damaged, or written by an enemy: results or errors, never a crash.
#include "Program.h"
#include "runtime/core/PackedFile.h"

#include <algorithm>
#include <cstdio>

using namespace fovea::test;

namespace {

std::string readAll(const std::string &path) {
  std::string bytes(1 << 20, 0);
  FILE *file = std::fopen(path.c_str(), "rb");
  REQUIRE(file != nullptr);
  bytes.resize(std::fread(bytes.data(), 1, bytes.size(), file));
  std::fclose(file);
  return bytes;
}

void writeAll(const std::string &path, const std::string &bytes) {
  FILE *file = std::fopen(path.c_str(), "wb");
  REQUIRE(file != nullptr);
  REQUIRE(std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size());
  std::fclose(file);
}

/// Loads a packed file and runs both entries; how many of the three steps succeed.
int stepsDone(const fovea_program *program, const std::string &path, const char *target) {
  fovea_load_options options{};
  options.packed = path.c_str();
  options.target = target;
  fovea_error error{};
  fovea_model *model = nullptr;
  if (fovea_model_load(program, nullptr, &options, &model, &error) != FOVEA_OK) {
    CHECK(error.code == FOVEA_BAD_FILE);
    return 0;
  }
  fovea_context *context = nullptr;
  fovea_context_options one{};
  one.threads = 1;
  REQUIRE(fovea_context_create(model, &one, &context, &error) == FOVEA_OK);
  std::vector<float> x(2 * 6 * 8, 0.25f), y(2 * 6 * 8), z(2 * 6);
  int done = 1;
  auto run = [&](const char *entry, fovea_tensor in, fovea_tensor out) {
    fovea_code code = fovea_run(context, fovea_find_entry(program, entry), &in, 1, &out, 1, &error);
    CHECK((code == FOVEA_OK || code == FOVEA_RUN_FAILED));
    done += code == FOVEA_OK;
  };
  run("near_bias", tensor({2, 6, 8}, x), tensor({2, 6, 8}, y));
  run("picked", tensor({2, 10}, x), tensor({2, 6}, z));
  fovea_context_destroy(context);
  fovea_model_destroy(model);
  return done;
}

} // namespace

TEST_CASE("packed weights with any data give results or errors") {
  const char *weights = std::getenv("FOVEA_DAMAGED_WEIGHTS");
  REQUIRE(weights != nullptr);
  std::string path = std::string(weights) + ".packed";
  for (const char *target : {"x86-64", "x86-64-v3", "x86-64-v4"}) {
    CAPTURE(std::string(target));
    Program program;
    if (!program.load("damaged", weights, target))
      continue;
    INFO(std::string(program.error.message));
    REQUIRE(fovea_model_pack(program.model, path.c_str(), &program.error) == FOVEA_OK);
    CHECK(stepsDone(program.program, path, target) == 3);
    const std::string good = readAll(path);
    fovea::rt::PackedHeader header;
    std::memcpy(&header, good.data(), sizeof(header));
    int refused = 0, failed = 0;
    for (size_t at = header.headerBytes; at + 8 <= good.size(); at += 8)
      for (int64_t value : {int64_t(-1), int64_t(1) << 40, int64_t(1) << 62, int64_t(0x7FC000007FC00000)}) {
        std::string changed = good;
        std::memcpy(changed.data() + at, &value, sizeof(value));
        writeAll(path, changed);
        int done = stepsDone(program.program, path, target);
        refused += done == 0;
        failed += done > 0 && done < 3;
      }
    CHECK(refused > 0); // the bools
    CHECK(failed > 0);  // the indices that must be in range
  }
  std::remove(path.c_str());
}
