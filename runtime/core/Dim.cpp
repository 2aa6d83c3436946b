#include "runtime/core/Dim.h"

#include "runtime/core/TensorFile.h"

#include <inttypes.h>

namespace fovea::rt {

static DimResult apply(int64_t op, int64_t a, int64_t b, int64_t &value) {
  switch (op) {
  case FOVEA_DIM_ADD:
    return __builtin_add_overflow(a, b, &value) ? DimResult::Overflow : DimResult::Ok;
  case FOVEA_DIM_MUL:
    return __builtin_mul_overflow(a, b, &value) ? DimResult::Overflow : DimResult::Ok;
  case FOVEA_DIM_FLOORDIV:
  case FOVEA_DIM_MOD: {
    if (b == 0)
      return DimResult::DivideByZero;
    if (a == INT64_MIN && b == -1)
      return DimResult::Overflow;
    int64_t quotient = a / b, rest = a % b;
    bool adjust = rest != 0 && (rest < 0) != (b < 0);
    value = op == FOVEA_DIM_MOD ? (adjust ? rest + b : rest) : quotient - adjust;
    return DimResult::Ok;
  }
  case FOVEA_DIM_MAX:
    value = a > b ? a : b;
    return DimResult::Ok;
  case FOVEA_DIM_MIN:
    value = a < b ? a : b;
    return DimResult::Ok;
  }
  return DimResult::Malformed;
}

DimResult evaluate(const fovea_dim &dim, const int64_t *symbols, int32_t symbolCount, int64_t &value) {
  constexpr int depth = 128;
  int64_t stack[depth];
  int used = 0;
  for (int64_t i = 0; i < dim.length;) {
    int64_t op = dim.code[i++];
    if (op == FOVEA_DIM_PUSH || op == FOVEA_DIM_SYMBOL) {
      if (i == dim.length || used == depth)
        return DimResult::Malformed;
      int64_t word = dim.code[i++];
      if (op == FOVEA_DIM_SYMBOL && (word < 0 || word >= symbolCount))
        return DimResult::Malformed;
      stack[used++] = op == FOVEA_DIM_PUSH ? word : symbols[word];
      continue;
    }
    if (used < 2)
      return DimResult::Malformed;
    --used;
    DimResult result = apply(op, stack[used - 1], stack[used], stack[used - 1]);
    if (result != DimResult::Ok)
      return result;
  }
  if (used != 1)
    return DimResult::Malformed;
  value = stack[0];
  return DimResult::Ok;
}

static const char *orEmpty(const char *text) { return text ? text : ""; }

/// " (model.fov:3:4)", or nothing.
static void addPlace(Line &line, const char *place) {
  if (place && *place)
    line.add(" (%s)", place);
}

static fovea_code evaluateChecked(const Sizes &sizes, const fovea_dim &dim, int32_t symbolCount, const char *place,
                                  int64_t &value, fovea_error *error) {
  DimResult result = evaluate(dim, sizes.symbols, symbolCount, value);
  if (result == DimResult::Ok)
    return FOVEA_OK;
  if (result == DimResult::Malformed)
    return fail(error, FOVEA_BAD_PROGRAM, "the program's code for the size %s is malformed", orEmpty(dim.text));
  return fail(error, FOVEA_PRECONDITION, "the size %s %s%s%s%s", orEmpty(dim.text),
              result == DimResult::Overflow ? "overflows" : "divides by zero", place ? " (" : "", orEmpty(place),
              place ? ")" : "");
}

/// Where a symbol's value is from: "axis 1 of `ids`".
static void addOrigin(Line &line, const Sizes &sizes, int64_t symbol) {
  const fovea_entry &entry = *sizes.entry;
  for (int32_t i = 0; i < entry.binding_count; ++i) {
    const fovea_binding &binding = entry.bindings[i];
    if (binding.symbol != symbol)
      continue;
    if (binding.input < 0)
      line.add("the context");
    else if (binding.axis < 0)
      line.add("the value of `%s`", entry.inputs[binding.input].name);
    else
      line.add("axis %d of `%s`", binding.axis, entry.inputs[binding.input].name);
    return;
  }
}

/// ", where T = 5 is from axis 1 of `ids`" for every symbol of the expressions.
static void addOrigins(Line &line, const Sizes &sizes, const fovea_dim *const *dims, int count) {
  bool first = true;
  for (int32_t symbol = 0; symbol < sizes.entry->symbol_count; ++symbol) {
    bool used = false;
    for (int d = 0; d < count; ++d)
      for (int64_t i = 0; i < dims[d]->length; ++i) {
        bool operand = dims[d]->code[i] == FOVEA_DIM_PUSH || dims[d]->code[i] == FOVEA_DIM_SYMBOL;
        used |= dims[d]->code[i] == FOVEA_DIM_SYMBOL && i + 1 < dims[d]->length && dims[d]->code[i + 1] == symbol;
        i += operand;
      }
    if (!used)
      continue;
    line.add(first ? ", where %s = %" PRId64 " is from " : ", %s = %" PRId64 " from ", sizes.entry->symbols[symbol],
             sizes.symbols[symbol]);
    addOrigin(line, sizes, symbol);
    first = false;
  }
}

static fovea_code checkSignature(const Sizes &sizes, fovea_error *error) {
  const fovea_entry &entry = *sizes.entry;
  if (sizes.inputCount != entry.input_count)
    return fail(error, FOVEA_INVALID_ARGUMENT, "entry `%s` takes %d input%s, and %d %s given", entry.name,
                entry.input_count, entry.input_count == 1 ? "" : "s", sizes.inputCount,
                sizes.inputCount == 1 ? "is" : "are");
  for (int32_t i = 0; i < entry.input_count; ++i) {
    const fovea_tensor_spec &spec = entry.inputs[i];
    const fovea_tensor &input = sizes.inputs[i];
    if (input.dtype != spec.dtype)
      return fail(error, FOVEA_INVALID_ARGUMENT, "input `%s` is %s, expected %s (%s)", spec.name,
                  fovea_dtype_name(input.dtype), fovea_dtype_name(spec.dtype), orEmpty(spec.place));
    bool validRank = input.rank >= 0 && input.rank <= FOVEA_MAX_RANK;
    int64_t elements;
    if (input.rank != spec.rank || !validRank) {
      char dims[300];
      Line line(dims, sizeof(dims));
      for (int32_t axis = 0; axis < spec.rank; ++axis)
        line.add("%s%s", axis ? ", " : "", orEmpty(spec.dims[axis].text));
      return fail(error, FOVEA_INVALID_ARGUMENT, "input `%s` is %s%s, expected %s[%s] (%s)", spec.name,
                  fovea_dtype_name(spec.dtype),
                  validRank ? ShapeText(input.shape, input.rank).text : " of an impossible rank",
                  fovea_dtype_name(spec.dtype), dims, orEmpty(spec.place));
    }
    if (!countElements(input.shape, input.rank, fovea_dtype_size(spec.dtype), elements))
      return fail(error, FOVEA_INVALID_ARGUMENT, "input `%s` has the impossible shape %s", spec.name,
                  ShapeText(input.shape, input.rank).text);
  }
  return FOVEA_OK;
}

/// The number that a binding starts from.
static fovea_code findSize(const Sizes &sizes, const fovea_binding &binding, int64_t &found, fovea_error *error) {
  const fovea_entry &entry = *sizes.entry;
  if (binding.input < 0) {
    found = sizes.stateSizes[binding.axis];
    if (found >= 0)
      return FOVEA_OK;
    return fail(error, FOVEA_PRECONDITION, "entry `%s` needs the size `%s`: give it when the context is made (--size)",
                entry.name, sizes.program->state_symbols[binding.axis]);
  }
  const fovea_tensor &input = sizes.inputs[binding.input];
  if (binding.axis >= 0) {
    found = input.shape[binding.axis];
    return FOVEA_OK;
  }
  if (!input.data)
    return fail(error, FOVEA_INVALID_ARGUMENT, "input `%s` is a size, and its data is null",
                entry.inputs[binding.input].name);
  if (input.dtype == FOVEA_I32) {
    int32_t narrow;
    memcpy(&narrow, input.data, sizeof(narrow));
    found = narrow;
  } else {
    memcpy(&found, input.data, sizeof(found));
  }
  return FOVEA_OK;
}

static fovea_code bindSymbols(const Sizes &sizes, fovea_error *error) {
  const fovea_entry &entry = *sizes.entry;
  for (int32_t i = 0; i < entry.symbol_count; ++i)
    sizes.symbols[i] = 0;
  for (int32_t i = 0; i < entry.binding_count; ++i) {
    const fovea_binding &binding = entry.bindings[i];
    int64_t found, value;
    if (fovea_code code = findSize(sizes, binding, found, error))
      return code;
    sizes.symbols[entry.symbol_count] = value = found;
    const char *place = binding.input >= 0 ? entry.inputs[binding.input].place : nullptr;
    if (binding.value.length)
      if (fovea_code code = evaluateChecked(sizes, binding.value, entry.symbol_count + 1, place, value, error))
        return code;
    if (value < 0) {
      char text[600];
      Line line(text, sizeof(text));
      line.add("`%s` would be %" PRId64 ", from ", entry.symbols[binding.symbol], value);
      addOrigin(line, sizes, binding.symbol);
      line.add(" = %" PRId64 "; sizes are at least 0", found);
      addPlace(line, place);
      return fail(error, FOVEA_PRECONDITION, "%s", text);
    }
    sizes.symbols[binding.symbol] = value;
  }
  for (int32_t i = 0; i < sizes.program->state_symbol_count; ++i) {
    int32_t symbol = entry.state_symbols ? entry.state_symbols[i] : -1;
    if (symbol >= 0 && sizes.stateSizes[i] >= 0 && sizes.symbols[symbol] != sizes.stateSizes[i]) {
      char text[400];
      Line line(text, sizeof(text));
      addOrigin(line, sizes, symbol);
      return fail(error, FOVEA_PRECONDITION, "`%s` is %" PRId64 " (%s), and this context's states have `%s` = %" PRId64,
                  entry.symbols[symbol], sizes.symbols[symbol], text, sizes.program->state_symbols[i],
                  sizes.stateSizes[i]);
    }
  }
  return FOVEA_OK;
}

static fovea_code checkInputSizes(const Sizes &sizes, fovea_error *error) {
  const fovea_entry &entry = *sizes.entry;
  for (int32_t i = 0; i < entry.input_count; ++i)
    for (int32_t axis = 0; axis < entry.inputs[i].rank; ++axis) {
      const fovea_tensor_spec &spec = entry.inputs[i];
      const fovea_dim &dim = spec.dims[axis];
      int64_t expected, found = sizes.inputs[i].shape[axis];
      if (fovea_code code = evaluateChecked(sizes, dim, entry.symbol_count, spec.place, expected, error))
        return code;
      if (expected == found)
        continue;
      char text[900];
      Line line(text, sizeof(text));
      line.add("axis %d of input `%s` is %" PRId64 ", expected ", axis, spec.name, found);
      if (dim.length != 2 || dim.code[0] != FOVEA_DIM_PUSH)
        line.add("%s = ", orEmpty(dim.text));
      line.add("%" PRId64, expected);
      const fovea_dim *dims[] = {&dim};
      addOrigins(line, sizes, dims, 1);
      addPlace(line, spec.place);
      return fail(error, FOVEA_PRECONDITION, "%s", text);
    }
  return FOVEA_OK;
}

static bool holds(int64_t lhs, int32_t relation, int64_t rhs) {
  switch (relation) {
  case FOVEA_EQ:
    return lhs == rhs;
  case FOVEA_NE:
    return lhs != rhs;
  case FOVEA_LT:
    return lhs < rhs;
  case FOVEA_LE:
    return lhs <= rhs;
  case FOVEA_GT:
    return lhs > rhs;
  }
  return lhs >= rhs;
}

static fovea_code checkRequires(const Sizes &sizes, fovea_error *error) {
  static const char *const signs[] = {"==", "!=", "<", "<=", ">", ">="};
  const fovea_entry &entry = *sizes.entry;
  for (int32_t i = 0; i < entry.require_count; ++i) {
    const fovea_require &require = entry.requires_[i];
    int64_t lhs, rhs;
    fovea_code code = evaluateChecked(sizes, require.lhs, entry.symbol_count, require.place, lhs, error);
    if (!code)
      code = evaluateChecked(sizes, require.rhs, entry.symbol_count, require.place, rhs, error);
    if (code)
      return code;
    if (holds(lhs, require.relation, rhs))
      continue;
    char text[900];
    Line line(text, sizeof(text));
    line.add("entry `%s` requires %s, and %" PRId64 " %s %" PRId64 " is false", entry.name, orEmpty(require.message),
             lhs, signs[require.relation], rhs);
    const fovea_dim *dims[] = {&require.lhs, &require.rhs};
    addOrigins(line, sizes, dims, 2);
    addPlace(line, require.place);
    return fail(error, FOVEA_PRECONDITION, "%s", text);
  }
  return FOVEA_OK;
}

fovea_code bind(const Sizes &sizes, fovea_error *error) {
  fovea_code code = checkSignature(sizes, error);
  if (!code)
    code = bindSymbols(sizes, error);
  if (!code)
    code = checkInputSizes(sizes, error);
  return code ? code : checkRequires(sizes, error);
}

fovea_code outputShape(const Sizes &sizes, int32_t output, fovea_tensor &tensor, fovea_error *error) {
  const fovea_tensor_spec &spec = sizes.entry->outputs[output];
  tensor.dtype = spec.dtype;
  tensor.rank = spec.rank;
  for (int32_t axis = 0; axis < spec.rank; ++axis)
    if (fovea_code code =
            evaluateChecked(sizes, spec.dims[axis], sizes.entry->symbol_count, spec.place, tensor.shape[axis], error))
      return code;
  int64_t elements;
  if (!countElements(tensor.shape, tensor.rank, fovea_dtype_size(spec.dtype), elements))
    return fail(error, FOVEA_PRECONDITION, "output `%s` would have the impossible shape %s (%s)", spec.name,
                ShapeText(tensor.shape, tensor.rank).text, orEmpty(spec.place));
  return FOVEA_OK;
}

static bool validSpecs(const fovea_tensor_spec *specs, int32_t count) {
  for (int32_t i = 0; i < count; ++i)
    if (specs[i].rank < 0 || specs[i].rank > FOVEA_MAX_RANK || !fovea_dtype_size(specs[i].dtype) || !specs[i].name)
      return false;
  return true;
}

/// The weights within a program are aligned as a mapped file would be.
static bool validPacked(const fovea_program &program) {
  for (int32_t i = 0; program.packed && i < program.target_count; ++i)
    if (program.packed[i].bytes < 0 || reinterpret_cast<uintptr_t>(program.packed[i].data) % 64 != 0)
      return false;
  return true;
}

static bool validEntry(const fovea_program &program, const fovea_entry &entry) {
  if (!entry.name || !validSpecs(entry.inputs, entry.input_count) || !validSpecs(entry.outputs, entry.output_count))
    return false;
  for (int32_t i = 0; i < entry.binding_count; ++i) {
    const fovea_binding &binding = entry.bindings[i];
    if (binding.symbol < 0 || binding.symbol >= entry.symbol_count || binding.input >= entry.input_count)
      return false;
    if (binding.input < 0 ? binding.axis < 0 || binding.axis >= program.state_symbol_count
                          : binding.axis >= entry.inputs[binding.input].rank)
      return false;
    int32_t dtype = binding.input < 0 ? FOVEA_I64 : entry.inputs[binding.input].dtype;
    if (binding.axis < 0 && (entry.inputs[binding.input].rank != 0 || (dtype != FOVEA_I64 && dtype != FOVEA_I32)))
      return false;
  }
  for (int32_t i = 0; i < entry.require_count; ++i)
    if (entry.requires_[i].relation < FOVEA_EQ || entry.requires_[i].relation > FOVEA_GE)
      return false;
  for (int32_t i = 0; i < entry.state_count; ++i)
    if (entry.states[i] < 0 || entry.states[i] >= program.state_count)
      return false;
  for (int32_t i = 0; entry.state_symbols && i < program.state_symbol_count; ++i)
    if (entry.state_symbols[i] >= entry.symbol_count)
      return false;
  return true;
}

fovea_code checkProgram(const fovea_program *program, fovea_error *error) {
  if (!program)
    return fail(error, FOVEA_INVALID_ARGUMENT, "the program is null");
  if (program->abi_version != FOVEA_ABI_VERSION)
    return fail(error, FOVEA_BAD_PROGRAM,
                "the program has ABI version %d, and this runtime version %d: build both anew", program->abi_version,
                FOVEA_ABI_VERSION);
  if (!validSpecs(program->params, program->param_count) || !validSpecs(program->states, program->state_count))
    return fail(error, FOVEA_BAD_PROGRAM, "the program's table of %s is inconsistent", "params or states");
  for (int32_t i = 0; program->state_initial && i < program->state_count; ++i)
    if (program->state_initial[i].kind < 0 || program->state_initial[i].kind > FOVEA_INITIAL_NONE)
      return fail(error, FOVEA_BAD_PROGRAM, "the program's table of %s is inconsistent", "first values");
  if (!validPacked(*program))
    return fail(error, FOVEA_BAD_PROGRAM, "the program's table of %s is inconsistent", "weights");
  for (int32_t i = 0; i < program->entry_count; ++i)
    if (!validEntry(*program, program->entries[i]))
      return fail(error, FOVEA_BAD_PROGRAM, "the program's table of entry %d is inconsistent", i);
  return FOVEA_OK;
}

fovea_code checkEntry(const fovea_program *program, int32_t entry, fovea_error *error) {
  if (entry < 0 || entry >= program->entry_count)
    return fail(error, FOVEA_INVALID_ARGUMENT, "there is no entry number %d; the program has %d", entry,
                program->entry_count);
  return FOVEA_OK;
}

} // namespace fovea::rt

using namespace fovea::rt;

static fovea_code describe(const fovea_program *program, int32_t entry, bool output, int32_t number,
                           fovea_tensor_info *info, fovea_error *error) {
  if (fovea_code code = checkEntry(program, entry, error))
    return code;
  const fovea_entry &found = program->entries[entry];
  int32_t count = output ? found.output_count : found.input_count;
  if (number < 0 || number >= count)
    return fail(error, FOVEA_INVALID_ARGUMENT, "entry `%s` has no %s number %d; it has %d", found.name,
                output ? "output" : "input", number, count);
  const fovea_tensor_spec &spec = output ? found.outputs[number] : found.inputs[number];
  *info = {spec.name, spec.place, spec.dtype, spec.rank, {}};
  for (int32_t axis = 0; axis < spec.rank && axis < FOVEA_MAX_RANK; ++axis)
    info->dims[axis] = spec.dims[axis].text;
  return FOVEA_OK;
}

static void addSpec(Line &line, const fovea_tensor_spec &spec, bool named) {
  if (named)
    line.add("%s: ", spec.name);
  line.add("%s", fovea_dtype_name(spec.dtype));
  for (int32_t axis = 0; axis < spec.rank; ++axis)
    line.add("%s%s", axis ? ", " : "[", orEmpty(spec.dims[axis].text));
  if (spec.rank)
    line.add("]");
}

extern "C" {

int32_t fovea_find_entry(const fovea_program *program, const char *name) {
  for (int32_t i = 0; i < program->entry_count; ++i)
    if (strcmp(program->entries[i].name, name) == 0)
      return i;
  return -1;
}

fovea_code fovea_describe_input(const fovea_program *program, int32_t entry, int32_t input, fovea_tensor_info *info,
                                fovea_error *error) {
  return describe(program, entry, false, input, info, error);
}

fovea_code fovea_describe_output(const fovea_program *program, int32_t entry, int32_t output, fovea_tensor_info *info,
                                 fovea_error *error) {
  return describe(program, entry, true, output, info, error);
}

size_t fovea_format_entry(const fovea_program *program, int32_t entry, char *text, size_t size) {
  Line line(text, size);
  if (entry < 0 || entry >= program->entry_count)
    return 0;
  const fovea_entry &found = program->entries[entry];
  line.add("%s(", found.name);
  for (int32_t i = 0; i < found.input_count; ++i) {
    line.add("%s", i ? ", " : "");
    addSpec(line, found.inputs[i], true);
  }
  line.add(") -> ");
  bool several = found.output_count != 1;
  line.add("%s", several ? "(" : "");
  for (int32_t i = 0; i < found.output_count; ++i) {
    line.add("%s", i ? ", " : "");
    addSpec(line, found.outputs[i], several);
  }
  line.add("%s", several ? ")" : "");
  return line.wholeLength();
}
}
