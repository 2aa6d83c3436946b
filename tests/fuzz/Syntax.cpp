// The parser on any bytes: it ends, it gives a tree that can be printed, and what it reports lies inside the text.
#include "compiler/source/Diagnostics.h"
#include "compiler/syntax/Parser.h"

using namespace fovea;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  source::SourceManager sources;
  source::DiagnosticEngine diagnostics(sources);
  source::FileId file = sources.add("fuzz.fov", std::string(reinterpret_cast<const char *>(data), size));
  auto tree = syntax::parse(sources, file, diagnostics);
  if (!tree)
    __builtin_trap();
  syntax::print(*tree);
  return 0;
}
