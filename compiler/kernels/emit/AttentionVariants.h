// The variants of kernel.attention and when each is taken: for the selector, for traces and for `fovea explain`.
#pragma once

#include "compiler/kernels/Target.h"
#include "dialects/kernel/KernelDialect.h"

#include <optional>
#include <string>

namespace fovea::kernels {

/// Few queries have keys in the lanes, many have queries there.
enum class AttentionVariant { FewQueries, ManyQueries };

/// "few_queries", "many_queries"; in the order of the enumeration.
llvm::ArrayRef<llvm::StringLiteral> attentionVariantNames();

/// Whether `op` has the variant of few queries: the largest scores are found with queries in the lanes.
bool mayHaveFewQueries(kernel::AttentionOp op);

/// Whether queries are few: at most half a vector of them. More than a handful with keys for two vectors at most are
/// better off beside each other: a block of keys that is not whole is transposed by way of scratch.
///
/// One formula for the code of the selector, for numbers and for people (a domain as in MaskRules.h).
template <typename Domain>
typename Domain::Truth areFewQueries(Domain &domain, const Target &target, typename Domain::Index queries,
                                     typename Domain::Index keys) {
  constexpr int64_t handful = 4;
  auto few = domain.lessOrEqual(queries, domain.index(target.vectorLength / 2));
  if (target.vectorLength / 2 <= handful)
    return few;
  auto isHandful = domain.lessOrEqual(queries, domain.index(handful));
  auto fillsVectors = domain.negate(domain.lessOrEqual(keys, domain.index(2 * target.vectorLength)));
  return domain.both(few, domain.either(isHandful, fillsVectors));
}

/// The variant that is taken; nullopt where it depends on a size that is not known.
std::optional<AttentionVariant> variantFor(const Target &target, std::optional<int64_t> queries,
                                           std::optional<int64_t> keys);
std::optional<AttentionVariant> variantFor(kernel::AttentionOp op, const Target &target, std::optional<int64_t> queries,
                                           std::optional<int64_t> keys);
/// "T <= 8", of sizes as text: when `variant` is taken.
std::string conditionOf(AttentionVariant variant, const Target &target, const std::string &queries,
                        const std::string &keys);

/// Batch axes along which keys and values repeat: with few queries, all of their rows are one task's.
llvm::SmallVector<int64_t> sharedAxes(kernel::AttentionOp op);
/// Whether the mask is the same along the shared axes, so that one decision is good for all rows of a task.
bool isMaskShared(kernel::AttentionOp op);

} // namespace fovea::kernels
