// A context's states in files.
#include "runtime/core/Context.h"
#include "runtime/core/Dim.h"

#include <inttypes.h>

namespace fovea::rt {

namespace {

/// A program's states that have a value, here or in a file, with literal sizes, as `matchWeights` wants them.
class LiteralSpecs {
public:
  LiteralSpecs(const fovea_program &program, Memory memory)
      : program(program), sizes(memory), specs(memory), numbers(memory), dims(memory), code(memory) {}

  /// `known` are the sizes of the state symbols; those that are not fixed yet (-1) become what the file has.
  fovea_code make(const Array<int64_t> &known, const TensorFile &file, fovea_error *error) {
    size_t count = static_cast<size_t>(program.state_count), axes = 0;
    for (size_t i = 0; i < count; ++i)
      axes += static_cast<size_t>(program.states[i].rank);
    if (!sizes.resize(known.size()) || !dims.resize(axes) || !code.resize(2 * axes))
      return outOfMemory(error, "states", static_cast<int64_t>(axes * sizeof(fovea_dim)));
    for (size_t i = 0; i < known.size(); ++i)
      sizes[i] = known[i];
    for (size_t i = 0; i < count; ++i)
      takeSizes(program.states[i], file.find(program.states[i].name));
    fovea_dim *dim = dims.data();
    int64_t *words = code.data();
    for (size_t i = 0; i < count; ++i) {
      fovea_tensor shape;
      auto number = static_cast<int32_t>(i);
      if (!file.find(program.states[i].name) && unfixedSize(program, sizes.data(), number))
        continue;
      if (fovea_code status = stateShape(program, sizes.data(), number, shape, error))
        return status;
      fovea_tensor_spec spec = program.states[i];
      spec.dims = dim;
      if (!specs.push(spec) || !numbers.push(number))
        return outOfMemory(error, "states", 0);
      for (int32_t axis = 0; axis < shape.rank; ++axis, words += 2, ++dim) {
        words[0] = FOVEA_DIM_PUSH;
        words[1] = shape.shape[axis];
        *dim = {words, 2, program.states[i].dims[axis].text};
      }
    }
    return FOVEA_OK;
  }

  const fovea_program &program;
  Array<int64_t> sizes; // of the state symbols
  Array<fovea_tensor_spec> specs;
  Array<int32_t> numbers; // of the states that `specs` are

private:
  void takeSizes(const fovea_tensor_spec &spec, const FileTensor *tensor) {
    if (!tensor || tensor->rank != spec.rank)
      return;
    for (int32_t axis = 0; axis < spec.rank; ++axis) {
      const fovea_dim &dim = spec.dims[axis];
      if (dim.length == 2 && dim.code[0] == FOVEA_DIM_SYMBOL && sizes[static_cast<size_t>(dim.code[1])] < 0)
        sizes[static_cast<size_t>(dim.code[1])] = tensor->shape[axis];
    }
  }

  Array<fovea_dim> dims;
  Array<int64_t> code;
};

fovea_code checkAllUsed(const TensorFile &file, const Array<const FileTensor *> &found, fovea_error *error) {
  if (file.size() == found.size())
    return FOVEA_OK;
  char text[600];
  Line line(text, sizeof(text));
  size_t named = 0;
  for (const FileTensor &tensor : file) {
    bool used = false;
    for (const FileTensor *other : found)
      used |= other == &tensor;
    if (!used && named++ < 4)
      line.add("%s%s", named > 1 ? ", " : "", Quoted(tensor.name).text);
  }
  return fail(error, FOVEA_WEIGHTS_MISMATCH, "%zu of the file's %zu tensors %s no state of the program: %s%s", named,
              file.size(), named == 1 ? "is" : "are", text, named > 4 ? ", ..." : "");
}

fovea_code checkBools(const FileTensor &tensor, fovea_error *error) {
  for (int64_t i = 0; tensor.dtype == FileDtype::Bool && i < tensor.bytes; ++i)
    if (tensor.data[i] > 1)
      return fail(error, FOVEA_BAD_FILE, "tensor %s: element %" PRId64 " is the byte %d, which is no bool",
                  Quoted(tensor.name).text, i, tensor.data[i]);
  return FOVEA_OK;
}

void copyTensor(const FileTensor &from, int32_t dtype, unsigned char *to) {
  if (programDtype(from.dtype) == dtype) {
    if (from.bytes)
      memcpy(to, from.data, static_cast<size_t>(from.bytes));
    return;
  }
  (from.dtype == FileDtype::F16 ? widenF16 : widenBF16)(from.data, from.elements(), to);
}

/// Adds the model's params, which it still has only where it was loaded from a file of weights.
fovea_code addParams(const fovea_model &model, Array<OutputTensor> &tensors, Array<int64_t> &shapes,
                     fovea_error *error) {
  const fovea_program &program = *model.program;
  if (program.param_count && model.isPacked)
    return fail(error, FOVEA_INVALID_ARGUMENT, "the model was loaded from packed weights, which can't be written back");
  for (int32_t i = 0; i < program.param_count; ++i) {
    const fovea_tensor_spec &spec = program.params[i];
    int64_t *shape = shapes.data() + i * FOVEA_MAX_RANK;
    for (int32_t axis = 0; axis < spec.rank; ++axis)
      evaluate(spec.dims[axis], nullptr, 0, shape[axis]);
    if (!tensors.push({spec.name, fileDtype(spec.dtype), spec.rank, shape, model.params[static_cast<size_t>(i)]}))
      return outOfMemory(error, "params", 0);
  }
  return FOVEA_OK;
}

} // namespace

fovea_code writeStates(fovea_context &context, StateSet set, OutputFile &file, const FileNote *notes, size_t noteCount,
                       fovea_error *error) {
  const fovea_program &program = *context.model.program;
  auto count = static_cast<size_t>(program.state_count), params = static_cast<size_t>(program.param_count);
  Array<fovea_tensor> views(context.memory);
  Array<OutputTensor> tensors(context.memory);
  Array<int64_t> shapes(context.memory);
  if (!views.resize(count) || !tensors.reserve(count + params) || !shapes.resize(params * FOVEA_MAX_RANK))
    return outOfMemory(error, "states", static_cast<int64_t>(count * sizeof(fovea_tensor)));
  fovea_code code = set == StateSet::Params ? addParams(context.model, tensors, shapes, error) : FOVEA_OK;
  bool all = set == StateSet::All || countTensors(program) == 0;
  for (size_t i = 0; i < count && !code; ++i) {
    auto number = static_cast<int32_t>(i);
    if ((!all && !isParamState(program, number)) || unfixedSize(program, context.stateSizes.data(), number))
      continue;
    fovea_tensor &view = views[i];
    code = fovea_context_state(&context, program.states[i].name, &view, error);
    if (!code && !tensors.push({program.states[i].name, fileDtype(view.dtype), view.rank, view.shape, view.data}))
      code = outOfMemory(error, "states", 0);
  }
  return code ? code : writeSafetensors(file, tensors.data(), tensors.size(), context.memory, error, notes, noteCount);
}

fovea_code readStates(fovea_context &context, const TensorFile &file, fovea_error *error) {
  const fovea_program &program = *context.model.program;
  LiteralSpecs literal(program, context.memory);
  Array<const FileTensor *> found(context.memory);
  // What is missing is told before what sizes it would have had.
  fovea_code code = literal.make(context.stateSizes, file, error);
  if (!code && !found.resize(literal.specs.size()))
    code = outOfMemory(error, "states", 0);
  if (!code)
    code = matchWeights(literal.specs.data(), static_cast<int32_t>(found.size()), nullptr, file, {}, context.memory,
                        found.data(), error);
  if (!code)
    code = checkAllUsed(file, found, error);
  for (size_t i = 0; i < found.size() && !code; ++i)
    code = checkBools(*found[i], error);
  if (code)
    return code;
  for (size_t i = 0; i < literal.sizes.size(); ++i)
    context.stateSizes[i] = literal.sizes[i];
  for (int32_t number : literal.numbers)
    if (!code)
      code = needState(context, number, error);
  for (size_t i = 0; i < found.size() && !code; ++i) {
    int32_t number = literal.numbers[i];
    copyTensor(*found[i], program.states[number].dtype, context.states[static_cast<size_t>(number)]->data());
  }
  return code;
}

} // namespace fovea::rt

using namespace fovea::rt;

static fovea_code save(fovea_context *context, StateSet set, const char *path, fovea_error *error) {
  OutputFile file;
  fovea_code code = file.open(path, error);
  if (!code)
    code = writeStates(*context, set, file, nullptr, 0, error);
  return code ? code : file.commit(error, true);
}

extern "C" {

fovea_code fovea_context_save(fovea_context *context, const char *path, fovea_error *error) {
  return save(context, StateSet::All, path, error);
}

fovea_code fovea_context_save_params(fovea_context *context, const char *path, fovea_error *error) {
  return save(context, StateSet::Params, path, error);
}

fovea_code fovea_context_load(fovea_context *context, const char *path, fovea_error *error) {
  TensorFile file;
  fovea_code code = file.open(path, context->memory, error);
  if (code)
    return code;
  if ((code = readStates(*context, file, error)))
    addContext(error, Quoted(path, 200).text);
  return code;
}
}
