// Reads a grammar as docs/language.md writes it (`rule = "a" { x } [ y ] | ( z ) .`), makes sentences of it, and
// recognises them.
#pragma once

#include "compiler/syntax/Lexer.h"

#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace fovea::test {

class Grammar {
public:
  /// `text` is the rules; `(* comments *)` are left out. The first rule is the start. `reserved` words are no names.
  Grammar(const std::string &text, std::set<std::string> reserved);

  /// A random sentence, its tokens with a blank between; `end` is written as `;`.
  std::string sentence(unsigned seed) const;
  /// Whether the tokens (without line ends that matter) are a sentence: Earley's algorithm. `end` is a `;`, or nothing
  /// before a
  /// `}` and at the end of the file.
  bool accepts(const std::vector<syntax::Token> &tokens) const;

  /// Names that no rule defines and that are no class of tokens.
  std::vector<std::string> undefined() const;
  /// Words in quotes.
  std::set<std::string> words() const;

private:
  /// A sequence of symbols for a rule: groups, options and repetitions are rules of their own. `"a"` is a literal;
  /// `name`, `integer`, `float`, `string` and `end` are classes of tokens.
  struct Production {
    int rule;
    std::vector<std::string> symbols;
  };
  struct Reader;
  int ruleFor(const std::string &name);
  bool isRule(const std::string &symbol) const { return numbers.count(symbol); }
  void findShortest();

  std::set<std::string> reserved;
  std::map<std::string, int> numbers;
  std::vector<std::vector<Production>> rules;
  std::vector<unsigned> shortest; // least height of a derivation
};

} // namespace fovea::test
