#!/usr/bin/env python3
"""Checks that `#include` lines keep the direction of docs/architecture.md.

usage: include_order.py ROOT | include_order.py --self-test

The order of the compiler's folders is read from compiler/CMakeLists.txt, so that it is written once.
"""
import pathlib
import re
import sys

INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^">]+)[">]')
SUFFIXES = {".h", ".c", ".cpp", ".inc"}
# The frontend and the runtime stay free of these; dialects/dim is shared by both worlds.
COMPILER_INFRASTRUCTURE = ("mlir/", "mlir-c/", "llvm/", "llvm-c/", "lld/", "clang/")
NO_MLIR = ("compiler/source", "compiler/syntax", "compiler/sema", "compiler/library", "dialects/dim", "runtime",
           "tests/oracle")
DIALECT_ORDER = ["dialects/dim", "dialects/graph", "dialects/kernel"]


def compiler_order(cmake_text):
    """The compiler's folders in the order of the data, from the foreach of compiler/CMakeLists.txt."""
    match = re.search(r"foreach\(folder ([^)]*)\)", cmake_text)
    if not match:
        raise SystemExit("include_order.py: compiler/CMakeLists.txt has no foreach(folder …)")
    return ["compiler/" + name for name in match.group(1).split()] + ["compiler/tools"]


def folder_of(path, order):
    """The folder that owns a path (as written in an include): compiler/x, dialects/x, runtime, or None."""
    for folder in order + DIALECT_ORDER + ["tests/oracle"]:
        if path.startswith(folder + "/"):
            return folder
    return "runtime" if path.startswith(("runtime/", "fovea/")) else None


def complaint(file, include, order):
    """Why `file` must not include `include`, or None."""
    mine, theirs = folder_of(file, order), folder_of(include, order)
    if include.startswith("boost/") and mine != "compiler/analysis":
        return "Boost lives in compiler/analysis only"
    if mine in NO_MLIR and include.startswith(COMPILER_INFRASTRUCTURE):
        return f"{mine} is free of LLVM and MLIR"
    if mine is None or theirs is None or mine == theirs:
        return None
    if mine == "runtime":
        return "the runtime uses no other part of the project"
    if theirs == "tests/oracle":
        return "the oracle is for tests"
    if theirs == "runtime":
        reads_tensor_files = mine in ("compiler/interpret", "compiler/pipeline", "compiler/tools")
        if mine == "dialects/dim" or not (include.startswith("fovea/") or reads_tensor_files):
            return "only the runtime's public headers, as fovea/…"
        return None
    if mine == "tests/oracle":
        return "the oracle shares no code with what it judges"
    if theirs in DIALECT_ORDER:
        if mine in DIALECT_ORDER and DIALECT_ORDER.index(theirs) > DIALECT_ORDER.index(mine):
            return f"{theirs} comes after {mine}"
        if mine in NO_MLIR and theirs != "dialects/dim":
            return f"{mine} is free of LLVM and MLIR"
        return None
    if mine in DIALECT_ORDER:
        return "dialects use nothing of the compiler"
    if order.index(theirs) > order.index(mine):
        return f"{theirs} comes after {mine}"
    return None


def complaints_of(root):
    order = compiler_order((root / "compiler/CMakeLists.txt").read_text())
    known = set(order)
    for path in sorted((root / "compiler").iterdir()):
        if path.is_dir() and "compiler/" + path.name not in known:
            yield f"compiler/{path.name}: not in the order of compiler/CMakeLists.txt"
    for top in ("compiler", "dialects", "runtime", "tests/oracle"):
        for path in sorted((root / top).rglob("*")):
            if path.suffix not in SUFFIXES:
                continue
            file = path.relative_to(root).as_posix()
            for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
                match = INCLUDE.match(line)
                why = match and complaint(file, match.group(1), order)
                if why:
                    yield f"{file}:{number}: includes {match.group(1)}: {why}"


def self_test():
    order = compiler_order("foreach(folder source sema import analysis passes interpret)")
    forbidden = [
        ("compiler/sema/A.cpp", "mlir/IR/Builders.h"),
        ("compiler/sema/A.cpp", "compiler/import/Import.h"),
        ("compiler/sema/A.cpp", "dialects/graph/Graph.h"),
        ("compiler/passes/A.cpp", "boost/graph/graph_traits.hpp"),
        ("compiler/passes/A.cpp", "runtime/core/Pool.h"),
        ("dialects/graph/A.cpp", "compiler/sema/Model.h"),
        ("dialects/graph/A.cpp", "dialects/kernel/Kernel.h"),
        ("runtime/core/A.cpp", "llvm/ADT/StringRef.h"),
        ("runtime/core/A.cpp", "dialects/dim/DimExpr.h"),
        ("runtime/core/A.cpp", "compiler/sema/Model.h"),
        ("tests/oracle/A.cpp", "compiler/sema/Model.h"),
        ("compiler/import/A.cpp", "tests/oracle/A.h"),
    ]
    allowed = [
        ("compiler/import/A.cpp", "compiler/sema/Model.h"),
        ("compiler/import/A.cpp", "mlir/IR/Builders.h"),
        ("compiler/analysis/A.cpp", "boost/graph/graph_traits.hpp"),
        ("compiler/sema/A.cpp", "dialects/dim/DimExpr.h"),
        ("compiler/tools/A.cpp", "compiler/passes/Passes.h"),
        ("compiler/passes/A.cpp", "fovea/abi.h"),
        ("compiler/tools/A.cpp", "runtime/core/TensorFile.h"),
        ("dialects/kernel/A.cpp", "dialects/graph/Graph.h"),
        ("runtime/core/A.cpp", "fovea/abi.h"),
        ("runtime/core/A.cpp", "vector"),
    ]
    wrong = [f"allowed: {case}" for case in forbidden if not complaint(*case, order)]
    wrong += [f"forbidden: {case}" for case in allowed if complaint(*case, order)]
    return wrong


def main():
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    found = self_test() if sys.argv[1] == "--self-test" else list(complaints_of(pathlib.Path(sys.argv[1])))
    print("\n".join(found))
    sys.exit(1 if found else 0)


main()
