// Drawings by Graphviz, a program of its own.
#pragma once

#include "llvm/Support/Error.h"

#include <string>

namespace fovea::tools {

/// `dot -Tsvg` of Graphviz text: an <svg> element that can stand in a page. Where there is no `dot` the error names the
/// package that has it.
llvm::Expected<std::string> drawSvg(const std::string &text);

} // namespace fovea::tools
