#include "runtime/main/Outputs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

namespace fovea::rt {

Outputs::~Outputs() {
  for (Buffer *buffer : buffers)
    destroy({}, buffer);
}

int Outputs::allocate(fovea_context *context, const fovea_program &of, int32_t number, int32_t own,
                      const fovea_tensor *inputs, int32_t inputCount) {
  program = &of;
  shown = own;
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
      printf(isFloat(tensor.dtype) ? "%.6g" : "%.0f", value);
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

} // namespace

int Outputs::print() const {
  for (int32_t i = 0; i < own(); ++i) {
    const fovea_tensor &tensor = tensors[static_cast<size_t>(i)];
    printf("%s: %s%s\n", entry->outputs[i].name, fovea_dtype_name(tensor.dtype),
           tensor.rank ? ShapeText(tensor.shape, tensor.rank).text : "");
    Printer(tensor).print(0, 0);
    printf("\n");
  }
  if (fflush(stdout) == 0 && !ferror(stdout))
    return ExitOk;
  if (errno != EPIPE) // a reader that wants no more is told nothing
    fprintf(stderr, "%s: can't write to standard output\n", program->name);
  return ExitData;
}

} // namespace fovea::rt
