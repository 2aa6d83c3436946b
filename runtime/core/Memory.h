/// The runtime's memory: every allocation goes through one hook and may fail with a status.
#ifndef FOVEA_RUNTIME_CORE_MEMORY_H
#define FOVEA_RUNTIME_CORE_MEMORY_H

#include "runtime/core/Status.h"

#include <new>
#include <string.h>
#include <type_traits>
#include <utility>

namespace fovea::rt {

/// A handle on the hooks in use; without hooks, the C library's (large pieces are pages of their own, asked to be
/// huge).
struct Memory {
  const fovea_allocator *hooks = nullptr;

  /// Null on failure; `bytes` is more than 0.
  void *allocate(size_t bytes, size_t alignment = 16) const;
  /// The same, all zero. Costs no write where the pages are fresh.
  void *allocateZeroed(size_t bytes, size_t alignment = 16) const;
  void release(void *memory, size_t bytes) const;
};

/// A piece of memory that knows its size. Move-only.
class Buffer {
public:
  Buffer() = default;
  Buffer(Buffer &&other) noexcept { swap(other); }
  Buffer &operator=(Buffer &&other) noexcept {
    if (this != &other) {
      free();
      swap(other);
    }
    return *this;
  }
  ~Buffer() { free(); }

  /// Frees what was there first. Zero bytes give a null pointer and succeed.
  bool allocate(Memory memory, size_t bytes, size_t alignment = 64);
  bool allocateZeroed(Memory memory, size_t bytes, size_t alignment = 64);
  void free();

  unsigned char *data() const { return bytes; }
  size_t size() const { return count; }

private:
  bool allocateBy(void *(Memory::*allocation)(size_t, size_t) const, Memory from, size_t size, size_t alignment);
  void swap(Buffer &other) {
    std::swap(memory, other.memory);
    std::swap(bytes, other.bytes);
    std::swap(count, other.count);
  }

  Memory memory;
  unsigned char *bytes = nullptr;
  size_t count = 0;
};

/// A growing array of trivially copyable elements; growing reports failure instead of throwing.
template <typename T> class Array {
  static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

public:
  Array() = default;
  explicit Array(Memory memory) : memory(memory) {}
  Array(Array &&other) noexcept { swap(other); }
  Array &operator=(Array &&other) noexcept {
    swap(other);
    return *this;
  }

  void setMemory(Memory value) { memory = value; }
  [[nodiscard]] bool reserve(size_t wanted) {
    if (wanted <= buffer.size() / sizeof(T))
      return true;
    if (wanted > SIZE_MAX / 2 / sizeof(T))
      return false;
    Buffer larger;
    if (!larger.allocate(memory, wanted * sizeof(T), alignof(T) > 16 ? alignof(T) : 16))
      return false;
    if (used)
      memcpy(larger.data(), buffer.data(), used * sizeof(T));
    buffer = std::move(larger);
    return true;
  }
  [[nodiscard]] bool push(const T &value) {
    T copy = value; // may lie in the array itself
    if (used == buffer.size() / sizeof(T) && !reserve(used < 8 ? 8 : used * 2))
      return false;
    new (data() + used) T(copy);
    ++used;
    return true;
  }
  /// New elements are zero bytes.
  [[nodiscard]] bool resize(size_t wanted) {
    if (!reserve(wanted))
      return false;
    if (wanted > used)
      memset(static_cast<void *>(data() + used), 0, (wanted - used) * sizeof(T));
    used = wanted;
    return true;
  }
  void clear() { used = 0; }
  void pop() { --used; }

  T *data() const { return reinterpret_cast<T *>(buffer.data()); }
  size_t size() const { return used; }
  bool empty() const { return used == 0; }
  T &operator[](size_t i) const { return data()[i]; }
  T &back() const { return data()[used - 1]; }
  T *begin() const { return data(); }
  T *end() const { return data() + used; }

private:
  void swap(Array &other) {
    std::swap(memory, other.memory);
    std::swap(buffer, other.buffer);
    std::swap(used, other.used);
  }

  Memory memory;
  Buffer buffer;
  size_t used = 0;
};

/// Keeps copies of texts at addresses that don't move.
class TextPool {
public:
  TextPool() = default;
  explicit TextPool(Memory memory) : memory(memory) {}
  TextPool(TextPool &&other) noexcept { *this = std::move(other); }
  TextPool &operator=(TextPool &&other) noexcept {
    std::swap(memory, other.memory);
    std::swap(blocks, other.blocks);
    return *this;
  }
  ~TextPool();

  /// `size` bytes to be filled, followed by a zero; null on failure.
  char *reserve(size_t size);
  /// A zero-terminated copy; null on failure.
  const char *copy(Text text);

private:
  struct Block {
    Block *next;
    size_t size, used;
  };
  Memory memory;
  Block *blocks = nullptr;
};

/// A pointer to an object made by `make` that frees it.
template <typename T, typename... Arguments> T *make(Memory memory, Arguments &&...arguments) {
  void *place = memory.allocate(sizeof(T), alignof(T) > 16 ? alignof(T) : 16);
  return place ? new (place) T(std::forward<Arguments>(arguments)...) : nullptr;
}
template <typename T> void destroy(Memory memory, T *object) {
  if (!object)
    return;
  object->~T();
  memory.release(object, sizeof(T));
}

} // namespace fovea::rt
#endif
