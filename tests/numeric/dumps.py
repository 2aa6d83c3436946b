#!/usr/bin/env python3
"""Intermediate values by their source path: what a program and the interpreter call by one name is one value.

usage: dumps.py --fovea FOVEA --work FOLDER [--programs FOLDER] CASE...     rows of cases.json; without any, all that have their weights

Programs are looked for where run.py keeps them, and built there where they are not.
"""
import argparse
import json
import pathlib
import re
import shutil
import subprocess
import sys

import tensors
from run import HERE, ROOT, input_paths, model_options, program


def dump(command, case, folder):
    """{path: Tensor} of a run that offers all values."""
    shutil.rmtree(folder, ignore_errors=True)
    weights = ["--weights", ROOT / case["weights"]] if "weights" in case else []
    command = [str(part) for part in [*command, case["entry"], *input_paths(case), *weights, "--dump", "*", "-o", folder]]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode and "none of" not in result.stderr:
        sys.exit(f"{' '.join(command)}\n{result.stderr}")
    return {path.name.removesuffix(".npy"): tensors.read(path)[""] for path in sorted(folder.glob("*.npy"))}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fovea", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--programs", type=pathlib.Path)
    parser.add_argument("cases", nargs="*")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    programs = arguments.programs or arguments.work
    failures = compared = 0
    for case in json.loads((HERE / "cases.json").read_text())["cases"]:
        if case["name"] not in (arguments.cases or [case["name"]]) or not (ROOT / case.get("weights", "")).exists():
            continue
        compiled = dump([program(case, arguments.fovea, programs)], case, arguments.work / "compiled")
        interpreter = [arguments.fovea, "run", "--interpret", *model_options(case), ROOT / case["source"]]
        meant = dump(interpreter, case, arguments.work / "meant")
        for path, value in compiled.items():
            # Products that were merged are nobody's value: `query+2`.
            if re.search(r"\+\d+$", path):
                continue
            compared += 1
            why = "the interpreter has no such value"
            if path in meant:  # how exact it is, the cases themselves say; another value would differ by its size
                why = tensors.worst_difference(value, meant[path], 1e-2)
            if why:
                failures += 1
                print(f"{case['name']} {path}: {why}")
    print(f"{compared} values compared, {failures} differ")
    sys.exit(1 if failures or not compared else 0)


main()
