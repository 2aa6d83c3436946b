/// The command `train`. Linked where the program has an entry that trains.
#ifndef FOVEA_RUNTIME_MAIN_TRAINING_H
#define FOVEA_RUNTIME_MAIN_TRAINING_H

#include "runtime/main/Options.h"

/// Trains a loaded model as the options say; prints what is wrong and returns an exit code. After a signal it leaves a
/// checkpoint and returns ExitData.
extern "C" [[gnu::weak]] int fovea_train(const fovea_program *program, const fovea::rt::Options *options,
                                         const fovea_model *model);
#endif
