// Tensor files of every kind from any bytes: what is accepted can be read to its last byte.
#include "runtime/core/TensorFile.h"

#include <cstdlib>
#include <vector>

using namespace fovea::rt;

namespace {

/// Counts what is allocated: a small file must not make the runtime take much memory.
struct Budget {
  size_t used = 0, limit = 0;
};

void *allocate(void *user, size_t bytes, size_t alignment) {
  auto *budget = static_cast<Budget *>(user);
  if (bytes > budget->limit - budget->used)
    std::abort();
  budget->used += bytes;
  return std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
}

void release(void *user, void *memory, size_t bytes) {
  static_cast<Budget *>(user)->used -= bytes;
  std::free(memory);
}

using Parse = fovea_code (TensorFile::*)(const unsigned char *, size_t, Memory, fovea_error *);

void parse(Parse function, const uint8_t *data, size_t size) {
  // Compressed members may grow by maxInflation; everything else is a small multiple of the file.
  Budget budget{0, (size + 64) * 2048};
  fovea_allocator hooks{allocate, release, &budget};
  {
    TensorFile file;
    fovea_error error{};
    if (fovea_code code = (file.*function)(data, size, {&hooks}, &error)) {
      if (error.code != code || !error.message[0])
        std::abort();
      return;
    }
    volatile unsigned char sink = 0;
    for (const FileTensor &tensor : file) {
      int64_t elements = 0;
      if (!countElements(tensor.shape, tensor.rank, elementSize(tensor.dtype), elements) ||
          elements != tensor.elements())
        std::abort();
      for (int64_t i = 0; i < tensor.bytes; ++i)
        sink = sink ^ tensor.data[i];
    }
  }
  if (budget.used)
    std::abort();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  std::vector<uint8_t> copy(data, data + size); // of exactly this size: a read behind it is seen by AddressSanitizer
  parse(&TensorFile::parseSafetensors, copy.data(), copy.size());
  parse(&TensorFile::parseNpy, copy.data(), copy.size());
  parse(&TensorFile::parseNpz, copy.data(), copy.size());
  return 0;
}
