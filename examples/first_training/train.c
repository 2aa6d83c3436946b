/* Trains a compiled model in C11.
 *
 *     train EPOCHS EVERY [WEIGHTS | SEED]
 *
 * runs the entry `train_step` EPOCHS times on two examples, prints the loss of every EVERYth epoch and of the last one,
 * and then what the entry `predict` makes of five ones. It starts from a safetensors file, or from what the params'
 * initialisers make of a seed (0 where neither is given). The model comes as a library from `fovea build
 * first_training.fov --model StepAttention --emit=lib -o libfirst_training.so`. */
#include "fovea/fovea.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#ifndef PROGRAM
#define PROGRAM stepattention_program
#endif
const fovea_program *PROGRAM(void);

static float inputs[2][5] = {{1, 2, 3, 4, 5}, {5, 4, 3, 2, 1}};
static float targets[2][1] = {{3}, {5}};

static fovea_code train(fovea_context *context, int64_t epochs, int64_t every, fovea_error *error) {
  const int32_t entry = fovea_find_entry(PROGRAM(), "train_step");
  const fovea_tensor examples[2] = {{FOVEA_F32, 2, {2, 5}, inputs}, {FOVEA_F32, 2, {2, 1}, targets}};
  float loss = 0;
  const fovea_tensor output = {FOVEA_F32, 0, {0}, &loss};
  for (int64_t epoch = 1; epoch <= epochs; ++epoch) {
    fovea_code code = fovea_run(context, entry, examples, 2, &output, 1, error);
    if (code != FOVEA_OK)
      return code;
    if (epoch % every == 0 || epoch == epochs)
      printf("epoch %" PRId64 ": loss %.9g\n", epoch, (double)loss);
  }
  return FOVEA_OK;
}

static fovea_code predict(fovea_context *context, fovea_error *error) {
  float ones[5] = {1, 1, 1, 1, 1}, answer = 0;
  const fovea_tensor input = {FOVEA_F32, 2, {1, 5}, ones}, output = {FOVEA_F32, 2, {1, 1}, &answer};
  fovea_code code = fovea_run(context, fovea_find_entry(PROGRAM(), "predict"), &input, 1, &output, 1, error);
  if (code == FOVEA_OK)
    printf("prediction for [1, 1, 1, 1, 1]: %.9g\n", (double)answer);
  return code;
}

/* A whole number; of anything else the program says so, and ends. */
static int64_t wholeNumber(const char *text) {
  char *end = NULL;
  errno = 0;
  const int64_t number = strtoll(text, &end, 10);
  if (!*text || *end || errno) {
    fprintf(stderr, "train: `%s` is not a whole number\n", text);
    exit(2);
  }
  return number;
}

int main(int argc, char **argv) {
  if (argc < 3 || argc > 4 || wholeNumber(argv[2]) < 1) {
    fprintf(stderr, "usage: train EPOCHS EVERY [WEIGHTS | SEED]\n");
    return 2;
  }
  char *end = NULL;
  const uint64_t seed = argc > 3 ? strtoull(argv[3], &end, 10) : 0;
  const char *weights = argc > 3 && *end ? argv[3] : NULL; /* not a number */
  fovea_error error = {0};
  fovea_model *model = NULL;
  fovea_context *context = NULL;
  const fovea_context_options options = {.threads = 1, .seed = seed};
  fovea_code code = fovea_model_load(PROGRAM(), weights, NULL, &model, &error);
  if (code == FOVEA_OK)
    code = fovea_context_create(model, &options, &context, &error);
  if (code == FOVEA_OK)
    code = train(context, wholeNumber(argv[1]), wholeNumber(argv[2]), &error);
  if (code == FOVEA_OK)
    code = predict(context, &error);
  if (code != FOVEA_OK)
    fprintf(stderr, "train: %s\n", error.message);
  fovea_context_destroy(context);
  fovea_model_destroy(model);
  return code == FOVEA_OK ? 0 : 1;
}
