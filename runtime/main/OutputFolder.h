/// A folder that several files are written to.
#ifndef FOVEA_RUNTIME_MAIN_OUTPUTFOLDER_H
#define FOVEA_RUNTIME_MAIN_OUTPUTFOLDER_H

#include "runtime/core/TensorFile.h"

namespace fovea::rt {

/// Files appear in the folder all together, when `commit` is called; until then they lie in a hidden folder in it.
/// Without a commit nothing stays, the folder included where it was made here.
class OutputFolder {
public:
  OutputFolder() = default;
  OutputFolder(const OutputFolder &) = delete;
  OutputFolder &operator=(const OutputFolder &) = delete;
  ~OutputFolder();

  /// Makes the folder where it is not there (but none above it), and sees whether files can be made in it.
  fovea_code open(const char *path, fovea_error *error);
  bool isOpen() const { return *staging; }
  /// Whether `<name>.npy` can be written in the end: it is no folder, and may be replaced where it is there.
  fovea_code check(const char *name, fovea_error *error) const;
  /// Writes `<name>.npy`; the last one wins.
  fovea_code write(const char *name, const OutputTensor &tensor, fovea_error *error);
  fovea_code commit(fovea_error *error);

private:
  char path[PATH_MAX];
  char staging[PATH_MAX] = "";
  bool made = false;
};

} // namespace fovea::rt
#endif
