/// Reading files by mapping them, and writing them at once or not at all.
#ifndef FOVEA_RUNTIME_CORE_FILE_H
#define FOVEA_RUNTIME_CORE_FILE_H

#include "runtime/core/Memory.h"

#include <limits.h>

namespace fovea::rt {

/// What a file was like at a moment. Equal stamps of one path: nobody has written to it in between. The time of the
/// last change can't be set from outside, other than that of the last modification.
struct FileStamp {
  uint64_t bytes, inode;
  int64_t modified, changed; // nanoseconds since 1970

  bool operator==(const FileStamp &other) const = default;
};

/// The stamp of a regular file; false where there is none that can be seen.
bool readStamp(const char *path, FileStamp &stamp);

/// A whole regular file, read-only. Must not be cut by others while it is mapped.
class MappedFile {
public:
  MappedFile() = default;
  MappedFile(MappedFile &&other) noexcept { *this = std::move(other); }
  MappedFile &operator=(MappedFile &&other) noexcept {
    std::swap(bytes, other.bytes);
    std::swap(length, other.length);
    std::swap(opened, other.opened);
    return *this;
  }
  ~MappedFile();

  fovea_code open(const char *path, fovea_error *error);
  const unsigned char *data() const { return bytes; }
  size_t size() const { return length; }
  /// What it was like when it was opened.
  const FileStamp &stamp() const { return opened; }

private:
  const unsigned char *bytes = nullptr;
  size_t length = 0;
  FileStamp opened = {};
};

/// Puts a file that was written without `durable` on the disk.
fovea_code flushToDisk(const char *path, fovea_error *error);

/// Says that most of a mapped file is going to be read. What has to come from the disk then comes in huge pages, where
/// the file system can keep them: one fault maps 2 MiB, in this process and in later ones. To be called before the
/// first touch.
void expectWhole(const unsigned char *begin, size_t size);

/// Writes a temporary file beside `path` and renames it when all is written; leaves nothing behind otherwise.
/// What is not a regular file (a terminal, a pipe, /dev/null) is written to directly. Symbolic links are followed.
class OutputFile {
public:
  OutputFile() = default;
  OutputFile(const OutputFile &) = delete;
  OutputFile &operator=(const OutputFile &) = delete;
  /// Removes the temporary file where `commit` was not reached.
  ~OutputFile();

  /// With `reuses` the temporary file has one name for all processes, `.<name>.tmp`, and one that was left behind is
  /// overwritten: for what is written again and again by a process that may be killed. One process may do so at a time.
  fovea_code open(const char *path, fovea_error *error, bool reuses = false);
  fovea_code write(const void *data, size_t size, fovea_error *error);
  [[gnu::format(printf, 3, 4)]] fovea_code print(fovea_error *error, const char *format, ...);
  /// Gives the file its name; `durable`: not before its bytes are on the disk.
  fovea_code commit(fovea_error *error, bool durable = false);

private:
  bool openTemporary(const char *path, int attempt, bool reuses, unsigned mode);
  fovea_code flush(fovea_error *error);
  fovea_code writeNow(const char *data, size_t size, fovea_error *error);

  int descriptor = -1;
  bool temporary = false;
  size_t buffered = 0;
  char target[PATH_MAX];
  char name[PATH_MAX];
  char buffer[1 << 14];
};

} // namespace fovea::rt
#endif
