// A file's first line says what it must give: `// expect: unknown-name 4:12; unclosed`. Names and places; where a
// report has further places, `// shows: ` and a part of a line of the report (one of each line, in order).
#include "compiler/sema/Sema.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <sstream>

using namespace fovea;
namespace fs = std::filesystem;

namespace {

struct Case {
  fs::path path;
  std::vector<std::string> expected; // "name 4:12" or "name"
  std::vector<std::string> shown;
  sema::Options options;
};

std::string after(std::string_view text, std::string_view key) {
  size_t begin = text.find(key);
  if (begin == std::string_view::npos)
    return {};
  begin += key.size();
  return std::string(text.substr(begin, text.find('\n', begin) - begin));
}

std::vector<Case> cases() {
  std::vector<Case> out;
  for (const auto &entry : fs::directory_iterator(FOVEA_ERRORS_DIR)) {
    if (entry.path().extension() != ".fov")
      continue;
    source::SourceManager sources;
    std::optional<source::FileId> file = sources.load(entry.path().string());
    REQUIRE(file.has_value());
    Case c{entry.path(), {}, {}, {}};
    std::istringstream list(after(sources.text(*file), "// expect: "));
    for (std::string item; std::getline(list >> std::ws, item, ';');)
      c.expected.push_back(item);
    static constexpr std::string_view shows = "// shows: ";
    std::string_view rest = sources.text(*file);
    for (size_t at; (at = rest.find(shows)) != std::string_view::npos; rest.remove_prefix(at + shows.size()))
      c.shown.push_back(after(rest, shows));
    if (std::string set = after(sources.text(*file), "// set: "); !set.empty())
      c.options.sets.emplace_back(set.substr(0, set.find('=')), set.substr(set.find('=') + 1));
    c.options.importDirs = {std::string(FOVEA_ERRORS_DIR) + "/Inputs", FOVEA_ERRORS_DIR};
    out.push_back(std::move(c));
  }
  std::sort(out.begin(), out.end(), [](const Case &a, const Case &b) { return a.path < b.path; });
  return out;
}

} // namespace

TEST_CASE("each file gives its diagnostics, at their places, and no others") {
  for (const Case &c : cases()) {
    source::SourceManager sources;
    source::DiagnosticEngine engine(sources);
    source::FileId file = *sources.load(c.path.string());
    bool accepted = sema::elaborate(sources, file, c.options, engine).has_value();
    INFO(c.path.filename().string(), "\n", engine.render());
    CHECK(accepted == !engine.hasErrors());
    REQUIRE(!c.expected.empty());
    CHECK(engine.diagnostics().size() == c.expected.size());
    for (size_t i = 0; i < std::min(c.expected.size(), engine.diagnostics().size()); ++i) {
      const source::Diagnostic &d = engine.diagnostics()[i];
      source::Position at = sources.position(d.span.file, d.span.begin);
      std::string name = d.info->name, place = fmt::format("{} {}:{}", name, at.line, at.column);
      CHECK_MESSAGE((c.expected[i] == name || c.expected[i] == place), place, " instead of ", c.expected[i]);
    }
  }
}

TEST_CASE("reports say what was found and expected, and show the other places") {
  for (const Case &c : cases()) {
    source::SourceManager sources;
    source::DiagnosticEngine engine(sources);
    sema::elaborate(sources, *sources.load(c.path.string()), c.options, engine);
    std::string report = engine.render();
    INFO(c.path.filename().string(), "\n", report);
    size_t at = 0;
    for (const std::string &part : c.shown) {
      size_t found = report.find(part, at);
      CHECK_MESSAGE(found != std::string::npos, "not shown: ", part);
      at = found == std::string::npos ? at : report.find('\n', found);
    }
  }
}

TEST_CASE("every row of the table has a file") {
  std::set<std::string> tested;
  for (const Case &c : cases())
    for (const std::string &item : c.expected)
      tested.insert(item.substr(0, item.find(' ')));
  std::set<std::string> names;
  std::set<int> codes;
  for (const source::DiagnosticInfo &row : source::diagnosticTable()) {
    CHECK_MESSAGE(names.insert(row.name).second, "two rows are named ", row.name);
    CHECK_MESSAGE(codes.insert(row.code).second, "two rows have the code ", row.code);
    if (row.code < 600) // later stages have tests of their own
      CHECK_MESSAGE(tested.count(row.name), "no file in tests/errors/frontend expects ", row.name);
  }
  for (const std::string &name : tested)
    CHECK_MESSAGE(names.count(name), name, " is not in the table");
}
