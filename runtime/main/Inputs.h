/// Turns arguments of the command line into an entry's inputs.
#ifndef FOVEA_RUNTIME_MAIN_INPUTS_H
#define FOVEA_RUNTIME_MAIN_INPUTS_H

#include "runtime/main/Convert.h"
#include "runtime/main/Options.h"

#include <stdio.h>

namespace fovea::rt {

/// The tensors of one call and what they lie in.
class Inputs {
public:
  ~Inputs();

  /// Reads every input of the entry; prints what is wrong and returns an exit code otherwise.
  int read(const fovea_program &program, const Options &options);
  const fovea_tensor *data() const { return tensors.data(); }
  int32_t size() const { return static_cast<int32_t>(tensors.size()); }

private:
  int place(int32_t input, const char *text, bool named);
  int placeAll(const TensorFile &file, const char *path, bool &any);
  int take(int32_t input, const FileTensor &tensor, const char *path);
  bool parseScalar(int32_t input, const char *text, bool &outOfRange);
  int openFile(const char *path, TensorFile *&file);
  void printEntry(FILE *to) const;

  const fovea_program *program = nullptr;
  const fovea_entry *entry = nullptr;
  Array<fovea_tensor> tensors;
  Array<bool> given;
  Array<TensorFile *> files;
  Converter converter;
};

} // namespace fovea::rt
#endif
