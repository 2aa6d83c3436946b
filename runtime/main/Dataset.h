/// Rows that a model is trained and evaluated on.
#ifndef FOVEA_RUNTIME_MAIN_DATASET_H
#define FOVEA_RUNTIME_MAIN_DATASET_H

#include "runtime/main/Convert.h"

namespace fovea::rt {

/// An array for each input of an entry that has axes, all of them with as many rows, mapped where the file has them
/// uncompressed and in the input's dtype. Functions that return int print what is wrong and return an exit code.
class Dataset {
public:
  Dataset() = default;
  Dataset(const Dataset &) = delete;
  Dataset &operator=(const Dataset &) = delete;
  ~Dataset();

  /// An npz or safetensors file, a folder of npy files, or, where the entry has one such input, an npy file.
  int open(const fovea_program &program, int32_t entry, const char *path);
  int64_t rows() const { return rowCount; }
  const char *name() const { return path; }
  /// A checksum of dtypes, shapes and values, however they are stored; of arrays above `most` bytes, of blocks all over
  /// them, some hundredths of a second.
  uint64_t fingerprint(int64_t most = 64 << 20) const;

  /// Checks the shapes of batches of `largest` rows, and of `last` rows where that is not 0; with `gathers`, makes room
  /// for the copies of a batch.
  int prepare(fovea_context *context, int64_t largest, int64_t last, bool gathers);
  /// The values of inputs without axes.
  void setCounters(int64_t epoch, int64_t step, int64_t seed);

  /// Inputs of the rows `rows[0]`, ..., as copies that the next batch overwrites.
  const fovea_tensor *gather(const int64_t *rows, int64_t count);
  /// Inputs of `count` rows from `first` on, in place.
  const fovea_tensor *slice(int64_t first, int64_t count);
  int32_t inputs() const { return static_cast<int32_t>(batch.size()); }

private:
  int openFile(const char *at, TensorFile *&file);
  int openFolder();
  int openArchive();
  int take(int32_t input, const FileTensor *tensor, const TensorFile &file);
  int checkRows();
  int checkShapes(fovea_context *context, int64_t count);
  int missing(const char *name, const TensorFile &file) const;
  int64_t rowBytes(size_t input) const;

  const fovea_program *program = nullptr;
  const fovea_entry *entry = nullptr;
  int32_t number = 0;
  const char *path = "";
  int64_t rowCount = 0;
  Array<fovea_tensor> whole; // by input; rank 0 where it has no axes
  Array<fovea_tensor> batch;
  Array<unsigned char *> copies; // of the rows of a batch, by input
  Array<int64_t> counters;       // values of inputs without axes, by input
  Array<TensorFile *> files;
  Converter converter;
};

} // namespace fovea::rt
#endif
