/// What npy and npz writing share.
#ifndef FOVEA_RUNTIME_CORE_NPY_H
#define FOVEA_RUNTIME_CORE_NPY_H

#include "runtime/core/TensorFile.h"

namespace fovea::rt {

/// Fills in the header of an npy file; its length, a multiple of 64.
size_t npyHeader(const OutputTensor &tensor, char (&text)[1024]);

/// Passes the tensor's elements, as npy has them, to `file` and to `update` of a checksum; either may be null.
fovea_code writeElements(OutputFile *file, const OutputTensor &tensor,
                         uint32_t (*update)(uint32_t, const void *, size_t), uint32_t *sum, fovea_error *error);

} // namespace fovea::rt
#endif
