#include "runtime/core/Status.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

namespace fovea::rt {

fovea_code fail(fovea_error *error, fovea_code code, const char *format, ...) {
  if (!error)
    return code;
  error->code = code;
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(error->message, sizeof(error->message), format, arguments);
  va_end(arguments);
  if (length >= static_cast<int>(sizeof(error->message)))
    memcpy(error->message + sizeof(error->message) - 4, "...", 4);
  return code;
}

fovea_code outOfMemory(fovea_error *error, const char *what, int64_t bytes) {
  return fail(error, FOVEA_OUT_OF_MEMORY, "out of memory: %" PRId64 " bytes for %s", bytes, what);
}

void addContext(fovea_error *error, const char *prefix) {
  if (!error)
    return;
  char inner[sizeof(error->message)];
  memcpy(inner, error->message, sizeof(inner));
  fail(error, static_cast<fovea_code>(error->code), "%s: %s", prefix, inner);
}

void Line::add(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(size ? buffer + used : nullptr, size - used, format, arguments);
  va_end(arguments);
  if (length < 0)
    return;
  whole += static_cast<size_t>(length);
  if (used + static_cast<size_t>(length) < size) {
    used += static_cast<size_t>(length);
    return;
  }
  used = size ? size - 1 : 0;
  if (size >= 8)
    memcpy(buffer + size - 4, "...", 4);
}

/// Bytes of the well-formed UTF-8 character at the start of `text`, 0 where it is not one.
static size_t characterLength(const unsigned char *text, size_t left) {
  unsigned char first = text[0];
  size_t length = first < 0x80                    ? 1
                  : first >= 0xC2 && first < 0xE0 ? 2
                  : (first & 0xF0) == 0xE0        ? 3
                  : first >= 0xF0 && first < 0xF5 ? 4
                                                  : 0;
  if (length == 0 || length > left)
    return 0;
  for (size_t i = 1; i < length; ++i)
    if ((text[i] & 0xC0) != 0x80)
      return 0;
  return length;
}

void Line::addQuoted(Text text, size_t limit) {
  const auto *bytes = reinterpret_cast<const unsigned char *>(text.data());
  size_t i = 0;
  while (i < text.size() && i < limit) {
    size_t length = characterLength(bytes + i, text.size() - i);
    bool plain = length && bytes[i] >= 0x20 && bytes[i] != 0x7F;
    add("%.*s", plain ? static_cast<int>(length) : 1, plain ? text.data() + i : "?");
    i += length ? length : 1;
  }
  if (i < text.size())
    add("...");
}

Quoted::Quoted(Text value, size_t limit) {
  Line line(text, sizeof(text));
  line.add("`");
  line.addQuoted(value, limit < 240 ? limit : 240);
  line.add("`");
}

ShapeText::ShapeText(const int64_t *shape, int32_t rank) {
  Line line(text, sizeof(text));
  line.add("[");
  for (int32_t i = 0; i < rank; ++i)
    line.add("%s%" PRId64, i ? ", " : "", shape[i]);
  line.add("]");
}

} // namespace fovea::rt

using namespace fovea;

extern "C" {

const char *fovea_code_name(int32_t code) {
  static const char *const names[] = {
      "FOVEA_OK",         "FOVEA_INVALID_ARGUMENT", "FOVEA_FILE_ERROR",
      "FOVEA_BAD_FILE",   "FOVEA_WEIGHTS_MISMATCH", "FOVEA_PRECONDITION",
      "FOVEA_RUN_FAILED", "FOVEA_OUT_OF_MEMORY",    "FOVEA_UNSUPPORTED_CPU",
      "FOVEA_CANCELLED",  "FOVEA_BAD_PROGRAM",
  };
  return code >= 0 && code <= FOVEA_BAD_PROGRAM ? names[code] : "unknown";
}

const char *fovea_dtype_name(int32_t dtype) {
  static const char *const names[] = {"f32", "f16", "bf16", "i64", "i32", "i8", "bool", "f64"};
  return dtype >= FOVEA_F32 && dtype <= FOVEA_F64 ? names[dtype] : "unknown";
}

int32_t fovea_dtype_size(int32_t dtype) {
  static const int32_t sizes[] = {4, 2, 2, 8, 4, 1, 1, 8};
  return dtype >= FOVEA_F32 && dtype <= FOVEA_F64 ? sizes[dtype] : 0;
}
}
