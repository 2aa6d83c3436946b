// The C header of a generated library.
#pragma once

#include "compiler/program/Interface.h"

namespace fovea::program {

/// Text of `<prefix>.h`: what the entries take and give, and the one function of the library.
std::string writeHeader(const Interface &interface);

/// "f32[B, T, 384]".
std::string describeTensor(const TensorSpec &spec);

} // namespace fovea::program
