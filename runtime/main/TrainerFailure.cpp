// Where a number that is not finite comes from. Steps are repeated from the last checkpoint (or the beginning) with
// every value watched: that costs nothing as long as nothing fails, where a copy of the states before each step would
// cost every step their size; and it comes to the same numbers.
#include "runtime/main/Interrupts.h"
#include "runtime/main/NonFinite.h"
#include "runtime/main/Trainer.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

namespace fovea::rt {

/// Says which row of the data has such a number; false where none does.
bool Trainer::explainInput(const Dataset &from, const fovea_entry &entry, const fovea_tensor *inputs,
                           const int64_t *rows, int64_t first) {
  for (int32_t i = 0; i < entry.input_count; ++i) {
    int64_t element = entry.inputs[i].rank ? firstNonFinite(inputs[i]) : -1;
    if (element < 0)
      continue;
    int64_t size = 1;
    for (int32_t axis = 1; axis < inputs[i].rank; ++axis)
      size *= inputs[i].shape[axis];
    int64_t row = element / size;
    fprintf(stderr, "  the data have it: element %" PRId64 " of row %" PRId64 " of `%s` in `%s` is %s\n",
            element % size, rows ? rows[row] : first + row, entry.inputs[i].name, from.name(),
            nonFiniteName(inputs[i], element));
    return true;
  }
  return false;
}

/// Takes the context back to where it is known to have been good.
int Trainer::restart(Position &from) {
  char otherTarget[64];
  if (!from.sums.resize(at.sums.size()))
    return report(outOfMemory(&error, "metrics", 0));
  if (hasCheckpoint)
    return report(readCheckpoint(*context, checkpointPath, from, settings, otherTarget, &error));
  fovea_context_reset(context);
  return options.states ? report(fovea_context_load(context, options.states, &error)) : static_cast<int>(ExitOk);
}

/// Repeats steps up to the failing one; false where all went well.
bool Trainer::replay(Position &from, int64_t failing) {
  NonFiniteWatch watch;
  watchValues(*context, NonFiniteWatch::see, &watch);
  bool explained = false;
  for (; from.step <= failing && !explained && !Interrupts::signalled(); ++from.step, ++from.batch) {
    if (from.batch == batches) {
      from.batch = 0;
      ++from.epoch;
    }
    const fovea_tensor *inputs = inputsAfter(from);
    const int64_t *rows = &order[static_cast<size_t>(from.batch * training.batch)];
    watch.begin();
    if (runEntry(options.entry, inputs, data.inputs(), from.batch))
      break;
    int64_t element;
    if (isfinite(result(0)) && firstNonFiniteState(*context, element) < 0) {
      watch.accept();
      continue;
    }
    explained = explainInput(data, trainEntry, inputs, rows, 0);
    if (!explained && *watch.found())
      explained = fprintf(stderr, "  it first appears in step %" PRId64 " (epoch %" PRId64 "): %s\n", from.step + 1,
                          from.epoch + 1, watch.found()) > 0;
    break;
  }
  watchValues(*context, nullptr, nullptr);
  return explained;
}

int Trainer::explainStep(int64_t failing, const char *what) {
  progress.clear();
  fprintf(stderr, "%s: %s is not finite after step %" PRId64 " (epoch %" PRId64 ")\n", program.name, what, failing + 1,
          failing / batches + 1);
  Position from;
  if (int code = restart(from))
    return code;
  int64_t good = from.step;
  if (!replay(from, failing) && !Interrupts::signalled())
    fprintf(stderr, "  the steps from %" PRId64 " on, repeated, don't show where it comes from\n", good + 1);
  if (hasCheckpoint)
    fprintf(stderr, "  the checkpoint `%s`, after step %" PRId64 ", is good\n", checkpointPath, good);
  return ExitData;
}

int Trainer::explainEvaluation(const fovea_tensor *inputs, int64_t first) {
  progress.clear();
  const fovea_entry &entry = program.entries[evaluateNumber];
  fprintf(stderr,
          "%s: the loss of `%s` is not finite, after epoch %" PRId64 ", for rows %" PRId64 " and later of `%s`\n",
          program.name, entry.name, at.epoch + 1, first, training.valid);
  if (explainInput(valid, entry, inputs, nullptr, first))
    return ExitData;
  NonFiniteWatch watch;
  watch.begin();
  watchValues(*context, NonFiniteWatch::see, &watch);
  int code = runEntry(evaluateNumber, inputs, valid.inputs(), first / training.batch);
  watchValues(*context, nullptr, nullptr);
  if (!code && *watch.found())
    fprintf(stderr, "  it first appears as %s\n", watch.found());
  return ExitData;
}

} // namespace fovea::rt
