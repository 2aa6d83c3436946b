// The frontend on any bytes: it ends within its limits, and gives a model exactly where it reports no error.
#include "compiler/sema/Sema.h"

using namespace fovea;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  source::SourceManager sources;
  source::DiagnosticEngine diagnostics(sources);
  source::FileId file = sources.add("fuzz.fov", std::string(reinterpret_cast<const char *>(data), size));
  std::optional<sema::Model> model = sema::elaborate(sources, file, {}, diagnostics);
  if (model.has_value() == diagnostics.hasErrors())
    __builtin_trap();
  if (model)
    sema::print(*model);
  diagnostics.render();
  return 0;
}
