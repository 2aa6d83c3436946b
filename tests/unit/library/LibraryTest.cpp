// The standard library: every module of it is free of errors, and nothing in it goes untested. The numbers are compared
// in tests/numeric.
#include "compiler/library/Library.h"
#include "compiler/sema/Sema.h"
#include "compiler/syntax/Parser.h"

#include <doctest/doctest.h>

#include <set>

using namespace fovea;

namespace {

bool checks(const std::string &path) {
  source::SourceManager sources;
  source::DiagnosticEngine diagnostics(sources);
  std::optional<source::FileId> file = sources.load(path);
  REQUIRE(file);
  bool good = sema::check(sources, *file, {}, diagnostics);
  INFO(diagnostics.render(false));
  CHECK(good);
  CHECK(diagnostics.diagnostics().empty()); // no warnings either
  return good;
}

void collectNames(const syntax::Expr &e, std::set<std::string> &names) {
  if (e.kind == syntax::Expr::Kind::Name || e.kind == syntax::Expr::Kind::Member)
    names.insert(e.text);
  for (const auto &child : e.children)
    if (child)
      collectNames(*child, names);
  for (const auto &argument : e.arguments)
    collectNames(*argument.value, names);
}

/// Names in the values of members and in the bodies of entries.
std::set<std::string> namesUsedBy(const syntax::ModuleDecl &model) {
  std::set<std::string> names;
  for (const auto &member : model.members) {
    if (member->value)
      collectNames(*member->value, names);
    if (member->function)
      for (const auto &statement : member->function->body)
        if (statement->value)
          collectNames(*statement->value, names);
  }
  return names;
}

} // namespace

TEST_CASE("unknown modules are not found") {
  CHECK_FALSE(library::find("nnn"));
  CHECK_FALSE(library::find(""));
  CHECK(library::find("nn"));
}

TEST_CASE("every module of the library is free of errors and warnings") {
  for (std::string_view name : library::names()) {
    CAPTURE(name);
    source::SourceManager sources;
    source::DiagnosticEngine diagnostics(sources);
    source::FileId file = sources.add(std::string(name) + ".fov", std::string(*library::find(name)));
    sema::check(sources, file, {}, diagnostics);
    INFO(diagnostics.render(false));
    CHECK(diagnostics.diagnostics().empty());
  }
}

TEST_CASE("every declaration of the library is used behind an entry of the test models") {
  source::SourceManager sources;
  source::DiagnosticEngine diagnostics(sources);
  std::set<std::string> used;
  for (const char *model : {FOVEA_LIBRARY_MODEL, FOVEA_CACHES_MODEL, FOVEA_LINEAR_MODEL, FOVEA_OPTIMISERS_MODEL}) {
    std::optional<source::FileId> file = sources.load(model);
    REQUIRE(file);
    std::unique_ptr<syntax::File> tree = syntax::parse(sources, *file, diagnostics);
    REQUIRE(tree->modules.size() == 1);
    used.merge(namesUsedBy(*tree->modules[0]));
  }
  // Parts that only work inside others which are tested; `segment_heads` in the example of documents.
  for (const char *part :
       {"FeedForward", "layer_norm", "rms_norm", "split_heads", "merge_heads", "windows", "pad_rows", "turn_halves",
        "segment_rows", "segment_heads", "everything", "global_norm", "bias_correction", "class_losses", "next_seed"})
    used.insert(part);
  for (std::string_view name : library::names()) {
    std::unique_ptr<syntax::File> module =
        syntax::parse(sources, sources.add(std::string(name), std::string(*library::find(name))), diagnostics);
    for (const auto &function : module->functions)
      CHECK_MESSAGE(used.count(function->name.text), function->name.text);
    for (const auto &decl : module->modules)
      CHECK_MESSAGE(used.count(decl->name.text), decl->name.text);
  }
  CHECK_FALSE(diagnostics.hasErrors());
}

TEST_CASE("the test model and the examples are free of errors and warnings") {
  std::string examples = FOVEA_EXAMPLES;
  checks(FOVEA_LIBRARY_MODEL);
  checks(FOVEA_CACHES_MODEL);
  checks(FOVEA_LINEAR_MODEL);
  checks(FOVEA_OPTIMISERS_MODEL);
  checks(examples + "/documents/documents.fov");
  checks(examples + "/minilm/minilm.fov");
  checks(examples + "/encoder_decoder/encoder_decoder.fov");
  checks(examples + "/first_steps/first_steps.fov");
  checks(examples + "/first_training/first_training.fov");
}
