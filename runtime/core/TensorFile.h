/// Tensor files: safetensors (one file, or shards by an index), npy and npz. Everything in them is checked when they
/// are opened: any bytes give tensors or FOVEA_BAD_FILE with what is wrong and where.
///
/// Usable from the compiler's tools as well:
///
///     rt::TensorFile file;
///     if (file.open("model.safetensors", {}, &error)) ... error.message
///     for (const rt::FileTensor &tensor : file) ...
#ifndef FOVEA_RUNTIME_CORE_TENSORFILE_H
#define FOVEA_RUNTIME_CORE_TENSORFILE_H

#include "runtime/core/File.h"

namespace fovea::rt {

/// Element types that files have; more than programs have.
enum class FileDtype : int32_t {
  F64,
  F32,
  F16,
  BF16,
  I64,
  I32,
  I16,
  I8,
  U64,
  U32,
  U16,
  U8,
  Bool,
  F8E4M3,
  F8E5M2,
  F8E8M0
};

/// "f32", "u16", ...
const char *name(FileDtype dtype);
int64_t elementSize(FileDtype dtype);
/// The same type as a program has it, -1 where there is none.
int32_t programDtype(FileDtype dtype);
FileDtype fileDtype(int32_t programDtype);
/// Whether a program's type is one of floats.
inline bool isFloat(int32_t programDtype) {
  return (programDtype >= FOVEA_F32 && programDtype <= FOVEA_BF16) || programDtype == FOVEA_F64;
}

/// One tensor, row-major. Name and data belong to the file.
struct FileTensor {
  Text name;
  FileDtype dtype = FileDtype::F32;
  int32_t rank = 0;
  int64_t shape[FOVEA_MAX_RANK] = {};
  const unsigned char *data = nullptr; // any alignment
  int64_t bytes = 0;

  int64_t elements() const { return bytes / elementSize(dtype); }
};

/// A pair of a file's `__metadata__`.
struct FileNote {
  Text key, value;
};

/// Elements of a shape; false where a size is negative or the product, in bytes of `size` each, overflows.
bool countElements(const int64_t *shape, int32_t rank, int64_t size, int64_t &elements);

/// A list of tensors, sorted by name, that keeps what they lie in: maps, converted copies. Move-only.
class TensorFile {
public:
  TensorFile() = default;
  TensorFile(TensorFile &&other) noexcept { *this = std::move(other); }
  TensorFile &operator=(TensorFile &&other) noexcept;
  ~TensorFile();

  /// Opens a file of any of the kinds; which one its first bytes say (`.npz`: "PK", npy: "\x93NUMPY", an index: a name
  /// that ends in ".json"; else safetensors).
  fovea_code open(const char *path, Memory memory, fovea_error *error);
  /// The same on bytes that the caller keeps, of one kind each.
  fovea_code parseSafetensors(const unsigned char *bytes, size_t size, Memory memory, fovea_error *error);
  fovea_code parseNpy(const unsigned char *bytes, size_t size, Memory memory, fovea_error *error);
  fovea_code parseNpz(const unsigned char *bytes, size_t size, Memory memory, fovea_error *error);

  size_t size() const { return tensors.size(); }
  const FileTensor &operator[](size_t i) const { return tensors[i]; }
  const FileTensor *begin() const { return tensors.begin(); }
  const FileTensor *end() const { return tensors.end(); }
  /// Null where there is none.
  const FileTensor *find(Text name) const;
  /// The value of a key of a safetensors file's `__metadata__`; null where there is none.
  const Text *note(Text key) const;
  /// "safetensors", "sharded safetensors", "npy", "npz".
  const char *kind() const { return kindName; }

  /// The files that an opened file consists of: itself, whose name is left empty, then the shards by their names.
  size_t sourceCount() const { return maps.size(); }
  Text sourceName(size_t i) const { return mapNames[i]; }
  const MappedFile &source(size_t i) const { return *maps[i]; }

  /// Up to `count` names that are nearest to `name` and near enough to be meant, nearest first; their number.
  size_t nearest(Text name, const FileTensor **found, size_t count) const;

private:
  friend struct ShardReader;
  fovea_code addNpy(const unsigned char *bytes, size_t size, Text name, fovea_error *error);

  void start(Memory memory, const char *kind);
  bool keepMap(MappedFile *map, Text name) { return mapNames.push(name) && maps.push(map); }
  /// Memory that lives as long as the file; null on failure.
  Buffer *newBuffer(size_t bytes);
  /// Sorts; a name that is there twice is an error.
  fovea_code finish(fovea_error *error);
  fovea_code openIndex(const char *path, Memory memory, fovea_error *error);

  Memory memory;
  const char *kindName = "";
  Array<FileTensor> tensors;
  Array<FileNote> notes;
  TextPool texts;
  Array<MappedFile *> maps;
  Array<Text> mapNames;
  Array<Buffer *> buffers;
};

/// Edit distance of two texts, cut off at `limit`.
size_t editDistance(Text a, Text b, size_t limit);

/// A tensor to be written.
struct OutputTensor {
  Text name; // not used by npy
  FileDtype dtype = FileDtype::F32;
  int32_t rank = 0;
  const int64_t *shape = nullptr;
  const void *data = nullptr;
};

/// Writes one tensor as npy (bf16, which the format has not, as f32) to an open file, which is not committed.
fovea_code writeNpy(OutputFile &file, const OutputTensor &tensor, fovea_error *error);
/// The same as an uncompressed npz of tensors with different names; all of them together must be below 4 GiB.
fovea_code writeNpz(OutputFile &file, const OutputTensor *tensors, size_t count, Memory memory, fovea_error *error);
/// The same as safetensors, with `__metadata__` where there are notes (of different keys).
fovea_code writeSafetensors(OutputFile &file, const OutputTensor *tensors, size_t count, Memory memory,
                            fovea_error *error, const FileNote *notes = nullptr, size_t noteCount = 0);
/// A whole .npy file at once.
fovea_code writeNpy(const char *path, const OutputTensor &tensor, fovea_error *error);

/// f16 and bf16 to f32, exactly. Neither side needs to be aligned.
void widenF16(const unsigned char *from, int64_t count, unsigned char *to);
void widenBF16(const unsigned char *from, int64_t count, unsigned char *to);
/// The bits of the nearest f16 or bf16, to even; NaN stays NaN.
uint16_t narrowF16(float value);
uint16_t narrowBF16(float value);
/// The one element at `from` as a double (integers above 2^53 are rounded).
double elementAsDouble(FileDtype dtype, const unsigned char *from);

} // namespace fovea::rt
#endif
