#include "runtime/main/Trainer.h"

#include "runtime/core/Profile.h"
#include "runtime/main/Interrupts.h"
#include "runtime/main/NonFinite.h"
#include "runtime/main/Shuffle.h"
#include "runtime/main/TrainPage.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <unistd.h>

namespace fovea::rt {

/// Within an epoch a checkpoint is written after so long, so that no more is lost.
static constexpr int64_t checkpointInterval = 60'000'000'000;
/// Epochs may be shorter than writing a file takes.
static constexpr int64_t shortest = 1'000'000'000;

int Trainer::report(fovea_code code) {
  if (code) {
    progress.clear();
    fprintf(stderr, "%s: %s\n", program.name, error.message);
  }
  return exitCode(code);
}

int Trainer::nameFiles() {
  const char *base = training.checkpoint ? training.checkpoint : training.save;
  int length = snprintf(checkpointPath, PATH_MAX, "%s%s", base, training.checkpoint ? "" : ".checkpoint");
  const char *logBase = training.log ? training.log : training.page ? training.page : "";
  int logLength = snprintf(logPath, PATH_MAX, "%s%s", logBase, training.log || !training.page ? "" : ".jsonl");
  if (length < PATH_MAX && logLength < PATH_MAX)
    return ExitOk;
  fprintf(stderr, "%s: a file's name is too long\n", program.name);
  return ExitData;
}

/// What can't be written is noticed before anything runs.
int Trainer::checkFiles() {
  const struct {
    const char *option, *path;
    bool written;
  } files[] = {{"--save", training.save, true},       {"--checkpoint", checkpointPath, true},
               {"--page", training.page, true},       {"--log", *logPath ? logPath : nullptr, false},
               {"--data", training.data, false},      {"--valid", training.valid, false},
               {"--weights", options.weights, false}, {"--states", options.states, false}};
  for (size_t i = 0; i < 4; ++i)
    for (size_t k = i + 1; files[i].path && k < std::size(files); ++k)
      if (files[k].path && strcmp(files[i].path, files[k].path) == 0) {
        fprintf(stderr, "%s: %s and %s name the same file\n", program.name, files[i].option, files[k].option);
        return ExitUsage;
      }
  for (const auto &file : files) {
    OutputFile probe;
    if (file.written && file.path)
      if (fovea_code code = probe.open(file.path, &error, true))
        return report(code);
  }
  return ExitOk;
}

int Trainer::openData() {
  if (program.param_count && model.isPacked) {
    fprintf(stderr, "%s: training wants the weights as they are, to save them: give a file with --weights\n",
            program.name);
    return ExitUsage;
  }
  int code = data.open(program, options.entry, training.data);
  if (!code && training.valid)
    code = valid.open(program, evaluateNumber, training.valid);
  if (!code && training.batch > data.rows()) {
    fprintf(stderr, "%s: a batch of %d rows is wanted (--batch), and `%s` has %" PRId64 "\n", program.name,
            training.batch, training.data, data.rows());
    code = ExitData;
  }
  if (code)
    return code;
  batches = training.dropLast ? data.rows() / training.batch : (data.rows() + training.batch - 1) / training.batch;
  settings = {program.name,
              trainEntry.name,
              static_cast<int64_t>(options.seed),
              training.batch,
              training.dropLast,
              data.rows(),
              training.valid ? valid.rows() : 0,
              data.fingerprint(),
              training.valid ? valid.fingerprint() : 0};
  auto count = static_cast<size_t>(trainEntry.output_count), most = count;
  if (training.valid) {
    auto other = static_cast<size_t>(program.entries[evaluateNumber].output_count);
    most = other > most ? other : most;
    if (!validMeans.resize(other))
      return report(outOfMemory(&error, "metrics", 0));
  }
  if (!order.resize(static_cast<size_t>(data.rows())) || !at.sums.resize(count) || !results.resize(most) ||
      !outputs.resize(most))
    return report(outOfMemory(&error, "the order of rows", data.rows() * 8));
  for (size_t i = 0; i < most; ++i)
    outputs[i] = {FOVEA_F32, 0, {}, &results[i]};
  return ExitOk;
}

int Trainer::makeContext() {
  fovea_context_options make = {};
  make.threads = options.threads;
  make.seed = options.seed;
  make.sizes = options.sizes.data();
  make.size_count = static_cast<int32_t>(options.sizes.size());
  if (fovea_code code = fovea_context_create(&model, &make, &context, &error))
    return report(code);
  int64_t batch = training.batch;
  int code = data.prepare(context, batch, training.dropLast ? 0 : data.rows() % batch, true);
  if (!code && training.valid && valid.rows() <= batch)
    return valid.prepare(context, valid.rows(), 0, false);
  return code || !training.valid ? code : valid.prepare(context, batch, valid.rows() % batch, false);
}

/// A checkpoint that is there is lost only where what it is of has ended.
int Trainer::checkNewRun() {
  Position other;
  fovea_code code = readPosition(checkpointPath, other, &error);
  if (code == FOVEA_BAD_FILE)
    fprintf(stderr, "%s: the checkpoint's file is there, and would be overwritten: %s\n", program.name, error.message);
  else if (code)
    return report(code);
  else if (!other.finished)
    fprintf(stderr,
            "%s: `%s` is the checkpoint of a training that has not ended (epoch %" PRId64 ", step %" PRId64
            "): go on with --resume, or remove it\n",
            program.name, checkpointPath, other.epoch + 1, other.step);
  return code || !other.finished ? static_cast<int>(ExitData) : static_cast<int>(ExitOk);
}

/// The best params so far are in the file of --save alone.
int Trainer::checkSaved() {
  if ((!at.bestEpoch && !at.finished) || access(training.save, F_OK) == 0)
    return ExitOk;
  fprintf(stderr,
          "%s: `%s` is not there, and has what was best before the checkpoint (epoch %" PRId64
          "): put it back, or train from the beginning\n",
          program.name, training.save, at.bestEpoch ? at.bestEpoch : at.epoch);
  return ExitData;
}

/// Where training begins.
int Trainer::begin() {
  bool isThere = access(checkpointPath, F_OK) == 0;
  if (isThere && !training.resume)
    if (int code = checkNewRun())
      return code;
  if (isThere && training.resume) {
    char otherTarget[64];
    fovea_code code = readCheckpoint(*context, checkpointPath, at, settings, otherTarget, &error);
    if (!code && *otherTarget)
      fprintf(stderr, "%s: note: the checkpoint was written by the target `%s`; `%s` may round otherwise\n",
              program.name, otherTarget, fovea_model_target(&model));
    hasCheckpoint = !code;
    return code ? report(code) : checkSaved();
  }
  if (training.resume)
    fprintf(stderr, "%s: there is no checkpoint `%s` yet: training begins\n", program.name, checkpointPath);
  return options.states ? report(fovea_context_load(context, options.states, &error)) : static_cast<int>(ExitOk);
}

int Trainer::openLog() { return *logPath ? report(log.open(logPath, at, &error)) : static_cast<int>(ExitOk); }

int Trainer::run() {
  int code = nameFiles();
  if (!code)
    code = checkFiles();
  if (!code)
    code = openData();
  if (!code)
    code = makeContext();
  if (!code)
    code = begin();
  if (!code)
    code = openLog();
  if (!code && !training.resume)
    unlink(checkpointPath); // of a training that has ended: the next --resume is for this one
  return code ? code : trainEpochs();
}

bool Trainer::ended() const {
  bool impatient = training.patience && at.bestEpoch && at.epoch - at.bestEpoch >= training.patience;
  return at.epoch >= training.epochs || impatient;
}

int64_t Trainer::rowsOfBatch(int64_t number) const {
  int64_t left = data.rows() - number * training.batch;
  return left < training.batch ? left : training.batch;
}

const fovea_tensor *Trainer::inputsAfter(const Position &position) {
  if (orderOf != position.epoch) {
    shuffle(order, settings.seed, position.epoch);
    orderOf = position.epoch;
  }
  data.setCounters(position.epoch, position.step, settings.seed);
  return data.gather(&order[static_cast<size_t>(position.batch * training.batch)], rowsOfBatch(position.batch));
}

int Trainer::runEntry(int32_t entry, const fovea_tensor *inputs, int32_t count, int64_t number) {
  fovea_code code =
      fovea_run(context, entry, inputs, count, outputs.data(), program.entries[entry].output_count, &error);
  if (code) {
    progress.clear();
    fprintf(stderr, "%s: epoch %" PRId64 ", batch %" PRId64 " of `%s`: %s\n", program.name, at.epoch + 1, number + 1,
            program.entries[entry].name, error.message);
  }
  return exitCode(code);
}

int Trainer::trainEpochs() {
  if (ended()) {
    printf("training has ended already: epoch %" PRId64 ", step %" PRId64 "; `%s` has its result\n", at.epoch, at.step,
           training.save);
    return ExitOk;
  }
  progress.start(program.name, training.epochs, at.step, training.epochs * batches);
  checkpointTime = epochTime = nanoseconds();
  int code = ExitOk;
  while (!ended() && !code) {
    while (at.batch < batches && !code && !Interrupts::signalled())
      code = step();
    if (!code)
      code = Interrupts::signalled() ? leave() : finishEpoch();
  }
  return code;
}

int Trainer::step() {
  const fovea_tensor *inputs = inputsAfter(at);
  int64_t rows = rowsOfBatch(at.batch);
  if (int code = runEntry(options.entry, inputs, data.inputs(), at.batch))
    return code;
  if (!isfinite(result(0)))
    return explainStep(at.step, "the loss");
  for (size_t i = 0; i < at.sums.size(); ++i)
    at.sums[i] += result(i) * static_cast<double>(rows);
  at.seen += rows;
  ++at.batch;
  ++at.step;
  progress.update(at, batches, result(0), rows);
  if (log.isOpen() && at.step % training.logSteps == 0)
    if (fovea_code code = log.step(at, result(0), progress.rate(), &error))
      return report(code);
  bool due = (training.checkpointSteps && at.step % training.checkpointSteps == 0) ||
             nanoseconds() - checkpointTime > checkpointInterval;
  return due && at.batch < batches ? checkpoint() : static_cast<int>(ExitOk); // after an epoch there is one anyway
}

int Trainer::evaluate() {
  auto count = static_cast<size_t>(program.entries[evaluateNumber].output_count);
  for (size_t i = 0; i < count; ++i)
    validMeans[i] = 0;
  valid.setCounters(at.epoch, at.step, settings.seed);
  for (int64_t first = 0, number = 0; first < valid.rows(); first += training.batch, ++number) {
    int64_t left = valid.rows() - first, rows = left < training.batch ? left : training.batch;
    if (Interrupts::signalled())
      return leave();
    const fovea_tensor *inputs = valid.slice(first, rows);
    if (int code = runEntry(evaluateNumber, inputs, valid.inputs(), number))
      return code;
    if (!isfinite(result(0)))
      return explainEvaluation(inputs, first);
    for (size_t i = 0; i < count; ++i)
      validMeans[i] += result(i) * static_cast<double>(rows);
  }
  for (size_t i = 0; i < count; ++i)
    validMeans[i] /= static_cast<double>(valid.rows());
  return ExitOk;
}

int Trainer::finishEpoch() {
  double stepSeconds = static_cast<double>(nanoseconds() - epochTime) * 1e-9;
  if (training.valid)
    if (int code = evaluate())
      return code;
  Array<double> means;
  if (!means.resize(at.sums.size()))
    return report(outOfMemory(&error, "metrics", 0));
  int64_t rows = at.seen, now = nanoseconds();
  for (size_t i = 0; i < means.size(); ++i) {
    means[i] = at.sums[i] / static_cast<double>(rows);
    at.sums[i] = 0;
  }
  ++at.epoch;
  at.batch = at.seen = 0;
  bool improved = training.valid && (!at.bestEpoch || validMeans[0] < at.best);
  if (improved) {
    at.best = validMeans[0];
    at.bestEpoch = at.epoch;
  }
  at.finished = ended();
  int code = improved || (!training.valid && at.finished) ? saveParams() : static_cast<int>(ExitOk);
  if (!code && log.isOpen()) {
    Metrics evaluated = training.valid ? Metrics{&program.entries[evaluateNumber], validMeans.data()} : Metrics{};
    code = report(
        log.epoch(at, {&trainEntry, means.data()}, evaluated, static_cast<double>(now - epochTime) * 1e-9, &error));
  }
  if (!code)
    tell(means, stepSeconds > 0 ? static_cast<double>(rows) / stepSeconds : 0);
  epochTime = now;
  if (!code && (at.finished || nanoseconds() - pageTime > shortest))
    code = writePage();
  bool due = at.finished || training.checkpointSteps || nanoseconds() - checkpointTime > shortest;
  return code || !due ? code : checkpoint();
}

/// "loss 0.25, accuracy 0.9".
static void printMetrics(const char *label, const fovea_entry &entry, const Array<double> &values) {
  printf("%s", label);
  for (int32_t i = 0; i < entry.output_count; ++i)
    printf("%s%s %.6g", i ? ", " : "", entry.outputs[i].name, values[static_cast<size_t>(i)]);
}

void Trainer::tell(const Array<double> &means, double rate) {
  if (at.epoch % training.reportEpochs && !at.finished)
    return;
  progress.clear();
  printf("epoch %" PRId64 "/%d: ", at.epoch, training.epochs);
  printMetrics("", trainEntry, means);
  if (training.valid)
    printMetrics("; valid ", program.entries[evaluateNumber], validMeans);
  printf("; %.4g samples/s%s\n", rate, training.valid && at.bestEpoch == at.epoch ? "; best so far" : "");
  if (at.finished && at.epoch < training.epochs)
    printf("no lower loss for %d epochs: training ends\n", training.patience);
  if (at.finished && training.valid)
    printf("`%s` is of epoch %" PRId64 ", with the lowest loss, %.6g\n", training.save, at.bestEpoch, at.best);
  else if (at.finished)
    printf("`%s` is of epoch %" PRId64 "\n", training.save, at.epoch);
  fflush(stdout);
}

/// Nothing that is written holds numbers that are not finite: what is on the disk stays good.
int Trainer::checkStates() {
  int64_t element;
  int32_t state = firstNonFiniteState(*context, element);
  if (state < 0)
    return ExitOk;
  char what[300];
  Line line(what, sizeof(what));
  line.add("the state `%s`", program.states[state].name);
  return explainStep(at.step - 1, what);
}

int Trainer::saveParams() {
  if (int code = checkStates())
    return code;
  OutputFile file;
  fovea_code code = file.open(training.save, &error, true);
  if (!code)
    code = writeStates(*context, StateSet::Params, file, nullptr, 0, &error);
  if (!code)
    code = file.commit(&error); // on the disk before a checkpoint that counts on it
  unflushed |= !code;
  return report(code);
}

int Trainer::writePage() {
  pageTime = nanoseconds();
  if (!training.page)
    return ExitOk;
  return report(writeTrainPage(training.page, program, trainEntry, logPath, &error));
}

int Trainer::checkpoint() {
  if (int code = checkStates())
    return code;
  log.flush();
  fovea_code code = unflushed ? flushToDisk(training.save, &error) : FOVEA_OK;
  unflushed &= code != FOVEA_OK;
  if (!code)
    code = writeCheckpoint(*context, checkpointPath, at, settings, &error);
  hasCheckpoint |= !code;
  checkpointTime = nanoseconds();
  return report(code);
}

int Trainer::leave() {
  progress.clear();
  int code = checkpoint();
  if (!code && training.page)
    code = writePage();
  if (code)
    return code;
  fprintf(stderr,
          "%s: stopped after step %" PRId64 " (epoch %" PRId64
          " of %d); `%s` has all of it: go on with the same command "
          "and --resume\n",
          program.name, at.step, at.epoch + 1, training.epochs, checkpointPath);
  return ExitData;
}

} // namespace fovea::rt

extern "C" int fovea_train(const fovea_program *program, const fovea::rt::Options *options, const fovea_model *model) {
  return fovea::rt::Trainer(*program, *options, *model).run();
}
