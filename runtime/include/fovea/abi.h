/* The contract between generated programs and the runtime: the one header that both sides obey.
 *
 * A generated object holds one `const fovea_program` and needs no symbol of the runtime: what it calls comes through
 * `fovea_exec::services`. Everything here is read-only after linking and safe to share between threads.
 * Any change of meaning or layout raises FOVEA_ABI_VERSION. Plain C11. */
#ifndef FOVEA_ABI_H
#define FOVEA_ABI_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define FOVEA_ABI_VERSION 6
#define FOVEA_MAX_RANK 16

/* Element types as they lie in memory; bool is one byte, 0 or 1. */
typedef enum fovea_dtype {
  FOVEA_F32 = 0,
  FOVEA_F16 = 1,
  FOVEA_BF16 = 2,
  FOVEA_I64 = 3,
  FOVEA_I32 = 4,
  FOVEA_I8 = 5,
  FOVEA_BOOL = 6,
  FOVEA_F64 = 7, /* is stored and converted; nothing is computed in it */
} fovea_dtype;

/* A size as postfix code over the entry's symbols (overflow is checked when it is evaluated). `text` is for people.
 * Each code word is an op; PUSH and SYMBOL are followed by one operand word. */
enum { FOVEA_DIM_PUSH = 0, FOVEA_DIM_SYMBOL, FOVEA_DIM_ADD, FOVEA_DIM_MUL, FOVEA_DIM_FLOORDIV, FOVEA_DIM_MOD, FOVEA_DIM_MAX, FOVEA_DIM_MIN };
typedef struct fovea_dim {
  const int64_t *code;
  int64_t length; /* words */
  const char *text;
} fovea_dim;

typedef struct fovea_tensor_spec {
  const char *name;  /* inputs, outputs: the name in the signature; params, states: the dotted path */
  const char *place; /* "file:line:column" of the declaration */
  int32_t dtype;
  int32_t rank;
  const fovea_dim *dims;
} fovea_tensor_spec;

/* How a symbol gets its value, in order; each may use the symbols before it. A symbol's value is never negative.
 * From an input's dimension: symbol = the solution `value` over earlier symbols and the pseudo symbol number
 * `symbol_count`, which stands for the size found. From a rank-0 i64 or i32 input: axis is -1 and `value` likewise, of
 * the number found. From the context: input is -1 and axis a number of fovea_program::state_symbols; `value` likewise.
 * An empty `value` (length 0) means the size found itself. */
typedef struct fovea_binding {
  int32_t symbol;
  int32_t input;
  int32_t axis;
  int32_t unused;
  fovea_dim value;
} fovea_binding;

enum { FOVEA_EQ = 0, FOVEA_NE, FOVEA_LT, FOVEA_LE, FOVEA_GT, FOVEA_GE };
/* Checked after binding, before anything runs. */
typedef struct fovea_require {
  fovea_dim lhs;
  fovea_dim rhs;
  int32_t relation;
  int32_t unused;
  const char *message; /* what the source says, e.g. "T <= positions" */
  const char *place;
} fovea_require;

typedef struct fovea_exec fovea_exec;

/* Runs tasks [begin, end) of a kernel. `args` is the launch's argument block; `scratch` is this thread's, 64-byte aligned.
 * Returns 0, or non-zero once the exec has failed or was cancelled. */
typedef int32_t (*fovea_task_fn)(fovea_exec *exec, const void *args, int64_t begin, int64_t end, void *scratch);

typedef struct fovea_kernel_info {
  const char *name;  /* e.g. "matmul_384x1536_bias_gelu" */
  const char *kind;  /* "matmul", "attention", "map" */
  const char *place; /* "file:line:column" of the main op */
} fovea_kernel_info;

typedef struct fovea_launch {
  const fovea_kernel_info *info;
  fovea_task_fn run;
  const void *args;
  int64_t tasks;
  int64_t finish; /* tasks [tasks, tasks + finish) run after all others have ended; 0 for most kernels */
  int64_t flops; /* arithmetic of all tasks together; 0 where unknown */
  int64_t bytes; /* bytes of operands read and written once */
  const char *path; /* source path within the layer that runs, e.g. "attention.scores"; may be null */
} fovea_launch;

/* What a failing kernel reports. The first in (launch, task index) order wins, whatever the thread. */
enum { FOVEA_FAIL_INDEX_OUT_OF_RANGE = 1, FOVEA_FAIL_ASSERT = 2, FOVEA_FAIL_DIVIDE_BY_ZERO = 3, FOVEA_FAIL_SIZE_OVERFLOW = 4, FOVEA_FAIL_MESSAGE = 5 };

/* Where a value of an entry comes from; lives as long as the program. */
typedef struct fovea_origin {
  const char *path;  /* as in fovea_launch; null for a value without a name of its own, which --dump doesn't show */
  const char *ops;   /* the arithmetic of the kernel that computes it, with lines: "exp (3:1), sub (3:5)" */
  const char *place; /* "file:line:column" of what gives the value, or of the first of `ops` that may make it NaN */
} fovea_origin;

typedef struct fovea_services {
  /* Runs all tasks over the threads and waits. Returns 0, or non-zero: the entry then returns it at once. Called from
   * the entry's own thread only, never from a task. `info`, `path` and their strings live as long as the program. */
  int32_t (*parallel)(fovea_exec *exec, const fovea_launch *launch);
  /* Records a failure found in a task: `place` is a "file:line:column" string, `index` the linear task or element index
   * that orders failures (ascending within a call of run and from task to task), `value` what was found, [low, high)
   * what was expected (for an index). The task function then returns non-zero. With FOVEA_FAIL_MESSAGE `place` is the
   * whole message; it must live until the entry has returned and its outcome was taken. */
  void (*fail)(fovea_exec *exec, int32_t code, const char *place, int64_t index, int64_t value, int64_t low, int64_t high);
  /* Offers a value; called only where exec->dumping is set. `layout` are the `rank` sizes, then as many strides, in
   * elements (0 or negative ones too); `data` is the first element. */
  void (*dump)(fovea_exec *exec, const fovea_origin *origin, int32_t dtype, int32_t rank, const int64_t *layout, const void *data);
} fovea_services;

/* A layer's code is compiled once and does not know its place in the model: a caller puts the call's path before what it
 * has itself found in exec->path, and takes it away after the call. Lives on the stack; `name` as long as the program. */
typedef struct fovea_path {
  const char *name; /* e.g. "layers.3" */
  const struct fovea_path *outer;
} fovea_path;

struct fovea_exec {
  const fovea_services *services;
  int32_t dumping; /* whether to call services->dump */
  int32_t threads; /* upper bound of concurrent tasks */
  const fovea_path *path; /* of the layer that runs, innermost first; null in an entry */
  unsigned char *shared;  /* what the tasks of a launch leave for each other; 64-byte aligned */
  int32_t foresees; /* whether the processor itself fetches what is read in the order of addresses: kernels then leave that to it */
  int32_t unused;
  /* the runtime's own fields follow */
};

/* Pointers that an entry works on, all set by the runtime. Inputs and outputs have any alignment, the rest 64 bytes
 * (params of a mapped file: their dtype's at least). */
typedef struct fovea_frame {
  const int64_t *symbols; /* values, symbol_count of them */
  const void *const *inputs;
  void *const *outputs;
  const void *const *params;  /* by program-wide param number; dtype as in the spec */
  void *const *states;        /* by program-wide state number; null for those that the entry does not list */
  void *const *derived;       /* by target-wide derived number */
  unsigned char *arena;
} fovea_frame;

/* The runtime takes the outcome from the exec. */
typedef int32_t (*fovea_entry_fn)(fovea_exec *exec, const fovea_frame *frame);
/* Bytes for these symbols (an arena's without scratch and shared memory); -1 where a size overflows. */
typedef int64_t (*fovea_size_fn)(const int64_t *symbols);

/* The code of one entry for one target. */
typedef struct fovea_entry_code {
  fovea_entry_fn run;
  fovea_size_fn arena_bytes;
  fovea_size_fn scratch_bytes; /* per thread; a multiple of 64 */
  fovea_size_fn shared_bytes;  /* of fovea_exec::shared; likewise */
  fovea_dim arena_formula;     /* the same, for people */
} fovea_entry_code;

/* A value computed from params alone when they are loaded (packed weights, merged projections). */
typedef struct fovea_derived {
  const char *name;
  int64_t bytes;
  int32_t prepare; /* index into fovea_target::prepare: the step that writes it */
  int32_t dtype;   /* of its elements */
} fovea_derived;

/* An entry needs all params and all derived values: one prepare step writes every derived value of `derived` that names
 * it. Steps run in order, with frame->params, ->derived and ->arena set and no symbols, inputs, outputs or states;
 * derived buffers are 64-byte aligned and zero before their step. */
typedef struct fovea_target {
  const char *name;             /* "x86-64-v3", ... */
  const char *const *features;  /* names as in /proc/cpuinfo terms of LLVM ("avx2", "fma", "avx512f"), null-terminated. One
                                 * behind a `-` need not be there: where it is, others that can run are preferred */
  const fovea_entry_code *entries; /* entry_count of them, in program order */
  const fovea_entry_code *prepare;
  int32_t prepare_count;
  int32_t derived_count;
  const fovea_derived *derived;
  /* Numbers of the params that entries read themselves, ascending: once the derived values are there, frame->params may be
   * null at all others. */
  const int32_t *direct;
  int32_t direct_count;
  int32_t unused;
  /* Equal for two targets only where equal weights give equal derived values, and params have the same numbers. */
  unsigned char identity[16];
} fovea_target;

/* Bytes of a packed file within the program, page-aligned. */
typedef struct fovea_packed {
  const unsigned char *data;
  int64_t bytes;
} fovea_packed;

/* What `train` of a program's command line runs: at most one entry of each role. Their results are f32 without axes, the
 * first is the loss; the first axis of every input with axes is the batch; inputs without axes are i64 or i32 and named
 * `epoch`, `step` or `seed`. */
enum { FOVEA_ROLE_NONE = 0, FOVEA_ROLE_TRAIN = 1, FOVEA_ROLE_EVALUATE = 2 };

typedef struct fovea_entry {
  const char *name;
  const char *doc; /* the source's doc comment */
  int32_t input_count, output_count, symbol_count, binding_count, require_count, state_count;
  const fovea_tensor_spec *inputs;
  const fovea_tensor_spec *outputs;
  const char *const *symbols; /* names */
  const fovea_binding *bindings;
  const fovea_require *requires_; /* every input dimension is checked against its spec as well */
  const int32_t *states;          /* numbers of the states that it reads or writes, state_count of them */
  /* Per state symbol of the program: the entry's symbol that must equal it, or -1. Null where state_symbol_count is 0. */
  const int32_t *state_symbols;
  int32_t role; /* FOVEA_ROLE_... */
  int32_t unused;
} fovea_entry;

/* What a state is before the first run that lists it: every element `a`, or random numbers of a distribution that the
 * state's name and the context's seed decide, whatever the order or the threads: uniform from `a` to `b`, normal with
 * mean `a` and standard deviation `b`, the same cut off at two deviations. With FOVEA_INITIAL_NONE it must come from the
 * weights. */
enum {
  FOVEA_INITIAL_CONSTANT = 0,
  FOVEA_INITIAL_UNIFORM,
  FOVEA_INITIAL_NORMAL,
  FOVEA_INITIAL_TRUNCATED_NORMAL,
  FOVEA_INITIAL_NONE
};
typedef struct fovea_initial {
  int32_t kind;
  int32_t is_param; /* a param that entries write: where a model has weights, it is at first the tensor of its name */
  double a, b;
} fovea_initial;

/* Sizes of states are expressions over the program's state symbols (`B`, `limit`). A context fixes each one's value
 * once: when it is made (by name), or else by the first run of an entry that binds a symbol to it. A state is allocated,
 * and filled with its initial value, before the first run that lists it. */
typedef struct fovea_program {
  int32_t abi_version;
  int32_t entry_count, param_count, state_count, target_count, state_symbol_count;
  const char *name;
  const fovea_entry *entries;
  const fovea_tensor_spec *params; /* literal dimensions only */
  const fovea_tensor_spec *states; /* dims over the state symbols; literal ones where it is a param */
  const fovea_target *const *targets; /* best first */
  const char *const *state_symbols; /* names; null where there are none */
  const fovea_initial *state_initial; /* one per state; null where there are none */
  const fovea_packed *packed;       /* weights that the program was built with, one per target; null where it has none */
} fovea_program;

/* A generated library exports `const fovea_program *<model>_program(void)` and nothing else. A generated executable
 * defines this one as well; the `main` of the runtime calls it. */
const fovea_program *fovea_linked_program(void);

#ifdef __cplusplus
}
#endif
#endif
