#include "compiler/library/Library.h"

namespace fovea::library {

namespace {
struct Module {
  std::string_view name, text;
};
constexpr Module modules[] = {
#include "compiler/library/Modules.inc"
};
} // namespace

std::optional<std::string_view> find(std::string_view name) {
  for (const Module &module : modules)
    if (module.name == name)
      return module.text;
  return std::nullopt;
}

std::vector<std::string_view> names() {
  std::vector<std::string_view> result;
  for (const Module &module : modules)
    result.push_back(module.name);
  return result;
}

} // namespace fovea::library
