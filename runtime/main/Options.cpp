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

struct Flag {
  const char *name;
  const char *value; // null: takes none
  const char *help;
};

const Flag flags[] = {
    {"--weights", "FILE", "safetensors file, or the *.index.json of a sharded one (else $FOVEA_WEIGHTS)"},
    {"--packed", "FILE", "packed weights, as `pack` writes them: nothing is computed at the start"},
    {"--cache", nullptr,
     "keep packed weights in $FOVEA_CACHE, $XDG_CACHE_HOME/fovea or ~/.cache/fovea (setting the first asks too)"},
    {"--prefix", "TEXT", "put TEXT before every tensor's name"},
    {"-o", "FILE",
     "write results: one as npy (`-`: to standard output), any number as .npz or .safetensors, or each to a folder"},
    {"--threads", "N", "threads (default: all processors that may be used)"},
    {"--repeat", "N", "run N times after one to warm up, and say how long it took"},
    {"--profile", "FILE", "write a Chrome trace of what ran when"},
    {"--dump", "PATTERN", "with -o FOLDER: also write intermediate values whose path matches (* and ?)"},
    {"--explain-attention", "FILE", "write a page of what every attention looks at (of programs with attention maps)"},
    {"--attention-heads", "LIST", "with it: heads, as 0,3 or 0:4 (default: all)"},
    {"--attention-rows", "LIST", "with it: queries (default: all)"},
    {"--attention-sequence", "N", "with it: the sequence of a batch (default: 0)"},
    {"--vocabulary", "FILE", "with it: tokens, one a line, to be shown in place of their numbers"},
    {"--size", "NAME=N", "a size of the program's states"},
    {"--seed", "N", "of the first values of params that entries write, where no weights are given (default: 0)"},
    {"--target", "NAME", "run this target's code (default: the first of those below that the processor can run)"},
    {"--help", nullptr, "this text; after an entry: that entry's"},
};

/// Whether the command `pack` is there: an entry of that name hides it.
bool hasPack(const fovea_program &program) { return countTensors(program) && fovea_find_entry(&program, "pack") < 0; }

struct Parser {
  const fovea_program &program;
  Options &options;

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
    if (name == "--help")
      options.help = true;
    else if (name == "--cache")
      options.cache = true;
    else if (name == "--threads")
      return number(flag.name, value, 1, 1024, options.threads);
    else if (name == "--repeat")
      return number(flag.name, value, 1, 1'000'000, options.repeat);
    else if (name == "--attention-sequence")
      return number(flag.name, value, 0, 1'000'000'000, options.attentionSequence);
    else if (name == "--size")
      return size(value);
    else if (name == "--seed")
      return seed(value);
    else
      *(name == "--weights"             ? &options.weights
        : name == "--packed"            ? &options.packed
        : name == "--prefix"            ? &options.prefix
        : name == "-o"                  ? &options.output
        : name == "--profile"           ? &options.profile
        : name == "--dump"              ? &options.dump
        : name == "--explain-attention" ? &options.attentionPage
        : name == "--attention-heads"   ? &options.attentionHeads
        : name == "--attention-rows"    ? &options.attentionRows
        : name == "--vocabulary"        ? &options.vocabulary
                                        : &options.target) = value;
    return ExitOk;
  }

  const Flag *find(Text name) {
    for (const Flag &flag : flags)
      if (name == flag.name)
        return &flag;
    return name == "-h" ? find("--help") : name == "--output" ? find("-o") : nullptr;
  }

  int unknownFlag(const char *argument, Text name) {
    const Flag *nearest = nullptr;
    size_t best = 4;
    for (const Flag &flag : flags)
      if (size_t distance = editDistance(flag.name, name, best); distance < best) {
        best = distance;
        nearest = &flag;
      }
    if (nearest)
      fprintf(stderr, "%s: unknown option `%s`; did you mean `%s`?\n", program.name, argument, nearest->name);
    return nearest ? static_cast<int>(ExitUsage) : usage("unknown option", argument);
  }

  int entry(const char *name) {
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
  char text[2000];
  fovea_format_entry(&program, number, text, sizeof(text));
  printf("  %s\n", text);
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

/// What belongs together and what doesn't, and what the environment adds.
static int complete(Parser &parser, Options &options) {
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
  Parser parser{program, options};
  options.invocation = argc > 0 ? argv[0] : program.name;
  if (int code = parser.parse(argc, argv))
    return code;
  return options.help ? static_cast<int>(ExitOk) : complete(parser, options);
}

void printHelp(const fovea_program &program, const Options &options) {
  if (options.entry >= 0) {
    printEntry(program, options.entry, true);
    return;
  }
  printf("usage: %s ENTRY [NAME=]INPUT... [options]\n", options.invocation);
  if (hasPack(program))
    printf("       %s pack --weights FILE -o FILE [options]   writes packed weights, for --packed\n",
           options.invocation);
  printf("\nentries:\n");
  for (int32_t i = 0; i < program.entry_count; ++i)
    if (!isMaps(program.entries[i].name))
      printEntry(program, i, false);
  printf("\nAn INPUT is an .npy file, an .npz or .safetensors file with tensors of the inputs' names, or, where the\n"
         "input is a single number, the number itself. Results are printed, or written with -o.\n\noptions:\n");
  for (const Flag &flag : flags)
    printf("  %s %-*s %s\n", flag.name, static_cast<int>(18 - strlen(flag.name)), flag.value ? flag.value : "",
           flag.help);
  int32_t states = 0;
  for (int32_t i = 0; i < program.state_count; ++i) {
    if (isParamState(program, i))
      continue;
    const fovea_tensor_spec &state = program.states[i];
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
