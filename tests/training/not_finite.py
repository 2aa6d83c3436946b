#!/usr/bin/env python3
"""Where a number stops being finite is named: in a layer, a loop, attention, the loss, on the way back, in an optimiser.

usage: not_finite.py --fovea FOVEA --work FOLDER

Each model of broken.fov breaks in a step and at a line that are known; the program has to name both, and the op first.
"""
import argparse
import pathlib
import re
import shutil
import subprocess
import sys

from training import expect, npy

MODEL = pathlib.Path(__file__).resolve().parent / "broken.fov"
# model: (the ops that may make it, the step)
BROKEN = {"InLayer": ("log", 4), "InLoop": ("sqrt", 4), "InAttention": ("log", 4), "InLoss": ("log", 4), "OnTheWayBack": ("div|sqrt|rsqrt", 4),
          "InOptimiser": ("sqrt", 4), "InAdam": ("div|sqrt", 1)}


def check(fovea, work, name, ops, step):
    program = work / name
    subprocess.run([fovea, "build", MODEL, "--model", name, "-o", program], check=True, stdout=subprocess.DEVNULL)
    command = [program, "train", "--data", work / "x.npy", "--save", work / "saved", "--batch", "4", "--epochs", "5"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    expect(result.returncode == 1, f"exit code 1 of {name}, not {result.returncode}: {result.stderr}")
    line = next(i for i, text in enumerate(MODEL.read_text().splitlines(), 1) if text.endswith(f"// {name}"))
    said = re.search(r"it first appears in step (\d+) .*computed at \S*broken\.fov:(\d+):\d+\S*.* by (\w+) \((\d+):", result.stderr)
    expect(said, f"where {name} breaks, not {result.stderr}")
    expect(said[1] == str(step), f"step {step} of {name}, not {result.stderr}")
    expect(said[2] == said[4] == str(line), f"line {line} of {name}, not {result.stderr}")
    expect(re.fullmatch(ops, said[3]), f"{ops} first of {name}, not {result.stderr}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fovea", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    (work / "x.npy").write_bytes(npy((8, 4, 6), "f", [(i * 7919 % 101) / 50 - 1 for i in range(8 * 4 * 6)]))
    for name, (ops, step) in BROKEN.items():
        check(arguments.fovea, work, name, ops, step)
    print(f"{len(BROKEN)} models break where they are said to")


if __name__ == "__main__":
    sys.exit(main())
