// graph-form-groups: every op of a function into a graph.group, or a view between groups.
#pragma once

#include "mlir/Pass/Pass.h"

#include <memory>

namespace fovea {

std::unique_ptr<mlir::Pass> createFormGroupsPass();
void registerFormGroupsPass();

/// The first step of the pass: softmax by the numerical contract as reductions and elementwise ops, contractions that sum
/// nothing as products, several summed axes as one.
void expandForGroups(mlir::Operation *function);

} // namespace fovea
