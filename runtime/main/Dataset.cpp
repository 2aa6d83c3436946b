#include "runtime/main/Dataset.h"

#include "runtime/core/Hash.h"
#include "runtime/main/Options.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

namespace fovea::rt {

Dataset::~Dataset() {
  for (TensorFile *file : files)
    destroy({}, file);
}

int Dataset::openFile(const char *at, TensorFile *&file) {
  fovea_error error;
  file = make<TensorFile>({});
  fovea_code code = !file || !files.push(file) ? outOfMemory(&error, "a file", sizeof(TensorFile)) : FOVEA_OK;
  if (code)
    destroy({}, file);
  else
    code = file->open(at, {}, &error);
  if (code)
    fprintf(stderr, "%s: %s\n", program->name, error.message);
  return exitCode(code);
}

int Dataset::missing(const char *name, const TensorFile &file) const {
  char text[2000];
  fovea_format_entry(program, number, text, sizeof(text));
  fprintf(stderr, "%s: `%s` has no array named `%s`; it has", program->name, path, name);
  for (size_t i = 0; i < file.size() && i < 8; ++i)
    fprintf(stderr, "%s %s", i ? "," : "", Quoted(file[i].name, 60).text);
  fprintf(stderr, "%s (%s)\n", file.size() > 8 ? ", ..." : file.size() ? "" : " none", text);
  return ExitData;
}

int Dataset::take(int32_t input, const FileTensor *tensor, const TensorFile &file) {
  const char *name = entry->inputs[input].name;
  if (!tensor)
    return missing(name, file);
  fovea_tensor &to = whole[static_cast<size_t>(input)];
  to.dtype = entry->inputs[input].dtype;
  if (tensor->rank != entry->inputs[input].rank) {
    fprintf(stderr, "%s: input `%s` has %d axes in `%s`, and the entry takes %d: the first are the rows\n",
            program->name, name, tensor->rank, path, entry->inputs[input].rank);
    return ExitData;
  }
  return converter.convert(name, *tensor, path, to);
}

int Dataset::openFolder() {
  for (int32_t i = 0; i < entry->input_count; ++i) {
    if (entry->inputs[i].rank == 0)
      continue;
    char at[PATH_MAX];
    size_t length = strlen(path);
    const char *slash = length && path[length - 1] == '/' ? "" : "/";
    if (snprintf(at, sizeof(at), "%s%s%s.npy", path, slash, entry->inputs[i].name) >= PATH_MAX) {
      fprintf(stderr, "%s: the path `%s` is too long\n", program->name, path);
      return ExitData;
    }
    TensorFile *file;
    if (int code = openFile(at, file))
      return code;
    if (strcmp(file->kind(), "npy") != 0)
      return missing(entry->inputs[i].name, *file);
    if (int code = take(i, file->begin(), *file))
      return code;
  }
  return ExitOk;
}

int Dataset::openArchive() {
  TensorFile *file;
  if (int code = openFile(path, file))
    return code;
  int32_t arrays = 0;
  for (int32_t i = 0; i < entry->input_count; ++i)
    arrays += entry->inputs[i].rank > 0;
  bool single = strcmp(file->kind(), "npy") == 0;
  if (single && arrays != 1) {
    fprintf(stderr, "%s: `%s` is one array, and `%s` takes %d: give an .npz file or a folder of .npy files\n",
            program->name, path, entry->name, arrays);
    return ExitData;
  }
  for (int32_t i = 0; i < entry->input_count; ++i)
    if (entry->inputs[i].rank > 0)
      if (int code = take(i, single ? file->begin() : file->find(entry->inputs[i].name), *file))
        return code;
  return ExitOk;
}

int Dataset::checkRows() {
  const char *first = nullptr;
  for (size_t i = 0; i < whole.size(); ++i) {
    if (entry->inputs[i].rank == 0)
      continue;
    int64_t rows = whole[i].shape[0];
    if (first && rows != rowCount) {
      fprintf(stderr, "%s: `%s` has %" PRId64 " rows in `%s`, and `%s` has %" PRId64 "\n", program->name,
              entry->inputs[i].name, rows, path, first, rowCount);
      return ExitData;
    }
    first = entry->inputs[i].name;
    rowCount = rows;
  }
  if (rowCount > 0)
    return ExitOk;
  fprintf(stderr, "%s: there are no rows in `%s`\n", program->name, path);
  return ExitData;
}

int Dataset::open(const fovea_program &of, int32_t at, const char *from) {
  program = &of;
  entry = &of.entries[at];
  number = at;
  path = from;
  converter.start(of.name);
  auto count = static_cast<size_t>(entry->input_count);
  if (!whole.resize(count) || !batch.resize(count) || !copies.resize(count) || !counters.resize(count)) {
    fprintf(stderr, "%s: out of memory\n", program->name);
    return ExitData;
  }
  struct stat status;
  bool folder = stat(path, &status) == 0 && S_ISDIR(status.st_mode);
  int code = folder ? openFolder() : openArchive();
  return code ? code : checkRows();
}

int64_t Dataset::rowBytes(size_t input) const {
  const fovea_tensor &tensor = whole[input];
  int64_t bytes = fovea_dtype_size(tensor.dtype);
  for (int32_t axis = 1; axis < tensor.rank; ++axis)
    bytes *= tensor.shape[axis];
  return bytes;
}

uint64_t Dataset::fingerprint(int64_t most) const {
  constexpr int64_t block = 4096;
  int64_t last = most / block - 1;
  Hash hash;
  for (size_t i = 0; i < whole.size(); ++i) {
    const fovea_tensor &tensor = whole[i];
    hash.add(&tensor.dtype, sizeof(tensor.dtype));
    hash.add(tensor.shape, static_cast<size_t>(tensor.rank) * sizeof(tensor.shape[0]));
    int64_t bytes = tensor.rank ? rowBytes(i) * rowCount : 0;
    const auto *data = static_cast<const unsigned char *>(tensor.data);
    int64_t stride = (bytes - block) / last, left = (bytes - block) % last;
    if (bytes <= most)
      hash.add(data, static_cast<size_t>(bytes));
    else
      for (int64_t k = 0; k <= last; ++k)
        hash.add(data + stride * k + left * k / last, block); // the last one ends with the array
  }
  return hash.finish();
}

int Dataset::checkShapes(fovea_context *context, int64_t count) {
  fovea_error error;
  Array<fovea_tensor> outputs;
  fovea_code code = FOVEA_OK;
  if (!outputs.resize(static_cast<size_t>(entry->output_count)))
    code = outOfMemory(&error, "outputs", 0);
  if (!code)
    code = fovea_infer_shapes(context, number, slice(0, count), inputs(), outputs.data(), entry->output_count, &error);
  if (code)
    fprintf(stderr, "%s: `%s`, %" PRId64 " row%s at once: %s\n", program->name, path, count, count == 1 ? "" : "s",
            error.message);
  return exitCode(code);
}

int Dataset::prepare(fovea_context *context, int64_t largest, int64_t last, bool gathers) {
  for (size_t i = 0; i < whole.size(); ++i) {
    batch[i] = whole[i];
    batch[i].dtype = entry->inputs[i].dtype;
    if (gathers && entry->inputs[i].rank > 0 && !(copies[i] = converter.newBuffer(rowBytes(i) * largest)))
      return ExitData;
  }
  setCounters(0, 0, 0);
  int code = checkShapes(context, largest);
  return code || !last ? code : checkShapes(context, last);
}

void Dataset::setCounters(int64_t epoch, int64_t step, int64_t seed) {
  for (size_t i = 0; i < batch.size(); ++i) {
    if (entry->inputs[i].rank > 0)
      continue;
    Text name(entry->inputs[i].name);
    counters[i] = name == "epoch" ? epoch : name == "step" ? step : seed;
    batch[i].data = &counters[i]; // little-endian: an i32 is its low half
  }
}

const fovea_tensor *Dataset::gather(const int64_t *rows, int64_t count) {
  for (size_t i = 0; i < batch.size(); ++i) {
    if (entry->inputs[i].rank == 0)
      continue;
    auto bytes = static_cast<size_t>(rowBytes(i));
    const auto *from = static_cast<const unsigned char *>(whole[i].data);
    for (int64_t row = 0; row < count && bytes; ++row)
      memcpy(copies[i] + static_cast<size_t>(row) * bytes, from + static_cast<size_t>(rows[row]) * bytes, bytes);
    batch[i].data = copies[i];
    batch[i].shape[0] = count;
  }
  return batch.data();
}

const fovea_tensor *Dataset::slice(int64_t first, int64_t count) {
  for (size_t i = 0; i < batch.size(); ++i) {
    if (entry->inputs[i].rank == 0)
      continue;
    batch[i].data = static_cast<unsigned char *>(whole[i].data) + rowBytes(i) * first;
    batch[i].shape[0] = count;
  }
  return batch.data();
}

} // namespace fovea::rt
