/// How the runtime reports failures: a code, and a message in a fixed buffer of the caller's.
#ifndef FOVEA_RUNTIME_CORE_STATUS_H
#define FOVEA_RUNTIME_CORE_STATUS_H

#include "fovea/fovea.h"

#include <stdint.h>
#include <string_view>

namespace fovea::rt {

/// Text that someone else owns. Never call substr or at on it: they need the C++ library's exceptions.
using Text = std::string_view;

/// Fills `error` (may be null) and returns `code`.
[[gnu::format(printf, 3, 4)]] fovea_code fail(fovea_error *error, fovea_code code, const char *format, ...);

/// The one for memory; `what` in plain words, `bytes` what was asked for.
fovea_code outOfMemory(fovea_error *error, const char *what, int64_t bytes);

/// Puts "`prefix`: " before the message that is there: where an inner failure happened.
void addContext(fovea_error *error, const char *prefix);

/// Builds a line in a fixed buffer; what does not fit is cut, and the end then shows it by "...".
class Line {
public:
  Line(char *buffer, size_t size) : buffer(buffer), size(size) {
    if (size)
      buffer[0] = 0;
  }
  [[gnu::format(printf, 2, 3)]] void add(const char *format, ...);
  /// Adds text that comes from a file: control characters and broken UTF-8 are shown as "?", long text is cut.
  void addQuoted(Text text, size_t limit = 120);
  size_t length() const { return used; }
  /// The length that the whole text has, whatever fitted.
  size_t wholeLength() const { return whole; }

private:
  char *buffer;
  size_t size;
  size_t used = 0;
  size_t whole = 0;
};

/// A piece of text in quotes for one message, in a buffer of its own: fail(..., "%s", Quoted(name).text).
struct Quoted {
  explicit Quoted(Text text, size_t limit = 120);
  char text[272];
};

/// "[2, 384]" or, of names, whatever `dims` say.
struct ShapeText {
  ShapeText(const int64_t *shape, int32_t rank);
  char text[360];
};

} // namespace fovea::rt
#endif
