#include "fovea/fovea.h"

#include <doctest/doctest.h>
#include <string.h>

extern "C" const void *fovea_test_c_functions(int number);

TEST_CASE("abi: functions named from C are those of the library") {
  CHECK(fovea_test_c_functions(0) == reinterpret_cast<const void *>(fovea_model_load));
  CHECK(fovea_test_c_functions(1) == reinterpret_cast<const void *>(fovea_run));
  CHECK(fovea_test_c_functions(2) == reinterpret_cast<const void *>(fovea_main));
  CHECK(fovea_test_c_functions(3) == nullptr);
}

TEST_CASE("abi: names and sizes of dtypes and codes") {
  CHECK(strcmp(fovea_dtype_name(FOVEA_BF16), "bf16") == 0);
  CHECK(strcmp(fovea_dtype_name(FOVEA_F64), "f64") == 0);
  CHECK(strcmp(fovea_dtype_name(8), "unknown") == 0);
  CHECK(strcmp(fovea_dtype_name(-1), "unknown") == 0);
  CHECK(fovea_dtype_size(FOVEA_I64) == 8);
  CHECK(fovea_dtype_size(FOVEA_BOOL) == 1);
  CHECK(fovea_dtype_size(FOVEA_F64) == 8);
  CHECK(fovea_dtype_size(99) == 0);
  CHECK(strcmp(fovea_code_name(FOVEA_CANCELLED), "FOVEA_CANCELLED") == 0);
  CHECK(strcmp(fovea_code_name(FOVEA_BAD_PROGRAM), "FOVEA_BAD_PROGRAM") == 0);
  CHECK(strcmp(fovea_code_name(11), "unknown") == 0);
}
