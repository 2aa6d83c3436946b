#!/usr/bin/env python3
"""Packed weights give the bits that weights give: explicit, kept in a folder, within the program, made by several processes at once.

usage: packed.py --fovea FOVEA --work FOLDER [--programs FOLDER] CASE...

The cases (rows of cases.json) share one program, which is looked for where run.py keeps it, and built there where it is not. Where weights are
mapped, each process must do with 4 MiB of memory of its own. Exit codes as run.py's.
"""
import argparse
import os
import pathlib
import resource
import shutil
import subprocess
import sys

from run import find_case, input_paths, program, run, weights_of

OWN_MEMORY = 4 << 20


def limit_memory():
    """Private writable memory, resident or not: what is mapped for reading doesn't count."""
    resource.setrlimit(resource.RLIMIT_DATA, (OWN_MEMORY, OWN_MEMORY))


class Checker:
    def __init__(self, fovea, work, programs, cases):
        self.fovea, self.work, self.programs, self.cases = fovea, work, programs, cases
        self.weights = weights_of(cases[0])
        self.program = program(cases[0], fovea, programs)
        self.expected = [self.outcome(self.program, case, ["--weights", self.weights]) for case in cases]

    def outcome(self, executable, case, options, mapped=False, variables=None):
        output = self.work / "outcome.npz"
        output.unlink(missing_ok=True)
        command = [executable, case["entry"], *input_paths(case), "-o", output, *options]
        if mapped:
            command += ["--threads", "1"]  # others have stacks
        result = subprocess.run([str(part) for part in command], capture_output=True, text=True,
                                env={**os.environ, **(variables or {})}, preexec_fn=limit_memory if mapped else None)
        if result.returncode or result.stderr:
            sys.exit(f"{' '.join(str(part) for part in command)}: {result.stdout}{result.stderr}exit code {result.returncode}")
        return output.read_bytes()

    def compare(self, what, executable, options, **more):
        for case, expected in zip(self.cases, self.expected):
            if self.outcome(executable, case, options, **more) != expected:
                sys.exit(f"{case['name']}: {what}: other bits than with --weights")

    def explicit(self):
        packed = self.work / "model.packed"
        run([self.program, "pack", "--weights", self.weights, "-o", packed])
        self.compare("--packed", self.program, ["--packed", packed], mapped=True)
        self.compare("--packed and its weights", self.program, ["--packed", packed, "--weights", self.weights], mapped=True)

    def kept(self):
        folder = self.work / "cache"
        options, variables = ["--weights", self.weights], {"FOVEA_CACHE": str(folder)}
        shutil.rmtree(folder, ignore_errors=True)
        command = [self.program, self.cases[0]["entry"], *input_paths(self.cases[0]), *options]
        racing = [subprocess.Popen([str(part) for part in [*command, "-o", self.work / f"racing-{i}.npz"]],
                                   env={**os.environ, **variables}) for i in range(4)]
        if any([process.wait() for process in racing]):
            sys.exit("a process that keeps its weights beside others fails")
        for i in range(len(racing)):
            if (self.work / f"racing-{i}.npz").read_bytes() != self.expected[0]:
                sys.exit("a process that keeps its weights beside others has other bits")
        if len(list(folder.iterdir())) != 1:
            sys.exit(f"{folder} should have one file: {list(folder.iterdir())}")
        self.compare("kept", self.program, options, mapped=True, variables=variables)

    def embedded(self):
        alone = program(self.cases[0], self.fovea, self.programs, ["--embed-weights", str(self.weights)])
        self.compare("--embed-weights", alone, [], mapped=True)
        self.compare("--embed-weights, and --weights", alone, ["--weights", self.weights])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fovea", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--programs", type=pathlib.Path)
    parser.add_argument("cases", nargs="+")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    os.environ.pop("FOVEA_WEIGHTS", None)
    os.environ.pop("FOVEA_CACHE", None)
    checker = Checker(arguments.fovea, arguments.work, arguments.programs or arguments.work, [find_case(name) for name in arguments.cases])
    checker.explicit()
    checker.kept()
    checker.embedded()


main()
