#include "runtime/core/PackedModel.h"

#include "runtime/core/Hash.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>

namespace fovea::rt {

/// Bytes of a path up to its last slash.
static size_t folderLength(const char *path) {
  const char *slash = strrchr(path, '/');
  return slash ? static_cast<size_t>(slash - path + 1) : 0;
}

/// The path of source number i: the first is `weights`, whatever its name was, shards lie beside it. False where it is
/// too long.
static bool sourcePath(const char *weights, size_t i, Text name, char (&path)[PATH_MAX]) {
  Text folder(weights, folderLength(weights));
  if (i == 0)
    folder = weights, name = {};
  return snprintf(path, sizeof(path), "%.*s%.*s", static_cast<int>(folder.size()), folder.data(),
                  static_cast<int>(name.size()), name.data()) < PATH_MAX;
}

/// Checks packed bytes, which are mapped.
static fovea_code parseMapped(PackedFile &packed, const unsigned char *bytes, size_t size, fovea_error *error) {
  expectWhole(bytes, size);
  return packed.parse(bytes, size, error);
}

//===-- Whether a packed file fits --------------------------------------------------------------------------------===//

static fovea_code compareProgram(const fovea_model &model, const PackedFile &packed, fovea_error *error) {
  const PackedHeader &header = packed.header();
  const fovea_target &target = *model.target;
  if (packed.text(header.target) != target.name)
    return fail(error, FOVEA_WEIGHTS_MISMATCH, "packed for the target %s, and the program runs as `%s` here",
                Quoted(packed.text(header.target)).text, target.name);
  if (memcmp(header.identity, target.identity, sizeof(header.identity)) == 0)
    return FOVEA_OK;
  auto number = [](const unsigned char *identity) {
    uint64_t first = 0;
    for (int i = 0; i < 8; ++i)
      first = first << 8 | identity[i];
    return first;
  };
  return fail(error, FOVEA_WEIGHTS_MISMATCH,
              "packed for another program: %s (%016" PRIx64 "), and this is `%s` (%016" PRIx64 "): pack again",
              Quoted(packed.text(header.program)).text, number(header.identity), model.program->name,
              number(target.identity));
}

/// The checksum of all sources, as they are now.
static fovea_code hashSources(const PackedFile &packed, const char *weights, uint64_t &result, fovea_error *error) {
  Hash hash;
  for (size_t i = 0; i < packed.header().sourceCount; ++i) {
    char path[PATH_MAX];
    MappedFile file;
    if (!sourcePath(weights, i, packed.text(packed.source(i).name), path))
      return fail(error, FOVEA_FILE_ERROR, "the path %s is too long", Quoted(weights, 200).text);
    if (fovea_code code = file.open(path, error))
      return code;
    hash.add(file.data(), file.size());
  }
  result = hash.finish();
  return FOVEA_OK;
}

/// Whether the packed weights were made from `weights` as it is now. Equal stamps are enough; else, where `contents` is
/// set, sizes and then all bytes are compared.
static fovea_code compareSources(const PackedFile &packed, const char *weights, const char *prefix, bool contents,
                                 fovea_error *error) {
  const PackedHeader &header = packed.header();
  if (packed.text(header.prefix) != (prefix ? prefix : ""))
    return fail(error, FOVEA_WEIGHTS_MISMATCH, "packed with the prefix %s, and %s is asked for",
                Quoted(packed.text(header.prefix)).text, Quoted(prefix ? prefix : "").text);
  bool untouched = header.sourceCount > 0;
  for (size_t i = 0; i < header.sourceCount; ++i) {
    char path[PATH_MAX];
    FileStamp now;
    const PackedSource &source = packed.source(i);
    if (!sourcePath(weights, i, packed.text(source.name), path) || !readStamp(path, now))
      return fail(error, FOVEA_WEIGHTS_MISMATCH, "packed from other weights: there is no file %s",
                  Quoted(i ? packed.text(source.name) : Text(weights), 200).text);
    if (now.bytes != source.stamp.bytes)
      return fail(error, FOVEA_WEIGHTS_MISMATCH,
                  "packed from other weights: %s has %" PRIu64 " bytes now, and had %" PRIu64, Quoted(path, 200).text,
                  now.bytes, source.stamp.bytes);
    untouched = untouched && now == source.stamp;
  }
  if (untouched)
    return FOVEA_OK;
  uint64_t hash = 0;
  if (contents)
    if (fovea_code code = hashSources(packed, weights, hash, error))
      return code;
  if (contents && hash == header.sourceHash)
    return FOVEA_OK;
  return fail(error, FOVEA_WEIGHTS_MISMATCH, "packed from other weights: the contents of %s are not the same",
              Quoted(weights, 200).text);
}

//===-- Taking weights from it ------------------------------------------------------------------------------------===//

static bool fits(const fovea_tensor_spec &spec, const PackedItem &item) {
  int64_t shape[FOVEA_MAX_RANK];
  return item.dtype == spec.dtype && item.rank == spec.rank && literalShape(spec, shape) &&
         memcmp(shape, item.shape, sizeof(int64_t) * static_cast<size_t>(spec.rank)) == 0;
}

/// Whether the program has what an item stands for, of that type.
static bool wanted(const fovea_program &program, const fovea_target &target, const PackedItem &item) {
  int32_t number = item.number;
  if (number < 0)
    return false;
  if (item.role == PackedRole::Param)
    return number < program.param_count && fits(program.params[number], item);
  if (item.role == PackedRole::State)
    return number < program.state_count && isParamState(program, number) && fits(program.states[number], item);
  return number < target.derived_count && item.dtype == target.derived[number].dtype &&
         item.bytes == static_cast<uint64_t>(target.derived[number].bytes);
}

/// Points params and derived values into packed bytes. Equal identities promise that all of it fits; that is checked
/// all the same, as any bytes may state any identity.
static fovea_code adopt(fovea_model &model, const PackedFile &packed, fovea_error *error) {
  const fovea_program &program = *model.program;
  const fovea_target &target = *model.target;
  bool hasWritten = countTensors(program) > program.param_count;
  if (!model.params.resize(static_cast<size_t>(program.param_count)) ||
      !model.written.resize(hasWritten ? static_cast<size_t>(program.state_count) : 0) ||
      !model.derived.resize(static_cast<size_t>(target.derived_count)))
    return outOfMemory(error, "params", program.param_count);
  for (size_t i = 0; i < packed.header().itemCount; ++i) {
    const PackedItem &item = packed.item(i);
    if (!wanted(program, target, item))
      return fail(error, FOVEA_BAD_FILE, "damaged: %s is not what the program wants",
                  Quoted(packed.text(item.name)).text);
    auto number = static_cast<size_t>(item.number);
    if (item.role == PackedRole::Param)
      model.params[number] = packed.data(item);
    else if (item.role == PackedRole::State)
      model.written[number] = packed.data(item);
    else
      model.derived[number] = const_cast<unsigned char *>(packed.data(item)); // written by prepare steps only
  }
  const char *missing = nullptr;
  for (int32_t i = 0; i < target.derived_count; ++i)
    missing = model.derived[static_cast<size_t>(i)] ? missing : target.derived[i].name;
  for (int32_t i = 0; i < target.direct_count; ++i)
    missing = model.params[static_cast<size_t>(target.direct[i])] ? missing : program.params[target.direct[i]].name;
  for (int32_t i = 0; i < program.state_count; ++i)
    missing = isParamState(program, i) && !model.written[static_cast<size_t>(i)] ? program.states[i].name : missing;
  if (missing)
    return fail(error, FOVEA_BAD_FILE, "damaged: %s is missing", Quoted(missing).text);
  model.isPacked = true;
  return FOVEA_OK;
}

fovea_code loadPacked(fovea_model &model, const char *path, const char *weights, const char *prefix,
                      fovea_error *error) {
  if (fovea_code code = model.packed.open(path, error))
    return code;
  PackedFile packed;
  fovea_code code = parseMapped(packed, model.packed.data(), model.packed.size(), error);
  if (!code)
    code = compareProgram(model, packed, error);
  if (!code && weights)
    code = compareSources(packed, weights, prefix, /*contents=*/true, error);
  if (!code)
    code = adopt(model, packed, error);
  if (code)
    addContext(error, Quoted(path, 200).text);
  return code;
}

fovea_code loadEmbedded(fovea_model &model, bool &found, fovea_error *error) {
  const fovea_program &program = *model.program;
  found = false;
  for (int32_t i = 0; program.packed && i < program.target_count; ++i) {
    if (program.targets[i] != model.target || !program.packed[i].data)
      continue;
    found = true;
    PackedFile packed;
    fovea_code code = parseMapped(packed, program.packed[i].data, static_cast<size_t>(program.packed[i].bytes), error);
    if (!code)
      code = compareProgram(model, packed, error);
    if (!code)
      code = adopt(model, packed, error);
    if (code)
      addContext(error, "the weights within the program");
    return code;
  }
  return FOVEA_OK;
}

//===-- The folder for kept ones ----------------------------------------------------------------------------------===//

/// "<folder>/minilm-0123456789abcdef.packed": one file for a program, a target, a file of weights and a prefix.
static bool keptPath(const fovea_model &model, const char *folder, const char *weights, const char *prefix,
                     char (&path)[PATH_MAX]) {
  char whole[PATH_MAX];
  if (!realpath(weights, whole))
    return false;
  Hash hash;
  hash.add(model.target->identity, sizeof(model.target->identity));
  for (const char *text : {model.target->name, static_cast<const char *>(whole), prefix ? prefix : ""})
    hash.add(text, strlen(text) + 1);
  char name[64];
  snprintf(name, sizeof(name), "%s", model.program->name);
  for (char *c = name; *c; ++c)
    if (!((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9')))
      *c = '_';
  return snprintf(path, sizeof(path), "%s/%s-%016" PRIx64 ".packed", folder, name, hash.finish()) < PATH_MAX;
}

bool loadKept(fovea_model &model, const char *folder, const char *weights, const char *prefix) {
  char path[PATH_MAX];
  fovea_error ignored;
  PackedFile packed;
  MappedFile map;
  if (!keptPath(model, folder, weights, prefix, path) || map.open(path, &ignored) ||
      parseMapped(packed, map.data(), map.size(), &ignored) || compareProgram(model, packed, &ignored) ||
      compareSources(packed, weights, prefix, /*contents=*/false, &ignored) || adopt(model, packed, &ignored)) {
    model.params.clear();
    model.written.clear();
    model.derived.clear();
    return false;
  }
  model.packed = std::move(map);
  return true;
}

/// Makes a folder and those above it that are missing, for this user alone.
static fovea_code makeFolders(const char *folder, fovea_error *error) {
  char path[PATH_MAX];
  if (snprintf(path, sizeof(path), "%s", folder) >= PATH_MAX)
    return fail(error, FOVEA_FILE_ERROR, "the path %s is too long", Quoted(folder, 200).text);
  for (char *slash = path + 1;; ++slash) {
    slash = strchrnul(slash, '/');
    bool last = !*slash;
    *slash = 0;
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
      return fail(error, FOVEA_FILE_ERROR, "can't make the folder %s: %s", Quoted(path, 200).text,
                  strerrordesc_np(errno));
    if (last)
      return FOVEA_OK;
    *slash = '/';
  }
}

//===-- Writing ---------------------------------------------------------------------------------------------------===//

/// A stamp that was taken too soon after the modification could stay the same at the next one. It is made one that no
/// file has.
static FileStamp trusted(FileStamp stamp) {
  constexpr int64_t coarsest = 2'000'000'000; // the resolution of file times is up to two seconds
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (int64_t(now.tv_sec) * 1'000'000'000 + now.tv_nsec - stamp.modified < coarsest)
    stamp.changed = INT64_MIN;
  return stamp;
}

static bool addItems(const fovea_model &model, PackedWriter &writer) {
  const fovea_target &target = *model.target;
  bool stored = true;
  for (int32_t i = 0; i < target.derived_count; ++i) {
    const fovea_derived &derived = target.derived[i];
    PackedItem item = {{}, PackedRole::Derived, i, derived.dtype, 1, 0, static_cast<uint64_t>(derived.bytes), {}};
    item.shape[0] = derived.bytes / fovea_dtype_size(derived.dtype);
    stored = stored && writer.addItem(derived.name, item, model.derived[static_cast<size_t>(i)]);
  }
  auto addTensor = [&](PackedRole role, int32_t number, const fovea_tensor_spec &spec, const void *data) {
    PackedItem item = {{}, role, number, spec.dtype, spec.rank, 0, 0, {}};
    int64_t elements = 0;
    literalShape(spec, item.shape);
    countElements(item.shape, item.rank, fovea_dtype_size(spec.dtype), elements);
    item.bytes = static_cast<uint64_t>(elements * fovea_dtype_size(spec.dtype));
    stored = stored && writer.addItem(spec.name, item, data);
  };
  const fovea_program &program = *model.program;
  for (int32_t i = 0; i < target.direct_count; ++i)
    addTensor(PackedRole::Param, target.direct[i], program.params[target.direct[i]],
              model.params[static_cast<size_t>(target.direct[i])]);
  for (int32_t i = 0; i < program.state_count; ++i)
    if (isParamState(program, i))
      addTensor(PackedRole::State, i, program.states[i], model.written[static_cast<size_t>(i)]);
  return stored;
}

/// Fails where the weights are no longer what was read.
static fovea_code checkUnchanged(const fovea_model &model, fovea_error *error) {
  for (size_t i = 0; i < model.file.sourceCount(); ++i) {
    char path[PATH_MAX];
    FileStamp now;
    if (!sourcePath(model.weights, i, model.file.sourceName(i), path) || !readStamp(path, now) ||
        now != model.file.source(i).stamp())
      return fail(error, FOVEA_FILE_ERROR, "%s changed since it was read", Quoted(path, 200).text);
  }
  return FOVEA_OK;
}

static fovea_code writePacked(const fovea_model &model, const char *path, fovea_error *error) {
  PackedWriter writer(model.memory);
  Hash hash;
  bool stored = true;
  for (size_t i = 0; i < model.file.sourceCount(); ++i) {
    const MappedFile &source = model.file.source(i);
    hash.add(source.data(), source.size());
    Text name = i ? model.file.sourceName(i) : model.weights + folderLength(model.weights);
    stored = stored && writer.addSource(name, trusted(source.stamp()));
  }
  PackedHeader header = {};
  header.sourceHash = hash.finish();
  memcpy(header.identity, model.target->identity, sizeof(header.identity));
  if (!stored || !addItems(model, writer))
    return outOfMemory(error, "packing weights", 0);
  OutputFile file;
  fovea_code code = file.open(path, error);
  if (!code)
    code = writer.write(file, header, model.program->name, model.target->name, model.prefix, error);
  if (!code)
    code = checkUnchanged(model, error);
  return code ? code : file.commit(error, /*durable=*/true);
}

} // namespace fovea::rt

using namespace fovea::rt;

extern "C" {

fovea_code fovea_model_pack(const fovea_model *model, const char *path, fovea_error *error) {
  if (!model || !path)
    return fail(error, FOVEA_INVALID_ARGUMENT, "the %s is null", model ? "path" : "model");
  if (model->isPacked || !model->weights)
    return fail(error, FOVEA_INVALID_ARGUMENT, "only a model that was loaded from a file of weights can be packed%s",
                model->isPacked ? "; this one's are packed" : "");
  return writePacked(*model, path, error);
}

fovea_code fovea_model_keep(const fovea_model *model, const char *folder, fovea_error *error) {
  if (!model || !folder)
    return fail(error, FOVEA_INVALID_ARGUMENT, "the %s is null", model ? "folder" : "model");
  if (model->isPacked || model->bytes == 0) // loading it computes nothing
    return FOVEA_OK;
  char path[PATH_MAX];
  if (!keptPath(*model, folder, model->weights, model->prefix, path))
    return fail(error, FOVEA_FILE_ERROR, "can't find %s any more, or its name is too long",
                Quoted(model->weights, 200).text);
  if (fovea_code code = makeFolders(folder, error))
    return code;
  return writePacked(*model, path, error);
}
}
