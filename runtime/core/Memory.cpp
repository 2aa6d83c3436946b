#include "runtime/core/Memory.h"

#include <stdlib.h>
#include <sys/mman.h>

namespace fovea::rt {

static constexpr size_t pageSize = 4096;
static constexpr size_t hugePage = size_t(2) << 20;
/// From here on a piece is mapped: zero without a write, given back at once, on huge pages where the system has them.
static constexpr size_t mappedFrom = size_t(1) << 20;

static size_t roundUp(size_t value, size_t unit) { return (value + unit - 1) / unit * unit; }

static void *mapPages(size_t bytes) {
  if (bytes > SIZE_MAX / 4)
    return nullptr;
  size_t wanted = roundUp(bytes, pageSize);
  size_t alignment = wanted >= hugePage ? hugePage : pageSize;
  size_t extra = alignment - pageSize;
  void *mapped = mmap(nullptr, wanted + extra, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED)
    return nullptr;
  char *begin = static_cast<char *>(mapped);
  char *aligned = reinterpret_cast<char *>(roundUp(reinterpret_cast<size_t>(begin), alignment));
  if (aligned != begin)
    munmap(begin, static_cast<size_t>(aligned - begin));
  if (size_t tail = extra - static_cast<size_t>(aligned - begin))
    munmap(aligned + wanted, tail);
  if (alignment == hugePage)
    madvise(aligned, wanted, MADV_HUGEPAGE); // a hint: without it the memory is as good, only slower
  return aligned;
}

void *Memory::allocate(size_t bytes, size_t alignment) const {
  if (hooks)
    return hooks->allocate(hooks->user, bytes, alignment);
  if (bytes >= mappedFrom)
    return mapPages(bytes);
  if (alignment <= 16)
    return malloc(bytes);
  return aligned_alloc(alignment, roundUp(bytes, alignment));
}

void *Memory::allocateZeroed(size_t bytes, size_t alignment) const {
  void *memory = allocate(bytes, alignment);
  if (memory && (hooks || bytes < mappedFrom))
    memset(memory, 0, bytes);
  return memory;
}

void Memory::release(void *memory, size_t bytes) const {
  if (!memory)
    return;
  if (hooks)
    hooks->release(hooks->user, memory, bytes);
  else if (bytes >= mappedFrom)
    munmap(memory, roundUp(bytes, pageSize));
  else
    free(memory);
}

bool Buffer::allocate(Memory from, size_t size, size_t alignment) {
  return allocateBy(&Memory::allocate, from, size, alignment);
}

bool Buffer::allocateZeroed(Memory from, size_t size, size_t alignment) {
  return allocateBy(&Memory::allocateZeroed, from, size, alignment);
}

bool Buffer::allocateBy(void *(Memory::*allocation)(size_t, size_t) const, Memory from, size_t size, size_t alignment) {
  free();
  if (size == 0)
    return true;
  bytes = static_cast<unsigned char *>((from.*allocation)(size, alignment));
  if (!bytes)
    return false;
  memory = from;
  count = size;
  return true;
}

void Buffer::free() {
  memory.release(bytes, count);
  bytes = nullptr;
  count = 0;
}

TextPool::~TextPool() {
  while (blocks) {
    Block *next = blocks->next;
    memory.release(blocks, sizeof(Block) + blocks->size);
    blocks = next;
  }
}

char *TextPool::reserve(size_t size) {
  if (size > SIZE_MAX / 2)
    return nullptr;
  if (!blocks || blocks->size - blocks->used < size + 1) {
    size_t capacity = size + 1 > 4000 ? size + 1 : 4000;
    auto *block = static_cast<Block *>(memory.allocate(sizeof(Block) + capacity));
    if (!block)
      return nullptr;
    *block = {blocks, capacity, 0};
    blocks = block;
  }
  char *text = reinterpret_cast<char *>(blocks + 1) + blocks->used;
  blocks->used += size + 1;
  text[size] = 0;
  return text;
}

const char *TextPool::copy(Text text) {
  char *place = reserve(text.size());
  if (place && !text.empty())
    memcpy(place, text.data(), text.size());
  return place;
}

} // namespace fovea::rt
