#include "runtime/main/Outputs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

namespace fovea::rt {

Outputs::~Outputs() {
  for (Buffer *buffer : buffers)
    destroy({}, buffer);
}

int Outputs::allocate(fovea_context *context, const fovea_program &of, int32_t number, const fovea_tensor *inputs,
                      int32_t inputCount) {
  program = &of;
  entry = &of.entries[number];
  fovea_error error;
  fovea_code code = FOVEA_OK;
  if (!tensors.resize(static_cast<size_t>(entry->output_count)))
    code = outOfMemory(&error, "outputs", 0);
  if (!code)
    code = fovea_infer_shapes(context, number, inputs, inputCount, tensors.data(), size(), &error);
  for (fovea_tensor &tensor : tensors) {
    if (code)
      break;
    int64_t elements = 0;
    countElements(tensor.shape, tensor.rank, fovea_dtype_size(tensor.dtype), elements);
    int64_t bytes = elements * fovea_dtype_size(tensor.dtype);
    auto *buffer = make<Buffer>({});
    if (!buffer || !buffer->allocate({}, static_cast<size_t>(bytes)) || !buffers.push(buffer)) {
      destroy({}, buffer);
      code = outOfMemory(&error, "an output", bytes);
    } else {
      tensor.data = buffer->data();
    }
  }
  if (code)
    fprintf(stderr, "%s: %s\n", program->name, error.message);
  return exitCode(code);
}

namespace {

/// Prints nested brackets as numpy does; an axis of more than `shown` has its middle left out in large tensors.
struct Printer {
  static constexpr int64_t largest = 1000, edge = 3;
  const fovea_tensor &tensor;
  int64_t strides[FOVEA_MAX_RANK] = {};
  bool abbreviate = false;

  explicit Printer(const fovea_tensor &tensor) : tensor(tensor) {
    int64_t stride = 1;
    for (int32_t axis = tensor.rank - 1; axis >= 0; --axis) {
      strides[axis] = stride;
      stride *= tensor.shape[axis];
    }
    abbreviate = stride > largest;
  }

  void element(int64_t index) {
    const unsigned char *at = static_cast<const unsigned char *>(tensor.data) + index * fovea_dtype_size(tensor.dtype);
    if (tensor.dtype == FOVEA_BOOL) {
      printf("%s", *at ? "true" : "false");
    } else if (tensor.dtype == FOVEA_I64) {
      int64_t value;
      memcpy(&value, at, sizeof(value));
      printf("%" PRId64, value);
    } else {
      double value = elementAsDouble(fileDtype(tensor.dtype), at);
      value = value != value ? __builtin_nan("") : value; // printf shows a sign that says nothing
      printf(tensor.dtype <= FOVEA_BF16 ? "%.6g" : "%.0f", value);
    }
  }

  void print(int32_t axis, int64_t offset) {
    if (axis == tensor.rank) {
      element(offset);
      return;
    }
    int64_t size = tensor.shape[axis];
    bool skip = abbreviate && size > 2 * edge;
    printf("[");
    for (int64_t i = 0; i < size; ++i) {
      if (i)
        printf(axis + 1 == tensor.rank ? ", " : ",\n%*s", axis + 1, "");
      if (skip && i == edge) {
        printf("...");
        i = size - edge - 1;
        continue;
      }
      print(axis + 1, offset + i * strides[axis]);
    }
    printf("]");
  }
};

int joinPath(char (&path)[PATH_MAX], const char *folder, const char *name) {
  size_t length = strlen(folder);
  const char *slash = length && folder[length - 1] == '/' ? "" : "/";
  return snprintf(path, sizeof(path), "%s%s%s.npy", folder, slash, name) < PATH_MAX;
}

fovea_code makeFolder(const char *path, fovea_error *error) {
  if (mkdir(path, 0777) == 0 || errno == EEXIST)
    return FOVEA_OK;
  return fail(error, FOVEA_FILE_ERROR, "can't make the folder %s: %s", Quoted(path, 200).text, strerrordesc_np(errno));
}

OutputTensor outputTensor(const fovea_tensor &tensor, const char *name) {
  return {name, fileDtype(tensor.dtype), tensor.rank, tensor.shape, tensor.data};
}

bool endsWith(const char *text, const char *end) {
  size_t length = strlen(text), tail = strlen(end);
  return length >= tail && strcmp(text + length - tail, end) == 0;
}

} // namespace

bool isFolder(const char *path) {
  struct stat status;
  size_t length = strlen(path);
  return (length && path[length - 1] == '/') || (stat(path, &status) == 0 && S_ISDIR(status.st_mode));
}

int Outputs::print() const {
  for (int32_t i = 0; i < size(); ++i) {
    const fovea_tensor &tensor = tensors[static_cast<size_t>(i)];
    printf("%s: %s%s\n", entry->outputs[i].name, fovea_dtype_name(tensor.dtype),
           tensor.rank ? ShapeText(tensor.shape, tensor.rank).text : "");
    Printer(tensor).print(0, 0);
    printf("\n");
  }
  if (fflush(stdout) == 0 && !ferror(stdout))
    return ExitOk;
  fprintf(stderr, "%s: can't write to standard output\n", program->name);
  return ExitData;
}

int Outputs::write(const char *path) const {
  fovea_error error;
  fovea_code code = FOVEA_OK;
  if (isFolder(path)) {
    code = makeFolder(path, &error);
    for (int32_t i = 0; i < size() && !code; ++i) {
      char file[PATH_MAX];
      if (!joinPath(file, path, entry->outputs[i].name))
        code = fail(&error, FOVEA_FILE_ERROR, "the path %s is too long", Quoted(path, 200).text);
      else
        code = writeNpy(file, outputTensor(tensors[static_cast<size_t>(i)], ""), &error);
    }
  } else if (endsWith(path, ".npz") || endsWith(path, ".safetensors")) {
    Array<OutputTensor> all;
    for (int32_t i = 0; i < size() && !code; ++i)
      if (!all.push(outputTensor(tensors[static_cast<size_t>(i)], entry->outputs[i].name)))
        code = outOfMemory(&error, "outputs", 0);
    if (!code)
      code = (endsWith(path, ".npz") ? writeNpz : writeSafetensors)(path, all.data(), all.size(), {}, &error);
  } else if (size() == 1) {
    code = writeNpy(path, outputTensor(tensors[0], ""), &error);
  }
  if (code)
    fprintf(stderr, "%s: %s\n", program->name, error.message);
  return exitCode(code);
}

bool matches(const char *pattern, const char *text) {
  // Backtracks to the last star only: linear in the product of the lengths.
  const char *star = nullptr, *retry = nullptr;
  while (*text) {
    if (*pattern == '*') {
      star = pattern++;
      retry = text;
    } else if (*pattern == '?' || *pattern == *text) {
      ++pattern;
      ++text;
    } else if (star) {
      pattern = star + 1;
      text = ++retry;
    } else {
      return false;
    }
  }
  while (*pattern == '*')
    ++pattern;
  return !*pattern;
}

void Dumper::dump(void *user, const char *path, const fovea_tensor *value) {
  auto &dumper = *static_cast<Dumper *>(user);
  ++dumper.seen;
  if (dumper.failed || !matches(dumper.pattern, path))
    return;
  char name[256], file[PATH_MAX];
  snprintf(name, sizeof(name), "%s", path);
  for (char *c = name; *c; ++c)
    if (*c == '/')
      *c = '_';
  fovea_error error;
  fovea_code code = makeFolder(dumper.folder, &error);
  if (!code && !joinPath(file, dumper.folder, name))
    code = fail(&error, FOVEA_FILE_ERROR, "the path %s is too long", Quoted(dumper.folder, 200).text);
  if (!code)
    code = writeNpy(file, outputTensor(*value, ""), &error);
  if (code)
    fprintf(stderr, "%s: %s\n", dumper.program.name, error.message);
  dumper.failed |= code != FOVEA_OK;
  dumper.written += code == FOVEA_OK;
}

} // namespace fovea::rt
