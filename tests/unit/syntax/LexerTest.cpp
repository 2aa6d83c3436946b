// Tokens, comments and what is no token.
#include "compiler/syntax/Lexer.h"

#include <doctest/doctest.h>

using namespace fovea;
using syntax::Token;
using syntax::TokenKind;

namespace {

struct Lexed {
  source::SourceManager sources;
  source::DiagnosticEngine engine{sources};
  std::vector<Token> tokens;
  explicit Lexed(std::string text) { tokens = syntax::lex(sources, sources.add("t.fov", std::move(text)), engine); }
  std::string texts() const {
    std::string out;
    for (const Token &t : tokens)
      out += (out.empty() ? "" : " ") + std::string(t.text);
    return out;
  }
};

} // namespace

TEST_CASE("tokens keep their text and place") {
  Lexed l("let x=a->b...c <= 12");
  CHECK(l.texts() == "let x = a -> b ... c <= 12 ");
  CHECK(l.tokens[1].span.begin == 4);
  CHECK(l.tokens[1].span.end == 5);
  CHECK(l.tokens.back().kind == TokenKind::End);
}

TEST_CASE("numbers") {
  Lexed l("1_000 0.5 .5 1e-12 2.5e3 9223372036854775807");
  CHECK(l.tokens[0].integer == 1000);
  CHECK(l.tokens[1].number == 0.5);
  CHECK(l.tokens[2].number == 0.5);
  CHECK(l.tokens[3].number == 1e-12);
  CHECK(l.tokens[4].number == 2500);
  CHECK(l.tokens[5].integer == INT64_MAX);
  CHECK_FALSE(l.engine.hasErrors());
  CHECK(Lexed("1e-400").tokens[0].number == 0);
  CHECK_FALSE(Lexed("1e-400").engine.hasErrors());
  for (const char *bad : {"9223372036854775808", "1e400", "1x"})
    CHECK(Lexed(bad).engine.diagnostics().at(0).info->name == std::string("bad-literal"));
}

TEST_CASE("two slashes divide after one blank and start a comment after two") {
  CHECK(Lexed("a // b").texts() == "a // b ");
  CHECK(Lexed("a//b").texts() == "a // b ");
  CHECK(Lexed("a  // b").texts() == "a ");
  CHECK(Lexed("a\t// b").texts() == "a ");
  CHECK(Lexed("// b\na").texts() == "a ");
  CHECK(Lexed("a\n // b").texts() == "a ");
  CHECK(Lexed("").texts() == "");
}

TEST_CASE("documentation belongs to the next token") {
  Lexed l("/// One.\n///  Two.\nfn f");
  CHECK(l.tokens[0].doc == "One.\n Two.");
  CHECK(l.tokens[1].doc.empty());
  CHECK(Lexed("x  /// not one\ny").tokens[1].doc.empty());
}

TEST_CASE("strings") {
  CHECK(Lexed(R"("a\n\t\\\"b")").tokens[0].string == "a\n\t\\\"b");
  Lexed open("\"abc\nx");
  CHECK(open.engine.diagnostics().at(0).info->name == std::string("unterminated-string"));
  CHECK(open.tokens[0].broken);
  CHECK(open.tokens[1].text == "x");
}

TEST_CASE("any byte is a token or reported once") {
  for (int c = 0; c < 256; ++c) {
    Lexed l("a " + std::string(1, static_cast<char>(c)) + " b");
    CHECK(l.tokens.back().kind == TokenKind::End);
    CHECK(l.engine.diagnostics().size() <= 1);
  }
  CHECK(Lexed("«").engine.diagnostics().size() == 1); // one code point, one report
}

TEST_CASE("the nearest name") {
  CHECK(source::nearest("qury", {"query", "key"}) == "query");
  CHECK(source::nearest("weigth", {"weight", "width"}) == "weight");
  CHECK(source::nearest("x", {"attention"}).empty());
  CHECK(source::nearest("softmax", {"softmax"}).empty());
}

TEST_CASE("places count lines and code points from 1") {
  source::SourceManager sources;
  source::FileId file = sources.add("t", "ab\n«x\r\n");
  CHECK(sources.position(file, 0).line == 1);
  CHECK(sources.position(file, 5).line == 2);
  CHECK(sources.position(file, 5).column == 2);
  CHECK(sources.line(file, 2) == "«x");
  CHECK(sources.line(file, 9).empty());
  CHECK(sources.position(0, 3).line == 1);
}
