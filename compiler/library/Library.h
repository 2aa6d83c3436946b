// The standard library: modules written in the language, found by the name that `import` gives.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

namespace fovea::library {

/// The text of `name` ("nn"), or nullopt where the library has no such module. Lives as long as the program.
std::optional<std::string_view> find(std::string_view name);

/// All modules' names, for nearest matches.
std::vector<std::string_view> names();

} // namespace fovea::library
