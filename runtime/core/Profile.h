/// The events of runs, for a Chrome trace.
#ifndef FOVEA_RUNTIME_CORE_PROFILE_H
#define FOVEA_RUNTIME_CORE_PROFILE_H

#include "fovea/fovea.h"
#include "runtime/core/File.h"

#include <atomic>

namespace fovea::rt {

/// Nanoseconds of a clock that only goes forward.
int64_t nanoseconds();

/// Writes "layers.3.attention" for "attention" in `outer`, "layers.3"; what does not fit is cut.
void fullPath(const fovea_path *outer, const char *path, char *text, size_t capacity);

/// A launch (thread -1) or one thread's part in it.
struct ProfileEvent {
  const fovea_kernel_info *info;
  static constexpr int32_t deepest = 4;
  const char *outer[deepest]; // the innermost layers', innermost first; null behind the last
  const char *path;
  int64_t begin, end;
  int64_t flops, bytes; // a launch's
  int64_t tasks;
  int32_t thread;
  int32_t launch;
};
static_assert(sizeof(ProfileEvent) == 96);

/// A fixed number of events, all memory taken in advance. Adding is safe from several threads.
class Profile {
public:
  bool reserve(int64_t capacity, Memory memory) {
    events.setMemory(memory);
    return events.resize(static_cast<size_t>(capacity));
  }
  bool enabled() const { return !events.empty(); }
  void add(const ProfileEvent &event) {
    uint64_t slot = next.fetch_add(1, std::memory_order_relaxed);
    if (slot < events.size())
      events[slot] = event;
  }
  /// Writes what was kept to an open file, without committing it; not while events are added.
  fovea_code write(OutputFile &file, const char *program, fovea_error *error) const;

  fovea_limits limits = {}; ///< of the machine; zeros where they are not known

private:
  Array<ProfileEvent> events;
  std::atomic<uint64_t> next{0};
};

} // namespace fovea::rt
#endif
