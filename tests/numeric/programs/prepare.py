#!/usr/bin/env python3
"""Builds a library of the tests in this folder, or writes `weights` for those that have none.

usage: prepare.py --fovea FOVEA --work FOLDER LIBRARY
"""
import argparse
import json
import math
import pathlib
import struct
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
LEVELS, OUTPUTS = (1, 2, 5, 6, 7, 15, 16, 17, 31, 97), (31, 97, 1, 7, 16, 2, 17, 5, 15, 6)
SMALL = {"vocab": 61, "dim": 32, "heads": 4, "depth": 2, "ffn": 48}
GPT2 = {"vocab": 61, "dim": 32, "heads": 4, "depth": 2, "positions": 24}


def write_tensors(path, tensors):
    """Tensors as (dtype, struct's letter, shape, values)."""
    header, body = {}, b""
    for name, (dtype, letter, shape, values) in tensors.items():
        data = struct.pack(f"<{len(values)}{letter}", *values)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def write_weights(path, shapes):
    """Every tensor counts through the same multiples of 1/32, so that a test knows them without reading."""
    write_tensors(path, {name: ("F32", "f", shape, [((i * 37 + 11) % 64 - 32) / 32 for i in range(math.prod(shape))])
                         for name, shape in shapes.items()})


# name -> (source, its parameters, options in place of --target=all)
ROOT = HERE.parents[2]
MINILM = ROOT / "examples/minilm/minilm.fov"
LIBRARIES = {name: (HERE / f"{name}.fov", {}, []) for name in ("cached", "damaged", "kept", "optimisers", "sizes", "long")} | {
    "minilm": (MINILM, SMALL, []),
    "minilm-published": (MINILM, {}, []),
    "gpt2": (ROOT / "benchmarks/models/gpt2.fov", GPT2, []),
    # What these need is no target's own.
    "variants": (ROOT / "benchmarks/models/variants.fov", {}, ["--target=native"]),
    "trained": (HERE / "trained.fov", {}, ["--target=native"]),
    "trained-kept": (HERE / "trained.fov", {"depth": 12}, ["--target=native"]),
    "trained-recomputed": (HERE / "trained.fov", {"depth": 12}, ["--target=native", "--max-memory=1300KiB", "--at=B=4,T=40"]),
} | {f"{name}-{dtype}": (source, {}, [f"--weights-dtype={dtype}", "--target=all"])
     for name, source in (("sizes", HERE / "sizes.fov"), ("minilm", MINILM)) for dtype in ("bf16", "int8")} | {
    f"{name}-products-{dtype}": (source, {}, [f"--matmul-precision={dtype}", f"--target={targets}"])
    for name, source, targets in (("sizes", HERE / "sizes.fov", "all"), ("minilm", MINILM, "native")) for dtype in ("bf16", "int8")}


def build(fovea, work, name):
    source, parameters, options = LIBRARIES[name]
    parameters = [f"--set={key}={value}" for key, value in parameters.items()]
    subprocess.run([fovea, "build", source, "--emit=lib", "-o", work / f"lib{name}.so", *parameters, *(options or ["--target=all"])], check=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fovea", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("library", choices=[*LIBRARIES, "weights"])
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    if arguments.library != "weights":
        return build(arguments.fovea, arguments.work, arguments.library)
    write_weights(arguments.work / "sizes.safetensors",
                  {f"l{i}.weight": [n, k] for i, (k, n) in enumerate(zip(LEVELS, OUTPUTS))}
                  | {f"l{i}.bias": [n] for i, n in enumerate(OUTPUTS)})
    write_weights(arguments.work / "cached.safetensors",
                  {f"{name}.weight": [size, 12] for name, size in (("query", 12), ("key", 6), ("value", 6), ("out", 12))}
                  | {f"{name}.bias": [size] for name, size in (("query", 12), ("key", 6), ("value", 6), ("out", 12))})
    write_tensors(arguments.work / "damaged.safetensors", {
        "near": ("I64", "q", [6], [3, 1, 4, 1, 5, 9]), "rows": ("I64", "q", [6], [0, 4, 1, 5, 2, 3]),
        "table": ("F32", "f", [10], [i / 8 for i in range(10)]), "seen": ("BOOL", "?", [6], [True, False, True, True, True, True]),
        "weight": ("F32", "f", [8, 8], [(i % 5 - 2) / 8 for i in range(64)]), "narrow": ("I32", "i", [6], [0, 1, 2, 3, 0, 1])})


main()
