#include "Grammar.h"

#include <algorithm>
#include <cctype>

using namespace fovea::test;
using fovea::syntax::Token;
using fovea::syntax::TokenKind;

static const std::set<std::string> classes = {"name", "integer", "float", "string", "end"};

//===-- Reading ---------------------------------------------------------------------------------------------------===//

struct Grammar::Reader {
  Grammar &grammar;
  std::vector<std::string> tokens;
  size_t at = 0;
  int helpers = 0;

  Reader(Grammar &grammar, const std::string &text) : grammar(grammar) {
    for (size_t i = 0; i < text.size();) {
      size_t begin = i;
      if (text.compare(i, 2, "(*") == 0) {
        i = text.find("*)", i) + 2;
        continue;
      }
      if (std::isspace(static_cast<unsigned char>(text[i]))) {
        ++i;
        continue;
      }
      if (text[i] == '"')
        i = text.find('"', i + 1) + 1;
      else if (std::isalpha(static_cast<unsigned char>(text[i])))
        while (i < text.size() && std::isalnum(static_cast<unsigned char>(text[i])))
          ++i;
      else
        ++i;
      tokens.push_back(text.substr(begin, i - begin));
    }
  }

  void read() {
    while (at + 1 < tokens.size()) {
      int rule = grammar.ruleFor(tokens[at]);
      at += 2; // the name and `=`
      alternatives(rule);
      ++at; // `.`
    }
  }

  void alternatives(int rule) {
    do {
      Production production{rule, {}};
      while (std::string("|.)]}").find(tokens[at]) == std::string::npos)
        production.symbols.push_back(factor());
      grammar.rules[rule].push_back(std::move(production));
    } while (tokens[at] == "|" && ++at);
  }

  std::string factor() {
    std::string token = tokens[at++];
    if (token != "(" && token != "[" && token != "{")
      return token;
    std::string name = "#" + std::to_string(helpers++);
    int rule = grammar.ruleFor(name);
    alternatives(rule);
    ++at; // what closes it
    if (token == "{")
      for (Production &production : grammar.rules[rule])
        production.symbols.push_back(name);
    if (token != "(")
      grammar.rules[rule].push_back({rule, {}});
    return name;
  }
};

Grammar::Grammar(const std::string &text, std::set<std::string> reserved) : reserved(std::move(reserved)) {
  Reader(*this, text).read();
  findShortest();
}

int Grammar::ruleFor(const std::string &name) {
  auto [it, isNew] = numbers.try_emplace(name, static_cast<int>(rules.size()));
  if (isNew)
    rules.emplace_back();
  return it->second;
}

void Grammar::findShortest() {
  constexpr unsigned unknown = 1000;
  shortest.assign(rules.size(), unknown);
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t rule = 0; rule < rules.size(); ++rule)
      for (const Production &production : rules[rule]) {
        unsigned height = 0;
        for (const std::string &symbol : production.symbols)
          if (isRule(symbol))
            height = std::max(height, shortest[numbers.at(symbol)]);
        if (height + 1 < shortest[rule]) {
          shortest[rule] = height + 1;
          changed = true;
        }
      }
  }
}

std::vector<std::string> Grammar::undefined() const {
  std::vector<std::string> out;
  for (const auto &productions : rules)
    for (const Production &production : productions)
      for (const std::string &symbol : production.symbols)
        if (symbol[0] != '"' && !isRule(symbol) && !classes.count(symbol))
          out.push_back(symbol);
  return out;
}

std::set<std::string> Grammar::words() const {
  std::set<std::string> out;
  for (const auto &productions : rules)
    for (const Production &production : productions)
      for (const std::string &symbol : production.symbols)
        if (symbol[0] == '"')
          out.insert(symbol.substr(1, symbol.size() - 2));
  return out;
}

//===-- Writing ---------------------------------------------------------------------------------------------------===//

std::string Grammar::sentence(unsigned seed) const {
  std::mt19937 random(seed);
  unsigned names = 0; // distinct, so that nothing is defined twice
  std::string out;
  auto write = [&](const std::string &symbol, unsigned budget, auto &self) -> void {
    if (!isRule(symbol)) {
      out += symbol[0] == '"'      ? symbol.substr(1, symbol.size() - 2)
             : symbol == "name"    ? "n" + std::to_string(names++)
             : symbol == "integer" ? std::to_string(random() % 100)
             : symbol == "float"   ? "0.5"
             : symbol == "string"  ? "\"text\""
                                   : ";";
      out += " ";
      return;
    }
    auto fits = [&](const Production &production) {
      return std::all_of(production.symbols.begin(), production.symbols.end(),
                         [&](const std::string &part) { return !isRule(part) || shortest[numbers.at(part)] < budget; });
    };
    std::vector<const Production *> choices;
    for (const Production &production : rules[numbers.at(symbol)])
      if (fits(production))
        choices.push_back(&production);
    // Repetitions and options are left out in two of three cases: sentences stay short.
    bool isOptional = symbol[0] == '#' && choices.back()->symbols.empty();
    const Production &chosen = isOptional && random() % 3 ? *choices.back() : *choices[random() % choices.size()];
    for (const std::string &part : chosen.symbols)
      self(part, budget - 1, self);
  };
  // The start is a repetition: at this height some declarations come of it.
  write(std::find_if(numbers.begin(), numbers.end(), [](auto &entry) { return entry.second == 0; })->first, 38, write);
  return out;
}

//===-- Recognising -----------------------------------------------------------------------------------------------===//

static bool matches(const std::string &symbol, const Token &token, const std::set<std::string> &reserved) {
  if (symbol[0] == '"')
    return token.is(std::string_view(symbol).substr(1, symbol.size() - 2));
  if (symbol == "name")
    return token.kind == TokenKind::Name && !reserved.count(std::string(token.text));
  return symbol == "integer"  ? token.kind == TokenKind::Int
         : symbol == "float"  ? token.kind == TokenKind::Float
         : symbol == "string" ? token.kind == TokenKind::String
                              : token.is(";"); // end
}

bool Grammar::accepts(const std::vector<Token> &tokens) const {
  struct Item {
    const Production *production;
    size_t dot, origin;
    auto operator<=>(const Item &) const = default;
  };
  std::vector<std::vector<Item>> sets(tokens.size() + 1);
  std::vector<std::set<Item>> seen(tokens.size() + 1);
  auto add = [&](size_t at, Item item) {
    if (seen[at].insert(item).second)
      sets[at].push_back(item);
  };
  for (const Production &production : rules[0])
    add(0, {&production, 0, 0});
  size_t last = tokens.size() - 1; // the token End
  for (size_t at = 0; at <= last; ++at) {
    const Token &token = tokens[at];
    std::set<int> empty; // rules that were completed here from here
    for (size_t i = 0; i < sets[at].size(); ++i) {
      Item item = sets[at][i];
      if (item.dot == item.production->symbols.size()) {
        if (item.origin == at)
          empty.insert(item.production->rule);
        for (size_t k = 0; k < sets[item.origin].size(); ++k) {
          Item waiting = sets[item.origin][k];
          if (waiting.dot < waiting.production->symbols.size())
            if (auto rule = numbers.find(waiting.production->symbols[waiting.dot]);
                rule != numbers.end() && rule->second == item.production->rule)
              add(at, {waiting.production, waiting.dot + 1, waiting.origin});
        }
        continue;
      }
      const std::string &symbol = item.production->symbols[item.dot];
      Item next{item.production, item.dot + 1, item.origin};
      if (auto rule = numbers.find(symbol); rule != numbers.end()) {
        for (const Production &production : rules[rule->second])
          add(at, {&production, 0, at});
        if (empty.count(rule->second))
          add(at, next);
        continue;
      }
      if (symbol == "end" && (at == last || token.is("}")))
        add(at, next);
      if (at < last && matches(symbol, token, reserved))
        add(at + 1, next);
    }
  }
  return std::any_of(sets[last].begin(), sets[last].end(), [&](const Item &item) {
    return item.production->rule == 0 && item.origin == 0 && item.dot == item.production->symbols.size();
  });
}
