#include "compiler/source/Source.h"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <memory>

using namespace fovea::source;

static constexpr size_t maxText = size_t(64) << 20;

Span fovea::source::join(Span a, Span b) {
  if (!a.valid())
    return b;
  if (a.file != b.file)
    return a;
  return {a.file, std::min(a.begin, b.begin), std::max(a.end, b.end)};
}

FileId SourceManager::add(std::string name, std::string text) {
  if (text.size() > maxText)
    text.resize(maxText);
  File file{std::move(name), std::move(text), {0}};
  for (uint32_t i = 0; i < file.text.size(); ++i)
    if (file.text[i] == '\n')
      file.lineStarts.push_back(i + 1);
  files.push_back(std::move(file));
  return static_cast<FileId>(files.size());
}

std::optional<FileId> SourceManager::load(const std::string &path) {
  std::unique_ptr<FILE, int (*)(FILE *)> in(std::fopen(path.c_str(), "rb"), std::fclose);
  if (!in)
    return std::nullopt;
  std::string text;
  char buffer[1 << 14];
  while (text.size() <= maxText) {
    size_t got = std::fread(buffer, 1, sizeof buffer, in.get());
    text.append(buffer, got);
    if (got < sizeof buffer)
      break;
  }
  if (std::ferror(in.get())) // a directory, for one
    return std::nullopt;
  return add(path, std::move(text));
}

const std::string &SourceManager::name(FileId file) const {
  static const std::string none = "<unknown>";
  return file == 0 || file > files.size() ? none : files[file - 1].name;
}

std::string_view SourceManager::text(FileId file) const {
  return file == 0 || file > files.size() ? std::string_view() : std::string_view(files[file - 1].text);
}

std::string_view SourceManager::text(Span span) const {
  std::string_view all = text(span.file);
  size_t begin = std::min<size_t>(span.begin, all.size()), end = std::min<size_t>(span.end, all.size());
  return all.substr(begin, end > begin ? end - begin : 0);
}

Position SourceManager::position(FileId file, uint32_t offset) const {
  if (file == 0 || file > files.size())
    return {};
  const File &f = files[file - 1];
  auto next = std::upper_bound(f.lineStarts.begin(), f.lineStarts.end(), offset);
  uint32_t start = *(next - 1), column = 1;
  for (uint32_t i = start; i < offset && i < f.text.size(); ++i)
    column += (static_cast<unsigned char>(f.text[i]) & 0xC0) != 0x80;
  return {static_cast<uint32_t>(next - f.lineStarts.begin()), column};
}

Span SourceManager::spanAt(std::string_view file, Position at) const {
  FileId id = 0;
  while (id < files.size() && files[id].name != file)
    ++id;
  if (id == files.size() || at.line == 0 || at.line > files[id].lineStarts.size())
    return {};
  const File &f = files[id++];
  auto continues = [&](uint32_t i) { return (static_cast<unsigned char>(f.text[i]) & 0xC0) == 0x80; };
  uint32_t begin = f.lineStarts[at.line - 1];
  for (uint32_t column = 1; begin < f.text.size() && f.text[begin] != '\n'; ++begin)
    if (!continues(begin) && column++ == at.column)
      break;
  uint32_t end = begin;
  while (end < f.text.size() && (std::isalnum(static_cast<unsigned char>(f.text[end])) || f.text[end] == '_'))
    ++end;
  return {id, begin, std::max(end, begin + 1)};
}

std::string_view SourceManager::line(FileId file, uint32_t number) const {
  if (file == 0 || file > files.size() || number == 0 || number > files[file - 1].lineStarts.size())
    return {};
  const File &f = files[file - 1];
  size_t begin = f.lineStarts[number - 1];
  size_t end = number < f.lineStarts.size() ? f.lineStarts[number] - 1 : f.text.size();
  if (end > begin && f.text[end - 1] == '\r')
    --end;
  return std::string_view(f.text).substr(begin, end - begin);
}
