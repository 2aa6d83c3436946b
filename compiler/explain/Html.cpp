// The report as one page: no script, no style sheet, no picture from elsewhere. Ids and classes are those of
// docs/explain.md.
#include "compiler/explain/Rows.h"

#include <fmt/format.h>

namespace fovea::explain {
namespace {

constexpr const char *style = R"(
body { font: 15px/1.45 sans-serif; margin: 2em auto; max-width: 75em; padding: 0 1em; color: #222 }
h1 { font-size: 1.5em } h2 { font-size: 1.15em } h3 { font-size: 1em; margin-bottom: .3em }
code, td { font-family: monospace; font-size: 13px }
table { border-collapse: collapse } th, td { text-align: left; vertical-align: top; padding: .15em .8em .15em 0 }
th { font-weight: normal; color: #666 }
section.chain { border-left: 4px solid #b9e3b4; padding-left: 1em; margin: 1.5em 0 }
section.chain.missed { border-color: #f4a3a3 }
.failure { color: #a02020 } .help { color: #555 }
nav li.missed { color: #a02020 }
figure { overflow: auto; border: 1px solid #ddd; margin: 0 0 1.5em; padding: .5em }
svg { max-width: none } svg g.node.chain text { font-weight: bold }
)";

std::string escaped(const std::string &text) {
  std::string result;
  for (char c : text)
    switch (c) {
    case '&':
      result += "&amp;";
      break;
    case '<':
      result += "&lt;";
      break;
    case '>':
      result += "&gt;";
      break;
    case '"':
      result += "&quot;";
      break;
    default:
      result += c;
    }
  return result;
}

std::string placeAttribute(const Place &place) {
  return escaped(fmt::format("{}:{}:{}", place.file, place.line, place.column));
}

class PageWriter {
public:
  explicit PageWriter(const Report &report) : report(report) {}

  std::string run(const std::string &before, const std::string &after) {
    std::string title = escaped(report.model + ": " + countOf(report));
    page = "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>" + title + "</title><style>" +
           style + "</style></head>\n<body>\n<h1>" + title + "</h1>\n";
    overview();
    for (size_t i = 0; i < report.chains.size(); ++i)
      chain(report.chains[i], i + 1);
    entries();
    figure("before", "Before fusion", before);
    figure("after", "After fusion", after);
    return page + "</body>\n</html>\n";
  }

private:
  void overview() {
    page += "<nav><ol>\n";
    for (size_t i = 0; i < report.chains.size(); ++i)
      page += fmt::format("<li class=\"{}\"><a href=\"#chain-{}\">{}</a></li>\n", kind(report.chains[i]), i + 1,
                          escaped(headlineOf(report.chains[i])));
    page += "</ol></nav>\n";
  }

  static const char *kind(const Chain &chain) { return chain.fused ? "fused" : "missed"; }

  void chain(const Chain &chain, size_t number) {
    page += fmt::format("<section class=\"chain {}\" id=\"chain-{}\" data-place=\"{}\" data-function=\"{}\">\n",
                        kind(chain), number, placeAttribute(chain.place), escaped(chain.function));
    page += "<h2>" + escaped(headlineOf(chain)) + "</h2>\n";
    if (chain.failure) {
      const Failure &failure = *chain.failure;
      page += fmt::format("<p class=\"failure\" data-place=\"{}\">{} <code>{}</code></p>\n",
                          placeAttribute(failure.place), escaped(failure.fact), escaped(failure.place.text));
      if (!failure.help.empty())
        page += "<p class=\"help\">" + escaped(failure.help) + "</p>\n";
    }
    if (!chain.facts.empty()) {
      page += "<h3>Proved</h3>\n<ul class=\"facts\">\n";
      for (const std::string &fact : chain.facts)
        page += "<li>" + escaped(fact) + "</li>\n";
      page += "</ul>\n";
    }
    Rows rows = rowsOf(report, chain);
    if (!rows.empty()) {
      page += "<table class=\"rows\">\n";
      for (const auto &[name, value] : rows)
        page += fmt::format("<tr class=\"{}\"><th>{}</th><td>{}</td></tr>\n", name, name, escaped(value));
      page += "</table>\n";
    }
    page += "</section>\n";
  }

  void entries() {
    page += "<h2>Entries</h2>\n<ul class=\"entries\">\n";
    for (const Entry &entry : report.entries)
      for (const std::string &line : linesOf(entry))
        page += "<li>" + escaped(line) + "</li>\n";
    page += "</ul>\n";
  }

  void figure(const char *id, const char *title, const std::string &svg) {
    page += fmt::format("<h2>{}</h2>\n<figure id=\"{}\">\n{}</figure>\n", title, id, svg);
  }

  const Report &report;
  std::string page;
};

} // namespace

std::string renderHtml(const Report &report, const std::string &before, const std::string &after) {
  return PageWriter(report).run(before, after);
}

} // namespace fovea::explain
