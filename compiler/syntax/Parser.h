// Tokens to the syntax tree.
#pragma once

#include "compiler/source/Diagnostics.h"
#include "compiler/syntax/Ast.h"

namespace fovea::syntax {

/// Deepest nesting of expressions, blocks and operator chains. Keeps every walk over the tree within the stack.
inline constexpr unsigned maxDepth = 200;

/// Always gives a tree. What is not understood is reported once and skipped to the next statement or declaration.
std::unique_ptr<File> parse(const source::SourceManager &sources, source::FileId file,
                            source::DiagnosticEngine &diagnostics);

} // namespace fovea::syntax
