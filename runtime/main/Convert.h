/// Tensors of files as a program takes them.
#ifndef FOVEA_RUNTIME_MAIN_CONVERT_H
#define FOVEA_RUNTIME_MAIN_CONVERT_H

#include "runtime/core/TensorFile.h"

namespace fovea::rt {

/// Converts tensors where every value stays what it is, and keeps the copies.
class Converter {
public:
  ~Converter();

  /// Messages begin with the program's name.
  void start(const char *name) { program = name; }
  /// Fills `to`, whose dtype is what input `name` takes, with the tensor as it is, or with a copy of another dtype.
  /// Prints what is wrong and returns an exit code otherwise. The file must outlive `to`.
  int convert(const char *name, const FileTensor &tensor, const char *path, fovea_tensor &to);
  /// Null, with a message, where there is no memory.
  unsigned char *newBuffer(int64_t bytes);

private:
  int refuse(const char *name, const FileTensor &tensor, const char *path, int32_t dtype, int64_t element) const;

  const char *program = "";
  Array<Buffer *> buffers;
};

} // namespace fovea::rt
#endif
