// Command lines of the form `fovea command [options] words`, by table.
#pragma once

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace fovea::tools {

/// One option of a command. `value` is the placeholder shown in the help ("FILE"); empty for a switch.
/// `--name=value`, `--name value`, and for a one-letter name `-o value` are accepted.
struct OptionSpec {
  const char *name;
  const char *value;
  const char *help;
};

struct CommandSpec {
  const char *name;
  const char *words; // "MODEL.fov [ENTRY INPUT...]"
  const char *help;
  std::vector<OptionSpec> options;
};

class Arguments {
public:
  /// Takes what follows the command's name; nullopt and a message in `error` on an unknown option, a missing or an
  /// unexpected value. With `passesRest` the second word, or an unknown option after the first, ends the options.
  static std::optional<Arguments> parse(const CommandSpec &command, llvm::ArrayRef<const char *> argv, std::string &error,
                                        bool passesRest = false);

  bool has(llvm::StringRef name) const { return values.count(name.str()); }
  /// The last value given; `fallback` where the option is absent.
  std::string get(llvm::StringRef name, llvm::StringRef fallback = "") const;
  /// All values, in order.
  std::vector<std::string> all(llvm::StringRef name) const;

  std::vector<std::string> words;

private:
  std::map<std::string, std::vector<std::string>> values;
};

/// "usage: fovea build [options] MODEL.fov" and the options, aligned.
std::string help(const CommandSpec &command);

} // namespace fovea::tools
