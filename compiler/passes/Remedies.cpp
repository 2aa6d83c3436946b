#include "compiler/passes/Remedies.h"

#include <utility>

using llvm::StringRef;

/// The first row whose text is in the failure counts.
static constexpr std::pair<StringRef, StringRef> table[] = {
    {"the weights are not used", "leave the softmax out, or use its result"},
    {"the weights are used by",
     "multiply the weights with the values (`@`, `einsum`) before anything else is done to them"},
    {"multiplied by what differs from key to key", "multiply the values by it instead: softmax(s) @ (x[:, None] * v)"},
    {"a factor of the weights is spread over the keys", "multiply the result by the factor instead of the weights"},
    {"is not over the axis that the contraction sums",
     "take the softmax over the axis that is summed with the values, in softmax(q @ k.T) @ v the last one"},
    {"summed over another axis as well as the keys", "sum over the other axis after the product with the values"},
    {"a reduction of the scores stands between",
     "leave it out (softmax subtracts the maximum itself), or normalise the queries or keys before the product"},
    {"does not follow the axes",
     "keep the keys an axis of their own from the scores to the values (`rearrange` with names)"},
    {"read at two different positions",
     "compute one of the two by a contraction of its own; it is then read as a bias, which is held"},
    {"stands between", "do it to the queries or keys before their product, or to the result"},
    {"do not come from a contraction", "hand over queries and keys, and multiply them here, instead of their scores"},
    {"there is one query only", "give the query an axis of its own, q[None, :]"},
    {"does not depend on the key axis", "take the softmax over an axis that the keys have"},
    {"both factors of the scores", "take the softmax over an axis that the keys have and the queries have not"},
    {"over more than the keys", "take the softmax over the keys alone"},
    {"nothing divides the exponentials", "divide by sum(e, axis = -1, keep = true), or write softmax"},
    {"divided by add", "leave out the epsilon: a row that sees nothing has weights of 0 as it is"},
    {"not by their sum", "divide the exponentials by their own sum, or write softmax"},
    {"divided by a sum of others", "divide the exponentials by their own sum, or write softmax"},
    {"the sum that divides the exponentials", "sum the exponentials, and nothing else, over the keys"},
    {"wider than f32", "cast the scores to f32 before the softmax"},
};

std::string fovea::remedyFor(StringRef failure) {
  for (auto [text, help] : table)
    if (failure.contains(text))
      return help.str();
  return {};
}
