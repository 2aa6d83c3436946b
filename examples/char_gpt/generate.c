/* Text from a compiled model, letter by letter, in C11.
 *
 *     generate char_gpt.safetensors COUNT TEMPERATURE SEED TEXT
 *
 * prints TEXT and COUNT letters more, each drawn from the probabilities that the model gives after all before: by
 * random numbers that SEED decides, and sharpened where TEMPERATURE is below 1 (0: the likeliest letter). The model
 * comes as a library from `fovea build char_gpt.fov --emit=lib -o libchar_gpt.so`. Keys and values of the last letters
 * stay in the context's states: no letter is computed twice, and the text may be of any length. */
#include "fovea/fovea.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Letters of the model; the places of its ring of keys and values, and how many letters are read at once: what is left
 * of the ring, 193 letters, is what each may look back at. */
enum { LETTERS = 128, SLOTS = 256, PIECE = 64 };

const fovea_program *chargpt_program(void);

/* A number of [0, 1): splitmix64, of which the first 53 bits are taken. */
static double draw(uint64_t *state) {
  uint64_t z = (*state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return (double)((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

/* The letter in whose share of [0, 1) the number lies, shares being softmax(scores / temperature). */
static int64_t choose(const float *scores, double temperature, double number) {
  double shares[LETTERS], sum = 0;
  int64_t likeliest = 0, letter = 0;
  for (int64_t i = 1; i < LETTERS; ++i)
    if (scores[i] > scores[likeliest])
      likeliest = i;
  if (temperature <= 0)
    return likeliest;
  for (int64_t i = 0; i < LETTERS; ++i)
    sum += shares[i] = exp(((double)scores[i] - (double)scores[likeliest]) / temperature);
  for (number *= sum; letter + 1 < LETTERS && number >= shares[letter]; ++letter)
    number -= shares[letter];
  return letter;
}

/* Reads `count` letters after `past` others; `scores` are those of the letter that follows. */
static fovea_code readLetters(fovea_context *context, int64_t *letters, int64_t count, int64_t past, float *scores,
                              fovea_error *error) {
  const fovea_tensor inputs[2] = {{FOVEA_I64, 2, {1, count}, letters}, {FOVEA_I64, 0, {0}, &past}};
  const fovea_tensor output = {FOVEA_F32, 2, {1, LETTERS}, scores};
  return fovea_run(context, fovea_find_entry(chargpt_program(), "next"), inputs, 2, &output, 1, error);
}

static fovea_code generate(fovea_context *context, const char *text, int64_t count, double temperature, uint64_t seed,
                           fovea_error *error) {
  const int64_t length = (int64_t)strlen(text);
  int64_t letters[PIECE];
  float scores[LETTERS];
  fovea_code code = FOVEA_OK;
  for (int64_t past = 0; past < length && code == FOVEA_OK; past += PIECE) {
    const int64_t piece = length - past < PIECE ? length - past : PIECE;
    for (int64_t i = 0; i < piece; ++i)
      letters[i] = (unsigned char)text[past + i];
    code = readLetters(context, letters, piece, past, scores, error);
  }
  if (code == FOVEA_OK)
    fputs(text, stdout);
  for (int64_t i = 0; i < count && code == FOVEA_OK; ++i) {
    letters[0] = choose(scores, temperature, draw(&seed));
    putchar((int)letters[0]);
    fflush(stdout);
    if (i + 1 < count) /* nobody asks what follows the last one */
      code = readLetters(context, letters, 1, length + i, scores, error);
  }
  return code;
}

/* A whole number; of anything else the program says so, and ends. */
static int64_t wholeNumber(const char *text) {
  char *end = NULL;
  errno = 0;
  const int64_t number = strtoll(text, &end, 10);
  if (!*text || *end || errno) {
    fprintf(stderr, "generate: `%s` is not a whole number\n", text);
    exit(2);
  }
  return number;
}

/* A number, likewise. */
static double realNumber(const char *text) {
  char *end = NULL;
  const double number = strtod(text, &end);
  if (!*text || *end) {
    fprintf(stderr, "generate: `%s` is not a number\n", text);
    exit(2);
  }
  return number;
}

int main(int argc, char **argv) {
  fovea_error error = {0};
  fovea_model *model = NULL;
  fovea_context *context = NULL;
  if (argc != 6 || !*argv[5]) {
    fprintf(stderr, "usage: generate char_gpt.safetensors COUNT TEMPERATURE SEED TEXT\n");
    return 2;
  }
  const fovea_size slots = {"slots", SLOTS};
  const fovea_context_options options = {.size_count = 1, .sizes = &slots};
  fovea_code code = fovea_model_load(chargpt_program(), argv[1], NULL, &model, &error);
  if (code == FOVEA_OK)
    code = fovea_context_create(model, &options, &context, &error);
  if (code == FOVEA_OK)
    code =
        generate(context, argv[5], wholeNumber(argv[2]), realNumber(argv[3]), (uint64_t)wholeNumber(argv[4]), &error);
  if (code == FOVEA_OK)
    putchar('\n');
  else
    fprintf(stderr, "generate: %s\n", error.message);

  fovea_context_destroy(context);
  fovea_model_destroy(model);
  return code == FOVEA_OK ? 0 : 1;
}
