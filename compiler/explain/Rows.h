// The lines of a report, for renderings that people read.
#pragma once

#include "compiler/explain/Report.h"

namespace fovea::explain {

using Rows = std::vector<std::pair<std::string, std::string>>; ///< name, what is said

/// "m.fov:3:5 (attention.y): fused, in M.forward"
std::string headlineOf(const Chain &chain);
Rows rowsOf(const Report &report, const Chain &chain);
std::vector<std::string> linesOf(const Entry &entry);
/// "2 of 3 chains fused"
std::string countOf(const Report &report);

std::string joined(const std::vector<std::string> &parts, const char *between = ", ");

} // namespace fovea::explain
