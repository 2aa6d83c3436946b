#!/usr/bin/env python3
"""A compiled program trains itself: it learns, comes to the same bytes for any number of threads and however often it is killed, leaves
on a signal, keeps a log without gaps and repetitions, and says where a number that is not finite comes from.

usage: training.py --fovea FOVEA --work FOLDER [--kills N] [--seed N]
"""
import argparse
import os
import json
import pathlib
import pty
import random
import shutil
import signal
import struct
import subprocess
import sys
import time
import zipfile

MODEL = pathlib.Path(__file__).resolve().parent / "fit.fov"
FEATURES, CLASSES = 6, 3


def expect(condition, what):
    if not condition:
        sys.exit(f"expected {what}")


def npy(shape, letter, values):
    header = f"{{'descr': '{ {'q': '<i8', 'f': '<f4'}[letter] }', 'fortran_order': False, 'shape': {tuple(shape)}, }}"
    header += " " * (63 - (10 + len(header)) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + struct.pack(f"<{len(values)}{letter}", *values)


def write_data(path, rows, seed, deflated=False):
    """Rows around three centres, so that a linear classifier tells most of them."""
    draw = random.Random(seed)
    labels = [draw.randrange(CLASSES) for _ in range(rows)]
    x = [draw.gauss(0, 1) + 2 * (d % CLASSES == label) for label in labels for d in range(FEATURES)]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if deflated else zipfile.ZIP_STORED) as archive:
        archive.writestr("x.npy", npy((rows, FEATURES), "f", x))
        archive.writestr("label.npy", npy((rows,), "q", labels))


def without_times(log):
    """The log's lines without what differs from run to run."""
    return [{key: value for key, value in json.loads(line).items() if key not in ("seconds", "samples_per_second")}
            for line in log.read_text().splitlines()]


class Training:
    def __init__(self, program, work):
        self.program, self.work = program, work
        write_data(work / "train.npz", 64, 1)
        write_data(work / "valid.npz", 23, 2, deflated=True)

    def command(self, name, *more):
        where = self.work / name
        where.mkdir(exist_ok=True)
        return [str(part) for part in (
            self.program, "train", "--data", self.work / "train.npz", "--valid", self.work / "valid.npz", "--save", where / "s",
            "--log", where / "log", "--log-steps", "3", "--epochs", "30", "--batch", "7", "--seed", "3", "--checkpoint-steps", "2", *more)]

    def run(self, name, *more, code=0):
        result = subprocess.run(self.command(name, *more), capture_output=True, text=True, timeout=60)
        expect(result.returncode == code, f"exit code {code}, not {result.returncode}: {result.stderr}")
        return result

    def outcome(self, name):
        where = self.work / name
        expect(not [f for f in where.iterdir() if f.name.startswith(".")], "no temporary file at the end")
        return (where / "s").read_bytes(), (where / "s.checkpoint").read_bytes(), without_times(where / "log")

    def check_learning(self):
        result = self.run("whole", "--threads", "1")
        lines = result.stdout.splitlines()
        expect(len(lines) == 31 and lines[0].startswith("epoch 1/30: loss ") and "valid loss" in lines[0], f"a line an epoch, not {result.stdout}")
        log = without_times(self.work / "whole/log")
        epochs = [line for line in log if line["kind"] == "epoch"]
        expect([line["epoch"] for line in epochs] == list(range(1, 31)), "all epochs in order")
        expect([line["step"] for line in log if line["kind"] == "step"] == list(range(3, 301, 3)), "each third step")
        expect(epochs[-1]["train"]["loss"] < epochs[0]["train"]["loss"] / 2, "a loss that falls")
        best = min(epochs, key=lambda line: line["valid"]["loss"])
        expect(best["valid"]["accuracy"] > 0.85, f"what was learned, not {best}")
        expect([line["epoch"] for line in epochs if line["best"]][-1] == best["epoch"], "the best epoch is told")
        self.run("two", "--threads", "2")
        expect(self.outcome("two") == self.outcome("whole"), "the same bytes with two threads")
        labels = struct.unpack("<23q", zipfile.ZipFile(self.work / "valid.npz").read("label.npy")[-23 * 8:])
        (self.work / "x.npy").write_bytes(zipfile.ZipFile(self.work / "valid.npz").read("x.npy"))
        subprocess.run([self.program, "predict", self.work / "x.npy", "--weights", self.work / "whole/s", "-o", self.work / "y.npy"], check=True)
        found = struct.unpack("<23q", (self.work / "y.npy").read_bytes()[-23 * 8:])
        right = sum(a == b for a, b in zip(labels, found, strict=True)) / 23
        expect(abs(right - best["valid"]["accuracy"]) < 1e-6, "the saved file is the best epoch's")

    def check_kills(self, kills, draw):
        """Killed at any moment, and resumed, it ends as if nothing had happened."""
        expected, killed, finished, name = self.outcome("whole"), 0, 0, "killed"
        begun = time.monotonic()
        self.run("timed")
        whole = time.monotonic() - begun
        while killed < kills or finished == 0:
            process = subprocess.Popen(self.command(name, "--resume"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            if killed < kills:
                time.sleep(draw.uniform(0, whole / 6))
                process.kill()
            error = process.communicate(timeout=60)[1]
            if process.returncode == -signal.SIGKILL:
                killed += 1
                continue
            expect(process.returncode == 0, f"success, not {error}")
            finished += 1
            expect(self.outcome(name) == expected, f"the bytes of a run that nobody killed, after {killed} kills")
            shutil.rmtree(self.work / name)
        return finished

    def check_progress(self):
        """On a terminal a line changes while the epochs' lines stay."""
        master, slave = pty.openpty()
        process = subprocess.Popen(self.command("seen", "--epochs", "100000", "--report", "100000"), stdout=subprocess.DEVNULL, stderr=slave)
        os.close(slave)
        shown = b""
        while shown.count(b"\r") < 3:
            shown += os.read(master, 4096)
        process.terminate()
        process.wait(timeout=60)
        os.close(master)
        last = shown.decode().split("\r")[2]
        expect(all(part in last for part in ("epoch ", "/100000 [", "] loss ", " samples/s, ", " left")), f"a bar, not {last}")

    def check_signals(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            shutil.rmtree(self.work / "left", ignore_errors=True)
            process = subprocess.Popen(self.command("left", "--epochs", "100000", "--checkpoint-steps", "1000000"), stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, text=True)
            process.stdout.readline()
            process.send_signal(number)
            error = process.communicate(timeout=60)[1]
            expect(process.returncode == -number, f"the end by signal {number}, not {process.returncode}")
            expect("stopped after step" in error and "--resume" in error, f"how to go on, not {error}")
            result = self.run("left", code=1)
            expect("has not ended" in result.stderr, "a new training doesn't overwrite the checkpoint")
        steps = [line["step"] for line in without_times(self.work / "left/log") if line["kind"] == "step"]
        process = subprocess.Popen(self.command("left", "--epochs", "100000", "--resume"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        later = [line["step"] for line in without_times(self.work / "left/log") if line["kind"] == "step"]
        expect(later[:len(steps)] == steps and later == list(range(3, later[-1] + 1, 3)), "a log without gaps and repetitions")


def check_not_finite(program, work):
    (work / "x.npy").write_bytes(npy((8, 4), "f", [1.0 + 0.01 * i for i in range(32)]))
    command = [program, "train", "--data", work / "x.npy", "--save", work / "saved", "--batch", "4", "--epochs", "2000"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    expect(result.returncode == 1, f"exit code 1, not {result.returncode}: {result.stderr}")
    line = next(i for i, text in enumerate(MODEL.read_text().splitlines(), 1) if "log(p)" in text)
    expect("the loss is not finite after step" in result.stderr, f"what happened, not {result.stderr}")
    expect("it first appears in step" in result.stderr and f"by log ({line}:" in result.stderr and "fit.fov:" in result.stderr,
           f"the op and line {line}, not {result.stderr}")
    expect(not (work / "saved").exists(), "nothing saved")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fovea", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    for model in ("Fit", "Fragile"):
        subprocess.run([arguments.fovea, "build", MODEL, "--model", model, "-o", work / model.lower()], check=True, stdout=subprocess.DEVNULL)
    training = Training(work / "fit", work)
    training.check_learning()
    finished = training.check_kills(arguments.kills, random.Random(arguments.seed))
    training.check_progress()
    training.check_signals()
    check_not_finite(work / "fragile", work)
    print(f"{arguments.kills} kills, {finished} resumed to their end")


if __name__ == "__main__":
    main()
