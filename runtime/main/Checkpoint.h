/// Where training has got to, and the file that it can be resumed from.
#ifndef FOVEA_RUNTIME_MAIN_CHECKPOINT_H
#define FOVEA_RUNTIME_MAIN_CHECKPOINT_H

#include "runtime/core/Context.h"

namespace fovea::rt {

/// Between two steps. What a run does from here on depends on this, the states, the settings and the data alone.
struct Position {
  int64_t epoch = 0;     // epochs that are complete, with their evaluation
  int64_t batch = 0;     // steps of the next one that are done
  int64_t step = 0;      // steps of all epochs
  int64_t seen = 0;      // rows of these `batch` steps
  Array<double> sums;    // of each result over these rows
  double best = 0;       // the lowest loss of an evaluation
  int64_t bestEpoch = 0; // the complete epochs then; 0: none yet
  bool finished = false;
};

/// What must be the same for two runs to come to the same end.
struct Settings {
  const char *model, *entry;
  int64_t seed, batch, dropLast;
  int64_t rows, validRows;            // 0: no evaluation
  uint64_t dataPrint, validDataPrint; // fingerprints of both; 0: no evaluation
};

/// Writes all states, the position and the settings, at once or not at all; `target` is a note.
fovea_code writeCheckpoint(fovea_context &context, const char *path, const Position &at, const Settings &settings,
                           fovea_error *error);

/// Reads position and states. Fails where the file is no checkpoint (FOVEA_BAD_FILE), is one of another model, or was
/// written with other settings (FOVEA_INVALID_ARGUMENT); the context is then as before. `otherTarget` is filled with
/// the name of the target that wrote it where that is not this one.
fovea_code readCheckpoint(fovea_context &context, const char *path, Position &at, const Settings &settings,
                          char (&otherTarget)[64], fovea_error *error);

/// The position alone, whatever the settings were; FOVEA_BAD_FILE where the file is no checkpoint.
fovea_code readPosition(const char *path, Position &at, fovea_error *error);

} // namespace fovea::rt
#endif
