/// Sizes: evaluating the program's expressions, binding an entry's symbols from its inputs, checking everything that
/// the program says about sizes.
#ifndef FOVEA_RUNTIME_CORE_DIM_H
#define FOVEA_RUNTIME_CORE_DIM_H

#include "runtime/core/Status.h"

namespace fovea::rt {

enum class DimResult { Ok, Overflow, DivideByZero, Malformed };

/// Evaluates postfix code over `symbols`. FLOORDIV and MOD floor.
DimResult evaluate(const fovea_dim &dim, const int64_t *symbols, int32_t symbolCount, int64_t &value);

/// The sizes of one call.
struct Sizes {
  const fovea_program *program;
  const fovea_entry *entry;
  const fovea_tensor *inputs;
  int32_t inputCount;
  const int64_t *stateSizes; // per state symbol, -1 where it is not fixed yet
  int64_t *symbols;          // symbol_count + 1 of them, filled by bind
};

/// Checks inputs against the signature (count, dtype, rank, sizes), fills in the symbols, checks the preconditions.
/// Reads data of rank-0 integer inputs that are sizes.
fovea_code bind(const Sizes &sizes, fovea_error *error);

/// Shape, rank and dtype of an output after bind.
fovea_code outputShape(const Sizes &sizes, int32_t output, fovea_tensor &tensor, fovea_error *error);

/// What must hold of a program's tables before they are used; its pointers are trusted.
fovea_code checkProgram(const fovea_program *program, fovea_error *error);

/// Whether the number is an entry's.
fovea_code checkEntry(const fovea_program *program, int32_t entry, fovea_error *error);

} // namespace fovea::rt
#endif
