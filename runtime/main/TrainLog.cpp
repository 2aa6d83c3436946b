#include "runtime/main/TrainLog.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

namespace fovea::rt {

static fovea_code logError(fovea_error *error, const char *path) {
  return fail(error, FOVEA_FILE_ERROR, "can't write %s: %s", Quoted(path, 240).text, strerrordesc_np(errno));
}

/// A finite number as JSON has them, with the digits that give it back as a float; others are null.
static void addNumber(Line &line, double value) {
  if (isfinite(value))
    line.add("%.9g", value);
  else
    line.add("null");
}

static void addMetrics(Line &line, const char *key, const Metrics &metrics) {
  if (!metrics.entry)
    return;
  line.add(", \"%s\": {", key);
  for (int32_t i = 0; i < metrics.entry->output_count; ++i) {
    line.add("%s\"%s\": ", i ? ", " : "", metrics.entry->outputs[i].name);
    addNumber(line, metrics.values[i]);
  }
  line.add("}");
}

/// Reads `{"step": 12, "epoch": 3, "kind": "epoch"` at the beginning of a line.
static bool parseLine(Text line, int64_t &step, int64_t &epoch, bool &isEpoch) {
  char text[120], kind[16] = "";
  snprintf(text, sizeof(text), "%.*s", static_cast<int>(line.size() < 119 ? line.size() : 119), line.data());
  int found =
      sscanf(text, "{\"step\": %" SCNd64 ", \"epoch\": %" SCNd64 ", \"kind\": \"%15[a-z]\"", &step, &epoch, kind);
  isEpoch = strcmp(kind, "epoch") == 0;
  return found == 3 && (isEpoch || strcmp(kind, "step") == 0);
}

int64_t lengthBefore(Text log, const Position &at) {
  size_t begin = 0;
  while (begin < log.size()) {
    const void *end = memchr(log.data() + begin, '\n', log.size() - begin);
    size_t length = end ? static_cast<size_t>(static_cast<const char *>(end) - log.data()) - begin : log.size() - begin;
    int64_t step, epoch;
    bool isEpoch;
    if (!parseLine(Text(log.data() + begin, length), step, epoch, isEpoch))
      return begin || !end ? static_cast<int64_t>(begin) : -1; // a first line that was cut is none
    if (!end || step > at.step || (isEpoch && epoch > at.epoch))
      break;
    begin += length + 1;
  }
  return static_cast<int64_t>(begin);
}

TrainLog::~TrainLog() {
  if (descriptor >= 0)
    close(descriptor);
}

fovea_code TrainLog::open(const char *path, const Position &at, fovea_error *error) {
  struct stat status;
  int64_t length = 0;
  snprintf(name, sizeof(name), "%s", path);
  bool regular = stat(path, &status) == 0 && S_ISREG(status.st_mode);
  if (regular) {
    MappedFile file;
    if (fovea_code code = file.open(path, error))
      return code;
    length = lengthBefore(Text(reinterpret_cast<const char *>(file.data()), file.size()), at);
    if (length < 0)
      return fail(error, FOVEA_BAD_FILE, "%s is there, and is no log of training: it is not overwritten",
                  Quoted(path, 240).text);
  }
  descriptor = ::open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor < 0 || (regular && ftruncate(descriptor, length) != 0))
    return logError(error, path);
  return FOVEA_OK;
}

fovea_code TrainLog::write(const char *line, size_t length, fovea_error *error) {
  while (length) {
    ssize_t written = ::write(descriptor, line, length);
    if (written < 0 && errno == EINTR)
      continue;
    if (written <= 0)
      return logError(error, name);
    line += written;
    length -= static_cast<size_t>(written);
  }
  return FOVEA_OK;
}

fovea_code TrainLog::step(const Position &at, double loss, double rate, fovea_error *error) {
  char text[400];
  Line line(text, sizeof(text));
  line.add("{\"step\": %" PRId64 ", \"epoch\": %" PRId64 ", \"kind\": \"step\", \"loss\": ", at.step, at.epoch + 1);
  addNumber(line, loss);
  line.add(", \"samples_per_second\": ");
  addNumber(line, rate);
  line.add("}\n");
  return write(text, line.length(), error);
}

fovea_code TrainLog::epoch(const Position &at, const Metrics &train, const Metrics &valid, double seconds,
                           fovea_error *error) {
  char text[16384]; // a line is never cut: names are at most some hundred characters each
  Line line(text, sizeof(text));
  line.add("{\"step\": %" PRId64 ", \"epoch\": %" PRId64 ", \"kind\": \"epoch\"", at.step, at.epoch);
  addMetrics(line, "train", train);
  addMetrics(line, "valid", valid);
  if (valid.entry)
    line.add(", \"best\": %s", at.bestEpoch == at.epoch ? "true" : "false");
  line.add(", \"seconds\": ");
  addNumber(line, seconds);
  line.add("}\n");
  return write(text, line.length(), error);
}

void TrainLog::flush() {
  if (descriptor >= 0)
    fdatasync(descriptor);
}

} // namespace fovea::rt
