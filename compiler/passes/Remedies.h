// What would mend a chain that is not fused.
#pragma once

#include "llvm/ADT/StringRef.h"

#include <string>

namespace fovea {

/// A sentence for the failure that a ChainReport records; empty where nothing is known to help.
std::string remedyFor(llvm::StringRef failure);

} // namespace fovea
