#include "compiler/tools/Arguments.h"

#include "compiler/source/Diagnostics.h"

#include <algorithm>
#include <cstring>

using namespace llvm;

namespace fovea::tools {

static const OptionSpec *find(const CommandSpec &command, StringRef name) {
  for (const OptionSpec &option : command.options)
    if (name == option.name)
      return &option;
  return nullptr;
}

static std::string dashed(StringRef name) { return (name.size() == 1 ? "-" : "--") + name.str(); }

static std::string unknownOption(const CommandSpec &command, StringRef name) {
  std::vector<std::string> names;
  for (const OptionSpec &option : command.options)
    names.push_back(option.name);
  std::string near = source::nearest(name.str(), names);
  std::string message = "`fovea " + std::string(command.name) + "` has no option " + dashed(name);
  return near.empty() ? message : message + "; did you mean " + dashed(near) + "?";
}

std::optional<Arguments> Arguments::parse(const CommandSpec &command, ArrayRef<const char *> argv, std::string &error,
                                          bool passesRest) {
  Arguments result;
  bool optionsEnded = false;
  for (size_t i = 0; i < argv.size(); ++i) {
    StringRef word = argv[i];
    bool isWord = word == "-" || !word.starts_with("-");
    // What follows the first word may still be ours, up to what we do not know.
    optionsEnded |= passesRest && !result.words.empty() && (isWord || !find(command, word.ltrim('-').split('=').first));
    if (optionsEnded || isWord) {
      result.words.push_back(word.str());
      continue;
    }
    if (word == "--") {
      optionsEnded = true;
      continue;
    }
    auto [name, value] = word.ltrim('-').split('=');
    bool hasValue = word.contains('=');
    const OptionSpec *option = find(command, name);
    if (!option) {
      error = unknownOption(command, name);
      return std::nullopt;
    }
    bool isSwitch = !*option->value;
    if (isSwitch && hasValue) {
      error = "option " + dashed(name) + " takes no value";
      return std::nullopt;
    }
    if (!isSwitch && !hasValue) {
      if (i + 1 == argv.size()) {
        error = "option " + dashed(name) + " needs a value (" + option->value + ")";
        return std::nullopt;
      }
      value = argv[++i];
    }
    result.values[option->name].push_back(value.str());
  }
  return result;
}

std::string Arguments::get(StringRef name, StringRef fallback) const {
  auto it = values.find(name.str());
  return it == values.end() ? fallback.str() : it->second.back();
}

std::vector<std::string> Arguments::all(StringRef name) const {
  auto it = values.find(name.str());
  return it == values.end() ? std::vector<std::string>() : it->second;
}

std::string help(const CommandSpec &command) {
  std::string text = "usage: fovea " + std::string(command.name) + " [options] " + command.words + "\n\n" + command.help + "\n\n";
  std::vector<std::pair<std::string, std::string>> rows;
  size_t width = 0;
  for (const OptionSpec &option : command.options) {
    std::string left = "  " + dashed(option.name);
    if (*option.value)
      left += std::string(strlen(option.name) == 1 ? " " : "=") + option.value;
    width = std::max(width, left.size());
    rows.emplace_back(left, option.help);
  }
  for (auto &[left, right] : rows)
    text += left + std::string(width + 2 - left.size(), ' ') + right + "\n";
  return text;
}

} // namespace fovea::tools
