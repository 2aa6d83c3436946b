// The report for terminals: a paragraph a chain.
#include "compiler/explain/Rows.h"

#include <fmt/format.h>

namespace fovea::explain {

static std::string failureText(const Failure &failure) {
  std::string text = "  - " + failure.fact;
  if (!failure.place.text.empty())
    text += " (" + failure.place.text + ")";
  text += "\n";
  return failure.help.empty() ? text : text + "  help: " + failure.help + "\n";
}

std::string renderText(const Report &report) {
  std::string text;
  for (const Chain &chain : report.chains) {
    text += headlineOf(chain) + "\n";
    for (const std::string &fact : chain.facts)
      text += "  + " + fact + "\n";
    if (chain.failure)
      text += failureText(*chain.failure);
    for (const auto &[name, value] : rowsOf(report, chain))
      text += fmt::format("  {:<8} {}\n", name, value);
  }
  for (const Entry &entry : report.entries)
    for (const std::string &line : linesOf(entry))
      text += line + "\n";
  return text + countOf(report) + "\n";
}

} // namespace fovea::explain
