// npy, versions 1 to 3: "\x93NUMPY", version, header length, a Python dictionary, the elements.
#include "runtime/core/Npy.h"

#include <inttypes.h>
#include <stdio.h>

namespace fovea::rt {

/// Reads the header's dictionary, which has exactly descr, fortran_order and shape.
struct NpyHeader {
  explicit NpyHeader(Text text) : text(text) {}

  bool parse() {
    bool haveDescr = false, haveOrder = false, haveShape = false;
    if (!take('{'))
      return report("expected `{`");
    while (!take('}')) {
      Text key;
      if (!string(key) || !take(':'))
        return report("expected `'name':`");
      bool *seen = key == "descr"           ? &haveDescr
                   : key == "fortran_order" ? &haveOrder
                   : key == "shape"         ? &haveShape
                                            : nullptr;
      if (!seen || *seen)
        return report(seen ? "a field is there twice" : "an unknown field");
      *seen = true;
      if (key == "descr" ? !parseDescr() : key == "shape" ? !parseShape() : !parseOrder())
        return false;
      if (!take(',') && !at('}'))
        return report("expected `,` or `}`");
    }
    if (!haveDescr || !haveOrder || !haveShape)
      return report(!haveDescr   ? "`descr` is missing"
                    : !haveOrder ? "`fortran_order` is missing"
                                 : "`shape` is missing");
    skipSpace();
    return offset == text.size() || report("text after the end");
  }

  const char *problem = nullptr;
  Text descr;
  bool fortran = false;
  FileTensor tensor;

private:
  bool report(const char *what) {
    if (!problem)
      problem = what;
    return false;
  }
  void skipSpace() {
    while (offset < text.size() && (text[offset] == ' ' || text[offset] == '\n' || text[offset] == '\t'))
      ++offset;
  }
  bool at(char c) {
    skipSpace();
    return offset < text.size() && text[offset] == c;
  }
  bool take(char c) {
    if (!at(c))
      return false;
    ++offset;
    return true;
  }
  bool word(Text wanted) {
    skipSpace();
    if (text.size() - offset < wanted.size() || memcmp(text.data() + offset, wanted.data(), wanted.size()) != 0)
      return false;
    offset += wanted.size();
    return true;
  }
  bool string(Text &value) {
    if (!at('\'') && !at('"'))
      return false;
    const char *begin = text.data() + offset + 1;
    const void *end = memchr(begin, text[offset], text.size() - offset - 1);
    if (!end)
      return false;
    value = Text(begin, static_cast<size_t>(static_cast<const char *>(end) - begin));
    offset += value.size() + 2;
    return memchr(value.data(), '\\', value.size()) == nullptr;
  }

  bool parseOrder() {
    if (word("True"))
      return fortran = true;
    return word("False") || report("`fortran_order` must be True or False");
  }

  bool parseDescr() {
    if (at('['))
      return report("records with fields are not supported");
    if (!string(descr))
      return report("`descr` must be a string");
    static const struct {
      const char *code;
      FileDtype dtype;
    } rows[] = {{"f8", FileDtype::F64}, {"f4", FileDtype::F32}, {"f2", FileDtype::F16}, {"i8", FileDtype::I64},
                {"i4", FileDtype::I32}, {"i2", FileDtype::I16}, {"i1", FileDtype::I8},  {"u8", FileDtype::U64},
                {"u4", FileDtype::U32}, {"u2", FileDtype::U16}, {"u1", FileDtype::U8},  {"b1", FileDtype::Bool}};
    if (descr.size() == 3)
      for (const auto &row : rows)
        if (memcmp(descr.data() + 1, row.code, 2) == 0) {
          if (descr[0] == '>' && elementSize(row.dtype) > 1)
            return report("big-endian elements are not supported: convert with a.astype(a.dtype.newbyteorder('<'))");
          if (descr[0] != '<' && descr[0] != '|' && descr[0] != '=' && descr[0] != '>')
            break;
          tensor.dtype = row.dtype;
          return true;
        }
    return report("an element type that is not supported");
  }

  bool parseShape() {
    if (!take('('))
      return report("`shape` must be a tuple");
    while (!take(')')) {
      if (tensor.rank == FOVEA_MAX_RANK)
        return report("a shape of more than 16 axes");
      int64_t &size = tensor.shape[tensor.rank++];
      skipSpace();
      size_t begin = offset;
      for (; offset < text.size() && text[offset] >= '0' && text[offset] <= '9'; ++offset)
        if (__builtin_mul_overflow(size, int64_t(10), &size) || __builtin_add_overflow(size, text[offset] - '0', &size))
          return report("a size that is too large");
      if (offset == begin)
        return report("a size must be a whole number that is not negative");
      take('L'); // as Python 2 wrote
      bool comma = take(',');
      if (!comma && (!at(')') || tensor.rank == 1))
        return report("expected `,` or `)` in `shape`");
    }
    return true;
  }

  Text text;
  size_t offset = 0;
};

/// Copies a column-major tensor to row-major order.
static void reorder(const FileTensor &tensor, unsigned char *to) {
  int64_t size = elementSize(tensor.dtype), strides[FOVEA_MAX_RANK], index[FOVEA_MAX_RANK] = {}, stride = size;
  for (int32_t axis = 0; axis < tensor.rank; ++axis) {
    strides[axis] = stride;
    stride *= tensor.shape[axis];
  }
  const unsigned char *from = tensor.data;
  for (int64_t i = 0; i < tensor.bytes; i += size) {
    memcpy(to + i, from, static_cast<size_t>(size));
    for (int32_t axis = tensor.rank - 1; axis >= 0; --axis) {
      from += strides[axis];
      if (++index[axis] < tensor.shape[axis])
        break;
      from -= strides[axis] * tensor.shape[axis];
      index[axis] = 0;
    }
  }
}

fovea_code TensorFile::addNpy(const unsigned char *bytes, size_t size, Text name, fovea_error *error) {
  if (size < 10 || memcmp(bytes, "\x93NUMPY", 6) != 0)
    return fail(error, FOVEA_BAD_FILE, "not an npy file: it doesn't start with \"\\x93NUMPY\" and a version");
  unsigned major = bytes[6], minor = bytes[7];
  if (major < 1 || major > 3 || minor != 0)
    return fail(error, FOVEA_BAD_FILE, "npy version %u.%u is not supported (1.0 to 3.0 are)", major, minor);
  size_t start = major == 1 ? 10 : 12;
  if (size < start)
    return fail(error, FOVEA_BAD_FILE, "damaged npy file: it ends in its header");
  size_t length = bytes[8] | bytes[9] << 8;
  if (major > 1)
    length |= static_cast<size_t>(bytes[10]) << 16 | static_cast<size_t>(bytes[11]) << 24;
  if (length > size - start)
    return fail(error, FOVEA_BAD_FILE, "damaged npy file: its header has %zu bytes, and only %zu follow", length,
                size - start);
  NpyHeader header(Text(reinterpret_cast<const char *>(bytes) + start, length));
  if (!header.parse()) {
    if (!header.descr.empty())
      return fail(error, FOVEA_BAD_FILE, "npy header: %s (`descr` is %s)", header.problem,
                  Quoted(header.descr, 40).text);
    return fail(error, FOVEA_BAD_FILE, "npy header: %s", header.problem);
  }
  FileTensor tensor = header.tensor;
  int64_t elements;
  if (!countElements(tensor.shape, tensor.rank, elementSize(tensor.dtype), elements))
    return fail(error, FOVEA_BAD_FILE, "npy header: the shape %s overflows", ShapeText(tensor.shape, tensor.rank).text);
  tensor.name = name;
  tensor.data = bytes + start + length;
  tensor.bytes = elements * elementSize(tensor.dtype);
  size_t found = size - start - length;
  if (static_cast<uint64_t>(tensor.bytes) != found)
    return fail(error, FOVEA_BAD_FILE, "damaged npy file: %s%s needs %" PRId64 " bytes, and %zu are there",
                fovea::rt::name(tensor.dtype), ShapeText(tensor.shape, tensor.rank).text, tensor.bytes, found);
  if (header.fortran && tensor.rank > 1 && tensor.bytes) {
    Buffer *buffer = newBuffer(static_cast<size_t>(tensor.bytes));
    if (!buffer)
      return outOfMemory(error, "reordering a tensor", tensor.bytes);
    reorder(tensor, buffer->data());
    tensor.data = buffer->data();
  }
  return tensors.push(tensor) ? FOVEA_OK : outOfMemory(error, "a tensor", sizeof(FileTensor));
}

fovea_code TensorFile::parseNpy(const unsigned char *bytes, size_t size, Memory from, fovea_error *error) {
  start(from, "npy");
  return addNpy(bytes, size, "", error);
}

size_t npyHeader(const OutputTensor &tensor, char (&text)[1024]) {
  static const char *const codes[] = {"<f8", "<f4", "<f2", "<f4", "<i8", "<i4", "<i2", "|i1",
                                      "<u8", "<u4", "<u2", "|u1", "|b1", "|u1", "|u1", "|u1"};
  Line line(text + 10, sizeof(text) - 10);
  line.add("{'descr': '%s', 'fortran_order': False, 'shape': (", codes[static_cast<int>(tensor.dtype)]);
  for (int32_t i = 0; i < tensor.rank; ++i)
    line.add("%" PRId64 ",%s", tensor.shape[i], i + 1 < tensor.rank ? " " : "");
  line.add("), }");
  size_t total = (10 + line.length() + 1 + 63) / 64 * 64;
  memset(text + 10 + line.length(), ' ', total - 11 - line.length());
  text[total - 1] = '\n';
  memcpy(text, "\x93NUMPY\1\0", 8);
  text[8] = static_cast<char>((total - 10) & 255);
  text[9] = static_cast<char>((total - 10) >> 8);
  return total;
}

fovea_code writeElements(OutputFile *file, const OutputTensor &tensor,
                         uint32_t (*update)(uint32_t, const void *, size_t), uint32_t *sum, fovea_error *error) {
  int64_t elements;
  if (!countElements(tensor.shape, tensor.rank, elementSize(tensor.dtype), elements))
    return fail(error, FOVEA_INVALID_ARGUMENT, "the shape %s overflows", ShapeText(tensor.shape, tensor.rank).text);
  const auto *data = static_cast<const unsigned char *>(tensor.data);
  constexpr int64_t step = 2048;
  unsigned char wide[step * 4];
  int64_t size = elementSize(tensor.dtype);
  for (int64_t i = 0; i < elements; i += step) {
    int64_t count = elements - i < step ? elements - i : step;
    const unsigned char *piece = data + i * size;
    size_t bytes = static_cast<size_t>(count * size);
    if (tensor.dtype == FileDtype::BF16) {
      widenBF16(piece, count, wide);
      piece = wide;
      bytes = static_cast<size_t>(count * 4);
    }
    if (update)
      *sum = update(*sum, piece, bytes);
    if (file)
      if (fovea_code code = file->write(piece, bytes, error))
        return code;
  }
  return FOVEA_OK;
}

fovea_code writeNpy(OutputFile &file, const OutputTensor &tensor, fovea_error *error) {
  char header[1024];
  size_t size = npyHeader(tensor, header);
  fovea_code code = file.write(header, size, error);
  return code ? code : writeElements(&file, tensor, nullptr, nullptr, error);
}

fovea_code writeNpy(const char *path, const OutputTensor &tensor, fovea_error *error) {
  OutputFile file;
  fovea_code code = file.open(path, error);
  if (!code)
    code = writeNpy(file, tensor, error);
  return code ? code : file.commit(error);
}

} // namespace fovea::rt
