// Which states are overwritten by the very groups that compute their new values.
#pragma once

#include "compiler/analysis/Storage.h"

namespace fovea {

/// Marks groups of `function` that may store a state's new value where the old one lies (`in_place`): where the group is
/// a map that reads the old value at no other point than it writes, or a product that does not read it, and all other
/// readers of the old value can run before it. States that are left are copied by whoever places results.
void overwriteStates(graph::FuncOp function);

} // namespace fovea
