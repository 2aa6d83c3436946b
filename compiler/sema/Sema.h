// The elaborator: files in, the typed model or diagnostics out. No MLIR here.
#pragma once

#include "compiler/sema/Model.h"
#include "compiler/source/Diagnostics.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace fovea::sema {

struct Options {
  /// The model to elaborate; empty where the file has exactly one.
  std::string modelName;
  /// `--set depth=12`: name and text (an int, a float, true or false).
  std::vector<std::pair<std::string, std::string>> sets;
  /// Searched for imports after the importing file's folder and before the embedded library.
  std::vector<std::string> importDirs;
};

/// Parses `file` and what it imports, elaborates one model with all its entries, and checks every function and module
/// that it doesn't reach. nullopt exactly when an error was reported.
std::optional<Model> elaborate(source::SourceManager &sources, source::FileId file, const Options &options,
                               source::DiagnosticEngine &diagnostics);

/// Checks every model of the file at its defaults, and everything else in it. True where no error was reported.
bool check(source::SourceManager &sources, source::FileId file, const Options &options,
           source::DiagnosticEngine &diagnostics);

struct ModelSummary {
  std::string name, doc;
  std::vector<std::string> parameters; // "depth: int = 6"
  std::vector<std::string> entries;
};

/// The models of a file (not of its imports), in order, from the syntax alone.
std::vector<ModelSummary> listModels(source::SourceManager &sources, source::FileId file,
                                     source::DiagnosticEngine &diagnostics);

} // namespace fovea::sema
