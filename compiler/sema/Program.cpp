#include "compiler/sema/Program.h"

#include "compiler/library/Library.h"
#include "compiler/syntax/Parser.h"

#include <algorithm>

using namespace fovea;
using namespace fovea::sema;
using namespace fovea::source;

static constexpr const char *preludeName = "nn";

static std::string folderOf(const std::string &path) {
  size_t slash = path.rfind('/');
  return slash == std::string::npos ? std::string() : path.substr(0, slash + 1);
}

FileScope *Program::load(FileId file) {
  FileScope *prelude = libraryModule(preludeName);
  FileScope *root = parse(file, sources.name(file), false);
  for (auto &scope : scopes)
    if (scope.get() != prelude)
      scope->prelude = prelude;
  return root;
}

FileScope *Program::parse(FileId file, std::string name, bool isLibrary) {
  auto &scope = *scopes.emplace_back(std::make_unique<FileScope>());
  scope.name = name;
  scope.isLibrary = isLibrary;
  byPath[name] = &scope;
  scope.ast = syntax::parse(sources, file, diagnostics);
  declare(scope);
  loading.push_back(name);
  resolveImports(scope);
  loading.pop_back();
  return &scope;
}

void Program::declare(FileScope &scope) {
  std::map<std::string, Span> places;
  auto isNew = [&](const syntax::Name &name) {
    auto [it, fresh] = places.try_emplace(name.text, name.span);
    if (!fresh)
      diagnostics.report(diag::duplicateName, name.span, name.text).label(it->second, "first defined here");
    return fresh;
  };
  for (const auto &f : scope.ast->functions)
    if (isNew(f->name))
      scope.functions[f->name.text] = f.get();
  for (const auto &m : scope.ast->modules)
    if (isNew(m->name))
      scope.modules[m->name.text] = m.get();
}

void Program::resolveImports(FileScope &scope) {
  for (const syntax::ImportDecl &decl : scope.ast->imports)
    if (FileScope *imported = import(decl, scope))
      scope.imports.emplace_back(decl.name.text, imported);
}

FileScope *Program::libraryModule(const std::string &name) {
  std::string path = "<library>/" + name + ".fov";
  if (auto it = byPath.find(path); it != byPath.end())
    return it->second;
  std::optional<std::string_view> text = library::find(name);
  return text ? parse(sources.add(path, std::string(*text)), path, true) : nullptr;
}

FileScope *Program::import(const syntax::ImportDecl &decl, const FileScope &from) {
  const std::string &name = decl.name.text;
  std::vector<std::string> folders;
  if (!from.isLibrary) {
    folders.push_back(folderOf(from.name));
    for (const std::string &dir : importDirs)
      folders.push_back(dir.empty() || dir.back() == '/' ? dir : dir + "/");
  }
  std::vector<std::string> candidates;
  for (const std::string &folder : folders)
    candidates.push_back(folder + name + ".fov");
  candidates.push_back("<library>/" + name + ".fov");
  for (const std::string &path : candidates) {
    if (auto it = std::find(loading.begin(), loading.end(), path); it != loading.end()) {
      std::string cycle;
      for (; it != loading.end(); ++it)
        cycle += *it + " -> ";
      diagnostics.report(diag::importCycle, decl.span, name, cycle + path);
      return nullptr;
    }
    if (auto it = byPath.find(path); it != byPath.end())
      return it->second;
    if (path.rfind("<library>/", 0) == 0) {
      if (FileScope *scope = libraryModule(name))
        return scope;
    } else if (std::optional<FileId> file = sources.load(path)) {
      return parse(*file, path, false);
    }
  }
  std::vector<std::string> known;
  for (std::string_view module : library::names())
    known.emplace_back(module);
  std::string near = nearest(name, known), list;
  for (const std::string &module : known)
    list += (list.empty() ? "" : ", ") + module;
  diagnostics.report(diag::importNotFound, decl.span, name + ".fov")
      .note("it is looked for beside this file, in the import folders, and in the library (" + list + ")")
      .help(near.empty() ? "" : "did you mean `" + near + "`?");
  return nullptr;
}

static Entity declared(const FileScope &scope, const std::string &name) {
  if (auto it = scope.functions.find(name); it != scope.functions.end()) {
    Entity v(Entity::Kind::Function);
    v.function = it->second;
    v.scope = &scope;
    return v;
  }
  if (auto it = scope.modules.find(name); it != scope.modules.end()) {
    Entity v(Entity::Kind::Class);
    v.moduleDecl = it->second;
    v.scope = &scope;
    return v;
  }
  return {};
}

Entity sema::lookup(const FileScope &scope, const std::string &name) {
  if (Entity v = declared(scope, name); !v.isError())
    return v;
  for (const auto &[importName, imported] : scope.imports)
    if (Entity v = declared(*imported, name); !v.isError())
      return v;
  return scope.prelude ? declared(*scope.prelude, name) : Entity();
}

std::vector<std::string> sema::visibleNames(const FileScope &scope) {
  std::vector<std::string> names;
  std::vector<const FileScope *> seen{&scope};
  for (const auto &[name, imported] : scope.imports)
    seen.push_back(imported);
  if (scope.prelude)
    seen.push_back(scope.prelude);
  for (const FileScope *s : seen) {
    for (const auto &[name, decl] : s->functions)
      names.push_back(name);
    for (const auto &[name, decl] : s->modules)
      names.push_back(name);
  }
  return names;
}
