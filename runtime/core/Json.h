/// A strict pull parser for the JSON of tensor files: no allocation but for escaped strings, bounded nesting, UTF-8
/// checked.
#ifndef FOVEA_RUNTIME_CORE_JSON_H
#define FOVEA_RUNTIME_CORE_JSON_H

#include "runtime/core/Memory.h"

namespace fovea::rt {

/// Reads values one after the other. Every function returns false on the first thing that is wrong; `problem` then says
/// what, and `offset` where.
///
///     JsonReader json(text, pool);
///     bool first = true; Text key;
///     json.open('{'); while (json.member(first, key)) ...
class JsonReader {
public:
  static constexpr int maxDepth = 32;

  /// Strings without escapes point into `text`, others into `pool`.
  JsonReader(Text text, TextPool &pool) : text(text), pool(pool) {}

  /// Expects `{` or `[`.
  bool open(char bracket);
  /// The next key of an object; false at its end or on an error (see `failed`). `first` starts true.
  bool member(bool &first, Text &key);
  /// Whether an array has a further element.
  bool element(bool &first);
  bool string(Text &value);
  /// An integer from 0 to 2^63 - 1, without sign, fraction or exponent.
  bool size(int64_t &value);
  /// Any value, thrown away.
  bool skip(int depth = 0);
  /// Nothing but white space may follow.
  bool end();

  bool failed() const { return problem != nullptr; }
  bool outOfMemory() const { return memoryFailed; }
  bool report(const char *what);

  const char *problem = nullptr;
  size_t offset = 0;

private:
  void skipSpace();
  bool more(bool &first, char close);
  bool stringEnd(size_t &end, bool &escaped);
  bool decode(size_t begin, size_t end, Text &value);
  bool hex4(size_t at, uint32_t &value);
  bool number();
  bool literal();

  Text text;
  TextPool &pool;
  bool memoryFailed = false;
};

} // namespace fovea::rt
#endif
