/// What the pages that programs write have in common.
#ifndef FOVEA_RUNTIME_MAIN_PAGE_H
#define FOVEA_RUNTIME_MAIN_PAGE_H

#include "runtime/core/File.h"

namespace fovea::rt {

/// Writes a page: text, and JSON that may stand in a script. The first failure stays, and later calls do nothing.
class PageWriter {
public:
  PageWriter(OutputFile &file, fovea_error *error) : file(file), error(error) {}

  void text(Text what);
  void number(const char *label, int64_t value);
  /// A string with its quotes.
  void string(Text what);

  OutputFile &file;
  fovea_error *error;
  fovea_code code = FOVEA_OK;
};

/// Between a page's data, in a script element, and its own script, which can use `make(name, parent,
/// text, attributes)`, which adds an element (of SVG where the name begins with ":"), and `shown(x)`, a number with
/// four digits.
extern const char *const pageMiddle;

} // namespace fovea::rt
#endif
