// Compiles kernel-dialect text for a target in this process and runs it, one thread, task by task.
//
//   for (const Target *target : runnableTargets()) {
//     Kernels kernels(R"(kernel.func @add(…) { … })", *target);
//     Array<float> x({3, 5}), y({3, 5});
//     kernels.run("add", {x, y});
//   }
#ifndef FOVEA_TESTS_UNIT_KERNELS_HARNESS_H
#define FOVEA_TESTS_UNIT_KERNELS_HARNESS_H

#include "compiler/kernels/Target.h"
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace fovea::test {

using kernels::Target;

/// Targets for a precision whose code this machine can run.
std::vector<const Target *> runnableTargets(kernels::Precision precision = kernels::Precision::F32);

/// Memory whose last byte is followed by a page that may not be touched, and whose first one is preceded by a guard of
/// a fixed pattern.
class GuardedBytes {
public:
  explicit GuardedBytes(int64_t length);
  GuardedBytes(const GuardedBytes &other);
  GuardedBytes &operator=(const GuardedBytes &other);
  ~GuardedBytes();
  unsigned char *data() const { return begin; }
  int64_t size() const { return length; }
  /// Whether nothing was written before the first byte. What lies behind the last one ends the process when it is
  /// touched.
  bool guardHolds() const;

private:
  unsigned char *pages = nullptr, *begin = nullptr;
  int64_t length = 0, mapped = 0;
};

/// Elements of `T` as a strided view in guarded memory: reading or writing behind the end ends the process, writing
/// before the beginning is seen by `guardsHold`.
template <typename T> class Array {
public:
  explicit Array(std::vector<int64_t> sizes, T fill = T()) : Array(sizes, contiguous(sizes), fill) {}
  Array(std::vector<int64_t> sizes, std::vector<int64_t> strides, T fill)
      : sizes(std::move(sizes)), strides(std::move(strides)), bytes(extent(this->sizes, this->strides) * sizeof(T)) {
    for (int64_t i = 0; i < size(); ++i)
      data()[i] = fill;
  }

  template <typename... I> T &at(I... index) {
    int64_t offset = 0, axis = 0;
    ((offset += int64_t(index) * strides[axis++]), ...);
    return data()[offset];
  }
  T *data() { return reinterpret_cast<T *>(bytes.data()); }
  int64_t size() const { return bytes.size() / int64_t(sizeof(T)); }
  T &operator[](int64_t i) { return data()[i]; }
  bool guardsHold() const { return bytes.guardHolds(); }
  bool operator==(const Array &other) const {
    return bytes.size() == other.bytes.size() && std::memcmp(bytes.data(), other.bytes.data(), bytes.size()) == 0;
  }

  std::vector<int64_t> sizes, strides;

private:
  static std::vector<int64_t> contiguous(const std::vector<int64_t> &sizes) {
    std::vector<int64_t> strides(sizes.size(), 1);
    for (size_t i = sizes.size(); i-- > 1;)
      strides[i - 1] = strides[i] * sizes[i];
    return strides;
  }
  static int64_t extent(const std::vector<int64_t> &sizes, const std::vector<int64_t> &strides) {
    int64_t last = 0, count = 1;
    for (size_t i = 0; i < sizes.size(); ++i) {
      last += (sizes[i] - 1) * strides[i];
      count *= sizes[i];
    }
    return count == 0 ? 0 : last + 1;
  }
  GuardedBytes bytes;
};

/// One argument of a kernel: an array's descriptor, a size or a scalar.
struct Argument {
  std::vector<int64_t> slots;
  template <typename T> Argument(Array<T> &array) {
    auto address = reinterpret_cast<int64_t>(array.data());
    slots = {address, address, 0};
    slots.insert(slots.end(), array.sizes.begin(), array.sizes.end());
    slots.insert(slots.end(), array.strides.begin(), array.strides.end());
  }
  Argument(int64_t size) : slots{size} {}
  Argument(int size) : slots{size} {}
  Argument(float scalar) : slots{0} { std::memcpy(slots.data(), &scalar, sizeof scalar); }
};

/// What a kernel.check reported.
struct Failure {
  int32_t code;
  std::string place;
  int64_t index, value, low, high;
};

class Kernels {
public:
  /// Ends the process with the message where the text does not compile.
  Kernels(const std::string &text, const Target &target);
  ~Kernels();

  int64_t tasks(const std::string &name, const std::vector<Argument> &arguments);
  int64_t scratchBytes(const std::string &name, const std::vector<Argument> &arguments);
  int64_t sharedBytes(const std::string &name, const std::vector<Argument> &arguments);
  /// Runs all tasks, `chunk` a call, with poisoned memory; in reverse order where `backwards`, those that finish behind
  /// all others. Returns what failed.
  std::vector<Failure> run(const std::string &name, const std::vector<Argument> &arguments, int64_t chunk = 1,
                           bool backwards = false);
  /// What fovea_exec::foresees says to them; here that of this machine.
  bool foresees;
  /// Calls a plain func.func of the text.
  int64_t call(const std::string &name, const std::vector<int64_t> &slots);
  /// Seconds for one run of all tasks, the least of `repeats`.
  double seconds(const std::string &name, const std::vector<Argument> &arguments, int repeats);

private:
  struct Impl;
  std::unique_ptr<Impl> impl;
};

/// The sizes that every kernel is tried at: one, around vectors, primes.
inline const std::vector<int64_t> oddSizes = {1, 2, 5, 6, 7, 15, 16, 17, 31, 97};

/// Numbers in [low, high) from a fixed sequence.
class Random {
public:
  explicit Random(uint64_t seed) : state(seed * 0x9e3779b97f4a7c15u + 1) {}
  double uniform(double low, double high) { return low + (high - low) * double(next() >> 11) * 0x1p-53; }
  int64_t below(int64_t bound) { return int64_t(next() % uint64_t(bound)); }
  template <typename T> void fill(Array<T> &array, double low, double high) {
    for (int64_t i = 0; i < array.size(); ++i)
      array[i] = T(uniform(low, high));
  }

private:
  uint64_t next() {
    state ^= state << 13;
    state ^= state >> 7;
    return state ^= state << 17;
  }
  uint64_t state;
};

} // namespace fovea::test
#endif
