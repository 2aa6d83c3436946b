#!/usr/bin/env python3
"""Times the whole training of examples/digits beside the same training in PyTorch, in turns.

    benchmarks/train.py [--build DIR] [--epochs N] [--rounds N] [--threads N...] [--peers PEER...] [--json FILE]

Ours is a fresh process from its start to its end, packing, files and all; PyTorch's time begins with its first step (peers/digits.py). Prints medians.
Needs the digits (`./dev digits`), and for the peers PyTorch in build/venv: without it ours are timed alone.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
BATCH = 32
PEERS = {"torch": [], "torch.compile": ["--compile"]}


def prepare(folder, build):
    """The program and its data."""
    digits = ROOT / "examples/digits"
    csv = build / "downloads/digits.csv.gz"
    if not csv.exists():
        sys.exit(f"{csv} is missing: `./dev digits` fetches it")
    folder.mkdir(parents=True, exist_ok=True)
    for command in ([sys.executable, digits / "make_data.py", folder / "data", "--csv", csv],
                    [build / "bin/fovea", "build", digits / "digits.fov", "-o", folder / "digits"]):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def ours(folder, epochs, seed, threads):
    """(seconds, what is right) of a training."""
    log, saved = folder / "log.jsonl", folder / "saved.safetensors"
    command = [folder / "digits", "train", "--data", folder / "data/train.npz", "--valid", folder / "data/valid.npz", "--epochs", epochs, "--batch", BATCH,
               "--drop-last", "--seed", seed, "--save", saved, "--log", log, "--threads", threads, "--report", epochs]
    log.unlink(missing_ok=True)
    begun = time.perf_counter()
    subprocess.run([str(word) for word in command], check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - begun
    evaluated = [event["valid"] for event in map(json.loads, log.read_text().splitlines()) if event["kind"] == "epoch"]
    return seconds, min(evaluated, key=lambda valid: valid["loss"])["accuracy"]


def peer(name, folder, epochs, seed, threads, python):
    """The same of PyTorch; None where it is not installed."""
    command = [python, ROOT / "benchmarks/peers/digits.py", folder / "data", "--epochs", epochs, "--batch", BATCH, "--seed", seed, "--threads", threads,
               *PEERS[name]]
    result = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    if result.returncode == 77:
        return None
    result.check_returncode()
    found = json.loads(result.stdout)
    return found["seconds"], found["accuracy"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="*", default=[1, os.cpu_count()])
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=["torch"])
    parser.add_argument("--json", help="write the figures here as well")
    options = parser.parse_args()
    folder = (options.build / "bench/train").resolve()
    prepare(folder, options.build.resolve())
    python = options.build / "venv/bin/python"
    python = python if python.exists() else sys.executable
    results = {}
    print(f"{options.epochs} epochs          median     min     max  s   right")
    for threads in dict.fromkeys(options.threads):
        found = {name: [] for name in ["fovea", *options.peers]}
        for seed in range(1, options.rounds + 1):
            for name, runs in found.items():
                run = ours(folder, options.epochs, seed, threads) if name == "fovea" else peer(name, folder, options.epochs, seed, threads, python)
                if run:
                    runs.append(run)
        for name, runs in found.items():
            if not runs:
                print(f"{name}: not installed")
                continue
            seconds, right = zip(*runs)
            results[f"{name}, {threads} threads"] = {"seconds": seconds, "right": right}
            print(f"{name:15} x {threads}{statistics.median(seconds):10.2f}{min(seconds):8.2f}{max(seconds):8.2f}   {statistics.mean(right):.4f}", flush=True)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
