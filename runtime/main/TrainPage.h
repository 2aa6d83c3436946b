/// The curves of training, as a page.
#ifndef FOVEA_RUNTIME_MAIN_TRAINPAGE_H
#define FOVEA_RUNTIME_MAIN_TRAINPAGE_H

#include "runtime/main/Page.h"

namespace fovea::rt {

/// Draws what is in a log. Of more than some thousand lines of steps every second, third, ... is drawn.
fovea_code writeTrainPage(const char *path, const fovea_program &program, const fovea_entry &entry, const char *log,
                          fovea_error *error);

} // namespace fovea::rt
#endif
