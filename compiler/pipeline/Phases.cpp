#include "compiler/pipeline/Phases.h"

namespace fovea::pipeline::phases {

std::string forTarget(const kernels::Target &target) {
  return "graph-pack-weights{panel=" + std::to_string(target.panel) +
         "},graph-hoist-load-time,canonicalize,cse,graph-form-groups";
}

} // namespace fovea::pipeline::phases
