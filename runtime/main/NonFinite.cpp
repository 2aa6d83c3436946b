#include "runtime/main/NonFinite.h"

#include "runtime/core/Profile.h"

#include <math.h>

namespace fovea::rt {

static double elementAt(const fovea_tensor &tensor, int64_t element) {
  return elementAsDouble(fileDtype(tensor.dtype),
                         static_cast<const unsigned char *>(tensor.data) + element * fovea_dtype_size(tensor.dtype));
}

static int64_t countOf(const fovea_tensor &tensor) {
  int64_t elements = 0;
  countElements(tensor.shape, tensor.rank, fovea_dtype_size(tensor.dtype), elements);
  return elements;
}

int64_t firstNonFinite(const fovea_tensor &tensor) {
  if (!isFloat(tensor.dtype))
    return -1;
  int64_t count = countOf(tensor);
  const auto *data = static_cast<const unsigned char *>(tensor.data);
  for (int64_t i = 0; i < count; ++i) {
    float value;
    if (tensor.dtype == FOVEA_F32) // most states are, and all of them are looked at before a checkpoint
      memcpy(&value, data + i * 4, 4);
    if (!(tensor.dtype == FOVEA_F32 ? isfinite(value) : isfinite(elementAt(tensor, i))))
      return i;
  }
  return -1;
}

const char *nonFiniteName(const fovea_tensor &tensor, int64_t element) {
  double value = elementAt(tensor, element);
  return value != value ? "nan" : value > 0 ? "inf" : "-inf";
}

int32_t firstNonFiniteState(fovea_context &context, int64_t &element) {
  const fovea_program &program = *context.model.program;
  for (int32_t i = 0; i < program.state_count; ++i) {
    fovea_tensor state;
    double initial = program.state_initial ? program.state_initial[i].a : 0;
    if (!isfinite(initial) || !context.states[static_cast<size_t>(i)] || !isFloat(program.states[i].dtype) ||
        fovea_context_state(&context, program.states[i].name, &state, nullptr))
      continue;
    element = firstNonFinite(state);
    if (element >= 0)
      return i;
  }
  return -1;
}

void NonFiniteWatch::describe(const fovea_origin &origin, const fovea_path *path, const fovea_tensor &value,
                              int64_t element) {
  int64_t index[FOVEA_MAX_RANK], left = element;
  for (int32_t axis = value.rank - 1; axis >= 0; --axis) {
    index[axis] = left % value.shape[axis];
    left /= value.shape[axis];
  }
  Line line(text, sizeof(text));
  line.add("%s", nonFiniteName(value, element));
  if (value.rank)
    line.add(" at %s of %s%s", ShapeText(index, value.rank).text, fovea_dtype_name(value.dtype),
             ShapeText(value.shape, value.rank).text);
  if (*origin.place)
    line.add(", computed at %s", origin.place);
  if (*origin.ops)
    line.add(" by %s", origin.ops);
  char joined[400];
  fullPath(path, origin.path ? origin.path : "", joined, sizeof(joined));
  if (*joined)
    line.add(" (%s)", joined);
}

void NonFiniteWatch::see(void *watch, const fovea_origin &origin, const fovea_path *path, const fovea_tensor &value) {
  auto &w = *static_cast<NonFiniteWatch *>(watch);
  size_t number = w.place++;
  if (w.now.size() < w.place && (!w.now.resize(w.place) || !w.usual.resize(w.place)))
    return; // no memory: later values are not looked at
  w.now[number] = 0;
  int64_t begin = firstNonFinite(value);
  if (begin < 0)
    return;
  int64_t count = countOf(value), first[3] = {-1, -1, -1};
  for (int64_t i = begin; i < count; ++i) {
    double x = elementAt(value, i);
    if (isfinite(x))
      continue;
    int kind = x != x ? 0 : x > 0 ? 1 : 2;
    if (first[kind] < 0)
      first[kind] = i;
    w.now[number] = static_cast<unsigned char>(w.now[number] | 1 << kind);
  }
  int64_t element = -1;
  bool doubtful = false;
  for (int kind = 0; kind < 3; ++kind) {
    if (first[kind] < 0 || w.usual[number] & 1 << kind || (element >= 0 && first[kind] > element))
      continue;
    if (kind == 2 && !w.knows && element >= 0)
      continue;
    element = first[kind];
    doubtful = kind == 2 && !w.knows;
  }
  int rank = element < 0 ? 0 : doubtful ? 1 : 2;
  if (rank > w.best) {
    w.best = rank;
    w.describe(origin, path, value, element);
  }
}

void NonFiniteWatch::accept() {
  for (size_t i = 0; i < now.size(); ++i)
    usual[i] |= now[i];
  knows = true;
}

} // namespace fovea::rt
