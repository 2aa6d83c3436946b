/// Signals that ask a program to end.
#ifndef FOVEA_RUNTIME_MAIN_INTERRUPTS_H
#define FOVEA_RUNTIME_MAIN_INTERRUPTS_H

#include "fovea/fovea.h"

#include <signal.h>

namespace fovea::rt {

/// While there is one, the first SIGINT, SIGTERM or SIGHUP is noted, and cancels the run of the context that was named,
/// so that no temporary file is left behind; the second one ends the process at once. A reader of standard output that
/// is gone (SIGPIPE) ends it after the print.
class Interrupts {
public:
  Interrupts();
  ~Interrupts();

  /// The context to be cancelled; null: none.
  static void cancels(fovea_context *context);
  /// The signal that came; 0: none.
  static int signalled();
  /// Ends the process by the signal that came, as its parent expects.
  static void passOn();

private:
  static constexpr int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
  struct sigaction before[sizeof(numbers) / sizeof(numbers[0])];
};

} // namespace fovea::rt
#endif
