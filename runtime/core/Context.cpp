// Contexts: states, the arena, one call at a time.
#include "runtime/core/Context.h"

#include "runtime/core/Dim.h"
#include "runtime/core/Initial.h"

#include <inttypes.h>

using namespace fovea;
using namespace fovea::rt;

static fovea_code allocateTables(fovea_context &context, fovea_error *error) {
  const fovea_program &program = *context.model.program;
  int32_t symbols = 0, inputs = 0, outputs = 0;
  for (int32_t i = 0; i < program.entry_count; ++i) {
    const fovea_entry &entry = program.entries[i];
    symbols = entry.symbol_count > symbols ? entry.symbol_count : symbols;
    inputs = entry.input_count > inputs ? entry.input_count : inputs;
    outputs = entry.output_count > outputs ? entry.output_count : outputs;
  }
  if (!context.symbols.resize(static_cast<size_t>(symbols) + 1) ||
      !context.inputs.resize(static_cast<size_t>(inputs)) || !context.outputs.resize(static_cast<size_t>(outputs)) ||
      !context.states.resize(static_cast<size_t>(program.state_count)) ||
      !context.visible.resize(static_cast<size_t>(program.state_count)) ||
      !context.stateSizes.resize(static_cast<size_t>(program.state_symbol_count)) ||
      !context.givenSizes.resize(static_cast<size_t>(program.state_symbol_count)))
    return outOfMemory(error, "a context", 0);
  for (int64_t &size : context.givenSizes)
    size = -1;
  return FOVEA_OK;
}

static fovea_code takeSizes(fovea_context &context, const fovea_context_options &options, fovea_error *error) {
  const fovea_program &program = *context.model.program;
  for (int32_t i = 0; i < options.size_count; ++i) {
    const fovea_size &size = options.sizes[i];
    int32_t symbol = 0;
    while (symbol < program.state_symbol_count && strcmp(program.state_symbols[symbol], size.name) != 0)
      ++symbol;
    if (symbol == program.state_symbol_count) {
      char text[400];
      Line line(text, sizeof(text));
      for (int32_t k = 0; k < program.state_symbol_count; ++k)
        line.add("%s`%s`", k ? ", " : "; they have ", program.state_symbols[k]);
      return fail(error, FOVEA_INVALID_ARGUMENT, "the program's states have no size %s%s", Quoted(size.name).text,
                  text);
    }
    if (size.value < 0)
      return fail(error, FOVEA_INVALID_ARGUMENT, "the size `%s` is %" PRId64 "; sizes are at least 0", size.name,
                  size.value);
    context.givenSizes[static_cast<size_t>(symbol)] = size.value;
  }
  for (size_t i = 0; i < context.givenSizes.size(); ++i)
    context.stateSizes[i] = context.givenSizes[i];
  return FOVEA_OK;
}

static Sizes sizesOf(fovea_context &context, int32_t entry, const fovea_tensor *inputs, int32_t count) {
  return {context.model.program, &context.model.program->entries[entry], inputs, count, context.stateSizes.data(),
          context.symbols.data()};
}

const char *fovea::rt::unfixedSize(const fovea_program &program, const int64_t *sizes, int32_t number) {
  const fovea_tensor_spec &spec = program.states[number];
  for (int32_t axis = 0; axis < spec.rank; ++axis) {
    const fovea_dim &dim = spec.dims[axis];
    for (int64_t i = 0; i + 1 < dim.length; ++i) {
      if (dim.code[i] == FOVEA_DIM_SYMBOL && dim.code[i + 1] >= 0 && dim.code[i + 1] < program.state_symbol_count &&
          sizes[dim.code[i + 1]] < 0)
        return program.state_symbols[dim.code[i + 1]];
      i += dim.code[i] == FOVEA_DIM_PUSH || dim.code[i] == FOVEA_DIM_SYMBOL;
    }
  }
  return nullptr;
}

fovea_code fovea::rt::stateShape(const fovea_program &program, const int64_t *sizes, int32_t number,
                                 fovea_tensor &tensor, fovea_error *error) {
  const fovea_tensor_spec &spec = program.states[number];
  tensor.dtype = spec.dtype;
  tensor.rank = spec.rank;
  if (const char *size = unfixedSize(program, sizes, number))
    return fail(error, FOVEA_PRECONDITION,
                "the size `%s` of the state `%s` is not fixed: give it when the context is made (--size)", size,
                spec.name);
  for (int32_t axis = 0; axis < spec.rank; ++axis)
    if (evaluate(spec.dims[axis], sizes, program.state_symbol_count, tensor.shape[axis]) != DimResult::Ok)
      return fail(error, FOVEA_PRECONDITION, "the size %s of the state `%s` overflows", spec.dims[axis].text,
                  spec.name);
  int64_t elements;
  if (!countElements(tensor.shape, tensor.rank, fovea_dtype_size(spec.dtype), elements))
    return fail(error, FOVEA_PRECONDITION, "the state `%s` would have the impossible shape %s", spec.name,
                ShapeText(tensor.shape, tensor.rank).text);
  return FOVEA_OK;
}

/// A state's first value: the weights' where it is a param and there are any.
static fovea_code fillState(const fovea_context &context, int32_t number, Buffer &buffer, fovea_error *error) {
  const fovea_program &program = *context.model.program;
  const fovea_tensor_spec &spec = program.states[number];
  const Array<const void *> &written = context.model.written;
  if (!written.empty() && written[static_cast<size_t>(number)]) {
    memcpy(buffer.data(), written[static_cast<size_t>(number)], buffer.size());
    return FOVEA_OK;
  }
  fovea_initial initial = program.state_initial ? program.state_initial[number] : fovea_initial{};
  if (initial.kind == FOVEA_INITIAL_NONE)
    return fail(error, FOVEA_INVALID_ARGUMENT,
                "the param `%s` has no initialiser, and the model was loaded without weights", spec.name);
  fillInitial(initial, spec.name, context.seed, spec.dtype,
              static_cast<int64_t>(buffer.size()) / fovea_dtype_size(spec.dtype), buffer.data());
  return FOVEA_OK;
}

fovea_code fovea::rt::needState(fovea_context &context, int32_t number, fovea_error *error) {
  Buffer *&state = context.states[static_cast<size_t>(number)];
  if (state)
    return FOVEA_OK;
  fovea_tensor tensor;
  if (fovea_code code = stateShape(*context.model.program, context.stateSizes.data(), number, tensor, error))
    return code;
  int64_t elements, size = fovea_dtype_size(tensor.dtype);
  countElements(tensor.shape, tensor.rank, size, elements);
  auto *buffer = make<Buffer>(context.memory);
  if (!buffer || !buffer->allocate(context.memory, static_cast<size_t>(elements * size))) {
    destroy(context.memory, buffer);
    return outOfMemory(error, context.model.program->states[number].name, elements * size);
  }
  if (fovea_code code = fillState(context, number, *buffer, error)) {
    destroy(context.memory, buffer);
    return code;
  }
  state = buffer;
  return FOVEA_OK;
}

/// Fixes the sizes of states that this call binds, and makes what states the entry uses.
static fovea_code prepareStates(fovea_context &context, const fovea_entry &entry, fovea_error *error) {
  const fovea_program &program = *context.model.program;
  for (int32_t i = 0; i < program.state_symbol_count; ++i)
    if (entry.state_symbols && entry.state_symbols[i] >= 0 && context.stateSizes[static_cast<size_t>(i)] < 0)
      context.stateSizes[static_cast<size_t>(i)] = context.symbols[static_cast<size_t>(entry.state_symbols[i])];
  for (void *&state : context.visible)
    state = nullptr;
  for (int32_t i = 0; i < entry.state_count; ++i) {
    if (fovea_code code = needState(context, entry.states[i], error))
      return code;
    auto number = static_cast<size_t>(entry.states[i]);
    context.visible[number] = context.states[number]->data();
  }
  return FOVEA_OK;
}

static int64_t byteSize(const fovea_tensor &tensor) {
  int64_t elements = 0;
  countElements(tensor.shape, tensor.rank, fovea_dtype_size(tensor.dtype), elements);
  return elements * fovea_dtype_size(tensor.dtype);
}

static fovea_code checkData(const fovea_entry &entry, const fovea_tensor *inputs, fovea_error *error) {
  for (int32_t i = 0; i < entry.input_count; ++i) {
    int64_t size = byteSize(inputs[i]);
    const auto *data = static_cast<const unsigned char *>(inputs[i].data);
    if (!data && size)
      return fail(error, FOVEA_INVALID_ARGUMENT, "the data of input `%s` is null", entry.inputs[i].name);
    if (inputs[i].dtype != FOVEA_BOOL)
      continue;
    unsigned char any = 0;
    for (int64_t k = 0; k < size; ++k)
      any |= data[k];
    for (int64_t k = 0; any > 1 && k < size; ++k)
      if (data[k] > 1)
        return fail(error, FOVEA_INVALID_ARGUMENT, "element %" PRId64 " of input `%s` is the byte %d, which is no bool",
                    k, entry.inputs[i].name, data[k]);
  }
  return FOVEA_OK;
}

static bool overlap(const fovea_tensor &a, const fovea_tensor &b) {
  auto beginA = reinterpret_cast<uintptr_t>(a.data), beginB = reinterpret_cast<uintptr_t>(b.data);
  auto sizeA = static_cast<uintptr_t>(byteSize(a)), sizeB = static_cast<uintptr_t>(byteSize(b));
  return sizeA && sizeB && beginA < beginB + sizeB && beginB < beginA + sizeA;
}

static fovea_code checkOutputs(const Sizes &sizes, const fovea_tensor *outputs, int32_t count, fovea_error *error) {
  const fovea_entry &entry = *sizes.entry;
  if (count != entry.output_count)
    return fail(error, FOVEA_INVALID_ARGUMENT, "entry `%s` has %d output%s, and %d %s given", entry.name,
                entry.output_count, entry.output_count == 1 ? "" : "s", count, count == 1 ? "is" : "are");
  for (int32_t i = 0; i < count; ++i) {
    const fovea_tensor &output = outputs[i];
    const char *name = entry.outputs[i].name;
    fovea_tensor expected = {};
    if (fovea_code code = outputShape(sizes, i, expected, error))
      return code;
    bool valid = output.rank >= 0 && output.rank <= FOVEA_MAX_RANK;
    if (output.dtype != expected.dtype || output.rank != expected.rank ||
        memcmp(output.shape, expected.shape, sizeof(int64_t) * static_cast<size_t>(expected.rank)) != 0)
      return fail(error, FOVEA_INVALID_ARGUMENT, "output `%s` is given as %s%s, and will be %s%s", name,
                  fovea_dtype_name(output.dtype), valid ? ShapeText(output.shape, output.rank).text : "",
                  fovea_dtype_name(expected.dtype), ShapeText(expected.shape, expected.rank).text);
    if (!output.data && byteSize(output))
      return fail(error, FOVEA_INVALID_ARGUMENT, "the data of output `%s` is null", name);
    for (int32_t k = 0; k < sizes.inputCount; ++k)
      if (overlap(output, sizes.inputs[k]))
        return fail(error, FOVEA_INVALID_ARGUMENT, "output `%s` overlaps input `%s`", name, entry.inputs[k].name);
    for (int32_t k = 0; k < i; ++k)
      if (overlap(output, outputs[k]))
        return fail(error, FOVEA_INVALID_ARGUMENT, "output `%s` overlaps output `%s`", name, entry.outputs[k].name);
  }
  return FOVEA_OK;
}

/// Makes the arena large enough, and gives the executor its parts.
static fovea_code growArena(fovea_context &context, const fovea_entry_code &code, fovea_error *error) {
  Executor &executor = context.executor;
  ArenaLayout layout;
  if (fovea_code status = arenaLayout(code, context.symbols.data(), executor.pool.threads(), layout, error))
    return status;
  executor.info.arena_bytes = layout.arenaBytes();
  executor.info.scratch_bytes = layout.scratchOfAll();
  if (static_cast<size_t>(layout.total) > context.arena.size() &&
      !context.arena.allocate(context.memory, static_cast<size_t>(layout.total)))
    return outOfMemory(error, "the arena", layout.total);
  executor.use(context.arena.data(), layout);
  return FOVEA_OK;
}

fovea_code fovea::rt::writeProfile(const fovea_context *context, OutputFile &file, fovea_error *error) {
  return context->executor.profile.write(file, context->model.program->name, error);
}

void fovea::rt::watchValues(fovea_context &context, SeeValue see, void *user) {
  context.executor.see = see;
  context.executor.seeUser = user;
}

extern "C" {

fovea_code fovea_context_create(const fovea_model *model, const fovea_context_options *given, fovea_context **result,
                                fovea_error *error) {
  fovea_context_options options = given ? *given : fovea_context_options{};
  *result = nullptr;
  if (!model)
    return fail(error, FOVEA_INVALID_ARGUMENT, "the model is null");
  if (options.profile_events < 0 || options.size_count < 0)
    return fail(error, FOVEA_INVALID_ARGUMENT, "a count in the options is negative");
  Memory memory = options.allocator ? Memory{options.allocator} : model->memory;
  auto *context = make<fovea_context>(memory, *model, memory);
  if (!context)
    return outOfMemory(error, "a context", sizeof(fovea_context));
  fovea_code code = allocateTables(*context, error);
  if (!code)
    code = takeSizes(*context, options, error);
  if (!code && options.profile_events && !context->executor.profile.reserve(options.profile_events, memory))
    code = outOfMemory(error, "the profile", options.profile_events);
  if (!code)
    code = context->executor.start(options.threads, options.pool, memory, error);
  context->seed = options.seed;
  context->executor.dump = options.dump;
  context->executor.dumpUser = options.dump_user;
  if (code)
    destroy(memory, context);
  else
    *result = context;
  return code;
}

void fovea_context_destroy(fovea_context *context) {
  if (context)
    destroy(context->memory, context);
}

fovea_code fovea_infer_shapes(fovea_context *context, int32_t entry, const fovea_tensor *inputs, int32_t input_count,
                              fovea_tensor *outputs, int32_t output_count, fovea_error *error) {
  if (fovea_code code = checkEntry(context->model.program, entry, error))
    return code;
  Sizes sizes = sizesOf(*context, entry, inputs, input_count);
  if (fovea_code code = bind(sizes, error))
    return code;
  if (output_count != sizes.entry->output_count)
    return fail(error, FOVEA_INVALID_ARGUMENT, "entry `%s` has %d outputs, and %d are given", sizes.entry->name,
                sizes.entry->output_count, output_count);
  for (int32_t i = 0; i < output_count; ++i)
    if (fovea_code code = outputShape(sizes, i, outputs[i], error))
      return code;
  return FOVEA_OK;
}

fovea_code fovea_arena_bytes(fovea_context *context, int32_t entry, const fovea_tensor *inputs, int32_t input_count,
                             int64_t *arena, int64_t *scratch, fovea_error *error) {
  if (fovea_code code = checkEntry(context->model.program, entry, error))
    return code;
  if (fovea_code code = bind(sizesOf(*context, entry, inputs, input_count), error))
    return code;
  ArenaLayout layout;
  fovea_code code = arenaLayout(context->model.target->entries[entry], context->symbols.data(),
                                context->executor.pool.threads(), layout, error);
  if (code)
    return code;
  if (arena)
    *arena = layout.arenaBytes();
  if (scratch)
    *scratch = layout.scratchOfAll();
  return FOVEA_OK;
}

fovea_code fovea_run(fovea_context *context, int32_t entry, const fovea_tensor *inputs, int32_t input_count,
                     const fovea_tensor *outputs, int32_t output_count, fovea_error *error) {
  Executor &executor = context->executor;
  executor.cancelled.store(false);
  const fovea_model &model = context->model;
  if (fovea_code code = checkEntry(model.program, entry, error))
    return code;
  Sizes sizes = sizesOf(*context, entry, inputs, input_count);
  fovea_code code = bind(sizes, error);
  if (!code)
    code = checkData(*sizes.entry, inputs, error);
  if (!code)
    code = checkOutputs(sizes, outputs, output_count, error);
  if (!code)
    code = prepareStates(*context, *sizes.entry, error);
  if (!code)
    code = growArena(*context, model.target->entries[entry], error);
  if (code)
    return code;
  for (int32_t i = 0; i < input_count; ++i)
    context->inputs[static_cast<size_t>(i)] = inputs[i].data;
  for (int32_t i = 0; i < output_count; ++i)
    context->outputs[static_cast<size_t>(i)] = outputs[i].data;
  fovea_frame frame = {context->symbols.data(), context->inputs.data(), context->outputs.data(), model.params.data(),
                       context->visible.data(), model.derived.data(),   context->arena.data()};
  return executor.run(model.target->entries[entry].run, frame, error);
}

void fovea_context_cancel(fovea_context *context) { context->executor.cancelled.store(true); }

void fovea_context_reset(fovea_context *context) {
  context->freeStates();
  for (size_t i = 0; i < context->givenSizes.size(); ++i)
    context->stateSizes[i] = context->givenSizes[i];
}

fovea_code fovea_context_state(fovea_context *context, const char *path, fovea_tensor *state, fovea_error *error) {
  const fovea_program &program = *context->model.program;
  for (int32_t i = 0; i < program.state_count; ++i) {
    if (strcmp(program.states[i].name, path) != 0)
      continue;
    fovea_code code = stateShape(program, context->stateSizes.data(), i, *state, error);
    if (!code)
      code = needState(*context, i, error);
    if (!code)
      state->data = context->states[static_cast<size_t>(i)]->data();
    return code;
  }
  return fail(error, FOVEA_INVALID_ARGUMENT, "there is no state %s", Quoted(path).text);
}

void fovea_context_run_info(const fovea_context *context, fovea_run_info *info) { *info = context->executor.info; }

void fovea_context_set_limits(fovea_context *context, const fovea_limits *limits) {
  context->executor.profile.limits = *limits;
}

fovea_code fovea_context_write_profile(const fovea_context *context, const char *path, fovea_error *error) {
  if (!context->executor.profile.enabled())
    return fail(error, FOVEA_INVALID_ARGUMENT, "the context was made without a profile");
  OutputFile file;
  fovea_code code = file.open(path, error);
  if (!code)
    code = writeProfile(context, file, error);
  return code ? code : file.commit(error);
}
}
