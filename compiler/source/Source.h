// Files and spans. No MLIR here.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::source {

/// Index into a SourceManager; 0 is "no file".
using FileId = uint32_t;

/// Bytes [begin, end) of a file. A default one is "no place".
struct Span {
  FileId file = 0;
  uint32_t begin = 0, end = 0;
  bool valid() const { return file != 0; }
  bool operator==(const Span &) const = default;
};

/// From the first byte of `a` to the last of `b` (of one file; `a` otherwise).
Span join(Span a, Span b);

/// 1-based; columns count code points.
struct Position {
  uint32_t line = 1, column = 1;
};

/// Owns the texts. Not thread-safe; references stay valid for its life.
class SourceManager {
public:
  /// `name` is what diagnostics show. Texts above 64 MiB are cut there.
  FileId add(std::string name, std::string text);
  /// Reads a file; nullopt where it can't be read.
  std::optional<FileId> load(const std::string &path);

  const std::string &name(FileId file) const;
  std::string_view text(FileId file) const;
  std::string_view text(Span span) const;
  Position position(FileId file, uint32_t offset) const;
  /// The word at a place, or one character; no place where the file of that name or the line is not there.
  Span spanAt(std::string_view file, Position at) const;
  /// The line (1-based) without its end.
  std::string_view line(FileId file, uint32_t number) const;

private:
  struct File {
    std::string name, text;
    std::vector<uint32_t> lineStarts;
  };
  std::deque<File> files;
};

} // namespace fovea::source
