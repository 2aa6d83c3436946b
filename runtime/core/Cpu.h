/// What the processor and the operating system allow.
#ifndef FOVEA_RUNTIME_CORE_CPU_H
#define FOVEA_RUNTIME_CORE_CPU_H

#include <sched.h>
#include <stdint.h>

namespace fovea::rt {

/// Whether instructions of a feature (LLVM's name: "avx2") may be executed here: the processor has them and the system
/// saves their registers. False for names that are not known.
bool cpuHas(const char *feature);

/// Whether it fetches by itself what is read in the order of addresses, and fetches of the same by instructions hold it
/// up (fovea_exec::foresees).
bool foreseesStreams();

/// Processors that this process may use, at least 1.
int32_t cpuCount();

/// The `n`-th processor of `allowed` after `current`, in the order of their numbers and from the first again behind the
/// last; -1 where there are no `n` others.
int32_t processorAfter(const cpu_set_t &allowed, int32_t current, int32_t n);

} // namespace fovea::rt
#endif
