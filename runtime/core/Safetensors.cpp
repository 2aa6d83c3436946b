// safetensors: 8 bytes with the header's length, a JSON header, the tensors' bytes without holes. Sharded: a JSON index
// with the file of every tensor.
#include "runtime/core/Json.h"
#include "runtime/core/TensorFile.h"

#include <algorithm>
#include <inttypes.h>
#include <stdio.h>

namespace fovea::rt {

/// What the format's own implementation allows.
static constexpr uint64_t longestHeader = 100'000'000;

static bool parseDtype(Text text, FileDtype &dtype) {
  static const struct {
    const char *name;
    FileDtype dtype;
  } rows[] = {{"F64", FileDtype::F64},       {"F32", FileDtype::F32},        {"F16", FileDtype::F16},
              {"BF16", FileDtype::BF16},     {"I64", FileDtype::I64},        {"I32", FileDtype::I32},
              {"I16", FileDtype::I16},       {"I8", FileDtype::I8},          {"U64", FileDtype::U64},
              {"U32", FileDtype::U32},       {"U16", FileDtype::U16},        {"U8", FileDtype::U8},
              {"BOOL", FileDtype::Bool},     {"F8_E4M3", FileDtype::F8E4M3}, {"F8_E5M2", FileDtype::F8E5M2},
              {"F8_E8M0", FileDtype::F8E8M0}};
  for (const auto &row : rows)
    if (text == row.name) {
      dtype = row.dtype;
      return true;
    }
  return false;
}

/// One tensor's record in the header, as it stands there.
struct HeaderRecord {
  FileTensor tensor;
  int64_t begin = 0, end = 0;
  bool hasDtype = false, hasShape = false, hasOffsets = false;
};

static bool readShape(JsonReader &json, FileTensor &tensor) {
  bool first = true;
  if (!json.open('['))
    return false;
  for (tensor.rank = 0; json.element(first); ++tensor.rank) {
    if (tensor.rank == FOVEA_MAX_RANK)
      return json.report("a shape of more than 16 axes");
    if (!json.size(tensor.shape[tensor.rank]))
      return false;
  }
  return !json.failed();
}

static bool readOffsets(JsonReader &json, HeaderRecord &record) {
  bool first = true;
  if (!json.open('['))
    return false;
  if (!json.element(first) || !json.size(record.begin) || !json.element(first) || !json.size(record.end) ||
      json.element(first))
    return json.report("`data_offsets` must be two numbers");
  return !json.failed();
}

static bool readRecord(JsonReader &json, HeaderRecord &record) {
  bool first = true;
  Text key, value;
  if (!json.open('{'))
    return false;
  while (json.member(first, key)) {
    bool *seen = key == "dtype"          ? &record.hasDtype
                 : key == "shape"        ? &record.hasShape
                 : key == "data_offsets" ? &record.hasOffsets
                                         : nullptr;
    if (seen && *seen)
      return json.report("a field is there twice");
    if (seen)
      *seen = true;
    if (key == "dtype") {
      if (!json.string(value))
        return false;
      if (!parseDtype(value, record.tensor.dtype))
        return json.report("an unknown dtype");
    } else if (key == "shape"          ? !readShape(json, record.tensor)
               : key == "data_offsets" ? !readOffsets(json, record)
                                       : !json.skip()) {
      return false;
    }
  }
  if (json.failed())
    return false;
  if (!record.hasDtype || !record.hasShape || !record.hasOffsets)
    return json.report(!record.hasDtype   ? "`dtype` is missing"
                       : !record.hasShape ? "`shape` is missing"
                                          : "`data_offsets` is missing");
  return true;
}

/// False with no problem reported where there is no memory for the notes.
static bool readMetadata(JsonReader &json, Array<FileNote> &notes) {
  bool first = true;
  FileNote note;
  if (!json.open('{'))
    return false;
  while (json.member(first, note.key))
    if (!json.string(note.value) || !notes.push(note))
      return false;
  return !json.failed();
}

static fovea_code jsonError(const JsonReader &json, const char *what, Text inside, fovea_error *error) {
  if (json.outOfMemory())
    return outOfMemory(error, "a file's header", 0);
  if (inside.empty())
    return fail(error, FOVEA_BAD_FILE, "damaged %s: %s, at byte %zu", what, json.problem, json.offset);
  return fail(error, FOVEA_BAD_FILE, "damaged %s: tensor %s: %s, at byte %zu", what, Quoted(inside).text, json.problem,
              json.offset);
}

static fovea_code checkRecord(const HeaderRecord &record, size_t dataSize, fovea_error *error) {
  const FileTensor &tensor = record.tensor;
  int64_t elements;
  Quoted name(tensor.name);
  if (!countElements(tensor.shape, tensor.rank, elementSize(tensor.dtype), elements))
    return fail(error, FOVEA_BAD_FILE, "tensor %s: its shape %s overflows", name.text,
                ShapeText(tensor.shape, tensor.rank).text);
  if (record.begin > record.end || static_cast<uint64_t>(record.end) > dataSize)
    return fail(error, FOVEA_BAD_FILE,
                "tensor %s: its bytes %" PRId64 " to %" PRId64 " lie outside the file's data of %zu bytes", name.text,
                record.begin, record.end, dataSize);
  if (record.end - record.begin != elements * elementSize(tensor.dtype))
    return fail(error, FOVEA_BAD_FILE, "tensor %s: %s%s needs %" PRId64 " bytes, but the file gives it %" PRId64,
                name.text, fovea::rt::name(tensor.dtype), ShapeText(tensor.shape, tensor.rank).text,
                elements * elementSize(tensor.dtype), record.end - record.begin);
  return FOVEA_OK;
}

/// The tensors' bytes must cover the data once, without holes: what overlaps or is left over is damage.
static fovea_code checkCoverage(const Array<FileTensor> &tensors, const unsigned char *data, size_t dataSize,
                                Memory memory, fovea_error *error) {
  Array<const FileTensor *> order(memory);
  if (!order.resize(tensors.size()))
    return outOfMemory(error, "a file's header", static_cast<int64_t>(tensors.size() * sizeof(void *)));
  for (size_t i = 0; i < tensors.size(); ++i)
    order[i] = &tensors[i];
  std::sort(order.begin(), order.end(), [](const FileTensor *a, const FileTensor *b) {
    return a->data != b->data ? a->data < b->data : a->bytes < b->bytes;
  });
  const unsigned char *covered = data;
  for (const FileTensor *tensor : order) {
    if (tensor->data != covered)
      return fail(error, FOVEA_BAD_FILE, "tensor %s: its bytes %s", Quoted(tensor->name).text,
                  tensor->data < covered ? "overlap another tensor's" : "leave a hole before them");
    covered += tensor->bytes;
  }
  if (covered != data + dataSize)
    return fail(error, FOVEA_BAD_FILE, "%zu bytes at the end belong to no tensor",
                static_cast<size_t>(data + dataSize - covered));
  return FOVEA_OK;
}

fovea_code TensorFile::parseSafetensors(const unsigned char *bytes, size_t size, Memory from, fovea_error *error) {
  start(from, "safetensors");
  if (size < 8)
    return fail(error, FOVEA_BAD_FILE,
                "not a safetensors file: it has %zu bytes, and its header's length alone takes 8", size);
  uint64_t headerSize = 0;
  for (int i = 7; i >= 0; --i)
    headerSize = headerSize << 8 | bytes[i];
  if (headerSize > longestHeader || headerSize > size - 8)
    return fail(error, FOVEA_BAD_FILE,
                "not a safetensors file, or cut: its first bytes announce a header of %" PRIu64
                " bytes, and %zu follow",
                headerSize, size - 8);
  Text header(reinterpret_cast<const char *>(bytes) + 8, headerSize);
  if (header.empty() || header[0] != '{')
    return fail(error, FOVEA_BAD_FILE, "not a safetensors file: its header doesn't start with `{`");
  const unsigned char *data = bytes + 8 + headerSize;
  size_t dataSize = size - 8 - headerSize;

  JsonReader json(header, texts);
  bool first = true, metadata = false;
  Text key;
  for (json.open('{'); json.member(first, key);) {
    if (key == "__metadata__") {
      if (metadata)
        json.report("`__metadata__` is there twice");
      metadata = true;
      if (json.failed() || !readMetadata(json, notes))
        return json.failed() ? jsonError(json, "header", key, error) : outOfMemory(error, "a file's header", 0);
      continue;
    }
    HeaderRecord record;
    record.tensor.name = key;
    if (!readRecord(json, record))
      return jsonError(json, "header", key, error);
    if (fovea_code code = checkRecord(record, dataSize, error))
      return code;
    record.tensor.data = data + record.begin;
    record.tensor.bytes = record.end - record.begin;
    if (!tensors.push(record.tensor))
      return outOfMemory(error, "a file's header", static_cast<int64_t>(tensors.size() * sizeof(FileTensor)));
  }
  if (json.failed() || !json.end())
    return jsonError(json, "header", {}, error);
  if (fovea_code code = finish(error))
    return code;
  return checkCoverage(tensors, data, dataSize, memory, error);
}

/// Opens the shards of an index one by one, each when its first tensor is asked for.
struct ShardReader {
  struct Shard {
    Text file;
    TensorFile *tensors;
  };

  ShardReader(TensorFile &whole, const char *index, fovea_error *error)
      : whole(whole), index(index), error(error), shards(whole.memory) {}
  ~ShardReader() {
    for (Shard &shard : shards)
      destroy(whole.memory, shard.tensors);
  }

  fovea_code shard(Text file, TensorFile *&tensors) {
    for (Shard &known : shards)
      if (known.file == file) {
        tensors = known.tensors;
        return FOVEA_OK;
      }
    if (file.empty() || memchr(file.data(), '/', file.size()) || memchr(file.data(), 0, file.size()) || file == "..")
      return fail(error, FOVEA_BAD_FILE, "damaged index: %s is not a plain file name", Quoted(file).text);
    if (file.size() >= 5 && memcmp(file.data() + file.size() - 5, ".json", 5) == 0) // it may name itself, without end
      return fail(error, FOVEA_BAD_FILE, "damaged index: %s is an index and no shard", Quoted(file).text);
    char path[PATH_MAX];
    const char *slash = strrchr(index, '/');
    int folder = slash ? static_cast<int>(slash - index + 1) : 0;
    if (snprintf(path, sizeof(path), "%.*s%.*s", folder, index, static_cast<int>(file.size()), file.data()) >=
        static_cast<int>(sizeof(path)))
      return fail(error, FOVEA_BAD_FILE, "damaged index: the file name %s is too long", Quoted(file).text);
    auto *opened = make<TensorFile>(whole.memory);
    if (!opened || !shards.push({file, opened})) {
      destroy(whole.memory, opened);
      return outOfMemory(error, "a shard", sizeof(TensorFile));
    }
    tensors = opened;
    fovea_code code = opened->open(path, whole.memory, error);
    if (!code && strcmp(opened->kind(), "safetensors") != 0)
      return fail(error, FOVEA_BAD_FILE, "the shard %s is no safetensors file", Quoted(file).text);
    return code;
  }

  fovea_code add(Text name, Text file) {
    TensorFile *tensors;
    if (fovea_code code = shard(file, tensors))
      return code;
    const FileTensor *found = tensors->find(name);
    if (!found)
      return fail(error, FOVEA_BAD_FILE, "tensor %s is not in %s, where the index says", Quoted(name).text,
                  Quoted(file).text);
    if (!whole.tensors.push(*found))
      return outOfMemory(error, "an index", static_cast<int64_t>(whole.tensors.size() * sizeof(FileTensor)));
    whole.tensors.back().name = name;
    return FOVEA_OK;
  }

  /// The whole file takes over the shards' maps. Names point into the index, which it keeps as well.
  fovea_code keepMaps(MappedFile &&indexMap) {
    size_t count = 1;
    for (Shard &shard : shards)
      count += shard.tensors->maps.size();
    auto *kept = make<MappedFile>(whole.memory, std::move(indexMap));
    if (!kept || !whole.maps.reserve(count) || !whole.mapNames.reserve(count)) {
      destroy(whole.memory, kept);
      return outOfMemory(error, "an index", static_cast<int64_t>(count * sizeof(void *)));
    }
    bool stored = whole.keepMap(kept, {});
    for (Shard &shard : shards) {
      for (MappedFile *map : shard.tensors->maps)
        stored &= whole.keepMap(map, shard.file);
      shard.tensors->maps.clear();
    }
    return stored ? FOVEA_OK : outOfMemory(error, "an index", 0);
  }

  TensorFile &whole;
  const char *index;
  fovea_error *error;
  Array<Shard> shards;
};

fovea_code TensorFile::openIndex(const char *path, Memory from, fovea_error *error) {
  start(from, "sharded safetensors");
  MappedFile map;
  if (fovea_code code = map.open(path, error))
    return code;
  if (map.size() > longestHeader)
    return fail(error, FOVEA_BAD_FILE, "an index of %zu bytes", map.size());
  JsonReader json(Text(reinterpret_cast<const char *>(map.data()), map.size()), texts);
  ShardReader shards(*this, path, error);
  bool first = true, firstName = true, seen = false;
  Text key, name, file;
  for (json.open('{'); json.member(first, key);) {
    if (key != "weight_map") {
      if (!json.skip())
        break;
      continue;
    }
    if (seen) {
      json.report("`weight_map` is there twice");
      break;
    }
    seen = true;
    for (json.open('{'); json.member(firstName, name) && json.string(file);)
      if (fovea_code code = shards.add(name, file))
        return code;
    if (json.failed())
      break;
  }
  if (json.failed() || !json.end())
    return jsonError(json, "index", {}, error);
  if (!seen)
    return fail(error, FOVEA_BAD_FILE, "not an index of safetensors: it has no `weight_map`");
  if (fovea_code code = finish(error))
    return code;
  return shards.keepMaps(std::move(map));
}

namespace {
/// The header's text; what is added is lost once memory is.
struct HeaderWriter {
  explicit HeaderWriter(Memory memory) : header(memory) {}

  void add(Text text) {
    for (char c : text)
      stored = stored && header.push(c);
  }
  void addString(Text text) {
    add("\"");
    for (char c : text) {
      char escaped[8];
      bool plain = static_cast<unsigned char>(c) >= 0x20 && c != '"' && c != '\\';
      snprintf(escaped, sizeof(escaped), plain ? "%c" : "\\u%04x", static_cast<unsigned char>(c));
      add(escaped);
    }
    add("\"");
  }
  void addNotes(const FileNote *notes, size_t count) {
    for (size_t i = 0; i < count; ++i) {
      add(i ? "," : "\"__metadata__\":{");
      addString(notes[i].key);
      add(":");
      addString(notes[i].value);
    }
    if (count)
      add("}");
  }
  void addTensor(const OutputTensor &tensor, int64_t begin, int64_t end) {
    static const char *const names[] = {"F64", "F32", "F16", "BF16", "I64",  "I32",     "I16",     "I8",
                                        "U64", "U32", "U16", "U8",   "BOOL", "F8_E4M3", "F8_E5M2", "F8_E8M0"};
    addString(tensor.name);
    char text[160];
    snprintf(text, sizeof(text), ":{\"dtype\":\"%s\",\"shape\":[", names[static_cast<int>(tensor.dtype)]);
    add(text);
    for (int32_t axis = 0; axis < tensor.rank; ++axis) {
      snprintf(text, sizeof(text), "%s%" PRId64, axis ? "," : "", tensor.shape[axis]);
      add(text);
    }
    snprintf(text, sizeof(text), "],\"data_offsets\":[%" PRId64 ",%" PRId64 "]}", begin, end);
    add(text);
  }

  Array<char> header;
  bool stored = true;
};
} // namespace

fovea_code writeSafetensors(OutputFile &file, const OutputTensor *tensors, size_t count, Memory memory,
                            fovea_error *error, const FileNote *notes, size_t noteCount) {
  HeaderWriter text(memory);
  text.add("{");
  text.addNotes(notes, noteCount);
  int64_t offset = 0;
  for (size_t i = 0; i < count; ++i) {
    const OutputTensor &tensor = tensors[i];
    int64_t elements;
    if (!countElements(tensor.shape, tensor.rank, elementSize(tensor.dtype), elements))
      return fail(error, FOVEA_INVALID_ARGUMENT, "tensor %s: its shape overflows", Quoted(tensor.name).text);
    if (i || noteCount)
      text.add(",");
    int64_t end = offset + elements * elementSize(tensor.dtype);
    text.addTensor(tensor, offset, end);
    offset = end;
  }
  text.add("}");
  while (text.stored && text.header.size() % 8) // aligns the data
    text.add(" ");
  Array<char> &header = text.header;
  if (!text.stored)
    return outOfMemory(error, "a file's header", static_cast<int64_t>(header.size()));
  unsigned char length[8];
  for (int i = 0; i < 8; ++i)
    length[i] = static_cast<unsigned char>(static_cast<uint64_t>(header.size()) >> (8 * i));
  fovea_code code = file.write(length, 8, error);
  if (!code)
    code = file.write(header.data(), header.size(), error);
  for (size_t i = 0; i < count && !code; ++i) {
    int64_t elements;
    countElements(tensors[i].shape, tensors[i].rank, elementSize(tensors[i].dtype), elements);
    code = file.write(tensors[i].data, static_cast<size_t>(elements * elementSize(tensors[i].dtype)), error);
  }
  return code;
}

} // namespace fovea::rt
