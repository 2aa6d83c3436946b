#include "compiler/pipeline/Phases.h"

namespace fovea::pipeline::phases {

std::string gradients(bool fusesAttention) {
  std::string attention = "graph-mark-variables,canonicalize,cse,graph-simplify,canonicalize,cse,"
                          "graph-recognize-softmax,canonicalize,graph-raise-slices,graph-distribute-weights,"
                          "canonicalize,cse,graph-fuse-attention{for-gradients},canonicalize,";
  return "graph-inline," + (fusesAttention ? attention : "") + "graph-differentiate";
}

std::string fusion(bool fusesAttention, bool attentionMaps) {
  std::string attention = "graph-raise-slices,graph-distribute-weights,canonicalize,cse,graph-raise-statistics,"
                          "canonicalize,cse,graph-fuse-attention,canonicalize,";
  std::string maps = attentionMaps ? "graph-add-attention-maps,canonicalize,cse," : "";
  return "graph-recognize-softmax,canonicalize," + (fusesAttention ? attention : "") + "cse," + maps +
         "graph-merge-projections,canonicalize,cse";
}

std::string forTarget(const kernels::Target &target, const std::string &dtype) {
  std::string narrow = dtype.empty() ? "" : ",graph-narrow-weights{dtype=" + dtype + "}";
  return "graph-pack-weights{panel=" + std::to_string(target.panel) + "}" + narrow +
         ",graph-hoist-load-time,graph-gather-keys,canonicalize,cse,graph-hide-weights,graph-form-groups";
}

} // namespace fovea::pipeline::phases
