/// A program written by hand, as the compiler would: what the runtime is tested with.
#pragma once

#include "fovea/fovea.h"
#include "runtime/core/File.h"

#include <doctest/doctest.h>
#include <string>
#include <vector>

namespace fovea::test {

/// Entries:
///   add(a: f32[N], b: f32[N]) -> f32[N]           requires N <= 100000
///   affine(x: f32[B, 4]) -> f32[B, 4]             x * weight + 2 * bias (derived when loaded)
///   lookup(ids: i64[N]) -> i64[N]                 fails where an id is not in [0, 10)
///   tail(x: f32[2*N], start: i64) -> f32[2*N - start]   start is the symbol S
///   push(x: f32[B], at: i64) -> f32[B, limit]     writes a column of the state `keys`, f32[B, limit], at first -1
///   slow(x: f32[N]) -> f32[N]                     calls `onTask` in every task; uses the arena and scratch;
///                                                 one more task, at the end, finds what all others left in shared memory
const fovea_program *fakeProgram();

enum FakeEntry { Add, Affine, Lookup, Tail, Push, Slow };

/// Called by every task of `slow`, which has one task an element.
extern void (*onTask)(fovea_exec *exec, int64_t begin, int64_t end);

/// A path in a fresh folder for this process; removed at exit.
std::string temporaryPath(const std::string &name);
void writeFile(const std::string &path, const std::string &bytes);
std::string readFile(const std::string &path);
/// Names in the temporary folder, hidden ones too.
std::vector<std::string> temporaryFiles();

/// The bytes of a safetensors file.
std::string safetensors(const std::string &header, const std::string &data);
/// A file with `weight` = 1 2 3 4 and `bias` = 10 20 30 40, f32.
std::string goodWeights();
std::string floats(std::initializer_list<float> values);

/// Writes a file by `write(rt::OutputFile &)`.
template <typename Write> fovea_code save(const std::string &path, fovea_error *error, Write write) {
  rt::OutputFile file;
  fovea_code code = file.open(path.c_str(), error);
  if (!code)
    code = write(file);
  return code ? code : file.commit(error);
}

/// A model and a context on good weights, freed at the end.
struct Loaded {
  explicit Loaded(const fovea_context_options *options = nullptr, const fovea_load_options *load = nullptr);
  ~Loaded();
  fovea_model *model = nullptr;
  fovea_context *context = nullptr;
  fovea_error error = {};
};

template <typename T> fovea_tensor tensor(int32_t dtype, std::vector<int64_t> shape, std::vector<T> &data) {
  fovea_tensor result = {dtype, static_cast<int32_t>(shape.size()), {}, data.data()};
  for (size_t i = 0; i < shape.size(); ++i)
    result.shape[i] = shape[i];
  return result;
}

inline bool contains(const std::string &text, const std::string &part) { return text.find(part) != std::string::npos; }

} // namespace fovea::test

/// The message in full where a part is not in it.
#define CHECK_CONTAINS(text, part)                                                                                     \
  do {                                                                                                                 \
    INFO(std::string(text));                                                                                           \
    CHECK(fovea::test::contains(text, part));                                                                          \
  } while (false)
