/* Greedy text generation with a compiled model, in C11.
 *
 *     generate model.safetensors 20 256 464 2068 7586 21831
 *
 * reads the prompt's token ids in pieces of at most 256, then appends 20 tokens, the likeliest each time; prints each
 * with the logarithm of its probability. The model comes as a library from `fovea build gpt.fov --emit=lib -o
 * libgpt.so`. Keys and values of what was read stay in the context's states: no token is computed twice. */
#include "fovea/fovea.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

const fovea_program *gpt_program(void);

/* What follows tokens that the context has read. */
typedef struct guess {
  int64_t token;
  float score;
} guess;

/* Reads `count` tokens after `past` others. */
static fovea_code readTokens(fovea_context *context, int64_t *tokens, int64_t count, int64_t past, guess *next,
                             fovea_error *error) {
  const fovea_tensor inputs[2] = {{FOVEA_I64, 2, {1, count}, tokens}, {FOVEA_I64, 0, {0}, &past}};
  const fovea_tensor outputs[2] = {{FOVEA_I64, 1, {1}, &next->token}, {FOVEA_F32, 1, {1}, &next->score}};
  return fovea_run(context, fovea_find_entry(gpt_program(), "next"), inputs, 2, outputs, 2, error);
}

/* The prompt in pieces, which bounds what the arena needs, then token by token. */
static fovea_code generate(fovea_context *context, int64_t *prompt, int64_t length, int64_t piece, int64_t count,
                           fovea_error *error) {
  guess next = {0};
  fovea_code code = FOVEA_OK;
  for (int64_t past = 0; past < length && code == FOVEA_OK; past += piece)
    code = readTokens(context, prompt + past, piece < length - past ? piece : length - past, past, &next, error);
  for (int64_t i = 0; i < count && code == FOVEA_OK; ++i) {
    int64_t token = next.token;
    printf("%" PRId64 " %.6f\n", token, next.score);
    fflush(stdout);
    if (i + 1 < count) /* nobody asks what follows the last one */
      code = readTokens(context, &token, 1, length + i, &next, error);
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

int main(int argc, char **argv) {
  fovea_error error = {0};
  fovea_model *model = NULL;
  fovea_context *context = NULL;
  fovea_code code = FOVEA_OK;
  const int64_t length = argc - 4;
  const int64_t count = argc > 4 ? wholeNumber(argv[2]) : 0, piece = argc > 4 ? wholeNumber(argv[3]) : 0;
  int64_t *prompt = NULL;
  if (count < 1 || piece < 1) {
    fprintf(stderr, "usage: generate model.safetensors COUNT PIECE TOKEN-ID...\n");
    return 2;
  }
  prompt = malloc((size_t)length * sizeof(int64_t));
  if (!prompt) {
    fprintf(stderr, "generate: out of memory\n");
    return 1;
  }
  for (int64_t i = 0; i < length; ++i)
    prompt[i] = wholeNumber(argv[i + 4]);

  /* The states hold as many tokens as will be read. */
  const fovea_size limit = {"limit", length + count - 1};
  const fovea_context_options options = {.size_count = 1, .sizes = &limit};
  code = fovea_model_load(gpt_program(), argv[1], NULL, &model, &error);
  if (code == FOVEA_OK)
    code = fovea_context_create(model, &options, &context, &error);
  if (code == FOVEA_OK)
    code = generate(context, prompt, length, piece, count, &error);
  if (code != FOVEA_OK)
    fprintf(stderr, "generate: %s\n", error.message);

  free(prompt);
  fovea_context_destroy(context);
  fovea_model_destroy(model);
  return code == FOVEA_OK ? 0 : 1;
}
