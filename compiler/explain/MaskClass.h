// What kind of mask a region is, from its structure: names and spellings do not matter.
#pragma once

#include "compiler/explain/Place.h"

#include <vector>

namespace mlir {
class Block;
}

namespace fovea::explain {

enum class MaskKind {
  Causal,    ///< keys up to j <= t + `to`
  From,      ///< keys from j >= t + `from`
  Window,    ///< both: a band or a sliding window
  Prefix,    ///< keys before a size, or that or causal
  Documents, ///< equal ids of query and key, read from tensors
  Blocks,    ///< equal functions of t and of j, without tensors
  Lengths,   ///< keys before (or from) a number that a tensor has for each batch
  Padding,   ///< a tensor of bool by key
  Queries,   ///< a condition on the query alone
  Diagonal,  ///< all but one diagonal, or one alone
  Tensor,    ///< a tensor of bool by query and key
  Formula,   ///< any other formula without tensors
  Other      ///< any other formula
};

/// What must hold, with the other terms, for a key to be seen.
struct MaskTerm {
  MaskKind kind;
  std::string formula;  ///< over batch indices b0, b1, ..., the query t and the key j
  std::string from, to; ///< of Window, Causal, From: the first and last key relative to t; of Prefix: `to` its length
  Place place{};
};

struct Mask {
  std::vector<MaskTerm> terms; ///< none: all keys are visible
  std::string formula;

  /// "padding by key; window: keys t - 15 to t": for people.
  std::string text() const;
};

/// "causal", "window: keys t - 15 to t": for people.
std::string maskText(const MaskTerm &term);

/// "causal", "window", ...: as in JSON.
const char *maskKindName(MaskKind kind);

/// Classifies the mask region of a graph.attention; null: no mask.
Mask classifyMask(mlir::Block *mask);

} // namespace fovea::explain
