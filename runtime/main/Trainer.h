/// Training a model, from one step to the next.
#ifndef FOVEA_RUNTIME_MAIN_TRAINER_H
#define FOVEA_RUNTIME_MAIN_TRAINER_H

#include "runtime/main/Dataset.h"
#include "runtime/main/TrainProgress.h"
#include "runtime/main/Training.h"

namespace fovea::rt {

/// Position, states, settings and data decide the result: a run that is resumed ends in the same bytes. Functions that
/// return int print what is wrong and return an exit code.
///
/// After an epoch come, in this order, the evaluation, the params where they are to be kept, a line of the log, the
/// page, the checkpoint. So what a killed run did after its last checkpoint is done once more, with the same outcome.
class Trainer {
public:
  Trainer(const fovea_program &program, const Options &options, const fovea_model &model)
      : program(program), options(options), training(options.training), model(model),
        trainEntry(program.entries[options.entry]), evaluateNumber(findRole(program, FOVEA_ROLE_EVALUATE)) {}
  ~Trainer() { fovea_context_destroy(context); }

  int run();

private:
  int report(fovea_code code);
  int nameFiles();
  int checkFiles();
  int openData();
  int makeContext();
  int begin();
  int checkNewRun();
  int checkSaved();
  int openLog();

  bool ended() const;
  int trainEpochs();
  int step();
  int finishEpoch();
  int evaluate();
  int leave();
  int checkStates();
  int checkpoint();
  int saveParams();
  int writePage();
  void tell(const Array<double> &means, double rate);
  int runEntry(int32_t entry, const fovea_tensor *inputs, int32_t count, int64_t number);

  /// Inputs of the step after a position.
  const fovea_tensor *inputsAfter(const Position &position);
  int64_t rowsOfBatch(int64_t number) const;
  double result(size_t i) const { return static_cast<double>(results[i]); }

  // Where a number that is not finite comes from (TrainerFailure.cpp).
  int explainStep(int64_t failing, const char *what);
  int explainEvaluation(const fovea_tensor *inputs, int64_t first);
  int restart(Position &from);
  bool explainInput(const Dataset &from, const fovea_entry &entry, const fovea_tensor *inputs, const int64_t *rows,
                    int64_t first);
  bool replay(Position &from, int64_t failing);

  const fovea_program &program;
  const Options &options;
  const TrainOptions &training;
  const fovea_model &model;
  const fovea_entry &trainEntry;
  int32_t evaluateNumber;
  fovea_context *context = nullptr;
  fovea_error error = {};
  Dataset data, valid;
  Settings settings = {};
  Position at;
  int64_t batches = 0;  // of an epoch
  Array<int64_t> order; // of the rows in the epoch `orderOf`
  int64_t orderOf = -1;
  Array<float> results; // of the entry that ran last
  Array<fovea_tensor> outputs;
  Array<double> validMeans; // of the last evaluation
  TrainLog log;
  TrainProgress progress;
  char checkpointPath[PATH_MAX], logPath[PATH_MAX];
  bool hasCheckpoint = false; // one of this training is on the disk
  bool unflushed = false;     // what --save names may not be yet
  int64_t checkpointTime = 0, pageTime = 0, epochTime = 0;
};

} // namespace fovea::rt
#endif
