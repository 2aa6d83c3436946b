#include "runtime/main/Options.h"

#include "runtime/core/Model.h"
#include "runtime/main/AttentionPage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

namespace fovea::rt {

int exitCode(fovea_code code) {
  return code == FOVEA_OK ? ExitOk : code == FOVEA_BAD_PROGRAM ? ExitInternal : ExitData;
}

namespace {

/// What an option belongs to.
enum class For { Runs, Training, Both };

struct Flag {
  const char *name;
  const char *value; // null: takes none
  const char *help;
  For use = For::Runs;
};

const Flag flags[] = {
    {"--data", "FILE", "an .npz file, or a folder of .npy files, with an array for each input of the training entry",
     For::Training},
    {"--valid", "FILE", "the same for the evaluation after each epoch", For::Training},
    {"--epochs", "N", "how often all rows are seen (default: 1)", For::Training},
    {"--batch", "N", "rows of a step (default: 32)", For::Training},
    {"--drop-last", nullptr, "leave out an epoch's last rows where they are fewer than a batch", For::Training},
    {"--save", "FILE", "write the params: the best ones where there is --valid, else the last", For::Training},
    {"--patience", "N", "end after N epochs without a lower loss of --valid", For::Training},
    {"--checkpoint", "FILE", "where training can be resumed from (default: the file of --save and .checkpoint)",
     For::Training},
    {"--checkpoint-steps", "N", "write it every N steps too (it is after epochs, and every minute)", For::Training},
    {"--resume", nullptr, "go on from the checkpoint, where there is one", For::Training},
    {"--log", "FILE", "write a line of JSON every --log-steps N steps (default: 10) and after each epoch",
     For::Training},
    {"--log-steps", "N", "see --log", For::Training},
    {"--page", "FILE", "write a page of the curves; its log is FILE.jsonl where --log names none", For::Training},
    {"--report", "N", "print a line every N epochs (default: 1)", For::Training},
    {"--weights", "FILE", "safetensors file, or the *.index.json of a sharded one (else $FOVEA_WEIGHTS)", For::Both},
    {"--packed", "FILE", "packed weights, as `pack` writes them: nothing is computed at the start"},
    {"--cache", nullptr,
     "keep packed weights in $FOVEA_CACHE, $XDG_CACHE_HOME/fovea or ~/.cache/fovea (setting the first asks too)"},
    {"--prefix", "TEXT", "put TEXT before every tensor's name", For::Both},
    {"-o", "FILE",
     "write results: one as npy (`-`: to standard output), any number as .npz or .safetensors, or each to a folder"},
    {"--threads", "N", "threads (default: all processors that may be used)", For::Both},
    {"--repeat", "N", "run N times after one to warm up, and say how long it took"},
    {"--profile", "FILE", "write a Chrome trace of what ran when"},
    {"--dump", "PATTERN", "with -o FOLDER: also write intermediate values whose path matches (* and ?)"},
    {"--explain-attention", "FILE", "write a page of what every attention looks at (of programs with attention maps)"},
    {"--attention-heads", "LIST", "with it: heads, as 0,3 or 0:4 (default: all)"},
    {"--attention-rows", "LIST", "with it: queries (default: all)"},
    {"--attention-sequence", "N", "with it: the sequence of a batch (default: 0)"},
    {"--vocabulary", "FILE", "with it: tokens, one a line, to be shown in place of their numbers"},
    {"--size", "NAME=N", "a size of the program's states", For::Both},
    {"--states", "FILE", "begin with the states of a file, as fovea_context_save writes them", For::Both},
    {"--seed", "N",
     "of the first values of params that entries write, where no weights are given, and of the order of rows (default: "
     "0)",
     For::Both},
    {"--target", "NAME", "run this target's code (default: the first of those below that the processor can run)",
     For::Both},
    {"--help", nullptr, "this text; after an entry: that entry's", For::Both},
};

/// Whether a flag is one of what the program has: training is not in all.
bool applies(const Flag &flag, const fovea_program &program) {
  return flag.use != For::Training || findRole(program, FOVEA_ROLE_TRAIN) >= 0;
}

/// Whether the command `pack` is there: an entry of that name hides it.
bool hasPack(const fovea_program &program) { return countTensors(program) && fovea_find_entry(&program, "pack") < 0; }

struct Parser {
  const fovea_program &program;
  Options &options;
  Array<const Flag *> given;

  int usage(const char *what, const char *argument) {
    fprintf(stderr, "%s: %s%s%s%s\n", program.name, what, argument ? " `" : "", argument ? argument : "",
            argument ? "`" : "");
    fprintf(stderr, "try `%s --help`\n", options.invocation);
    return ExitUsage;
  }

  int noMemory() {
    fprintf(stderr, "%s: out of memory\n", program.name);
    return ExitData;
  }

  int number(const char *flag, const char *text, long lowest, long highest, int32_t &value) {
    char *end;
    errno = 0;
    long parsed = strtol(text, &end, 10);
    if (end == text || *end || errno || parsed < lowest || parsed > highest) {
      fprintf(stderr, "%s: %s takes a number from %ld to %ld, not `%s`\n", program.name, flag, lowest, highest, text);
      return ExitUsage;
    }
    value = static_cast<int32_t>(parsed);
    return ExitOk;
  }

  int seed(const char *text) {
    char *end;
    errno = 0;
    options.seed = strtoull(text, &end, 10);
    if (end == text || *end || errno || *text == '-')
      return usage("--seed takes a number from 0 to 18446744073709551615, not", text);
    return ExitOk;
  }

  int size(char *text) {
    char *equals = strchr(text, '='), *end;
    errno = 0;
    long long value = equals ? strtoll(equals + 1, &end, 10) : 0;
    if (!equals || end == equals + 1 || *end || errno || value < 0)
      return usage("--size takes NAME=N, not", text);
    *equals = 0;
    return options.sizes.push({text, value}) ? static_cast<int>(ExitOk) : noMemory();
  }

  int apply(const Flag &flag, char *value) {
    Text name(flag.name);
    TrainOptions &training = options.training;
    struct {
      const char *name;
      long lowest, highest;
      int32_t *value;
    } numbers[] = {
        {"--threads", 1, 1024, &options.threads},
        {"--repeat", 1, 1'000'000, &options.repeat},
        {"--attention-sequence", 0, 1'000'000'000, &options.attentionSequence},
        {"--epochs", 1, 1'000'000'000, &training.epochs},
        {"--batch", 1, 1'000'000'000, &training.batch},
        {"--patience", 1, 1'000'000'000, &training.patience},
        {"--checkpoint-steps", 1, 1'000'000'000, &training.checkpointSteps},
        {"--log-steps", 1, 1'000'000'000, &training.logSteps},
        {"--report", 1, 1'000'000'000, &training.reportEpochs},
    };
    struct {
      const char *name;
      bool *value;
    } switches[] = {{"--help", &options.help},
                    {"--cache", &options.cache},
                    {"--drop-last", &training.dropLast},
                    {"--resume", &training.resume}};
    struct {
      const char *name;
      const char **value;
    } texts[] = {{"--weights", &options.weights},
                 {"--packed", &options.packed},
                 {"--prefix", &options.prefix},
                 {"-o", &options.output},
                 {"--profile", &options.profile},
                 {"--dump", &options.dump},
                 {"--explain-attention", &options.attentionPage},
                 {"--attention-heads", &options.attentionHeads},
                 {"--attention-rows", &options.attentionRows},
                 {"--vocabulary", &options.vocabulary},
                 {"--target", &options.target},
                 {"--states", &options.states},
                 {"--data", &training.data},
                 {"--valid", &training.valid},
                 {"--save", &training.save},
                 {"--checkpoint", &training.checkpoint},
                 {"--log", &training.log},
                 {"--page", &training.page}};
    for (const auto &row : numbers)
      if (name == row.name)
        return number(flag.name, value, row.lowest, row.highest, *row.value);
    for (const auto &row : switches)
      if (name == row.name)
        *row.value = true;
    for (const auto &row : texts)
      if (name == row.name)
        *row.value = value;
    if (name == "--seed")
      return seed(value);
    return name == "--size" ? size(value) : static_cast<int>(ExitOk);
  }

  const Flag *find(Text name) {
    for (const Flag &flag : flags)
      if (name == flag.name && applies(flag, program))
        return &flag;
    return name == "-h" ? find("--help") : name == "--output" ? find("-o") : nullptr;
  }

  int unknownFlag(const char *argument, Text name) {
    const Flag *nearest = nullptr;
    size_t best = 4;
    for (const Flag &flag : flags)
      if (size_t distance = editDistance(flag.name, name, best); distance < best && applies(flag, program)) {
        best = distance;
        nearest = &flag;
      }
    if (nearest)
      fprintf(stderr, "%s: unknown option `%s`; did you mean `%s`?\n", program.name, argument, nearest->name);
    return nearest ? static_cast<int>(ExitUsage) : usage("unknown option", argument);
  }

  /// An entry, `pack`, or `train`, which is the command in programs that train.
  int entry(const char *name) {
    options.train = strcmp(name, "train") == 0 && findRole(program, FOVEA_ROLE_TRAIN) >= 0;
    options.entry = findRole(program, FOVEA_ROLE_TRAIN);
    if (options.train)
      return ExitOk;
    options.entry = fovea_find_entry(&program, name);
    options.pack = options.entry < 0 && hasPack(program) && strcmp(name, "pack") == 0;
    if (options.entry >= 0 || options.pack)
      return ExitOk;
    const char *nearest = nullptr;
    size_t best = strlen(name) / 3 + 2;
    for (int32_t i = 0; i < program.entry_count; ++i)
      if (size_t distance = editDistance(program.entries[i].name, name, best); distance < best) {
        best = distance;
        nearest = program.entries[i].name;
      }
    if (nearest)
      fprintf(stderr, "%s: there is no entry `%s`; did you mean `%s`?\n", program.name, name, nearest);
    return nearest ? static_cast<int>(ExitUsage) : usage("there is no entry", name);
  }

  int parse(int argc, char **argv) {
    bool onlyInputs = false;
    for (int i = 1; i < argc; ++i) {
      char *argument = argv[i];
      // A negative number is an input.
      bool isFlag = !onlyInputs && argument[0] == '-' && argument[1] && !(argument[1] >= '0' && argument[1] <= '9') &&
                    argument[1] != '.';
      if (isFlag && strcmp(argument, "--") == 0) {
        onlyInputs = true;
        continue;
      }
      if (!isFlag) {
        if (options.entry < 0 && !options.pack) {
          if (int code = entry(argument))
            return code;
        } else if (!options.inputs.push(argument)) {
          return noMemory();
        }
        continue;
      }
      char *equals = argument[1] == '-' ? strchr(argument, '=') : nullptr;
      Text name(argument, equals ? static_cast<size_t>(equals - argument) : strlen(argument));
      const Flag *flag = find(name);
      if (!flag)
        return unknownFlag(argument, name);
      char *value = flag->value ? equals ? equals + 1 : i + 1 < argc ? argv[++i] : nullptr : nullptr;
      if (flag->value && !value)
        return usage("a value is missing after", flag->name);
      if (!flag->value && equals)
        return usage("no value may follow", flag->name);
      if (int code = apply(*flag, value))
        return code;
      if (!given.push(flag))
        return noMemory();
    }
    return ExitOk;
  }
};

/// Prints text with every line indented.
void printIndented(const char *text, const char *indent) {
  while (text && *text) {
    const char *end = strchr(text, '\n');
    size_t length = end ? static_cast<size_t>(end - text) : strlen(text);
    printf("%s%.*s\n", indent, static_cast<int>(length), text);
    text += length + (end != nullptr);
  }
}

void printEntry(const fovea_program &program, int32_t number, bool full) {
  const fovea_entry &entry = program.entries[number];
  static const char *const roles[] = {"", "@train ", "@evaluate "};
  char text[2000];
  fovea_format_entry(&program, number, text, sizeof(text));
  printf("  %s%s\n", roles[entry.role], text);
  printIndented(entry.doc, "      ");
  for (int32_t i = 0; i < entry.require_count; ++i)
    printf("      requires %s\n", entry.requires_[i].message ? entry.requires_[i].message : "");
  if (!full)
    return;
  for (int32_t i = 0; i < program.target_count; ++i) {
    const char *formula = program.targets[i]->entries[number].arena_formula.text;
    if (formula)
      printf("      memory (%s): %s bytes\n", program.targets[i]->name, formula);
  }
}

} // namespace

/// Where packed weights are kept; false where the environment names no place.
static bool findCacheFolder(Options &options) {
  const char *own = getenv(cacheVariable), *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
  int length = PATH_MAX;
  if (own && *own)
    length = snprintf(options.cacheFolder, PATH_MAX, "%s", own);
  else if (base && *base == '/') // relative ones are to be ignored
    length = snprintf(options.cacheFolder, PATH_MAX, "%s/fovea", base);
  else if (home && *home)
    length = snprintf(options.cacheFolder, PATH_MAX, "%s/.cache/fovea", home);
  return length < PATH_MAX;
}

int32_t findMaps(const fovea_program &program, int32_t entry) {
  size_t length = strlen(program.entries[entry].name);
  for (int32_t i = 0; i < program.entry_count; ++i)
    if (isMaps(program.entries[i].name) && strlen(program.entries[i].name) == length + strlen(mapsSuffix) &&
        strncmp(program.entries[i].name, program.entries[entry].name, length) == 0)
      return i;
  return -1;
}

/// The entry that has the maps, where they are wanted.
static int completeMaps(Parser &parser, Options &options) {
  bool hasMapOption =
      options.attentionHeads || options.attentionRows || options.attentionSequence || options.vocabulary;
  if (hasMapOption && !options.attentionPage)
    return parser.usage("heads, rows, a sequence and a vocabulary belong to", "--explain-attention");
  if (!options.attentionPage)
    return ExitOk;
  if (options.pack)
    return parser.usage("`pack` takes no", "--explain-attention");
  options.maps = findMaps(parser.program, options.entry);
  if (options.maps >= 0)
    return ExitOk;
  const fovea_program &program = parser.program;
  bool hasAny = false;
  for (int32_t i = 0; i < program.entry_count; ++i)
    hasAny |= isMaps(program.entries[i].name);
  fprintf(stderr,
          hasAny ? "%s: `%s` has no attention that --explain-attention could show\n"
                 : "%s: no attention maps of `%s`: --explain-attention needs a program from `fovea build "
                   "--attention-maps`\n",
          program.name, program.entries[options.entry].name);
  return ExitUsage;
}

/// What `train` needs, and what belongs to it alone.
static int completeTraining(Parser &parser, Options &options) {
  for (const Flag *flag : parser.given) {
    if (options.train && flag->use == For::Runs)
      return parser.usage("`train` takes no", flag->name);
    if (!options.train && flag->use == For::Training)
      return parser.usage("only `train` takes", flag->name);
  }
  if (!options.train)
    return ExitOk;
  const TrainOptions &training = options.training;
  if (!options.inputs.empty())
    return parser.usage("`train` takes its inputs from --data, not", options.inputs[0]);
  if (!training.data || !training.save)
    return parser.usage("`train` needs", training.data ? "--save FILE" : "--data FILE");
  if (training.valid && findRole(parser.program, FOVEA_ROLE_EVALUATE) < 0)
    return parser.usage("the model has no @evaluate entry, which --valid needs", nullptr);
  if (options.seed > INT64_MAX)
    return parser.usage("--seed of `train` is an i64, at most 9223372036854775807", nullptr);
  if (training.patience && !training.valid)
    return parser.usage("--patience looks at the loss of --valid, which is missing", nullptr);
  return ExitOk;
}

/// What belongs together and what doesn't, and what the environment adds.
static int complete(Parser &parser, Options &options) {
  if (int code = completeTraining(parser, options))
    return code;
  if (options.pack) {
    if (options.packed || options.cache)
      return parser.usage("`pack` reads --weights, not", options.packed ? "--packed" : "--cache");
    if (!options.output)
      return parser.usage("`pack` needs a file to write: -o FILE", nullptr);
    if (!options.inputs.empty())
      return parser.usage("`pack` takes no input", options.inputs[0]);
  } else if (options.entry < 0) {
    return parser.usage("name an entry to run", nullptr);
  }
  if (int code = completeMaps(parser, options))
    return code;
  if (options.dump && !options.output)
    return parser.usage("--dump needs a folder: -o FOLDER", nullptr);
  if (options.packed && options.cache)
    return parser.usage("--packed and --cache exclude each other", nullptr);
  bool hasWeights = options.packed || (parser.program.packed && !options.pack);
  if (!options.weights && !hasWeights)
    options.weights = getenv(weightsVariable);
  const char *folder = getenv(cacheVariable);
  bool keeps = options.weights && !options.packed && !options.pack && (options.cache || (folder && *folder));
  if (keeps && !findCacheFolder(options))
    return parser.usage("--cache: there is no folder for it: name one in", cacheVariable);
  return ExitOk;
}

int parseOptions(const fovea_program &program, int argc, char **argv, Options &options) {
  Parser parser{program, options, {}};
  options.invocation = argc > 0 ? argv[0] : program.name;
  if (int code = parser.parse(argc, argv))
    return code;
  return options.help ? static_cast<int>(ExitOk) : complete(parser, options);
}

int32_t findRole(const fovea_program &program, int32_t role) {
  for (int32_t i = 0; i < program.entry_count; ++i)
    if (program.entries[i].role == role)
      return i;
  return -1;
}

static void printFlags(bool training) {
  for (const Flag &flag : flags)
    if (flag.use == For::Both || (flag.use == For::Training) == training)
      printf("  %s %-*s %s\n", flag.name, static_cast<int>(18 - strlen(flag.name)), flag.value ? flag.value : "",
             flag.help);
}

static void printTrainingHelp(const fovea_program &program, const Options &options) {
  printf("usage: %s train --data FILE --save FILE [options]\n\n", options.invocation);
  printEntry(program, options.entry, true);
  if (int32_t evaluate = findRole(program, FOVEA_ROLE_EVALUATE); evaluate >= 0)
    printEntry(program, evaluate, true);
  printf("\nInputs are arrays of --data, of the inputs' names, along whose first axes the batches are taken; `epoch`,\n"
         "`step` (both from 0) and `seed` are given by the program.\n\noptions:\n");
  printFlags(true);
}

void printHelp(const fovea_program &program, const Options &options) {
  if (options.train) {
    printTrainingHelp(program, options);
    return;
  }
  if (options.entry >= 0) {
    printEntry(program, options.entry, true);
    return;
  }
  printf("usage: %s ENTRY [NAME=]INPUT... [options]\n", options.invocation);
  if (hasPack(program))
    printf("       %s pack --weights FILE -o FILE [options]   writes packed weights, for --packed\n",
           options.invocation);
  if (findRole(program, FOVEA_ROLE_TRAIN) >= 0)
    printf("       %s train --data FILE --save FILE [options]   trains; `train --help` says how\n", options.invocation);
  printf("\nentries:\n");
  for (int32_t i = 0; i < program.entry_count; ++i)
    if (!isMaps(program.entries[i].name))
      printEntry(program, i, false);
  printf("\nAn INPUT is an .npy file, an .npz or .safetensors file with tensors of the inputs' names, or, where the\n"
         "input is a single number, the number itself. Results are printed, or written with -o.\n\noptions:\n");
  printFlags(false);
  int32_t states = 0;
  for (int32_t i = 0; i < program.state_count; ++i) {
    const fovea_tensor_spec &state = program.states[i];
    int64_t shape[FOVEA_MAX_RANK];
    if (literalShape(state, shape)) // params that are written, and what optimisers keep
      continue;
    printf("%s %s: %s", states++ ? "," : "\nstates, whose sizes --size or the first run gives:", state.name,
           fovea_dtype_name(state.dtype));
    for (int32_t axis = 0; axis < state.rank; ++axis)
      printf("%s%s%s", axis ? ", " : "[", state.dims[axis].text, axis + 1 < state.rank ? "" : "]");
  }
  int32_t tensors = countTensors(program), written = tensors - program.param_count;
  printf("%s\n%d tensors of weights", states ? "\n" : "", tensors);
  if (written)
    printf(", %d of which entries write", written);
  printf("%s; targets:", program.packed ? ", within the program" : "");
  for (int32_t i = 0; i < program.target_count; ++i)
    printf("%s %s", i ? "," : "", program.targets[i]->name);
  const fovea_target *here;
  if (chooseTarget(program, nullptr, here, nullptr) == FOVEA_OK)
    printf("; here %s", here->name);
  printf("\n");
}

} // namespace fovea::rt
