#include "compiler/tools/Graphviz.h"

#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Program.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;

namespace fovea::tools {

/// A drawing of some hundred nodes takes less than a second.
static constexpr unsigned secondsToDraw = 120;

Expected<std::string> drawSvg(const std::string &text) {
  ErrorOr<std::string> dot = sys::findProgramByName("dot");
  if (!dot)
    return createStringError(
        "there is no `dot`, which draws the graph of --format=html; Debian has it in the package graphviz");
  SmallString<128> files[2]; // what goes in, what comes out
  int descriptor;
  if (std::error_code error = sys::fs::createTemporaryFile("fovea", "dot", descriptor, files[0]))
    return createStringError("cannot write a temporary file: " + error.message());
  auto removeFirst = make_scope_exit([&] { sys::fs::remove(files[0]); });
  raw_fd_ostream(descriptor, /*shouldClose=*/true) << text;
  if (std::error_code error = sys::fs::createTemporaryFile("fovea", "svg", files[1]))
    return createStringError("cannot write a temporary file: " + error.message());
  auto removeSecond = make_scope_exit([&] { sys::fs::remove(files[1]); });
  std::string message;
  StringRef arguments[] = {*dot, "-Tsvg", "-o", files[1], files[0]};
  int code = sys::ExecuteAndWait(*dot, arguments, std::nullopt, {}, secondsToDraw, 0, &message);
  auto svg = MemoryBuffer::getFile(files[1], /*IsText=*/true);
  StringRef drawn = svg ? (*svg)->getBuffer() : StringRef();
  size_t begin = drawn.find("<svg"); // behind the XML declaration and the document type
  if (code != 0 || begin == StringRef::npos)
    return createStringError("`dot` failed to draw the graph" + (message.empty() ? "" : ": " + message));
  return drawn.substr(begin).str();
}

} // namespace fovea::tools
