/// Models from packed weights, and packed weights from models.
#ifndef FOVEA_RUNTIME_CORE_PACKEDMODEL_H
#define FOVEA_RUNTIME_CORE_PACKEDMODEL_H

#include "runtime/core/Model.h"
#include "runtime/core/PackedFile.h"

namespace fovea::rt {

/// Takes the weights from an explicit packed file. Where `weights` is not null, the packed ones must be made from that.
fovea_code loadPacked(fovea_model &model, const char *path, const char *weights, const char *prefix,
                      fovea_error *error);

/// Takes those that the program was built with; `found` says whether there are any.
fovea_code loadEmbedded(fovea_model &model, bool &found, fovea_error *error);

/// Takes those that a folder has for `weights`; false, with the model as it was, where there are none that fit.
bool loadKept(fovea_model &model, const char *folder, const char *weights, const char *prefix);

} // namespace fovea::rt
#endif
