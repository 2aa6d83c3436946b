#include "compiler/program/Header.h"

#include "fovea/abi.h"

#include "llvm/ADT/StringExtras.h"

using namespace llvm;

namespace fovea::program {

std::string describeTensor(const TensorSpec &spec) {
  static constexpr const char *dtypes[] = {"f32", "f16", "bf16", "i64", "i32", "i8", "bool", "f64"};
  std::string text = dtypes[spec.dtype];
  if (spec.dims.empty())
    return text;
  text += '[';
  for (size_t i = 0; i < spec.dims.size(); ++i)
    text += (i ? ", " : "") + spec.dims[i].str();
  return text + ']';
}

/// " *   embed(ids: i64[B, T], mask: bool[B, T]) -> f32[B, 384]" and what stands behind it.
static std::string describeEntry(const Entry &entry) {
  auto list = [](const std::vector<TensorSpec> &specs) {
    std::string text;
    for (const TensorSpec &spec : specs)
      text += (text.empty() ? "" : ", ") + spec.name + ": " + describeTensor(spec);
    return text;
  };
  std::string text = " *   " + entry.name + "(" + list(entry.inputs) + ") -> (" + list(entry.outputs) + ")\n";
  SmallVector<StringRef> lines;
  StringRef(entry.doc).split(lines, '\n', -1, /*KeepEmpty=*/false);
  for (StringRef line : lines) {
    std::string safe = line.trim().str();
    for (size_t at; (at = safe.find("*/")) != std::string::npos;) // a comment stands in a comment
      safe.replace(at, 2, "* /");
    text += " *       " + safe + "\n";
  }
  for (const Requirement &requirement : entry.requirements)
    text += " *       requires " + requirement.message + "\n";
  return text;
}

std::string writeHeader(const Interface &interface) {
  std::string prefix = interface.symbolPrefix(), guard = StringRef(prefix).upper() + "_FOVEA_H";
  std::string text = "/* " + interface.name + ", compiled by Fovea. Load it and run its entries with fovea/fovea.h.\n *\n";
  for (const Entry &entry : interface.entries)
    text += describeEntry(entry);
  text += " */\n#ifndef " + guard + "\n#define " + guard + "\n\n#include \"fovea/abi.h\"\n\n";
  text += "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n";
  text += "/* Entries, in order; for fovea_run. */\nenum {\n";
  for (size_t i = 0; i < interface.entries.size(); ++i) {
    std::string name = interface.entries[i].name;
    for (char &c : name)
      c = isAlnum(c) ? toUpper(c) : '_';
    text += "  " + StringRef(prefix).upper() + "_" + name + " = " + std::to_string(i) + ",\n";
  }
  text += "};\n\n/* The program; it lives as long as the library. Thread-safe. */\nconst fovea_program *" + prefix + "_program(void);\n\n";
  return text + "#ifdef __cplusplus\n}\n#endif\n#endif\n";
}

} // namespace fovea::program
