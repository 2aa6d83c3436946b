#include "compiler/tools/Commands.h"

#include "runtime/core/TensorFile.h"

#include "llvm/Support/Format.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;

namespace fovea::tools {

static int inspect(const Arguments &arguments) {
  if (arguments.words.empty())
    return usageError("`fovea inspect` wants a tensor file (safetensors, its index, npy or npz)");
  for (const std::string &path : arguments.words) {
    rt::TensorFile file;
    fovea_error error;
    if (file.open(path.c_str(), {}, &error)) {
      errs() << "fovea: " << error.message << "\n";
      return exitModel;
    }
    int64_t bytes = 0;
    for (const rt::FileTensor &tensor : file)
      bytes += tensor.bytes;
    outs() << path << ": " << file.kind() << ", " << file.size() << (file.size() == 1 ? " tensor, " : " tensors, ")
           << bytes << " bytes\n";
    for (const rt::FileTensor &tensor : file) {
      outs() << "  " << StringRef(tensor.name.data(), tensor.name.size()) << (tensor.name.empty() ? "" : ": ")
             << rt::name(tensor.dtype) << "[";
      for (int32_t i = 0; i < tensor.rank; ++i)
        outs() << (i ? ", " : "") << tensor.shape[i];
      outs() << "]\n";
    }
  }
  return exitOk;
}

const Command &inspectCommand() {
  static const Command command{{"inspect", "FILE...", "lists the tensors of safetensors, npy and npz files", {}},
                               inspect};
  return command;
}

} // namespace fovea::tools
