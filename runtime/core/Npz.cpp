// npz: a zip archive of npy files, stored or deflated. Read by its central directory, zip64 included; local headers
// only say where the data begins.
#include "runtime/core/Inflate.h"
#include "runtime/core/Npy.h"

#include <inttypes.h>
#include <stdio.h>

namespace fovea::rt {

static uint64_t little(const unsigned char *from, int bytes) {
  uint64_t value = 0;
  for (int i = bytes - 1; i >= 0; --i)
    value = value << 8 | from[i];
  return value;
}

namespace {

struct ZipEntry {
  Text name;
  unsigned flags = 0, method = 0;
  uint32_t sum = 0;
  uint64_t packed = 0, size = 0, header = 0;
};

struct ZipReader {
  const unsigned char *bytes;
  size_t size;
  fovea_error *error;
  uint64_t count = 0, directory = 0, directorySize = 0;

  fovea_code bad(const char *what) { return fail(error, FOVEA_BAD_FILE, "damaged npz file: %s", what); }

  /// Finds the end record, which lies before a comment of at most 65535 bytes.
  fovea_code findDirectory() {
    if (size < 22)
      return bad("it is too short");
    size_t lowest = size > 22 + 65535 ? size - 22 - 65535 : 0;
    size_t at = size - 22;
    while (memcmp(bytes + at, "PK\5\6", 4) != 0 || little(bytes + at + 20, 2) != size - at - 22) {
      if (at == lowest)
        return bad("its directory is missing (it may be cut)");
      --at;
    }
    count = little(bytes + at + 10, 2);
    directorySize = little(bytes + at + 12, 4);
    directory = little(bytes + at + 16, 4);
    if (count == 0xFFFF || directorySize == 0xFFFFFFFF || directory == 0xFFFFFFFF) {
      if (at < 20 || memcmp(bytes + at - 20, "PK\6\7", 4) != 0)
        return bad("its zip64 directory is missing");
      uint64_t wide = little(bytes + at - 12, 8);
      if (wide > size || size - wide < 56 || memcmp(bytes + wide, "PK\6\6", 4) != 0)
        return bad("its zip64 directory is missing");
      count = little(bytes + wide + 32, 8);
      directorySize = little(bytes + wide + 40, 8);
      directory = little(bytes + wide + 48, 8);
    }
    if (directory > size || directorySize > size - directory || count > directorySize / 46)
      return bad("its directory lies outside the file");
    return FOVEA_OK;
  }

  /// Replaces sizes that are all ones by those of the zip64 field.
  bool widen(const unsigned char *extra, size_t extraSize, ZipEntry &entry) {
    uint64_t *wanted[] = {&entry.size, &entry.packed, &entry.header};
    bool missing = false;
    for (uint64_t *value : wanted)
      missing |= *value == 0xFFFFFFFF;
    if (!missing)
      return true;
    for (size_t i = 0; i + 4 <= extraSize;) {
      uint64_t id = little(extra + i, 2), length = little(extra + i + 2, 2);
      i += 4;
      if (length > extraSize - i)
        return false;
      if (id != 1) {
        i += length;
        continue;
      }
      size_t at = i;
      for (uint64_t *value : wanted)
        if (*value == 0xFFFFFFFF) {
          if (at + 8 > i + length)
            return false;
          *value = little(extra + at, 8);
          at += 8;
        }
      return true;
    }
    return false;
  }

  fovea_code next(uint64_t &at, ZipEntry &entry) {
    uint64_t left = directory + directorySize - at;
    const unsigned char *record = bytes + at;
    if (left < 46 || memcmp(record, "PK\1\2", 4) != 0)
      return bad("its directory is damaged");
    uint64_t nameSize = little(record + 28, 2), extraSize = little(record + 30, 2),
             commentSize = little(record + 32, 2);
    if (46 + nameSize + extraSize + commentSize > left)
      return bad("its directory is damaged");
    entry.name = Text(reinterpret_cast<const char *>(record) + 46, nameSize);
    entry.flags = static_cast<unsigned>(little(record + 8, 2));
    entry.method = static_cast<unsigned>(little(record + 10, 2));
    entry.sum = static_cast<uint32_t>(little(record + 16, 4));
    entry.packed = little(record + 20, 4);
    entry.size = little(record + 24, 4);
    entry.header = little(record + 42, 4);
    if (!widen(record + 46 + nameSize, extraSize, entry))
      return bad("its zip64 sizes are damaged");
    at += 46 + nameSize + extraSize + commentSize;
    return FOVEA_OK;
  }

  /// Where the entry's data lies; checks everything about it but its checksum.
  fovea_code locate(const ZipEntry &entry, const unsigned char *&data) {
    if (entry.flags & 1)
      return bad("an entry is encrypted");
    if (entry.method != 0 && entry.method != 8)
      return bad("an entry is compressed by an unknown method");
    if (entry.header > size || size - entry.header < 30 || memcmp(bytes + entry.header, "PK\3\4", 4) != 0)
      return bad("an entry lies outside the file");
    uint64_t begin = entry.header + 30 + little(bytes + entry.header + 26, 2) + little(bytes + entry.header + 28, 2);
    if (begin > size || entry.packed > size - begin)
      return bad("an entry lies outside the file");
    if (entry.method == 0 ? entry.packed != entry.size : entry.size / maxInflation > entry.packed)
      return bad("an entry's sizes contradict each other");
    data = bytes + begin;
    return FOVEA_OK;
  }
};

} // namespace

/// "x.npy" to "x".
static Text withoutEnding(Text name) {
  if (name.size() > 4 && memcmp(name.data() + name.size() - 4, ".npy", 4) == 0)
    name.remove_suffix(4);
  return name;
}

fovea_code TensorFile::parseNpz(const unsigned char *bytes, size_t size, Memory from, fovea_error *error) {
  start(from, "npz");
  ZipReader zip{bytes, size, error};
  if (fovea_code code = zip.findDirectory())
    return code;
  uint64_t at = zip.directory, inflated = 0;
  for (uint64_t i = 0; i < zip.count; ++i) {
    ZipEntry entry;
    const unsigned char *data;
    fovea_code code = zip.next(at, entry);
    if (!code)
      code = zip.locate(entry, data);
    if (code)
      return code;
    Quoted quoted(entry.name);
    if (entry.method == 8) {
      // Entries may share packed bytes: what comes out all together is bounded by the file's size as well.
      if (__builtin_add_overflow(inflated, entry.size, &inflated) || inflated / maxInflation > size)
        return zip.bad("its entries overlap");
      Buffer *buffer = newBuffer(entry.size);
      if (!buffer)
        return outOfMemory(error, "a compressed tensor", static_cast<int64_t>(entry.size));
      if (const char *problem = inflate(data, entry.packed, buffer->data(), entry.size))
        return fail(error, FOVEA_BAD_FILE, "damaged npz file: %s: %s", quoted.text, problem);
      data = buffer->data();
    }
    if (crc32(0, data, entry.size) != entry.sum)
      return fail(error, FOVEA_BAD_FILE, "damaged npz file: the checksum of %s is wrong", quoted.text);
    if ((code = addNpy(data, entry.size, withoutEnding(entry.name), error))) {
      addContext(error, quoted.text);
      return code;
    }
  }
  return finish(error);
}

static unsigned char *put(unsigned char *to, uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i)
    *to++ = static_cast<unsigned char>(value >> (8 * i));
  return to;
}

namespace {
struct WrittenEntry {
  uint32_t sum, size, offset;
};
} // namespace

/// The 26 bytes that local header and directory share, from "version needed" on.
static unsigned char *putCommon(unsigned char *to, const WrittenEntry &entry, size_t nameSize) {
  to = put(to, 20, 2);
  to = put(to, 0x800, 2);    // names are UTF-8
  to = put(to, 0, 2);        // stored
  to = put(to, 0x210000, 4); // a fixed time, 1980-01-01, so that equal tensors give equal files
  to = put(to, entry.sum, 4);
  to = put(to, entry.size, 4);
  to = put(to, entry.size, 4);
  to = put(to, nameSize + 4, 2);
  return put(to, 0, 2);
}

static fovea_code writeEntry(OutputFile &file, const OutputTensor &tensor, uint64_t &offset, WrittenEntry &entry,
                             fovea_error *error) {
  char header[1024];
  size_t headerSize = npyHeader(tensor, header);
  int64_t elements;
  if (!countElements(tensor.shape, tensor.rank, elementSize(tensor.dtype), elements))
    return fail(error, FOVEA_INVALID_ARGUMENT, "the shape of %s overflows", Quoted(tensor.name).text);
  uint64_t size =
      headerSize + static_cast<uint64_t>(elements) * (tensor.dtype == FileDtype::BF16 ? 4 : elementSize(tensor.dtype));
  if (size >= 0xFFFFFFFF || offset + size >= 0xFFFFFFFF - 65536 || tensor.name.size() > 65000)
    return fail(error, FOVEA_INVALID_ARGUMENT, "an npz file of 4 GiB or more can't be written: write %s as .npy",
                Quoted(tensor.name).text);
  uint32_t sum = crc32(0, header, headerSize);
  if (fovea_code code = writeElements(nullptr, tensor, crc32, &sum, error))
    return code;
  entry = {sum, static_cast<uint32_t>(size), static_cast<uint32_t>(offset)};
  unsigned char local[30];
  memcpy(local, "PK\3\4", 4);
  putCommon(local + 4, entry, tensor.name.size());
  fovea_code code = file.write(local, sizeof(local), error);
  if (!code)
    code = file.write(tensor.name.data(), tensor.name.size(), error);
  if (!code)
    code = file.write(".npy", 4, error);
  if (!code)
    code = file.write(header, headerSize, error);
  offset += sizeof(local) + tensor.name.size() + 4 + size;
  return code ? code : writeElements(&file, tensor, nullptr, nullptr, error);
}

fovea_code writeNpz(OutputFile &file, const OutputTensor *tensors, size_t count, Memory memory, fovea_error *error) {
  Array<WrittenEntry> entries(memory);
  if (count >= 0xFFFF)
    return fail(error, FOVEA_INVALID_ARGUMENT, "an npz file of %zu tensors can't be written", count);
  if (!entries.resize(count))
    return outOfMemory(error, "an npz file", static_cast<int64_t>(count * sizeof(WrittenEntry)));
  fovea_code code = FOVEA_OK;
  uint64_t offset = 0, directorySize = 0;
  for (size_t i = 0; i < count && !code; ++i)
    code = writeEntry(file, tensors[i], offset, entries[i], error);
  for (size_t i = 0; i < count && !code; ++i) {
    unsigned char record[46] = {};
    memcpy(record, "PK\1\2\24\0", 6);
    putCommon(record + 6, entries[i], tensors[i].name.size());
    put(record + 42, entries[i].offset, 4);
    code = file.write(record, sizeof(record), error);
    if (!code)
      code = file.write(tensors[i].name.data(), tensors[i].name.size(), error);
    if (!code)
      code = file.write(".npy", 4, error);
    directorySize += sizeof(record) + tensors[i].name.size() + 4;
  }
  unsigned char end[22] = {};
  memcpy(end, "PK\5\6", 4);
  put(end + 8, count, 2);
  put(end + 10, count, 2);
  put(end + 12, directorySize, 4);
  put(end + 16, offset, 4);
  return code ? code : file.write(end, sizeof(end), error);
}

} // namespace fovea::rt
