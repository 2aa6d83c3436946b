// Places in a report. No MLIR here.
#pragma once

#include <string>

namespace mlir {
class LocationAttr;
}

namespace fovea::explain {

/// Where something stands in the model's text.
struct Place {
  std::string file;
  unsigned line = 0, column = 0; ///< 0: unknown
  std::string text;              ///< as in messages: with the library's place behind the user's
};

/// Of a location as the IR keeps it; empty where it is null or says nothing.
Place placeFrom(mlir::LocationAttr location);

} // namespace fovea::explain
