/// What training shows while it runs.
#ifndef FOVEA_RUNTIME_MAIN_TRAINPROGRESS_H
#define FOVEA_RUNTIME_MAIN_TRAINPROGRESS_H

#include "runtime/main/TrainLog.h"

namespace fovea::rt {

/// A line that changes, on a terminal; elsewhere a plain line every half minute. To standard error.
class TrainProgress {
public:
  /// `last` is the step at which training would end, `begun` the one it begins with.
  void start(const char *program, int64_t epochs, int64_t begun, int64_t last);

  /// After a step.
  void update(const Position &at, int64_t batches, double loss, int64_t rows);
  void clear();
  /// Rows a second, since the start.
  double rate() const;

private:
  double secondsLeft(int64_t step) const;

  const char *program = "";
  bool terminal = false, drawn = false;
  int64_t epochs = 0, firstStep = 0, lastStep = 0;
  int64_t begun = 0, shown = 0; // nanoseconds
  int64_t rows = 0;
};

} // namespace fovea::rt
#endif
