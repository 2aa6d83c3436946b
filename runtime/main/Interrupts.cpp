#include "runtime/main/Interrupts.h"

#include <atomic>
#include <iterator>

namespace fovea::rt {

static std::atomic<fovea_context *> interruptible{nullptr};
static volatile sig_atomic_t interrupted = 0;

Interrupts::Interrupts() {
  interrupted = 0;
  struct sigaction action = {};
  action.sa_handler = [](int number) {
    interrupted = number;
    if (fovea_context *context = interruptible.load())
      fovea_context_cancel(context);
  };
  for (size_t i = 0; i < std::size(numbers); ++i) {
    action.sa_flags = numbers[i] == SIGPIPE ? 0 : static_cast<int>(SA_RESETHAND);
    sigaction(numbers[i], nullptr, &before[i]);
    if (before[i].sa_handler == SIG_DFL)
      sigaction(numbers[i], &action, nullptr);
  }
}

Interrupts::~Interrupts() {
  for (size_t i = 0; i < std::size(numbers); ++i)
    sigaction(numbers[i], &before[i], nullptr);
}

void Interrupts::cancels(fovea_context *context) { interruptible.store(context); }

int Interrupts::signalled() { return interrupted; }

void Interrupts::passOn() {
  if (interrupted) {
    signal(interrupted, SIG_DFL);
    raise(interrupted);
  }
}

} // namespace fovea::rt
