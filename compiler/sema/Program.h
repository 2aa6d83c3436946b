// The files of a program and what each can see; private to this folder.
#pragma once

#include "compiler/sema/Entity.h"
#include "compiler/source/Diagnostics.h"

namespace fovea::sema {

/// A parsed file and its names. Lookup goes: own declarations, imports in order, the library's `nn`.
struct FileScope {
  std::unique_ptr<syntax::File> ast;
  std::string name;
  bool isLibrary = false;
  std::map<std::string, const syntax::FunctionDecl *> functions;
  std::map<std::string, const syntax::ModuleDecl *> modules;
  std::vector<std::pair<std::string, FileScope *>> imports;
  const FileScope *prelude = nullptr;
};

class Program {
public:
  Program(source::SourceManager &sources, source::DiagnosticEngine &diagnostics, std::vector<std::string> importDirs)
      : sources(sources), diagnostics(diagnostics), importDirs(std::move(importDirs)) {}

  /// Parses a file, what it imports and the prelude.
  FileScope *load(source::FileId file);
  const std::vector<std::unique_ptr<FileScope>> &files() const { return scopes; }

private:
  FileScope *parse(source::FileId file, std::string name, bool isLibrary);
  void declare(FileScope &scope);
  void resolveImports(FileScope &scope);
  FileScope *import(const syntax::ImportDecl &decl, const FileScope &from);
  FileScope *libraryModule(const std::string &name);

  source::SourceManager &sources;
  source::DiagnosticEngine &diagnostics;
  std::vector<std::string> importDirs;
  std::vector<std::unique_ptr<FileScope>> scopes;
  std::map<std::string, FileScope *> byPath;
  std::vector<std::string> loading;
};

/// A declaration that `scope` sees under `name`, as a Function or Class value; Error where there is none.
Entity lookup(const FileScope &scope, const std::string &name);
std::vector<std::string> visibleNames(const FileScope &scope);

} // namespace fovea::sema
