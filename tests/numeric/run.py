#!/usr/bin/env python3
"""Runs one case of cases.json: builds its model, runs an entry on files, compares with golden files.

usage: run.py --fovea FOVEA --work FOLDER --via program|memory|interpreter CASE

Standard library only. Exit codes: 0 agrees, 1 differs or fails, 77 skipped (weights that are not here; with
FOVEA_REQUIRE_WEIGHTS set that is a failure).
"""
import argparse
import fcntl
import hashlib
import json
import os
import pathlib
import subprocess
import sys

import tensors

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def attempt(command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True)


def run(command):
    """Runs a command; where it fails, shows it and what it said."""
    result = attempt(command)
    if result.returncode != 0:
        print("+", " ".join(str(part) for part in command))
        print(result.stdout + result.stderr)
        sys.exit(f"exit code {result.returncode}")
    return result


def model_options(case):
    options = ["--model", case["model"]] if "model" in case else []
    for key, value in case.get("set", {}).items():
        options += ["--set", f"{key}={value}"]
    return options


def program(case, fovea, work, options=()):
    """The case's program with code for all targets, built once for all cases that share it, however many start at once."""
    source = ROOT / case["source"]
    options = [*model_options(case), *options]
    key = hashlib.sha256(json.dumps([case["source"], options]).encode()).hexdigest()[:12]
    path = work / f"{source.stem}-{key}"
    compiler = [fovea, *fovea.parent.parent.glob("lib/libFovea.so*"), *source.parent.glob("*.fov")]
    with open(f"{path}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists() or path.stat().st_mtime < max(p.stat().st_mtime for p in compiler):
            run([fovea, "build", "--target=all", source, "-o", path, *options])
    return path


def input_paths(case):
    return [ROOT / i if "/" in i else i for i in case["inputs"]]


def weights_of(case):
    """The case's weights, or None where it has none. Exits where they are not on this machine."""
    if "weights" not in case:
        return None
    path = ROOT / case["weights"]
    if not path.exists():
        needed = "FOVEA_REQUIRE_WEIGHTS" in os.environ
        print(f"{'FAILED' if needed else 'skipped'}: {case['weights']} is not here (`./dev weights` fetches it)")
        sys.exit(1 if needed else 77)
    return path


def find_case(name):
    for case in json.loads((HERE / "cases.json").read_text())["cases"]:
        if case["name"] == name:
            return case
    sys.exit(f"cases.json has no case {name}")


def compare(case, output, what):
    """The number of outputs that differ from their golden files."""
    got, outputs, failures = tensors.read(output), case["outputs"], 0
    for name, golden in outputs.items():
        expected = tensors.read(ROOT / golden)[""]
        tolerance = case["tolerance"][name] if isinstance(case["tolerance"], dict) else case["tolerance"]
        why = tensors.worst_difference(got.get("" if len(outputs) == 1 else name), expected, tolerance)
        if why:
            failures += 1
            print(f"{case['name']} {name}, {what}: {why}")
    return failures


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fovea", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--via", choices=["program", "memory", "interpreter"], default="program")
    parser.add_argument("case")
    arguments = parser.parse_args()
    case = find_case(arguments.case)
    arguments.work.mkdir(parents=True, exist_ok=True)
    weights = weights_of(case)

    suffix = "npy" if len(case["outputs"]) == 1 else "npz"
    inputs = input_paths(case) + (["--weights", weights] if weights else [])
    if "seed" in case:
        inputs += ["--seed", case["seed"]]
    for name, value in case.get("sizes", {}).items():
        inputs += ["--size", f"{name}={value}"]

    def differences(command, what):
        """How many outputs of a run of the entry differ; None where this processor can't run the target."""
        output = arguments.work / f"{case['name']}-{what}.{suffix}"
        output.unlink(missing_ok=True)
        command = [*command, case["entry"], *inputs, "-o", output]
        if "can't run the target" in attempt(command).stderr:
            return None
        run(command)
        return compare(case, output, what)

    if arguments.via == "program":
        path = program(case, arguments.fovea, arguments.work)
        names, _, chosen = run([path, "--help"]).stdout.splitlines()[-1].partition("targets: ")[2].partition("; here ")
        found = {name: differences([path, "--target", name], name) for name in names.split(", ")}
        print("differences:", found)
        # The selector takes the first that runs; its numbers are those of the same code.
        first = next((name for name, count in found.items() if count is not None), None)
        failures = differences([path], "program") + sum(count or 0 for count in found.values()) + (first != chosen)
    else:
        # What stands before the model is for the compiler, what stands after it for the program.
        interpret = ["--interpret"] if arguments.via == "interpreter" else []
        failures = differences([arguments.fovea, "run", *interpret, *model_options(case), ROOT / case["source"]], arguments.via)
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
