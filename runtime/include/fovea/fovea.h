/* The C API of Fovea: load a generated program with its weights and run its entries.
 *
 *     fovea_error error;
 *     fovea_model *model;
 *     if (fovea_model_load(minilm_program(), "model.safetensors", NULL, &model, &error)) { puts(error.message); ... }
 *     fovea_context *context;
 *     fovea_context_create(model, NULL, &context, &error);
 *     fovea_run(context, fovea_find_entry(minilm_program(), "embed"), inputs, 2, outputs, 1, &error);
 *
 * Every function that can fail returns a fovea_code and describes the failure in `error`, which the caller owns and may
 * be NULL. Nothing here prints, aborts, throws or keeps global state. Plain C11; link with libfovea_runtime.a. */
#ifndef FOVEA_FOVEA_H
#define FOVEA_FOVEA_H

#include "fovea/abi.h"

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum fovea_code {
  FOVEA_OK = 0,
  FOVEA_INVALID_ARGUMENT = 1, /* the call itself: unknown entry, wrong count, dtype, rank or size, null data */
  FOVEA_FILE_ERROR = 2,       /* a file can't be read or written */
  FOVEA_BAD_FILE = 3,         /* a file is damaged, or in a form that is not supported */
  FOVEA_WEIGHTS_MISMATCH = 4, /* tensors are missing, or have another shape or dtype than the program's */
  FOVEA_PRECONDITION = 5,     /* sizes don't fit each other or break an entry's precondition */
  FOVEA_RUN_FAILED = 6,       /* a kernel found bad data: an index out of range, a division by zero, an assertion */
  FOVEA_OUT_OF_MEMORY = 7,
  FOVEA_UNSUPPORTED_CPU = 8, /* the processor lacks what every target of the program needs */
  FOVEA_CANCELLED = 9,
  FOVEA_BAD_PROGRAM = 10, /* another ABI version, or inconsistent tables */
} fovea_code;

/* What went wrong: `message` is one or several lines of UTF-8 without a trailing newline, cut (never overrun) at the
 * buffer's end. Written on failure only. Needs no memory, so it is there when allocation fails. */
typedef struct fovea_error {
  int32_t code; /* a fovea_code */
  char message[1020];
} fovea_error;

/* "FOVEA_OK", "FOVEA_INVALID_ARGUMENT", ...; "unknown" for other numbers. */
const char *fovea_code_name(int32_t code);
/* "f32", "f16", ...; "unknown" for other numbers. */
const char *fovea_dtype_name(int32_t dtype);
/* Bytes of one element; 0 for an unknown dtype. */
int32_t fovea_dtype_size(int32_t dtype);

/* A dense tensor in row-major order, any alignment. The caller owns `data` (inputs are only read, outputs only written).
 * Where there is no element, `data` may be NULL. A bool element is 0 or 1. */
typedef struct fovea_tensor {
  int32_t dtype; /* a fovea_dtype */
  int32_t rank;  /* 0 to FOVEA_MAX_RANK */
  int64_t shape[FOVEA_MAX_RANK];
  void *data;
} fovea_tensor;

/* ---- describe ---------------------------------------------------------------------------------------------------- */

/* The entry's number, or -1. */
int32_t fovea_find_entry(const fovea_program *program, const char *name);

/* What an entry takes or gives; the strings belong to the program. `dims` are expressions over the entry's symbols. */
typedef struct fovea_tensor_info {
  const char *name;
  const char *place; /* "file:line:column" */
  int32_t dtype;
  int32_t rank;
  const char *dims[FOVEA_MAX_RANK];
} fovea_tensor_info;

fovea_code fovea_describe_input(const fovea_program *program, int32_t entry, int32_t input, fovea_tensor_info *info,
                                fovea_error *error);
fovea_code fovea_describe_output(const fovea_program *program, int32_t entry, int32_t output, fovea_tensor_info *info,
                                 fovea_error *error);

/* Writes "embed(ids: i64[B, T], mask: bool[B, T]) -> f32[B, 384]" as snprintf does: at most `size` bytes with the final
 * zero; returns the length that the whole text has. An unknown entry gives an empty text. */
size_t fovea_format_entry(const fovea_program *program, int32_t entry, char *text, size_t size);

/* ---- memory and threads ------------------------------------------------------------------------------------------ */

/* Where the runtime's memory comes from. `allocate` gives `bytes` (more than 0) at `alignment` (a power of two) or NULL,
 * which is a status and never an abort; `release` gets the same size back. Called from one thread at a time for one
 * model or context; contexts of one model may call at the same time. */
typedef struct fovea_allocator {
  void *(*allocate)(void *user, size_t bytes, size_t alignment);
  void (*release)(void *user, void *memory, size_t bytes);
  void *user;
} fovea_allocator;

/* The caller's own threads. `run` calls job(argument, i) once for every i in [0, count), at the same time or one after
 * the other, on any threads, and returns when all have returned. count is at most `threads`. */
typedef struct fovea_pool {
  int32_t threads; /* at least 1 */
  int32_t unused;
  void (*run)(void *user, int32_t count, void (*job)(void *argument, int32_t index), void *argument);
  void *user;
} fovea_pool;

/* ---- models ------------------------------------------------------------------------------------------------------ */

typedef struct fovea_model fovea_model;

/* All zeros are the defaults; NULL options too. What is pointed at must live until the load returns, `allocator` and its
 * `user` as long as the model and its contexts. */
typedef struct fovea_load_options {
  const char *prefix; /* put before every tensor name, e.g. "bert."; NULL for none */
  const char *target; /* a target's name; NULL: the first one that this processor can run */
  const char *packed; /* a file that fovea_model_pack wrote, to be mapped instead of reading weights; NULL for none */
  const char *cache;  /* a folder where fovea_model_keep may have left packed weights; NULL for none */
  const fovea_allocator *allocator; /* NULL: the C library's */
  const fovea_pool *pool;           /* threads for packing weights; NULL: own ones */
  int32_t threads;                  /* of the own ones; 0: as many as the process may use */
  int32_t unused;
  /* Told about what is odd but not wrong (tensors in the file that the program doesn't use). May be NULL. */
  void (*note)(void *user, const char *text);
  /* Told about the bytes of weights read or packed so far. May be NULL. */
  void (*progress)(void *user, int64_t done, int64_t total);
  void *user; /* for note and progress */
} fovea_load_options;

/* Reads the program's weights and prepares what is computed from them alone (packed weights).
 *
 * With `packed` nothing is read or computed: the file is mapped, and pages are read when a kernel touches them. It must
 * be of this program and target, and, where `path` is given too, of those weights (FOVEA_WEIGHTS_MISMATCH says what
 * differs, FOVEA_BAD_FILE what is damaged). A program that was built with its weights needs neither. With `cache`,
 * packed weights of `path` that are there, whole and not out of date are mapped in the same way.
 *
 * `path` is a safetensors file, which stays mapped while the model lives, or the `*.index.json` of a sharded one. It may
 * be NULL where the program has no params, where its entries write all of them (they then start as their initialisers
 * say), or where it has its weights. f16 and bf16 tensors are widened where the program wants f32; any other
 * difference in dtype or shape fails, as does a missing tensor (FOVEA_WEIGHTS_MISMATCH, with all of them that fit and
 * the nearest names). The file must not change while it is mapped.
 * The program must outlive the model. On failure *model is NULL and nothing is left allocated.
 * Thread-safe. The finished model is immutable: any number of threads and contexts may use it. */
fovea_code fovea_model_load(const fovea_program *program, const char *path, const fovea_load_options *options,
                            fovea_model **model, fovea_error *error);

/* Frees the model; its contexts must be gone. NULL is allowed. */
void fovea_model_destroy(fovea_model *model);

const fovea_program *fovea_model_program(const fovea_model *model);
/* The name of the target that was chosen. */
const char *fovea_model_target(const fovea_model *model);
/* Bytes that the model itself holds: derived values and converted weights, without mapped files. */
int64_t fovea_model_bytes(const fovea_model *model);

/* Writes packed weights: what entries read of a model that was loaded from a file of weights, for its program and target.
 *
 * The file gets its name when all of it is on the disk, so that a process that opens it at the same time, or after a crash,
 * finds the old one or the whole new one. FOVEA_FILE_ERROR also where the weights have changed since they were loaded.
 * Thread-safe. */
fovea_code fovea_model_pack(const fovea_model *model, const char *path, fovea_error *error);

/* The same, into a folder where fovea_load_options::cache finds it; makes the folder (mode 0700). A model that is packed
 * already, or that computed nothing when it was loaded, is left alone. Any number of processes may do so at once. */
fovea_code fovea_model_keep(const fovea_model *model, const char *folder, fovea_error *error);

/* ---- contexts ---------------------------------------------------------------------------------------------------- */

typedef struct fovea_context fovea_context;

/* A value for one of the program's state symbols, e.g. {"limit", 2048}. */
typedef struct fovea_size {
  const char *name;
  int64_t value;
} fovea_size;

/* All zeros are the defaults; NULL options too. */
typedef struct fovea_context_options {
  int32_t threads;        /* 0: as many as the process may use. 1: everything runs on the calling thread */
  int32_t size_count;
  const fovea_size *sizes;  /* of states; those not given are fixed by the first run */
  const fovea_pool *pool;   /* copied; its `user` must outlive the context. NULL: `threads` own ones */
  const fovea_allocator *allocator; /* NULL: the model's */
  int64_t profile_events;   /* 0: no profile; else how many events (64 bytes each) are kept, later ones are lost */
  /* Called for intermediate values with their path while an entry runs, on the thread that called fovea_run; `value` is
   * valid during the call. NULL: none are computed for it. */
  void (*dump)(void *user, const char *path, const fovea_tensor *value);
  void *dump_user;
  uint64_t seed; /* of the params that are trained from scratch: equal seeds give equal initial values */
} fovea_context_options;

/* Makes what one caller needs to run entries: threads, an arena, the model's states at their initial values.
 *
 * A context serves one call at a time; different contexts are independent. Results have the same bits for any number of
 * threads. The model must outlive the context.
 *
 * Params that an entry writes are states under their own names: at first what the model's weights say, or, where it was
 * loaded without, what their initialisers make of `seed`. */
fovea_code fovea_context_create(const fovea_model *model, const fovea_context_options *options,
                                fovea_context **context, fovea_error *error);
/* Ends the threads and frees everything. Must not be called during a run. NULL is allowed. */
void fovea_context_destroy(fovea_context *context);

/* Shapes and dtypes of the outputs for inputs of these shapes.
 *
 * `inputs` are as for fovea_run; `data` is only read where a rank-0 integer input is a size, and may be NULL elsewhere.
 * Fills `outputs` (dtype, rank, shape; data is left alone). Checks what fovea_run would check on sizes:
 * FOVEA_INVALID_ARGUMENT (count, dtype, rank), FOVEA_PRECONDITION (sizes). Allocates nothing; leaves the context's
 * states and their sizes as they are. */
fovea_code fovea_infer_shapes(fovea_context *context, int32_t entry, const fovea_tensor *inputs, int32_t input_count,
                              fovea_tensor *outputs, int32_t output_count, fovea_error *error);

/* Bytes that fovea_run would use for these inputs: the arena, where the values that kernels hand to one another lie and
 * which `--max-memory` bounds, and beside it the scratch of all threads of the context. Either may be NULL. Fails like
 * fovea_infer_shapes. */
fovea_code fovea_arena_bytes(fovea_context *context, int32_t entry, const fovea_tensor *inputs, int32_t input_count,
                             int64_t *arena, int64_t *scratch, fovea_error *error);

/* Runs an entry once: reads every tensor in `inputs`, fills every one in `outputs`.
 *
 * Shapes must be those of the signature; nothing is broadcast. Everything about sizes is checked before any kernel runs.
 * Outputs must not overlap inputs or each other (checked): fused kernels write tiles before reading ends.
 * The arena grows at most once, before the first kernel; a second run at the same sizes allocates nothing.
 * On failure outputs and the states that the entry writes are unspecified. One call at a time for one context. */
fovea_code fovea_run(fovea_context *context, int32_t entry, const fovea_tensor *inputs, int32_t input_count,
                     const fovea_tensor *outputs, int32_t output_count, fovea_error *error);

/* Asks the run in progress to end soon with FOVEA_CANCELLED; without one it has no effect. From any thread. */
void fovea_context_cancel(fovea_context *context);

/* Gives every state its initial value again; sizes that runs have fixed are forgotten. Not during a run. */
void fovea_context_reset(fovea_context *context);

/* A view of the state with this path, for reading and writing between runs; valid until the context is reset or
 * destroyed. Allocates the state where that has not happened. FOVEA_PRECONDITION where its sizes are not fixed yet. */
fovea_code fovea_context_state(fovea_context *context, const char *path, fovea_tensor *state, fovea_error *error);

/* Writes all states as one safetensors file, each under its path, but those whose sizes are not fixed yet: they have no
 * value. The file gets its name when all of it is on the disk, so that whoever opens it finds the old one or the whole
 * new one. */
fovea_code fovea_context_save(fovea_context *context, const char *path, fovea_error *error);

/* The same of what a file of the model's weights has: the params, in their present form. Any program of the model loads
 * it. FOVEA_INVALID_ARGUMENT where the model was loaded from packed weights, which its params can't be had from. */
fovea_code fovea_context_save_params(fovea_context *context, const char *path, fovea_error *error);

/* Takes all states from a file that fovea_context_save wrote. Sizes that are not fixed become the file's; a state whose
 * sizes are fixed neither here nor there stays without a value. Other states that are missing, have another shape or
 * dtype, and tensors that are no state fail (FOVEA_WEIGHTS_MISMATCH, with the nearest names), as does a damaged file
 * (FOVEA_BAD_FILE); the context is then as before. Not during a run. */
fovea_code fovea_context_load(fovea_context *context, const char *path, fovea_error *error);

/* Numbers of the last successful run: kernels launched, arithmetic and bytes as the kernels state them, nanoseconds. */
typedef struct fovea_run_info {
  int64_t launches;
  int64_t flops;
  int64_t bytes;
  int64_t nanoseconds;
  int64_t arena_bytes; /* as of fovea_arena_bytes */
  int64_t scratch_bytes;
} fovea_run_info;
void fovea_context_run_info(const fovea_context *context, fovea_run_info *info);

/* What the machine can do at most, as the caller has measured it, with as many threads as the context has. */
typedef struct fovea_limits {
  double operations;      /* f32 operations a second */
  double cache_bytes[2];  /* what the second and the third level of cache hold */
  double reading[3];      /* bytes a second read from the second level, the third, memory */
} fovea_limits;

/* Gives each launch of profiles written afterwards its share of the limit: the time that its operations or its bytes,
 * whichever take longer, need at these rates, over the time it took. Bytes are read from the level that holds them. */
void fovea_context_set_limits(fovea_context *context, const fovea_limits *limits);

/* Writes the events of the runs so far as a Chrome trace (chrome://tracing, Perfetto): one event a launch, one a thread
 * in it, with kind, source place, module path, flops, bytes, GFLOP/s and, where limits are known, the share of them.
 * Replaces the file at once or not at all. */
fovea_code fovea_context_write_profile(const fovea_context *context, const char *path, fovea_error *error);

/* ---- programs ---------------------------------------------------------------------------------------------------- */

/* The command line of a generated program, in libfovea_main.a; the result is the process's exit code (0 done, 1 the
 * user's data, 2 usage, 70 a fault of ours). */
int fovea_main(const fovea_program *program, int argc, char **argv);

#ifdef __cplusplus
}
#endif
#endif
