#include "compiler/object/Object.h"

#include "lld/Common/Driver.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/raw_ostream.h"

#include <mutex>

LLD_HAS_DRIVER(elf)

using namespace llvm;

namespace fovea::object {

namespace {

/// A file of ours that is removed unless it was renamed to its place.
class TemporaryFile {
public:
  static Expected<TemporaryFile> create(const Twine &model, unsigned mode) {
    int descriptor;
    SmallString<128> path;
    if (std::error_code error =
            sys::fs::createUniqueFile(model + ".%%%%%%.tmp", descriptor, path, sys::fs::OF_None, mode))
      return createStringError(error, "cannot write '%s': %s", model.str().c_str(), error.message().c_str());
    return TemporaryFile(descriptor, path.str().str());
  }
  TemporaryFile(TemporaryFile &&other) : descriptor(other.descriptor), name(std::move(other.name)) {
    other.descriptor = -1;
    other.name.clear();
  }
  ~TemporaryFile() {
    if (descriptor >= 0)
      sys::Process::SafelyCloseFileDescriptor(descriptor);
    if (!name.empty())
      sys::fs::remove(name);
  }
  const std::string &path() const { return name; }

  Error write(StringRef bytes) {
    raw_fd_ostream stream(descriptor, /*shouldClose=*/true);
    descriptor = -1;
    stream << bytes;
    stream.close();
    if (std::error_code error = stream.error()) {
      stream.clear_error();
      return createStringError(error, "cannot write '%s': %s", name.c_str(), error.message().c_str());
    }
    return Error::success();
  }
  Error rename(StringRef target) {
    if (std::error_code error = sys::fs::rename(name, target))
      return createStringError(error, "cannot write '%s': %s", target.str().c_str(), error.message().c_str());
    name.clear();
    return Error::success();
  }

private:
  TemporaryFile(int descriptor, std::string name) : descriptor(descriptor), name(std::move(name)) {}
  int descriptor;
  std::string name;
};

/// Whether there is something at the path that is written to and never replaced: a device, a pipe.
bool isSpecial(StringRef path) {
  sys::fs::file_status status;
  return !sys::fs::status(path, status) && status.type() != sys::fs::file_type::regular_file &&
         status.type() != sys::fs::file_type::directory_file;
}

Error writeSpecial(StringRef path, StringRef bytes) {
  std::error_code error;
  raw_fd_ostream stream(path, error, sys::fs::CD_OpenExisting, sys::fs::FA_Write, sys::fs::OF_None);
  if (!error) {
    stream << bytes;
    stream.close();
    error = stream.error();
    stream.clear_error();
  }
  return error ? createStringError(error, "cannot write '%s': %s", path.str().c_str(), error.message().c_str())
               : Error::success();
}

unsigned modeOf(bool executable) {
  // What the umask leaves of rwx or rw.
  return (executable ? 0777 : 0666) & ~sys::fs::getUmask();
}

std::string findStartFile(StringRef name) {
  for (const std::string &directory : startFileDirectories()) {
    SmallString<128> path(directory);
    sys::path::append(path, name);
    if (sys::fs::exists(path))
      return path.str().str();
  }
  return {};
}

constexpr const char *dynamicLoader = "/lib64/ld-linux-x86-64.so.2";

/// The words of an lld command line for an executable, but for objects and output.
Error addExecutableWords(const LinkJob &job, std::vector<std::string> &words) {
  for (const char *name : {"Scrt1.o", "crti.o", "crtn.o"})
    if (findStartFile(name).empty()) {
      std::string looked;
      for (const std::string &directory : startFileDirectories())
        looked += (looked.empty() ? "" : ", ") + directory;
      return createStringError("the C library's start file %s was not found (looked in %s); install the C library's "
                               "development files (Debian: libc6-dev), or name their directory in FOVEA_CRT_DIR",
                               name, looked.c_str());
    }
  words.insert(words.end(), {"-pie", "-dynamic-linker", dynamicLoader});
  for (const std::string &directory : startFileDirectories())
    words.push_back("-L" + directory);
  words.push_back(findStartFile("Scrt1.o"));
  words.push_back(findStartFile("crti.o"));
  return Error::success();
}

} // namespace

std::vector<std::string> startFileDirectories() {
  std::vector<std::string> directories;
  if (std::optional<std::string> own = sys::Process::GetEnv("FOVEA_CRT_DIR"))
    directories.push_back(*own);
  for (const char *directory :
       {"/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu", "/usr/lib64", "/lib64", "/usr/lib", "/lib"})
    if (sys::fs::is_directory(directory))
      directories.push_back(directory);
  return directories;
}

Error writeFile(StringRef path, StringRef bytes, bool executable) {
  if (path == "-") {
    outs() << bytes;
    outs().flush();
    return Error::success();
  }
  if (isSpecial(path))
    return writeSpecial(path, bytes);
  Expected<TemporaryFile> file = TemporaryFile::create(path, modeOf(executable));
  if (!file)
    return file.takeError();
  if (Error error = file->write(bytes))
    return error;
  return file->rename(path);
}

Error link(const LinkJob &job) {
  static std::mutex mutex; // lld keeps global state
  std::lock_guard<std::mutex> lock(mutex);

  SmallString<128> beside(job.output);
  if (isSpecial(job.output)) {
    sys::path::system_temp_directory(/*erasedOnReboot=*/true, beside);
    sys::path::append(beside, "fovea");
  }
  std::vector<TemporaryFile> objects;
  for (const auto &bytes : job.objects) {
    Expected<TemporaryFile> file = TemporaryFile::create(beside, modeOf(false));
    if (!file)
      return file.takeError();
    if (Error error = file->write(StringRef(bytes.data(), bytes.size())))
      return error;
    objects.push_back(std::move(*file));
  }
  Expected<TemporaryFile> output = TemporaryFile::create(beside, modeOf(true));
  if (!output)
    return output.takeError();

  std::vector<std::string> words = {
      "ld.lld", "-o",  output->path(), "--gc-sections", "--hash-style=gnu", "--build-id=none", "-z", "relro",
      "-z",     "now", "-z",           "noexecstack",   "--threads=1",      "--strip-debug"};
  if (job.holdsWeights)
    words.insert(words.end(), {"-z", "max-page-size=2097152"});
  if (job.shared) {
    words.insert(words.end(), {"-shared", "-u", job.exportedSymbol});
  } else if (Error error = addExecutableWords(job, words)) {
    return error;
  }
  for (const TemporaryFile &object : objects)
    words.push_back(object.path());
  for (const std::string &symbol : job.wanted)
    words.insert(words.end(), {"-u", symbol});
  words.insert(words.end(), job.archives.begin(), job.archives.end());
  if (!job.shared) {
    words.insert(words.end(), {"-lm", "-lc"});
    words.push_back(findStartFile("crtn.o"));
  }
  std::vector<const char *> arguments;
  for (const std::string &word : words)
    arguments.push_back(word.c_str());
  std::string text;
  raw_string_ostream messages(text);
  lld::Result result = lld::lldMain(arguments, messages, messages, {{lld::Gnu, &lld::elf::link}});
  if (result.retCode)
    return createStringError("linking '%s' failed:\n%s", job.output.c_str(), text.c_str());
  if (!job.holdsWeights && !isSpecial(job.output))
    return output->rename(job.output);
  // Read, not mapped: what is written from pages that are not there yet is written in small pieces.
  SmallVector<char, 0> linked;
  Expected<sys::fs::file_t> file = sys::fs::openNativeFileForRead(output->path());
  if (!file)
    return file.takeError();
  Error failure = sys::fs::readNativeFileToEOF(*file, linked, /*ChunkSize=*/1 << 24);
  sys::fs::closeFile(*file);
  if (failure)
    return failure;
  return writeFile(job.output, StringRef(linked.data(), linked.size()), /*executable=*/true);
}

} // namespace fovea::object
