#include "runtime/main/Inputs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

namespace fovea::rt {

Inputs::~Inputs() {
  for (TensorFile *file : files)
    destroy({}, file);
  for (Buffer *buffer : buffers)
    destroy({}, buffer);
}

unsigned char *Inputs::newBuffer(int64_t bytes) {
  auto *buffer = make<Buffer>({});
  if (buffer && buffer->allocate({}, static_cast<size_t>(bytes > 0 ? bytes : 1)) && buffers.push(buffer))
    return buffer->data();
  destroy({}, buffer);
  fprintf(stderr, "%s: out of memory: %" PRId64 " bytes for an input\n", program->name, bytes);
  return nullptr;
}

/// The entry's signature, as a line.
void Inputs::printEntry(FILE *to) const {
  char text[2000];
  fovea_format_entry(program, static_cast<int32_t>(entry - program->entries), text, sizeof(text));
  fprintf(to, "%s\n", text);
}

int Inputs::openFile(const char *path, TensorFile *&file) {
  fovea_error error;
  file = make<TensorFile>({});
  if (!file || !files.push(file)) {
    destroy({}, file);
    fprintf(stderr, "%s: out of memory\n", program->name);
    return ExitData;
  }
  fovea_code code = file->open(path, {}, &error);
  if (code)
    fprintf(stderr, "%s: %s\n", program->name, error.message);
  return exitCode(code);
}

bool Inputs::parseScalar(int32_t input, const char *text, bool &outOfRange) {
  fovea_tensor &tensor = tensors[static_cast<size_t>(input)];
  unsigned char *data = newBuffer(8);
  if (!data)
    return false;
  char *end;
  errno = 0;
  outOfRange = false;
  tensor.data = data;
  if (tensor.dtype == FOVEA_F64) {
    double value = strtod(text, &end);
    memcpy(data, &value, sizeof(value));
    return end != text && !*end;
  }
  if (isFloat(tensor.dtype)) {
    float value = strtof(text, &end);
    uint16_t narrow = tensor.dtype == FOVEA_F16 ? narrowF16(value) : narrowBF16(value);
    if (tensor.dtype == FOVEA_F32)
      memcpy(data, &value, sizeof(value));
    else
      memcpy(data, &narrow, sizeof(narrow));
    return end != text && !*end;
  }
  if (tensor.dtype == FOVEA_BOOL && (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)) {
    *data = text[0] == 't';
    return true;
  }
  long long value = strtoll(text, &end, 10);
  if (end == text || *end)
    return false;
  int64_t low = tensor.dtype == FOVEA_BOOL  ? 0
                : tensor.dtype == FOVEA_I8  ? INT8_MIN
                : tensor.dtype == FOVEA_I32 ? INT32_MIN
                                            : INT64_MIN;
  int64_t high = tensor.dtype == FOVEA_BOOL  ? 1
                 : tensor.dtype == FOVEA_I8  ? INT8_MAX
                 : tensor.dtype == FOVEA_I32 ? INT32_MAX
                                             : INT64_MAX;
  outOfRange = errno == ERANGE || value < low || value > high;
  memcpy(data, &value, 8); // little-endian: the low bytes are the value in the smaller types
  return true;
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

/// Takes the tensor as it is, or converted where every value stays what it is.
int Inputs::convert(int32_t input, const FileTensor &tensor, const char *path) {
  fovea_tensor &to = tensors[static_cast<size_t>(input)];
  to.rank = tensor.rank;
  memcpy(to.shape, tensor.shape, sizeof(to.shape));
  to.data = const_cast<unsigned char *>(tensor.data);
  given[static_cast<size_t>(input)] = true;
  if (programDtype(tensor.dtype) == to.dtype && to.dtype != FOVEA_BOOL)
    return ExitOk;
  bool halves = tensor.dtype == FileDtype::F16 || tensor.dtype == FileDtype::BF16;
  bool widen = (to.dtype == FOVEA_F32 && halves) || (to.dtype == FOVEA_F64 && isFloat(programDtype(tensor.dtype)));
  bool narrow = tensor.dtype == FileDtype::F32 && (to.dtype == FOVEA_F16 || to.dtype == FOVEA_BF16);
  bool integers = isInteger(tensor.dtype) && !isFloat(to.dtype);
  const char *name = entry->inputs[input].name;
  if (!widen && !narrow && !integers) {
    fprintf(stderr, "%s: input `%s` is %s in `%s`, and the entry takes %s: convert it with .astype('%s')\n",
            program->name, name, fovea::rt::name(tensor.dtype), path, fovea_dtype_name(to.dtype), numpyName(to.dtype));
    return ExitData;
  }
  unsigned char *data = newBuffer(tensor.elements() * fovea_dtype_size(to.dtype));
  if (!data)
    return ExitData;
  to.data = data;
  if (widen && to.dtype == FOVEA_F64) {
    widenToF64(tensor, data);
    return ExitOk;
  }
  if (widen) {
    (tensor.dtype == FileDtype::F16 ? widenF16 : widenBF16)(tensor.data, tensor.elements(), data);
    return ExitOk;
  }
  int64_t bad = narrow ? narrowFloats(tensor, to.dtype, data) : convertIntegers(tensor, to.dtype, data);
  if (bad < 0)
    return ExitOk;
  const unsigned char *element = tensor.data + bad * elementSize(tensor.dtype);
  fprintf(stderr, "%s: input `%s`: element %" PRId64 " of `%s` is ", program->name, name, bad, path);
  if (narrow)
    fprintf(stderr, "%.9g, which is no %s: round it first\n", elementAsDouble(tensor.dtype, element),
            fovea_dtype_name(to.dtype));
  else
    fprintf(stderr, "%" PRId64 ", which is no %s\n", integerAt(tensor.dtype, element), fovea_dtype_name(to.dtype));
  return ExitData;
}

int Inputs::placeAll(const TensorFile &file, const char *path, bool &any) {
  any = false;
  for (int32_t input = 0; input < entry->input_count; ++input) {
    const FileTensor *tensor = file.find(entry->inputs[input].name);
    if (!tensor || given[static_cast<size_t>(input)])
      continue;
    any = true;
    if (int code = convert(input, *tensor, path))
      return code;
  }
  return ExitOk;
}

int Inputs::place(int32_t input, const char *text, bool named) {
  const fovea_tensor_spec &spec = entry->inputs[input];
  bool outOfRange;
  if (spec.rank == 0 && parseScalar(input, text, outOfRange)) {
    given[static_cast<size_t>(input)] = true;
    if (!outOfRange)
      return ExitOk;
    fprintf(stderr, "%s: input `%s`: %s is no %s\n", program->name, spec.name, text, fovea_dtype_name(spec.dtype));
    return ExitData;
  }
  bool isThere = access(text, F_OK) == 0;
  if (spec.rank == 0 && !isThere) {
    fprintf(stderr, "%s: input `%s` takes a number (%s) or a file with one, and `%s` is neither\n", program->name,
            spec.name, fovea_dtype_name(spec.dtype), text);
    return ExitData;
  }
  if (const char *equals = strchr(text, '='); equals && !named && !isThere) {
    fprintf(stderr, "%s: there is no input %s: ", program->name,
            Quoted(Text(text, static_cast<size_t>(equals - text))).text);
    printEntry(stderr);
    return ExitUsage;
  }
  TensorFile *file;
  if (int code = openFile(text, file))
    return code;
  if (strcmp(file->kind(), "npy") == 0)
    return convert(input, (*file)[0], text);
  bool any;
  if (!named) {
    int code = placeAll(*file, text, any);
    if (code || any)
      return code;
  }
  const FileTensor *tensor = file->find(spec.name);
  if (!tensor && named && file->size() == 1)
    tensor = file->begin();
  if (tensor)
    return convert(input, *tensor, text);
  fprintf(stderr, "%s: `%s` has no tensor named `%s`; it has", program->name, text, spec.name);
  for (size_t i = 0; i < file->size() && i < 8; ++i)
    fprintf(stderr, " %s", Quoted((*file)[i].name, 60).text);
  fprintf(stderr, "%s\n", file->size() > 8 ? " ..." : file->size() ? "" : " none");
  return ExitData;
}

int Inputs::read(const fovea_program &of, const Options &options) {
  program = &of;
  entry = &of.entries[options.entry];
  auto count = static_cast<size_t>(entry->input_count);
  if (!tensors.resize(count) || !given.resize(count)) {
    fprintf(stderr, "%s: out of memory\n", program->name);
    return ExitData;
  }
  for (size_t i = 0; i < count; ++i)
    tensors[i].dtype = entry->inputs[i].dtype;
  for (const char *argument : options.inputs) {
    int32_t input = -1;
    const char *equals = strchr(argument, '=');
    for (int32_t i = 0; equals && i < entry->input_count; ++i)
      if (Text(argument, static_cast<size_t>(equals - argument)) == entry->inputs[i].name)
        input = i;
    bool named = input >= 0;
    for (int32_t i = 0; !named && input < 0 && i < entry->input_count; ++i)
      if (!given[static_cast<size_t>(i)])
        input = i;
    if (input < 0 || given[static_cast<size_t>(input)]) {
      fprintf(stderr, named ? "%s: input `%s` is given twice\n" : "%s: one input too many: `%s`\n", program->name,
              named ? entry->inputs[input].name : argument);
      return ExitUsage;
    }
    if (int code = place(input, named ? equals + 1 : argument, named))
      return code;
  }
  for (size_t i = 0; i < count; ++i)
    if (!given[i]) {
      fprintf(stderr, "%s: input `%s` is missing: ", program->name, entry->inputs[i].name);
      printEntry(stderr);
      return ExitUsage;
    }
  return ExitOk;
}

} // namespace fovea::rt
