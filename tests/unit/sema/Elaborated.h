// A text that was elaborated, and what the tests in this folder ask of it.
#pragma once

#include "compiler/sema/Sema.h"

#include <doctest/doctest.h>

namespace fovea {

struct Elaborated {
  source::SourceManager sources;
  source::DiagnosticEngine engine{sources};
  std::optional<sema::Model> model;
  explicit Elaborated(std::string text, sema::Options options = {}) {
    model = sema::elaborate(sources, sources.add("t.fov", std::move(text)), options, engine);
  }
  const sema::Function &entry(size_t n = 0) const {
    for (const sema::Function &f : model->functions)
      if (f.isEntry && n-- == 0)
        return f;
    return model->functions.back();
  }
  std::string error() const { return engine.diagnostics().empty() ? "" : engine.diagnostics()[0].info->name; }
  const sema::Function &function(const std::string &name) const {
    for (const sema::Function &f : model->functions)
      if (f.name == name)
        return f;
    FAIL("no function ", name);
    return model->functions.front();
  }
  /// The arguments of a function that are of this kind, by name.
  std::string arguments(const std::string &name, sema::ArgumentKind kind) const {
    std::string out;
    for (const sema::Argument &a : function(name).arguments)
      if (a.kind == kind)
        out += (out.empty() ? "" : " ") + a.name;
    return out;
  }
  std::string states() const {
    std::string out;
    for (const sema::StateInfo &s : model->states)
      out += (out.empty() ? "" : " ") + s.path;
    return out;
  }
  std::string written() const {
    std::string out;
    for (const sema::ParamInfo &p : model->params)
      if (p.isWritten)
        out += (out.empty() ? "" : " ") + p.path;
    return out;
  }
};

} // namespace fovea

#define GOOD(e)                                                                                                        \
  INFO(e.engine.render());                                                                                             \
  REQUIRE(e.model.has_value())
