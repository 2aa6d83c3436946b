#!/usr/bin/env python3
"""Random valid models: what the compiled program computes beside the interpreter, within the models' own bounds.

usage: differential.py --fovea FOVEA --work FOLDER [--seed N] [--models N] [--entries N] [--targets all] [--runs N]

Each model is a file of several entries (one compilation); each entry runs at several sizes, 0 and 1 among them, in the
interpreter once and in the program for every target that it holds. A difference prints the model's seed, the entry and
the worst element; `--seed THAT --models 1` repeats it, and leaves model, inputs and results in the folder.
"""
import argparse
import math
import pathlib
import random
import re
import subprocess
import sys

import random_models
import tensors

NUMPY = {"f32": "<f4", "f16": "<f2", "i64": "<i8", "i32": "<i4", "i8": "|i1", "bool": "|b1"}


def run(command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=600)


def data(entry, value, sizes, source):
    """An input's tensor: small numbers with many bits, some of them equal, in the range that the bounds assume."""
    shape = tuple(eval(d, {}, sizes) for d in value.dims)
    count = math.prod(shape)
    if value.dtype == "bool":
        values = [source.random() < 0.7 for _ in range(count)]
    elif value.dtype in random_models.FLOATS:
        values = [source.choice((0.0, 1.0, -1.0, 0.5)) if source.random() < 0.1 else source.uniform(-2, 2) for _ in range(count)]
    else:
        below = entry.limits[value.text]
        low, high = (-9, 9) if below is None else (0, max(eval(below, {}, sizes) - 1, 0))
        values = [source.randint(low, high) for _ in range(count)]
    return tensors.Tensor(NUMPY[value.dtype], shape, tuple(values))


def difference(entry, got, expected):
    """What differs more than the entry's bounds say, or None."""
    results = entry.results()
    for number, value in enumerate(results):
        name = "" if len(results) == 1 else f"result{number}"
        bound = 0 if value.dtype not in random_models.FLOATS else 1.5 * value.err + 1e-6
        if value.dtype == "f16":
            bound += value.mag * 2.0**-10
        # A bound that says nothing would hide everything; such models are made smaller by their generator.
        why = tensors.worst_difference(got[name], expected[name], min(bound, 0.05 * max(value.mag, 1)))
        if why:
            return f"result{number} ({value.text}): {why}"
    return None


def runnable(targets):
    """The targets that this machine can run, of those that are built."""
    flags = set(re.findall(r"\S+", pathlib.Path("/proc/cpuinfo").read_text()))
    needs = {"x86-64": set(), "x86-64-v3": {"avx2", "fma", "f16c", "bmi2"}, "x86-64-v4": {"avx512f", "avx512bw", "avx512vl", "avx512dq"}}
    names = list(needs) if targets == "all" else targets.split(",")
    return [name for name in names if needs.get(name, set()) <= flags]


class Model:
    def __init__(self, arguments, seed):
        self.seed, self.arguments = seed, arguments
        source = random.Random(seed)
        self.entries = [random_models.Entry(source, f"e{i}") for i in range(arguments.entries)]
        self.folder = arguments.work / f"model-{seed}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.failures = []

    def fail(self, entry, what):
        self.failures.append(f"seed {self.seed} {entry.name if entry else ''}: {what}")
        print(self.failures[-1], flush=True)

    def build(self, name, entries):
        """The path of the model's text, and whether it was compiled to a program beside it."""
        path = self.folder / f"{name}.fov"
        path.write_text("model Random() {\n" + "".join(entry.text() for entry in entries) + "}\n")
        result = run([self.arguments.fovea, "build", path, "-o", path.with_suffix(""), f"--target={self.arguments.targets}"])
        return path, result

    def check(self):
        path, result = self.build("model", self.entries)
        if result.returncode == 0:
            for entry in self.entries:
                self.checkEntry(path, entry)
            return
        # The entries one by one say which of them it is.
        for entry in self.entries:
            path, result = self.build(entry.name, [entry])
            if result.returncode != 0:
                self.fail(entry, "is not compiled\n" + (result.stdout + result.stderr)[:3000])
            else:
                self.checkEntry(path, entry)

    def checkEntry(self, path, entry):
        source = random.Random(f"{self.seed} {entry.name}")
        for number in range(self.arguments.runs):
            sizes = random_models.sizes(entry, source, wide=number % 2 == 0)
            inputs = []
            for value in entry.inputs:
                inputs.append(self.folder / f"{entry.name}-{number}-{value.text}.npy")
                tensors.write_npy(inputs[-1], data(entry, value, sizes, source))
            self.checkRun(path, entry, inputs, f"{entry.name}-{number}", sizes)

    def checkRun(self, path, entry, inputs, stem, sizes):
        suffix = ".npy" if len(entry.results()) == 1 else ".npz"
        expected = self.folder / f"{stem}-interpreter{suffix}"
        result = run([self.arguments.fovea, "run", "--interpret", path, entry.name, *inputs, "-o", expected])
        wrong = None if result.returncode == 0 else result.stdout + result.stderr
        for target in self.arguments.names:
            output = self.folder / f"{stem}-{target}{suffix}"
            output.unlink(missing_ok=True)
            result = run([path.with_suffix(""), entry.name, *inputs, "-o", output, "--target", target, "--threads", 2])
            if result.returncode != 0 or wrong:
                # Broken preconditions are broken for both.
                if not (result.returncode == 1 and wrong):
                    self.fail(entry, f"at {sizes}, {target}: exit code {result.returncode}, the interpreter: {wrong}\n{result.stdout}{result.stderr}")
                continue
            why = difference(entry, tensors.read(output), tensors.read(expected))
            if why:
                self.fail(entry, f"at {sizes}, {target}: {why}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fovea", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--models", type=int, default=1)
    parser.add_argument("--entries", type=int, default=12)
    parser.add_argument("--targets", default="all")
    parser.add_argument("--runs", type=int, default=3, help="sizes to run each entry at")
    arguments = parser.parse_args()
    arguments.names = runnable(arguments.targets)
    failures = []
    for seed in range(arguments.seed, arguments.seed + arguments.models):
        model = Model(arguments, seed)
        model.check()
        failures += model.failures
    print(f"{arguments.models} models of {arguments.entries} entries: {len(failures)} failures")
    sys.exit(1 if failures else 0)


main()
