#include "compiler/tools/Commands.h"

#include "runtime/core/PackedFile.h"
#include "runtime/core/TensorFile.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;

namespace fovea::tools {

static StringRef view(rt::Text text) { return StringRef(text.data(), text.size()); }

static void printTensor(StringRef name, const char *dtype, const int64_t *shape, int32_t rank,
                        const char *remark = "") {
  outs() << "  " << name << (name.empty() ? "" : ": ") << dtype << "[";
  for (int32_t i = 0; i < rank; ++i)
    outs() << (i ? ", " : "") << shape[i];
  outs() << "]" << remark << "\n";
}

static std::string counted(size_t count, StringRef what) {
  return std::to_string(count) + " " + what.str() + (count == 1 ? "" : "s");
}

/// Lists a packed file, and compares its data with their checksum, which programs don't when they start.
static fovea_code inspectPacked(const std::string &path, const rt::MappedFile &file, fovea_error *error) {
  rt::PackedFile packed;
  if (fovea_code code = packed.parse(file.data(), file.size(), error))
    return code;
  const rt::PackedHeader &header = packed.header();
  if (!packed.isIntact())
    return rt::fail(error, FOVEA_BAD_FILE, "damaged: its data don't have the checksum that its header states");
  outs() << path << ": packed weights, " << counted(header.itemCount, "tensor") << ", " << file.size() << " bytes\n";
  outs() << "for `" << view(packed.text(header.program)) << "`, target " << view(packed.text(header.target))
         << ", identity " << toHex(ArrayRef(header.identity), /*LowerCase=*/true) << "\n";
  if (header.prefix.length)
    outs() << "names with the prefix `" << view(packed.text(header.prefix)) << "`\n";
  for (size_t i = 0; i < header.sourceCount; ++i)
    outs() << "from " << view(packed.text(packed.source(i).name)) << ", " << packed.source(i).stamp.bytes << " bytes\n";
  for (size_t i = 0; i < header.itemCount; ++i) {
    const rt::PackedItem &item = packed.item(i);
    printTensor(view(packed.text(item.name)), fovea_dtype_name(item.dtype), item.shape, item.rank,
                item.role == rt::PackedRole::Derived ? ", derived" : "");
  }
  return FOVEA_OK;
}

static fovea_code inspectTensors(const std::string &path, fovea_error *error) {
  rt::TensorFile file;
  if (fovea_code code = file.open(path.c_str(), {}, error))
    return code;
  int64_t bytes = 0;
  for (const rt::FileTensor &tensor : file)
    bytes += tensor.bytes;
  outs() << path << ": " << file.kind() << ", " << counted(file.size(), "tensor") << ", " << bytes << " bytes\n";
  for (const rt::FileTensor &tensor : file)
    printTensor(view(tensor.name), rt::name(tensor.dtype), tensor.shape, tensor.rank);
  return FOVEA_OK;
}

static int inspect(const Arguments &arguments) {
  if (arguments.words.empty())
    return usageError("`fovea inspect` wants a tensor file (safetensors, its index, npy, npz or packed weights)");
  for (const std::string &path : arguments.words) {
    fovea_error error;
    rt::MappedFile file;
    fovea_code code = file.open(path.c_str(), &error);
    if (!code && rt::isPacked(file.data(), file.size())) {
      code = inspectPacked(path, file, &error);
      if (code)
        rt::addContext(&error, rt::Quoted(path, 200).text);
    } else if (!code) {
      code = inspectTensors(path, &error);
    }
    if (code) {
      errs() << "fovea: " << error.message << "\n";
      return exitModel;
    }
  }
  return exitOk;
}

const Command &inspectCommand() {
  static const Command command{
      {"inspect", "FILE...", "lists the tensors of safetensors, npy, npz and packed files", {}}, inspect};
  return command;
}

} // namespace fovea::tools
