#include "compiler/syntax/Lexer.h"

#include <cctype>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdlib>

using namespace fovea::syntax;
using namespace fovea::source;

namespace {

class Lexer {
public:
  Lexer(std::string_view text, FileId file, DiagnosticEngine &diagnostics)
      : text(text), file(file), diagnostics(diagnostics) {}

  std::vector<Token> run() {
    while (skipBlanks(), at < text.size())
      token();
    push(TokenKind::End, at);
    return std::move(tokens);
  }

private:
  static bool isDigit(char c) { return c >= '0' && c <= '9'; }
  static bool isNameStart(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
  static bool isName(char c) { return isNameStart(c) || isDigit(c); }
  char peek(size_t ahead = 0) const { return at + ahead < text.size() ? text[at + ahead] : '\0'; }
  Span span(size_t begin) const { return {file, static_cast<uint32_t>(begin), static_cast<uint32_t>(at)}; }

  Token &push(TokenKind kind, size_t begin) {
    Token t;
    t.kind = kind;
    t.span = span(begin);
    t.text = text.substr(begin, at - begin);
    t.newlineBefore = newline;
    t.doc = std::move(doc);
    doc.clear();
    newline = false;
    return tokens.emplace_back(std::move(t));
  }

  /// Blanks, line ends and comments.
  void skipBlanks() {
    size_t blanks = 0;
    for (; at < text.size(); ++at) {
      char c = text[at];
      if (c == '\n') {
        newline = true;
        blanks = 0;
      } else if (c == '\t') {
        blanks += 2;
      } else if (c == ' ' || c == '\r') {
        ++blanks;
      } else if (c == '/' && peek(1) == '/' && (newline || blanks >= 2 || peek(2) == '/')) {
        comment();
      } else {
        return;
      }
    }
  }

  /// Leaves `at` on the comment's last byte. A `///` comment that starts its line is kept for the next token.
  void comment() {
    bool isDoc = newline && peek(2) == '/' && peek(3) != '/';
    size_t begin = at + (isDoc ? 3 : 2);
    while (at < text.size() && text[at] != '\n')
      ++at;
    if (isDoc) {
      std::string_view line = text.substr(begin, at - begin);
      if (!line.empty() && line.front() == ' ')
        line.remove_prefix(1);
      while (!line.empty() && (line.back() == ' ' || line.back() == '\r'))
        line.remove_suffix(1);
      doc += (doc.empty() ? "" : "\n") + std::string(line);
    }
    --at;
  }

  void token() {
    char c = peek();
    if (isNameStart(c))
      return name();
    if (isDigit(c) || (c == '.' && isDigit(peek(1))))
      return number();
    if (c == '"')
      return string();
    static constexpr std::string_view operators[] = {"...", "->", "==", "!=", "<=", ">=", "//", "+", "-",
                                                     "*",   "/",  "@",  "^",  "%",  "=",  "<",  ">", "(",
                                                     ")",   "[",  "]",  "{",  "}",  ",",  ":",  ";", "."};
    for (std::string_view op : operators)
      if (text.substr(at, op.size()) == op) {
        size_t begin = at;
        at += op.size();
        push(TokenKind::Punctuation, begin);
        return;
      }
    badCharacter();
  }

  /// Reports it and leaves a token that nothing accepts, so that the parser says no more about this statement.
  void badCharacter() {
    size_t begin = at++;
    while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80)
      ++at;
    unsigned char c = text[begin];
    if (peek() == text[begin] && (c == '&' || c == '|'))
      ++at;
    std::string shown = fmt::format("`{}`", text.substr(begin, at - begin));
    if (c <= 0x20 || c == 0x7f || (c > 0x7f && !isCodePoint(text.substr(begin, at - begin))))
      shown = fmt::format("with code {:#04x}", c);
    diagnostics.report(diag::badCharacter, span(begin), shown).help(meantFor(text.substr(begin, at - begin)));
    push(TokenKind::Bad, begin);
  }

  /// A printable one of UTF-8, by the length that its first byte says.
  static bool isCodePoint(std::string_view bytes) {
    auto first = static_cast<unsigned char>(bytes[0]), second = static_cast<unsigned char>(bytes.substr(1)[0]);
    size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
    bool isControl = first < 0xC2 || first > 0xF4 || (first == 0xC2 && second < 0xA0);
    return bytes.size() == length && !isControl;
  }

  /// What other languages spell so.
  static std::string meantFor(std::string_view character) {
    static constexpr std::pair<std::string_view, const char *> table[] = {{"&", "write `and`"},
                                                                          {"&&", "write `and`"},
                                                                          {"|", "write `or`"},
                                                                          {"||", "write `or`"},
                                                                          {"!", "write `not`, or `!=`"},
                                                                          {"~", "write `not`"},
                                                                          {"×", "write `*`"},
                                                                          {"·", "write `*` or `@`"},
                                                                          {"÷", "write `/`"},
                                                                          {"≤", "write `<=`"},
                                                                          {"≥", "write `>=`"},
                                                                          {"≠", "write `!=`"},
                                                                          {"−", "write `-`"},
                                                                          {"#", "comments begin with `//`"},
                                                                          {"'", "strings stand in `\"`"}};
    for (auto [spelling, hint] : table)
      if (character == spelling)
        return hint;
    return {};
  }

  void name() {
    size_t begin = at;
    while (isName(peek()))
      ++at;
    push(TokenKind::Name, begin);
  }

  void number() {
    size_t begin = at;
    bool isFloat = false;
    while (isDigit(peek()) || (peek() == '_' && isDigit(peek(1))))
      ++at;
    if (peek() == '.' && isDigit(peek(1))) {
      isFloat = true;
      for (++at; isDigit(peek());)
        ++at;
    }
    if (peek() == 'e' || peek() == 'E') {
      size_t sign = peek(1) == '+' || peek(1) == '-';
      if (isDigit(peek(1 + sign))) {
        isFloat = true;
        for (at += 1 + sign; isDigit(peek());)
          ++at;
      }
    }
    if (isName(peek())) {
      while (isName(peek()))
        ++at;
      diagnostics.report(diag::badLiteral, span(begin), text.substr(begin, at - begin), "letters follow the digits");
      push(TokenKind::Int, begin);
      return;
    }
    isFloat ? floating(begin) : integer(begin);
  }

  std::string digits(size_t begin) const {
    std::string out;
    for (char c : text.substr(begin, at - begin))
      if (c != '_')
        out += c;
    return out;
  }

  void integer(size_t begin) {
    std::string s = digits(begin);
    int64_t value = 0;
    if (std::from_chars(s.data(), s.data() + s.size(), value).ec != std::errc()) {
      diagnostics.report(diag::badLiteral, span(begin), text.substr(begin, at - begin), "integers have 64 bits");
      value = 0;
    }
    push(TokenKind::Int, begin).integer = value;
  }

  void floating(size_t begin) {
    std::string s = digits(begin);
    double value = 0;
    auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), value);
    bool tiny = error == std::errc::result_out_of_range && std::strtod(s.c_str(), nullptr) < 1;
    if (error != std::errc() && !tiny) {
      diagnostics.report(diag::badLiteral, span(begin), text.substr(begin, at - begin),
                         "it is beyond the largest float; write `inf` for infinity");
      value = 0;
    }
    push(TokenKind::Float, begin).number = tiny ? 0 : value;
  }

  void string() {
    size_t begin = at++;
    std::string value;
    bool broken = false;
    while (true) {
      if (at >= text.size() || peek() == '\n') {
        diagnostics.report(diag::unterminatedString, span(begin));
        broken = true;
        break;
      }
      char c = text[at++];
      if (c == '"')
        break;
      value += c == '\\' ? escape() : c;
    }
    Token &token = push(TokenKind::String, begin);
    token.string = std::move(value);
    token.broken = broken;
  }

  char escape() {
    static constexpr std::string_view known = "nt\\\"", meaning = "\n\t\\\"";
    char c = peek();
    if (size_t i = known.find(c); c && i != std::string_view::npos) {
      ++at;
      return meaning[i];
    }
    diagnostics.report(diag::badEscape, span(at - 1), c > 0x20 && c < 0x7f ? std::string(1, c) : std::string("?"));
    return '\\';
  }

  std::string_view text;
  FileId file;
  DiagnosticEngine &diagnostics;
  size_t at = 0;
  bool newline = true;
  std::string doc;
  std::vector<Token> tokens;
};

} // namespace

std::vector<Token> fovea::syntax::lex(const SourceManager &sources, FileId file, DiagnosticEngine &diagnostics) {
  return Lexer(sources.text(file), file, diagnostics).run();
}
