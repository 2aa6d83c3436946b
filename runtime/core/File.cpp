#include "runtime/core/File.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace fovea::rt {

/// strerror of this thread's errno, without its shared buffer.
struct SystemError {
  SystemError() {
    const char *message = strerrordesc_np(errno);
    snprintf(text, sizeof(text), "%s", message ? message : "unknown error");
  }
  char text[96];
};

static fovea_code fileError(fovea_error *error, const char *action, const char *path) {
  SystemError reason;
  return fail(error, FOVEA_FILE_ERROR, "can't %s %s: %s", action, Quoted(path, 240).text, reason.text);
}

static FileStamp stampOf(const struct stat &status) {
  auto nanoseconds = [](const timespec &time) { return int64_t(time.tv_sec) * 1'000'000'000 + time.tv_nsec; };
  return {static_cast<uint64_t>(status.st_size), status.st_ino, nanoseconds(status.st_mtim),
          nanoseconds(status.st_ctim)};
}

bool readStamp(const char *path, FileStamp &stamp) {
  struct stat status;
  if (stat(path, &status) != 0 || !S_ISREG(status.st_mode))
    return false;
  stamp = stampOf(status);
  return true;
}

MappedFile::~MappedFile() {
  if (bytes)
    munmap(const_cast<unsigned char *>(bytes), length);
}

fovea_code MappedFile::open(const char *path, fovea_error *error) {
  int descriptor = ::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0)
    return fileError(error, "read", path);
  struct stat status = {};
  fovea_code code = FOVEA_OK;
  if (fstat(descriptor, &status) != 0) {
    code = fileError(error, "read", path);
  } else if (!S_ISREG(status.st_mode)) {
    code = fail(error, FOVEA_FILE_ERROR, "can't read %s: it is %s", Quoted(path, 240).text,
                S_ISDIR(status.st_mode) ? "a directory" : "not a regular file");
  } else if (status.st_size > 0) {
    void *mapped = mmap(nullptr, static_cast<size_t>(status.st_size), PROT_READ, MAP_PRIVATE, descriptor, 0);
    if (mapped == MAP_FAILED) {
      code = fileError(error, "map", path);
    } else {
      bytes = static_cast<const unsigned char *>(mapped);
      length = static_cast<size_t>(status.st_size);
    }
  }
  opened = stampOf(status);
  ::close(descriptor);
  return code;
}

fovea_code flushToDisk(const char *path, fovea_error *error) {
  int descriptor = ::open(path, O_RDONLY | O_CLOEXEC);
  bool good = descriptor >= 0 && (fsync(descriptor) == 0 || errno == EINVAL); // of a device there is nothing to flush
  fovea_code code = good ? FOVEA_OK : fileError(error, "write", path);
  if (descriptor >= 0)
    ::close(descriptor);
  return code;
}

void expectWhole(const unsigned char *begin, size_t size) {
  constexpr uintptr_t page = 4096, hugePage = 2 << 20;
  uintptr_t first = (reinterpret_cast<uintptr_t>(begin) + page - 1) & ~(page - 1);
  uintptr_t last = (reinterpret_cast<uintptr_t>(begin) + size) & ~(page - 1);
  if (last >= first + hugePage)
    madvise(reinterpret_cast<void *>(first), last - first, MADV_HUGEPAGE); // a hint: it may fail
}

OutputFile::~OutputFile() {
  if (descriptor < 0)
    return;
  ::close(descriptor);
  if (temporary)
    unlink(name);
}

/// Makes a temporary file beside `target`; false with errno, EEXIST where another attempt may succeed.
bool OutputFile::openTemporary(const char *path, int attempt, bool reuses, unsigned mode) {
  const char *slash = strrchr(path, '/');
  int folder = slash ? static_cast<int>(slash + 1 - path) : 0;
  int length = reuses ? snprintf(name, sizeof(name), "%.*s.%s.tmp", folder, path, path + folder)
                      : snprintf(name, sizeof(name), "%.*s.fovea-%ld-%d.tmp", folder, path, static_cast<long>(getpid()),
                                 attempt);
  if (length >= static_cast<int>(sizeof(name))) {
    errno = ENAMETOOLONG;
    return false;
  }
  descriptor = ::open(name, O_WRONLY | O_CREAT | O_CLOEXEC | (reuses ? O_TRUNC | O_NOFOLLOW : O_EXCL), mode);
  temporary = descriptor >= 0;
  return temporary;
}

fovea_code OutputFile::open(const char *path, fovea_error *error, bool reuses) {
  struct stat status;
  bool exists = stat(path, &status) == 0;
  if (!exists && (errno != ENOENT || !*path))
    return fileError(error, "write", path);
  if (exists && !S_ISREG(status.st_mode)) {
    snprintf(target, sizeof(target), "%s", path);
    descriptor = ::open(path, O_WRONLY | O_CLOEXEC);
    return descriptor < 0 ? fileError(error, "write", path) : FOVEA_OK;
  }
  // A rename would get around a read-only file; one that another process has removed meanwhile is as good as none.
  if (exists && access(path, W_OK) != 0 && errno != ENOENT)
    return fileError(error, "write", path);
  if (!exists || !realpath(path, target)) {
    if (snprintf(target, sizeof(target), "%s", path) >= static_cast<int>(sizeof(target))) {
      errno = ENAMETOOLONG;
      return fileError(error, "write", path);
    }
  }
  for (int attempt = 0; attempt < 100; ++attempt) {
    if (openTemporary(target, attempt, reuses, exists ? status.st_mode & 0777 : 0666))
      return FOVEA_OK;
    if (reuses || errno != EEXIST)
      break;
  }
  return fileError(error, "write", path);
}

fovea_code OutputFile::writeNow(const char *data, size_t size, fovea_error *error) {
  while (size) {
    ssize_t written = ::write(descriptor, data, size);
    if (written < 0 && errno == EINTR)
      continue;
    if (written <= 0)
      return fileError(error, "write", target);
    data += written;
    size -= static_cast<size_t>(written);
  }
  return FOVEA_OK;
}

fovea_code OutputFile::flush(fovea_error *error) {
  size_t size = buffered;
  buffered = 0;
  return writeNow(buffer, size, error);
}

fovea_code OutputFile::write(const void *data, size_t size, fovea_error *error) {
  if (size > sizeof(buffer) - buffered)
    if (fovea_code code = flush(error))
      return code;
  if (size > sizeof(buffer))
    return writeNow(static_cast<const char *>(data), size, error);
  if (size)
    memcpy(buffer + buffered, data, size);
  buffered += size;
  return FOVEA_OK;
}

fovea_code OutputFile::print(fovea_error *error, const char *format, ...) {
  char text[2048];
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(text, sizeof(text), format, arguments);
  va_end(arguments);
  if (length < 0 || length >= static_cast<int>(sizeof(text)))
    length = static_cast<int>(sizeof(text)) - 1;
  return write(text, static_cast<size_t>(length), error);
}

fovea_code OutputFile::commit(fovea_error *error, bool durable) {
  if (fovea_code code = flush(error))
    return code;
  if (durable && temporary && fsync(descriptor) != 0)
    return fileError(error, "write", target);
  int closing = descriptor;
  descriptor = -1;
  if (::close(closing) != 0 || (temporary && rename(name, target) != 0)) {
    fovea_code code = fileError(error, "write", target);
    if (temporary)
      unlink(name);
    return code;
  }
  return FOVEA_OK;
}

} // namespace fovea::rt
