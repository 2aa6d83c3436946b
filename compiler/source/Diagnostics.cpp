#include "compiler/source/Diagnostics.h"

#include <algorithm>
#include <cctype>

using namespace fovea::source;

const std::vector<DiagnosticInfo> &fovea::source::diagnosticTable() {
  static const std::vector<DiagnosticInfo> table = {
#define FOVEA_DIAGNOSTIC(id, codeNumber, severityName, spelling, text, help) diag::id##Row::info,
#include "compiler/source/Diagnostics.def"
#undef FOVEA_DIAGNOSTIC
  };
  return table;
}

using Report = DiagnosticEngine::Report;

Report &Report::at(std::string text) {
  diagnostic->label = std::move(text);
  return *this;
}
Report &Report::label(Span span, std::string text) {
  if (span.valid())
    diagnostic->labels.push_back({span, std::move(text)});
  return *this;
}
Report &Report::note(std::string text) {
  diagnostic->notes.push_back(std::move(text));
  return *this;
}
Report &Report::help(std::string text) {
  diagnostic->help = std::move(text);
  return *this;
}

Report DiagnosticEngine::add(const DiagnosticInfo &info, Span span, std::string message) {
  scratch = {};
  bool isError = info.severity == Severity::Error;
  errors += isError;
  // One place gets one report of a kind: a function that is instantiated twice says it once.
  for (const Diagnostic &d : kept)
    if (d.info->code == info.code && d.span == span && d.message == message)
      return Report(&scratch);
  if (isError ? errors > limit : kept.size() > 4 * limit)
    return Report(&scratch);
  kept.push_back({&info, span, std::move(message), {}, {}, {}, info.hint, 0});
  return Report(&kept.back());
}

void DiagnosticEngine::rewind(size_t from) {
  kept.resize(std::min(from, kept.size()));
  errors = static_cast<unsigned>(
      std::count_if(kept.begin(), kept.end(), [](const Diagnostic &d) { return d.info->severity == Severity::Error; }));
}

void DiagnosticEngine::addContext(size_t from, Span span, const std::string &text) {
  for (size_t i = from; i < kept.size(); ++i)
    if (kept[i].contexts < 3 && span.valid()) {
      kept[i].labels.push_back({span, text});
      ++kept[i].contexts;
    }
}

namespace {

/// Writes excerpts: the place, the source line and the carets below it.
class Renderer {
public:
  Renderer(const SourceManager &sources, bool color) : sources(sources), color(color) {}
  std::string out;

  void headline(const Diagnostic &d) {
    static constexpr const char *names[] = {"error", "warning", "note"};
    static constexpr const char *colors[] = {"\033[1;31m", "\033[1;35m", "\033[1;36m"};
    int s = static_cast<int>(d.info->severity);
    out += paint(colors[s]) + fmt::format("{}[{}]", names[s], d.info->name) + paint("\033[0m");
    out += ": " + d.message + "\n";
  }

  struct Mark {
    Span span;
    std::string_view text;
    char sign;
  };

  /// Each line once, at the place of the first mark in it, with all marks that lie in it below.
  void excerpts(std::vector<Mark> marks) {
    std::erase_if(marks, [](const Mark &mark) { return !mark.span.valid(); });
    while (!marks.empty()) {
      FileId file = marks[0].span.file;
      Position at = sources.position(file, marks[0].span.begin);
      std::string number = std::to_string(at.line), margin(number.size(), ' ');
      std::string_view line = sources.line(file, at.line);
      out += fmt::format("{}--> {}:{}:{}\n", margin, sources.name(file), at.line, at.column);
      // A very long line (arbitrary bytes are a valid input) is not echoed.
      bool isShown = line.size() <= 400;
      if (isShown)
        out += fmt::format("{} | {}\n", number, printable(line));
      std::erase_if(marks, [&](const Mark &mark) {
        Position begin = sources.position(mark.span.file, mark.span.begin);
        bool isHere = mark.span.file == file && begin.line == at.line;
        if (isHere && isShown)
          out += fmt::format("{} | {}{}{}{}{}\n", margin, std::string(begin.column - 1, ' '), paint("\033[1;31m"),
                             std::string(width(mark.span, line, begin), mark.sign), paint("\033[0m"),
                             mark.text.empty() ? "" : " " + std::string(mark.text));
        return isHere;
      });
    }
  }

  void line(const char *kind, const std::string &text) { out += fmt::format("  = {}: {}\n", kind, text); }

private:
  std::string paint(const char *code) const { return color ? code : ""; }
  static std::string printable(std::string_view line) {
    std::string shown;
    for (char c : line)
      shown += c == '\t' ? ' ' : static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
    return shown;
  }
  size_t width(Span span, std::string_view line, Position begin) const {
    Position end = sources.position(span.file, span.end);
    size_t last = end.line == begin.line ? end.column : 1 + std::count_if(line.begin(), line.end(), [](char c) {
                                                          return (static_cast<unsigned char>(c) & 0xC0) != 0x80;
                                                        });
    return last > begin.column ? last - begin.column : 1;
  }
  const SourceManager &sources;
  bool color;
};

} // namespace

std::string DiagnosticEngine::render(const Diagnostic &d, bool color) const {
  Renderer r(sources, color);
  r.headline(d);
  std::vector<Renderer::Mark> marks{{d.span, d.label, '^'}};
  for (const Label &label : d.labels)
    marks.push_back({label.span, label.text, '-'});
  r.excerpts(std::move(marks));
  for (const std::string &note : d.notes)
    r.line("note", note);
  if (!d.help.empty())
    r.line("help", d.help);
  return r.out;
}

std::string DiagnosticEngine::render(bool color) const {
  std::string out;
  for (const Diagnostic &d : kept)
    out += render(d, color) + "\n";
  if (errors > limit)
    out += fmt::format("({} further errors are not shown)\n", errors - limit);
  return out;
}

/// Edits from one word to the other by optimal string alignment: a swap of neighbours costs one.
static size_t editDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> older(b.size() + 1), previous(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j)
    previous[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({previous[j] + 1, row[j - 1] + 1, previous[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        row[j] = std::min(row[j], older[j - 2] + 1);
    }
    std::swap(older, previous);
    std::swap(previous, row);
  }
  return previous[b.size()];
}

static bool differInCaseOnly(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

std::string fovea::source::nearest(std::string_view word, const std::vector<std::string> &candidates) {
  std::string best;
  size_t bestCost = std::max<size_t>(1, word.size() / 3) + 1;
  for (const std::string &candidate : candidates) {
    if (word.size() > 64 || candidate.size() > 64 || candidate == word)
      continue;
    bool sameLetters = differInCaseOnly(word, candidate);
    size_t cost = sameLetters ? 1 : editDistance(word, candidate);
    // One letter is near to every other: that says nothing.
    if (cost < bestCost && (sameLetters || (word.size() > 1 && cost < candidate.size()))) {
      bestCost = cost;
      best = candidate;
    }
  }
  return best;
}
