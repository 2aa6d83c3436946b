#include "runtime/core/Model.h"

#include "runtime/core/Cpu.h"
#include "runtime/core/Dim.h"
#include "runtime/core/PackedModel.h"

#include <inttypes.h>

fovea_model::~fovea_model() {
  for (fovea::rt::Buffer *buffer : converted)
    fovea::rt::destroy(memory, buffer);
}

namespace fovea::rt {

fovea_code arenaLayout(const fovea_entry_code &code, const int64_t *symbols, int32_t threads, ArenaLayout &layout,
                       fovea_error *error) {
  bool fits = true;
  auto aligned = [&](int64_t bytes) {
    fits = fits && bytes >= 0 && !__builtin_add_overflow(bytes, 63, &bytes);
    return bytes & ~int64_t(63);
  };
  int64_t shared = aligned(code.shared_bytes(symbols)), scratch;
  layout.sharedAt = aligned(code.arena_bytes(symbols));
  layout.scratchBytes = aligned(code.scratch_bytes(symbols));
  if (!fits || __builtin_add_overflow(layout.sharedAt, shared, &layout.scratchAt) ||
      __builtin_mul_overflow(layout.scratchBytes, threads, &scratch) ||
      __builtin_add_overflow(layout.scratchAt, scratch, &layout.total))
    return fail(error, FOVEA_PRECONDITION, "the memory that these sizes need overflows 64 bits");
  return FOVEA_OK;
}

namespace {

const char *firstMissing(const fovea_target &target) {
  for (const char *const *feature = target.features; feature && *feature; ++feature)
    if (**feature != '-' && !cpuHas(*feature))
      return *feature;
  return nullptr;
}

/// Whether it is slower here than others.
bool isAvoided(const fovea_target &target) {
  for (const char *const *feature = target.features; feature && *feature; ++feature)
    if (**feature == '-' && cpuHas(*feature + 1))
      return true;
  return false;
}

} // namespace

fovea_code chooseTarget(const fovea_program &program, const char *wanted, const fovea_target *&chosen,
                        fovea_error *error) {
  char text[700];
  Line line(text, sizeof(text));
  const fovea_target *slower = nullptr;
  for (int32_t i = 0; i < program.target_count; ++i) {
    const fovea_target &target = *program.targets[i];
    if (wanted && strcmp(wanted, target.name) != 0) {
      line.add("%s`%s`", i ? ", " : "", target.name);
      continue;
    }
    const char *missing = firstMissing(target);
    if (!missing && !wanted && isAvoided(target)) {
      slower = slower ? slower : &target;
      continue;
    }
    if (!missing) {
      chosen = &target;
      return FOVEA_OK;
    }
    if (wanted)
      return fail(error, FOVEA_UNSUPPORTED_CPU, "this processor can't run the target `%s`: it lacks `%s`", wanted,
                  missing);
    line.add("%s`%s` needs `%s`", i ? ", " : "", target.name, missing);
  }
  if (slower) {
    chosen = slower;
    return FOVEA_OK;
  }
  if (wanted)
    return fail(error, FOVEA_INVALID_ARGUMENT, "the program has no target `%s`; it has %s", wanted, text);
  return fail(error, FOVEA_UNSUPPORTED_CPU, "this processor can't run the program: %s",
              program.target_count ? text : "it has no target");
}

namespace {

struct Loader {
  fovea_model &model;
  const fovea_load_options &options;
  fovea_error *error;
  int64_t done = 0, total = 0;

  void advance(int64_t bytes) {
    done += bytes;
    if (options.progress)
      options.progress(options.user, done, total);
  }

  Buffer *newBuffer(int64_t bytes) {
    auto *buffer = make<Buffer>(model.memory);
    if (buffer && buffer->allocate(model.memory, static_cast<size_t>(bytes)) && model.converted.push(buffer)) {
      model.bytes += bytes;
      return buffer;
    }
    destroy(model.memory, buffer);
    return nullptr;
  }

  fovea_code checkBool(const FileTensor &tensor) {
    for (int64_t i = 0; i < tensor.bytes; ++i)
      if (tensor.data[i] > 1)
        return fail(error, FOVEA_BAD_FILE, "tensor %s: element %" PRId64 " is the byte %d, which is no bool",
                    Quoted(tensor.name).text, i, tensor.data[i]);
    return FOVEA_OK;
  }

  /// A pointer to the tensor's elements as the program wants them: into the map where nothing has to be done.
  fovea_code place(const FileTensor &tensor, int32_t dtype, const void *&data) {
    if (dtype == FOVEA_BOOL)
      if (fovea_code code = checkBool(tensor))
        return code;
    bool widen = programDtype(tensor.dtype) != dtype;
    bool aligned = reinterpret_cast<uintptr_t>(tensor.data) % static_cast<uintptr_t>(elementSize(tensor.dtype)) == 0;
    data = tensor.data;
    if ((!widen && aligned) || tensor.bytes == 0) {
      advance(tensor.bytes);
      return FOVEA_OK;
    }
    int64_t bytes = tensor.elements() * fovea_dtype_size(dtype);
    Buffer *buffer = newBuffer(bytes);
    if (!buffer)
      return outOfMemory(error, "a converted tensor", bytes);
    if (!widen)
      memcpy(buffer->data(), tensor.data, static_cast<size_t>(bytes));
    else if (tensor.dtype == FileDtype::F16)
      widenF16(tensor.data, tensor.elements(), buffer->data());
    else
      widenBF16(tensor.data, tensor.elements(), buffer->data());
    data = buffer->data();
    advance(tensor.bytes);
    return FOVEA_OK;
  }

  /// What a file of weights has to hold: the params, then those that are states.
  bool listTensors(Array<fovea_tensor_spec> &specs, Array<int32_t> &states) {
    const fovea_program &program = *model.program;
    bool stored = true;
    for (int32_t i = 0; i < program.param_count; ++i)
      stored = stored && specs.push(program.params[i]);
    for (int32_t i = 0; i < program.state_count; ++i)
      if (isParamState(program, i))
        stored = stored && specs.push(program.states[i]) && states.push(i);
    return stored && model.params.resize(static_cast<size_t>(program.param_count)) &&
           (states.empty() || model.written.resize(static_cast<size_t>(program.state_count)));
  }

  fovea_code loadParams(const char *path) {
    const fovea_program &program = *model.program;
    int32_t tensors = countTensors(program);
    if (tensors == 0 || (!path && program.param_count == 0))
      return FOVEA_OK;
    if (!path)
      return fail(error, FOVEA_INVALID_ARGUMENT, "the program has %d params, and no file of weights is given", tensors);
    model.weights = model.texts.copy(path);
    model.prefix = model.texts.copy(options.prefix ? options.prefix : "");
    if (!model.weights || !model.prefix)
      return outOfMemory(error, "a path", static_cast<int64_t>(strlen(path)));
    if (fovea_code code = model.file.open(path, model.memory, error))
      return code;
    Array<const FileTensor *> found(model.memory);
    Array<fovea_tensor_spec> specs(model.memory);
    Array<int32_t> states(model.memory);
    auto count = static_cast<size_t>(tensors);
    if (!found.resize(count) || !listTensors(specs, states))
      return outOfMemory(error, "params", static_cast<int64_t>(count * sizeof(void *)));
    WeightsReport report{options.note, nullptr, options.user};
    fovea_code code =
        matchWeights(specs.data(), tensors, options.prefix, model.file, report, model.memory, found.data(), error);
    if (code) {
      addContext(error, Quoted(path, 200).text);
      return code;
    }
    for (size_t i = 0; i < model.file.sourceCount(); ++i)
      expectWhole(model.file.source(i).data(), model.file.source(i).size());
    for (const FileTensor *tensor : found)
      total += tensor->bytes;
    for (int32_t i = 0; i < model.target->derived_count; ++i)
      total += model.target->derived[i].bytes;
    size_t fixed = model.params.size();
    for (size_t i = 0; i < count; ++i) {
      const void *&data = i < fixed ? model.params[i] : model.written[static_cast<size_t>(states[i - fixed])];
      if ((code = place(*found[i], specs[i].dtype, data)))
        return code;
    }
    return FOVEA_OK;
  }

  fovea_code prepareStep(Executor &executor, Buffer &arena, int32_t step) {
    const fovea_entry_code &code = model.target->prepare[step];
    int64_t noSymbols[1] = {0};
    ArenaLayout layout;
    if (fovea_code status = arenaLayout(code, noSymbols, executor.pool.threads(), layout, error))
      return status;
    if (static_cast<size_t>(layout.total) > arena.size() &&
        !arena.allocate(model.memory, static_cast<size_t>(layout.total)))
      return outOfMemory(error, "preparing weights", layout.total);
    executor.use(arena.data(), layout);
    fovea_frame frame = {noSymbols, nullptr, nullptr, model.params.data(), nullptr, model.derived.data(), arena.data()};
    return executor.run(code.run, frame, error);
  }

  /// All derived values in one piece: it is large, so that huge pages pay, and fresh, so that it is zero without a
  /// write.
  fovea_code allocateDerived() {
    const fovea_target &target = *model.target;
    auto count = static_cast<size_t>(target.derived_count);
    uint64_t end = 0;
    for (size_t i = 0; i < count; ++i)
      end = packedOffset(end, static_cast<uint64_t>(target.derived[i].bytes)) +
            static_cast<uint64_t>(target.derived[i].bytes);
    if (!model.derived.resize(count) || !model.derivedMemory.allocateZeroed(model.memory, end))
      return outOfMemory(error, "derived values", static_cast<int64_t>(end));
    end = 0;
    for (size_t i = 0; i < count; ++i) {
      auto bytes = static_cast<uint64_t>(target.derived[i].bytes);
      model.derived[i] = model.derivedMemory.data() + packedOffset(end, bytes);
      end = packedOffset(end, bytes) + bytes;
      model.bytes += target.derived[i].bytes;
    }
    return FOVEA_OK;
  }

  fovea_code prepare() {
    const fovea_target &target = *model.target;
    if (fovea_code code = allocateDerived())
      return code;
    if (target.prepare_count == 0)
      return FOVEA_OK;
    auto *executor = make<Executor>(model.memory);
    if (!executor)
      return outOfMemory(error, "preparing weights", sizeof(Executor));
    Buffer arena;
    fovea_code code = executor->start(options.threads, options.pool, model.memory, error);
    for (int32_t step = 0; step < target.prepare_count && !code; ++step) {
      code = prepareStep(*executor, arena, step);
      for (int32_t i = 0; i < target.derived_count; ++i)
        if (target.derived[i].prepare == step)
          advance(target.derived[i].bytes);
    }
    destroy(model.memory, executor);
    return code;
  }

  fovea_code load(const char *path) {
    if (options.packed)
      return loadPacked(model, options.packed, path, options.prefix, error);
    bool found = false;
    if (!path)
      if (fovea_code code = loadEmbedded(model, found, error))
        return code;
    if (found || (path && options.cache && loadKept(model, options.cache, path, options.prefix)))
      return FOVEA_OK;
    if (fovea_code code = loadParams(path))
      return code;
    return prepare();
  }
};

} // namespace
} // namespace fovea::rt

using namespace fovea::rt;

extern "C" {

fovea_code fovea_model_load(const fovea_program *program, const char *path, const fovea_load_options *given,
                            fovea_model **result, fovea_error *error) {
  fovea_load_options options = given ? *given : fovea_load_options{};
  *result = nullptr;
  if (fovea_code code = checkProgram(program, error))
    return code;
  const fovea_target *target = nullptr;
  if (fovea_code code = chooseTarget(*program, options.target, target, error))
    return code;
  auto *model = make<fovea_model>(Memory{options.allocator}, Memory{options.allocator});
  if (!model)
    return outOfMemory(error, "a model", sizeof(fovea_model));
  model->program = program;
  model->target = target;
  fovea_code code = Loader{*model, options, error}.load(path);
  if (code)
    destroy(model->memory, model);
  else
    *result = model;
  return code;
}

void fovea_model_destroy(fovea_model *model) {
  if (model)
    destroy(model->memory, model);
}

const fovea_program *fovea_model_program(const fovea_model *model) { return model->program; }
const char *fovea_model_target(const fovea_model *model) { return model->target->name; }
int64_t fovea_model_bytes(const fovea_model *model) { return model->bytes; }
}
