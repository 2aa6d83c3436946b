#include "runtime/core/TensorFile.h"

#include "runtime/core/PackedFile.h"

#include <algorithm>
#include <inttypes.h>

namespace fovea::rt {

struct DtypeRow {
  const char *name;
  int64_t size;
  int32_t program;
};
static const DtypeRow dtypes[] = {
    {"f64", 8, FOVEA_F64},   {"f32", 4, FOVEA_F32}, {"f16", 2, FOVEA_F16}, {"bf16", 2, FOVEA_BF16},
    {"i64", 8, FOVEA_I64},   {"i32", 4, FOVEA_I32}, {"i16", 2, -1},        {"i8", 1, FOVEA_I8},
    {"u64", 8, -1},          {"u32", 4, -1},        {"u16", 2, -1},        {"u8", 1, -1},
    {"bool", 1, FOVEA_BOOL}, {"f8_e4m3", 1, -1},    {"f8_e5m2", 1, -1},    {"f8_e8m0", 1, -1},
};

const char *name(FileDtype dtype) { return dtypes[static_cast<int>(dtype)].name; }
int64_t elementSize(FileDtype dtype) { return dtypes[static_cast<int>(dtype)].size; }
int32_t programDtype(FileDtype dtype) { return dtypes[static_cast<int>(dtype)].program; }

FileDtype fileDtype(int32_t programDtype) {
  for (size_t i = 0; i < std::size(dtypes); ++i)
    if (dtypes[i].program == programDtype)
      return static_cast<FileDtype>(i);
  return FileDtype::F32;
}

bool countElements(const int64_t *shape, int32_t rank, int64_t size, int64_t &elements) {
  // The product of the sizes that are not 0 must fit as well: strides are computed from it.
  int64_t product = 1, bytes;
  bool empty = false;
  for (int32_t i = 0; i < rank; ++i) {
    if (shape[i] < 0)
      return false;
    if (shape[i] == 0)
      empty = true;
    else if (__builtin_mul_overflow(product, shape[i], &product))
      return false;
  }
  if (__builtin_mul_overflow(product, size, &bytes))
    return false;
  elements = empty ? 0 : product;
  return true;
}

TensorFile::~TensorFile() {
  for (MappedFile *map : maps)
    destroy(memory, map);
  for (Buffer *buffer : buffers)
    destroy(memory, buffer);
}

TensorFile &TensorFile::operator=(TensorFile &&other) noexcept {
  std::swap(memory, other.memory);
  std::swap(kindName, other.kindName);
  std::swap(tensors, other.tensors);
  std::swap(notes, other.notes);
  std::swap(texts, other.texts);
  std::swap(maps, other.maps);
  std::swap(mapNames, other.mapNames);
  std::swap(buffers, other.buffers);
  return *this;
}

Buffer *TensorFile::newBuffer(size_t bytes) {
  auto *buffer = make<Buffer>(memory);
  if (buffer && buffer->allocate(memory, bytes) && buffers.push(buffer))
    return buffer;
  destroy(memory, buffer);
  return nullptr;
}

void TensorFile::start(Memory from, const char *kind) {
  *this = TensorFile();
  memory = from;
  tensors.setMemory(from);
  notes.setMemory(from);
  texts = TextPool(from);
  maps.setMemory(from);
  mapNames.setMemory(from);
  buffers.setMemory(from);
  kindName = kind;
}

fovea_code TensorFile::finish(fovea_error *error) {
  std::sort(tensors.begin(), tensors.end(), [](const FileTensor &a, const FileTensor &b) { return a.name < b.name; });
  for (size_t i = 1; i < tensors.size(); ++i)
    if (tensors[i - 1].name == tensors[i].name)
      return fail(error, FOVEA_BAD_FILE, "two tensors are named %s", Quoted(tensors[i].name).text);
  return FOVEA_OK;
}

const FileTensor *TensorFile::find(Text name) const {
  const FileTensor *found = std::lower_bound(tensors.begin(), tensors.end(), name,
                                             [](const FileTensor &tensor, Text name) { return tensor.name < name; });
  return found != tensors.end() && found->name == name ? found : nullptr;
}

const Text *TensorFile::note(Text key) const {
  for (const FileNote &note : notes)
    if (note.key == key)
      return &note.value;
  return nullptr;
}

static bool endsWith(Text text, Text end) {
  return text.size() >= end.size() && memcmp(text.data() + text.size() - end.size(), end.data(), end.size()) == 0;
}

fovea_code TensorFile::open(const char *path, Memory from, fovea_error *error) {
  start(from, "");
  fovea_code code;
  if (endsWith(path, ".json")) {
    code = openIndex(path, from, error);
  } else {
    MappedFile map;
    if ((code = map.open(path, error)))
      return code;
    const unsigned char *data = map.data();
    size_t size = map.size();
    if (size >= 6 && memcmp(data, "\x93NUMPY", 6) == 0)
      code = parseNpy(data, size, from, error);
    else if (size >= 4 && (memcmp(data, "PK\3\4", 4) == 0 || memcmp(data, "PK\5\6", 4) == 0))
      code = parseNpz(data, size, from, error);
    else if (isPacked(data, size))
      code = fail(error, FOVEA_BAD_FILE, "these are packed weights, no tensor file: give them as such (--packed)");
    else if (endsWith(path, ".npy"))
      code = fail(error, FOVEA_BAD_FILE, "not an npy file: it doesn't start with \"\\x93NUMPY\"");
    else if (endsWith(path, ".npz"))
      code = fail(error, FOVEA_BAD_FILE, "not an npz file: it doesn't start with \"PK\"");
    else
      code = parseSafetensors(data, size, from, error);
    MappedFile *kept = code ? nullptr : make<MappedFile>(memory, std::move(map));
    if (!code && (!kept || !keepMap(kept, {}))) {
      destroy(memory, kept);
      code = outOfMemory(error, "a file", sizeof(MappedFile));
    }
  }
  if (code) {
    start(from, "");
    addContext(error, Quoted(path, 200).text);
  }
  return code;
}

size_t editDistance(Text a, Text b, size_t limit) {
  constexpr size_t longest = 255;
  size_t difference = a.size() > b.size() ? a.size() - b.size() : b.size() - a.size();
  if (difference >= limit || a.size() > longest || b.size() > longest)
    return limit;
  unsigned short row[longest + 1];
  for (size_t j = 0; j <= b.size(); ++j)
    row[j] = static_cast<unsigned short>(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    unsigned short diagonal = row[0];
    row[0] = static_cast<unsigned short>(i);
    for (size_t j = 1; j <= b.size(); ++j) {
      unsigned short above = row[j];
      unsigned best = diagonal + (a[i - 1] != b[j - 1]);
      best = std::min({best, above + 1u, row[j - 1] + 1u});
      row[j] = static_cast<unsigned short>(best);
      diagonal = above;
    }
  }
  return std::min<size_t>(row[b.size()], limit);
}

size_t TensorFile::nearest(Text name, const FileTensor **found, size_t count) const {
  size_t limit = name.size() / 3 + 2, used = 0;
  size_t distances[8];
  count = std::min<size_t>(count, std::size(distances));
  for (const FileTensor &tensor : tensors) {
    // A name with something more in front is near, however long that is: a prefix is missing.
    bool tail = endsWith(tensor.name, name) || endsWith(name, tensor.name);
    size_t distance = tail ? 1 : editDistance(tensor.name, name, limit);
    if (distance >= limit)
      continue;
    size_t place = used;
    while (place > 0 && distances[place - 1] > distance)
      --place;
    if (place >= count)
      continue;
    used = std::min(used + 1, count);
    for (size_t i = used - 1; i > place; --i) {
      distances[i] = distances[i - 1];
      found[i] = found[i - 1];
    }
    distances[place] = distance;
    found[place] = &tensor;
  }
  return used;
}

template <typename T> static T loadAs(const unsigned char *from) {
  T value;
  memcpy(&value, from, sizeof(T));
  return value;
}

static float bitsToFloat(uint32_t bits) { return loadAs<float>(reinterpret_cast<const unsigned char *>(&bits)); }

static uint32_t halfToFloatBits(uint32_t half) {
  uint32_t sign = (half & 0x8000) << 16, exponent = (half >> 10) & 31, mantissa = half & 1023;
  if (exponent == 31)
    return sign | 0x7F800000 | mantissa << 13;
  if (exponent != 0)
    return sign | (exponent + 112) << 23 | mantissa << 13;
  if (mantissa == 0)
    return sign;
  int shift = __builtin_clz(mantissa) - 21; // a subnormal: its leading bit becomes the hidden one
  return sign | static_cast<uint32_t>(113 - shift) << 23 | ((mantissa << shift) & 1023) << 13;
}

void widenF16(const unsigned char *from, int64_t count, unsigned char *to) {
  for (int64_t i = 0; i < count; ++i) {
    uint32_t bits = halfToFloatBits(loadAs<uint16_t>(from + 2 * i));
    memcpy(to + 4 * i, &bits, 4);
  }
}

void widenBF16(const unsigned char *from, int64_t count, unsigned char *to) {
  for (int64_t i = 0; i < count; ++i) {
    uint32_t bits = static_cast<uint32_t>(loadAs<uint16_t>(from + 2 * i)) << 16;
    memcpy(to + 4 * i, &bits, 4);
  }
}

uint16_t narrowF16(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7FFFFFFF;
  if (magnitude > 0x7F800000)
    return static_cast<uint16_t>(sign | 0x7E00);
  if (magnitude >= 0x477FF000) // rounds to 65536 or is above
    return static_cast<uint16_t>(sign | 0x7C00);
  if (magnitude < 0x38800000) { // subnormal: adding 0.5 lines its bits up, and rounds
    float shifted;
    memcpy(&shifted, &magnitude, sizeof(shifted));
    shifted += 0.5f;
    memcpy(&magnitude, &shifted, sizeof(magnitude));
    return static_cast<uint16_t>(sign | (magnitude - 0x3F000000));
  }
  magnitude += 0xFFF + (magnitude >> 13 & 1);
  return static_cast<uint16_t>(sign | (magnitude - 0x38000000) >> 13);
}

uint16_t narrowBF16(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  if (value != value)
    return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

double elementAsDouble(FileDtype dtype, const unsigned char *from) {
  switch (dtype) {
  case FileDtype::F64:
    return loadAs<double>(from);
  case FileDtype::F32:
    return loadAs<float>(from);
  case FileDtype::F16:
    return bitsToFloat(halfToFloatBits(loadAs<uint16_t>(from)));
  case FileDtype::BF16:
    return bitsToFloat(static_cast<uint32_t>(loadAs<uint16_t>(from)) << 16);
  case FileDtype::I64:
    return static_cast<double>(loadAs<int64_t>(from));
  case FileDtype::I32:
    return loadAs<int32_t>(from);
  case FileDtype::I16:
    return loadAs<int16_t>(from);
  case FileDtype::I8:
    return loadAs<int8_t>(from);
  case FileDtype::U64:
    return static_cast<double>(loadAs<uint64_t>(from));
  case FileDtype::U32:
    return loadAs<uint32_t>(from);
  case FileDtype::U16:
    return loadAs<uint16_t>(from);
  case FileDtype::U8:
  case FileDtype::Bool:
  case FileDtype::F8E4M3:
  case FileDtype::F8E5M2:
  case FileDtype::F8E8M0:
    return *from; // the 8-bit floats as their bits: no program has them
  }
  return 0;
}

} // namespace fovea::rt
