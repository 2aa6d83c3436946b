/* A picture from a compiled model, pixel by pixel, in C11.
 *
 *     paint model.safetensors WIDTH HEIGHT SEED [SHADE...] > picture.pgm
 *
 * draws each pixel's shade from the probabilities that the model gives after all pixels before, by random numbers that
 * the seed decides. Shades that are given are the picture's first pixels, read at once. Writes a PGM. The model comes
 * as a library from `fovea build image_generation.fov --emit=lib -o libimage_generation.so`. */
#include "fovea/fovea.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

const fovea_program *imagegeneration_program(void);

/* A number of [0, 1): splitmix64, of which the first 53 bits are taken. */
static double draw(uint64_t *state) {
  uint64_t z = (*state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

/* The shade in whose share of [0, 1) the number lies. */
static int64_t choose(const float *probabilities, int64_t shades, double number) {
  int64_t shade = 0;
  double below = (double)probabilities[0];
  while (shade + 1 < shades && number >= below)
    below += (double)probabilities[++shade];
  return shade;
}

/* Fills `pixels` from number `given` on. The model reads the start, `pixels[-1]`, before them. */
static fovea_code paint(fovea_context *context, int64_t *pixels, int64_t count, int64_t given, uint64_t seed,
                        int64_t *shades, fovea_error *error) {
  const int32_t next = fovea_find_entry(imagegeneration_program(), "next");
  int64_t past = 0, fresh = given + 1; /* read before, and not read yet */
  fovea_tensor probabilities = {0};
  const fovea_tensor first[2] = {{FOVEA_I64, 2, {1, fresh}, pixels - 1}, {FOVEA_I64, 0, {0}, &past}};
  fovea_code code = fovea_infer_shapes(context, next, first, 2, &probabilities, 1, error);
  if (code != FOVEA_OK)
    return code;
  *shades = probabilities.shape[1];
  pixels[-1] = *shades;
  probabilities.data = malloc((size_t)*shades * sizeof(float));
  if (!probabilities.data)
    return FOVEA_OUT_OF_MEMORY;
  for (int64_t i = given; i < count && code == FOVEA_OK; ++i) {
    const fovea_tensor inputs[2] = {{FOVEA_I64, 2, {1, fresh}, pixels + past - 1}, {FOVEA_I64, 0, {0}, &past}};
    code = fovea_run(context, next, inputs, 2, &probabilities, 1, error);
    pixels[i] = choose(probabilities.data, *shades, draw(&seed));
    past += fresh;
    fresh = 1;
  }
  free(probabilities.data);
  return code;
}

/* A whole number; of anything else the program says so, and ends. */
static int64_t wholeNumber(const char *text) {
  char *end = NULL;
  errno = 0;
  const int64_t number = strtoll(text, &end, 10);
  if (!*text || *end || errno) {
    fprintf(stderr, "paint: `%s` is not a whole number\n", text);
    exit(2);
  }
  return number;
}

int main(int argc, char **argv) {
  fovea_error error = {0};
  fovea_model *model = NULL;
  fovea_context *context = NULL;
  const int64_t given = argc - 5;
  const int64_t width = argc > 4 ? wholeNumber(argv[2]) : 0, height = argc > 4 ? wholeNumber(argv[3]) : 0;
  if (width < 1 || height < 1 || width > INT64_C(1) << 20 || height > INT64_C(1) << 20 || given > width * height) {
    fprintf(stderr, "usage: paint model.safetensors WIDTH HEIGHT SEED [SHADE...]\n");
    return 2;
  }
  const int64_t count = width * height;
  int64_t *pixels = calloc((size_t)count + 1, sizeof(int64_t)), shades = 0;
  if (!pixels) {
    fprintf(stderr, "paint: out of memory\n");
    return 1;
  }
  for (int64_t i = 0; i < given; ++i)
    pixels[i + 1] = wholeNumber(argv[i + 5]);

  /* The start and all pixels but the last are kept. */
  const fovea_size limit = {"limit", count};
  const fovea_context_options options = {.size_count = 1, .sizes = &limit};
  fovea_code code = fovea_model_load(imagegeneration_program(), argv[1], NULL, &model, &error);
  if (code == FOVEA_OK)
    code = fovea_context_create(model, &options, &context, &error);
  if (code == FOVEA_OK)
    code = paint(context, pixels + 1, count, given, (uint64_t)wholeNumber(argv[4]), &shades, &error);
  if (code == FOVEA_OK) {
    printf("P2\n%" PRId64 " %" PRId64 "\n%" PRId64 "\n", width, height, shades - 1);
    for (int64_t i = 0; i < count; ++i)
      printf("%" PRId64 "%c", pixels[i + 1], (i + 1) % width ? ' ' : '\n');
  } else {
    fprintf(stderr, "paint: %s\n", code == FOVEA_OUT_OF_MEMORY ? "out of memory" : error.message);
  }
  free(pixels);
  fovea_context_destroy(context);
  fovea_model_destroy(model);
  return code == FOVEA_OK ? 0 : 1;
}
