// The one ordered list of passes, with the reason for the order, and the points where plugins put theirs.
#pragma once

#include "compiler/kernels/Target.h"

#include <string>
#include <utility>
#include <vector>

namespace fovea::pipeline {

/// Named points for `--load-pass`. A plugin's passes run at the end of the phase that the point names.
namespace points {
inline constexpr const char *afterImport = "after-import", *beforeFusion = "before-fusion",
                            *afterFusion = "after-fusion", *kernel = "kernel";
} // namespace points

namespace phases {

/// Gradients are part of what a model means: a graph that asks for them holds what computes them from the start.
/// Attention is fused before it is differentiated, so that its way back does not hold the weights either; what
/// gradients are with respect to is marked first, since rewrites may not look through it. Without fusion every op has
/// its own rule.
std::string gradients(bool fusesAttention);

/// Calls first: everything after sees whole layers, and constant arguments meet their uses. Canonical form and common
/// subexpressions before fusion, so that it matches one spelling of an operand and sees true numbers of uses.
/// Identities that need preconditions come after inlining, which brings those of callees.
inline constexpr const char *beforeFusion = "graph-inline,canonicalize,cse,graph-simplify,canonicalize,cse,symbol-dce";

/// Softmax in any spelling becomes one op before attention looks for it; what reads a part of the weights, or their
/// sum with others, does not keep them whole. What was equal in another spelling is one value then (cse), and its other
/// uses are known. Projections merge after attention has taken its operands: their slices are then views, not parts of
/// a chain. Without attention its chains stay products and softmax. `attentionMaps`: entries get twins that return
/// maps, of the attentions that there are now.
std::string fusion(bool fusesAttention, bool attentionMaps);

/// Packing knows the target's panel; narrowing (`dtype`: "bf16", "i8" or "") and rounding operands to `precision` know
/// packed weights. They come before hoisting, which takes them to load time with all else that depends on params alone;
/// groups come last because they freeze the graph. What runs again is decided of groups, whose results are what memory
/// holds; no pass that merges equal values may follow.
std::string forTarget(const kernels::Target &target, kernels::Precision precision, const std::string &dtype);
std::string rematerialization(int64_t maxMemory, const std::vector<std::pair<std::string, int64_t>> &sizes);

inline constexpr const char *toKernels = "graph-lower-to-kernel,canonicalize,cse";

} // namespace phases
} // namespace fovea::pipeline
