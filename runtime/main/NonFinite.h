/// Where a number that is not finite first appears.
#ifndef FOVEA_RUNTIME_MAIN_NONFINITE_H
#define FOVEA_RUNTIME_MAIN_NONFINITE_H

#include "runtime/core/Context.h"

namespace fovea::rt {

/// The first element of a tensor of floats that is not finite; -1 where there is none.
int64_t firstNonFinite(const fovea_tensor &tensor);
/// "nan", "inf" or "-inf": the element of a tensor of floats.
const char *nonFiniteName(const fovea_tensor &tensor, int64_t element);
/// The first of the program's states of floats that is not finite; -1: none. States that are not there yet are finite, and
/// those that begin otherwise (a running maximum, with -inf) may be what they like.
int32_t firstNonFiniteState(fovea_context &context, int64_t &element);

/// Watches the values of runs of one entry. Numbers that are not finite are nothing unusual in themselves (masks are
/// made of -inf), so what a run had whose outcome was good is not looked at in later ones.
class NonFiniteWatch {
public:
  /// To be given to `watchValues`, with the watch.
  static void see(void *watch, const fovea_origin &origin, const fovea_path *path, const fovea_tensor &value);

  void begin() {
    place = 0;
    best = 0;
    *text = 0;
  }
  /// What the run had is usual.
  void accept();
  /// After a run: what appeared first, as "inf at [2, 3] of f32[4, 5], computed at m.fov:3:10 by exp (3:10) (scores)";
  /// empty where there was nothing. NaN and +inf go before -inf where nothing is known of earlier runs.
  const char *found() const { return text; }

private:
  void describe(const fovea_origin &origin, const fovea_path *path, const fovea_tensor &value, int64_t element);

  Array<unsigned char> usual, now; // by the value's number within the run: bits of NaN, inf, -inf
  size_t place = 0;
  bool knows = false;
  int best = 0; // 0: nothing, 1: -inf that may be a mask's, 2: what no run had
  char text[900] = "";
};

} // namespace fovea::rt
#endif
