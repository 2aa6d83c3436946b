#include "compiler/kernels/emit/AttentionVariants.h"

#include "compiler/kernels/emit/NumberDomain.h"

using namespace mlir;

namespace fovea::kernels {

ArrayRef<llvm::StringLiteral> attentionVariantNames() {
  static constexpr llvm::StringLiteral names[] = {"few_queries", "many_queries"};
  return names;
}

bool mayHaveFewQueries(kernel::AttentionOp op) { return op.getNormalizer() != "top_k"; }

std::optional<AttentionVariant> variantFor(const Target &target, std::optional<int64_t> queries,
                                           std::optional<int64_t> keys) {
  NumberDomain domain;
  Kleene few = areFewQueries(domain, target, queries, keys);
  if (few == Kleene::Open)
    return std::nullopt;
  return few == Kleene::Yes ? AttentionVariant::FewQueries : AttentionVariant::ManyQueries;
}

std::optional<AttentionVariant> variantFor(kernel::AttentionOp op, const Target &target, std::optional<int64_t> queries,
                                           std::optional<int64_t> keys) {
  return mayHaveFewQueries(op) ? variantFor(target, queries, keys) : AttentionVariant::ManyQueries;
}

namespace {
/// Sizes and conditions as text; a condition has its negation beside it.
struct TextDomain {
  using Index = std::string;
  struct Truth {
    std::string holds, fails;
  };
  Index index(int64_t value) { return std::to_string(value); }
  Truth lessOrEqual(const Index &a, const Index &b) { return {a + " <= " + b, a + " > " + b}; }
  Truth less(const Index &a, const Index &b) { return {a + " < " + b, a + " >= " + b}; }
  Truth equal(const Index &a, const Index &b) { return {a + " == " + b, a + " != " + b}; }
  Truth both(const Truth &a, const Truth &b) { return {conjunction(a.holds, b.holds), a.fails + " or " + b.fails}; }
  Truth either(const Truth &a, const Truth &b) { return negate(both(negate(a), negate(b))); }
  Truth negate(const Truth &a) { return {a.fails, a.holds}; }

private:
  static std::string conjunction(const std::string &a, const std::string &b) { return factor(a) + " and " + factor(b); }
  static std::string factor(const std::string &text) {
    return StringRef(text).contains(" or ") ? "(" + text + ")" : text;
  }
};
} // namespace

std::string conditionOf(AttentionVariant variant, const Target &target, const std::string &queries,
                        const std::string &keys) {
  TextDomain domain;
  TextDomain::Truth few = areFewQueries(domain, target, queries, keys);
  return variant == AttentionVariant::FewQueries ? few.holds : few.fails;
}

/// Whether a view repeats along `axis`.
static bool repeats(Value memref, int64_t axis) {
  SmallVector<int64_t> strides;
  int64_t offset;
  return succeeded(cast<MemRefType>(memref.getType()).getStridesAndOffset(strides, offset)) && strides[axis] == 0;
}

SmallVector<int64_t> sharedAxes(kernel::AttentionOp op) {
  SmallVector<int64_t> shared;
  int64_t batchAxes = cast<MemRefType>(op.getQ().getType()).getRank() - 2;
  SmallVector<Value> read = op.getValuePieces();
  read.append({op.getKeyRows(), op.getValueRows()});
  llvm::append_range(read, op.getMoreK());
  for (auto [q, k] : op.getParts())
    read.push_back(k);
  for (int64_t axis = 0; axis < batchAxes; ++axis)
    if (llvm::all_of(read, [&](Value x) { return !x || repeats(x, axis); }))
      shared.push_back(axis);
  return shared;
}

bool isMaskShared(kernel::AttentionOp op) {
  if (op.getMask().empty())
    return true;
  Block &mask = op.getMask().front();
  return llvm::all_of(sharedAxes(op), [&](int64_t axis) { return mask.getArgument(axis).use_empty(); });
}

} // namespace fovea::kernels
