#include "runtime/main/OutputFolder.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

namespace fovea::rt {

static fovea_code folderError(fovea_error *error, const char *action, const char *path) {
  return fail(error, FOVEA_FILE_ERROR, "can't %s %s: %s", action, Quoted(path, 240).text, strerrordesc_np(errno));
}

/// False, with errno, where the path is too long.
static bool join(char (&path)[PATH_MAX], const char *folder, const char *name, const char *suffix) {
  size_t length = strlen(folder);
  const char *slash = length && folder[length - 1] == '/' ? "" : "/";
  if (snprintf(path, sizeof(path), "%s%s%s%s", folder, slash, name, suffix) < PATH_MAX)
    return true;
  errno = ENAMETOOLONG;
  return false;
}

/// Calls `visit` with every name in the folder but `.` and `..`, until it returns false.
template <typename Visit> static bool forEachName(const char *folder, Visit visit) {
  DIR *directory = opendir(folder);
  if (!directory)
    return false;
  bool good = true;
  while (dirent *entry = good ? readdir(directory) : nullptr)
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
      good = visit(entry->d_name);
  int reason = errno;
  closedir(directory);
  errno = reason;
  return good;
}

OutputFolder::~OutputFolder() {
  if (isOpen()) {
    forEachName(staging, [&](const char *name) {
      char file[PATH_MAX];
      if (join(file, staging, name, ""))
        unlink(file);
      return true;
    });
    rmdir(staging);
  }
  if (made)
    rmdir(path);
}

fovea_code OutputFolder::open(const char *at, fovea_error *error) {
  if (snprintf(path, sizeof(path), "%s", at) >= PATH_MAX) {
    errno = ENAMETOOLONG;
    return folderError(error, "make the folder", at);
  }
  made = mkdir(path, 0777) == 0;
  if (!made && errno != EEXIST)
    return folderError(error, "make the folder", path);
  if (join(staging, path, ".fovea-XXXXXX", "") && mkdtemp(staging))
    return FOVEA_OK;
  *staging = 0;
  return folderError(error, "write to the folder", path);
}

fovea_code OutputFolder::check(const char *name, fovea_error *error) const {
  char file[PATH_MAX];
  struct stat status;
  if (!join(file, path, name, ".npy"))
    return folderError(error, "write", name);
  if (stat(file, &status) != 0)
    return FOVEA_OK;
  if (S_ISDIR(status.st_mode))
    errno = EISDIR;
  else if (access(file, W_OK) == 0)
    return FOVEA_OK;
  return folderError(error, "write", file);
}

fovea_code OutputFolder::write(const char *name, const OutputTensor &tensor, fovea_error *error) {
  char file[PATH_MAX];
  if (fovea_code code = check(name, error))
    return code;
  if (!join(file, staging, name, ".npy"))
    return folderError(error, "write", name);
  return writeNpy(file, tensor, error);
}

fovea_code OutputFolder::commit(fovea_error *error) {
  bool moved = forEachName(staging, [&](const char *name) {
    char from[PATH_MAX], to[PATH_MAX];
    return join(from, staging, name, "") && join(to, path, name, "") && rename(from, to) == 0;
  });
  if (!moved)
    return folderError(error, "write to the folder", path);
  made = false;
  rmdir(staging);
  *staging = 0;
  return FOVEA_OK;
}

} // namespace fovea::rt
