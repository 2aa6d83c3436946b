// docs/language.md says what the parser does: the grammar in both directions, the reserved words, and every example.
#include "Grammar.h"

#include "compiler/syntax/Parser.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <sstream>

using namespace fovea;
using test::Grammar;

namespace {

std::string page() {
  std::ifstream file(FOVEA_LANGUAGE_PAGE);
  REQUIRE(file.good());
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Its indented blocks, without their indentation.
std::vector<std::string> blocks() {
  std::istringstream lines(page());
  std::vector<std::string> out;
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    bool isIndented = line.rfind("    ", 0) == 0;
    if (isIndented && !inside)
      out.emplace_back();
    if (isIndented)
      out.back() += line.substr(4) + "\n";
    else if (inside && line.empty())
      out.back() += "\n";
    inside = isIndented || (inside && line.empty());
  }
  return out;
}

std::vector<std::string> words(const std::string &text) {
  std::istringstream in(text);
  return {std::istream_iterator<std::string>(in), {}};
}

/// "Reserved: `fn module …`."
std::set<std::string> reservedWords() {
  std::string text = page(), key = "Reserved: `";
  size_t begin = text.find(key) + key.size();
  std::vector<std::string> list = words(text.substr(begin, text.find('`', begin) - begin));
  return {list.begin(), list.end()};
}

bool isGrammar(const std::string &block) { return block.rfind("file ", 0) == 0; }

Grammar grammar() {
  std::vector<std::string> all = blocks();
  auto found = std::find_if(all.begin(), all.end(), isGrammar);
  REQUIRE(found != all.end());
  return Grammar(*found, reservedWords());
}

/// What the parser says of a text. Left out is what goes beyond its grammar: names that are defined twice, too much
/// nesting, named arguments before others.
std::string complaints(const std::string &text) {
  source::SourceManager sources;
  source::DiagnosticEngine engine(sources);
  syntax::parse(sources, sources.add("t.fov", text), engine);
  std::string out;
  for (const source::Diagnostic &d : engine.diagnostics())
    if (std::string name = d.info->name;
        name != "duplicate-name" && name != "too-deep" && name != "positional-after-named")
      out += engine.render(d);
  return out;
}

bool isSentence(const Grammar &grammar, const std::string &text) {
  source::SourceManager sources;
  source::DiagnosticEngine engine(sources);
  return grammar.accepts(syntax::lex(sources, sources.add("t.fov", text), engine));
}

std::string joined(const std::vector<std::string> &words) {
  std::string out;
  for (const std::string &word : words)
    out += word + " ";
  return out;
}

} // namespace

TEST_CASE("the grammar is complete") {
  Grammar g = grammar();
  CHECK(g.undefined() == std::vector<std::string>{});
  CHECK(g.words().size() > 60);
}

TEST_CASE("reserved words are no names, all others are") {
  CHECK(reservedWords().size() == 15);
  for (const std::string &word : grammar().words())
    if (std::isalpha(static_cast<unsigned char>(word[0])))
      CHECK_MESSAGE(complaints("fn f() { let " + word + " = 1 }").empty() == !reservedWords().count(word), word);
}

TEST_CASE("what the grammar makes is what the parser takes") {
  Grammar g = grammar();
  size_t longest = 0;
  for (unsigned seed = 0; seed < 3000; ++seed) {
    std::string text = g.sentence(seed);
    longest = std::max(longest, text.size());
    std::string report = complaints(text);
    CHECK_MESSAGE(report.empty(), "seed ", seed, ": ", text, "\n", report);
  }
  CHECK(longest > 500);
}

TEST_CASE("the parser and the grammar agree on texts that are nearly right") {
  Grammar g = grammar();
  std::set<std::string> vocabulary = g.words();
  std::vector<std::string> spare(vocabulary.begin(), vocabulary.end());
  spare.insert(spare.end(), {"x", "y", "1", "0.5", "\"s\"", ";", "x", "1", ";"});
  unsigned accepted = 0, rejected = 0;
  for (unsigned seed = 0; accepted + rejected < 3000; ++seed) {
    std::vector<std::string> text = words(g.sentence(seed));
    if (text.empty() || text.size() > 60)
      continue;
    std::mt19937 random(seed);
    size_t place = random() % text.size();
    switch (random() % 4) {
    case 0:
      text.erase(text.begin() + place);
      break;
    case 1:
      text.insert(text.begin() + place, spare[random() % spare.size()]);
      break;
    case 2:
      text[place] = spare[random() % spare.size()];
      break;
    default:
      std::swap(text[place], text[random() % text.size()]);
    }
    if (text.empty() || text[0] == "//") // a comment there
      continue;
    std::string mutant = joined(text), report = complaints(mutant);
    bool isTaken = report.empty();
    CHECK_MESSAGE(isTaken == isSentence(g, mutant), "seed ", seed, ": ", mutant, "\nthe parser ",
                  isTaken ? "takes it" : "does not take it", ", the grammar says otherwise\n", report);
    ++(isTaken ? accepted : rejected);
  }
  CHECK(accepted > 100);
  CHECK(rejected > 1000);
}

TEST_CASE("every example of the page is read without errors") {
  size_t examples = 0;
  for (std::string block : blocks()) {
    if (isGrammar(block))
      continue;
    // `…` stands for what is left out.
    for (size_t at; (at = block.find("…")) != std::string::npos;)
      block.replace(at, std::string("…").size(), "x");
    std::string report = complaints(block);
    CHECK_MESSAGE(report.empty(), block, "\n", report);
    ++examples;
  }
  CHECK(examples >= 3);
}
