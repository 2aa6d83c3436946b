// Random chains: attentions in many spellings, and what only looks like one. Each is a function `chain` of its own.
#pragma once

#include "ChainWriter.h"

namespace fovea::test {

/// A chain in one of many spellings, with masks, biases and further products; so many in a hundred of its tensors are
/// widened from 16 bits.
mlir::OwningOpRef<mlir::ModuleOp> attention(mlir::MLIRContext &context, unsigned seed, unsigned narrowPercent = 0);

/// Weights that are another function of each score, hidden before or after it or not at all, and scaled.
mlir::OwningOpRef<mlir::ModuleOp> pointwise(mlir::MLIRContext &context, unsigned seed);

/// Weights or scores that are read otherwise as well: the first result is an attention's all the same.
inline constexpr unsigned sharedKinds = 6;
mlir::OwningOpRef<mlir::ModuleOp> shared(mlir::MLIRContext &context, unsigned kind, unsigned seed);

/// Weights that are changed before they meet the values, or normalised over the queries: two passes over the keys.
mlir::OwningOpRef<mlir::ModuleOp> changed(mlir::MLIRContext &context, unsigned seed);

/// Weights that choices and factors change, key by key, and their own sum does not have: one pass.
mlir::OwningOpRef<mlir::ModuleOp> factored(mlir::MLIRContext &context, unsigned seed);

/// Sums of weights of several softmaxes times the same values: an attention each.
mlir::OwningOpRef<mlir::ModuleOp> mixture(mlir::MLIRContext &context, unsigned seed, unsigned count);

/// Products that are summed over the batch or the heads as well, of weights that a factor of each key changes or not.
mlir::OwningOpRef<mlir::ModuleOp> summed(mlir::MLIRContext &context, bool isChanged, unsigned seed);

/// What looks like attention and is not, or must not be fused.
inline constexpr unsigned missKinds = 19, shareOfAnotherBase = 16;
mlir::OwningOpRef<mlir::ModuleOp> nearMiss(mlir::MLIRContext &context, unsigned kind, unsigned seed);

} // namespace fovea::test
