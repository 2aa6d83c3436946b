// What the files of the built-in functions share; private to this folder.
#pragma once

#include "compiler/sema/Elaborator.h"

namespace fovea::sema {

using Args = std::vector<ArgumentValue>;

inline bool given(const Args &args, size_t i) { return !args[i].value.is(Entity::Kind::Void); }

/// Reports an argument of the wrong kind.
Entity wrong(Elaborator &e, const Args &args, size_t i, const std::string &name, const std::string &function,
             const std::string &wanted);

/// grad.
void addGradientBuiltins(std::map<std::string, Builtin> &table);
/// range, zip, enumerate, len; starts_with, ends_with, contains.
void addListBuiltins(std::map<std::string, Builtin> &table);

} // namespace fovea::sema
