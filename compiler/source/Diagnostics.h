// The one table of user-facing diagnostics, and the engine that collects them. No MLIR here.
#pragma once

#include "compiler/source/Source.h"

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <vector>

namespace fovea::source {

enum class Severity { Error, Warning, Note };

/// One row of Diagnostics.def.
struct DiagnosticInfo {
  int code;
  Severity severity;
  const char *name; // what tests check: "dimension-clash"
  const char *format;
  const char *hint; // "" where there is none
};

/// Every row, in the table's order.
const std::vector<DiagnosticInfo> &diagnosticTable();

namespace diag {
// Each row is a type of its own, so that the format string is checked against its arguments when this is compiled.
#define FOVEA_DIAGNOSTIC(id, codeNumber, severityName, spelling, text, help)                                           \
  inline constexpr struct id##Row {                                                                                    \
    static constexpr char format[] = text;                                                                             \
    static constexpr DiagnosticInfo info{codeNumber, Severity::severityName, spelling, text, help};                    \
  } id{};
#include "compiler/source/Diagnostics.def"
#undef FOVEA_DIAGNOSTIC
} // namespace diag

struct Label {
  Span span;
  std::string text;
};

struct Diagnostic {
  const DiagnosticInfo *info;
  Span span;
  std::string message;
  std::string label; // stands after the carets
  std::vector<Label> labels;
  std::vector<std::string> notes;
  std::string help;
  unsigned contexts = 0; // labels added by addContext
};

/// Collects diagnostics. After `limit` errors further ones are counted and not kept.
class DiagnosticEngine {
public:
  explicit DiagnosticEngine(const SourceManager &sources, unsigned limit = 50) : sources(sources), limit(limit) {}

  /// Adds to the diagnostic just reported; chains. Harmless where the report was dropped.
  class Report {
  public:
    explicit Report(Diagnostic *diagnostic) : diagnostic(diagnostic) {}
    Report &at(std::string text); // the text at the carets
    Report &label(Span span, std::string text);
    Report &note(std::string text);
    Report &help(std::string text); // replaces the row's hint

  private:
    Diagnostic *diagnostic;
  };

  /// `engine.report(diag::unknownName, span, "qury")`.
  template <class Row, class... Args> Report report(Row, Span span, const Args &...args) {
    return add(Row::info, span, fmt::format(fmt::format_string<const Args &...>(Row::format), args...));
  }

  /// Labels the diagnostics from number `from` on with the place that led there; each carries at most three such.
  void addContext(size_t from, Span span, const std::string &text);

  bool hasErrors() const { return errors != 0; }
  unsigned errorCount() const { return errors; }
  const std::vector<Diagnostic> &diagnostics() const { return kept; }
  /// Forgets the diagnostics from number `from` on: a check that turned out not to be possible.
  void rewind(size_t from);

  /// All of them as text for a terminal, in order of report.
  std::string render(bool color = false) const;
  std::string render(const Diagnostic &diagnostic, bool color = false) const;

private:
  Report add(const DiagnosticInfo &info, Span span, std::string message);

  const SourceManager &sources;
  unsigned limit, errors = 0;
  std::vector<Diagnostic> kept;
  Diagnostic scratch;
};

/// The candidate nearest to `word` by edit distance, where one is near enough to be meant; "" otherwise. One that differs in
/// case only is always near.
std::string nearest(std::string_view word, const std::vector<std::string> &candidates);

} // namespace fovea::source
