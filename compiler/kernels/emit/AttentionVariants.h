// The variants of kernel.attention and when each is taken: for the selector, for traces and for `fovea explain`.
#pragma once

#include "compiler/kernels/Target.h"
#include "dialects/kernel/KernelDialect.h"

namespace fovea::kernels {

/// Few queries have keys in the lanes, many have queries there.
enum class AttentionVariant { FewQueries, ManyQueries };

/// "few_queries", "many_queries"; in the order of the enumeration.
llvm::ArrayRef<llvm::StringLiteral> attentionVariantNames();

/// Up to so many queries are few: half a vector of them.
inline int64_t mostFewQueries(const Target &target) { return target.vectorLength / 2; }
inline AttentionVariant variantFor(const Target &target, int64_t queries) {
  return queries <= mostFewQueries(target) ? AttentionVariant::FewQueries : AttentionVariant::ManyQueries;
}

/// Batch axes along which keys and values repeat: with few queries, all of their rows are one task's.
llvm::SmallVector<int64_t> sharedAxes(kernel::AttentionOp op);
/// Whether the mask is the same along the shared axes, so that one decision is good for all rows of a task.
bool isMaskShared(kernel::AttentionOp op);

} // namespace fovea::kernels
