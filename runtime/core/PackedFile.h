/// Packed weights as a file: what a program reads of its weights when it runs, laid out to be mapped (docs/runtime.md).
///
/// Everything but the data is checked when a file is opened: any bytes give a list of items that lie within them, or
/// FOVEA_BAD_FILE. What the items mean to a program is checked in PackedModel.cpp.
#ifndef FOVEA_RUNTIME_CORE_PACKEDFILE_H
#define FOVEA_RUNTIME_CORE_PACKEDFILE_H

#include "runtime/core/File.h"

namespace fovea::rt {

/// A text of the file: bytes from its beginning.
struct PackedText {
  uint32_t offset, length;
};

struct PackedHeader {
  unsigned char magic[8];
  uint32_t version;
  uint32_t sourceCount, itemCount;
  uint32_t unused;
  uint64_t headerBytes; ///< header, tables and texts; the data begin here
  uint64_t fileBytes;
  uint64_t headerHash; ///< of the first headerBytes bytes, this field taken as 0
  uint64_t dataHash;   ///< of all others
  uint64_t sourceHash; ///< of the sources' bytes, one after the other
  unsigned char identity[16];
  PackedText program, target, prefix;
};

/// A file of weights that the packed ones were made from: a plain name, without a folder.
struct PackedSource {
  PackedText name;
  FileStamp stamp;
};

/// State: a param that entries write, by its number as a state.
enum class PackedRole : int32_t { Param, Derived, State };

struct PackedItem {
  PackedText name;
  PackedRole role;
  int32_t number; ///< the program's or the target's
  int32_t dtype, rank;
  uint64_t offset, bytes;
  int64_t shape[FOVEA_MAX_RANK];
};

/// Where `bytes` bytes begin that come after `end`: small pieces share pages, others begin one.
uint64_t packedOffset(uint64_t end, uint64_t bytes);

/// Whether a file of this content is meant to be a packed one.
bool isPacked(const unsigned char *bytes, size_t size);

/// A view on the bytes of a packed file, which someone else keeps.
class PackedFile {
public:
  /// `bytes` are aligned to 64.
  fovea_code parse(const unsigned char *bytes, size_t size, fovea_error *error);

  const PackedHeader &header() const { return *reinterpret_cast<const PackedHeader *>(bytes); }
  const PackedSource &source(size_t i) const {
    return reinterpret_cast<const PackedSource *>(bytes + sizeof(PackedHeader))[i];
  }
  const PackedItem &item(size_t i) const {
    return reinterpret_cast<const PackedItem *>(&source(header().sourceCount))[i];
  }
  Text text(PackedText text) const { return Text(reinterpret_cast<const char *>(bytes) + text.offset, text.length); }
  const unsigned char *data(const PackedItem &item) const { return bytes + item.offset; }

  /// Compares the data with their checksum: reads all of them.
  bool isIntact() const;

private:
  const unsigned char *bytes = nullptr;
};

/// Collects what a packed file consists of, and writes it. Names and data are the caller's until then.
class PackedWriter {
public:
  explicit PackedWriter(Memory memory)
      : sources(memory), items(memory), sourceNames(memory), itemNames(memory), data(memory), start(memory),
        memory(memory) {}

  /// False where memory is short.
  bool addSource(Text name, const FileStamp &stamp) { return sources.push({{}, stamp}) && sourceNames.push(name); }
  /// The item's name and offset are filled in when it is written.
  bool addItem(Text name, const PackedItem &item, const void *bytes) {
    return items.push(item) && itemNames.push(name) && data.push(bytes);
  }
  /// Fills in what is left open in `header`, and writes all.
  fovea_code write(OutputFile &file, PackedHeader header, Text program, Text target, Text prefix, fovea_error *error);

private:
  fovea_code writeBlocks(OutputFile &file, fovea_error *error) const;
  void append(const void *from, size_t size);
  PackedText append(Text text);
  bool layOut(PackedHeader &header, Text program, Text target, Text prefix);
  template <typename Visit> fovea_code visitData(Visit visit) const;

  Array<PackedSource> sources;
  Array<PackedItem> items;
  Array<Text> sourceNames, itemNames;
  Array<const void *> data;
  Array<unsigned char> start; // header, tables and texts as bytes
  Memory memory;
  size_t filled = 0;
};

} // namespace fovea::rt
#endif
