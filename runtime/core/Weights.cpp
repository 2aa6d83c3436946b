#include "runtime/core/Weights.h"

#include "runtime/core/Dim.h"

#include <inttypes.h>
#include <stdio.h>

namespace fovea::rt {

int32_t countTensors(const fovea_program &program) {
  int32_t count = program.param_count;
  for (int32_t i = 0; i < program.state_count; ++i)
    count += isParamState(program, i);
  return count;
}

bool literalShape(const fovea_tensor_spec &spec, int64_t (&shape)[FOVEA_MAX_RANK]) {
  for (int32_t axis = 0; axis < spec.rank; ++axis)
    if (evaluate(spec.dims[axis], nullptr, 0, shape[axis]) != DimResult::Ok || shape[axis] < 0)
      return false;
  return true;
}

namespace {

struct Matcher {
  const fovea_tensor_spec *params;
  int32_t count;
  Text prefix;
  const TensorFile &file;
  const WeightsReport &report;
  char summary[900] = {};
  Line lines{summary, sizeof(summary)};
  int problems = 0, missing = 0;

  void problem(const char *text) {
    if (report.problem)
      report.problem(report.user, text);
    if (problems++ < 4)
      lines.add("%s%s", problems > 1 ? "\n" : "", text);
  }

  static Text joined(Text prefix, Text name, char *buffer, size_t size) {
    if (prefix.size() + name.size() > size)
      return {};
    if (!prefix.empty())
      memcpy(buffer, prefix.data(), prefix.size());
    memcpy(buffer + prefix.size(), name.data(), name.size());
    return Text(buffer, prefix.size() + name.size());
  }

  const FileTensor *find(Text withPrefix, Text name) const {
    char buffer[4096];
    Text whole = joined(withPrefix, name, buffer, sizeof(buffer));
    return whole.empty() ? nullptr : file.find(whole);
  }

  void reportMissing(const fovea_tensor_spec &param) {
    char text[700], buffer[4096];
    Line line(text, sizeof(text));
    Text name = joined(prefix, param.name, buffer, sizeof(buffer));
    line.add("tensor %s%s%s%s is missing", Quoted(name, 160).text, param.place ? " (" : "",
             param.place ? param.place : "", param.place ? ")" : "");
    const FileTensor *near[3];
    size_t found = missing++ < 8 ? file.nearest(name, near, 3) : 0; // each search reads all names
    for (size_t i = 0; i < found; ++i)
      line.add("%s%s", i ? ", " : "; nearest: ", Quoted(near[i]->name, 100).text);
    problem(text);
  }

  static bool convertible(FileDtype from, int32_t to) {
    return programDtype(from) == to || (to == FOVEA_F32 && (from == FileDtype::F16 || from == FileDtype::BF16));
  }

  void check(const fovea_tensor_spec &param, const FileTensor &tensor) {
    int64_t shape[FOVEA_MAX_RANK];
    if (!literalShape(param, shape)) {
      problem("the program has a param without a literal shape");
      return;
    }
    bool sameShape = tensor.rank == param.rank &&
                     memcmp(tensor.shape, shape, sizeof(int64_t) * static_cast<size_t>(param.rank)) == 0;
    if (sameShape && convertible(tensor.dtype, param.dtype))
      return;
    char text[1100];
    snprintf(text, sizeof(text), "tensor %s is %s%s in the file, and %s%s in the program%s%s%s",
             Quoted(tensor.name, 160).text, name(tensor.dtype), ShapeText(tensor.shape, tensor.rank).text,
             fovea_dtype_name(param.dtype), ShapeText(shape, param.rank).text, param.place ? " (" : "",
             param.place ? param.place : "", param.place ? ")" : "");
    problem(text);
  }

  int matches(Text withPrefix) const {
    int matched = 0;
    for (int32_t i = 0; i < count; ++i)
      matched += find(withPrefix, params[i].name) != nullptr;
    return matched;
  }

  /// Looks for what stands before a missing name in the file, and whether that explains the rest.
  void suggestPrefix(const FileTensor *const *found) {
    for (int32_t i = 0; i < count; ++i) {
      if (found[i])
        continue;
      Text name(params[i].name);
      int present = matches(prefix);
      for (const FileTensor &tensor : file) {
        if (tensor.name.size() < name.size() ||
            memcmp(tensor.name.data() + tensor.name.size() - name.size(), name.data(), name.size()) != 0)
          continue;
        Text other(tensor.name.data(), tensor.name.size() - name.size());
        int matched = matches(other);
        if (matched > present) {
          char text[300];
          Line line(text, sizeof(text));
          if (other.empty())
            line.add("without a prefix %d of %d tensors are there", matched, count);
          else
            line.add("with the prefix %s %d of %d tensors are there", Quoted(other).text, matched, count);
          lines.add("\n%s", text);
          if (report.problem)
            report.problem(report.user, text);
          return;
        }
      }
      return;
    }
  }

  void noteUnused(const Array<bool> &used) {
    size_t unused = 0;
    for (bool isUsed : used)
      unused += !isUsed;
    if (!unused || !report.note)
      return;
    char text[900];
    Line line(text, sizeof(text));
    line.add("%zu of the file's %zu tensors %s not used:", unused, file.size(), unused == 1 ? "is" : "are");
    int named = 0;
    for (size_t i = 0; i < file.size() && named < 4; ++i)
      if (!used[i])
        line.add("%s %s", named++ ? "," : "", Quoted(file[i].name).text);
    if (unused > 4)
      line.add(", ...");
    report.note(report.user, text);
  }
};

} // namespace

fovea_code matchWeights(const fovea_tensor_spec *params, int32_t count, const char *prefix, const TensorFile &file,
                        const WeightsReport &report, Memory memory, const FileTensor **found, fovea_error *error) {
  if (count && strcmp(file.kind(), "npy") == 0) {
    const char *text = "an npy file holds one tensor without a name; weights are safetensors or npz";
    if (report.problem)
      report.problem(report.user, text);
    return fail(error, FOVEA_WEIGHTS_MISMATCH, "%s", text);
  }
  Array<bool> used(memory);
  if (!used.resize(file.size()))
    return outOfMemory(error, "matching tensors", static_cast<int64_t>(file.size()));
  Matcher matcher{params, count, prefix ? Text(prefix) : Text(), file, report};
  for (int32_t i = 0; i < count; ++i) {
    found[i] = matcher.find(matcher.prefix, params[i].name);
    if (!found[i]) {
      matcher.reportMissing(params[i]);
      continue;
    }
    used[static_cast<size_t>(found[i] - file.begin())] = true;
    matcher.check(params[i], *found[i]);
  }
  if (matcher.problems) {
    if (matcher.problems > 4)
      matcher.lines.add("\nand %d more", matcher.problems - 4);
    if (matcher.missing)
      matcher.suggestPrefix(found);
    return fail(error, FOVEA_WEIGHTS_MISMATCH, "%s", matcher.summary);
  }
  matcher.noteUnused(used);
  return FOVEA_OK;
}

} // namespace fovea::rt
