// Text to tokens.
#pragma once

#include "compiler/source/Diagnostics.h"

#include <string>
#include <string_view>
#include <vector>

namespace fovea::syntax {

enum class TokenKind { Name, Int, Float, String, Punctuation, Bad, End };

struct Token {
  TokenKind kind = TokenKind::End;
  source::Span span;
  std::string_view text; // as written
  std::string string;    // String: without quotes and escapes
  int64_t integer = 0;   // Int
  double number = 0;     // Float
  bool newlineBefore = false;
  bool broken = false; // String: its end is missing, which was reported
  std::string doc;     // the `///` lines right before it
  bool is(std::string_view punctuationOrName) const {
    return (kind == TokenKind::Punctuation || kind == TokenKind::Name) && text == punctuationOrName;
  }
};

/// Reads all of a file; what is no token is reported and stands there as Bad. The last token is End.
///
/// `//` is floor division or starts a comment: a comment where nothing stands before it on its line, or at least two
/// blanks (or a tab) do; a division otherwise.
std::vector<Token> lex(const source::SourceManager &sources, source::FileId file,
                       source::DiagnosticEngine &diagnostics);

} // namespace fovea::syntax
