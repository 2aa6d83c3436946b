#include "compiler/pipeline/Phases.h"

namespace fovea::pipeline::phases {

std::string gradients(bool fusesAttention) {
  std::string attention =
      "graph-mark-variables,canonicalize,cse,graph-simplify,canonicalize,cse,"
      "graph-recognize-softmax,canonicalize,graph-join-keys,graph-raise-slices,graph-distribute-weights,"
      "canonicalize,cse,graph-fuse-attention{for-gradients},canonicalize,";
  return "graph-inline," + (fusesAttention ? attention : "") + "graph-differentiate";
}

std::string fusion(bool fusesAttention, bool attentionMaps) {
  std::string attention =
      "graph-join-keys,graph-raise-slices,graph-distribute-weights,canonicalize,cse,graph-raise-statistics,"
      "canonicalize,cse,graph-fuse-attention,canonicalize,";
  std::string maps = attentionMaps ? "graph-add-attention-maps,canonicalize,cse," : "";
  std::string narrow = fusesAttention ? "graph-read-pieces,graph-narrow-operands,canonicalize," : "";
  return "graph-recognize-softmax,canonicalize," + (fusesAttention ? attention : "") + "cse," + maps + narrow +
         "graph-merge-projections,canonicalize,cse";
}

/// What makes the operands of products with packed weights narrower.
static std::string narrowing(const kernels::Target &target, kernels::Precision precision, const std::string &dtype) {
  if (precision != kernels::Precision::F32) {
    bool isBFloat = precision == kernels::Precision::BF16;
    int64_t kBlock = (isBFloat ? target.bf16 : target.i8).kBlock;
    return ",graph-round-operands{precision=" + std::string(isBFloat ? "bf16" : "i8") +
           " k-block=" + std::to_string(kBlock) + "}";
  }
  return dtype.empty() ? "" : ",graph-narrow-weights{dtype=" + dtype + "}";
}

std::string forTarget(const kernels::Target &target, kernels::Precision precision, const std::string &dtype) {
  return "graph-pack-weights{panel=" + std::to_string(target.panel) + "}" + narrowing(target, precision, dtype) +
         ",graph-hoist-load-time,graph-gather-keys,canonicalize,cse,graph-hide-weights,graph-form-groups";
}

std::string rematerialization(int64_t maxMemory, const std::vector<std::pair<std::string, int64_t>> &sizes) {
  std::string at;
  for (const auto &[symbol, size] : sizes)
    at += (at.empty() ? " at=" : ",") + symbol + "=" + std::to_string(size);
  return "graph-rematerialize{max-memory=" + std::to_string(maxMemory) + at + "}";
}

} // namespace fovea::pipeline::phases
