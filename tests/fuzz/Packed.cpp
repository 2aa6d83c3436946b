// Packed weights from any bytes: a model whose values can be read to their last byte, or an error.
//
// The first byte of an input says what the others are: a file as it is (even), or changes of a good file, each of two
// bytes of offset and one of value, after which (bit 1) the header gets the checksum that it should have and (bit 2)
// the file is cut.
#include "runtime/core/Hash.h"
#include "runtime/core/PackedModel.h"

#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <unistd.h>

using namespace fovea::rt;

namespace {

const int64_t eight[] = {FOVEA_DIM_PUSH, 8}, three[] = {FOVEA_DIM_PUSH, 3};
const fovea_dim tableDims[] = {{eight, 2, "8"}, {three, 2, "3"}}, flagDims[] = {{three, 2, "3"}};
const fovea_tensor_spec params[] = {{"table", nullptr, FOVEA_I64, 2, tableDims},
                                    {"unused", nullptr, FOVEA_F32, 1, flagDims},
                                    {"flags", nullptr, FOVEA_BOOL, 1, flagDims}};
const fovea_derived derived[] = {{"panels", 400, 0, FOVEA_F32}, {"mask", 5, 0, FOVEA_BOOL}};
const int32_t direct[] = {0, 2};
const int64_t sizes[] = {8 * 8 * 3, 12, 3};
const fovea_target target = {"any", nullptr, nullptr, nullptr, 0, 2, derived, direct, 2, 0, {1, 2, 3}};
const fovea_target *const targets[] = {&target};

/// The bytes of a file that fits.
std::string goodFile() {
  static const unsigned char zeros[400] = {};
  char path[] = "/tmp/fovea-fuzz-XXXXXX";
  int descriptor = mkstemp(path);
  PackedWriter writer({});
  bool stored = writer.addSource("model.safetensors", {1, 2, 3, 4});
  for (int32_t i = 0; i < 2; ++i)
    stored &= writer.addItem(derived[i].name,
                             {{},
                              PackedRole::Derived,
                              i,
                              derived[i].dtype,
                              1,
                              0,
                              uint64_t(derived[i].bytes),
                              {derived[i].bytes / fovea_dtype_size(derived[i].dtype)}},
                             zeros);
  for (int32_t i : direct) {
    PackedItem item = {{}, PackedRole::Param, i, params[i].dtype, params[i].rank, 0, uint64_t(sizes[i]), {}};
    literalShape(params[i], item.shape);
    stored &= writer.addItem(params[i].name, item, zeros);
  }
  PackedHeader header = {};
  std::memcpy(header.identity, target.identity, sizeof(header.identity));
  OutputFile file;
  if (descriptor < 0 || !stored || file.open(path, nullptr) || writer.write(file, header, "fuzz", "any", "", nullptr) ||
      file.commit(nullptr))
    std::abort();
  std::string text(1 << 16, 0);
  FILE *written = std::fopen(path, "rb");
  text.resize(std::fread(text.data(), 1, text.size(), written));
  std::fclose(written);
  close(descriptor);
  unlink(path);
  return text;
}

void rehash(std::string &text) {
  PackedHeader header;
  std::memcpy(&header, text.data(), sizeof(header));
  header.headerHash = 0;
  Hash hash;
  hash.add(&header, sizeof(header));
  if (header.headerBytes >= sizeof(header) && header.headerBytes <= text.size())
    hash.add(text.data() + sizeof(header), header.headerBytes - sizeof(header));
  header.headerHash = hash.finish();
  std::memcpy(text.data(), &header, sizeof(header));
}

std::string changedFile(std::string text, unsigned mode, const uint8_t *data, size_t size) {
  auto word = [&] { return size_t(data[0]) | size_t(data[1]) << 8; };
  size_t length = text.size();
  if (mode & 4 && size >= 2) {
    length = word() % (text.size() + 1);
    data += 2, size -= 2;
  }
  for (; size >= 3; data += 3, size -= 3)
    text[word() % text.size()] = static_cast<char>(data[2]);
  if (mode & 2)
    rehash(text);
  text.resize(length);
  return text;
}

void readAll(const void *from, int64_t bytes) {
  volatile unsigned char sink = 0;
  for (int64_t i = 0; i < bytes; ++i)
    sink = sink ^ static_cast<const unsigned char *>(from)[i];
}

fovea_code load(const std::string &text) {
  void *aligned = nullptr; // of exactly this size: a read behind it is seen by AddressSanitizer
  if (posix_memalign(&aligned, 64, text.size() + !text.size()))
    std::abort();
  std::memcpy(aligned, text.data(), text.size());
  fovea_packed packed[] = {{static_cast<unsigned char *>(aligned), static_cast<int64_t>(text.size())}};
  fovea_program program = {FOVEA_ABI_VERSION, 0,      3,       0,       1,       0,       "fuzz",
                           nullptr,           params, nullptr, targets, nullptr, nullptr, packed};
  fovea_error error{};
  fovea_model *model;
  fovea_code code = fovea_model_load(&program, nullptr, nullptr, &model, &error);
  if (code && (error.code != code || !error.message[0]))
    std::abort();
  if (!code) {
    for (int32_t i : direct)
      readAll(model->params[size_t(i)], sizes[i]);
    for (size_t i = 0; i < 2; ++i)
      readAll(model->derived[i], derived[i].bytes);
    for (int64_t i = 0; i < 3; ++i) // kernels take it that bools are 0 or 1
      if (static_cast<const unsigned char *>(model->params[2])[i] > 1)
        std::abort();
  }
  fovea_model_destroy(model);
  PackedFile file;
  if (file.parse(static_cast<unsigned char *>(aligned), text.size(), &error) == FOVEA_OK)
    file.isIntact();
  std::free(aligned);
  return code;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const std::string good = goodFile();
  static const bool isGood = load(good) == FOVEA_OK;
  if (!isGood)
    std::abort();
  if (size == 0)
    return 0;
  unsigned mode = data[0];
  load(mode & 1 ? changedFile(good, mode, data + 1, size - 1) : std::string(data + 1, data + size));
  return 0;
}
