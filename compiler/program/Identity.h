// What tells programs with different derived values apart.
#pragma once

#include "compiler/program/Interface.h"

namespace fovea::program {

/// fovea_target::identity for a module whose kernels are emitted and whose launches are not lowered yet: a hash over
/// the params, the derived values, and the prepare functions with all that they call or launch. Places in the source
/// don't count, nor do entries.
std::array<uint8_t, 16> identify(mlir::ModuleOp module, const Interface &interface);

} // namespace fovea::program
