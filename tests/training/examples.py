#!/usr/bin/env python3
"""The examples that learn from data of their own learn what their READMEs say.

usage: examples.py --fovea FOVEA --work FOLDER --downloads FOLDER digits|keywords|translate

digits, keywords: the mean over five seeds of what is right among the rows held out. translate: at a small size, its loss, and pictures of what it
looks at. Skipped (exit code 77) where the data can't be made, unless FOVEA_REQUIRE_WEIGHTS is set.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

from training import expect

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "examples"


def require(condition, what):
    if not condition:
        print(f"skipped: {what}")
        sys.exit(1 if os.environ.get("FOVEA_REQUIRE_WEIGHTS") else 77)


class Example:
    def __init__(self, name, fovea, work, data=(), build=()):
        self.name, self.work = name, work
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        self.run(sys.executable, EXAMPLES / name / "make_data.py", "data", *data)
        self.run(fovea, "build", EXAMPLES / name / f"{name}.fov", "-o", name, *build)

    def run(self, *command):
        return subprocess.run(command, check=True, cwd=self.work, stdout=subprocess.PIPE, text=True).stdout

    def train(self, seed, epochs, batch, *more, threads=1):
        """What the kept epoch came to on the rows held out."""
        self.run(f"./{self.name}", "train", "--data", "data/train.npz", "--valid", "data/valid.npz", "--epochs", str(epochs), "--batch", str(batch),
                 "--drop-last", "--seed", str(seed), "--save", f"{seed}.safetensors", "--log", f"{seed}.jsonl", "--threads", str(threads), *map(str, more))
        found = self.epochs(seed)
        expect(len(found) == epochs, f"{epochs} epochs in the log, not {len(found)}")
        return min(found, key=lambda valid: valid["loss"])

    def epochs(self, seed):
        """What each epoch came to on the rows held out."""
        log = map(json.loads, (self.work / f"{seed}.jsonl").read_text().splitlines())
        return [event["valid"] for event in log if event["kind"] == "epoch"]

    def mean_accuracy(self, epochs, wanted):
        shares = [self.train(seed, epochs, 32)["accuracy"] for seed in range(1, 6)]
        mean = sum(shares) / len(shares)
        print(f"right: {', '.join(f'{share:.4f}' for share in shares)}; mean {mean:.4f}")
        expect(mean >= wanted, f"a mean of {wanted}")


def digits(options):
    csv = options.downloads / "digits.csv.gz"
    require(csv.exists(), f"no {csv} (./dev digits fetches it)")
    Example("digits", options.fovea, options.work, ["--csv", csv]).mean_accuracy(40, 0.975)


def keywords(options):
    require(shutil.which("espeak-ng"), "no espeak-ng (Debian: apt install espeak-ng)")
    Example("keywords", options.fovea, options.work).mean_accuracy(20, 0.95)


def translate(options):
    example = Example("translate", options.fovea, options.work, ["--train", "12800", "--valid", "512"],
                      ["--attention-maps", "--set", "steps=200"])
    valid = example.train(1, 1, 64)
    expect(valid["loss"] < 1.2, f"a loss below 1.2 after 200 steps, not {valid}")
    answers = example.run(sys.executable, EXAMPLES / "translate/draw.py", "./translate", "1.safetensors", "maps", "le 5 mars 2021", "5. März 2021").splitlines()
    for number, line in enumerate(answers, 1):
        rows, picture = {}, (example.work / f"maps/{number}.svg").read_text()
        for y, weight in re.findall(r'<rect x="\d+" y="(\d+)" .*fill-opacity="(.*)"', picture):
            rows[y] = rows.get(y, 0) + float(weight)
        expect(len(rows) == len(line.split(": ")[1]), f"a row for each byte of {line}, not {len(rows)}")
        expect(all(0.8 < total < 1.1 for total in rows.values()), f"weights of sum 1, not {rows}")
    expect(len(answers) == 2, f"two answers, not {answers}")
    print(valid, answers)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("fovea", "work", "downloads"):
        parser.add_argument(f"--{name}", type=lambda text: pathlib.Path(text).resolve(), required=True)
    parser.add_argument("example", choices=["digits", "keywords", "translate"])
    options = parser.parse_args()
    globals()[options.example](options)


if __name__ == "__main__":
    main()
