/* Sentence vectors from a compiled model, in C11.
 *
 *     embed model.safetensors 101 7592 2088 102
 *
 * runs the entry `embed` of MiniLM on one sentence's token ids and prints the vector. The model comes as a library from
 * `fovea build minilm.fov --emit=lib -o libminilm.so`, which also writes minilm.h. */
#include "fovea/fovea.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

const fovea_program *minilm_program(void);

/* Runs the entry on one sentence. Returns the vector, to be freed, and its length; NULL on failure. */
static float *embed(fovea_context *context, int64_t *ids, int64_t count, int64_t *length, fovea_error *error) {
  const int32_t entry = fovea_find_entry(minilm_program(), "embed");
  bool *mask = malloc((size_t)count * sizeof(bool));
  float *vector = NULL;
  fovea_tensor inputs[2] = {{FOVEA_I64, 2, {1, count}, ids}, {FOVEA_BOOL, 2, {1, count}, mask}};
  fovea_tensor output = {0};
  if (!mask) {
    error->code = FOVEA_OUT_OF_MEMORY;
    snprintf(error->message, sizeof(error->message), "out of memory");
    return NULL;
  }
  for (int64_t i = 0; i < count; ++i)
    mask[i] = true;
  /* The runtime says how large the result is; the caller owns it. */
  if (fovea_infer_shapes(context, entry, inputs, 2, &output, 1, error) == FOVEA_OK) {
    *length = output.shape[output.rank - 1];
    output.data = vector = malloc((size_t)*length * sizeof(float));
    if (vector && fovea_run(context, entry, inputs, 2, &output, 1, error) != FOVEA_OK) {
      free(vector);
      vector = NULL;
    }
  }
  free(mask);
  return vector;
}

static void printNote(void *user, const char *text) {
  (void)user;
  fprintf(stderr, "note: %s\n", text);
}

/* A whole number; of anything else the program says so, and ends. */
static int64_t wholeNumber(const char *text) {
  char *end = NULL;
  errno = 0;
  const int64_t number = strtoll(text, &end, 10);
  if (!*text || *end || errno) {
    fprintf(stderr, "embed: `%s` is not a whole number\n", text);
    exit(2);
  }
  return number;
}

int main(int argc, char **argv) {
  fovea_error error = {0};
  fovea_model *model = NULL;
  fovea_context *context = NULL;
  fovea_load_options options = {0};
  float *vector = NULL;
  int64_t count = argc - 2, length = 0;
  int64_t *ids = argc > 2 ? malloc((size_t)count * sizeof(int64_t)) : NULL;
  if (!ids) {
    fprintf(stderr, "usage: embed model.safetensors TOKEN-ID...\n");
    return 2;
  }
  for (int64_t i = 0; i < count; ++i)
    ids[i] = wholeNumber(argv[i + 2]);

  options.note = printNote;
  if (fovea_model_load(minilm_program(), argv[1], &options, &model, &error) == FOVEA_OK &&
      fovea_context_create(model, NULL, &context, &error) == FOVEA_OK)
    vector = embed(context, ids, count, &length, &error);
  for (int64_t i = 0; vector && i < length; ++i)
    printf("%s%.6f", i ? " " : "", vector[i]);
  if (vector)
    printf("\n");
  else
    fprintf(stderr, "embed: %s\n", error.message);

  free(vector);
  free(ids);
  fovea_context_destroy(context);
  fovea_model_destroy(model);
  return vector ? 0 : 1;
}
