// A checkpoint is a safetensors file of all states whose `__metadata__` has the position and the settings.
#include "runtime/main/Checkpoint.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

namespace fovea::rt {

namespace {

/// Notes under construction. Out of memory is told at the end.
struct Notes {
  TextPool texts;
  Array<FileNote> all;
  bool complete = true;

  void add(const char *key, const char *value) {
    const char *copy = texts.copy(value);
    complete = copy && all.push({key, copy}) && complete;
  }
  void add(const char *key, int64_t value) {
    char text[32];
    snprintf(text, sizeof(text), "%" PRId64, value);
    add(key, text);
  }
  /// Read back as the same double.
  void add(const char *key, double value) {
    char text[32];
    snprintf(text, sizeof(text), "%.17g", value);
    add(key, text);
  }
  void add(const char *key, const Array<double> &values) {
    char *text = texts.reserve(values.size() * 26 + 1);
    if (!text) {
      complete = false;
      return;
    }
    size_t used = 0;
    for (double value : values)
      used += static_cast<size_t>(snprintf(text + used, 26, "%s%.17g", used ? " " : "", value));
    text[used] = 0;
    complete = all.push({key, Text(text, used)}) && complete;
  }
};

/// As a note has it: 64 bits don't fit into a number of JSON.
struct Fingerprint {
  explicit Fingerprint(uint64_t value) { snprintf(text, sizeof(text), "%016" PRIx64, value); }
  char text[17];
};

struct IntegerNote {
  const char *key;
  int64_t *value;
};

/// Every whole number of a position, by its key.
struct PositionNotes {
  explicit PositionNotes(Position &at)
      : rows{{"fovea.epoch", &at.epoch},
             {"fovea.batch_in_epoch", &at.batch},
             {"fovea.step", &at.step},
             {"fovea.rows_seen", &at.seen},
             {"fovea.best_epoch", &at.bestEpoch}} {}
  IntegerNote rows[5];
};

struct Reader {
  const TensorFile &file;
  fovea_error *error;

  fovea_code text(const char *key, char (&value)[256]) {
    const Text *note = file.note(key);
    if (!note)
      return fail(error, FOVEA_BAD_FILE, "this is no checkpoint of training: its metadata has no `%s`", key);
    snprintf(value, sizeof(value), "%.*s", static_cast<int>(note->size()), note->data());
    return FOVEA_OK;
  }

  fovea_code bad(const char *key, const char *text) {
    return fail(error, FOVEA_BAD_FILE, "damaged checkpoint: `%s` is %s", key, Quoted(text).text);
  }

  fovea_code integer(const char *key, int64_t &value) {
    char text[256], *end;
    if (fovea_code code = this->text(key, text))
      return code;
    errno = 0;
    value = strtoll(text, &end, 10);
    return errno || end == text || *end || value < 0 ? bad(key, text) : FOVEA_OK;
  }

  fovea_code numbers(const char *key, Array<double> &values) {
    const Text *note = file.note(key);
    if (!note)
      return fail(error, FOVEA_BAD_FILE, "this is no checkpoint of training: its metadata has no `%s`", key);
    values.clear();
    for (size_t at = 0; at < note->size();) {
      char text[40] = {}, *end;
      size_t length = 0;
      for (; at < note->size() && (*note)[at] != ' '; ++at)
        if (length < sizeof(text) - 1)
          text[length++] = (*note)[at];
      ++at;
      double value = strtod(text, &end);
      if (end == text || *end)
        return bad(key, text);
      if (!values.push(value))
        return outOfMemory(error, "a checkpoint", 0);
    }
    return FOVEA_OK;
  }

  fovea_code position(Position &at) {
    fovea_code code = FOVEA_OK;
    for (const IntegerNote &row : PositionNotes(at).rows)
      if (!code)
        code = integer(row.key, *row.value);
    Array<double> best;
    int64_t finished = 0;
    if (!code)
      code = numbers("fovea.sums", at.sums);
    if (!code)
      code = numbers("fovea.best", best);
    if (!code)
      code = integer("fovea.finished", finished);
    if (!code && best.size() != 1)
      code = bad("fovea.best", "no number");
    if (code)
      return code;
    at.best = best[0];
    at.finished = finished != 0;
    return FOVEA_OK;
  }

  /// Rows as many as before may be others.
  fovea_code sameData(const char *key, const char *option, uint64_t now) {
    char then[256];
    fovea_code code = text(key, then);
    if (!code && strcmp(then, Fingerprint(now).text) != 0)
      return fail(error, FOVEA_INVALID_ARGUMENT,
                  "%s has other data than the training began with (as many rows, but not the same): give those again, "
                  "or train from the beginning with another --checkpoint",
                  option);
    return code;
  }

  fovea_code same(const Settings &now) {
    char model[256], entry[256];
    fovea_code code = text("fovea.model", model);
    if (!code)
      code = text("fovea.entry", entry);
    if (!code && (strcmp(model, now.model) != 0 || strcmp(entry, now.entry) != 0))
      return fail(error, FOVEA_INVALID_ARGUMENT, "it is of %s of the model %s, and this is `%s` of the model `%s`",
                  Quoted(entry).text, Quoted(model).text, now.entry, now.model);
    const struct {
      const char *key, *what;
      int64_t now;
    } rows[] = {{"fovea.seed", "--seed", now.seed},
                {"fovea.batch", "--batch", now.batch},
                {"fovea.drop_last", "--drop-last (1: given)", now.dropLast},
                {"fovea.rows", "rows of --data", now.rows},
                {"fovea.valid_rows", "rows of --valid (0: not given)", now.validRows}};
    for (const auto &row : rows) {
      int64_t then = 0;
      if (!code)
        code = integer(row.key, then);
      if (!code && then != row.now)
        return fail(error, FOVEA_INVALID_ARGUMENT,
                    "it was written with another setting: %s was %" PRId64 ", and is %" PRId64 " now", row.what, then,
                    row.now);
    }
    if (!code)
      code = sameData("fovea.data", "--data", now.dataPrint);
    return code ? code : sameData("fovea.valid_data", "--valid", now.validDataPrint);
  }
};

fovea_code openCheckpoint(const char *path, TensorFile &file, fovea_error *error) {
  fovea_code code = file.open(path, {}, error);
  if (!code && strcmp(file.kind(), "safetensors") != 0) {
    code = fail(error, FOVEA_BAD_FILE, "%s: this is no checkpoint of training but %s", Quoted(path, 200).text,
                file.kind());
  }
  return code;
}

} // namespace

fovea_code writeCheckpoint(fovea_context &context, const char *path, const Position &position, const Settings &settings,
                           fovea_error *error) {
  Notes notes;
  notes.add("fovea.model", settings.model);
  notes.add("fovea.entry", settings.entry);
  notes.add("fovea.target", context.model.target->name);
  notes.add("fovea.seed", settings.seed);
  notes.add("fovea.batch", settings.batch);
  notes.add("fovea.drop_last", settings.dropLast);
  notes.add("fovea.rows", settings.rows);
  notes.add("fovea.valid_rows", settings.validRows);
  notes.add("fovea.data", Fingerprint(settings.dataPrint).text);
  notes.add("fovea.valid_data", Fingerprint(settings.validDataPrint).text);
  for (const IntegerNote &row : PositionNotes(const_cast<Position &>(position)).rows)
    notes.add(row.key, *row.value);
  notes.add("fovea.sums", position.sums);
  notes.add("fovea.best", position.best);
  notes.add("fovea.finished", static_cast<int64_t>(position.finished));
  if (!notes.complete)
    return outOfMemory(error, "a checkpoint", 0);
  OutputFile file;
  fovea_code code = file.open(path, error, true);
  if (!code)
    code = writeStates(context, StateSet::All, file, notes.all.data(), notes.all.size(), error);
  return code ? code : file.commit(error, true);
}

fovea_code readCheckpoint(fovea_context &context, const char *path, Position &at, const Settings &settings,
                          char (&otherTarget)[64], fovea_error *error) {
  TensorFile file;
  if (fovea_code code = openCheckpoint(path, file, error))
    return code;
  Reader reader{file, error};
  size_t results = at.sums.size();
  fovea_code code = reader.same(settings);
  if (!code)
    code = reader.position(at);
  char target[256] = "";
  if (!code)
    code = reader.text("fovea.target", target);
  if (!code && at.sums.size() != results)
    code = fail(error, FOVEA_INVALID_ARGUMENT, "it is of an entry with %zu results, and `%s` has %zu", at.sums.size(),
                settings.entry, results);
  if (!code)
    code = readStates(context, file, error);
  if (code)
    addContext(error, Quoted(path, 200).text);
  *otherTarget = 0;
  if (!code && strcmp(target, context.model.target->name) != 0)
    snprintf(otherTarget, sizeof(otherTarget), "%.63s", target);
  return code;
}

fovea_code readPosition(const char *path, Position &at, fovea_error *error) {
  TensorFile file;
  fovea_code code = openCheckpoint(path, file, error);
  if (!code && (code = Reader{file, error}.position(at)))
    addContext(error, Quoted(path, 200).text);
  return code;
}

} // namespace fovea::rt
