#include "runtime/core/Json.h"

namespace fovea::rt {

bool JsonReader::report(const char *what) {
  if (!problem)
    problem = what;
  return false;
}

void JsonReader::skipSpace() {
  while (offset < text.size() &&
         (text[offset] == ' ' || text[offset] == '\n' || text[offset] == '\t' || text[offset] == '\r'))
    ++offset;
}

bool JsonReader::open(char bracket) {
  skipSpace();
  if (failed() || offset >= text.size() || text[offset] != bracket)
    return report(bracket == '{' ? "expected `{`" : "expected `[`");
  ++offset;
  return true;
}

bool JsonReader::more(bool &first, char close) {
  skipSpace();
  if (failed())
    return false;
  if (offset >= text.size())
    return report("the text ends too early");
  if (text[offset] == close) {
    ++offset;
    return false;
  }
  if (!first) {
    if (text[offset] != ',')
      return report(close == '}' ? "expected `,` or `}`" : "expected `,` or `]`");
    ++offset;
    skipSpace();
  }
  first = false;
  return true;
}

bool JsonReader::member(bool &first, Text &key) {
  if (!more(first, '}') || !string(key))
    return false;
  skipSpace();
  if (offset >= text.size() || text[offset] != ':')
    return report("expected `:`");
  ++offset;
  return true;
}

bool JsonReader::element(bool &first) {
  if (!more(first, ']'))
    return false;
  if (offset < text.size() && text[offset] == ']')
    return report("a comma before `]`");
  return true;
}

/// Whether a well-formed UTF-8 character starts at `i` (no overlong forms, no surrogates); sets its length.
static bool utf8At(Text text, size_t i, size_t &length) {
  auto byte = [&](size_t k) { return static_cast<unsigned char>(text[k]); };
  unsigned char first = byte(i);
  length = first < 0x80 ? 1 : first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;
  if (length == 0 || i + length > text.size())
    return false;
  for (size_t k = 1; k < length; ++k)
    if ((byte(i + k) & 0xC0) != 0x80)
      return false;
  if (length < 3)
    return true;
  unsigned char second = byte(i + 1);
  return !(first == 0xE0 && second < 0xA0) && !(first == 0xED && second >= 0xA0) && !(first == 0xF0 && second < 0x90) &&
         !(first == 0xF4 && second >= 0x90);
}

/// From behind the opening quote to the closing one, which is left at `end`.
bool JsonReader::stringEnd(size_t &end, bool &escaped) {
  escaped = false;
  for (size_t i = offset; i < text.size();) {
    auto c = static_cast<unsigned char>(text[i]);
    if (c == '"') {
      end = i;
      return true;
    }
    size_t length = 1;
    if (c < 0x20) {
      offset = i;
      return report("a control character in a string");
    }
    if (c == '\\') {
      escaped = true;
      length = 2;
    } else if (c >= 0x80 && !utf8At(text, i, length)) {
      offset = i;
      return report("a string is not UTF-8");
    }
    i += length;
  }
  return report("a string does not end");
}

bool JsonReader::hex4(size_t at, uint32_t &value) {
  value = 0;
  if (at + 4 > text.size())
    return report("a broken \\u escape");
  for (size_t i = at; i < at + 4; ++i) {
    char c = text[i];
    int digit = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : -1;
    if (digit < 0)
      return report("a broken \\u escape");
    value = value * 16 + static_cast<uint32_t>(digit);
  }
  return true;
}

static size_t encodeUtf8(uint32_t c, char *out) {
  if (c < 0x80) {
    out[0] = static_cast<char>(c);
    return 1;
  }
  size_t length = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
  for (size_t i = length - 1; i > 0; --i, c >>= 6)
    out[i] = static_cast<char>(0x80 | (c & 0x3F));
  static const unsigned char leads[] = {0, 0, 0xC0, 0xE0, 0xF0};
  out[0] = static_cast<char>(leads[length] | c);
  return length;
}

bool JsonReader::decode(size_t begin, size_t end, Text &value) {
  char *out = pool.reserve(end - begin); // an escape is never shorter than what it stands for
  if (!out) {
    memoryFailed = true;
    return report("out of memory");
  }
  size_t used = 0;
  for (size_t i = begin; i < end;) {
    if (text[i] != '\\') {
      out[used++] = text[i++];
      continue;
    }
    char kind = text[i + 1];
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (const void *found = kind ? memchr(from, kind, 8) : nullptr) {
      out[used++] = to[static_cast<const char *>(found) - from];
      i += 2;
      continue;
    }
    uint32_t code;
    if (kind != 'u')
      return report("an unknown escape in a string");
    if (!hex4(i + 2, code))
      return false;
    i += 6;
    if (code >= 0xD800 && code < 0xE000) {
      uint32_t low;
      if (code >= 0xDC00 || i + 6 > end || text[i] != '\\' || text[i + 1] != 'u' || !hex4(i + 2, low) || low < 0xDC00 ||
          low >= 0xE000)
        return report("half a surrogate pair in a string");
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
      i += 6;
    }
    used += encodeUtf8(code, out + used);
  }
  value = Text(out, used);
  return true;
}

bool JsonReader::string(Text &value) {
  skipSpace();
  if (failed() || offset >= text.size() || text[offset] != '"')
    return report("expected a string");
  ++offset;
  size_t begin = offset, end;
  bool escaped;
  if (!stringEnd(end, escaped))
    return false;
  value = Text(text.data() + begin, end - begin);
  if (escaped && !decode(begin, end, value))
    return false;
  offset = end + 1;
  return true;
}

static bool isDigit(char c) { return c >= '0' && c <= '9'; }

bool JsonReader::size(int64_t &value) {
  skipSpace();
  if (failed() || offset >= text.size() || !isDigit(text[offset]))
    return report("expected a whole number that is not negative");
  if (text[offset] == '0' && offset + 1 < text.size() && isDigit(text[offset + 1]))
    return report("a number with a leading zero");
  value = 0;
  for (; offset < text.size() && isDigit(text[offset]); ++offset)
    if (__builtin_mul_overflow(value, int64_t(10), &value) || __builtin_add_overflow(value, text[offset] - '0', &value))
      return report("a number that is too large");
  if (offset < text.size() && (text[offset] == '.' || text[offset] == 'e' || text[offset] == 'E'))
    return report("expected a whole number");
  return true;
}

bool JsonReader::number() {
  auto digits = [&] {
    size_t begin = offset;
    while (offset < text.size() && isDigit(text[offset]))
      ++offset;
    return offset > begin;
  };
  if (text[offset] == '-')
    ++offset;
  size_t begin = offset;
  if (!digits() || (text[begin] == '0' && offset > begin + 1))
    return report("a broken number");
  if (offset < text.size() && text[offset] == '.' && (++offset, !digits()))
    return report("a broken number");
  if (offset < text.size() && (text[offset] == 'e' || text[offset] == 'E')) {
    ++offset;
    if (offset < text.size() && (text[offset] == '+' || text[offset] == '-'))
      ++offset;
    if (!digits())
      return report("a broken number");
  }
  return true;
}

bool JsonReader::literal() {
  for (Text word : {Text("true"), Text("false"), Text("null")})
    if (text.size() - offset >= word.size() && memcmp(text.data() + offset, word.data(), word.size()) == 0) {
      offset += word.size();
      return true;
    }
  return report("expected a value");
}

bool JsonReader::skip(int depth) {
  skipSpace();
  if (failed())
    return false;
  if (offset >= text.size())
    return report("the text ends too early");
  if (depth >= maxDepth)
    return report("nested too deeply");
  char c = text[offset];
  bool first = true;
  Text ignored;
  if (c == '{') {
    for (open('{'); member(first, ignored);)
      if (!skip(depth + 1))
        return false;
    return !failed();
  }
  if (c == '[') {
    for (open('['); element(first);)
      if (!skip(depth + 1))
        return false;
    return !failed();
  }
  if (c == '"')
    return string(ignored);
  return c == '-' || isDigit(c) ? number() : literal();
}

bool JsonReader::end() {
  skipSpace();
  if (!failed() && offset < text.size())
    return report("text after the end");
  return !failed();
}

} // namespace fovea::rt
