// Where an op comes from in the model's text, as its location keeps it, and how that is shown.
//
// Import gives `NameLoc(path, FileLineColLoc)`. Inlining makes the part below the path a
// `CallSiteLoc(NameLoc(function, callee), caller)`, so that an op knows every call on the way to it.
#pragma once

#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/Location.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringMap.h"

#include <string>

namespace fovea {

/// One place on the way to an op. `function` is the function that the place stands in; empty in the function that holds
/// the op.
struct PlaceFrame {
  mlir::FileLineColLoc place;
  llvm::StringRef function;
};

/// Innermost first; empty where the location says nothing. Of fused locations the first that has a place.
llvm::SmallVector<PlaceFrame> placeFrames(mlir::Location location);

/// The innermost frame outside of the library, or, where all are in it, the innermost one. Null where there is none.
const PlaceFrame *userFrame(llvm::ArrayRef<PlaceFrame> frames);

/// "file:line:column"
std::string placeText(mlir::FileLineColLoc place);

/// The user's place first: "m.fov:12:5", or "m.fov:12:5, softmax at <library>/nn.fov:72:3". Empty where there is none.
std::string placeOf(mlir::Location location);

/// The source path of the op's value, e.g. "layers.0.attention.scores"; empty where it has none.
llvm::StringRef pathOf(mlir::Location location);

/// What an op without a path is called within a function that is called, unless it gives the function's result (that is
/// called after the call): "mul", the next one "mul#2". `counts` is one of the function, asked for its ops in order.
std::string pathOfUnnamed(mlir::Operation *op, llvm::StringMap<int> &counts);
/// Whether a path is such a name.
bool isUnnamed(mlir::Operation *op);

/// `location` with this path instead of its own; with an empty one without any.
mlir::Location withPath(mlir::Location location, llvm::StringRef path);

/// `location` (of an op of `function`) as seen from a call at `caller`: the path stays outermost.
mlir::Location calledFrom(mlir::Location location, mlir::StringAttr function, mlir::Location caller);

/// `location`, of an op that a gradient is computed by. What says so is a location, as an attribute would keep equal
/// ops of both ways from becoming one: use it for decisions of cost only.
mlir::Location ofGradient(mlir::Location location);
bool isOfGradient(mlir::Location location);

/// An error in the user's model that only a pass finds: the driver shows it as `error[name]` with the source line, and
/// takes every other error of a pass for one of the compiler. `name` is a literal.
mlir::InFlightDiagnostic modelError(mlir::Location location, llvm::StringRef name);

/// The name that `modelError` was given; empty for other diagnostics.
llvm::StringRef modelErrorName(mlir::Diagnostic &diagnostic);

} // namespace fovea
