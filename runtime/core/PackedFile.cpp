#include "runtime/core/PackedFile.h"

#include "runtime/core/Hash.h"
#include "runtime/core/TensorFile.h"

#include <inttypes.h>
#include <stddef.h>

namespace fovea::rt {

static constexpr unsigned char magic[8] = {0x89, 'F', 'O', 'V', 'E', 'A', 'P', '\n'};
/// Changes with any change of layout or meaning.
static constexpr uint32_t version = 1;
static constexpr uint64_t pageSize = 4096, alignment = 64;

static_assert(sizeof(PackedHeader) == 104 && offsetof(PackedHeader, identity) == 64);
static_assert(sizeof(PackedSource) == 40 && sizeof(PackedItem) == 168 && offsetof(PackedItem, shape) == 40);

static constexpr uint64_t roundUp(uint64_t value, uint64_t unit) { return (value + unit - 1) / unit * unit; }

uint64_t packedOffset(uint64_t end, uint64_t bytes) { return roundUp(end, bytes < pageSize ? alignment : pageSize); }

bool isPacked(const unsigned char *bytes, size_t size) {
  return size >= sizeof(magic) && memcmp(bytes, magic, sizeof(magic)) == 0;
}

static uint64_t hashHeader(const unsigned char *bytes) {
  PackedHeader header;
  memcpy(&header, bytes, sizeof(header));
  uint64_t size = header.headerBytes;
  header.headerHash = 0;
  Hash hash;
  hash.add(&header, sizeof(header));
  hash.add(bytes + sizeof(header), size - sizeof(header));
  return hash.finish();
}

//===-- Reading ---------------------------------------------------------------------------------------------------===//

namespace {

/// The checks of one file; sizes are those of the header once that is believed.
struct Checker {
  const PackedFile &file;
  size_t size;
  fovea_error *error;

  fovea_code damaged(const char *what) { return fail(error, FOVEA_BAD_FILE, "damaged: %s", what); }

  fovea_code header(const unsigned char *bytes) {
    if (!isPacked(bytes, size))
      return fail(error, FOVEA_BAD_FILE, "not a file of packed weights: it doesn't start with \"\\x89FOVEAP\\n\"");
    if (size < sizeof(PackedHeader))
      return fail(error, FOVEA_BAD_FILE, "damaged: cut after %zu bytes", size);
    const PackedHeader &header = file.header();
    if (header.version != version)
      return fail(error, FOVEA_BAD_FILE, "packed in the layout %u, and this runtime reads layout %u: pack again",
                  header.version, version);
    if (header.fileBytes != size)
      return fail(error, FOVEA_BAD_FILE, "damaged: it should have %" PRIu64 " bytes, and has %zu", header.fileBytes,
                  size);
    if (header.headerBytes < sizeof(PackedHeader) || header.headerBytes > size)
      return damaged("its header's length lies outside the file");
    if (hashHeader(bytes) != header.headerHash)
      return damaged("its header doesn't have the checksum that it states");
    uint64_t tables =
        uint64_t(header.sourceCount) * sizeof(PackedSource) + uint64_t(header.itemCount) * sizeof(PackedItem);
    if (tables > header.headerBytes - sizeof(PackedHeader))
      return damaged("its tables reach beyond the header");
    bool texts = inside(header.program) && inside(header.target) && inside(header.prefix);
    return texts ? FOVEA_OK : damaged("a name lies outside the header");
  }

  bool inside(PackedText text) {
    return text.offset <= file.header().headerBytes && text.length <= file.header().headerBytes - text.offset;
  }

  fovea_code source(size_t i) {
    PackedText place = file.source(i).name;
    if (!inside(place))
      return damaged("a name lies outside the header");
    Text name = file.text(place);
    bool plain = !name.empty() && !memchr(name.data(), '/', name.size()) && !memchr(name.data(), 0, name.size());
    return plain ? FOVEA_OK : damaged("a file of weights has an impossible name");
  }

  fovea_code item(const PackedItem &item, uint64_t &end) {
    if (!inside(item.name))
      return damaged("a name lies outside the header");
    Quoted name(file.text(item.name));
    auto wrong = [&](const char *what) { return fail(error, FOVEA_BAD_FILE, "damaged: %s: %s", name.text, what); };
    if (item.role < PackedRole::Param || item.role > PackedRole::State)
      return wrong("it has no known role");
    int64_t elements, width = fovea_dtype_size(item.dtype);
    if (width == 0 || item.rank < 0 || item.rank > FOVEA_MAX_RANK ||
        !countElements(item.shape, item.rank, width, elements))
      return wrong("it has an impossible type or shape");
    if (static_cast<uint64_t>(elements * width) != item.bytes)
      return wrong("its type and its bytes don't agree");
    if (item.offset % alignment != 0 || item.offset < end || item.offset > size || item.bytes > size - item.offset)
      return wrong("its bytes lie outside the data or overlap others");
    end = item.offset + item.bytes;
    if (item.dtype == FOVEA_BOOL)
      for (uint64_t k = 0; k < item.bytes; ++k)
        if (file.data(item)[k] > 1)
          return wrong("a byte of it is no bool");
    return FOVEA_OK;
  }
};

} // namespace

fovea_code PackedFile::parse(const unsigned char *from, size_t size, fovea_error *error) {
  bytes = from;
  Checker check{*this, size, error};
  if (fovea_code code = check.header(bytes))
    return code;
  for (size_t i = 0; i < header().sourceCount; ++i)
    if (fovea_code code = check.source(i))
      return code;
  uint64_t end = header().headerBytes;
  for (size_t i = 0; i < header().itemCount; ++i)
    if (fovea_code code = check.item(item(i), end))
      return code;
  return FOVEA_OK;
}

bool PackedFile::isIntact() const {
  Hash hash;
  hash.add(bytes + header().headerBytes, header().fileBytes - header().headerBytes);
  return hash.finish() == header().dataHash;
}

//===-- Writing ---------------------------------------------------------------------------------------------------===//

void PackedWriter::append(const void *from, size_t size) {
  if (size)
    memcpy(start.data() + filled, from, size);
  filled += size;
}

PackedText PackedWriter::append(Text text) {
  PackedText place = {static_cast<uint32_t>(filled), static_cast<uint32_t>(text.size())};
  append(text.data(), text.size());
  return place;
}

/// Places the texts behind the tables and the data behind the texts; false where memory is short.
bool PackedWriter::layOut(PackedHeader &header, Text program, Text target, Text prefix) {
  filled = sizeof(PackedHeader) + sources.size() * sizeof(PackedSource) + items.size() * sizeof(PackedItem);
  size_t texts = program.size() + target.size() + prefix.size();
  for (Text name : sourceNames)
    texts += name.size();
  for (Text name : itemNames)
    texts += name.size();
  header.headerBytes = roundUp(filled + texts, pageSize);
  if (header.headerBytes > UINT32_MAX || !start.resize(header.headerBytes))
    return false;
  header.program = append(program);
  header.target = append(target);
  header.prefix = append(prefix);
  for (size_t i = 0; i < sources.size(); ++i)
    sources[i].name = append(sourceNames[i]);
  uint64_t end = header.headerBytes;
  for (size_t i = 0; i < items.size(); ++i) {
    items[i].name = append(itemNames[i]);
    items[i].offset = packedOffset(end, items[i].bytes);
    end = items[i].offset + items[i].bytes;
  }
  header.fileBytes = end;
  return true;
}

/// Calls visit(bytes, size) for all data in order, with zeros where they don't meet.
template <typename Visit> fovea_code PackedWriter::visitData(Visit visit) const {
  static const unsigned char zeros[pageSize] = {};
  uint64_t end = start.size();
  for (size_t i = 0; i < items.size(); ++i) {
    if (fovea_code code = visit(zeros, items[i].offset - end))
      return code;
    if (fovea_code code = visit(data[i], items[i].bytes))
      return code;
    end = items[i].offset + items[i].bytes;
  }
  return FOVEA_OK;
}

/// Writes in aligned pieces of a huge page's size: file systems that can then keep them on huge pages, which are mapped
/// by one fault.
fovea_code PackedWriter::writeBlocks(OutputFile &file, fovea_error *error) const {
  constexpr size_t block = size_t(2) << 20;
  Buffer staged;
  if (!staged.allocate(memory, block))
    return outOfMemory(error, "writing packed weights", block);
  size_t used = 0;
  auto add = [&](const void *from, size_t size) {
    auto *bytes = static_cast<const unsigned char *>(from);
    while (size) {
      size_t part = size < block - used ? size : block - used;
      memcpy(staged.data() + used, bytes, part);
      bytes += part;
      size -= part;
      used += part;
      if (used < block)
        break;
      used = 0;
      if (fovea_code code = file.write(staged.data(), block, error))
        return code;
    }
    return FOVEA_OK;
  };
  fovea_code code = add(start.data(), start.size());
  if (!code)
    code = visitData(add);
  return code ? code : file.write(staged.data(), used, error);
}

fovea_code PackedWriter::write(OutputFile &file, PackedHeader header, Text program, Text target, Text prefix,
                               fovea_error *error) {
  memcpy(header.magic, magic, sizeof(magic));
  header.version = version;
  header.sourceCount = static_cast<uint32_t>(sources.size());
  header.itemCount = static_cast<uint32_t>(items.size());
  if (!layOut(header, program, target, prefix))
    return outOfMemory(error, "a file's header", static_cast<int64_t>(start.size()));
  Hash hash;
  visitData([&](const void *bytes, size_t size) { return hash.add(bytes, size), FOVEA_OK; });
  header.dataHash = hash.finish();
  header.headerHash = 0;
  filled = 0;
  append(&header, sizeof(header));
  append(sources.data(), sources.size() * sizeof(PackedSource));
  append(items.data(), items.size() * sizeof(PackedItem));
  header.headerHash = hashHeader(start.data());
  memcpy(start.data(), &header, sizeof(header));
  return writeBlocks(file, error);
}

} // namespace fovea::rt
