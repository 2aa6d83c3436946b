#include "runtime/main/Destination.h"

#include "runtime/core/Model.h"
#include "runtime/main/AttentionPage.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

namespace fovea::rt {

static OutputTensor outputTensor(const fovea_tensor &tensor, const char *name) {
  return {name, fileDtype(tensor.dtype), tensor.rank, tensor.shape, tensor.data};
}

static bool endsWith(const char *text, const char *end) {
  size_t length = strlen(text), tail = strlen(end);
  return length >= tail && strcmp(text + length - tail, end) == 0;
}

/// Whether several files are to be written below `path`: a folder that is there, or a name that ends in "/".
static bool isFolder(const char *path) {
  struct stat status;
  return endsWith(path, "/") || (stat(path, &status) == 0 && S_ISDIR(status.st_mode));
}

int Destination::report(fovea_code code) {
  if (code)
    fprintf(stderr, "%s: %s\n", program.name, error.message);
  return exitCode(code);
}

fovea_code Destination::openFolder() {
  fovea_code code = folder.open(options.output, &error);
  const fovea_entry &entry = program.entries[options.entry];
  for (int32_t i = 0; i < entry.output_count && !code; ++i)
    code = folder.check(entry.outputs[i].name, &error);
  return code;
}

int Destination::open() {
  const fovea_entry &entry = program.entries[options.entry];
  const char *path = options.output;
  if (path && options.profile && strcmp(path, options.profile) == 0) {
    fprintf(stderr, "%s: -o and --profile name the same file\n", program.name);
    return ExitUsage;
  }
  if (path && (options.dump || isFolder(path))) {
    if (fovea_code code = openFolder())
      return report(code);
  } else if (path) {
    if (entry.output_count != 1 && !endsWith(path, ".npz") && !endsWith(path, ".safetensors")) {
      fprintf(stderr, "%s: `%s` has %d results: name an .npz or .safetensors file or a folder after -o\n", program.name,
              entry.name, entry.output_count);
      return ExitUsage;
    }
    if (fovea_code code = file.open(strcmp(path, "-") == 0 ? "/dev/stdout" : path, &error))
      return report(code);
  }
  fovea_code code = options.profile ? profile.open(options.profile, &error) : FOVEA_OK;
  if (!code && options.attentionPage)
    code = page.open(options.attentionPage, &error);
  return report(code);
}

void Destination::dump(void *user, const char *path, const fovea_tensor *value) {
  auto &to = *static_cast<Destination *>(user);
  if (to.seen++ < 4) {
    size_t length = strlen(to.some);
    snprintf(to.some + length, sizeof(to.some) - length, "%s`%s`", length ? ", " : "", path);
  }
  if (to.dumpCode || !matches(to.options.dump, path))
    return;
  char name[PATH_MAX];
  snprintf(name, sizeof(name), "%s", path);
  for (char *c = name; *c; ++c)
    *c = *c == '/' ? '_' : *c;
  to.dumpCode = to.folder.write(name, outputTensor(*value, ""), &to.error);
  ++to.kept;
}

fovea_code Destination::writeResults(const Outputs &outputs) {
  fovea_code code = FOVEA_OK;
  Array<OutputTensor> all;
  for (int32_t i = 0; i < outputs.own() && !code; ++i) {
    OutputTensor tensor = outputTensor(outputs.data()[i], outputs.name(i));
    if (folder.isOpen())
      code = folder.write(outputs.name(i), tensor, &error);
    else if (!all.push(tensor))
      code = outOfMemory(&error, "outputs", 0);
  }
  if (code || folder.isOpen())
    return code;
  if (endsWith(options.output, ".npz"))
    return writeNpz(file, all.data(), all.size(), {}, &error);
  if (endsWith(options.output, ".safetensors"))
    return writeSafetensors(file, all.data(), all.size(), {}, &error);
  return writeNpy(file, all[0], &error);
}

int Destination::checkDumps() {
  if (dumpCode)
    return report(dumpCode);
  if (kept)
    return ExitOk;
  fprintf(stderr, "%s: none of %" PRId64 " values matches `%s`%s%s%s\n", program.name, seen, options.dump,
          seen ? "; there are " : "", some, seen > 4 ? ", ..." : "");
  return ExitData;
}

fovea_code Destination::writePage(const Inputs &inputs, const Outputs &outputs) {
  if (!fovea_write_attention_page)
    return fail(&error, FOVEA_BAD_PROGRAM, "the program has attention maps, but nothing that writes them");
  AttentionPage what{
      &program,          &program.entries[options.maps], outputs.own(),         inputs.data(),
      outputs.data(),    options.attentionHeads,         options.attentionRows, options.attentionSequence,
      options.vocabulary};
  return fovea_write_attention_page(&what, &page, &error);
}

int Destination::finish(const Inputs &inputs, const Outputs &outputs, const fovea_context *context) {
  if (options.dump)
    if (int code = checkDumps())
      return code;
  if (int code = options.output ? report(writeResults(outputs)) : outputs.print())
    return code;
  fovea_code code = FOVEA_OK;
  if (options.profile)
    code = writeProfile(context, profile, &error);
  if (!code && options.attentionPage)
    code = writePage(inputs, outputs);
  if (!code && folder.isOpen())
    code = folder.commit(&error);
  else if (!code && options.output)
    code = file.commit(&error);
  if (!code && options.profile)
    code = profile.commit(&error);
  if (!code && options.attentionPage)
    code = page.commit(&error);
  return report(code);
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

} // namespace fovea::rt
