/* Translation with a compiled model by beam search, in C11.
 *
 *     translate model.safetensors BEAMS LENGTH FIRST LAST WORD...
 *
 * reads the sentence's token ids and writes hypotheses of at most LENGTH words that start with FIRST and end with LAST.
 * At each step, of all words that could follow the hypotheses, the best are kept by the sum of their logarithms, as
 * many as there are BEAMS less those hypotheses that have ended; one beam is greedy search. Prints those that ended or
 * were still open, each as its mean logarithm and its words. The model comes as a library from `fovea build
 * translation.fov --emit=lib -o libtranslation.so`. */
#include "fovea/fovea.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const fovea_program *translation_program(void);

typedef struct hypothesis {
  double score; /* the sum of the words' logarithms; -inf: there is none */
  int64_t count;
  int64_t words[];
} hypothesis;

/* What a search holds; living and next are one hypothesis for each beam. */
typedef struct search {
  int64_t beams, limit, vocab, last, ended;
  hypothesis **living, **next;
  int64_t *word, *from; /* of each beam: its last word, and which beam it went on from */
  float *scores;        /* [beams, vocab], the logarithms of each beam's words to come */
} search;

static void print(const hypothesis *h) {
  printf("%.6f", h->score / (double)(h->count - 1));
  for (int64_t i = 1; i < h->count; ++i)
    printf(" %" PRId64, h->words[i]);
  printf("\n");
}

/* The best word to follow a hypothesis; where there is none, -inf. It is not found again. */
static double take_best(search *s, int64_t *beam, int64_t *word) {
  double best = -INFINITY;
  for (int64_t b = 0; b < s->beams; ++b)
    for (int64_t w = 0; w < s->vocab; ++w) {
      double score = s->living[b]->score + (double)s->scores[b * s->vocab + w];
      if (score > best)
        best = score, *beam = b, *word = w;
    }
  if (best > -INFINITY)
    s->scores[*beam * s->vocab + *word] = -INFINITY;
  return best;
}

/* Makes the hypotheses one word longer; those that end are printed. Gives how many live. */
static int64_t go_on(search *s) {
  int64_t living = 0;
  while (living + s->ended < s->beams) {
    int64_t beam = 0, word = 0;
    double score = take_best(s, &beam, &word);
    if (score == -INFINITY)
      break;
    hypothesis *to = s->next[living];
    memcpy(to, s->living[beam], sizeof *to + (size_t)s->living[beam]->count * sizeof(int64_t));
    to->words[to->count++] = word;
    to->score = score;
    if (word == s->last) {
      print(to);
      ++s->ended;
    } else {
      s->word[living] = word;
      s->from[living++] = beam;
    }
  }
  for (int64_t b = living; b < s->beams; ++b) { /* computed along, and never looked at */
    s->next[b]->score = -INFINITY;
    s->from[b] = 0;
  }
  hypothesis **old = s->living;
  s->living = s->next;
  s->next = old;
  return living;
}

static fovea_code translate(fovea_context *context, search *s, int64_t *source, int64_t length, fovea_error *error) {
  const fovea_program *program = translation_program();
  const int32_t next = fovea_find_entry(program, "next");
  int64_t past = 0, living = s->beams;
  const fovea_tensor sentence = {FOVEA_I64, 1, {length}, source};
  const fovea_tensor inputs[3] = {
      {FOVEA_I64, 1, {s->beams}, s->word}, {FOVEA_I64, 0, {0}, &past}, {FOVEA_I64, 1, {s->beams}, s->from}};
  fovea_tensor scores = {0};
  fovea_code code = fovea_run(context, fovea_find_entry(program, "read"), &sentence, 1, NULL, 0, error);
  if (code == FOVEA_OK) /* how many words there are */
    code = fovea_infer_shapes(context, next, inputs, 3, &scores, 1, error);
  if (code != FOVEA_OK)
    return code;
  s->vocab = scores.shape[1];
  scores.data = s->scores = malloc((size_t)(s->beams * s->vocab) * sizeof(float));
  for (; s->scores && code == FOVEA_OK && living > 0 && past + 1 < s->limit; ++past) {
    code = fovea_run(context, next, inputs, 3, &scores, 1, error);
    if (code == FOVEA_OK)
      living = go_on(s);
  }
  for (int64_t b = 0; s->scores && code == FOVEA_OK && b < living; ++b)
    print(s->living[b]);
  return s->scores ? code : FOVEA_OUT_OF_MEMORY;
}

/* Every beam starts with `first`; at the start they are one. */
static int start(search *s, int64_t first) {
  s->living = calloc((size_t)s->beams, sizeof(hypothesis *));
  s->next = calloc((size_t)s->beams, sizeof(hypothesis *));
  s->word = calloc((size_t)s->beams, sizeof(int64_t));
  s->from = calloc((size_t)s->beams, sizeof(int64_t));
  if (!s->living || !s->next || !s->word || !s->from)
    return 0;
  for (int64_t b = 0; b < s->beams; ++b) {
    size_t bytes = sizeof(hypothesis) + (size_t)s->limit * sizeof(int64_t);
    if (!(s->living[b] = calloc(1, bytes)) || !(s->next[b] = calloc(1, bytes)))
      return 0;
    s->living[b]->score = b ? -INFINITY : 0;
    s->living[b]->words[s->living[b]->count++] = s->word[b] = first;
  }
  return 1;
}

/* A whole number; of anything else the program says so, and ends. */
static int64_t wholeNumber(const char *text) {
  char *end = NULL;
  errno = 0;
  const int64_t number = strtoll(text, &end, 10);
  if (!*text || *end || errno) {
    fprintf(stderr, "translate: `%s` is not a whole number\n", text);
    exit(2);
  }
  return number;
}

int main(int argc, char **argv) {
  fovea_error error = {0};
  fovea_model *model = NULL;
  fovea_context *context = NULL;
  search s = {0};
  const int64_t length = argc - 6;
  if (argc > 6) {
    s.beams = wholeNumber(argv[2]);
    s.limit = wholeNumber(argv[3]) + 1; /* with the first word */
    s.last = wholeNumber(argv[5]);
  }
  if (s.beams < 1 || s.limit < 2) {
    fprintf(stderr, "usage: translate model.safetensors BEAMS LENGTH FIRST LAST WORD...\n");
    return 2;
  }
  fovea_code code = fovea_model_load(translation_program(), argv[1], NULL, &model, &error);
  /* The states hold all words but the last, whose successor nobody asks for. */
  const fovea_size limit = {"limit", s.limit - 1};
  const fovea_context_options options = {.size_count = 1, .sizes = &limit};
  if (code == FOVEA_OK)
    code = fovea_context_create(model, &options, &context, &error);
  int64_t *source = malloc((size_t)length * sizeof(int64_t));
  for (int64_t i = 0; source && i < length; ++i)
    source[i] = wholeNumber(argv[i + 6]);
  if (code == FOVEA_OK)
    code = source && start(&s, wholeNumber(argv[4])) ? translate(context, &s, source, length, &error)
                                                     : FOVEA_OUT_OF_MEMORY;
  if (code != FOVEA_OK)
    fprintf(stderr, "translate: %s\n", code == FOVEA_OUT_OF_MEMORY ? "out of memory" : error.message);
  fovea_context_destroy(context);
  fovea_model_destroy(model);
  return code == FOVEA_OK ? 0 : 1; /* the rest goes with the process */
}
