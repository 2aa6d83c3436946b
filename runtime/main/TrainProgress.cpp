#include "runtime/main/TrainProgress.h"

#include "runtime/core/Profile.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

namespace fovea::rt {

void TrainProgress::start(const char *name, int64_t count, int64_t first, int64_t last) {
  program = name;
  terminal = isatty(STDERR_FILENO) == 1;
  epochs = count;
  firstStep = first;
  lastStep = last;
  begun = shown = nanoseconds();
}

double TrainProgress::rate() const {
  double seconds = static_cast<double>(nanoseconds() - begun) * 1e-9;
  return seconds > 0 ? static_cast<double>(rows) / seconds : 0;
}

double TrainProgress::secondsLeft(int64_t step) const {
  double seconds = static_cast<double>(nanoseconds() - begun) * 1e-9;
  return step > firstStep ? seconds / static_cast<double>(step - firstStep) * static_cast<double>(lastStep - step) : 0;
}

/// "1:02:03", "4:05".
static void formatTime(double seconds, char (&text)[32]) {
  auto s = static_cast<long long>(seconds + 0.5);
  if (s >= 3600)
    snprintf(text, sizeof(text), "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
  else
    snprintf(text, sizeof(text), "%lld:%02lld", s / 60, s % 60);
}

void TrainProgress::update(const Position &at, int64_t batches, double loss, int64_t count) {
  rows += count;
  int64_t now = nanoseconds();
  if (now - shown < (terminal ? 100'000'000 : 30'000'000'000))
    return;
  shown = now;
  char left[32];
  formatTime(secondsLeft(at.step), left);
  if (!terminal) {
    fprintf(stderr,
            "%s: epoch %" PRId64 "/%" PRId64 ", step %" PRId64 "/%" PRId64 ": loss %.6g, %.4g samples/s, %s left\n",
            program, at.epoch + 1, epochs, at.batch, batches, loss, rate(), left);
    return;
  }
  drawn = true;
  int filled = static_cast<int>(static_cast<double>(at.batch) / static_cast<double>(batches) * 30);
  fprintf(stderr, "\r\033[K%s: epoch %" PRId64 "/%" PRId64 " [%.*s%*s] loss %.5g, %.4g samples/s, %s left", program,
          at.epoch + 1, epochs, filled, "##############################", 30 - filled, "", loss, rate(), left);
}

void TrainProgress::clear() {
  if (drawn)
    fprintf(stderr, "\r\033[K");
  drawn = false;
}

} // namespace fovea::rt
