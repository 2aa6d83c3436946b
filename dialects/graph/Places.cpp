#include "dialects/graph/Places.h"

#include "mlir/IR/BuiltinAttributes.h"
#include "llvm/ADT/Twine.h"

using namespace mlir;

namespace fovea {

SmallVector<PlaceFrame> placeFrames(Location location) {
  if (auto file = dyn_cast<FileLineColLoc>(location))
    return {{file, {}}};
  if (auto name = dyn_cast<NameLoc>(location))
    return placeFrames(name.getChildLoc());
  if (auto fused = dyn_cast<FusedLoc>(location)) {
    for (Location part : fused.getLocations())
      if (SmallVector<PlaceFrame> frames = placeFrames(part); !frames.empty())
        return frames;
    return {};
  }
  auto call = dyn_cast<CallSiteLoc>(location);
  if (!call)
    return {};
  SmallVector<PlaceFrame> frames = placeFrames(call.getCallee());
  if (auto function = dyn_cast<NameLoc>(call.getCallee()); function && !frames.empty())
    frames.back().function = function.getName().getValue();
  llvm::append_range(frames, placeFrames(call.getCaller()));
  return frames;
}

const PlaceFrame *userFrame(ArrayRef<PlaceFrame> frames) {
  for (const PlaceFrame &frame : frames)
    if (!frame.place.getFilename().getValue().starts_with("<library>"))
      return &frame;
  return frames.empty() ? nullptr : &frames.front();
}

std::string placeText(FileLineColLoc place) {
  return (place.getFilename().getValue() + ":" + Twine(place.getLine()) + ":" + Twine(place.getColumn())).str();
}

std::string placeOf(Location location) {
  SmallVector<PlaceFrame> frames = placeFrames(location);
  const PlaceFrame *user = userFrame(frames);
  if (!user)
    return {};
  std::string text = placeText(user->place);
  if (user == &frames.front())
    return text;
  // What the user called: the outermost function of the library, at its innermost place.
  StringRef called = (user - 1)->function.split('$').first; // behind it the number of the instance
  return text + ", " + (called.empty() ? "" : called.str() + " at ") + placeText(frames.front().place);
}

StringRef pathOf(Location location) {
  if (auto name = dyn_cast<NameLoc>(location))
    return name.getName().getValue();
  if (auto fused = dyn_cast<FusedLoc>(location))
    for (Location part : fused.getLocations())
      if (StringRef path = pathOf(part); !path.empty())
        return path;
  return {};
}

InFlightDiagnostic modelError(Location location, StringRef name) {
  InFlightDiagnostic error = emitError(location);
  error.getUnderlyingDiagnostic()->getMetadata().push_back(DiagnosticArgument(name));
  return error;
}

StringRef modelErrorName(Diagnostic &diagnostic) {
  for (DiagnosticArgument &argument : diagnostic.getMetadata())
    if (argument.getKind() == DiagnosticArgument::DiagnosticArgumentKind::String)
      return argument.getAsString();
  return {};
}

/// Without the path.
static Location placeWithoutPath(Location location) {
  if (auto name = dyn_cast<NameLoc>(location))
    return name.getChildLoc();
  return location;
}

std::string pathOfUnnamed(Operation *op, llvm::StringMap<int> &counts) {
  StringRef kind = op->getName().stripDialect();
  if (!pathOf(op->getLoc()).empty())
    return "";
  int number = ++counts[kind];
  return number == 1 ? kind.str() : (kind + "#" + Twine(number)).str();
}

bool isUnnamed(Operation *op) {
  StringRef path = pathOf(op->getLoc());
  auto [call, name] = path.rsplit('.');
  return name.split('#').first == op->getName().stripDialect();
}

Location withPath(Location location, StringRef path) {
  Location place = placeWithoutPath(location);
  return path.empty() ? place : NameLoc::get(StringAttr::get(location.getContext(), path), place);
}

Location calledFrom(Location location, StringAttr function, Location caller) {
  Location callee = NameLoc::get(function, placeWithoutPath(location));
  Location place = CallSiteLoc::get(callee, placeWithoutPath(caller));
  if (auto path = dyn_cast<NameLoc>(location))
    return NameLoc::get(path.getName(), place);
  return place;
}

static constexpr StringLiteral gradientMark = "gradient";

bool isOfGradient(Location location) {
  if (auto name = dyn_cast<NameLoc>(location))
    return isOfGradient(name.getChildLoc());
  if (auto call = dyn_cast<CallSiteLoc>(location))
    return isOfGradient(call.getCallee());
  auto fused = dyn_cast<FusedLoc>(location);
  auto mark = fused ? dyn_cast_or_null<StringAttr>(fused.getMetadata()) : StringAttr();
  return mark && mark.getValue() == gradientMark;
}

Location ofGradient(Location location) {
  if (isOfGradient(location))
    return location;
  MLIRContext *context = location.getContext();
  Location marked = FusedLoc::get(context, placeWithoutPath(location), StringAttr::get(context, gradientMark));
  return withPath(marked, pathOf(location)); // the path stays outermost
}

} // namespace fovea
