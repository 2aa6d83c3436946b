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
  unsigned char *data = converter.newBuffer(8);
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

int Inputs::take(int32_t input, const FileTensor &tensor, const char *path) {
  given[static_cast<size_t>(input)] = true;
  return converter.convert(entry->inputs[input].name, tensor, path, tensors[static_cast<size_t>(input)]);
}

int Inputs::placeAll(const TensorFile &file, const char *path, bool &any) {
  any = false;
  for (int32_t input = 0; input < entry->input_count; ++input) {
    const FileTensor *tensor = file.find(entry->inputs[input].name);
    if (!tensor || given[static_cast<size_t>(input)])
      continue;
    any = true;
    if (int code = take(input, *tensor, path))
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
    return take(input, (*file)[0], text);
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
    return take(input, *tensor, text);
  fprintf(stderr, "%s: `%s` has no tensor named `%s`; it has", program->name, text, spec.name);
  for (size_t i = 0; i < file->size() && i < 8; ++i)
    fprintf(stderr, " %s", Quoted((*file)[i].name, 60).text);
  fprintf(stderr, "%s\n", file->size() > 8 ? " ..." : file->size() ? "" : " none");
  return ExitData;
}

int Inputs::read(const fovea_program &of, const Options &options) {
  program = &of;
  entry = &of.entries[options.entry];
  converter.start(of.name);
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
