/// The log of training: a line of JSON for each event.
#ifndef FOVEA_RUNTIME_MAIN_TRAINLOG_H
#define FOVEA_RUNTIME_MAIN_TRAINLOG_H

#include "runtime/main/Checkpoint.h"

namespace fovea::rt {

/// Names and values of an entry's results.
struct Metrics {
  const fovea_entry *entry = nullptr; // null: there are none
  const double *values = nullptr;
};

/// Lines are written at once, so that one is there or not, whenever the process ends. Their first keys are step, epoch
/// and kind: what a resumed run is about to repeat is found by them.
class TrainLog {
public:
  TrainLog() = default;
  TrainLog(const TrainLog &) = delete;
  TrainLog &operator=(const TrainLog &) = delete;
  ~TrainLog();

  /// Opens the file, which is made, and cuts what lies behind the position (all of it at the beginning). Fails where
  /// there is a file that is no log.
  fovea_code open(const char *path, const Position &at, fovea_error *error);
  bool isOpen() const { return descriptor >= 0; }

  fovea_code step(const Position &at, double loss, double rate, fovea_error *error);
  fovea_code epoch(const Position &at, const Metrics &train, const Metrics &valid, double seconds, fovea_error *error);
  /// Puts on the disk what was written.
  void flush();

private:
  fovea_code write(const char *line, size_t length, fovea_error *error);

  int descriptor = -1;
  char name[PATH_MAX];
};

/// How many bytes of a log come before a position; -1 where the text is no log.
int64_t lengthBefore(Text log, const Position &at);

} // namespace fovea::rt
#endif
