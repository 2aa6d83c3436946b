#include "FakeTrainer.h"

#include <math.h>
#include <string.h>

namespace fovea::test {

void (*onStep)(int32_t step) = nullptr;

namespace {

#define PLACE(line) "trainer.fov:" #line ":1"

const int64_t two[] = {FOVEA_DIM_PUSH, 2}, symbol0[] = {FOVEA_DIM_SYMBOL, 0}, thousand[] = {FOVEA_DIM_PUSH, 1000};
const fovea_dim dimB[] = {{symbol0, 2, "B"}}, dimB2[] = {{symbol0, 2, "B"}, {two, 2, "2"}}, dimTwo[] = {{two, 2, "2"}};

template <typename T> T load(const void *from, int64_t i = 0) {
  T value;
  memcpy(&value, static_cast<const char *>(from) + i * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}
void store(void *to, double value, int64_t i = 0) {
  auto narrow = static_cast<float>(value);
  memcpy(static_cast<char *>(to) + i * 4, &narrow, 4);
}

float predicted(const fovea_frame *frame, int64_t row) {
  auto *w = static_cast<const float *>(frame->states[0]);
  return load<float>(frame->inputs[0], 2 * row) * w[0] + load<float>(frame->inputs[0], 2 * row + 1) * w[1];
}

/// Offers the squared differences, which have no name, and logarithms that are -inf where all is well.
void offer(fovea_exec *exec, const fovea_frame *frame) {
  static const fovea_origin squares = {nullptr, "sub (3:4), pow (3:9)", PLACE(3)},
                            logs = {"logs", "log (4:2)", PLACE(4)};
  int64_t rows = frame->symbols[0], layout[] = {rows, 1};
  std::vector<float> values(static_cast<size_t>(rows), -INFINITY);
  if (!exec->dumping)
    return;
  exec->services->dump(exec, &logs, FOVEA_F32, 1, layout, values.data());
  for (int64_t i = 0; i < rows; ++i) {
    float difference = predicted(frame, i) - load<float>(frame->inputs[1], i);
    values[static_cast<size_t>(i)] = difference * difference;
  }
  exec->services->dump(exec, &squares, FOVEA_F32, 1, layout, values.data());
}

double loss(const fovea_frame *frame, double &worst, double (&gradient)[2]) {
  int64_t rows = frame->symbols[0];
  double sum = 0;
  for (int64_t i = 0; i < rows; ++i) {
    double difference = static_cast<double>(predicted(frame, i) - load<float>(frame->inputs[1], i));
    sum += difference * difference;
    worst = fabs(difference) > worst ? fabs(difference) : worst;
    for (int k = 0; k < 2; ++k)
      gradient[k] +=
          2 * difference * static_cast<double>(load<float>(frame->inputs[0], 2 * i + k)) / static_cast<double>(rows);
  }
  return sum / static_cast<double>(rows);
}

int32_t fitEntry(fovea_exec *exec, const fovea_frame *frame) {
  double worst = 0, gradient[2] = {};
  auto *w = static_cast<float *>(frame->states[0]);
  auto *steps = static_cast<int64_t *>(frame->states[2]);
  auto step = load<int32_t>(frame->inputs[3]);
  if (onStep)
    onStep(step);
  if (step != *steps || load<int64_t>(frame->inputs[4]) < 0) {
    exec->services->fail(exec, FOVEA_FAIL_ASSERT, PLACE(2), 0, 0, 0, 0);
    return 1;
  }
  offer(exec, frame);
  store(frame->outputs[0], loss(frame, worst, gradient));
  store(frame->outputs[1], worst);
  // The rate depends on the epoch, the running mean on all steps: a run that forgets either ends elsewhere.
  double rate = 0.1 / static_cast<double>(1 + load<int64_t>(frame->inputs[2]));
  for (int k = 0; k < 2; ++k)
    w[k] = static_cast<float>(static_cast<double>(w[k]) - rate * gradient[k]);
  auto *mean = static_cast<float *>(frame->states[1]);
  *mean = 0.9f * *mean + 0.1f * w[0];
  ++*steps;
  return 0;
}

int32_t checkEntry(fovea_exec *exec, const fovea_frame *frame) {
  double worst = 0, gradient[2] = {}, near = 0;
  int64_t rows = frame->symbols[0];
  for (int64_t i = 0; i < rows; ++i)
    near += fabsf(predicted(frame, i) - load<float>(frame->inputs[1], i)) < 0.5f;
  offer(exec, frame);
  store(frame->outputs[0], loss(frame, worst, gradient));
  store(frame->outputs[1], near / static_cast<double>(rows));
  return 0;
}

int32_t predictEntry(fovea_exec *, const fovea_frame *frame) {
  for (int64_t i = 0; i < frame->symbols[0]; ++i)
    store(frame->outputs[0], static_cast<double>(predicted(frame, i)), i);
  return 0;
}

int64_t noBytes(const int64_t *) { return 0; }

const fovea_entry_code code[] = {{fitEntry, noBytes, noBytes, noBytes, {nullptr, 0, "0"}},
                                 {checkEntry, noBytes, noBytes, noBytes, {nullptr, 0, "0"}},
                                 {predictEntry, noBytes, noBytes, noBytes, {nullptr, 0, "0"}}};
const char *const none[] = {nullptr};
const fovea_target plain = {"plain", none, code, nullptr, 0, 0, nullptr, nullptr, 0, 0, {}};
const fovea_target *const targets[] = {&plain};

const fovea_tensor_spec inputs[] = {{"x", PLACE(1), FOVEA_F32, 2, dimB2},
                                    {"y", PLACE(1), FOVEA_F32, 1, dimB},
                                    {"epoch", PLACE(1), FOVEA_I64, 0, nullptr},
                                    {"step", PLACE(1), FOVEA_I32, 0, nullptr},
                                    {"seed", PLACE(1), FOVEA_I64, 0, nullptr}};
const fovea_tensor_spec fitOutputs[] = {{"loss", PLACE(1), FOVEA_F32, 0, nullptr},
                                        {"worst", PLACE(1), FOVEA_F32, 0, nullptr}};
const fovea_tensor_spec checkOutputs[] = {{"loss", PLACE(5), FOVEA_F32, 0, nullptr},
                                          {"close", PLACE(5), FOVEA_F32, 0, nullptr}};
const fovea_tensor_spec predictOutputs[] = {{"result", PLACE(6), FOVEA_F32, 1, dimB}};
const fovea_binding bindB[] = {{0, 0, 0, 0, {nullptr, 0, nullptr}}};
const fovea_require requireB[] = {{{symbol0, 2, "B"}, {thousand, 2, "1000"}, FOVEA_LE, 0, "B <= 1000", PLACE(7)}};
const char *const names[] = {"B"};
const int32_t allStates[] = {0, 1, 2};
const fovea_entry entries[] = {{"fit", "Fits.", 5, 2, 1, 1, 1, 3, inputs, fitOutputs, names, bindB, requireB, allStates,
                                nullptr, FOVEA_ROLE_TRAIN, 0},
                               {"check", "", 2, 2, 1, 1, 0, 1, inputs, checkOutputs, names, bindB, nullptr, allStates,
                                nullptr, FOVEA_ROLE_EVALUATE, 0},
                               {"predict", "", 1, 1, 1, 1, 0, 1, inputs, predictOutputs, names, bindB, nullptr,
                                allStates, nullptr, FOVEA_ROLE_NONE, 0}};
const fovea_tensor_spec states[] = {{"w", PLACE(8), FOVEA_F32, 1, dimTwo},
                                    {"mean", PLACE(8), FOVEA_F32, 0, nullptr},
                                    {"steps", PLACE(8), FOVEA_I64, 0, nullptr}};
const fovea_initial initial[] = {{FOVEA_INITIAL_CONSTANT, 1, 0.5, 0}, {}, {}};
const fovea_program program = {FOVEA_ABI_VERSION, 3,       0,      3,       1,       0,       "fitter",
                               entries,           nullptr, states, targets, nullptr, initial, nullptr};

} // namespace

const fovea_program *fakeTrainer() { return &program; }

} // namespace fovea::test
