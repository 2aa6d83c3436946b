/* The public headers are C11, and the tables lie in memory as generated code writes them. */
#include "fovea/fovea.h"

#include <stddef.h>

_Static_assert(FOVEA_ABI_VERSION == 6, "new layout: change the expectations below");
_Static_assert(sizeof(fovea_dim) == 24 && offsetof(fovea_dim, text) == 16, "fovea_dim");
_Static_assert(sizeof(fovea_tensor_spec) == 32 && offsetof(fovea_tensor_spec, dtype) == 16, "fovea_tensor_spec");
_Static_assert(offsetof(fovea_tensor_spec, rank) == 20 && offsetof(fovea_tensor_spec, dims) == 24, "fovea_tensor_spec");
_Static_assert(sizeof(fovea_binding) == 40 && offsetof(fovea_binding, value) == 16, "fovea_binding");
_Static_assert(sizeof(fovea_require) == 72 && offsetof(fovea_require, message) == 56, "fovea_require");
_Static_assert(sizeof(fovea_kernel_info) == 24, "fovea_kernel_info");
_Static_assert(sizeof(fovea_launch) == 64 && offsetof(fovea_launch, finish) == 32, "fovea_launch");
_Static_assert(sizeof(fovea_services) == 24 && offsetof(fovea_services, fail) == 8, "fovea_services");
_Static_assert(sizeof(fovea_origin) == 24 && offsetof(fovea_origin, place) == 16, "fovea_origin");
_Static_assert(sizeof(fovea_path) == 16 && offsetof(fovea_path, outer) == 8, "fovea_path");
_Static_assert(sizeof(fovea_exec) == 40 && offsetof(fovea_exec, foresees) == 32, "fovea_exec");
_Static_assert(sizeof(fovea_frame) == 56 && offsetof(fovea_frame, arena) == 48, "fovea_frame");
_Static_assert(sizeof(fovea_entry_code) == 56 && offsetof(fovea_entry_code, arena_formula) == 32, "fovea_entry_code");
_Static_assert(sizeof(fovea_derived) == 24 && offsetof(fovea_derived, dtype) == 20, "fovea_derived");
_Static_assert(sizeof(fovea_target) == 80 && offsetof(fovea_target, derived) == 40, "fovea_target");
_Static_assert(offsetof(fovea_target, direct_count) == 56 && offsetof(fovea_target, identity) == 64, "fovea_target");
_Static_assert(sizeof(fovea_packed) == 16 && offsetof(fovea_packed, bytes) == 8, "fovea_packed");
_Static_assert(sizeof(fovea_entry) == 104 && offsetof(fovea_entry, inputs) == 40, "fovea_entry");
_Static_assert(offsetof(fovea_entry, states) == 80 && offsetof(fovea_entry, role) == 96, "fovea_entry");
_Static_assert(sizeof(fovea_initial) == 24 && offsetof(fovea_initial, a) == 8, "fovea_initial");
_Static_assert(sizeof(fovea_program) == 88 && offsetof(fovea_program, name) == 24, "fovea_program");
_Static_assert(offsetof(fovea_program, targets) == 56 && offsetof(fovea_program, state_initial) == 72,
               "fovea_program");
_Static_assert(offsetof(fovea_program, packed) == 80, "fovea_program");

/* From C, every function has C linkage and can be named. */
const void *fovea_test_c_functions(int number) {
  switch (number) {
  case 0:
    return (const void *)(size_t)fovea_model_load;
  case 1:
    return (const void *)(size_t)fovea_run;
  case 2:
    return (const void *)(size_t)fovea_main;
  default:
    return NULL;
  }
}
