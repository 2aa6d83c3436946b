/// Random numbers of a distribution from those of fovea/philox.h.
#ifndef FOVEA_RUNTIME_CORE_RANDOM_H
#define FOVEA_RUNTIME_CORE_RANDOM_H

namespace fovea::rt {

/// The quantile of the standard normal distribution, for p in (0, 1), within about 1e-16 relative: Wichura's algorithm
/// AS 241 (PPND16), Applied Statistics 37 (1988).
double normalQuantile(double p);

} // namespace fovea::rt
#endif
