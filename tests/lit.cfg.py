# Shared by every lit suite of the project (tests/ir, tests/errors): what a RUN line may use.
# Read through lit.site.cfg.py, which CMake writes into the build folder.
import os
import platform
import sys

import lit.formats

config.name = f"fovea-{config.suite}"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir", ".fov", ".test"]
config.excludes = ["Inputs"]
config.test_source_root = os.path.join(config.source_root, "tests", config.suite)
config.test_exec_root = os.path.join(config.build_root, "tests", config.suite)

# fovea, fovea-opt, and of LLVM: FileCheck, not, split-file, count.
config.environment["PATH"] = os.pathsep.join([config.fovea_tools, config.llvm_tools, os.environ["PATH"]])
config.environment["FILECHECK_OPTS"] = "--enable-var-scope --dump-input-context=3 --allow-unused-prefixes=false"
config.substitutions.append(("%examples", os.path.join(config.source_root, "examples")))
config.substitutions.append(("%golden", os.path.join(config.source_root, "tests", "numeric", "golden")))
config.substitutions.append(("%python", sys.executable))
config.substitutions.append(("%plugin", config.test_plugin))
config.substitutions.append(("%inputs", os.path.join(config.test_source_root, "Inputs")))


def host_flags():
    try:
        with open("/proc/cpuinfo") as file:
            return next((line for line in file if line.startswith("flags")), "").split()
    except OSError:
        return []


# `REQUIRES: avx2` or `avx512` stands before code that is run, not before code that is only generated.
if platform.machine() == "x86_64":
    flags = host_flags()
    config.available_features.add("sse2")
    if "avx2" in flags and "fma" in flags:
        config.available_features.add("avx2")
    if all(flag in flags for flag in ("avx512f", "avx512bw", "avx512dq", "avx512vl")):
        config.available_features.add("avx512")
