#include "runtime/main/Convert.h"

#include "runtime/main/Options.h"

#include <inttypes.h>
#include <stdio.h>

namespace fovea::rt {

Converter::~Converter() {
  for (Buffer *buffer : buffers)
    destroy({}, buffer);
}

unsigned char *Converter::newBuffer(int64_t bytes) {
  auto *buffer = make<Buffer>({});
  if (buffer && buffer->allocate({}, static_cast<size_t>(bytes > 0 ? bytes : 1)) && buffers.push(buffer))
    return buffer->data();
  destroy({}, buffer);
  fprintf(stderr, "%s: out of memory: %" PRId64 " bytes for an input\n", program, bytes);
  return nullptr;
}

static const char *numpyName(int32_t dtype) {
  static const char *const names[] = {"float32", "float16", "float32", "int64", "int32", "int8", "bool", "float64"};
  return names[dtype];
}

static bool isInteger(FileDtype dtype) {
  return dtype >= FileDtype::I64 && dtype <= FileDtype::Bool && dtype != FileDtype::U64;
}

static int64_t integerAt(FileDtype dtype, const unsigned char *from) {
  switch (dtype) {
  case FileDtype::I64: {
    int64_t value;
    memcpy(&value, from, sizeof(value));
    return value;
  }
  default:
    return static_cast<int64_t>(elementAsDouble(dtype, from)); // exact: 32 bits at most
  }
}

/// Copies integers to another integer type or bool where every value fits; -1, or the first that does not.
static int64_t convertIntegers(const FileTensor &tensor, int32_t dtype, unsigned char *to) {
  int64_t low = dtype == FOVEA_BOOL ? 0 : dtype == FOVEA_I8 ? INT8_MIN : dtype == FOVEA_I32 ? INT32_MIN : INT64_MIN;
  int64_t high = dtype == FOVEA_BOOL ? 1 : dtype == FOVEA_I8 ? INT8_MAX : dtype == FOVEA_I32 ? INT32_MAX : INT64_MAX;
  int64_t from = elementSize(tensor.dtype), size = fovea_dtype_size(dtype);
  for (int64_t i = 0; i < tensor.elements(); ++i) {
    int64_t value = integerAt(tensor.dtype, tensor.data + i * from);
    if (value < low || value > high)
      return i;
    memcpy(to + i * size, &value, static_cast<size_t>(size));
  }
  return -1;
}

/// Copies f32 to f16 or bf16 where every value stays what it is; -1, or the first that does not.
static int64_t narrowFloats(const FileTensor &tensor, int32_t dtype, unsigned char *to) {
  for (int64_t i = 0; i < tensor.elements(); ++i) {
    float value, back;
    memcpy(&value, tensor.data + i * 4, sizeof(value));
    uint16_t narrow = dtype == FOVEA_F16 ? narrowF16(value) : narrowBF16(value);
    memcpy(to + i * 2, &narrow, sizeof(narrow));
    (dtype == FOVEA_F16 ? widenF16 : widenBF16)(to + i * 2, 1, reinterpret_cast<unsigned char *>(&back));
    if (back != value && value == value)
      return i;
  }
  return -1;
}

static void widenToF64(const FileTensor &tensor, unsigned char *to) {
  for (int64_t i = 0; i < tensor.elements(); ++i) {
    double value = elementAsDouble(tensor.dtype, tensor.data + i * elementSize(tensor.dtype));
    memcpy(to + i * 8, &value, sizeof(value));
  }
}

int Converter::refuse(const char *name, const FileTensor &tensor, const char *path, int32_t dtype,
                      int64_t element) const {
  const unsigned char *at = tensor.data + element * elementSize(tensor.dtype);
  fprintf(stderr, "%s: input `%s`: element %" PRId64 " of `%s` is ", program, name, element, path);
  if (tensor.dtype == FileDtype::F32)
    fprintf(stderr, "%.9g, which is no %s: round it first\n", elementAsDouble(tensor.dtype, at),
            fovea_dtype_name(dtype));
  else
    fprintf(stderr, "%" PRId64 ", which is no %s\n", integerAt(tensor.dtype, at), fovea_dtype_name(dtype));
  return ExitData;
}

int Converter::convert(const char *name, const FileTensor &tensor, const char *path, fovea_tensor &to) {
  to.rank = tensor.rank;
  memcpy(to.shape, tensor.shape, sizeof(to.shape));
  to.data = const_cast<unsigned char *>(tensor.data);
  if (programDtype(tensor.dtype) == to.dtype && to.dtype != FOVEA_BOOL)
    return ExitOk;
  bool halves = tensor.dtype == FileDtype::F16 || tensor.dtype == FileDtype::BF16;
  bool widen = (to.dtype == FOVEA_F32 && halves) || (to.dtype == FOVEA_F64 && isFloat(programDtype(tensor.dtype)));
  bool narrow = tensor.dtype == FileDtype::F32 && (to.dtype == FOVEA_F16 || to.dtype == FOVEA_BF16);
  bool integers = isInteger(tensor.dtype) && !isFloat(to.dtype);
  if (!widen && !narrow && !integers) {
    fprintf(stderr, "%s: input `%s` is %s in `%s`, and the entry takes %s: convert it with .astype('%s')\n", program,
            name, fovea::rt::name(tensor.dtype), path, fovea_dtype_name(to.dtype), numpyName(to.dtype));
    return ExitData;
  }
  unsigned char *data = newBuffer(tensor.elements() * fovea_dtype_size(to.dtype));
  if (!data)
    return ExitData;
  to.data = data;
  if (widen) {
    if (to.dtype == FOVEA_F64)
      widenToF64(tensor, data);
    else
      (tensor.dtype == FileDtype::F16 ? widenF16 : widenBF16)(tensor.data, tensor.elements(), data);
    return ExitOk;
  }
  int64_t bad = narrow ? narrowFloats(tensor, to.dtype, data) : convertIntegers(tensor, to.dtype, data);
  return bad < 0 ? static_cast<int>(ExitOk) : refuse(name, tensor, path, to.dtype, bad);
}

} // namespace fovea::rt
